"""Tables: our numbers from records, the paper's from data/reported, side by side."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from IPython.display import Markdown
from scipy import stats

from prunebook import paths
from prunebook.errors import BadValue
from prunebook.measure import COUNTERS
from prunebook.trials import Record, Trial
from prunebook.trials.engine import check_comparable, published_network


class Interval(NamedTuple):
    """Mean of repeated measurements, half the width of its 95 % t-interval (NaN for a single one), and their number."""

    mean: float
    half: float
    n: int

    def __str__(self) -> str:
        # No-break spaces: in a narrow table it stays on one line.
        return f"{self.mean:.2f}" if math.isnan(self.half) else f"{self.mean:.2f}\u00a0±\u00a0{self.half:.2f}"


class Values(tuple[float, ...]):
    """Independent repetitions of one measurement. As text: `spread`."""

    def __str__(self) -> str:
        return spread(self)


def interval(values: Iterable[float]) -> Interval:
    """Student's t, two-sided 95 %. The values are taken as independent draws."""
    values = [float(value) for value in values]
    n = len(values)
    if n == 0:
        raise BadValue("an interval needs at least one value")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.nan, 1)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return Interval(mean, float(stats.t.ppf(0.975, n - 1)) * deviation / math.sqrt(n), n)


def reported(paper: str) -> pd.DataFrame:
    """Every number of a paper's tables, as printed there: data/reported/PAPER.csv, one number a row."""
    return pd.read_csv(paths.project() / "data" / "reported" / f"{paper}.csv", dtype={"printed": str, "reference": str})


CHOICES = ("tau", "target", "thresholds", "score", "scope", "hash", "edge", "bins", "pooling", "range", "mode",
           "coupled", "augment", "images", "draw")  # fmt: skip
ACCURACIES = {"pruned": "pruned", "recalibrated": "recalibrated", "fine-tuned": "finetuned",
              "best test epoch": "best_test_epoch"}  # as our tables call them, and as the records do  # fmt: skip
PRUNINGS = ("width", "dataset", "arch", *CHOICES, "seed", "finetune epochs", "finetune lr",
            *(f"{measure} {counter}" for counter in COUNTERS for measure in ("FR", "PR", "before")),
            *(f"{measure} {moment}" for moment in ACCURACIES for measure in ("top1", "drop")),
            "seconds to plan")  # fmt: skip


