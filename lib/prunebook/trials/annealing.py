"""The kinds of trial of the annealing study.

How a network decays, on test inputs as they are, attacked and corrupted; what single pairs do; how long a plan takes.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from prunebook import corruptions, data, models, robustness, tables, training
from prunebook.errors import choose, require
from prunebook.methods import annealing
from prunebook.plan import PruningPlan
from prunebook.robustness import Range
from prunebook.trials.engine import Context
from prunebook.trials.tasks import Baseline, Seed, example, kept, load_data, load_network, normalisation
from prunebook.trials.trial import Parameters, Trial, task

REACHED = 1e-9  # of the units: rounding
HALF = 0.5 + REACHED  # share of the units
ATTACKED = 0  # seed of the draw of test images that are attacked or corrupted: the same for all networks and decisions
NOISE = 0  # seed of the corruptions' noise: the same for all of them too, as if it came with the images
CLEAN = "clean"
_WHOLE = "whole"  # the network before pruning
AT_ONCE = 2**22  # changes of outputs of one layer, images times pairs times units, that are computed together
_DIGITS = 6


class Annealing(Parameters):
    """A decision: options of `methods.annealing.plan`. Its beta is 1 - alpha."""

    target: float = Field(0.8, gt=0, lt=1, description="share of its units that every layer loses")
    step: float = Field(gt=0, lt=1, description="share of them that it loses in one epoch")
    variant: Literal["paper", "official"] = "paper"
    mode: Literal["annealing", "greedy", "one-shot", "random"] = "annealing"
    alpha: float = Field(0.75, ge=0, le=1)
    phi: float = Field(0.9, ge=0, le=1)
    bounds: Literal["interval", "zonotope"] = "interval"
    layers: Literal["dense", "all"] = "dense"
    pool: int | None = Field(None, ge=1, description="of the greedy mode")
    recursive: bool = True
    scale: Literal["mean", "absolute", "delegate"] | None = None
    squash: Literal["symmetric", "logistic", "ratio"] | None = None
    cumulative: bool | None = None
    temperature: float | None = Field(None, ge=0, description="one that stays; default: the variant's")

    def describe(self) -> str:
        unusual = [
            f"{name} {value}"
            for name, value in self
            if name not in ("target", "variant", "mode") and value != type(self).model_fields[name].default
        ]
        return ", ".join([self.variant, self.mode, f"{100 * self.target:g} %", *unusual])

    def is_drawn(self) -> bool:
        """Whether the plan hangs on its seed."""
        return self.mode in ("annealing", "random")

    def plan(self, model: nn.Module, bounds: Range, example_inputs: Tensor, seed: int) -> PruningPlan:
        """The plan for `bounds` of one input, tensors; the official code, with one interval for all, takes their hull."""
        options = {name: value for name, value in self if name not in ("target", "step")}
        given = bounds if self.variant == "paper" else _hull(bounds)
        return annealing.plan(
            model, given, self.target, self.step, beta=1 - self.alpha, seed=seed, example_inputs=example_inputs, **options
        )


class Bounded(Parameters):
    """A network whose inputs have bounds: base of the parameters below."""

    baseline: Baseline
    input_bounds: tuple[float, float] | None = Field(
        None, description="of every input, normalised; default: of images what pixels can be, of a table each column's "
        "range in the training split"
    )  # fmt: skip

    @field_validator("input_bounds")
    @classmethod
    def _in_order(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        require(value is None or value[0] <= value[1], "input_bounds", value, "(lower, upper)")
        return value


class Repeated(Bounded):
    """A decision on a network, as often as it is drawn anew: base of the parameters below."""

    decision: Annealing
    rounds: int = Field(1, ge=1, description="repetitions of the pruning, with seeds from 0")

    @model_validator(mode="after")
    def _worthwhile(self) -> Self:
        drawn = self.decision.is_drawn()
        require(drawn or self.rounds == 1, "rounds", self.rounds, f"1 for mode {self.decision.mode!r}, which draws nothing")
        return self

    def describe(self) -> str:
        fit = self.baseline.fit
        network = f"{self.baseline.arch} on {self.baseline.dataset}" + (f", network {fit.seed}" if fit else "")
        return f"{network}: {self.decision.describe()}, {self.rounds} round{'s' * (self.rounds != 1)}"


class Decay(Repeated):
    """Accuracy and number of robust instances while a decision takes units from a network (Figure 3)."""

    every: int = Field(1, ge=1, description="epochs of pruning from one measurement to the next")
    tested: int | None = Field(None, ge=1, description="inputs of the test split for the accuracy, drawn once; default: all")
    images: int = Field(1000, ge=1, description="of these, inputs that are attacked; fewer where there are fewer")
    epsilons: list[float] = Field([0.01, 0.05], description="of the attacks; of images in units of [0, 1]")
    attacks: list[Literal["fgsm", "pgd", "official"]] = Field(["fgsm"])


class Corrupted(Repeated):
    """Accuracy on corrupted images, before and while a decision takes units from a network."""

    shares: list[float] = Field(min_length=1, description="of the units that are gone, beside 0: no more than the target")
    kinds: list[str] = Field(list(corruptions.KINDS), min_length=1, description="of corruption")
    severities: list[int] = Field(list(corruptions.SEVERITIES), min_length=1, description="of each kind")
    tested: int = Field(1000, ge=1, description="images of the test split, drawn once; fewer where there are fewer")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        name = self.baseline.dataset
        require(
            name not in tables.NAMES, "dataset", name, "one of images: the rows of a table are not blurred or compressed"
        )
        for share in self.shares:
            require(
                0 < share <= self.decision.target, "share", share, f"above 0 and at most the target {self.decision.target:g}"
            )
        for kind in self.kinds:
            choose("corruption", kind, corruptions.KINDS)
        for severity in self.severities:
            require(severity in corruptions.SEVERITIES, "severity", severity, "a whole number from 1 to 5")
        return self


class Impacts(Bounded):
    """Single pairs of units: what bounds and saliencies say of a removal, beside what it does."""

    pairs: int = Field(200, ge=2, description="pairs drawn in each hidden linear layer; fewer where there are fewer")
    images: int = Field(500, ge=1, description="of the validation split, on which the true change is measured")
    phi: float = Field(0.9, ge=0, le=1)
    seed: int = Seed

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}: {self.pairs} pairs a layer"


class Pace(Bounded):
    """How long a plan takes (Table II)."""

    decision: Annealing
    repeats: int = Field(1, ge=1)

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}: {self.decision.describe()}"


def _needs_baseline(p: Bounded) -> list[Trial]:
    return [] if p.baseline.weights else [Trial("baseline", p.baseline.model_dump(mode="json"))]


@task("decay", version=1, parameters=Decay, needs=_needs_baseline)
def decay(p: Decay, context: Context) -> dict[str, Any]:
    """For every round, at every so many epochs: the share of units that is gone, accuracy, F1, and robust instances.

    All on the test split: nothing is chosen by them. Attacks are made on the pruned network itself. Beside it how the walks
    went, epoch by epoch, the bounds of the change of the outputs that the plan ends with, and "half": for every layer a
    digit for each unit, 1 for those that are left at the last measurement with no more than a half gone.
    """
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    inputs = example(dataset, context)
    bounds = input_range(p, dataset, context)
    tester = _Tester(p, model, dataset, bounds)
    rounds, seen = [], dict[str, dict[str, Any]]()
    for seed in range(p.rounds):
        with context.timed("plan"):
            whole = p.decision.plan(model, bounds, inputs, seed)
        last = annealing.epochs(whole)
        points, half = [], dict[str, str]()
        for epoch in sorted({*range(0, last, p.every), last}):
            part = annealing.replay(whole, epoch)
            half = kept(part) if part.parameters["removed"] <= HALF else half
            state = _state(part)  # the network before pruning is that of every round
            if state not in seen:
                with context.timed("evaluate"):
                    seen[state] = tester.measure(part.apply(model, inputs) if part.removed() else model)
            points.append({"epoch": epoch, "removed": round(part.parameters["removed"], _DIGITS), **seen[state]})
        impact = _rounded(whole.parameters["impact"])
        rounds.append({"seed": seed, "points": points, "walks": _walks(whole), "impact": impact, "half": half})
        context.progress(seed + 1, p.rounds, "rounds")
    lower, upper = _hull(bounds)
    return {
        "tested": len(tester.labels),
        "attacked": len(tester.chosen),
        "constant": tester.constant(),
        "input_bounds": [round(lower, _DIGITS), round(upper, _DIGITS)],
        "widths": whole.widths,
        "rounds": rounds,
    }


@task("corrupted", version=1, parameters=Corrupted, needs=_needs_baseline)
def corrupted(p: Corrupted, context: Context) -> dict[str, Any]:
    """For every round and share: how many images of the test split are classified correctly, clean and corrupted.

    Nothing is chosen by them. "conditions" are "clean" and each kind with a severity, in the order of the "counts"; all
    networks see the same corrupted copies. "constant" is the count of the answer that is most often right, given to all. A
    network is that of the plan's epoch whose share is nearest; "removed" is what is gone there. A share from which that is
    farther than a step has no point: the plan ended before. What corruption costs is computed from the counts, by
    `report.annealing_corruptions`.
    """
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    inputs, bounds = example(dataset, context), input_range(p, dataset, context)
    networks: dict[str, nn.Module] = {_WHOLE: model}  # by what is left, since rounds may agree
    rounds = []
    for seed in range(p.rounds):
        with context.timed("plan"):
            whole = p.decision.plan(model, bounds, inputs, seed)
        points = [(_WHOLE, {"share": 0.0, "epoch": 0, "removed": 0.0})]
        for share in sorted(set(p.shares)):
            epoch, part = _nearest(whole, share)
            removed, state = part.parameters["removed"], _state(part)
            if abs(removed - share) <= p.decision.step + REACHED:
                networks[state] = networks[state] if state in networks else part.apply(model, inputs)
                points.append((state, {"share": share, "epoch": epoch, "removed": round(removed, _DIGITS)}))
        rounds.append((seed, points))
    images, labels = data.draw_labelled(dataset.test, min(p.tested, len(dataset.test)), ATTACKED)
    front = _front(model) if p.decision.layers == "dense" else None
    behind = {state: _behind(network, front) for state, network in networks.items()}
    conditions = [CLEAN, *(f"{kind} {severity}" for kind in p.kinds for severity in p.severities)]
    counts: dict[str, list[int]] = {state: [] for state in networks}
    for done, condition in enumerate(conditions, 1):
        with context.timed("corrupt"):
            kind, _, severity = condition.partition(" ")
            changed = corruptions.corrupt(images, kind, int(severity), NOISE) if severity else images
        with context.timed("evaluate"):
            seen = _arriving(front, data.normalise(changed, *normalisation(p.baseline, dataset)))
            for state, network in behind.items():
                counts[state].append(_right(network, seen, labels))
        context.progress(done, len(conditions), "conditions")
    found = [
        {"seed": seed, "points": [{**point, "counts": counts[state]} for state, point in points]} for seed, points in rounds
    ]
    constant = int(torch.bincount(labels).max())
    return {"tested": len(labels), "constant": constant, "conditions": conditions, "rounds": found}


@task("impacts", version=1, parameters=Impacts, needs=_needs_baseline)
def impacts(p: Impacts, context: Context) -> dict[str, Any]:
    """For pairs of each hidden linear layer: saliency in three readings, NORM and ENT by each kind of bounds, and the truth.

    "range" is the sum over outputs of highest minus lowest change over the images, which no sound NORM is below; "moved" the
    mean over images of the L1 norm of the change; "loss" and "flips" what it does to the loss and to how many answers, in
    percent.
    """
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context).cpu()
    bounds = input_range(p, dataset, context)
    images, labels = data.draw_labelled(dataset.val, min(p.images, len(dataset.val)), p.seed)
    images, labels = data.normalise(images, *normalisation(p.baseline, dataset)).cpu(), labels.cpu()
    inputs = example(dataset, context).cpu()
    network = annealing.read(model, bounds, inputs)
    generator = torch.Generator().manual_seed(p.seed)
    found = []
    for done, index in enumerate(network.dense(), 1):
        layer, after = network.layers[index], network.layers[index + 1]
        everyone = torch.cartesian_prod(torch.arange(layer.width), torch.arange(layer.width))
        everyone = everyone[everyone[:, 0] != everyone[:, 1]]
        pairs = everyone[torch.randperm(len(everyone), generator=generator)[: p.pairs]]
        with context.timed("measure"):
            columns = annealing.changes(network, index, pairs, images.double(), labels, AT_ONCE)
        outgoing = after.outgoing(layer.width).transpose(0, 1)
        for scale in annealing.SCALES:
            values = annealing.saliency(layer.weight, layer.bias, outgoing, scale=scale)
            columns[f"saliency {scale}"] = values[pairs[:, 0], pairs[:, 1]]
        for name, (variant, kind) in _KINDS.items():
            with context.timed(name):
                given = bounds if variant == "paper" else _hull(bounds)
                delta = annealing.impacts(model, given, layer.name, pairs, variant, kind, inputs)
            columns[f"norm {name}"] = annealing.norm(delta)
            columns[f"entropy {name}"] = annealing.entropy(delta, p.phi, variant)
        rounded = {name: _digits(values) for name, values in columns.items()}
        found.append({"layer": layer.name, "width": layer.width, "pairs": pairs.tolist(), **rounded})
        context.progress(done, len(network.dense()), "layers")
    return {"images": len(images), "outputs": network.layers[-1].width, "layers": found}


@task("pace", version=1, parameters=Pace, needs=_needs_baseline, alone=True)
def pace(p: Pace, context: Context) -> dict[str, Any]:
    """How long the decision takes: the median of the repeats is `times["plan"]`. Data are loaded before, nothing is cut."""
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    bounds, inputs = input_range(p, dataset, context), example(dataset, context)
    seconds = []
    for repeat in range(p.repeats):
        start = time.perf_counter()
        plan = p.decision.plan(model, bounds, inputs, repeat)
        seconds.append(time.perf_counter() - start)
        context.progress(repeat + 1, p.repeats, "planning")
    context.times |= {"plan": round(float(np.median(seconds)), 3), "plan_slowest": round(max(seconds), 3)}
    walks = plan.parameters["trace"]
    return {
        "removed": round(plan.parameters["removed"], _DIGITS),
        "epochs": annealing.epochs(plan),
        "units": plan.removed(),
        "walked": sum(walk["walked"] for walk in walks),
        "taken": sum(len(walk["pairs"]) for walk in walks),
        "threads": torch.get_num_threads(),
    }


_KINDS = {"interval": ("paper", "interval"), "zonotope": ("paper", "zonotope"), "official": ("official", "interval")}


def input_range(p: Bounded, dataset: data.Dataset, context: Context) -> tuple[Tensor, Tensor]:
    """Lowest and highest value of each number of one input, as the network gets it: (c, h, w) each."""
    shape = dataset.train.shape
    if p.input_bounds is not None:
        lower, upper = (torch.full(shape, bound, device=context.device) for bound in p.input_bounds)
        return lower, upper
    mean, std = normalisation(p.baseline, dataset)
    if dataset.name in tables.NAMES:
        (rows,) = dataset.train.read([torch.arange(len(dataset.train))])
        scaled = data.normalise(rows, mean, std)
        return scaled.amin(0), scaled.amax(0)
    pixels = torch.tensor([0, 255], dtype=torch.uint8, device=context.device).view(2, 1, 1, 1).expand(2, *shape)
    lower, upper = data.normalise(pixels, mean, std)
    return lower, upper


class _Tester:
    """Measures networks that differ in their linear layers from `model`, or in all layers, on the test split.

    What stands in front of the linear layers is computed once where the trial's decision does not reach it. Attacks end at
    the bounds of the input, widened to the attacked rows.
    """

    def __init__(self, p: Decay, model: nn.Module, dataset: data.Dataset, bounds: tuple[Tensor, Tensor]) -> None:
        self.p = p
        mean, std = normalisation(p.baseline, dataset)
        images, self.labels = data.draw_labelled(
            dataset.test, min(p.tested or len(dataset.test), len(dataset.test)), ATTACKED
        )
        images = data.normalise(images, mean, std)
        self.chosen = torch.arange(min(p.images, len(images)))
        self.attacked = images[self.chosen]
        # Rows of a table may lie outside of what training showed; cut off there, they would move by more than epsilon.
        self.within = torch.minimum(bounds[0], self.attacked.amin(0)), torch.maximum(bounds[1], self.attacked.amax(0))
        self.front = _front(model) if p.decision.layers == "dense" else None
        self.seen = _arriving(self.front, images)
        pixels = torch.tensor(std, device=images.device).view(-1, 1, 1)
        self.unit = torch.ones_like(pixels) if dataset.name in tables.NAMES else 1 / pixels

    def constant(self) -> dict[str, float]:
        """What the answer scores that is most often right, given to all inputs: percent, and robust instances."""
        counts = torch.bincount(self.labels)
        attacked = self.labels[self.chosen] == counts.argmax()
        return {"top1": round(100 * int(counts.max()) / len(self.labels), 4), "robust": int(attacked.sum())}

    def measure(self, network: nn.Module) -> dict[str, Any]:
        """Accuracy, F1, and numbers of robust instances by attack and epsilon."""
        rest = _behind(network, self.front)
        channels = self.seen.shape[1]
        split = data.Split(self.seen, self.labels)
        test = training.evaluate(rest, split, mean=[0.0] * channels, std=[1.0] * channels, batch_size=512)
        robust: dict[str, int] = {}
        labels = self.labels[self.chosen]
        for attack in self.p.attacks:
            distances = [epsilon * self.unit for epsilon in self.p.epsilons]
            if attack == "fgsm":
                counts = robustness.robust_to(network, self.attacked, labels, distances, self.within).sum(1).tolist()
            else:
                counts = [
                    int(robustness.robust(network, self.attacked, labels, distance, self.within, attack).sum())
                    for distance in distances
                ]
            robust |= {f"{attack} {e:g}": count for e, count in zip(self.p.epsilons, counts, strict=True)}
        return {"top1": round(test.top1, 4), "f1": round(test.f1, _DIGITS), "robust": robust}


def _front(model: nn.Module) -> nn.Module | None:
    """What stands in front of a network's linear layers, if it says so by its parts."""
    parts = dict(model.named_children())
    return parts["features"] if set(parts) == {"features", "classifier"} else None


