"""How each claim of the annealing paper (Meng et al. 2022) is tested: from records to cases with a verdict.

A function per claim; what they say together is in `annealing_claims`. Repetitions are trained networks, of each the mean
over its rounds; of a single network they are its rounds, and the verdict says so. Differences are paired by network and
round.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd

from prunebook.report import annealing_corruptions as disturbed
from prunebook.report import annealing_tables as made
from prunebook.report.annealing_tables import HALF, level, network, titled
from prunebook.report.dice_evidence import above, alike, side
from prunebook.report.kcore_claims import Case, Network, signed
from prunebook.report.tables import Values, paired, repetitions, spread
from prunebook.studies.annealing import DECISIONS, ONE_SHOT
from prunebook.trials import Record, Trial

THEIRS = ("paper", "official")  # the readings that the paper's results are tested with
OURS = ("absolute",)  # our own change of one
FOLLOWED = (*THEIRS, *OURS)  # those that the parts of the method are tested with
IMAGES = ("mnist", "cifar10", "fashion_mnist", "digits")  # datasets whose robustness the paper could speak of
KEPT = 50.0  # percent of the original
AT_HALF, AT_MORE, AT_END = 50.0, 70.0, 80.0  # shares that sections I and VI.B name
LOSSLESS = 1.0  # points
SAME = 1.0  # points of accuracy, mean over shares, that two choices may differ by
MINUTES = 480.0  # seconds: "within 8 minutes"
SATURATED = 1e-3  # of 1: a squashed NORM so near to it tells no two prunings apart by as much as entropy does
OF_USE = 90.0  # percent of the original accuracy: a network with less is of little use
SAME_TREND = 0.9  # rank correlation along a curve
ONE, SEVERAL = 1, 2  # trained networks behind a case, where `Case` has epochs
OWN = {"paper, greedy": "greedy"}  # a reading's own choice that goes by another name


class Records(NamedTuple):
    """What the claims are tested with, by the parts of the study (`studies.annealing.parts`)."""

    baselines: Sequence[Record] = ()
    paces: Sequence[Record] = ()
    decays: Sequence[Record] = ()
    corrupted: Sequence[Record] = ()
    impacts: Sequence[Record] = ()
    choices: Sequence[Record] = ()


class Part(NamedTuple):
    """What one reading did to the networks of one dataset."""

    dataset: str
    name: str  # of the dataset
    reading: str
    own: pd.DataFrame  # its rows
    rows: pd.DataFrame  # of everything that was done to these networks

    def case(self, metric: str = "top1") -> str:
        """The name of a case of this part."""
        return f"{self.name}, {self.reading}{_by(metric)}"


class Frames(NamedTuple):
    """The tables of `annealing_tables` that the claims are tested on."""

    frame: pd.DataFrame  # of `points`, readings and choices
    corrupted: pd.DataFrame  # of `annealing_corruptions.points`
    predictors: pd.DataFrame
    decays: Sequence[Record]
    paces: Sequence[Record]
    impacts: Sequence[Record]

    @classmethod
    def of(cls, r: Records) -> "Frames":
        frame, corrupted = made.points([*r.decays, *r.choices]), disturbed.points(r.corrupted)
        return cls(frame, corrupted, made.predictors(r.impacts), r.decays, r.paces, r.impacts)

    def networks(self) -> Iterable[tuple[str, str, pd.DataFrame]]:
        """Every dataset, its name, and its rows."""
        return _networks_of(self.frame)

    def parts(self, readings: Sequence[str], datasets: Sequence[str] | None = None) -> Iterator[Part]:
        """Every dataset and reading that there are records of; `datasets`: these alone."""
        return _parts_of(self.frame, readings, datasets)

    def corrupted_parts(self, readings: Sequence[str]) -> Iterator[Part]:
        """The same of corrupted images."""
        return _parts_of(self.corrupted, readings, None)


def _networks_of(frame: pd.DataFrame) -> Iterable[tuple[str, str, pd.DataFrame]]:
    groups: Any = frame.groupby(["dataset", "arch"], sort=False) if len(frame) else []
    return [(dataset, network(dataset), rows) for (dataset, _), rows in groups]


def _parts_of(frame: pd.DataFrame, readings: Sequence[str], datasets: Sequence[str] | None) -> Iterator[Part]:
    for dataset, name, rows in _networks_of(frame):
        for reading in readings if datasets is None or dataset in datasets else ():
            own = rows[rows.reading == reading]
            if len(own):
                yield Part(dataset, name, reading, own, rows)


def _by(metric: str) -> str:
    """Words for robust instances by an attack, to come behind a name; none for accuracy."""
    return "" if metric == "top1" else f", {titled(metric).removesuffix(', %').removeprefix('robust, ')}"


def on(rows: pd.DataFrame) -> frozenset[Network]:
    """The networks before pruning; the paper prints no MACs."""
    return frozenset(Network(*values, math.nan) for values in zip(rows.dataset, rows.arch, rows.width, strict=True))


def _networks(baselines: Iterable[Mapping[str, Any]]) -> frozenset[Network]:
    """The same by the parameters of their training."""
    return frozenset(Network(b["dataset"], b["arch"], b["options"].get("width", 1), math.nan) for b in baselines)


def _trained(rows: pd.DataFrame) -> int:
    return ONE if rows.seed.nunique() == 1 else SEVERAL


def _case(name: str, values: Values, numbers: str, verdict: str, unit: str, rows: pd.DataFrame) -> Case:
    # Rounds of one network that all came out alike are one plan, however often it was drawn.
    if _trained(rows) == ONE and len({round(value, 6) for value in values}) < 3:
        verdict = "undecided"
    return Case(name, numbers, verdict if values else "undecided", unit, on(rows), _trained(rows))


def _attacks(rows: pd.DataFrame, attack: str = "fgsm") -> list[str]:
    """The metrics of robust instances as Definition III.2 counts them, by an attack.

    For images, those alone of which the network before pruning has surely more than one answer to all inputs has: else there
    may be nothing to preserve. Of a single network, rounds begin with one number, which is compared as it is.
    """
    found = [metric for metric in made.metrics(rows) if metric.startswith(attack) and rows[metric].notna().any()]
    if not rows.dataset.isin(IMAGES).any():
        return found
    start = made.at(rows, [0.0])
    beyond = {metric: repetitions(start.assign(beyond=start[metric] - start.constant), "beyond") for metric in found}
    return [metric for metric in found if above(beyond[metric], 0) == "holds here"]


def _those(rows: pd.DataFrame, readings: Sequence[str] = FOLLOWED) -> list[str]:
    return [name for name in readings if (rows.reading == name).any()]


# What is kept


def keeps(share: float, robust: bool) -> Callable[[Frames], list[Case]]:
    """Whether at least `KEPT` percent of the original are left at a share, and more than one answer to all would have."""
    return lambda f: [
        case
        for part in f.parts(THEIRS, IMAGES if robust else None)
        for metric in (_attacks(part.own) if robust else ["top1"])
        for case in _kept(part, metric, share)
    ]


def _kept(part: Part, metric: str, share: float) -> list[Case]:
    left = made.kept(part.own, metric, share)
    if left.empty:
        return []
    values = repetitions(left, "kept")
    beyond = repetitions(left.assign(beyond=left[metric] - left.constant), "beyond")
    verdict = above(values, KEPT)
    if verdict == "holds here" and above(beyond, 0) != "holds here":
        verdict = "as one answer to all"
    numbers = (
        f"{spread(values)} ({len(values)}), one answer to all {fmean(100 * left.constant / left[f'{metric} before']):.0f}"
    )
    return [_case(part.case(metric), values, numbers, verdict, f"% of the original at {share:g} % gone", part.own)]


def lossless(f: Frames) -> list[Case]:
    """Model 1: points of accuracy and of robust instances that are lost at 80 %, or where the pruning ended before."""
    cases = []
    for part in f.parts(THEIRS, ["creditcard"]):
        for metric in ("top1", *_attacks(part.own)):
            lost = _lost(part.own, metric, AT_END)
            name = f"{part.case()}, {titled(metric).removesuffix(', %')}"
            unit = f"points lost at {AT_END:g} % gone, or at the end before it"
            cases.append(_case(name, lost, f"{spread(lost)} ({len(lost)})", _below(lost, LOSSLESS), unit, part.own))
    return cases


def both_lossless(f: Frames) -> list[Case]:
    """Model 1: the same of accuracy, up to where one-shot pruning ends, for it as well."""
    cases = []
    for part in f.parts([*THEIRS, *ONE_SHOT.values()], ["creditcard"]):
        lost = _lost(part.own, "top1", HALF)
        numbers, verdict = f"{spread(lost)} ({len(lost)})", _below(lost, LOSSLESS)
        cases.append(_case(part.case(), lost, numbers, verdict, "points lost at 50 % gone", part.own))
    return cases


def _lost(own: pd.DataFrame, metric: str, share: float) -> Values:
    ends: Any = own.groupby(["seed", "draw"]).removed.max()
    rows = made.at(own, [min(share, float(ends.min()))])
    return repetitions(rows.assign(lost=rows[f"{metric} before"] - rows[metric]), "lost")


def _below(values: Values, limit: float) -> str:
    return above(Values(-value for value in values), -limit)


def grows(f: Frames) -> list[Case]:
    """Whether robust instances increase at first: the mean over shares up to 30 %, minus their number before."""
    cases = []
    for part in f.parts(THEIRS, IMAGES):
        for metric in _attacks(part.own):
            found = made.at(part.own, [10.0, 20.0, 30.0])
            gain = repetitions(found.assign(gain=found[metric] - found[f"{metric} before"]), "gain")
            unit = "points of robust instances, mean at 10, 20 and 30 % gone, minus before"
            cases.append(_case(part.case(metric), gain, signed(gain), side(gain), unit, part.own))
    return cases


def same_trend(f: Frames) -> list[Case]:
    """Spearman's rho of accuracy and robust instances along a curve, by FGSM and where it was counted by PGD."""
    cases = []
    for part in f.parts(THEIRS, IMAGES):
        for metric in [*_attacks(part.own), *_attacks(part.own, "pgd")]:
            rhos = []
            for (seed, draw), curve in part.own.groupby(["seed", "draw"]):
                rho = made.rank_correlation(curve.top1.tolist(), curve[metric].tolist())
                rhos.append({"seed": seed, "draw": draw, "rho": rho})
            values = repetitions(pd.DataFrame(rhos), "rho")
            numbers, verdict = f"{spread(values)} ({len(values)})", above(values, SAME_TREND)
            cases.append(_case(part.case(metric), values, numbers, verdict, "Spearman's rho along the curve", part.own))
    return cases


