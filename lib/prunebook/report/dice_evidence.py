"""How each claim of the thesis on Sørensen-Dice pruning (Hajbi 2025) is tested: from records to cases with a verdict.

A function per claim, in the parts of the thesis; what they say together is in `dice_claims`. Differences are paired: on one
trained network and with one seed.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median, pvariance
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from prunebook.report import dice_parts as parts
from prunebook.report import tables
from prunebook.report.dice_tables import (
    BOOK,
    SAME_COST,
    SAME_LEAD,
    THESIS_DATASETS,
    THESIS_MODELS,
    THESIS_RATIO,
    common_moment,
    comparisons,
    judge,
    lead,
    network,
    of_method,
    thesis_leads,
)
from prunebook.report.kcore_claims import Case, Network, sign, signed
from prunebook.report.statistics import separates, variance_p
from prunebook.report.tables import Values, paired, repetitions
from prunebook.trials import Record, Trial

Gap = Callable[[pd.DataFrame, str], Values]  # rows of a network and another method -> repetitions of a difference

SAME = 1.0  # points of accuracy: two readings within it count as one
NEGLIGIBLE = 0.1  # points
CLUSTERED = 3.0  # points between the lowest and the highest of the other methods: ResNet-50 in Table 2
PRESERVED = 1.0  # points of accuracy that may be lost
RECOVERED = 80.0  # percent of the unpruned accuracy, the lower end of what the thesis says
SLIGHTLY = 0.1  # share of the speed-up
MINUTES = 60 / 75  # chapter 4
SAME_SHARE = 0.1  # of that ratio
OWN = -0.9  # a rank correlation beyond it says that one number is nearly the other


class Records(NamedTuple):
    """What the claims are tested with, by the parts of the study (`studies.dice.parts`)."""

    baselines: Sequence[Record] = ()
    growing: Sequence[Record] = ()
    sources: Sequence[Record] = ()
    profiles: Sequence[Record] = ()
    speeds: Sequence[Record] = ()
    curves: Sequence[Record] = ()
    stops: Sequence[Record] = ()
    variants: Sequence[Record] = ()
    quantiles: Sequence[Record] = ()
    equal_macs: Sequence[Record] = ()
    fixed_ratio: Sequence[Record] = ()
    controls: Sequence[Record] = ()
    tunings: Sequence[Record] = ()
    transfers: Sequence[Record] = ()

    def frame(self, records: Sequence[Record]) -> pd.DataFrame:
        """`comparisons`, with the networks that were pruned."""
        return comparisons(records, (*self.baselines, *self.growing))


# Verdicts beside `sign`


def side(gap: Values) -> str:
    """As `sign`, but "no difference found" where the interval of at least three repetitions includes 0."""
    return "no difference found" if len(gap) >= 3 and sign(gap) == "undecided" else sign(gap)


def alike(gap: Values, within: float = SAME) -> str:
    """Whether two things are the same but for `within` points: by the 95 % interval of their difference."""
    if len(gap) < 3:
        return "undecided"
    mean, half, _ = tables.interval(gap)
    if abs(mean) + half <= within:
        return "holds here"
    return "does not hold here" if abs(mean) - half > within else "undecided"


def above(values: Values, limit: float) -> str:
    """Whether the interval lies above the limit: "does not hold here" if it lies below."""
    return sign(Values(value - limit for value in values)).replace("the opposite holds", "does not hold")


def _rule(met: bool, n: int) -> str:
    """Of a rule that is met or not, if there are at least three repetitions."""
    return "undecided" if n < 3 else "holds here" if met else "does not hold here"


# Frames and cases


def _networks(frame: pd.DataFrame) -> Iterable[tuple[str, tuple[str, str], pd.DataFrame]]:
    """Every network and dial: a name, (dataset, arch), and the rows."""
    groups: Any = frame.groupby(["dataset", "arch", "dial"])
    dials = frame.groupby(["dataset", "arch"]).dial.nunique()
    for (dataset, arch, dial), rows in groups:
        name = network(dataset, arch) + (f", {dial}" if dials[dataset, arch] > 1 else "")
        yield name, (dataset, arch), rows


def _on(rows: pd.DataFrame) -> frozenset[Network]:
    """The networks before pruning; the thesis prints no MACs of its own."""
    return frozenset(Network(*values, math.nan) for values in zip(rows.dataset, rows.arch, rows.width, strict=True))


def _others(rows: pd.DataFrame) -> list[str]:
    return [method for method in dict.fromkeys(rows.method) if method != "dice"]


def _epochs(rows: pd.DataFrame, moment: str) -> int:
    """Epochs after the baseline's training, regularised or fine-tuned; 0 where the accuracy is from before."""
    return int((rows["finetune epochs"] + rows["regularised epochs"]).max()) if moment == "fine-tuned" else 0


