"""Figures of the k-core page: the paper's Figures 3 to 6 and Table 8 with our records, and two comparisons of our own.

A faint mark is one repetition; a solid one is the mean, its bar the 95 % t-interval over three or more repetitions.
But for Figure 4, which has the paper's own marks, a figure of no records is refused with BadValue.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunebook.report import tables
from prunebook.report.figures import GREY, MARKERS, MOMENTS, PALETTE, marks, panels, require_some
from prunebook.report.kcore_tables import comparable, longest, moment
from prunebook.report.tables import PAPER_DATASETS, PAPER_NAMES, repetitions
from prunebook.studies.kcore import SELECTIONS
from prunebook.trials import Record

LABELS = {"AMC": (-1, 0), "NSB": (-1, 0), "FPGM": (-1, -1), "GRDP": (0, 1), "SFP": (0, 1)}  # beside their marks in Figure 4


def halves(frame: pd.DataFrame) -> Figure:
    """Figure 3, left: accuracy at each tau if each group keeps its highest or its lowest entropy; one panel a network.

    `frame`: `tables.prunings` of the records, scores "entropy" and "low-entropy".
    """
    networks = _networks(frame)
    fig, axes = panels(len(networks))
    for ax, (name, rows) in zip(axes, networks, strict=True):
        names = {"entropy": "highest entropy kept", "low-entropy": "lowest entropy kept"}
        column, words = moment(*(rows[rows.score == score] for score in names))
        for i, (score, label) in enumerate(names.items()):
            for tau in sorted(rows.tau.unique()):
                group = rows[(rows.score == score) & (rows.tau == tau)]
                _repeated(ax, tau + (i - 0.5) * 0.004, group, column, i, label if tau == rows.tau.min() else None)
        ax.set_xticks(sorted(rows.tau.unique()))
        ax.set_xlabel("threshold tau")
        ax.set_ylabel("top-1, %")
        ax.set_title(f"{name}\n{words}", fontsize=10)
    axes[0].legend(fontsize=8)
    return fig


def efficiency(frame: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Figure 4: drop against FR for the methods of Table 7, as the paper prints them, and ours where fine-tuned.

    Parameters
    ----------
    frame : `tables.prunings` of our records, with the networks before pruning
    paper : `tables.reported("kcore")`

    A mark's area goes with the printed total time, which adds seconds to epochs; ours have no such number, and a cross.
    """
    fig, ax = plt.subplots(figsize=(7.6, 4.6))
    theirs = paper[paper.table == 7]
    printed = theirs.pivot(index="method", columns="metric", values="value")
    for method, fr, drop, total in zip(printed.index, printed.fr, printed.top1_drop, printed.total_time, strict=True):
        own, (x, y) = method == "Ours", LABELS.get(method, (1, 0))
        ax.scatter(fr, drop, s=total, color=PALETTE[0] if own else "#bbbbbb", alpha=0.75, edgecolors=GREY, linewidths=0.6)
        gap = np.sqrt(total / np.pi) + 3
        ax.annotate("this paper" if own else method, (fr, drop), (x * gap, y * gap), textcoords="offset points", fontsize=8,
                    ha=("right", "center", "left")[x + 1], va=("top", "center", "bottom")[y + 1])  # fmt: skip
    handles = [Line2D([], [], marker="o", ls="", color="#bbbbbb", markeredgecolor=GREY, ms=8)]
    labels = ["as Table 7 prints it; area: its total time"]
    ours = longest(comparable(frame[(frame.arch == "resnet56") & (frame.dataset == "cifar10")]))
    for tau, group in ours.groupby("tau"):
        drop, removed = repetitions(group, "drop fine-tuned"), repetitions(group, "FR thop")
        if drop:
            ax.plot(_mean(removed), _mean(drop), marker="X", ls="", color=PALETTE[1], ms=9)
            ax.annotate(f"tau {tau:g}", (_mean(removed), _mean(drop)), (6, 6), textcoords="offset points", fontsize=8)
    if len(ours):
        handles.append(Line2D([], [], marker="X", ls="", color=PALETTE[1], ms=9))
        labels.append(f"here, after {ours['finetune epochs'].iloc[0]:g} of 70 epochs")
    ax.axhline(0, color=GREY, lw=0.8)
    ax.margins(0.12)
    ax.set_xlabel("MACs removed, % (as printed; ours: thop)")
    ax.set_ylabel("drop of top-1, points (lower is better)")
    note = "the paper's own numbers" if len(ours) else "the paper's own numbers; no ResNet-56 was fine-tuned here"
    ax.set_title(f"ResNet-56 on CIFAR-10: {note}", fontsize=10)
    fig.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    return fig


