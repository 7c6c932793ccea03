"""The tables of the SACP notebook: candidates built and trained, and the paper's tables; those of scores: `sacp_scores`.

Every judgement is computed, by `judge`; `VERDICTS` says what each word means. Accuracies are top-1 in percent, differences
of them in points; "val" is the split that chooses, "test" the one that reports. FR and PR are by THOP's counts, as in the
paper (Liu et al. 2025). Without records, a table has its columns and no row.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from prunebook import models
from prunebook.errors import choose
from prunebook.methods import sacp
from prunebook.report import tables
from prunebook.report.dice_tables import network
from prunebook.report.kcore_tables import compact_verdicts
from prunebook.report.tables import Values
from prunebook.studies.sacp import AS_COSTLY, ENCODERS, PAPER, RANDOM, SUPERVISED
from prunebook.trials import Record, Trial
from prunebook.trials.estimate import facts
from prunebook.trials.tasks import Fit

PAPER_NETWORKS = {"vgg16": "VGG-16", "resnet18": "ResNet-18", "resnet56": "ResNet-56"}
PAPER_OPTIONS: dict[str, dict[str, Any]] = {"vgg16": {"hidden": False}, "resnet18": {}, "resnet56": {"shortcut": "B"}}
PAPER_DATA = "cifar10"
READINGS = (
    "infonce",
    "infonce (anchor original)",
    "as printed",
    "as printed (anchor original)",
)  # of the paper's section 3.4
CHANCES = 4000  # random candidates that what a search removes is set beside
CLOSE = 1.0  # points that ours may be from the printed number to count as close
SAME_FR = 1.0  # points of FR that two networks may differ by for their accuracies to be compared
TITLES = {"top1": "top-1, %", "macs": "MACs, M", "fr": "FR, %", "params": "parameters, M", "pr": "PR, %"}
VERDICTS = {
    "as printed": "a count that rounds to the paper's digits",
    "within our interval": "the paper's number lies in our 95 % t-interval over at least three seeds",
    "within our interval (wide)": f"it does, but the interval reaches farther than {CLOSE:g} point, so that this is no "
    "agreement",
    "close": f"outside of it, but at most {CLOSE:g} point away, a tolerance of ours",
    "ours is higher": "farther away, and ours is the higher number",
    "ours is lower": "farther away, and ours is the lower number",
    "no spread": "fewer than three seeds say nothing about the spread, so there is no judgement",
    "unequal cost": f"an accuracy of ours at another cost: the FR differ by more than {SAME_FR:g} point in the mean",
    "not trained in full": "accuracy after light fine-tuning at most, so there is no judgement",
    "other network": "the architecture of this name has other layers or another width than the paper's; what follows is "
    "about ours",
    "other tau": "another threshold than the paper's for this network; what follows is about ours",
    "cannot be tested here": "another method, or a network that no record has",
}

PLACE = ("dataset", "arch", "width", "weights", "network", "model", "seed")  # first columns of every long table
COST = ("tau", "like", "r", "R", "R percentile", "FR", "PR", "MACs, M", "parameters, M", "MACs before, M",
        "parameters before, M")  # fmt: skip
BUILT = (*PLACE, "search", "place", *COST, "test recalibrated", "val light", "test light", "light", "before", "drop")
FINISHED = (*PLACE, "search", "m", "rank", "place", *COST, "val", "test", "light", "full", "before", "drop")
SELECTIONS = ("network", "search", "m", "FR", "mean of m", "best of m by validation", "best of m by test", "k",
              "winner by validation", "winner by test", "FR of the winner", "minus random", "minus random (as costly)",
              "mean minus as costly", "as costly over")  # fmt: skip
BEST_OF = (*PLACE, "search", "stage", "m", "k", "chosen by", "test")
RATIOS = (*PLACE, "search", "place", "entry", "ratio", "score")


# Names


def encoder_of(params: Mapping[str, Any]) -> str:
    """The name in `studies.sacp.ENCODERS` of an encoder, given as a parameter of the tasks that use one.

    One that has no name there is described by what is unusual in it: "loss as-printed, edges none".
    """
    if params["kind"] == "regression":
        return SUPERVISED
    usual = {"loss": "infonce", "anchor": "first", "edges": "network", "positives": "l1"}
    chosen = {name: params[name] for name, value in usual.items() if params.get(name, value) != value}
    chosen |= {} if params.get("epochs", 1) else {"epochs": 0}
    found = (name for name, options in ENCODERS.items() if options == chosen and name != SUPERVISED)
    return next(found, ", ".join(f"{name} {value}" for name, value in chosen.items()))


def search_of(params: Mapping[str, Any]) -> str:
    """The name in `studies.sacp.SEARCHES` of a search, given as the parameters of its trial."""
    if params.get("encoder"):
        return encoder_of(params["encoder"])
    return AS_COSTLY if params.get("like") else RANDOM


def is_papers(arch: str, options: Mapping[str, Any]) -> bool:
    """Whether a network has the layers of the paper's of that name, as far as its counts say."""
    chosen = {"width": 1, **PAPER_OPTIONS.get(arch, {})}
    return arch in PAPER_OPTIONS and {"width": 1, **options} == chosen


