"""How each claim of the SACP paper (Liu et al. 2025) is tested: from records to cases with a verdict.

A function per claim, in the parts of the method; what they say together is in `sacp_claims`. What a case says about an
accuracy depends on how far the networks were trained: `RECALIBRATED`, `LIGHT` or `FULL`, which stands where `Case` has
epochs.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from prunebook.report import sacp_tables as made
from prunebook.report.dice_evidence import above, alike, side
from prunebook.report.kcore_claims import Case, Network, signed
from prunebook.report.sacp_tables import L1, MACS, READINGS, SAME_FR, SIMPLE, minus, of_search, winner
from prunebook.report.statistics import partial
from prunebook.report.tables import Values
from prunebook.studies.sacp import AS_COSTLY, RANDOM, SUPERVISED
from prunebook.trials import Record

RECALIBRATED, LIGHT, FULL = 0, 1, 2  # how far the networks were trained whose accuracy a case is about

FEW = 20  # candidates: a bootstrap of fewer has intervals that are too narrow
OWN = 0.9  # a rank correlation beyond it says that one number is nearly the other
APART = 0.05  # cosine
EDGE = 2.0  # points of R(r) above tau that still count as at tau
MOST = 0.95  # of the candidates
SMALL = 1.0  # points of accuracy
NEGLIGIBLE = 0.1  # points
CHANCE = (2.5, 97.5)  # percentiles between which a cost is that of chance


class Records(NamedTuple):
    """What the claims are tested with, by the parts of the study (`studies.sacp.parts`)."""

    baselines: Sequence[Record] = ()
    chances: Sequence[Record] = ()
    learnt: Sequence[Record] = ()
    samples: Sequence[Record] = ()
    regressions: Sequence[Record] = ()
    scores: Sequence[Record] = ()
    searches: Sequence[Record] = ()
    light_scores: Sequence[Record] = ()
    light: Sequence[Record] = ()
    finals: Sequence[Record] = ()


class Sample(NamedTuple):
    """Random candidates of a network whose accuracy is known, and the rank correlations of all that could predict it."""

    network: str
    words: str
    rows: pd.DataFrame
    ranked: made.Ranked


class Frames(NamedTuple):
    """The tables of `sacp_tables` that the claims are tested on."""

    histories: pd.DataFrame
    samples: list[Sample]  # those sampled and those of the random search
    light: pd.DataFrame
    full: pd.DataFrame
    chances: Sequence[Record]

    @classmethod
    def of(cls, r: Records) -> "Frames":
        samples = [
            Sample(network, words, rows, made.Ranked.of(rows, ["test", *made.predictors(rows)]))
            for frame in (made.candidates(r.samples, r.scores), made.light_candidates(r.light, r.light_scores))
            for network, words, rows in made.blocks(frame)
        ]
        light, full = made.built(r.light, r.baselines), made.finished(r.finals, r.baselines)
        return cls(made.histories(r.learnt), samples, light, full, r.chances)


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
    """How far above tau the candidates of a search remove channels."""
    cases = []
    for name, search, rows in _searches(f.light, READINGS):
        over = rows.R - 100 * rows.tau
        share = float((over < EDGE).mean())
        chance = of_search(f.light, name, RANDOM)
        beside = f", chance {(chance.R - 100 * chance.tau).mean():.1f}" if len(chance) else ""
        numbers = f"{over.mean():.1f} above tau in the mean{beside}, {100 * share:.0f} % of {len(rows)} within {EDGE:g}"
        verdict = "holds here" if share >= MOST else "does not hold here"
        cases.append(Case(f"{name}, {search}", numbers, verdict, "R(r) in points", on(rows)))
    return cases


# What a score knows


def _ranked(
    f: Frames,
    names: Callable[[Sample], Iterable[tuple[str, Sequence[str]]]],
    of: Callable[[np.ndarray], np.ndarray],
    judged: Callable[[float, float], str],
    unit: str,
) -> list[Case]:
    """A statistic of rank correlations in every sample, for each case that `names` makes of it: a name and columns."""
    cases = []
    for sample in f.samples:
        for name, columns in names(sample):
            value, low, high = _one(sample.ranked, columns, of)
            if not math.isnan(value):
                verdict = _if_enough(sample.rows, low, high, judged)
                numbers = f"{value:+.2f} ({low:+.2f} to {high:+.2f}), {len(sample.rows)} candidates"
                case = Case(f"{sample.network}, {sample.words}, {name}", numbers, verdict, unit, on(sample.rows))
                cases.append(case._replace(epochs=_trained(sample.words)))
    return cases


def _one(ranked: made.Ranked, columns: Sequence[str], of: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float, float]:
    """A single statistic with its interval."""
    value, low, high = ranked.statistics(columns, lambda rho: of(rho)[:, None])
    return float(value[0]), float(low[0]), float(high[0])


def _if_enough(rows: pd.DataFrame, low: float, high: float, judged: Callable[[float, float], str]) -> str:
    few = rows.groupby("seed").size().min() < FEW
    return "undecided" if few or math.isnan(low) else judged(low, high)


def _trained(words: str) -> int:
    return LIGHT if words.startswith("random search") and "0 epochs" not in words else RECALIBRATED


def _known(sample: Sample, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in sample.ranked.columns]


def correlates(low: float, high: float) -> str:
    """Of a correlation that a claim says is positive."""
    return "holds here" if low > 0 else "the opposite holds here" if high < 0 else "no correlation found"


def leads(low: float, high: float) -> str:
    """Of a difference that a claim says is positive."""
    return correlates(low, high).replace("correlation", "difference")


def predicts(f: Frames) -> list[Case]:
    def names(sample: Sample) -> Iterable[tuple[str, Sequence[str]]]:
        return ((name, ("test", name)) for name in _known(sample, READINGS))

    return _ranked(f, names, lambda rho: rho[:, 0, 1], correlates, "Spearman's rho of score and accuracy")


def predicts_beyond_cost(f: Frames) -> list[Case]:
    def names(sample: Sample) -> Iterable[tuple[str, Sequence[str]]]:
        return ((name, ("test", name, MACS)) for name in _known(sample, READINGS))

    def given(rho: np.ndarray) -> np.ndarray:
        return np.asarray(partial(rho[:, 0, 1], rho[:, 0, 2], rho[:, 1, 2]))

    return _ranked(f, names, given, correlates, "partial rank correlation of score and accuracy, given the MACs kept")


def _gap(rho: np.ndarray) -> np.ndarray:
    return np.asarray(rho[:, 0, 1] - rho[:, 0, 2])


def _beats(f: Frames, firsts: Sequence[str], seconds: Sequence[str]) -> list[Case]:
    """How much better one predictor ranks the same candidates than another."""

    def names(sample: Sample) -> Iterable[tuple[str, Sequence[str]]]:
        pairs = ((first, second) for first in _known(sample, firsts) for second in _known(sample, seconds))
        return ((f"{first} minus {second}", ("test", first, second)) for first, second in pairs)

    return _ranked(f, names, _gap, leads, "difference of Spearman's rho with accuracy")


def beats_l1(f: Frames) -> list[Case]:
    return _beats(f, READINGS, (L1,))


def edges_matter(f: Frames) -> list[Case]:
    """Encoders that differ in their edges alone."""
    return _beats(f, ("infonce",), ("no edges", "shuffled edges"))


def learning_matters(f: Frames) -> list[Case]:
    return _beats(f, READINGS, ("untrained",))


def beats_regression(f: Frames) -> list[Case]:
    return _beats(f, READINGS, (SUPERVISED,))


def more_than_a_number(f: Frames) -> list[Case]:
    """How nearly a score orders candidates as one of the simple numbers does: the nearest of them."""

    def names(sample: Sample) -> Iterable[tuple[str, Sequence[str]]]:
        for name in _known(sample, READINGS):
            simple = _known(sample, SIMPLE)
            rho = np.abs(sample.ranked.statistics([name, *simple], lambda found: found[:, 0, 1:]).value)
            if not np.isnan(rho).all():
                nearest = simple[int(np.nanargmax(rho))]
                yield f"{name} and {nearest}", (name, nearest)

    return _ranked(f, names, lambda rho: np.abs(rho[:, 0, 1]), _is_other, "|rho| of score and the nearest simple number")


def _is_other(low: float, high: float) -> str:
    return "holds here" if high < OWN else "does not hold here" if low > OWN else "undecided"


def one_reading(f: Frames) -> list[Case]:
    """Whether the readings of section 3.4 order the candidates alike."""

    def names(sample: Sample) -> Iterable[tuple[str, Sequence[str]]]:
        first, *others = _known(sample, READINGS) or [""]
        return ((f"{first} and {other}", (first, other)) for other in others)

    def judged(low: float, high: float) -> str:
        return "holds here" if low > OWN else "does not hold here" if high < OWN else "undecided"

    return _ranked(f, names, lambda rho: rho[:, 0, 1], judged, "Spearman's rho of two scores")


# What an encoder learns


def _learnt(f: Frames) -> Iterable[tuple[str, pd.DataFrame]]:
    """Every network and reading: a name, and the epochs of its encoders."""
    groups: Any = f.histories[f.histories.encoder.isin(READINGS)].groupby(["network", "encoder"], sort=False)
    for (network, encoder), rows in groups:
        yield f"{network}, {encoder}", rows.sort_values("epoch")


def _encoders(n: int) -> str:
    return f"{n} encoder{'s' * (n != 1)}"


def parts_them(f: Frames) -> list[Case]:
    """Whether positives end up nearer to their anchor than negatives."""
    cases = []
    for name, rows in _learnt(f):
        last = rows.groupby("seed").last()
        apart = last.gap > APART
        verdict = "holds here" if apart.all() else "undecided" if apart.any() else "does not hold here"
        numbers = f"{last.positive.mean():.2f} and {last.negative.mean():.2f}, apart by {last.gap.mean():+.2f}"
        unit = "cosine with positives and negatives in the last epoch"
        cases.append(Case(name, f"{numbers}, {_encoders(len(last))}", verdict, unit, on(rows)))
    return cases


def pushes_away(f: Frames) -> list[Case]:
    """Whether negatives have moved away from their anchor since the first epoch."""
    cases = []
    for name, rows in _learnt(f):
        if rows.epoch.nunique() > 1:
            first, last = rows.groupby("seed").negative.first(), rows.groupby("seed").negative.last()
            away, nearer = first - last > APART, last - first > APART
            verdict = "holds here" if away.all() else "the opposite holds here" if nearer.all() else "undecided"
            unit = "cosine with negatives, first to last epoch"
            numbers = f"{first.mean():.2f} to {last.mean():.2f}, {_encoders(len(first))}"
            cases.append(Case(name, numbers, verdict, unit, on(rows)))
    return cases


# What a search finds


def _searches(frame: pd.DataFrame, names: Sequence[str]) -> Iterable[tuple[str, str, pd.DataFrame]]:
    """Network, search and rows of those searches."""
    groups: Any = frame[frame.search.isin(list(names))].groupby(["network", "search"], sort=False)
    for (network, search), rows in groups:
        yield network, search, rows


def _stage(light: pd.DataFrame, full: pd.DataFrame) -> int:
    if len(full):
        return FULL
    return LIGHT if light["light epochs"].min() > 0 else RECALIBRATED


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
                verdict = "unequal cost" if abs(fmean(removed)) > SAME_FR else side(gaps)
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
    """Of the difference of the mean accuracies: numbers, verdict, and what the interval is over."""
    if rows.seed.nunique() > 1:
        gaps = minus(*(some.groupby("seed")["test light"].mean() for some in (rows, others)))
        return signed(gaps) if gaps else "—", side(gaps), "seeds"
    a, b = rows["test light"], others["test light"]
    gap = a.mean() - b.mean()
    if min(len(a), len(b)) < 3:
        return f"{gap:+.2f}", "undecided", "candidates"
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    return f"{gap:+.2f} ({low:+.2f} to {high:+.2f})", leads(low, high), "candidates"


def _against(f: Frames, firsts: Sequence[str], seconds: Sequence[str], unit: str) -> list[Case]:
    """The winner of one search minus that of another, seed by seed; without a verdict where they cost differently."""
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
                verdict = "unequal cost" if abs(fmean(removed)) > SAME_FR else side(gap)
                numbers = f"{signed(gap)}, FR {fmean(removed):+.2f}"
                words = f"{unit}, points of top-1 {AFTER[stage]}, over seeds"
                cases.append(Case(f"{network}, {search} minus {other}", numbers, verdict, words, on(rows), stage))
    return cases


def _rivals(f: Frames, network: str, search: str, names: Sequence[str]) -> Iterable[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Other searches of a network, and their candidates; the equally costly one beside the search that it is like."""
    for name in names:
        if name != AS_COSTLY or search in made.partners(f.light, network):
            rows = of_search(f.light, network, name)
            if len(rows):
                yield name, rows, of_search(f.full, network, name)


