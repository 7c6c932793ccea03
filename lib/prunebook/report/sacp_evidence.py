"""How each claim of the SACP paper (Liu et al. 2025) is tested: from records to cases with a verdict.

A function per claim, in the parts of the method; what they say together is in `sacp_claims`. What a case says about an
accuracy depends on how far the networks were trained: `RECALIBRATED`, `LIGHT` or `FULL`, which stands where `Case` has
epochs.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import starmap
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from prunebook.report import sacp_tables as made
from prunebook.report.dice_evidence import above, alike
from prunebook.report.dice_evidence import side as side_of
from prunebook.report.kcore_claims import Case, Network, signed
from prunebook.report.sacp_scores import (
    FEW,
    L1,
    MACS,
    SIMPLE,
    UNTUNED,
    Ranked,
    Ranks,
    Statistic,
    blocks,
    candidates,
    first_two,
    given_third,
    light_candidates,
    minus_third,
    predictors,
    share_of,
    triads,
)
from prunebook.report.sacp_tables import READINGS, SAME_FR, counted, minus, of_search, winner
from prunebook.report.statistics import middle95
from prunebook.report.tables import Values
from prunebook.studies.sacp import AS_COSTLY, RANDOM, SUPERVISED
from prunebook.trials import Record

RECALIBRATED, LIGHT, FULL = 0, 1, 2  # how far the networks were trained whose accuracy a case is about

OWN = 0.9  # a rank correlation beyond it says that one number is nearly the other
EDGE = 2.0  # points of R(r) above tau that still count as at tau
MOST = 0.95  # of the candidates
SMALL = 1.0  # points of accuracy
NEGLIGIBLE = 0.1  # points
CHANCE = (2.5, 97.5)  # percentiles between which a cost is that of chance
ALPHA = 0.025  # of a test to one side
LOTS = 20_000
CONTROL = "random order"  # as the first of the readings, but for the order of channels that it learns


class Records(NamedTuple):
    """What the claims are tested with, by the parts of the study (`studies.sacp.parts`)."""

    baselines: Sequence[Record] = ()
    unpruned: Sequence[Record] = ()
    chances: Sequence[Record] = ()
    learnt: Sequence[Record] = ()
    triads: Sequence[Record] = ()
    samples: Sequence[Record] = ()
    regressions: Sequence[Record] = ()
    scores: Sequence[Record] = ()
    searches: Sequence[Record] = ()
    light_scores: Sequence[Record] = ()
    crowds: Sequence[Record] = ()
    light: Sequence[Record] = ()
    finals: Sequence[Record] = ()


class Sample(NamedTuple):
    """Random candidates of a network whose accuracy is known, and the rank correlations of all that could predict it."""

    network: str
    words: str
    rows: pd.DataFrame
    ranked: Ranked


class Frames(NamedTuple):
    """The tables of `sacp_tables` and `sacp_scores` that the claims are tested on."""

    triads: pd.DataFrame
    samples: list[Sample]  # those sampled and those of the random search
    light: pd.DataFrame
    full: pd.DataFrame
    chances: Sequence[Record]

    @classmethod
    def of(cls, r: Records) -> "Frames":
        drawn = candidates(r.samples, r.scores, r.crowds), light_candidates(r.light, r.light_scores, r.crowds)
        samples = [
            Sample(network, words, rows, Ranked.of(rows)) for frame in drawn for network, words, rows in blocks(frame)
        ]
        before = [*r.baselines, *r.unpruned]
        light, full = made.built(r.light, before), made.finished(r.finals, before)
        return cls(triads(r.learnt, r.triads), samples, light, full, r.chances)


def on(rows: pd.DataFrame) -> frozenset[Network]:
    """The networks before pruning, by the paper's name where they are the paper's, else by ours."""
    columns = zip(rows.dataset, rows.model, rows.arch, rows.width, strict=True)
    return frozenset(Network(dataset, model or arch, width, math.nan) for dataset, model, arch, width in columns)


# What the paper's costs say


def costs_little(f: Frames) -> list[Case]:
    """Where the printed FR and PR lie among random candidates that meet the paper's tau."""
    cases, frame = [], made.costs(f.chances)
    for _, row in frame.iterrows():
        for rate in ("FR", "PR"):
            at = row[f"{rate} percentile"]
            if not math.isnan(at):
                outside = "holds here" if at > CHANCE[1] else "the opposite holds here"
                verdict = "follows from tau" if CHANCE[0] <= at <= CHANCE[1] else outside
                chance = row[f"{rate} of chance"]
                numbers = f"{row[f'{rate} paper']} is above {at:.0f} % of chance, median and quartiles {chance}"
                cases.append(Case(f"{row.network}, {rate} at tau {row.tau:g}", numbers, verdict))
    return cases


