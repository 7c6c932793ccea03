"""What the figures of the Sørensen-Dice page show of small made-up records and tables."""

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from kcore_records import record

from prunebook.errors import BadValue
from prunebook.report import dice_figures as figures
from prunebook.report import tables
from prunebook.report.figures import PALETTE
from prunebook.report.tables import Values
from prunebook.trials import Record

BASE = {"arch": "dice_cnn", "dataset": "mnist", "fit": {"epochs": 2, "lr": 0.01}}
PAIRS = {"Eq. 1 and 2": [0, 2, 1, 0], "not rescaled": [1, 0, 0, 0]}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def means(ax: Any) -> int:
    """The solid marks of an axis: one for each mean that it shows."""
    return len(ax.containers)


def texts(labels: Any) -> list[str]:
    return [label.get_text() for label in labels]


def placed(matrix: Any) -> dict[tuple[float, float], str]:
    """What stands in a matrix off its diagonal, by column and row."""
    return {text.get_position(): text.get_text() for text in matrix.texts if len(set(text.get_position())) > 1}


def hollow(ax: Any) -> list[tuple[float, float]]:
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_markerfacecolor() == "white"]


# A worked example


def test_overlaps_show_what_each_pair_shares_and_its_similarity() -> None:
    weight = torch.tensor([[2.0, 1.0, -1.0, 0.0], [4.0, 4.0, -4.0, 0.0], [-1.0, -0.5, 0.5, 0.0]])
    axes = figures.overlaps(weight).axes
    assert [[bar.get_height() for bar in ax.patches] for ax in axes] == [[1, 0.75, 0, 0.5], [0, 0.25, 0.25, 0.5],
                                                                        [0, 0.25, 0, 0.5]]  # fmt: skip
    assert [ax.get_title().rsplit("= ", 1)[1] for ax in axes] == ["0.9", "0.5", "0.375"]


def test_a_choice_shows_both_ends_beyond_the_thresholds() -> None:
    line = torch.arange(8.0)
    similarity = 1 - (line[:, None] - line).abs() / 10  # averages fall from the middle, 3 and 4, to the ends, 0 and 7
    (ax,) = figures.choice(similarity, ratio=0.5).axes
    stays, goes = ax.lines[:2]
    low, high = sorted(line.get_ydata()[0] for line in ax.lines[2:])
    assert all(low <= average <= high for average in stays.get_ydata())
    assert all(average < low or average > high for average in goes.get_ydata())
    assert len(stays.get_ydata()) + len(goes.get_ydata()) == 8
    assert len(goes.get_ydata()) == 4


# Profiles


def profile(layers: int = 1, spread: list[float] | None = None) -> Record:
    """Layers of four filters; of both readings one filter goes, 0 and 1 in the first, 1 and 2 in the second."""
    gone = {"Eq. 1 and 2": [0, 1], "not rescaled": [1, 2]}
    found = {
        reading: {"counts": counts, "below": 0, "above": 6 - sum(counts), "quantiles": [0.1, 0.5, 2.0],
                  "averages": [0.4, 0.3, 0.2, 0.1], "gone": gone[reading]}
        for reading, counts in PAIRS.items()
    }  # fmt: skip
    names = [f"features.{i}" for i in range(layers)]
    result = {"layers": dict.fromkeys(names, found), "spread": dict.fromkeys(names, spread or [0.1, 0.2, 0.3, 0.4]),
              "activity": {name: [1.0, 0.0, 1.0, 1.0] for name in names}}  # fmt: skip
    return record("profile", {"baseline": BASE, "bins": 4}, result)


def test_similarities_have_a_panel_for_each_layer_and_reading_and_say_what_lies_outside() -> None:
    axes = figures.similarities(profile(2)).axes
    assert len(axes) == 4
    assert axes[0].get_title() == "features.0, 4 filters"
    assert [patch.get_data().values.tolist() for patch in axes[0].patches] == [[0, 2, 1, 0]]
    assert texts(axes[2].texts) == ["83.3% outside,\nmedian 0.5"]


def test_of_many_layers_four_are_drawn_in_the_order_of_their_depth() -> None:
    titles = [ax.get_title() for ax in figures.similarities(profile(13)).axes[:4]]
    assert titles == [f"features.{i}, 4 filters" for i in (0, 4, 8, 12)]


def test_the_matrix_has_what_both_readings_remove_and_above_it_chance() -> None:
    (ax,) = figures.shared(profile()).axes
    # Of four filters each removes two: one in common of three. By chance 0, 1 or 2 are shared, in 1, 4, 1 of 6 cases.
    assert placed(ax) == {(0, 1): "0.33", (1, 0): f"{(4 / 3 + 1) / 6:.2f}"}


