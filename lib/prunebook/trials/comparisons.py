"""The kinds of trial in which methods meet: any of them decides on the same baseline, and the same is measured of each."""

from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from prunebook import data, distributed, diversity, measure, training, weights
from prunebook.errors import choose, require
from prunebook.methods import baselines, dice, mrp
from prunebook.plan import PruningPlan
from prunebook.trials.communities import Mrp
from prunebook.trials.engine import Context
from prunebook.trials.tasks import (
    Baseline,
    Fit,
    Seed,
    check_images,
    costs,
    example,
    load_data,
    load_named,
    load_network,
    normalisation,
    scores,
)
from prunebook.trials.tasks import fit as train
from prunebook.trials.tasks import kept as as_digits
from prunebook.trials.trial import Parameters, Trial, task

Ratio = Annotated[float | None, Field(ge=0, lt=1, description="share of the filters of each layer to remove")]
Target = Annotated[float | None, Field(gt=0, lt=1, description="instead of ratio: share of the MACs to remove")]


class Dice(Parameters):
    """A decision by Sørensen-Dice similarity: see `methods.dice.plan`."""

    method: Literal["dice"]
    ratio: Ratio = None
    target: Target = None
    alpha: float | None = Field(None, ge=0, le=1)
    beta: float | None = Field(None, ge=0, le=1)
    mode: Literal["one-shot", "greedy"] = "one-shot"
    ends: Literal["both", "low", "high", "middle"] = "both"
    norm: Literal["abs", "max"] = "abs"
    rescale: Literal["shift", "none", "parts"] = "shift"
    of: Literal["weights", "activations"] = "weights"
    layers: Literal["conv", "all"] = "conv"
    coupled: Literal["mean", "lead", "keep", "each"] = "mean"

    def describe(self) -> str:
        return " ".join(["dice", *_unusual(self)])


class Importance(Parameters):
    """A decision by one of Torch-Pruning's criteria: see `methods.baselines.plan`."""

    method: Literal["baseline"]
    criterion: str
    ratio: Ratio = None
    target: Target = None
    scope: Literal["uniform", "global"] = "uniform"
    layers: Literal["conv", "internal", "all"] = "conv"

    @field_validator("criterion")
    @classmethod
    def _known(cls, value: str) -> str:
        return choose("criterion", value, baselines.CRITERIA)

    def describe(self) -> str:
        return " ".join([self.criterion, *_unusual(self)])


Decision = Annotated[Dice | Importance | Mrp, Field(discriminator="method")]
SHORT = ("method", "criterion", "ratio", "target")  # not repeated in a description


def _unusual(p: Parameters) -> list[str]:
    """The values that are not the defaults."""
    fields = type(p).model_fields
    return [str(value) for name, value in p if name not in SHORT and value != fields[name].default]


class Regularised(Parameters):
    """Training of a baseline with growing regularisation, before anything is cut: see `GrowingRegularisation`."""

    fit: Fit
    every: int = Field(10, ge=1, description="steps of training from one rise of the penalty to the next")
    reg: float = Field(1e-4, ge=0)
    delta: float = Field(1e-4, ge=0)
    layers: Literal["conv", "all"] = "conv"


class Regularise(Regularised):
    """That training as a trial of its own, since several decisions start from the network that it makes."""

    baseline: Baseline

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}, {self.fit.epochs} epochs with growing regularisation"


class Compared(Parameters):
    """A baseline, perhaps regularised, and a decision on it."""

    baseline: Baseline
    regularised: Regularised | None = None
    decision: Decision
    images: int = Field(100, ge=1, description="training images for a decision that looks at data")
    draw: int = Seed

    @model_validator(mode="after")
    def _one_dial(self) -> "Compared":
        if type(self).model_fields.get("ratios") is None:
            d = self.decision
            require((d.ratio is None) != (d.target is None), "ratio", d.ratio, "given exactly where target is not")
        return self

    def start(self) -> Trial | None:
        """The trial that trains the network on which is decided; None for weights that others trained."""
        if self.regularised is not None:
            params = self.regularised.model_dump(mode="json")
            return Trial("regularise", {"baseline": self.baseline.model_dump(mode="json"), **params})
        return None if self.baseline.weights else Trial("baseline", self.baseline.model_dump(mode="json"))


class Compare(Compared):
    """A pruned network, measured, and fine-tuned where `finetune` is given."""

    recalibrate: int = Field(
        0, ge=0, description="training images for new batch-norm statistics before fine-tuning; 0: none"
    )
    evaluate: Literal["all", "none"] = Field("all", description="moments before fine-tuning to measure")
    finetune: Fit | None = None

    def describe(self) -> str:
        tuned = f", {self.finetune.epochs} epochs" if self.finetune else ""
        return f"{self.baseline.arch} on {self.baseline.dataset}: {self.decision.describe()}{tuned}"


