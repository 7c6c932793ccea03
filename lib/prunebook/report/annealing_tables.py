"""The tables of the annealing notebook: decays, improvements over one-shot pruning, walks, choices, single pairs, and times.

Accuracies are top-1 on the test split in percent; robust instances (Definition III.2) are in percent of the inputs that were
attacked. Shares are of the hidden units in scope that are gone, in percent. Repetitions are trained networks, of each the
mean over its rounds; of a single network they are its rounds. Without records, a table has no row.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import numpy as np
import pandas as pd
import torch

from prunebook import models
from prunebook.measure import Cost, cost
from prunebook.methods.annealing import squash
from prunebook.plan import PruningPlan
from prunebook.report import tables
from prunebook.report.kcore_comparisons import by_chance, jaccard
from prunebook.report.kcore_tables import machine
from prunebook.report.statistics import holm, p_value, separates
from prunebook.report.tables import Values, paired, repetitions
from prunebook.studies.annealing import CONVOLUTIONAL, DECISIONS, ONE_SHOT
from prunebook.trials import Record, Trial
from prunebook.trials.annealing import Annealing
from prunebook.trials.estimate import facts
from prunebook.trials.tasks import Baseline

PAPER_NAMES = {"creditcard": "Credit Card", "kddcup99": "KDD Cup'99", "mnist": "MNIST", "cifar10": "CIFAR-10"}
SHARES = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0)
SHOWN = (25.0, 50.0, 70.0)  # of a table
HALF = 50.0  # where one-shot pruning ends
BEFORE = -1  # epoch of a network before pruning, where filters went before epoch 0
REACHED = 1e-6  # by which a curve's end may miss a share
SAME_TIME = 10.0  # seconds: what the chapter expects of the MNIST network
LOOKS = ("interval", "zonotope", "official")
SALIENCIES = {
    "saliency mean": "saliency, Eq. 2 as printed",
    "saliency absolute": "saliency, absolute weights",
    "saliency delegate": "saliency, delegate's norm",
}
ALPHA = 0.75  # section VI.A
ENERGIES = {f"energy {look}": f"energy, {look}" for look in LOOKS}
MEASURES = {f"{kind} {look}": f"{words}, {look}" for kind, words in (("norm", "NORM"), ("entropy", "ENT")) for look in LOOKS}


def network(dataset: str, arch: str = "") -> str:
    """A dataset as the paper calls it, with the network where one is given: "mlp_mnist on MNIST"."""
    name = PAPER_NAMES.get(dataset, dataset)
    return f"{arch} on {name}" if arch else name


def points(records: Sequence[Record]) -> pd.DataFrame:
    """One row for each measured network of "decay" records: its reading or choice, share gone, accuracy and robustness.

    "constant" is what one answer to all inputs scores, the one that is most often right. Of robust instances it has as many
    percent: an expectation. How many it has among the inputs attacked, which records say as well, is an accident where
    classes are of equal size. "half" is what every layer keeps, as the record of the round has it. Where the code takes
    filters before its first epoch, a curve has the network before pruning from the other records of it, as epoch `BEFORE`.
    """
    rows, step = [], own_step(records) if records else 0.0
    whole = {_whose(r): one["points"][0] for r in records for one in r.result["rounds"] if one["points"][0]["removed"] == 0}
    for record in records:
        p, r = Trial(record.task, record.params).parameters, record.result
        seed = p.baseline.fit.seed if p.baseline.fit else 0
        at = {"dataset": p.baseline.dataset, "arch": p.baseline.arch, "width": p.baseline.options.get("width", 1)}
        at |= {"seed": seed, "reading": name_of(p.decision, step), "attacked": r["attacked"]}
        at |= {"tested": r["tested"], "epochs": p.baseline.fit.epochs if p.baseline.fit else 0}
        at["constant"] = r["constant"]["top1"]
        for repetition in r["rounds"]:
            points = repetition["points"]
            if points[0]["removed"] > 0 and _whose(record) in whole:
                points = [{**whole[_whose(record)], "epoch": BEFORE}, *points]
            for point in points:
                robust = {name: 100 * count / r["attacked"] for name, count in point["robust"].items()}
                measured = {"removed": 100 * point["removed"], "top1": point["top1"], "f1": 100 * point["f1"]}
                of_round = {"draw": repetition["seed"], "epoch": point["epoch"], "half": repetition["half"]}
                rows.append({**at, **of_round, **measured, **robust})
    return pd.DataFrame(rows)


def _whose(record: Record) -> str:
    """The network before pruning, and the inputs that it is measured on."""
    p = Trial(record.task, record.params).parameters
    return repr((p.baseline, record.result["tested"], record.result["attacked"], p.epsilons, p.attacks))


def name_of(decision: Annealing, step: float) -> str:
    """The name of a decision in `DECISIONS`, whatever its target; `step` is the run's own, which no name tells."""
    default = Annealing(step=step)
    chosen = {name: value for name, value in decision if name != "target" and value != getattr(default, name)}
    return next((name for name, changes in DECISIONS.items() if changes == chosen), decision.describe())


