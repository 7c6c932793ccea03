"""The kinds of trial that the studies are made of."""

import contextlib
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from prunebook import data, distributed, features, measure, models, phash, tables, training, weights
from prunebook import importance as gradcam
from prunebook.errors import BadValue, choose, require
from prunebook.methods import kcore
from prunebook.plan import PruningPlan
from prunebook.trials.engine import Context, data_name
from prunebook.trials.trial import Parameters, Trial, task

Seed = Field(0, ge=0)
KCORE_OPTIONS = ("target", "thresholds", "score", "scope", "hash", "edge", "bins", "pooling", "range", "mode", "coupled")
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation that foreign weights were trained with


def check_images(arch: str, options: dict[str, Any], dataset: str | None, size: int | None) -> None:
    """Raise BadValue unless the network can be built and takes the images that it is to see; nothing is built or read.

    These are the dataset's, at this size; without a dataset, any of this size.
    """
    side = data.shape(dataset, size)[1] if dataset else size
    sides = models.sides(arch, options)
    if side in sides:
        return
    least, most = (f"{pixels}x{pixels}" for pixels in (sides[0], sides[-1]))
    takes = least if least == most else f"at least {least}" if sides[-1] > data.LARGEST else f"{least} to {most}"
    has = f"those of {dataset} have" if dataset else "here they have"
    cure = _cure(arch, dataset, side, sides)
    raise BadValue(f"arch is {arch!r}, which takes images of {takes} pixels, but {has} {side}x{side}{cure}")


def _cure(arch: str, dataset: str | None, side: int | None, sides: range) -> str:
    """What to change, as a clause: the network's option `size`, else the size of the images; nothing where neither helps."""
    with contextlib.suppress(BadValue):
        models.check(arch, {"size": side})
        return f" (options {{{arch}: {{size: {side}}}}} fits)"
    for size in sides[:64]:
        with contextlib.suppress(BadValue):
            return f" (size {data.shape(dataset, size)[1] if dataset else size} fits)"
    return ""


class Fit(Parameters):
    """How a network is trained or fine-tuned. Defaults: the k-core paper's fine-tuning, but for length and schedule."""

    epochs: int = Field(ge=1)
    lr: float = Field(0.01, gt=0)
    batch_size: int = Field(256, ge=2)
    schedule: Literal["cosine", "step", "one-cycle", "constant"] = "cosine"
    step_every: int | None = Field(None, ge=1)
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(5e-4, ge=0)
    trainable: Literal["all", "head", "linear"] = "all"
    augment: bool = True
    pad: int = Field(4, ge=0, description="pixels of padding for random crops")
    rotate: float = Field(0.0, ge=0, le=180, description="degrees of random rotation, either way")
    images: int | None = Field(None, ge=2, description="training images, drawn once, by the seed; default: all")
    seed: int = Seed

    @property
    def length(self) -> str:
        """In words: "2 epochs of 5,000 images"."""
        images = f" of {self.images:,} images" if self.images else ""
        return f"{self.epochs} epoch{'s' * (self.epochs != 1)}{images}"


class Baseline(Parameters):
    """A network before pruning: trained here by `fit`, or with `weights` that others trained.

    With `pretrained`, `fit` starts from a file's weights, or torchvision's, wherever name and shape agree: for another
    number of classes all but the last layer (transfer learning).
    """

    dataset: str = "digits"
    size: int | None = Field(None, ge=1)
    arch: str = "resnet20"
    options: dict[str, Any] = Field({})
    weights: str | None = None
    pretrained: str | None = Field(None, min_length=1, description="file of weights to start from, or torchvision:NAME")
    fit: Fit | None = None
    normalise: Literal["dataset", "imagenet", "none"] = "dataset"
    one_logit: bool = Field(False, description="of two classes, one output: the logit of class 1")

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        if not value.startswith("image_folder:"):
            choose("dataset", value, data.names())
        return value

    @field_validator("arch")
    @classmethod
    def _known_arch(cls, value: str) -> str:
        return choose("arch", value, models.names())

    @model_validator(mode="after")
    def _one_source(self) -> "Baseline":
        require((self.weights is None) != (self.fit is None), "weights", self.weights, "given exactly where fit is not")
        require(self.pretrained is None or self.fit is not None, "pretrained", self.pretrained, "given only with fit")
        table = self.dataset in tables.NAMES
        require(not (table and self.fit and self.fit.augment), "fit.augment", True, f"false for {self.dataset}, a table")
        check_images(self.arch, self.options, self.dataset, self.size)
        return self

    def describe(self) -> str:
        return f"{self.arch} on {self.dataset}, " + (self.weights or f"{self.fit.epochs if self.fit else 0} epochs")


