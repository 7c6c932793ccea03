"""Figures of the Sørensen-Dice page: the thesis's Figure 2, its comparisons, and what it does not show.

A faint mark is one repetition; a solid one is the mean, its bar, where it has one, the 95 % t-interval over three or more.
A figure of no records is refused with BadValue.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr
from torch import Tensor

from prunebook.diversity import READINGS, dead
from prunebook.methods import dice
from prunebook.report.dice_tables import (
    THESIS_DATASETS,
    THESIS_METHODS,
    THESIS_MODELS,
    THESIS_RATIO,
    common_moment,
    lead,
    network,
    place,
)
from prunebook.report.figures import GREY, MARKERS, MOMENTS, PALETTE, marks, panels, require_some
from prunebook.report.kcore_comparisons import by_chance, jaccard
from prunebook.report.tables import repetitions
from prunebook.studies.dice import METHODS
from prunebook.trials import Record, Trial

PALE = "#d9d9d9"
LAYERS = 4  # at most so many are drawn one by one


def overlaps(weight: Tensor, names: str = "ABCDEFGH") -> Figure:
    """Each pair of a few small filters after Eq. 1 and 2: bars of both, what they share filled; Eq. 4 above.

    `weight` (n, ...), one filter a row, with a letter of `names` for each.
    """
    amounts, similarity = dice.normalised(weight).numpy(), dice.similarity(weight)
    pairs = [(i, j) for i in range(len(amounts)) for j in range(i + 1, len(amounts))]
    fig, axes = panels(len(pairs), width=3.2, height=2.9)
    places = np.arange(amounts.shape[1])
    for ax, (i, j) in zip(axes, pairs, strict=True):
        ax.bar(places, np.minimum(amounts[i], amounts[j]), width=0.7, color=PALE, label="shared: the smaller one")
        for filter, color in ((i, PALETTE[0]), (j, PALETTE[1])):
            ax.hlines(amounts[filter], places - 0.42, places + 0.42, color=color, lw=2.5, label=f"filter {names[filter]}")
        sums = f"2 · {np.minimum(amounts[i], amounts[j]).sum():g} / ({amounts[i].sum():g} + {amounts[j].sum():g})"
        ax.set_title(f"{names[i]} and {names[j]}: {sums} = {similarity[i, j]:g}", fontsize=9)
        ax.set_xticks(places, [f"{place + 1}" for place in places])
        ax.set_xlabel("place in the filter")
        ax.set_ylim(0, 1.45)
        ax.set_yticks([0, 0.5, 1])
        ax.legend(fontsize=7, ncols=1, loc="upper right")
    axes[0].set_ylabel("weight after Eq. 1 and 2")
    return fig


def choice(similarity: Tensor, ratio: float) -> Figure:
    """Averages of a layer's filters in order, the thresholds of Algorithm 1, and which filters go at this ratio."""
    averages = dice.average(similarity).numpy()
    kept = np.isin(np.arange(len(averages)), dice.select(similarity, ratio))
    order = np.argsort(averages)
    places = np.arange(len(order))
    fig, ax = plt.subplots(figsize=(7.2, 3.3))
    stays = kept[order]
    ax.plot(places[stays], averages[order][stays], ls="", marker="o", color=PALETTE[0], label="stays")
    look: dict[str, Any] = {"ls": "", "marker": "X", "ms": 8, "color": PALETTE[3]}
    ax.plot(places[~stays], averages[order][~stays], label="goes", **look)
    for share, words, at, side in (
        (1 - ratio / 2, 'above: "redundant"', 0, "left"),
        (ratio / 2, 'below: "uninformative"', len(order) - 1, "right"),
    ):
        level = np.quantile(averages, share)
        ax.axhline(level, color=GREY, lw=1, ls="--")
        text = f"{share:g} quantile; {words}"
        ax.annotate(text, (at, level), (0, 4), fontsize=8, ha=side, textcoords="offset points")
    ax.set_xlabel("filters, by their average")
    ax.set_ylabel("average similarity\nto the others")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8, loc="upper left")
    return fig