def own_step(records: Sequence[Record]) -> float:
    """The step that most of the records have: the run's."""
    return float(pd.Series([record.params["decision"]["step"] for record in records], dtype=float).mode()[0])


def metrics(frame: pd.DataFrame) -> list[str]:
    """The columns of robust instances, such as "fgsm 0.05"."""
    return [name for name in frame.columns if name.partition(" ")[0] in ("fgsm", "pgd", "official")]


def titled(metric: str) -> str:
    """What an axis or a column calls a metric."""
    attack, _, epsilon = metric.partition(" ")
    words = {"fgsm": "FGSM", "pgd": "PGD", "official": "the code's count"}
    return {"top1": "top-1, %", "f1": "macro F1, %"}.get(metric, f"robust, {words.get(attack, attack)} {epsilon}, %")


def at(frame: pd.DataFrame, shares: Iterable[float] = SHARES) -> pd.DataFrame:
    """Every curve at given shares, by straight lines between its points: columns as in `points`, `share`, and "... before".

    A share that a curve does not reach has no row, nor has one that it leaps over by what goes before its first epoch.
    """
    measured, rows = ["top1", "f1", *metrics(frame)], []
    keys = ["dataset", "arch", "width", "reading", "seed", "draw"]
    groups: Any = frame.groupby(keys, sort=False) if len(frame) else []
    for key, curve in groups:
        curve = curve.sort_values("epoch")
        start = {f"{name} before": float(curve[name].iloc[0]) for name in measured}
        start["constant"] = float(curve.constant.iloc[0])
        leap = float(curve.removed[curve.epoch > BEFORE].min())
        for share in shares:
            if share <= curve.removed.max() + REACHED and (share == 0 or share >= leap - REACHED):
                found = {name: float(np.interp(share, curve.removed, curve[name])) for name in measured}
                rows.append({**dict(zip(keys, key, strict=True)), "share": share, **found, **start})
    return pd.DataFrame(rows, columns=[*keys, "share", *measured, *(f"{name} before" for name in measured), "constant"])


def kept(frame: pd.DataFrame, metric: str, share: float) -> pd.DataFrame:
    """What is left of a metric at a share, in percent of what it was: column "kept", a row for each network and round."""
    rows = at(frame, [share]) if len(frame) else frame
    rows = rows[rows[f"{metric} before"] > 0] if len(rows) else rows
    return rows.assign(kept=100 * rows[metric] / rows[f"{metric} before"]) if len(rows) else rows


def before(records: Sequence[Record]) -> pd.DataFrame:
    """The trained networks beside Table I: parameters, accuracy, F1; one row for each dataset."""
    printed = tables.reported("annealing")
    printed = printed[(printed.table == "I") & (printed.metric == "params")]
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.params["dataset"], record.params["arch"]), []).append(record)
    rows = []
    for (dataset, arch), found in groups.items():
        table = printed[printed.dataset == PAPER_NAMES.get(dataset, "")].value
        params = {record.result["cost"]["macs"][1] for record in found}
        rows.append({
            "network": network(dataset, arch), "parameters": ", ".join(f"{n:,}" for n in sorted(params)),
            "in Table I": f"{int(table.iloc[0]):,}" if len(table) else "—", "networks": len(found),
            "top-1, %": Values(record.result["test"]["top1"] for record in found),
            "F1 (macro), %": Values(100 * record.result["test"]["f1"] for record in found),
        })  # fmt: skip
    return pd.DataFrame(rows)


