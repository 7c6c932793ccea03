"""The k-core paper's claims, and what our records say of each.

Every verdict is computed, by `sign` from a paired difference or by the claim's own rule; `CLAIM_VERDICTS` says what each
word means.
"""

import html
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from prunebook.errors import choose
from prunebook.methods import kcore
from prunebook.report import figures, tables
from prunebook.report import importance as gradcam
from prunebook.report.kcore_tables import (
    IMAGES,
    PAPER_MACHINE,
    SAME_COST,
    Measured,
    comparable,
    judge,
    moment,
    other_cost,
    table,
    unpruned,
)
from prunebook.report.tables import PAPER_DATASETS, PAPER_NAMES, Values, paired
from prunebook.studies.kcore import SELECTIONS, USUAL_TAUS
from prunebook.trials import Record, Trial

SAME_FR = 0.5  # points: what two networks may differ by for their accuracies to be compared
NEAR_BEST = 0.5  # points: two standard errors of 93 % on 10,000 test images
FEW = 4  # cases that a verdict names; more are counted
LARGELY = 0.5  # |rho| up to here is "largely orthogonal"

UNTESTED = "cannot be tested with this run's records"
WORDS = {  # of verdicts, that claims of all papers share
    "holds here": "the 95 % interval lies on the claim's side of 0, or its own rule is met",
    "the opposite holds here": "the interval lies on the other side of 0",
    "does not hold here": "the rule that stands with the claim is not met",
    "no difference found": "the interval of the difference includes 0; the wider it is, the larger a difference it may hide",
    "no correlation found": "the interval of the correlation includes 0; the same goes for it",
    "mixed": "different verdicts for different cases, which are named or, if many, counted",
    "other data": "not the dataset that the statement is about; what follows is about ours",
    UNTESTED: "no record of this run bears on it",
}
CLAIM_VERDICTS = WORDS | {
    "agrees": "of another network or machine than the paper's: ours is within our interval or close, or in the same order; "
    "disagrees, if not",
    "undecided": "the interval includes 0 or is too wide, or there are fewer than three repetitions",
    "unequal cost": f"the two sides' FR differ by more than {SAME_FR} points in the mean, so that a difference in accuracy "
    "would be one of cost as well",
    "equal by construction": "both sides of the comparison remove the same by definition: nothing to test",
    "other network": "no network that the statement is about, or one whose MACs before pruning differ from Table 1 by more "
    "than 1 %; what follows the colon is about ours",
    "not fine-tuned": "accuracy after recalibrating batch norm; fine-tuning may close or reverse the gap",
    "other schedule": "accuracy after another number of epochs of fine-tuning than the paper's 70",
    "other machine": "a time on other hardware than the paper's: not comparable but for an order",
    "the paper contradicts itself": "two places of the paper disagree on it",
}


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


class Network(NamedTuple):
    """What decides whether a network of ours is one that the paper speaks of."""

    dataset: str
    arch: str
    width: float
    macs: float  # before pruning, by THOP; NaN where no record has them


class Said(NamedTuple):
    """What a statement of the paper is about, by our names."""

    archs: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    epochs: int = 0  # of fine-tuning, for statements about accuracy


Words = Callable[[Said, frozenset[Network], int], str]  # the conditions of a case: what is said, on what, how long tuned


class Case(NamedTuple):
    """One case of a claim: which network (and tau), our numbers as text, the verdict, and on what it was found."""

    name: str
    numbers: str
    verdict: str
    unit: str = ""  # of the numbers, in words; said once for the cases that share it
    on: frozenset[Network] = frozenset()  # nothing, where the paper's networks alone are looked at
    epochs: int = 0  # of fine-tuning before an accuracy


