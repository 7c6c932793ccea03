"""What the Sørensen-Dice notebook measures besides comparing methods: speed, the stop rule, fine-tuning less, other readings
of the thesis (Hajbi 2025), quantiles, the elbows of its Figure 2, and the choice of a network to start from.

Accuracies are in percent, differences of them in points. Without records, every function returns a table without rows.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from prunebook.diversity import BOUNDED
from prunebook.report.dice_tables import BOOK, comparisons, method_of, network, of_method, place
from prunebook.report.kcore_comparisons import by_chance, jaccard
from prunebook.report.kcore_tables import machine
from prunebook.report.statistics import holm, rank_correlation
from prunebook.report.tables import Values, paired, repetitions
from prunebook.studies.dice import TRAINABLE, VARIANTS
from prunebook.trials import Record, Trial

THESIS_ELBOW = 0.2  # chapter 4


def speeds(records: Sequence[Record]) -> pd.DataFrame:
    """Ratio of MACs beside ratio of measured times, for every cut and number of images.

    "latency ratio" is that of the medians before and after; "lowest" and "highest" are the ratios of the nearest and of the
    farthest quartiles. "before, ms" and "after, ms" are median and quartiles of one forward pass. One machine, one network:
    quartiles over repetitions of the pass, no interval over trainings.
    """
    return pd.DataFrame([row for record in records for row in _speed(record)])


def _speed(record: Record) -> list[dict[str, Any]]:
    decision, cost = Trial(record.task, record.params).parameters.decision, record.result["cost"]["macs"]
    dial = f"target {decision.target:g}" if decision.target is not None else f"ratio {decision.ratio:g}"
    at = place(record)
    found = {"network": network(at["dataset"], at["arch"]), "dial": dial, "layers": decision.layers}
    found["MACs ratio"] = cost["before"][0] / cost["after"][0]
    rows = []
    for timed in record.result["latency"]:
        (low, before, high), (fast, after, slow) = timed["before"], timed["after"]
        row = {"images": timed["images"], "latency ratio": before / after, "lowest": low / slow, "highest": high / fast}
        row |= {f"{name}, ms": _milliseconds(timed[name]) for name in ("before", "after")}
        rows.append({**found, **row, "machine": machine(record)})
    return rows


def _milliseconds(quartiles: Sequence[float]) -> str:
    low, median, high = (1000 * seconds for seconds in quartiles)
    return f"{median:.3g} ({low:.3g} to {high:.3g})"


def stops(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """The stop rule of section 3.2: what it removes for an allowed drop, and what that costs on each split.

    One row for each network, allowed drop and whether batch norm was recalibrated before each look; measured columns are
    `Values` over the trainings. "filters removed, %" is of every layer; "lost on validation" and "lost on test" are points
    of top-1 against the network before; the latter needs its record among `before`.
    """
    frame = stopped(records, before)
    if frame.empty:
        return frame
    measured = ["filters removed, %", "MACs removed, %", "lost on validation", "lost on test"]
    groups: Any = frame.groupby(["dataset", "arch", "drop", "recalibrate"])
    return pd.DataFrame([
        {"network": network(*key[:2]), "allowed drop, points": key[2], "recalibrated": "yes" if key[3] else "no",
         "n": len(repetitions(rows, "MACs removed, %")), **{name: repetitions(rows, name) for name in measured}}
        for key, rows in groups
    ])  # fmt: skip


def stopped(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """The same, one row for each record."""
    tests = {record.key: record.result["test"]["top1"] for record in before}
    return pd.DataFrame([_stopped(record, tests) for record in records])


def _stopped(record: Record, tests: Mapping[str, float]) -> dict[str, Any]:
    steps, p = record.result["steps"], record.params
    accepted = [step for step in steps if step["val"] >= steps[0]["val"] - p["drop"]]
    last = steps[-2] if len(steps) > len(accepted) else steps[-1]
    whole = tests.get(Trial("baseline", p["baseline"]).key, math.nan)
    return place(record) | {
        "drop": p["drop"], "recalibrate": p["recalibrate"], "filters removed, %": 100 * last["ratio"],
        "MACs removed, %": record.result["cost"]["macs"]["fr"], "lost on validation": steps[0]["val"] - last["val"],
        "lost on test": whole - record.result["test"]["top1"],
    }  # fmt: skip


def tunings(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """What is fine-tuned, each with and without recalibration before it.

    One row for each network, weights trained and recalibration: top-1 as fine-tuning begins and as it ends, and "minus
    all": the end against that of training all weights with the same recalibration, paired. "recalibrated minus not" is
    paired as well, and stands in the row with recalibration. With all weights trained it says whether statistics that
    training does not read can matter: "largest" is its largest size over the seeds.
    """
    frame = comparisons(records, before)
    frame["start"] = frame["top1 recalibrated"].fillna(frame["top1 pruned"])
    rows = []
    groups: Any = frame[frame.trainable != ""].groupby(["dataset", "arch", "dial"])
    for (dataset, arch, dial), group in groups:
        for what in (name for name in TRAINABLE if (group.trainable == name).any()):
            head = {"network": network(dataset, arch), "dial": dial, "trained": what}
            rows += [head | row for row in _tuned(group, what)]
    return pd.DataFrame(rows)


def _tuned(group: pd.DataFrame, what: str) -> list[dict[str, Any]]:
    rows, with_it = [], group.recalibrate > 0
    for recalibrated in (True, False):
        own, all_weights = (group[(with_it == recalibrated) & (group.trainable == name)] for name in (what, "all"))
        if own.empty:
            continue
        other = group[~with_it & (group.trainable == what)] if recalibrated else own.head(0)
        gap = paired(own, other, "top1 fine-tuned")
        rows.append({
            "recalibrated": "yes" if recalibrated else "no", "n": len(repetitions(own, "FR macs")),
            "before": repetitions(own, "start"), "fine-tuned": repetitions(own, "top1 fine-tuned"),
            "minus all": Values() if what == "all" else paired(own, all_weights, "top1 fine-tuned"),
            "recalibrated minus not": gap, "largest": f"{max(map(abs, gap)):.3f}" if gap else "—",
        })  # fmt: skip
    return rows


def controls(records: Sequence[Record], pruned: Sequence[Record] = (), before: Sequence[Record] = ()) -> pd.DataFrame:
    """What the epochs of fine-tuning do to the network that was not pruned, and what Dice loses beside that.

    `records` are of `studies.dice.controls`, `pruned` of other "compare" trials, of which those by Dice, read as here,
    with as many epochs count. One row for each network; measured columns are `Values` over the trainings: "before" and
    "after" in percent, "gain" after minus before, and for each dial "Dice at ... minus after", paired.
    """
    frame, others = comparisons(records, before), comparisons(pruned, before)
    rows = []
    groups: Any = frame[frame["top1 fine-tuned"].notna()].groupby(["dataset", "arch", "finetune epochs"])
    for (dataset, arch, epochs), own in groups:
        gains = own.assign(gain=own["top1 fine-tuned"] - own["top1 baseline"])
        row = {"network": network(dataset, arch), "epochs": epochs, "n": len(repetitions(own, "FR macs"))}
        row |= {"before": repetitions(own, "top1 baseline"), "after": repetitions(own, "top1 fine-tuned")}
        row["gain"] = repetitions(gains, "gain")
        alike = of_method(others[(others.dataset == dataset) & (others.arch == arch)], "dice")
        alike = alike[(alike["finetune epochs"] == epochs) & (alike.trainable == "all")]
        for dial in dict.fromkeys(alike.dial):
            row[f"Dice at {dial} minus after"] = paired(alike[alike.dial == dial], own, "top1 fine-tuned")
        rows.append(row)
    return pd.DataFrame(rows)


def variants(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """How far other readings of the thesis keep the same filters as that of this book, and what that does to accuracy.

    One row for each network, target and reading of `VARIANTS`. "Jaccard": of the two sets of kept (layer, filter) pairs on
    the same trained network; "by chance": expected if every layer kept as many, at random (exact). "minus base": paired
    difference in top-1 after recalibration, "minus base fine-tuned" after fine-tuning. Measured columns are `Values`.
    """
    frame = comparisons(records, before)
    rows = []
    groups: Any = frame[frame.target.notna() & (frame.reading != "")].groupby(["dataset", "arch", "dial"])
    for (dataset, arch, dial), group in groups:
        base = group[group.reading == BOOK]
        for reading in (name for name in VARIANTS if (group.reading == name).any()):
            own = group[group.reading == reading]
            head = {"dataset": dataset, "arch": arch, "width": own.width.iloc[0], "dial": dial, "reading": reading}
            head["n"] = len(repetitions(own, "FR macs"))
            rows.append(head | _against_base(own, base if reading != BOOK else own.head(0)))
    return pd.DataFrame(rows)


def _against_base(own: pd.DataFrame, base: pd.DataFrame) -> dict[str, Any]:
    return alike(own, base) | {
        "MACs removed, %": repetitions(own, "FR macs"),
        "recalibrated": repetitions(own, "top1 recalibrated"),
        "minus base": paired(own, base, "top1 recalibrated"),
        "fine-tuned": repetitions(own, "top1 fine-tuned"),
        "minus base fine-tuned": paired(own, base, "top1 fine-tuned"),
    }


def alike(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Values]:
    """ "Jaccard" of the filters that two choices keep of the same trained network, and its mean "by chance".

    Both are rows of `comparisons`, one for each repetition; those that only one of them has do not count.
    """
    pairs = first.merge(second, on=["seed", "draw"], suffixes=("", " of second"))
    found = [(jaccard(a, b), by_chance(a, b)) for a, b in zip(pairs.keep, pairs["keep of second"], strict=True)]
    return {
        "Jaccard": Values(index for index, _ in found),
        "by chance": Values([fmean(chance for _, chance in found)] if found else []),
    }


def quantiles(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """Pairs of quantiles under one limiter: what goes, and what accuracy is left.

    One row for each network, ratio, alpha and beta; measured columns are `Values` over the trainings. "kept as" names the
    first pair that keeps the very same filters of every network, where there is one.
    """
    frame = comparisons(records, before)
    rows: list[dict[str, Any]] = []
    groups: Any = frame[frame.alpha.notna() & frame.ratio.notna()].groupby(["dataset", "arch", "ratio"])
    for (dataset, arch, ratio), group in groups:
        seen: dict[str, str] = {}
        pairs: Any = group.groupby(["alpha", "beta"])
        for (alpha, beta), own in pairs:
            name = f"{alpha:g}, {beta:g}"
            first = seen.setdefault(str(own.sort_values(["seed", "draw"]).keep.tolist()), name)
            rows.append({
                "network": network(dataset, arch), "ratio": ratio, "alpha": f"{alpha:g}", "beta": f"{beta:g}",
                "n": len(repetitions(own, "FR macs")),
                "filters removed, %": repetitions(own, "removed"), "MACs removed, %": repetitions(own, "FR macs"),
                "recalibrated": repetitions(own, "top1 recalibrated"), "fine-tuned": repetitions(own, "top1 fine-tuned"),
                "kept as": first if first != name else "",
            })  # fmt: skip
    return pd.DataFrame(rows)


def curve_points(records: Sequence[Record]) -> pd.DataFrame:
    """The records of "sweep" trials, one row for each accuracy: method, seed, ratio, macs, moment, split, top1 (percent)."""
    return pd.DataFrame([
        {**place(record), "method": method_of(Trial(record.task, record.params).parameters.decision),
         "ratio": point["ratio"], "macs": point["macs"], "moment": moment, "split": split, "top1": top1}
        for record in records for point in record.result["points"]
        for moment in ("pruned", "recalibrated") for split, top1 in point[moment].items()
    ])  # fmt: skip


def elbows(records: Sequence[Record]) -> pd.DataFrame:
    """From where each curve of Figure 2 falls faster: one row for each dataset, arch, method, seed and moment.

    The rule (Satopää et al. 2011, "Kneedle"): the ratio at which the accuracy on the validation split is farthest above
    the straight line between the curve's first and last point, "height" points of accuracy. It depends on where the curve
    ends. A curve that never lies above has none: NaN. "depth" is how far the curve gets below the line, where most is lost
    at first and the fall slows down; "side" names the larger of the two. "val" and "test" are the accuracies at the elbow,
    in percent, "before" that on the test split at the first ratio. "near 0.2" is whether the elbow is at most one grid
    point away from the thesis's.
    """
    points = curve_points(records)
    if points.empty:
        return points
    keys = ["dataset", "arch", "method", "seed", "moment"]
    groups: Any = points.groupby(keys, sort=False)
    return pd.DataFrame(
        [dict(zip(keys, key, strict=True)) | {"width": group.width.iloc[0], **_bend(group)} for key, group in groups]
    )


def _bend(points: pd.DataFrame) -> dict[str, Any]:
    """The elbow of one curve, whose accuracies are those of both splits."""
    curve = points.pivot_table(index="ratio", columns="split", values="top1")
    ratios = curve.index.tolist()
    at, height, depth = elbow(ratios, curve.val.tolist())
    found = {"height": height, "depth": depth, "side": "above" if height > depth else "below", "before": curve.test.iloc[0]}
    if at is None:
        return {"ratio": math.nan, "val": math.nan, "test": math.nan, "near 0.2": "no", **found}
    thesis = int(np.argmin([abs(ratio - THESIS_ELBOW) for ratio in ratios]))
    near = "yes" if abs(at - thesis) <= 1 else "no"
    return {"ratio": ratios[at], "val": curve.val.iloc[at], "test": curve.test.iloc[at], "near 0.2": near, **found}


def elbow(ratios: Sequence[float], accuracies: Sequence[float]) -> tuple[int | None, float, float]:
    """Index of the point farthest above the line through the first and the last, its height, and the largest depth below.

    Vertical and perpendicular distances are largest at the same point, whatever the units. No index where none is above.
    """
    x, y = np.asarray(ratios, dtype=float), np.asarray(accuracies, dtype=float)
    gaps = y - (y[0] + (y[-1] - y[0]) * (x - x[0]) / (x[-1] - x[0]))
    gaps[[0, -1]] = 0  # not what rounding leaves
    height, depth = float(gaps.max()), abs(float(gaps.min()))
    return (int(gaps.argmax()) if height > 1e-9 else None), height, depth


def transfers(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """The candidates to start from, best on the new task first.

    "reached" is top-1 on the new task's test split. "diversity: READING", of each bounded reading of
    `prunebook.diversity`, is the mean over the layers of 1 minus the mean similarity of two filters. The trivial predictors
    are "source epochs" and "source top-1", the accuracy on the task it comes from, which needs its record among `before`.
    """
    tests = {record.key: record.result["test"]["top1"] for record in before}
    rows = []
    for record in records:
        baseline = Trial("baseline", record.params["baseline"])
        p, diverse = baseline.parameters, record.result["diversity"]
        row = {"candidate": f"{p.arch} on {p.dataset}", "source epochs": p.fit.epochs if p.fit else math.nan}
        row |= {"seed": p.fit.seed if p.fit else 0, "source top-1": tests.get(baseline.key, math.nan)}
        row |= {f"diversity: {reading}": fmean(diverse[reading].values()) for reading in BOUNDED}
        rows.append(row | {"target": record.params["dataset"], "reached": record.result["test"]["top1"]})
    return pd.DataFrame(rows).sort_values("reached", ascending=False, ignore_index=True) if rows else pd.DataFrame()


def rankings(candidates: pd.DataFrame) -> pd.DataFrame:
    """How well each predictor ranks the candidates of `transfers` on their new task.

    "rho" is Spearman's; "p" is two-sided, over permutations (`statistics.rank_correlation`); NaN where a predictor is the
    same for all, or unknown. "after Holm" is corrected over the readings of diversity. The candidates that were trained
    alike but for the seed are not independent of each other: p is optimistic.
    """
    if candidates.empty:
        return candidates
    diverse = [f"diversity: {reading}" for reading in BOUNDED]
    names = [*diverse, "source top-1", "source epochs"]
    known = {name: candidates[candidates[name].notna()] for name in names}
    found = {name: rank_correlation(rows[name].tolist(), rows.reached.tolist()) for name, rows in known.items()}
    corrected = holm({name: found[name][1] for name in diverse})
    return pd.DataFrame([
        {"predictor": name, "n": len(known[name]), "rho": rho, "p": p,
         "after Holm": corrected.get(name, math.nan)}
        for name, (rho, p) in found.items()
    ])  # fmt: skip
