"""Communities of a graph, by four algorithms; modularity."""

import sys

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebook.errors import BadValue
from prunebook.methods import mrp


def cliques(*sizes: int, between: float = 0.0) -> np.ndarray:
    """Complete graphs of edges of weight 1; the first vertex of each joined with that of the next."""
    weights = np.zeros((sum(sizes), sum(sizes)))
    starts = np.cumsum([0, *sizes[:-1]])
    for start, size in zip(starts, sizes, strict=True):
        weights[start : start + size, start : start + size] = 1
    np.fill_diagonal(weights, 0)
    weights[starts[:-1], starts[1:]] = weights[starts[1:], starts[:-1]] = between
    return weights


def random_graph(n: int, seed: int, share: float = 0.3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    upper = np.triu(generator.random((n, n)) * (generator.random((n, n)) < share), 1)
    return upper + upper.T


@pytest.mark.parametrize("detector", mrp.DETECTORS)
def test_dense_groups_that_little_joins_are_the_communities_the_largest_first(detector):
    weights = cliques(4, 5, 4, between=0.1)
    wanted = [[4, 5, 6, 7, 8], [0, 1, 2, 3], [9, 10, 11, 12]]
    assert mrp.communities(weights, detector) == wanted


@pytest.mark.parametrize("detector", mrp.DETECTORS)
def test_the_weights_count_and_not_the_edges_alone(detector):
    weights = np.full((6, 6), 0.01) + cliques(3, 3)
    np.fill_diagonal(weights, 0)
    assert mrp.communities(weights, detector) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("detector", mrp.DETECTORS)
def test_a_vertex_without_edges_is_a_community(detector):
    weights = np.zeros((7, 7))
    weights[np.ix_([1, 3, 5], [1, 3, 5])] = 1 - np.eye(3)
    assert mrp.communities(weights, detector) == [[1, 3, 5], [0], [2], [4], [6]]
    assert mrp.communities(np.zeros((3, 3)), detector) == [[0], [1], [2]]
    assert mrp.communities(np.zeros((1, 1)), detector) == [[0]]


@pytest.mark.parametrize("detector", mrp.DETECTORS)
def test_a_complete_graph_is_one_community(detector):
    assert mrp.communities(cliques(6), detector) == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("detector", mrp.DETECTORS)
def test_a_seed_gives_the_same_communities_again_and_draws_from_no_generator_of_others(detector):
    weights, before = random_graph(40, 0), torch.random.get_rng_state()
    np.random.seed(0)
    first = [mrp.communities(weights, detector, seed) for seed in range(4)]
    np.random.seed(1)
    assert [mrp.communities(weights, detector, seed) for seed in range(4)] == first
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("detector", ["louvain", "leiden", "label-propagation"])
def test_another_seed_may_give_others(detector):
    weights = random_graph(40, 0, share=0.1)
    assert len({str(mrp.communities(weights, detector, seed)) for seed in range(10)}) > 1


@pytest.mark.parametrize("detector", ["louvain", "leiden", "greedy-modularity"])
def test_a_higher_resolution_gives_smaller_communities(detector):
    weights = cliques(*[4] * 8, between=1)
    counts = [len(mrp.communities(weights, detector, resolution=resolution)) for resolution in (0.05, 1, 20)]
    assert counts == sorted(counts)
    assert counts[0] < 8 == counts[1] < counts[2]


@given(n=st.integers(2, 12), seed=st.integers(0, 10**6), resolution=st.sampled_from([0.5, 1, 2.5]))
@settings(deadline=None)
def test_modularity_is_that_of_networkx(n, seed, resolution):
    weights, generator = random_graph(n, seed, 0.6), np.random.default_rng(seed)
    parts = generator.integers(0, 3, n)
    division = [np.flatnonzero(parts == part).tolist() for part in set(parts.tolist())]
    found = mrp.modularity(weights, division, resolution)
    if not weights.any():
        assert found == 0
    else:
        graph = nx.from_numpy_array(weights)
        assert found == pytest.approx(nx.community.modularity(graph, division, resolution=resolution), abs=1e-12)


def test_modularity_by_hand():
    assert mrp.modularity(cliques(3, 3), [[0, 1, 2], [3, 4, 5]]) == 0.5  # all inside; half of the ends in either
    assert mrp.modularity(cliques(2, 2), [[0, 2], [1, 3]]) == -0.5  # nothing inside
    assert mrp.modularity(cliques(5), [[0, 1, 2, 3, 4]]) == 0
    assert mrp.modularity(np.zeros((2, 2)), [[0], [1]]) == 0


@pytest.mark.parametrize("detector", ["louvain", "leiden", "greedy-modularity"])
def test_what_was_found_has_a_higher_modularity_than_chance(detector):
    weights = random_graph(30, 1)
    found = mrp.communities(weights, detector)
    shuffled = np.random.default_rng(0).permutation(30)
    moved = [[int(shuffled[vertex]) for vertex in members] for members in found]
    assert mrp.modularity(weights, found) > 0.2 > mrp.modularity(weights, moved)


def test_without_leidenalg_only_leiden_is_missing_and_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "leidenalg", None)
    with pytest.raises(BadValue, match="needs the package leidenalg, which is not installed: pip install leidenalg"):
        mrp.communities(cliques(3), "leiden")
    assert mrp.communities(cliques(3), "louvain") == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("weights", "options", "sentence"),
    [
        (np.zeros((2, 3)), {}, r"weights is \(2, 3\), but must be a numpy array \(n, n\), n at least 1"),
        (torch.zeros(2, 2), {}, "but must be a numpy array"),
        (np.array([[0, np.nan], [np.nan, 0]]), {}, "a matrix with NaN or infinity"),
        (np.array([[0, 1], [0, 0]]), {}, "a matrix unlike its transpose"),
        (np.array([[0, -1], [-1, 0]]), {}, "a matrix with a negative number"),
        (np.eye(2), {}, "a matrix with edges from a vertex to itself"),
        (cliques(3), {"detector": "lovain"}, "did you mean 'louvain'"),
        (cliques(3), {"seed": -1}, "seed is -1, but must be a whole number of at least 0"),
        (cliques(3), {"seed": 0.5}, "seed is 0.5, but must be a whole number"),
        (cliques(3), {"resolution": 0}, "resolution is 0, but must be a number above 0"),
        (cliques(3), {"detector": "label-propagation", "resolution": 2}, "1 for label propagation, which has none"),
    ],
)
def test_what_is_no_graph_or_no_option_is_refused(weights, options, sentence):
    with pytest.raises(BadValue, match=sentence):
        mrp.communities(weights, **options)


@pytest.mark.parametrize("division", [[[0, 1]], [[0, 1], [1, 2]], [[0, 1, 2], []], [[0, 1, 3]]])
def test_modularity_of_what_is_no_partition_is_refused(division):
    with pytest.raises(BadValue, match=r"but must be a partition of 0\.\.2"):
        mrp.modularity(cliques(3), division)
