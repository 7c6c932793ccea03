"""Tighter bounds than plain intervals: zonotopes [1]_, which remember what numbers have in common.

The paper bounds a_j - a_i by the bounds of either unit alone, as if one could be at its highest while the other is at its
lowest. Two units that are nearly the same cannot. A zonotope holds n numbers as a centre plus a sum of noise symbols, each
anywhere in [-1, 1], with one coefficient for each number; so differences cancel what is common. Every bound here is
intersected with that of plain intervals, and is therefore nowhere looser.

This is ours: neither the paper nor its code has it. auto_LiRPA, which bounds networks by linear relaxation, does not install
beside the PyTorch that this project is built on.

References
----------
.. [1] Singh, Gehr, Mirman, Püschel, Vechev: Fast and effective robustness certification, NeurIPS 2018.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prunebook.errors import BadValue, require
from prunebook.methods.annealing.measures import Interval
from prunebook.methods.annealing.network import ACTIVATIONS, Network


@dataclass
class Zonotope:
    """Numbers (..., n) as `centre` (..., n) plus, for each of g noise symbols in [-1, 1], its `noise` (..., g, n)."""

    centre: Tensor
    noise: Tensor

    def hull(self) -> Interval:
        radius = self.noise.abs().sum(dim=-2)
        return Interval(self.centre - radius, self.centre + radius)

    def through(self, weight: Tensor, bias: Tensor | None = None) -> "Zonotope":
        """Behind a linear layer, exactly."""
        centre = self.centre @ weight.T
        return Zonotope(centre if bias is None else centre + bias, self.noise @ weight.T)

    def scaled(self, slope: Tensor, shift: Tensor, radius: Tensor) -> "Zonotope":
        """Each number times `slope` plus `shift`, give or take `radius`, which is a new noise symbol for each: (..., n)."""
        fresh = torch.diag_embed(radius)
        return Zonotope(self.centre * slope + shift, torch.cat([self.noise * slope.unsqueeze(-2), fresh], dim=-2))


def both(first: Interval, second: Interval) -> Interval:
    """The intersection of two sound bounds of the same numbers."""
    lower, upper = torch.maximum(first.lower, second.lower), torch.minimum(first.upper, second.upper)
    return Interval(lower, torch.maximum(lower, upper))  # points may cross by rounding


def slopes(activation: str, within: Interval) -> Interval:
    """The least and the steepest slope of an activation function on each interval."""
    lower, upper = within
    if activation == "relu":
        return Interval((lower >= 0).double(), (upper > 0).double())
    at_ends = torch.stack([_slope(activation, lower), _slope(activation, upper)])
    around_zero = (lower <= 0) & (upper >= 0)  # sigmoid and tanh are steepest there and flatten to either side
    return Interval(at_ends.amin(0), torch.where(around_zero, ACTIVATIONS[activation], at_ends.amax(0)))


def _slope(activation: str, at: Tensor) -> Tensor:
    value = getattr(torch, activation)(at)
    return value * (1 - value) if activation == "sigmoid" else 1 - value**2


def activate(zonotope: Zonotope, within: Interval, activation: str) -> tuple[Zonotope, Interval]:
    """Behind an activation function, and plain bounds there; `within` are sound bounds in front of it."""
    lower, upper = within
    low, high = (getattr(torch, activation)(bound) for bound in within)
    wide = torch.where(upper > lower, upper - lower, 1)
    # Between two parallel lines: a chord of ReLU from end to end; for the S-shaped ones the lesser slope of the two ends.
    slope = (high - low) / wide if activation == "relu" else slopes(activation, within).lower
    if activation == "relu":
        top, bottom = low - slope * lower, torch.where((lower < 0) & (upper > 0), 0, low - slope * lower)
    else:
        top, bottom = high - slope * upper, low - slope * lower
    bent = zonotope.scaled(slope, (top + bottom) / 2, (top - bottom).abs() / 2)
    return bent, both(bent.hull(), Interval(low, high))


@dataclass
class Bounded:
    """What zonotopes know of a network from its first linear layer on, which is number `first`.

    before, within : for each layer from there on, zonotope and bounds of what it reads, and bounds of its own outputs
    """

    network: Network
    first: int
    before: list[tuple[Zonotope, Interval]]
    within: list[Interval]

    def change(self, index: int, nominees: Tensor, delegates: Tensor) -> Interval:
        """Bounds of the change of the outputs (m, outputs) where each nominee of layer `index` is replaced by its delegate.

        Each of the m pairs alone. Nowhere looser than by `Network.onward`, and sound, up to rounding.
        """
        _, _, apart = self._apart(index, nominees, delegates)
        middle, half = (apart.lower + apart.upper) / 2, (apart.upper - apart.lower) / 2
        weights = self.network.layers[index + 1].weight[:, nominees].T  # (m, outputs)
        delta = Zonotope(middle[:, None] * weights, (half[:, None] * weights).unsqueeze(1))
        return self._onward(index + 1, delta, delta.hull())

    def change_together(self, index: int, nominees: Tensor, delegates: Tensor) -> Interval:
        """As `change`, of all replacements at once: (outputs,). No unit may be nominee twice, or nominee and delegate.

        The sum of the single changes is no bound of it: one can move a unit to where the next one changes more.
        """
        centre, noise, apart = self._apart(index, nominees, delegates)
        weights = self.network.layers[index + 1].weight[:, nominees]  # (outputs, m)
        rising, falling = weights.clamp(min=0), weights.clamp(max=0)
        plain = Interval(
            rising @ apart.lower + falling @ apart.upper, rising @ apart.upper + falling @ apart.lower
        )  # fmt: skip
        delta = Zonotope(centre @ weights.T, noise @ weights.T)
        return self._onward(index + 1, delta, both(delta.hull(), plain))

    def _apart(self, index: int, nominees: Tensor, delegates: Tensor) -> tuple[Tensor, Tensor, Interval]:
        """Delegates minus nominees: centre (m,), noise (g, m) and bounds (m,)."""
        reads, units = self.before[index + 1 - self.first]
        centre = reads.centre[delegates] - reads.centre[nominees]
        noise = reads.noise[:, delegates] - reads.noise[:, nominees]
        radius = noise.abs().sum(0)
        plain = Interval(units.lower[delegates] - units.upper[nominees], units.upper[delegates] - units.lower[nominees])
        return centre, noise, both(Interval(centre - radius, centre + radius), plain)

    def _onward(self, index: int, delta: Zonotope, bounds: Interval) -> Interval:
        """Bounds of the change of the outputs by the change of layer `index`'s own outputs."""
        layers = self.network.layers
        for position in range(index, len(layers) - 1):
            for step in layers[position + 1].before:
                if step.kind in ACTIVATIONS:
                    delta, bounds = _pass_on(delta, bounds, self.within[position - self.first], step.kind)
            delta = delta.through(layers[position + 1].weight)
            bounds = both(delta.hull(), layers[position + 1].change(bounds))
        for step in self.network.tail:
            if step.kind in ACTIVATIONS:
                delta, bounds = _pass_on(delta, bounds, self.within[-1], step.kind)
        return bounds


