"""The k-core paper's tables with our records beside them.

Every judgement is computed, by `judge`; `VERDICTS` says what each word means. A number of ours may stand beside one of
the paper's only if it comes from a network of the usual width, pruned by the reading of this book (`READING`).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd

from prunebook.errors import require
from prunebook.report import tables
from prunebook.report.tables import PAPER_DATASETS, PAPER_NAMES, Values, repetitions
from prunebook.trials import Record, Trial
from prunebook.trials.tasks import Prune

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
# Tables 2 to 5: FR of DenseNet-40, 41.84 and 43.96); of small rates a tenth, since 2 points are most of them.
# Accuracies: two standard errors of 93 % on 10,000 test images.
CLOSE = {"fr": 2.0, "pr": 2.0, "top1": 0.5, "top5": 0.5, "top1_drop": 0.5, "top5_drop": 0.5}
CLOSE_SHARE, CLOSEST = 0.1, 0.2  # of the printed rate, but never less than so many points
SAME_COST = 0.01

VERDICTS = {
    "within our interval": "the paper's number lies in our 95 % t-interval over at least three repetitions; with given "
    "weights these are draws of images for one network, and another training might move the numbers farther",
    "within our interval (wide)": "it does, but the interval reaches farther than what counts as close, so that this is no "
    "agreement",
    "close": "outside of it, but at most 2 points and a tenth of the printed number away for FR and PR (a tenth counts as "
    "at least 0.2 points), 0.5 points for accuracies and drops; a tolerance of ours, not the paper's: 2 points are about "
    "what its own values for one setting differ by (Table 8 and Table 5), 0.5 are two standard errors of an accuracy",
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
    "the paper contradicts itself": "the number disagrees with another place of the paper (see the list): not comparable, "
    "so no difference is taken",
    "cannot be tested here": "needs data, networks or time that no record has",
}


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
    9. "within our interval", a 95 % t-interval; "within our interval (wide)" if half its width is above the `tolerance`.
    10. "close": at most the `tolerance` away.
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
    ours, near = tables.interval(values), tolerance(metric, theirs)
    gap = ours.mean - theirs
    if abs(gap) <= ours.half:
        return "within our interval (wide)" if near and ours.half > near else "within our interval"
    if abs(gap) <= near:
        return "close"
    if metric in DROPS and abs(ours.mean) > ours.half and ours.mean * theirs < 0:
        return "opposite sign"
    return "ours is higher" if gap > 0 else "ours is lower"


def tolerance(metric: str, theirs: float) -> float:
    """How far from the printed number counts as close, in its unit; 0 for metrics that have no such word."""
    near = CLOSE.get(metric, 0.0)
    return max(CLOSEST, min(near, CLOSE_SHARE * abs(theirs))) if metric in ("fr", "pr") else near


def legend(words: Mapping[str, str], *columns: Iterable[str]) -> list[str]:
    """Those of `VERDICTS`, or of another such list, that occur in the columns, as sentences for `tables.listing`."""
    # The longest first: "the opposite holds here" is no "holds here".
    any_word = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    used = {word for column in columns for text in column for word in any_word.findall(text)}
    return [f"**{word}**: {meaning}." for word, meaning in words.items() if word in used]


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
        brackets; the range of two), "difference" (ours minus theirs, where the paper does not contradict itself) and
        "verdict" (see `judge`). The rows of other methods are the paper's word about them, and are not compared. Drops of
        ours are those after fine-tuning.
    """
    require(n in range(1, 9), "table", n, "one of the paper's tables 1 to 8")
    paper = tables.reported("kcore")
    paper = paper[paper.table == n]
    if n == 1:
        find = unpruned(baselines, criterion)
    else:
        frame = comparable(tables.prunings(sample_sizes if n == 8 else prunings, baselines))
        find = {7: _timed, 8: _sampled}.get(n, _by_tau)(frame, criterion)
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
        contradicted = (n, row.row) in CONTRADICTED
        found[f"{title} verdict"] = judge(metric, theirs, text, ours, contradicted)
        found[f"{title} ours"] = _text(ours) if text else ""
        if ours.values and not math.isnan(theirs) and not contradicted:
            found[f"{title} difference"] = f"{fmean(ours.values) - theirs:+z.2f}"
    return found


