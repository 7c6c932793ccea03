"""Figures of the annealing page: decays, corrupted images, improvements over one-shot pruning, choices, bounds.

A figure of no records is refused with BadValue.
"""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from prunebook.methods.annealing import squash
from prunebook.methods.annealing.measures import SQUASHES
from prunebook.report import annealing_tables as made
from prunebook.report.annealing_corruptions import kinds
from prunebook.report.annealing_tables import HALF, LOOKS, SHARES, network, titled
from prunebook.report.figures import GREY, MARKERS, PALETTE, marks, panels, require_some
from prunebook.report.tables import repetitions
from prunebook.trials import Record
from prunebook.trials.annealing import CLEAN

GRID = np.linspace(0, 80, 81)
NOTHING = 1e-12  # of the largest change: rounding
LOOK: dict[str, tuple[int, Any]] = {  # colour, in all figures, and dash; what belongs to a reading has its colour
    "paper": (0, "-"), "official": (1, "-"), "absolute": (2, "-"),
    "greedy": (3, (0, (5, 1, 1, 1))), "random pairs": (4, (0, (5, 1, 1, 1))),
    "one-shot": (0, (0, (4, 1.5))), "one-shot, official": (1, (0, (4, 1.5))), "one-shot, absolute": (2, (0, (4, 1.5))),
    "paper, filters too": (0, (0, (8, 2))), "official, filters too": (1, (0, (8, 2))),
    "absolute, filters too": (2, (0, (8, 2))),
}  # fmt: skip
BANDED = ("paper", "official", "random pairs")  # more bands than these hide each other
MUCH = 60.0  # percent: a figure whose lines all stay above it begins a little below the lowest
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.5)), (0, (5, 1, 1, 1)), (0, (8, 2)), (0, (2, 2)), "-", (0, (4, 1.5)))


def decay(frame: pd.DataFrame, readings: Sequence[str] = ()) -> Figure:
    """Figure 3 of one network: accuracy and robust instances against the share of units that is gone.

    A line is the median over all rounds and networks, the band of the `BANDED` reaches from the lowest to the highest of
    them. `frame`: of `annealing_tables.points`, one dataset. `readings`: those to draw; default: all.
    """
    require_some(frame)
    shown = [name for name in (readings or dict.fromkeys(frame.reading)) if (frame.reading == name).any()]
    attacks = [name for name in made.metrics(frame) if frame[name].notna().any() and name.startswith("fgsm")]
    fig, axes = panels(1 + len(attacks), width=3.6, height=3.5)
    for ax, metric in zip(axes, ("top1", *attacks), strict=True):
        for i, name in enumerate(shown):
            _band(ax, frame[frame.reading == name], metric, i, name)
        ax.axhline(frame.constant.iloc[0], color=GREY, lw=1, ls=":", label="one answer to all")
        ax.set_title(titled(metric), fontsize=10)
        ax.set_xlabel("hidden units gone, %")
    low = min(float(np.min(line.get_ydata())) for ax in axes for line in ax.lines)
    axes[0].set_ylim(low - 10 if low >= MUCH else 0, 101)
    axes[0].set_ylabel("% of the test inputs")
    fig.suptitle(network(frame.dataset.iloc[0], frame.arch.iloc[0]), fontsize=10)
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)), fontsize=8)
    return fig


def _band(ax: Axes, rows: pd.DataFrame, metric: str, i: int, label: str) -> None:
    """Median of curves on a grid, as far as all of them reach, and of the `BANDED` the lowest and highest."""
    curves: Any = rows[rows.epoch > made.BEFORE].groupby(["seed", "draw"])
    least, most = (max(curve.removed.min() for _, curve in curves), min(curve.removed.max() for _, curve in curves))
    places = GRID[(least - made.REACHED <= GRID) & (most + made.REACHED >= GRID)]
    values = np.array([np.interp(places, curve.removed, curve[metric]) for _, curve in curves])
    look, dash = LOOK.get(label, (i % len(PALETTE), DASHES[i % len(DASHES)]))
    color = PALETTE[look]
    ax.plot(places, np.median(values, axis=0), color=color, ls=dash, lw=1.6, label=label)
    if label in BANDED:
        ax.fill_between(places, values.min(axis=0), values.max(axis=0), color=color, alpha=0.09, lw=0)


def corrupted(frame: pd.DataFrame) -> Figure:
    """Accuracy on clean images and under each kind of corruption, against the share of units gone, of one network.

    A line is the mean over trained networks, of each over its rounds, and over severities. `frame`: of
    `annealing_corruptions.points`, one dataset.
    """
    require_some(frame)
    shown = [CLEAN, *kinds(frame)]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    size = (3.1 * columns, 2.4 * rows + 0.9)
    fig, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, sharex=True, sharey=True)
    for ax, kind in zip(grid.flat, shown, strict=False):
        for i, name in enumerate(dict.fromkeys(frame.reading)):
            of_network = frame[frame.reading == name].groupby(["share", "seed"])[kind].mean()
            means = of_network.groupby("share").mean()
            look, dash = LOOK.get(name, (i % len(PALETTE), DASHES[i % len(DASHES)]))
            ax.plot(means.index, means, color=PALETTE[look], ls=dash, lw=1.6, label=name)
        ax.axhline(frame.constant.iloc[0], color=GREY, lw=1, ls=":", label="one answer to all")
        ax.set_title(kind.replace("_", " "), fontsize=10)
    for ax in list(grid.flat)[len(shown) :]:
        ax.set_axis_off()
    grid[0, 0].set_ylim(0, 101)
    for ax in grid[-1]:
        ax.set_xlabel("hidden units gone, %")
    for ax in grid[:, 0]:
        ax.set_ylabel("% of the images")
    fig.suptitle(network(frame.dataset.iloc[0], frame.arch.iloc[0]), fontsize=10)
    handles, names = grid[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)), fontsize=8)
    return fig


