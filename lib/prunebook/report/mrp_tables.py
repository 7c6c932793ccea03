"""The tables of the MRP notebook: the Role-Information study, plans, methods at equal MACs, and the abstract's numbers.

Every judgement is computed; `ROLE_VERDICTS` and `VERDICTS` say what each word means. Accuracies are top-1 on the test split
in percent, differences of them in points. Without records, a table has no row.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd
import torch

from prunebook import cutting, models
from prunebook.report import dice_tables, tables
from prunebook.report.dice_parts import alike
from prunebook.report.dice_tables import MOMENTS, network
from prunebook.report.roles import AGAINST, FEW, PRIMARY, Effect, effects
from prunebook.report.sacp_tables import rounds_to
from prunebook.report.statistics import holm, p_value, separates
from prunebook.report.tables import Values, paired, repetitions
from prunebook.studies.mrp import GRAPHS, MRP, OTHER_LAYERS, PAPER, VARIANTS
from prunebook.trials import Record, Trial
from prunebook.trials.communities import Communities, Mrp
from prunebook.trials.estimate import facts

TESTS = {
    "structure": "(d) structure",
    "likeness": "(a) likeness",
    "removal": "(b) removal",
    "replaced": "(b') replacement",
    "swaps": "(c) exchange",
}  # of the Role-Information study, as the chapter letters them
UNITS = {"loss": "loss", "top1": "top-1", "modularity": "modularity"}
PAPER_FR = 50.3  # percent of the MACs that the abstract removes
SAME_FR = 1.0  # points of the MACs removed that two networks may differ by for their accuracies to be compared
BRIEF = 2  # passes over the training images: a fine-tuning of less is named
HARDLY = (
    f"after less than {BRIEF} passes over the training images; longer retraining may close or reverse the gap, so this says "
    "little about a claim made after retraining"
)
BESIDE = {
    "any": "any, without that care",
    "linked": "with company, as large or as alike",
    "beyond": "that, less the same in rewired graphs",
    "rewired": "less rewired graphs",
    "spectrum": "less random vectors of the same spectrum",
    "untrained": "less the network untrained",
}  # what a community's filters are set against

ROLE_VERDICTS = {
    "as predicted": "the mean of the comparison that decides lies on the predicted side of 0, with p below 0.05 by the test "
    "of flipped signs, after Holm's correction over the tests of this network with this graph",
    "the opposite": "it lies on the other side, with such a p",
    "not shown": "p is not below 0.05",
    "undecided": f"fewer than {FEW} layers have what the test takes: no sign pattern of so few has such a p",
}


class Tested(NamedTuple):
    """The Role-Information study of one network: its name, the measure that made the graph, rows of layers, and effects.

    `p` is, by test, that of the comparison that decides, after Holm's correction over the tests; NaN for too few layers.
    """

    name: str
    measure: str
    layers: Sequence[Mapping[str, Any]]
    found: Mapping[tuple[str, str, str], Effect]  # by test, outcome and what is taken away
    p: Mapping[str, float]

    def effect(self, test: str, outcome: str, against: str) -> Effect:
        return self.found[test, outcome, against]

    def compared(self, test: str) -> list[Effect]:
        """All comparisons of one of `TESTS`, by what it is judged by."""
        name, outcome = _judged_by(test, self.measure)
        return [self.effect(name, outcome, against) for against in AGAINST[test]]

    def decisive(self, test: str) -> Effect:
        return _decisive(self.found, self.measure, test)


def tested(records: Sequence[Record]) -> list[Tested]:
    """The studies, of "roles" records. Several of one network are told apart by their graph, and by their seed."""
    made = []
    for record in records:
        p, layers = Trial(record.task, record.params).parameters, record.result["layers"]
        alike = [other for other in records if named(other) == named(record)]
        parts = [named(record)] + [_graph(record)] * ({_graph(other) for other in alike} != {MRP})
        parts += [f"seed {p.seed}"] * (len({other.params["seed"] for other in alike}) > 1)
        found = {(one.test, one.outcome, one.against): one for one in effects(layers)}
        raw = {test: _decisive(found, p.measure, test).p for test in TESTS}
        made.append(Tested(", ".join(parts), p.measure, layers, found, raw | holm(raw)))
    return made


def _judged_by(test: str, measure: str) -> tuple[str, str]:
    """The name and outcome of the effects of a test by which it is judged: the graph's own measure, or the loss."""
    if test == "structure":
        return test, "modularity"
    return (f"likeness: {measure}", "likeness") if test == "likeness" else (test, "loss")


