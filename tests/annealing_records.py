"""Records made by hand, for the tests of the annealing report."""

from collections.abc import Mapping, Sequence
from typing import Any

from kcore_records import record

from prunebook.studies.annealing import DECISIONS, MODELS
from prunebook.trials import Record

STEP = 1 / 32
SHARES = [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.8]


def network(dataset: str = "mnist", seed: int = 0, **options: Any) -> dict[str, Any]:
    model = MODELS[dataset]
    fit = {"epochs": 20, "augment": False, "seed": seed}
    options = {"size": 8, **options} if dataset == "digits" else options
    return {"dataset": dataset, "arch": model.arch, "options": options, "fit": fit}


def baseline(dataset: str = "mnist", seed: int = 0, top1: float = 98.0, params: int = 125_898) -> Record:
    found = {"test": {"top1": top1, "f1": top1 / 100}, "cost": {"macs": [params, params]}}
    return record("baseline", network(dataset, seed), found)


def decision(name: str, **given: Any) -> dict[str, Any]:
    return {"step": STEP, **DECISIONS[name], **given}


Curve = Sequence[float] | Mapping[float, float]  # top-1 at `SHARES`, or at given shares


def decay(
    name: str = "paper", curves: Sequence[Curve] = ((98.0,) * 8,), dataset: str = "mnist", seed: int = 0,
    robust: Sequence[Curve] | None = None, constant: float = 10.0, walked: int = 10, energies: Any = (0.4, 0.5),
    impact: Any = None, half: Sequence[str] = (), **given: Any,
) -> Record:  # fmt: skip
    """One network pruned in as many rounds as there are curves. Of 200 inputs attacked, robust are `robust` percent."""
    rounds = []
    for draw, curve in enumerate(curves):
        tops = dict(curve) if isinstance(curve, Mapping) else dict(zip(SHARES, curve, strict=False))
        hits = tops if robust is None else dict(zip(tops, robust[draw], strict=True))
        points = [
            {"epoch": round(share * 32), "removed": share, "top1": top1, "f1": top1 / 100,
             "robust": {"fgsm 0.01": round(2 * top1), "fgsm 0.05": round(2 * hits[share])}}
            for share, top1 in tops.items()
        ]  # fmt: skip
        walks = [{"epoch": 1, "walked": walked, "taken": 10, "energies": list(energies), "temperature": 0.5}]
        kept = half[draw] if half else "0101"
        rounds.append({"seed": draw, "points": points, "walks": walks, "impact": impact or [[-1.0, 1.0]] * 10,
                       "half": {"a": kept}})  # fmt: skip
    found = {
        "rounds": rounds,
        "attacked": 200,
        "tested": 1000,
        "constant": {"top1": constant, "robust": round(2 * constant)},
    }
    params = {"baseline": network(dataset, seed), "decision": decision(name, **given), "rounds": len(rounds)}
    return record("decay", params, found)


def repeated(name: str, curves: Sequence[Curve], **given: Any) -> list[Record]:
    """A network with one round for each curve."""
    return [decay(name, [curve], seed=seed, **given) for seed, curve in enumerate(curves)]


def level(top1: float, start: float = 98.0) -> list[float]:
    """A curve that is at once where it stays."""
    return [start, *[top1] * (len(SHARES) - 1)]


def pace(dataset: str = "mnist", seconds: float = 2.0, variant: str = "paper") -> Record:
    found = {"removed": 0.8, "epochs": 51, "units": 255, "walked": 256, "taken": 255, "threads": 1}
    params = {"baseline": network(dataset), "decision": {"step": 1 / 64, "variant": variant}}
    return record("pace", params, found, plan=seconds)


RANKS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def impacts(dataset: str = "mnist", seed: int = 0, **columns: Sequence[float]) -> Record:
    """One layer of six pairs whose change, of outputs and of the loss, goes with their number."""
    names = [f"{kind} {look}" for kind in ("norm", "entropy") for look in ("interval", "zonotope", "official")]
    names += [f"saliency {scale}" for scale in ("mean", "absolute", "delegate")]
    layer: dict[str, Any] = {name: list(columns.get(name.replace(" ", "_"), RANKS)) for name in names}
    layer |= {"layer": "layers.0", "width": 8, "pairs": [[0, 1]] * 6, "moved": RANKS, "loss": RANKS, "flips": RANKS}
    layer["range"] = list(columns.get("range", [0.5] * 6))
    return record("impacts", {"baseline": network(dataset, seed)}, {"images": 40, "outputs": 10, "layers": [layer]})


def corrupted(
    name: str = "paper", curves: Sequence[Mapping[float, tuple[float, float]]] = ({0.0: (98.0, 88.0)},),
    dataset: str = "mnist", seed: int = 0, **given: Any,
) -> Record:  # fmt: skip
    """One network pruned in as many rounds as there are curves: by share, percent of 200 images clean and corrupted.

    Of two kinds, contrast is two points above the given one and jpeg two below; severity 1 is one above its kind, 5 below.
    """
    rounds = []
    for draw, curve in enumerate(curves):
        points = []
        for share, (clean, low) in curve.items():
            percents = [clean, low + 3, low + 1, low - 1, low - 3]
            counts = [round(2 * percent) for percent in percents]
            points.append({"share": share, "epoch": round(32 * share), "removed": share, "counts": counts})
        rounds.append({"seed": draw, "points": points})
    conditions = ["clean", "contrast 1", "contrast 5", "jpeg 1", "jpeg 5"]
    shares = sorted({share for curve in curves for share in curve if share}) or [0.5]
    params = {"baseline": network(dataset, seed), "decision": decision(name, **given), "rounds": len(rounds)}
    params |= {"shares": shares, "kinds": ["contrast", "jpeg"], "severities": [1, 5], "tested": 200}
    return record("corrupted", params, {"tested": 200, "constant": 20, "conditions": conditions, "rounds": rounds})


def fallen(clean: float, low: float, half: float = 0.5, start: tuple[float, float] = (98.0, 88.0)) -> dict[float, Any]:
    """A curve of two points: before pruning, and where a half is gone."""
    return {0.0: start, half: (clean, low)}
