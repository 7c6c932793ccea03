"""A network seen from one of its layers: what changes there, in the maps or in who reads them, does to loss and accuracy."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from prunebook import cutting, tracing
from prunebook.errors import BadValue

_BATCH = 128  # images at a time
_CHAIN = (nn.BatchNorm2d, nn.ReLU)
_READERS = (nn.Conv2d, nn.Linear)
# Modules and functions that make zeros of zeros, channel by channel.
_ZERO_STAYS = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Dropout, nn.Identity)
_ZERO_STAYS_FUNCTIONS = (F.relu, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.dropout, torch.relu, torch.flatten)
KINDS = (*_CHAIN, *_READERS, *_ZERO_STAYS)  # modules that a traced network has as one operation


class Score(NamedTuple):
    """Mean cross-entropy in nats, and accuracy in percent."""

    loss: float
    top1: float


class StandIn(NamedTuple):
    """The filter whose maps, times `scale` plus `offset`, take the place of a lost one's."""

    other: int
    scale: float
    offset: float


def internal_layers(model: nn.Module, example_inputs: Tensor) -> list[str]:
    """The convolutions whose filters no other layer has to match, in order of execution: those that MRP prunes."""
    return [group[0] for group in cutting.coupled_layers(model, example_inputs) if len(group) == 1]


class Probe:
    """A network seen from one of its convolutions: what comes before is computed once, what comes behind as often as asked.

    Parameters
    ----------
    traced : the network, see `tracing.trace`
    layer : str
        Name of a convolution.
    parts : pairs of a Tensor (m, c, h, w), normalised as in training, and a Tensor (m,)
        Images and labels on which loss and accuracy are measured, in evaluation mode: each time on one part.

    Raises BadValue where what the layer passes on (see below) is not read by convolutions and linear layers alone: only then
    is a map of zeros the same as none.

    Two things of the layer can be changed: its raw output, and what it passes on, the maps after the batch norm and the ReLU
    that directly follow.
    """

    def __init__(self, traced: fx.GraphModule, layer: str, parts: Iterable[tuple[Tensor, Tensor]]) -> None:
        nodes = list(traced.graph.nodes)
        raw, passed, _ = _ends(traced, layer)
        before = set(nodes[: nodes.index(raw) + 1])
        others = [n for n in nodes if n in before and n is not raw and any(user not in before for user in n.users)]
        start = [n for n in nodes if n.op == "placeholder"]
        ends = list(next(n for n in nodes if n.op == "output").all_input_nodes)
        head = tracing.part(traced, start, [raw, *others])
        self._activation = tracing.part(traced, [raw], [passed])
        self._tail = tracing.part(traced, [passed, *others], ends)
        with torch.inference_mode():
            self._parts = [
                ([self._seen(*head(batch)) for batch in images.split(_BATCH)], labels) for images, labels in parts
            ]

    def unchanged(self, part: int = 0) -> Score:
        return self._score(lambda raw, passed: passed, part)

    def removed(self, filters: Sequence[int], part: int = 0) -> Score:
        """Without these filters: what they pass on is zero, which is as if they were cut."""

        def change(raw: Tensor, passed: Tensor) -> Tensor:
            passed = passed.clone()
            passed[:, list(filters)] = 0
            return passed

        return self._score(change, part)

    def replaced(self, stand_ins: Mapping[int, StandIn], part: int = 0) -> Score:
        """With the raw maps of each filter that is a key replaced by those of another, times a number, plus a number."""
        gone, others = list(stand_ins), [given.other for given in stand_ins.values()]
        scales = torch.tensor([given.scale for given in stand_ins.values()])
        offsets = torch.tensor([given.offset for given in stand_ins.values()])

        def change(raw: Tensor, passed: Tensor) -> Tensor:
            changed = raw.clone()
            scaled = raw[:, others] * scales.to(raw)[:, None, None]
            changed[:, gone] = scaled + offsets.to(raw)[:, None, None]
            return self._activation(changed)[0]

        return self._score(change, part)

    def swapped(self, pairs: Iterable[tuple[int, int]], part: int = 0) -> Score:
        """With what the two filters of each pair pass on exchanged, scale and sign as they are; no filter in two pairs."""
        partner = {a: b for pair in pairs for a, b in (pair, pair[::-1])}

        def change(raw: Tensor, passed: Tensor) -> Tensor:
            return passed[:, [partner.get(filter, filter) for filter in range(passed.shape[1])]]

        return self._score(change, part)

    def _seen(self, raw: Tensor, *others: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        return raw, self._activation(raw)[0], others

    @torch.inference_mode()
    def _score(self, change: Callable[[Tensor, Tensor], Tensor], part: int) -> Score:
        seen, labels = self._parts[part]
        logits = torch.cat([self._tail(change(raw, passed), *others)[0] for raw, passed, others in seen])
        right = int((logits.argmax(1) == labels).sum())
        return Score(F.cross_entropy(logits, labels).item(), 100 * right / len(labels))


def readers(traced: fx.GraphModule, layer: str) -> np.ndarray:
    """What reads each filter of a layer: the weights that its maps are multiplied with, (n, k).

    Of all convolutions and linear layers that read the layer, one after another. Raises BadValue as `Probe` does.
    """
    raw, _, found = _ends(traced, layer)
    n = dict(traced.named_modules())[str(raw.target)].weight.shape[0]
    return torch.cat([_weights_by_channel(reader, n) for reader in found], dim=1).numpy()


def _ends(traced: fx.GraphModule, layer: str) -> tuple[fx.Node, fx.Node, list[nn.Conv2d | nn.Linear]]:
    """Where a layer's raw output is made, where what it passes on is, and what reads that; BadValue as for `Probe`."""
    modules = dict(traced.named_modules())
    raw = next((n for n in traced.graph.nodes if n.op == "call_module" and n.target == layer), None)
    if raw is None:
        raise BadValue(f"the network does not call {layer!r}")
    passed = _passed_on(raw, modules)
    return raw, passed, _readers(passed, modules, layer)


def _weights_by_channel(reader: nn.Conv2d | nn.Linear, n: int) -> Tensor:
    """(n, ...): what a layer makes of each of n channels; a linear layer reads each at as many places."""
    weight = reader.weight.detach().double().cpu()
    if isinstance(reader, nn.Linear):
        return weight.unflatten(1, (n, -1)).transpose(0, 1).flatten(1)
    return weight.unflatten(0, (reader.groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1)


def _passed_on(node: fx.Node, modules: Mapping[str, nn.Module]) -> fx.Node:
    """The last of the batch norms and ReLUs that directly follow a convolution, each reading nothing but the one before."""
    while len(node.users) == 1:
        user = next(iter(node.users))
        if user.op != "call_module" or not isinstance(modules[str(user.target)], _CHAIN):
            break
        node = user
    return node


def _readers(passed: fx.Node, modules: Mapping[str, nn.Module], layer: str) -> list[nn.Conv2d | nn.Linear]:
    """The modules that read it, directly or through what leaves zeros; BadValue where others do."""
    found: list[nn.Conv2d | nn.Linear] = []
    for user in passed.users:
        module = modules[str(user.target)] if user.op == "call_module" else None
        if isinstance(module, _READERS):
            found.append(module)
            continue
        through = isinstance(module, _ZERO_STAYS) or user.target in (*_ZERO_STAYS_FUNCTIONS, "flatten")
        if not through:
            raise BadValue(
                f"what layer {layer!r} passes on is read by {user.target!r}, so its filters cannot be changed one by one: "
                "it has to be read by convolutions and linear layers alone"
            )
        found += _readers(user, modules, layer)
    return found