def _against_others(frame: pd.DataFrame, n: int, others: str, of: str) -> list[Case]:
    """Dice that prunes layers `of` minus every other method that prunes `others`; the thesis's leads are of Table n."""
    cases = []
    for name, (dataset, arch), rows in _networks(frame):
        moment, words = common_moment(rows)
        place = (THESIS_DATASETS.get(dataset, ""), THESIS_MODELS.get(arch, ""))
        for method in _others(rows):
            gap, cost = (lead(rows, column, method, others, of) for column in (f"top1 {moment}", "FR macs"))
            if gap:
                theirs = thesis_leads(n).get((*place, method))
                numbers = signed(gap) + ("" if theirs is None else f", in the thesis {theirs:+.3g}")
                uneven = others == of and abs(fmean(cost)) > SAME_COST
                verdict = "unequal cost" if uneven else side(gap)
                unit = f"Dice minus it, points of top-1 after {words}"
                cases.append(Case(f"{name}, {method}", numbers, verdict, unit, _on(rows), _epochs(rows, moment)))
    return cases


def _ratio_frame(r: Records) -> pd.DataFrame:
    frame = r.frame(r.fixed_ratio)
    return frame[(frame.ratio - THESIS_RATIO).abs() < 1e-9]


def _target_frame(r: Records) -> pd.DataFrame:
    frame = r.frame(r.equal_macs)
    return frame[frame.target.notna()]


# Accuracy beside other methods


def ahead_as_in_table_2(r: Records) -> list[Case]:
    return _against_others(_ratio_frame(r), 2, "all", "conv")


def ahead_at_equal_cost(r: Records) -> list[Case]:
    return _against_others(_ratio_frame(r), 2, "all", "all")


def ahead_as_in_table_3(r: Records) -> list[Case]:
    return _against_others(_target_frame(r), 3, "conv", "conv")


def leads_as_far(r: Records) -> list[Case]:
    """Over the best other method, which the validation split picks, beside the thesis's lead over its best."""
    cases = []
    for n, frame, layers in ((2, _ratio_frame(r), "all"), (3, _target_frame(r), "conv")):
        for name, (dataset, arch), rows in _networks(frame):
            place = (THESIS_DATASETS.get(dataset, ""), THESIS_MODELS.get(arch, ""))
            theirs = [points for key, points in thesis_leads(n).items() if key[:2] == place]
            scores = {m: of_method(rows, m, layers)["val fine-tuned"].mean() for m in _others(rows)}
            scores = {method: score for method, score in scores.items() if not math.isnan(score)}
            best = max(scores, key=scores.__getitem__, default="")
            gap = lead(rows, "top1 fine-tuned", best, layers)
            if theirs and gap:
                verdict = alike(Values(points - min(theirs) for points in gap), SAME_LEAD)
                numbers = f"{signed(gap)} over {best}, in the thesis {min(theirs):+.3g}"
                unit = "lead over the best other, points of top-1"
                cases.append(Case(f"Table {n}, {name}", numbers, verdict, unit, _on(rows), _epochs(rows, "fine-tuned")))
    return cases


def clustered(r: Records) -> list[Case]:
    cases = []
    for name, _, rows in _networks(_ratio_frame(r)):
        moment, _ = common_moment(rows)
        values = [repetitions(of_method(rows, m, "all"), f"top1 {moment}") for m in _others(rows)]
        if len(values) >= 2:
            means, n = [fmean(found) for found in values], min(map(len, values))
            noise = math.sqrt(fmean(pvariance(found) * len(found) / max(1, len(found) - 1) for found in values))
            width = max(means) - min(means)
            spread = f"deviation over trainings {noise:.2f}" if n > 1 else "one training"
            numbers = f"{width:.2f} points between {len(means)} methods, {spread}"
            verdict = _rule(width <= max(CLUSTERED, 2 * noise), n)
            cases.append(Case(name, numbers, verdict, "", _on(rows), _epochs(rows, moment)))
    return cases