def _text(ours: Measured) -> str:
    if not ours.values:
        return ours.note or "—"
    return f"{ours.values}\u00a0({len(ours.values)})" + (f", {ours.note}" if ours.note else "")


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:g}"


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that may stand beside the paper's: networks of the usual width, pruned by `READING`, at a given tau."""
    fits = frame.tau.notna()
    for name, value in {"width": 1, **READING}.items():
        fits &= frame[name] == value
    return frame[fits]


def unpruned(baselines: Sequence[Record], criterion: Sequence[Record]) -> Find:
    """Table 1: accuracies of the networks of `baselines`; counts and seconds of the paper's own networks, untrained."""

    def trained(row: pd.Series, metric: str) -> Measured:
        chosen = [r for r in baselines if _is(row, r.params["arch"], r.params["dataset"], r.params.get("options"))]
        if not chosen or metric == "top5":
            return Measured()
        fits = {r.params["fit"]["epochs"] for r in chosen if r.params.get("fit")}
        share = other_cost(row.dataset, row.model, chosen[0].result["cost"]["thop"][0])
        values = Values(r.result["test"]["top1"] for r in chosen)
        return Measured(values, macs=share, epochs=max(fits) if fits else None)

    def untrained(row: pd.Series, metric: str) -> Measured:
        classes = {"CIFAR-10": 10, "CIFAR-100": 100, "ImageNet": 1000}[row.dataset]
        for r in criterion:
            p = Trial(r.task, r.params).parameters
            if (PAPER_NAMES.get(p.arch), p.options.get("width", 1), p.num_classes) == (row.model, 1, classes):
                macs, params = (number / 1e6 for number in r.result["cost"]["thop"])
                found = {"macs": macs, "params": params, "pruning_time": r.times["plan"]}[metric]
                return Measured(Values([found]), machine=machine(r) if metric == "pruning_time" else "")
        return Measured()

    return lambda row, metric: (trained if metric in ("top1", "top5") else untrained)(row, metric)


def _is(row: pd.Series, arch: str, dataset: str, options: Mapping[str, Any] | None) -> bool:
    width = (options or {}).get("width", 1)
    return (PAPER_NAMES.get(arch), PAPER_DATASETS.get(dataset), width) == (row.model, row.dataset, 1)


def machine(record: Record) -> str:
    """The hardware that a record was made on, in words."""
    hardware = record.provenance.get("hardware", {})
    threads = hardware.get("threads", "?")
    return str(hardware.get("accelerator") or f"{hardware.get('processor', 'unknown processor')}, threads: {threads}")


def other_cost(dataset: str, model: str, macs: float) -> float:
    """Share by which MACs before pruning differ from those that Table 1 prints; NaN where it prints none."""
    return abs(macs / 1e6 / _printed_macs().get((dataset, model), math.nan) - 1)


@cache  # asked for every cell of a table
def _printed_macs() -> dict[tuple[str, str], float]:
    rows = tables.reported("kcore").query("table == 1 and metric == 'macs'")
    return {(dataset, model): macs for dataset, model, macs in zip(rows.dataset, rows.model, rows.value, strict=True)}