class Prune(Parameters):
    """A baseline, pruned by a method, measured, and fine-tuned where `finetune` is given."""

    baseline: Baseline
    method: Literal["kcore"] = "kcore"
    tau: float | None = Field(None, ge=0, le=1)
    target: float | None = Field(None, gt=0, lt=1, description="instead of tau: share of the MACs to remove")
    thresholds: Literal["global", "layer"] = "global"
    score: Literal["entropy", "l1", "random", "degree", "low-entropy"] = "entropy"
    scope: Literal["core", "layer"] = "core"
    hash: Literal["dct-mean", "imagehash"] = "dct-mean"
    edge: Literal[">=", ">"] = ">="
    bins: int = Field(256, ge=2)
    pooling: Literal["all", "image"] = "all"
    range: Literal["filter", "layer"] = "filter"
    mode: Literal["eval", "train"] = "eval"
    coupled: Literal["lead", "main", "keep"] = "lead"
    images: int = Field(100, ge=1)
    augment: bool = Field(False, description="whether the images are augmented as in training")
    draw: int = Seed
    recalibrate: int = Field(1000, ge=2, description="training images for new batch-norm statistics")
    evaluate: Literal["all", "recalibrated", "none"] = Field("all", description="moments before fine-tuning to measure")
    finetune: Fit | None = None

    @model_validator(mode="after")
    def _one_dial(self) -> "Prune":
        require((self.tau is None) != (self.target is None), "tau", self.tau, "given exactly where target is not")
        return self

    def describe(self) -> str:
        tuned = f", {self.finetune.epochs} epochs" if self.finetune else ""
        dial = f"tau {self.tau:g}" if self.tau is not None else f"target {self.target:g}"
        return f"{self.baseline.arch} {dial} {self.score} draw {self.draw}{tuned}"


class Layer(Parameters):
    """One layer of a baseline, looked at closely."""

    baseline: Baseline
    layer: str | None = None
    hash: Literal["dct-mean", "imagehash"] = "dct-mean"
    bins: int = Field(256, ge=2)
    mode: Literal["eval", "train"] = "eval"
    images: int = Field(100, ge=1)
    draw: int = Seed

    def describe(self) -> str:
        return f"{self.baseline.arch} {self.layer or 'widest layer'} draw {self.draw}"


class Importance(Parameters):
    """Entropy of every filter of a baseline, and how far its maps overlap with what Grad-CAM finds important."""

    baseline: Baseline
    bins: int = Field(256, ge=2)
    share: float = Field(0.2, gt=0, lt=1, description="share of the positions that make a region")
    images: int = Field(100, ge=2)
    draw: int = Seed

    def describe(self) -> str:
        return f"{self.baseline.arch} draw {self.draw}"


class Criterion(Parameters):
    """The decision on a whole untrained network of this architecture, timed."""

    arch: str = "resnet20"
    options: dict[str, Any] = Field({})
    num_classes: int = Field(10, ge=1)
    size: int = Field(32, ge=1)
    tau: float = Field(0.7, ge=0, le=1)
    images: int = Field(100, ge=1)
    repeats: int = Field(3, ge=1)

    @field_validator("arch")
    @classmethod
    def _known_arch(cls, value: str) -> str:
        return choose("arch", value, models.names())

    @model_validator(mode="after")
    def _takes_the_images(self) -> "Criterion":
        check_images(self.arch, self.options, None, self.size)
        return self

    def describe(self) -> str:
        return f"{self.arch}, {self.num_classes} classes, {self.images} images of {self.size} pixels"