class Claim(NamedTuple):
    """A claim in our words, its place in the paper, by what it is tested, what it is about, and the test itself."""

    place: str
    claim: str
    tested: str
    said: Said
    test: Callable[[Any], list[Case]]  # takes the records of the paper's study


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
        the one after fine-tuning where both sides were fine-tuned alike, else the one after recalibrating batch norm. A
        verdict begins with what was not as in the paper's statement (`conditions`). No correction is made for the number of
        claims; `attrs["repetitions"]` says so, and what the intervals are over.
    """
    given: Records = by_part(Records, records)
    return table_of(CLAIMS, given, conditions, over_what(given))


def by_part(kind: Any, records: Mapping[str, Sequence[Record]]) -> Any:
    """Records as a NamedTuple `kind`, whose fields are the parts of a study; BadValue for a name that is none of them."""
    for name in records:
        choose("records", name, kind._fields)
    return kind(**records)


def table_of(claims: Sequence[Claim], records: Any, words: Words, repetitions: str) -> pd.DataFrame:
    """One row for each claim of a paper, by `judged`; `attrs["repetitions"]` says what the intervals are over."""
    found = pd.DataFrame([judged(claim, records, words) for claim in claims])
    found.attrs["repetitions"] = repetitions
    return found


def judged(claim: Claim, records: Any, words: Words) -> dict[str, str]:
    """The row of one claim; `words` names the conditions of a case."""
    cases = claim.test(records)
    row = {"place": claim.place, "claim": claim.claim, "tested by": claim.tested}
    return row | {"here": told(cases), "verdict": combined(cases, claim.said, words)}


def shown_claims(frame: pd.DataFrame, of: str = "paper", what: str = "claims") -> Any:
    """`table_of` for a page of a book, each case on its own line; `of` is what the text calls where the claims are from."""
    lines = frame.assign(here=frame.here.str.replace("; | — ", "\n", regex=True))
    narrow = lines.map(html.escape).replace("\n", "<br>", regex=True)
    narrow["claim"] = "<b>" + narrow.place + "</b><br>" + narrow.claim + "<br><i>By: " + narrow["tested by"] + "</i>"
    caption = f"The {of}'s {what}, tested. {frame.attrs['repetitions']}"
    style = tables.page_style(narrow[["claim", "here", "verdict"]].style.hide().set_caption(caption))
    return style.set_table_attributes('class="claims"')  # on a phone one below the other, by the book's style sheet


def over_what(r: Records) -> str:
    """What the intervals are over, and that the comparisons are many: sentences for a caption."""
    trained: dict[str, set[str]] = {}
    tuned: dict[str, set[int]] = {}
    for record in (*r.prunings, *r.selections, *r.halves, *r.sample_sizes, *r.learning_rates):
        p = Trial(record.task, record.params).parameters
        name = f"{p.baseline.arch} on {PAPER_DATASETS.get(p.baseline.dataset, p.baseline.dataset)}"
        trained.setdefault(name, set()).add(Trial("baseline", record.params["baseline"]).key)
        tuned.setdefault(name, set()).update({p.finetune.seed} if p.finetune else ())
    one = [name for name, networks in trained.items() if len(networks) == 1]
    several = [name for name in trained if name not in one]
    order = " and orders of batches" if any(len(tuned[name]) > 1 for name in one) else ""
    sentences = []
    if one:
        of = f"of {', '.join(one)}" if several else "per architecture"
        sentences.append(f"One trained network {of}: intervals are over draws of images{order}, not over trainings.")
    if several:
        of = f"of {', '.join(several)}" if one else "per architecture"
        sentences.append(f"Several trained networks {of}: intervals are over trainings.")
    many = "No correction for the number of comparisons: of twenty true nulls, one would separate by chance."
    return " ".join([*sentences, many])


def told(cases: Sequence[Case]) -> str:
    """The numbers of all cases; what they count is said once for those that share it.

    Where the verdict only counts the cases (see `agreed`), each says its own.
    """
    by_unit: dict[str, list[str]] = {}
    counted = len(cases) > FEW and len({case.verdict for case in cases}) > 1
    for case in cases:
        numbers = f"{case.name}: {case.numbers}" if case.name else case.numbers
        numbers += f", {case.verdict}" if counted else ""
        by_unit.setdefault(case.unit, []).append(numbers)
    return "; ".join(f"{unit} — {'; '.join(found)}" if unit else "; ".join(found) for unit, found in by_unit.items()) or "—"


def conditions(said: Said, on: frozenset[Network], epochs: int) -> str:
    """In what the cases were not as in the paper's statement: "other network, other data, not fine-tuned", or nothing."""
    words = {
        "other network": any(_is_other(network, said.archs) for network in on),
        "other data": any(network.dataset not in said.datasets for network in on),
        "not fine-tuned": bool(on) and said.epochs > 0 and epochs == 0,
        "other schedule": bool(on) and said.epochs > 0 and epochs not in (0, said.epochs),
    }
    return ", ".join(word for word, applies in words.items() if applies)