def _decisive(found: Mapping[tuple[str, str, str], Effect], measure: str, test: str) -> Effect:
    """The effect of `PRIMARY`. Measures without vectors have no spectrum: structure is then beside the untrained network."""
    name = _judged_by(test, measure)
    effect = found[*name, PRIMARY[test]]
    return found[*name, "untrained"] if test == "structure" and effect.n == 0 else effect


def _graph(record: Record) -> str:
    """The name in `studies.mrp.GRAPHS` of the graph of a "roles" record."""
    return _name_of({name: record.params[name] for name in Communities.model_fields}, Communities, GRAPHS)


def _name_of(chosen: Mapping[str, Any], model: type[Communities], names: Mapping[str, Mapping[str, Any]]) -> str:
    """The name of those options that are not the defaults; without a name, they are told one by one."""
    unusual = {name: value for name, value in chosen.items() if value != model.model_fields[name].default}
    found = (name for name, options in names.items() if options == unusual)
    return next(found, ", ".join(f"{name} {value}" for name, value in unusual.items())) if unusual else MRP


def named(record: Record) -> str:
    """The network of a record of any task that starts from a baseline."""
    return network(record.params["baseline"]["dataset"], record.params["baseline"]["arch"])


def found(studies: Sequence[Tested]) -> pd.DataFrame:
    """What communities there are: a row for each network and number of filters, means over layers.

    "alone, %" are filters that are a community of one. "redundancy" and "modularity" stand beside those of rewired graphs,
    of random vectors of the same spectrum, and of the network untrained. "moved, %": how many edges of rewired graphs are
    elsewhere. "seeds agree": the adjusted Rand index of communities by two seeds of the algorithm; "halves agree": of those
    of two halves of the images.
    """
    rows = []
    for one in studies:
        for wide in sorted({layer["filters"] for layer in one.layers}):
            layers = [layer for layer in one.layers if layer["filters"] == wide]
            alone = [100 * layer["communities"].count(1) / wide for layer in layers]
            counts = [len(layer["communities"]) - layer["communities"].count(1) for layer in layers]
            row: dict[str, Any] = {"network": one.name, "filters": wide, "layers": len(layers), "alone, %": fmean(alone)}
            row |= {"communities": fmean(counts), "largest": fmean(max(layer["communities"]) for layer in layers)}
            for name in ("redundancy", "modularity"):
                row[name] = fmean(layer[name] for layer in layers)
                row |= {f"{name}, {null}": _of_null(layers, null, name) for null in AGAINST["structure"]}
            row["moved, %"] = 100 * _of_null(layers, "rewired", "moved")
            row["seeds agree"] = _mean_of(layer["agreement"] for layer in layers)
            rows.append(row | {"halves agree": _mean_of(layer["stability"] for layer in layers)})
    return pd.DataFrame(rows)


def _of_null(layers: Iterable[Mapping[str, Any]], null: str, name: str) -> float:
    made = (layer["nulls"][null] for layer in layers)
    return _mean_of(one[name] for one in made if one is not None)


