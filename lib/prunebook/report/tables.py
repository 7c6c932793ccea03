"""Tables: our numbers from records, the paper's from data/reported, side by side."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd
from IPython.display import Markdown
from scipy import stats

from prunebook import paths
from prunebook.errors import BadValue
from prunebook.trials import Record, Trial


class Interval(NamedTuple):
    """Mean of repeated measurements, half the width of its 95 % t-interval (NaN for a single one), and their number."""

    mean: float
    half: float
    n: int

    def __str__(self) -> str:
        # No-break spaces: in a narrow table it stays on one line.
        return f"{self.mean:.2f}" if math.isnan(self.half) else f"{self.mean:.2f}\u00a0±\u00a0{self.half:.2f}"


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


CHOICES = ("tau", "target", "thresholds", "score", "scope", "hash", "edge", "bins", "pooling", "range", "mode", "augment",
           "images", "draw")  # fmt: skip


def prunings(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each record of a "prune" trial: its parameters, costs by counter, and accuracies in percent.

    "drop ..." are accuracies before minus after, in points, where the "baseline" record of the network is among `before`.
    A parameter that a record is older than has its default.
    """
    top1 = {record.key: record.result["test"]["top1"] for record in before}
    rows = []
    for record in records:
        p, r = Trial(record.task, record.params).parameters, record.result
        row: dict[str, Any] = {"width": p.baseline.options.get("width", 1), "dataset": p.baseline.dataset}
        row |= {"arch": p.baseline.arch, **{name: getattr(p, name) for name in CHOICES}}
        tuned = p.finetune
        row["seed"] = (p.baseline.fit or tuned).seed if p.baseline.fit or tuned else 0
        row |= {"finetune epochs": tuned.epochs if tuned else 0, "finetune lr": tuned.lr if tuned else math.nan}
        for counter, cost in r["cost"].items():
            row[f"FR {counter}"], row[f"PR {counter}"] = cost["fr"], cost["pr"]
            row[f"before {counter}"] = cost["before"][0]
        start = top1.get(Trial("baseline", record.params["baseline"]).key, math.nan)
        moments = {"pruned": "pruned", "recalibrated": "recalibrated", "fine-tuned": "finetuned"}
        for moment, name in (*moments.items(), ("best test epoch", "best_test_epoch")):
            row[f"top1 {moment}"] = r["test"].get(name, {}).get("top1", math.nan)
            row[f"drop {moment}"] = start - row[f"top1 {moment}"]
        row["seconds to plan"] = record.times.get("plan", math.nan)
        rows.append(row)
    return pd.DataFrame(rows)


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
    return pd.DataFrame(rows)


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


def by_tau(frame: pd.DataFrame, columns: Sequence[str], what: str) -> Any:
    """Each column's `spread` for every architecture, score and tau, under a caption that says over what it is."""
    dial = "tau" if frame.tau.notna().any() else "target"
    names = {"dataset": "data", "arch": "network", "score": "score", dial: dial}
    if frame.dataset.nunique() == 1:
        del names["dataset"]
    groups: Any = frame.groupby(list(names), sort=True)
    rows = [[*key, *(spread(repeated(group, column)) for column in columns)] for key, group in groups]
    table = pd.DataFrame(rows, columns=[*names.values(), *columns])
    seeds, draws = frame.seed.nunique(), frame.draw.nunique()
    over = f"{seeds} seeds" if seeds > 1 else f"{draws} draws of images, one network"
    nested = f", each the mean of {draws} draws of images" if seeds > 1 and draws > 1 else ""
    form = "lowest to highest" if max(seeds, draws if seeds == 1 else 1) == 2 else "mean ± 95 % t-interval"
    return table.style.hide().format(precision=2).set_caption(f"{what}: {form} over {over}{nested}")


# What the paper calls the networks that we have.
PAPER_NAMES = {"vgg16": "VGG-16", "resnet56": "ResNet-56", "resnet110": "ResNet-110"}
PAPER_DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