def outlived_by_accuracy(f: Frames) -> list[Case]:
    """What is kept of accuracy minus what is kept of robust instances, at a half, by the attacks of `same_trend`."""
    cases = []
    for part in f.parts(THEIRS, IMAGES):
        for metric in [*_attacks(part.own), *_attacks(part.own, "pgd")]:
            left = made.kept(part.own, metric, HALF)
            if len(left):
                values = repetitions(left.assign(less=100 * left.top1 / left["top1 before"] - left.kept), "less")
                unit = f"% kept of top-1 minus % kept of robust instances, {HALF:g} % gone"
                cases.append(_case(part.case(metric), values, signed(values), side(values), unit, part.own))
    return cases


# Against one-shot pruning, and against chance


def ahead_of_one_shot(robust: bool) -> Callable[[Frames], list[Case]]:
    """Mean over the shares up to a half, minus that of the baseline with the reading's own saliency."""
    return lambda f: [
        case
        for part in f.parts(FOLLOWED, IMAGES if robust else None)
        for metric in (_attacks(part.rows) if robust else ["top1"])
        for case in _minus(part.name, part.rows, part.reading, ONE_SHOT[part.reading], metric)
    ]


def _minus(name: str, rows: pd.DataFrame, first: str, second: str, metric: str = "top1", most: float = HALF) -> list[Case]:
    """The mean level of one decision minus that of another, paired."""
    one, other = rows[rows.reading == first], rows[rows.reading == second]
    if one.empty or other.empty:
        return []
    gap = _gap(one, other, metric, most)
    unit = f"{'top-1' if metric == 'top1' else 'robust instances'}, points, mean to {most:g} % gone"
    name = f"{name}, {first} minus {second}{_by(metric)}"
    return [_case(name, gap, signed(gap) if gap else "—", side(gap), unit, one)]