def prunings(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each record of a "prune" trial: its parameters, costs by counter, and accuracies in percent.

    "drop ..." are accuracies before minus after, in points, where the "baseline" record of the network is among `before`.
    A parameter that a record is older than has its default. Without records, the table has its columns (`PRUNINGS`) and no
    row.
    """
    top1 = {record.key: record.result["test"]["top1"] for record in before}
    rows = []
    for record in records:
        p, r = Trial(record.task, record.params).parameters, record.result
        row: dict[str, Any] = {"width": p.baseline.options.get("width", 1), "dataset": p.baseline.dataset}
        row |= {"arch": p.baseline.arch, **{name: getattr(p, name) for name in CHOICES}}
        tuned = p.finetune
        row["seed"] = _seed(p)
        row |= {"finetune epochs": tuned.epochs if tuned else 0, "finetune lr": tuned.lr if tuned else math.nan}
        for counter, cost in r["cost"].items():
            row[f"FR {counter}"], row[f"PR {counter}"] = cost["fr"], cost["pr"]
            row[f"before {counter}"] = cost["before"][0]
        start = top1.get(Trial("baseline", record.params["baseline"]).key, math.nan)
        for moment, name in ACCURACIES.items():
            row[f"top1 {moment}"] = r["test"].get(name, {}).get("top1", math.nan)
            row[f"drop {moment}"] = start - row[f"top1 {moment}"]
        row["seconds to plan"] = record.times.get("plan", math.nan)
        rows.append(row)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(PRUNINGS), dtype=float)


def _seed(p: Any) -> int:
    """The repetition of the training or, with weights made elsewhere, of the fine-tuning."""
    fit = p.baseline.fit or p.finetune
    return fit.seed if fit else 0


def baselines(records: Sequence[Record]) -> pd.DataFrame:
    """One row for each record of a "baseline" trial: cost by counter in millions, accuracy on the test split."""
    rows = []
    for record in records:
        p, r = record.params, record.result
        row = {
            "network": p["arch"],
            "dataset": p["dataset"],
            "weights": p["weights"] or f"trained, seed {p['fit']['seed']}",
        }
        row |= {f"MACs, M ({counter})": macs / 1e6 for counter, (macs, _) in r["cost"].items()}
        row |= {"params, M": r["cost"]["macs"][1] / 1e6, "top-1, %": r["test"]["top1"], "F1 (macro)": r["test"]["f1"]}
        row |= {"test images": r["data"]["images"]["test"]}
        rows.append(row)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["network", "dataset", "weights", "top-1, %"])


def repeated(group: pd.DataFrame, column: str) -> list[float]:
    """The independent repetitions of a measurement: means over the draws of each seed, or the draws of a single one.

    Draws of images for one trained network are nested in it: pooled with other networks they would pass for more than
    they are.
    """
    values = group[group[column].notna()]
    if values.seed.nunique() > 1:
        values = values.groupby("seed")[[column]].mean()
    return [float(value) for value in values[column]]


def spread(values: Sequence[float]) -> str:
    """Mean and interval as text; for two values their range, since a t-interval of two says next to nothing."""
    if not values:
        return "—"
    return f"{min(values):.2f} to {max(values):.2f}" if len(values) == 2 else str(interval(values))


def repetitions(rows: pd.DataFrame, column: str) -> Values:
    """The independent repetitions of a column: see `repeated`.

    One pruning recorded for two purposes, such as with two lengths of fine-tuning, counts once.
    """
    once = rows[rows[column].notna()].groupby(["seed", "draw"], as_index=False)[[column]].mean()
    return Values(repeated(once, column))


def paired(first: pd.DataFrame, second: pd.DataFrame, column: str) -> Values:
    """First minus second, for each seed and draw that both have; then the independent repetitions of that."""
    a, b = (rows.groupby(["seed", "draw"])[column].mean() for rows in (first, second))
    return Values(repeated((a - b).rename("gap").reset_index(), "gap"))


def by_tau(frame: pd.DataFrame, columns: Sequence[str], what: str) -> Any:
    """Each column's `spread` for every architecture, score and tau, under a caption that says over what it is.

    Where a cell has another number of repetitions than the caption says, such as of those that were fine-tuned, the number
    stands behind it in brackets. Without a row, it is an empty table.
    """
    dial = "tau" if frame.tau.notna().any() else "target"
    names = {"dataset": "data", "arch": "network", "score": "score", dial: dial}
    if frame.dataset.nunique() < 2:
        del names["dataset"]
    groups: Any = frame.groupby(list(names), sort=True)
    seeds, draws = frame.seed.nunique(), frame.draw.nunique()
    n = seeds if seeds > 1 else draws
    rows = [[*key, *(_counted(repeated(group, column), n) for column in columns)] for key, group in groups]
    table = pd.DataFrame(rows, columns=[*names.values(), *columns])
    if table.empty:
        return table.style.hide().set_caption(f"{what}: nothing was measured")
    over = f"{seeds} seeds" if seeds > 1 else f"{draws} draws of images, one network"
    nested = f", each the mean of {draws} draws of images" if seeds > 1 and draws > 1 else ""
    form = "lowest to highest" if n == 2 else "mean ± 95 % t-interval"
    other = any(cell.endswith(")") for column in columns for cell in table[column])
    over += nested + ("; over another number where one stands in brackets" if other else "")
    return table.style.hide().format(precision=2).set_caption(f"{what}: {form} over {over}")


def _counted(values: Sequence[float], n: int) -> str:
    return f"{spread(values)}\u00a0({len(values)})" if values and len(values) != n else spread(values)


# What the k-core paper calls the networks and datasets that we have.
PAPER_NAMES = {"vgg16": "VGG-16", "resnet56": "ResNet-56", "resnet110": "ResNet-110", "densenet40": "DenseNet-40",
               "resnet50": "ResNet-50"}  # fmt: skip
PAPER_DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "image_folder:imagenet": "ImageNet"}


def paper_rates(dataset: str) -> pd.DataFrame:
    """The paper's own FR and PR on this dataset, by our names: columns arch, tau, metric, value, label."""
    paper = reported("kcore")
    chosen = paper.ours & paper.tau.notna() & paper.sample_size.isna() & paper.metric.isin(["fr", "pr"])
    rows = paper[chosen & (paper.dataset == PAPER_DATASETS.get(dataset, ""))]
    ours = {name: arch for arch, name in PAPER_NAMES.items()}
    # Its network may have other MACs before pruning than ours of that name: the line is no target for ours.
    label = "paper's, network of the same name: " + rows.model.astype(str)
    return rows.assign(arch=rows.model.map(ours), label=label)[["arch", "tau", "metric", "value", "label"]]


def setup(p: Any, records: Sequence[Record]) -> Any:
    """What was run, on what data, by what machine: a table of two columns from the records.

    Raises MixedNetworks or MixedData where records were made with different copies of one network or dataset.
    """
    check_comparable(records)
    records = list({(record.task, record.key): record for record in records}.values())  # parts of a run share some
    data = {record.params["dataset"]: record.result["data"] for record in records if record.task == "baseline"}
    machines = {_machine(record) for record in records}
    seconds = math.fsum(record.times["total"] for record in records)
    length = f"{seconds / 3600:.2f} hours" if seconds >= 360 else f"{seconds:.0f} seconds"
    days = sorted(_day(record) for record in records)
    facts = {
        "data": "; ".join(_described(name, facts) for name, facts in data.items()) or "none: no network is trained",
        **_networks(records),
        "trials": f"{len(records)}, {length} in all",
        "machine": "; ".join(sorted(machines)),
        "made": f"{days[0]} to {days[-1]}" if days else "—",
        "repeated": p.repeated,
    }
    return show(pd.DataFrame(facts.items(), columns=["", "this run"]))


def _networks(records: Sequence[Record]) -> dict[str, str]:
    """How many networks before pruning were trained for these records, and of which there is a copy to look at."""
    trained = [Trial(r.task, r.params) for r in records if r.task == "baseline" and r.params.get("fit")]
    kept = sum(published_network(trial).is_file() for trial in trained)
    words = {0: "their weights are not part of the project", len(trained): "their weights come with the project"}
    other = f"the weights of {kept} come with the project, those of the others do not"
    return {"networks": f"{len(trained)} trained; {words.get(kept, other)}"} if trained else {}


def _described(name: str, data: dict[str, Any]) -> str:
    sizes = ", ".join(f"{n} {split}" for split, n in data["images"].items())
    columns, *sides = data["shape"]
    table = set(sides) == {1}  # rows of a table are kept as images of one pixel
    shape = f"{columns} columns; rows" if table else f"{' x '.join(map(str, data['shape']))} pixels; images"
    return f"{name}: {shape}: {sizes}; fingerprint {data['fingerprint']}"


def _machine(record: Record) -> str:
    hardware = record.provenance["hardware"]
    return hardware.get("accelerator") or f"{hardware['processor']}, {hardware['threads']} threads"


def _day(record: Record) -> str:
    return str(record.provenance["finished"])[:10]


def page_style(style: Any, *more: Mapping[str, str]) -> Any:
    """The look of a table with much text: narrow cells, read from their upper left; `more` are styles as pandas has them."""
    cells = {"selector": "td, th", "props": "padding: 0.2em 0.45em; vertical-align: top; text-align: left;"}
    return style.set_table_styles([cells, *more])


def verdict_style(style: Any, *more: Mapping[str, str]) -> Any:
    """`page_style` where the last column is a verdict: a wide one, else the longest text would be in the narrowest column.

    On a phone the verdict stands below its row, by the book's style sheet, which has to know how many columns are above it.
    """
    wide = {"selector": "td:last-child", "props": "min-width: 26em;"}
    styled = page_style(style, *more, wide)
    return styled.set_table_attributes(f'class="verdicts" style="--columns: {len(style.columns) - 1}"')


def show(frame: pd.DataFrame, empty: str = "Nothing to show.") -> Any:
    """The table without its index, numbers to two digits; the sentence `empty` where it has no row."""
    return Markdown(empty) if frame.empty else frame.style.hide().format(precision=2, na_rep="—")


def compact(frame: pd.DataFrame, columns: Sequence[str] = ("network", "target")) -> Any:
    """`show` with those of `columns` that never change in the caption instead."""
    constant = [name for name in columns if name in frame and frame[name].nunique() == 1]
    if frame.empty or not constant:
        return show(frame)
    caption = ", ".join(f"{name} {frame[name].iloc[0]}" for name in constant)
    return page_style(frame.drop(columns=constant).style.hide().format(precision=2, na_rep="—").set_caption(caption))


def by(frame: pd.DataFrame, column: str | list[str]) -> list[pd.DataFrame]:
    """The rows of each value of `column`, in order; of an empty frame, which may lack the column, nothing."""
    return [rows for _, rows in frame.groupby(column, sort=False)] if len(frame) else []


def listing(sentences: Sequence[str]) -> Markdown:
    return Markdown("\n".join(f"- {sentence}" for sentence in sentences))


def kept_by_tau(records: Sequence[Record], arch: str, score: str) -> dict[float, dict[str, str]]:
    """For each tau, what every layer keeps as a text of 0 and 1: the lowest seed and draw of that network and score.

    A pruning to a target has no tau, and is left out.
    """
    chosen = [(Trial(record.task, record.params).parameters, record.result["keep"]) for record in records]
    found: dict[float, dict[str, str]] = {}
    for p, keep in sorted(chosen, key=lambda one: (_seed(one[0]), one[0].draw)):
        if (p.baseline.arch, p.score) == (arch, score) and p.tau is not None:
            found.setdefault(p.tau, keep)
    return found
