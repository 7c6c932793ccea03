"""The tables of the Sørensen-Dice notebook: our methods side by side, and the thesis's (Hajbi 2025) tables beside ours.

Every judgement is computed, by `judge` and `judge_lead`; `VERDICTS` says what each word means. Accuracies are in percent,
differences of them in points.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from statistics import fmean
from typing import Any

import pandas as pd

from prunebook.errors import choose
from prunebook.measure import COUNTERS
from prunebook.report import tables
from prunebook.report.kcore_tables import compact_verdicts
from prunebook.report.statistics import holm, p_value, separates
from prunebook.report.tables import ACCURACIES, Values, paired, repetitions
from prunebook.studies.dice import METHODS, VARIANTS
from prunebook.trials import Record, Trial
from prunebook.trials.comparisons import Dice

THESIS_MODELS = {"dice_cnn": "Custom CNN", "resnet50": "ResNet-50", "vgg19": "VGG-19"}
THESIS_DATASETS = {"cifar10": "CIFAR-10", "mnist": "MNIST"}
THESIS_METHODS = {"l1": "L1", "random": "Random", "growing_reg": "Growing Reg", "group_norm": "Group Norm",
                  "dice": "Sørensen-Dice"}  # fmt: skip
THESIS_EPOCHS = 20  # Table 1
THESIS_RATIO = 0.2  # Table 2
GUESSED = "Custom CNN"  # its layers are in Figure 1, which the text at hand does not have
MOMENTS = tuple(name for name in ACCURACIES if name != "best test epoch")
BOOK = "as in this book"  # of `VARIANTS`

CLOSE = {"top1": 1.0, "f1": 0.01}  # how far from the printed number counts as close, in its unit
SAME_COST = 0.1  # points of the MACs removed that two methods may differ by
SAME_LEAD = 2.0  # points that two leads may differ by
WIDE = 1.0  # points: half an interval that is too wide to call no difference an equality

DIGITS = {"speed_up": 2, "top1": 2, "f1": 3}
TITLES = {"speed_up": "speed-up", "top1": "top-1, %", "f1": "F1"}
VERDICTS = {
    "as printed": "a speed-up that rounds to the thesis's digits. In Table 3 the share of MACs to remove was chosen for it; "
    "that filters are whole may leave it 0.01 off",
    "within our interval": "the thesis's number lies in our 95 % t-interval over at least three trainings",
    "within our interval (wide)": "it does, but the interval reaches farther than what counts as close, so that this is no "
    "agreement",
    "close": "outside of it, but at most 1 point (of F1, 0.01) away; a tolerance of ours: the thesis prints whole percents",
    "ours is higher": "farther away, and ours is the higher number",
    "ours is lower": "farther away, and ours is the lower number",
    "no spread": "fewer than three trainings say nothing about the spread, so there is no judgement",
    "guessed network": "the layers of the thesis's Custom CNN are in a figure that the text at hand does not have; what "
    "follows the colon is about ours",
    "other schedule": "another number of epochs after pruning than the thesis's 20, so there is no judgement",
    "Dice ahead": "the 95 % t-interval of Dice minus the other method, on the same trained network and with the same seed, "
    f"lies above 0; by as much as in the thesis if it is within {SAME_LEAD:g} points of its lead, else by more or less",
    "not after Holm": "it does, but not after Holm's correction over the methods of one network and dataset",
    "Dice behind": "it lies below 0",
    "no difference found": "the interval includes 0",
    "no difference found (wide)": f"it does, and is more than {WIDE:g} point to either side: a lead may be hidden in it",
    "unequal cost": f"the two differ by more than {SAME_COST:g} points of the MACs removed; in the thesis's Table 2 they do "
    "too",
    "cannot be tested here": "needs a network, data or time that no record has",
}

CHOICES = ("dataset", "arch", "width", "seed", "draw", "method", "reading", "dial", "target", "ratio", "layers", "alpha",
           "beta", "recalibrate", "trainable", "finetune epochs", "regularised epochs", "weights")  # fmt: skip
COMPARISONS = (*CHOICES, "removed", "found ratio", "keep",
               *(f"{what} {counter}" for counter in COUNTERS for what in ("FR", "PR", "before", "speed-up")),
               "top1 baseline", "f1 baseline", "top1 before", "f1 before",
               *(f"{what} {moment}" for moment in MOMENTS for what in ("top1", "f1", "drop")),
               "val fine-tuned", "seconds an epoch")  # fmt: skip


def comparisons(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each record of a "compare" trial: its parameters, costs by counter, and accuracy at each moment.

    Parameters
    ----------
    records : records of "compare" trials
    before : records of "baseline" and "regularise" trials
        The networks that were pruned. Where one is missing, what needs it is NaN.

    Returns
    -------
    DataFrame
        "reading" is the name that `studies.dice.VARIANTS` has for a decision by Dice, else "". "dial" is "target 0.43" or
        "ratio 0.2", of which the other column is NaN. "removed" is the share of filters that went, in percent; "speed-up"
        the ratio of MACs. "baseline" is the trained network, "before" the one that was cut: that of growing_reg was
        regularised in between. "drop" is baseline minus pruned. "val fine-tuned" is the accuracy on the validation split
        after the last epoch. Without records, the table has its columns (`COMPARISONS`) and no row.
    """
    tests = {record.key: record.result["test"] for record in before}
    rows = [_comparison(record, tests) for record in records]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(COMPARISONS), dtype=float)