def test_spreads_have_a_rank_correlation_for_each_layer_and_for_what_is_beside_it() -> None:
    other = ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    left, right = figures.spreads(profile(2), {"noise": other}).axes
    assert texts(left.get_legend().get_texts()) == ["features.0", "features.1", "noise"]
    assert [line.get_xdata()[0] for line in right.lines] == pytest.approx([-1, -1, 0.5])
    assert hollow(left) == [(0.2, 0.3)] * 2  # the dead filter of each layer


def lived(norms: list[float], dead: list[int], seed: int = 0, layers: int = 1, dataset: str = "mnist") -> Record:
    activity = [0.0 if filter in dead else 1.0 for filter in range(len(norms))]
    names = [f"features.{i}" for i in range(layers)]
    result = {"norm": dict.fromkeys(names, norms), "activity": dict.fromkeys(names, activity)}
    return record("profile", {"baseline": BASE | {"dataset": dataset}, "draw": seed}, result)


def marked(ax: Any, marker: str) -> list[list[tuple[float, float]]]:
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in lines]


def test_norms_stand_in_their_order_with_the_dead_marked_training_by_training() -> None:
    fig = figures.norms([lived([2.0, 1.0, 4.0], [0]), lived([0.0, 5.0, 1.0], [0, 1], seed=1)])
    (ax,) = fig.axes
    assert ax.get_yscale() == "log"
    assert marked(ax, "x") == [[(1, 2)], [(0, 0.1), (2, 5)]]  # a norm of 0 has a place below all others
    assert marked(ax, ".") == [[(0, 1), (2, 4)], [(1, 1)]]
    assert texts(fig.legends[0].get_texts()) == ["living", "dead"]


def test_norms_have_a_row_for_each_network_and_a_panel_for_each_of_at_most_four_layers() -> None:
    fig = figures.norms([lived([1.0], []), lived([1.0, 2.0], [], layers=13, dataset="cifar10")])
    assert [ax.get_title() for ax in fig.axes] == [
        "features.0, 1 filters", "features.0, 2 filters", "features.4, 2 filters", "features.8, 2 filters",
        "features.12, 2 filters"]  # fmt: skip
    assert fig.axes[1].get_ylabel().startswith("dice_cnn on CIFAR-10")


def test_the_agreement_of_methods_has_its_mean_and_above_it_chance() -> None:
    row = {"network": "dice_cnn on MNIST", "dial": "target 0.43"}
    pairs = [row | {"first": "dice", "second": "l1", "Jaccard": Values([0.5, 0.7]), "by chance": Values([0.58])},
             row | {"first": "dice", "second": "random", "Jaccard": Values(), "by chance": Values()}]  # fmt: skip
    (ax,) = figures.agreement(pd.DataFrame(pairs)).axes
    assert texts(ax.get_yticklabels()) == ["Sørensen-Dice", "Random", "L1"]
    assert placed(ax) == {(0, 2): "0.60", (2, 0): "0.58"}


# Figure 2


