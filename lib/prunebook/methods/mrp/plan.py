"""SRP: filters of the most redundant layer go, and its redundancy is calculated anew, until a target is reached.

That loop is the abstract's. How many filters go at a time, which layers take part, and what a removal changes are ours: the
likeness of two filters is that in the whole network throughout, so a removal changes nothing in other layers, and only the
layer that lost filters has to be looked at again.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunebook import cutting, features
from prunebook.errors import BadValue, choose, require
from prunebook.methods.mrp import graphs
from prunebook.methods.mrp.communities import check_detector, communities
from prunebook.methods.mrp.redundancy import REDUNDANCIES, RULES, internal_strengths, norms, redundancy, replaceable
from prunebook.plan import PruningPlan

LAYERS = ("redundant", "uniform", "random")
SCOPES = ("internal", "coupled")
COUNTERS = ("macs", "params")
EDGES = ("anew", "once")

_DIGITS = 6  # of the numbers in a trace


def plan(
    model: nn.Module,
    images: Tensor | None,
    target: float,
    counter: str = "macs",
    *,
    measure: str = "maps",
    sparsify: str = "quantile",
    quantile: float = 0.9,
    neighbours: int = 5,
    threshold: float = 0.5,
    edges: str = "anew",
    detector: str = "louvain",
    resolution: float = 1.0,
    kind: str = "count",
    rule: str = "replaceable",
    layer: str = "redundant",
    step: float = 0.02,
    scope: str = "internal",
    mode: str = "eval",
    seed: int = 0,
    example_inputs: Tensor | None = None,
) -> PruningPlan:
    """Decide which filters every convolution keeps.

    Parameters
    ----------
    model : nn.Module
        Left as it was.
    images : Tensor (m, c, h, w)
        Normalised as in training; we draw m = 100 from the training set. None for measures of weights.
    target : float in (0, 1)
        Share to remove. The first filter that reaches it is the last to go, so more is removed, by less than that filter.
    counter : {"macs", "params"}
        Of what.
    measure, mode
        What likeness is, see `similarities`. Computed once, on the whole network.
    sparsify, quantile, neighbours, threshold
        Which filters are joined, see `filter_graph`.
    edges : {"anew", "once"}
        "anew": whenever communities are to be found, among the filters that are left then. "once": in the whole layer; a
        removal takes its edges along, and where all are gone, the layer has no redundancy left. Then there is an end to
        what can be removed, and few targets are below it.
    detector, resolution
        How communities are found, see `communities`.
    kind : {"count", "modularity"}
        What a layer's level of redundancy is, see `redundancy`.
    rule : {"replaceable", "random", "l1", "least replaceable"}
        Which filter of a layer goes next, see `replaceable`.
    layer : {"redundant", "uniform", "random"}
        Which layer loses filters next, of those that can: the most redundant, as in the abstract; the one that has kept the
        largest share of its filters, so that all lose alike; one drawn. Ties: the first in order of execution.
    step : float in (0, 1), or int of at least 1
        How many filters a layer loses before communities are found anew in it: this share of its original width, rounded
        down but at least one, or, as a whole number, that many. They go one after another, each out of the communities that
        the ones before it have left.
    scope : {"internal", "coupled"}
        "internal": only convolutions whose outputs no other convolution has to match. "coupled": groups of coupled layers
        too, which are joined by the mean of their likenesses and keep the same filters; the trace calls them by their first.
    seed : int
        Of the detector, each time anew, and of what is drawn.
    example_inputs : Tensor (1, c, h, w)
        To trace the network where no `images` are given.

    Returns
    -------
    PruningPlan
        It names every convolution. Its parameters are these, "removed", the share that goes, and "trace", one dict for each
        iteration: the "layer" and the "filters" that it loses, in order; before that its "redundancy", the number of its
        "communities", the "size" of the first filter's community and that filter's "strength" in it; and the share
        "removed" thereafter. See `replay`.

    Raises
    ------
    BadValue
        A parameter out of its range, before anything is computed. A target that cannot be reached: a layer loses no filter
        where every community has one, as where it has no edges.
    """
    _check(target, counter, layer, step, scope)
    graphs.check_likeness(measure, mode)
    graphs.check_sparsifier(sparsify, quantile, neighbours, threshold)
    choose("edges", edges, EDGES)
    check_detector(detector, seed, resolution)
    choose("kind", kind, REDUNDANCIES)
    choose("rule", rule, RULES)
    example = _example_inputs(images, example_inputs, measure)
    coupled = cutting.coupled_layers(model, example)
    groups = {group[0]: group for group in coupled if scope == "coupled" or len(group) == 1}
    require(len(groups) > 0, "model", type(model).__name__, f"a network with convolutions in scope {scope!r}")
    removed = _share_removed(model, example, groups, counter)
    _require_within(target, removed({name: [0] for name in groups}), "with one filter left of each layer in scope")

    join = partial(graphs.filter_graph, sparsify=sparsify, quantile=quantile, neighbours=neighbours, threshold=threshold)
    detect = partial(communities, detector=detector, seed=seed, resolution=resolution)

    alike = graphs.similarities(model, images, chain.from_iterable(groups.values()), measure, mode)
    states: dict[str, _State] = {}
    for name, group in groups.items():
        mean = torch.stack([alike[member] for member in group]).mean(dim=0)
        l1 = np.sum([norms(model.get_parameter(f"{member}.weight")) for member in group], axis=0)
        states[name] = _State(mean, l1, join, detect, kind, edges)
    trace, share = _reduce(states, target, removed, step, layer, rule, seed)
    parameters: dict[str, Any] = {"target": target, "counter": counter, "measure": measure, "sparsify": sparsify}
    parameters |= {"quantile": quantile, "neighbours": neighbours, "threshold": threshold, "edges": edges}
    parameters |= {"detector": detector, "resolution": resolution}
    parameters |= {"kind": kind, "rule": rule, "layer": layer, "step": step, "scope": scope, "mode": mode, "seed": seed}
    parameters |= {"images": None if images is None else len(images), "removed": share, "trace": trace}
    keep = {member: states[name].left for name, group in groups.items() for member in group}
    widths = _widths(model, coupled)
    in_order = {name: keep.get(name, list(range(wide))) for name, wide in widths.items()}
    return PruningPlan(in_order, widths, "mrp", parameters)


def replay(widths: Mapping[str, int], trace: Iterable[Mapping[str, Any]]) -> list[dict[str, int]]:
    """The widths of the layers after each iteration of a plan's trace.

    `widths` are those before, of the layers to look at; others that the trace names are passed over. The list is as long as
    the trace. Raises BadValue where a layer would lose all its filters.
    """
    now, after = dict(widths), list[dict[str, int]]()
    for iteration in trace:
        name, lost = iteration["layer"], len(iteration["filters"])
        if name in now:
            require(lost < now[name], f"the number of filters that {name!r} loses", lost, f"below the {now[name]} it has")
            now[name] -= lost
        after.append(dict(now))
    return after


class _State:
    """A layer, or a group of coupled layers, in the course of SRP.

    left : the filters that are not gone, sorted
    communities : as they were found last, without the filters that went since
    weights : (n, n), of the edges that they were found by, 0 for filters that were gone before
    redundancy : as it was then
    """

    def __init__(
        self,
        alike: Tensor,
        l1: np.ndarray,
        join: Callable[[Tensor], np.ndarray],
        detect: Callable[[np.ndarray], list[list[int]]],
        kind: str,
        edges: str,
    ) -> None:
        self.alike, self.l1, self._join, self._detect, self._kind = alike, l1, join, detect, kind
        self._once = join(alike) if edges == "once" else None
        self.left = list(range(len(alike)))
        self.look()

    def look(self) -> None:
        """Find communities anew."""
        among = np.ix_(self.left, self.left)
        weights = self._join(self.alike[among]) if self._once is None else self._once[among]
        found = self._detect(weights)
        self.communities = [[self.left[place] for place in members] for members in found]
        self.redundancy = redundancy(len(weights), found, weights, self._kind)
        self.weights = np.zeros(self.alike.shape)
        self.weights[among] = weights

    def next(self, rule: str, generator: torch.Generator) -> int | None:
        """The filter to go, or None where every community has one filter."""
        return replaceable(self.weights, self.communities, self.l1, rule, generator)

    def lose(self, filter: int) -> None:
        self._community_of(filter).remove(filter)
        self.left.remove(filter)

    def described(self, filter: int) -> dict[str, Any]:
        """What the trace says of the moment before this filter goes."""
        members = self._community_of(filter)
        strength = internal_strengths(self.weights, members)[members.index(filter)]
        return {
            "redundancy": round(self.redundancy, _DIGITS),
            "communities": len(self.communities),
            "size": len(members),
            "strength": round(float(strength), _DIGITS),
        }

    def _community_of(self, filter: int) -> list[int]:
        return next(members for members in self.communities if filter in members)


def _reduce(
    states: Mapping[str, _State],
    target: float,
    removed: Callable[[Mapping[str, Sequence[int]]], float],
    step: float,
    layer: str,
    rule: str,
    seed: int,
) -> tuple[list[dict[str, Any]], float]:
    """Take filters away until the share `target` is removed. The trace, and the share that is."""
    generator = torch.Generator().manual_seed(seed)
    at_once = {name: _at_once(step, len(state.left)) for name, state in states.items()}
    trace: list[dict[str, Any]] = []
    share = 0.0
    while share < target:
        able = {name: state for name, state in states.items() if any(len(members) > 1 for members in state.communities)}
        if not able:
            _require_within(target, share, "with one filter left of each community")
        name = _next_layer(able, layer, generator)
        state, lost, described = states[name], list[int](), dict[str, Any]()
        while len(lost) < at_once[name] and share < target and (filter := state.next(rule, generator)) is not None:
            described = described or state.described(filter)
            state.lose(filter)
            lost.append(filter)
            share = removed({name: state.left for name, state in states.items()})
        state.look()
        trace.append({"layer": name, "filters": lost, **described, "removed": round(share, _DIGITS)})
    return trace, share


def _next_layer(able: Mapping[str, _State], layer: str, generator: torch.Generator) -> str:
    """Of the layers that can lose a filter, in order of execution, the one that does; see `plan`."""
    if layer == "random":
        return list(able)[int(torch.randint(len(able), (), generator=generator))]
    if layer == "uniform":
        return max(able, key=lambda name: len(able[name].left) / len(able[name].alike))
    return max(able, key=lambda name: able[name].redundancy)


def _at_once(step: float, width: int) -> int:
    """How many filters a layer loses in one iteration."""
    if isinstance(step, int):
        return step
    return max(1, math.floor(step * width + 1e-9))  # so that .29 of 100 is 29, which floating point makes 28.999...


def _share_removed(
    model: nn.Module, example_inputs: Tensor, names: Iterable[str], counter: str
) -> Callable[[Mapping[str, Sequence[int]]], float]:
    """The function from kept filters to the share of the MACs or parameters that is gone."""
    count = cutting.cost_if_kept(model, example_inputs, names)
    whole = getattr(count({}), counter)
    # Whole numbers, divided once: a share of exactly 3/10 is 0.3.
    return lambda keep: (whole - getattr(count(keep), counter)) / whole


def _require_within(target: float, most: float, where: str) -> None:
    require(target <= most, "target", target, f"at most {math.floor(1e4 * most) / 1e4}, the share removed {where}")


def _widths(model: nn.Module, coupled: Iterable[Sequence[str]]) -> dict[str, int]:
    """Of every convolution, but for a depthwise one outside of the groups: it has no channels of its own."""
    grouped = set(chain.from_iterable(coupled))
    layers = features.convolutions(model).items()
    return {name: layer.out_channels for name, layer in layers if name in grouped or not cutting.is_depthwise(layer)}


def _example_inputs(images: Tensor | None, example_inputs: Tensor | None, measure: str) -> Tensor:
    """An input to trace the network by. BadValue unless images are given where they are needed, and are images."""
    if images is not None:
        graphs.check_images(images)
        return images[:1]
    require(measure not in graphs.FROM_IMAGES, "images", None, f"a Tensor (m, c, h, w) for measure {measure!r}")
    if example_inputs is None:
        raise BadValue("mrp.plan needs images, or, for measures of weights, example_inputs, a Tensor (1, c, h, w)")
    return example_inputs


def _check(target: float, counter: str, layer: str, step: float, scope: str) -> None:
    share = "a share to remove between 0 and 1, such as 0.5"
    require(_is_number(target) and 0 < target < 1, "target", target, share)
    choose("counter", counter, COUNTERS)
    choose("layer", layer, LAYERS)
    choose("scope", scope, SCOPES)
    valid = _is_number(step) and (step >= 1 if isinstance(step, int) else 0 < step < 1)
    require(valid, "step", step, "a share of a layer's filters between 0 and 1, or a whole number of filters, at least 1")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