def _is_other(network: Network, archs: Sequence[str]) -> bool:
    if network.arch not in archs or network.width != 1:
        return True
    return other_cost(PAPER_DATASETS.get(network.dataset, ""), PAPER_NAMES[network.arch], network.macs) > SAME_COST


def combined(cases: Sequence[Case], said: Said, words: Words = conditions) -> str:
    """One verdict for all cases, after the conditions that they share; `words` names those of a case."""
    if not cases:
        return UNTESTED
    after = {case.name: words(said, case.on, case.epochs) for case in cases}
    if len(set(after.values())) == 1:
        return _after(after[cases[0].name], agreed({case.name: case.verdict for case in cases}))
    return agreed({case.name: _after(after[case.name], case.verdict) for case in cases})


def _after(words: str, verdict: str) -> str:
    return f"{words}: {verdict}" if words else verdict


def agreed(verdicts: Mapping[str, str]) -> str:
    """What all agree on, else "mixed", with the cases of each, which have commas of their own, or, of many, their number."""
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    by_verdict: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        by_verdict.setdefault(verdict, []).append(name)
    few = len(verdicts) <= FEW
    of = {v: " | ".join(names) if few else f"{len(names)} of {len(verdicts)}" for v, names in by_verdict.items()}
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
    return [
        case for key, rows in _groups(frame, by)
        for case in _difference(key, rows[rows[label] == first], rows[rows[label] == second])
    ]  # fmt: skip


def _difference(name: str, one: pd.DataFrame, other: pd.DataFrame) -> list[Case]:
    """Accuracy of one minus that of the other, if there is any; without a verdict where they cost differently."""
    if one.empty or other.empty:
        return []
    column, words = moment(one, other)
    one, other = one[one[column].notna()], other[other[column].notna()]
    gap, removed = paired(one, other, column), paired(one, other, "FR thop")
    if not gap:
        return []
    verdict = "unequal cost" if abs(fmean(removed)) > SAME_FR else sign(gap)
    epochs = int(one["finetune epochs"].max()) if column == "top1 fine-tuned" else 0
    unit = f"top-1 in points {words}, and the difference in FR"
    on = _networks(one) | _networks(other)
    return [Case(name, f"{signed(gap)}, FR {fmean(removed):+.2f}", verdict, unit, on, epochs)]


def _networks(rows: pd.DataFrame) -> frozenset[Network]:
    """The networks before pruning."""
    columns = (rows[name] for name in ("dataset", "arch", "width", "before thop"))
    return frozenset(Network(*values) for values in zip(*columns, strict=True))


def _network(record: Record, baselines: Sequence[Record]) -> Network:
    """The same of a record that has no costs of its own."""
    trial = Trial("baseline", record.params["baseline"])
    p = trial.parameters
    macs = {known.key: float(known.result["cost"]["thop"][0]) for known in baselines}
    return Network(p.dataset, p.arch, p.options.get("width", 1), macs.get(trial.key, math.nan))