class Sweep(Compared):
    """The same decision at several ratios, without fine-tuning."""

    ratios: list[float] = Field(min_length=1)
    recalibrate: int = Field(1000, ge=2)

    @model_validator(mode="after")
    def _inside(self) -> "Sweep":
        for ratio in self.ratios:
            require(0 <= ratio < 1, "ratios", ratio, "shares of the filters, each at least 0 and below 1")
        given = self.decision.ratio if self.decision.ratio is not None else self.decision.target
        require(given is None, "decision", given, "without ratio and target, where ratios are given")
        return self

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}: {self.decision.describe()} at {len(self.ratios)} ratios"


class Stop(Parameters):
    """The stop rule of section 3.2: greedy removal until the accuracy on the validation split has dropped too far."""

    baseline: Baseline
    drop: float = Field(gt=0, le=100, description="points of accuracy on the validation split")
    step: float = Field(0.05, gt=0, lt=1, description="share of each layer's filters removed at a time")
    alpha: float = Field(0.1, ge=0, le=1)
    beta: float = Field(0.9, ge=0, le=1)
    ends: Literal["both", "low", "high"] = "both"
    recalibrate: int = Field(0, ge=0, description="training images for new batch-norm statistics before each look; 0: none")
    draw: int = Seed

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}: until {self.drop:g} points are lost"


class Speed(Compared):
    """How long a network takes before and after a cut."""

    batches: list[int] = Field([1, 256], min_length=1, description="numbers of images at a time")
    repeats: int = Field(30, ge=1)

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}: {self.decision.describe()}"


class Profile(Parameters):
    """Similarities in every layer of a baseline under every reading, and what each would remove."""

    baseline: Baseline
    ratio: float = Field(0.25, gt=0, lt=1)
    bins: int = Field(50, ge=2)
    images: int = Field(100, ge=1)
    draw: int = Seed

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}"


class Transfer(Parameters):
    """A trained network as the start for another task: how diverse its filters are, and what it reaches there."""

    baseline: Baseline
    dataset: str
    size: int | None = Field(None, ge=1)
    images: int = Field(100, ge=1, description="training images of the new task, for similarities of activations")
    draw: int = Seed
    finetune: Fit

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        return value if value.startswith("image_folder:") else choose("dataset", value, data.names())

    @model_validator(mode="after")
    def _takes_the_images(self) -> "Transfer":
        check_images(self.baseline.arch, self.baseline.options, self.dataset, self.size)
        (own, _), (channels, _) = (data.shape(p.dataset, p.size) for p in (self.baseline, self))
        if own is not None and channels is not None:  # as for a table
            self.check_channels(own, channels)
        return self

    def check_channels(self, own: int, channels: int) -> None:
        """Raise BadValue unless images of so many channels fit a network for `own`."""
        require(own == channels, "dataset", self.dataset, f"one with {own} channels, as {self.baseline.dataset} has")

    def describe(self) -> str:
        return f"{self.baseline.arch} from {self.baseline.dataset} to {self.dataset}, {self.finetune.epochs} epochs"


def _needs_start(p: Compared) -> list[Trial]:
    start = p.start()
    return [] if start is None else [start]


def _needs_baseline(p: Regularise | Stop | Profile | Transfer) -> list[Trial]:
    return [] if p.baseline.weights else [Trial("baseline", p.baseline.model_dump(mode="json"))]


@task("regularise", version=1, parameters=Regularise, needs=_needs_baseline, leaves=True)
def regularise(p: Regularise, context: Context) -> dict[str, Any]:
    """Train a baseline on with growing regularisation; nothing is cut."""
    dataset = load_data(p.baseline, context)
    normal = normalisation(p.baseline, dataset)
    model = load_network(p.baseline, dataset, context)
    inputs = example(dataset, context)
    growing = baselines.GrowingRegularisation(model, inputs, every=p.every, reg=p.reg, delta=p.delta, layers=p.layers)
    with context.timed("fit"):
        history = train(model, dataset, p.fit, normal, context, regularise=growing.after_backward)
    test = training.evaluate(model, dataset.test, mean=normal[0], std=normal[1])
    context.keep(Trial("regularise", p.model_dump(mode="json")), model, test.top1)
    highest = {name: round(float(now.max()), 8) for name, now in growing.penalties().items()}
    return {"test": scores(test, dataset), "history": history, "penalties": highest}


