"""What the methods choose on one trained network: how many dead and living filters they remove, and how alike they choose.

Both are read from records. Without them, a function returns a table without rows.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import pandas as pd

from prunebook.diversity import dead
from prunebook.report.dice_parts import alike
from prunebook.report.dice_tables import BOOK, comparisons, network, of_method
from prunebook.report.tables import Values, repetitions
from prunebook.studies.dice import METHODS, VARIANTS
from prunebook.trials import Record, Trial

CHOICES = {(method, BOOK if method == "dice" else ""): method for method in METHODS}
CHOICES |= {("dice", reading): f"dice, {reading}" for reading in VARIANTS if reading != BOOK}  # by method and reading
COUNTED = ("filters", "dead", "dead removed", "dead by chance", "living removed")


class Counts(Values):
    """Repetitions of a count. As text: the mean, and from the lowest to the highest."""

    def __str__(self) -> str:
        if not self:
            return "—"
        span = "" if min(self) == max(self) else f"\u00a0({min(self):g}\u00a0to\u00a0{max(self):g})"
        return f"{fmean(self):.3g}{span}"


def removed(records: Sequence[Record], profiles: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """How many of the filters that each choice removes were dead before (`diversity.dead`), and what cutting alone costs.

    Parameters
    ----------
    records : records of "compare" trials
        Of which decisions with a target, on convolutions, are used. Other readings of Dice are choices of their own.
    profiles : records of "profile" trials
        Where that of a network is missing, its comparisons are left out.
    before : as in `comparisons`

    Returns
    -------
    DataFrame
        One row for each network, target and choice (`CHOICES`). "filters" of all profiled layers, "dead" among them before
        pruning, "dead removed" and "living removed" are `Counts` over the `n` trainings. "dead by chance" is how many of the
        dead would be among as many filters of each layer that are drawn at random (exact), mean over the trainings.
        "before" and "only cut" are top-1, `Values`, "before" of the network that is cut: for growing_reg it is the one that
        was trained with the penalty, for the others the unpruned one. The filters that growing_reg removes are counted by
        the network before it was regularised, as those of the others are.
    """
    known = {_trained(record): _dead(record) for record in profiles}
    counted = [_counted(record.result["keep"], known.get(_trained(record), {})) for record in records]
    frame = comparisons(records, before).join(pd.DataFrame(counted, columns=list(COUNTED)))
    fits = frame.target.notna() & (frame.filters > 0) & (frame.layers == "conv") & frame.alpha.isna() & frame.beta.isna()
    groups: Any = frame[fits].groupby(["dataset", "arch", "dial"])
    return pd.DataFrame([
        {"network": network(*key[:2]), "dial": key[2], "choice": name} | _choice(rows)
        for key, every in groups for (method, reading), name in CHOICES.items()
        if len(rows := every[(every.method == method) & (every.reading == reading)])
    ])  # fmt: skip


def _choice(rows: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {"n": len(repetitions(rows, "filters"))}
    found |= {name: Counts(repetitions(rows, name)) for name in ("filters", "dead", "dead removed")}
    found["dead by chance"] = Values([rows["dead by chance"].mean()])
    found["living removed"] = Counts(repetitions(rows, "living removed"))
    return found | {"before": repetitions(rows, "top1 before"), "only cut": repetitions(rows, "top1 pruned")}


def _trained(record: Record) -> tuple[str, int]:
    """The network before pruning, and the draw of the images that are looked at."""
    return Trial("baseline", record.params["baseline"]).key, record.params["draw"]


def _dead(profile: Record) -> dict[str, list[bool]]:
    return {name: dead(activity) for name, activity in profile.result["activity"].items()}


def _counted(keep: Mapping[str, str], dead: Mapping[str, Sequence[bool]]) -> tuple[float, ...]:
    """`COUNTED`, over the layers of which is known which filters are dead."""
    layers = [(keep[name], silent) for name, silent in dead.items() if name in keep]
    gone = [is_dead for text, silent in layers for digit, is_dead in zip(text, silent, strict=True) if digit == "0"]
    by_chance = sum(text.count("0") * fmean(silent) for text, silent in layers)
    filters, silent = sum(len(silent) for _, silent in layers), sum(sum(silent) for _, silent in layers)
    return filters, silent, sum(gone), by_chance, len(gone) - sum(gone)


def shared(records: Sequence[Record]) -> pd.DataFrame:
    """How far two methods keep the same filters of the same trained network, at equal MACs.

    `records` are of "compare" trials, of which decisions with a target are used. One row for each network, target and pair
    of methods: "Jaccard" of the two sets of kept (layer, filter) pairs, `Values` over the trainings, and "by chance", the
    index expected if every layer kept as many filters, at random (exact).
    """
    frame = comparisons(records)
    groups: Any = frame[frame.target.notna()].groupby(["dataset", "arch", "dial"])
    return pd.DataFrame([
        {"network": network(*key[:2]), "dial": key[2], "first": first, "second": second}
        | alike(of_method(rows, first), of_method(rows, second))
        for key, rows in groups
        for first, second in combinations([m for m in METHODS if len(of_method(rows, m))], 2)
    ])  # fmt: skip
