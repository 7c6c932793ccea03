"""What chance makes of a layer: random graphs of the same degrees, and random vectors of the same spectrum."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

ATTEMPTS = 30  # of exchanging the ends of two edges, for each edge of a graph


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


def same_spectrum(cosines: np.ndarray, seed: int | Sequence[int]) -> Tensor:
    """The absolute cosines of as many random vectors, which have the spectrum of the given ones: (n, n), float64.

    cosines : (n, n), signed, of the vectors of a layer; rows of zeros, of filters that say nothing, stay so

    The matrix of cosines is turned by a random rotation (Haar's measure) and scaled to ones on the diagonal again. So
    likenesses have the size that the layer's directions of large variance give them, and close triangles as cosines have to;
    but no filter has a direction that the layer prefers. The spectrum is kept up to the scaling.
    """
    live = np.flatnonzero(cosines.diagonal() > 0)
    n = len(live)
    values = np.linalg.eigvalsh(cosines[np.ix_(live, live)]).clip(0)
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    q *= np.sign(r.diagonal())  # what makes the rotation uniform
    turned = (q * values) @ q.T
    lengths = np.sqrt(turned.diagonal())
    upper = np.triu(np.abs(turned / np.outer(lengths, lengths)).clip(0, 1), 1)
    found = np.zeros(cosines.shape)
    found[np.ix_(live, live)] = upper + upper.T + np.eye(n)
    return torch.from_numpy(found)
