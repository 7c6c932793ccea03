"""The space of pruning ratios that SACP searches: sections 3.1 and 3.3 of the paper [1]_.

A candidate r has one of the ratios 0, 0.1, ..., 0.9 for each entry of a graph (Eq. 3), written as a whole number of tenths.
A search asks for candidates with R(r) >= tau. They are not found by trying: how many ways there are to complete a candidate
so that it meets tau is counted exactly, entry by entry, and each entry's ratio is drawn in proportion to the ways that it
leaves open. So every candidate that meets tau is equally likely, none that does not is ever made, and none is repeated to
fill up.

References
----------
.. [1] Liu, Cao, Yu, Qi, Gui: Structure-aware automatic channel pruning by searching with graph embedding,
       arXiv 2506.11469, 2025.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from prunebook.errors import require
from prunebook.methods.sacp.graph import ArchitectureGraph

_DRAWS = 4  # random numbers that Philox makes at once
_CHUNK = 8192  # candidates drawn at a time: few enough for the cache
_MOST = 2**63 - 1


class Layers(Protocol):
    """What a space has to know of a graph; an `ArchitectureGraph` does."""

    entries: list[list[str]]
    widths: list[int]
    counts: list[int]


class _Choice(NamedTuple):
    """How one entry is decided, by what its candidate still lacks of the wanted sum (the columns).

    below : (steps - 1, columns) int64, the number of completions with any of the ratios 0..q; at most 2^63 - 1
    bounds : (steps - 1, columns) uint64, the same as a share of all completions, times 2^64, rounded down
    """

    below: np.ndarray
    bounds: np.ndarray


class Space:
    """All candidates r for a graph.

    A candidate is a row of L whole numbers q in 0..steps-1: entry l loses the share q / steps of its channels.

    Parameters
    ----------
    graph : ArchitectureGraph
        Of at least two entries: with a single one, tau decides alone.
    steps : int
        Number of ratios: 10 in the paper, 0 to 0.9.

    Raises
    ------
    BadValue
        Fewer than two entries, steps out of range, and as said at each method, before any counting.
    """

    def __init__(self, graph: Layers, steps: int = 10) -> None:
        require(isinstance(steps, int) and 2 <= steps <= 100, "steps", steps, "a whole number of ratios from 2 to 100")
        found, needed = len(graph.widths), "at least 2: with one prunable layer, tau alone decides and nothing is to search"
        require(found >= 2, "the number of entries of the graph", found, needed)
        self.graph = graph
        self.steps = steps
        self.widths = list(graph.widths)
        self.counts = list(graph.counts)
        self.L = found
        weights = [width * count for width, count in zip(self.widths, self.counts, strict=True)]
        self._unit = math.gcd(*weights)
        self._weights = [weight // self._unit for weight in weights]

    def kept(self, entry: int, q: int) -> int:
        """Channels that are left of an entry: Eq. 2, and at least one, which the paper does not say but needs."""
        return max(1, (self.steps - q) * self.widths[entry] // self.steps)

    def ratio(self, r: Tensor) -> Tensor:
        """R(r) of Eq. 1: (..., L) whole numbers -> (...,) float64 in [0, 1 - 1/steps].

        The sum is over layers, so that an entry counts once for each of its layers [choice]; the ratios are those of r, not
        of the channels left after rounding.
        """
        weights = torch.tensor(self._weights, dtype=torch.float64)
        return (r.to(torch.float64) @ weights) / (self.steps * sum(self._weights))

    def size(self) -> int:
        """The number of candidates, exactly."""
        return self.steps**self.L

    def size_at(self, tau: float) -> int:
        """The number of candidates with R(r) >= tau, exactly.

        Raises BadValue for a tau that no candidate can meet.
        """
        needed = self._needed(tau)
        return self._counted[0][needed]

    def sample(self, n: int, tau: float = 0.0, seed: int = 0, start: int = 0) -> Tensor:
        """Candidates number `start` to `start + n` of the endless sequence of that seed: (n, L), uint8.

        Each is drawn from all candidates with R(r) >= tau, all equally likely, independently of the others. A candidate
        depends on tau, the seed and its number alone, so a sequence is the same in whatever pieces it is drawn.

        Uniform to 2^-64 in the probability of each ratio of each entry, given those before it. What is counted and compared
        are whole numbers, so that R(r) >= tau holds exactly, with tau as it is written: 0.3 is 3/10.

        Raises BadValue as `size_at`, and for n, start or seed that are no whole numbers of at least 0, or a seed of
        2^64 or more.
        """
        needed = self._needed(tau)
        for name, value in (("n", n), ("start", start)):
            require(_is_whole(value), name, value, "a whole number of at least 0")
        require(_is_whole(seed) and seed < 2**64, "seed", seed, "a whole number from 0 to 2^64 - 1")
        turns = -(-self.L // _DRAWS)  # of the generator for each candidate
        source = np.random.Philox(key=seed)
        source.advance(start * turns)
        r = np.empty((n, self.L), dtype=np.uint8)
        for rows in np.array_split(r, max(1, -(-n // _CHUNK))):
            draws = source.random_raw(len(rows) * turns * _DRAWS).reshape(len(rows), turns * _DRAWS)
            lacking = np.full(len(rows), needed)
            for entry, weight in enumerate(self._weights):
                q = _place(np.ascontiguousarray(draws[:, entry]), self._choices[entry].bounds, lacking)
                rows[:, entry] = q
                lacking = np.maximum(lacking - weight * q, 0)
        return torch.from_numpy(r)

    def enumerate(self, tau: float = 0.0, start: int = 0, n: int | None = None) -> Tensor:
        """Each candidate with R(r) >= tau once, in lexicographic order: (n, L), uint8; by default all from `start` on.

        Raises BadValue as `size_at`, and where there are more than 2^63 - 1 candidates.
        """
        size = self.size_at(tau)
        require(size <= _MOST, "the number of candidates to enumerate", size, f"at most {_MOST}: sample them instead")
        require(_is_whole(start), "start", start, "a whole number of at least 0")
        require(n is None or _is_whole(n), "n", n, "a whole number of at least 0, or None for all")
        end = size if n is None else min(size, start + n)
        rank = np.arange(start, max(start, end))
        lacking = np.full(len(rank), self._needed(tau))
        r = np.empty((len(rank), self.L), dtype=np.uint8)
        for entry, weight in enumerate(self._weights):
            below = self._choices[entry].below
            r[:, entry] = q = _place(rank, below, lacking)
            rank = rank - np.where(q > 0, below[q - 1, lacking], 0)
            lacking = np.maximum(lacking - weight * q, 0)
        return torch.from_numpy(r)

    def keep(self, r: Tensor, rankings: Sequence[Tensor]) -> dict[str, list[int]]:
        """The channels that each convolution of every entry keeps for a candidate (L,): the first ones of its ranking."""
        kept = [sorted(rankings[e][: self.kept(e, q)].tolist()) for e, q in enumerate(r.tolist())]
        return {name: kept[e] for e, entry in enumerate(self.graph.entries) for name in entry}

    def _needed(self, tau: float) -> int:
        """The least sum of weight times q at which R(r) >= tau."""
        number = isinstance(tau, int | float) and not isinstance(tau, bool) and 0 <= tau < 1
        require(number, "tau", tau, "a share of the channels, at least 0 and below 1")
        highest = Fraction(self.steps - 1, self.steps)
        exact = Fraction(repr(float(tau)))
        reachable = f"at most {float(highest):g}, the highest R(r) of any candidate"
        require(exact <= highest, "tau", tau, reachable)
        return math.ceil(exact * self.steps * sum(self._weights))

    @cached_property
    def _counted(self) -> list[list[int]]:
        """For each entry and each sum s: in how many ways it and those behind it reach at least s."""
        counted: list[list[int]] = [[1]]
        for weight in reversed(self._weights):
            counted.insert(0, _ways(counted[0], weight, self.steps).sum(axis=1).tolist())
        return counted

    @cached_property
    def _choices(self) -> list[_Choice]:
        """How each entry is decided. Of the order of L * steps * S numbers, S = steps * sum of widths / common divisor."""
        return [_choice(_ways(self._counted[e + 1], weight, self.steps)) for e, weight in enumerate(self._weights)]


def rankings(model: nn.Module, graph: ArchitectureGraph) -> list[Tensor]:
    """For each entry its channels (C,) by L1 norm of their filters, the highest first; ties in order of number.

    Where an entry stands for several layers, the norms of each are divided by their mean and then summed, so that no layer
    counts for more because its weights are larger [choice].

    Raises BadValue for weights with NaN or infinity.
    """
    layers = dict(model.named_modules())
    orders: list[Tensor] = []
    for entry, width in zip(graph.entries, graph.widths, strict=True):
        total = torch.zeros(width, dtype=torch.float64)
        for name in entry:
            layer = layers[name]
            assert isinstance(layer, nn.Conv2d)
            norms = layer.weight.detach().cpu().to(torch.float64).abs().flatten(1).sum(1)
            require(bool(norms.isfinite().all()), f"weight of layer {name!r}", "NaN or infinite somewhere", "finite")
            total += norms / norms.mean().clamp(min=torch.finfo(torch.float64).tiny)
        orders.append(total.argsort(descending=True, stable=True))
    return orders


def ranked_masks(space: Space, rankings: Sequence[Tensor]) -> list[Tensor]:
    """For each entry a table (steps, C), float32: row q is 1 for the first channels of the ranking, as many as q leaves.

    The others are -1. With rankings by L1 (`rankings`) these are the paper's positive samples.
    """
    tables: list[Tensor] = []
    for e, ranking in enumerate(rankings):
        position = torch.empty_like(ranking)
        position[ranking] = torch.arange(len(ranking))
        kept = torch.tensor([space.kept(e, q) for q in range(space.steps)])
        tables.append(_signs(position < kept.unsqueeze(1)))
    return tables


def random_masks(space: Space, r: Tensor, generator: torch.Generator) -> list[Tensor]:
    """For each entry masks (B, C), float32, of as many channels as the candidates (B, L) leave, any set equally likely.

    These are the paper's negative samples.
    """
    widths = torch.tensor(space.widths)
    wide = torch.arange(int(widths.max()))
    tickets = torch.rand(len(r), space.L, len(wide), generator=generator).masked_fill_(wide >= widths.unsqueeze(1), 2)
    kept = torch.tensor([[space.kept(e, q) for q in range(space.steps)] for e in range(space.L)])
    stay = _signs(wide < kept[torch.arange(space.L), r.long()].unsqueeze(2))
    masks = torch.empty_like(stay).scatter_(2, tickets.argsort(dim=2), stay)  # those with the lowest tickets stay
    return [masks[:, e, :width] for e, width in enumerate(space.widths)]


def _signs(kept: Tensor) -> Tensor:
    return kept.to(torch.float32) * 2 - 1


def _ways(behind: list[int], weight: int, steps: int) -> np.ndarray:
    """(S + 1, steps) of Python's whole numbers: in how many ways at least s is reached where this entry is q.

    `behind` has the ways of the entries behind it, by the sum that they have to reach.
    """
    most = len(behind) - 1
    known = np.array([*behind, 0], dtype=object)
    rest = np.arange(most + weight * (steps - 1) + 1)[:, None] - weight * np.arange(steps)
    return known[np.clip(rest, 0, most + 1)]


def _choice(ways: np.ndarray) -> _Choice:
    upto = ways.cumsum(axis=1).T
    below, total = upto[:-1], upto[-1]
    bounds = (below << 64) // total  # below 2^64, since the highest ratio always leaves a way
    return _Choice(np.minimum(below, _MOST).astype(np.int64), bounds.astype(np.uint64))


def _place(values: np.ndarray, bounds: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """How many bounds of its column each value has reached: (n,) int64."""
    reached = np.zeros(len(values), dtype=np.int64)
    for row in bounds:
        reached += values >= row.take(columns)
    return reached


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