def similarities(record: Record) -> Figure:
    """How similar pairs of filters are: a column a layer, a row a reading. `record`: of a "profile" trial.

    The part of the pairs that lies outside of 0 to 1, where a reading has no bounds, is written in its panel.
    """
    layers = record.result["layers"]
    chosen = _chosen(layers)
    readings = [name for name in READINGS if name in layers[chosen[0]]]
    size = (2.9 * len(chosen) + 1.4, 0.72 * len(readings) + 1.2)
    fig, grid = plt.subplots(len(readings), len(chosen), figsize=size, squeeze=False, sharex=True)
    for column, layer in zip(grid.T, chosen, strict=True):
        for i, (ax, reading) in enumerate(zip(column, readings, strict=True)):
            found = layers[layer][reading]
            counts = np.asarray(found["counts"])
            pairs = counts.sum() + found["below"] + found["above"]
            ax.stairs(counts, np.linspace(0, 1, len(counts) + 1), fill=True, color=PALETTE[i])
            median = found["quantiles"][len(found["quantiles"]) // 2]
            if 0 <= median <= 1:
                ax.axvline(median, color="black", lw=1)
            if counts.sum() < pairs:
                words = f"{1 - counts.sum() / pairs:.1%} outside,\nmedian {median:.2g}"
                ax.text(0.02, 0.9, words, transform=ax.transAxes, va="top", fontsize=8)
            ax.set_yticks([])
            ax.set_xlim(0, 1)
            ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        column[0].set_title(f"{layer}, {_filters(layers[layer])} filters", fontsize=10)
        column[-1].set_xlabel("similarity of two filters")
    for ax, reading in zip(grid[:, 0], readings, strict=True):
        ax.set_ylabel(reading.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=9)
    fig.suptitle(_of(record), fontsize=10)
    return fig


def shared(record: Record) -> Figure:
    """Of the filters that two readings would remove, the part that both do: Jaccard index over all layers.

    `record`: of a "profile" trial. Above the diagonal, in grey: what chance would give.
    """
    layers = record.result["layers"]
    require_some(layers, "layers")
    readings = [name for name in READINGS if name in next(iter(layers.values()))]
    gone = {reading: {name: _as_text(found, reading) for name, found in layers.items()} for reading in readings}
    pairs = [(second, first) for first, second in combinations(readings, 2)]
    matrix = {(a, b): (jaccard(gone[a], gone[b]), by_chance(gone[a], gone[b])) for a, b in pairs}
    n = len(readings)
    fig, ax = plt.subplots(figsize=(1.9 + 0.85 * n, 1.3 + 0.55 * n))
    _halves(ax, readings, matrix)
    ax.set_title(f"{_of(record)}: removed by both, of those that either removes", fontsize=10)
    return fig


def agreement(frame: pd.DataFrame) -> Figure:
    """Of the filters that two methods keep of one trained network, the part that both do: mean Jaccard index.

    `frame`: `dice_choices.shared`; a panel for each network and target. Above the diagonal, in grey: what chance would give.
    """
    require_some(frame)
    cases: Any = frame.groupby(["network", "dial"], sort=False)
    names = _in_order([*frame["first"], *frame.second])
    n = len(names)
    fig, axes = panels(len(cases), width=1.4 + 0.8 * n, height=1.4 + 0.5 * n, sharey=False)
    for ax, ((name, dial), rows) in zip(axes, cases, strict=True):
        found = zip(rows["second"], rows["first"], rows.Jaccard, rows["by chance"], strict=True)
        _halves(ax, names, {(b, a): (fmean(index), fmean(chance)) for b, a, index, chance in found if index}, _named)
        ax.set_title(f"{name}, {dial}:\nkept by both, of those that either keeps", fontsize=10)
    return fig


def _halves(
    ax: Axes,
    names: Sequence[str],
    pairs: Mapping[tuple[str, str], tuple[float, float]],
    named: Callable[[str], str] = str,
) -> None:
    """A square of names: (later, earlier) -> a share, below the diagonal and coloured, and chance, above it and in grey."""
    n = len(names)
    shown = np.ma.masked_all((n, n))
    np.fill_diagonal(shown, 1)
    for (i, first), (j, second) in product(enumerate(names), repeat=2):
        if i == j:
            ax.text(j, i, "1.00", ha="center", va="center", color="black", fontsize=9)
        elif (first, second) in pairs:
            shown[i, j], chance = pairs[first, second]
            color = "black" if shown[i, j] > 0.55 else "white"
            ax.text(j, i, f"{shown[i, j]:.2f}", ha="center", va="center", color=color, fontsize=9)
            ax.text(i, j, f"{chance:.2f}", ha="center", va="center", color=GREY, fontsize=9)
    ax.imshow(shown, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    labels = [named(name) for name in names]
    ax.set_xticks(range(n), [label.replace(", ", ",\n").replace(" ", "\n", 1) for label in labels], fontsize=8)
    ax.set_yticks(range(n), labels, fontsize=9)
    ax.grid(False)


def norms(records: Sequence[Record]) -> Figure:
    """L2 norms of the filters of each layer, in their order, on a logarithmic axis; the dead are marked (`diversity.dead`).

    `records`: of "profile" trials. A row of panels for each network, a column for each of at most `LAYERS` layers, a line
    for each training. A norm of zero stands at the lower end of the axis.
    """
    require_some(records)
    frame = pd.DataFrame([place(record) | {"record": record} for record in records])
    found = [(name, _chosen(rows.record.iloc[0].result["norm"]), list(rows.record)) for name, rows in _networks(frame)]
    columns = max(len(layers) for _, layers, _ in found)
    size = (2.7 * columns + 0.8, 2.7 * len(found) + 0.6)
    fig, grid = plt.subplots(len(found), columns, figsize=size, squeeze=False, sharey="row")
    for axes, (name, layers, own) in zip(grid, found, strict=True):
        for ax, layer in zip(axes, layers, strict=False):
            _ordered_norms(ax, [(record.result["norm"][layer], record.result["activity"][layer]) for record in own])
            ax.set_title(f"{layer}, {len(own[0].result['norm'][layer])} filters", fontsize=10)
        axes[0].set_ylabel(f"{name}\nL2 norm of the filter")
        for ax in axes[len(layers) :]:
            ax.remove()
    for ax in grid[-1]:
        ax.set_xlabel("filters, by their norm")
    keys = [Line2D([], [], ls="", **look) for look in LIFE.values()]
    fig.legend(keys, list(LIFE), loc="outside lower center", ncols=2, fontsize=8)
    return fig


LIFE: dict[str, dict[str, Any]] = {"living": {"color": PALETTE[0], "marker": ".", "ms": 5},
                                   "dead": {"color": PALETTE[3], "marker": "x", "ms": 4}}  # fmt: skip


def _ordered_norms(ax: Axes, trainings: Sequence[tuple[Sequence[float], Sequence[float]]]) -> None:
    """A line for each training of the layer, whose filters have these norms and activities."""
    least = min((norm for norms, _ in trainings for norm in norms if norm > 0), default=1.0)
    for values, activity in trainings:
        order = np.argsort(values, kind="stable")
        heights, silent = np.maximum(values, least / 10)[order], np.array(dead(activity))[order]
        ax.plot(heights, color=PALE, lw=1)
        for is_dead, look in zip((False, True), LIFE.values(), strict=True):
            (places,) = np.nonzero(silent == is_dead)
            ax.plot(places, heights[places], ls="", **look)
    ax.set_yscale("log")


def spreads(record: Record, others: Mapping[str, tuple[Any, Any]]) -> Figure:
    """Average similarity against spread of each filter: left of some layers, right the rank correlation in every one.

    Hollow marks are filters that were dead before any cut (`diversity.dead`).

    Parameters
    ----------
    record : of a "profile" trial
    others : by name, spreads (n,) and averages (n,) of more layers, to compare with; drawn in grey
    """
    averages = {name: found["Eq. 1 and 2"]["averages"] for name, found in record.result["layers"].items()}
    pairs = {name: (record.result["spread"][name], averages[name]) for name in sorted(averages, key=_in_depth)}
    looks: dict[str, Any] = {name: {"color": PALETTE[i], "marker": MARKERS[i]} for i, name in enumerate(_chosen(pairs))}
    looks |= {name: {"color": GREY, "marker": "x"} for name in others}
    pairs |= others
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9), width_ratios=(1.5, 1))
    for name, look in looks.items():
        left.plot(*pairs[name], ls="", ms=4, alpha=0.7, label=name, **look)
        if name not in others:
            silent = np.array(dead(record.result["activity"][name]))
            spread, average = (np.array(values)[silent] for values in pairs[name])
            left.plot(spread, average, ls="", ms=4, mfc="white", **look)
    left.set_xlabel("spread: mean |w| / max |w|")
    left.set_ylabel("average similarity to the others")
    left.set_title(_of(record), fontsize=10)
    left.legend(fontsize=8, markerscale=1.5, title="hollow: dead", title_fontsize=8)
    for i, (name, (spread, average)) in enumerate(pairs.items()):
        look = looks.get(name, {"color": PALETTE[7], "marker": "."})
        right.plot(spearmanr(spread, average).statistic, i, **look)
    every = max(1, len(pairs) // 20)
    right.set_yticks(range(0, len(pairs), every), list(pairs)[::every], fontsize=8)
    right.set_ylim(len(pairs) - 0.5, -0.5)
    right.set_xlim(-1.05, 0.05)
    right.set_xlabel("Spearman correlation of the two")
    return fig


def curves(points: pd.DataFrame, elbows: pd.DataFrame) -> Figure:
    """Figure 2: accuracy on the test split against the share of filters removed, and below it where each curve's elbow is.

    Parameters
    ----------
    points, elbows : of `dice_tables.curve_points` and `dice_tables.elbows`

    Two rows of panels for each network, a column for each moment. Lines are means over the seeds, bands reach from the
    lowest to the highest. The dashed line is the thesis's ratio.
    """
    networks = _networks(points)
    moments = [name for name in ("pruned", "recalibrated") if (points.moment == name).any()]
    methods = _in_order(points.method)
    heights = (3.0, 0.22 * len(methods) + 0.3)
    size = (4.9 * len(moments), sum(heights) * len(networks) + 1.2)
    shape = (2 * len(networks), len(moments))
    fig, grid = plt.subplots(*shape, figsize=size, squeeze=False, height_ratios=heights * len(networks), sharex=True)
    for n, (name, rows) in enumerate(networks):
        for ax, strip, moment in zip(grid[2 * n], grid[2 * n + 1], moments, strict=True):
            seen = rows[(rows.moment == moment) & (rows.split == "test")]
            for i, method in enumerate(methods):
                _band(ax, seen[seen.method == method], i, _named(method))
            ax.set_title(f"{name}: {MOMENTS[f'top1 {moment}'][0]}", fontsize=10)
            ax.set_ylim(0, 101)
            for panel in (ax, strip):
                panel.axvline(THESIS_RATIO, color=GREY, lw=1, ls="--")
            _elbow_marks(strip, elbows, rows, moment, methods)
        grid[2 * n, 0].set_ylabel("top-1 on the test split, %")
        grid[2 * n + 1, 0].set_ylabel("elbow")
    for ax in grid[-1]:
        ax.set_xlabel("share of each layer's filters removed")
    fig.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(methods), fontsize=8)
    return fig