def beside_paper(frame: pd.DataFrame, dataset: str, counter: str = "thop") -> pd.DataFrame:
    """FR and PR of ours (score entropy) beside the paper's own rows for the same network, dataset and tau.

    One row for each threshold that both have, none for a network of another width. "network" gives the MACs before
    pruning here and in the paper's Table 1, which show whether it is the same network. The difference is ours minus
    theirs; the verdict says only where the paper's number lies with respect to our interval over the repetitions.
    """
    paper = reported("kcore")
    paper = paper[paper.dataset == PAPER_DATASETS.get(dataset, "")]
    costs = paper[(paper.table == 1) & (paper.metric == "macs")].set_index("model").value
    own = paper[paper.ours & paper.tau.notna() & paper.sample_size.isna()]
    rows = []
    groups: Any = frame[(frame.score == "entropy") & (frame.width == 1)].groupby(["arch", "tau"])
    for (arch, tau), group in groups:
        name = PAPER_NAMES.get(arch, "")
        theirs = own[(own.model == name) & (own.tau.sub(tau).abs() < 1e-9)]
        for metric in ("FR", "PR"):
            cell = theirs[theirs.metric == metric.lower()]
            if cell.empty:
                continue
            ours, value = interval(repeated(group, f"{metric} {counter}")), float(cell.value.iloc[0])
            before = group[f"before {counter}"].iloc[0] / 1e6
            rows.append(
                {"network": f"{arch}: {before:.2f} M; paper {costs[name]:.2f} M", "tau": tau, "rate": metric,
                 "ours, %": str(ours), "paper, %": cell.printed.iloc[0], "difference": f"{ours.mean - value:+.2f}",
                 "verdict": verdict(ours, value), "where": f"Table {cell.table.iloc[0]}, row {cell.row.iloc[0]}"}
            )  # fmt: skip
    return pd.DataFrame(rows)


def paper_rates(dataset: str) -> pd.DataFrame:
    """The paper's own FR and PR on this dataset, by our names: columns arch, tau, metric, value, label."""
    paper = reported("kcore")
    chosen = paper.ours & paper.tau.notna() & paper.sample_size.isna() & paper.metric.isin(["fr", "pr"])
    rows = paper[chosen & (paper.dataset == PAPER_DATASETS.get(dataset, ""))]
    ours = {name: arch for arch, name in PAPER_NAMES.items()}
    label = "paper's " + rows.model.astype(str)
    return rows.assign(arch=rows.model.map(ours), label=label)[["arch", "tau", "metric", "value", "label"]]


def setup(p: Any, records: Sequence[Record]) -> Any:
    """What was run, on what data, by what machine: a table of two columns from the records."""
    data = {record.params["dataset"]: record.result["data"] for record in records if record.task == "baseline"}
    machines = {_machine(record) for record in records}
    hours = math.fsum(record.times["total"] for record in records) / 3600
    facts = {
        "data": "; ".join(_described(name, facts) for name, facts in data.items()),
        "trials": f"{len(records)}, {hours:.2f} hours in all",
        "machine": "; ".join(sorted(machines)),
        "made": f"{min(_day(r) for r in records)} to {max(_day(r) for r in records)}",
        "seeds, draws of images": f"{p.seeds}, {p.draws}" + (", in pairs" if p.paired else ""),
    }
    return show(pd.DataFrame(facts.items(), columns=["", "this run"]))


def _described(name: str, data: dict[str, Any]) -> str:
    sizes = ", ".join(f"{n} {split}" for split, n in data["images"].items())
    shape = " x ".join(map(str, data["shape"]))
    return f"{name}: {shape} pixels; images: {sizes}; fingerprint {data['fingerprint']}"


def _machine(record: Record) -> str:
    hardware = record.provenance["hardware"]
    return hardware.get("accelerator") or f"{hardware['processor']}, {hardware['threads']} threads"


def _day(record: Record) -> str:
    return str(record.provenance["finished"])[:10]


def show(frame: pd.DataFrame, empty: str = "Nothing to show.") -> Any:
    """The table without its index, numbers to two digits; the sentence `empty` where it has no row."""
    return Markdown(empty) if frame.empty else frame.style.hide().format(precision=2)


def listing(sentences: Sequence[str]) -> Markdown:
    return Markdown("\n".join(f"- {sentence}" for sentence in sentences))


def kept_by_tau(records: Sequence[Record], arch: str, score: str) -> dict[float, dict[str, str]]:
    """For each tau, what every layer keeps as a text of 0 and 1: the first repetition of that network and score."""
    found: dict[float, dict[str, str]] = {}
    for record in records:
        p = record.params
        if (p["baseline"]["arch"], p["score"]) == (arch, score):
            found.setdefault(p["tau"], record.result["keep"])
    return found


def verdict(ours: Interval, theirs: float) -> str:
    """ "within": the paper's number lies in our 95 % interval; "higher"/"lower": ours is, by more than it; or no spread."""
    if math.isnan(ours.half):
        return "one measurement: no interval"
    if abs(ours.mean - theirs) <= ours.half:
        return "within our interval"
    return "ours is higher" if ours.mean > theirs else "ours is lower"