def best_everywhere(r: Records) -> list[Case]:
    """In how many cells of Tables 2 and 3, and in how many trainings, Dice is highest; ties count for the other."""
    cases = []
    for n, frame, layers in ((2, _ratio_frame(r), "all"), (3, _target_frame(r), "conv")):
        cells, won, seeds, won_seeds, repeats = 0, 0, 0, 0, []
        ran = []
        for _, _, rows in _networks(frame):
            moment, _ = common_moment(rows)
            others = pd.concat([of_method(rows, m, layers) for m in _others(rows)]) if _others(rows) else rows.head(0)
            top1 = pd.concat([of_method(rows, "dice"), others]).pivot_table(
                index="seed", columns="method", values=f"top1 {moment}"
            )
            if "dice" in top1 and top1.shape[1] > 1:
                rest = top1.drop(columns="dice")
                cells, won = cells + 1, won + int(top1.dice.mean() > rest.mean().max())
                seeds, won_seeds = seeds + len(top1), won_seeds + int((top1.dice > rest.max(axis=1)).sum())
                repeats.append(len(top1))
                ran.append((_on(rows), _epochs(rows, moment)))
        if cells:
            numbers = f"highest mean in {won} of {cells} cells, highest in {won_seeds} of {seeds} trainings"
            on = frozenset(one for networks, _ in ran for one in networks)
            epochs = max(epochs for _, epochs in ran)
            cases.append(Case(f"Table {n}", numbers, _rule(won == cells, min(repeats)), "", on, epochs))
    return cases


def beats_magnitudes(r: Records) -> list[Case]:
    """Mean over the networks of each repetition, at equal cost."""
    cases = []
    for title, frame, layers in (("ratio", _ratio_frame(r), "all"), ("target", _target_frame(r), "conv")):
        for method in ("l1", "group_norm"):
            found, used = [], []
            for _, _, rows in _networks(frame):
                moment, words = common_moment(rows)
                gap = lead(rows, f"top1 {moment}", method, layers, layers)
                if gap:
                    found.append(gap)
                    used.append((rows, moment, words))
            if found and len(set(map(len, found))) == 1:
                pooled = Values(fmean(points) for points in zip(*found, strict=True))
                on = frozenset(one for rows, _, _ in used for one in _on(rows))
                rows, moment, words = used[0]
                name = f"{method}, same {title}, {len(found)} network{'s' * (len(found) > 1)}"
                unit = f"Dice minus it at equal cost, points of top-1 after {words}"
                cases.append(Case(name, signed(pooled), side(pooled), unit, on, _epochs(rows, moment)))
    return cases


def better_in_table_3(r: Records) -> list[Case]:
    """Accuracy with fewer MACs and recalibrated, minus that at the ratio of Table 2, method by method."""
    first, second, cases = _ratio_frame(r), _target_frame(r), []
    for name, (dataset, arch), rows in _networks(second):
        for method in dict.fromkeys(rows.method):
            layers = "conv" if method == "dice" else "all"
            own = of_method(first[(first.dataset == dataset) & (first.arch == arch)], method, layers)
            later = of_method(rows, method)
            gap = paired(later, own, "top1 fine-tuned")
            if gap and _epochs(later, "fine-tuned") == _epochs(own, "fine-tuned"):  # else more epochs, not another table
                speed = " to ".join(f"{found['speed-up macs'].mean():.2f}" for found in (own, of_method(rows, method)))
                case = Case(f"{name}, {method}", f"{signed(gap)}, speed-up {speed}", side(gap), "points of top-1")
                cases.append(case._replace(on=_on(rows), epochs=_epochs(rows, "fine-tuned")))
    return cases


def _of_dice(r: Records, limit: float, share: bool) -> list[Case]:
    """What Dice keeps of the unpruned accuracy, in percent (`share`), or loses of it in points, after all epochs.

    The verdict is by the unpruned network that was trained for as many epochs more; undecided where there is none.
    """
    cases, controls = [], r.frame(r.controls)
    for name, _, rows in _networks(pd.concat([_ratio_frame(r), _target_frame(r)])):
        own = of_method(rows, "dice")
        own = own[own["top1 baseline"].notna() & own["top1 fine-tuned"].notna()]
        if len(own):
            kept = own.assign(kept=100 * own["top1 fine-tuned"] / own["top1 baseline"])
            values = repetitions(kept, "kept" if share else "drop fine-tuned")
            unit = "percent of the unpruned accuracy" if share else "points lost"
            unit += " (the unpruned network had none of the epochs of fine-tuning)"
            numbers = f"{tables.spread(values)} ({len(values)})" if share else signed(values)
            as_long = _as_long(controls, own)
            gap = paired(own, as_long, "top1 fine-tuned")
            ours, theirs = (found.assign(log=np.log(found["top1 fine-tuned"])) for found in (own, as_long))
            of_it = Values(100 * math.exp(ratio) for ratio in paired(ours, theirs, "log"))
            verdict = "undecided"  # without the control: more training may be what keeps the accuracy
            if gap:
                verdict = above(of_it, limit) if share else above(gap, -limit)
            numbers += f" ({signed(gap)} beside the unpruned network with as many epochs)" if gap else ""
            cases.append(Case(name, numbers, verdict, unit, _on(own), _epochs(own, "fine-tuned")))
    return cases


