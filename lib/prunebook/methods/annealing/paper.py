"""Algorithm 1 as the text has it."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from prunebook.errors import require
from prunebook.methods.allocation import limit
from prunebook.methods.annealing import measures
from prunebook.methods.annealing.measures import Interval
from prunebook.methods.annealing.run import Found, Pair, Run, all_pairs, by_saliency, disjoint

FIRST, MOST = 16, {"interval": 4096, "zonotope": 256}  # pairs at once: few at first, as a walk rarely goes far
NUMBERS = 2**24  # of changes in one layer at once, at most


class Paper(Run):
    """Every epoch takes its share from each layer in turn, until all layers have lost what they should."""

    def go(self) -> None:
        widths = {i: self.network.layers[i].width for i in self.scope}
        self.limits = {i: limit(wide, self.options["target"]) for i, wide in widths.items()}
        least = f"at least 1/{max(widths.values())}, one unit of the widest layer"
        require(any(self.limits.values()), "target", self.options["target"], least)
        if self.options["mode"] == "one-shot":
            self.order = {i: disjoint(by_saliency(self.saliency(i), self.alive(i)), set()) for i in self.scope}
        epoch, whole = 0, sum(self.limits.values())
        while self.gone() < whole:
            epoch += 1
            for index in self.scope:
                wanted = min(self.at_once(index), self.limits[index] - self.gone(index))
                if wanted > 0:
                    found = self.find(index, wanted, measures.temperature(self.gone(), whole))
                    self.remove(index, epoch, found, measures.temperature(self.gone() + len(found.pairs), whole))

    def gone(self, index: int | None = None) -> int:
        """How many units are, of a layer or of all."""
        layers = self.scope if index is None else [index]
        return sum(len(self.carried[i]) - len(set(self.carried[i])) for i in layers)

    def alive(self, index: int) -> Tensor:
        return torch.tensor(sorted(set(self.carried[index])))

    def find(self, index: int, wanted: int, temperature: float) -> Found:
        mode = self.options["mode"]
        if mode == "one-shot":
            gone = self.gone(index)
            return Found(self.order[index][gone : gone + wanted], [], [], wanted)
        alive = self.alive(index)
        if mode == "random":
            pairs = all_pairs(alive)
            mixed = pairs[torch.randperm(len(pairs), generator=self.generator)]
            taken = _Taken(self.network.layers[index].width)
            free = (taken.take(i, j) for part in mixed.split(1024) for i, j in part.tolist() if taken.free(i, j))
            return Found(list(islice(free, wanted)), [], [], wanted)
        pairs = by_saliency(self.saliency(index), alive)
        if mode == "greedy":
            return self.lowest(index, pairs, wanted)
        return self.walk(index, pairs, wanted, temperature)

    def walk(self, index: int, pairs: Tensor, wanted: int, temperature: float) -> Found:
        """Lines 5 to 21. Energies of a layer depend on nothing that its walk changes, so they are computed in batches."""
        taken, found = _Taken(self.network.layers[index].width), Found([], [], [], 0)
        previous, walked = None, 0
        for (i, j), energy, impact in self.in_batches(index, pairs, taken):
            walked += 1
            if self.accepts(energy, previous, temperature):
                previous = energy
                found.pairs.append(taken.take(i, j))
                found.energies.append(energy)
                found.impacts.append(impact)
                if taken.count == wanted:
                    break
        return found._replace(walked=walked)

    def lowest(self, index: int, pairs: Tensor, wanted: int) -> Found:
        pool = self.options["pool"]
        seen = list(self.in_batches(index, pairs if pool is None else pairs[: pool * wanted]))
        seen.sort(key=lambda each: each[1])  # stable: of equal energies the less salient pair comes first
        taken, found = _Taken(self.network.layers[index].width), Found([], [], [], len(seen))
        for (i, j), energy, impact in seen:
            if taken.count < wanted and taken.free(i, j):
                found.pairs.append(taken.take(i, j))
                found.energies.append(energy)
                found.impacts.append(impact)
        return found

    def in_batches(self, index: int, pairs: Tensor, taken: "_Taken | None" = None) -> Iterator[tuple[Pair, float, Interval]]:
        """Each of the `pairs` (m, 2) that is free in its turn, with energy and impact."""
        most = self.most(index)
        size = FIRST if taken is not None else most
        while len(pairs := pairs if taken is None else pairs[taken.mask(pairs)]):
            batch, pairs = pairs[:size], pairs[size:]
            impacts = self.impacts(index, batch)
            for (i, j), energy, lower, upper in zip(batch.tolist(), self.energies(impacts), *impacts, strict=True):
                if taken is None or taken.free(i, j):
                    yield (i, j), energy, Interval(lower, upper)
            size = min(2 * size, most)

    def most(self, index: int) -> int:
        """How many pairs of a layer are looked at together; maps are large."""
        if self.options["bounds"] == "zonotope":
            return MOST["zonotope"]
        reads: list[Interval] = self.looked(self.network.arriving)
        widest = max(bound.lower.numel() for bound in reads[index:])
        return max(1, min(MOST["interval"], NUMBERS // widest))

    def plain_impacts(self, index: int, nominees: Tensor, delegates: Tensor) -> Interval:
        layer, after = self.network.layers[index], self.network.layers[index + 1]
        reads: Interval = self.looked(self.network.arriving)[index + 1]
        shape = (layer.width, -1) if after.options is None else (layer.width, *reads.lower.shape[2:])
        lower, upper = (bound.reshape(shape) for bound in reads)
        apart = Interval(lower[delegates] - upper[nominees], upper[delegates] - lower[nominees])
        return self.network.onward(index + 1, after.change_by_units(nominees, apart, layer.width))


class _Taken:
    """Which units of a layer of the paper's variant are no longer free in this epoch."""

    def __init__(self, wide: int) -> None:
        self.gone, self.took_over = (torch.zeros(wide, dtype=torch.bool) for _ in range(2))
        self.count = 0

    def take(self, nominee: int, delegate: int) -> Pair:
        self.gone[nominee] = self.took_over[delegate] = True
        self.count += 1
        return nominee, delegate

    def free(self, nominee: int, delegate: int) -> bool:
        return not (self.gone[nominee] or self.took_over[nominee] or self.gone[delegate])

    def mask(self, pairs: Tensor) -> Tensor:
        nominees, delegates = pairs.T
        return ~(self.gone[nominees] | self.took_over[nominees] | self.gone[delegates])
