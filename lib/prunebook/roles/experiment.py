"""The study: every test on every layer, with what it is compared to; a row of plain data for each layer."""

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from prunebook import features, tracing
from prunebook.errors import choose, require
from prunebook.methods import mrp
from prunebook.roles import draws as drawing
from prunebook.roles.draws import Communities, Moments, membership
from prunebook.roles.nulls import rewired, same_spectrum
from prunebook.roles.probe import KINDS, Probe, Score, StandIn, internal_layers, readers

READERS = "readers"  # the likeness of what reads two filters: it makes no graph
SIDES = {"removal": ("within", "across"), "replaced": ("inside", "outside"), "swaps": ("within", "between")}
NULLS = ("rewired", "spectrum", "untrained")
_DIGITS = 6
_NOTHING = np.empty((0, 0))

Sides = dict[str, list[float] | None]  # by side, [loss, top1] minus those of the network as it is


@dataclass(frozen=True)
class Layer:
    """What is known of a layer before anything is changed in it; all arrays are float64.

    weights : (n, n), of the edges of the filter graph, found on the first half of the images
    silent : filters that say nothing there
    divisions : communities of that graph, by the detector's seed
    others : communities of the graph of the second half
    alike : measure, or `READERS` -> (n, n), on the second half, of measures that look at images
    cosines : (n, n), signed, of the vectors that the graph's likeness is of; None for a measure without vectors
    moments : of the raw maps, on the first half
    l1 : (n,), of the filters' weights
    passed : (n, n), mean products of what each two filters pass on, on the first half: activity, on the diagonal
    read : (n, n), products of the weights that read each two filters
    """

    name: str
    weights: np.ndarray
    silent: list[int]
    divisions: list[Communities]
    others: Communities
    alike: dict[str, np.ndarray]
    cosines: np.ndarray | None
    moments: Moments
    l1: np.ndarray
    passed: np.ndarray
    read: np.ndarray


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

    def modularity(self, weights: np.ndarray, communities: Communities) -> float:
        return mrp.modularity(weights, communities, self.resolution)

    def redundancy(self, communities: Communities, silent: Sequence[int]) -> float:
        return mrp.redundancy(sum(map(len, communities)), mrp.speaking(communities, silent), silent=silent)