def _mean_of(values: Iterable[float | None]) -> float:
    """Of those that are known; NaN for none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else math.nan


def sides(one: Tested, test: str) -> pd.DataFrame:
    """What a test found in each layer, with the sign turned so that the hypothesis predicts "real" above "null".

    "real" is a layer's modularity, its contrast of likeness, or what filters of one community spare the loss, in nats,
    beside others with company; "null" the same of the null that decides. NaN where a layer does not allow it.
    """
    null = one.decisive(test).against
    rows = [{"place": place, "layer": layer["layer"], "filters": layer["filters"], **_beside(layer, one.measure, test, null)}
            for place, layer in enumerate(one.layers)]  # fmt: skip
    return pd.DataFrame(rows)


def _beside(layer: Mapping[str, Any], measure: str, test: str, null: str) -> dict[str, float]:
    if test == "structure":
        made = layer["nulls"][null]
        return {"real": layer["modularity"], "null": math.nan if made is None else made["modularity"]}
    if test == "likeness":
        alike = layer["likeness"][measure]
        return {"real": _number(alike["linked"]), "null": _number(alike[null])}
    return {"real": -_number(layer[test]["linked"]), "null": -_number(layer[test]["null"])}


def _number(value: Any) -> float:
    """A number, the first of several, or NaN for none."""
    if value is None:
        return math.nan
    return float(value[0] if isinstance(value, list) else value)


def roles(studies: Sequence[Tested]) -> pd.DataFrame:
    """The comparisons that decide: a row for each network and test.

    "inside minus outside" is the effect with its 95 % interval over layers, "set against" what, "d" Cohen's, "p" by
    flipped signs, "Holm" the same after the correction over the tests of the network with this graph, "verdict" of
    `ROLE_VERDICTS`. "layers" is how many have it as predicted, of how many that have it.
    """
    rows = []
    for one in studies:
        for test in TESTS:
            effect = one.decisive(test)
            row: dict[str, Any] = {"network": one.name, "test": f"{TESTS[test]}, {_named(effect)}"}
            row |= {"verdict": judge_role(one, test), "inside minus outside": ranged(effect)}
            row |= {"set against": BESIDE[effect.against], "d": effect.d}
            row |= {"p": _two(effect.p), "Holm": _two(one.p[test])}
            rows.append(row | {"layers": f"{effect.agree} of {effect.n}"})
    return pd.DataFrame(rows)


def _two(p: float) -> str:
    """Two digits of a probability that may be small; a dash for none."""
    return "—" if math.isnan(p) else f"{p:.2g}"


def beside(studies: Sequence[Tested]) -> pd.DataFrame:
    """All comparisons, those that decide nothing included: a row for each network, test and what was measured.

    A column for each of `BESIDE`: mean over layers with its 95 % interval, of the change where it is loss or top-1.
    """
    rows = []
    for one in studies:
        for name, outcome in dict.fromkeys((test, outcome) for test, outcome, _ in one.found):
            effects = [effect for (test, unit, _), effect in one.found.items() if (test, unit) == (name, outcome)]
            row = {"network": one.name, "test": f"{TESTS[name.partition(': ')[0]]}, {_named(effects[0])}"}
            rows.append(row | {BESIDE[effect.against]: ranged(effect) for effect in effects})
    columns = ["network", "test", *BESIDE.values()]
    return pd.DataFrame(rows, columns=columns).fillna("")


def _named(effect: Effect) -> str:
    """What was measured, in words."""
    return effect.test.partition(": ")[2] or UNITS[effect.outcome]


def ranged(effect: Effect) -> str:
    """Mean and interval, which stays on one line: "+0.012 (+0.003 to +0.021)".

    For fewer than `FEW` layers there is no interval but their number: "+0.012 (3 layers)"; a dash for none.
    """
    if effect.n == 0:
        return "—"
    digits = 2 if effect.outcome == "top1" else 3
    if math.isnan(effect.low):
        return f"{effect.mean:+.{digits}f} ({effect.n} layer{'s' * (effect.n != 1)})"
    return f"{effect.mean:+.{digits}f} ({effect.low:+.{digits}f}\u00a0to\u00a0{effect.high:+.{digits}f})"


def judge_role(one: Tested, test: str) -> str:
    """One of `ROLE_VERDICTS`, by the comparison that decides."""
    if math.isnan(one.p[test]):
        return "undecided"
    if one.p[test] >= 0.05:
        return "not shown"
    return "as predicted" if one.decisive(test).as_predicted else "the opposite"


def verdicts(one: Tested) -> dict[str, str]:
    """Of each of `TESTS`."""
    return {test: judge_role(one, test) for test in TESTS}


def hypothesis(one: Tested) -> str:
    """Whether the Role-Information hypothesis holds in this network, as we read it: "holds", "does not hold" and so on.

    It holds if all of `TESTS` are "as predicted"; it does not where (b') or (c) is "the opposite". (b) alone cannot refute
    it: filters that say the same to readers that are alike are missed more together than others. Nor can (d): it asks
    whether there are communities, not what they do. Nor can (a): members that are less alike than those of an untrained
    network may stand in for each other all the same. "undecided" where nothing but too few layers stands in the way. Else
    it "is not shown".
    """
    found = verdicts(one)
    if all(verdict == "as predicted" for verdict in found.values()):
        return "holds"
    if any(found[test] == "the opposite" for test in ("replaced", "swaps")):
        return "does not hold"
    return "undecided" if set(found.values()) <= {"as predicted", "undecided"} else "is not shown"


def matched(studies: Sequence[Tested]) -> list[str]:
    """For each network how many filters the tests took, how equal the two sides were made, and by how much the loss rose."""
    return [words for one in studies if (words := _matched(one))]


def _matched(one: Tested) -> str:
    removed = [r for layer in one.layers for r in layer["removed"] if r is not None]
    if not removed:
        return ""
    own, other = (_over_layers(one.layers, "removal", "gone", side) for side in ("within", "across"))
    sums = [_over_layers(one.layers, "removal", "adds up", side)[0] for side in ("within", "across")]
    inside, outside = (_over_layers(one.layers, "replaced", "explained", side)[0] for side in ("inside", "outside"))
    return (
        f"**{one.name}**: {min(removed)} to {max(removed)} filters went at a time. Those of one community had "
        f"{100 * own[0]:.1f} % of their layer's L1 norm and {100 * own[1]:.1f} % of its activity, those of several "
        f"{100 * other[0]:.1f} and {100 * other[1]:.1f} %. By geometry their errors add up to {sums[0]:.2f} and "
        f"{sums[1]:.2f} times what they are alone (1: nothing in common). Stand-ins from inside had "
        f"{100 * inside:.1f} % of the lost maps' variance, those from outside {100 * outside:.1f} %.{_harm(one)}"
    )


def _harm(one: Tested) -> str:
    """By how much the loss rises on either side of the tests that change it: what there is to save."""
    told = []
    for test, name in (("removal", "removal"), ("replaced", "replacement"), ("swaps", "exchange")):
        known = [(row[test]["own"][0], row[test]["other"][0]) for row in one.layers if row[test]["own"] is not None]
        if known:
            own, other = (fmean(side) for side in zip(*known, strict=True))
            told.append(f"{own:.4f} and {other:.4f} in {name}")
    return f" The loss rose, inside and outside, by these nats: {', '.join(told)}." if told else ""


def _over_layers(layers: Iterable[Mapping[str, Any]], test: str, what: str, side: str) -> list[float]:
    """Means, place by place, over the layers that have both sides; NaN where none has."""
    known = [layer[test][what][side] for layer in layers if layer[test][what][side] is not None]
    return [fmean(values) for values in zip(*known, strict=True)] if known else [math.nan, math.nan]


def sentences(studies: Sequence[Tested]) -> list[str]:
    """For each network one sentence that says whether the hypothesis holds there, and by what."""
    return [_sentence(one) for one in studies]


def _sentence(one: Tested) -> str:
    by_verdict: dict[str, list[str]] = {}
    for test, verdict in verdicts(one).items():
        by_verdict.setdefault(verdict, []).append(TESTS[test])
    told = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in by_verdict.items())
    said = hypothesis(one)
    whole = f"the hypothesis {said}" if said != "undecided" else "whether the hypothesis holds is undecided"
    return f"**{one.name}**, {len(one.layers)} layers: in our reading and by the rule above, {whole} ({told})."


# Plans


def in_scope(record: Record) -> dict[str, int]:
    """The layers, or groups by their first, that a "trace" record's plan may prune: in order of execution, with widths."""
    p = record.params
    shape = {name: p["baseline"][name] for name in ("dataset", "size", "arch", "options")}
    groups = _groups(json.dumps(shape))
    names = [group[0] for group in groups if p["decision"]["scope"] == "coupled" or len(group) == 1]
    return {name: record.result["widths"][name] for name in names}


@cache
def _groups(shape: str) -> list[tuple[str, ...]]:
    """The coupled layers of a network, whose weights do not matter."""
    given = json.loads(shape)
    known = facts(given["dataset"], given["size"])
    model = models.build(given["arch"], known.num_classes, known.in_channels, seed=0, **given["options"])
    inputs = torch.zeros(1, known.in_channels, known.image_size, known.image_size)
    return [tuple(group) for group in cutting.coupled_layers(model, inputs)]


def plans(traces: Sequence[Record]) -> pd.DataFrame:
    """One row for each "trace" record: what it was asked for and what it did, "seconds" that the decision took."""
    rows = []
    for record in traces:
        p, r, widths = Trial(record.task, record.params).parameters, record.result, in_scope(record)
        chosen = [step["layer"] for step in r["trace"]]
        rows.append({
            "network": named(record), "draw": p.draw, "target": p.decision.target, "iterations": len(chosen),
            "layers": len(widths), "that lost filters": len(set(chosen)),
            "changes of layer": sum(a != b for a, b in pairwise(chosen)),
            "MACs removed, %": r["cost"]["macs"]["fr"], "parameters removed, %": r["cost"]["macs"]["pr"],
            "seconds": record.times.get("plan", math.nan),
        })  # fmt: skip
    return pd.DataFrame(rows)


def furthest(traces: Sequence[Record]) -> list[Record]:
    """Of each network the record with the largest target."""
    found: dict[str, Record] = {}
    for record in sorted(traces, key=lambda record: float(record.params["decision"]["target"])):
        found[named(record)] = record
    return list(found.values())


def by_width(widths: Mapping[str, int], trace: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What a plan did to layers of one width: one row for each width before pruning.

    "redundancy at first" is that of the layers that were chosen at all, before they lost anything, from lowest to highest.
    "first chosen" is the earliest iteration that took one. "share left, %" is the mean over all layers of this width, with
    the lowest and the highest.
    """
    gone: dict[str, int] = dict.fromkeys(widths, 0)
    first: dict[str, tuple[int, float]] = {}
    for number, step in enumerate(trace, 1):
        gone[step["layer"]] += len(step["filters"])
        first.setdefault(step["layer"], (number, step["redundancy"]))
    rows = []
    for wide in sorted(set(widths.values())):
        names = [name for name in widths if widths[name] == wide]
        chosen = [first[name] for name in names if name in first]
        left = [100 * (1 - gone[name] / wide) for name in names]
        levels = [level for _, level in chosen]
        rows.append({
            "filters": wide, "layers": len(names), "chosen": len(chosen),
            "first chosen": str(min(chosen)[0]) if chosen else "—",
            "redundancy at first": f"{min(levels):.2f} to {max(levels):.2f}" if levels else "—",
            "share left, %": f"{fmean(left):.0f} ({min(left):.0f} to {max(left):.0f})",
        })  # fmt: skip
    return pd.DataFrame(rows)


# Methods at equal MACs


def comparisons(records: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """`dice_tables.comparisons`, with "network" in words, "choice", "passes" and "epochs to plan".

    "choice" is the name in `studies.mrp` of a method or variant: "mrp" as in this book. "seconds to plan" are those of the
    decision, "epochs to plan" the same over the seconds that an epoch of fine-tuning takes, were it on all training images.
    "passes" are epochs of fine-tuning in such epochs. NaN without fine-tuning.
    """
    frame = dice_tables.comparisons(records, before)
    frame["network"] = [named(record) for record in records]
    frame["choice"] = [choice(record.params["decision"]) for record in records]
    frame["seconds to plan"] = [record.times.get("plan", math.nan) for record in records]
    longer = [_longer(record) for record in records]
    frame["passes"] = frame["finetune epochs"] / longer
    frame["epochs to plan"] = frame["seconds to plan"] / (frame["seconds an epoch"] * longer)
    return frame


def _longer(record: Record) -> float:
    """By how much an epoch of fine-tuning on all training images is longer than one of the record's."""
    tuned, base = record.params["finetune"], record.params["baseline"]
    train = facts(base["dataset"], base["size"]).train
    return train / (tuned["images"] or train) if tuned else math.nan


def choice(decision: Mapping[str, Any]) -> str:
    """The name in `studies.mrp` of a decision, whatever its target."""
    if decision["method"] != MRP:
        return str(decision.get("criterion", decision["method"]))
    chosen = {name: value for name, value in decision.items() if name not in ("method", "target")}
    return _name_of(chosen, Mrp, {**OTHER_LAYERS, **VARIANTS})


def at_equal_macs(frame: pd.DataFrame) -> pd.DataFrame:
    """Methods that remove the same share of the MACs, of `comparisons`: cost, accuracy, and paired differences to MRP.

    One row for each network, target, moment and choice. "FR" and "PR" are percent removed, "top-1" the accuracy; all are
    `Values` over the repetitions. "mrp minus it" is paired: same trained network, same draw of images, in points.
    "separates?": its t-test has p < 0.05; "after Holm": also after Holm's correction over the others of one network, target
    and moment; "—" for fewer than three pairs.
    """
    groups: Any = frame.groupby(["network", "target"], sort=False)
    return pd.DataFrame([
        {"network": net, "target": target, "after": moment, **row}
        for (net, target), rows in groups for moment in moments(rows) for row in _beside_mrp(rows, moment)
    ])  # fmt: skip


def by_moment(table: pd.DataFrame) -> pd.DataFrame:
    """`at_equal_macs` with the moments side by side: a row for each network, target and choice.

    For each moment but that of the bare cut: its top-1, "minus" (MRP minus the choice), and "Holm": whether that separates
    after Holm's correction.
    """
    rows = []
    groups: Any = table[table.after != MOMENTS[0]].groupby(["network", "target", "choice"], sort=False)
    for (net, target, name), found in groups:
        row: dict[str, Any] = {"network": net, "target": target, "choice": name}
        row |= {column: found[column].iloc[0] for column in ("n", "FR", "PR")}
        for one in found.to_dict("records"):
            row |= {one["after"]: one["top-1"], f"minus, {one['after']}": one["mrp minus it"]}
            row[f"Holm, {one['after']}"] = one["after Holm"]
        rows.append(row)
    return pd.DataFrame(rows)


def moments(rows: pd.DataFrame) -> list[str]:
    """Those of a pruned network's life that were measured, in order."""
    return [moment for moment in MOMENTS if rows[f"top1 {moment}"].notna().any()]


def _beside_mrp(rows: pd.DataFrame, moment: str) -> list[dict[str, Any]]:
    column = f"top1 {moment}"
    rows = rows[rows[column].notna()]
    own = rows[rows.choice == MRP]
    groups = {str(choice): group for choice, group in rows.groupby("choice", sort=False)}
    gaps = {choice: paired(own, group, column) for choice, group in groups.items() if choice != MRP}
    p = {choice: p_value(gap) for choice, gap in gaps.items()}
    corrected = holm(p)
    return [
        {"choice": choice, "n": len(repetitions(group, column)), "FR": repetitions(group, "FR macs"),
         "PR": repetitions(group, "PR macs"), "top-1": repetitions(group, column),
         "mrp minus it": gaps.get(choice, Values()), "separates?": separates(p.get(choice)),
         "after Holm": separates(corrected.get(choice))}
        for choice, group in groups.items()
    ]  # fmt: skip


def controls(records: Sequence[Record], pruned: Sequence[Record] = (), before: Sequence[Record] = ()) -> pd.DataFrame:
    """What the epochs of fine-tuning do to the network that was not pruned, and what MRP loses beside that.

    `records` are of `studies.mrp.controls`, `pruned` of other "compare" trials. One row for each network; measured columns
    are `Values` over the repetitions: "before" and "after" in percent, "gain" after minus before, and for each target "mrp
    at ... % minus after", paired.
    """
    frame, others = comparisons(records, before), comparisons(pruned, before)
    rows = []
    groups: Any = frame.groupby(["network", "finetune epochs"], sort=False)
    for (name, epochs), own in groups:
        row: dict[str, Any] = {"network": name, "epochs": epochs, "n": len(repetitions(own, "FR macs"))}
        row |= {"before": repetitions(own, "top1 baseline"), "after": repetitions(own, "top1 fine-tuned")}
        row["gain"] = repetitions(own.assign(gain=-own["drop fine-tuned"]), "gain")
        alike = others[(others.network == name) & (others.choice == MRP)]
        for target, rival in alike.groupby("target"):
            row[f"mrp at {100 * float(str(target)):g} % minus after"] = paired(rival, own, "top1 fine-tuned")
        rows.append(row)
    return pd.DataFrame(rows)


def variants(frame: pd.DataFrame) -> pd.DataFrame:
    """How far MRP with one decision changed keeps the same filters as in this book, and what that does to accuracy.

    One row for each network, target and choice, in the columns that `dice_figures.readings` draws. "Jaccard": of the two
    sets of kept (layer, filter) pairs on the same trained network; "by chance": expected if every layer kept as many, at
    random (exact). "minus base": paired difference in top-1 after recalibration, "minus base fine-tuned" after fine-tuning.
    Measured columns are `Values`.
    """
    rows = []
    groups: Any = frame.groupby(["dataset", "arch", "target"], sort=False)
    for (dataset, arch, target), group in groups:
        base = group[group.choice == MRP]
        for choice, own in group.groupby("choice", sort=False):
            row: dict[str, Any] = {"dataset": dataset, "arch": arch, "dial": f"target {target:g}", "reading": choice}
            row["n"] = len(repetitions(own, "FR macs"))
            rows.append(row | _against_base(own, base if choice != MRP else base.head(0)))
    return pd.DataFrame(rows)


def _against_base(own: pd.DataFrame, base: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {**alike(own, base), "FR": repetitions(own, "FR macs"), "PR": repetitions(own, "PR macs")}
    for moment, column in (("recalibrated", "minus base"), ("fine-tuned", "minus base fine-tuned")):
        found[moment] = repetitions(own, f"top1 {moment}")
        found[column] = paired(own, base, f"top1 {moment}")
    return found | {"seconds to plan": repetitions(own, "seconds to plan")}


# The abstract's numbers


CLOSE = 0.2  # points of accuracy that count as close: a fifth of what is claimed
NUMBERS = {"pr": "parameters removed, %", "fr": "MACs removed, %", "top1_gain": "accuracy gained, points"}
VERDICTS = {
    "asked for": f"the share of MACs that our plan was told to remove, within {SAME_FR:g} point: no finding",
    "other target": f"our plan was told to remove another share of MACs, by more than {SAME_FR:g} point; so no judgement",
    "as printed": "a count that rounds to the abstract's digits",
    "within our interval": "the abstract's number lies in our 95 % t-interval over at least three repetitions",
    "within our interval (wide)": f"it does, but the interval reaches farther than {CLOSE:g} points, so that this is no "
    "agreement",
    "close": f"outside of it, but at most {CLOSE:g} points of accuracy or {SAME_FR:g} point of parameters away, a tolerance "
    "of ours",
    "ours is higher": "farther away, and ours is the higher number",
    "ours is lower": "farther away, and ours is the lower number",
    "no spread": "fewer than three repetitions say nothing about the spread, so there is no judgement",
    "not fine-tuned": "the abstract retrains; accuracy without that is not comparable, so there is no judgement",
    "hardly fine-tuned": HARDLY,
    "other network": "not ResNet-110; what follows is about ours",
    "other data": "not CIFAR-10; what follows is about ours",
    "cannot be tested here": "no record of the run has it",
}


def abstract(frame: pd.DataFrame, traces: Sequence[Record] = ()) -> pd.DataFrame:
    """The three numbers of the abstract, with ours beside: a row for each number and network.

    Parameters
    ----------
    frame : of `comparisons`
        Of MRP as in this book; of several targets the one nearest to the abstract's share of MACs.
    traces : "trace" records
        For the costs of networks that `frame` does not have.

    Returns
    -------
    DataFrame
        "number", "abstract" (as printed, with what stands before it), "network", "here" (mean and 95 % t-interval, number of
        repetitions in brackets), "verdict" (`judge`).
    """
    found = _costs_of(frame, traces)
    rows = []
    for _, printed in tables.reported("mrp").iterrows():
        text = " ".join(str(part) for part in (printed.bound, printed.printed) if isinstance(part, str))
        row = {"number": NUMBERS[printed.metric], "abstract": text}
        if not found:
            rows.append(row | {"network": "—", "here": "—", "verdict": "cannot be tested here"})
        for place, values in found.items():
            ours = values[printed.metric]
            here = f"{ours} ({len(ours)})" if ours else "—"
            rows.append(row | {"network": network(*place), "here": here, "verdict": _judged(printed, place, values)})
    return pd.DataFrame(rows)


def _costs_of(frame: pd.DataFrame, traces: Sequence[Record]) -> dict[tuple[str, str], dict[str, Values]]:
    """By dataset and architecture, our repetitions of each of `NUMBERS`, and of the "passes" of fine-tuning."""
    found: dict[tuple[str, str], dict[str, Values]] = {}
    own: Any = frame[frame.choice == MRP] if len(frame) else frame
    for place, rows in own.groupby(["dataset", "arch"], sort=False):
        rows = rows[rows.target == min(rows.target, key=_from_theirs)]
        gains = rows.assign(gain=-rows["drop fine-tuned"])
        columns = {"pr": "PR macs", "fr": "FR macs", "top1_gain": "gain", "passes": "passes"}
        found[place] = {metric: repetitions(gains, column) for metric, column in columns.items()}
    by_network: dict[tuple[str, str], list[Record]] = {}
    for record in traces:
        base = record.params["baseline"]
        by_network.setdefault((base["dataset"], base["arch"]), []).append(record)
    for place, records in by_network.items():
        target = min((record.params["decision"]["target"] for record in records), key=_from_theirs)
        costs = [r.result["cost"]["macs"] for r in records if r.params["decision"]["target"] == target]
        counted = {metric: Values(cost[metric] for cost in costs) for metric in ("pr", "fr")}
        found.setdefault(place, {**counted, "top1_gain": Values(), "passes": Values()})
    return found


def _from_theirs(target: float) -> float:
    return abs(target - PAPER_FR / 100)


def _judged(printed: Any, place: tuple[str, str], values: Mapping[str, Values]) -> str:
    conditions = ["other network"] * (place[1] != PAPER["arch"]) + ["other data"] * (place[0] != PAPER["dataset"])
    if printed.metric == "top1_gain" and values["passes"] and max(values["passes"]) < BRIEF:
        conditions.append("hardly fine-tuned")
    verdict = judge(printed.metric, printed.printed.strip("%"), values)
    return f"{', '.join(conditions)}: {verdict}" if conditions else verdict


def judge(metric: str, printed: str, values: Mapping[str, Values]) -> str:
    """Where a number of the abstract lies with respect to ours: the first of these rules that applies.

    1. Another share of MACs than the abstract's, by more than `SAME_FR`: "other target", whatever the number.
    2. MACs: "asked for". Parameters: "as printed" if our mean rounds to them; "close" if within `SAME_FR`; else "ours is
       higher" or "ours is lower".
    3. Accuracy: "not fine-tuned" without, "no spread" for fewer than three repetitions; "within our interval", with
       "(wide)" if half of it is above `CLOSE`; "close" if within that; else "ours is higher" or "lower".
    """
    ours, fr = values[metric], values["fr"]
    on_target = abs(fmean(fr) - PAPER_FR) <= SAME_FR
    if metric == "fr" or not on_target:
        return "asked for" if on_target else "other target"
    if not ours:
        return "not fine-tuned"
    gap = fmean(ours) - float(printed)
    farther = "ours is higher" if gap > 0 else "ours is lower"
    if metric == "pr":
        return "as printed" if rounds_to(fmean(ours), printed) else "close" if abs(gap) <= SAME_FR else farther
    if len(ours) < 3:
        return f"no spread ({len(ours)} of 3 repetitions)"
    half = tables.interval(ours).half
    if abs(gap) <= half:
        return "within our interval (wide)" if half > CLOSE else "within our interval"
    return "close" if abs(gap) <= CLOSE else farther
