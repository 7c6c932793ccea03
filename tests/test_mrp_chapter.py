"""The chapter on MRP: its example, its exercises, what it says of noise, of modularity and of the abstract's numbers."""

import inspect
import math
import re
from itertools import pairwise, product
from typing import NamedTuple

import chapters
import numpy as np
import pytest
import torch
from reported import frame
from scipy.optimize import linprog

from prunebook import measure, models, roles
from prunebook.methods import mrp


@pytest.mark.parametrize("label", chapters.exercises("mrp"))
def test_the_printed_solution_of_an_exercise_passes_its_printed_check(label: str) -> None:
    chapters.solve("mrp", label)


def test_the_chapter_has_exercises_whose_checks_need_a_solution() -> None:
    assert chapters.unsolved("mrp") == chapters.exercises("mrp") == ["ex-modularity", "ex-noise", "ex-rewire", "ex-srp"]


def test_the_table_of_choices_names_options_of_the_plan_and_its_defaults_are_the_chapter_s() -> None:
    table = chapters.text("mrp").split(":name: mrp-choices\n")[1].split("```")[0]
    names = {name for line in table.splitlines() if line.startswith("  - `") for name in re.findall(r"`(\w+)`", line)}
    options = inspect.signature(mrp.plan).parameters
    of_the_study = {"roles", "draws", "nulls", "untrained"}
    assert names - of_the_study == options.keys() - {"model", "layer", "example_inputs"}
    printed = {
        "measure": "maps", "mode": "eval", "sparsify": "quantile", "quantile": 0.9, "neighbours": 5, "edges": "anew",
        "likeness": "once",
        "detector": "louvain", "resolution": 1.0, "kind": "count", "rule": "replaceable", "layer": "redundant", "step": 0.02,
        "scope": "internal", "counter": "macs",
    }  # fmt: skip
    assert {name: options[name].default for name in printed} == printed


# --- The example: six filters. ---

PAIRS = {
    "AB": 0.9, "AC": 0.8, "AD": 0.1, "AE": 0.1, "AF": 0.0, "BC": 0.7, "BD": 0.1, "BE": 0.0, "BF": 0.1, "CD": 0.6, "CE": 0.1,
    "CF": 0.1, "DE": 0.2, "DF": 0.1, "EF": 0.8,
}  # fmt: skip
L1 = np.array([3.0, 2.0, 4.0, 1.0, 5.0, 1.0])


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    """Of the example's edges."""
    similarity = torch.eye(6, dtype=torch.float64)
    for (first, second), likeness in PAIRS.items():
        i, j = "ABCDEF".index(first), "ABCDEF".index(second)
        similarity[i, j] = similarity[j, i] = likeness
    return mrp.filter_graph(similarity, sparsify="threshold", threshold=0.2)


def named(communities: list[list[int]], left: list[int]) -> list[str]:
    return ["".join("ABCDEF"[left[member]] for member in members) for members in communities]


def loop(weights: np.ndarray, rule: str = "replaceable") -> list[tuple]:
    """Communities, Q, R, R Q and the filter that goes, with its internal strength, until none can."""
    left, steps = list(range(len(weights))), []
    while True:
        edges = weights[np.ix_(left, left)]
        found = mrp.communities(edges)
        numbers = [mrp.modularity(edges, found), mrp.redundancy(len(left), found)]
        numbers.append(mrp.redundancy(len(left), found, edges, kind="modularity"))
        goes = mrp.replaceable(edges, found, L1[left], rule=rule)
        row = (named(found, left), *(round(number, 3) for number in numbers))
        if goes is None:
            return [*steps, (*row, None, None)]
        (members,) = [members for members in found if goes in members]
        steps.append((*row, "ABCDEF"[left[goes]], round(edges[goes, members].sum(), 3)))
        del left[goes]


def test_the_example_s_six_likest_pairs_are_joined(weights: np.ndarray) -> None:
    assert np.count_nonzero(weights) == 12
    assert weights.sum() / 2 == pytest.approx(4)
    assert weights.sum(axis=1).tolist() == pytest.approx([1.7, 1.6, 2.1, 0.8, 1.0, 0.8])


def partitions(n: int) -> list[list[list[int]]]:
    """Every division of 0..n-1."""
    labels = [label for label in product(range(n), repeat=n) if all(a <= max(label[:i], default=-1) + 1
              for i, a in enumerate(label))]  # fmt: skip
    return [[[i for i in range(n) if label[i] == part] for part in range(max(label) + 1)] for label in labels]