def _gap(one: pd.DataFrame, other: pd.DataFrame, metric: str, most: float) -> Values:
    return _apart(level(one, metric, most), level(other, metric, most))


def _apart(first: pd.DataFrame, second: pd.DataFrame) -> Values:
    """One "level" minus another, of each network and round; what draws nothing has one round, which stands for all."""
    if first.draw.nunique() == 1 or second.draw.nunique() == 1:
        pairs = first.merge(second, on="seed", suffixes=("", " of it"))
        return repetitions(pairs.assign(gap=pairs.level - pairs["level of it"]), "gap")
    return paired(first, second, "level")


def gains_as_much(dataset: str, metric: str, percent: float) -> Callable[[Frames], list[Case]]:
    """The largest improvement over one-shot pruning at any share up to a half, of each repetition, beside the printed one.

    The largest of several is above 0 by chance, so that random pairs have to stay behind it, and surely: paired by network
    and round.
    """

    def cases(f: Frames) -> list[Case]:
        found = []
        for name, words, rows in f.networks():
            if name != dataset:
                continue
            attacks = _attacks(rows)
            for column in ["top1"] if metric == "top1" else attacks:
                gains = made.improvements(rows, column)
                largest = gains.groupby(["reading", "seed", "draw"], sort=False).gain.max().reset_index()
                lots = largest[largest.reading == "random pairs"]
                chance = repetitions(lots, "gain")
                for reading in _those(rows, THEIRS):
                    own = largest[largest.reading == reading]
                    values = repetitions(own, "gain")
                    lead = paired(own, lots, "gain") if len(lots) else Values()
                    if values:
                        found.append(_largest(words, reading, column, values, chance, lead, percent, rows))
        return found

    return cases