def _comparison(record: Record, tests: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    p, r = Trial(record.task, record.params).parameters, record.result
    kept = "".join(r["keep"].values())
    row: dict[str, Any] = {**place(record), **_choices(p)}
    row |= {"removed": 100 * kept.count("0") / max(1, len(kept)), "keep": r["keep"]}
    row["found ratio"] = r.get("found", {}).get("ratio", math.nan)
    for counter, cost in r["cost"].items():
        row |= {f"FR {counter}": cost["fr"], f"PR {counter}": cost["pr"], f"before {counter}": cost["before"][0]}
        row[f"speed-up {counter}"] = cost["before"][0] / cost["after"][0]
    trained, start = Trial("baseline", record.params["baseline"]), p.start()
    nets = {"baseline": tests.get(trained.key, {}), "before": tests.get((start or trained).key, {})}
    nets |= {moment: r["test"].get(ACCURACIES[moment], {}) for moment in MOMENTS}
    for moment, test in nets.items():
        row |= {f"top1 {moment}": test.get("top1", math.nan), f"f1 {moment}": test.get("f1", math.nan)}
        if moment in MOMENTS:
            row[f"drop {moment}"] = row["top1 baseline"] - row[f"top1 {moment}"]
    history = r.get("history") or [{}]
    row["val fine-tuned"] = history[-1].get("val_top1", math.nan)
    row["seconds an epoch"] = record.times.get("finetune", math.nan) / p.finetune.epochs if p.finetune else math.nan
    return row


def place(record: Record) -> dict[str, Any]:
    """Dataset, architecture and repetition of a record of any task that starts from a baseline."""
    p = Trial(record.task, record.params).parameters
    fit = p.baseline.fit or getattr(p, "finetune", None)
    place = {"dataset": p.baseline.dataset, "arch": p.baseline.arch, "width": p.baseline.options.get("width", 1)}
    return place | {"seed": fit.seed if fit else 0, "draw": p.draw, "weights": p.baseline.weights or ""}


def _choices(p: Any) -> dict[str, Any]:
    d, tuned, grown = p.decision, p.finetune, p.regularised
    dial = f"target {d.target:g}" if d.target is not None else f"ratio {d.ratio:g}"
    return {
        "method": method_of(d), "reading": _reading(d), "dial": dial, "target": _or_nan(d.target), "ratio": _or_nan(d.ratio),
        "layers": _layers(d), "alpha": _or_nan(getattr(d, "alpha", None)), "beta": _or_nan(getattr(d, "beta", None)),
        "recalibrate": p.recalibrate, "trainable": tuned.trainable if tuned else "",
        "finetune epochs": tuned.epochs if tuned else 0, "regularised epochs": grown.fit.epochs if grown else 0,
    }  # fmt: skip


def method_of(decision: Any) -> str:
    """ "dice", "mrp", or the name of a criterion."""
    return str(getattr(decision, "criterion", decision.method))


def _layers(decision: Any) -> str:
    """Those that a decision prunes: "conv", "internal", "all", or MRP's "coupled"."""
    return str(decision.scope if decision.method == "mrp" else decision.layers)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _reading(decision: Any) -> str:
    """The name of a decision's choices in `VARIANTS`, whatever its share, layers and quantiles; "" where it has none."""
    if decision.method != "dice":
        return ""
    shares = ("method", "ratio", "target", "alpha", "beta", "layers")
    default = {name: field.default for name, field in Dice.model_fields.items() if name not in shares}
    chosen = {name: getattr(decision, name) for name in default}
    return next((name for name, options in VARIANTS.items() if chosen == default | options), "")


def network(dataset: str, arch: str) -> str:
    """In words: "dice_cnn on CIFAR-10"."""
    return f"{arch} on {THESIS_DATASETS.get(dataset, dataset)}"


def of_method(frame: pd.DataFrame, method: str, layers: str = "conv") -> pd.DataFrame:
    """The rows of a method as the thesis uses it: of Dice, the reading of this book, with nothing but layers changed."""
    rows = frame[(frame.method == method) & (frame.layers == layers)]
    return rows[(rows.reading == BOOK) & rows.alpha.isna() & rows.beta.isna()] if method == "dice" else rows


# Our methods side by side


def equal_macs(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """Methods that remove the same share of the MACs, from convolutions only: cost, accuracy, and paired differences.

    Parameters
    ----------
    records, before : as in `comparisons`; decisions with a target are used

    Returns
    -------
    DataFrame
        One row for each network, target and method. "top-1" and "F1" are those at the last moment that all methods of the
        network have ("after"): as text, mean and 95 % t-interval over `n` trainings. "Dice minus it" is paired: the same
        trained network and seed, in points of top-1. "separates?": its t-test has p < 0.05; "after Holm": also after
        Holm's correction over the methods of one network and target; "—" for fewer than three pairs.
    """
    frame = comparisons(records, before)
    groups: Any = frame[frame.target.notna()].groupby(["dataset", "arch", "dial"])
    return pd.DataFrame([row for key, rows in groups for row in _side_by_side(key, rows, {"Dice minus it": "conv"})])


def fixed_ratio(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """Methods at one ratio, as in Table 2: Dice prunes convolutions, the others linear layers as well.

    As `equal_macs`, with the decisions that have a ratio. "Dice, linear layers too" is Dice that prunes what the others
    do; "at equal cost" is that minus the row's method, beside "Dice minus it". The tests are of the former, if it is known.
    """
    frame = comparisons(records, before)
    groups: Any = frame[frame.ratio.notna() & frame.alpha.isna()].groupby(["dataset", "arch", "dial"])
    columns = {"Dice minus it": "conv", "at equal cost": "all"}
    return pd.DataFrame([row for key, rows in groups for row in _side_by_side(key, rows, columns)])


def _side_by_side(key: tuple[str, str, str], rows: pd.DataFrame, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of one network and dial; `columns` are names of differences, with the layers that their Dice prunes."""
    moment, words = common_moment(rows)
    methods = [(m, layers) for m in METHODS for layers in ("conv", "all") if len(of_method(rows, m, layers))]
    gaps = {
        column: {one: lead(rows, f"top1 {moment}", *one, of) for one in methods if one != ("dice", of)}
        for column, of in columns.items()
    }
    tested = next((found for found in reversed(gaps.values()) if any(found.values())), {})  # the last that is known
    others = {_label(*one): p_value(gap) for one, gap in tested.items() if one[0] != "dice"}
    corrected = holm(others)
    found = []
    for one in methods:
        own, name = of_method(rows, *one), _label(*one)
        top1 = repetitions(own, f"top1 {moment}")
        row: dict[str, Any] = {"network": network(*key[:2]), "dial": key[2], "after": words, "method": name, "n": len(top1)}
        row |= {"speed-up": _cost(repetitions(own, "speed-up macs"))}
        row["MACs removed, %"] = _cost(repetitions(own, "FR macs"))
        row |= {"top-1": top1, "F1": repetitions(own, f"f1 {moment}")}
        row |= {column: gaps[column].get(one, Values()) for column in columns}
        found.append(row | {"separates?": separates(others.get(name)), "after Holm": separates(corrected.get(name))})
    return found


def _cost(values: Values) -> float | Values:
    """A number where all repetitions have the same, as networks of one shape do."""
    return values[0] if values and max(values) - min(values) < 1e-6 else values


def _label(method: str, layers: str) -> str:
    return f"{method}, linear layers too" if (method, layers) == ("dice", "all") else method


def common_moment(rows: pd.DataFrame) -> tuple[str, str]:
    """The last moment at which all methods of the rows were measured, and its words."""
    for moment in reversed(MOMENTS):
        if rows.groupby("method")[f"top1 {moment}"].apply(lambda values: values.notna().any()).all():
            break
    epochs = (rows["finetune epochs"] + rows["regularised epochs"]).max()
    tuned = moment == "fine-tuned"
    return moment, f"{epochs:g} epochs of fine-tuning" if tuned else f"{moment}, not fine-tuned"


def lead(rows: pd.DataFrame, column: str, method: str, layers: str = "conv", of: str = "conv") -> Values:
    """Dice that prunes the layers `of`, minus another method that prunes `layers`: paired by seed."""
    dice, other = of_method(rows, "dice", of), of_method(rows, method, layers)
    return paired(dice, other, column) if len(dice) and len(other) else Values()


# The thesis's tables


def table(n: int, records: Sequence[Record] = (), before: Sequence[Record] = ()) -> pd.DataFrame:
    """Every row of the thesis's Table 2 or 3, in its order, with ours beside.

    Parameters
    ----------
    n : 2 or 3
    records, before : as in `comparisons`
        Those of Table 2 have the thesis's ratio, and all methods but Dice prune linear layers as well. Those of Table 3
        have a target; of several, that whose speed-up is nearest to the thesis's counts.

    Returns
    -------
    DataFrame
        dataset, model, method; "ours" is whether the row is of Dice. For each metric of `TITLES` "thesis" (as printed),
        "here" (mean and 95 % t-interval, number of trainings in brackets) and "verdict" (`judge`). "lead": Dice minus the
        row's method in top-1, likewise (`judge_lead`). In Table 2 every Dice row is followed by one that the thesis does
        not have: Dice that prunes linear layers too; and "lead at equal cost" is that Dice minus the row's method.
    """
    choose("table", str(n), ("2", "3"))
    paper = tables.reported("dice")
    paper = paper[paper.table == n]
    frame = comparisons(records, before)
    frame = frame[frame.width == 1]
    frame = frame[(frame.ratio - THESIS_RATIO).abs() < 1e-9] if n == 2 else _nearest(frame[frame.target.notna()])
    rows = []
    groups: Any = paper.groupby(["dataset", "model"], sort=False)
    for (dataset, model), cells in groups:
        fits = (frame.dataset.map(THESIS_DATASETS) == dataset) & (frame.arch.map(THESIS_MODELS) == model)
        rows += _thesis_rows(n, dataset, model, cells, frame[fits])
    return pd.DataFrame(rows)


def _nearest(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each network the rows of one target: that whose speed-up is nearest to Table 3's."""
    if frame.empty:
        return frame
    means: Any = frame.groupby(["dataset", "arch", "target"])["speed-up macs"].mean().reset_index()
    means["gap"] = (means["speed-up macs"] - 1.76).abs()
    best = means.loc[means.groupby(["dataset", "arch"]).gap.idxmin(), ["dataset", "arch", "target"]]
    return frame.merge(best, on=["dataset", "arch", "target"])


def _thesis_rows(n: int, dataset: str, model: str, cells: pd.DataFrame, rows: pd.DataFrame) -> list[dict[str, Any]]:
    ours = {name: method for method, name in THESIS_METHODS.items()}
    printed = {
        (method, metric): text for method, metric, text in zip(cells.method, cells.metric, cells.printed, strict=True)
    }
    dice = float(printed["Sørensen-Dice", "top1"])
    gaps = {m: lead(rows, "top1 fine-tuned", m, "all" if n == 2 else "conv") for m in ours.values() if m != "dice"}
    corrected = holm({m: p_value(gap) for m, gap in gaps.items()})
    found = []
    for name in dict.fromkeys(cells.method):
        method = ours[name]
        layers = "all" if n == 2 and method != "dice" else "conv"
        own = of_method(rows, method, layers)
        row = {"dataset": dataset, "model": model, "method": name, "ours": method == "dice"}
        row |= _metrics({metric: printed[name, metric] for metric in TITLES}, own, model)
        row |= {"lead thesis": "", "lead here": "", "lead verdict": "", "lead at equal cost": ""}
        if method != "dice":
            theirs = dice - float(printed[name, "top1"])
            costs, p = lead(rows, "FR macs", method, layers), corrected.get(method)
            verdict = judge_lead(theirs, gaps[method], costs, _epochs(own), p)
            row |= {"lead thesis": f"{theirs:+.3g}", "lead here": _signed(gaps[method])}
            row["lead verdict"] = _of_model(model, verdict)
            alike = lead(rows, "top1 fine-tuned", method, layers, "all") if n == 2 else Values()
            row["lead at equal cost"] = _signed(alike) if n == 2 else ""
        found.append(row)
        if n == 2 and method == "dice":
            own = of_method(rows, "dice", "all")
            found.append({**row, "method": f"{name}, linear layers too", **_metrics(dict.fromkeys(TITLES, ""), own, model)})
    return found


def _metrics(printed: Mapping[str, str], own: pd.DataFrame, model: str) -> dict[str, str]:
    columns = {"speed_up": "speed-up macs", "top1": "top1 fine-tuned", "f1": "f1 fine-tuned"}
    row: dict[str, str] = {}
    for metric, title in TITLES.items():
        values = repetitions(own, columns[metric]) if len(own) else Values()
        cost = _cost(values)
        ours = f"{cost:.2f}" if metric == "speed_up" and isinstance(cost, float) else _counted(values, DIGITS[metric])
        row |= {f"{title} thesis": printed[metric], f"{title} here": ours}
        verdict = judge(metric, printed[metric], values, _epochs(own)) if printed[metric] else ""
        row[f"{title} verdict"] = _of_model(model, verdict)
    return row


def _epochs(own: pd.DataFrame) -> int:
    """After the baseline's training, whether regularised or fine-tuned."""
    return int((own["finetune epochs"] + own["regularised epochs"]).max()) if len(own) else 0


def _of_model(model: str, verdict: str) -> str:
    tested = verdict not in ("", "cannot be tested here")
    return f"guessed network: {verdict}" if tested and model == GUESSED else verdict


def judge(metric: str, printed: str, values: Values, epochs: int) -> str:
    """Where the thesis's number lies with respect to ours: the first of these rules that applies.

    1. No record: "cannot be tested here".
    2. A speed-up: "as printed" if our mean rounds to the thesis's digits, else "ours is higher" or "ours is lower".
    3. "other schedule" after another number of epochs than 20.
    4. Fewer than three repetitions: "no spread".
    5. "within our interval", a 95 % t-interval; "within our interval (wide)" if half its width is above `CLOSE`.
    6. "close": at most `CLOSE` away.
    7. "ours is higher" or "ours is lower".
    """
    if not values:
        return "cannot be tested here"
    gap = fmean(values) - float(printed)
    farther = "ours is higher" if gap > 0 else "ours is lower"
    if metric == "speed_up":
        unit = 10.0 ** int(Decimal(printed).as_tuple().exponent)  # of the last printed digit
        return "as printed" if abs(gap) <= unit / 2 * (1 + 1e-9) else farther
    if epochs != THESIS_EPOCHS:
        return f"other schedule: {epochs} of {THESIS_EPOCHS} epochs"
    if len(values) < 3:
        return f"no spread ({len(values)} of 3 repetitions)"
    half, near = tables.interval(values).half, CLOSE[metric]
    if abs(gap) <= half:
        return "within our interval (wide)" if half > near else "within our interval"
    return "close" if abs(gap) <= near else farther


def judge_lead(theirs: float, gap: Values, costs: Values, epochs: int, corrected: float | None) -> str:
    """Whether Dice leads here as in the thesis: the first of these rules that applies.

    `theirs` is the thesis's lead and `gap` ours, in points; `costs` the difference of the MACs removed, in points;
    `corrected` the p of `gap` after Holm's correction.

    1. No pair: "cannot be tested here".
    2. "other schedule" after another number of epochs than 20.
    3. Fewer than three pairs: "no spread".
    4. The 95 % t-interval includes 0: "no difference found", with "(wide)" if half its width is above `WIDE`.
    5. It lies below 0: "Dice behind". Above: "Dice ahead", by as much if within `SAME_LEAD` of theirs, else by more or less.
    6. "not after Holm" behind either, where the corrected p is 0.05 or more.

    Before what rules 4 to 6 say stands "unequal cost: " where the two differ by more than `SAME_COST`.
    """
    if not gap:
        return "cannot be tested here"
    if epochs != THESIS_EPOCHS:
        return f"other schedule: {epochs} of {THESIS_EPOCHS} epochs"
    if len(gap) < 3:
        return f"no spread ({len(gap)} of 3 repetitions)"
    mean, half, _ = tables.interval(gap)
    if abs(mean) <= half or mean == 0:
        verdict = "no difference found (wide)" if half > WIDE else "no difference found"
    else:
        size = "by as much" if abs(mean - theirs) <= SAME_LEAD else "by more" if mean > theirs else "by less"
        verdict = f"Dice ahead, {size}" if mean > 0 else "Dice behind"
        verdict += ", not after Holm" if separates(corrected) == "no" else ""
    return f"unequal cost: {verdict}" if abs(fmean(costs)) > SAME_COST else verdict


def shown(n: int, frame: pd.DataFrame, caption: str = "") -> Any:
    """`table(n)` for a page of a book: thesis and here in turns, Dice's rows bold."""
    narrow = pd.DataFrame(index=frame.index)
    for name in ("dataset", "model", "method"):
        if frame[name].nunique() > 1:
            narrow["", name] = frame[name]
    for title in TITLES.values():
        narrow[title, "thesis"], narrow[title, "here"] = frame[f"{title} thesis"], frame[f"{title} here"]
    head = "lead of Dice, points"
    narrow[head, "thesis"], narrow[head, "here"] = frame["lead thesis"], frame["lead here"]
    if n == 2:
        narrow[head, "here, at equal cost"] = frame["lead at equal cost"]
    narrow["", "verdict"] = [compact_verdicts(row, [*TITLES.values(), "lead"]) for _, row in frame.iterrows()]
    heads: Any = narrow.columns
    narrow.columns = pd.MultiIndex.from_tuples(heads)
    same = [str(frame[name].iloc[0]) for name in ("model", "dataset") if frame[name].nunique() == 1]
    sentences = [", ".join([f"The thesis's Table {n}", *same]), caption]
    style = narrow.style.hide().set_caption(" ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence))
    bold = frame.ours.tolist()
    styled = tables.verdict_style(style)
    return styled.apply(lambda _: ["font-weight: bold" if dice else "" for dice in bold], axis=0)


def _counted(values: Values, digits: int = 2) -> str:
    if not values:
        return "—"
    mean, half, n = tables.interval(values)
    if n == 2:
        return f"{min(values):.{digits}f} to {max(values):.{digits}f} (2)"
    return f"{mean:.{digits}f} ({n})" if n == 1 else f"{mean:.{digits}f}\u00a0±\u00a0{half:.{digits}f} ({n})"


def _signed(values: Values) -> str:
    return ("+" if values and fmean(values) > 0 and len(values) != 2 else "") + _counted(values)


@cache
def thesis_leads(n: int) -> dict[tuple[str, str, str], float]:
    """Dice minus another method in top-1, in points, as Table n prints them: by dataset, model and method (ours)."""
    paper = tables.reported("dice").query(f"table == {n} and metric == 'top1'")
    ours = {name: method for method, name in THESIS_METHODS.items()}
    rows = zip(paper.dataset, paper.model, paper.method, paper.value, strict=True)
    top1 = {(dataset, model, ours[name]): float(value) for dataset, model, name, value in rows}
    return {key: top1[key[0], key[1], "dice"] - value for key, value in top1.items() if key[2] != "dice"}