def _groups(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Groups of the rows, each with a name such as "resnet56, tau 0.7"; the dataset is named where there are several."""
    names = ["dataset", *by] if frame.dataset.nunique() > 1 else list(by)
    groups: Any = frame.groupby(names, sort=True)
    words = {"tau": "tau ", "target": "target "}
    return [
        (", ".join(words.get(n, "") + (f"{v:g}" if n in words else v) for n, v in zip(names, key, strict=True)), rows)
        for key, rows in groups
    ]


def _named(record: Record, records: Sequence[Record]) -> str:
    """The same name for a single record among others."""
    datasets = {other.params["baseline"]["dataset"] for other in records}
    network = record.params["baseline"]
    return f"{network['dataset']}, {network['arch']}" if len(datasets) > 1 else str(network["arch"])


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
                on = frozenset() if alike else _networks(both)
                cases.append(Case(f"{key}, {rate} against {other}", signed(gap), verdict, "difference in points", on))
    return cases


def _rates(r: Records) -> list[Case]:
    """How many of the paper's FR and PR ours agree with, network by network. It takes all of them."""
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
        met = [_met(verdict) for verdict in found]
        numbers = f"{met.count(True)} of {len(met)} within our interval or close"
        numbers += f" ({met.count(None)} undecided)" if None in met else ""
        numbers += f", the farthest {max(gaps[name]):.1f} points away"
        cases.append(Case(name, numbers, _borne_out(met, *found)))
    return cases


def _met(verdict: str, better: str = "") -> bool | None:
    """Whether a verdict of a table bears the paper's number out, or leaves that open; `better` is one that does so too."""
    judged = verdict.removeprefix("other network: ")
    if judged in ("within our interval", "close", better):
        return True
    return False if judged in ("ours is higher", "ours is lower", "opposite sign") else None


def _borne_out(met: Sequence[bool | None], *verdicts: str) -> str:
    """A claim that takes all of them; another network's records can agree with it, but neither prove nor refute it."""
    other = any(verdict.startswith("other network: ") for verdict in verdicts)
    words = ("other network: agrees", "other network: disagrees") if other else ("holds here", "does not hold here")
    if all(met):
        return words[0]
    return words[1] if False in met else "other network: undecided" if other else "undecided"


def _headline(r: Records) -> list[Case]:
    """Table 3 at tau 0.65: as much removed and as little lost, if it was fine-tuned for as long as the paper's."""
    if not r.prunings:
        return []
    found = table(3, r.prunings, r.baselines).query("dataset == 'CIFAR-10' and tau == '0.65'").iloc[0]
    if found["FR ours"] == "—":
        return []
    drop, verdict = found["drop ours"].replace("—", "none"), found["drop verdict"]
    numbers = f"FR {found['FR ours']} beside {found['FR paper']}; drop {drop} beside {found['drop paper']} ({verdict})"
    if found["drop ours"] == "—" or "other schedule" in verdict:
        return [Case("", numbers, f"{UNTESTED}: needs 70 epochs of fine-tuning")]
    met = [_met(found["FR verdict"], "ours is higher"), _met(verdict, "ours is lower")]
    return [Case("", numbers, _borne_out(met, found["FR verdict"], verdict))]


def _orthogonal(r: Records) -> list[Case]:
    """Degree and entropy in a layer, at the thresholds that the page draws it at."""
    frame = tables.prunings(r.prunings)
    taus = figures.to_draw(sorted(frame.tau.dropna().unique()) or USUAL_TAUS)
    edge = frame.edge.iloc[0] if len(frame) else ">="
    cases = []
    for record in r.layers:
        similarity, entropy = figures.similarity_of(record.result), record.result["entropy"]
        if len(set(entropy)) == 1 or len(entropy) < 5:
            continue
        for tau in taus:
            numbers, verdict, unit = _rank_correlation(kcore.degrees(similarity, tau, edge).tolist(), entropy)
            name = f"{_named(record, r.layers)} {record.result['layer']}, tau {tau:g}"
            cases.append(Case(name, numbers, verdict, unit, frozenset({_network(record, r.baselines)})))
    return cases


def _rank_correlation(degree: Sequence[int], entropy: Sequence[float]) -> tuple[str, str, str]:
    """Spearman's rho with its interval by Fisher's z: numbers, verdict and unit of a case."""
    usual, n = max(Counter(degree).items(), key=lambda item: item[1])
    if 2 * n > len(degree):
        return f"{n} of {len(degree)} filters have degree {usual:g}", "undecided: nearly all filters have one degree", ""
    rho = float(stats.spearmanr(degree, entropy).statistic)
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(degree) - 3))  # Bonett and Wright 2000
    with np.errstate(divide="ignore"):  # of a rho of 1
        low, high = (float(np.tanh(np.arctanh(rho) + step)) for step in (-half, half))
    inside, outside = max(abs(low), abs(high)) <= LARGELY, min(abs(low), abs(high)) > LARGELY and low * high > 0
    verdict = "holds here" if inside else "does not hold here" if outside else "undecided"
    return f"{rho:+.2f} ({low:+.2f} to {high:+.2f})", verdict, "rho and its 95 % interval"


