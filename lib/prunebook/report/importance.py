"""Our right half of the k-core paper's Figure 3: entropy against Grad-CAM overlap, filter by filter.

Everything here starts from the numbers of `prunebook.importance.by_filter`, as a record holds them.

Two warnings belong to every number. The filters of one network were trained together and, in a residual stage, feed
the same sum: they are not independent draws, so that each p is too small and each interval too narrow. And layers
differ in both entropy and overlap, if only because their maps differ in size: a correlation over all filters, which the
paper's figure seems to show, is in part one between layers. Beside it stands the one within layers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from prunebook import importance
from prunebook.errors import require
from prunebook.report.figures import MARKERS, PALETTE

Layers = Mapping[str, Mapping[str, Any]]


class Correlation(NamedTuple):
    """Pearson's r with its 95 % interval and p, Spearman's rho and p, of n pairs; NaN where not defined.

    The p are two-sided and, like the interval, hold for independent pairs, which filters of one network are not.
    """

    r: float
    low: float
    high: float
    p: float
    rho: float
    p_rho: float
    n: int

    def __str__(self) -> str:
        # No-break spaces: in a narrow table it stays on one line.
        if math.isnan(self.r):
            return "—"
        return (
            f"{self.r:+.2f}"
            if math.isnan(self.low)
            else f"{self.r:+.2f}\u00a0({self.low:+.2f}\u00a0to\u00a0{self.high:+.2f})"
        )


def correlation(x: Sequence[float | None] | pd.Series, y: Sequence[float | None] | pd.Series) -> Correlation:
    """Of the pairs of which both numbers are defined; the interval by Fisher's z, from four pairs on.

    Raises BadValue for sequences of different length.
    """
    require(len(x) == len(y), "lengths", (len(x), len(y)), "equal")
    first, second = (np.asarray(values, dtype=np.float64) for values in (x, y))
    defined = np.isfinite(first) & np.isfinite(second)
    first, second, n = first[defined], second[defined], int(defined.sum())
    if n < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return Correlation(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, n)
    pearson, spearman = stats.pearsonr(first, second), stats.spearmanr(first, second)
    low, high = pearson.confidence_interval(0.95) if n > 3 else (math.nan, math.nan)
    r, p, rho, p_rho = (float(v) for v in (*pearson, *spearman))
    return Correlation(r, float(low), float(high), p, rho, p_rho, n)


def filters(layers: Layers) -> pd.DataFrame:
    """One row a filter: layer, size of its maps, entropy, overlap, control, and all three as z-scores of their layer.

    Largest maps first. A z-score counts deviations from the mean of the filter's layer; it is NaN where all filters of a
    layer are alike.
    """
    # A record's layers are in the order of their names, which is not that in which they ran.
    ordered = sorted(layers.items(), key=lambda item: -math.prod(item[1]["size"]))
    parts = [
        pd.DataFrame(
            {
                "layer": name,
                "size": " x ".join(map(str, found["size"])),
                **{column: np.asarray(found[column], dtype=np.float64) for column in ("entropy", "overlap", "control")},
            }
        )
        for name, found in ordered
    ]
    frame = pd.concat(parts, ignore_index=True)
    for column in ("entropy", "overlap", "control"):
        by_layer = frame.groupby("layer", sort=False)[column]
        deviation = by_layer.transform("std", ddof=0)
        frame[f"{column} z"] = (frame[column] - by_layer.transform("mean")) / deviation.where(deviation > 0)
    return frame


def table(layers: Layers) -> pd.DataFrame:
    """Correlation of entropy and overlap for the layers of each map size, for all filters, within layers, by control.

    "within layers" correlates the z-scores of each layer's filters. "control" correlates entropy with the overlap with
    another image's Grad-CAM: what is as strong there is not about evidence. The last column counts the layers whose own
    r is above 0: it does not lean on the independence of filters.
    """
    frame = filters(layers)
    groups = {f"maps of {size}": group for size, group in frame.groupby("size", sort=False)}
    rows = [_row(name, group, "entropy", "overlap") for name, group in groups.items()]
    rows.append(_row("all", frame, "entropy", "overlap"))
    rows.append(_row("all, within layers", frame, "entropy z", "overlap z"))
    rows.append(_row("control: all", frame, "entropy", "control"))
    rows.append(_row("control: all, within layers", frame, "entropy z", "control z"))
    return pd.DataFrame(rows)


def figure(layers: Layers, share: float = 0.2) -> Figure:
    """Entropy against overlap, a mark a filter, coloured by the size of its maps: as they are, and within layers.

    `share` is that of the regions; it sets the line of chance.
    """
    frame = filters(layers)
    fig, (raw, within) = plt.subplots(1, 2, figsize=(10, 4.4))
    _scatter(raw, frame, "entropy", "overlap", "all filters")
    raw.axhline(importance.chance(share), color="#555555", lw=1.2, ls="--", label="chance")
    raw.set_xlabel("entropy of the activations (nats)")
    raw.set_ylabel("overlap with Grad-CAM (IoU)")
    _scatter(within, frame, "entropy z", "overlap z", "within layers")
    within.set_xlabel("entropy, z-score within its layer")
    within.set_ylabel("overlap, z-score within its layer")
    handles, labels = raw.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, markerscale=1.8)
    return fig


def _row(name: str, frame: pd.DataFrame, x: str, y: str) -> dict[str, Any]:
    found = correlation(frame[x], frame[y])
    own = [correlation(group[x], group[y]).r for _, group in frame.groupby("layer")]
    defined = [r for r in own if not math.isnan(r)]
    raw = y.removesuffix(" z")
    return {
        "filters": name,
        "n": found.n,
        "mean overlap": f"{frame[raw].mean():.3f}",
        "Pearson r (95 %)": str(found),
        "p": _p(found.p),
        "Spearman": "—" if math.isnan(found.rho) else f"{found.rho:+.2f}",
        "p (Spearman)": _p(found.p_rho),
        "layers with r > 0": f"{sum(r > 0 for r in defined)} of {len(defined)}",
    }


def _p(p: float) -> str:
    if math.isnan(p):
        return "—"
    return "< 1e-99" if p < 1e-99 else f"{p:.0e}" if p < 0.001 else f"{p:.3f}"


def _scatter(ax: Axes, frame: pd.DataFrame, x: str, y: str, what: str) -> None:
    for i, (size, group) in enumerate(frame.groupby("size", sort=False)):
        look: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        ax.scatter(group[x], group[y], s=9, alpha=0.5, linewidths=0, label=f"maps of {size}", **look)
    found = correlation(frame[x], frame[y])
    sign = "" if _p(found.p).startswith("<") else "= "
    ax.set_title(f"{what}: n = {found.n}\nr = {found}, p {sign}{_p(found.p)},\nwere the filters independent", fontsize=10)