def at_tau(f: Frames) -> list[Case]:
    """How far above tau the candidates of a search remove channels, and whether they are nearer to it than random ones.

    A random candidate removes more than half of the others in the mean. Repetitions are seeds, as one encoder's candidates
    are alike.
    """
    cases = []
    for name, search, rows in _searches(f.light, READINGS):
        over, percentile = rows.R - 100 * rows.tau, rows.groupby("seed")["R percentile"].mean()
        share = float((over < EDGE).mean())
        numbers = f"{over.mean():.1f} above tau in the mean, {100 * share:.0f} % of {len(rows)} within {EDGE:g}"
        numbers += f"; random candidates that are nearer, in %: {counted(Values(percentile))}"
        met = side_of(Values(50 - percentile))
        met = met if met in ("holds here", "undecided") else "as chance"
        verdict = met if share >= MOST else "does not hold here"
        cases.append(Case(f"{name}, {search}", numbers, verdict, "R(r) in points", on(rows)))
    return cases


# What a score knows


class Found(NamedTuple):
    """A statistic, its bootstrap interval, what encoders with random weights have in its place, and what each of ours."""

    value: float
    low: float
    high: float
    null: np.ndarray
    each: Values


def _ranked(
    f: Frames,
    names: Callable[[Sample], Iterable[tuple[str, Sequence[str]]]],
    of: Statistic,
    judged: Callable[[Found], str],
    unit: str,
) -> list[Case]:
    """A statistic of rank correlations in every sample, for each case that `names` makes of it: a name and columns.

    The second column is the encoder in whose place those with random weights are put.
    """
    cases = []
    for sample in f.samples:
        for name, columns in names(sample):
            found = _statistic(sample.ranked, columns, of)
            if not math.isnan(found.value):
                cases.append(_case(sample, name, _numbers(found, sample.rows), _if_enough(sample.rows, found, judged), unit))
    return cases


def _statistic(ranked: Ranked, columns: Sequence[str], of: Statistic) -> Found:
    value, low, high = (float(numbers[0]) for numbers in ranked.statistics(columns, of))
    return Found(value, low, high, ranked.null(columns, of).ravel(), Values(ranked.each(columns, of).ravel()))


def _case(sample: Sample, name: str, numbers: str, verdict: str, unit: str) -> Case:
    case = Case(f"{sample.network}, {sample.words}, {name}", numbers, verdict, unit, on(sample.rows))
    return case._replace(epochs=_trained(sample.words))


def _numbers(found: Found, rows: pd.DataFrame) -> str:
    """The statistic, its interval, and what it has to stand out from."""
    if math.isnan(found.value):
        return "—"
    text = f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
    if len(found.null):
        text += ", random weights {:+.2f} to {:+.2f}".format(*middle95(found.null))
    many = f", {_encoders(len(found.each))}" if len(found.each) > 1 else ""
    return f"{text}, {len(rows[['draw', 'place']].drop_duplicates())} candidates{many}"


def _if_enough(rows: pd.DataFrame, found: Found, judged: Callable[[Found], str]) -> str:
    few = rows.groupby("draw").place.nunique().min() < FEW
    return "undecided" if few or math.isnan(found.low) else judged(found)


def _trained(words: str) -> int:
    return LIGHT if words.startswith("random search") and UNTUNED not in words else RECALIBRATED


