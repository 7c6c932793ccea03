"""SRP: filters of the most redundant layer go, and its redundancy is calculated anew, until a target is reached.

That loop is the abstract's. How many filters go at a time, which layers take part, and what a removal changes are ours: by
default the likeness of two filters is that in the whole network throughout, so a removal changes nothing in other layers,
and only the layer that lost filters has to be looked at again. The other reading, likeness in what is left of the network,
measures every layer anew after each iteration.

Two cases that the abstract does not name, and what is done:

* Filters that say nothing are in no community. They count as redundant, and of their layer they go first.
* Where no layer has a silent filter, or a community of two or more, nothing is left to remove. A plan that stopped there
  would miss its target, and a comparison at equal cost with it: so the target is refused, with the most that can be had.
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
from prunebook.methods.mrp.redundancy import (
    REDUNDANCIES,
    RULES,
    internal_strengths,
    norms,
    redundancy,
    replaceable,
    speaking,
)
from prunebook.plan import PruningPlan

LAYERS = ("redundant", "uniform", "random")
SCOPES = ("internal", "coupled")
COUNTERS = ("macs", "params")
EDGES = ("anew", "once")
LIKENESS = ("once", "anew")

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
    likeness: str = "once",
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
        What likeness is, see `similarities`.
    sparsify, quantile, neighbours, threshold
        Which filters are joined, see `filter_graph`.
    edges : {"anew", "once"}
        "anew": whenever communities are to be found, among the filters that are left then. "once": in the whole layer; a
        removal takes its edges along, and where all are gone, the layer has no redundancy left. Then there is an end to
        what can be removed, and few targets are below it.
    likeness : {"once", "anew"}
        "once": that in the whole network. "anew": after each iteration that in the network that is left, cut but not
        trained, so that the redundancy of all layers behind is another. It takes a pass of the images for each iteration,
        and has no edges "once".
    detector, resolution
        How communities are found, see `communities`.
    kind : {"count", "modularity"}
        What a layer's level of redundancy is, see `redundancy`.
    rule : {"replaceable", "random", "l1", "least replaceable"}
        Which filter of a layer goes next, see `replaceable`; by any rule those that are silent go first, see
        `graphs.silent`, the one with the smallest L1 norm before others. No layer loses its last filter.
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
        where every community has one, as where it has no edges, and none is silent.
    """
    _check(target, counter, layer, step, scope)
    graphs.check_likeness(measure, mode)
    graphs.check_sparsifier(sparsify, quantile, neighbours, threshold)
    choose("edges", edges, EDGES)
    choose("likeness", likeness, LIKENESS)
    require(likeness == "once" or edges == "anew", "edges", edges, "'anew' where likeness is")
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

    def likenesses(network: nn.Module) -> dict[str, Tensor]:
        """By group, the mean of its members'."""
        alike = graphs.similarities(network, images, chain.from_iterable(groups.values()), measure, mode)
        return {name: torch.stack([alike[member] for member in group]).mean(dim=0) for name, group in groups.items()}

    def look_again(states: Mapping[str, _State], lost: str) -> None:
        if likeness == "once":
            return states[lost].look()
        keep = {member: states[name].left for name, group in groups.items() for member in group}
        for name, alike in likenesses(cutting.cut(model, keep, example)).items():
            states[name].look(alike)

    states: dict[str, _State] = {}
    for name, alike in likenesses(model).items():
        l1 = np.sum([norms(model.get_parameter(f"{member}.weight")) for member in groups[name]], axis=0)
        states[name] = _State(alike, l1, join, detect, kind, edges)
    trace, share = _reduce(states, target, removed, look_again, step, layer, rule, seed)
    parameters: dict[str, Any] = {"target": target, "counter": counter, "measure": measure, "sparsify": sparsify}
    parameters |= {"quantile": quantile, "neighbours": neighbours, "threshold": threshold, "edges": edges}
    parameters |= {"likeness": likeness, "detector": detector, "resolution": resolution}
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
    silent : of these, those that say nothing
    communities : of the others, as they were found last, without the filters that went since
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
        self._alike, self.l1, self._join, self._detect, self._kind = alike, l1, join, detect, kind
        self._once = join(alike) if edges == "once" else None
        self.wide = len(alike)
        self.left = list(range(self.wide))
        self.look()

    def look(self, alike: Tensor | None = None) -> None:
        """Find communities anew, by the likeness that was, or by another of those that are left."""
        among = np.ix_(self.left, self.left)
        alike = self._alike[among] if alike is None else alike
        weights = self._join(alike) if self._once is None else self._once[among]
        mute = graphs.silent(alike)
        found = speaking(self._detect(weights), mute)
        self.silent = [self.left[place] for place in mute]
        self.communities = [[self.left[place] for place in members] for members in found]
        self.redundancy = redundancy(len(weights), found, weights, self._kind, mute)
        self.weights = np.zeros((self.wide, self.wide))
        self.weights[among] = weights

    def able(self) -> bool:
        """Whether there is a filter to go, and one to stay."""
        return len(self.left) > 1 and (bool(self.silent) or any(len(members) > 1 for members in self.communities))

    def next(self, rule: str, generator: torch.Generator) -> int | None:
        """The filter to go, or None where there is none."""
        if not self.able():
            return None
        if self.silent:
            return min(self.silent, key=lambda filter: (self.l1[filter], filter))
        return replaceable(self.weights, self.communities, self.l1, rule, generator)

    def lose(self, filter: int) -> None:
        (self.silent if filter in self.silent else self._community_of(filter)).remove(filter)
        self.left.remove(filter)

    def described(self, filter: int) -> dict[str, Any]:
        """What the trace says of the moment before this filter goes. A silent one is a community of one."""
        members = [filter] if filter in self.silent else self._community_of(filter)
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
    look_again: Callable[[Mapping[str, _State], str], None],
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
        able = {name: state for name, state in states.items() if state.able()}
        if not able:
            _require_within(target, share, "with one filter left of each community, and no silent one")
        name = _next_layer(able, layer, generator)
        state, lost, described = states[name], list[int](), dict[str, Any]()
        while len(lost) < at_once[name] and share < target and (filter := state.next(rule, generator)) is not None:
            described = described or state.described(filter)
            state.lose(filter)
            lost.append(filter)
            share = removed({name: state.left for name, state in states.items()})
        look_again(states, name)
        trace.append({"layer": name, "filters": lost, **described, "removed": round(share, _DIGITS)})
    return trace, share


def _next_layer(able: Mapping[str, _State], layer: str, generator: torch.Generator) -> str:
    """Of the layers that can lose a filter, in order of execution, the one that does; see `plan`."""
    if layer == "random":
        return list(able)[int(torch.randint(len(able), (), generator=generator))]
    if layer == "uniform":
        return max(able, key=lambda name: len(able[name].left) / able[name].wide)
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
