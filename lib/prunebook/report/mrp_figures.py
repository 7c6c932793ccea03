"""Figures of the MRP page: the communities of a layer, the trace of a plan, the Role-Information study, and the comparisons.

A figure of no records is refused with BadValue.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from prunebook.errors import choose
from prunebook.methods import mrp
from prunebook.report import mrp_tables
from prunebook.report.figures import GREY, MARKERS, PALETTE, marks, panels, require_some
from prunebook.report.mrp_replay import COUNTED
from prunebook.trials import Record

PALE = "#d9d9d9"
STEPS = 150  # of a layout
LABELS = 28  # at most so many layers have their name


# The communities of a layer


def layout(weights: np.ndarray, communities: Sequence[Sequence[int]]) -> np.ndarray:
    """Where to draw the vertices of a graph: (n, 2), those with edges in the unit square, the others in arcs below it.

    Springs along the edges and repulsion between all (Fruchterman and Reingold 1991), from a start that the communities
    give: nothing is drawn by lot, so that a picture hangs on no seed, and on no library that makes layouts.

    Parameters
    ----------
    weights : (n, n)
        Of the edges.
    communities : lists of vertices
        Those that are in none stand among those without edges.
    """
    at = np.zeros((len(weights), 2))
    joined = [vertex for members in communities for vertex in members if weights[vertex].any()]
    alone = [vertex for vertex in range(len(weights)) if vertex not in joined]
    place = np.arange(len(alone))
    row, column = place // ROW, place % ROW
    in_row = np.minimum(ROW, len(alone) - ROW * row)
    across = (column + 0.5) / in_row
    at[alone] = np.column_stack([across, (across - 0.5) ** 2 - 0.35 - 0.1 * row])  # bent, so that edges there can be seen
    if joined:
        turn = 2 * np.pi * np.arange(len(joined)) / len(joined)  # so that a community is an arc of a circle
        at[joined] = _springs(weights[np.ix_(joined, joined)], np.column_stack([np.cos(turn), np.sin(turn)]))
    return at


ROW = 22  # vertices without edges


def _springs(weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(n, 2) in the unit square, from a start."""
    pull, rest = weights / max(weights.max(), 1e-9), 1.6 / np.sqrt(len(at))
    for step in range(STEPS):
        apart = at[:, None] - at
        distance = np.maximum(np.linalg.norm(apart, axis=2), 1e-3)
        force = rest**2 / distance**2 - pull * distance / rest
        move = (apart * force[:, :, None]).sum(axis=1) - 0.4 * at  # what no edge holds does not drift away
        length = np.maximum(np.linalg.norm(move, axis=1, keepdims=True), 1e-9)
        at = at + move / length * np.minimum(length, 0.2 * (1 - step / STEPS))
    low, high = at.min(axis=0), at.max(axis=0)
    return (at - low) / np.maximum(high - low, 1e-9)


class Picture(NamedTuple):
    """A graph of filters at one moment.

    weights : (n, n), of the edges
    communities : lists of filters
    l1 : (n,), norms of the filters
    left : filters that are not gone; the others are drawn dotted, without their edges
    """

    weights: np.ndarray
    communities: Sequence[Sequence[int]]
    l1: np.ndarray
    left: Sequence[int]


def communities(pictures: Mapping[str, Picture], letters: str = "") -> Figure:
    """One graph at several moments, by title, in one layout: that of the first.

    An edge is the darker, the more weight it has; a filter the larger, the larger its L1 norm. A community has a colour and
    a shape; grey circles are communities of one; dotted ones are filters that are gone. `letters` name the filters.
    """
    require_some(pictures, "graphs")
    first = next(iter(pictures.values()))
    at = layout(first.weights, first.communities)
    fig, axes = panels(len(pictures), width=4.4 if len(pictures) < 3 else 2.7, height=4.3 if len(pictures) < 3 else 2.9)
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        _graph(ax, at, picture)
        for (x, y), letter in zip(at, letters, strict=False):
            ax.annotate(letter, (x, y), (7, 5), textcoords="offset points", fontsize=10)
        ax.set_title(title, fontsize=10)
    return fig