def _known(sample: Sample, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in predictors(sample.rows)]


def _stands_out(verdict: str, below: float, above: float) -> str:
    """The verdict, if a number lies on its side of a null: by its p there, `above` for a claim that holds.

    Else whether the null comes as far, or nearly all of it farther: by the p of the other side.
    """
    p, short = (above, below) if verdict == "holds here" else (below, above)
    if math.isnan(p) or p <= ALPHA:
        return "undecided" if math.isnan(p) else verdict
    return "short of random weights" if short <= ALPHA else "as random weights"


def _on_its_side(found: Found, otherwise: str) -> str:
    return "holds here" if found.low > 0 else "the opposite holds here" if found.high < 0 else otherwise


def correlates(found: Found, otherwise: str = "no correlation found") -> str:
    """Of a number that a claim says is positive: its interval decides, if it is beyond what random weights reach, too."""
    side, null = _on_its_side(found, otherwise), found.null
    return side if side == otherwise else _stands_out(side, share_of(null <= found.value), share_of(null >= found.value))


def leads(found: Found) -> str:
    """Of a difference to something that no seed decides: who is behind it needs no null to be so."""
    side = _on_its_side(found, "no difference found")
    return side if side == "the opposite holds here" else correlates(found, "no difference found")


def leads_with_every_seed(found: Found) -> str:
    """Of a difference of two encoders that both learn: over their seeds, too."""
    side, over_seeds = leads(found), side_of(found.each)
    if side not in ("holds here", "the opposite holds here") or side == over_seeds:
        return side
    return "undecided" if over_seeds == "undecided" else "no difference found"


def predicts(f: Frames) -> list[Case]:
    def names(sample: Sample) -> Iterable[tuple[str, Sequence[str]]]:
        return ((name, ("test", name)) for name in _known(sample, READINGS))

    return _ranked(f, names, first_two, correlates, "Spearman's rho of score and accuracy")


def predicts_beyond_cost(f: Frames) -> list[Case]:
    def names(sample: Sample) -> Iterable[tuple[str, Sequence[str]]]:
        return ((name, ("test", name, MACS)) for name in _known(sample, READINGS))

    return _ranked(f, names, given_third, correlates, "partial rank correlation of score and accuracy, given the MACs kept")


def _beats(f: Frames, firsts: Sequence[str], seconds: Sequence[str], judged: Callable[[Found], str]) -> list[Case]:
    """How much better one predictor ranks the same candidates than another."""

    def names(sample: Sample) -> Iterable[tuple[str, Sequence[str]]]:
        pairs = ((first, second) for first in _known(sample, firsts) for second in _known(sample, seconds))
        return ((f"{first} minus {second}", ("test", first, second)) for first, second in pairs)

    return _ranked(f, names, minus_third, judged, "difference of Spearman's rho with accuracy")


def beats_l1(f: Frames) -> list[Case]:
    return _beats(f, READINGS, (L1,), leads)


def edges_matter(f: Frames) -> list[Case]:
    """Encoders that differ in their edges alone."""
    return _beats(f, ("infonce",), ("no edges", "shuffled edges"), leads_with_every_seed)


def beats_regression(f: Frames) -> list[Case]:
    return _beats(f, READINGS, (SUPERVISED,), leads_with_every_seed)


def learning_matters(f: Frames) -> list[Case]:
    """The rho of an encoder that has learnt, less the mean of those with random weights."""
    cases = []
    for sample in f.samples:
        for name in _known(sample, READINGS):
            found = _statistic(sample.ranked, ("test", name), first_two)
            if len(found.null):
                mean = float(found.null.mean())
                less = Found(found.value - mean, found.low - mean, found.high - mean, found.null - mean, found.each)
                verdict = _if_enough(sample.rows, less, lambda one: correlates(one, "no difference found"))
                unit = f"Spearman's rho minus the mean of {len(found.null)} encoders with random weights"
                cases.append(_case(sample, name, _numbers(less, sample.rows), verdict, unit))
    return cases