@task("compare", version=1, parameters=Compare, needs=_needs_start)
def compare(p: Compare, context: Context) -> dict[str, Any]:
    """Prune a baseline by a decision and measure it: cost by every counter, and accuracy on the test split.

    "pruned": cut, and nothing else. "recalibrated": with batch-norm statistics estimated anew on `recalibrate` training
    images, no weight touched. "finetuned": trained on from there, if asked for.
    """
    dataset = load_data(p.baseline, context)
    mean, std = normalisation(p.baseline, dataset)
    model = _network(p, dataset, context)
    inputs = example(dataset, context)
    with context.timed("plan"):
        plan = distributed.from_main(lambda: _decide(p.decision, model, _looks(p, dataset), p.draw))
    pruned = plan.apply(model, inputs)
    moments: dict[str, dict[str, float]] = {}

    def look(moment: str) -> None:
        if p.evaluate == "all":
            with context.timed("evaluate"):
                moments[moment] = scores(training.evaluate(pruned, dataset.test, mean=mean, std=std), dataset)

    look("pruned")
    if p.recalibrate:
        _recalibrate(pruned, p.recalibrate, p.draw, dataset, (mean, std))
        look("recalibrated")
    result: dict[str, Any] = {
        "cost": {counter: costs(model, pruned, inputs, counter) for counter in measure.COUNTERS},
        "keep": as_digits(plan),
        "test": moments,
    }
    found = {name: plan.parameters[name] for name in ("ratio", "removed") if plan.parameters.get(name) is not None}
    if p.decision.target is not None:
        result["found"] = found
    if p.finetune is not None:
        with context.timed("finetune"):
            result["history"] = train(pruned, dataset, p.finetune, (mean, std), context)
        moments["finetuned"] = scores(training.evaluate(pruned, dataset.test, mean=mean, std=std), dataset)
    return result


@task("sweep", version=1, parameters=Sweep, needs=_needs_start)
def sweep(p: Sweep, context: Context) -> dict[str, Any]:
    """Accuracy of the cut network at every ratio, as it is and with new batch-norm statistics, on both held-out splits."""
    dataset = load_data(p.baseline, context)
    mean, std = normalisation(p.baseline, dataset)
    model = _network(p, dataset, context)
    inputs = example(dataset, context)
    looks = _looks(p, dataset)
    points = []
    for done, ratio in enumerate(p.ratios, 1):
        decision = p.decision.model_copy(update={"ratio": ratio})
        pruned = distributed.from_main(partial(_decide, decision, model, looks, p.draw)).apply(model, inputs)
        point: dict[str, Any] = {"ratio": ratio, "macs": measure.cost(pruned, inputs).macs}
        for moment in ("pruned", "recalibrated"):
            if moment == "recalibrated":
                _recalibrate(pruned, p.recalibrate, p.draw, dataset, (mean, std))
            splits = {"val": dataset.val, "test": dataset.test}
            tops = {name: training.evaluate(pruned, split, mean=mean, std=std).top1 for name, split in splits.items()}
            point[moment] = {name: round(top, 4) for name, top in tops.items()}
        points.append(point)
        context.progress(done, len(p.ratios), "ratios")
    return {"before": measure.cost(model, inputs).macs, "points": points}


@task("stop", version=1, parameters=Stop, needs=_needs_baseline)
def stop(p: Stop, context: Context) -> dict[str, Any]:
    """The last network before the drop, its cost and accuracy on the test split; of each step, on the validation split."""
    dataset = load_data(p.baseline, context)
    mean, std = normalisation(p.baseline, dataset)
    model = load_network(p.baseline, dataset, context)
    inputs = example(dataset, context)

    def score(network: nn.Module) -> float:
        if p.recalibrate:
            _recalibrate(network, p.recalibrate, p.draw, dataset, (mean, std))
        return training.evaluate(network, dataset.val, mean=mean, std=std).top1

    def show(step: dice.Step) -> None:
        context.progress(round(step.ratio / p.step), round(1 / p.step), "steps, at most")

    plan, steps = dice.until(
        model, score, p.drop, step=p.step, alpha=p.alpha, beta=p.beta, ends=p.ends, example_inputs=inputs, on_step=show
    )
    pruned = plan.apply(model, inputs)
    if p.recalibrate:
        _recalibrate(pruned, p.recalibrate, p.draw, dataset, (mean, std))
    return {
        "steps": [{"ratio": round(s.ratio, 6), "val": round(s.score, 4)} for s in steps],
        "cost": {counter: costs(model, pruned, inputs, counter) for counter in measure.COUNTERS},
        "keep": as_digits(plan),
        "test": scores(training.evaluate(pruned, dataset.test, mean=mean, std=std), dataset),
    }