def points(**top1: float) -> pd.DataFrame:
    """Curves of two methods that start at 90 %, two seeds two points apart."""
    rows = [
        {"dataset": "mnist", "arch": "dice_cnn", "method": method, "seed": seed, "ratio": ratio, "moment": moment,
         "split": split, "top1": (90.0 if ratio == 0 else end) + 2 * seed - (split == "val")}
        for (method, end), seed, ratio in product(top1.items(), (0, 1), (0, 0.2, 0.4))
        for moment, split in product(("pruned", "recalibrated"), ("val", "test"))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def elbows(**ratios: list[float]) -> pd.DataFrame:
    rows = [
        {"dataset": "mnist", "arch": "dice_cnn", "method": method, "seed": seed, "moment": moment, "ratio": ratio}
        for method, found in ratios.items() for seed, ratio in enumerate(found) for moment in ("pruned", "recalibrated")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_curves_are_means_over_the_seeds_on_the_test_split_with_elbows_below() -> None:
    fig = figures.curves(points(l1=50.0, dice=40.0), elbows(dice=[0.2, 0.4], l1=[math.nan, 0.2]))
    assert [ax.get_title() for ax in fig.axes[:2]] == [
        "dice_cnn on MNIST: only cut", "dice_cnn on MNIST: batch norm recalibrated"]  # fmt: skip
    drawn = {line.get_label(): list(line.get_ydata()) for line in fig.axes[0].lines}
    assert drawn["Sørensen-Dice"] == [91, 41, 41]
    assert drawn["L1"] == [91, 51, 51]
    strip = [list(line.get_xdata()) for line in fig.axes[2].lines if line.get_linestyle() == "None"]
    assert strip == [[0.2, 0.4], [pytest.approx(0.3)], [0.2], [0.2]]


# Comparisons


def compared(
    method: str, top1: list[float], layers: str = "conv", speed: float = 1.76, **given: Any
) -> list[dict[str, Any]]:
    missing = dict.fromkeys(["top1 pruned", "top1 recalibrated"], 10.0)
    common = {"dataset": "mnist", "arch": "dice_cnn", "method": method, "layers": layers, "reading": "as in this book",
              "alpha": math.nan, "beta": math.nan, "speed-up macs": speed, "finetune epochs": 4, "regularised epochs": 0,
              "recalibrate": 100, "trainable": "all", "top1 baseline": 99.0}  # fmt: skip
    return [
        common | missing | {"seed": seed, "draw": seed, "top1 fine-tuned": value} | given for seed, value in enumerate(top1)
    ]


def test_methods_stand_beside_the_thesis_and_as_what_dice_is_ahead_of_them() -> None:
    frame = pd.DataFrame(compared("l1", [95, 97, 99]) + compared("dice", [96, 99, 99]))
    fig = figures.beside_thesis(frame, 3, tables.reported("dice"))
    left, right = fig.axes
    assert texts(left.get_yticklabels()) == ["Sørensen-Dice", "L1"]
    assert left.get_title() == "dice_cnn on MNIST: 4 epochs of fine-tuning, MACs / 1.76"
    assert hollow(left) == [(98.0, 0), (95.0, 1)]  # Table 3, MNIST, custom CNN
    assert [means(left), means(right)] == [2, 1]
    gaps = next(line for line in right.lines if line.get_alpha() == 0.4)
    assert list(gaps.get_xdata()) == [1, 2, 0]


def test_the_thesis_is_not_beside_networks_that_are_not_fine_tuned() -> None:
    cut = pd.DataFrame(compared("l1", [95.0]) + compared("dice", [96.0])).assign(**{"top1 fine-tuned": math.nan})
    tuned = pd.DataFrame(compared("l1", [95.0]) + compared("dice", [96.0]))
    for frame, keys in ((cut, ["ours before the cut"]), (tuned, ["ours before the cut", "the thesis, Table 3"])):
        fig = figures.beside_thesis(frame, 3, tables.reported("dice"))
        assert texts(fig.legends[0].get_texts()) == keys
        assert len(hollow(fig.axes[0])) == (2 if len(keys) == 2 else 0)


def test_a_dice_that_prunes_linear_layers_has_a_row_of_its_own_that_the_thesis_has_not() -> None:
    rows = compared("dice", [96.0] * 3, speed=1.55) + compared("dice", [95.0] * 3, layers="all", speed=1.72)
    frame = pd.DataFrame(rows + compared("random", [95.0] * 3, layers="all", speed=1.72))
    left, right = figures.beside_thesis(frame, 2, tables.reported("dice")).axes
    assert texts(left.get_yticklabels()) == [
        "Sørensen-Dice\nMACs / 1.55", "Sørensen-Dice, linear layers too\nMACs / 1.72", "Random\nMACs / 1.72"]  # fmt: skip
    assert hollow(left) == [(96.0, 0), (79.0, 2)]
    assert means(right) == 1
    (gaps,) = (line for line in right.lines if line.get_alpha() == 0.4)
    assert list(gaps.get_xdata()) == [0, 0, 0]  # Dice that prunes linear layers too, minus random: at equal cost


def test_a_network_that_the_thesis_has_not_stands_alone() -> None:
    frame = pd.DataFrame(compared("dice", [90.0], dataset="digits") + compared("l1", [90.0], dataset="digits"))
    assert hollow(figures.beside_thesis(frame, 3, tables.reported("dice")).axes[0]) == []


def test_readings_have_a_row_each_but_for_this_books_and_a_panel_for_each_moment_measured() -> None:
    row = {"dataset": "mnist", "arch": "dice_cnn", "dial": "target 0.43", "minus base fine-tuned": Values()}
    book = {"reading": "as in this book", "Jaccard": Values(), "by chance": Values(), "minus base": Values()}
    greedy = {"reading": "greedy", "Jaccard": Values([0.8, 0.9, 0.7]), "by chance": Values([0.5])}
    table = pd.DataFrame([row | book, row | greedy | {"minus base": Values([1.0, 2.0, 0.0])}])
    axes = figures.readings(table).axes
    assert len(axes) == 2
    assert texts(axes[0].get_yticklabels()) == ["greedy"]
    assert [line.get_xdata()[0] for line in axes[0].lines if line.get_marker() == "x"] == [0.5]
    tuned = pd.DataFrame([row | greedy | {"minus base": Values([1.0]), "minus base fine-tuned": Values([0.5])}])
    assert len(figures.readings(tuned).axes) == 3


def test_tunings_begin_where_the_network_was_left_with_or_without_recalibration() -> None:
    with_it = compared("dice", [98.0], **{"top1 pruned": 20.0, "top1 recalibrated": 80.0})
    without = compared("dice", [97.0], recalibrate=0, trainable="head", **{"top1 pruned": 20.0, "top1 recalibrated": 80.0})
    (ax,) = figures.tunings(pd.DataFrame(with_it + without)).axes
    assert texts(ax.get_yticklabels())[0] == "all weights, recalibrated"
    assert hollow(ax) == [(80.0, 0), (20.0, 3)]


# Stop rule, speed, transfer


def stopped(drop: float, val: list[float], test: float) -> Record:
    steps = [{"ratio": 0.05 * i, "val": top1} for i, top1 in enumerate(val)]
    return record("stop", {"baseline": BASE, "drop": drop}, {"steps": steps, "test": {"top1": test}})


def test_the_stop_rule_marks_the_last_step_within_the_allowance_and_its_drop_on_the_test_split() -> None:
    whole = record("baseline", BASE, {"test": {"top1": 90.0}})
    (only_cut,) = figures.stops([stopped(2, [90, 89, 86], 87.5)], [whole]).axes
    assert hollow(only_cut) == [(0.05, 2.5)]
    assert [(x[0], y[0]) for x, y in (line.get_data() for line in only_cut.lines if line.get_markersize() == 7)] == [
        (0.05, 1), (0.05, 2.5)]  # fmt: skip


def test_a_rule_that_never_went_too_far_stops_at_its_last_step() -> None:
    ax = figures.stops([stopped(5, [90, 89, 88], 80.0)], []).axes[0]
    assert next(line.get_xdata()[0] for line in ax.lines if line.get_markersize() == 7) == 0.1


def test_speeds_compare_macs_with_times_for_each_number_of_images() -> None:
    cost = {"macs": {"before": [200, 1], "after": [100, 1]}}
    latency = [{"images": n, "before": [2.0, 3.0, 4.0], "after": [1.0, 2.0, 4.0]} for n in (1, 256)]
    params = {"baseline": BASE, "decision": {"method": "dice", "target": 0.5}}
    fig = figures.speeds([record("speed", params, {"cost": cost, "latency": latency, "threads": 1})])
    (ax,) = fig.axes
    assert texts(ax.get_yticklabels()) == ["50% of the MACs removed"]
    assert texts(fig.legends[0].get_texts()) == ["MACs", "time, 1 at a time", "time, 256 at a time"]
    bars = [container.lines[2][0].get_segments()[0][:, 0].tolist() for container in ax.containers]
    assert bars == [[0.5, 4.0]] * 2  # 2 / 4 and 4 / 1
    assert [container.lines[0].get_xdata().tolist() for container in ax.containers] == [[1.5]] * 2


def test_transfers_have_a_panel_for_each_predictor_that_is_known() -> None:
    names = ["source top-1", "diversity: Eq. 1 and 2", "diversity: activations"]
    rows = [
        {"source epochs": e, "reached": e, "target": "cifar100", **dict.fromkeys(names[1:], -e)} for e in (1.0, 2.0, 3.0)
    ]
    axes = figures.transfers(pd.DataFrame(rows).assign(**{names[0]: math.nan})).axes
    assert [ax.get_title() for ax in axes] == ["Spearman -1.00"] * 2
    assert axes[0].get_ylabel() == "top-1 on cifar100, %"
    assert [line.get_color() for line in axes[0].lines] == list(PALETTE[:3])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.curves(pd.DataFrame(), pd.DataFrame()),
        lambda: figures.beside_thesis(pd.DataFrame(), 3, tables.reported("dice")),
        lambda: figures.readings(pd.DataFrame()),
        lambda: figures.tunings(pd.DataFrame()),
        lambda: figures.stops([], []),
        lambda: figures.speeds([]),
        lambda: figures.transfers(pd.DataFrame()),
        lambda: figures.similarities(profile(0)),
        lambda: figures.shared(profile(0)),
        lambda: figures.norms([]),
        lambda: figures.agreement(pd.DataFrame()),
    ],
    ids=[
        "curves",
        "methods",
        "readings",
        "tunings",
        "stops",
        "speeds",
        "transfers",
        "similarities",
        "shared",
        "norms",
        "agreement",
    ],
)
def test_a_figure_of_no_records_is_refused(draw: Callable[[], Any]) -> None:
    with pytest.raises(BadValue, match=r"the number of .* is 0, but must be at least 1"):
        draw()