def _of_model(frame: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    return frame[frame.arch.map(PAPER_NAMES) == row.model]


def _of_row(frame: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    rows = _of_model(frame, row)
    return rows[rows.dataset.map(PAPER_DATASETS) == row.dataset]


def _pruned(rows: pd.DataFrame, row: pd.Series, metric: str) -> Measured:
    """FR, PR or the drop after fine-tuning, of rows that differ in nothing but the repetition and the fine-tuning."""
    if rows.empty or metric == "top5_drop":  # no record has a top-5 accuracy
        return Measured()
    before = rows["before thop"].iloc[0]
    found = Measured(cut=True, macs=other_cost(row.dataset, row.model, before))
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


def moment(*groups: pd.DataFrame) -> tuple[str, str]:
    """The column of the accuracy that all groups can be compared by, and what it is called."""
    tuned = [rows[rows["top1 fine-tuned"].notna()] for rows in groups]
    epochs = {float(value) for rows in tuned for value in rows["finetune epochs"]}
    if all(len(rows) for rows in tuned) and len(epochs) == 1:
        return "top1 fine-tuned", f"after fine-tuning, {epochs.pop():g} of 70 epochs"
    return "top1 recalibrated", "after recalibrating batch norm, not fine-tuned"


def _by_tau(frame: pd.DataFrame, _: Sequence[Record]) -> Find:
    """Tables 2 to 6: the rows of the same network, dataset and tau, for the paper's number of images."""

    def find(row: pd.Series, metric: str) -> Measured:
        rows = _of_row(frame, row)
        return _pruned(rows[((rows.tau - row.tau).abs() < 1e-9) & (rows.images == IMAGES)], row, metric)

    return find


def _timed(frame: pd.DataFrame, criterion: Sequence[Record]) -> Find:
    """Table 7, which prints no tau: ours is the one whose FR comes nearest. Its seconds and epochs are not added.

    Seconds are those of Table 1, of a decision that ran alone; prunings may have run side by side.
    """
    decided = unpruned((), criterion)

    def find(row: pd.Series, metric: str) -> Measured:
        if metric == "pruning_time":
            return decided(row, metric)
        rows = _of_row(frame, row)
        rows = rows[rows.images == IMAGES]
        if rows.empty:
            return Measured()
        rate = tables.reported("kcore").query(f"table == 7 and row == {row.row} and metric == 'fr'").value.iloc[0]
        tau = (rows.groupby("tau")["FR thop"].mean() - rate).abs().idxmin()
        rows = rows[rows.tau == tau]
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
        rows = rows[((rows.tau - ABLATION_TAU).abs() < 1e-9) & (rows.images == row.sample_size)]
        same = _of_row(rows, row)
        if len(same) or rows.empty:
            return _pruned(same, row, metric)
        other = sorted(rows.dataset.unique())[0]
        return _pruned(rows[rows.dataset == other], row, metric)._replace(data=PAPER_DATASETS.get(other, other))

    return find


NOTES = {  # for the captions
    1: "Counts and times here are those of untrained networks, the times with noise as images; ResNets of CIFAR have 3x3 "
    "convolutions on the shortcuts, as the paper's count asks for. Counter: THOP",
    7: "Seconds and epochs cannot be added, so ours have no total; the time here is that of one decision, timed alone as in "
    "Table 1; of our tau, the one with the nearest FR",
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
    narrow["", "verdict"] = [compact_verdicts(row, [title for title, _ in titles]) for _, row in frame.iterrows()]
    heads: Any = narrow.columns
    narrow.columns = pd.MultiIndex.from_tuples(heads)
    grey = [frame.source.iloc[i] != "this paper" for i in range(len(frame))]
    sentences = [f"The paper's Table {n}" + "".join(f", {word}" for word in same), NOTES.get(n, ""), caption]
    text = " ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence)
    one_line = {"selector": "td:not(:last-child)", "props": "white-space: nowrap;"}
    style = tables.verdict_style(narrow.style.hide().set_caption(text), one_line)
    return style.apply(lambda _: ["color: #767676" if other else "" for other in grey], axis=0)


def _two_lines(ours: str, difference: str) -> str:
    return "<br>".join(text for text in (*ours.split(", "), difference) if text)


def compact_verdicts(row: pd.Series, titles: Sequence[str]) -> str:
    """Verdicts of one row, those that are alike named once."""
    by_verdict: dict[str, list[str]] = {}
    for title in titles:
        if row[f"{title} verdict"]:
            by_verdict.setdefault(row[f"{title} verdict"], []).append(title)
    if len(by_verdict) == 1:
        return next(iter(by_verdict))
    return "<br>".join(f"{', '.join(names)}: {verdict}" for verdict, names in by_verdict.items())
