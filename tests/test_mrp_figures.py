"""What the figures of the MRP page show of small made-up records."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import mrp_records as made
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from prunebook import notebooks
from prunebook.errors import BadValue
from prunebook.report import mrp_figures as figures
from prunebook.report import mrp_tables
from prunebook.report.figures import PALETTE
from prunebook.report.mrp_figures import Picture
from prunebook.report.tables import Values


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def texts(labels: Any) -> list[str]:
    return [label.get_text() for label in labels]


def line(ax: Any, marker: str) -> Any:
    (found,) = [one for one in ax.lines if one.get_marker() == marker]
    return found


# The communities of a layer


def two_triangles() -> tuple[np.ndarray, list[list[int]]]:
    """Filters 0 to 5 in two triangles, 6 and 7 alone."""
    weights = np.zeros((8, 8))
    for i, j, weight in [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0), (3, 4, 1.0), (3, 5, 1.0), (4, 5, 1.0), (2, 3, 0.2)]:
        weights[i, j] = weights[j, i] = weight
    return weights, [[0, 1, 2], [3, 4, 5], [6], [7]]


def test_a_layout_puts_a_community_together_and_those_without_edges_below() -> None:
    weights, communities = two_triangles()
    at = figures.layout(weights, communities)
    apart = np.linalg.norm(at[:, None] - at, axis=2)
    inside = max(apart[i, j] for members in communities[:2] for i in members for j in members)
    across = min(apart[i, j] for i in (0, 1) for j in (4, 5))
    assert inside < across
    assert at[:6].min() >= 0
    assert at[:6].max() <= 1
    assert (at[6:, 1] < 0).all()
    assert len({tuple(place) for place in at.round(6)}) == 8


def test_a_layout_hangs_on_nothing_but_the_graph() -> None:
    weights, communities = two_triangles()
    first = figures.layout(weights, communities)
    assert np.array_equal(first, figures.layout(weights.copy(), communities))
    assert np.allclose(first, figures.layout(4 * weights, communities))


@pytest.mark.parametrize(("n", "edges"), [(1, []), (3, []), (2, [(0, 1)])])
def test_the_smallest_graphs_have_a_layout(n: int, edges: list[tuple[int, int]]) -> None:
    weights = np.zeros((n, n))
    for i, j in edges:
        weights[i, j] = weights[j, i] = 1
    at = figures.layout(weights, [[i] for i in range(n)])
    assert np.isfinite(at).all()
    assert len({tuple(place) for place in at.round(6)}) == n


def shown(ax: Any) -> dict[str, list[int]]:
    """Numbers of vertices by the colour of their face, "none" for those that are gone; vertices are told by their place."""
    weights, communities = two_triangles()
    places = figures.layout(weights, communities)
    found: dict[str, list[int]] = {}
    for marks in ax.collections[1:]:
        for x, y in marks.get_offsets():
            face = marks.get_facecolors()
            color = to_hex(face[0]) if len(face) else "none"
            found.setdefault(color, []).append(int(np.abs(places - [x, y]).sum(axis=1).argmin()))
    return found


def test_communities_differ_in_color_and_what_is_gone_is_hollow_and_has_no_edges() -> None:
    edges = [(i, j, float(w)) for (i, j), w in np.ndenumerate(np.triu(two_triangles()[0])) if w]
    graph = made.graph(edges, two_triangles()[1], "layer1.0.conv1")
    trace = made.traced([made.step("layer1.0.conv1", 2, 6, 4, removed=0.507)], {"layer1.0.conv1": 8})
    before, after = figures.before_and_after(graph, [trace]).axes
    assert before.get_title() == "resnet20 on CIFAR-10: layer1.0.conv1,\n8 filters, 2 communities of two or more"
    assert after.get_title() == "51 % of the MACs removed:\n5 filters left"
    first, second, pale = to_hex(PALETTE[0]), to_hex(PALETTE[1]), figures.PALE
    assert shown(before) == {first: [0, 1, 2], second: [3, 4, 5], pale: [6, 7]}
    assert shown(after) == {"none": [2, 4, 6], first: [0, 1], second: [3, 5], pale: [7]}
    assert [len(ax.collections[0].get_segments()) for ax in (before, after)] == [7, 2]


def test_filters_are_the_larger_the_larger_their_norm() -> None:
    weights, communities = two_triangles()
    (ax,) = figures.communities({"graph": Picture(weights, communities, np.array([8.0, 4, *[1] * 6]), range(8))}, "AB").axes
    sizes = ax.collections[2].get_sizes()
    assert sizes[0] > sizes[1] > sizes[2]
    assert texts(ax.texts) == ["A", "B"]


def test_the_loop_in_one_layer_has_a_panel_for_each_removal() -> None:
    similarity = torch.eye(4, dtype=torch.float64)
    for i, j, likeness in ((0, 1, 0.9), (0, 2, 0.8), (1, 2, 0.7), (2, 3, 0.1)):
        similarity[i, j] = similarity[j, i] = likeness
    axes = figures.removals(similarity, np.ones(4), "ABCD", quantile=0.5).axes
    assert [ax.get_title() for ax in axes] == ["R = 0.50: A goes", "R = 0.33: B goes", "R = 0.00: nothing more"]
    assert [len(ax.collections[0].get_segments()) for ax in axes] == [3, 1, 0]


# The trace of a plan


WIDTHS = {"a": 4, "b": 8, "c": 8}
STEPS = [made.step("b", 5, 0, redundancy=0.8, removed=0.2), made.step("a", 3, redundancy=0.6, removed=0.4)]


def test_a_trace_shows_the_share_left_of_each_layer_after_each_iteration() -> None:
    fig = figures.trace(WIDTHS, STEPS, "a network")
    above, below, _ = fig.axes
    assert below.images[0].get_array().tolist() == [[1, 1, 0.75], [1, 0.75, 0.75], [1, 1, 1]]
    assert texts(below.get_yticklabels()) == ["a", "b", "c"]
    assert above.get_title() == "a network"


def test_above_it_stand_the_redundancy_of_the_chosen_layer_by_width_and_the_share_removed() -> None:
    fig = figures.trace(WIDTHS, STEPS, "a network", "params")
    above = fig.axes[0]
    assert line(above, "o").get_xydata().tolist() == [[2, 0.6]]
    assert line(above, "s").get_xydata().tolist() == [[1, 0.8]]
    assert line(above, "None").get_ydata().tolist() == [0, 0.2, 0.4]
    words = texts(fig.legends[0].get_texts())
    assert words == ["redundancy of the chosen layer: one of 4 filters", "redundancy of the chosen layer: one of 8 filters",
                     "share of the parameters removed"]  # fmt: skip


def test_of_many_layers_some_have_their_name() -> None:
    widths = {f"layer{i}": 2 for i in range(60)}
    below = figures.trace(widths, [made.step("layer7", 0)], "deep").axes[1]
    names = texts(below.get_yticklabels())
    assert len(names) <= figures.LABELS
    assert names[:2] == ["layer0", "layer3"]


# The Role-Information study


def test_a_test_is_drawn_by_layer_beside_its_null_upwards_what_the_hypothesis_predicts() -> None:
    rows = [made.layer(f"layer{i}", swaps=(0.05, 0.1 * (i + 1), 0.1 * (i + 1) - 0.02)) for i in range(4)]
    rows.append(made.layer("layer4", swaps=None))
    fig = figures.role(mrp_tables.tested([made.studied(rows)]), "swaps")
    left, right = fig.axes
    assert line(left, "o").get_ydata()[:4].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert line(left, "s").get_ydata()[:4].tolist() == pytest.approx([0.02] * 4)
    assert math.isnan(line(left, "o").get_ydata()[4])
    means = [one.get_ydata()[0] for one in right.lines if one.get_marker() == "D"]
    assert means == pytest.approx([0.05, 0.25, 0.23])
    faces = [one.get_markerfacecolor() for one in right.lines if one.get_marker() == "D"]
    assert [face == "white" for face in faces] == [True, True, False]
    assert texts(right.get_xticklabels()) == ["any", "with company", "less rewired"]
    assert texts(left.get_xticklabels()) == [f"layer{i}" for i in range(5)]


def test_each_network_has_a_row_of_panels() -> None:
    records = [made.studied([made.layer()] * 3, arch=arch) for arch in ("resnet20", "resnet56")]
    fig = figures.role(mrp_tables.tested(records), "likeness")
    assert [ax.get_title() for ax in fig.axes[::2]] == ["resnet20 on CIFAR-10", "resnet56 on CIFAR-10"]
    assert fig.axes[0].get_yscale() == "linear"
    words = texts(fig.legends[0].get_texts())
    assert words == ["the same network, untrained", "communities that were found"]


# Methods at equal MACs


def compared(choice: str, tops: list[float], target: float = 0.5, **given: Any) -> pd.DataFrame:
    rows = [{"network": "resnet20 on digits", "target": target, "choice": choice, "seed": seed, "draw": 0,
             "FR macs": 100 * target, "PR macs": 40.0, "top1 baseline": 95.0, "top1 pruned": math.nan,
             "top1 recalibrated": top1, "top1 fine-tuned": math.nan} for seed, top1 in enumerate(tops)]  # fmt: skip
    return pd.DataFrame(rows).assign(**given)


def test_accuracy_stands_against_the_macs_removed_a_line_through_the_means_of_each_method() -> None:
    frame = pd.concat([compared("mrp", [80, 90]), compared("mrp", [60, 70], 0.7), compared("l1", [50, 60])])
    fig = figures.accuracy(frame)
    (ax,) = fig.axes
    assert ax.get_title() == "resnet20 on digits: batch norm recalibrated"
    means = [one.get_xydata().tolist() for one in ax.lines if one.get_linestyle() == "-" and one.get_marker() != "None"]
    assert means == [[[50, 85], [70, 65]], [[50, 55]]]
    assert texts(fig.legends[0].get_texts()) == ["mrp", "l1", "before pruning"]


def test_what_overshoots_a_single_target_does_not_fill_the_axis() -> None:
    frame = pd.concat([compared("mrp", [80, 90]), compared("l1", [50, 60], **{"FR macs": 50.4})])
    assert figures.accuracy(frame).axes[0].get_xlim() == pytest.approx((45.2, 55.2))
    low, high = figures.accuracy(pd.concat([frame, compared("mrp", [60, 70], 0.7)])).axes[0].get_xlim()
    assert 49 <= low < 50 < 70 < high <= 71


def test_each_moment_has_a_panel() -> None:
    frame = compared("mrp", [80, 90], **{"top1 fine-tuned": 93.0})
    assert [ax.get_title().split(": ")[1] for ax in figures.accuracy(frame).axes] == [
        "batch norm recalibrated",
        "fine-tuned",
    ]


def test_leads_are_paired_differences_a_panel_for_each_target() -> None:
    row = {"network": "resnet20 on digits", "after": "recalibrated"}
    table = pd.DataFrame([
        row | {"target": 0.3, "choice": "mrp", "mrp minus it": Values()},
        row | {"target": 0.3, "choice": "l1", "mrp minus it": Values([1.0, 2.0, 3.0])},
        row | {"target": 0.5, "choice": "l1", "mrp minus it": Values([-1.0])},
    ])  # fmt: skip
    first, second = figures.leads(table).axes
    assert texts(first.get_yticklabels()) == ["l1"]
    assert first.get_title() == "resnet20 on digits,\n30 % of the MACs"
    assert [list(one.get_xdata()) for one in first.lines if len(one.get_xdata()) == 3] == [[1, 2, 3]]
    assert len(second.containers) == 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.communities({}),
        lambda: figures.trace(WIDTHS, [], "nothing"),
        lambda: figures.role([], "swaps"),
        lambda: figures.accuracy(compared("mrp", []).reindex(columns=compared("mrp", [1]).columns)),
        lambda: figures.leads(pd.DataFrame()),
    ],
    ids=["communities", "trace", "role", "accuracy", "leads"],
)
def test_a_figure_of_no_records_is_refused(draw: Callable[[], Any]) -> None:
    with pytest.raises(BadValue, match=r"the number of .* is 0, but must be at least 1"):
        draw()


def test_an_unknown_test_is_refused() -> None:
    with pytest.raises(BadValue, match="test is 'swap', but must be one of: structure, likeness, removal, replaced, swaps"):
        figures.role(mrp_tables.tested([made.studied([made.layer()] * 3)]), "swap")


# The page


def headings(run: str, tmp_path: Path, **given: Any) -> list[str]:
    notebook = notebooks.get("mrp")
    cells = json.loads(notebooks._sections(notebook, notebook.parameters(run, given), tmp_path).read_text())["cells"]
    return [line for cell in cells for line in "".join(cell["source"]).splitlines() if line.startswith("## ")]


def test_a_page_has_only_the_sections_that_its_run_fills(tmp_path: Path) -> None:
    everything = headings("smoke", tmp_path)
    steps, equal = "## The decision, step by step", "## Methods at equal MACs"
    graphs, roles = "## Communities of a layer", "## The Role-Information hypothesis"
    numbers = "## The abstract's numbers, with ours beside"
    assert {steps, equal, graphs, roles, numbers, "## Other readings of the abstract"} < set(everything)
    given = {"methods": ["mrp"], "trace": False, "graphs": [], "roles": [], "abstract": False, "variants": []}
    alone = headings("smoke", tmp_path, **given)
    assert not {steps, equal, graphs, roles, numbers, "## Other readings of the abstract"} & set(alone)
    assert {"## The abstract's claims", "## What differs from the paper"} < set(alone)
