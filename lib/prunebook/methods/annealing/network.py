"""A network as this method sees it: a chain of layers with monotone operations between them, and bounds of what is computed.

Interval arithmetic carries two things through it: bounds of the units' values for all inputs within bounds, and bounds of
the change that a removal makes. A change needs rules of its own, because biases cancel in it and an activation function
passes on at most its steepest slope of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from prunebook import tracing
from prunebook.errors import BadValue, choose, require
from prunebook.methods.annealing.measures import VARIANTS, Interval

ACTIVATIONS = {"relu": 1.0, "sigmoid": 0.25, "tanh": 1.0}  # each with its steepest slope

Bounds = tuple[float | Tensor, float | Tensor]


@dataclass
class Step:
    """An operation between two layers, nowhere falling: "relu", "sigmoid", "tanh", "max", "mean" (pools) or "flatten"."""

    kind: str
    apply: Callable[[Tensor], Tensor]

    def change(self, delta: Interval) -> Interval:
        """Bounds of the change behind the operation, by those of the change in front of it, whatever the values are."""
        lower, upper = delta
        if self.kind in ACTIVATIONS:
            steepest = ACTIVATIONS[self.kind]
            return Interval(steepest * lower.clamp(max=0), steepest * upper.clamp(min=0))
        if self.kind == "max":
            return Interval(-self.apply(-lower), self.apply(upper))
        return Interval(self.apply(lower), self.apply(upper))


@dataclass
class Layer:
    """A linear layer or a convolution, in float64.

    weight : Tensor (outputs, inputs, ...)
    bias : Tensor (outputs,)
    before : the operations between the layer in front, or the network's input, and this one
    options : of the convolution; None for a linear layer
    """

    name: str
    weight: Tensor
    bias: Tensor
    before: list[Step] = field(default_factory=list)
    options: dict[str, Any] | None = None

    @property
    def width(self) -> int:
        return len(self.weight)

    def product(self, values: Tensor, weight: Tensor) -> Tensor:
        """Without the bias: (m, inputs, ...) -> (m, outputs, ...)."""
        if self.options is None:
            return F.linear(values, weight)
        return F.conv2d(values, weight, **self.options)

    def change(self, delta: Interval) -> Interval:
        """Bounds of the change of the outputs (m, outputs, ...) by those of the inputs (m, inputs, ...)."""
        rising, falling = self.weight.clamp(min=0), self.weight.clamp(max=0)
        lower = self.product(delta.lower, rising) + self.product(delta.upper, falling)
        return Interval(lower, self.product(delta.upper, rising) + self.product(delta.lower, falling))

    def bounds(self, inputs: Interval) -> Interval:
        """Bounds of the outputs (m, outputs, ...) by those of the inputs (m, inputs, ...)."""
        bias = self.bias.view(-1, *[1] * (self.weight.dim() - 2))
        lower, upper = self.change(inputs)
        return Interval(lower + bias, upper + bias)

    def outgoing(self, units: int) -> Tensor:
        """The weights by what they read: (outputs, units, rest), a view, `units` being the width of the layer in front."""
        return self.weight.view(self.width, units, -1)

    def change_by_units(self, nominees: Tensor, delta: Interval, units: int) -> Interval:
        """`change` where in each of m cases one unit in front changes, `nominees` (m,), by `delta` (m, its values ...)."""
        m, wide = len(nominees), self.width
        weight = self.outgoing(units)[:, nominees].transpose(0, 1)  # (m, outputs, rest)
        lower, upper = delta
        if self.options is None:
            rising, falling = weight.clamp(min=0), weight.clamp(max=0)
            below, above = lower.reshape(m, -1, 1), upper.reshape(m, -1, 1)
            return Interval(
                (rising @ below + falling @ above).squeeze(-1), (rising @ above + falling @ below).squeeze(-1)
            )  # fmt: skip
        kernels = weight.reshape(m * wide, 1, *self.weight.shape[2:])
        rising, falling = kernels.clamp(min=0), kernels.clamp(max=0)
        convolve = partial(F.conv2d, groups=m, **self.options)
        below, above = lower.unsqueeze(0), upper.unsqueeze(0)
        maps = [convolve(below, rising) + convolve(above, falling), convolve(above, rising) + convolve(below, falling)]
        return Interval(*(each.view(m, wide, *each.shape[2:]) for each in maps))

    def merge(self, nominee: int, delegate: int, units: int) -> None:
        """Unit `delegate` in front takes over from `nominee`: what reads the one reads the other as well."""
        weight = self.outgoing(units)
        weight[:, delegate] += weight[:, nominee]
        weight[:, nominee] = 0


@dataclass
class Network:
    """A chain of layers, the operations behind the last one, and bounds of its input (1, ...), where its shape is known."""

    layers: list[Layer]
    tail: list[Step]
    box: Interval | None

    def arriving(self) -> list[Interval]:
        """For each layer the bounds of what it reads, by interval arithmetic: (1, inputs, ...). Sound, up to rounding."""
        if self.box is None:
            raise BadValue(
                "bounds in a network that begins with a convolution need the shape of its input: give example_inputs"
            )
        bounds, found = self.box, list[Interval]()
        for layer in self.layers:
            for step in layer.before:
                bounds = Interval(step.apply(bounds.lower), step.apply(bounds.upper))
            found.append(bounds)
            bounds = layer.bounds(bounds)
        return found

    def onward(self, index: int, delta: Interval) -> Interval:
        """Bounds of the change of the outputs (m, outputs) by those of layer `index`'s own outputs (m, width, ...)."""
        for layer in self.layers[index + 1 :]:
            for step in layer.before:
                delta = step.change(delta)
            delta = layer.change(delta)
        for step in self.tail:
            delta = step.change(delta)
        return delta

    def dense(self) -> list[int]:
        """The hidden linear layers: numbers of those in front of another linear layer."""
        linear = [layer.options is None for layer in self.layers]
        return [i for i in range(len(linear) - 1) if linear[i] and linear[i + 1]]

    def dense_part(self) -> "Network":
        """The network from its first hidden linear layer on; of what is in front, bounds are left of what it makes.

        Raises BadValue where there is none.
        """
        require(
            len(self.dense()) > 0, "model", "without hidden linear layers", "a network with one linear layer behind another"
        )
        first = self.dense()[0]
        box = self.arriving()[first] if self.box is not None else None
        start = replace(self.layers[first], before=[])
        return Network([start, *self.layers[first + 1 :]], self.tail, box)

    def activation(self, index: int) -> str | None:
        """The activation function behind layer `index`, or None."""
        steps = self.layers[index + 1].before if index + 1 < len(self.layers) else self.tail
        return next((step.kind for step in steps if step.kind in ACTIVATIONS), None)


