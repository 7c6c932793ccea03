"""The k-core paper's tables and claims with our records beside them, and two comparisons that the paper does not make.

Every judgement is computed, by `judge` for a printed number and by `sign` for a claim; `VERDICTS` says what each word
means. A number of ours may stand beside one of the paper's only if it comes from a network of the usual width, pruned by
the reading of this book (`READING`).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from itertools import combinations
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from prunebook.errors import choose, require
from prunebook.methods import kcore
from prunebook.report import figures, tables
from prunebook.report import importance as gradcam
from prunebook.studies.kcore import SELECTIONS, VARIANTS
from prunebook.trials import Record, Trial
from prunebook.trials.tasks import Prune

# What the paper calls the networks and datasets that we have.
MODELS = {**tables.PAPER_NAMES, "densenet40": "DenseNet-40", "resnet50": "ResNet-50"}
DATASETS = {**tables.PAPER_DATASETS, "image_folder:imagenet": "ImageNet"}

TITLES = {  # of the paper's metrics, in the order of the columns, with their unit
    "top1_drop": ("drop", "points"),
    "top5_drop": ("top-5 drop", "points"),
    "top1": ("top-1", "%"),
    "top5": ("top-5", "%"),
    "macs": ("MACs", "M"),
    "params": ("params", "M"),
    "pruning_time": ("time", "s"),
    "finetuning_epochs": ("epochs", ""),
    "total_time": ("total", "s"),
    "fr": ("FR", "%"),
    "pr": ("PR", "%"),
}
DROPS, COUNTS, TIMES = ("top1_drop", "top5_drop"), ("macs", "params"), ("pruning_time", "total_time")

READ = ("score", "scope", "hash", "edge", "bins", "pooling", "range", "thresholds", "mode", "coupled", "augment")
READING = {name: Prune.model_fields[name].default for name in READ}
IMAGES = 100  # that the paper draws, but for Table 8
ABLATION_TAU = 0.7  # section 4.4; Table 8 itself prints none
PAPER_EPOCHS = {"top1": 200, "top5": 200, **dict.fromkeys(DROPS, 70)}
PAPER_MACHINE = "3090"  # of section 4.3
CONTRADICTED = {(7, 1)}  # (table, row): 59.8 % and 0.83 are no row of Table 3, and 486 s are 16 s in Table 1

# Rates: about the largest gap between the paper's own two values for one setting (CIFAR-100, 100 images, Table 8 and
# Tables 2 to 5: FR of DenseNet-40, 41.84 and 43.96). Accuracies: two standard errors of 93 % on 10,000 test images.
CLOSE = {"fr": 2.0, "pr": 2.0, "top1": 0.5, "top5": 0.5, "top1_drop": 0.5, "top5_drop": 0.5}
SAME_COST = 0.01

VERDICTS = {
    "within our interval": "the paper's number lies in our 95 % t-interval over at least three repetitions; with given "
    "weights these are draws of images for one network, and another training might move the numbers farther",
    "close": "outside of it, but at most 2 points away for FR and PR, 0.5 for accuracies and drops",
    "ours is higher": "farther away, and ours is the higher number",
    "ours is lower": "farther away, and ours is the lower number",
    "opposite sign": "a drop that is farther away, has the other sign, and whose interval excludes 0",
    "as printed": "a count that rounds to the paper's digits",
    "no spread": "fewer than three repetitions say nothing about the spread, so there is no judgement",
    "other network": "MACs before pruning differ from Table 1 by more than 1 %; what follows the colon is read with that",
    "other schedule": "trained or fine-tuned for another number of epochs than the paper's, so there is no judgement",
    "other data": "another dataset than the paper's: not comparable",
    "other machine": "a time on other hardware than the paper's RTX 3090: not comparable",
    "not fine-tuned here": "the network was cut, but not fine-tuned, and the paper's drop is after fine-tuning",
    "the paper contradicts itself": "the number disagrees with another place of the paper (see the list): not comparable",
    "cannot be tested here": "needs data, networks or time that no record has",
}

CLAIM_VERDICTS = {
    "holds here": "the 95 % interval of the paired difference lies on the claim's side of 0, or its own rule is met",
    "the opposite holds here": "the interval lies on the other side of 0",
    "does not hold here": "the rule that stands with the claim is not met",
    "undecided": "the interval includes 0, there are fewer than three repetitions, or the network is not the paper's",
    "mixed": "different verdicts for different cases, which are named or, if many, counted",
    "equal by construction": "both sides of the comparison remove the same by definition: nothing to test",
    "other machine": "a time on other hardware than the paper's: not comparable",
    "the paper contradicts itself": "two places of the paper disagree on it",
    "cannot be tested with this run's records": "no record of this run bears on it",
}
UNTESTED = "cannot be tested with this run's records"


class Values(tuple[float, ...]):
    """Independent repetitions of one measurement. As text: `tables.spread`."""

    def __str__(self) -> str:
        return tables.spread(self)


class Measured(NamedTuple):
    """One of our measurements, and in what it was not made like the paper's number that it stands beside."""

    values: Values = Values()
    cut: bool = False  # a network was pruned, whether or not it was fine-tuned
    macs: float = 0.0  # share by which the MACs before pruning differ from Table 1
    epochs: int | None = None  # of training or fine-tuning, where known
    data: str = ""  # the dataset, where it is another
    machine: str = ""  # of a time
    note: str = ""  # shown beside the numbers


def judge(metric: str, theirs: float, printed: str, ours: Measured, contradicted: bool = False) -> str:
    """Where the paper's number lies with respect to ours: the first of these rules that applies.

    1. The paper prints a dash: nothing ("").
    2. `contradicted`: "the paper contradicts itself".
    3. We have no number: "not fine-tuned here" for the drop of a network that was cut, else "cannot be tested here".
    4. "other data", for any other dataset.
    5. "other machine", for times, unless ours are from an RTX 3090.
    6. "other schedule", for accuracies and drops after another number of epochs than the paper's (`PAPER_EPOCHS`).
    7. Counts: "as printed" if ours rounds to the printed digits, else "ours is higher" or "ours is lower".
    8. Fewer than three repetitions: "no spread".
    9. `tables.verdict` finds it "within our interval".
    10. "close": at most `CLOSE` away.
    11. "opposite sign", for a drop if our interval excludes 0 and theirs is on the other side.
    12. "ours is higher" or "ours is lower".

    What rules 7 to 12 say stands after "other network: " where the MACs before pruning differ by more than 1 %.
    """
    if math.isnan(theirs):
        return ""
    if contradicted:
        return "the paper contradicts itself"
    if not ours.values:
        return "not fine-tuned here" if metric in DROPS and ours.cut else "cannot be tested here"
    if ours.data:
        return f"other data: {ours.data}"
    if metric in TIMES and PAPER_MACHINE not in ours.machine:
        return "other machine"
    epochs = PAPER_EPOCHS.get(metric)
    if epochs and ours.epochs not in (None, epochs):
        return f"other schedule: {ours.epochs} of {epochs} epochs"
    found = _against_print(ours.values, theirs, printed) if metric in COUNTS else _against(metric, ours.values, theirs)
    return f"other network: {found}" if ours.macs > SAME_COST else found


