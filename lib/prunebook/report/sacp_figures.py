"""Figures of the SACP page: what an encoder learns, what its score knows of accuracy, and what a search makes of it.

Each search has one look throughout. Frames are those of `sacp_tables` and `sacp_scores`. A figure of no records is refused
with BadValue.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator
from scipy.stats import spearmanr
from torch import Tensor

from prunebook import models
from prunebook.methods import sacp
from prunebook.report import sacp_tables
from prunebook.report.figures import GREY, PALETTE, require_some
from prunebook.studies.sacp import ENCODERS, SEARCHES, Parameters, by_contrast, dial
from prunebook.trials import Record
from prunebook.trials.estimate import facts

COLORS = (*PALETTE, GREY)
LOOKS: dict[str, dict[str, Any]] = {
    name: {"color": COLORS[color], "marker": marker}
    for name, color, marker in zip(SEARCHES, (0, 9, 3, 6, 7, 5, 8, 10, 4, 1, 2), "opshX^v<*DP", strict=True)
}
LEARNT = tuple(name for name in ENCODERS if by_contrast(name))
SCATTERED = ("infonce", "as printed", "untrained", "sacp-1", "L1 norm kept", "MACs kept")  # of all that may predict
KINDS = {"encoder": (0, "o"), "simple": (1, "s")}  # of predictors: color, marker
LINES = ("-", "--", ":", "-.")  # one for each network of a panel
RING: dict[str, Any] = {"ls": "", "marker": "o", "ms": 9, "mfc": "none", "mec": "black", "mew": 1.3}
BAND = "#d9d9d9"
WRITTEN = 15  # entries up to which a heat map has its numbers


def masks(graph: sacp.ArchitectureGraph, features: Mapping[str, Tensor]) -> Figure:
    """Node features (V, d) of a few variants of a small network, by title: kept, cut, or beyond the layer's channels."""
    require_some(features, "variants")
    fig, axes = _grid(len(features), width=3.3, height=0.45 * len(graph.nodes) + 0.75)
    colors = ListedColormap([PALETTE[1], "white", PALETTE[0]])
    for ax, (title, x) in zip(axes, features.items(), strict=True):
        ax.imshow(x.numpy(), cmap=colors, vmin=-1, vmax=1, aspect="auto")
        for (node, channel), value in np.ndenumerate(x.numpy()):
            color = "black" if value == 0 else "white"
            ax.text(channel, node, f"{value:g}", ha="center", va="center", color=color, fontsize=11)
        ax.set_xticks(range(graph.d), [f"{channel}" for channel in range(graph.d)])
        ax.set_yticks(range(len(graph.nodes)), [f"{node.kind} {v}" for v, node in enumerate(graph.nodes)])
        ax.grid(False)
        ax.set_title(title, fontsize=10)
    for ax in axes[-2:]:
        ax.set_xlabel("channel")
    keys = [Patch(facecolor=colors(i), edgecolor=GREY) for i in (2, 0, 1)]
    fig.legend(keys, ["kept", "cut", "the layer has no such channel"], loc="outside lower center", ncols=3, fontsize=9)
    return fig


def architecture(p: Parameters, arch: str) -> Figure:
    """The graph of one of a run's networks, filled as the masks of a candidate drawn at random at the run's tau."""
    known = facts(p.dataset[0], p.size)
    model = models.build(arch, known.num_classes, known.in_channels, seed=0, **p.options.get(arch, {}))
    graph = sacp.ArchitectureGraph(model, torch.zeros(1, known.in_channels, known.image_size, known.image_size))
    space, tau = sacp.Space(graph), dial(p, "tau", arch)
    r = space.sample(1, tau)[0]
    ax = graph.draw(keep=space.keep(r, sacp.rankings(model, graph)))
    many = f"{len(graph.nodes)} nodes, {len(graph.edges)} edges, {space.L} entries"
    ax.set_title(f"{arch}: {many}; a candidate with R(r) = {space.ratio(r):.2f}", fontsize=10, pad=22)
    assert isinstance(ax.figure, Figure)
    return ax.figure