def read(model: nn.Module, input_bounds: Bounds, example_inputs: Tensor | None = None) -> Network:
    """The chain of layers that `model` is, and bounds of its input.

    Parameters
    ----------
    model : nn.Module
        Left as it was. Linear layers and convolutions, one after the other; between them ReLU, sigmoid, tanh, max or average
        pools, flattening and dropout.
    input_bounds : (lower, upper)
        Numbers, or tensors of the shape of one input; of inputs as the network gets them, normalised.
    example_inputs : Tensor (1, ...)
        For its shape alone, where bounds are numbers and the first layer is a convolution.

    Raises BadValue for a network of another kind, weights or bounds with NaN or infinity, lower bounds above upper ones, or
    an input of a shape that the network does not take.
    """
    layers, before = list[Layer](), list[Step]()
    traced = tracing.trace(model)
    latest: fx.Node | None = None
    for node in traced.graph.nodes:
        if node.op == "placeholder" and latest is None:
            latest = node
            continue
        if latest is None or node.all_input_nodes != [latest]:
            raise BadValue(f"the network must be one chain of layers, but {node.name!r} reads {_read_by(node)}")
        latest = node
        if node.op == "output":
            break
        module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Linear | nn.Conv2d):
            layers.append(_layer(str(node.target), module, before))
            before = []
        else:
            before += _steps(node, module)
    require(len(layers) > 0, "model", type(model).__name__, "a network with linear layers or convolutions")
    network = Network(layers, before, _box(input_bounds, layers[0], example_inputs))
    _check_shape(network)
    return network


