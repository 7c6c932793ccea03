"""Entropy-guided k-core pruning.

For each convolution: filters are the vertices of a graph, with an edge where the feature maps of two filters are alike
by perceptual hash; the innermost k-core of that graph is reduced to its best-scoring filter, again and again, until no
edge is left. With the entropy of a filter's activations as the score it is the method of [1]_; with the L1 norm of its
weights it is that of its predecessor [2]_ on the same graph.

References
----------
.. [1] Yang, Jiang, Deng, Wang: Entropy-Guided k-Core Pruning Balancing Redundancy Reduction and Information Preservation
       for Efficient CNN Compression, RIMNI 2025, doi:10.23967/j.rimni.2025.10.73400.
.. [2] Li, Shao, Deng, Jiang: Efficient filter pruning: reducing model complexity through redundancy graph decomposition,
       Neurocomputing 599, 2024, 128108.
"""

import builtins
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

from prunebook import cutting, features, phash
from prunebook.errors import BadValue, choose, require
from prunebook.methods import architecture
from prunebook.plan import PruningPlan

SCORES = ("entropy", "l1", "random", "degree", "low-entropy")
EDGES = (">=", ">")
COUPLED = ("lead", "main", "keep")
SCOPES = ("core", "layer")
THRESHOLDS = ("global", "layer")
POOLINGS = ("all", "image")
RANGES = ("filter", "layer")


_CHUNK = 1 << 20  # activations whose histograms are made at a time


class Round(NamedTuple):
    """One round of Algorithm 2: the innermost core's k, its components, and the filter that stays of each."""

    k: int
    components: list[list[int]]
    kept: list[int]


class Look(NamedTuple):
    """What a decision on one layer needs: similarities (n, n), and the filters' scores (n,), None for their degrees."""

    similarity: Tensor
    score: Tensor | None