def _largest(
    name: str, reading: str, metric: str, values: Values, chance: Values, lead: Values, percent: float, rows: pd.DataFrame
) -> Case:
    verdict = above(values, percent)
    if verdict == "holds here" and reading == "paper" and chance and side(lead) != "holds here":
        verdict = "as random pairs"
    numbers = f"{spread(values)} ({len(values)}), in the paper {percent:g}"
    if reading == "paper" and chance:
        numbers += f", random pairs above one-shot {spread(chance)}, ahead of them by {signed(lead) if lead else '—'}"
    unit = "largest improvement up to 50 % gone, % of the baseline"
    return _case(f"{name}, {reading}{_by(metric)}", values, numbers, verdict, unit, rows)


def ahead_of(*others: str, most: float = 75.0) -> Callable[[Frames], list[Case]]:
    """Each reading minus other decisions; "*, change" stands for the reading's own choice of that name."""
    return lambda f: [
        case
        for part in f.parts(FOLLOWED)
        for other in (each.replace("*", part.reading) for each in others)
        for case in _minus(part.name, part.rows, part.reading, OWN.get(other, other), most=most)
    ]


def improved_by(*others: str, most: float = 75.0) -> Callable[[Frames], list[Case]]:
    """Other decisions minus each reading, named as in `ahead_of`."""
    return lambda f: [
        case
        for part in f.parts(FOLLOWED)
        for other in others
        for case in _minus(part.name, part.rows, other.replace("*", part.reading), part.reading, most=most)
    ]


def as_good_as(*others: str, most: float = 75.0) -> Callable[[Frames], list[Case]]:
    """Whether other values of a parameter change the accuracy by at most `SAME` points."""

    def cases(f: Frames) -> list[Case]:
        found = []
        for part in f.parts(FOLLOWED):
            for other in (each.replace("*", part.reading) for each in others):
                one = part.rows[part.rows.reading == other]
                if len(one) and other in DECISIONS:
                    gap = _gap(one, part.own, "top1", most)
                    unit = f"top-1, points, mean to {most:g} % gone, minus the reading's own"
                    numbers = signed(gap) if gap else "—"
                    found.append(_case(f"{part.name}, {other}", gap, numbers, alike(gap, SAME), unit, one))
        return found

    return cases


# Disturbances that nobody intends


def sturdier(equal: str, readings: Sequence[str] = THEIRS) -> Callable[[Frames], list[Case]]:
    """Accuracy on corrupted images, minus that of one-shot pruning by the same saliency and of random pairs.

    `equal` is "share", as many units gone, or "accuracy" on clean images, see `annealing_corruptions.at_equal_accuracy`.
    The latter is undecided where the accuracies that both have are less than `annealing_corruptions.WIDE` points: in the
    mean over networks, of each over its rounds.
    """
    judged = _when_as_many_are_gone if equal == "share" else _when_as_accurate
    return lambda f: list(judged(f, readings, side))


def no_sturdier(f: Frames) -> list[Case]:
    """Whether a reading is surely less than `SAME` points ahead of them where clean images are answered equally well."""
    return list(_when_as_accurate(f, THEIRS, lambda gap: _below(gap, SAME)))


