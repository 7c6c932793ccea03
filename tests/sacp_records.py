"""Records made by hand, for the tests of the SACP report."""

from collections.abc import Sequence
from typing import Any

from kcore_records import record

from prunebook.measure import COUNTERS
from prunebook.report.sacp_tables import PAPER_OPTIONS
from prunebook.studies.sacp import AS_COSTLY, ENCODERS, PAPER, RANDOM, SUPERVISED
from prunebook.trials import Record

ENTRIES = 12  # of resnet20
BEFORE = (100_000_000, 1_000_000)  # MACs and parameters of every network


def network(seed: int = 0, arch: str = "resnet20", dataset: str = "cifar10", **options: Any) -> dict[str, Any]:
    """An architecture of the paper has its layers unless options are given."""
    return {
        "arch": arch,
        "dataset": dataset,
        "options": options or PAPER_OPTIONS.get(arch, {}),
        "fit": {"epochs": 1, "seed": seed},
    }


def baseline(seed: int = 0, top1: float = 92.0, counts: Sequence[int] = BEFORE, **given: Any) -> Record:
    cost = {counter: list(counts) for counter in COUNTERS}
    return record("baseline", network(seed, **given), {"test": {"top1": top1}, "cost": cost})


def encoder(name: str = "infonce", seed: int = 0, **given: Any) -> dict[str, Any]:
    if name == SUPERVISED:
        sample = {"baseline": network(seed, **given), "n": 20, "tau": 0.3, "seed": 10_000 + seed}
        return {"kind": "regression", "sample": sample, "seed": seed}
    return {"kind": "contrast", "baseline": network(seed, **given), "seed": seed, **ENCODERS[name]}


def learnt(
    name: str, cosines: Sequence[tuple[float, float]] = (), seed: int = 0, share: float = 0.5, distance: float = 1.0,
    **given: Any,
) -> Record:  # fmt: skip
    """`cosines`: with positives and negatives by epoch; the last are those of new triads, as are `share` and `distance`."""
    history = [{"loss": 1.0, "positive": positive, "negative": negative} for positive, negative in cosines]
    positive, negative = cosines[-1] if cosines else (0.5, 0.5)
    apart = {"share": share, "positive": positive, "negative": negative, "distance": distance}
    return record("learn", encoder(name, seed, **given), {"history": history, "triads": apart})


def triads(
    share: Sequence[float], positive: Sequence[float] | None = None, negative: Sequence[float] | None = None,
    distance: Sequence[float] | None = None, anchor: str = "first", positives: str = "l1", seed: int = 0, **given: Any,
) -> Record:  # fmt: skip
    """What encoders with random weights make of triads, one value for each of them; all others are `share` by default."""
    found = {"share": share, "positive": positive, "negative": negative, "distance": distance}
    found = {name: list(values or share) for name, values in found.items()}
    return record("triads", {"baseline": network(seed, **given), "anchor": anchor, "positives": positives}, found)


def crowd(of: Record, orders: Sequence[Sequence[int]]) -> Record:
    """How encoders with random weights order the candidates of a "sample" or "search" record."""
    return record("crowd", {"of": of.params}, {"orders": [list(order) for order in orders]})


def unpruned(seed: int = 0, test: float = 92.0, **given: Any) -> Record:
    return record("unpruned", {"baseline": network(seed, **given)}, {"val": test, "test": test})


def sampled(
    test: Sequence[float], macs: Sequence[float] | None = None, norm: Sequence[float] | None = None, seed: int = 0,
    removed: float | None = 0.5, r: Sequence[list[int]] | None = None, **given: Any,
) -> Record:  # fmt: skip
    """Random candidates: `macs` and `norm` are the shares that they keep, by default in no order at all."""
    n = len(test)
    no_order = [(7 * i) % n / n for i in range(n)]
    kept = zip(test, macs or no_order, norm or no_order[::-1], r or [[i % 10] * ENTRIES for i in range(n)], strict=True)
    rows = [
        {"r": one, "macs": int(a * BEFORE[0]), "params": int(a * BEFORE[1]), "norm": b, "top1": top1}
        for top1, a, b, one in kept
    ]
    params = {"baseline": network(seed, **given), "n": n, "removed": removed, "tau": 0 if removed else 0.3, "seed": seed}
    return record("sample", params, {"before": list(BEFORE), "candidates": rows})


