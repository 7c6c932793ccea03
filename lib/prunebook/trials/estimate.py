"""What a run costs, before anything is computed: its trials, the work of their training, and how long that takes here.

No data are needed: the sizes of the datasets are known, and the speed of training is measured on noise of their shape.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from prunebook import data, measure, models, paths, training
from prunebook.errors import MissingData
from prunebook.trials.engine import to_run
from prunebook.trials.store import Store
from prunebook.trials.trial import Trial

OFFICIAL = {"mnist": (60_000, 10_000), "fashion_mnist": (60_000, 10_000), "cifar10": (50_000, 10_000),
            "cifar100": (50_000, 10_000), "image_folder:imagenet": (1_281_167, 50_000)}  # fmt: skip  # training, test
VALIDATION = 0.1  # share of the training part that `data.load` sets aside
IMAGENET_CLASSES = 1000
PASSES = 3  # a forward pass, and a backward pass that computes about twice as much
# The settings of a fit that its speed hangs on, where it has them; augmentation comes to them.
SPEED = ("batch_size", "augment", "precision", "optimizer", "trainable")
AT_ONCE = 2**28  # bytes of noise that are made to measure the speed, at most


class Facts(NamedTuple):
    """Sizes of a dataset: images to train on (without those for validation) and to test on, and their shape."""

    train: int
    test: int
    num_classes: int
    in_channels: int
    image_size: int  # height and width in pixels


@dataclass(frozen=True)
class Training:
    """One way to train: all that its work and its speed hang on. `options` is JSON, `settings` are pairs of SPEED.

    `images` are those of an epoch; None for all that there are, as `each` has them.
    """

    arch: str
    options: str
    dataset: str
    size: int | None
    settings: tuple[tuple[str, Any], ...]
    images: int | None = None

    @cached_property
    def facts(self) -> Facts:
        return facts(self.dataset, self.size)

    @property
    def each(self) -> int:
        return self.images or self.facts.train

    def build(self) -> torch.nn.Module:
        known = self.facts
        return models.build(self.arch, known.num_classes, known.in_channels, seed=0, **json.loads(self.options))

    def describe(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in json.loads(self.options).items())
        size = f" at {self.size} pixels" if self.size else ""
        batch = dict(self.settings)["batch_size"]
        return f"{self.arch}{f' ({options})' if options else ''} on {self.dataset}{size}, batches of {batch}"


@dataclass(frozen=True)
class Work:
    """What trials train in the same way: so many `fits`, with so many `epochs` in all, of so many `images` each.

    `macs` are the multiply-accumulates of one image in the network before pruning, so that the work of fine-tuning a
    pruned one is at most what is said here.
    """

    fits: int
    epochs: int
    images: int
    macs: int

    @property
    def seen(self) -> int:
        """Images, each counted once an epoch."""
        return self.images * self.epochs

    @property
    def total(self) -> int:
        """Multiply-accumulates of all passes, forward and backward."""
        return PASSES * self.macs * self.seen


class Tally(NamedTuple):
    """Of one task: its trials, those that have a record, and those that the run would compute."""

    trials: int
    recorded: int
    to_run: int


@dataclass(frozen=True)
class Estimate:
    """A run by task, the training that is still to do, and that of the whole run if there were no records."""

    tasks: dict[str, Tally]
    to_do: dict[Training, Work]
    whole: dict[Training, Work]
    untrained: int  # trials to run that train nothing


def estimate(trials: Iterable[Trial], store: Store | None = None) -> Estimate:
    """Count what `trials`, with those that they need, amount to. Raises BadValue for a dataset of unknown size."""
    store = store or Store()
    wanted = list(dict.fromkeys(trials))
    everything, missing = to_run(wanted, store, force=True), to_run(wanted, store)
    recorded = [trial for trial in everything if store.state(trial) == "done"]
    sizes = [Counter(trial.task for trial in group) for group in (everything, recorded, missing)]
    whole = {way: Work(*length, way.each, _forward(way)) for way, length in _lengths(everything).items()}
    left = _lengths(missing)
    return Estimate(
        tasks={name: Tally(*(size[name] for size in sizes)) for name in sizes[0]},
        to_do={way: replace(work, fits=left[way][0], epochs=left[way][1]) for way, work in whole.items() if way in left},
        whole=whole,
        untrained=sum(not trainings(trial) for trial in missing),
    )


def trainings(trial: Trial) -> list[tuple[Training, int]]:
    """How, and for how many epochs, a trial trains: one entry for each of its parameters that describes a fit.

    But for those that its class has as `trained_before`: they say how a trial that it needs has trained.

    The network and its data are those of the parameter `baseline`, else of the trial's own parameters. Where a trial with a
    baseline names a dataset of its own, it trains on that.
    """
    p = trial.parameters
    network = getattr(p, "baseline", p)
    where = p if hasattr(p, "dataset") else network
    given = [value for name, value in p if name not in getattr(p, "trained_before", ())]
    fits = [value for value in given if hasattr(value, "epochs") and hasattr(value, "batch_size")]
    return [(_way(network, where, fit), fit.epochs) for fit in fits]


def facts(dataset: str, size: int | None = None) -> Facts:
    """Sizes of the dataset that `data.load` gives by this name. Nothing has to be there for the published ones.

    Their images for training are right to 0.1 %: validation takes a tenth of every class, rounded. Folders of photographs
    are counted. Raises BadValue for a dataset that would have to be there and is not.
    """
    if dataset.startswith("image_folder:"):
        return _folder(dataset, size or 224)
    if dataset in OFFICIAL:
        train, test = OFFICIAL[dataset]
        known = data._KNOWN[dataset]
        own, channels = known.shape[0], known.shape[2] if len(known.shape) == 3 else 1
        return Facts(_without_validation(train), test, known.num_classes, channels, own * data._factor(size, own))
    loaded = data.load(dataset, size=size)  # digits, which come with scikit-learn
    return Facts(len(loaded.train), len(loaded.test), loaded.num_classes, loaded.in_channels, loaded.image_size)


def speed(way: Training, device: str, seconds: float = 3.0) -> float:
    """Images a second that training takes on `device`, measured for some `seconds` on noise that lies there.

    Reading files is not in it, nor is evaluation.
    """
    known = way.facts
    settings = dict(way.settings)
    settings["batch_size"] = size = min(settings["batch_size"], known.train)
    generator = torch.Generator().manual_seed(0)
    model = way.build().to(device)

    def trained(batches: int, epochs: int) -> float:
        """Seconds for so many epochs of so many batches."""
        shape = (batches * size, known.in_channels, known.image_size, known.image_size)
        images = torch.randint(256, shape, dtype=torch.uint8, generator=generator).to(device)
        labels = torch.randint(known.num_classes, shape[:1], generator=generator).to(device)
        same = (0.5,) * known.in_channels
        history = training.fit(
            model, data.Split(images, labels), mean=same, std=same, epochs=epochs, lr=1e-6, schedule="constant", **settings
        )
        return sum(epoch["seconds"] for epoch in history)

    trained(1, 1)  # the first step chooses kernels and allocates memory
    steps = max(1, int(seconds / trained(1, 1)))
    batches = min(steps, 50, max(1, AT_ONCE // (size * known.in_channels * known.image_size**2)))
    epochs = max(1, steps // batches)
    return epochs * batches * size / trained(batches, epochs)


def report(found: Estimate) -> list[str]:
    """The counts in lines of text."""
    sums = Tally(*map(sum, zip(*found.tasks.values(), strict=True))) if found.tasks else Tally(0, 0, 0)
    width = max(map(len, found.tasks), default=0)
    lines = [f"trials: {_tally(sums)}"]
    lines += [f"  {name:<{width}}  {_tally(tally)}" for name, tally in found.tasks.items()]
    if found.whole:
        to_do, whole = (sum(work.total for work in part.values()) for part in (found.to_do, found.whole))
        lines.append("training to do, in multiply-accumulates (MACs): 3 x those of a forward pass x images x epochs")
        lines += [f"  {way.describe()}: {_work(work)}" for way, work in found.to_do.items()]
        lines.append(f"  together {_macs(to_do)}, as if nothing were pruned; without any record: {_macs(whole)}")
    if found.untrained:
        lines.append(f"trials to run that train nothing: {found.untrained}; their time is not estimated")
    return lines


def report_times(found: Estimate, speeds: dict[Training, float], where: str) -> list[str]:
    """The times in lines of text, from images a second; `where` says on what these were measured."""
    times = {way: work.seen / speeds[way] for way, work in found.to_do.items()}
    return [
        f"measured on {where}, for one worker:",
        *(f"  {way.describe()}: {speeds[way]:,.0f} images/s, {_time(times[way])}" for way in times),
        f"  together {_time(sum(times.values()))}",
        "Evaluation, pruning, and reading photographs come on top; a pruned network may train faster.",
    ]


def _tally(tally: Tally) -> str:
    return f"{tally.trials}, of which {tally.recorded} have a record and {tally.to_run} would run"


def _work(work: Work) -> str:
    return (
        f"{work.epochs} epochs in {work.fits} trials, {work.images:,} images, {_macs(work.macs)} forward, "
        f"{_macs(work.total)} in all"
    )


def _way(network: Any, where: Any, fit: Any) -> Training:
    settings = [(name, getattr(fit, name)) for name in SPEED if hasattr(fit, name)]
    if hasattr(fit, "pad"):
        settings.append(("augmentation", data.Augmentation(fit.pad, rotate=fit.rotate)))
    options, images = json.dumps(network.options, sort_keys=True), getattr(fit, "images", None)
    return Training(network.arch, options, where.dataset, where.size, tuple(settings), images)


def _lengths(trials: Iterable[Trial]) -> dict[Training, tuple[int, int]]:
    """Number of fits, and of their epochs, for each way to train."""
    found: dict[Training, tuple[int, int]] = {}
    for trial in trials:
        for way, length in trainings(trial):
            fits, epochs = found.get(way, (0, 0))
            found[way] = (fits + 1, epochs + length)
    return found


def _forward(way: Training) -> int:
    known = way.facts
    image = torch.zeros(1, known.in_channels, known.image_size, known.image_size)
    return measure.cost(way.build(), image, "macs").macs


def _folder(dataset: str, size: int) -> Facts:
    folder = paths.data_root() / dataset.removeprefix("image_folder:")
    train, test = _photographs(folder / "train"), _photographs(folder / "test") or _photographs(folder / "val")
    if sum(train) and sum(test):
        return Facts(sum(map(_without_validation, train)), sum(test), len(train), 3, size)
    if dataset in OFFICIAL:
        images, tested = OFFICIAL[dataset]
        return Facts(_without_validation(images), tested, IMAGENET_CLASSES, 3, size)
    raise MissingData(f"no photographs in train and test (or val) of {folder}, so the size of {dataset!r} is not known")


def _without_validation(images: int) -> int:
    return images - round(VALIDATION * images)


def _photographs(part: Path) -> list[int]:
    """How many there are of each class; nothing where the folder is not there."""
    folders = [folder for folder in part.iterdir() if folder.is_dir()] if part.is_dir() else []
    suffixes = data.IMAGE_SUFFIXES
    return [sum(name.lower().endswith(suffixes) for name in os.listdir(folder)) for folder in folders]


def _macs(count: float) -> str:
    """To three digits, with a unit: "1.23 GMACs"."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if count < 999.5:
            return f"{count:.3g} {unit}MACs"
        count /= 1000
    return f"{count:,.3g} EMACs"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