def test_no_other_division_of_the_example_is_better(weights: np.ndarray) -> None:
    every = sorted(partitions(6), key=lambda division: -mrp.modularity(weights, division))
    assert len(every) == 203
    assert named(every[0], list(range(6))) == ["ABCD", "EF"]
    assert named(every[1], list(range(6))) == ["ABC", "DEF"]
    assert [mrp.modularity(weights, division) for division in every[:2]] == pytest.approx([0.29875, 0.28875])
    parts = [0.75 - (6.2 / 8) ** 2, 0.2 - (1.8 / 8) ** 2]
    assert parts == pytest.approx([0.1494, 0.1494], abs=5e-5)


@pytest.mark.parametrize("detector", ["louvain", "label-propagation", "greedy-modularity"])
def test_the_detectors_agree_on_the_example(weights: np.ndarray, detector: str) -> None:
    assert mrp.communities(weights, detector=detector) == [[0, 1, 2, 3], [4, 5]]


def test_the_example_loses_c_then_e_then_b_and_stops(weights: np.ndarray) -> None:
    assert loop(weights) == [
        (["ABCD", "EF"], 0.299, 0.667, 0.199, "C", 2.1),
        (["DEF", "AB"], 0.499, 0.6, 0.299, "E", 1.0),
        (["AB", "D", "F"], 0, 0.25, 0, "B", 0.9),
        (["A", "D", "F"], 0, 0, 0, None, None),
    ]


def test_the_control_leaves_one_filter_of_each_community_of_the_example(weights: np.ndarray) -> None:
    steps = loop(weights, rule="least replaceable")
    assert [step[4] for step in steps] == ["D", "C", "B", "F", None]
    assert steps[-1][0] == ["A", "E"]


# --- Likeness and roles. ---


def test_those_who_are_tied_are_tied_alike_within_the_printed_bound() -> None:
    a, b, c = torch.nn.functional.normalize(torch.randn(3, 20_000, 3, generator=torch.Generator().manual_seed(0)), dim=2)
    ab, ac, bc = (abs((x * y).sum(1)) for x, y in [(a, b), (a, c), (b, c)])
    assert bool((abs(ac - bc) <= (2 - 2 * ab).clamp(min=0).sqrt() + 1e-6).all())
    assert math.sqrt(2 - 2 * 0.98) == pytest.approx(0.2)
    assert math.sqrt(2 - 2 * 0.5) == pytest.approx(1)
    passed_on = (ab > 0.708) & (bc > 0.708)
    assert ac[passed_on].min() > 0
    assert ac[(ab > 0.6) & (bc > 0.6)].min() < 0.01


# --- What a count of communities knows. ---


def test_pairs_of_triangles_in_a_ring_of_ten_are_better_than_triangles() -> None:
    weights = np.kron(np.eye(10), 1 - np.eye(3))
    for triangle in range(10):
        i, j = 3 * triangle, (3 * triangle + 4) % 30
        weights[i, j] = weights[j, i] = 1
    single = [[3 * triangle, 3 * triangle + 1, 3 * triangle + 2] for triangle in range(10)]
    pairs = [single[i] + single[i + 1] for i in range(0, 10, 2)]
    assert [mrp.modularity(weights, single), mrp.modularity(weights, pairs)] == pytest.approx([0.65, 0.675])
    assert [mrp.redundancy(30, single), mrp.redundancy(30, pairs)] == pytest.approx([20 / 30, 25 / 30])


