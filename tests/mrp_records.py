"""Records made by hand, for the tests of the MRP report."""

from collections.abc import Mapping, Sequence
from typing import Any

from kcore_records import record

from prunebook.measure import COUNTERS
from prunebook.methods.mrp import MEASURES
from prunebook.studies.mrp import decision
from prunebook.trials import Record


def network(seed: int = 0, arch: str = "resnet20", dataset: str = "cifar10", **options: Any) -> dict[str, Any]:
    return {"arch": arch, "dataset": dataset, "options": options, "fit": {"epochs": 1, "seed": seed}}


def baseline(seed: int = 0, top1: float = 92.0, **given: Any) -> Record:
    return record("baseline", network(seed, **given), {"test": {"top1": top1, "f1": top1 / 100}})


# The Role-Information study

SIDES = {"removal": ("within", "across"), "replaced": ("inside", "outside"), "swaps": ("within", "between")}


# What staying inside a community gains: beside any others, beside others with company, and that less what the null has.
Gains = tuple[float, float, float]


def layer(
    name: str = "a", filters: int = 16, redundancy: float = 0.5, modularity: float = 0.4, random: float | None = 0.3,
    fresh: float = 0.45, **gains: Gains | None,
) -> dict[str, Any]:  # fmt: skip
    """A row of a study. `gains`: by test or measure of likeness, above 0 as the hypothesis predicts; by default nothing.

    `random` is the modularity of every null, None for none; `fresh` the redundancy of the untrained one. With None in place
    of gains, the layer does not allow a test.
    """
    row: dict[str, Any] = {"layer": name, "filters": filters, "redundancy": redundancy, "modularity": modularity}
    row |= {"agreement": 0.9, "stability": 0.6, "edges": 12, "communities": [3, 2, *[1] * (filters - 5)], "removed": [2, 3]}
    null = None if random is None else {"made": 2, "modularity": random, "redundancy": 0.45}
    row["nulls"] = {
        "rewired": null and null | {"moved": 0.5},
        "spectrum": null,
        "untrained": null and null | {"redundancy": fresh},
    }
    row["likeness"] = {measure: _alike(*(gains.get(measure) or (0, 0, 0))) for measure in (*MEASURES, "readers")}
    row |= {test: _harm(gains.get(test, (0, 0, 0))) for test in SIDES}
    row["removal"] |= {"gone": {"within": [0.1, 0.2], "across": [0.11, 0.22]}, "adds up": {"within": [1.5], "across": [1.1]}}
    row["replaced"] |= {"explained": {"inside": [0.3], "outside": [0.29]}}
    return row


def _alike(others: float, linked: float, null: float) -> dict[str, Any]:
    return {"any": others, "linked": linked, **dict.fromkeys(("rewired", "spectrum", "untrained"), linked - null)}


def _harm(gains: Gains | None) -> dict[str, Any]:
    """Changes of loss and accuracy; ten points are lost with each nat."""
    if gains is None:
        return dict.fromkeys(("own", "other", "any", "linked", "null", "beyond"))
    changes = dict(zip(("any", "linked", "beyond"), gains, strict=True)) | {"null": gains[1] - gains[2]}
    changes |= {"own": -0.5, "other": -0.5 - gains[1]}
    return {name: [-gain, 10 * gain] for name, gain in changes.items()}


def studied(layers: Sequence[Mapping[str, Any]], seed: int = 0, arch: str = "resnet20", **graph: Any) -> Record:
    params = {"baseline": network(arch=arch), "seed": seed, **graph}
    return record("roles", params, {"base": {"loss": 0.3, "top1": 92.0}, "layers": list(layers)})


# Graphs and plans


def graph(edges: Sequence[tuple[int, int, float]], communities: Sequence[Sequence[int]], layer: str, **given: Any) -> Record:
    n = sum(map(len, communities))
    found = {"layer": layer, "filters": n, "edges": [list(edge) for edge in edges], "l1": [1.0 + i for i in range(n)]}
    found |= {"communities": [list(members) for members in communities], "redundancy": 0.5, "modularity": 0.3}
    return record("graph", {"baseline": network(**given), "layer": layer}, found)


def step(layer: str, *filters: int, redundancy: float = 0.5, removed: float = 0.1) -> dict[str, Any]:
    step = {"layer": layer, "filters": list(filters), "redundancy": redundancy, "communities": 3, "size": 4, "strength": 1.0}
    return step | {"removed": removed}


def traced(
    steps: Sequence[Mapping[str, Any]], widths: Mapping[str, int], target: float = 0.5, fr: float = 50.3, pr: float = 48.0,
    draw: int = 0, scope: str = "internal", seconds: float = 3.0, **given: Any,
) -> Record:  # fmt: skip
    """A plan that takes these steps; what it keeps follows from them."""
    gone = {name: {filter for step in steps if step["layer"] == name for filter in step["filters"]} for name in widths}
    keep = {name: "".join("01"[f not in gone[name]] for f in range(wide)) for name, wide in widths.items()}
    cost = {"before": [1000, 100], "after": [round(1000 - 10 * fr), round(100 - pr)], "fr": fr, "pr": pr}
    params = {"baseline": network(**given), "decision": {"method": "mrp", "target": target, "scope": scope}, "draw": draw}
    result = {"trace": list(steps), "widths": dict(widths), "keep": keep, "cost": dict.fromkeys(COUNTERS, cost)}
    return record("trace", params, result | {"removed": steps[-1]["removed"]}, plan=seconds)


# Methods and variants


def compared(
    choice: str = "mrp", seed: int = 0, tuned: float | None = 91.0, recalibrated: float | None = 80.0, fr: float = 50.0,
    pr: float = 45.0, target: float = 0.5, keep: str = "1110", epochs: int = 5, images: int | None = None,
    seconds: float = 2.0, training: float = 50.0, base: dict[str, Any] | None = None, **chosen: Any,
) -> Record:  # fmt: skip
    """A method or variant of `studies.mrp` by its name, or MRP with `chosen` options."""
    params: dict[str, Any] = {"baseline": base or network(seed), "draw": seed, "decision": decision(choice, target) | chosen}
    test = {"pruned": {"top1": 20.0, "f1": 0.2}}
    if recalibrated is not None:
        params["recalibrate"] = 1000
        test["recalibrated"] = {"top1": recalibrated, "f1": recalibrated / 100}
    if tuned is not None:
        params["finetune"] = {"epochs": epochs, "seed": seed, "images": images}
        test["finetuned"] = {"top1": tuned, "f1": tuned / 100}
    cost = {"before": [1000, 100], "after": [round(1000 - 10 * fr), round(100 - pr)], "fr": fr, "pr": pr}
    result = {"test": test, "keep": {"a": keep}, "cost": dict.fromkeys(COUNTERS, cost), "found": {}}
    return record("compare", params, result, plan=seconds, finetune=training)


def repeated(
    choice: str, tuned: Sequence[float | None], arch: str = "resnet20", dataset: str = "cifar10", **given: Any
) -> list[Record]:
    """One record for each accuracy after fine-tuning, each of a network of its own."""
    return [
        compared(choice, seed, tuned=top1, base=network(seed, arch, dataset), **given) for seed, top1 in enumerate(tuned)
    ]


def control(seed: int = 0, tuned: float = 92.5, **given: Any) -> Record:
    """The unpruned network, trained as long."""
    chosen = {"method": "baseline", "criterion": "l1", "ratio": 0.0, "target": None, "layers": "internal"}
    return compared("l1", seed, tuned, fr=0.0, pr=0.0, keep="1111", **chosen, **given)