def learning(histories: pd.DataFrame) -> Figure:
    """Mean cosine of an anchor with its positive and with its negative by epoch: a panel for each encoder.

    A faint line is one seed, a solid one the mean; networks differ in their dashes. `histories`: of `sacp_scores`.
    """
    require_some(histories, "epochs")
    names = [name for name in LEARNT if (histories.encoder == name).any()]
    networks = list(dict.fromkeys(histories.network))
    fig, axes = _grid(len(names), width=4.1, height=2.3)
    looks = {"positive": PALETTE[0], "negative": PALETTE[1]}
    for ax, name in zip(axes, names, strict=True):
        for net, dashes in zip(networks, LINES * len(networks), strict=False):
            rows = histories[(histories.encoder == name) & (histories.network == net)]
            for column, color in looks.items():
                for _, one in rows.groupby("seed"):
                    ax.plot(one.epoch, one[column], color=color, lw=0.8, alpha=0.35, ls=dashes)
                ax.plot(rows.groupby("epoch")[column].mean(), color=color, ls=dashes, marker=".")
        ax.set_title(name, fontsize=10)
        ax.set_ylim(-1.05, 1.05)
        ax.yaxis.set_major_locator(MultipleLocator(0.5))
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    _label(axes, "epoch", "cosine with the anchor")
    keys = [Line2D([], [], color=color) for color in looks.values()]
    words = ["its positive (cut by a fixed order)", "its negative (cut at random)"]
    if len(networks) > 1:
        keys += [Line2D([], [], color=GREY, ls=dashes) for dashes in LINES[: len(networks)]]
        words += networks
    fig.legend(keys, words, loc="outside lower center", ncols=2, fontsize=9)
    return fig


