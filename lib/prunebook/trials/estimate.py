"""What a run costs, before anything is computed: its trials, the work of their training, time and memory.

No data are needed: the sizes of the datasets are known, and the rate of training is measured on noise of their shape, by
`trials.rates`.
"""

import json
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from prunebook import data, measure, models, paths
from prunebook.errors import MissingData
from prunebook.trials import schedule
from prunebook.trials.engine import to_run
from prunebook.trials.schedule import Job
from prunebook.trials.store import Store
from prunebook.trials.trial import Trial

OFFICIAL = {"mnist": (60_000, 10_000), "fashion_mnist": (60_000, 10_000), "cifar10": (50_000, 10_000),
            "cifar100": (50_000, 10_000), "image_folder:imagenet": (1_281_167, 50_000)}  # fmt: skip  # training, test
VALIDATION = 0.1  # share of the training part that `data.load` sets aside
IMAGENET_CLASSES = 1000
GIB = 2**30
PASSES = 3  # a forward pass, and a backward pass that computes about twice as much
# The settings of a fit that its speed hangs on, where it has them; augmentation comes to them.
SPEED = ("batch_size", "augment", "precision", "optimizer", "trainable")


class Facts(NamedTuple):
    """Sizes of a dataset: images to train on (without those for validation) and to test on, and their shape."""

    train: int
    test: int
    num_classes: int
    in_channels: int
    image_size: int  # height and width in pixels


# Tables without repeated rows: of KDD Cup'99 the published tenth, of the credit cards what the published records are of;
# the whole table, which `make data` gets, has more.
TABLES = {"kddcup99": Facts(98_271, 36_397, 23, 120, 1), "creditcard": Facts(2_489, 922, 2, 29, 1)}


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
    missing: list[Trial]  # those that the run would compute, in the order that it starts them in

    @property
    def untrained(self) -> Counter[str]:
        """By task, the trials to run that train nothing."""
        return Counter(trial.task for trial in self.missing if not trainings(trial))


class Recorded(NamedTuple):
    """How long a task took: the median of so many records, in seconds."""

    seconds: float
    records: int


def estimate(trials: Iterable[Trial], store: Store | None = None) -> Estimate:
    """Count what `trials`, with those that they need, amount to. Raises BadValue for a dataset of unknown size."""
    store = store or Store()
    wanted = list(dict.fromkeys(trials))
    everything, missing = to_run(wanted, store, force=True), to_run(wanted, store)
    recorded = [trial for trial in everything if store.state(trial) == "done"]
    sizes = [Counter(trial.task for trial in group) for group in (everything, recorded, missing)]
    whole, left = works(everything), _lengths(missing)
    return Estimate(
        tasks={name: Tally(*(size[name] for size in sizes)) for name in sizes[0]},
        to_do={way: replace(work, fits=left[way][0], epochs=left[way][1]) for way, work in whole.items() if way in left},
        whole=whole,
        missing=missing,
    )


def works(trials: Iterable[Trial]) -> dict[Training, Work]:
    """What `trials` train, those that they need left out."""
    return {way: Work(*length, way.each, _forward(way)) for way, length in _lengths(trials).items()}


def recorded_times(trials: Iterable[Trial], store: Store | None = None) -> dict[str, Recorded]:
    """By task, how long those of `trials` took that train nothing and have a record: on whatever machine made it."""
    store = store or Store()
    times: dict[str, list[float]] = {}
    for trial in dict.fromkeys(trials):
        record = None if trainings(trial) else store.find(trial)
        if record is not None and "total" in record.times:
            times.setdefault(trial.task, []).append(record.times["total"])
    return {task: Recorded(statistics.median(seconds), len(seconds)) for task, seconds in times.items()}


class Outline(NamedTuple):
    """All of a trial that its length and its place in a schedule hang on; `needs` are places in the list of trials."""

    task: str
    fits: list[tuple[Training, int]]  # as `trainings` has them
    needs: tuple[int, ...]
    alone: bool


