"""Figures: one idea each, colour-blind-safe, on white so that they read in dark mode too."""

from collections.abc import Sequence, Sized
from typing import Any

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from prunebook import phash
from prunebook.errors import require
from prunebook.methods import kcore
from prunebook.report.tables import interval

PALETTE = sns.color_palette("colorblind")
GREY = "#555555"
MARKERS = "osD^vP*X"


def style() -> None:
    """Set matplotlib's look for a notebook."""
    sns.set_theme(style="whitegrid", palette="colorblind", font_scale=0.95)
    plt.rcParams.update({
        "figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 110, "axes.spines.top": False,
        "axes.spines.right": False, "figure.constrained_layout.use": True, "legend.frameon": True,
    })  # fmt: skip


def similarity_of(record_result: dict[str, Any]) -> Tensor:
    """(n, n) similarity of a layer, from the record of a "layer" trial."""
    n = record_result["filters"]
    matrix = torch.ones(n, n, dtype=torch.float64)
    for i, row in enumerate(record_result["agreements"]):
        values = torch.tensor(row, dtype=torch.float64) / record_result["bits"]
        matrix[i, i + 1 :] = values
        matrix[i + 1 :, i] = values
    return matrix


def to_draw(taus: Sequence[float]) -> list[float]:
    """At most three thresholds: the lowest ones, where a graph has the most edges to look at."""
    return sorted(taus)[:3]


def decomposition(similarity: Tensor, score: Sequence[float], tau: float, edge: str = ">=") -> Figure:
    """One panel a round of Algorithm 2: the innermost core in orange, its survivor ringed; last, what is left."""
    graph = kcore.redundancy_graph(similarity, tau, edge)
    steps = list(kcore.rounds(similarity, score, tau, edge))
    layout = nx.spring_layout(graph, seed=4, k=0.9)
    columns = 2
    rows = -(-(len(steps) + 1) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(3.9 * columns, 2.9 * rows), squeeze=False)
    left = graph.copy()
    for ax, step in zip(axes.flat, [*steps, None], strict=False):
        core = {v for component in step.components for v in component} if step else set()
        colors = [PALETTE[1] if v in core else "#d9d9d9" for v in left]
        rings = [PALETTE[0] if step and v in step.kept else "#777777" for v in left]
        nx.draw_networkx_edges(left, layout, ax=ax, edge_color="#999999")
        nx.draw_networkx_nodes(left, layout, ax=ax, node_color=colors, edgecolors=rings, linewidths=2.2, node_size=330)
        nx.draw_networkx_labels(left, layout, ax=ax, font_size=9)
        title = f"k = {step.k}: keep {', '.join(map(str, step.kept))}" if step else f"left: {len(left)} filters"
        ax.set_title(title, fontsize=10)
        if step:
            left.remove_nodes_from(core - set(step.kept))
    for ax in axes.flat:
        ax.set_axis_off()
        ax.set_xlim(min(x for x, _ in layout.values()) - 0.2, max(x for x, _ in layout.values()) + 0.2)
        ax.set_ylim(min(y for _, y in layout.values()) - 0.2, max(y for _, y in layout.values()) + 0.2)
    return fig


def core_numbers(similarity: Tensor, taus: Sequence[float], edge: str = ">=") -> Figure:
    """The redundancy graph of one layer at each tau, in one layout, vertices coloured by core number."""
    graphs = [kcore.redundancy_graph(similarity, tau, edge) for tau in taus]
    densest = max(graphs, key=nx.Graph.number_of_edges)
    layout = nx.spring_layout(densest, seed=0, weight=None, k=2.2 / np.sqrt(len(densest)))
    numbers = [nx.core_number(graph) for graph in graphs]
    top = max(1, max(max(n.values()) for n in numbers))
    fig, axes = plt.subplots(1, len(taus), figsize=(3 * len(taus) + 0.8, 3.2), squeeze=False)
    shades = sns.color_palette("viridis", as_cmap=True)
    for ax, tau, graph, number in zip(axes.flat, taus, graphs, numbers, strict=True):
        nx.draw_networkx_edges(graph, layout, ax=ax, alpha=0.18, width=0.7)
        drawn = nx.draw_networkx_nodes(graph, layout, ax=ax, node_color=[number[v] for v in graph], cmap=shades, vmin=0,
                                       vmax=top, node_size=55, edgecolors="white", linewidths=0.5)  # fmt: skip
        ax.set_title(f"tau = {tau:g}: {graph.number_of_edges()} edges\ndegeneracy {max(number.values())}", fontsize=10)
        ax.set_axis_off()
    fig.colorbar(drawn, ax=axes, label="core number", shrink=0.8)
    return fig