@task("baseline", version=1, parameters=Baseline, leaves=True)
def baseline(p: Baseline, context: Context) -> dict[str, Any]:
    """Train a network, or load given weights; report its accuracy and its cost by every counter."""
    dataset = load_data(p, context)
    mean, std = normalisation(p, dataset)
    history: list[dict[str, float]] = []
    if p.weights is not None:
        model = load_network(p, dataset, context)
        file = {"file": p.weights, "sha256": weights.sha256(weights.find(p.weights))}
    else:
        assert p.fit is not None
        model = models.build(p.arch, outputs(p, dataset), dataset.in_channels, seed=p.fit.seed, **p.options)
        file = _start(model, p.arch, p.pretrained) if p.pretrained else {}
        model = model.to(context.device)
        with context.timed("fit"):
            history = fit(model, dataset, p.fit, (mean, std), context)
    with context.timed("evaluate"):
        test = training.evaluate(model, dataset.test, mean=mean, std=std)
    if p.fit is not None:
        context.keep(Trial("baseline", p.model_dump(mode="json")), model, test.top1)
    return {
        "data": describe_data(dataset),
        "weights": file,
        "cost": {counter: list(measure.cost(model, example(dataset, context), counter)) for counter in measure.COUNTERS},
        "test": scores(test, dataset),
        "history": history,
    }


def _start(model: nn.Module, arch: str, pretrained: str) -> dict[str, Any]:
    """Copy what fits of the pretrained weights into `model`; the file, and how many tensors fitted."""
    if pretrained.startswith("torchvision:"):
        path = weights.from_torchvision(arch, pretrained.removeprefix("torchvision:"))
    else:
        path = weights.find(pretrained)
    report = weights.load_into(model, path, strict=False)
    require(len(report.matched) > 0, "pretrained", pretrained, f"a file that fits {arch} at least in part")
    return {"file": pretrained, "sha256": weights.sha256(path), "fit": str(report)}


def _needs_baseline(p: Prune | Layer | Importance) -> list[Trial]:
    # Foreign weights are a file that is loaded as it is; only a network trained here has to be trained first.
    return [] if p.baseline.weights else [Trial("baseline", p.baseline.model_dump(mode="json"))]


@task("prune", version=1, parameters=Prune, needs=_needs_baseline)
def prune(p: Prune, context: Context) -> dict[str, Any]:
    """Prune a baseline and measure it: cost by every counter, and accuracy on the test split, at three moments.

    "pruned": cut, and nothing else. "recalibrated": a copy with batch-norm statistics estimated anew on training images,
    no weight touched. "finetuned": trained on from the cut network, if asked for.
    """
    dataset = load_data(p.baseline, context)
    mean, std = normalisation(p.baseline, dataset)
    model = load_network(p.baseline, dataset, context)
    inputs = example(dataset, context)
    if p.augment:
        images = data.draw_augmented(dataset.train, p.images, p.draw, dataset.flip)
    else:
        images = data.draw(dataset.train, p.images, p.draw)
    images = data.normalise(images, mean, std)
    options = {name: getattr(p, name) for name in KCORE_OPTIONS}
    with context.timed("plan"):
        # Of several processes one decides: rounding on their devices could make them disagree.
        plan = distributed.from_main(lambda: kcore.plan(model, images, p.tau, seed=p.draw, **options))
    with context.timed("cut"):
        pruned = plan.apply(model, inputs)
    metrics: dict[str, dict[str, float]] = {}
    with context.timed("evaluate"):
        if p.evaluate == "all":
            metrics["pruned"] = scores(training.evaluate(pruned, dataset.test, mean=mean, std=std), dataset)
        if p.evaluate != "none":
            fresh = copy.deepcopy(pruned)
            sample = data.draw(dataset.train, min(p.recalibrate, len(dataset.train)), p.draw)
            training.recalibrate(fresh, sample, mean=mean, std=std)
            metrics["recalibrated"] = scores(training.evaluate(fresh, dataset.test, mean=mean, std=std), dataset)
    result: dict[str, Any] = {
        "cost": {c: costs(model, pruned, inputs, c) for c in measure.COUNTERS},
        "keep": kept(plan),
        "test": metrics,
    }
    if p.target is not None:  # the threshold that came nearest, or those of the layers
        result["found"] = {name: plan.parameters[name] for name in ("tau", "taus", "removed") if plan.parameters.get(name)}
    if p.finetune is not None:
        with context.timed("finetune"):
            history = fit(pruned, dataset, p.finetune, (mean, std), context, on_test=True)
        best = max(history, key=lambda epoch: epoch["test_top1"])
        metrics["finetuned"] = scores(training.evaluate(pruned, dataset.test, mean=mean, std=std), dataset)
        metrics["best_test_epoch"] = {"epoch": best["epoch"], "top1": best["test_top1"]}
        result["history"] = history
    return result