def interval(
    weight: Tensor, bias: Tensor | None, inputs: Interval, activation: str | None = None, variant: str = "paper"
) -> Interval:
    """Section V.A: bounds of a linear layer's units, by interval arithmetic.

    Parameters
    ----------
    weight, bias : Tensors (n, m) and (n,)
    inputs : Interval (..., m)
    activation : {"relu", "sigmoid", "tanh"} or None
    variant : {"paper", "official"}
        For "official" a ReLU gives the lower bound 0 and leaves the upper one, even where it is below 0; and what comes of
        that is taken as `inputs` of the next layer.

    Returns Interval (..., n). Raises BadValue for a lower bound above its upper one (not for "official", which makes such
    itself), numbers that are not finite, shapes that do not fit, or another activation.
    """
    choose("variant", variant, VARIANTS)
    _check_bounds(*inputs, "inputs", ordered=variant == "paper")
    _check_finite("weight or bias", weight, bias)
    read = inputs.lower.shape[-1]
    require(weight.shape[1] == read, "the number of inputs of weight", weight.shape[1], f"that of the bounds, {read}")
    layer = Layer("", weight, weight.new_zeros(len(weight)) if bias is None else bias)
    bounds = layer.bounds(inputs)
    if activation is None:
        return bounds
    if variant == "official" and activation == "relu":
        return Interval(torch.zeros_like(bounds.upper), bounds.upper)
    return Interval(*map(getattr(torch, choose("activation", activation, ACTIVATIONS)), bounds))


def impact(
    outgoing: Tensor, units: Interval, nominees: Sequence[int], delegates: Sequence[int], variant: str = "paper"
) -> Interval:
    """Eq. 3: bounds of the change in the next layer, before its activation function, one row for each pair.

    Parameters
    ----------
    outgoing : Tensor (outputs, n)
        The weight of the next layer.
    units : Interval (n,)
        Bounds of the units' values.
    nominees, delegates : m numbers each

    Returns
    -------
    Interval (m, outputs)
        Of (delegate - nominee) times the outgoing weights of the nominee. For "official" times those of the delegate, which
        bounds no change at all.

    Raises BadValue for numbers of units that are not there, bounds as in `interval`, weights that are not finite.
    """
    choose("variant", variant, VARIANTS)
    _check_bounds(*units, "units", ordered=variant == "paper")
    _check_finite("outgoing", outgoing)
    n = outgoing.shape[1]
    require(
        units.lower.shape == (n,), "the shape of units", tuple(units.lower.shape), f"({n},), one for each column of outgoing"
    )
    require(len(nominees) == len(delegates), "the number of delegates", len(delegates), f"that of nominees, {len(nominees)}")
    unknown = [unit for unit in (*nominees, *delegates) if not 0 <= unit < n]
    require(not unknown, "a nominee or delegate", unknown[0] if unknown else None, f"a unit from 0 to {n - 1}")
    i, j = torch.as_tensor(nominees), torch.as_tensor(delegates)
    apart = Interval(units.lower[j] - units.upper[i], units.upper[j] - units.lower[i])
    layer = Layer("", outgoing, outgoing.new_zeros(len(outgoing)))
    return layer.change_by_units(i if variant == "paper" else j, apart, outgoing.shape[1])


def _box(input_bounds: Bounds, first: Layer, example_inputs: Tensor | None) -> Interval | None:
    require(
        isinstance(input_bounds, tuple | list) and len(input_bounds) == 2, "input_bounds", input_bounds, "(lower, upper)"
    )
    try:
        lower, upper = (torch.as_tensor(bound, dtype=torch.float64).cpu() for bound in input_bounds)
        shape = torch.broadcast_shapes(lower.shape, upper.shape)
    except (TypeError, ValueError, RuntimeError):
        raise BadValue("input_bounds must be (lower, upper): two numbers, or two tensors of an input's shape") from None
    _check_bounds(lower, upper)
    if shape == ():
        if example_inputs is not None:
            shape = example_inputs.shape[1:]
        elif first.options is None:
            shape = first.weight.shape[1:]
        else:
            return None
    return Interval(lower.expand(1, *shape), upper.expand(1, *shape))