def _when_as_many_are_gone(f: Frames, readings: Sequence[str], judge: Callable[[Values], str]) -> Iterator[Case]:
    unit = f"top-1 on corrupted images, points, mean to {HALF:g} % gone"
    for part, other, rows in _compared_when_corrupted(f, readings):
        shares = sorted({share for share in part.rows.share if 0 < share <= HALF})
        gap = _apart(disturbed.levels(part.own, shares), disturbed.levels(rows, shares))
        yield _case(f"{part.case()} minus {other}", gap, signed(gap) if gap else "—", judge(gap), unit, part.own)


def _when_as_accurate(f: Frames, readings: Sequence[str], judge: Callable[[Values], str]) -> Iterator[Case]:
    unit = "top-1 on corrupted images, points, at equal accuracy on clean images"
    for part, other, rows in _compared_when_corrupted(f, readings):
        found = disturbed.at_equal_accuracy(part.own, rows)
        gap, width = repetitions(found, "gap"), repetitions(found, "width")
        wide = fmean(width) if width else 0.0
        numbers = f"{signed(gap)} over {wide:.1f} points of clean accuracy" if gap else "—"
        verdict = judge(gap) if wide >= disturbed.WIDE else "undecided"
        yield _case(f"{part.case()} minus {other}", gap, numbers, verdict, unit, part.own)


def _compared_when_corrupted(f: Frames, readings: Sequence[str]) -> Iterator[tuple[Part, str, pd.DataFrame]]:
    """Each reading, what it is set against, and the rows of that."""
    for part in f.corrupted_parts(readings):
        for other in (ONE_SHOT[part.reading], "random pairs"):
            rows = part.rows[part.rows.reading == other]
            if len(rows):
                yield part, other, rows


# What the chapter expected


def no_better(first: str, second: str, most: float = 75.0) -> Callable[[Frames], list[Case]]:
    """Whether a decision is surely less than `SAME` points ahead of another."""

    def cases(f: Frames) -> list[Case]:
        found = []
        for _, name, rows in f.networks():
            one, other = rows[rows.reading == first], rows[rows.reading == second]
            gap = _gap(one, other, "top1", most) if len(one) and len(other) else Values()
            if gap:
                unit = f"top-1, points, mean to {most:g} % gone"
                found.append(_case(f"{name}, {first} minus {second}", gap, signed(gap), _below(gap, SAME), unit, one))
        return found

    return cases


def minus(first: str, second: str, most: float = HALF) -> Callable[[Frames], list[Case]]:
    """One decision minus another, in accuracy."""
    return lambda f: [case for _, name, rows in f.networks() for case in _minus(name, rows, first, second, most=most)]


def most_of_the_lead(f: Frames) -> list[Case]:
    """The lead of the code's one-shot pruning over the text's method, less half of the lead that the whole code has."""
    found = []
    for _, name, rows in f.networks():
        paper, whole, once = (rows[rows.reading == reading] for reading in ("paper", "official", "one-shot, official"))
        if len(paper) and len(whole) and len(once):
            levels = [level(each, "top1", HALF).groupby("seed")["level"].mean() for each in (paper, whole, once)]
            gap = (levels[2] - levels[0]) - (levels[1] - levels[0]) / 2
            values = Values(gap.dropna())
            unit = "top-1, points, mean to 50 % gone: its lead over paper, less half of official's"
            found.append(_case(name, values, signed(values) if values else "—", side(values), unit, whole))
    return found


def saturates(f: Frames) -> list[Case]:
    """How far the squashed NORM of a whole pruning is from 1, in the paper's reading."""
    found, walks = [], made.walks(f.decays)
    for _, name, rows in f.networks():
        own = rows[rows.reading == "paper"]
        words = [network(*place) for place in own[["dataset", "arch"]].drop_duplicates().itertuples(index=False)]
        here = walks[walks.network.isin(words) & (walks.reading == "paper")] if words else walks
        for rest in here["1 - sigma"].dropna() if words else []:
            verdict = "holds here" if rest < SATURATED else "does not hold here"
            found.append(Case(name, f"{rest:.1g}", verdict, "1 - sigma(NORM) of all removals", on(own), _trained(own)))
    return found