@pytest.mark.parametrize(("size", "edges"), [(6, 3), (5, 2), (4, 1), (3, 1), (2, 1)])
def test_two_groups_of_a_layer_of_64_become_one_by_so_many_edges(size: int, edges: int) -> None:
    """Among 202 edges of weight 1, of which the others are a third community far away."""

    def gain(between: int) -> float:
        weights = np.zeros((64, 64))
        weights[:size, :size] = weights[size : 2 * size, size : 2 * size] = 1 - np.eye(size)
        for i, j in list(product(range(size), range(size, 2 * size)))[:between]:
            weights[i, j] = weights[j, i] = 1
        rest = [(i, j) for i, j in product(range(2 * size, 64), repeat=2) if i < j]
        for i, j in rest[: 202 - np.count_nonzero(weights) // 2]:
            weights[i, j] = weights[j, i] = 1
        assert np.count_nonzero(weights) == 2 * 202
        one, other, far = list(range(size)), list(range(size, 2 * size)), list(range(2 * size, 64))
        return mrp.modularity(weights, [one + other, far]) - mrp.modularity(weights, [one, other, far])

    assert gain(edges) > 0
    assert gain(edges - 1) < 0


def noise(n: int, seed: int, power: float = 0) -> torch.Tensor:
    """Likenesses of n filters that have nothing to do with each other; the k-th number's variance is 1 / k^power."""
    rows = torch.randn(n, 1000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = rows * torch.arange(1, 1001, dtype=torch.float64) ** (-power / 2)
    upper = (torch.nn.functional.normalize(rows, dim=1) @ torch.nn.functional.normalize(rows, dim=1).T).abs().triu(1)
    return upper + upper.T + torch.eye(n)


@pytest.mark.parametrize(
    ("n", "options", "edges", "communities", "modularity"),
    [
        (16, {"quantile": 0.9}, 12, 6.9, 0.50),
        (32, {"quantile": 0.9}, 50, 6.3, 0.45),
        (64, {"quantile": 0.9}, 202, 6.4, 0.34),
        (16, {"sparsify": "knn", "neighbours": 5}, 48, 3.4, 0.22),
        (32, {"sparsify": "knn", "neighbours": 5}, 98, 4.8, 0.30),
        (64, {"sparsify": "knn", "neighbours": 5}, 198, 6.4, 0.35),
    ],
)
def test_noise_has_as_many_communities_as_the_table_says(
    n: int, options: dict, edges: int, communities: float, modularity: float
) -> None:
    """12 draws instead of the table's 100, of other seeds; the tolerance is more than twice their standard error."""
    graphs = [mrp.filter_graph(noise(n, 1000 + draw), **options) for draw in range(12)]
    found = [mrp.communities(graph) for graph in graphs]
    assert np.mean([np.count_nonzero(graph) / 2 for graph in graphs]) == pytest.approx(edges, abs=1)
    assert np.mean([len(each) for each in found]) == pytest.approx(communities, abs=0.7)
    levels = [mrp.modularity(graph, each) for graph, each in zip(graphs, found, strict=True)]
    assert np.mean(levels) == pytest.approx(modularity, abs=0.05)


@pytest.mark.parametrize(
    ("power", "n", "likeness", "communities", "modularity", "rewired"),
    [
        (0, 64, 0.03, 6.4, 0.34, 0.34), (1, 16, 0.12, 8.7, 0.32, 0.28), (1, 32, 0.12, 11.9, 0.33, 0.27),
        (1, 64, 0.12, 15.3, 0.30, 0.24), (2, 16, 0.43, 9.4, 0.27, 0.19), (2, 32, 0.42, 15.9, 0.27, 0.20),
        (2, 64, 0.42, 24.8, 0.27, 0.18),
    ],
)  # fmt: skip
def test_noise_of_few_directions_has_what_the_second_table_says(
    power: float, n: int, likeness: float, communities: float, modularity: float, rewired: float
) -> None:
    """24 draws instead of the table's 100, of other seeds; the tolerance is three of their standard errors at least."""
    alike = [noise(n, 1000 + draw, power) for draw in range(24)]
    graphs = [mrp.filter_graph(each, quantile=0.9) for each in alike]
    found = [mrp.communities(graph) for graph in graphs]
    pairs = np.triu_indices(n, 1)
    assert np.mean([each.numpy()[pairs].mean() for each in alike]) == pytest.approx(likeness, abs=0.03)
    assert np.mean([len(each) for each in found]) == pytest.approx(communities, abs=2.7)
    levels = [mrp.modularity(graph, each) for graph, each in zip(graphs, found, strict=True)]
    assert np.mean(levels) == pytest.approx(modularity, abs=0.09)
    nulls = [null for draw, graph in enumerate(graphs) if (null := roles.rewired(graph, draw)) is not None]
    chance = [mrp.modularity(null, mrp.communities(null)) for null in nulls]
    assert np.mean(chance) == pytest.approx(rewired, abs=0.08)
    if n == 64:
        assert (np.mean(levels) > np.mean(chance) + 0.03) == (power > 0)


def test_the_table_s_redundancies_follow_from_its_communities() -> None:
    printed = {(16, 6.9): 0.57, (32, 6.3): 0.80, (64, 6.4): 0.90, (16, 3.4): 0.79, (32, 4.8): 0.85}
    printed |= {(16, 8.7): 0.46, (32, 11.9): 0.63, (64, 15.3): 0.76, (16, 9.4): 0.41, (32, 15.9): 0.50, (64, 24.8): 0.61}
    for (n, communities), level in printed.items():
        assert 1 - communities / n == pytest.approx(level, abs=0.006)


def test_a_layer_has_redundancy_just_as_long_as_it_has_edges() -> None:
    for seed in range(20):
        weights = mrp.filter_graph(noise(12, seed), quantile=0.7)
        left = list(range(12))
        while np.count_nonzero(edges := weights[np.ix_(left, left)]):
            found = mrp.communities(edges)
            assert mrp.redundancy(len(left), found) > 0
            left.remove(left[int(edges.sum(axis=1).argmax())])
        assert mrp.redundancy(len(left), mrp.communities(edges)) == 0


def test_twenty_equal_filters_of_a_layer_of_64_let_33_stay() -> None:
    similarity = noise(64, 0)
    similarity[:20, :20] = 0.99
    weights = mrp.filter_graph(similarity.fill_diagonal_(1), quantile=0.9)
    assert np.count_nonzero(np.triu(weights)) == 202
    assert np.count_nonzero(np.triu(weights[:20, :20])) == 190
    left = list(range(64))
    while True:
        edges = weights[np.ix_(left, left)]
        goes = mrp.replaceable(edges, mrp.communities(edges), np.ones(len(left)))
        if goes is None:
            break
        del left[goes]
    assert len(left) >= 64 - 19 - 12 == 33


SIZES = [16] * 3 + [32] * 3 + [64] * 3


class Halved(NamedTuple):
    """Nine layers of noise after SRP: how wide they are, the share of the parameters that is gone, and redundancies.

    chosen : layer and redundancy of each iteration, before a filter went
    levels : of the layers in the end
    """

    left: list[int]
    params: float
    chosen: list[tuple[int, float]]
    levels: list[float]


def halved(options: dict, once: bool, seed: int) -> Halved:
    """What SRP leaves of nine layers of noise, each with a ninth of the MACs, when half of these are gone.

    The loop is written out here once more, independently of `mrp.plan`.
    """
    likeness = [noise(n, seed + number) for number, n in enumerate(SIZES)]
    graphs = [mrp.filter_graph(alike, **options) for alike in likeness]
    found = [mrp.communities(graph) for graph in graphs]
    left = [list(range(n)) for n in SIZES]
    history = []

    def level(number: int) -> float:
        return mrp.redundancy(len(left[number]), found[number])

    while sum(1 - len(filters) / n for filters, n in zip(left, SIZES, strict=True)) < 0.5 * len(SIZES):
        chosen = min(range(len(SIZES)), key=lambda number: len(found[number]) / len(left[number]))
        goes = mrp.replaceable(graphs[chosen], found[chosen], np.ones(len(left[chosen])))
        assert goes is not None
        history.append((chosen, level(chosen)))
        del left[chosen][goes]
        if once:
            graphs[chosen] = np.delete(np.delete(graphs[chosen], goes, axis=0), goes, axis=1)
        else:
            graphs[chosen] = mrp.filter_graph(likeness[chosen][np.ix_(left[chosen], left[chosen])], **options)
        found[chosen] = mrp.communities(graphs[chosen])
    gone = [(1 - len(filters) / n) * n**2 for filters, n in zip(left, SIZES, strict=True)]
    params = sum(gone) / sum(n**2 for n in SIZES)
    return Halved([len(filters) for filters in left], params, history, [level(number) for number in range(len(SIZES))])


@pytest.mark.parametrize("options", [{"quantile": 0.9}, {"sparsify": "knn", "neighbours": 5}])
def test_the_loop_brings_layers_of_noise_to_one_width_and_removes_70_percent_of_their_parameters(options: dict) -> None:
    left, params, chosen, levels = halved(options, once=False, seed=50)
    assert min(left) >= 9
    assert max(left) <= 20
    assert np.mean(left) == pytest.approx(14, abs=1)
    assert [np.mean(left[i : i + 3]) for i in (0, 3, 6)] == pytest.approx([14] * 3, abs=3)
    assert params == pytest.approx(0.7, abs=0.025)
    rises = [one for one, after in pairwise(chosen) if one[0] == after[0] and one[1] < after[1]]
    assert len(rises) > 10  # the redundancy of a layer by the loss of a filter
    last, level = chosen[-1]
    others = [levels[number] for number in {number for number, _ in chosen} - {last}]
    assert level - 0.1 < min(others) <= max(others) <= level


def test_with_edges_once_and_neighbours_it_halves_each_layer_of_noise() -> None:
    left, *_ = halved({"sparsify": "knn", "neighbours": 5}, once=True, seed=50)
    assert [np.mean(left[i : i + 3]) for i in (0, 3, 6)] == pytest.approx([8, 16, 32], rel=0.15)


def test_noise_has_no_edges_above_a_threshold_and_no_redundancy() -> None:
    weights = mrp.filter_graph(noise(64, 0), sparsify="threshold", threshold=0.5)
    assert not weights.any()
    assert mrp.redundancy(64, mrp.communities(weights)) == 0


# --- What the three numbers say. ---


class Stage(NamedTuple):
    """Of ResNet-110: what one more filter inside each of its 18 blocks costs, in all of them and in one but the first."""

    macs: int
    params: int
    block_macs: int
    block_params: int


def stage(width: int, side: int, reads: int) -> Stage:
    """A filter has 3 x 3 weights for each channel that it reads and each that reads it, and two numbers of batch norm."""
    first, other = 9 * (reads + width), 18 * width
    macs, params = side**2 * (first + 17 * other), first + 17 * other + 18 * 2
    return Stage(macs, params, side**2 * other, other + 2)


STAGES = {16: stage(16, 32, 16), 32: stage(32, 16, 16), 64: stage(64, 8, 32)}
# What is not inside of blocks: the first convolution, batch norms at the ends of branches, and the linear layer.
REST = (9 * 3 * 16 * 32**2 + 640, 9 * 3 * 16 + 32 + 18 * 2 * (16 + 32 + 64) + 650)


def shares() -> tuple[list[float], list[float]]:
    """Of the MACs and of the parameters, what all filters inside of each stage's blocks are worth."""
    whole = measure.cost(models.build("resnet110", shortcut="A", seed=0), torch.zeros(1, 3, 32, 32))
    macs = [width * each.macs for width, each in STAGES.items()]
    params = [width * each.params for width, each in STAGES.items()]
    assert (sum(macs) + REST[0], sum(params) + REST[1]) == whole
    return [each / whole.macs for each in macs], [each / whole.params for each in params]


def test_equal_shares_and_very_unequal_ones_have_the_abstract_s_costs() -> None:
    numbers = frame("mrp").set_index("metric").value / 100
    macs, params = shares()
    equal = numbers.fr / sum(macs)
    assert (round(equal, 3), round(equal * sum(params), 3)) == (0.504, 0.502)
    ends = [
        linprog([0, 0, sign], A_eq=[macs, params], b_eq=[numbers.fr, numbers.pr], bounds=[(0, 1)] * 3).x for sign in (1, -1)
    ]
    assert [end[2] for end in ends] == pytest.approx([0.43, 0.64], abs=0.006)
    assert [end[0] for end in ends] == pytest.approx([0.08, 0.87], abs=0.006)
    assert [end[1] for end in ends] == pytest.approx([1, 0], abs=1e-6)
    moderate = [(0, 1), (0.25, 0.75), (0, 1)]
    ends = [linprog([0, 0, sign], A_eq=[macs, params], b_eq=[numbers.fr, numbers.pr], bounds=moderate).x for sign in (1, -1)]
    assert [end[2] for end in ends] == pytest.approx([0.49, 0.59], abs=0.006)
    assert [end[0] for end in ends] == pytest.approx([0.28, 0.67], abs=0.006)


def test_a_filter_of_the_first_stage_is_worth_four_of_the_third_in_macs_and_a_quarter_in_parameters() -> None:
    first, second, third = STAGES.values()
    assert first.block_macs == 2 * second.block_macs == 4 * third.block_macs
    assert third.block_params / first.block_params == pytest.approx(4, abs=0.03)


def test_the_gain_is_104_images_and_4_6_deviations_of_a_difference() -> None:
    gain = frame("mrp").set_index("metric").value.top1_gain
    assert gain / 100 * 10_000 == pytest.approx(104)
    assert 0.16 * math.sqrt(2) == pytest.approx(0.23, abs=0.005)
    assert gain / (0.16 * math.sqrt(2)) == pytest.approx(4.6, abs=0.05)