def study(
    model: nn.Module,
    halves: tuple[Tensor, Tensor],
    images: Tensor,
    labels: Tensor,
    layers: Iterable[str] | None = None,
    how: Graphs = Graphs(),
    *,
    untrained: Sequence[nn.Module] = (),
    share: float = 0.125,
    draws: int = 16,
    nulls: int = 8,
    divisions: int = 4,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """The tests on each layer.

    Parameters
    ----------
    model : nn.Module
        Left as it was. ``torch.fx`` has to be able to trace it.
    halves : two Tensors (m, c, h, w)
        Training images: graphs, and stand-ins, come from the first half, likeness from the second.
    images, labels : Tensor (m, c, h, w) and Tensor (m,)
        On which loss and accuracy are measured: each draw on a part of its own, so that what is particular to images, as
        what is particular to filters, averages out. All sides of a draw see the same part.
    layers : some of `internal_layers`, default all
    how : Graphs
    untrained : networks of the same layers with fresh weights, their batch norms used to such images
    share : float in (0, 1)
        Of a layer's filters that (b) removes, rounded down, at least two; fewer where the community is smaller.
    draws : int
        Of communities and filters, for each comparison; each is made again with a random graph.
    nulls : int
        Random graphs of each layer, and as many sets of random vectors.
    divisions : int
        Seeds of the detector. Draws use its divisions in turn; what is one number of a layer is the mean over them.
    seed : int
        Of all that is drawn, and the first of the detector's. What a layer draws hangs on its name, not on its neighbours.
    progress : called as (layers done, layers)

    Returns
    -------
    dict of "base", the network as it is, and "layers", one dict each:
        layer, filters, edges, communities (sizes, falling, of the first division), counts (of communities, by division)
        redundancy, modularity
        agreement : of divisions by two seeds, and stability : of those of the two halves, adjusted Rand indices; None for
            one seed, and for measures that look at no image
        nulls : by `NULLS` "made" and the means of "modularity" and "redundancy"; of rewired graphs also "moved", the share
            of the edges that are elsewhere. None where there is none.
        likeness : by measure, and `READERS`, see `likeness`; and by `NULLS` the mean of its "linked" contrast
        removed : how many filters go, by draw; None where no community has as many as two and one that stays
        removal, replaced, swaps : see `_summary`; also, by side, "gone" of a removal, what shares of the layer's L1 norm and
            activity go, and what it "adds up" to; and what of a lost filter its stand-in has "explained"

    Raises BadValue for arguments out of their range, before anything is computed, and as `Probe` does.
    """
    _check(share, draws, nulls, divisions, seed)
    internal = internal_layers(model, images[:1])
    wanted = internal if layers is None else [choose("layer", name, internal) for name in layers]
    require(len(wanted) > 0, "layers", wanted, "at least one convolution whose filters no other layer has to match")
    require(len(images) >= draws, "number of images", len(images), f"at least {draws}, one for each draw")
    traced = tracing.trace(model, KINDS)
    seeds = range(seed, seed + divisions)
    facts = examine(model, halves, wanted, how, seeds)
    fresh = [examine(network, halves, wanted, how, [seed + i]) for i, network in enumerate(untrained)]
    base = Probe(traced, wanted[0], [(images, labels)]).unchanged()
    parts = list(zip(images.tensor_split(draws), labels.tensor_split(draws), strict=True))
    rows: list[dict[str, Any]] = []
    for layer, *others in zip(facts, *fresh, strict=True):
        rows.append(_row(layer, others, Probe(traced, layer.name, parts), how, share, draws, nulls, seed))
        if progress is not None:
            progress(len(rows), len(facts))
    return {"base": {"loss": round(base.loss, _DIGITS), "top1": round(base.top1, 4)}, "layers": rows}


def examine(
    model: nn.Module, halves: tuple[Tensor, Tensor], layers: Sequence[str], how: Graphs, seeds: Iterable[int] = (0,)
) -> list[Layer]:
    """What is known of each layer, see `Layer`."""
    first, second = halves
    convolutions, traced, seeds = features.convolutions(model), tracing.trace(model, KINDS), list(seeds)
    found = mrp.similarities(model, first, layers, how.measure)
    alike = {measure: mrp.similarities(model, second, layers, measure) for measure in mrp.MEASURES}
    # In float64, as likeness is; the copy is the method's own way.
    moments = features.visit(copy.deepcopy(model).double(), first.double(), _moments, layers)
    passed = features.visit_passed_on(model, first, lambda name, maps: _products(maps) if name in moments else _NOTHING)
    facts = []
    for name in layers:
        weights, read = how.weights(found[name]), readers(traced, name)
        by_readers = mrp.cosines(torch.from_numpy(read)).numpy()
        facts.append(
            Layer(
                name=name,
                weights=weights,
                silent=mrp.silent(found[name]),
                divisions=[how.communities(weights, seed) for seed in seeds],
                others=how.communities(how.weights(alike[how.measure][name]), seeds[0]),
                alike={measure: of[name].numpy() for measure, of in alike.items()} | {READERS: np.abs(by_readers)},
                cosines=_cosines(how.measure, moments[name], convolutions[name].weight),
                moments=moments[name],
                l1=mrp.norms(convolutions[name].weight),
                passed=passed[name],
                read=read @ read.T,
            )
        )
    return facts


def likeness(alike: np.ndarray, divisions: Sequence[Communities]) -> dict[str, float | None]:
    """Of pairs "within" communities, "between" any two, and "across" two of two or more filters, means over the divisions.

    And the contrasts, means of what each division has: "any", within minus between, and "linked", within minus across. None
    where no division has such pairs.
    """
    found = [_likeness(alike, communities) for communities in divisions]
    return {name: _mean([one[name] for one in found]) for name in ("within", "between", "across", "any", "linked")}


def adds_up(passed: np.ndarray, read: np.ndarray, lost: Sequence[int]) -> float | None:
    """How the errors of several lost filters add up: the energy of their sum over the sum of their energies.

    1 for errors that have nothing in common, as many as are lost for the same error so many times. An error is a map times
    the weights that read it, so two errors are alike where maps *and* readers are. Places are taken for independent of each
    other: exact for readers of one place. None where nothing is lost.
    """
    some = np.ix_(lost, lost)
    energy = passed[some] * read[some]
    return float(energy.sum() / energy.trace()) if energy.trace() > 0 else None


def _check(share: float, draws: int, nulls: int, divisions: int, seed: int) -> None:
    require(0 < share < 1, "share", share, "a share of a layer's filters between 0 and 1")
    for name, value, least in (("draws", draws, 1), ("nulls", nulls, 0), ("divisions", divisions, 1), ("seed", seed, 0)):
        require(isinstance(value, int) and value >= least, name, value, f"a whole number of at least {least}")


class Null(NamedTuple):
    """A graph that chance makes, or fresh weights, and its communities."""

    weights: np.ndarray
    communities: Communities
    silent: list[int]


def _row(
    layer: Layer, fresh: Sequence[Layer], probe: Probe, how: Graphs, share: float, draws: int, nulls: int, seed: int
) -> dict[str, Any]:
    """One layer's row of the record."""
    drawn = (seed, zlib.crc32(layer.name.encode()))  # the same whatever other layers are looked at
    graphs = [rewired(layer.weights, (*drawn, 0, i)) for i in range(nulls)] if layer.weights.any() else []
    turned = [same_spectrum(layer.cosines, (*drawn, 1, i)) for i in range(nulls)] if layer.cosines is not None else []
    made = {
        "rewired": [graph for graph in graphs if graph is not None],
        "spectrum": [how.weights(alike) for alike in turned],
    }
    nulls_of = {
        kind: [Null(graph, how.communities(graph, seed + i), layer.silent) for i, graph in enumerate(found)]
        for kind, found in made.items()
    }
    nulls_of["untrained"] = [Null(other.weights, other.divisions[0], other.silent) for other in fresh]
    contrasts = {
        measure: {
            "rewired": [_likeness(alike, null.communities)["linked"] for null in nulls_of["rewired"]],
            "spectrum": [],  # but for the graph's measure: other vectors have no other likeness
            "untrained": [_likeness(other.alike[measure], other.divisions[0])["linked"] for other in fresh],
        }
        for measure, alike in layer.alike.items()
    }
    contrasts[how.measure]["spectrum"] = [
        _likeness(alike.numpy(), null.communities)["linked"]
        for alike, null in zip(turned, nulls_of["spectrum"], strict=True)
    ]
    return {
        "layer": layer.name,
        "filters": len(layer.weights),
        "edges": int(np.count_nonzero(np.triu(layer.weights))),
        "communities": [len(community) for community in layer.divisions[0]],
        "counts": [len(communities) for communities in layer.divisions],
        "redundancy": _mean([how.redundancy(communities, layer.silent) for communities in layer.divisions]),
        "modularity": _mean([how.modularity(layer.weights, communities) for communities in layer.divisions]),
        "agreement": _mean([_agreement(a, b) for a, b in combinations(layer.divisions, 2)]),
        "stability": _mean([_agreement(layer.divisions[0], layer.others)] if how.measure in mrp.FROM_IMAGES else []),
        "nulls": {kind: _described(of, how, layer.weights if kind == "rewired" else None) for kind, of in nulls_of.items()},
        "likeness": {
            measure: likeness(alike, layer.divisions) | {kind: _mean(contrasts[measure][kind]) for kind in NULLS}
            for measure, alike in layer.alike.items()
        },
        **_tested(layer, [null.communities for null in nulls_of["rewired"]], probe, share, draws, drawn),
    }


def _described(nulls: Sequence[Null], how: Graphs, whole: np.ndarray | None) -> dict[str, Any] | None:
    """What communities chance has; with `whole`, the graph that was rewired, how much of it moved."""
    if not nulls:
        return None
    found: dict[str, Any] = {"made": len(nulls)}
    found["modularity"] = _mean([how.modularity(null.weights, null.communities) for null in nulls])
    found["redundancy"] = _mean([how.redundancy(null.communities, null.silent) for null in nulls])
    return found if whole is None else found | {"moved": _mean([_moved(whole, null.weights) for null in nulls])}


class Draw(NamedTuple):
    """One draw of filters and what it does.

    sides : by test and side
    beside : by what is recorded of the two sides of a test, by side, numbers
    removed : filters
    """

    sides: dict[str, Sides]
    beside: dict[str, Sides]
    removed: int | None


def _tested(
    layer: Layer, random: Sequence[Communities], probe: Probe, share: float, draws: int, seed: tuple[int, int]
) -> dict[str, Any]:
    """Removal, replacement and exchange, in the communities and, as many at a time, in those of random graphs."""
    most = max(2, int(share * len(layer.weights) + 1e-9))
    real, null = list[Draw](), list[Draw]()
    for draw in range(draws):
        whole = probe.unchanged(draw)

        def changed(score: Score, whole: Score = whole) -> list[float]:
            return [score.loss - whole.loss, score.top1 - whole.top1]

        run = _Run(layer, probe, draw, changed)
        real.append(run.draw(layer.divisions[draw % len(layer.divisions)], most, np.random.default_rng((*seed, 2, draw))))
        if random:
            generator = np.random.default_rng((*seed, 3, draw))
            null.append(run.draw(random[draw % len(random)], most, generator, like=real[-1]))
    row: dict[str, Any] = {"removed": [draw.removed for draw in real]}
    for test, (own, other) in SIDES.items():
        row[test] = _summary([d.sides[test] for d in real], [d.sides[test] for d in null], own, other)
    for test, what in (("removal", "gone"), ("removal", "adds up"), ("replaced", "explained")):
        row[test][what] = _both([draw.beside[what] for draw in real], *SIDES[test])
    return row


def _summary(real: Sequence[Sides], null: Sequence[Sides], own: str, other: str) -> dict[str, Any]:
    """Of one test, each a mean over the draws that have what it takes: [loss, top1], and how many draws these are.

    own, other : of the two sides, among filters with company, over the draws that have both
    linked : own minus other
    any : the same beside others as they come, see `_Run`
    null : own minus other in random graphs
    beyond : own minus other, less that of the random graph of the same draw
    """
    pairs = [(draw[own], draw[other]) for draw in real]
    linked = [_minus(*pair) for pair in pairs]
    whole = [pair for pair in pairs if None not in pair]
    random = [_minus(draw[own], draw[other]) for draw in null]
    found = {
        "own": [first for first, _ in whole],
        "other": [second for _, second in whole],
        "linked": linked,
        "any": [_minus(draw[f"any {own}"], draw[f"any {other}"]) for draw in real],
        "null": random,
        "beyond": [_minus(a, b) for a, b in zip(linked, random, strict=True)] if null else [],
    }
    summed = {name: _means(values) for name, values in found.items()}
    return summed | {"draws": {name: sum(value is not None for value in values) for name, values in found.items()}}


def _both(draws: Sequence[Sides], own: str, other: str) -> dict[str, list[float] | None]:
    """By side, over the draws that have both."""
    whole = [draw for draw in draws if draw[own] is not None and draw[other] is not None]
    return {side: _means([draw[side] for draw in whole]) for side in (own, other)}


class _Run(NamedTuple):
    """All comparisons of one layer on one part of the images."""

    layer: Layer
    probe: Probe
    part: int
    changed: Callable[[Score], list[float]]

    def draw(self, communities: Communities, most: int, generator: np.random.Generator, like: Draw | None = None) -> Draw:
        """With `like`, as many filters, and without the sides "any", which decide nothing."""
        random, exactly = like is not None, None if like is None else like.removed
        lost = drawing.from_one(communities, exactly or most, generator, exactly or 2)
        count = None if lost is None else len(lost)
        removal, beside = self._removal(communities, lost, generator, random)
        replaced, explained = self._replacement(communities, lost, generator, random)
        swaps = self._exchange(communities, max(1, most // 2), generator, random)
        return Draw({"removal": removal, "replaced": replaced, "swaps": swaps}, beside | {"explained": explained}, count)

    def _removal(
        self, communities: Communities, lost: list[int] | None, generator: np.random.Generator, random: bool
    ) -> tuple[Sides, dict[str, Sides]]:
        """Filters of one community, as many of several, and, of any, one of each."""
        sizes = np.column_stack([self.layer.l1, self.layer.passed.diagonal()])
        sides: dict[str, list[int] | None] = {"within": lost, "across": None}
        if lost is not None:
            sides["across"] = drawing.spread(communities, lost, sizes, generator)
            sides["any across"] = None if random else drawing.across(communities, len(lost), generator)
        found = {side: self.changed(self.probe.removed(some, self.part)) if some else None for side, some in sides.items()}
        whole = np.where(sizes.sum(axis=0) > 0, sizes.sum(axis=0), 1)
        gone = {side: list(sizes[some].sum(axis=0) / whole) if some else None for side, some in sides.items()}
        sums = {side: adds_up(self.layer.passed, self.layer.read, some) if some else None for side, some in sides.items()}
        found = {"any across": None, **found, "any within": found["within"]}
        return found, {"gone": gone, "adds up": {side: None if x is None else [x] for side, x in sums.items()}}

    def _replacement(
        self, communities: Communities, lost: list[int] | None, generator: np.random.Generator, random: bool
    ) -> tuple[Sides, Sides]:
        """Each with a stand-in of its community and with one of another that is as alike; and, of any, as they are drawn."""
        layer, moments = self.layer, self.layer.moments
        sides: dict[str, dict[int, StandIn] | None] = dict.fromkeys(("inside", "outside", "any inside", "any outside"))
        if lost is not None:
            alike = np.abs(moments.correlations())
            pairs = drawing.equally_alike(alike, communities, lost, generator)
            if pairs:
                sides["inside"] = {f: moments.stand_in(f, other) for f, other in pairs.inside.items()}
                sides["outside"] = {f: moments.stand_in(f, other) for f, other in pairs.outside.items()}
            if not random:
                community, size = membership(communities)
                own = [f for f in range(len(layer.weights)) if community[f] == community[lost[0]] and f not in lost]
                rest = [f for f in range(len(layer.weights)) if community[f] != community[lost[0]] and size[f] > 1]
                sides["any inside"] = drawing.stand_ins(moments, lost, own, generator)
                sides["any outside"] = drawing.stand_ins(moments, lost, rest, generator)
        explained = {side: [drawing.explained(moments, given)] if given else None for side, given in sides.items()}
        return {
            side: self.changed(self.probe.replaced(given, self.part)) if given else None for side, given in sides.items()
        }, explained

    def _exchange(self, communities: Communities, number: int, generator: np.random.Generator, random: bool) -> Sides:
        """Pairs of one community, and the first of each with one of another that is as alike; and, of any, as drawn."""
        sides: dict[str, list[tuple[int, int]] | None] = dict.fromkeys(("within", "between", "any within", "any between"))
        linked = list(chain(*(community for community in communities if len(community) > 1)))
        order = [linked[place] for place in generator.permutation(len(linked))]
        alike = self.layer.moments.correlations()
        pairs = drawing.equally_alike(alike, communities, order, generator, number, once=True)
        if pairs:
            sides["within"], sides["between"] = list(pairs.inside.items()), list(pairs.outside.items())
        if not random:
            drawn = drawing.pairs_within(communities, number, generator)
            sides["any within"] = drawn or None
            sides["any between"] = drawing.pairs_between(communities, [f for f, _ in drawn], generator) if drawn else None
        return {side: self.changed(self.probe.swapped(some, self.part)) if some else None for side, some in sides.items()}


def _likeness(alike: np.ndarray, communities: Communities) -> dict[str, float | None]:
    community, size = membership(communities)
    i, j = np.triu_indices(len(alike), 1)
    same = community[i] == community[j]
    pairs = {"within": same, "between": ~same, "across": ~same & (size[i] > 1) & (size[j] > 1)}
    found = {name: float(alike[i, j][some].mean()) if some.any() else None for name, some in pairs.items()}
    inside = found["within"]
    for contrast, other in (("any", found["between"]), ("linked", found["across"])):
        found[contrast] = None if inside is None or other is None else inside - other
    return found


def _moments(_: str, maps: Tensor) -> Moments:
    """Of maps (m, n, h, w)."""
    rows = maps.transpose(0, 1).flatten(1)
    mean = rows.mean(dim=1)
    centred = rows - mean[:, None]
    return Moments(mean.cpu().numpy(), (centred @ centred.T / rows.shape[1]).cpu().numpy())


def _products(maps: Tensor) -> np.ndarray:
    """Mean products of the maps (m, n, h, w) of each two filters: (n, n)."""
    rows = maps.transpose(0, 1).flatten(1).double()
    return (rows @ rows.T / rows.shape[1]).cpu().numpy()


def _cosines(measure: str, moments: Moments, weight: Tensor) -> np.ndarray | None:
    """Signed, of the vectors whose absolute cosines a measure is; None where it is of none."""
    if measure == "weights":
        return mrp.cosines(weight.detach().double()).cpu().numpy()
    if measure == "correlation":
        return moments.correlations()
    if measure == "maps":
        products = moments.covariance + np.outer(moments.mean, moments.mean)
        return Moments(np.zeros_like(moments.mean), products).correlations()
    return None


def _agreement(first: Communities, second: Communities) -> float:
    from sklearn.metrics import adjusted_rand_score  # here, because it takes half a second

    return float(adjusted_rand_score(membership(first)[0], membership(second)[0]))


def _moved(weights: np.ndarray, graph: np.ndarray) -> float:
    """The share of the edges that are not where they were."""
    return float(1 - np.count_nonzero(np.triu((weights > 0) & (graph > 0))) / np.count_nonzero(np.triu(weights)))


def _known(values: Iterable[Any]) -> Iterator[Any]:
    return (value for value in values if value is not None)


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are known; None for none."""
    known = list(_known(values))
    return round(float(np.mean(known)), _DIGITS) if known else None


def _means(values: Iterable[Sequence[float] | None]) -> list[float] | None:
    """The same, place by place."""
    known = list(_known(values))
    return [round(float(value), _DIGITS) for value in np.mean(known, axis=0)] if known else None


def _minus(first: Sequence[float] | None, second: Sequence[float] | None) -> list[float] | None:
    return None if first is None or second is None else [a - b for a, b in zip(first, second, strict=True)]