def _band(ax: Axes, rows: pd.DataFrame, i: int, label: str) -> None:
    if rows.empty:
        return
    by_ratio = rows.groupby("ratio").top1
    look: dict[str, Any] = {"lw": 2.2, "zorder": 3} if i == 0 else {"lw": 1.2}
    ax.plot(by_ratio.mean(), color=PALETTE[i], marker=MARKERS[i], ms=4, label=label, **look)
    ax.fill_between(by_ratio.min().index, by_ratio.min(), by_ratio.max(), color=PALETTE[i], alpha=0.18, lw=0)


def _elbow_marks(ax: Axes, elbows: pd.DataFrame, rows: pd.DataFrame, moment: str, methods: Sequence[str]) -> None:
    ours = elbows[(elbows.dataset == rows.dataset.iloc[0]) & (elbows.arch == rows.arch.iloc[0]) & (elbows.moment == moment)]
    for i, method in enumerate(methods):
        found = ours[ours.method == method].ratio.dropna()
        look: dict[str, Any] = {"ls": "", "color": PALETTE[i], "marker": MARKERS[i]}
        ax.plot(found, [i] * len(found), ms=5, alpha=0.4, **look)
        ax.plot(found.mean(), i, ms=7, markeredgecolor="white", **look)  # no interval: elbows lie on a coarse grid
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_yticks([])


