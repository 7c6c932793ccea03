"""Accuracy on corrupted images, from the records of "corrupted" trials: what corruption costs a network that is pruned.

Three numbers, after Hendrycks and Dietterich (2019), who divide theirs by those of AlexNet:

- "corrupted": accuracy in percent, the mean over kinds of the mean over severities. 100 minus it is their mean corruption
  error (mCE) before the division.
- "lost": "clean", the accuracy on the same images as they are, minus "corrupted", in points. It is their relative mCE before
  the division.
- "relative": 100 times "lost" over that of the same network before pruning, which stands for AlexNet. It is one ratio of
  means, not the mean of a ratio for each kind: a kind that costs the network nothing would be divided by.

A network that gives one answer to all inputs loses nothing by corruption. So "lost" and "relative" of two networks say which
is the sturdier only where both are as accurate: see `at_equal_accuracy`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from prunebook.corruptions import KINDS
from prunebook.report.annealing_tables import name_of, network, own_step
from prunebook.report.tables import repetitions
from prunebook.trials import Record, Trial
from prunebook.trials.annealing import CLEAN

SHOWN = (25.0, 50.0, 75.0)  # shares of a table
LEAST = 50.0  # percent of the accuracy before pruning: with less, networks are not compared
WIDE = 10.0  # points of clean accuracy that two curves must have in common, in the mean; set after the runs
_GRID = 101


def points(records: Sequence[Record]) -> pd.DataFrame:
    """One row for each network of "corrupted" records: "share" gone in percent, the numbers above, and each kind's mean.

    Accuracies are in percent; those of a kind, over its severities, are in the column of its name. "constant" is what one
    answer to all images scores, the one that is most often right.
    """
    rows, step = [], own_step(records) if records else 0.0
    for record in records:
        p, r = Trial(record.task, record.params).parameters, record.result
        at = {"dataset": p.baseline.dataset, "arch": p.baseline.arch, "width": p.baseline.options.get("width", 1)}
        at |= {"seed": p.baseline.fit.seed if p.baseline.fit else 0, "reading": name_of(p.decision, step)}
        at |= {"tested": r["tested"], "constant": 100 * r["constant"] / r["tested"]}
        for one in r["rounds"]:
            measured = [_accuracies(r["conditions"], point["counts"], r["tested"]) for point in one["points"]]
            for point, found in zip(one["points"], measured, strict=True):
                before = measured[0]["lost"]
                relative = 100 * found["lost"] / before if before > 0 else math.nan
                of_round = {"draw": one["seed"], "share": 100 * point["share"]}
                rows.append({**at, **of_round, **found, "relative": relative})
    return pd.DataFrame(rows)


def _accuracies(conditions: Sequence[str], counts: Sequence[int], tested: int) -> dict[str, float]:
    """Of one network: clean, corrupted, lost, and the mean of each kind."""
    by_kind: dict[str, list[float]] = {}
    for condition, count in zip(conditions, counts, strict=True):
        by_kind.setdefault(condition.partition(" ")[0], []).append(100 * count / tested)
    means = {kind: float(np.mean(values)) for kind, values in by_kind.items()}
    clean = means.pop(CLEAN)
    corrupted = float(np.mean(list(means.values())))
    return {"clean": clean, "corrupted": corrupted, "lost": clean - corrupted, **means}


def kinds(frame: pd.DataFrame) -> list[str]:
    """The kinds of corruption that were tested: columns of `points`."""
    return [kind for kind in KINDS if kind in frame]


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """The three numbers of each network and reading at `SHOWN` shares; first, without a reading, before pruning."""
    rows = []
    groups: Any = frame.groupby(["dataset", "arch"], sort=False) if len(frame) else []
    for (dataset, arch), found in groups:
        places = [("before pruning", 0.0, found[found.share == 0])]
        places += [
            (reading, share, own[own.share == share])
            for reading, own in found.groupby("reading", sort=False)
            for share in SHOWN
        ]
        for reading, share, some in places:
            if len(some):
                rows.append({
                    "network": network(dataset, arch), "networks": some.seed.nunique(), "images": int(some.tested.iloc[0]),
                    "reading": reading, "gone, %": f"{share:g}", "clean, %": repetitions(some, CLEAN),
                    "corrupted, %": repetitions(some, "corrupted"), "lost, points": repetitions(some, "lost"),
                    "relative, %": repetitions(some, "relative"),
                })  # fmt: skip
    return pd.DataFrame(rows)


def levels(frame: pd.DataFrame, shares: Sequence[float]) -> pd.DataFrame:
    """The mean of "corrupted" over these shares, for each network and round that has them all: column "level"."""
    groups = frame[frame.share.isin(shares)].groupby(["seed", "draw"]).corrupted
    found = groups.mean()[groups.size() == len(shares)]
    return found.rename("level").reset_index()


def at_equal_accuracy(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """How far the first is ahead of the second on corrupted images where both answer clean ones equally well.

    For each network and round, a row with "gap", in points: of the two curves of "corrupted" against "clean", straight
    between shares, the mean distance over the clean accuracies that both have, down to `LEAST` percent of that before
    pruning. "width" is how many points of clean accuracy these are; without any, "gap" is NaN. Curves of one network begin
    at one point, so that a small width pulls the gap towards 0: see `WIDE`. What draws nothing has one round, which stands
    for all.
    """
    rounds = [each[["seed", "draw"]].drop_duplicates() for each in (first, second)]
    pairs = rounds[0].merge(rounds[1], on="seed", suffixes=("", " of it"))
    if all(each.draw.nunique() > 1 for each in rounds):
        pairs = pairs[pairs.draw == pairs["draw of it"]]
    rows = []
    for seed, draw, other in pairs.itertuples(index=False):
        curves = [_curve(each[(each.seed == seed) & (each.draw == at)]) for each, at in ((first, draw), (second, other))]
        gap, width = _distance(*curves)
        rows.append({"seed": seed, "draw": max(draw, other), "gap": gap, "width": width})  # where there is one, it is 0
    return pd.DataFrame(rows, columns=["seed", "draw", "gap", "width"])


def _curve(own: pd.DataFrame) -> pd.DataFrame:
    """Of one network and round, by clean accuracy, ascending; "least" is where the comparison ends."""
    before = float(own[own.share == 0].clean.iloc[0])
    return own.groupby(CLEAN)["corrupted"].mean().reset_index().assign(least=LEAST / 100 * before)


def _distance(first: pd.DataFrame, second: pd.DataFrame) -> tuple[float, float]:
    """Mean distance over the clean accuracies that both have, and how many points these are."""
    low = max(float(each[CLEAN].min()) for each in (first, second))
    low, high = max(low, float(first.least.iloc[0])), min(float(each[CLEAN].max()) for each in (first, second))
    if high <= low:
        return math.nan, 0.0
    grid = np.linspace(low, high, _GRID)
    apart = np.interp(grid, first[CLEAN], first.corrupted) - np.interp(grid, second[CLEAN], second.corrupted)
    return float(np.mean(apart)), high - low