def _arriving(front: nn.Module | None, images: Tensor) -> Tensor:
    """What arrives behind `front`."""
    if front is None:
        return images
    with models.in_mode(front, training=False), torch.no_grad():
        return torch.cat([front(x) for x in images.split(128)])


def _behind(network: nn.Module, front: nn.Module | None) -> nn.Module:
    """The part of a network that reads what arrives behind `front`."""
    return network if front is None else nn.Sequential(nn.Flatten(), network.get_submodule("classifier"))


def _right(network: nn.Module, inputs: Tensor, labels: Tensor) -> int:
    """How many inputs are classified correctly."""
    with models.in_mode(network, training=False), torch.no_grad():
        answers = torch.cat([robustness.predict(network(x)) for x in inputs.split(512)])
    return int((answers == labels).sum())


def _nearest(whole: PruningPlan, share: float) -> tuple[int, PruningPlan]:
    """The epoch at which a plan is nearest to a share of the units gone, of two as near the earlier, and the plan then."""
    parts = [annealing.replay(whole, epoch) for epoch in range(annealing.epochs(whole) + 1)]
    epoch = min(range(len(parts)), key=lambda i: round(abs(parts[i].parameters["removed"] - share), _DIGITS))
    return epoch, parts[epoch]


def _state(part: PruningPlan) -> str:
    """What tells a pruned network from others of the same one."""
    return repr((part.keep, part.delegates)) if part.removed() else _WHOLE


def _hull(bounds: Range) -> tuple[float, float]:
    return float(torch.as_tensor(bounds[0]).min()), float(torch.as_tensor(bounds[1]).max())


def _walks(whole: PruningPlan) -> list[dict[str, Any]]:
    """Of every epoch, over its layers: pairs looked at and taken, the range of the energies taken, and the temperature."""
    found: dict[int, list[dict[str, Any]]] = {}
    for entry in whole.parameters["trace"]:
        found.setdefault(entry["epoch"], []).append(entry)
    rows = []
    for epoch, entries in found.items():
        energies = [energy for entry in entries for energy in entry["energies"]]
        rows.append({
            "epoch": epoch,
            "walked": sum(entry["walked"] for entry in entries),
            "taken": sum(len(entry["pairs"]) for entry in entries),
            "energies": _rounded([min(energies), max(energies)] if energies else None),
            "temperature": entries[-1]["temperature"],
        })  # fmt: skip
    return rows


def _rounded(value: Any) -> Any:
    """Nested lists of numbers, to digits that count."""
    if isinstance(value, Sequence):
        return [_rounded(part) for part in value]
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _digits(values: Tensor) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]