def beside_thesis(frame: pd.DataFrame, table: int, paper: pd.DataFrame) -> Figure:
    """Each method after the last moment that was measured: beside the thesis's numbers, and as Dice minus it.

    Parameters
    ----------
    frame : `dice_tables.comparisons` of the records, of one dial
    table : int
        Of the thesis, whose accuracies are drawn as hollow diamonds where the network is in it and ours is fine-tuned too.
    paper : `tables.reported("dice")`

    A row of two panels for each network. Left: accuracy; the line is the mean before the cut. Right: Dice that prunes the
    same layers minus the method, paired by seed; where there is none, Dice on convolutions.
    """
    require_some(frame)
    frame = frame.assign(label=[_label(*row) for row in zip(frame.method, frame.layers, strict=True)])
    networks = _networks(frame)
    order = {_label(method, layers): i for i, method in enumerate(_in_order(frame.method)) for layers in ("conv", "all")}
    labels = [label for label in order if (frame.label == label).any()]
    size = (9.8, (0.36 * len(labels) + 1.2) * len(networks) + 0.4)
    fig, grid = plt.subplots(len(networks), 2, figsize=size, squeeze=False, width_ratios=(1.25, 1), sharey="row")
    drawn: list[Line2D] = []  # the thesis's
    for (left, right), (name, rows) in zip(grid, networks, strict=True):
        moment, words = common_moment(rows)
        groups = {label: rows[rows.label == label] for label in labels}
        left.axvline(rows["top1 baseline"].mean(), color=GREY, lw=1)
        for i, (label, group) in enumerate(groups.items()):
            marks(left, i, repetitions(group, f"top1 {moment}"), order[label], sideways=True)
            for theirs in _printed(group, table, paper) if moment == "fine-tuned" else []:
                drawn += left.plot(theirs, i, marker="D", ls="", mfc="white", mec="black", ms=7, zorder=4)
            if i and len(group) and group.iloc[0].method != "dice":
                one = group.iloc[0]
                gap = lead(rows, f"top1 {moment}", one.method, one.layers, one.layers)
                gap = gap or lead(rows, f"top1 {moment}", one.method, one.layers)
                marks(right, i, gap, order[label], sideways=True)
        right.axvline(0, color=GREY, lw=1)
        speeds = {label: f"MACs / {group['speed-up macs'].mean():.2f}" for label, group in groups.items() if len(group)}
        same = len(set(speeds.values())) == 1
        left.set_yticks(range(len(labels)), labels if same else [f"{name}\n{speeds.get(name, '')}" for name in labels])
        left.set_ylim(len(labels) - 0.5, -0.5)
        left.set_title(f"{name}: {words}" + f", {speeds[labels[0]]}" * same, fontsize=10)
        left.set_xlabel("top-1 on the test split, %")
        right.set_xlabel("Sørensen-Dice minus it, points")
        for ax in (left, right):
            ax.xaxis.set_major_locator(MaxNLocator(6))
    keys = {"ours before the cut": Line2D([], [], color=GREY, lw=1)}
    keys |= {f"the thesis, Table {table}": line for line in drawn[:1]}
    fig.legend([*keys.values()], [*keys], loc="outside lower center", ncols=2, fontsize=8)
    return fig