def _check_shape(network: Network) -> None:
    if network.box is None:
        return
    try:
        network.arriving()
    except RuntimeError:  # PyTorch's, of one layer or another
        shape = tuple(network.box.lower.shape[1:])
        raise BadValue(
            f"an input of shape {shape}, that of input_bounds or example_inputs, does not fit the network"
        ) from None


def _check_finite(name: str, *tensors: Tensor | None) -> None:
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor is not None)
    require(finite, name, "a tensor with NaN or infinity", "finite numbers only")


def _check_bounds(lower: Tensor, upper: Tensor, name: str = "input_bounds", ordered: bool = True) -> None:
    finite = bool(torch.isfinite(lower).all() and torch.isfinite(upper).all())
    require(finite, name, "with NaN or infinity", "finite numbers")
    if ordered and bool((lower > upper).any()):
        where = (lower > upper).nonzero()[0].tolist() if lower.dim() or upper.dim() else []
        at = f" at {where}" if where else ""
        worst = float((lower - upper).max())
        raise BadValue(f"a lower bound{at} is above its upper bound, at most by {worst:g}: bounds are (lower, upper)")


def _layer(name: str, module: nn.Linear | nn.Conv2d, before: list[Step]) -> Layer:
    weight = module.weight.detach().double().cpu().clone()
    bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach().double().cpu().clone()
    _check_finite(f"weight of layer {name!r}", weight)
    _check_finite(f"bias of layer {name!r}", bias)
    if isinstance(module, nn.Linear):
        return Layer(name, weight, bias, before)
    require(module.groups == 1, f"the number of groups of layer {name!r}", module.groups, "1")
    require(module.padding_mode == "zeros", f"padding_mode of layer {name!r}", module.padding_mode, "'zeros'")
    options = {"stride": module.stride, "padding": module.padding, "dilation": module.dilation}
    return Layer(name, weight.contiguous(), bias, before, options)


_BY_MODULE = {
    nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.MaxPool2d: "max", nn.AvgPool2d: "mean",
    nn.AdaptiveAvgPool2d: "mean", nn.AdaptiveMaxPool2d: "max",
}  # fmt: skip
_BY_FUNCTION = {
    torch.relu: "relu", F.relu: "relu", "relu": "relu", torch.sigmoid: "sigmoid", F.sigmoid: "sigmoid", "sigmoid": "sigmoid",
    torch.tanh: "tanh", F.tanh: "tanh", "tanh": "tanh", F.max_pool2d: "max", F.avg_pool2d: "mean",
    F.adaptive_avg_pool2d: "mean", torch.flatten: "flatten", "flatten": "flatten",
}  # fmt: skip
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)


def _steps(node: fx.Node, module: nn.Module | None) -> list[Step]:
    """What an operation that is no layer does, in evaluation mode. BadValue for one that is not known to rise throughout."""
    flat = Step("flatten", lambda values: values.flatten(1))
    if isinstance(module, _NOTHING) or node.target in (F.dropout, F.dropout2d):
        return []
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return [flat]
    kind = _BY_MODULE.get(type(module)) if module is not None else _BY_FUNCTION.get(node.target)
    if kind == "flatten" and (*node.args[1:], *node.kwargs.values()) in ((1,), (1, -1)):
        return [flat]
    if kind is None or kind == "flatten":
        what = type(module).__name__ if module is not None else str(getattr(node.target, "__name__", node.target))
        known = "linear layers, convolutions, ReLU, sigmoid, tanh, max and average pools, flatten from dimension 1, dropout"
        raise BadValue(f"operation {node.name!r} ({what}) is not supported; supported are {known}")
    if kind in ACTIVATIONS:
        return [Step(kind, getattr(torch, kind))]  # never in place, as the network may have it: bounds are read again
    if module is not None:
        return [Step(kind, module)]
    function: Any = node.target
    return [Step(kind, lambda values: function(values, *node.args[1:], **node.kwargs))]


def _read_by(node: fx.Node) -> str:
    return ", ".join(repr(source.name) for source in node.all_input_nodes) or "nothing"
