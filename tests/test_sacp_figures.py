"""What the figures of the SACP page show of small made-up frames, and which sections a run's page has."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from kcore_records import record
from torch import nn

from prunebook import notebooks
from prunebook.errors import BadValue
from prunebook.methods import sacp
from prunebook.report import sacp_figures as figures
from prunebook.report import sacp_scores, sacp_tables
from prunebook.report.figures import PALETTE
from prunebook.studies.sacp import SEARCHES, Parameters
from prunebook.trials import Record

NONE_IN_FULL = pd.DataFrame(columns=list(sacp_tables.FINISHED))


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def place(seed: int = 0, arch: str = "resnet20") -> dict[str, Any]:
    found = {"dataset": "digits", "arch": arch, "width": 1, "weights": "", "network": f"{arch} on digits", "model": ""}
    return found | {"seed": seed}


def texts(labels: Any) -> list[str]:
    return [label.get_text() for label in labels]


def titles(fig: Any) -> list[str]:
    return [ax.get_title() for ax in fig.axes]


def marks(ax: Any, marker: str | None = None, face: Any = None) -> list[tuple[float, float]]:
    """The points of lines that are marks alone."""
    lines = [line for line in ax.lines if line.get_linestyle() == "None"]
    lines = [line for line in lines if marker is None or line.get_marker() == marker]
    lines = [line for line in lines if face is None or line.get_markerfacecolor() == face]
    return [point for line in lines for point in zip(*line.get_data(), strict=True)]


# The graph


def test_masks_show_what_is_kept_cut_and_not_there() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2, 2))
    graph = sacp.ArchitectureGraph(network, torch.zeros(1, 1, 1, 1))
    fig = figures.masks(graph, {"whole": graph.features({}), "cut": graph.features({"0": [2], "1": [0]})})
    assert titles(fig) == ["whole", "cut"]
    assert texts(fig.axes[0].get_yticklabels()) == ["conv 0", "conv 1", "linear 2"]
    assert [text.get_text() for text in fig.axes[1].texts] == ["-1", "-1", "1", "1", "-1", "0", "1", "1", "1"]


def test_a_network_is_drawn_as_a_candidate_that_meets_tau() -> None:
    p = Parameters.check({"options": {"resnet20": {"width": 0.5}}, "arch": "resnet20", "tau": 0.6, "drawing": True})
    title = figures.architecture(p, "resnet20").axes[0].get_title()
    assert "50 nodes, 58 edges, 12 entries" in title
    assert float(title.rsplit("= ", 1)[1]) >= 0.6


# What the encoder learns, and what its score knows


def histories(encoder: str, positive: list[float], negative: list[float], **given: Any) -> list[dict[str, Any]]:
    return [
        {**place(**given), "encoder": encoder, "epoch": i + 1, "loss": 1.0, "positive": near, "negative": far}
        for i, (near, far) in enumerate(zip(positive, negative, strict=True))
    ]


def test_each_encoder_has_a_panel_with_means_over_the_seeds_the_printed_loss_beside_the_repaired_one() -> None:
    rows = histories("no edges", [0.5, 0.5], [0.5, 0.5]) + histories("as printed", [0.5, 0.9], [0.4, 0.8])
    rows += histories("infonce", [0.2, 0.4], [0.0, -0.4]) + histories("infonce", [0.4, 0.8], [0.0, -0.2], seed=1)
    fig = figures.learning(pd.DataFrame(rows))
    assert titles(fig) == ["infonce", "as printed", "no edges"]
    means = [line for line in fig.axes[0].lines if line.get_marker() == "."]
    assert [list(line.get_ydata()) for line in means] == [
        pytest.approx([0.3, 0.6]),
        pytest.approx([0.0, -0.3]),
    ]
    assert [line.get_color() for line in means] == list(PALETTE[:2])


def test_networks_differ_in_their_dashes() -> None:
    rows = histories("infonce", [0.5], [0.5]) + histories("infonce", [0.5], [0.5], arch="resnet56")
    fig = figures.learning(pd.DataFrame(rows))
    assert {line.get_linestyle() for line in fig.axes[0].lines} == {"-", "--"}
    assert texts(fig.legends[0].get_texts())[2:] == ["resnet20 on digits", "resnet56 on digits"]


def sampled(test: list[float], seed: int = 0, **scores: list[float]) -> pd.DataFrame:
    common = {**place(seed), "sample": "50 % of the MACs", **{name: math.nan for name in sacp_scores.SIMPLE}}
    return pd.DataFrame([common | {"draw": seed, "place": i, "test": top1} for i, top1 in enumerate(test)]).assign(**scores)


def test_scores_stand_against_accuracy_with_the_mean_over_seeds_of_their_rank_correlation() -> None:
    first = sampled([1, 2, 3], infonce=[0.1, 0.2, 0.9], untrained=[0.5] * 3, **{"sacp-1": [3, 2, 1], "MACs kept": [1, 3, 2]})
    second = sampled(
        [1, 2, 3], 1, infonce=[0.3, 0.2, 0.1], untrained=[0.5] * 3, **{"sacp-1": [6, 5, 4], "MACs kept": [1, 3, 2]}
    )
    fig = figures.scatter(pd.concat([first, second]))
    assert titles(fig) == ["infonce: rho +0.00", "sacp-1: rho -1.00", "MACs kept: rho +0.50"]
    assert [ax.get_xlabel() for ax in fig.axes] == ["score", "predicted accuracy, %", "share"]
    assert marks(fig.axes[0])[:3] == [(0.1, 1), (0.2, 2), (0.9, 3)]
    assert fig.get_suptitle() == "resnet20 on digits: 50 % of the MACs, 3 candidates"


def test_of_several_encoders_on_one_draw_each_has_its_marks_and_a_simple_score_has_them_once() -> None:
    first, second = sampled([1, 2, 3], infonce=[0.1, 0.2, 0.9]), sampled([1, 2, 3], 1, infonce=[0.3, 0.2, 0.1])
    both = pd.concat([first.assign(untrained=[3, 2, 1]), second.assign(draw=0)]).assign(**{"MACs kept": [1, 3, 2] * 2})
    fig = figures.scatter(both)
    assert titles(fig) == ["infonce: rho +0.00", "untrained: rho -1.00", "MACs kept: rho +0.50"]
    assert [len(marks(ax)) for ax in fig.axes] == [6, 3, 3]


def correlated(predictor: str, rho: float, given: float = math.nan, gap: float = math.nan, **more: Any) -> dict[str, Any]:
    row = {"network": "resnet20 on digits", "sample": "tau 0.3", "predictor": predictor, "n": 40, "seeds": 1}
    row |= {"kind": "simple" if predictor in sacp_scores.SIMPLE else "encoder"}
    row |= {"rho": rho, "low": rho - 0.1, "high": rho + 0.2, "random low": math.nan, "random high": math.nan}
    for name, value in (("given MACs", given), ("minus L1", gap)):
        row |= {name: value, f"{name} low": value - 0.3, f"{name} high": value + 0.3}
    return row | more


def bars(ax: Any) -> list[list[float]]:
    """From where to where each interval reaches."""
    lines = [line for line in ax.lines if line.get_linewidth() == 1.3]
    return [[round(float(x), 6) for x in line.get_xdata()] for line in lines]


def test_correlations_have_their_intervals_and_beside_them_what_is_left_at_equal_macs() -> None:
    rows = [
        correlated("infonce", 0.5, 0.1, gap=-0.2),
        correlated("MACs kept", 0.3),
        correlated("L1 norm kept", 0.7, 0.4, 0.0),
    ]
    left, right = figures.correlations(pd.DataFrame(rows)).axes
    assert texts(left.get_yticklabels()) == ["infonce", "MACs kept", "L1 norm kept"]
    assert bars(left) == [[0.4, 0.7], [0.2, 0.5], [0.6, 0.9], [-0.2, 0.4], [0.1, 0.7]]
    assert [x for x, _ in marks(left, face="white")] == [0.1, 0.4]
    assert bars(right) == [[-0.5, 0.1], [-0.3, 0.3]]
    assert [round(y) for _, y in marks(right)] == [0, 2]


def test_behind_an_encoder_stands_what_random_weights_reach() -> None:
    rows = [correlated("infonce", 0.5, 0.1, **{"random low": -0.3, "random high": 0.4}), correlated("MACs kept", 0.3)]
    (ax,) = figures.correlations(pd.DataFrame(rows)).axes
    (band,) = ax.patches
    ends = (band.get_x(), band.get_x() + band.get_width(), band.get_y() + band.get_height() / 2)
    assert ends == pytest.approx((-0.3, 0.4, 0))


def test_what_never_varies_has_no_row() -> None:
    (ax,) = figures.correlations(pd.DataFrame([correlated("infonce", 0.5), correlated("narrowest entry", math.nan)])).axes
    assert texts(ax.get_yticklabels()) == ["infonce"]


def test_without_the_l1_norm_nothing_is_compared_with_it_and_each_sample_has_a_panel() -> None:
    rows = [correlated("infonce", 0.5, 0.1), correlated("infonce", 0.2, 0.1, sample="random search, 1 epoch")]
    assert titles(figures.correlations(pd.DataFrame(rows))) == [
        "resnet20 on digits: tau 0.3",
        "resnet20 on digits: random search, 1 epoch",
    ]


# What the search makes of it


def kept(search: str, r: list[float], where: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    return [{**place(seed), "search": search, "place": where, "entry": i, "ratio": one} for i, one in enumerate(r)]


def test_ratios_are_means_over_candidates_then_seeds_a_row_for_each_search() -> None:
    rows = kept("random", [0.5, 0.5]) + kept("infonce", [0.0, 0.9]) + kept("infonce", [0.2, 0.7], 1)
    rows += kept("infonce", [0.5, 0.0], seed=1)
    ax = figures.ratios(pd.DataFrame(rows)).axes[0]
    assert texts(ax.get_yticklabels()) == ["infonce", "random"]
    assert ax.images[0].get_array().tolist() == [pytest.approx([0.3, 0.4]), [0.5, 0.5]]
    assert texts(ax.texts) == [".3", ".4", ".5", ".5"]


def built(search: str, fr: list[float], val: list[float], test: list[float], seed: int = 0) -> pd.DataFrame:
    rows = [
        {**place(seed), "search": search, "place": i, "FR": a, "val light": b, "test light": c, "light": "1 epoch"}
        for i, (a, b, c) in enumerate(zip(fr, val, test, strict=True))
    ]
    return pd.DataFrame(rows).assign(before=95.0)


def finished(search: str, m: int, places: list[int], fr: list[float], val: list[float], test: list[float]) -> pd.DataFrame:
    rows = [
        {**place(), "search": search, "m": m, "rank": i, "place": where, "FR": a, "val": b, "test": c, "full": "30 epochs"}
        for i, (where, a, b, c) in enumerate(zip(places, fr, val, test, strict=True))
    ]
    return pd.DataFrame(rows)


def keys(ax: Any, *names: str) -> list[Any]:
    """The legend's marks of some searches."""
    (legend,) = ax.figure.legends
    pairs = zip(legend.legend_handles, texts(legend.get_texts()), strict=True)
    return [handle for handle, name in pairs if name in names]