def _against_print(values: Values, theirs: float, printed: str) -> str:
    unit = 10.0 ** int(Decimal(printed).as_tuple().exponent)  # of the last printed digit
    gap = fmean(values) - theirs
    if abs(gap) <= unit / 2 * (1 + 1e-9):
        return "as printed"
    return "ours is higher" if gap > 0 else "ours is lower"


def _against(metric: str, values: Values, theirs: float) -> str:
    if len(values) < 3:
        return f"no spread ({len(values)} of 3 repetitions)"
    ours = tables.interval(values)
    place = tables.verdict(ours, theirs)
    if place == "within our interval":
        return place
    if abs(ours.mean - theirs) <= CLOSE.get(metric, 0):
        return "close"
    apart = metric in DROPS and abs(ours.mean) > ours.half and ours.mean * theirs < 0
    return "opposite sign" if apart else place


def legend(words: Mapping[str, str], *columns: Iterable[str]) -> list[str]:
    """Those of `VERDICTS` or `CLAIM_VERDICTS` that occur in the columns, as sentences for `tables.listing`."""
    used = [text for column in columns for text in column]
    return [f"**{word}**: {meaning}." for word, meaning in words.items() if any(word in text for text in used)]


# The paper's tables


def table(
    n: int,
    prunings: Sequence[Record] = (),
    baselines: Sequence[Record] = (),
    criterion: Sequence[Record] = (),
    sample_sizes: Sequence[Record] = (),
) -> pd.DataFrame:
    """Every row of the paper's table `n`, in its order, with ours beside the rows of its own method.

    Parameters
    ----------
    n : int, 1 to 8
    prunings, sample_sizes : records of "prune" trials; the latter are those of Table 8
    baselines, criterion : records of the tasks of these names

    Returns
    -------
    DataFrame
        dataset, model, method, source, tau or sample size where the table has any; then for each metric its title of
        `TITLES` with "paper" (as printed), "ours" (mean and 95 % t-interval over the repetitions, whose number stands in
        brackets; the range of two), "difference" (ours minus theirs) and "verdict" (see `judge`). The rows of other
        methods are the paper's word about them, and are not compared. Drops of ours are those after fine-tuning.
    """
    require(n in range(1, 9), "table", n, "one of the paper's tables 1 to 8")
    paper = tables.reported("kcore")
    paper = paper[paper.table == n]
    if n == 1:
        find = _unpruned(baselines, criterion)
    else:
        frame = comparable(tables.prunings(sample_sizes if n == 8 else prunings, baselines))
        find = {7: _timed, 8: _sampled}.get(n, _by_tau)(frame, list(prunings))
    keys = ["row", "dataset", "model", "method", "reference", "ours", "tau", "sample_size"]
    rows = [_row(n, pd.Series(key, keys), cells, find) for key, cells in paper.groupby(keys, sort=False, dropna=False)]
    found = pd.DataFrame(rows)
    return found.drop(columns=[name for name in ("tau", "sample size") if found[name].eq("").all()])


Find = Callable[[pd.Series, str], Measured]  # a printed row and a metric -> ours


def _row(n: int, row: pd.Series, cells: pd.DataFrame, find: Find) -> dict[str, Any]:
    own = bool(row.ours) or n == 1
    source = "this paper" if own else f"as this paper prints it, [{row.reference}]"
    found = {"dataset": row.dataset, "model": row.model, "method": row.method, "source": source}
    found |= {"tau": _number(row.tau), "sample size": _number(row.sample_size)}
    printed = cells.set_index("metric")
    for metric, (title, _) in TITLES.items():
        if metric not in printed.index and not (n == 1 and metric == "top5"):
            continue
        cell: Any = printed.loc[metric] if metric in printed.index else None
        theirs, text = (math.nan, "") if cell is None else (float(cell.value), str(cell.printed))
        ours = find(row, metric) if own and text else Measured()
        found |= {f"{title} paper": text, f"{title} ours": "", f"{title} difference": "", f"{title} verdict": ""}
        if not own:
            continue
        found[f"{title} verdict"] = judge(metric, theirs, text, ours, (n, row.row) in CONTRADICTED)
        found[f"{title} ours"] = _text(ours) if text else ""
        if ours.values and not math.isnan(theirs) and metric != "total_time":
            found[f"{title} difference"] = f"{fmean(ours.values) - theirs:+.2f}"
    return found


def _text(ours: Measured) -> str:
    if not ours.values:
        return ours.note or "—"
    return f"{ours.values}\u00a0({len(ours.values)})" + (f", {ours.note}" if ours.note else "")


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:g}"


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that may stand beside the paper's: networks of the usual width, pruned by `READING`, at a given tau."""
    if frame.empty:
        return frame
    fits = frame.tau.notna()
    for name, value in {"width": 1, **READING}.items():
        if name in frame:
            fits &= frame[name] == value
    return frame[fits]


def repetitions(rows: pd.DataFrame, column: str) -> Values:
    """The independent repetitions of a column: see `tables.repeated`.

    One pruning recorded for two purposes, such as with two lengths of fine-tuning, counts once.
    """
    once = rows[rows[column].notna()].groupby(["seed", "draw"], as_index=False)[[column]].mean()
    return Values(tables.repeated(once, column))