def improvement(frame: pd.DataFrame, readings: Sequence[str] = ()) -> Figure:
    """Figure 4 of one network: by how many percent a reading is above its one-shot baseline, at shares up to a half.

    Marks are repetitions and their mean; a bar is the 95 % t-interval of three or more. `frame` as for `decay`.
    """
    require_some(frame)
    attacks = [name for name in made.metrics(frame) if frame[name].notna().any() and name.startswith("fgsm")]
    gains = {metric: made.improvements(frame, metric) for metric in ("top1", *attacks)}
    found = [name for name in dict.fromkeys(gains["top1"].reading) if not readings or name in readings]
    require_some(found, "readings with a baseline")
    fig, axes = panels(len(gains), width=3.6, height=3.5, sharey=False)
    for ax, (metric, rows) in zip(axes, gains.items(), strict=True):
        ax.axhline(0, color=GREY, lw=1)
        for i, name in enumerate(found):
            own = rows[rows.reading == name]
            look, _ = LOOK.get(name, (i, None))
            label = f"{name}, above {own.against.iloc[0]}" if len(own) else name
            for share in (each for each in SHARES if each <= HALF):
                values = repetitions(own[own.share == share], "gain")
                marks(ax, share + 1.6 * (i - (len(found) - 1) / 2), values, look, label if share == SHARES[0] else None)
        ax.set_title(titled(metric).removesuffix(", %"), fontsize=10)
        ax.set_xlabel("hidden units gone, %")
    axes[0].set_ylabel("above the baseline,\n% of the baseline")
    fig.suptitle(network(frame.dataset.iloc[0], frame.arch.iloc[0]), fontsize=10)
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(2, len(names)), fontsize=8)
    return fig


def choices(table: pd.DataFrame) -> Figure:
    """What other choices do to accuracy and robustness: differences to the reading that each changes. `made.choices`."""
    require_some(table, "compared choices")
    columns = [name for name in ("mean to 50 %", "mean to 75 %", "robust to 50 %") if name in table]
    networks: Any = table.groupby("network", sort=False)
    most = max(len(rows) for _, rows in networks)
    size = (2.9 * len(columns) + 3.0, (0.27 * most + 1.1) * len(networks) + 0.4)
    fig, grid = plt.subplots(len(networks), len(columns), figsize=size, squeeze=False, sharey="row")
    for axes, (name, rows) in zip(grid, networks, strict=True):
        for ax, column in zip(axes, columns, strict=True):
            ax.axvline(0, color=GREY, lw=1)
            for i, values in enumerate(rows[column]):
                marks(ax, i, values, 0, sideways=True)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            what = "robust instances" if column.startswith("robust") else "top-1"
            ax.set_xlabel(f"{what}, mean {column[column.index('to') :]} gone,\ndifference in points")
        axes[0].set_title(name, fontsize=10)
        axes[0].set_yticks(range(len(rows)), list(rows.choice))
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
    return fig


def bounds(record: Record) -> Figure:
    """NORM of single removals against the range of the change on inputs, a panel for each kind of bounds; log scales.

    Both are sums over outputs.

    Below the line a bound is too small. A removal that changes nothing but the last bits has no mark: a unit that no input
    reaches. `record`: of an "impacts" trial.
    """
    layers = record.result["layers"]
    fig, axes = panels(len(LOOKS), width=3.4, height=3.5)
    values = [value for layer in layers for name in ("range", *(f"norm {look}" for look in LOOKS)) for value in layer[name]]
    least = NOTHING * max(values)
    positive = [value for value in values if value > least]
    require_some(positive, "changes")
    ends = [min(positive), max(positive)]
    for ax, look in zip(axes, LOOKS, strict=True):
        ax.plot(ends, ends, color=GREY, lw=1)
        for i, layer in enumerate(layers):
            look_of: dict[str, Any] = {"color": PALETTE[i], "marker": MARKERS[i], "alpha": 0.4, "ls": "", "ms": 3.5}
            seen = [value if value > least else math.nan for value in layer["range"]]
            ax.plot(seen, layer[f"norm {look}"], label=f"{layer['layer']}, {layer['width']} units", **look_of)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(look, fontsize=10)
        ax.set_xlabel("range of the change on inputs,\nsummed over outputs")
    axes[0].set_ylabel("NORM")
    base = record.params["baseline"]
    fig.suptitle(network(base["dataset"], base["arch"]), fontsize=10)
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), fontsize=8, markerscale=1.5)
    return fig


def squashes(norms: Sequence[float]) -> Figure:
    """How far each squashing function is from 1, against its argument; ticks below are these NORMs, of whole prunings."""
    import torch

    fig, ax = plt.subplots(figsize=(6.4, 3.4))
    most = max([100.0, *norms])
    x = torch.logspace(-1, float(np.log10(most)), 400, dtype=torch.float64)
    for i, kind in enumerate(SQUASHES):
        rest = 1 - squash(x, kind)
        shown = rest > 0
        ax.plot(x[shown], rest[shown], color=PALETTE[i], ls=DASHES[i], label=kind)
    ax.plot(norms, [1e-17] * len(norms), marker="|", ls="", color=GREY, ms=9, label="NORM after a pruning")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(5e-18, 2)
    ax.set_xlabel("NORM")
    ax.set_ylabel("1 - sigma(NORM)")
    ax.legend(fontsize=8)
    return fig