def rings(ax: Any) -> list[tuple[float, float]]:
    lines = [line for line in ax.lines if line.get_markersize() == figures.RING["ms"]]
    return [point for line in lines for point in zip(*line.get_data(), strict=True)]


def test_of_each_search_and_seed_what_validation_chose_is_ringed_not_what_is_best_on_the_test_split() -> None:
    rows = [built("infonce", [50, 51], [90, 91], [92, 90]), built("infonce", [52, 53], [91, 90], [88, 93], seed=1)]
    (ax,) = figures.selection(pd.concat([*rows, built("random", [60], [80], [81])]), NONE_IN_FULL).axes
    assert rings(ax) == [(51, 90), (52, 88), (60, 81)]
    assert ax.get_title() == "resnet20 on digits\nlight: 1 epoch"
    assert {handle.get_markerfacecolor() for handle in keys(ax, "infonce", "random")} == {"none"}  # as the marks are


def test_what_was_trained_in_full_at_the_largest_m_stands_above_what_it_was_before() -> None:
    light = built("infonce", [50, 51, 52], [90, 91, 89], [92, 90, 91])
    full = [finished("infonce", 2, [1], [51], [96], [99]), finished("infonce", 3, [1, 0], [51, 50], [93, 94], [95, 94])]
    (ax,) = figures.selection(light, pd.concat(full)).axes
    assert rings(ax) == [(50, 94)]
    assert (51, 99) not in marks(ax)
    lines = [line for line in ax.lines if line.get_linewidth() == 0.6]
    assert [list(line.get_ydata()) for line in lines] == [[90, 95], [92, 94]]
    assert ax.get_title() == "resnet20 on digits\nlight: 1 epoch; full: 30 epochs"
    assert [handle.get_markerfacecolor() for handle in keys(ax, "infonce")] == [figures.LOOKS["infonce"]["color"]]