def _pass_on(delta: Zonotope, bounds: Interval, within: Interval, activation: str) -> tuple[Zonotope, Interval]:
    """The change behind an activation function, by the change in front of it and the values `within` there before it.

    f(z + d) - f(z) is d times a slope that f has in between, by the mean value theorem.
    """
    lower, upper = bounds
    reach = Interval(within.lower + lower.clamp(max=0), within.upper + upper.clamp(min=0))
    least, most = slopes(activation, reach)
    changed = delta.scaled(
        (least + most) / 2, torch.zeros_like(lower), (most - least) / 2 * torch.maximum(lower.abs(), upper.abs())
    )
    ends = torch.stack([least * lower, most * lower, least * upper, most * upper])
    plain = Interval(ends.amin(0), ends.amax(0))
    if activation == "relu":  # a convex function: the change by d grows with z where d is above 0, falls where it is below
        low, high = within
        up, down = torch.where(upper >= 0, high, low), torch.where(lower <= 0, high, low)
        exact = Interval((down + lower).relu() - down.relu(), (up + upper).relu() - up.relu())
        plain = both(plain, exact)
    return changed, both(changed.hull(), plain)


def bounded(network: Network) -> Bounded:
    """Zonotopes through the linear layers of a network, from plain bounds of what the first of them reads.

    Raises BadValue where something but activation functions and dropout comes between or behind linear layers.
    """
    first = next((i for i, layer in enumerate(network.layers) if layer.options is None), None)
    if first is None or any(layer.options is not None for layer in network.layers[first:]):
        raise BadValue("bounds 'zonotope' need linear layers at the end of the network, without a convolution behind them")
    between = [step for layer in network.layers[first + 1 :] for step in layer.before] + network.tail
    require(
        all(step.kind in ACTIVATIONS for step in between), "bounds", "zonotope", "'interval' for pools between linear layers"
    )
    reads = Interval(*(bound.flatten() for bound in network.arriving()[first]))
    zonotope = Zonotope((reads.lower + reads.upper) / 2, torch.diag((reads.upper - reads.lower) / 2))
    before, within = [(zonotope, reads)], list[Interval]()
    for position in range(first, len(network.layers)):
        layer = network.layers[position]
        zonotope = zonotope.through(layer.weight, layer.bias)
        bounds = both(zonotope.hull(), layer.bounds(before[-1][1]))
        within.append(bounds)
        if position + 1 < len(network.layers):
            for step in network.layers[position + 1].before:
                zonotope, bounds = activate(zonotope, bounds, step.kind)
            before.append((zonotope, bounds))
    return Bounded(network, first, before, within)
