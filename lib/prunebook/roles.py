"""The Role-Information hypothesis, tested layer by layer on a trained network, without training.

MRP's abstract [1]_ calls it "based on the link between social networks and convolutional neural networks" and demonstrated
by an "empirical study". Neither its wording nor the study is public. We read it so: filters of one community play the same
role, that is, they carry the same information and can stand in for each other; filters of different communities cannot.
What follows from that, and the tests of it, are ours:

(a) filters of one community are more alike than filters of different ones. Communities are found on one half of the images,
    and likeness is measured on the other, and by measures that made no graph. Another half is no independent test of the
    measure that made the graph, since likeness hardly changes from images to images: it tells only that the communities are
    no accident of the images. Other measures tell more.
(b) to lose filters of one community, one of which stays, does less harm than to lose as many of different communities; and
    a lost filter is better replaced by one of its community than by one of another. The first is what the issue's wording
    asks for, and the weaker test: without training, nothing makes up for a lost filter, not even its exact double. In the
    second the same filters are lost on both sides, so that nothing but the community of the stand-in differs.
(c) two filters of one community can change places at less cost than two of different ones.
(d) all of this is more so than with the communities of a random graph in which every filter has as many edges.

What speaks against reading too much into them, and what is done about it:

* Most filters have no edge and are communities of one. Whatever they differ in from others would pass for an effect of
  communities, so each comparison is also made among the filters that have company ("linked"). The random graph keeps the
  degrees, so they are isolated in it too.
* One side of (b) may lose the larger filters. What share of the layer's L1 norm and of its activity goes is recorded.
* Likeness is transitive to a degree: of three vectors, two of which are close to the third, these two are not far from each
  other. A random graph of the same degrees has no such triangles. So (d) shows that there is structure beyond the degrees,
  and no more than that; for (b) and (c), whose outcome is the network's loss, it is the fairer yardstick.

References
----------
.. [1] Gao, Wang, Jing: Maximum redundancy pruning for network compression, Computer Vision and Image Understanding 259,
       2025, 104404, the abstract.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, fx, nn
from torch.nn import functional as F

from prunebook import cutting, features, tracing
from prunebook.errors import BadValue, choose, require
from prunebook.methods import mrp

ATTEMPTS = 30  # of exchanging the ends of two edges, for each edge of a graph
_BATCH = 128  # images at a time
_DIGITS = 6

Communities = list[list[int]]


class Score(NamedTuple):
    """Mean cross-entropy in nats, and accuracy in percent."""

    loss: float
    top1: float


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
        modules = dict(traced.named_modules())
        raw = next((n for n in nodes if n.op == "call_module" and n.target == layer), None)
        if raw is None:
            raise BadValue(f"the network does not call {layer!r}")
        passed = _passed_on(raw, modules)
        _require_read_alone(passed, modules, layer)
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

    def replaced(self, stand_ins: Mapping[int, tuple[int, float]], part: int = 0) -> Score:
        """With the raw maps of each filter that is a key replaced by those of another, times a number."""
        gone, others = list(stand_ins), [other for other, _ in stand_ins.values()]
        scales = torch.tensor([scale for _, scale in stand_ins.values()])

        def change(raw: Tensor, passed: Tensor) -> Tensor:
            changed = raw.clone()
            changed[:, gone] = raw[:, others] * scales.to(raw)[:, None, None]
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


@dataclass(frozen=True)
class Layer:
    """What is known of a layer before anything is changed in it; all (n, n) arrays are float64.

    weights : (n, n), of the edges of the filter graph, found on the first half of the images
    communities, others : of that graph, and of the one found on the second half
    alike : measure -> (n, n), on the second half, of measures that look at images
    products : (n, n), dot products of the raw maps on the first half
    l1, activity : (n,), of the filters' weights, and the mean square of what they pass on, on the first half
    """

    name: str
    weights: np.ndarray
    communities: Communities
    others: Communities
    alike: dict[str, np.ndarray]
    products: np.ndarray
    l1: np.ndarray
    activity: np.ndarray


@dataclass(frozen=True)
class Graphs:
    """How filter graphs and their communities are made: options of `methods.mrp.plan`."""

    measure: str = "maps"
    sparsify: str = "quantile"
    quantile: float = 0.9
    neighbours: int = 5
    threshold: float = 0.5
    detector: str = "louvain"
    resolution: float = 1.0

    def weights(self, similarity: Tensor) -> np.ndarray:
        return mrp.filter_graph(similarity, self.sparsify, self.quantile, self.neighbours, self.threshold)

    def communities(self, weights: np.ndarray, seed: int) -> Communities:
        return mrp.communities(weights, self.detector, seed, self.resolution)


def study(
    model: nn.Module,
    halves: tuple[Tensor, Tensor],
    images: Tensor,
    labels: Tensor,
    layers: Iterable[str] | None = None,
    how: Graphs = Graphs(),
    *,
    share: float = 0.125,
    draws: int = 8,
    nulls: int = 8,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """The four tests on each layer.

    Parameters
    ----------
    model : nn.Module
        Left as it was. ``torch.fx`` has to be able to trace it.
    halves : two Tensors (m, c, h, w)
        Training images: graphs, and the scale of stand-ins, come from the first half, likeness from the second.
    images, labels : Tensor (m, c, h, w) and Tensor (m,)
        On which loss and accuracy are measured: each draw on a part of its own, so that what is particular to images, as
        what is particular to filters, averages out. All sides of a comparison see the same part.
    layers : some of `internal_layers`, default all
    how : Graphs
    share : float in (0, 1)
        Of a layer's filters that (b) removes, rounded down, at least one; fewer where the largest community is smaller, one
        of which stays, or where there are fewer communities. The same number on all sides, random graphs included.
    draws : int
        Of filters, for each comparison.
    nulls : int
        Random graphs of each layer, with one draw each.
    seed : int
        Of all that is drawn, and of the detector.
    progress : called as (layers done, layers)

    Returns
    -------
    dict of "base", the network as it is, and "layers", one dict each:
        layer, filters, edges, communities (sizes, falling), redundancy, modularity, removed (filters)
        stability : adjusted Rand index of the communities of the two halves; None for measures that look at no image
        nulls : "made", as some layers have no two edges to exchange; "moved", mean share of the edges that are elsewhere;
            null_modularity, their mean modularity
        likeness : by measure, see `likeness`; "null_within" and "null_between" are means over the random graphs
        removal, replaced, swaps : by side, [loss, top1] minus those of the network as it is, means over the draws; None
            where the layer does not allow it
        gone : by side of "removal", what share of the layer's L1 norm goes, and what share of its activity
        explained : by side of "replaced", [share of the lost maps' energy that the stand-ins have], on the first half

    The sides of "removal" are `from_one` ("within"), `from_different` ("across") and `from_linked` communities ("linked").
    Of "replaced": the filters of "within", each with a stand-in drawn from those left of its community ("inside"), from
    other ones ("outside"), from other ones of two or more ("linked"), or the likest that is left ("nearest"). Of "swaps":
    half as many pairs as filters are removed, at least one, with the same first filters on all sides: "within" communities,
    "between" them, and as that, but no partner is isolated ("linked"). "null_..." are the same with random graphs.

    Raises BadValue for arguments out of their range, before anything is computed, and as `Probe` does.
    """
    require(0 < share < 1, "share", share, "a share of a layer's filters between 0 and 1")
    for name, value, least in (("draws", draws, 1), ("nulls", nulls, 0), ("seed", seed, 0)):
        require(isinstance(value, int) and value >= least, name, value, f"a whole number of at least {least}")
    internal = internal_layers(model, images[:1])
    wanted = internal if layers is None else [choose("layer", name, internal) for name in layers]
    require(len(wanted) > 0, "layers", wanted, "at least one convolution whose filters no other layer has to match")
    require(len(images) >= draws, "number of images", len(images), f"at least {draws}, one for each draw")
    traced = tracing.trace(model, _KINDS)
    facts = examine(model, halves, wanted, how, seed)
    base = Probe(traced, wanted[0], [(images, labels)]).unchanged()
    parts = list(zip(images.tensor_split(draws), labels.tensor_split(draws), strict=True))
    rows: list[dict[str, Any]] = []
    for number, layer in enumerate(facts):
        rows.append(_tested(layer, Probe(traced, layer.name, parts), how, share, draws, nulls, (seed, number)))
        if progress is not None:
            progress(len(rows), len(facts))
    return {"base": {"loss": round(base.loss, _DIGITS), "top1": round(base.top1, 4)}, "layers": rows}


def examine(
    model: nn.Module, halves: tuple[Tensor, Tensor], layers: Sequence[str], how: Graphs, seed: int = 0
) -> list[Layer]:
    """What is known of each layer, see `Layer`."""
    first, second = halves
    convolutions = features.convolutions(model)
    found = mrp.similarities(model, first, layers, how.measure)
    alike = {measure: mrp.similarities(model, second, layers, measure) for measure in mrp.MEASURES}
    # In float64, as likeness is; the copy is the method's own way.
    products = features.visit(copy.deepcopy(model).double(), first.double(), _products, layers)
    activity = features.visit_passed_on(model, first, lambda _, maps: maps.double().square().mean((0, 2, 3)).cpu().numpy())
    facts = []
    for name in layers:
        weights = how.weights(found[name])
        facts.append(
            Layer(
                name=name,
                weights=weights,
                communities=how.communities(weights, seed),
                others=how.communities(how.weights(alike[how.measure][name]), seed),
                alike={measure: of[name].numpy() for measure, of in alike.items()},
                products=products[name],
                l1=mrp.norms(convolutions[name].weight),
                activity=activity[name],
            )
        )
    return facts


def likeness(alike: np.ndarray, communities: Communities) -> dict[str, list[float] | None]:
    """[mean likeness, pairs] of pairs "within" communities, "between" any two, and between two "linked" ones.

    Linked are communities of two or more. None where there is no such pair.
    """
    community, size = _membership(communities)
    i, j = np.triu_indices(len(alike), 1)
    same = community[i] == community[j]
    linked = (size[i] > 1) & (size[j] > 1)
    pairs = {"within": same, "between": ~same, "linked": ~same & linked}
    return {
        name: [round(float(alike[i, j][chosen].mean()), _DIGITS), int(chosen.sum())] if chosen.any() else None
        for name, chosen in pairs.items()
    }


def rewired(weights: np.ndarray, seed: int | Sequence[int]) -> np.ndarray | None:
    """A random graph in which every vertex has as many edges, and the edges have the same weights; None where there is none.

    Two edges drawn, a-b and c-d, become a-d and c-b, unless that would join a vertex to itself or two vertices twice; each
    keeps its weight. So degrees stay, and sums of weights do not. `ATTEMPTS` for each edge, those that change nothing
    included: that is what makes all such graphs equally likely in the long run.
    """
    generator = np.random.default_rng(seed)
    edges = [(int(i), int(j)) for i, j in np.argwhere(np.triu(weights))]
    carried = [weights[edge] for edge in edges]
    present = set(edges)
    moved = False
    for first, second, turned in generator.integers((len(edges), len(edges), 2), size=(ATTEMPTS * len(edges), 3)):
        a, b = edges[first]
        c, d = edges[second][::-1] if turned else edges[second]
        new = (min(a, d), max(a, d)), (min(c, b), max(c, b))
        if len({a, b, c, d}) < 4 or not present.isdisjoint(new):
            continue
        present -= {edges[first], edges[second]}
        present.update(new)
        edges[first], edges[second] = new
        moved = True
    if not moved:
        return None
    graph = np.zeros_like(weights)
    for (i, j), weight in zip(edges, carried, strict=True):
        graph[i, j] = graph[j, i] = weight
    return graph


def from_one(communities: Communities, r: int, generator: np.random.Generator) -> list[int] | None:
    """r filters of the largest community, the first of equally large ones; None unless one of it stays."""
    largest = communities[0]
    return _draw(generator, largest, r) if len(largest) > r else None


def from_different(communities: Communities, r: int, generator: np.random.Generator) -> list[int] | None:
    """One filter of each of r communities; None where there are fewer."""
    if len(communities) < r:
        return None
    chosen = generator.permutation(len(communities))[:r]
    return [_draw(generator, communities[place], 1)[0] for place in chosen]


def from_linked(communities: Communities, r: int, generator: np.random.Generator) -> list[int] | None:
    """r filters of communities of two or more, in turns; one of each stays. None without two of them, or so many filters."""
    linked = [community for community in communities if len(community) > 1]
    if len(linked) < 2 or sum(map(len, linked)) - len(linked) < r:
        return None
    turns = [_draw(generator, linked[place], len(linked[place]) - 1) for place in generator.permutation(len(linked))]
    rounds = range(max(map(len, turns)))
    return [turn[number] for number in rounds for turn in turns if number < len(turn)][:r]


def pairs_within(communities: Communities, number: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Up to so many pairs of filters of one community each, drawn; no filter is in two."""
    pairs = []
    for community in communities:
        order = _draw(generator, community, len(community))
        pairs += list(zip(order[::2], order[1::2], strict=False))
    return [pairs[place] for place in generator.permutation(len(pairs))[:number]]


def pairs_between(
    communities: Communities,
    firsts: Sequence[int],
    generator: np.random.Generator,
    linked: bool = False,
) -> list[tuple[int, int]] | None:
    """For each of `firsts` a partner of another community, if `linked` of two or more filters; None where none is left."""
    community, size = _membership(communities)
    free = set(range(len(community))).difference(firsts)
    pairs = []
    for first in firsts:
        able = sorted(f for f in free if community[f] != community[first] and (size[f] > 1 or not linked))
        if not able:
            return None
        partner = _draw(generator, able, 1)[0]
        free.remove(partner)
        pairs.append((first, partner))
    return pairs


def stand_ins(
    products: np.ndarray, lost: Sequence[int], allowed: Sequence[int], generator: np.random.Generator
) -> dict[int, tuple[int, float]] | None:
    """For each lost filter one of those allowed, drawn, and the scale at which its maps come nearest to the lost ones.

    `products` are dot products of the raw maps: least squares gives <lost, other> / <other, other>, 0 for maps of zeros.
    None where none is allowed.
    """
    if not allowed:
        return None
    drawn = {filter: _draw(generator, allowed, 1)[0] for filter in lost}
    return {filter: (other, _scale(products, filter, other)) for filter, other in drawn.items()}


def nearest(products: np.ndarray, lost: Sequence[int]) -> dict[int, tuple[int, float]]:
    """As `stand_ins`, with the filter that explains most of the lost one, of all that stay."""
    stay = [filter for filter in range(len(products)) if filter not in lost]
    best = {filter: max(stay, key=lambda other: (_explained(products, filter, other), -other)) for filter in lost}
    return {filter: (other, _scale(products, filter, other)) for filter, other in best.items()}


def _tested(
    layer: Layer, probe: Probe, how: Graphs, share: float, draws: int, nulls: int, seed: tuple[int, int]
) -> dict[str, Any]:
    """One layer's row of the record."""
    n = len(layer.weights)
    r = min(max(1, int(share * n + 1e-9)), max(1, len(layer.communities[0]) - 1), len(layer.communities))
    graphs = [rewired(layer.weights, (*seed, 1, number)) for number in range(nulls)] if layer.weights.any() else []
    made = [(graph, how.communities(graph, seed[0])) for graph in graphs if graph is not None]
    random = [communities for _, communities in made]
    whole = [probe.unchanged(part) for part in range(draws)]

    def test(communities: Communities, draw: int, null: bool) -> dict[str, dict[str, list[float] | None]]:
        generator = np.random.default_rng((*seed, 2 + null, draw))
        return _sides(layer, probe, draw % draws, whole[draw % draws], communities, r, generator, null)

    tested = [test(layer.communities, draw, False) for draw in range(draws)]
    tested_null = [test(communities, draw, True) for draw, communities in enumerate(random)]
    row: dict[str, Any] = {
        "layer": layer.name,
        "filters": n,
        "removed": r,
        "edges": int(np.count_nonzero(np.triu(layer.weights))),
        "communities": [len(community) for community in layer.communities],
        "redundancy": round(mrp.redundancy(n, layer.communities), _DIGITS),
        "modularity": round(mrp.modularity(layer.weights, layer.communities, how.resolution), _DIGITS),
        "null_modularity": _mean([mrp.modularity(graph, found, how.resolution) for graph, found in made]),
        "stability": _stability(layer) if how.measure in ("maps", "phash") else None,
        "nulls": {"made": len(made), "moved": _mean([_moved(layer.weights, graph) for graph, _ in made])},
        "likeness": {measure: _with_null(alike, layer.communities, random) for measure, alike in layer.alike.items()},
    }
    for name, sides in _SIDES.items():
        null = _means([one[name] for one in tested_null])
        row[name] = _means([one[name] for one in tested]) | {f"null_{side}": null.get(side) for side in sides}
    for what in ("gone", "explained"):
        row[what] = _means([one[what] for one in tested])
    return row


# What is done with random graphs too, by test.
_SIDES = {"removal": ("within", "across"), "replaced": ("inside", "outside"), "swaps": ("within", "between")}


def _sides(
    layer: Layer,
    probe: Probe,
    part: int,
    whole: Score,
    communities: Communities,
    r: int,
    generator: np.random.Generator,
    null: bool,
) -> dict[str, dict[str, list[float] | None]]:
    """All comparisons for one draw, by test and side; with `null`, without the sides that need no random graph."""
    lost = {"within": from_one(communities, r, generator), "across": from_different(communities, r, generator)}
    if not null:
        lost["linked"] = from_linked(communities, r, generator)
    replacing = _replacing(layer, communities, lost["within"], generator, null)
    swapping = _swapping(communities, max(1, r // 2), generator, null)

    def change(score: Score) -> list[float]:
        return [score.loss - whole.loss, score.top1 - whole.top1]

    return {
        "removal": {side: change(probe.removed(filters, part)) if filters else None for side, filters in lost.items()},
        "replaced": {side: change(probe.replaced(given, part)) if given else None for side, given in replacing.items()},
        "swaps": {side: change(probe.swapped(pairs, part)) if pairs else None for side, pairs in swapping.items()},
        "gone": {
            side: [float(of[filters].sum() / (of.sum() or 1)) for of in (layer.l1, layer.activity)] if filters else None
            for side, filters in lost.items()
        },
        "explained": {side: _energy(layer.products, given) if given else None for side, given in replacing.items()},
    }


def _replacing(
    layer: Layer, communities: Communities, lost: list[int] | None, generator: np.random.Generator, null: bool
) -> dict[str, dict[int, tuple[int, float]] | None]:
    """Stand-ins for the filters lost of the largest community, by side."""
    if lost is None:
        return dict.fromkeys(("inside", "outside") if null else ("inside", "outside", "linked", "nearest"))
    allowed = {"inside": sorted(set(communities[0]).difference(lost)), "outside": sorted(chain(*communities[1:]))}
    if not null:
        allowed["linked"] = sorted(chain(*(community for community in communities[1:] if len(community) > 1)))
    sides = {side: stand_ins(layer.products, lost, filters, generator) for side, filters in allowed.items()}
    return sides if null else sides | {"nearest": nearest(layer.products, lost)}


def _swapping(
    communities: Communities, number: int, generator: np.random.Generator, null: bool
) -> dict[str, list[tuple[int, int]] | None]:
    """Pairs to exchange, by side, with the same first filters on each."""
    within = pairs_within(communities, number, generator)
    firsts = [first for first, _ in within]
    sides = {"within": within or None, "between": pairs_between(communities, firsts, generator) if within else None}
    if null:
        return sides
    return sides | {"linked": pairs_between(communities, firsts, generator, linked=True) if within else None}


_CHAIN = (nn.BatchNorm2d, nn.ReLU)
_READERS = (nn.Conv2d, nn.Linear)
# Modules and functions that make zeros of zeros, channel by channel.
_ZERO_STAYS = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Dropout, nn.Identity)
_ZERO_STAYS_FUNCTIONS = (F.relu, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.dropout, torch.relu, torch.flatten)
_KINDS = (*_CHAIN, *_READERS, *_ZERO_STAYS)


def _passed_on(node: fx.Node, modules: Mapping[str, nn.Module]) -> fx.Node:
    """The last of the batch norms and ReLUs that directly follow a convolution, each reading nothing but the one before."""
    while len(node.users) == 1:
        user = next(iter(node.users))
        if user.op != "call_module" or not isinstance(modules[str(user.target)], _CHAIN):
            break
        node = user
    return node


def _require_read_alone(passed: fx.Node, modules: Mapping[str, nn.Module], layer: str) -> None:
    for user in passed.users:
        module = modules[str(user.target)] if user.op == "call_module" else None
        if isinstance(module, _READERS):
            continue
        through = isinstance(module, _ZERO_STAYS) or user.target in (*_ZERO_STAYS_FUNCTIONS, "flatten")
        if not through:
            raise BadValue(
                f"what layer {layer!r} passes on is read by {user.target!r}, so its filters cannot be changed one by one: "
                "it has to be read by convolutions and linear layers alone"
            )
        _require_read_alone(user, modules, layer)


def _products(_: str, maps: Tensor) -> np.ndarray:
    """Dot products of the maps (m, n, h, w) of each two filters: (n, n)."""
    rows = maps.transpose(0, 1).flatten(1)
    return (rows @ rows.T).cpu().numpy()


def _scale(products: np.ndarray, filter: int, other: int) -> float:
    return float(products[filter, other] / products[other, other]) if products[other, other] > 0 else 0.0


def _explained(products: np.ndarray, filter: int, other: int) -> float:
    """Squared cosine: the share of the filter's energy that the other one has at the best scale; 0 for maps of zeros."""
    both = products[filter, filter] * products[other, other]
    return float(products[filter, other] ** 2 / both) if both > 0 else 0.0


def _energy(products: np.ndarray, given: Mapping[int, tuple[int, float]]) -> list[float]:
    return [float(np.mean([_explained(products, filter, other) for filter, (other, _) in given.items()]))]


def _membership(communities: Communities) -> tuple[np.ndarray, np.ndarray]:
    """Of each filter, the number of its community, and how many filters that has."""
    community = np.empty(sum(map(len, communities)), dtype=int)
    for number, members in enumerate(communities):
        community[members] = number
    return community, np.array([len(members) for members in communities])[community]


def _stability(layer: Layer) -> float:
    first, second = _membership(layer.communities)[0], _membership(layer.others)[0]
    return round(float(adjusted_rand_score(first, second)), _DIGITS)


def _moved(weights: np.ndarray, graph: np.ndarray) -> float:
    """The share of the edges that are not where they were."""
    return float(1 - np.count_nonzero(np.triu((weights > 0) & (graph > 0))) / np.count_nonzero(np.triu(weights)))


def _with_null(alike: np.ndarray, communities: Communities, random: Sequence[Communities]) -> dict[str, Any]:
    nulls = [likeness(alike, found) for found in random]
    means = {side: [pair[0] for null in nulls if (pair := null[side]) is not None] for side in ("within", "between")}
    return {**likeness(alike, communities), **{f"null_{side}": _mean(values) for side, values in means.items()}}


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), _DIGITS) if len(values) else None


def _means(draws: Sequence[Mapping[str, Sequence[float] | None]]) -> dict[str, list[float] | None]:
    """By side, the mean of each number over the draws that have it."""
    found: dict[str, list[float] | None] = {}
    for side in draws[0] if draws else ():
        values = [value for draw in draws if (value := draw[side]) is not None]
        found[side] = [round(float(value), _DIGITS) for value in np.mean(values, axis=0)] if values else None
    return found


def _draw(generator: np.random.Generator, of: Sequence[int], number: int) -> list[int]:
    return [of[place] for place in generator.permutation(len(of))[:number]]