def outlines(trials: Sequence[Trial]) -> list[Outline]:
    """Of trials that come after those that they need."""
    place = {trial: i for i, trial in enumerate(trials)}
    needs = (tuple(place[one] for one in trial.needs() if one in place) for trial in trials)
    return [Outline(t.task, trainings(t), needed, t.definition.alone) for t, needed in zip(trials, needs, strict=True)]


def jobs(outlined: Iterable[Outline], rates: Mapping[Training, float], recorded: Mapping[str, Recorded]) -> list[Job]:
    """The trials for `trials.schedule`.

    Parameters
    ----------
    rates : images a second of each way to train
    recorded : of tasks, for those that train nothing; one that is not there takes no time
    """
    epoch = {way: way.each / rate for way, rate in rates.items()}  # in seconds
    nothing = {task: known.seconds for task, known in recorded.items()}
    return [
        Job(
            sum(epochs * epoch[way] for way, epochs in one.fits) if one.fits else nothing.get(one.task, 0.0),
            one.needs,
            one.alone,
        )
        for one in outlined
    ]


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
    are counted, and so is a table of credit cards that is there. Raises BadValue for a dataset that would have to be there
    and is not.
    """
    if dataset.startswith("image_folder:"):
        return _folder(dataset, size)
    if dataset in OFFICIAL:
        train, test = OFFICIAL[dataset]
        channels, side = data.shape(dataset, size)
        assert channels is not None  # these are no tables
        return Facts(_without_validation(train), test, data._KNOWN[dataset].num_classes, channels, side)
    if dataset == "kddcup99":  # a single published file, which takes seconds to read
        return TABLES[dataset]
    try:
        loaded = data.load(dataset, size=size)
    except MissingData:
        if dataset in TABLES:
            return TABLES[dataset]
        raise
    return Facts(len(loaded.train), len(loaded.test), loaded.num_classes, loaded.in_channels, loaded.image_size)


def report(found: Estimate, recorded: Mapping[str, Recorded] | None = None) -> list[str]:
    """The counts in lines of text; `recorded` says how long tasks take that train nothing."""
    sums = Tally(*map(sum, zip(*found.tasks.values(), strict=True))) if found.tasks else Tally(0, 0, 0)
    width = max(map(len, found.tasks), default=0)
    lines = [f"trials: {_tally(sums)}"]
    lines += [f"  {name:<{width}}  {_tally(tally)}" for name, tally in found.tasks.items()]
    if found.whole:
        to_do, whole = (sum(work.total for work in part.values()) for part in (found.to_do, found.whole))
        lines.append("training to do, in multiply-accumulates (MACs): 3 x those of a forward pass x images x epochs")
        lines += [f"  {way.describe()}: {_work(work)}" for way, work in found.to_do.items()]
        lines.append(f"  together {as_macs(to_do)}, as if nothing were pruned; without any record: {as_macs(whole)}")
    return lines + _report_untrained(found.untrained, recorded or {})


def report_times(
    found: Estimate, rates: Mapping[Training, float], recorded: Mapping[str, Recorded], places: int, where: str
) -> list[str]:
    """The times in lines of text, from images a second of each of so many `places`; `where` says what these are."""
    lines, together = [where], 0.0
    for way, work in found.to_do.items():
        if way in rates:
            seconds = work.seen / rates[way]
            together += seconds
            lines.append(f"  {way.describe()}: {rates[way]:,.0f} images/s, {as_time(seconds)}")
        else:
            lines.append(f"  {way.describe()}: more memory than is free, so its time is not known")
    lines.append(f"  all training with a time, one after the other: {as_time(together)}")
    if not found.to_do.keys() <= rates.keys():
        return lines
    todo = jobs(outlines(found.missing), rates, recorded)
    walls = {order: schedule.simulate(todo, places, order).wall for order in schedule.ORDERS}
    if places == 1:
        lines.append(f"  all trials, one after the other: {as_time(walls['in order'])}")
    else:
        lines.append(f"all trials, {places} side by side, by a simulated schedule:")
        lines.append(
            f"  {', '.join(f'{as_time(wall)} {order}' for order, wall in walls.items())}; a run starts them in order"
        )
        lines.append(
            f"  no order takes less than {as_time(schedule.least(todo, places))}, nor any number of places less than "
            f"{as_time(schedule.critical_path(todo))}"
        )
    lines.append("What comes on top: evaluation and pruning in trials that train, and reading photographs.")
    return [*lines, "A pruned network may train faster."]


def report_memory(most: int | None, workers: int, there: int | None, where: str) -> list[str]:
    """Peak memory in lines of text: `most` bytes of a worker, and what `there` is; nothing where it is not known."""
    if most is None:
        return []
    several = f"; {workers} at once: {most * workers / GIB:,.1f} GiB" if workers > 1 else ""
    has = f", of {there / GIB:,.1f} GiB" if there else ""
    lines = [f"peak memory of training, on {where}: {most / GIB:,.1f} GiB a worker{several}{has}"]
    if there and most * workers > there:
        lines.append("  That does not fit: take fewer workers, or a smaller batch_size.")
    return lines


def _report_untrained(untrained: Counter[str], recorded: Mapping[str, Recorded]) -> list[str]:
    if not untrained:
        return []
    known = {task: recorded[task] for task in untrained if task in recorded}
    seconds = sum(untrained[task] * known[task].seconds for task in known)
    lines = [
        f"trials to run that train nothing: {sum(untrained.values())}, {as_time(seconds)} by the records of their tasks"
    ]
    for task, count in untrained.items():
        if task in known:
            each, records = known[task]
            lines.append(f"  {task}: {count}, {each:.3g} s each, the median of {records} record{'s' * (records != 1)}")
        else:
            lines.append(f"  {task}: {count}, without a record, so their time is not known and counts as none")
    return lines


def _tally(tally: Tally) -> str:
    return f"{tally.trials}, of which {tally.recorded} have a record and {tally.to_run} would run"


def _work(work: Work) -> str:
    return (
        f"{work.epochs} epochs in {work.fits} trials, {work.images:,} images, {as_macs(work.macs)} forward, "
        f"{as_macs(work.total)} in all"
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
    return _forward_of(way.arch, way.options, known.num_classes, known.in_channels, known.image_size)


@lru_cache(maxsize=256)  # ways that differ in their batches alone
def _forward_of(arch: str, options: str, num_classes: int, in_channels: int, size: int) -> int:
    model = models.build(arch, num_classes, in_channels, seed=0, **json.loads(options))
    return measure.cost(model, torch.zeros(1, in_channels, size, size), "macs").macs


def _folder(dataset: str, size: int | None) -> Facts:
    _, side = data.shape(dataset, size)
    folder = paths.data_root() / dataset.removeprefix("image_folder:")
    train, test = _photographs(folder / "train"), _photographs(folder / "test") or _photographs(folder / "val")
    if sum(train) and sum(test):
        return Facts(sum(map(_without_validation, train)), sum(test), len(train), 3, side)
    if dataset in OFFICIAL:
        images, tested = OFFICIAL[dataset]
        return Facts(_without_validation(images), tested, IMAGENET_CLASSES, 3, side)
    raise MissingData(f"no photographs in train and test (or val) of {folder}, so the size of {dataset!r} is not known")


def _without_validation(images: int) -> int:
    return images - round(VALIDATION * images)


def _photographs(part: Path) -> list[int]:
    """How many there are of each class; nothing where the folder is not there."""
    folders = [folder for folder in part.iterdir() if folder.is_dir()] if part.is_dir() else []
    suffixes = data.IMAGE_SUFFIXES
    return [sum(name.lower().endswith(suffixes) for name in os.listdir(folder)) for folder in folders]


def as_macs(count: float) -> str:
    """To three digits, with a unit: "1.23 GMACs"."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if count < 999.5:
            return f"{count:.3g} {unit}MACs"
        count /= 1000
    return f"{count:,.3g} EMACs"


def as_time(seconds: float) -> str:
    """In the unit that suits: "12 s", "25 min", "3.1 h", "12.4 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:,.1f} days"
