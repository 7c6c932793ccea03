"""Records made by hand, for the tests of the Sørensen-Dice report."""

from collections.abc import Sequence
from typing import Any

from kcore_records import record

from prunebook.diversity import BOUNDED
from prunebook.measure import COUNTERS
from prunebook.studies.dice import VARIANTS
from prunebook.trials import Record


def network(
    seed: int = 0, dataset: str = "mnist", arch: str = "dice_cnn", epochs: int = 20, **options: Any
) -> dict[str, Any]:
    return {"arch": arch, "dataset": dataset, "options": options, "fit": {"epochs": epochs, "seed": seed}}


def baseline(seed: int = 0, top1: float = 99.0, seconds: float = 200.0, **given: Any) -> Record:
    return record("baseline", network(seed, **given), {"test": {"top1": top1, "f1": top1 / 100}}, fit=seconds)


def regularised(epochs: int = 5, seed: int = 0) -> dict[str, Any]:
    return {"fit": {"epochs": epochs, "seed": seed}}


def growing(seed: int = 0, top1: float = 97.0, epochs: int = 5) -> Record:
    params = {"baseline": network(seed), **regularised(epochs, seed)}
    return record("regularise", params, {"test": {"top1": top1, "f1": top1 / 100}})


def decision(method: str, **chosen: Any) -> dict[str, Any]:
    return {"method": "dice", **chosen} if method == "dice" else {"method": "baseline", "criterion": method, **chosen}


def compared(
    method: str = "dice", seed: int = 0, tuned: float | None = 98.0, recalibrated: float | None = 90.0, cut: float = 50.0,
    left: float = 0.568, val: float = 97.0, epochs: int = 20, keep: str = "1110", base: dict[str, Any] | None = None,
    trainable: str = "all", ratio_found: float = 0.25, seconds: float = 160.0, **chosen: Any,
) -> Record:  # fmt: skip
    """`left` is the share of the MACs that stays; without target or ratio, the target is 0.4318."""
    if not {"target", "ratio"} & chosen.keys():
        chosen["target"] = 0.4318
    params: dict[str, Any] = {"baseline": base or network(seed), "decision": decision(method, **chosen), "draw": seed}
    test = {"pruned": {"top1": cut, "f1": cut / 100}}
    if recalibrated is not None:
        params["recalibrate"] = 1000
        test["recalibrated"] = {"top1": recalibrated, "f1": recalibrated / 100}
    result: dict[str, Any] = {"test": test, "keep": {"a": keep}, "found": {"ratio": ratio_found}}
    if method == "growing_reg":
        params["regularised"], epochs = regularised(5, seed), epochs - 5
    if tuned is not None:
        params["finetune"] = {"epochs": epochs, "seed": seed, "trainable": trainable}
        test["finetuned"] = {"top1": tuned, "f1": tuned / 100}
        result["history"] = [{"epoch": 1, "val_top1": val}]
    one = {"before": [10_000, 100], "after": [round(10_000 * left), 60], "fr": 100 * (1 - left), "pr": 40.0}
    return record("compare", params, result | {"cost": dict.fromkeys(COUNTERS, one)}, finetune=seconds)


def repeated(
    method: str, tuned: Sequence[float], dataset: str = "mnist", arch: str = "dice_cnn", **given: Any
) -> list[Record]:
    """One record for each accuracy after fine-tuning, each of a network of its own."""
    return [
        compared(method, seed, tuned=top1, base=network(seed, dataset, arch), **given) for seed, top1 in enumerate(tuned)
    ]


def read(name: str, recalibrated: Sequence[float], keep: str, **given: Any) -> list[Record]:
    """A reading of `VARIANTS`, not fine-tuned."""
    return [
        compared("dice", seed, tuned=None, recalibrated=top1, keep=keep, **VARIANTS[name], **given)
        for seed, top1 in enumerate(recalibrated)
    ]


def sweep(val: Sequence[float], ratios: Sequence[float], seed: int = 0, method: str = "dice", **given: Any) -> Record:
    """A curve whose test accuracy is one point below that on the validation split; recalibrated, it is flat."""
    points = [
        {"ratio": ratio, "macs": 1, "pruned": {"val": top1, "test": top1 - 1}, "recalibrated": {"val": 90.0, "test": 89.0}}
        for ratio, top1 in zip(ratios, val, strict=True)
    ]
    params = {"baseline": network(seed, **given), "decision": decision(method), "ratios": list(ratios), "draw": seed}
    return record("sweep", params, {"before": 1, "points": points})


def stopped(val: Sequence[float], drop: float, test: float, seed: int = 0, fr: float = 20.0, recalibrate: int = 0) -> Record:
    params = {"baseline": network(seed), "drop": drop, "draw": seed, "recalibrate": recalibrate}
    steps = [{"ratio": round(0.05 * i, 6), "val": top1} for i, top1 in enumerate(val)]
    cost = {key: {"before": [1, 1], "after": [1, 1], "fr": fr, "pr": fr} for key in COUNTERS}
    return record("stop", params, {"steps": steps, "cost": cost, "test": {"top1": test}})


def timed(before: Sequence[float], after: Sequence[float], images: int = 1) -> Record:
    """Quartiles of seconds; half of the MACs are left."""
    cost = {key: {"before": [100, 1], "after": [50, 1], "fr": 50.0, "pr": 0.0} for key in COUNTERS}
    rows = [{"images": images, "before": list(before), "after": list(after)}]
    params = {"baseline": network(), "decision": decision("dice", target=0.5)}
    return record("speed", params, {"cost": cost, "latency": rows, "threads": 1})


def profiled(
    averages: Sequence[float], spread: Sequence[float], activity: Sequence[float] = (), seed: int = 0, **given: Any
) -> Record:
    layers = {"a": {"Eq. 1 and 2": {"averages": list(averages)}}}
    result = {"layers": layers, "spread": {"a": list(spread)}, "activity": {"a": list(activity)}}
    return record("profile", {"baseline": network(seed, **given), "draw": seed}, result)


def transferred(diverse: float, reached: float, seed: int = 0, epochs: int = 20) -> Record:
    diversity = {reading: {"a": diverse, "b": diverse} for reading in BOUNDED}
    params = {"baseline": network(seed, "cifar10", epochs=epochs), "dataset": "cifar100", "finetune": {"epochs": 2}}
    return record("transfer", params, {"diversity": diversity, "test": {"top1": reached}})