def wins(f: Frames) -> list[Case]:
    return _against(f, READINGS, (RANDOM, AS_COSTLY), "winner minus winner, both chosen on the validation split")


def wins_over_regression(f: Frames) -> list[Case]:
    return _against(f, READINGS, (SUPERVISED,), "winner minus winner, both chosen on the validation split")


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
    for network, search, rows in _searches(f.full, (*READINGS, RANDOM, AS_COSTLY)):
        most = rows[rows.m == rows.m.max()]
        k = most["rank"].nunique()
        gain = _by_seed(most, most[most["rank"] == 0], full=True)
        if k > 1 and gain:
            unit = "winner of k by validation minus k = 1, points of top-1 after full training, over seeds"
            cases.append(Case(f"{network}, {search}, k = {k}", signed(gain), side(gain), unit, on(rows), FULL))
    return cases


def _gains(f: Frames) -> Iterable[tuple[str, str, str, Values, pd.DataFrame, int]]:
    """For every search what a larger m brings: network, search, from m to m, repetitions, rows, and stage.

    Trained in full from the smallest m to the largest, or else after light fine-tuning from half of the places to all.
    """
    for network, search, rows in _searches(f.light, (*READINGS, RANDOM, AS_COSTLY)):
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
        Case(f"{network}, {search}, {words}", signed(gain), side(gain),
             f"winner by validation, points of top-1 {AFTER[stage]}, over seeds", on(rows), stage)
        for network, search, words, gain, rows, stage in _gains(f)
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
            cases.append(Case(f"{network}, {search}, {words}", numbers, side(gap), unit, on(rows), stage))
    return cases