def more_than_a_number(f: Frames) -> list[Case]:
    """What a score knows of accuracy that the simple number does not which it is nearest to, unless it is nearly that."""
    cases = []
    for sample in f.samples:
        simple = _known(sample, SIMPLE)
        for name in _known(sample, READINGS):
            alike = [_statistic(sample.ranked, (one, name), lambda rho: np.abs(first_two(rho))) for one in simple]
            known = [(found, one) for found, one in zip(alike, simple, strict=True) if not math.isnan(found.value)]
            if known:
                near, nearest = max(known, key=lambda pair: pair[0].value)
                found = _statistic(sample.ranked, ("test", name, nearest), given_third)
                verdict = _if_enough(sample.rows, near, _beside(found))
                numbers = f"|rho| {near.value:.2f}, given it {_numbers(found, sample.rows)}"
                unit = "|rho| of score and the nearest simple number; what is left of the score's rho with accuracy"
                cases.append(_case(sample, f"{name} and {nearest}", numbers, verdict, unit))
    return cases


def _beside(found: Found) -> Callable[[Found], str]:
    """From what a score has in common with a number to a verdict on what it has beside it."""
    return lambda near: "does not hold here" if near.low > OWN else correlates(found)


def one_reading(f: Frames) -> list[Case]:
    """Whether the readings of section 3.4 order the candidates alike, and more alike than two seeds of one reading."""
    cases = []
    for sample in f.samples:
        first, *others = _known(sample, READINGS) or [""]
        for other in others:
            found = _statistic(sample.ranked, (first, other), first_two)
            _, again, less = (Ranks(*numbers) for numbers in zip(*sample.ranked.across(first, other), strict=True))
            numbers = _numbers(found, sample.rows)
            if not math.isnan(again.value):
                numbers += f", two seeds of one reading {again.value:+.2f} ({again.low:+.2f} to {again.high:+.2f})"
            verdict = _if_enough(sample.rows, found, lambda one, less=less: _alike(one, less))  # type: ignore[misc]
            cases.append(_case(sample, f"{first} and {other}", numbers, verdict, "Spearman's rho of two scores"))
    return cases


def _alike(found: Found, less: Ranks) -> str:
    """`less`: the rho of two readings minus that of two seeds of one."""
    if found.low > OWN:
        return _stands_out(
            "holds here", *(share_of(side) for side in (found.null <= found.value, found.null >= found.value))
        )
    if found.high >= OWN or math.isnan(less.value):
        return "undecided"
    return "does not hold here" if less.high < 0 else "as another seed"


# What an encoder learns