def _unpruned(baselines: Sequence[Record], criterion: Sequence[Record]) -> Find:
    """Table 1: networks before pruning, and the seconds of a decision on one with as many classes."""

    def of_network(row: pd.Series, metric: str) -> Measured:
        chosen = [r for r in baselines if _is(row, r.params["arch"], r.params["dataset"], r.params.get("options"))]
        if not chosen or metric == "top5":
            return Measured()
        fits = {r.params["fit"]["epochs"] for r in chosen if r.params.get("fit")}
        cost = chosen[0].result["cost"]["thop"]
        values = {"macs": [cost[0] / 1e6], "params": [cost[1] / 1e6], "top1": [r.result["test"]["top1"] for r in chosen]}
        share = _other_cost(row.dataset, row.model, cost[0])
        return Measured(Values(values[metric]), macs=share, epochs=max(fits) if fits else None)

    def of_time(row: pd.Series) -> Measured:
        classes = {"CIFAR-10": 10, "CIFAR-100": 100, "ImageNet": 1000}[row.dataset]
        for r in criterion:
            p = Trial(r.task, r.params).parameters
            if (MODELS.get(p.arch), p.options.get("width", 1), p.num_classes) == (row.model, 1, classes):
                return Measured(Values([r.times["plan"]]), machine=machine(r))
        return Measured()

    return lambda row, metric: of_time(row) if metric == "pruning_time" else of_network(row, metric)


def _is(row: pd.Series, arch: str, dataset: str, options: Mapping[str, Any] | None) -> bool:
    width = (options or {}).get("width", 1)
    return (MODELS.get(arch), DATASETS.get(dataset), width) == (row.model, row.dataset, 1)


def machine(record: Record) -> str:
    """The hardware that a record was made on, in words."""
    hardware = record.provenance.get("hardware", {})
    threads = hardware.get("threads", "?")
    return str(hardware.get("accelerator") or f"{hardware.get('processor', 'unknown processor')}, threads: {threads}")


def _other_cost(dataset: str, model: str, macs: float) -> float:
    return abs(macs / 1e6 / _printed_macs()[dataset, model] - 1)


@cache  # asked for every cell of a table
def _printed_macs() -> dict[tuple[str, str], float]:
    rows = tables.reported("kcore").query("table == 1 and metric == 'macs'")
    return {(dataset, model): macs for dataset, model, macs in zip(rows.dataset, rows.model, rows.value, strict=True)}