def degree_and_entropy(similarity: Tensor, entropy: Sequence[float], taus: Sequence[float], edge: str = ">=") -> Figure:
    """Our Figure 2: degree against entropy of a layer's filters at each tau, those that stay filled."""
    from scipy.stats import spearmanr

    fig, axes = plt.subplots(1, len(taus), figsize=(3.1 * len(taus), 3.3), squeeze=False, sharey=True)
    for ax, tau in zip(axes.flat, taus, strict=True):
        degree = kcore.degrees(similarity, tau, edge).numpy()
        kept = np.zeros(len(degree), dtype=bool)
        kept[kcore.select(similarity, entropy, tau, edge)] = True
        values = np.asarray(entropy)
        ax.scatter(degree[~kept], values[~kept], facecolors="none", edgecolors=PALETTE[3], label="removed", s=32)
        ax.scatter(degree[kept], values[kept], color=PALETTE[0], label="kept", s=32)
        varied = np.ptp(degree) > 0 and np.ptp(values) > 0
        rho = f"Spearman {spearmanr(degree, values).statistic:+.2f}" if varied else "one degree only"
        ax.set_title(f"tau = {tau:g}: {kept.sum()} of {len(degree)} kept\n{rho}", fontsize=10)
        ax.set_xlabel("degree")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[0, 0].set_ylabel("entropy of the activations (nats)")
    axes[0, 0].legend()
    return fig


def rates(frame: pd.DataFrame, paper: pd.DataFrame, counter: str = "thop") -> Figure:
    """FR and PR against tau: a mark for each repetition, lines through the means, the paper's points where it has any.

    The paper's are those of the network of the same name, dashed; its cost before pruning may differ from ours.
    `paper`: columns arch, tau, metric ("fr", "pr"), value, label. Raises BadValue where `frame` has no row.
    """
    require(len(frame) > 0, "the number of records", len(frame), "at least 1 for a figure")
    fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.8), sharey=True)
    rows = frame[frame.score == frame.score.iloc[0]]
    for ax, metric in zip(axes, ("FR", "PR"), strict=True):
        for i, (arch, group) in enumerate(rows.groupby("arch", sort=True)):
            _line(ax, group, "tau", f"{metric} {counter}", i, label=f"{arch}, here")
            theirs = paper[(paper.arch == arch) & (paper.metric == metric.lower())].sort_values("tau")
            if len(theirs) and (group.width == 1).all():
                ax.plot(theirs.tau, theirs.value, "--", marker="x", color=PALETTE[i], label=theirs.label.iloc[0])
        ax.set_xlabel("threshold tau")
        ax.set_xticks(sorted(rows.tau.unique()))
        ax.set_ylim(0, 101)
        ax.set_title({"FR": "MACs", "PR": "parameters"}[metric] + f" removed ({counter})", fontsize=10)
    axes[0].set_ylabel("removed, %")
    axes[1].legend(fontsize=8)
    return fig


MOMENTS = {  # of a pruned network's life: column, how its line is drawn
    "top1 pruned": ("only cut", (0, (1, 1.5))),
    "top1 recalibrated": ("batch norm recalibrated", "-"),
    "top1 fine-tuned": ("fine-tuned", (0, (4, 1.5))),
}


def accuracy(frame: pd.DataFrame, baselines: pd.DataFrame, counter: str = "thop") -> Figure:
    """Accuracy against MACs removed, one panel a network: each score a colour, each moment of `MOMENTS` a line style.

    A mark for each repetition, lines through the means. `baselines`: columns network, "top-1, %". Raises BadValue
    where `frame` has no row.
    """
    require(len(frame) > 0, "the number of records", len(frame), "at least 1 for a figure")
    archs = sorted(frame.arch.unique())
    fig, axes = plt.subplots(1, len(archs), figsize=(4.9 * len(archs), 4.4), squeeze=False, sharey=True)
    scores = list(dict.fromkeys(frame.score))
    for ax, arch in zip(axes.flat, archs, strict=True):
        for before in baselines[baselines.network == arch]["top-1, %"]:
            ax.axhline(before, color=GREY, lw=1)
        for i, score in enumerate(scores):
            for column, (_, dashes) in MOMENTS.items():
                _line(ax, frame[(frame.arch == arch) & (frame.score == score)], f"FR {counter}", column, i, dashes)
        ax.set_xlabel(f"MACs removed, % ({counter})")
        ax.set_title(arch, fontsize=10)
        ax.set_ylim(0, 101)
    axes[0, 0].set_ylabel("top-1 on the test split, %")
    keys = [Line2D([], [], color=PALETTE[i], marker=MARKERS[i], ls="") for i in range(len(scores))]
    keys += [Line2D([], [], color="black", ls=dashes) for _, dashes in MOMENTS.values()]
    keys += [Line2D([], [], color=GREY, lw=1)]
    names = [*scores, *(moment for moment, _ in MOMENTS.values()), "before pruning"]
    fig.legend(keys, names, loc="outside lower center", ncols=len(keys), fontsize=8)
    return fig


