"""Algorithm 1 as the authors' public code has it, with its bounds where they are not those of the text.

Those are not sound, for three reasons: the units of the first linear layer are given the bounds of the network's input; the
change in the next layer is weighed by the delegate's outgoing weights; and a change is pushed through the layers behind that
as if it were a value, with biases and activation functions.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from prunebook.errors import BadValue, require
from prunebook.methods.annealing import measures
from prunebook.methods.annealing.measures import Interval
from prunebook.methods.annealing.network import Bounds, Network, impact, interval
from prunebook.methods.annealing.run import Found, Pair, Run, by_saliency, disjoint


def check(network: Network, input_bounds: Bounds) -> None:
    """Raise BadValue unless the code could take this network and these bounds.

    It takes linear layers at the end, with ReLU or sigmoid between each two, and one interval for all inputs.
    """
    dense = network.dense()
    require(len(dense) > 0, "model", "without hidden linear layers", "a network with one linear layer behind another")
    require(dense == list(range(len(network.layers) - 1))[-len(dense) :], "model", "with convolutions between linear layers",
            "linear layers at the end for variant 'official'")  # fmt: skip
    for index in dense:
        steps = [step.kind for step in network.layers[index + 1].before]
        require(len(steps) == 1 and steps[0] in ("relu", "sigmoid"), f"what follows layer {network.layers[index].name!r}",
                ", ".join(steps) or "nothing", "ReLU or sigmoid for variant 'official'")  # fmt: skip
    if any(torch.as_tensor(bound).numel() > 1 for bound in input_bounds):
        raise BadValue("input_bounds for variant 'official' must be two numbers: its code has one interval for all inputs")


def units(network: Network, given: tuple[float, float]) -> dict[int, Interval]:
    """For each hidden linear layer the bounds (width,) of its units that the code keeps; the first one's are as `given`."""
    dense = network.dense()
    wide = torch.ones(network.layers[dense[0]].width, dtype=torch.float64)
    found = {dense[0]: Interval(given[0] * wide, given[1] * wide)}
    for index in dense[1:]:
        layer = network.layers[index]
        found[index] = interval(layer.weight, layer.bias, found[index - 1], network.activation(index), "official")
    return found


def change(network: Network, index: int, bounds: Interval, nominees: Tensor, delegates: Tensor) -> Interval:
    """What the code takes for the change of the outputs: (m, outputs), for m pairs in layer `index` with units' `bounds`.

    The next layer's activation function is left out, as is one at the output; that of layer q follows layer q + 1.
    """
    layers = network.layers
    delta = impact(layers[index + 1].weight, bounds, nominees.tolist(), delegates.tolist(), "official")
    for position in range(index + 2, len(layers)):
        delta = layers[position].bounds(delta)
        if position + 1 < len(layers):
            activation = torch.relu if network.activation(position - 1) == "relu" else torch.sigmoid
            delta = Interval(*map(activation, delta))
    return delta


class Official(Run):
    """The public code, step by step, with what it forgets."""

    def go(self) -> None:
        self.involved: dict[int, set[int]] = {i: set() for i in self.network.dense()}
        mode = self.options["mode"]
        self.whole = {i: self.ordered(i) for i in self.involved} if mode == "one-shot" else {}
        for index in self.scope:
            if index not in self.involved:
                self.delete(index)
        epoch, done = 0, 0.0
        while done < self.options["target"]:
            epoch += 1
            for index in self.involved:
                k = self.at_once(index)
                candidates = self.candidates(index, k)
                if not candidates:
                    return
                found = self.find(index, candidates, k)
                self.remove(index, epoch, found, self.temperature(index))
                if found.pairs:
                    self.given = (0.0, 1.0)  # the code looks at the bounds anew after each layer, with these
            done += self.options["step"]

    def delete(self, index: int) -> None:
        """The filters with the smallest L1 norms."""
        layer = self.network.layers[index]
        order = layer.weight.abs().flatten(1).sum(1).sort(stable=True).indices
        gone = order[: min(math.ceil(self.options["target"] * layer.width - 1e-9), layer.width - 1)].tolist()
        if not gone:
            return
        self.deleted[layer.name] = sorted(gone)
        self.network.layers[index + 1].outgoing(layer.width)[:, gone] = 0
        layer.weight[gone], layer.bias[gone] = 0, 0

    def ordered(self, index: int) -> Tensor:
        """All pairs by saliency without the first, (m, 2); among equals by delegate, then by nominee."""
        everyone = torch.arange(self.network.layers[index].width)
        return by_saliency(self.saliency(index).T, everyone)[1:].flip(1)

    def candidates(self, index: int, k: int) -> list[Pair]:
        mode, involved = self.options["mode"], self.involved[index]
        if mode == "one-shot":
            return disjoint(self.whole[index], involved, k)
        return disjoint(self.ordered(index), involved, (self.options["pool"] or 2) * k if mode == "greedy" else None)

    def find(self, index: int, candidates: Sequence[Pair], k: int) -> Found:
        mode = self.options["mode"]
        if mode == "one-shot":
            return Found(list(candidates), [], [], len(candidates))
        impacts = self.impacts(index, torch.tensor(candidates))
        rows = [Interval(*row) for row in zip(*impacts, strict=True)]
        seen = list(zip(candidates, self.energies(impacts), rows, strict=True))
        return self.lowest(index, seen, k) if mode == "greedy" else self.walk(index, seen, k)

    def walk(self, index: int, seen: Sequence[tuple[Pair, float, Interval]], k: int) -> Found:
        found, involved = Found([], [], [], 0), self.involved[index]
        previous, walked = None, 0
        while len(found.pairs) < k:
            for (i, j), energy, change in seen:
                if len(found.pairs) == k:
                    involved -= {i, j}
                    continue
                walked += 1
                if self.accepts(energy, previous, self.temperature(index)):
                    previous = energy
                    found.pairs.append((i, j))
                    found.energies.append(energy)
                    found.impacts.append(change)
                    if self.options["recursive"]:
                        involved.discard(j)
                else:
                    involved -= {i, j}
        return found._replace(walked=walked)

    def lowest(self, index: int, seen: Sequence[tuple[Pair, float, Interval]], k: int) -> Found:
        in_order = sorted(seen, key=lambda each: each[1])
        pairs, energies, impacts = (list(part) for part in zip(*in_order[:k], strict=True))
        for _, j in pairs:
            if self.options["recursive"]:
                self.involved[index].discard(j)
        for (i, j), _, _ in in_order[k:]:
            self.involved[index] -= {i, j}
        return Found(pairs, energies, impacts, len(seen))

    def temperature(self, index: int) -> float:
        return measures.temperature(len(self.involved[index]), self.network.layers[index].width, "official")

    def plain_impacts(self, index: int, nominees: Tensor, delegates: Tensor) -> Interval:
        bounds = self.looked(lambda: units(self.network, self.given))
        return change(self.network, index, bounds[index], nominees, delegates)