def _as_long(controls: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """The controls of the networks that were pruned, trained for as many epochs as these were fine-tuned."""
    same = controls.dataset.isin(own.dataset) & controls.arch.isin(own.arch) & (controls.width == own.width.iloc[0])
    return controls[same & controls["finetune epochs"].isin(own["finetune epochs"])]


def recovers(r: Records) -> list[Case]:
    return _of_dice(r, RECOVERED, share=True)


def preserves(r: Records) -> list[Case]:
    return _of_dice(r, PRESERVED, share=False)


def _more_on(r: Records, archs: Sequence[str], first: str, second: str) -> list[Case]:
    """The mean lead over the other methods on one dataset, minus that on another, by seed; at equal cost.

    Without growing regularisation, whose network loses accuracy before the cut, by a setting that is not tuned.
    """
    cases = []
    for frame, layers in ((_ratio_frame(r), "all"), (_target_frame(r), "conv")):
        for arch, dial in dict.fromkeys(zip(frame.arch, frame.dial, strict=True)):
            rows = frame[(frame.arch == arch) & (frame.dial == dial)]
            leads = [_mean_lead(rows[rows.dataset == name], layers) for name in (first, second)]
            if arch in archs and all(leads) and len(leads[0]) == len(leads[1]):
                gap = Values(a - b for a, b in zip(*leads, strict=True))
                numbers = f"{signed(gap)}: {signed(leads[0])} against {signed(leads[1])}"
                used = rows[rows.dataset.isin([first, second])]
                case = Case(
                    f"{arch}, {dial}",
                    numbers,
                    side(gap),
                    "mean lead at equal cost, without growing_reg, points of top-1",
                    _on(used),
                )
                cases.append(case._replace(epochs=_epochs(used, common_moment(used)[0])))
    return cases


def _mean_lead(rows: pd.DataFrame, layers: str) -> Values:
    if rows.empty:
        return Values()
    column = f"top1 {common_moment(rows)[0]}"
    others = [method for method in _others(rows) if method != "growing_reg"]  # which lost accuracy before the cut
    leads = [found for m in others if (found := lead(rows, column, m, layers, layers))]
    return Values(fmean(points) for points in zip(*leads, strict=True)) if leads else Values()


def more_on_cifar(r: Records) -> list[Case]:
    return _more_on(r, ("dice_cnn",), "cifar10", "mnist")


def more_on_mnist(r: Records) -> list[Case]:
    return _more_on(r, ("resnet50",), "mnist", "cifar10")


def random_scatters(r: Records) -> list[Case]:
    """The variance of random pruning over the trainings, against the others' without Dice, by an F-test."""
    cases = []
    for name, _, rows in _networks(_target_frame(r)):
        moment, words = common_moment(rows)
        own = repetitions(of_method(rows, "random"), f"top1 {moment}")
        others = [of_method(rows, m).sort_values("seed") for m in _others(rows) if m != "random"]
        distinct = {str(other.keep.tolist()): other for other in others}  # two that keep the same filters are one witness
        rest = [repetitions(other, f"top1 {moment}") for other in distinct.values()]
        if len(own) >= 2 and rest:
            centred = [value - fmean(values) for values in rest for value in values]
            deviations = [float(np.std(own, ddof=1)), float(np.std(centred, ddof=len(rest)))]
            p = variance_p(own, centred, lost=len(rest))
            more = "holds here" if deviations[0] > deviations[1] else "the opposite holds here"
            verdict = more if len(own) >= 3 and separates(p) == "yes" else "undecided"
            numbers = f"{deviations[0]:.2f} against {deviations[1]:.2f} (p = {p:.2g})"
            unit = f"deviation of top-1 over trainings, after {words}"
            cases.append(Case(name, numbers, verdict, unit, _on(rows), _epochs(rows, moment)))
    return cases


# Speed


def speed_ups(r: Records) -> list[Case]:
    """The speed-up of Table 2's ratio, for Dice and for the others, beside what it prints for the network."""
    paper, cases = tables.reported("dice").query("table == 2 and metric == 'speed_up'"), []
    for name, (_, arch), rows in _networks(_ratio_frame(r)):
        model = THESIS_MODELS.get(arch, "")
        for who, method, layers in (("Dice", "dice", "conv"), ("the others", "l1", "all")):
            printed = paper[(paper.model == model) & (paper.ours == (method == "dice"))].printed
            values = repetitions(of_method(rows, method, layers), "speed-up macs")
            if values and len(printed):
                verdict = (
                    "holds here" if judge("speed_up", printed.iloc[0], values, 0) == "as printed" else "does not hold here"
                )
                numbers = f"{fmean(values):.2f} beside {printed.iloc[0]}"
                cases.append(Case(f"{name}, {who}", numbers, verdict, "ratio of MACs", _on(rows)))
    return cases


def ratio_for_176(r: Records) -> list[Case]:
    """The share of the filters that the search for Table 3's speed-up ended with."""
    cases = []
    for name, _, rows in _networks(_target_frame(r)):
        own = of_method(rows, "dice")
        ratio, speed = own["found ratio"].mean(), own["speed-up macs"].mean()
        if abs(speed - 1.76) <= 0.01:
            verdict = "holds here" if abs(ratio - 0.25) <= 0.01 else "does not hold here"
            cases.append(Case(name, f"{ratio:.3f} for {speed:.2f}", verdict, "ratio and speed-up", _on(own)))
    return cases


def slightly_slower(r: Records) -> list[Case]:
    cases = []
    for name, _, rows in _networks(_ratio_frame(r)):
        own, others = (of_method(rows, m, layers)["speed-up macs"].mean() for m, layers in (("dice", "conv"), ("l1", "all")))
        if not math.isnan(own + others):
            verdict = "holds here" if 0 < others - own <= SLIGHTLY * others else "does not hold here"
            numbers = f"{own:.2f} against {others:.2f} ({100 * (own / others - 1):+.0f} %)"
            cases.append(Case(name, numbers, verdict, "ratio of MACs", _on(rows)))
    return cases


def faster_in_time(r: Records) -> list[Case]:
    """Whether the quartiles of the times before and after are apart, cut by cut and batch by batch."""
    cases, frame = [], parts.speeds(r.speeds)
    for _, row in frame.iterrows():
        apart = "holds here" if row.lowest > 1 else "the opposite holds here" if row.highest < 1 else "undecided"
        times = f"{row['latency ratio']:.2f} ({row.lowest:.2f} to {row.highest:.2f})"
        name = f"{row.network}, {row.dial}, {row.layers}, {row.images} image{'s' * (row.images > 1)}"
        cases.append(
            Case(name, f"{times} beside {row['MACs ratio']:.2f} in MACs", f"other machine: {apart}", "ratio of times")
        )
    return cases


def minutes(r: Records) -> list[Case]:
    """Seconds of an epoch of fine-tuning over those of an epoch of training the same network before, on one machine."""
    before = {b.key: b for b in r.baselines if b.params.get("fit")}
    frame = r.frame(r.equal_macs)
    trained = [_epoch_before(record, before) for record in r.equal_macs]
    frame["share"] = [a / b for a, b in zip(frame["seconds an epoch"], trained, strict=True)]
    cases = []
    for name, _, rows in _networks(frame[frame.share.notna() & frame.target.notna()]):
        share = repetitions(of_method(rows, "dice"), "share")
        if share:
            macs = 1 / of_method(rows, "dice")["speed-up macs"].mean()
            words = {"holds here": "agrees", "does not hold here": "disagrees", "undecided": "undecided"}
            verdict = words[alike(Values(value - MINUTES for value in share), SAME_SHARE)]
            numbers = f"{tables.spread(share)} beside {MINUTES:.2f}, and {macs:.2f} of the MACs"
            cases.append(Case(name, numbers, f"other machine: {verdict}", "time of an epoch after pruning over one before"))
    return cases


def _epoch_before(record: Record, before: Mapping[str, Record]) -> float:
    """Seconds of an epoch in which the network of `record` was trained; nan if on other hardware, or not known."""
    found = before.get(Trial("baseline", record.params["baseline"]).key)
    if found is None or found.provenance.get("hardware") != record.provenance.get("hardware"):
        return math.nan
    return float(found.times.get("fit", math.nan)) / float(found.params["fit"]["epochs"])


# Recalibration


def _gain(r: Records, gap: Gap, unit: str, methods: Callable[[pd.DataFrame], list[str]]) -> list[Case]:
    """A difference of each method, before fine-tuning, at the targets."""
    cases = []
    for name, _, rows in _networks(_target_frame(r)):
        for method in methods(rows):
            values = gap(rows, method)
            if values:
                cases.append(Case(f"{name}, {method}", signed(values), side(values), unit, _on(rows)))
    return cases


def _recalibration_gain(rows: pd.DataFrame, method: str) -> Values:
    own = of_method(rows, method)
    return repetitions(own.assign(gain=own["top1 recalibrated"] - own["top1 pruned"]), "gain")


def recalibration_helps(r: Records) -> list[Case]:
    unit = "recalibrated minus cut, points of top-1, not fine-tuned"
    return _gain(r, _recalibration_gain, unit, lambda rows: list(dict.fromkeys(rows.method)))


def helps_dice_most(r: Records) -> list[Case]:
    def more(rows: pd.DataFrame, method: str) -> Values:
        with_gain = rows.assign(gain=rows["top1 recalibrated"] - rows["top1 pruned"])
        return lead(with_gain, "gain", method)

    return _gain(r, more, "Dice's gain minus its, points of top-1, not fine-tuned", _others)


def distorts_most(r: Records) -> list[Case]:
    def worse(rows: pd.DataFrame, method: str) -> Values:
        return Values(-points for points in lead(rows, "top1 pruned", method))

    return _gain(r, worse, "it minus Dice, points of top-1, cut and nothing else", _others)


def recalibration_lasts(r: Records) -> list[Case]:
    """Where fine-tuning ends with recalibration before it, minus where it ends without."""
    cases = []
    for name, what, with_it, without, rows in _tunings(r):
        if what != "all":  # the thesis trains all weights
            continue
        gap = paired(with_it, without, "top1 fine-tuned")
        if gap:
            verdict = "does not hold here" if alike(gap, NEGLIGIBLE) == "holds here" else side(gap)
            verdict = verdict if any(gap) else "equal by construction"
            numbers = f"{signed(gap)}, the largest {max(map(abs, gap)):.3f}"
            unit = "with recalibration minus without, points of top-1 after fine-tuning"
            cases.append(Case(f"{name}, {what}", numbers, verdict, unit, _on(rows), _epochs(rows, "fine-tuned")))
    return cases


# Figure 2


def elbow_at_02(r: Records) -> list[Case]:
    cases, frame = [], parts.elbows(r.curves)
    frame = frame[frame.moment == "pruned"] if len(frame) else frame  # as in the figure
    groups: Any = frame.groupby(["dataset", "arch", "method"]) if len(frame) else []
    for (dataset, arch, method), rows in groups:
        near, n = int((rows["near 0.2"] == "yes").sum()), len(rows)
        bends = f"median {rows.ratio.median():g}, larger bend above the line in {int((rows.side == 'above').sum())}"
        verdict = "undecided" if n / 2 < near < n else _rule(near == n, rows.seed.nunique())
        numbers = f"within a grid point of 0.2 in {near} of {n} curves, {bends}"
        cases.append(Case(f"{network(dataset, arch)}, {method}", numbers, verdict, "", _on(rows)))
    return cases


def _points(r: Records) -> Iterable[tuple[tuple[str, str, str], pd.DataFrame, frozenset[Network]]]:
    """Validation accuracy of Dice's curves by dataset, arch and moment: ratios down, seeds across; and the networks."""
    points = parts.curve_points(r.curves)
    if len(points):
        chosen = points[(points.method == "dice") & (points.split == "val")]
        groups: Any = chosen.groupby(["dataset", "arch", "moment"])
        for key, rows in groups:
            yield key, rows.pivot_table(index="ratio", columns="seed", values="top1"), _on(rows)


def _lost_at_02(curve: pd.DataFrame) -> Values:
    """Share of all that a curve loses that is lost at the ratio nearest to 0.2, in percent, for each seed with a loss."""
    at = min(curve.index, key=lambda ratio: abs(ratio - parts.THESIS_ELBOW))
    first, last = curve.iloc[0], curve.iloc[-1]
    return Values((100 * (first - curve.loc[at]) / (first - last))[first > last])


def steep_at_first(r: Records) -> list[Case]:
    cases = []
    for (dataset, arch, moment), curve, on in _points(r):
        lost, end = _lost_at_02(curve), float(curve.index[-1])
        share = 100 * parts.THESIS_ELBOW / end
        if lost:
            numbers = f"{tables.spread(lost)} % of what is lost at {end:g} (a straight line: {share:.0f} %)"
            cases.append(Case(f"{network(dataset, arch)}, {moment}", numbers, above(lost, share), "", on))
    return cases


def vgg_falls_sharper(r: Records) -> list[Case]:
    cases, found = [], {key: (_lost_at_02(curve), on) for key, curve, on in _points(r)}
    for (dataset, arch, moment), (values, on) in found.items():
        other, others_on = found.get((dataset, "resnet50", moment), (Values(), on))
        if arch == "vgg19" and len(other) == len(values) > 0:
            gap = Values(a - b for a, b in zip(values, other, strict=True))
            name = f"{THESIS_DATASETS.get(dataset, dataset)}, {moment}"
            unit = "VGG-19 minus ResNet-50, percent of what is lost in all"
            cases.append(Case(name, signed(gap), side(gap), unit, on | others_on))
    return cases


# The criterion


def _readings(r: Records, names: Callable[[str], bool], judged: Callable[[Values], str] = alike) -> list[Case]:
    """Other readings against this book's: how many filters they share, and whether accuracy is the same."""
    cases, frame = [], parts.variants(r.variants)
    for _, row in frame.iterrows():
        if row.reading == BOOK or not names(row.reading):
            continue
        tuned = bool(row["minus base fine-tuned"])
        gap = row["minus base fine-tuned"] if tuned else row["minus base"]
        if gap:
            jaccard = f"Jaccard {fmean(row.Jaccard):.2f}, by chance {row['by chance'][0]:.2f}"
            unit = f"minus the reading of this book, points of top-1 {'after fine-tuning' if tuned else 'recalibrated'}"
            dial = f", {row.dial}" if frame.dial.nunique() > 1 else ""
            name, on = (
                f"{network(row.dataset, row.arch)}{dial}, {row.reading}",
                Network(row.dataset, row.arch, row.width, math.nan),
            )
            epochs = int(r.frame(r.variants)["finetune epochs"].max()) if tuned else 0
            cases.append(Case(name, f"{signed(gap)}, {jaccard}", judged(gap), unit, frozenset({on}), epochs))
    return cases


ENDS, MIDDLE = ("high end only", "low end only"), "middle only (control)"
SAME_METHOD = ("greedy", "divided by max(w)", "activations")  # what the thesis treats as one; the others are ours


def either_end(r: Records) -> list[Case]:
    """An end alone may not leave less than both; it may leave more."""
    return _readings(r, lambda reading: reading in ENDS, lambda gap: above(gap, -SAME))


def middle_is_essential(r: Records) -> list[Case]:
    """The two ends must leave more accuracy than the middle, as many filters removed."""
    return _readings(r, lambda reading: reading == MIDDLE, lambda gap: side(Values(-points for points in gap)))


def one_method(r: Records) -> list[Case]:
    return _readings(r, lambda reading: reading in SAME_METHOD)


def more_than_spread(r: Records) -> list[Case]:
    """Rank correlation, in every layer of every training, of a filter's average similarity with its own spread."""
    found: dict[Network, list[Record]] = {}
    for record in r.profiles:
        p = Trial(record.task, record.params).parameters.baseline
        found.setdefault(Network(p.dataset, p.arch, p.options.get("width", 1), math.nan), []).append(record)
    cases = []
    for on, records in found.items():
        known = [rho for record in records for rho in _spread_correlations(record) if not math.isnan(rho)]
        if known:
            middle = median(known)
            verdict = "does not hold here" if middle < OWN and len(records) >= 3 else "undecided"
            over = f"{len(known)} layers" + (f" of {len(records)} trainings" if len(records) > 1 else "")
            numbers = f"median {middle:+.2f} ({min(known):+.2f} to {max(known):+.2f}) over {over}"
            cases.append(Case(network(on.dataset, on.arch), numbers, verdict, "Spearman's rho", frozenset({on})))
    return cases


def _spread_correlations(profile: Record) -> list[float]:
    layers, spreads = profile.result["layers"], profile.result["spread"]
    averages = {name: found["Eq. 1 and 2"]["averages"] for name, found in layers.items()}
    return [float(stats.spearmanr(averages[name], spreads[name]).statistic) for name in averages]


def no_tuning(r: Records) -> list[Case]:
    """Quantiles that let as many filters go as the first such pair: by how much the accuracy moves."""
    frame, cases = r.frame(r.quantiles), []
    frame["pair"] = [f"[{a:g}, {b:g}]" for a, b in zip(frame.alpha, frame.beta, strict=True)]
    for name, _, rows in _networks(frame):
        most = rows[(rows.removed - rows.removed.max()).abs() < 1e-6]
        column = f"top1 {common_moment(rows)[0]}"
        ends = {pair: (abs(a + b - 1), a) for pair, a, b in zip(most.pair, most.alpha, most.beta, strict=True)}
        first, *rest = sorted(ends, key=lambda pair: (round(ends[pair][0], 9), ends[pair][1]))  # even ends before others
        for pair in rest:
            own, base = most[most.pair == pair], most[most.pair == first]
            gap = paired(own, base, column)
            if gap:
                same = own.sort_values("seed").keep.tolist() == base.sort_values("seed").keep.tolist()
                verdict = "equal by construction" if same else alike(gap)
                unit = f"minus {first}, with as many filters removed, points of top-1"
                cases.append(Case(f"{name}, {pair}", signed(gap), verdict, unit, _on(own)))
    return cases


def keeps_to_the_drop(r: Records) -> list[Case]:
    cases, frame = [], parts.stopped(r.stops, r.baselines)
    groups: Any = frame.groupby(["dataset", "arch", "drop", "recalibrate"]) if len(frame) else []
    for (dataset, arch, drop, images), rows in groups:
        lost = repetitions(rows, "lost on test")
        if lost:
            name = f"{network(dataset, arch)}, {drop:g} allowed{', recalibrated' if images else ''}"
            numbers = f"{signed(lost)} lost, {repetitions(rows, 'MACs removed, %')} % of the MACs removed"
            verdict = above(Values(-points for points in lost), -drop)
            cases.append(Case(name, numbers, verdict, "points of top-1 on the test split", _on(rows)))
    return cases


def adapts(r: Records) -> list[Case]:
    cases, frame = [], parts.stopped(r.stops, r.baselines)
    groups: Any = frame.groupby(["dataset", "arch", "recalibrate"]) if len(frame) else []
    for (dataset, arch, images), rows in groups:
        least, most = rows["drop"].min(), rows["drop"].max()
        gap = paired(rows[rows["drop"] == most], rows[rows["drop"] == least], "MACs removed, %")
        if gap and least < most:
            name = f"{network(dataset, arch)}, {most:g} against {least:g} points{', recalibrated' if images else ''}"
            cases.append(Case(name, signed(gap), "by construction", "more removed, points of the MACs", _on(rows)))
    return cases


# Training


def _tunings(r: Records) -> Iterable[tuple[str, str, pd.DataFrame, pd.DataFrame, pd.DataFrame]]:
    """For each network and kind of training: its name, the kind, the rows with recalibration, those without, and all."""
    frame = r.frame(r.tunings)
    for name, _, rows in _networks(frame[frame.trainable != ""]):
        for what in dict.fromkeys(rows.trainable):
            own = rows[rows.trainable == what]
            yield name, what, own[own.recalibrate > 0], own[own.recalibrate == 0], rows


def _training_more(r: Records, first: str, second: str) -> list[Case]:
    """Where training `first` ends, minus where training `second` does, with and without recalibration before."""
    cases = []
    for name, what, *both, rows in _tunings(r):
        for own, words in zip(both, (", recalibrated", ""), strict=True):
            other = rows[(rows.trainable == second) & ((rows.recalibrate > 0) == bool(words))]
            gap = paired(own, other, "top1 fine-tuned")
            if what == first and gap:
                case = Case(name + words, signed(gap), side(gap), f"{first} minus {second}, points of top-1", _on(own))
                cases.append(case._replace(epochs=_epochs(own, "fine-tuned")))
    return cases


def head_is_not_enough(r: Records) -> list[Case]:
    return _training_more(r, "all", "head")


def linear_layers_help(r: Records) -> list[Case]:
    return _training_more(r, "linear", "head")


def diverse_starts(r: Records) -> list[Case]:
    """Spearman's rho of what candidates reach with the diversity of their filters, beside that with trivial predictors."""
    found = parts.rankings(parts.transfers(r.transfers, (*r.sources, *r.baselines)))
    if found.empty:
        return []
    found = found[found.rho.notna()]
    diverse = found.predictor.str.startswith("diversity")
    sources = found[found.predictor == "source top-1"].rho
    trivial = [f"{row.predictor} {row.rho:+.2f} (p = {row.p:.2g})" for _, row in found[~diverse].iterrows()]
    unit = ", ".join(["Spearman's rho with what is reached", *trivial])
    cases = []
    for _, row in found[diverse].iterrows():
        side = "holds here" if row.rho > 0 else "the opposite holds here"
        verdict = side if separates(row["after Holm"]) == "yes" else "undecided"
        if verdict == "holds here" and (sources >= row.rho).any():
            verdict = "undecided"  # a good network is diverse, and it is enough to know that it is good
        numbers = f"{row.rho:+.2f} (p = {row['after Holm']:.2g} after Holm, {row.n} networks)"
        cases.append(Case(row.predictor, numbers, verdict, unit))
    return cases


def untested(_: Records) -> list[Case]:
    return []


def contradicted(numbers: str) -> Callable[[Records], list[Case]]:
    return lambda _: [Case("", numbers, "the thesis contradicts itself")]