def _learnt(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Every network and reading: a name, and the rows of its encoders."""
    groups: Any = frame[frame.encoder.isin(READINGS)].groupby(["network", "encoder"], sort=False)
    for (network, encoder), rows in groups:
        yield f"{network}, {encoder}", rows


def _encoders(n: int) -> str:
    return f"{n} encoder{'s' * (n != 1)}"


def _of_every_seed(verdicts: Iterable[str]) -> str:
    found = set(verdicts)
    return found.pop() if len(found) == 1 else "undecided"


def _random(rows: pd.DataFrame, column: str, told: Callable[[float], str]) -> str:
    """What encoders with random weights have, in words; the widest over the seeds."""
    ends = rows[f"{column} low"].min(), rows[f"{column} high"].max()
    return "" if any(map(math.isnan, ends)) else ", random weights " + " to ".join(map(told, ends))


def _random_shares(rows: pd.DataFrame) -> str:
    return _random(rows, "share", lambda share: f"{100 * share:.0f}")


def parts_them(f: Frames) -> list[Case]:
    """Whether positives are nearer to their anchor than negatives, triad by triad, more often than by random weights."""
    cases = []
    for name, rows in _learnt(f.triads):
        verdicts = [
            _stands_out("holds here" if share > 0.5 else "the opposite holds here", below, above)
            for share, below, above in rows[["share", "share p below", "share p above"]].itertuples(index=False)
        ]
        cosines = f"mean cosines {rows.positive.mean():.2f} and {rows.negative.mean():.2f}"
        numbers = f"{100 * rows.share.mean():.0f} %{_random_shares(rows)}, {cosines}"
        unit = "share of new triads in which the positive is nearer"
        cases.append(Case(name, f"{numbers}, {_encoders(len(rows))}", _of_every_seed(verdicts), unit, on(rows)))
    return cases


def needs_l1(f: Frames) -> list[Case]:
    """Whether it takes L1's order: an encoder that learns another one, always the same, may tell its triads apart too."""
    cases = []
    for network, rows in f.triads.groupby("network", sort=False):
        first, other = (rows[rows.encoder == name].set_index("seed") for name in (READINGS[0], CONTROL))
        seeds = first.index.intersection(other.index)
        if len(seeds):
            both = [first.loc[seeds], other.loc[seeds]]
            p = zip(both[0]["share p below"], *(one["share p above"] for one in both), strict=True)
            numbers = " and ".join(f"{100 * one.share.mean():.0f} %{_random_shares(one)}" for one in both)
            name, unit = f"{network}, {READINGS[0]} and {CONTROL}", "share of new triads in which the positive is nearer"
            verdict = _of_every_seed(starmap(_by_l1, p))
            cases.append(Case(name, f"{numbers}, {_encoders(len(seeds))} each", verdict, unit, on(both[0])))
    return cases


def _by_l1(below: float, above: float, control: float) -> str:
    """From the p of a share among those by random weights that are as low, and as high, and the control's as high."""
    own = _stands_out("holds here", below, above)
    if own == "holds here" and math.isnan(control):
        return "undecided"
    return "does not hold here" if own == "holds here" and control <= ALPHA else own


def pushes_away(f: Frames) -> list[Case]:
    """Whether negatives are farther from their anchor than encoders with random weights have them, beside strangers.

    A cosine of its own would not say so: random weights give all embeddings much in common, and whatever spreads them, as
    any contrast of anchors does, takes the negatives along.
    """
    cases = []
    for name, rows in _learnt(f.triads[f.triads.distance.notna()]):
        p = rows[["distance p below", "distance p above"]].itertuples(index=False)
        numbers = f"{rows.distance.mean():.2f}{_random(rows, 'distance', '{:.2f}'.format)}"
        numbers += f", mean cosine {rows.negative.mean():.2f}, {_encoders(len(rows))}"
        unit = "distance (1 - cosine) of an anchor to its own new negative, over that to another triad's"
        cases.append(Case(name, numbers, _of_every_seed(starmap(_farther, p)), unit, on(rows)))
    return cases


def _farther(below: float, above: float) -> str:
    """From the p of a distance among those by random weights that are as short, and as long."""
    if math.isnan(below):
        return "undecided"
    return "holds here" if above <= ALPHA else "the opposite holds here" if below <= ALPHA else "as random weights"


# What a search finds


def _searches(frame: pd.DataFrame, names: Sequence[str]) -> Iterable[tuple[str, str, pd.DataFrame]]:
    """Network, search and rows of those searches."""
    groups: Any = frame[frame.search.isin(list(names))].groupby(["network", "search"], sort=False)
    for (network, search), rows in groups:
        yield network, search, rows


def _stage(light: pd.DataFrame, full: pd.DataFrame) -> int:
    if len(full):
        return FULL
    return LIGHT if (light["light"] != "").all() else RECALIBRATED


AFTER = {RECALIBRATED: "recalibrated", LIGHT: "after light fine-tuning", FULL: "after full training"}


def better_than_as_costly(f: Frames) -> list[Case]:
    """Each of the m best minus a random candidate of the same cost."""
    cases = []
    for network, search, rows in _searches(f.light, READINGS):
        if search in made.partners(f.light, network):
            gaps, over = made.beside_partners(f.light, network)
            removed, _ = made.beside_partners(f.light, network, "FR")
            if gaps:
                stage = _stage(rows, f.full.head(0))
                verdict = "unequal cost" if abs(fmean(removed)) > SAME_FR else side_of(gaps)
                verdict = verdict if over == "seeds" else "undecided"  # one encoder's candidates are alike: see `_means`
                unit = f"candidate minus its equally costly partner, points of top-1 {AFTER[stage]}, over {over}"
                numbers = f"{signed(gaps)}, FR {fmean(removed):+.2f}"
                cases.append(Case(f"{network}, {search}", numbers, verdict, unit, on(rows), stage))
    return cases


def better_than_random(f: Frames) -> list[Case]:
    """The mean of the m best minus that of m random candidates: over seeds or, of one seed, by Welch's interval."""
    cases = []
    for network, search, rows in _searches(f.light, READINGS):
        chance = of_search(f.light, network, RANDOM)
        if len(chance):
            stage = _stage(rows, f.full.head(0))
            removed = rows.FR.mean() - chance.FR.mean()
            numbers, verdict, over = _means(rows, chance)
            verdict = "unequal cost" if abs(removed) > SAME_FR else verdict
            unit = f"mean of the m minus that of chance, points of top-1 {AFTER[stage]}, over {over}"
            case = Case(f"{network}, {search}", f"{numbers}, FR {removed:+.2f}", verdict, unit, on(rows), stage)
            cases.append(case)
    return cases


def _means(rows: pd.DataFrame, others: pd.DataFrame) -> tuple[str, str, str]:
    """Of the difference of the mean accuracies: numbers, verdict, and what the interval is over.

    What one encoder puts first is alike, so that its candidates rise or fall together: they are no repetitions of the
    method, and an interval over them decides nothing.
    """
    if rows.seed.nunique() > 1:
        gaps = minus(*(some.groupby("seed")["test light"].mean() for some in (rows, others)))
        return signed(gaps) if gaps else "—", side_of(gaps), "seeds"
    a, b = rows["test light"], others["test light"]
    gap = a.mean() - b.mean()
    if min(len(a), len(b)) < 3:
        return f"{gap:+.2f}", "undecided", "candidates"
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    return f"{gap:+.2f} ({low:+.2f} to {high:+.2f})", "undecided", "candidates"


def _against(f: Frames, firsts: Sequence[str], seconds: Sequence[str], unit: str) -> list[Case]:
    """The winner of one search minus that of another, seed by seed; without a verdict where they cost differently.

    In any seed: costs that cancel in the mean make no two winners equal.
    """
    cases = []
    for network, search, rows in _searches(f.light, firsts):
        full = of_search(f.full, network, search)
        for other, others, others_full in _rivals(f, network, search, seconds):
            pair = ((rows, full), (others, others_full))
            if bool(len(full)) != bool(len(others_full)):
                continue
            gap, removed = (minus(*(winner(*one, column=column) for one in pair)) for column in ("test", "FR"))
            if gap:
                stage = _stage(rows, full)
                verdict = "unequal cost" if max(map(abs, removed)) > SAME_FR else side_of(gap)
                numbers = f"{signed(gap)}, FR {_from_to(removed)}"
                words = f"{unit}, points of top-1 {AFTER[stage]}, over seeds"
                cases.append(Case(f"{network}, {search} minus {other}", numbers, verdict, words, on(rows), stage))
    return cases


def _from_to(values: Values) -> str:
    ends = dict.fromkeys(f"{end:+.2f}" for end in (min(values), max(values)))
    return " to ".join(ends)


def _rivals(f: Frames, network: str, search: str, names: Sequence[str]) -> Iterable[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Other searches of a network, and their candidates; the equally costly one beside the search that it is like."""
    for name in names:
        if name != AS_COSTLY or search in made.partners(f.light, network):
            rows = of_search(f.light, network, name)
            if len(rows):
                yield name, rows, of_search(f.full, network, name)


def wins(f: Frames) -> list[Case]:
    return _against(f, READINGS, (RANDOM, AS_COSTLY), "winner minus winner, both chosen by validation")


def wins_over_regression(f: Frames) -> list[Case]:
    return _against(f, READINGS, (SUPERVISED,), "winner minus winner, both chosen by validation")


def wins_by_edges(f: Frames) -> list[Case]:
    return _against(f, ("infonce",), ("no edges", "shuffled edges"), "winner minus winner")


def wins_by_learning(f: Frames) -> list[Case]:
    return _against(f, READINGS, ("untrained",), "winner minus winner")


def _by_seed(rows: pd.DataFrame, least: pd.DataFrame, full: bool) -> Values:
    """The winner of some rows minus that of fewer of them, for each seed; both chosen on the validation split."""
    order = ("val", "test", "rank") if full else ("val light", "test light", "place")
    return minus(*(made.best(some, *order) for some in (rows, least)))


def larger_k(f: Frames) -> list[Case]:
    """The winner of all k at the largest m minus the first of them, the best by light fine-tuning."""
    cases = []
    for network, search, rows in _searches(f.full, READINGS):
        most = rows[rows.m == rows.m.max()]
        k = most["rank"].nunique()
        gain = _by_seed(most, most[most["rank"] == 0], full=True)
        if k > 1 and gain:
            unit = "winner of k by validation minus k = 1, points of top-1 after full training, over seeds"
            cases.append(Case(f"{network}, {search}, k = {k}", signed(gain), side_of(gain), unit, on(rows), FULL))
    return cases


def _gains(f: Frames) -> Iterable[tuple[str, str, str, Values, pd.DataFrame, int]]:
    """For SACP's searches and chance's what a larger m brings: network, search, from m to m, repetitions, rows, and stage.

    Trained in full from the smallest m to the largest, or else after light fine-tuning from half of the places to all.
    """
    for network, search, rows in _searches(f.light, (*READINGS, RANDOM)):
        full = of_search(f.full, network, search)
        if full.m.nunique() > 1:
            low, high = int(full.m.min()), int(full.m.max())
            gain = _by_seed(full[full.m == high], full[full.m == low], full=True)
        else:
            high, full = rows.place.nunique(), full.head(0)
            low = high // 2
            gain = _by_seed(rows, rows[rows.place < low], full=False)
        if gain:
            yield network, search, f"m from {low} to {high}", gain, rows, _stage(rows, full)


def larger_m(f: Frames) -> list[Case]:
    return [
        Case(f"{network}, {search}, {words}", signed(gain), side_of(gain),
             f"winner by validation, points of top-1 {AFTER[stage]}, over seeds", on(rows), stage)
        for network, search, words, gain, rows, stage in _gains(f) if search in READINGS
    ]  # fmt: skip


def saturates_by_score(f: Frames) -> list[Case]:
    """What a larger m brings to the random search minus what it brings to SACP's."""
    cases, found = [], list(_gains(f))
    chance = {(network, words): gain for network, search, words, gain, _, _ in found if search == RANDOM}
    for network, search, words, gain, rows, stage in found:
        other = chance.get((network, words), Values())
        if search in READINGS and len(other) == len(gain):
            gap = Values(b - a for a, b in zip(gain, other, strict=True))
            numbers = f"{signed(gap)}: {signed(other)} against {signed(gain)}"
            unit = f"gain of chance minus gain of the search, points of top-1 {AFTER[stage]}, over seeds"
            cases.append(Case(f"{network}, {search}, {words}", numbers, side_of(gap), unit, on(rows), stage))
    return cases


def light_tells(f: Frames) -> list[Case]:
    """Rank correlation of validation accuracy after light fine-tuning with test accuracy after full training."""
    cases = []
    key = ["network", "search", "seed", "place"]
    once = f.full.drop_duplicates(key)
    both = once.merge(f.light[[*key, "val light"]], on=key) if len(once) else once
    for network, search, rows in _searches(both.assign(draw=both.get("seed")), tuple(dict.fromkeys(both.search))):
        if rows.groupby("seed").size().min() >= 3:
            ranked = Ranked.of(rows[["seed", "draw", "place", "val light", "test"]])
            found = _statistic(ranked, ("test", "val light"), first_two)
            verdict = _if_enough(rows, found, lambda one: _on_its_side(one, "no correlation found"))
            unit = "Spearman's rho of accuracy after light and after full training"
            numbers = _numbers(found._replace(each=Values()), rows)
            cases.append(Case(f"{network}, {search}", numbers, verdict, unit, on(rows), FULL))
    return cases


def choosing_on_test(f: Frames) -> list[Case]:
    """The reported accuracy if the winner is chosen on the test split, minus that if on the validation split."""
    cases = []
    for network, search, rows in _searches(f.light, tuple(dict.fromkeys(f.light.search))):
        full = of_search(f.full, network, search)
        gap, stage = minus(winner(rows, full, "test"), winner(rows, full)), _stage(rows, full)
        verdict = alike(gap, NEGLIGIBLE)
        if verdict == "holds here":
            verdict = "holds here" if _by_lot(rows, full, gap) <= ALPHA else "undecided"
        unit = f"chosen by test minus by validation, points of top-1 {AFTER[stage]}, over seeds"
        cases.append(Case(f"{network}, {search}", signed(gap), verdict, unit, on(rows), stage))
    return cases


def _by_lot(light: pd.DataFrame, full: pd.DataFrame, gap: Values) -> float:
    """The p that a winner drawn by lot would be as near to the best on the test split, in the mean over the seeds."""
    rows, _, test, _ = made.winners(light, full)
    generator = np.random.default_rng(0)
    below = [one.max() - one.to_numpy() for _, one in rows.groupby("seed")[test]]
    drawn = np.mean([generator.choice(gaps, LOTS) for gaps in below], axis=0)
    return share_of(drawn <= fmean(gap) + 1e-9)


# Ablations


def _second_stage(f: Frames, light: bool) -> list[Case]:
    """SACP minus SACP-2, the best of the m on the validation split: as it is after light fine-tuning, or trained in full."""
    cases = []
    for network, search, full in _searches(f.full, READINGS):
        rows = of_search(f.light, network, search)
        most = full[full.m == full.m.max()]
        alone = made.best(rows, "val light", "test light") if light else made.best(most[most["rank"] == 0], "val", "test")
        gap = minus(winner(rows, full), alone)
        if gap and (light or most["rank"].nunique() > 1):
            moment = "as it is" if light else "trained in full"
            unit = f"SACP minus SACP-2 {moment}, points of top-1, over seeds"
            cases.append(Case(f"{network}, {search}", signed(gap), side_of(gap), unit, on(full), FULL))
    return cases


def second_stage_helps(f: Frames) -> list[Case]:
    return _second_stage(f, light=True)


def by_selection(f: Frames) -> list[Case]:
    return _second_stage(f, light=False)


# Accuracy beside the unpruned network


def _kept(f: Frames, judged: Callable[[Values], str], archs: Callable[[str], bool]) -> list[Case]:
    cases = []
    for network, search, rows in _searches(f.light, READINGS):
        full = of_search(f.full, network, search)
        drop = winner(rows, full, column="drop").dropna()
        if len(drop) and archs(rows.arch.iloc[0]):
            gain, stage = Values(-points for points in drop), _stage(rows, full)
            numbers = f"{signed(gain)} at FR {fmean(winner(rows, full, column='FR')):.1f}"
            unit = f"winner minus unpruned, which had none of the fine-tuning, points of top-1 {AFTER[stage]}, over seeds"
            verdict = judged(gain) if stage == FULL else "undecided"  # the statements are about what full training leaves
            cases.append(Case(f"{network}, {search}", numbers, verdict, unit, on(rows), stage))
    return cases


def gains(f: Frames) -> list[Case]:
    return _kept(f, side_of, lambda arch: arch != "resnet56")


def loses_little(f: Frames) -> list[Case]:
    return _kept(f, lambda gain: above(gain, -SMALL), lambda arch: arch == "resnet56")


# The paper alone


def untested(_: Frames) -> list[Case]:
    return []


def said(numbers: str, verdict: str) -> Callable[[Frames], list[Case]]:
    """A case that the paper's text decides."""
    return lambda _: [Case("", numbers, verdict)]