def largest_gain_is_where_little_is_left(f: Frames) -> list[Case]:
    """The accuracy left, in percent of the original, at the share where the gain over one-shot pruning is largest.

    Without a sure gain there, there is nothing to judge.
    """
    found = []
    for _, name, rows in f.networks():
        gains = made.improvements(rows, "top1")
        for reading in _those(rows):
            own = gains[gains.reading == reading]
            if len(own):
                means = own.groupby("share").gain.mean()
                share = float(means.index[int(means.argmax())])
                gain = repetitions(own[own.share == share], "gain")
                left = repetitions(made.kept(rows[rows.reading == reading], "top1", share), "kept")
                most = signed(gain).rpartition(" (")[0]
                numbers = f"{most} % at {share:g} % gone, {spread(left)} % of the accuracy left ({len(left)})"
                verdict = _below(left, OF_USE) if side(gain) == "holds here" else "undecided"
                unit = "largest mean gain over one-shot pruning"
                found.append(_case(f"{name}, {reading}", left, numbers, verdict, unit, rows))
    return found


def quick(f: Frames) -> list[Case]:
    """Seconds for the MNIST network, at one or two units a layer and epoch."""
    cases = fast(f._replace(paces=[r for r in f.paces if r.params["baseline"]["dataset"] == "mnist"]))
    seconds = [r.times["plan"] for r in f.paces if r.params["baseline"]["dataset"] == "mnist"]
    words = {True: "holds here", False: "does not hold here"}
    return [case._replace(verdict=words[each <= made.SAME_TIME]) for case, each in zip(cases, seconds, strict=True)]


# What single numbers know


def foretells(*predictors: str) -> Callable[[Frames], list[Case]]:
    """Whether a number known without data has a positive rank correlation with how much a removal changes the outputs."""

    def cases(f: Frames) -> list[Case]:
        found, table = [], f.predictors
        rows = table[table.predictor.isin(predictors) & (table.harm == "moved")] if len(table) else table
        for _, row in rows.iterrows():
            probed = [r.params["baseline"] for r in f.impacts if r.params["baseline"]["dataset"] == row.dataset]
            constant = row["constant, %"] == 100
            numbers, verdict = ("constant", "does not hold here") if constant else (signed(row.rho), _correlates(row.rho))
            unit = "rank correlation with the change of the outputs, over pairs"
            several = SEVERAL if len(probed) > 1 else ONE
            found.append(Case(f"{row.network}, {row.predictor}", numbers, verdict, unit, _networks(probed), several))
        return found

    return cases


def _correlates(rhos: Values) -> str:
    return side(rhos).replace("no difference found", "no correlation found")


def sound(look: str) -> Callable[[Frames], list[Case]]:
    """Whether no NORM is below the range that was measured on inputs.

    The paper's bounds are proved, and this would find an error of ours. The code's are not: that none is found too small
    proves nothing of them.
    """

    def cases(f: Frames) -> list[Case]:
        found, table = [], made.bounds(f.impacts)
        groups: Any = table.groupby("network", sort=False) if len(table) else []
        for name, rows in groups:
            wrong = float(rows[f"below the truth, {look}, %"].mean())
            probed = [r for r in f.impacts if network(r.params["baseline"]["dataset"], r.params["baseline"]["arch"]) == name]
            n = sum(len(layer["pairs"]) for r in probed for layer in r.result["layers"])
            none = "undecided" if look == "official" else "holds here"
            verdict = "does not hold here" if wrong > 0 else none
            on = _networks(r.params["baseline"] for r in probed)
            unit = "pairs of units whose NORM is below the range on inputs"
            found.append(Case(name, f"{wrong:.2f} % of {n:,}", verdict, unit, on, SEVERAL))
        return found

    return cases


# Times


def fast(f: Frames) -> list[Case]:
    """Seconds for 80 % in the steps of Table II."""
    cases = []
    for record in f.paces:
        p = Trial(record.task, record.params).parameters
        base, seconds = p.baseline, record.times["plan"]
        networks = frozenset({Network(base.dataset, base.arch, base.options.get("width", 1), math.nan)})
        theirs = [row["value"] for row in made.printed("time", base.dataset) if row["table"] == "II"]
        numbers = f"{seconds:.2g} s" + (f", in the paper {theirs[0]:g} s" if theirs else "")
        verdict = "holds here" if seconds <= MINUTES else "does not hold here"
        cases.append(Case(f"{network(base.dataset)}, {p.decision.variant}", numbers, verdict, "", networks, SEVERAL))
    return cases


def untested(_: Frames) -> list[Case]:
    return []