@task("speed", version=1, parameters=Speed, needs=_needs_start, alone=True)
def speed(p: Speed, context: Context) -> dict[str, Any]:
    """Median seconds of a forward pass before and after the cut, with quartiles, for each number of images; and MACs."""
    dataset = load_data(p.baseline, context)
    model = _network(p, dataset, context)
    inputs = example(dataset, context)
    pruned = _decide(p.decision, model, _looks(p, dataset), p.draw).apply(model, inputs)
    rows = []
    for images in p.batches:
        batch = inputs.expand(images, *inputs.shape[1:]).contiguous()
        # In turns, so that a machine that slows down slows both.
        seconds = [
            [measure.latency(m, batch, warmup=1, repeats=1).median_s for m in (model, pruned)] for _ in range(p.repeats)
        ]
        quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        before, after = torch.tensor(seconds, dtype=torch.float64).quantile(quartiles, dim=0).T
        rows.append({"images": images, "before": before.tolist(), "after": after.tolist()})
    cost = {counter: costs(model, pruned, inputs, counter) for counter in measure.COUNTERS}
    return {"cost": cost, "latency": rows, "threads": torch.get_num_threads()}


@task("profile", version=3, parameters=Profile, needs=_needs_baseline)
def profile(p: Profile, context: Context) -> dict[str, Any]:
    """For every layer and reading: how similar pairs of filters are, and which filters would go; and of every filter its
    spread, norm and activity.
    """
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    images = data.draw(dataset.train, p.images, p.draw)
    images = data.normalise(images, *normalisation(p.baseline, dataset))
    layers = diversity.profile(model, images, p.ratio, p.bins)
    filters = {"spread": diversity.spreads(model), "norm": diversity.norms(model)}
    return {"layers": layers, **filters, "activity": diversity.activity(model, images), "ratio": p.ratio}


@task("transfer", version=1, parameters=Transfer, needs=_needs_baseline)
def transfer(p: Transfer, context: Context) -> dict[str, Any]:
    """Diversity of a trained network's filters, then its last layer replaced, and training on the new task."""
    source = load_data(p.baseline, context)
    model = load_network(p.baseline, source, context)
    target = load_named(p.dataset, p.size, context)
    p.check_channels(source.in_channels, target.in_channels)
    images = data.normalise(data.draw(target.train, p.images, p.draw), target.mean, target.std)
    diverse = diversity.diversity(model, images)
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    _replace(model, head, target.num_classes, p.finetune.seed)
    with context.timed("finetune"):
        history = train(model, target, p.finetune, (target.mean, target.std), context)
    test = training.evaluate(model, target.test, mean=target.mean, std=target.std)
    return {"diversity": diverse, "history": history, "test": scores(test, target)}


def _network(p: Compared, dataset: data.Dataset, context: Context) -> nn.Module:
    """The network on which is decided."""
    if p.regularised is None:
        return load_network(p.baseline, dataset, context)
    start = p.start()
    assert start is not None
    return weights.load(context.network(start)).to(context.device)


class _Looks(NamedTuple):
    """What a decision may look at: normalised training images (m, c, h, w) and their labels (m,)."""

    images: Tensor
    labels: Tensor


def _looks(p: Compared, dataset: data.Dataset) -> _Looks:
    images, labels = data.draw_labelled(dataset.train, p.images, p.draw)
    return _Looks(data.normalise(images, *normalisation(p.baseline, dataset)), labels)


def _decide(decision: Dice | Importance | Mrp, model: nn.Module, looks: _Looks, seed: int) -> PruningPlan:
    options = {name: value for name, value in decision if name != "method"}
    if isinstance(decision, Mrp):
        return mrp.plan(model, looks.images, seed=seed, **options)
    if isinstance(decision, Dice):
        return dice.plan(model, images=looks.images, **options)
    return baselines.plan(model, images=looks.images, labels=looks.labels, seed=seed, **options)


def _recalibrate(model: nn.Module, images: int, draw: int, dataset: data.Dataset, normal: tuple) -> None:
    sample = data.draw(dataset.train, min(images, len(dataset.train)), draw)
    training.recalibrate(model, sample, mean=normal[0], std=normal[1])


def _replace(model: nn.Module, head: nn.Linear, classes: int, seed: int) -> None:
    """A new last layer, with weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = nn.Linear(head.in_features, classes).to(head.weight.device)
    name = next(name for name, module in model.named_modules() if module is head)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, fresh)