def _label(method: str, layers: str) -> str:
    return f"{_named(method)}, linear layers too" if method == "dice" and layers == "all" else _named(method)


def _printed(rows: pd.DataFrame, table: int, paper: pd.DataFrame) -> list[float]:
    """The accuracy of the thesis's row for this method, dataset and network, if it has one."""
    if rows.empty:
        return []
    one = rows.iloc[0]
    theirs = paper[(paper.table == table) & (paper.metric == "top1") & (paper.method == THESIS_METHODS.get(one.method))]
    theirs = theirs[(theirs.dataset == THESIS_DATASETS.get(one.dataset)) & (theirs.model == THESIS_MODELS.get(one.arch))]
    return [float(value) for value in theirs.value] if one.method != "dice" or one.layers == "conv" else []


def readings(table: pd.DataFrame) -> Figure:
    """Other readings: the filters they keep as well, and what their choice does to the accuracy. `dice_parts.variants`.

    One row of panels for each network: Jaccard index of the kept filters, with chance as a cross; difference in accuracy
    to the reading of this book after recalibration and, where fine-tuned, after that.
    """
    table = table[table.Jaccard.map(len) > 0] if len(table) else table
    require_some(table, "compared readings")
    columns = [name for name in GAPS if table[name].map(len).gt(0).any()]
    cases: Any = table.groupby(["dataset", "arch", "dial"], sort=False)
    most = max(len(rows) for _, rows in cases)
    size = (3.3 * (1 + len(columns)) + 2.2, (0.3 * most + 1.1) * len(cases) + 0.4)
    fig, grid = plt.subplots(len(cases), 1 + len(columns), figsize=size, squeeze=False, sharey="row")
    for axes, ((dataset, arch, dial), rows) in zip(grid, cases, strict=True):
        for ax, column in zip(axes, ("Jaccard", *columns), strict=True):
            for i, values in enumerate(rows[column]):
                marks(ax, i, values, 0, sideways=True)
        for i, chance in enumerate(rows["by chance"]):
            axes[0].plot(fmean(chance), i, marker="x", ls="", color=PALETTE[1], ms=6)
        for ax, column in zip(axes[1:], columns, strict=True):
            ax.axvline(0, color=GREY, lw=1)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set_xlabel(f"difference in top-1,\n{GAPS[column]}, points")
        axes[0].set_xlabel("Jaccard index of the kept filters\n(cross: by chance)")
        axes[0].set_title(f"{network(dataset, arch)}, {dial}", fontsize=10)
        axes[0].set_yticks(range(len(rows)), list(rows.reading))
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        axes[0].set_xlim(right=1.02)
    return fig