def removals(similarity: Tensor, l1: np.ndarray, letters: str, quantile: float = 0.9) -> Figure:
    """The loop in a single layer, one filter at a time, until every community has one: a panel before each removal.

    similarity : (n, n), see `methods.mrp.filter_graph`; edges are found once
    l1 : (n,)
    letters : n names
    """
    weights = mrp.filter_graph(similarity, quantile=quantile)
    left, pictures, goes = list(range(len(weights))), dict[str, Picture](), None
    while not pictures or goes is not None:
        left = [filter for filter in left if filter != goes]
        among = np.ix_(left, left)
        numbers = mrp.communities(weights[among])
        found = [[left[number] for number in members] for members in numbers]
        goes = mrp.replaceable(weights, found, l1)
        end = "nothing more" if goes is None else f"{letters[goes]} goes"
        pictures[f"R = {mrp.redundancy(len(left), numbers):.2f}: {end}"] = Picture(weights, found, l1, left)
    return communities(pictures, letters)


def before_and_after(graph: Record, traces: Sequence[Record]) -> Figure:
    """The communities of a layer, and which of its filters are left after each plan: of "graph" and "trace" records.

    The layout, the communities and the edges are those of the whole layer throughout.
    """
    found = graph.result
    weights = np.zeros((found["filters"], found["filters"]))
    for i, j, weight in found["edges"]:
        weights[i, j] = weights[j, i] = weight
    whole = Picture(weights, found["communities"], np.array(found["l1"]), range(len(weights)))
    several = sum(len(members) > 1 for members in found["communities"])
    name = f"{mrp_tables.named(graph)}: {found['layer']},\n"
    name += f"{len(weights)} filters, {several} communities of two or more"
    pictures = {name: whole}
    for trace in sorted(traces, key=lambda record: record.params["decision"]["target"]):
        kept = [filter for filter, digit in enumerate(trace.result["keep"][found["layer"]]) if digit == "1"]
        title = f"{100 * trace.result['removed']:.0f} % of the MACs removed:\n{len(kept)} filters left"
        pictures[title] = whole._replace(left=kept)
    return communities(pictures)


def _graph(ax: Axes, at: np.ndarray, picture: Picture) -> None:
    weights, left = np.zeros_like(picture.weights), np.ix_(picture.left, picture.left)
    weights[left] = picture.weights[left]
    ends = np.argwhere(np.triu(weights))
    share = weights[tuple(ends.T)] / max(picture.weights.max(), 1e-9)
    shades = [(0.3, 0.3, 0.3, 0.15 + 0.5 * heavy**2) for heavy in share]
    ax.add_collection(LineCollection(list(at[ends]), colors=shades, linewidths=0.4 + 1.6 * share, zorder=1))
    sizes = 25 + 110 * picture.l1 / max(picture.l1.max(), 1e-9)
    gone = sorted(set(range(len(weights))).difference(picture.left))
    x, y = at.T
    ax.scatter(x[gone], y[gone], s=sizes[gone], facecolors="none", edgecolors="#999999", linestyle=":", zorder=2)
    for i, community in enumerate(picture.communities):
        members = [member for member in community if member not in gone]
        look: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        look = look | {"edgecolors": "white"} if len(community) > 1 else {"color": PALE, "edgecolors": GREY}
        ax.scatter(x[members], y[members], s=sizes[members], linewidths=0.7, zorder=3, **look)
    ax.set_axis_off()
    ax.set_xlim(-0.08, 1.08)
    ax.set_ylim(at[:, 1].min() - 0.08, 1.1)


# The trace of a plan