def scored(name: str, of: Record, values: Sequence[float], seed: int | None = None, **given: Any) -> Record:
    """What an encoder, by default of the same seed, makes of the candidates of a "sample" or "search" record."""
    own = encoder(name, of.params["seed"], **given)
    params = {"encoder": own if seed is None else {**own, "seed": seed}, "of": of.params}
    return record("score", params, {"scores": list(values)})


def search(name: str = "infonce", seed: int = 0, m: int = 20, tau: float | None = None, **given: Any) -> dict[str, Any]:
    base = network(seed, **given)
    tau = PAPER.get(base["arch"], {"tau": 0.3})["tau"] if tau is None else tau
    params = {"baseline": base, "tau": tau, "m": m, "seed": seed}
    if name == AS_COSTLY:
        return params | {"like": search("infonce", seed, m, tau, **given)}
    return params if name == RANDOM else params | {"encoder": encoder(name, seed, **given)}


def searched(
    name: str, r: Sequence[list[int]], scores: Sequence[float] | None = None, seed: int = 0, **given: Any
) -> Record:
    best = [{"r": one} if scores is None else {"r": one, "score": scores[i]} for i, one in enumerate(r)]
    return record("search", search(name, seed, **given), {"best": best})


def _built(r: Sequence[int], removed: float, fr: float, pr: float, tuned: Sequence[float], epochs: int) -> dict[str, Any]:
    after = [round(BEFORE[0] * (1 - fr / 100)), round(BEFORE[1] * (1 - pr / 100))]
    cost = {"before": list(BEFORE), "after": after, "fr": fr, "pr": pr}
    found = {
        "r": list(r),
        "removed": removed,
        "cost": dict.fromkeys(COUNTERS, cost),
        "recalibrated": {"test": 10.0},
    }
    accuracy = dict(zip(("val", "test"), tuned, strict=True))
    return found | ({"finetuned": accuracy} if epochs else {"recalibrated": accuracy})


def candidate(
    name: str, place: int, val: float, test: float, seed: int = 0, fr: float = 50.0, pr: float = 40.0, removed: float = 0.31,
    epochs: int = 1, r: Sequence[int] = (3,) * ENTRIES, **given: Any,
) -> Record:  # fmt: skip
    params = {"search": search(name, seed, **given), "place": place, "finetune": {"epochs": epochs} if epochs else None}
    return record("candidate", params, _built(r, removed, fr, pr, (val, test), epochs))


def light(name: str, test: Sequence[float], seed: int = 0, val: Sequence[float] | None = None, **given: Any) -> list[Record]:
    """A search's candidates by place; by default validation orders them as the test split does."""
    pairs = zip(val or test, test, strict=True)
    return [candidate(name, place, *pair, seed, **given) for place, pair in enumerate(pairs)]


def final(
    name: str, rank: int, val: float, test: float, seed: int = 0, first: int = 10, place: int | None = None,
    fr: float = 50.0, pr: float = 40.0, **given: Any,
) -> Record:  # fmt: skip
    params = {
        "search": search(name, seed, **given),
        "light": {"epochs": 1},
        "first": first,
        "rank": rank,
        "finetune": {"epochs": 9},
    }
    built = _built((3,) * ENTRIES, 0.31, fr, pr, (val, test), 9)
    return record("final", params, {"place": rank if place is None else place, **built})


def finals(
    name: str, test: Sequence[float], seed: int = 0, val: Sequence[float] | None = None, **given: Any
) -> list[Record]:
    """A search's finals by rank."""
    pairs = zip(val or test, test, strict=True)
    return [final(name, rank, *pair, seed, **given) for rank, pair in enumerate(pairs)]


def chance(
    arch: str,
    fr: Sequence[float],
    pr: Sequence[float],
    counts: Sequence[int] = BEFORE,
    tau: float | None = None,
    **options: Any,
) -> Record:
    """`fr` and `pr` are quantiles in equal steps."""
    tau = PAPER[arch]["tau"] if tau is None else tau
    params = {"dataset": "cifar10", "arch": arch, "options": options or PAPER_OPTIONS.get(arch, {}), "tau": tau}
    cost = {counter: list(counts) for counter in COUNTERS}
    found = {"cost": cost, "share": 0.05, "R": [60.0, 70.0], "fr": list(fr), "pr": list(pr)}
    return record("chance", params, found)