GAPS = {"minus base": "recalibrated", "minus base fine-tuned": "fine-tuned"}


def tunings(frame: pd.DataFrame) -> Figure:
    """What is fine-tuned, with and without recalibration before it: accuracy before it, hollow, and after it.

    `frame`: `dice_tables.comparisons` of the records. The line is the mean of the networks before the cut.
    """
    networks = _networks(frame)
    kinds = [(what, fresh) for what in TRAINABLE if (frame.trainable == what).any() for fresh in (True, False)]
    fig, axes = panels(len(networks), width=6.2, height=0.42 * len(kinds) + 1.6)
    for ax, (name, rows) in zip(axes, networks, strict=True):
        ax.axvline(rows["top1 baseline"].mean(), color=GREY, lw=1)
        for i, (what, fresh) in enumerate(kinds):
            group = rows[(rows.trainable == what) & (rows.recalibrate.gt(0) == fresh)]
            start, end = (repetitions(group, f"top1 {m}") for m in ("recalibrated" if fresh else "pruned", "fine-tuned"))
            if start and end:
                ax.plot([fmean(start), fmean(end)], [i, i], color=PALETTE[0 if fresh else 1], lw=1)
                ax.plot(start, [i] * len(start), ls="", marker="o", mfc="white", mec=PALETTE[0 if fresh else 1])
            marks(ax, i, end, 0 if fresh else 1, sideways=True)
        ax.set_yticks(range(len(kinds)), [TRAINABLE[what] + (", recalibrated" if fresh else "") for what, fresh in kinds])
        ax.set_ylim(len(kinds) - 0.5, -0.5)
        ax.set_xlabel("top-1 on the test split, %")
        ax.set_title(f"{name}, epochs of fine-tuning: {rows['finetune epochs'].max():g}", fontsize=10)
    return fig