def trace(widths: Mapping[str, int], steps: Sequence[Mapping[str, Any]], title: str, counter: str = "macs") -> Figure:
    """What a plan did, iteration by iteration: above how redundant the layer was that it chose, below how wide each one is.

    Above, a mark is the chosen layer's redundancy before it lost filters, in the look of its original width; the line is the
    share that is removed. Below, a row is a layer, the first on top, and the colour its share of filters left.

    Parameters
    ----------
    widths : of the layers before, in order of execution
    steps : of the plan's trace
    title : str
    counter : {"macs", "params"}
        Whose share the trace has.
    """
    require_some(steps, "iterations")
    before = np.array(list(widths.values()))
    left = np.array([before, *(list(after.values()) for after in mrp.replay(widths, steps))]) / before
    n, rows = len(steps), len(widths)
    heights = (2.3, min(7.0, 0.17 * rows + 1.0))
    fig, (above, below) = plt.subplots(2, 1, figsize=(8.8, sum(heights) + 1.0), height_ratios=heights, sharex=True)
    _levels(above, widths, steps, counter)
    above.set_title(title, fontsize=10)
    shades = {"vmin": 0.0, "vmax": 1.0, "cmap": "viridis", "interpolation": "nearest"}
    drawn = below.imshow(left.T, aspect="auto", extent=(-0.5, n + 0.5, rows - 0.5, -0.5), **shades)
    every = -(-rows // LABELS)
    below.set_yticks(range(0, rows, every), list(widths)[::every], fontsize=7)
    below.set_xlabel("iteration")
    below.grid(False)
    fig.colorbar(drawn, ax=below, label="share of filters left", pad=0.01)
    return fig


def _levels(ax: Axes, widths: Mapping[str, int], steps: Sequence[Mapping[str, Any]], counter: str) -> None:
    levels, of = np.array([step["redundancy"] for step in steps]), np.array([widths[step["layer"]] for step in steps])
    for i, wide in enumerate(sorted(set(of))):
        (at,) = np.nonzero(of == wide)
        look: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        ax.plot(at + 1, levels[at], ls="", ms=3, label=f"redundancy of the chosen layer: one of {wide} filters", **look)
    removed = [0, *(step["removed"] for step in steps)]
    ax.plot(range(len(removed)), removed, color="black", lw=1.3, label=f"share of the {COUNTED[counter]} removed")
    ax.set_ylim(0, 1)
    ax.figure.legend(loc="outside lower center", ncols=2, fontsize=8)


# The Role-Information study


COMPARED = {
    "any": "any",
    "linked": "with company",
    "beyond": "less rewired",
    "rewired": "less rewired",
    "spectrum": "less spectrum",
    "untrained": "less untrained",
}
GAINED = {
    "structure": "modularity",
    "likeness": "likeness inside\nminus outside",
    "removal": "loss saved by removal\ninside, nats",
    "replaced": "loss saved by a stand-in\nfrom inside, nats",
    "swaps": "loss saved by exchange\ninside, nats",
}


def role(tested: Sequence[mrp_tables.Tested], test: str) -> Figure:
    """One test of the study, layer by layer: a row of panels for each network.

    The hypothesis predicts each filled mark above the hollow one on the left, and the filled one above 0 on the right.

    Left: what filters of one community have beside others with company, in the order of the layers: filled for the
    communities that were found, hollow for those of the null that decides. Right: means over layers of every comparison of
    the test, with 95 % bootstrap intervals where there are layers enough; the one that decides is filled.

    `test`: of `mrp_tables.TESTS`. Changes of the loss stand on an axis that is linear around 0 and logarithmic farther out.
    """
    choose("test", test, mrp_tables.TESTS)
    require_some(tested, "networks")
    size = (8.8, 3.2 * len(tested) + 0.6)
    fig, grid = plt.subplots(len(tested), 2, figsize=size, squeeze=False, width_ratios=(3.2, 1), sharey="row")
    for (left, right), one in zip(grid, tested, strict=True):
        rows, effects, decisive = mrp_tables.sides(one, test), one.compared(test), one.decisive(test)
        left.plot(rows.place, rows["null"], ls="", ms=5, label=NULLS[decisive.against], **LOOKS[1])
        left.plot(rows.place, rows.real, ls="", ms=5, label="communities that were found", **LOOKS[0])
        for place, effect in enumerate(effects):
            face = PALETTE[2] if effect == decisive else "white"
            right.plot([place] * 2, [effect.predicted * end for end in (effect.low, effect.high)], color=PALETTE[2], lw=2)
            right.plot(place, effect.predicted * effect.mean, marker="D", color=PALETTE[2], ms=7, mfc=face)
        right.set_xticks(range(len(effects)), [COMPARED[effect.against] for effect in effects], rotation=90, fontsize=7)
        right.set_xlim(-0.6, len(effects) - 0.4)
        right.set_title("mean over layers", fontsize=10)
        left.set_title(one.name, fontsize=10)
        left.set_ylabel(GAINED[test], fontsize=9)
        every = -(-len(rows) // LABELS)
        left.set_xticks(rows.place[::every], rows.layer[::every], rotation=90, fontsize=7)
        _zero(left, right, rows.real if decisive.outcome == "loss" else None)
    keys = {label: key for ax in grid[:, 0] for key, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(list(keys.values()), list(keys), loc="outside lower center", ncols=3, fontsize=8)
    return fig


LOOKS: tuple[dict[str, Any], dict[str, Any]] = (
    {"color": PALETTE[0], "marker": "o"},
    {"color": PALETTE[1], "marker": "s", "mfc": "white"},
)
NULLS = {
    "beyond": "communities of rewired graphs",
    "spectrum": "random vectors of the same spectrum",
    "untrained": "the same network, untrained",
}


def _zero(left: Axes, right: Axes, changes: pd.Series | None) -> None:
    """A line at 0 and, for changes of the loss, an axis on which small and large ones can be seen."""
    for ax in (left, right):
        ax.axhline(0, color=GREY, lw=1)
    middle = 0.0 if changes is None else float(changes.abs().median())
    if middle > 0:
        left.set_yscale("symlog", linthresh=10.0 ** math.floor(math.log10(middle)))
        left.yaxis.set_major_formatter("{x:g}")
        left.margins(y=0.12)


# Methods at equal MACs


def accuracy(frame: pd.DataFrame) -> Figure:
    """Accuracy against the MACs removed: a row of panels for each network, a panel for each moment, a look for each method.

    A faint mark is one repetition, lines go through the means. The line across is the mean before pruning. `frame`: of
    `mrp_tables.comparisons`.
    """
    require_some(frame)
    networks: Any = list(frame.groupby("network", sort=False))
    moments = mrp_tables.moments(frame)
    size = (0.6 + 3.9 * len(moments), 3.2 * len(networks) + 1.0)
    fig, grid = plt.subplots(len(networks), len(moments), figsize=size, squeeze=False, sharex=True, sharey="row")
    looks = _looks(frame)
    for axes, (name, rows) in zip(grid, networks, strict=True):
        for ax, moment in zip(axes, moments, strict=True):
            ax.axhline(rows["top1 baseline"].mean(), color=GREY, lw=1)
            for choice, look in looks.items():
                own = rows[(rows.choice == choice) & rows[f"top1 {moment}"].notna()]
                ax.plot(own["FR macs"], own[f"top1 {moment}"], ls="", ms=4, alpha=0.35, **look)
                means = own.groupby("target")[["FR macs", f"top1 {moment}"]].mean()
                ax.plot(means["FR macs"], means[f"top1 {moment}"], ms=6, lw=1.3, mec="white", **look)
            ax.set_title(f"{name}: {WORDS[moment]}", fontsize=10)
        axes[0].set_ylabel("top-1 on the test split, %")
    low, high = frame["FR macs"].min(), frame["FR macs"].max()
    if high - low < SPAN:
        grid[0, 0].set_xlim((low + high - SPAN) / 2, (low + high + SPAN) / 2)
    for ax in grid[-1]:
        ax.set_xlabel("MACs removed, %")
    keys = [Line2D([], [], mec="white", **look) for look in looks.values()] + [Line2D([], [], color=GREY, lw=1)]
    fig.legend(keys, [*looks, "before pruning"], loc="outside lower center", ncols=4, fontsize=8)
    return fig


SPAN = 10.0  # percent of the MACs that an axis has at least: those of one target differ by what overshoots
WORDS = {"pruned": "only cut", "recalibrated": "batch norm recalibrated", "fine-tuned": "fine-tuned"}


def _looks(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        choice: {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        for i, choice in enumerate(dict.fromkeys(frame.choice))
    }


def leads(table: pd.DataFrame) -> Figure:
    """MRP minus every other method at equal MACs, paired: a row for each method, a panel for each network and target.

    `table`: of `mrp_tables.at_equal_macs`. Right of the line MRP is ahead. Each moment has a look; a faint mark is one
    repetition, bars are 95 % t-intervals over three or more.
    """
    rows = table[table["mrp minus it"].map(len) > 0] if len(table) else table
    require_some(rows, "pairs")
    cases: Any = list(rows.groupby(["network", "target"], sort=False))
    choices, moments = list(dict.fromkeys(rows.choice)), [m for m in WORDS if (rows.after == m).any()]
    columns = min(3, len(cases))
    lines = -(-len(cases) // columns)
    size = (max(6.0, 1.5 + 2.9 * columns), (0.42 * len(choices) + 1.0) * lines + 0.5)
    fig, grid = plt.subplots(lines, columns, figsize=size, squeeze=False, sharey=True)
    for ax, ((name, target), own) in zip(grid.flat, cases, strict=False):
        for i, choice in enumerate(choices):
            for j, moment in enumerate(moments):
                for gap in own[(own.choice == choice) & (own.after == moment)]["mrp minus it"]:
                    marks(ax, i + 0.24 * (j - (len(moments) - 1) / 2), gap, j, sideways=True)
        ax.axvline(0, color=GREY, lw=1)
        ax.set_title(f"{name},\n{100 * target:g} % of the MACs", fontsize=9)
        ax.set_yticks(range(len(choices)), choices)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set_xlabel("MRP minus it, points")
    grid[0, 0].set_ylim(len(choices) - 0.5, -0.5)
    for ax in grid.flat[len(cases) :]:
        ax.remove()
    keys = [Line2D([], [], ls="", color=PALETTE[j], marker=MARKERS[j]) for j in range(len(moments))]
    fig.legend(keys, [WORDS[moment] for moment in moments], loc="outside lower center", ncols=3, fontsize=8)
    return fig