def _important(r: Records) -> list[Case]:
    """Signs over the layers, and against the overlap with another image's Grad-CAM: layers count, not filters.

    The layers of one network are no repetitions, so no interval is shown; both tests take them for independent.
    """
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
            f"r = {pooled.r:+.2f} over all filters, r > 0 in {above} of {len(own)} layers (sign test p = {chance:.2g}), "
            f"in the mean {fmean(beyond):+.2f} against the r with another image's Grad-CAM "
            f"({len(own)} layers of one network, not independent)"
        )
        verdict, on = _evidence(above / len(own), chance, sign(beyond)), frozenset({_network(record, r.baselines)})
        cases.append(Case(_named(record, r.importance), numbers, verdict, on=on))
    return cases


def _evidence(share: float, chance: float, beyond: str) -> str:
    """Of the share of layers with r > 0, its p, and the `sign` of r minus the control's: both must point the same way."""
    if chance >= 0.05:
        return "undecided"
    found = "holds here" if share > 0.5 else "the opposite holds here"
    if beyond == found:
        return found
    strength = "as strong" if beyond == "undecided" else "stronger"
    return f"does not hold here: {strength} with another image's Grad-CAM"


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
            cases.append(Case(f"{key}, {rate[:2]}", numbers, sign(falls), unit, _networks(rows)))
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
            if size != IMAGES:
                cases += _difference(f"{key}, against {size} images", middle, rows[rows.images == size])
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
        epochs = int(rows["finetune epochs"].max())
        unit = (
            f"top-1 after {epochs} of 70 epochs, against the best other rate (chosen with the test split) in points, and of "
        )
        verdict = sign(Values(value + NEAR_BEST for value in gap)).replace("the opposite holds", "does not hold")
        cases.append(Case(key, f"{signed(gap)} ({means})", verdict, unit + "each in percent", _networks(rows), epochs))
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
    timed = [(row.model, ours) for row, ours in _decisions(r.criterion) if row.dataset == "CIFAR-10"]
    seconds = {model: ours.values[0] for model, ours in timed}
    if "VGG-16" not in seconds or "ResNet-56" not in seconds:
        return []
    ratio = seconds["VGG-16"] / seconds["ResNet-56"]
    slowest = max(seconds, key=seconds.__getitem__)
    numbers = f"{slowest} takes longest; VGG-16 takes {ratio:.1f} times as long as ResNet-56, in the paper 29 times"
    if all(PAPER_MACHINE in ours.machine for _, ours in timed):
        return [Case("", numbers, "holds here" if slowest == "VGG-16" else "does not hold here")]
    return [Case("", numbers, f"other machine: {'agrees' if slowest == 'VGG-16' else 'disagrees'}")]


def _against_l1(r: Records) -> list[Case]:
    frame = tables.prunings(r.prunings)
    return _versus(frame[frame.target.notna()], "score", "entropy", "l1", ("arch", "target"))


def _contradicted(_: Records) -> list[Case]:
    return [Case("", "Table 7 adds seconds to epochs, and its 486 s are 16 s in Table 1", "the paper contradicts itself")]