TRAINABLE = {"all": "all weights", "linear": "linear layers", "head": "last layer"}


def stops(records: Sequence[Record], before: Sequence[Record]) -> Figure:
    """The stop rule: drop on the validation split at each step, and where it stops; one panel a network and repair.

    Filled: the last step within the allowance, which is the dashed line of the same colour. Hollow: the drop of that
    network on the test split, where its "baseline" record is among `before`.
    """
    require_some(records, "records")
    whole = {record.key: record.result["test"]["top1"] for record in before}
    frame = pd.DataFrame([_stopped(record, whole) for record in records])
    repairs = {"only cut": False, "batch norm recalibrated": True}
    found = [(f"{name}: {words}", rows[rows.repaired == fresh]) for name, rows in _networks(frame)
             for words, fresh in repairs.items()]  # fmt: skip
    networks = [(name, rows) for name, rows in found if len(rows)]
    fig, axes = _grid(len(networks))
    drops = sorted(frame["drop"].unique(), reverse=True)
    for ax, (name, rows) in zip(axes, networks, strict=True):
        for i, drop in enumerate(drops):
            color = PALETTE[i]
            ax.axhline(drop, color=color, lw=1, ls="--")
            for _, row in rows[rows["drop"] == drop].iterrows():
                ax.plot(row.ratios, row.lost, color=color, lw=1, marker=".")
                ax.plot(row.ratio, row.val, marker=MARKERS[i], color=color, ms=7)
                ax.plot(row.ratio, row.test, marker=MARKERS[i], mfc="white", mec=color, ms=7, zorder=3)
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("share of each layer's filters removed")
        ax.set_ylabel("drop of top-1, points")
    keys = [Line2D([], [], color=PALETTE[i], marker=MARKERS[i]) for i in range(len(drops))]
    keys.append(Line2D([], [], color="black", marker="o", mfc="white", ls=""))
    names = [f"{drop:g} {'point' if drop == 1 else 'points'} allowed" for drop in drops] + ["the same network, test split"]
    fig.legend(keys, names, loc="outside lower center", ncols=len(keys), fontsize=8)
    return fig


def _stopped(record: Record, whole: Mapping[str, float]) -> dict[str, Any]:
    p, steps = record.params, record.result["steps"]
    lost = [steps[0]["val"] - step["val"] for step in steps]
    last = len(steps) - (2 if lost[-1] > p["drop"] else 1)  # what went too far is the last step, if any did
    start = whole.get(Trial("baseline", p["baseline"]).key, math.nan)
    return {
        "dataset": p["baseline"]["dataset"], "arch": p["baseline"]["arch"], "repaired": p["recalibrate"] > 0,
        "drop": p["drop"], "ratios": [step["ratio"] for step in steps], "lost": lost, "ratio": steps[last]["ratio"],
        "val": lost[last], "test": start - record.result["test"]["top1"],
    }  # fmt: skip


def speeds(records: Sequence[Record]) -> Figure:
    """Ratio of MACs, a line, beside the measured ratio of times for each number of images; one panel a network.

    The bars reach from the lower quartile before over the upper one after the cut, to the upper over the lower: wider than
    quartiles of a ratio.
    """
    require_some(records, "records")
    frame = pd.DataFrame([place(record) | {"record": record} for record in records])
    networks = _networks(frame)
    most = max(len(rows) for _, rows in networks)
    fig, axes = panels(len(networks), width=6.4, height=0.55 * most + 1.6, sharey=False)
    for ax, (name, rows) in zip(axes, networks, strict=True):
        for i, record in enumerate(rows.record):
            before, after = (record.result["cost"]["macs"][when][0] for when in ("before", "after"))
            ax.vlines(before / after, i - 0.4, i + 0.4, color="black", lw=2)
            for j, found in enumerate(record.result["latency"]):
                low, middle, high = _times_faster(found)
                label = f"time, {found['images']} at a time" if i == 0 else None
                ax.errorbar(middle, i + 0.18 * (2 * j - 1), xerr=[[middle - low], [high - middle]], color=PALETTE[j],
                            marker=MARKERS[j], ls="", capsize=3, label=label)  # fmt: skip
        ax.axvline(1, color=GREY, lw=1, ls="--")
        ax.set_yticks(range(len(rows)), [_decision(record) for record in rows.record])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel("before the cut / after it")
        ax.set_title(name, fontsize=10)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend([Line2D([], [], color="black", lw=2), *handles], ["MACs", *labels], loc="outside lower center",
               ncols=1 + len(labels), fontsize=8)  # fmt: skip
    return fig


