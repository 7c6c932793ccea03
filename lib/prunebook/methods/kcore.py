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

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

from prunebook import cutting, features, phash
from prunebook.errors import choose, require
from prunebook.plan import PruningPlan

SCORES = ("entropy", "l1", "random", "degree")
EDGES = (">=", ">")
COUPLED = ("lead", "keep")


class Round(NamedTuple):
    """One round of Algorithm 2: the innermost core's k, its components, and the filter that stays of each."""

    k: int
    components: list[list[int]]
    kept: list[int]


def plan(
    model: nn.Module,
    images: Tensor,
    tau: float,
    score: str = "entropy",
    hash: str = "dct-mean",
    seed: int = 0,
    *,
    edge: str = ">=",
    bins: int = 256,
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
    score : {"entropy", "l1", "random", "degree"}
        Which filter stays of a redundant group: highest entropy (Eq. 3 and 4), largest sum of absolute weights, one drawn
        at random (the paper's "k-core only"), or most neighbours in the layer's graph. Ties: the first filter.
    hash : {"dct-mean", "imagehash"}
        Reading of pHash, see `prunebook.phash`.
    seed : int
        Used by ``score="random"`` only.
    edge : {">=", ">"}
        Whether a similarity of exactly tau makes an edge. The paper writes ">", the public code of its line of work ">=".
    bins : int
        Of the entropy's histogram.
    mode : {"eval", "train"}
        Of the network while it makes the feature maps.
    coupled : {"lead", "keep"}
        Where layers have to keep the same filters (a residual stage), "lead" lets one of them decide for all
        (see `lead`), "keep" leaves all of them whole.

    Returns
    -------
    PruningPlan
        It names every convolution, those that follow another included.

    Raises
    ------
    BadValue
        A parameter out of its range, before anything is computed.
    """
    _check(tau, edge)
    choose("score", score, SCORES)
    choose("hash", hash, phash.KINDS)
    choose("coupled", coupled, COUPLED)
    require(isinstance(bins, int) and bins >= 2, "bins", bins, "a whole number of at least 2")
    require(images.dim() == 4 and len(images) > 0, "images.shape", tuple(images.shape), "(m, c, h, w), m at least 1")
    convolutions = features.convolutions(model)
    groups = cutting.coupled_layers(model, images[:1])
    deciding = {lead(group): group for group in groups if len(group) == 1 or coupled == "lead"}
    generator = torch.Generator().manual_seed(seed)

    def decide(name: str, maps: Tensor) -> list[int]:
        similarity = phash.similarity(phash.hashes(maps, hash))
        if score == "entropy":
            scores = entropy(maps, bins)
        elif score == "l1":
            scores = convolutions[name].weight.detach().abs().flatten(1).sum(1)
        elif score == "random":
            scores = torch.rand(maps.shape[1], generator=generator)
        else:
            scores = degrees(similarity, tau, edge)
        return select(similarity, scores, tau, edge)

    decisions = features.visit(model, images, decide, deciding, mode) if deciding else {}
    keep = {member: decisions[leader] for leader, group in deciding.items() for member in group}
    in_order = {name: keep.get(name, list(range(layer.out_channels))) for name, layer in convolutions.items()}
    parameters = {"tau": tau, "score": score, "hash": hash, "seed": seed, "edge": edge, "bins": bins, "mode": mode}
    parameters |= {"coupled": coupled, "images": len(images)}
    widths = {name: layer.out_channels for name, layer in convolutions.items()}
    return PruningPlan(in_order, widths, "kcore", parameters)


def lead(group: Sequence[str]) -> str:
    """The layer that decides for its group of coupled layers (names in order of execution).

    The convolution on the stage's shortcut where there is one, else the first that writes into the stage: the stem, or,
    with a shortcut that has no weights, the last convolution of the stage's first block. So does the predecessor's public
    code. Section 3.5.2 has it the other way round: the main path sets the number, and the shortcut adapts.
    """
    return next((name for name in group if "shortcut" in name or "downsample" in name), group[0])


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


def entropy(maps: Tensor, bins: int = 256) -> Tensor:
    """Shannon entropy of each filter's activations (Eq. 3), in nats.

    The paper does not say how it estimates p(x). Here: one histogram a filter over all its activations, all images and
    places pooled, with `bins` equal bins from the filter's smallest to its largest activation.

    Parameters
    ----------
    maps : Tensor (m, n, h, w)
    bins : int, at least 2

    Returns
    -------
    Tensor (n,), float64
        In [0, log(bins)]; 0 for a filter that always gives the same value.
    """
    require(maps.dim() == 4 and maps.numel() > 0, "maps.shape", tuple(maps.shape), "(m, n, h, w) without a zero")
    require(isinstance(bins, int) and bins >= 2, "bins", bins, "a whole number of at least 2")
    n = maps.shape[1]
    values = maps.detach().transpose(0, 1).reshape(n, -1).to(torch.float64)
    require(bool(torch.isfinite(values).all()), "maps", "a tensor with NaN or infinity", "finite numbers only")
    low, high = values.aminmax(dim=1, keepdim=True)
    span = torch.where(high > low, high - low, 1)
    bin_of = values.sub_(low).mul_(bins / span).to(torch.int64).clamp_(max=bins - 1)
    bin_of += bins * torch.arange(n, device=maps.device).unsqueeze(1)
    counts = torch.bincount(bin_of.flatten(), minlength=n * bins).reshape(n, bins).to(torch.float64)
    share = counts / counts.sum(dim=1, keepdim=True)
    return torch.special.entr(share).sum(dim=1)


def degrees(similarity: Tensor, tau: float, edge: str = ">=") -> Tensor:
    """Number of redundant partners of each filter: the vertex degrees of the layer's graph, (n,) float64."""
    return torch.from_numpy(_adjacency(similarity, tau, edge).sum(axis=1).astype(np.float64))


def redundancy_graph(similarity: Tensor, tau: float, edge: str = ">=") -> nx.Graph:
    """The graph of Algorithm 1 for networkx: vertices 0..n-1, an edge where two filters count as redundant."""
    return nx.from_numpy_array(_adjacency(similarity, tau, edge))


def _check(tau: float, edge: str) -> None:
    require(isinstance(tau, int | float) and 0 <= tau <= 1, "tau", tau, "a number from 0 to 1")
    choose("edge", edge, EDGES)


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