NOWHERE = Said()  # for claims whose networks a table of the paper picks, or that need none
FIGURE_2 = Said(("vgg16",), ("cifar100",))
RESNET_56 = Said(("resnet56",), ("cifar10",))  # Figure 3, section 4.3
FIGURE_5 = Said(("vgg16", "resnet56", "densenet40"), ("cifar100",))
TABLE_8 = Said(("vgg16", "resnet56", "resnet110", "densenet40"), ("cifar100",))  # Figure 6 too: "all models"


def _tuned(said: Said) -> Said:
    """Of accuracies, which the paper measures after 70 epochs."""
    return said._replace(epochs=70)


CLAIMS = [Claim(*claim) for claim in (
    ("Tables 2 to 6", "A threshold removes the printed shares of operations (FR) and parameters (PR).",
     "prunings at the paper's thresholds; holds if each rate is within our interval or close", NOWHERE, _rates),
    ("Table 3, abstract", "At tau 0.65, half of ResNet-56's operations go at no loss (drop of -0.03 or, in the text, 0.03).",
     "prunings of ResNet-56 on CIFAR-10; holds if both FR and drop are within our interval, close or better", NOWHERE,
     _headline),
    ("Figure 2, section 3.4", "Degree and entropy of a layer's filters are largely orthogonal.",
     f"degree and entropy of one layer; holds if the interval of rho is within {LARGELY}, our threshold", FIGURE_2,
     _orthogonal),
    ("Figure 3, left", "Keeping a group's highest entropy beats keeping its lowest, at every tau (our reading of it: "
     "highest or lowest entropy of each group; the paper splits at the median).",
     "scores entropy and low-entropy", _tuned(RESNET_56), _higher_half),
    ("Figure 3, right", "Entropy goes with importance, measured by the overlap with Grad-CAM.",
     "correlations by layer; holds if r > 0 in most, and more than with another image's Grad-CAM; both tests are "
     "optimistic, as they take layers for independent", RESNET_56, _important),
    ("Figure 5, section 4.4", "Choosing by entropy within the groups beats a random choice there.",
     "k-core & entropy, k-core only", _tuned(FIGURE_5), _better_than_random),
    ("Figure 5, section 4.4", "The same, at every threshold (we add this one).",
     "scores entropy and random", _tuned(FIGURE_5), _at_every_tau),
    ("Figure 5, section 4.4", "Choosing by entropy within the groups beats entropy alone.",
     "k-core & entropy, entropy only", _tuned(FIGURE_5), _better_than_entropy),
    ("Figure 5, section 4.4", "Both together remove more than either part alone.",
     "FR and PR of k-core & entropy against each part", FIGURE_5, _compresses_most),
    ("Section 4.3", "Entropy keeps better filters than the L1 norm of the predecessor (we compare at equal operations).",
     "scores entropy and l1 at a target", _tuned(RESNET_56), _against_l1),
    ("Table 8", "FR and PR fall as more images are drawn.", "rank correlation with it within each repetition", TABLE_8,
     _declines),
    ("Table 8", "Accuracy is best near 100 images.", "100 images against the fewest and the most", _tuned(TABLE_8),
     _best_at_100),
    ("Figure 6", "0.01 gives the highest accuracy of fine-tuning, or nearly so.",
     f"fine-tuning at several rates; holds if it is surely within {NEAR_BEST} points of the best other one", _tuned(TABLE_8),
     _best_rate),
    ("Table 1", "A decision takes 16 s (ResNet-56) to 468 s (VGG-16) on CIFAR-10.", "timed decisions", NOWHERE, _seconds),
    ("Table 1", "On CIFAR-10, VGG-16 takes longest.", "timed decisions; holds if it is so here", NOWHERE, _longest_for_vgg),
    ("Table 7, section 4.3", "Pruning and fine-tuning take 556 s in all, about 40 % less than HRank and AMC.",
     "the paper alone", NOWHERE, _contradicted),
)]  # fmt: skip