def scatter(candidates: pd.DataFrame) -> Figure:
    """Accuracy on the test split against what may predict it: a panel for each, with Spearman's rho above (mean over seeds).

    `candidates`: rows of `sacp_scores.candidates` of one network and sample; a mark is a candidate, a look a seed of the
    encoders or, where it has no encoder, of the draw. Predictors that are not there, or never vary, have no panel.
    """
    require_some(candidates, "candidates")
    names = [name for name in SCATTERED if name in candidates and candidates[name].nunique() > 1]
    require_some(names, "predictors that vary")
    fig, axes = _grid(len(names), width=4.1, height=2.6)
    seeds = list(candidates.groupby("seed"))
    for ax, name in zip(axes, names, strict=True):
        known = [rows for _, rows in seeds if rows[name].notna().all()]
        for look, rows in zip(list(LOOKS.values()) * len(known), _apart(known, name), strict=False):
            ax.plot(rows[name], rows.test, ls="", ms=4, alpha=0.7, **look)
        rhos = [_rho(rows[name], rows.test) for rows in known]
        ax.set_title(f"{name}: rho {fmean(rhos):+.2f}", fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set_xlabel("predicted accuracy, %" if name == "sacp-1" else "score" if name in ENCODERS else "share")
    for ax in axes[::2]:
        ax.set_ylabel("top-1 on\ntest images, %")
    one = candidates.iloc[0]
    fig.suptitle(f"{one.network}: {one['sample']}, {candidates.place.nunique()} candidates", fontsize=10)
    return fig


def _apart(known: Sequence[pd.DataFrame], name: str) -> list[pd.DataFrame]:
    """Of a score without an encoder, each draw once."""
    once = {rows.draw.iloc[0]: rows for rows in reversed(known)}
    return list(known) if name in ENCODERS else list(reversed(once.values()))


def _rho(first: pd.Series, second: pd.Series) -> float:
    varied = first.nunique() > 1 and second.nunique() > 1
    return float(spearmanr(first, second).statistic) if varied else 0.0


def correlations(frame: pd.DataFrame) -> Figure:
    """Rank correlation of each predictor with accuracy: a row for each, a row of panels for each network and sample.

    Left, filled: as it is; hollow: the partial one, given the MACs kept; grey behind: what the middle 95 % of encoders with
    random weights reach. Right, where the L1 norm kept is known: minus that of the L1 norm. Bars are 95 % bootstrap
    intervals over candidates. `frame`: of `sacp_scores.correlations`; a predictor that never varies has no row.
    """
    frame = frame[frame.rho.notna()]
    require_some(frame, "correlations")
    groups: Any = list(frame.groupby(["network", "sample"], sort=False))
    columns = 2 if frame["minus L1"].notna().any() else 1
    heights = [0.3 * len(rows) + 0.6 for _, rows in groups]
    size = (8.4 if columns == 2 else 6.0, sum(heights) + 1.0)
    fig, grid = plt.subplots(len(groups), columns, figsize=size, squeeze=False, sharey="row", height_ratios=heights)
    for axes, ((net, sample), rows) in zip(grid, groups, strict=True):
        _bands(axes[0], rows)
        _bars(axes[0], rows, "rho", -0.13)
        _bars(axes[0], rows, "given MACs", 0.17, mfc="white")
        axes[0].set_xlim(-1.05, 1.05)
        axes[0].set_yticks(range(len(rows)), list(rows.predictor), fontsize=9)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        axes[0].set_title(f"{net}: {sample}", fontsize=10)
        if columns == 2:
            _bars(axes[1], rows, "minus L1", 0)
            seeds = f", {rows.seeds.max():g} seeds" if rows.seeds.max() > 1 else ""
            axes[1].set_title(f"{rows.n.max():g} candidates{seeds}", fontsize=10)
    for ax, what in zip(grid[-1], ("rank correlation with accuracy", "minus that of the L1 norm kept"), strict=False):
        ax.set_xlabel(what)
    keys: list[Any] = [Line2D([], [], color=PALETTE[i], marker=marker) for i, marker in KINDS.values()]
    keys.append(Line2D([], [], color=GREY, marker="o", mfc="white"))
    words = ["an encoder's score", "a score without an encoder", "given the MACs kept"]
    if frame["random low"].notna().any():
        keys.append(Patch(facecolor=BAND))
        words.append("encoders with random weights")
    fig.legend(keys, words, loc="outside lower center", ncols=2, fontsize=9)
    return fig


def _bands(ax: Axes, rows: pd.DataFrame) -> None:
    """Behind each encoder what those with random weights reach."""
    for i, (low, high) in enumerate(rows[["random low", "random high"]].itertuples(index=False)):
        if not np.isnan(low):
            ax.barh(i, high - low, 0.8, low, color=BAND, zorder=0)


def _bars(ax: Axes, rows: pd.DataFrame, column: str, aside: float, **look: Any) -> None:
    """A mark with its interval for each row, in the look of its kind; none where it is not defined."""
    ends = ("low", "high") if column == "rho" else (f"{column} low", f"{column} high")
    for i, row in enumerate(rows.to_dict("records")):
        if np.isnan(row[column]):
            continue
        color, marker = KINDS[row["kind"]]
        ax.plot([row[end] for end in ends], [i + aside] * 2, color=PALETTE[color], lw=1.3)
        ax.plot(row[column], i + aside, ls="", ms=5.5, color=PALETTE[color], marker=marker, **look)
    ax.axvline(0, color=GREY, lw=1)
    ax.xaxis.set_major_locator(MaxNLocator(5))


def ratios(frame: pd.DataFrame) -> Figure:
    """Mean pruning ratio of each entry over the candidates that a search keeps: a row for each search, a panel a network.

    `frame`: of `sacp_tables.ratios`. "random" is what chance does at this tau.
    """
    require_some(frame, "candidates")
    networks: Any = list(frame.groupby("network", sort=False))
    tables = [(net, _by_entry(rows)) for net, rows in networks]
    widest = max(len(table.columns) for _, table in tables)
    heights = [0.34 * len(table) + 0.85 for _, table in tables]
    size = (min(9.6, max(6.4, 0.24 * widest + 2.6)), sum(heights) + 0.3)
    fig, grid = plt.subplots(len(tables), 1, figsize=size, squeeze=False, height_ratios=heights)
    for ax, (net, table) in zip(grid[:, 0], tables, strict=True):
        drawn = ax.imshow(table.to_numpy(), vmin=0, vmax=0.9, cmap="viridis", aspect="auto")
        if len(table.columns) <= WRITTEN:
            for (i, j), value in np.ndenumerate(table.to_numpy()):
                ax.text(j, i, f"{value:.1f}"[1:], ha="center", va="center", color="black" if value > 0.55 else "white")
        ax.set_yticks(range(len(table)), list(table.index), fontsize=9)
        every = 1 if len(table.columns) <= WRITTEN else 3
        ax.set_xticks(
            range(0, len(table.columns), every),
            [f"{entry + 1}" for entry in range(0, len(table.columns), every)],
            fontsize=9,
        )
        ax.grid(False)
        ax.set_title(net, fontsize=10)
    ax.set_xlabel("entry, from the image to the output")
    fig.colorbar(drawn, ax=list(grid[:, 0]), label="mean ratio", shrink=0.9, pad=0.02)
    return fig


def _by_entry(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean ratio, a row a search and a column an entry; of each seed first."""
    means = rows.groupby(["search", "seed", "entry"]).ratio.mean().groupby(["search", "entry"]).mean().unstack("entry")
    return means.loc[_in_order(means.index)]


def selection(built: pd.DataFrame, finished: pd.DataFrame) -> Figure:
    """Accuracy of each built candidate against its cost: a panel for each network.

    Hollow: after light fine-tuning; filled with a black edge: trained in full, the k of the largest m, a line from what the
    same network had before. Ringed: what validation chose in the end, of each search and seed. The line across is the
    network before pruning. `built`, `finished`: of `sacp_tables`.
    """
    require_some(built, "candidates")
    networks: Any = list(built.groupby("network", sort=False))
    fig, axes = _grid(len(networks), width=4.5, height=3.8)
    for ax, (net, rows) in zip(axes, networks, strict=True):
        full = finished[finished.network == net]
        full = full[full.m == full.m.max()]
        for i, name in enumerate(_in_order(rows.search)):  # the later the smaller: searches may find the same candidate
            _candidates(ax, rows[rows.search == name], full[full.search == name], max(3, 6.5 - i), LOOKS[name])
        ax.axhline(rows.before.mean(), color=GREY, lw=1)
        ax.update_datalim([(0, rows.before.mean())], updatex=False)
        ax.margins(y=0.08)  # or the line may be taken for the frame
        ax.set_title(f"{net}\n{_trained(rows, full)}", fontsize=10)
        ax.set_xlabel("MACs removed, % (thop)")
        ax.set_ylabel("top-1 on test images, %")
    names = _in_order(built.search)
    hollow: dict[str, Any] = {} if len(finished) else {"mfc": "none"}
    keys = [Line2D([], [], ls="", **LOOKS[name] | hollow) for name in names] + [Line2D([], [], **RING)]
    words = [*names, "chosen by validation"]
    fig.legend(
        [*keys, Line2D([], [], color=GREY)], [*words, "before pruning"], loc="outside lower center", ncols=3, fontsize=9
    )
    return fig


def _candidates(ax: Axes, light: pd.DataFrame, full: pd.DataFrame, size: float, look: Mapping[str, Any]) -> None:
    """One search's candidates of one network: all, those trained in full, and the one chosen of each seed."""
    alpha = max(0.25, min(1, 30 / max(1, len(light))))
    ax.plot(light.FR, light["test light"], ls="", ms=6, mfc="none", alpha=alpha, **look)
    for row in full.merge(light, on=["seed", "place"], suffixes=("", " before")).to_dict("records"):
        ax.plot([row["FR"]] * 2, [row["test light"], row["test"]], color=look["color"], lw=0.6)
    if len(full):
        ax.plot(full.FR, full.test, ls="", ms=size, mec="black", mew=0.7, zorder=3, **look)
    chosen = [sacp_tables.winner(light, full, column=column) for column in ("FR", "test")]
    ax.plot(*chosen, **RING, zorder=4)


def _trained(light: pd.DataFrame, full: pd.DataFrame) -> str:
    """How long, in words."""
    lightly = light["light"].iloc[0]
    words = f"light: {lightly}" if lightly else "not fine-tuned lightly"
    return words + (f"; full: {full['full'].iloc[0]}" if len(full) else "")


def figure2(best_of: pd.DataFrame) -> Figure:
    """Figure 2: the best of more and more candidates, chosen by validation (solid) or by test, as in the paper (dotted).

    For each network a panel over m after light fine-tuning and, where some were trained in full, one over k and one over m.
    Lines are means over seeds. `best_of`: of `sacp_tables`.
    """
    require_some(best_of, "candidates")
    panels = [(f"{net}\n{title}", x, rows) for net, title, x, rows in _growing(best_of)]
    fig, axes = _grid(len(panels), width=4.3, height=3.0)
    for ax, (title, x, rows) in zip(axes, panels, strict=True):
        for i, name in enumerate(_in_order(rows.search)):
            look = LOOKS[name] | {
                "lw": max(1, 3 - 0.6 * i),
                "ms": max(3, 6 - i),
            }  # curves may coincide: the later, the thinner
            for by, dashes in (("validation", "-"), ("test", ":")):
                line = rows[(rows.search == name) & (rows["chosen by"] == by)].groupby(x).test.mean()
                ax.plot(line, ls=dashes, markevery=max(1, len(line) // 10), **look)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel({"m": "m, candidates lightly fine-tuned", "k": "k, networks trained in full"}[x])
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for ax in axes[::2]:
        ax.set_ylabel("top-1 on test images, %")
    names = _in_order(best_of.search)
    keys = [Line2D([], [], **LOOKS[name]) for name in names] + [Line2D([], [], color="black", ls=ls) for ls in ("-", ":")]
    words = [*names, "chosen by validation", "chosen by test, as in the paper"]
    fig.legend(keys, words, loc="outside lower center", ncols=2, fontsize=9)
    return fig


def _growing(best_of: pd.DataFrame) -> list[tuple[str, str, str, pd.DataFrame]]:
    """Network, what is drawn, over which of m and k, and its rows; of those trained in full no curve of a single point."""
    found = []
    for net, rows in best_of.groupby("network", sort=False):
        full = rows[rows.stage == "full"]
        m, k = full.m.max(), full.k.max()
        found.append((str(net), "best of m, lightly fine-tuned", "m", rows[rows.stage == "light"]))
        if full.k.nunique() > 1:
            found.append((str(net), f"best of k, trained in full (m = {m:g})", "k", full[full.m == m]))
        if full.m.nunique() > 1:
            found.append((str(net), f"best of k = {k:g}, trained in full", "m", full[full.k == k]))
    return found


def chances(records: Sequence[Record]) -> Figure:
    """What candidates cost that meet tau, drawn at random: the share of them that removes less, over what it removes.

    Marked: the paper's own reduction, where it has the network, with the percentage of candidates below it. The grey band
    holds the middle half of all candidates. `records`: of "chance" trials.
    """
    require_some(records)
    fig, axes = _grid(2, width=4.3, height=3.8)
    for ax, (name, what) in zip(axes, (("fr", "MACs"), ("pr", "parameters")), strict=True):
        ax.axhspan(25, 75, color="#ececec", zorder=0)
        for i, record in enumerate(records):
            quantiles, row = record.result[name], sacp_tables.costs([record]).iloc[0]
            look: dict[str, Any] = {"color": PALETTE[i], "ls": LINES[i % len(LINES)]}
            share = np.linspace(0, 100, len(quantiles))
            ax.plot(quantiles, share, label=f"{row['network']}, tau {row['tau']:g}", **look)
            theirs, below = row[f"{name.upper()} paper"], row[f"{name.upper()} percentile"]
            if not np.isnan(below):
                ax.plot([float(theirs)] * 2, [0, below], color=PALETTE[i], lw=0.9)
                ax.plot(float(theirs), below, ls="", marker="D", ms=7, color=PALETTE[i], mec="black", zorder=3)
                box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
                words = f"{theirs} %:\nabove {below:.0f} %"
                ax.annotate(words, (float(theirs), below), (-9, -4), textcoords="offset points", ha="right", fontsize=9,
                            bbox=box)  # fmt: skip
        ax.set_xlabel(f"{what} removed, %")
        ax.set_ylim(0, 100)
    axes[0].set_ylabel("candidates that remove less, %")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return fig


def _label(axes: Sequence[Axes], x: str, y: str) -> None:
    """Of panels in two columns: x below the last of each, y left of the first ones."""
    for ax in axes[-2:]:
        ax.set_xlabel(x)
    for ax in axes[::2]:
        ax.set_ylabel(y)


def _in_order(names: Any) -> list[str]:
    return [name for name in SEARCHES if name in set(names)]


def _grid(n: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """`n` panels in rows of two."""
    rows, columns = -(-n // 2), min(n, 2)
    size = (max(5.6, width * columns), height * rows + 0.5)
    fig, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in grid.flat[n:]:
        ax.remove()
    return fig, list(grid.flat[:n])
