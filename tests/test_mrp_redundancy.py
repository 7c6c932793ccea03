"""The level of redundancy of a layer, and the filter of it that goes next."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebook.errors import BadValue
from prunebook.methods import mrp


def graph(n: int, *edges: tuple[int, int, float]) -> np.ndarray:
    weights = np.zeros((n, n))
    for i, j, weight in edges:
        weights[i, j] = weights[j, i] = weight
    return weights


def literal_replaceable(weights, communities, l1, rule):
    """The rules read one after another, in exact fractions."""
    w = [[Fraction(value) for value in row] for row in weights.tolist()]

    def strength(filter, members):
        return sum(w[filter][other] for other in members)

    most = max(len(members) for members in communities)
    candidates = [members for members in communities if len(members) == most > 1]
    if not candidates:
        return None
    strongest = max(sum(strength(f, members) for f in members) for members in candidates)
    first = min(min(c) for c in candidates if sum(strength(f, c) for f in c) == strongest)
    members = next(members for members in candidates if first in members)
    if rule != "l1":
        wanted = {"replaceable": max, "least replaceable": min}[rule](strength(f, members) for f in members)
        members = [f for f in members if strength(f, members) == wanted]
    smallest = min(l1[f] for f in members)
    return min(f for f in members if l1[f] == smallest)


def test_redundancy_is_the_share_of_filters_that_are_one_too_many_in_their_community():
    assert mrp.redundancy(8, [[0, 1, 2, 3], [4, 5], [6], [7]]) == 0.5
    assert mrp.redundancy(4, [[0, 1, 2, 3]]) == 0.75
    assert mrp.redundancy(3, [[0], [1], [2]]) == 0
    assert mrp.redundancy(1, [[0]]) == 0


def test_weighted_by_modularity_a_division_without_structure_counts_for_nothing():
    apart = graph(4, (0, 1, 0.5), (2, 3, 0.5))
    assert mrp.redundancy(4, [[0, 1], [2, 3]], apart, "modularity") == 0.5 * 0.5
    assert mrp.redundancy(4, [[0, 2], [1, 3]], apart, "modularity") == 0  # whose modularity is -1/2
    assert mrp.redundancy(4, [[0, 1, 2, 3]], apart, "modularity") == 0
    assert mrp.redundancy(2, [[0], [1]], np.zeros((2, 2)), "modularity") == 0


def test_silent_filters_are_in_no_community_and_count_as_redundant():
    assert mrp.redundancy(4, [[0, 1], [2]], silent=[3]) == 0.5
    assert mrp.redundancy(2, [], silent=[0, 1]) == 1
    assert mrp.speaking([[0, 1], [2], [3]], [3]) == [[0, 1], [2]]
    apart = graph(5, (0, 1, 0.5), (2, 3, 0.5))
    assert mrp.redundancy(5, [[0, 1], [2, 3]], apart, "modularity", silent=[4]) == pytest.approx(0.6 * 0.5)
    with pytest.raises(BadValue, match=r"but must be a partition of 0\.\.2"):
        mrp.redundancy(3, [[0, 1], [2]], silent=[2])


def test_redundancy_of_what_is_no_partition_or_kind_or_without_weights_is_refused():
    with pytest.raises(BadValue, match=r"but must be a partition of 0\.\.2"):
        mrp.redundancy(3, [[0, 1]])
    with pytest.raises(BadValue, match="did you mean 'count'"):
        mrp.redundancy(2, [[0, 1]], kind="counts")
    with pytest.raises(BadValue, match="'modularity' needs weights"):
        mrp.redundancy(2, [[0, 1]], kind="modularity")


def test_the_strongest_inside_the_largest_community_goes():
    weights = graph(6, (0, 1, 0.5), (1, 2, 0.5), (0, 3, 0.9), (3, 4, 1), (3, 5, 0.125))
    l1 = np.arange(6.0)
    assert mrp.replaceable(weights, [[0, 1, 2], [3, 4], [5]], l1) == 1  # what 0 and 3 have outside does not count
    assert mrp.replaceable(weights, [[0, 1, 2], [3, 4], [5]], l1, "least replaceable") == 0
    assert mrp.replaceable(weights, [[0, 1, 2], [3, 4], [5]], np.array([2, 2, 1, 0, 0, 0]), "l1") == 2


def test_ties_go_to_the_stronger_community_the_smaller_norm_and_the_lower_number():
    weights = graph(4, (0, 1, 0.5), (2, 3, 0.75))
    l1 = np.array([1.0, 1.0, 3.0, 2.0])
    assert mrp.replaceable(weights, [[0, 1], [2, 3]], l1) == 3
    assert mrp.replaceable(weights, [[0, 1]], l1) == 0
    assert mrp.replaceable(graph(4, (0, 1, 0.5), (2, 3, 0.5)), [[2, 3], [0, 1]], l1) == 0


@pytest.mark.parametrize("rule", mrp.RULES)
def test_no_filter_goes_where_every_community_has_one(rule):
    weights = graph(3, (0, 1, 1), (1, 2, 1))
    assert mrp.replaceable(weights, [[0], [1], [2]], np.ones(3), rule, torch.Generator()) is None
    assert mrp.replaceable(weights, [], np.ones(3), rule, torch.Generator()) is None


def test_filters_that_are_in_no_community_are_gone():
    weights = graph(5, (0, 1, 1), (1, 2, 1), (3, 4, 0.1))
    assert mrp.replaceable(weights, [[0], [2], [3, 4]], np.ones(5)) == 3


def test_a_drawn_filter_is_of_the_largest_community_and_any_of_it():
    weights, generator = graph(5, (0, 1, 1), (2, 3, 1), (3, 4, 1)), torch.Generator().manual_seed(0)
    drawn = [mrp.replaceable(weights, [[2, 3, 4], [0, 1]], np.ones(5), "random", generator) for _ in range(60)]
    assert set(drawn) == {2, 3, 4}
    again = torch.Generator().manual_seed(0)
    assert drawn[:9] == [mrp.replaceable(weights, [[2, 3, 4], [0, 1]], np.ones(5), "random", again) for _ in range(9)]
    with pytest.raises(BadValue, match=r"generator is None, but must be a torch.Generator for rule 'random'"):
        mrp.replaceable(weights, [[2, 3, 4], [0, 1]], np.ones(5), "random")


@given(n=st.integers(1, 10), seed=st.integers(0, 10**6), rule=st.sampled_from(["replaceable", "l1", "least replaceable"]))
@settings(deadline=None)
def test_the_next_filter_is_that_of_the_rules_read_literally(n, seed, rule):
    generator = np.random.default_rng(seed)
    upper = np.triu(generator.integers(0, 4, (n, n)) / 4, 1)
    parts, l1 = generator.integers(0, 3, n), generator.integers(0, 3, n)
    communities = [np.flatnonzero(parts == part).tolist() for part in set(parts.tolist())]
    weights = upper + upper.T
    assert mrp.replaceable(weights, communities, l1, rule) == literal_replaceable(weights, communities, l1.tolist(), rule)


def test_an_unknown_rule_is_refused():
    with pytest.raises(BadValue, match="did you mean 'replaceable'"):
        mrp.replaceable(np.zeros((2, 2)), [[0, 1]], np.ones(2), "replacable")


def test_norms_are_sums_of_absolute_weights_and_equal_where_rounding_alone_differs():
    row = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    orders = [row, row.flip(0), -row.sort().values, torch.zeros(500, dtype=torch.float64)]
    assert len({sum(order.abs().tolist()) for order in orders}) > 2
    found = mrp.norms(torch.stack(orders).view(4, 5, 10, 10))
    assert found == pytest.approx([float(row.abs().sum())] * 3 + [0])
    assert found[0] == found[1] == found[2]