def selections(frame: pd.DataFrame) -> Figure:
    """Figure 5: FR, PR and accuracy of each part of the criterion alone, both, and neither; a row of panels a network.

    `frame`: `tables.prunings` of the records that `studies.kcore.selections` lists.
    """
    networks = _networks(frame)
    fig, grid = plt.subplots(len(networks), 3, figsize=(9.6, 2.1 * len(networks) + 0.7), squeeze=False, sharey=True)
    for axes, (name, rows) in zip(grid, networks, strict=True):
        groups = {label: rows[(rows.score == s["score"]) & (rows.scope == s["scope"])] for label, s in SELECTIONS.items()}
        column, words = moment(*(group for group in groups.values() if len(group)))
        titles = {"FR thop": "MACs removed, %", "PR thop": "parameters removed, %", column: "top-1, %"}
        for ax, (measure, title) in zip(axes, titles.items(), strict=True):
            for i, group in enumerate(groups.values()):
                _repeated(ax, i, group, measure, i, sideways=True)
            ax.set_yticks(range(len(groups)), list(groups))
            ax.set_ylim(len(groups) - 0.5, -0.5)
            ax.set_xlabel(title)
            ax.xaxis.set_major_locator(MaxNLocator(5))
        taus = ", ".join(f"{tau:g}" for tau in sorted(rows.tau.unique()))
        axes[0].set_title(f"{name}, tau {taus}", fontsize=10)
        axes[2].set_title(words.replace(", ", ",\n"), fontsize=9)
    return fig


