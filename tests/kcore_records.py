"""Records made by hand, for the tests of the k-core report."""

from itertools import product
from typing import Any

from prunebook.measure import COUNTERS
from prunebook.studies.kcore import SELECTIONS
from prunebook.trials import Record, Trial

CPU = {"processor": "some processor", "threads": 1}


def record(task: str, params: dict[str, Any], result: dict[str, Any], hardware: Any = None, **times: float) -> Record:
    trial = Trial(task, params)
    filled = trial.parameters.model_dump(mode="json")
    return Record(task, 1, trial.key, filled, result, times, {"hardware": hardware or CPU})


def network(arch: str = "resnet56", dataset: str = "cifar10", **options: Any) -> dict[str, Any]:
    return {"arch": arch, "dataset": dataset, "options": options, "weights": "some.pt"}


def baseline(macs: float = 130.02, params: float = 0.88, top1: float = 93.0, **given: Any) -> Record:
    cost = {counter: [int(macs * 1e6), int(params * 1e6)] for counter in COUNTERS}
    found = {"cost": cost, "test": {"top1": top1, "f1": top1}, "data": {"images": {"test": 10_000}}}
    return record("baseline", network(**given), found)


def pruned(
    draw: int = 0, fr: float = 50.0, pr: float = 25.0, top1: float = 60.0, tuned: float | None = None, epochs: int = 70,
    lr: float = 0.01, before: float = 130.02, base: dict[str, Any] | None = None, result: dict[str, Any] | None = None,
    plan: float = 2.0, seed: int = 0, **chosen: Any,
) -> Record:  # fmt: skip
    params = {"baseline": base or network(), "draw": draw, "tau": None if "target" in chosen else 0.7, **chosen}
    test = {"pruned": {"top1": 10.0}, "recalibrated": {"top1": top1}}
    if tuned is not None:
        params["finetune"] = {"epochs": epochs, "lr": lr, "seed": seed}
        test["finetuned"] = {"top1": tuned}
    one = {"before": [int(before * 1e6), 1], "fr": fr, "pr": pr}
    found = {"cost": dict.fromkeys(COUNTERS, one), "test": test, "keep": {}, **(result or {})}
    return record("prune", params, found, plan=plan)


def repeated(values: list[float], **given: Any) -> list[Record]:
    return [pruned(draw, fr=value, **given) for draw, value in enumerate(values)]


def timed(arch: str = "vgg16", seconds: float = 10.0, hardware: Any = None, **params: Any) -> Record:
    cost = {"thop": {"vgg16": [314_571_000, 14_986_000], "resnet56": [130_020_000, 879_000]}.get(arch, [1, 1])}
    return record("criterion", {"arch": arch, **params}, {"cost": cost}, hardware, plan=seconds)


def chosen_by(name: str, top1: list[float], fr: list[float] | None = None, **given: Any) -> list[Record]:
    rates = fr or [26.0] * len(top1)
    return [
        pruned(draw, rate, top1=value, **SELECTIONS[name], **given)
        for draw, (value, rate) in enumerate(zip(top1, rates, strict=True))
    ]


def sizes(slope: float, top1: dict[int, float]) -> list[Record]:
    return [
        pruned(d, fr=50 + d - slope * n, pr=20 + d - slope * n, top1=top1.get(n, 60.0) + d, images=n)
        for d, n in product(range(3), (25, 50, 100, 200))
    ]


def at_target(score: str, top1: list[float], **given: Any) -> list[Record]:
    base = network("resnet20")
    return [pruned(d, 50.0, top1=v, target=0.5, score=score, base=base, **given) for d, v in enumerate(top1)]


ENTROPY = [40.0, 60.0, 50.0, 55.0]


def read(keeps: list[str], top1: list[float], found: float = 0.6, **variant: Any) -> list[Record]:
    return [
        pruned(d, 50.0, top1=value, target=0.5, result={"keep": {"a": keep}, "found": {"tau": found}}, **variant)
        for d, (keep, value) in enumerate(zip(keeps, top1, strict=True))
    ]