class _Where(NamedTuple):
    place: dict[str, Any]
    key: str  # of the baseline's trial


@cache
def _where(baseline: str) -> _Where:
    """What the tables say of a baseline, given as JSON."""
    params = json.loads(baseline)
    key, options, arch = Trial("baseline", params).key, params["options"], params["arch"]
    place = {"dataset": params["dataset"], "arch": arch, "width": options.get("width", 1)}
    place |= {"weights": params.get("weights") or "", "network": network(params["dataset"], arch)}
    return _Where(place | {"model": PAPER_NETWORKS[arch] if is_papers(arch, options) else ""}, key)


def place_of(baseline: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The columns `PLACE` of a baseline, given as the parameters of its trial."""
    return {**_where(json.dumps(baseline)).place, "seed": seed}


def key_of(baseline: Mapping[str, Any]) -> str:
    """Of its trial."""
    return _where(json.dumps(baseline)).key


def as_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Those columns first, and there without rows too."""
    found = pd.DataFrame(list(rows))
    return found if len(found) else pd.DataFrame(columns=list(columns), dtype=float)


# Spaces and fine-tuning


def removed_by(baseline: Mapping[str, Any], r: Sequence[Sequence[int]]) -> list[float]:
    """R(r) of each candidate."""
    found: list[float] = _space(_shape(baseline)).ratio(torch.tensor(r)).tolist()
    return found


def _shape(baseline: Mapping[str, Any]) -> str:
    """What its space depends on."""
    return json.dumps({name: baseline.get(name) for name in ("dataset", "size", "arch", "options")})


@cache
def _chance(shape: str, tau: float) -> np.ndarray:
    """R(r) of random candidates that meet tau, rising."""
    space = _space(shape)
    return np.sort(space.ratio(space.sample(CHANCES, tau)).numpy())


@cache
def _space(shape: str) -> sacp.Space:
    """The space of a network, whose weights it does not look at."""
    given = json.loads(shape)
    known = facts(given["dataset"], given["size"])
    model = models.build(given["arch"], known.num_classes, known.in_channels, seed=0, **given["options"])
    inputs = torch.zeros(1, known.in_channels, known.image_size, known.image_size)
    return sacp.Space(sacp.ArchitectureGraph(model, inputs))


def length(fit: Mapping[str, Any] | None) -> str:
    """Of a fine-tuning, in words: "1 epoch of 5,000 images"; nothing where there is none."""
    return Fit(**fit).length if fit else ""


def accuracies(result: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy on both splits after fine-tuning or, without one, recalibrated."""
    found = result.get("finetuned", result["recalibrated"])
    return {name: float(found[name]) for name in ("val", "test")}


# Searches


def built(light: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each "candidate" record: columns `BUILT`.

    "r" is a list of tenths, R(r), FR and PR are in percent; "R percentile" is the percentage of random candidates that meet
    tau and remove fewer channels, half of those that remove as many included. "val light" and "test light" are accuracies
    after light fine-tuning, or recalibrated where the trial has none; "light" says how long it was. "before" is the unpruned
    network's on the same images as test, "drop" that minus light; of `before`, records "unpruned" outdo the baselines' own.
    "like" is the search whose costs an equally costly random one has, else "".
    """
    whole, rows = _tests(before), []
    for record in light:
        p, r = record.params, record.result
        row = {**_cut(p["search"], r), "place": p["place"]}
        row |= {"test recalibrated": r["recalibrated"]["test"], "light": length(p["finetune"])}
        row |= {f"{name} light": value for name, value in accuracies(r).items()}
        row |= {"before": whole.get(key_of(p["search"]["baseline"]), math.nan)}
        rows.append(row | {"drop": row["before"] - row["test light"]})
    return as_table(rows, BUILT)[list(BUILT)]


def finished(finals: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each "final" record: columns `FINISHED`, as in `built`.

    "m" is how many places it was chosen from, "rank" from 0 by validation after light fine-tuning; "val" and "test" are
    after full training.
    """
    whole, rows = _tests(before), []
    for record in finals:
        p, r = record.params, record.result
        row = {**_cut(p["search"], r), "m": p["first"], "rank": p["rank"], "place": r["place"], **accuracies(r)}
        row |= {"light": length(p["light"]), "full": length(p["finetune"])}
        row["before"] = whole.get(key_of(p["search"]["baseline"]), math.nan)
        rows.append(row | {"drop": row["before"] - row["test"]})
    return as_table(rows, FINISHED)[list(FINISHED)]


def _tests(before: Sequence[Record]) -> dict[str, float]:
    """Test accuracy by the baseline's key: on the whole split or, where others say so, on the half of it that reports."""
    own = {record.key: float(record.result["test"]["top1"]) for record in before if record.task == "baseline"}
    halves = {key_of(r.params["baseline"]): float(r.result["test"]) for r in before if r.task == "unpruned"}
    return own | halves


def _cut(search: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Where a candidate is from, and what it costs."""
    cost, like = result["cost"]["thop"], search.get("like")
    row = {**place_of(search["baseline"], search["seed"]), "search": search_of(search), "tau": search["tau"]}
    row |= {"like": search_of(like) if like else "", "r": result["r"], "R": 100 * result["removed"]}
    chance = _chance(_shape(search["baseline"]), search["tau"])
    ends = [np.searchsorted(chance, result["removed"] + slack) for slack in (-1e-6, 1e-6)]
    row |= {"R percentile": 100 * fmean(ends) / len(chance)}
    row |= {"FR": cost["fr"], "PR": cost["pr"]}
    for words, moment in (("", "after"), (" before", "before")):
        macs, params = cost[moment]
        row |= {f"MACs{words}, M": macs / 1e6, f"parameters{words}, M": params / 1e6}
    return row


def best(rows: pd.DataFrame, by: str, column: str, order: str = "place") -> pd.Series:
    """For each seed, `column` of the row that is highest in `by`; of several, the first in `order`."""
    ranked = rows.sort_values(["seed", by, order], ascending=[True, False, True])
    return ranked.groupby("seed")[column].first()


def winners(light: pd.DataFrame, full: pd.DataFrame) -> tuple[pd.DataFrame, str, str, str]:
    """The rows that a search's winner is chosen from, and their columns for validation, test and order.

    Those trained in full at the largest m or, without any, those of `built`.
    """
    if len(full):
        return full[full.m == full.m.max()], "val", "test", "rank"
    return light, "val light", "test light", "place"


def winner(light: pd.DataFrame, full: pd.DataFrame, by: str = "val", column: str = "test") -> pd.Series:
    """For each seed a column of a search's winner, the best by "val" or "test"; "test" stands for the accuracy."""
    rows, val, test, order = winners(light, full)
    return best(rows, val if by == "val" else test, test if column == "test" else column, order)


def minus(first: pd.Series, second: pd.Series) -> Values:
    """The difference for each seed (or other key) that both have."""
    return Values((first - second).dropna())


def selections(light: Sequence[Record], finals: Sequence[Record] = (), before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each network and search: columns `SELECTIONS`; measured ones are `Values` over the seeds.

    "mean of m" and "best of m ..." are test accuracies after light fine-tuning, the best chosen by validation or, as in the
    paper, by test; "winner ..." the same among the k finals at the largest m. "minus random" is the winner by validation (of
    the finals if any, else of the m) minus that of the random search, seed by seed, whatever they cost. The equally costly
    random search is set beside the one that it is like: winner minus winner, and "mean minus as costly", candidate minus its
    partner. "as costly over" says what the latter are repetitions of: "seeds" (each the mean over its candidates) or, of a
    single seed, "candidates".
    """
    frame, full = built(light, before), finished(finals, before)
    groups: Any = frame.groupby(["network", "search"], sort=False)
    return as_table((_selection(key, frame, full) for key, _ in groups), SELECTIONS)


def of_search(frame: pd.DataFrame, network: str, search: str) -> pd.DataFrame:
    return frame[(frame.network == network) & (frame.search == search)]


def _selection(key: tuple[str, str], frame: pd.DataFrame, full: pd.DataFrame) -> dict[str, Any]:
    name, search = key
    own, finals = of_search(frame, *key), of_search(full, *key)
    chosen = [winner(own, finals, by) for by in ("val", "test")] if len(finals) else [pd.Series(dtype=float)] * 2
    rivals = {
        rival: minus(winner(own, finals), winner(of_search(frame, name, rival), of_search(full, name, rival)))
        for rival in (RANDOM, AS_COSTLY)
        if search not in (RANDOM, AS_COSTLY) and (rival == RANDOM or search in partners(frame, name))
    }
    row: dict[str, Any] = {"network": name, "search": search, "m": int(own.place.nunique())}
    row |= {"FR": Values(own.groupby("seed").FR.mean()), "mean of m": Values(own.groupby("seed")["test light"].mean())}
    row["best of m by validation"] = Values(best(own, "val light", "test light"))
    row["best of m by test"] = Values(best(own, "test light", "test light"))
    row["k"] = int(finals["rank"].nunique())
    row |= {"winner by validation": Values(chosen[0]), "winner by test": Values(chosen[1])}
    row["FR of the winner"] = Values(winner(own, finals, column="FR"))
    row |= {f"minus {rival}": rivals.get(rival, Values()) for rival in (RANDOM, AS_COSTLY)}
    gaps, over = beside_partners(frame, name) if AS_COSTLY in rivals else (Values(), "")
    return row | {"mean minus as costly": gaps, "as costly over": over}


def filled(frame: pd.DataFrame) -> pd.DataFrame:
    """Of `selections` the columns that say something in any row: no text and no repetitions are nothing."""
    silent = [name for name in frame if len(frame) and all(value in ("", ()) for value in frame[name])]
    return frame.drop(columns=silent)


def partners(frame: pd.DataFrame, name: str) -> set[str]:
    """The searches of a network that have an equally costly random one."""
    return set(of_search(frame, name, AS_COSTLY)["like"])


def beside_partners(frame: pd.DataFrame, name: str, column: str = "test light") -> tuple[Values, str]:
    """A column of each candidate minus that of its equally costly partner, and over what these are repetitions.

    Of one seed its candidates; of several the seeds, each by the mean over its candidates.
    """
    chance = of_search(frame, name, AS_COSTLY)
    own = frame[(frame.network == name) & frame.search.isin(set(chance["like"]))]
    a, b = (rows.set_index(["seed", "place"])[column] for rows in (own, chance))
    gaps = (a - b).dropna()
    if gaps.index.get_level_values("seed").nunique() > 1:
        return Values(gaps.groupby("seed").mean()), "seeds"
    return Values(gaps), "candidates" if len(gaps) else ""


def best_of(light: Sequence[Record], finals: Sequence[Record] = ()) -> pd.DataFrame:
    """For Figure 2: the test accuracy of the best of m or k: columns `BEST_OF`.

    "stage" is "light": the best of the first m places after light fine-tuning, m = 1, 2, ..., where k is 0; or "full": the
    best of the first k ranks of each m. "chosen by" is "validation" or "test".
    """
    rows = []
    groups: Any = built(light).groupby(["network", "search", "seed"], sort=False)
    for _, own in groups:
        ordered = own.sort_values("place")
        for m in range(1, len(ordered) + 1):
            rows += _best(ordered.head(m), ("val light", "test light"), {"stage": "light", "m": m, "k": 0})
    groups = finished(finals).groupby(["network", "search", "seed", "m"], sort=False)
    for key, own in groups:
        ordered = own.sort_values("rank")
        for k in range(1, len(ordered) + 1):
            rows += _best(ordered.head(k), ("val", "test"), {"stage": "full", "m": key[-1], "k": k})
    return as_table(rows, BEST_OF)


def _best(rows: pd.DataFrame, columns: tuple[str, str], what: Mapping[str, Any]) -> list[dict[str, Any]]:
    place = {name: rows.iloc[0][name] for name in (*PLACE, "search")}
    return [
        {**place, **what, "chosen by": words, "test": float(rows[columns[1]].iloc[int(rows[column].argmax())])}
        for words, column in zip(("validation", "test"), columns, strict=True)
    ]


def ratios(searches: Sequence[Record]) -> pd.DataFrame:
    """The pruning ratio (0 to 0.9) of every entry of every candidate that a search keeps: columns `RATIOS`.

    "score" is NaN for random searches.
    """
    rows = []
    for record in searches:
        place = {**place_of(record.params["baseline"], record.params["seed"]), "search": search_of(record.params)}
        for i, found in enumerate(record.result["best"]):
            one = {**place, "place": i, "score": found.get("score", math.nan)}
            rows += [{**one, "entry": entry, "ratio": q / 10} for entry, q in enumerate(found["r"])]
    return as_table(rows, RATIOS)[list(RATIOS)]


# What the paper prints


def costs(chances: Sequence[Record]) -> pd.DataFrame:
    """One row for each network: its cost beside the paper's, how many candidates meet tau, and what these cost.

    "MACs, M" and "parameters, M" are by THOP, "... paper" as printed, "counts as printed?" whether both round to that.
    "share that meets tau, %" is of all candidates. "FR of chance" and "PR of chance" are quartiles over random candidates
    that meet tau, counted by multiply-accumulates; "FR percentile" is the share of them, in percent, whose FR is below the
    paper's. It is NaN, and what the paper prints is "—", for a network or tau that is not the paper's.
    """
    return pd.DataFrame([_costs(record) for record in chances])


def _costs(record: Record) -> dict[str, Any]:
    p, r = record.params, record.result
    macs, params = (count / 1e6 for count in r["cost"]["thop"])
    arch = p["arch"]
    same = is_papers(arch, p["options"]) and p["dataset"] == PAPER_DATA
    base = printed(3, PAPER_NETWORKS[arch], "Base") if same else {}
    found = printed(3, PAPER_NETWORKS[arch], "SACP") if same and p["tau"] == PAPER[arch]["tau"] else {}
    row: dict[str, Any] = {"network": network(p["dataset"], arch), "MACs, M": macs}
    row |= {
        "MACs, M, paper": base.get("macs", "—"),
        "parameters, M": params,
        "parameters, M, paper": base.get("params", "—"),
    }
    rounds = [rounds_to(value, base[name]) for name, value in (("macs", macs), ("params", params)) if name in base]
    row["counts as printed?"] = ("yes" if all(rounds) else "no") if rounds else "—"
    row |= {"tau": p["tau"], "share that meets tau, %": 100 * r["share"], "candidates": p["n"]}
    for name in ("fr", "pr"):
        low, middle, high = np.interp([25, 50, 75], np.linspace(0, 100, len(r[name])), r[name])
        row[f"{name.upper()} of chance"] = f"{middle:.1f} ({low:.1f} to {high:.1f})"
        row[f"{name.upper()} paper"] = found.get(name, "—")
        row[f"{name.upper()} percentile"] = percentile(float(found[name]), r[name]) if name in found else math.nan
    return row


def percentile(value: float, quantiles: Sequence[float]) -> float:
    """Where a value lies among quantiles in equal steps of probability from the least to the greatest, in percent."""
    return float(np.interp(value, quantiles, np.linspace(0, 100, len(quantiles))))


@cache
def _reported(n: int) -> pd.DataFrame:
    paper = tables.reported("sacp")
    return paper[paper.table == n]


def printed(n: int, model: str, method: str) -> dict[str, str]:
    """What Table n prints of a method, by metric, without units; "" for a dash."""
    rows = _reported(n)
    rows = rows[(rows.model == model) & (rows.method == method)]
    return {metric: text.strip("%M-") for metric, text in zip(rows.metric, rows.printed, strict=True)}


def rounds_to(value: float, text: str) -> bool:
    """Whether a value rounds to the digits of a printed number."""
    unit = 10.0 ** int(Decimal(text).as_tuple().exponent)  # of the last printed digit
    return abs(value - float(text)) <= unit / 2 * (1 + 1e-9)


class Measured(NamedTuple):
    """Ours beside a row of a table: repetitions by metric, and how they came about."""

    values: Mapping[str, Values] = {}
    full: bool = True  # whether an accuracy is after full training
    before: str = ""  # what is not as in the paper, which goes before every verdict


def table(
    n: int, light: Sequence[Record] = (), finals: Sequence[Record] = (), chances: Sequence[Record] = (),
    before: Sequence[Record] = (),
) -> pd.DataFrame:  # fmt: skip
    """Every row of the paper's Table 3 or 4, in its order, with ours beside where we have it.

    Parameters
    ----------
    n : 3 or 4
    light, finals, chances, before : records of these parts of the study; `before` are the unpruned networks
        On CIFAR-10. SACP is our search by the first of `READINGS` that there is; its winner is the best on the validation
        split of the k that were trained in full, or without any of the m. SACP-2 is the best of the m, SACP-1 the winner of
        the search that learnt accuracies.

    Returns
    -------
    DataFrame
        model, method, "ours" (whether the row is SACP's), and for each metric of `TITLES` that the table has "... paper" (as
        printed), "... here" (mean and 95 % t-interval, number of seeds in brackets) and "... verdict" (`judge`).
    """
    choose("table", str(n), ("3", "4"))
    frame, full = (rows[(rows.dataset == PAPER_DATA) & (rows.width == 1)] for rows in (built(light), finished(finals)))
    paper, rows = _reported(n), []
    groups: Any = paper.groupby(["model", "method"], sort=False)
    for (model, method), cells in groups:
        arch = next(name for name, one in PAPER_NETWORKS.items() if one == model)
        own, last = frame[frame.arch == arch], full[full.arch == arch]
        ours = _unpruned(arch, own, chances, before) if method == "Base" else _ours(arch, method, own, last)
        text = printed(n, model, method)
        row: dict[str, Any] = {"model": model, "method": method, "ours": bool(cells.ours.any())}
        for metric, title in TITLES.items():
            if metric in set(paper.metric):
                values = ours.values.get(metric, Values())
                row |= {f"{title} paper": text[metric] or "—", f"{title} here": counted(values)}
                row[f"{title} verdict"] = _judged(metric, text, ours)
        rows.append(row)
    return pd.DataFrame(rows)


def _unpruned(arch: str, own: pd.DataFrame, chances: Sequence[Record], before: Sequence[Record]) -> Measured:
    """The network before pruning: its counts from `chances` or `before`, its accuracy, on what reports, from `before`."""
    tests = _tests(before)
    before = [record for record in before if record.task == "baseline"]
    tops = [tests[record.key] for record in before if _is_whole(record.params, arch)]
    counted = [(r.params, r.result["cost"]["thop"]) for r in chances if _is_whole(r.params, arch)]
    counted += [(r.params, r.result["cost"]["thop"]) for r in before if _is_whole(r.params, arch)]
    found: dict[str, Values] = {"top1": Values(tops)} if tops else {}
    if counted:
        macs, params = counted[0][1]
        found |= {"macs": Values([macs / 1e6]), "params": Values([params / 1e6])}
    return Measured(found, before=_condition(arch, all(is_papers(arch, given["options"]) for given, _ in counted)))


def _is_whole(params: Mapping[str, Any], arch: str) -> bool:
    return (params["dataset"], params["arch"], params["options"].get("width", 1)) == (PAPER_DATA, arch, 1)


def _condition(arch: str, same: bool, taus: Iterable[float] = ()) -> str:
    found = ["other network"] * (not same) + ["other tau"] * any(tau != PAPER[arch]["tau"] for tau in taus)
    return ", ".join(found)


def reading(searches: Iterable[str]) -> str:
    """The search that stands for SACP: the first of `READINGS` that there is, or ""."""
    return next((name for name in READINGS if name in set(searches)), "")


def _ours(arch: str, method: str, light: pd.DataFrame, full: pd.DataFrame) -> Measured:
    """Winner of the search that a row of Table 3 or 4 is about."""
    search = {"SACP": reading(light.search), "SACP-2": reading(light.search), "SACP-1": SUPERVISED}.get(method, "")
    own, finals = light[light.search == search], full[full.search == search]
    if own.empty:
        return Measured()
    finals = finals.head(0) if method == "SACP-2" else finals
    columns = {"top1": "test", "fr": "FR", "pr": "PR", "macs": "MACs, M", "params": "parameters, M"}
    values = {metric: Values(winner(own, finals, column=column)) for metric, column in columns.items()}
    trained = len(finals) > 0 or method == "SACP-2"
    return Measured(values, trained, _condition(arch, bool((own.model != "").all()), own.tau))


def _judged(metric: str, text: Mapping[str, str], ours: Measured) -> str:
    values = ours.values.get(metric, Values())
    if not text[metric] or not values:
        return "cannot be tested here"
    removed = ours.values.get("fr", Values())
    gap = fmean(removed) - float(text["fr"]) if removed and text.get("fr") else 0.0
    verdict = judge(metric, text[metric], values, ours.full, gap, counts="fr" not in ours.values)
    return f"{ours.before}: {verdict}" if ours.before else verdict


def judge(metric: str, printed: str, values: Values, full: bool = True, fr_gap: float = 0.0, counts: bool = False) -> str:
    """Where the paper's number lies with respect to ours: the first of these rules that applies.

    1. A count of the unpruned network (`counts`): "as printed" if ours rounds to it, else "ours is higher" or "lower".
    2. An accuracy that is not after full training: "not trained in full".
    3. Fewer than three repetitions: "no spread".
    4. "within our interval", a 95 % t-interval; "within our interval (wide)" if half its width is above `CLOSE`.
    5. "close": at most `CLOSE` away. For millions of MACs or parameters, `CLOSE` percent.
    6. "ours is higher" or "ours is lower".

    Before what rules 3 to 6 say of an accuracy stands "unequal cost: " where the FR, ours minus printed, is `fr_gap` points
    apart by more than `SAME_FR`.
    """
    gap = fmean(values) - float(printed)
    farther = "ours is higher" if gap > 0 else "ours is lower"
    if counts and metric in ("macs", "params"):
        return "as printed" if rounds_to(fmean(values), printed) else farther
    if metric == "top1" and not full:
        return "not trained in full"
    unequal = "unequal cost: " if metric == "top1" and abs(fr_gap) > SAME_FR else ""
    if len(values) < 3:
        return f"{unequal}no spread ({len(values)} of 3 repetitions)"
    near = CLOSE / 100 * float(printed) if metric in ("macs", "params") else CLOSE
    half = tables.interval(values).half
    if abs(gap) <= half:
        return unequal + ("within our interval (wide)" if half > near else "within our interval")
    return unequal + ("close" if abs(gap) <= near else farther)


def counted(values: Values) -> str:
    """Mean and interval with the number of repetitions in brackets; the range of two, a dash for none."""
    return f"{values} ({len(values)})" if values else "—"


def shown(n: int, frame: pd.DataFrame, caption: str = "") -> Any:
    """`table(n)` for a page of a book: paper and here in turns, SACP's rows bold."""
    titles = [title for title in TITLES.values() if f"{title} here" in frame]
    narrow = pd.DataFrame(index=frame.index)
    for name in ("model", "method"):
        if frame[name].nunique() > 1:
            narrow["", name] = frame[name]
    for title in titles:
        narrow[title, "paper"], narrow[title, "here"] = frame[f"{title} paper"], frame[f"{title} here"]
    narrow["", "verdict"] = [compact_verdicts(row, titles) for _, row in frame.iterrows()]
    heads: Any = narrow.columns
    narrow.columns = pd.MultiIndex.from_tuples(heads)
    same = [str(frame.model.iloc[0])] if frame.model.nunique() == 1 else []
    sentences = [", ".join([f"The paper's Table {n}", *same, "CIFAR-10"]), caption]
    style = narrow.style.hide().set_caption(" ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence))
    bold = frame.ours.tolist()
    styled = tables.verdict_style(style)
    return styled.apply(lambda _: ["font-weight: bold" if ours else "" for ours in bold], axis=0)