def plan(
    model: nn.Module,
    images: Tensor,
    tau: float | None = None,
    score: str = "entropy",
    hash: str = "dct-mean",
    seed: int = 0,
    *,
    target: float | None = None,
    thresholds: str = "global",
    scope: str = "core",
    edge: str = ">=",
    bins: int = 256,
    pooling: str = "all",
    range: str = "filter",
    mode: str = "eval",
    coupled: str = "lead",
) -> PruningPlan:
    """Decide which filters every convolution keeps.

    Parameters
    ----------
    model : nn.Module
        Left as it was.
    images : Tensor (m, c, h, w)
        Normalised as in training; the paper draws m = 100 from the training set.
    tau : float in [0, 1]
        Similarity from which two filters count as redundant; the paper explores 0.6 to 0.8. Lower removes more.
    score : {"entropy", "l1", "random", "degree", "low-entropy"}
        Which filter stays of a redundant group: highest entropy (Eq. 3 and 4), largest sum of absolute weights, one drawn
        at random (the paper's "k-core only"), most neighbours in the layer's graph, or lowest entropy (the counterpart in
        our reading of Figure 3, left). Ties: the first filter.
    hash : {"dct-mean", "imagehash"}
        Reading of pHash, see `prunebook.phash`.
    seed : int
        Used by ``score="random"`` only.
    target : float in (0, 1), instead of `tau`
        Share of the MACs (counter "macs") to remove. The threshold that comes nearest is found by bisection; the plan's
        parameters say which it was, and what share it removes. Our addition: the paper sets tau by hand.
    thresholds : {"global", "layer"}
        With `target`: one threshold for all layers, or for each layer the one that leaves it the same share of its filters.
    scope : {"core", "layer"}
        Among which filters the best-scoring one stays: those of each core component, as in the paper, or all of the layer,
        of which as many stay as the graph would leave (Figure 5's "entropy only", at equal widths).
    edge : {">=", ">"}
        Whether a similarity of exactly tau makes an edge. The paper writes ">", the public code of its line of work ">=".
    bins, pooling, range
        Of the entropy's estimate, see `entropy`.
    mode : {"eval", "train"}
        Of the network while it makes the feature maps.
    coupled : {"lead", "main", "keep"}
        Where layers have to keep the same filters (a residual stage), "lead" lets one of them decide for all, as in the
        predecessor's public code, "main" as section 3.5.2 has it (see `lead`); "keep" leaves all of them whole.

    Returns
    -------
    PruningPlan
        It names every convolution, those that follow another included. What section 3.5 asks of DenseNets and of ResNet-50
        is applied to these networks, see `prunebook.methods.architecture`.

    Raises
    ------
    BadValue
        A parameter out of its range, before anything is computed; a target that no threshold comes near.
    """
    _check_dial(tau, target, thresholds)
    choose("score", score, SCORES)
    choose("hash", hash, phash.KINDS)
    choose("scope", scope, SCOPES)
    choose("edge", edge, EDGES)
    choose("coupled", coupled, COUPLED)
    _check_estimate(bins, pooling, range)
    require(isinstance(images, Tensor), "images", type(images).__name__, "a Tensor (m, c, h, w)")
    require(images.dim() == 4 and len(images) > 0, "images.shape", tuple(images.shape), "(m, c, h, w), m at least 1")
    convolutions = features.convolutions(model)
    groups = cutting.coupled_layers(model, images[:1])
    deciding = {lead(group, coupled): group for group in groups if len(group) == 1 or coupled != "keep"}
    estimate = partial(entropy, bins=bins, pooling=pooling, range=range)
    generator = torch.Generator().manual_seed(seed)

    def look(name: str, maps: Tensor) -> Look:
        scores: Tensor | None = None
        if score == "entropy":
            scores = estimate(maps)
        elif score == "low-entropy":
            scores = -estimate(maps)
        elif score == "l1":
            scores = convolutions[name].weight.detach().abs().flatten(1).sum(1)
        elif score == "random":
            scores = torch.rand(maps.shape[1], generator=generator)
        return Look(phash.similarity(phash.hashes(maps, hash)), scores)

    looks = features.visit(model, images, look, deciding, mode) if deciding else {}
    rules = architecture.rules(model)
    if rules.streams and score in ("entropy", "low-entropy"):
        streams = architecture.classifier_streams(model, images, estimate, mode)
        sign = 1 if score == "entropy" else -1
        looks |= {name: looks[name]._replace(score=sign * streams[name]) for name in streams if name in looks}
    decide = partial(_decide, looks, deciding, rules, scope, edge)
    parameters: dict[str, Any] = {"tau": tau, "score": score, "hash": hash, "seed": seed, "edge": edge, "bins": bins}
    parameters |= {"pooling": pooling, "range": range, "mode": mode, "coupled": coupled, "scope": scope}
    parameters["images"] = len(images)
    if target is None:
        assert tau is not None
        decisions = decide(dict.fromkeys(deciding, float(tau)))
    else:
        counted = cutting.macs_if_kept(model, images[:1], deciding)
        decisions, found = _reach(target, thresholds, looks, decide, counted, edge)
        parameters |= {"target": target, "thresholds": thresholds, **found}
    keep = {member: decisions[leader] for leader, group in deciding.items() for member in group}
    in_order = {name: keep.get(name, list(builtins.range(layer.out_channels))) for name, layer in convolutions.items()}
    widths = {name: layer.out_channels for name, layer in convolutions.items()}
    return PruningPlan(in_order, widths, "kcore", parameters)


def lead(group: Sequence[str], coupled: str = "lead") -> str:
    """The layer that decides for its group of coupled layers (names in order of execution).

    "lead": the convolution on the stage's shortcut where there is one, as in the predecessor's public code. "main": the
    last convolution of the main path of the stage's first block, as section 3.5.2 has it: the main path sets the number,
    and the shortcut adapts. Without a convolution on the shortcut both are the first layer that writes into the stage: the
    stem, or the last convolution of the stage's first block.
    """
    shortcuts = [name for name in group if "shortcut" in name or "downsample" in name]
    if coupled == "main":
        return next((name for name in group if name not in shortcuts), group[0])
    return shortcuts[0] if shortcuts else group[0]