def _of_model(frame: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    return frame if frame.empty else frame[frame.arch.map(MODELS) == row.model]


def _of_row(frame: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    rows = _of_model(frame, row)
    return rows if rows.empty else rows[rows.dataset.map(DATASETS) == row.dataset]


def _pruned(rows: pd.DataFrame, row: pd.Series, metric: str) -> Measured:
    """FR, PR or the drop after fine-tuning, of rows that differ in nothing but the repetition and the fine-tuning."""
    if rows.empty or metric == "top5_drop":  # no record has a top-5 accuracy
        return Measured()
    before = rows["before thop"].iloc[0]
    found = Measured(cut=True, macs=_other_cost(row.dataset, row.model, before))
    if metric != "top1_drop":
        return found._replace(values=repetitions(rows, f"{metric.upper()} thop"))
    tuned = longest(rows)
    if tuned.empty:
        return found
    return found._replace(values=repetitions(tuned, "drop fine-tuned"), epochs=int(tuned["finetune epochs"].iloc[0]))


def longest(rows: pd.DataFrame) -> pd.DataFrame:
    """The fine-tuned ones: of several schedules the longest, then the one whose learning rate is nearest to the paper's."""
    tuned = rows[rows["top1 fine-tuned"].notna()]
    if tuned.empty:
        return tuned
    tuned = tuned[tuned["finetune epochs"] == tuned["finetune epochs"].max()]
    gap = (tuned["finetune lr"] - 0.01).abs()
    return tuned[gap == gap.min()]


def _by_tau(frame: pd.DataFrame, _: Sequence[Record]) -> Find:
    """Tables 2 to 6: the rows of the same network, dataset and tau, for the paper's number of images."""

    def find(row: pd.Series, metric: str) -> Measured:
        rows = _of_row(frame, row)
        if rows.empty:
            return Measured()
        return _pruned(rows[((rows.tau - row.tau).abs() < 1e-9) & (rows.images == IMAGES)], row, metric)

    return find


def _timed(frame: pd.DataFrame, records: Sequence[Record]) -> Find:
    """Table 7, which prints no tau: ours is the one whose FR comes nearest. Its seconds and epochs are not added."""
    machines = ", ".join(sorted({machine(record) for record in records}))

    def find(row: pd.Series, metric: str) -> Measured:
        rows = _of_row(frame, row)
        rows = rows if rows.empty else rows[rows.images == IMAGES]
        if rows.empty:
            return Measured()
        rate = tables.reported("kcore").query(f"table == 7 and row == {row.row} and metric == 'fr'").value.iloc[0]
        tau = (rows.groupby("tau")["FR thop"].mean() - rate).abs().idxmin()
        rows = rows[rows.tau == tau]
        if metric == "pruning_time":
            return Measured(repetitions(rows, "seconds to plan"), machine=machines)
        if metric == "finetuning_epochs":
            return Measured(cut=True, note=f"{rows['finetune epochs'].max():g}")
        if metric == "total_time":
            return Measured(cut=True, note="no sum")
        return _pruned(rows, row, metric)._replace(note=f"tau {tau:g}" if metric == "fr" else "")

    return find


def _sampled(frame: pd.DataFrame, _: Sequence[Record]) -> Find:
    """Table 8: the rows with as many images, at the tau of section 4.4; of other data where there are none of its own."""

    def find(row: pd.Series, metric: str) -> Measured:
        rows = _of_model(frame, row)
        if rows.empty:
            return Measured()
        rows = rows[((rows.tau - ABLATION_TAU).abs() < 1e-9) & (rows.images == row.sample_size)]
        same = _of_row(rows, row)
        if len(same) or rows.empty:
            return _pruned(same, row, metric)
        other = sorted(rows.dataset.unique())[0]
        return _pruned(rows[rows.dataset == other], row, metric)._replace(data=DATASETS.get(other, other))

    return find


NOTES = {  # for the captions
    1: "The decision is timed on noise as images, and on untrained networks but where weights are given",
    7: "Seconds and epochs cannot be added, so ours have no total; of our tau, the one with the nearest FR",
    8: f"The paper prints no tau; ours is {ABLATION_TAU:g}",
}


def shown(n: int, frame: pd.DataFrame, caption: str = "") -> Any:
    """`table(n)` for a page of a book: a constant model or dataset goes to the caption, others' methods are grey.

    "here" is ours with the number of repetitions in brackets and, on the next line, the difference.
    """
    titles = [(title, unit) for title, unit in TITLES.values() if f"{title} paper" in frame]
    narrow = pd.DataFrame(index=frame.index)
    same = [str(frame[name].iloc[0]) for name in ("model", "dataset") if frame[name].nunique() == 1]
    for name in ("dataset", "model", "method", "tau", "sample size"):
        if name in frame and frame[name].nunique() > 1:
            narrow["", name] = frame[name]
    if ("", "method") in narrow:
        narrow["", "method"] += frame.source.str.extract(r"(\[\d+\])", expand=False).radd(" ").fillna("")
    for title, unit in titles:
        head = f"{title}, {unit}" if unit else title
        narrow[head, "paper"] = frame[f"{title} paper"]
        narrow[head, "here"] = [_two_lines(*pair) for pair in zip(frame[f"{title} ours"], frame[f"{title} difference"],
                                                                   strict=True)]  # fmt: skip
    narrow["", "verdict"] = [_compact(row, [title for title, _ in titles]) for _, row in frame.iterrows()]
    heads: Any = narrow.columns
    narrow.columns = pd.MultiIndex.from_tuples(heads)
    grey = [frame.source.iloc[i] != "this paper" for i in range(len(frame))]
    sentences = [f"The paper's Table {n}" + "".join(f", {word}" for word in same), NOTES.get(n, ""), caption]
    text = " ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence)
    one_line = {"selector": "td:not(:last-child)", "props": "white-space: nowrap;"}
    style = _page_style(narrow.style.hide().set_caption(text), one_line)
    return style.apply(lambda _: ["color: #767676" if other else "" for other in grey], axis=0)


def _page_style(style: Any, *more: Mapping[str, str]) -> Any:
    cells = {"selector": "td, th", "props": "padding: 0.2em 0.45em; vertical-align: top; text-align: left;"}
    return style.set_table_styles([cells, *more])


def _two_lines(ours: str, difference: str) -> str:
    return "<br>".join(text for text in (*ours.split(", "), difference) if text)


def _compact(row: pd.Series, titles: Sequence[str]) -> str:
    """Verdicts of one row, those that are alike named once."""
    by_verdict: dict[str, list[str]] = {}
    for title in titles:
        if row[f"{title} verdict"]:
            by_verdict.setdefault(row[f"{title} verdict"], []).append(title)
    if len(by_verdict) == 1:
        return next(iter(by_verdict))
    return "<br>".join(f"{', '.join(names)}: {verdict}" for verdict, names in by_verdict.items())


# The paper's claims


class Records(NamedTuple):
    """What the claims are tested with, by the study's functions that list the trials."""

    prunings: Sequence[Record] = ()
    baselines: Sequence[Record] = ()
    selections: Sequence[Record] = ()
    halves: Sequence[Record] = ()
    importance: Sequence[Record] = ()
    layers: Sequence[Record] = ()
    sample_sizes: Sequence[Record] = ()
    learning_rates: Sequence[Record] = ()
    criterion: Sequence[Record] = ()


class Case(NamedTuple):
    """One case of a claim: which network (and tau), our numbers as text, and the verdict."""

    name: str
    numbers: str
    verdict: str
    unit: str = ""  # of the numbers, in words; said once for the cases that share it


def claims(**records: Sequence[Record]) -> pd.DataFrame:
    """What the paper says, what of it our records can test, and what they say.

    Parameters
    ----------
    records : lists of records by the names of `Records`; those that are missing count as empty

    Returns
    -------
    DataFrame
        place, claim (in our words), tested by, here (our numbers), verdict (of `CLAIM_VERDICTS`). Differences are paired:
        within one network, tau, seed and draw of images, then mean and 95 % t-interval over the repetitions. An accuracy is
        the one after fine-tuning where both sides were fine-tuned alike, else the one after recalibrating batch norm, as is
        said; the paper's are all after 70 epochs. No correction is made for the number of claims.
    """
    for name in records:
        choose("records", name, Records._fields)
    rows = []
    for place, claim, tested, test in CLAIMS:
        cases = test(Records(**records))
        row = {"place": place, "claim": claim, "tested by": tested}
        rows.append(row | {"here": told(cases), "verdict": combined({case.name: case.verdict for case in cases})})
    return pd.DataFrame(rows)


def shown_claims(frame: pd.DataFrame) -> Any:
    """`claims` for a page of a book: each case on its own line."""
    narrow = frame.assign(here=frame.here.str.replace("; | — ", "<br>", regex=True))
    narrow["claim"] = "<b>" + narrow.place + "</b><br>" + narrow.claim + "<br><i>By: " + narrow["tested by"] + "</i>"
    return _page_style(narrow[["claim", "here", "verdict"]].style.hide().set_caption("The paper's claims, tested"))


def told(cases: Sequence[Case]) -> str:
    """The numbers of all cases; what they count is said once for those that share it."""
    by_unit: dict[str, list[str]] = {}
    for case in cases:
        numbers = f"{case.name}: {case.numbers}" if case.name else case.numbers
        by_unit.setdefault(case.unit, []).append(numbers)
    return "; ".join(f"{unit} — {'; '.join(found)}" if unit else "; ".join(found) for unit, found in by_unit.items()) or "—"


def combined(verdicts: Mapping[str, str]) -> str:
    """One verdict for all cases: what they agree on, else "mixed", with the cases of each or, of many, their number."""
    if not verdicts:
        return UNTESTED
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    by_verdict: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        by_verdict.setdefault(verdict, []).append(name)
    few = len(verdicts) <= 4
    of = {v: ", ".join(names) if few else f"{len(names)} of {len(verdicts)}" for v, names in by_verdict.items()}
    return "mixed: " + "; ".join(f"{verdict} ({which})" for verdict, which in of.items())


def sign(values: Values) -> str:
    """On which side of 0 the 95 % t-interval of at least three repetitions lies; positive is what the claim says."""
    if len(values) < 3:
        return "undecided"
    mean, half, _ = tables.interval(values)
    if abs(mean) <= half or mean == 0:
        return "undecided"
    return "holds here" if mean > 0 else "the opposite holds here"


def paired(first: pd.DataFrame, second: pd.DataFrame, column: str) -> Values:
    """First minus second, for each seed and draw that both have; then the independent repetitions of that."""
    a, b = (rows.groupby(["seed", "draw"])[column].mean() for rows in (first, second))
    return Values(tables.repeated((a - b).rename("gap").reset_index(), "gap"))


def signed(values: Sequence[float]) -> str:
    """Differences as text, with their sign and number: "+1.20 ± 0.31 (5)", the range of two."""
    if len(values) == 2:
        return f"{min(values):+.2f} to {max(values):+.2f} (2)"
    return ("+" if fmean(values) > 0 else "") + f"{tables.spread(values)} ({len(values)})"


def moment(*groups: pd.DataFrame) -> tuple[str, str]:
    """The column of the accuracy that all groups can be compared by, and what it is called."""
    tuned = [rows[rows["top1 fine-tuned"].notna()] for rows in groups]
    epochs = {float(value) for rows in tuned for value in rows["finetune epochs"]}
    if all(len(rows) for rows in tuned) and len(epochs) == 1:
        return "top1 fine-tuned", f"after fine-tuning, {epochs.pop():g} of 70 epochs"
    return "top1 recalibrated", "after recalibrating batch norm, not fine-tuned"


def _versus(frame: pd.DataFrame, label: str, first: str, second: str, by: Sequence[str] = ("arch",)) -> list[Case]:
    """Accuracy of the rows that `label` calls `first`, minus that of `second`, network by network."""
    cases = []
    for key, rows in _groups(frame, by):
        one, other = rows[rows[label] == first], rows[rows[label] == second]
        if one.empty or other.empty:
            continue
        column, words = moment(one, other)
        gap, removed = paired(one, other, column), paired(one, other, "FR thop")
        if gap:
            unit = f"top-1 in points {words}, and the difference in FR"
            cases.append(Case(key, f"{signed(gap)}, FR {fmean(removed):+.2f}", sign(gap), unit))
    return cases


def _groups(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Groups of the rows, each with a name such as "resnet56, tau 0.7"; the dataset is named where there are several."""
    if frame.empty:
        return []
    names = ["dataset", *by] if frame.dataset.nunique() > 1 else list(by)
    groups: Any = frame.groupby(names, sort=True)
    words = {"tau": "tau ", "target": "target "}
    return [
        (", ".join(words.get(n, "") + (f"{v:g}" if n in words else v) for n, v in zip(names, key, strict=True)), rows)
        for key, rows in groups
    ]


def _selected(records: Sequence[Record]) -> pd.DataFrame:
    """The table of prunings with the name that Figure 5 gives to the choice."""
    frame = tables.prunings(records)
    if frame.empty:
        return frame
    names = {(s["score"], s["scope"]): name for name, s in SELECTIONS.items()}
    return frame.assign(selection=[names.get(pair, "") for pair in zip(frame.score, frame.scope, strict=True)])


def _better_than_random(r: Records) -> list[Case]:
    return _versus(_selected(r.selections), "selection", "k-core & entropy", "k-core only")


def _better_than_entropy(r: Records) -> list[Case]:
    return _versus(_selected(r.selections), "selection", "k-core & entropy", "entropy only")


def _at_every_tau(r: Records) -> list[Case]:
    frame = tables.prunings(r.prunings)
    return _versus(frame if frame.empty else frame[frame.tau.notna()], "score", "entropy", "random", ("arch", "tau"))


def _higher_half(r: Records) -> list[Case]:
    return _versus(tables.prunings(r.halves), "score", "entropy", "low-entropy", ("arch", "tau"))


def _compresses_most(r: Records) -> list[Case]:
    """FR and PR against each part alone."""
    cases = []
    for key, rows in _groups(_selected(r.selections), ["arch"]):
        both = rows[rows.selection == "k-core & entropy"]
        for other, rate in ((o, m) for o in ("k-core only", "entropy only") for m in ("FR", "PR")):
            gap = paired(both, rows[rows.selection == other], f"{rate} thop")
            if gap:
                alike = max(map(abs, gap)) < 1e-9 and other == "entropy only"
                verdict = "equal by construction" if alike else sign(gap)
                cases.append(Case(f"{key}, {rate} against {other}", signed(gap), verdict, "difference in points"))
    return cases


def _rates(r: Records) -> list[Case]:
    """How many of the paper's FR and PR ours agree with, network by network.

    It holds where all do. Where some do not, that is held against the claim only if it is the paper's network.
    """
    verdicts: dict[str, list[str]] = {}
    gaps: dict[str, list[float]] = {}
    for n in range(2, 7) if r.prunings else ():
        for _, row in table(n, r.prunings, r.baselines).iterrows():
            for title in ("FR", "PR"):
                if row[f"{title} difference"]:
                    name = f"{row.model} on {row.dataset}"
                    verdicts.setdefault(name, []).append(row[f"{title} verdict"])
                    gaps.setdefault(name, []).append(abs(float(row[f"{title} difference"])))
    cases = []
    for name, found in verdicts.items():
        agree = sum(v.removeprefix("other network: ") in ("within our interval", "close") for v in found)
        judged = sum("no spread" not in v for v in found)
        numbers = f"{agree} of {len(found)} within our interval or close, the farthest {max(gaps[name]):.1f} points away"
        verdict = "holds here" if agree == len(found) else "does not hold here" if agree < judged else "undecided"
        if verdict == "does not hold here" and any("other network" in v for v in found):
            verdict = "undecided: other network"
        cases.append(Case(name, numbers, verdict))
    return cases


def _headline(r: Records) -> list[Case]:
    """Table 3 at tau 0.65: the rate, and the drop if it was fine-tuned for as long as the paper's."""
    if not r.prunings:
        return []
    found = table(3, r.prunings, r.baselines).query("dataset == 'CIFAR-10' and tau == '0.65'").iloc[0]
    if found["FR ours"] == "—":
        return []
    drop, verdict = found["drop ours"].replace("—", "none"), found["drop verdict"]
    numbers = f"FR {found['FR ours']} beside {found['FR paper']}; drop {drop} beside {found['drop paper']} ({verdict})"
    return [Case("", numbers, _recovered(verdict))]


def _recovered(verdict: str) -> str:
    """Of the headline, from the verdict on its drop: a drop that is no larger than the paper's bears it out."""
    judged = verdict.removeprefix("other network: ")
    if judged in ("within our interval", "close", "ours is lower"):
        return "holds here"
    if judged in ("ours is higher", "opposite sign"):
        return "does not hold here" if judged == verdict else "undecided: other network"
    return "undecided" if judged.startswith("no spread") else f"{UNTESTED}: needs 70 epochs of fine-tuning"


def _orthogonal(r: Records) -> list[Case]:
    """Spearman's rho of degree and entropy in a layer, with an interval by Fisher's z; at most 0.5 is "largely"."""
    cases = []
    for record in r.layers:
        similarity, entropy = figures.similarity_of(record.result), record.result["entropy"]
        for tau in (0.65, 0.7, 0.75):
            degree = kcore.degrees(similarity, tau).tolist()
            if len(set(degree)) == 1 or len(set(entropy)) == 1 or len(degree) < 5:
                continue
            rho = float(stats.spearmanr(degree, entropy).statistic)
            half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(degree) - 3))  # Bonett and Wright 2000
            low, high = math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
            inside, outside = max(abs(low), abs(high)) <= 0.5, min(abs(low), abs(high)) > 0.5 and low * high > 0
            verdict = "holds here" if inside else "does not hold here" if outside else "undecided"
            name = f"{record.params['baseline']['arch']} {record.result['layer']}, tau {tau:g}"
            cases.append(Case(name, f"{rho:+.2f} ({low:+.2f} to {high:+.2f})", verdict, "rho and its 95 % interval"))
    return cases


def _important(r: Records) -> list[Case]:
    """Signs over the layers, and against the overlap with another image's Grad-CAM: layers count, not filters."""
    cases = []
    for record in r.importance:
        frame = gradcam.filters(record.result)
        both = [
            (gradcam.correlation(rows.entropy, rows.overlap).r, gradcam.correlation(rows.entropy, rows.control).r)
            for _, rows in frame.groupby("layer", sort=False)
        ]
        own = [pair for pair in both if not any(map(math.isnan, pair))]
        if len(own) < 3:
            continue
        above = sum(real > 0 for real, _ in own)
        chance = stats.binomtest(above, len(own)).pvalue
        beyond = Values(real - control for real, control in own)
        pooled = gradcam.correlation(frame.entropy, frame.overlap)
        numbers = (
            f"r = {pooled} over all filters, r > 0 in {above} of {len(own)} layers (sign test p = {chance:.2g}), "
            f"{signed(beyond)} above the r with another image's Grad-CAM"
        )
        cases.append(Case(record.params["baseline"]["arch"], numbers, _evidence(above / len(own), chance, sign(beyond))))
    return cases


def _evidence(share: float, chance: float, beyond: str) -> str:
    if chance >= 0.05:
        return "undecided"
    if share < 0.5:
        return "the opposite holds here"
    return "holds here" if beyond == "holds here" else "does not hold here: as strong with another image's Grad-CAM"


def _by_size(r: Records) -> list[tuple[str, pd.DataFrame]]:
    """The records of Table 8, network by network, where there are at least three sample sizes."""
    frame = comparable(tables.prunings(r.sample_sizes, r.baselines))
    return [(key, rows) for key, rows in _groups(frame, ["arch"]) if rows.images.nunique() >= 3]


def _declines(r: Records) -> list[Case]:
    """Spearman's rho of the rate and the number of images within each repetition: negative is the claim."""
    cases = []
    for key, rows in _by_size(r):
        few, many = rows.images.min(), rows.images.max()
        for rate in ("FR thop", "PR thop"):
            slopes = [
                {"seed": seed, "draw": draw, "rho": -_monotone(group.groupby("images")[rate].mean())}
                for (seed, draw), group in rows.groupby(["seed", "draw"])
            ]
            falls = Values(tables.repeated(pd.DataFrame(slopes), "rho"))
            change = paired(rows[rows.images == many], rows[rows.images == few], rate)
            if not falls or not change:
                continue
            numbers = f"{signed(change)}, rho {signed([-rho for rho in falls])}"
            unit = f"points from {few} to {many} images, and Spearman's rho with their number"
            cases.append(Case(f"{key}, {rate[:2]}", numbers, sign(falls), unit))
    return cases


def _monotone(means: pd.Series) -> float:
    if means.nunique() < 2 or len(means) < 3:
        return math.nan
    return float(stats.spearmanr(means.index, means).statistic)


def _best_at_100(r: Records) -> list[Case]:
    """Accuracy with 100 images minus that with the fewest and with the most."""
    cases = []
    for key, rows in _by_size(r):
        middle = rows[rows.images == IMAGES]
        for size in {int(rows.images.min()): None, int(rows.images.max()): None}:
            other = rows[rows.images == size]
            if size == IMAGES or middle.empty:
                continue
            column, words = moment(middle, other)
            gap = paired(middle, other, column)
            if gap:
                cases.append(Case(f"{key}, against {size} images", signed(gap), sign(gap), f"top-1 in points {words}"))
    return cases


def _best_rate(r: Records) -> list[Case]:
    """Last epoch's accuracy with a learning rate of 0.01, minus that with the best of the others."""
    frame = tables.prunings(r.learning_rates)
    cases = []
    for key, rows in _groups(frame, ["arch"]):
        rows = rows[rows["top1 fine-tuned"].notna()]
        last = rows.pivot_table(index=["seed", "draw"], columns="finetune lr", values="top1 fine-tuned")
        others = last.drop(columns=0.01, errors="ignore")
        if 0.01 not in last or others.shape[1] == 0:
            continue
        gap = Values(tables.repeated((last[0.01] - others.max(axis=1)).rename("gap").reset_index(), "gap"))
        means = ", ".join(f"{lr:g}: {top1:.2f}" for lr, top1 in last.mean().items())
        epochs = f"{rows['finetune epochs'].max():g} of 70 epochs"
        unit = f"top-1 after {epochs}, against the best other rate in points, and of each in percent"
        cases.append(Case(key, f"{signed(gap)} ({means})", sign(gap), unit))
    return cases


def _decisions(criterion: Sequence[Record]) -> list[tuple[pd.Series, Measured]]:
    """The rows of Table 1 of which we timed the decision, with our seconds."""
    paper = tables.reported("kcore").query("table == 1 and metric == 'pruning_time'")
    find = _unpruned((), criterion)
    found = [(row, find(row, "pruning_time")) for _, row in paper.iterrows()]
    return [(row, ours) for row, ours in found if ours.values]


def _seconds(r: Records) -> list[Case]:
    """Ours beside Table 1's last column."""
    return [
        Case(f"{row.model} on {row.dataset}", f"{ours.values} beside {row.printed}",
             judge("pruning_time", row.value, row.printed, ours), f"seconds for noise as images, on {ours.machine}")
        for row, ours in _decisions(r.criterion)
    ]  # fmt: skip


def _longest_for_vgg(r: Records) -> list[Case]:
    """The order of the networks by time hangs less on the machine than the seconds do."""
    seconds = {row.model: ours.values[0] for row, ours in _decisions(r.criterion) if row.dataset == "CIFAR-10"}
    if "VGG-16" not in seconds or "ResNet-56" not in seconds:
        return []
    ratio = seconds["VGG-16"] / seconds["ResNet-56"]
    slowest = max(seconds, key=seconds.__getitem__)
    verdict = "holds here" if slowest == "VGG-16" else f"other machine: {slowest} takes longest"
    return [Case("", f"VGG-16 takes {ratio:.1f} times as long as ResNet-56, in the paper 29 times", verdict)]


def _against_l1(r: Records) -> list[Case]:
    frame = tables.prunings(r.prunings)
    return _versus(frame if frame.empty else frame[frame.target.notna()], "score", "entropy", "l1", ("arch", "target"))


def _contradicted(_: Records) -> list[Case]:
    return [Case("", "Table 7 adds seconds to epochs, and its 486 s are 16 s in Table 1", "the paper contradicts itself")]


CLAIMS: list[tuple[str, str, str, Callable[[Records], list[Case]]]] = [
    ("Tables 2 to 6", "A threshold removes the printed shares of operations (FR) and parameters (PR).",
     "prunings at the paper's thresholds; holds if each rate is within our interval or close", _rates),
    ("Table 3, abstract", "At tau 0.65, half of ResNet-56's operations go at no loss (drop of -0.03 or, in the text, 0.03).",
     "prunings of ResNet-56 on CIFAR-10; holds if the drop is within our interval, close or lower", _headline),
    ("Figure 2, section 3.4", "Degree and entropy of a layer's filters are largely orthogonal (|rho| at most 0.5).",
     "degree and entropy of one layer; holds if the interval of rho is within 0.5", _orthogonal),
    ("Figure 3, left", "Keeping a group's highest entropy beats keeping its lowest, at every tau.",
     "scores entropy and low-entropy", _higher_half),
    ("Figure 3, right", "Entropy goes with importance, measured by the overlap with Grad-CAM.",
     "correlations by layer; holds if r > 0 in most, and more than with another image's Grad-CAM", _important),
    ("Figure 5, section 4.4", "Choosing by entropy within the groups beats a random choice there.",
     "k-core & entropy, k-core only", _better_than_random),
    ("Figure 5, section 4.4", "The same, at every threshold (we add this one).",
     "scores entropy and random", _at_every_tau),
    ("Figure 5, section 4.4", "Choosing by entropy within the groups beats entropy alone.",
     "k-core & entropy, entropy only", _better_than_entropy),
    ("Figure 5, section 4.4", "Both together remove more than either part alone.",
     "FR and PR of k-core & entropy against each part", _compresses_most),
    ("Section 4.3", "Entropy keeps better filters than the L1 norm of the predecessor (we compare at equal operations).",
     "scores entropy and l1 at a target", _against_l1),
    ("Table 8", "FR and PR fall as more images are drawn.", "rank correlation with it within each repetition", _declines),
    ("Table 8", "Accuracy is best near 100 images.", "100 images against the fewest and the most", _best_at_100),
    ("Figure 6", "0.01 is the best learning rate of fine-tuning.", "fine-tuning at several rates", _best_rate),
    ("Table 1", "A decision takes 16 s (ResNet-56) to 468 s (VGG-16) on CIFAR-10.", "timed decisions", _seconds),
    ("Table 1", "On CIFAR-10, VGG-16 takes longest.", "timed decisions; holds if it is so here", _longest_for_vgg),
    ("Table 7, section 4.3", "Pruning and fine-tuning take 556 s in all, about 40 % less than others.",
     "the paper alone", _contradicted),
]  # fmt: skip


# Two comparisons of our own


def scores_at_target(prunings: Sequence[Record], reference: str = "entropy") -> pd.DataFrame:
    """Scores at an equal share of MACs removed: accuracy at each moment, and its paired difference to the reference.

    Parameters
    ----------
    prunings : records of "prune" trials; those with a target and, but for the score, the reading of this book are used
    reference : str
        The score that the others are compared with.

    Returns
    -------
    DataFrame
        One row for each network, target, moment and score. "FR macs" and "top-1" are `Values`: their text is mean and 95 %
        t-interval over the repetitions. "minus REFERENCE" is paired: same seed, same images. "separates?" says whether the
        interval of that difference excludes 0 (its t-test has p < 0.05), "after Holm" the same with Holm's correction over
        the comparisons of one network, target and moment; "—" for fewer than three pairs.
    """
    frame = tables.prunings(prunings)
    if frame.empty or frame.target.isna().all():
        return pd.DataFrame()
    fits = frame.target.notna()
    for name in (name for name in READ if name != "score" and name in frame):
        fits &= frame[name] == READING[name]
    rows = []
    groups: Any = frame[fits].groupby(["dataset", "arch", "target"])
    for (dataset, arch, target), group in groups:
        place = {"network": f"{arch} on {DATASETS.get(dataset, dataset)}", "target": target}
        for column, (words, _) in figures.MOMENTS.items():
            rows += [place | row for row in _compared(group, column, words, reference)]
    return pd.DataFrame(rows)


def _compared(group: pd.DataFrame, column: str, words: str, reference: str) -> list[dict[str, Any]]:
    rows = group if column != "top1 fine-tuned" else longest(group)
    rows = rows[rows[column].notna()]
    scores = sorted(rows.score.unique(), key=lambda score: (score != reference, score))
    gaps = {s: paired(rows[rows.score == s], rows[rows.score == reference], column) for s in scores if s != reference}
    p = {score: p_value(gap) for score, gap in gaps.items()}
    corrected = holm(p)
    return [
        {"moment": words, "score": score, "FR macs": repetitions(rows[rows.score == score], "FR macs"),
         "top-1": repetitions(rows[rows.score == score], column), f"minus {reference}": gaps.get(score, Values()),
         "separates?": _separates(p.get(score)), "after Holm": _separates(corrected.get(score))}
        for score in scores
    ]  # fmt: skip


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of the paired t-test that their mean is 0; NaN for fewer than three."""
    if len(differences) < 3:
        return math.nan
    if max(differences) == min(differences):
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction of the p that are defined (Scandinavian Journal of Statistics, 1979)."""
    defined = sorted((value, name) for name, value in p.items() if not math.isnan(value))
    corrected, highest = {}, 0.0
    for i, (value, name) in enumerate(defined):
        highest = max(highest, min(1.0, value * (len(defined) - i)))
        corrected[name] = highest
    return corrected


def _separates(p: float | None) -> str:
    if p is None or math.isnan(p):
        return "—"
    return "yes" if p < 0.05 else "no"


def agreement(records: Sequence[Record], base: str = "as in this book") -> pd.DataFrame:
    """How far other readings of the method keep the same filters as one of them does.

    Parameters
    ----------
    records : records of "prune" trials with a target
    base : str
        The reading, of `studies.kcore.VARIANTS`, that the others are compared with at the same seed and draw of images.

    Returns
    -------
    DataFrame
        One row for each network, target and reading. "Jaccard": of the two sets of kept (layer, filter) pairs, over all
        convolutions; a layer that follows another, as in a residual stage, counts like any other. In the row of `base`
        itself it is between two draws of images, over all pairs of draws: the level of noise. "by chance": the index
        expected if every layer kept as many filters as it does, chosen at random and alone (exact). "tau": the thresholds
        that were found. "top-1": in percent, after recalibrating batch norm; "minus base": paired, in points.
        Measured columns are `Values`.
    """
    choose("base", base, VARIANTS)
    frame = tables.prunings(records)
    if frame.empty or frame.target.isna().all():
        return pd.DataFrame()
    kept = [record.result["keep"] for record in records]
    frame["variant"] = [variant(record) for record in records]
    frame["keep"], frame["found"] = pd.Series(kept), pd.Series([_found(record) for record in records])
    rows = []
    groups: Any = frame[frame.target.notna()].groupby(["dataset", "arch", "target"])
    for (dataset, arch, target), group in groups:
        place = {"network": f"{arch} on {DATASETS.get(dataset, dataset)}", "target": target}
        reference = group[group.variant == base]
        for name in (name for name in VARIANTS if (group.variant == name).any()):
            rows.append(place | {"reading": name} | _alike(group[group.variant == name], reference, name == base))
    return pd.DataFrame(rows)


def variant(record: Record) -> str:
    """The name that `studies.kcore.VARIANTS` has for a record's choices, "" where it has none."""
    p = Trial(record.task, record.params).parameters
    names = {name for choices in VARIANTS.values() for name in choices} | set(READ)
    for name, choices in VARIANTS.items():
        expected = {**{key: Prune.model_fields[key].default for key in names}, **choices}
        if all(getattr(p, key) == value for key, value in expected.items()):
            return name
    return ""


def _found(record: Record) -> list[float]:
    found = record.result.get("found", {})
    return list(found["taus"].values()) if "taus" in found else [found["tau"]] if "tau" in found else []


def _alike(rows: pd.DataFrame, base: pd.DataFrame, is_base: bool) -> dict[str, Any]:
    pairs = _between_draws(base) if is_base else _at_same_draw(rows, base)
    found = [(seed, draw, jaccard(a, b), by_chance(a, b)) for seed, draw, a, b in pairs]
    index = pd.DataFrame(found, columns=["seed", "draw", "j", "c"])
    # The pairs of draws overlap and are no independent repetitions: they have a mean, but no interval.
    alike = Values([index.j.mean()] if len(index) else []) if is_base else Values(tables.repeated(index, "j"))
    thresholds = [tau for found in rows.found for tau in found]
    return {
        "Jaccard": alike,
        "by chance": Values([index.c.mean()] if len(index) else []),
        "tau": " to ".join(dict.fromkeys(f"{tau:.3f}" for tau in (min(thresholds), max(thresholds)))) if thresholds else "—",
        "FR macs": repetitions(rows, "FR macs"),
        "top-1": repetitions(rows, "top1 recalibrated"),
        "minus base": Values() if is_base else paired(rows, base, "top1 recalibrated"),
    }


def _between_draws(base: pd.DataFrame) -> list[tuple[int, int, dict[str, str], dict[str, str]]]:
    groups: Any = base.groupby("seed")
    return [(seed, 0, a, b) for seed, rows in groups for a, b in combinations(rows.keep, 2)]


def _at_same_draw(rows: pd.DataFrame, base: pd.DataFrame) -> list[tuple[int, int, dict[str, str], dict[str, str]]]:
    theirs = {(seed, draw): keep for seed, draw, keep in zip(base.seed, base.draw, base.keep, strict=True)}
    found = zip(rows.seed, rows.draw, rows.keep, strict=True)
    return [(seed, draw, keep, theirs[seed, draw]) for seed, draw, keep in found if (seed, draw) in theirs]


def jaccard(first: Mapping[str, str], second: Mapping[str, str]) -> float:
    """Pairs (layer, filter) that both keep, over those that at least one keeps. What a layer keeps is a text of 0 and 1."""
    require(first.keys() == second.keys(), "layers", sorted(first), f"those of the other network, {sorted(second)}")
    pairs = [(a, b) for name in first for a, b in zip(first[name], second[name], strict=True)]
    return pairs.count(("1", "1")) / (len(pairs) - pairs.count(("0", "0")))


def by_chance(first: Mapping[str, str], second: Mapping[str, str]) -> float:
    """The expected `jaccard` of networks that keep as many filters of each layer, at random: exact.

    What a layer's two choices share is hypergeometric; over layers the numbers add up, and their distributions convolve.
    """
    shared, total = np.ones(1), 0
    for name, text in first.items():
        n, a, b = len(text), text.count("1"), second[name].count("1")
        shared = np.convolve(shared, stats.hypergeom.pmf(np.arange(min(a, b) + 1), n, a, b))
        total += a + b
    both = np.arange(len(shared))
    return float(np.sum(shared * both / (total - both)))
