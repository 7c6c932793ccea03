"""RMCD, first half: communities of a layer's filters. The abstract says "community detection" and names no algorithm.

References
----------
.. [1] Blondel, Guillaume, Lambiotte, Lefebvre: Fast unfolding of communities in large networks, J. Stat. Mech. 2008 P10008.
.. [2] Traag, Waltman, van Eck: From Louvain to Leiden: guaranteeing well-connected communities, Scientific Reports 9, 2019.
.. [3] Raghavan, Albert, Kumara: Near linear time algorithm to detect community structures in large-scale networks, Physical
       Review E 76, 036106, 2007.
.. [4] Clauset, Newman, Moore: Finding community structure in very large networks, Physical Review E 70, 066111, 2004.
.. [5] Newman: Analysis of weighted networks, Physical Review E 70, 056131, 2004.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import networkx as nx
import numpy as np

from prunebook.errors import BadValue, choose, require

DETECTORS = ("louvain", "leiden", "label-propagation", "greedy-modularity")


def communities(weights: np.ndarray, detector: str = "louvain", seed: int = 0, resolution: float = 1.0) -> list[list[int]]:
    """The communities of a graph: every vertex is in one of them.

    Parameters
    ----------
    weights : numpy array (n, n)
        Of the edges, 0 where there is none; see `filter_graph`.
    detector : {"louvain", "leiden", "label-propagation", "greedy-modularity"}
        networkx's Louvain [1]_, asynchronous label propagation with weights [3]_ and greedy modularity [4]_, or Leiden
        [2]_ of the package leidenalg, until nothing improves any more. Greedy modularity draws nothing.
    seed : int
        The same graph and seed give the same communities, on every run.
    resolution : float above 0
        Of modularity: the higher, the smaller the communities. Label propagation has none.

    Returns
    -------
    list of lists
        Each sorted; the largest first, of equally large ones that with the lowest number. Vertices without an edge are
        communities of one.

    Raises
    ------
    BadValue
        A parameter out of its range, weights that are not square, symmetric, finite, at least 0 and 0 on the diagonal, or
        "leiden" where leidenalg is not installed.
    """
    check_detector(detector, seed, resolution)
    _check_weights(weights)
    degrees = np.count_nonzero(weights, axis=1)
    joined = np.flatnonzero(degrees)
    found: list[list[int]] = [[int(alone)] for alone in np.flatnonzero(degrees == 0)]
    if len(joined):
        ends = np.argwhere(np.triu(weights[np.ix_(joined, joined)]))
        edges = [(int(i), int(j), float(weights[joined[i], joined[j]])) for i, j in ends]
        parts = _DETECT[detector](len(joined), edges, seed, resolution)
        found += [sorted(int(joined[vertex]) for vertex in part) for part in parts]
    return sorted(found, key=lambda members: (-len(members), members[0]))


def modularity(weights: np.ndarray, communities: Sequence[Sequence[int]], resolution: float = 1.0) -> float:
    """How much more of the edges' weight lies inside communities than chance would put there: weighted modularity [5]_.

    Q = sum over communities of w_in / w - resolution (s / 2 w)^2, with w the weight of all edges, w_in that of the edges
    inside, and s the sum of its members' strengths. In [-1/2, 1] for resolution 1; 0 for a graph without edges.

    Raises BadValue for `weights` as in `communities`, or unless every vertex is in one of `communities`.
    """
    _check_weights(weights)
    check_communities(communities, len(weights))
    strengths = weights.sum(axis=1)
    twice = float(strengths.sum())
    if twice == 0:
        return 0.0
    inside = [float(weights[np.ix_(members, members)].sum()) / twice for members in communities]
    expected = [resolution * (float(strengths[list(members)].sum()) / twice) ** 2 for members in communities]
    return math.fsum(inside) - math.fsum(expected)


def check_detector(detector: str, seed: int, resolution: float) -> None:
    """Raise BadValue unless these are parameters of `communities`."""
    choose("detector", detector, DETECTORS)
    require(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0, "seed", seed, "a whole number of at least 0")
    number = isinstance(resolution, int | float) and not isinstance(resolution, bool)
    require(number and 0 < resolution < math.inf, "resolution", resolution, "a number above 0")
    if detector == "label-propagation":
        require(resolution == 1, "resolution", resolution, "1 for label propagation, which has none")
    if detector == "leiden":
        _leidenalg()


def check_communities(communities: Sequence[Sequence[int]], n: int) -> None:
    """Raise BadValue unless each of `n` vertices is in one of `communities`, and none of these is empty."""
    vertices = sorted(vertex for members in communities for vertex in members)
    whole = vertices == list(range(n)) and all(len(members) > 0 for members in communities)
    require(whole, "communities", [list(members) for members in communities], f"a partition of 0..{n - 1}")


Edges = list[tuple[int, int, float]]


def _louvain(n: int, edges: Edges, seed: int, resolution: float) -> Iterable[Iterable[int]]:
    return nx.community.louvain_communities(_graph(n, edges), resolution=resolution, seed=seed)


def _label_propagation(n: int, edges: Edges, seed: int, resolution: float) -> Iterable[Iterable[int]]:
    return nx.community.asyn_lpa_communities(_graph(n, edges), weight="weight", seed=seed)


def _greedy_modularity(n: int, edges: Edges, seed: int, resolution: float) -> Iterable[Iterable[int]]:
    return nx.community.greedy_modularity_communities(_graph(n, edges), weight="weight", resolution=resolution)


def _leiden(n: int, edges: Edges, seed: int, resolution: float) -> Iterable[Iterable[int]]:
    igraph, leidenalg = _leidenalg()
    graph = igraph.Graph(n, [(i, j) for i, j, _ in edges])
    return leidenalg.find_partition(
        graph,
        leidenalg.RBConfigurationVertexPartition,
        weights=[weight for _, _, weight in edges],
        resolution_parameter=resolution,
        seed=seed,
        n_iterations=-1,
    )


_DETECT: dict[str, Callable[[int, Edges, int, float], Iterable[Iterable[int]]]] = {
    "louvain": _louvain,
    "leiden": _leiden,
    "label-propagation": _label_propagation,
    "greedy-modularity": _greedy_modularity,
}


def _graph(n: int, edges: Edges) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(edges)
    return graph


def _leidenalg():  # type: ignore[no-untyped-def]
    """The modules igraph and leidenalg: here, because they are an extra, under the GPL."""
    try:
        import igraph
        import leidenalg
    except ImportError:
        raise BadValue(
            "detector 'leiden' needs the package leidenalg, which is not installed: pip install leidenalg"
        ) from None
    return igraph, leidenalg


def _check_weights(weights: np.ndarray) -> None:
    square = isinstance(weights, np.ndarray) and weights.ndim == 2 and weights.shape[0] == weights.shape[1] > 0
    require(square, "weights", getattr(weights, "shape", type(weights).__name__), "a numpy array (n, n), n at least 1")
    require(bool(np.isfinite(weights).all()), "weights", "a matrix with NaN or infinity", "finite numbers only")
    require(bool((weights == weights.T).all()), "weights", "a matrix unlike its transpose", "symmetric")
    require(bool((weights >= 0).all()), "weights", "a matrix with a negative number", "at least 0")
    require(not weights.diagonal().any(), "weights", "a matrix with edges from a vertex to itself", "0 on the diagonal")