def select(similarity: Tensor, score: Tensor | Sequence[float], tau: float, edge: str = ">=") -> list[int]:
    """The filters of one layer that stay: Algorithms 1 and 2 of the paper.

    Parameters
    ----------
    similarity : Tensor (n, n)
        Symmetric, in [0, 1]; the diagonal is not looked at.
    score : (n,)
        The higher, the rather a filter stays.
    tau, edge
        As in `plan`.

    Returns
    -------
    list of int
        Sorted. No two of them are joined by an edge.
    """
    removed = {v for r in rounds(similarity, score, tau, edge) for c in r.components for v in c if v not in r.kept}
    return [vertex for vertex in range(len(similarity)) if vertex not in removed]


def rounds(similarity: Tensor, score: Tensor | Sequence[float], tau: float, edge: str = ">=") -> Iterator[Round]:
    """Algorithm 2 round by round; parameters as in `select`.

    Going down from the largest degree to the first k with a non-empty k-core, as the paper does, ends at the graph's
    degeneracy. So each round takes the innermost core at once.
    """
    adjacency = _adjacency(similarity, tau, edge)
    scores = np.asarray(torch.as_tensor(score, dtype=torch.float64).cpu())
    require(scores.shape == (len(adjacency),), "score", scores.shape, f"one number for each of {len(adjacency)} filters")
    require(not np.isnan(scores).any(), "score", "an array with NaN", "numbers")
    return _rounds(adjacency, scores)