def _line(ax: Any, rows: pd.DataFrame, x: str, y: str, i: int, dashes: Any = "-", label: str | None = None) -> None:
    """The i-th series: a faint mark for each repetition, and a line through the means at each tau."""
    rows = rows[rows[y].notna()]
    means = rows.groupby("tau")[[x, y] if x != "tau" else [y]].mean().reset_index()
    ax.plot(rows[x], rows[y], color=PALETTE[i], marker=MARKERS[i], ls="", ms=4, alpha=0.45)
    ax.plot(means[x], means[y], color=PALETTE[i], marker=MARKERS[i], ls=dashes, ms=5, label=label)


def kept_widths(keep: dict[float, dict[str, str]], title: str) -> Figure:
    """Share of the filters that each layer keeps, a row for each tau. `keep[tau][layer]` is a text of 0 and 1.

    Raises BadValue where `keep` has no tau.
    """
    require(len(keep) > 0, "the number of thresholds", len(keep), "at least 1 for a figure")
    taus = sorted(keep, reverse=True)
    layers = list(keep[taus[0]])
    share = np.array([[keep[tau][name].count("1") / len(keep[tau][name]) for name in layers] for tau in taus])
    fig, ax = plt.subplots(figsize=(max(6.0, 0.16 * len(layers) + 3), 0.34 * len(taus) + 1.9))
    every = max(1, len(layers) // 28)
    names = [name if i % every == 0 else "" for i, name in enumerate(layers)]
    sns.heatmap(share, ax=ax, vmin=0, vmax=1, cmap="viridis", xticklabels=names, yticklabels=[f"{t:g}" for t in taus],
                cbar_kws={"label": "share kept"})  # fmt: skip
    ax.tick_params(axis="x", labelsize=7, rotation=90)
    ax.set_ylabel("tau")
    ax.set_title(title, fontsize=10)
    return fig


def bits(maps: Sequence[Tensor], titles: Sequence[str]) -> Figure:
    """Feature maps (h, w) above, the bits of their hash (kind "dct-mean") below."""
    fig, axes = plt.subplots(2, len(maps), figsize=(1.9 * len(maps), 4), squeeze=False)
    two = ListedColormap(["#f0f0f0", PALETTE[0]])
    for column, (one, title) in enumerate(zip(maps, titles, strict=True)):
        code = phash.hashes(one[None, None]).reshape(min(phash.SIDE, len(one)), -1)
        axes[0, column].imshow(one.numpy(), cmap="gray")
        axes[0, column].set_title(title, fontsize=9)
        axes[1, column].imshow(code.numpy(), cmap=two, vmin=0, vmax=1)
        for ax in axes[:, column]:
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(False)
    axes[0, 0].set_ylabel("map")
    axes[1, 0].set_ylabel("bits")
    return fig


def panels(n: int, width: float = 5.2, height: float = 3.8, sharey: bool = True) -> tuple[Figure, Any]:
    """`n` axes side by side, each of this width in inches."""
    fig, axes = plt.subplots(1, n, figsize=(width * n, height), squeeze=False, sharey=sharey)
    return fig, axes[0]


def require_some(rows: Sized, what: str = "records") -> None:
    """BadValue where there is nothing to draw."""
    require(len(rows) > 0, f"the number of {what}", len(rows), "at least 1 for a figure")


def marks(ax: Axes, place: float, values: Sequence[float], i: int, label: str | None = None, sideways: bool = False) -> None:
    """Repetitions of a measurement at one place of the other axis, in the i-th look.

    A faint mark for each, a solid one for the mean; its bar is the 95 % t-interval of three or more. No mark for none.
    """
    if not values:
        return
    look: dict[str, Any] = {"color": PALETTE[i], "marker": MARKERS[i]}
    places = [place] * len(values)
    ax.plot(*((values, places) if sideways else (places, values)), ls="", ms=4, alpha=0.4, **look)
    mean, half, n = interval(values)
    bar = half if n > 2 else None
    x, y, xerr, yerr = (mean, place, bar, None) if sideways else (place, mean, None, bar)
    ax.errorbar(x, y, yerr, xerr, ms=6.5, lw=1.6, capsize=4, markeredgecolor="white", ls="", label=label, **look)