def sample_sizes(frame: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Table 8 as lines: FR, PR and accuracy against the number of images; dashed: the paper's, on CIFAR-100.

    Parameters
    ----------
    frame : `tables.prunings` of our records, with the networks before pruning
    paper : `tables.reported("kcore")`

    The paper's accuracy is a drop after 70 epochs; it has no line in the third panel, which shows ours.
    """
    networks = _networks(frame)
    # A panel for accuracy only where more than one number of images has any: others may be there for their rates.
    measured = frame[moment(frame)[0]].notna().groupby(frame.images).any().sum() > 1
    fig, axes = plt.subplots(1, 2 + measured, figsize=(10.2 if measured else 8.2, 3.7))
    theirs = paper[paper.table == 8]
    for i, (name, rows) in enumerate(networks):
        column, words = moment(rows)
        for ax, measure in zip(axes, ("FR thop", "PR thop", column), strict=False):
            points = [(n, repetitions(rows[rows.images == n], measure)) for n in sorted(rows.images.unique())]
            _line(ax, [(n, values) for n, values in points if values], i, f"{name}, here")
        for ax, metric in zip(axes, ("fr", "pr"), strict=False):
            model = PAPER_NAMES.get(rows.arch.iloc[0])
            line = theirs[(theirs.model == model) & (theirs.metric == metric)]
            ax.plot(line.sample_size, line.value, "--", marker="x", color=PALETTE[i], label=f"{model}, paper, CIFAR-100")
    titles = ("MACs removed, % (thop)", "parameters removed, %", "top-1, %,\n" + words.replace(", ", ",\n"))
    for ax, title in zip(axes, titles, strict=False):
        ax.set_xlabel("images drawn")
        ax.set_title(title, fontsize=10)
        ax.set_xticks(sorted(frame.images.unique()))
        ax.tick_params(axis="x", labelsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    return fig


def learning_rates(records: Sequence[Record]) -> Figure:
    """Figure 6: accuracy on the test split after each epoch of fine-tuning, by learning rate; one panel a network."""
    frame = tables.prunings(records)
    frame["history"] = pd.Series([record.result["history"] for record in records])
    networks = _networks(frame)
    fig, axes = panels(len(networks))
    for ax, (name, rows) in zip(axes, networks, strict=True):
        for i, rate in enumerate(sorted(rows["finetune lr"].unique(), reverse=True)):
            group = rows[rows["finetune lr"] == rate]
            for j, history in enumerate(group.history):
                epochs, top1 = zip(*((entry["epoch"], entry["test_top1"]) for entry in history), strict=True)
                ax.plot(epochs, top1, color=PALETTE[i], marker=MARKERS[i], ms=5, label=None if j else f"{rate:g}")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set_xlabel("epoch of fine-tuning")
        taus = ", ".join(f"{tau:g}" for tau in sorted(rows.tau.dropna().unique()))
        ax.set_title(f"{name}, tau {taus}", fontsize=10)
    axes[0].set_ylabel("top-1 on the test split, %")
    axes[-1].legend(title="learning rate", fontsize=8, title_fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def scores_at_target(frame: pd.DataFrame) -> Figure:
    """Accuracy of each score at an equal share of MACs removed: a panel a moment, a row of panels a network and target.

    `frame`: `tables.prunings` of the records.
    """
    frame = frame[frame.target.notna()]
    require_some(frame, "records with a target")
    cases: Any = frame.groupby(["dataset", "arch", "target"])
    found = [column for column in MOMENTS if frame[column].notna().any()]
    scores = sorted(frame.score.unique(), key=lambda score: (score != "entropy", score))
    size = (3.2 * len(found) + 0.8, (0.42 * len(scores) + 1.3) * len(cases))
    fig, grid = plt.subplots(len(cases), len(found), figsize=size, squeeze=False, sharey=True)
    for axes, ((dataset, arch, target), rows) in zip(grid, cases, strict=True):
        for ax, column in zip(axes, found, strict=True):
            chosen = longest(rows) if column == "top1 fine-tuned" else rows
            for i, score in enumerate(scores):
                _repeated(ax, i, chosen[chosen.score == score], column, i, sideways=True)
            epochs = f", epochs: {chosen['finetune epochs'].max():g}" if column == "top1 fine-tuned" and len(chosen) else ""
            ax.set_title(MOMENTS[column][0] + epochs, fontsize=10)
            ax.set_yticks(range(len(scores)), scores)
            ax.set_ylim(len(scores) - 0.5, -0.5)
            ax.set_xlabel("top-1, %")
            ax.xaxis.set_major_locator(MaxNLocator(5))
        axes[0].set_ylabel(f"{_name(dataset, arch)}\n{target:.0%} of MACs removed", fontsize=9)
    return fig


def agreement(table: pd.DataFrame) -> Figure:
    """How many of the kept filters another reading shares with this book's; a panel a network.

    `table`: of `kcore_comparisons.agreement`. The line is what two draws of images share under one reading; the crosses
    are what chance shares.
    """
    require_some(table, "compared readings")
    cases: Any = table.groupby(["network", "target"], sort=False)
    rows = max(len(group) for _, group in cases)
    fig, axes = panels(len(cases), width=7.6 if len(cases) == 1 else 5.4, height=0.3 * rows + 1.5, sharey=False)
    for ax, ((network, target), group) in zip(axes, cases, strict=True):
        noise = group[group["minus base"].map(len).eq(0) & (group.reading == group.reading.iloc[0])]
        for level in (_mean(values) for values in noise.Jaccard if values):
            ax.axvline(level, color=GREY, lw=1, ls="--")
        others = group.drop(noise.index)
        for i, (values, chance) in enumerate(zip(others.Jaccard, others["by chance"], strict=True)):
            marks(ax, i, values, 0, sideways=True)
            if chance:
                ax.plot(_mean(chance), i, marker="x", ls="", color=PALETTE[1], ms=6)
        ax.set_yticks(range(len(others)), list(others.reading))
        ax.set_ylim(len(others) - 0.5, -0.5)
        ax.set_xlim(right=1.02)
        ax.set_xlabel("Jaccard index of the kept filters")
        ax.set_title(f"{network}, {target:.0%} of MACs removed", fontsize=10)
    keys = [Line2D([], [], color=PALETTE[0], marker="o"), Line2D([], [], color=PALETTE[1], marker="x", ls=""),
            Line2D([], [], color=GREY, lw=1, ls="--")]  # fmt: skip
    names = ["another reading, same images", "chance, same number of each layer", "same reading, other images"]
    fig.legend(keys, names, loc="outside lower center", ncols=3, fontsize=8)
    return fig


def _networks(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    require_some(frame)
    groups: Any = frame.groupby(["dataset", "arch"], sort=True)
    return [(_name(dataset, arch), rows) for (dataset, arch), rows in groups]


def _name(dataset: str, arch: str) -> str:
    return f"{arch} on {PAPER_DATASETS.get(dataset, dataset)}"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _repeated(
    ax: Axes, place: float, rows: pd.DataFrame, column: str, i: int, label: str | None = None, sideways: bool = False
) -> None:
    """The repetitions of a column at one place of the other axis: see the module's docstring."""
    marks(ax, place, repetitions(rows, column), i, label, sideways)


def _line(ax: Axes, points: Sequence[tuple[float, Sequence[float]]], i: int, label: str) -> None:
    for n, (x, values) in enumerate(points):
        marks(ax, x, values, i, None if n else label)
    ax.plot([x for x, _ in points], [_mean(values) for _, values in points], color=PALETTE[i], lw=1.2)