def growing(stage: str, points: list[tuple[int, int, float]], by: str = "validation", seed: int = 0) -> pd.DataFrame:
    rows = [{**place(seed), "stage": stage, "m": m, "k": k, "test": test} for m, k, test in points]
    return pd.DataFrame(rows).assign(search="infonce", **{"chosen by": by})


def test_figure_2_grows_m_and_k_each_with_the_other_at_its_largest() -> None:
    light = [growing("light", [(1, 0, 80.0), (2, 0, 84.0)]), growing("light", [(1, 0, 82.0), (2, 0, 82.0)], seed=1)]
    full = [growing("full", [(1, 1, 90.0), (2, 1, 91.0), (2, 2, 90.5), (1, 2, 90.2)], by) for by in ("validation", "test")]
    fig = figures.figure2(pd.concat([*light, *full]))
    assert [title.split("\n")[1] for title in titles(fig)] == [
        "best of m, lightly fine-tuned",
        "best of k, trained in full (m = 2)",
        "best of k = 2, trained in full",
    ]
    over = [{line.get_linestyle(): list(line.get_ydata()) for line in ax.lines} for ax in fig.axes]
    assert over[0]["-"] == [81, 83]
    assert over[1] == {"-": [91, 90.5], ":": [91, 90.5]}
    assert over[2] == {"-": [90.2, 90.5], ":": [90.2, 90.5]}