def decays(frame: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Figure 3 in numbers: a metric at `SHOWN` shares for every network and reading; "inputs": counted on so many."""
    rows = []
    for (dataset, arch, reading), found in _groups(frame):
        row: dict[str, Any] = {"network": network(dataset, arch), "reading": reading}
        start = at(found, [0.0])
        row |= {"networks": found.seed.nunique(), "rounds": len(start), "before": repetitions(start, metric)}
        row["inputs"] = int(found["tested" if metric in ("top1", "f1") else "attacked"].iloc[0])
        for share in SHOWN:
            row[f"at {share:g} %"] = repetitions(at(found, [share]), metric)
        rows.append(row)
    return pd.DataFrame(rows)


def improvements(frame: pd.DataFrame, metric: str, shares: Iterable[float] = SHARES) -> pd.DataFrame:
    """Figure 4: by how much a reading is above its one-shot baseline, relative to it, in percent: a row for each repetition.

    Columns dataset, arch, reading, against, share, seed, draw, gain. Each round is set against the baseline on its own
    network, which draws nothing. Random pairs are set against the paper's baseline. Where the baseline has nothing left, no
    row.
    """
    rows = []
    for (dataset, arch, reading), found in _groups(frame):
        against = ONE_SHOT.get(reading, "one-shot" if reading == "random pairs" else "")
        other = frame[(frame.dataset == dataset) & (frame.arch == arch) & (frame.reading == against)]
        if other.empty:
            continue
        below = [share for share in shares if share <= HALF]
        pairs = at(found, below).merge(at(other, below), on=["seed", "share"], suffixes=("", " of it"))
        pairs = pairs[pairs[f"{metric} of it"] > 0]
        gain = 100 * (pairs[metric] / pairs[f"{metric} of it"] - 1)
        columns = {"dataset": dataset, "arch": arch, "reading": reading, "against": against}
        lead = pairs[metric] - pairs[f"{metric} of it"]
        rows.append(pairs[["share", "seed", "draw"]].assign(**columns, gain=gain, points=lead))
    empty = pd.DataFrame(columns=["share", "seed", "draw", "dataset", "arch", "reading", "against", "gain", "points"])
    return pd.concat(rows, ignore_index=True) if rows else empty


def gains(frame: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Figure 4 in numbers: the improvement in percent of the baseline, and in points, at shares up to a half."""
    found, rows = improvements(frame, metric, (10.0, 30.0, 50.0)), []
    groups: Any = found.groupby(["dataset", "arch", "reading", "against"], sort=False) if len(found) else []
    for (dataset, arch, reading, against), some in groups:
        row: dict[str, Any] = {"network": network(dataset, arch), "reading": reading, "minus": against}
        for share in (10.0, 30.0, 50.0):
            here = some[some.share == share]
            row |= {f"at {share:g} %, %": repetitions(here, "gain"), f"at {share:g} %, points": repetitions(here, "points")}
        rows.append(row)
    return pd.DataFrame(rows)


def walks(records: Sequence[Record]) -> pd.DataFrame:
    """How the walks of Algorithm 1 went: one row for each network and reading or choice.

    "accepted, %": of the pairs looked at, in all epochs and rounds. "steps of energy": the mean over epochs of highest minus
    lowest energy of the pairs taken. "NORM at the end" is that of all removals; "1 - sigma" how far its squashed value is
    from 1, which is 0 where the function is saturated to the last bit. Both are NaN where the energy is of one pair alone,
    as the code's is: nothing squashes that sum.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    step = own_step(records) if records else 0.0
    for record in records:
        p = Trial(record.task, record.params).parameters
        if p.decision.mode == "annealing":
            groups.setdefault((p.baseline.dataset, p.baseline.arch, name_of(p.decision, step)), []).append(record)
    rows = []
    for (dataset, arch, name), found in groups.items():
        decision = Trial("decay", found[0].params).parameters.decision
        kind, adds = _squash(decision), _adds(decision)
        rounds = [one for record in found for one in record.result["rounds"]]
        epochs = [walk for one in rounds for walk in one["walks"]]
        spans = [walk["energies"][1] - walk["energies"][0] for walk in epochs if walk["energies"]]
        norms = [sum(high - low for low, high in one["impact"]) for one in rounds if one["impact"]] if adds else []
        end = median(norms) if norms else math.nan
        rows.append({
            "network": network(dataset, arch), "reading": name,
            "accepted, %": 100 * sum(walk["taken"] for walk in epochs) / sum(walk["walked"] for walk in epochs),
            "steps of energy": fmean(spans) if spans else math.nan, "NORM at the end": end, "sigma": kind,
            "1 - sigma": 1 - float(squash(torch.tensor(end, dtype=torch.float64), kind)) if norms else math.nan,
        })  # fmt: skip
    return pd.DataFrame(rows)


def shown_walks(frame: pd.DataFrame) -> Any:
    """`walks` of one network for a page: numbers near 0 by their power of ten."""
    forms = {"steps of energy": "{:.1e}", "1 - sigma": "{:.1e}", "NORM at the end": "{:,.0f}"}
    words = frame.assign(**{name: frame[name].map(form.format, na_action="ignore") for name, form in forms.items()})
    return tables.compact(words, ["network"])


def _squash(decision: Annealing) -> str:
    return decision.squash or {"paper": "symmetric", "official": "logistic"}[decision.variant]


def _adds(decision: Annealing) -> bool:
    """Whether the energy is of all removals so far."""
    return decision.variant == "paper" if decision.cumulative is None else decision.cumulative


def choices(frame: pd.DataFrame) -> pd.DataFrame:
    """Each choice minus the reading that it changes, paired by network and round: one row for each network and choice.

    "Jaccard" is of the units left at a half: those that both keep, over those that at least one keeps; "by chance" what two
    independent choices would have. "mean to 50 %" and "mean to 75 %": top-1 in points, the mean over shares in tens (and
    75 %). "robust to 50 %": the same of robust instances by FGSM at the larger epsilon. "separates?" is the t-test of "mean
    to 75 %" after Holm's correction over the choices of one network; a dash for fewer than three repetitions. Choices that
    take filters too are left out: a share is of other units there, see `amounts`.
    """
    rows = []
    for (dataset, arch, name), found in _groups(frame):
        base = name.partition(", ")[0]
        own = frame[(frame.dataset == dataset) & (frame.arch == arch) & (frame.reading == base)]
        if name not in DECISIONS or name == base or own.empty or name in (*ONE_SHOT.values(), *CONVOLUTIONAL):
            continue
        attacks = [metric for metric in metrics(frame) if metric.startswith("fgsm") and found[metric].notna().any()]
        row: dict[str, Any] = {"network": network(dataset, arch), "choice": name, "n": found.seed.nunique()}
        row |= {"Jaccard": _overlap(found, own, jaccard), "by chance": _overlap(found, own, by_chance)}
        row["mean to 50 %"] = paired(level(found, "top1", HALF), level(own, "top1", HALF), "level")
        row["mean to 75 %"] = paired(level(found, "top1", 75.0), level(own, "top1", 75.0), "level")
        if attacks:
            row["robust to 50 %"] = paired(level(found, attacks[-1], HALF), level(own, attacks[-1], HALF), "level")
        rows.append(row)
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    networks: Any = table.groupby("network", sort=False)
    for _, some in networks:
        p = holm({str(i): p_value(values) for i, values in some["mean to 75 %"].items()})
        for i in some.index:
            table.loc[i, "separates?"] = separates(p.get(str(i)))
    return table


def amounts(records: Sequence[Record]) -> pd.DataFrame:
    """What about half of the units is: MACs and parameters that are gone with them, in percent, counted on cut networks.

    One row for each network and reading or choice, of "decay" records, at the last measurement with no more than a half of
    its units gone: `Values` over networks, of each the mean over its rounds. "units" are those in scope.
    """
    rows, step, counted = [], own_step(records) if records else 0.0, dict[str, Cost]()
    for record in records:
        p = Trial(record.task, record.params).parameters
        for one in record.result["rounds"]:
            widths = {name: digits.count("1") for name, digits in one["half"].items()}
            whole, left = (_cost(p.baseline, kept, counted) for kept in ({}, widths))
            units, gone = sum(map(len, one["half"].values())), {"seed": p.baseline.fit.seed if p.baseline.fit else 0}
            gone |= {"draw": one["seed"], "gone": 100 * (1 - sum(widths.values()) / units) if widths else 0.0}
            gone |= {"macs": 100 * (1 - left.macs / whole.macs), "params": 100 * (1 - left.params / whole.params)}
            words = network(p.baseline.dataset, p.baseline.arch)
            rows.append({"network": words, "reading": name_of(p.decision, step), "units": units, **gone})
    names = {"gone": "units gone, %", "macs": "MACs gone, %", "params": "parameters gone, %"}
    groups: Any = pd.DataFrame(rows).groupby(["network", "reading", "units"], sort=False) if rows else []
    return pd.DataFrame(
        {
            "network": key[0],
            "reading": key[1],
            "units": key[2],
            **{words: repetitions(own, name) for name, words in names.items()},
        }
        for key, own in groups
    )


def _cost(p: Baseline, widths: Mapping[str, int], counted: dict[str, Cost]) -> Cost:
    """Of the network with these widths of some layers, whichever of their units are left; each is counted once."""
    key = repr((p.dataset, p.size, p.arch, p.options, sorted(widths.items())))
    if key not in counted:
        known = facts(p.dataset, p.size)
        model = models.build(p.arch, 1 if p.one_logit else known.num_classes, known.in_channels, seed=0, **p.options)
        shape = (1, known.in_channels, known.image_size, known.image_size)
        plan = PruningPlan({name: list(range(width)) for name, width in widths.items()})
        counted[key] = cost(plan.apply(model, torch.zeros(shape)) if widths else model, torch.zeros(shape))
    return counted[key]


def _overlap(first: pd.DataFrame, second: pd.DataFrame, measure: Callable[[dict, dict], float]) -> Values:
    """A measure of the units that two decisions leave at a half, of each network and round that both have."""
    one, other = (
        {(seed, draw): half for seed, draw, half in zip(rows.seed, rows.draw, rows.half, strict=True)}
        for rows in (first, second)
    )
    found = [{"seed": at[0], "draw": at[1], "overlap": measure(one[at], other[at])} for at in one if at in other]
    return repetitions(pd.DataFrame(found, columns=["seed", "draw", "overlap"]), "overlap")


def level(frame: pd.DataFrame, metric: str, most: float) -> pd.DataFrame:
    """The mean of a metric over the `SHARES` up to `most`, for each network and round that reaches them: column "level"."""
    shares = [share for share in SHARES if share <= most]
    rows = at(frame, shares)
    sizes = rows.groupby(["seed", "draw"])[metric]
    found = sizes.mean()[sizes.size() == len(shares)]
    return found.rename("level").reset_index()


def paces(records: Sequence[Record]) -> pd.DataFrame:
    """Table II: seconds to prune 80 %, beside the paper's; the step is as printed there."""
    reported = tables.reported("annealing")
    theirs = reported[(reported.table == "II") & (reported.metric == "time")].set_index("dataset").value
    rows = []
    for record in records:
        p, r = Trial(record.task, record.params).parameters, record.result
        name = PAPER_NAMES.get(p.baseline.dataset, p.baseline.dataset)
        paper = float(theirs.get(name, math.nan))
        rows.append({
            "network": network(p.baseline.dataset, p.baseline.arch), "variant": p.decision.variant,
            "step, %": 100 * p.decision.step, "units": r["units"], "epochs": r["epochs"], "pairs looked at": r["walked"],
            "seconds": record.times["plan"], "paper, s": paper, "ratio": paper / record.times["plan"],
            "threads": r["threads"], "machine": machine(record),
        })  # fmt: skip
    return pd.DataFrame(rows)


# Single pairs


def bounds(records: Sequence[Record]) -> pd.DataFrame:
    """How wide the bounds of single removals are, beside the range of the change on inputs: one row a layer.

    Both are sums over outputs; numbers are medians over pairs, then over trained networks. "below the truth, %": of the
    pairs, those whose NORM is smaller than the range that was measured, which a sound bound never is.
    """
    rows = []
    for (dataset, arch), found in _by_network(records).items():
        for position, name in enumerate(layer["layer"] for layer in found[0].result["layers"]):
            layers = [record.result["layers"][position] for record in found]
            row: dict[str, Any] = {"network": network(dataset, arch), "layer": name, "pairs": len(layers[0]["pairs"])}
            row["range on inputs"] = median(median(layer["range"]) for layer in layers)
            for look in LOOKS:
                row[f"NORM, {look}"] = median(median(layer[f"norm {look}"]) for layer in layers)
            ratios = [median(map(_ratio, layer["norm interval"], layer["norm zonotope"])) for layer in layers]
            row["interval / zonotope"] = median(ratios)
            for look in LOOKS:
                wrong = [np.mean(np.array(layer[f"norm {look}"]) < 0.999 * np.array(layer["range"])) for layer in layers]
                row[f"below the truth, {look}, %"] = 100 * fmean(map(float, wrong))
            rows.append(row)
    return pd.DataFrame(rows)


def _ratio(first: float, second: float) -> float:
    return first / second if second > 0 else 1.0


def predictors(records: Sequence[Record]) -> pd.DataFrame:
    """Spearman's rho of what is known without data with the true harm of single removals: a row for each predictor.

    Columns: network, predictor, "harm" (the mean change of the outputs, "moved", or of the loss, "loss"), and "rho",
    `Values` over trained networks, of each the mean over its layers. A predictor that is constant in a layer has no rho
    there, and "constant, %" says of how many layers.
    """
    rows = []
    for (dataset, arch), found in _by_network(_with_energies(records)).items():
        for column, words in {**SALIENCIES, **MEASURES, **ENERGIES}.items():
            for harm in ("moved", "loss"):
                rhos = [
                    [rank_correlation(layer[column], layer[harm]) for layer in record.result["layers"]] for record in found
                ]
                known = [[rho for rho in some if not math.isnan(rho)] for some in rhos]
                missing = 1 - sum(map(len, known)) / sum(map(len, rhos))
                rows.append({
                    "dataset": dataset, "arch": arch, "network": network(dataset, arch), "predictor": words, "harm": harm,
                    "rho": Values(fmean(some) for some in known if some), "constant, %": 100 * missing,
                })  # fmt: skip
    return pd.DataFrame(rows)


def _with_energies(records: Sequence[Record]) -> list[Record]:
    """The records with the energy of each single pair (Eq. 8, the paper's alpha) beside its NORM and ENT."""
    return [
        replace(record, result={**record.result, "layers": [{**one, **_energies(one)} for one in record.result["layers"]]})
        for record in records
    ]


def _energies(layer: dict[str, Any]) -> dict[str, list[float]]:
    found = {}
    for name in ENERGIES:
        look = name.removeprefix("energy ")
        kind = "logistic" if look == "official" else "symmetric"
        parts = [squash(torch.tensor(layer[f"{part} {look}"], dtype=torch.float64), kind) for part in ("norm", "entropy")]
        found[name] = (ALPHA * parts[0] + (1 - ALPHA) * parts[1]).tolist()
    return found


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's; NaN where one side is constant."""
    if len(set(first)) < 2 or len(set(second)) < 2:
        return math.nan
    return float(pd.Series(first).corr(pd.Series(second), method="spearman"))


def side_by_side(frame: pd.DataFrame) -> pd.DataFrame:
    """`predictors` with a column for each harm."""
    if frame.empty:
        return frame
    names = {"moved": "rho with the change of the outputs", "loss": "rho with the change of the loss"}
    parts = [frame[frame.harm == harm].rename(columns={"rho": words}).drop(columns="harm") for harm, words in names.items()]
    wide = parts[0].merge(parts[1][["network", "predictor", names["loss"]]], on=["network", "predictor"])
    return wide[["network", "predictor", *names.values(), "constant, %"]]


def _by_network(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        base = record.params["baseline"]
        found.setdefault((base["dataset"], base["arch"]), []).append(record)
    return found


def _groups(frame: pd.DataFrame) -> Any:
    return frame.groupby(["dataset", "arch", "reading"], sort=False) if len(frame) else []


def printed(metric: str, dataset: str = "") -> list[dict[Any, Any]]:
    """The paper's numbers of a metric in its text, of one dataset or (section I) of all, as rows."""
    rows = tables.reported("annealing")
    name = PAPER_NAMES.get(dataset, "")
    chosen = rows[(rows.metric == metric) & (rows.dataset.fillna("") == name)]
    return chosen.to_dict("records")
