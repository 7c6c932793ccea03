"""The k-core paper's claims, and what our records say of each.

Every verdict is computed, by `sign` from a paired difference or by the claim's own rule; `CLAIM_VERDICTS` says what each
word means.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd
from scipy import stats

from prunebook.errors import choose
from prunebook.methods import kcore
from prunebook.report import figures, tables
from prunebook.report import importance as gradcam
from prunebook.report.kcore_tables import IMAGES, Measured, comparable, judge, moment, table, unpruned
from prunebook.report.tables import Values, paired
from prunebook.studies.kcore import SELECTIONS
from prunebook.trials import Record

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
    return tables.page_style(narrow[["claim", "here", "verdict"]].style.hide().set_caption("The paper's claims, tested"))


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


def signed(values: Sequence[float]) -> str:
    """Differences as text, with their sign and number: "+1.20 ± 0.31 (5)", the range of two."""
    if len(values) == 2:
        return f"{min(values):+.2f} to {max(values):+.2f} (2)"
    return ("+" if fmean(values) > 0 else "") + f"{tables.spread(values)} ({len(values)})"


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
    names = {(s["score"], s["scope"]): name for name, s in SELECTIONS.items()}
    return frame.assign(selection=[names.get(pair, "") for pair in zip(frame.score, frame.scope, strict=True)])


def _better_than_random(r: Records) -> list[Case]:
    return _versus(_selected(r.selections), "selection", "k-core & entropy", "k-core only")


def _better_than_entropy(r: Records) -> list[Case]:
    return _versus(_selected(r.selections), "selection", "k-core & entropy", "entropy only")


def _at_every_tau(r: Records) -> list[Case]:
    frame = tables.prunings(r.prunings)
    return _versus(frame[frame.tau.notna()], "score", "entropy", "random", ("arch", "tau"))


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
    find = unpruned((), criterion)
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
    return _versus(frame[frame.target.notna()], "score", "entropy", "l1", ("arch", "target"))


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