@task("layer", version=1, parameters=Layer, needs=_needs_baseline)
def layer(p: Layer, context: Context) -> dict[str, Any]:
    """Similarity of every pair of filters of one layer, and each filter's entropy and L1 norm."""
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    images = data.normalise(data.draw(dataset.train, p.images, p.draw), *normalisation(p.baseline, dataset))
    convolutions = features.convolutions(model)
    require(len(convolutions) > 0, "arch", p.baseline.arch, "a network with at least one convolution")
    name = (
        choose("layer", p.layer, convolutions)
        if p.layer
        else max(convolutions, key=lambda n: (convolutions[n].out_channels, -list(convolutions).index(n)))
    )

    def look(_: str, maps: Tensor) -> dict[str, Any]:
        hashes = phash.hashes(maps, p.hash)
        pairs = hashes.shape[0] * hashes.shape[2]  # bits compared for each pair of filters
        agreements = (phash.similarity(hashes) * pairs).round().to(torch.int64)
        return {
            "maps": list(maps.shape),
            "bits": pairs,
            # The upper triangle, row by row: similarity = agreements / bits.
            "agreements": [row[i + 1 :] for i, row in enumerate(agreements.tolist())],
            "entropy": kcore.entropy(maps, p.bins).tolist(),
        }

    found = features.visit(model, images, look, [name], p.mode)[name]
    l1 = convolutions[name].weight.detach().abs().flatten(1).sum(1).tolist()
    return {"layer": name, "filters": len(l1), **found, "l1": l1}


@task("importance", version=1, parameters=Importance, needs=_needs_baseline)
def importance(p: Importance, context: Context) -> dict[str, Any]:
    """Entropy and Grad-CAM overlap of the filters of every convolution (the paper's Figure 3, right)."""
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    images, labels = data.draw_labelled(dataset.train, p.images, p.draw)
    images = data.normalise(images, *normalisation(p.baseline, dataset))
    return gradcam.by_filter(model, images, labels, bins=p.bins, share=p.share)


@task("criterion", version=1, parameters=Criterion, alone=True)
def criterion(p: Criterion, context: Context) -> dict[str, Any]:
    """How long feature maps, hashes, graphs and decisions take for a whole network: the median is `times["plan"]`.

    Network and images are random: neither weights nor pictures matter much to the time, and none are needed for it. The
    cost, by every counter, does not depend on them at all.
    """
    model = models.build(p.arch, p.num_classes, seed=0, **p.options).to(context.device)
    images = torch.randn(p.images, 3, p.size, p.size, generator=torch.Generator().manual_seed(0)).to(context.device)
    seconds = []
    for repeat in range(p.repeats):
        start = time.perf_counter()
        plan = kcore.plan(model, images, p.tau)
        seconds.append(time.perf_counter() - start)
        context.progress(repeat + 1, p.repeats, "planning")
    context.times |= {"plan": round(statistics.median(seconds), 3), "plan_slowest": round(max(seconds), 3)}
    cost = {counter: list(measure.cost(model, images[:1], counter)) for counter in measure.COUNTERS}
    return {"cost": cost, "filters": sum(plan.widths.values()), "kept": sum(map(len, plan.keep.values()))}


def load_data(p: Baseline, context: Context) -> data.Dataset:
    return load_named(p.dataset, p.size, context)


def load_named(name: str, size: int | None, context: Context) -> data.Dataset:
    """A dataset on the context's device. The record will say by its fingerprint which copy of it this was."""
    dataset = data.load(name, device=context.device, size=size)
    context.data[data_name(name, size)] = data.fingerprint(dataset)
    return dataset