def entropy(maps: Tensor, bins: int = 256, pooling: str = "all", range: str = "filter") -> Tensor:
    """Shannon entropy of each filter's activations (Eq. 3), in nats.

    The paper does not say how it estimates p(x). By default: one histogram a filter over all its activations, all images
    and places pooled, with `bins` equal bins from the filter's smallest to its largest activation.

    Parameters
    ----------
    maps : Tensor (m, n, h, w)
    bins : int, at least 2
    pooling : {"all", "image"}
        "image": one histogram for each map, and the mean of the m entropies.
    range : {"filter", "layer"}
        "layer": the bins reach from the smallest to the largest activation of all n filters.

    Returns
    -------
    Tensor (n,), float64
        In [0, log(bins)]; 0 for a filter that always gives the same value.
    """
    require(maps.dim() == 4 and maps.numel() > 0, "maps.shape", tuple(maps.shape), "(m, n, h, w) without a zero")
    _check_estimate(bins, pooling, range)
    require(bool(torch.isfinite(maps).all()), "maps", "a tensor with NaN or infinity", "finite numbers only")
    values = maps.detach().transpose(0, 1)  # (n, m, h, w)
    limits = None if range == "filter" else (maps.min().double(), maps.max().double())
    # A few filters at a time, so that the copies stay small: near the cache, and a fraction of the maps' own memory.
    some = max(1, _CHUNK // values[0].numel())
    return torch.cat([_entropy(chunk.to(torch.float64).flatten(2), bins, pooling, limits) for chunk in values.split(some)])


def degrees(similarity: Tensor, tau: float, edge: str = ">=") -> Tensor:
    """Number of redundant partners of each filter: the vertex degrees of the layer's graph, (n,) float64."""
    return torch.from_numpy(_adjacency(similarity, tau, edge).sum(axis=1).astype(np.float64))


def redundancy_graph(similarity: Tensor, tau: float, edge: str = ">=") -> nx.Graph:
    """The graph of Algorithm 1 for networkx: vertices 0..n-1, an edge where two filters count as redundant."""
    return nx.from_numpy_array(_adjacency(similarity, tau, edge))


def _decide(
    looks: Mapping[str, Look],
    deciding: Mapping[str, list[str]],
    rules: architecture.Rules,
    scope: str,
    edge: str,
    taus: Mapping[str, float],
) -> dict[str, list[int]]:
    """What every deciding layer keeps at its own threshold, and then by the rules of the network's architecture."""
    taus = {name: min(1.0, tau + rules.rise.get(name, 0.0)) for name, tau in taus.items()}
    scores = {name: _scores(looks[name], taus[name], edge) for name in deciding}
    keep = {name: select(looks[name].similarity, scores[name], taus[name], edge) for name in deciding}
    if scope == "layer":
        keep = {name: architecture.meet([], scores[name], len(kept)) for name, kept in keep.items()}
    leader = {member: name for name, group in deciding.items() for member in group}
    for one, other in rules.equal:
        if one in leader and other in leader:
            a, b = leader[one], leader[other]
            keep[a], keep[b] = architecture.equal_counts(keep[a], keep[b], scores[a], scores[b])
    for transition, compression in rules.compression.items():
        if transition in keep:
            inputs = sum(len(keep[name]) for name in rules.transition_inputs[transition])
            count = min(architecture.compressed(inputs, compression), len(scores[transition]))
            keep[transition] = architecture.meet(keep[transition], scores[transition], count)
    return keep


def _scores(look: Look, tau: float, edge: str) -> Tensor:
    return degrees(look.similarity, tau, edge) if look.score is None else look.score


def _reach(
    target: float,
    thresholds: str,
    looks: Mapping[str, Look],
    decide: Callable[[Mapping[str, float]], dict[str, list[int]]],
    macs: Callable[[Mapping[str, Sequence[int]]], int],
    edge: str,
) -> tuple[dict[str, list[int]], dict[str, Any]]:
    """The decisions that remove nearly `target` of the MACs, by bisection, and a description of the thresholds used.

    The dial is tau itself, or, layer by layer, the share of filters that every layer is to keep. What is left grows with
    either, but not strictly: removing an edge can let another group form. So the nearest of all settings seen is taken.
    """
    whole = macs({})

    def taus_of(dial: float) -> dict[str, float]:
        if thresholds == "global":
            return dict.fromkeys(looks, dial)
        return {name: _tau_for_share(look, dial, edge) for name, look in looks.items()}

    def removed(dial: float) -> tuple[float, dict[str, float], dict[str, list[int]]]:
        taus = taus_of(dial)
        keep = decide(taus)
        return 1 - macs(keep) / whole, taus, keep

    best = removed(0.0)
    most = math.floor(1e4 * best[0]) / 1e4
    require(best[0] >= target, "target", target, f"at most {most} for this network, its coupled layers included")
    low, high = 0.0, 1.0
    while high - low > 1e-4:  # finer than the similarities, which move in steps of 1 / (images x bits)
        middle = (low + high) / 2
        seen = removed(middle)
        best = min(best, seen, key=lambda found: abs(found[0] - target))
        low, high = (middle, high) if seen[0] > target else (low, middle)
    share, taus, keep = best
    near = f"near a share that some threshold removes; the nearest is {share:.3f}. Do the images differ from each other?"
    require(abs(share - target) <= 0.1, "target", target, near)
    described = {"tau": next(iter(taus.values()))} if thresholds == "global" else {"taus": taus}
    return keep, {**described, "removed": share}


def _tau_for_share(look: Look, share: float, edge: str) -> float:
    """The threshold at which the layer keeps as near as can be to `share` of its filters, at least one."""
    n = len(look.similarity)
    low, high = 0.0, 1.0
    best, distance = 0.0, math.inf
    while high - low > 1e-4:
        middle = (low + high) / 2
        kept = len(select(look.similarity, _scores(look, middle, edge), middle, edge))
        if abs(kept - share * n) < distance:
            best, distance = middle, abs(kept - share * n)
        low, high = (low, middle) if kept > share * n else (middle, high)
    return best


def _check_dial(tau: float | None, target: float | None, thresholds: str) -> None:
    if (tau is None) == (target is None):
        given = "neither is given" if tau is None else f"given are tau {tau!r} and target {target!r}"
        raise BadValue(f"kcore.plan needs either tau, a number from 0 to 1, or target, a share of the MACs: {given}")
    choose("thresholds", thresholds, THRESHOLDS)
    if target is None:
        assert tau is not None
        _check(tau, EDGES[0])
        require(thresholds == "global", "thresholds", thresholds, "'global' where tau is given")
    else:
        known = isinstance(target, int | float) and not isinstance(target, bool)
        require(known and 0 < target < 1, "target", target, "a share of the MACs between 0 and 1, such as 0.5")


def _check(tau: float, edge: str) -> None:
    require(isinstance(tau, int | float) and 0 <= tau <= 1, "tau", tau, "a number from 0 to 1")
    choose("edge", edge, EDGES)


def _check_estimate(bins: int, pooling: str, range: str) -> None:
    require(isinstance(bins, int) and bins >= 2, "bins", bins, "a whole number of at least 2")
    choose("pooling", pooling, POOLINGS)
    choose("range", range, RANGES)


def _entropy(values: Tensor, bins: int, pooling: str, limits: tuple[Tensor, Tensor] | None) -> Tensor:
    """(n, m, places) float64 -> (n,): see `entropy`; `limits` are those of the bins, by default each filter's own."""
    n, m = values.shape[:2]
    if limits is None:
        low, high = (end.view(n, 1, 1) for end in values.flatten(1).aminmax(dim=1))
    else:
        low, high = (end.expand(n, 1, 1) for end in limits)
    span = torch.where(high > low, high - low, 1)
    bin_of = (values - low).mul_(bins / span).to(torch.int64).clamp_(max=bins - 1)
    rows = bin_of.reshape(n, -1) if pooling == "all" else bin_of.reshape(n * m, -1)  # one histogram a row
    rows = rows + bins * torch.arange(len(rows), device=rows.device).unsqueeze(1)
    counts = torch.bincount(rows.flatten(), minlength=len(rows) * bins).reshape(-1, bins).to(torch.float64)
    entropies = torch.special.entr(counts / counts.sum(dim=1, keepdim=True)).sum(dim=1)
    return entropies if pooling == "all" else entropies.reshape(n, m).mean(dim=1)


def _adjacency(similarity: Tensor, tau: float, edge: str) -> np.ndarray:
    """(n, n) bool: Algorithm 1."""
    _check(tau, edge)
    square = similarity.dim() == 2 and similarity.shape[0] == similarity.shape[1]
    require(square, "similarity.shape", tuple(similarity.shape), "(n, n)")
    values = similarity.detach().cpu().to(torch.float64).numpy()
    require(np.allclose(values, values.T, atol=1e-6), "similarity", "a matrix unlike its transpose", "symmetric")
    upper = np.triu(values >= tau if edge == ">=" else values > tau, k=1)  # pairs i < j, as Algorithm 1
    return upper | upper.T


def _rounds(adjacency: np.ndarray, scores: np.ndarray) -> Iterator[Round]:
    vertices = np.arange(len(adjacency))
    while adjacency.any():
        k, in_core = _innermost_core(adjacency)
        core = vertices[in_core]
        components = [[int(v) for v in core[c]] for c in _components(adjacency[np.ix_(in_core, in_core)])]
        kept = [max(component, key=lambda v: (scores[v], -v)) for component in components]
        yield Round(k, components, kept)
        # The vertices that go take all their edges along; those of the core that stay keep theirs to the rest.
        stays = ~in_core
        stays[np.searchsorted(vertices, kept)] = True
        adjacency, vertices = adjacency[np.ix_(stays, stays)], vertices[stays]


def _innermost_core(adjacency: np.ndarray) -> tuple[int, np.ndarray]:
    """The largest k with a non-empty k-core, and that core as a mask.

    Peeling: whoever has at most k neighbours left goes, k rising where nobody goes; the last to fall is the core.
    """
    degree = adjacency.sum(axis=1)
    alive = np.ones(len(adjacency), dtype=bool)
    k, core = 0, alive.copy()
    while alive.any():
        lowest = degree[alive].min()
        if lowest > k:
            k, core = int(lowest), alive.copy()
        falls = alive & (degree <= k)
        alive &= ~falls
        degree = degree - adjacency[:, falls].sum(axis=1)
    return k, core


def _components(adjacency: np.ndarray) -> list[np.ndarray]:
    """Connected components as arrays of vertices, each sorted, in the order of their first vertex."""
    unseen = np.ones(len(adjacency), dtype=bool)
    found = []
    while unseen.any():
        component = np.zeros(len(adjacency), dtype=bool)
        front = component.copy()
        front[np.argmax(unseen)] = True
        while front.any():
            component |= front
            front = adjacency[front].any(axis=0) & ~component
        found.append(np.flatnonzero(component))
        unseen &= ~component
    return found