def _times_faster(found: Mapping[str, Any]) -> tuple[float, float, float]:
    before, after = found["before"], found["after"]
    return before[0] / after[2], before[1] / after[1], before[2] / after[0]


def _decision(record: Record) -> str:
    decision = record.params["decision"]
    if decision["target"] is not None:
        return f"{decision['target']:.0%} of the MACs removed"
    return f"ratio {decision['ratio']:g},\n" + ("linear layers too" if decision["layers"] == "all" else "convolutions")


def transfers(frame: pd.DataFrame) -> Figure:
    """Each candidate's accuracy on the other task against what is known before: one panel a predictor.

    `frame`: `dice_parts.transfers`. Marks are coloured by the epochs of the first training.
    """
    require_some(frame, "candidates")
    names = [name for name in map(str, frame.columns) if name.startswith("diversity: ") or name == "source top-1"]
    shown = [name for name in names if frame[name].notna().any()]
    fig, axes = _grid(len(shown), width=3.3, height=3.2, columns=3)
    lengths = sorted(frame["source epochs"].unique())
    for ax, name in zip(axes, shown, strict=True):
        for i, epochs in enumerate(lengths):
            rows = frame[frame["source epochs"] == epochs]
            label = f"epochs before: {epochs:g}"
            ax.plot(rows[name], rows.reached, ls="", color=PALETTE[i], marker=MARKERS[i], label=label)
        varied = frame[name].nunique() > 1 and frame.reached.nunique() > 1
        ax.set_title(
            f"Spearman {spearmanr(frame[name], frame.reached).statistic:+.2f}" if varied else "all alike", fontsize=10
        )
        ax.set_xlabel(name.replace(": ", ":\n"))
        ax.xaxis.set_major_locator(MaxNLocator(4))
    for ax in axes[::3]:
        ax.set_ylabel(f"top-1 on {' and '.join(frame.target.unique())}, %")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(lengths), fontsize=8)
    return fig


def _grid(n: int, width: float = 4.9, height: float = 3.3, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """`n` panels in rows of so many."""
    rows, columns = -(-n // columns), min(n, columns)
    fig, grid = plt.subplots(rows, columns, figsize=(width * columns, height * rows + 0.4), squeeze=False)
    for ax in grid.flat[n:]:
        ax.remove()
    return fig, list(grid.flat[:n])


def _chosen(layers: Mapping[str, Any]) -> list[str]:
    """At most `LAYERS` names, evenly from the first to the last; names of records are sorted as text, so numbers first."""
    names = sorted(layers, key=_in_depth)
    require_some(names, "layers")
    places = np.unique(np.linspace(0, len(names) - 1, LAYERS).round().astype(int))
    return [names[place] for place in places]


def _in_depth(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _filters(found: Mapping[str, Any]) -> int:
    return len(next(iter(found.values()))["averages"])


def _as_text(found: Mapping[str, Any], reading: str) -> str:
    gone = set(found[reading]["gone"])
    return "".join("1" if filter in gone else "0" for filter in range(_filters(found)))


def _in_order(names: Iterable[str]) -> list[str]:
    return [method for method in METHODS if method in set(names)]


def _named(method: str) -> str:
    return THESIS_METHODS.get(method, method)


def _networks(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    require_some(frame)
    groups: Any = frame.groupby(["dataset", "arch"], sort=False)
    return [(network(dataset, arch), rows) for (dataset, arch), rows in groups]


def _of(record: Record) -> str:
    return network(record.params["baseline"]["dataset"], record.params["baseline"]["arch"])