def normalisation(p: Baseline, dataset: data.Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel by which images are normalised, from [0, 1]; 0 and 1 for "none"."""
    if p.normalise == "none":
        return (0.0,) * dataset.in_channels, (1.0,) * dataset.in_channels
    if p.normalise == "imagenet":
        require(dataset.in_channels == 3, "normalise", p.normalise, "'dataset' for images without three channels")
        return IMAGENET
    return dataset.mean, dataset.std


def outputs(p: Baseline, dataset: data.Dataset) -> int:
    """How many outputs the network has: one for each class, or one for two."""
    if not p.one_logit:
        return dataset.num_classes
    require(
        dataset.num_classes == 2, "one_logit", p.one_logit, f"false for the {dataset.num_classes} classes of {p.dataset}"
    )
    return 1


def load_network(p: Baseline, dataset: data.Dataset, context: Context) -> nn.Module:
    """The baseline's network on the context's device: from the given weights, or as its own trial trained it."""
    if p.weights is None:
        return weights.load(context.network(Trial("baseline", p.model_dump(mode="json")))).to(context.device)
    model = models.build(p.arch, outputs(p, dataset), dataset.in_channels, **p.options)
    weights.load_into(model, weights.find(p.weights))
    return model.to(context.device)


def fit(
    model: nn.Module,
    dataset: data.Dataset,
    p: Fit,
    normal: tuple,
    context: Context,
    on_test: bool = False,
    regularise: Callable[[], object] | None = None,
) -> list[dict[str, float]]:
    """Train; per epoch the loss and accuracies, with the test split's where `on_test` (for reporting, not for choosing)."""
    mean, std = normal
    seen = dataset.train
    if p.images is not None:
        seen = data.Split(*data.draw_labelled(seen, min(p.images, len(seen)), p.seed))
    history: list[dict[str, float]] = []

    def note(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        facts: dict[str, float] = {"epoch": epoch}
        facts |= {name: metrics[name] for name in ("loss", "train_top1", "val_top1") if name in metrics}
        if on_test:
            facts["test_top1"] = training.evaluate(model, dataset.test, mean=mean, std=std).top1
        history.append({name: round(value, 6) for name, value in facts.items()})

    training.fit(
        model, seen, dataset.val, mean=mean, std=std, epochs=p.epochs, lr=p.lr, batch_size=p.batch_size,
        schedule=p.schedule, step_every=p.step_every, optimizer=p.optimizer, momentum=p.momentum,
        weight_decay=p.weight_decay,
        trainable=p.trainable, seed=p.seed, augment=p.augment,
        augmentation=data.Augmentation(p.pad, dataset.flip, p.rotate),
        regularise=regularise, on_epoch=note, on_step=_steps(context, p.epochs),
    )  # fmt: skip
    return history


def _steps(context: Context, epochs: int) -> Callable[[int, int], None]:
    return lambda done, total: context.progress(done, total, f"training, {epochs} epochs")


def example(dataset: data.Dataset, context: Context) -> Tensor:
    """(1, c, h, w) zeros of the dataset's shape, for tracing and counting."""
    return torch.zeros(1, *dataset.train.shape, device=context.device)


def scores(metrics: training.Metrics, dataset: data.Dataset) -> dict[str, float]:
    found = {"top1": round(metrics.top1, 4), "f1": round(metrics.f1, 6), "loss": round(metrics.loss, 6)}
    if metrics.top5 is not None and dataset.num_classes > 100:  # the papers report it for ImageNet only
        found["top5"] = round(metrics.top5, 4)
    return found


def describe_data(dataset: data.Dataset) -> dict[str, Any]:
    sizes = {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)}
    return {"images": sizes, "shape": list(dataset.train.shape), "fingerprint": data.fingerprint(dataset)}


def kept(plan: PruningPlan) -> dict[str, str]:
    """For every layer, a digit for each channel: 1 stays, 0 goes."""
    return {name: "".join("01"[c in set(kept)] for c in range(plan.widths[name])) for name, kept in plan.keep.items()}


def costs(model: nn.Module, pruned: nn.Module, inputs: Tensor, counter: str) -> dict[str, Any]:
    before, after = measure.cost(model, inputs, counter), measure.cost(pruned, inputs, counter)
    fr, pr = measure.rates(before, after)
    return {"before": list(before), "after": list(after), "fr": round(fr, 4), "pr": round(pr, 4)}