def test_of_a_single_k_and_m_there_are_no_curves() -> None:
    fig = figures.figure2(pd.concat([growing("light", [(1, 0, 80.0), (2, 0, 84.0)]), growing("full", [(2, 1, 90.0)])]))
    assert len(fig.axes) == 1


def chance(tau: float = 0.6, fr: list[float] | None = None) -> Record:
    params = {"dataset": "cifar10", "arch": "vgg16", "options": {"hidden": False}, "tau": tau}
    quantiles = {"R": [60.0, 90.0], "fr": fr or [72.23, 92.23], "pr": [90.0, 94.0]}
    result = {"cost": {"thop": [314_571_264, 14_728_266]}, "share": 0.05, **quantiles}
    return record("chance", params, result)


def test_the_papers_reductions_stand_on_the_curve_of_chance() -> None:
    left, right = figures.chances([chance()]).axes
    assert marks(left, "D") == [(82.23, pytest.approx(50))]
    assert marks(right, "D") == [(92.12, pytest.approx(53))]
    assert texts(left.texts) == ["82.23 %:\nabove 50 %"]


def test_another_tau_than_the_papers_has_its_curve_alone() -> None:
    left, _ = figures.chances([chance(tau=0.5)]).axes
    assert marks(left) == []
    assert list(left.lines[0].get_xdata()) == [72.23, 92.23]


def test_every_search_has_a_look_of_its_own() -> None:
    assert list(figures.LOOKS) == list(SEARCHES)
    assert len({look["marker"] for look in figures.LOOKS.values()}) == len(SEARCHES)
    assert len({look["color"] for look in figures.LOOKS.values()}) == len(SEARCHES)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.masks(None, {}),
        lambda: figures.learning(sacp_scores.histories([])),
        lambda: figures.scatter(sacp_scores.candidates([])),
        lambda: figures.correlations(sacp_scores.correlations(sacp_scores.candidates([]))),
        lambda: figures.ratios(sacp_tables.ratios([])),
        lambda: figures.selection(sacp_tables.built([]), NONE_IN_FULL),
        lambda: figures.figure2(sacp_tables.best_of([])),
        lambda: figures.chances([]),
    ],
    ids=["masks", "learning", "scatter", "correlations", "ratios", "selection", "figure 2", "chances"],
)
def test_a_figure_of_no_records_is_refused(draw: Callable[[], Any]) -> None:
    with pytest.raises(BadValue, match=r"the number of .* is 0, but must be at least 1"):
        draw()


# The page


def headings(run: str, tmp_path: Path, **given: Any) -> list[str]:
    notebook = notebooks.get("sacp")
    cells = json.loads(notebooks._sections(notebook, notebook.parameters(run, given), tmp_path).read_text())["cells"]
    return [line for cell in cells for line in "".join(cell["source"]).splitlines() if line.startswith("## ")]


def test_a_page_has_only_the_sections_that_its_run_fills(tmp_path: Path) -> None:
    everything = headings("smoke", tmp_path)
    learns, knows = "## What the encoder learns", "## Does the score know anything?"
    assert {learns, knows, "## What tau asks for", "## The graph"} < set(everything)
    costs = headings("costs", tmp_path)
    trained = {learns, knows, "## The networks before pruning", "## What the search chose", "## Figure 2: more candidates"}
    assert not trained & set(costs)
    assert {"## The graph", "## What tau asks for", "## The paper's tables, with ours beside"} < set(costs)


def test_a_page_of_encoders_that_do_not_learn_by_contrast_does_not_show_what_they_learn(tmp_path: Path) -> None:
    given = {"encoders": ["untrained", "sacp-1"], "searches": ["random"]}
    found = headings("smoke", tmp_path, **given)
    assert "## What the encoder learns" not in found
    assert "## Does the score know anything?" in found
