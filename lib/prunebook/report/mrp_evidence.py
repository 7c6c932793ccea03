"""How each claim of the abstract on maximum redundancy pruning (Gao et al. 2025) is tested: from records to cases.

A function per claim; what they say together is in `mrp_claims`. Differences between methods are paired: on one trained
network, with one draw of images.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from prunebook.report import mrp_tables as made
from prunebook.report import tables
from prunebook.report.dice_evidence import alike, side
from prunebook.report.kcore_claims import Case, Network, signed
from prunebook.report.mrp_tables import FEW, PAPER_FR, SAME_FR, Tested
from prunebook.report.statistics import middle95
from prunebook.report.tables import Values, paired, repetitions
from prunebook.studies.mrp import MRP
from prunebook.trials import Record

RESAMPLES = 2000
OWN = 0.9  # share of pairs: if width alone decides more of them, a redundancy is nearly a width
SAME = 1.0  # points of accuracy: two choices within it count as one
PAPER_PR, PAPER_GAIN = 52.4, 1.04  # percent of the parameters, and points
SAME_GAIN = 0.2  # points of accuracy that two gains may differ by


class Records(NamedTuple):
    """What the claims are tested with, by the parts of the study (`studies.mrp.parts`)."""

    baselines: Sequence[Record] = ()
    roles: Sequence[Record] = ()
    traces: Sequence[Record] = ()
    methods: Sequence[Record] = ()
    variants: Sequence[Record] = ()
    controls: Sequence[Record] = ()


class Frames(NamedTuple):
    """What `mrp_tables` makes of them."""

    tested: list[Tested]
    on: list[frozenset[Network]]  # of each of these
    traces: Sequence[Record]
    compared: pd.DataFrame  # methods and variants
    controls: pd.DataFrame

    @classmethod
    def of(cls, r: Records) -> "Frames":
        on = [frozenset({_network(record)}) for record in r.roles]
        compared = made.comparisons([*r.methods, *r.variants], r.baselines)
        return cls(made.tested(r.roles), on, r.traces, compared, made.comparisons(r.controls, r.baselines))


def _network(record: Record) -> Network:
    base = record.params["baseline"]
    return Network(base["dataset"], base["arch"], base["options"].get("width", 1), math.nan)


def on(rows: pd.DataFrame) -> frozenset[Network]:
    """The networks before pruning; the abstract has no count of theirs."""
    return frozenset(Network(*values, math.nan) for values in zip(rows.dataset, rows.arch, rows.width, strict=True))


# The Role-Information hypothesis

HYPOTHESIS = {"holds": "holds here", "does not hold": "does not hold here", "is not shown": "not shown here"}
ROLE = {"as predicted": "holds here", "the opposite": "the opposite holds here", "not shown": "not shown here",
        "undecided": "undecided"}  # fmt: skip


def hypothesis(f: Frames) -> list[Case]:
    """All tests of a network together, by the rule of `mrp_tables.hypothesis`."""
    cases = []
    for one, networks in zip(f.tested, f.on, strict=True):
        found = made.verdicts(one)
        numbers = (
            f"{list(found.values()).count('as predicted')} of {len(found)} tests as predicted, {len(one.layers)} layers"
        )
        cases.append(Case(one.name, numbers, HYPOTHESIS.get(made.hypothesis(one), "undecided"), on=networks))
    return cases


def role(test: str) -> Callable[[Frames], list[Case]]:
    """One of the tests of the Role-Information study: what its comparison that decides has over layers of a network."""

    def cases(f: Frames) -> list[Case]:
        return [_role(one, test, networks) for one, networks in zip(f.tested, f.on, strict=True)]

    return cases


def _role(one: Tested, test: str, networks: frozenset[Network]) -> Case:
    effect = one.decisive(test)
    numbers = f"{made.ranged(effect)}, p = {one.p[test]:.2g} after Holm" if not math.isnan(effect.p) else made.ranged(effect)
    unit = f"{made.UNITS.get(effect.outcome, effect.outcome)}, {made.BESIDE[effect.against]}, over layers"
    return Case(one.name, numbers, ROLE[made.judge_role(one, test)], unit, networks)


# The level of redundancy


def more_than_width(f: Frames) -> list[Case]:
    """Of two layers of different width, how often the wider one is the more redundant; over layers.

    Nothing refutes the claim: a true level of redundancy may grow with the width. The share in the network untrained stands
    beside, where every layer has that.
    """
    cases = []
    for one, networks in zip(f.tested, f.on, strict=True):
        level, wide = (np.array([row[name] for row in one.layers]) for name in ("redundancy", "filters"))
        wider = wide[:, None] > wide
        if len(level) >= FEW and wider.any():
            ahead = (np.sign(level[:, None] - level) + 1) / 2
            every = np.arange(len(level))
            draws = np.random.default_rng(0).integers(len(level), size=(RESAMPLES, len(level)))
            value, *resampled = (_share(ahead[np.ix_(some, some)], wider[np.ix_(some, some)]) for some in (every, *draws))
            low, high = middle95(resampled)
            fresh = np.array([(row["nulls"]["untrained"] or {}).get("redundancy", math.nan) for row in one.layers])
            bare = _share((np.sign(fresh[:, None] - fresh) + 1) / 2, wider)
            numbers = f"{100 * value:.0f} % ({100 * low:.0f} to {100 * high:.0f}), {len(level)} layers"
            numbers += "" if math.isnan(bare) else f", untrained {100 * bare:.0f} %"
            verdict = "holds here" if high < OWN else "undecided"
            unit = "pairs of layers of different width in which the wider one is the more redundant"
            cases.append(Case(one.name, numbers, verdict, unit, networks))
    return cases


def _share(ahead: np.ndarray, wider: np.ndarray) -> float:
    return float(ahead[wider].mean()) if wider.any() else math.nan


# Methods at equal MACs


class Gap(NamedTuple):
    """MRP minus another choice that is to remove as much."""

    name: str
    points: Values
    removed: Values  # of the MACs, in points
    moment: str
    rows: pd.DataFrame  # of MRP

    def case(self, verdict: str, unit: str = "MRP minus it") -> Case:
        """Without a verdict where the two cost differently."""
        verdict = "unequal cost" if abs(fmean(self.removed)) > SAME_FR else verdict
        case = Case(self.name, signed(self.points), verdict, f"{unit}, points of top-1, {self.moment}", on(self.rows))
        return case._replace(epochs=_epochs(self.rows, self.moment))


def _gaps(f: Frames, others: Iterable[str]) -> list[Gap]:
    """At the last moment at which both were measured."""
    found = []
    names = list(others)
    groups: Any = f.compared.groupby(["network", "target"], sort=False)
    for (network, target), rows in groups:
        own = rows[rows.choice == MRP]
        for other in (name for name in names if (rows.choice == name).any()):
            theirs = rows[rows.choice == other]
            both = [moment for moment in made.moments(own) if moment in made.moments(theirs)]
            if both:
                points, removed = (paired(own, theirs, column) for column in (f"top1 {both[-1]}", "FR macs"))
                if points:
                    found.append(Gap(f"{network}, {100 * target:g} %, {other}", points, removed, both[-1], own))
    return found


def _epochs(rows: pd.DataFrame, moment: str) -> int:
    """Passes over the training images until then, rounded down, but at least 1 after fine-tuning."""
    return max(1, int(rows["passes"].max())) if moment == "fine-tuned" else 0


def ahead_of(*others: str) -> Callable[[Frames], list[Case]]:
    """Accuracy of MRP minus that of each of these."""
    return lambda f: [gap.case(side(gap.points)) for gap in _gaps(f, others)]


def one_method(*others: str) -> Callable[[Frames], list[Case]]:
    """Whether these end with MRP's accuracy, but for `SAME` points."""
    return lambda f: [gap.case(alike(gap.points, SAME)) for gap in _gaps(f, others)]