def light_tells(f: Frames) -> list[Case]:
    """Rank correlation of validation accuracy after light fine-tuning with test accuracy after full training."""
    cases = []
    key = ["network", "search", "seed", "place"]
    once = f.full.drop_duplicates(key)
    both = once.merge(f.light[[*key, "val light"]], on=key) if len(once) else once
    for network, search, rows in _searches(both, tuple(dict.fromkeys(both.search))):
        if rows.groupby("seed").size().min() >= 3:
            columns = ["val light", "test"]
            value, low, high = _one(made.Ranked.of(rows, columns), columns, lambda rho: rho[:, 0, 1])
            verdict = _if_enough(rows, low, high, correlates)
            numbers = f"{value:+.2f} ({low:+.2f} to {high:+.2f}), {len(rows)} candidates"
            unit = "Spearman's rho of accuracy after light and after full training"
            cases.append(Case(f"{network}, {search}", numbers, verdict, unit, on(rows), FULL))
    return cases


def choosing_on_test(f: Frames) -> list[Case]:
    """The reported accuracy if the winner is chosen on the test split, minus that if on the validation split."""
    cases = []
    for network, search, rows in _searches(f.light, tuple(dict.fromkeys(f.light.search))):
        full = of_search(f.full, network, search)
        gap, stage = minus(winner(rows, full, "test"), winner(rows, full)), _stage(rows, full)
        verdict = alike(gap, NEGLIGIBLE)
        unit = f"chosen by test minus by validation, points of top-1 {AFTER[stage]}, over seeds"
        cases.append(Case(f"{network}, {search}", signed(gap), verdict, unit, on(rows), stage))
    return cases


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
            cases.append(Case(f"{network}, {search}", signed(gap), side(gap), unit, on(full), FULL))
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
            cases.append(Case(f"{network}, {search}", numbers, judged(gain), unit, on(rows), stage))
    return cases


def gains(f: Frames) -> list[Case]:
    return _kept(f, side, lambda arch: arch != "resnet56")


def loses_little(f: Frames) -> list[Case]:
    return _kept(f, lambda gain: above(gain, -SMALL), lambda arch: arch == "resnet56")


# The paper alone


def untested(_: Frames) -> list[Case]:
    return []


def said(numbers: str, verdict: str) -> Callable[[Frames], list[Case]]:
    """A case that the paper's text decides."""
    return lambda _: [Case("", numbers, verdict)]
