"""A network in the course of pruning: what both variants of Algorithm 1 share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prunebook.errors import require
from prunebook.methods.annealing import measures, zonotopes
from prunebook.methods.annealing.measures import Interval
from prunebook.methods.annealing.network import Network

_GRID = 2.0**40  # energies are rounded to 1/_GRID, so that it does not matter how many were computed at once

Pair = tuple[int, int]  # nominee, delegate


class Found(NamedTuple):
    """The pairs to remove from a layer, their energies and impacts (none where these decide nothing), pairs looked at."""

    pairs: list[Pair]
    energies: list[float]
    impacts: list[Interval]
    walked: int


class Run(ABC):
    """A network in the course of pruning, the same for both variants."""

    def __init__(self, network: Network, given: tuple[float, float], options: dict[str, Any]) -> None:
        self.network, self.given, self.options = network, given, options
        self.generator = torch.Generator().manual_seed(options["seed"])
        dense = network.dense()
        self.scope = dense if options["layers"] == "dense" else list(range(len(network.layers) - 1))
        require(
            len(self.scope) > 0, "model", "without a layer in scope", "a network with linear layers in front of another one"
        )
        plain = options["bounds"] == "interval" or self.scope == dense
        require(plain, "bounds", options["bounds"], "'interval' where convolutions lose filters by their energy")
        self.carried = {i: list(range(network.layers[i].width)) for i in self.scope}
        self.cumulative: Interval | None = None
        self.deleted: dict[str, list[int]] = {}
        self.trace: list[dict[str, Any]] = []
        self._seen: tuple[int, Any] = (-1, None)
        self._changes = 0

    @abstractmethod
    def go(self) -> None:
        """Remove from all layers in scope, until the target is reached."""

    def at_once(self, index: int) -> int:
        return math.ceil(self.options["step"] * self.network.layers[index].width - 1e-9)

    def took_over(self) -> dict[str, list[int]]:
        return {self.network.layers[i].name: carried for i, carried in self.carried.items()}

    def share(self) -> float:
        wide = sum(self.network.layers[i].width for i in self.scope)
        gone = sum(len(carried) - len(set(carried)) for carried in self.carried.values())
        return (gone + sum(map(len, self.deleted.values()))) / wide

    def total(self) -> list[list[float]] | None:
        if self.cumulative is None:
            return None
        return torch.stack(self.cumulative, dim=1).tolist()

    def saliency(self, index: int) -> Tensor:
        layer, after = self.network.layers[index], self.network.layers[index + 1]
        outgoing = after.outgoing(layer.width).transpose(0, 1)
        return measures.saliency(layer.weight, layer.bias, outgoing, self.options["variant"], self.options["scale"])

    def impacts(self, index: int, pairs: Tensor) -> Interval:
        """Bounds of the change of the outputs (m, outputs) for pairs (m, 2) of layer `index`."""
        nominees, delegates = pairs.T
        if self.options["bounds"] == "zonotope":
            return self.looked(lambda: zonotopes.bounded(self.network)).change(index, nominees, delegates)
        return self.plain_impacts(index, nominees, delegates)

    def change(self, index: int, found: "Found") -> Interval:
        """The impact (outputs,) of all removals found in a layer. Plain impacts add up, as they hold for any values."""
        if self.options["bounds"] == "zonotope":
            nominees, delegates = torch.tensor(list(dict.fromkeys(found.pairs))).T  # a pair can be found twice
            return self.looked(lambda: zonotopes.bounded(self.network)).change_together(index, nominees, delegates)
        lower, upper = (torch.stack(bound).sum(0) for bound in zip(*found.impacts, strict=True))
        return Interval(lower, upper)

    @abstractmethod
    def plain_impacts(self, index: int, nominees: Tensor, delegates: Tensor) -> Interval:
        """`impacts` by the variant's interval arithmetic, for m nominees and delegates each."""

    def looked(self, look: Callable[[], Any]) -> Any:
        """What `look` finds in the network as it is now; looked for once, until the network changes."""
        if self._seen[0] != self._changes:
            self._seen = self._changes, look()
        return self._seen[1]

    def energies(self, impacts: Interval) -> list[float]:
        if self.options["cumulative"] and self.cumulative is not None:
            impacts = Interval(impacts.lower + self.cumulative.lower, impacts.upper + self.cumulative.upper)
        o = self.options
        energy = measures.energy(impacts, o["alpha"], o["beta"], o["phi"], o["variant"], o["squash"])
        return (torch.round(energy * _GRID) / _GRID).tolist()

    def accepts(self, energy: float, previous: float | None, temperature: float) -> bool:
        if previous is None or energy <= previous:
            return True
        fixed = self.options["temperature"]
        probability = measures.acceptance(energy, previous, temperature if fixed is None else fixed)
        return float(torch.rand((), generator=self.generator, dtype=torch.float64)) < probability

    def remove(self, index: int, epoch: int, found: "Found", temperature: float) -> None:
        """Carry out, add up the impact, and note."""
        layer, after = self.network.layers[index], self.network.layers[index + 1]
        if found.impacts:
            change = self.change(index, found)
            before = self.cumulative or Interval(torch.zeros_like(change.lower), torch.zeros_like(change.upper))
            self.cumulative = Interval(before.lower + change.lower, before.upper + change.upper)
        for nominee, delegate in found.pairs:
            after.merge(nominee, delegate, layer.width)
            move(self.carried[index], nominee, delegate)
        self._changes += len(found.pairs) > 0
        fixed = self.options["temperature"]
        entry = {
            "epoch": epoch,
            "layer": layer.name,
            "pairs": [list(pair) for pair in found.pairs],
            "energies": found.energies,
        }
        shown = temperature if fixed is None else fixed
        self.trace.append(entry | {"walked": found.walked, "temperature": shown if math.isfinite(shown) else str(shown)})


def all_pairs(units: Tensor) -> Tensor:
    """All ordered pairs of two of the units (n,): (n (n - 1), 2), by the first, then by the second."""
    first, second = units.repeat_interleave(len(units)), units.repeat(len(units))
    return torch.stack([first, second], dim=1)[first != second]


def by_saliency(saliency: Tensor, units: Tensor) -> Tensor:
    """`all_pairs` in ascending order of their saliency, NaN last, ties as they were."""
    pairs = all_pairs(units)
    return pairs[saliency[pairs[:, 0], pairs[:, 1]].sort(stable=True).indices]


def disjoint(pairs: Tensor, involved: set[int], most: int | None = None) -> list[Pair]:
    """Of pairs (m, 2) in order, the first `most` without a unit of an earlier one or of `involved`, which they join."""
    found: list[Pair] = []
    while len(pairs) and len(found) != most:
        if involved:
            pairs = pairs[~torch.isin(pairs, torch.tensor(sorted(involved))).any(dim=1)]
        part, pairs = pairs[:1024], pairs[1024:]  # what pairs of this part rule out, the next round leaves out at once
        for i, j in part.tolist():
            if len(found) == most:
                break
            if i not in involved and j not in involved:
                involved |= {i, j}
                found.append((i, j))
    return found


def move(carried: list[int], nominee: int, delegate: int) -> None:
    """What `nominee` carries goes to `delegate`. `carried` says for each unit where its own outgoing weights are."""
    for unit, where in enumerate(carried):
        if where == nominee:
            carried[unit] = delegate