def cheap(f: Frames) -> list[Case]:
    """Seconds that MRP's decision takes, in epochs of fine-tuning what it leaves, on all images and the same machine."""
    cases = []
    groups: Any = f.compared[f.compared.choice == MRP].groupby(["network", "target"], sort=False)
    for (network, target), rows in groups:
        epochs = repetitions(rows, "epochs to plan")
        if epochs:
            verdict = "undecided" if len(epochs) < 3 else "holds here" if max(epochs) < 1 else "does not hold here"
            numbers = f"{tables.spread(epochs)} ({len(epochs)})"
            cases.append(Case(f"{network}, {100 * target:g} %", numbers, verdict, "epochs' worth of seconds", on(rows)))
    return cases


# The abstract's numbers


def both_costs(f: Frames) -> list[Case]:
    """What one plan removes of MACs and parameters: whether it reaches both printed numbers at once."""
    cases = []
    for record in f.traces:
        cost = record.result["cost"]["macs"]
        if abs(cost["fr"] - PAPER_FR) <= SAME_FR:
            verdict = "holds here" if abs(cost["pr"] - PAPER_PR) <= SAME_FR else "does not hold here"
            numbers = f"{cost['fr']:.1f} % of the MACs, {cost['pr']:.1f} % of the parameters"
            cases.append(Case(made.named(record), numbers, verdict, on=frozenset({_network(record)})))
    return cases


def gains(f: Frames) -> list[Case]:
    """Accuracy of MRP after fine-tuning, minus that before pruning."""
    return [_gain(name, rows, gain, side(gain)) for name, rows, gain in _gained(f)]


def gains_as_much(f: Frames) -> list[Case]:
    """The same, where as many MACs were removed: whether it is the printed number, but for `SAME_GAIN` points."""
    return [
        _gain(name, rows, gain, alike(Values(points - PAPER_GAIN for points in gain), SAME_GAIN))
        for name, rows, gain in _gained(f)
        if abs(rows["FR macs"].mean() - PAPER_FR) <= SAME_FR
    ]


def gains_beside_training(f: Frames) -> list[Case]:
    """The same minus the unpruned network that was trained as long."""
    cases = []
    for name, rows, _ in _gained(f):
        longer = f.controls[f.controls.network == rows.network.iloc[0]] if len(f.controls) else f.controls
        gap = paired(rows, longer, "top1 fine-tuned") if len(longer) else Values()
        if gap:
            cases.append(_gain(name, rows, gap, side(gap), "the unpruned network, trained as long"))
    return cases


def _gained(f: Frames) -> list[tuple[str, pd.DataFrame, Values]]:
    """For each network and target the rows of MRP, and what they gain by pruning and fine-tuning."""
    own = f.compared[(f.compared.choice == MRP) & f.compared["drop fine-tuned"].notna()]
    groups: Any = own.groupby(["network", "target"], sort=False)
    return [
        (f"{network}, {100 * target:g} %", rows, Values(-drop for drop in repetitions(rows, "drop fine-tuned")))
        for (network, target), rows in groups
    ]


def _gain(name: str, rows: pd.DataFrame, points: Values, verdict: str, what: str = "the unpruned network") -> Case:
    unit = f"MRP minus {what}, points of top-1 after fine-tuning"
    return Case(name, signed(points), verdict, unit, on(rows), _epochs(rows, "fine-tuned"))
