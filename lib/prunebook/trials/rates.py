"""How many images a second training takes, and how much memory: measured on noise, kept for machines by name, or assumed.

A measurement has processes of its own, so that their peak memory is theirs. What is kept lies in
benchmarks/results_rates.json, one entry a machine.
"""

import json
import multiprocessing
import statistics
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field

from prunebook import data, files, memory, paths, tables, training
from prunebook.errors import BadValue
from prunebook.trials.estimate import GIB, PASSES, SPEED, VALIDATION, Training, Work, as_macs
from prunebook.validation import read_json

AT_ONCE = 2**28  # bytes of noise that are made to measure the speed, at most
SHARE = 0.8  # of the memory that is free, which a measurement may take
START = 300.0  # seconds that a process has to start


class Rate(NamedTuple):
    """Images a second of each worker, and bytes that it has at its peak, with the data; None where not known."""

    images: float
    memory: int | None


class NoMemory(BadValue):
    """Training in this way takes more memory than may be taken."""


def measure(way: Training, device: str, workers: int = 1, seconds: float = 3.0) -> Rate:
    """The rate of one of so many `workers` that train side by side on `device`, each in a process of its own.

    On a CPU they share the threads that this process would use. Raises NoMemory where SHARE of the free memory is not
    enough.
    """
    spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    threads = max(1, torch.get_num_threads() // workers)
    together = spawn.Barrier(workers)  # so that all measure at the same time
    with ProcessPoolExecutor(workers, spawn, together.wait, (START,)) as pool:
        calls = [pool.submit(_measured, way, device, seconds, threads, SHARE / workers) for _ in range(workers)]
        try:
            found = [call.result() for call in calls]
        except BrokenProcessPool:
            raise NoMemory(f"{way.describe()}: its process was ended from outside; was there enough memory?") from None
    peaks = [rate.memory for rate in found if rate.memory is not None]
    return Rate(statistics.fmean(rate.images for rate in found), max(peaks, default=None))


def _measured(way: Training, device: str, seconds: float, threads: int, share: float) -> Rate:
    torch.set_num_threads(threads)
    if device == "cpu":
        memory.limit(share)
    try:
        return rate(way, device, seconds)
    except (RuntimeError, MemoryError, SystemError) as fault:
        if isinstance(fault, BadValue) or not _is_about_memory(fault):
            raise
        raise NoMemory(f"{way.describe()}: does not fit in {share:.0%} of the memory that is free") from None


def _is_about_memory(fault: Exception) -> bool:
    """At the limit PyTorch tells of an allocation, oneDNN of a primitive, and Python may stumble."""
    said = str(fault).lower()
    return isinstance(fault, MemoryError | SystemError) or any(word in said for word in ("memory", "alloc", "primitive"))


def rate(way: Training, device: str, seconds: float = 3.0) -> Rate:
    """Of training in this process, measured for some `seconds` on noise that lies on `device`.

    Reading files is not in it, nor is evaluation. The memory is the most that this process has had until the second step,
    and the data set's own.
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

    trained(2, 1)  # the first step chooses kernels and allocates memory; from the second on, the optimizer has its own
    peak = memory.peak(device)
    steps = max(1, int(seconds / trained(1, 1)))
    batches = min(steps, 50, max(1, AT_ONCE // (size * known.in_channels * known.image_size**2)))
    epochs = max(1, steps // batches)
    images = epochs * batches * size / trained(batches, epochs)
    return Rate(images, peak and peak + _held(way))


def _held(way: Training) -> int:
    """Bytes of the data set, which lies in memory as a whole; photographs in a folder do not."""
    if way.dataset.startswith("image_folder:"):
        return 0
    known = way.facts
    each = known.in_channels * known.image_size**2 * (4 if way.dataset in tables.NAMES else 1)
    return round(known.train / (1 - VALIDATION) + known.test) * each


class Assumed(NamedTuple):
    """A GPU that nobody measured: what it does in training, forward and backward passes together, whatever the network.

    `seconds_per_step` is what a step takes at least.
    """

    macs_per_second: float
    seconds_per_step: float

    def images(self, works: Mapping[Training, Work], at_once: int = 1) -> dict[Training, float]:
        """Images a second of each of so many trials `at_once`, which share the MACs evenly."""
        found = {}
        for way, work in works.items():
            batch = min(dict(way.settings)["batch_size"], work.images)
            computing = PASSES * work.macs * batch * at_once / self.macs_per_second
            found[way] = batch / max(self.seconds_per_step, computing)
        return found

    def describe(self) -> str:
        return f"{as_macs(self.macs_per_second)} a second, and a step in no less than {self.seconds_per_step * 1000:g} ms"


# What is kept


class Kept(BaseModel):
    """The rate of one way to train."""

    model_config = ConfigDict(extra="forbid")

    arch: str
    options: dict[str, Any] = {}
    dataset: str
    size: int | None = None
    settings: dict[str, Any]
    augmentation: data.Augmentation | None = None
    images_per_second: float = Field(gt=0)
    memory_gib: float | None = Field(None, gt=0)

    @classmethod
    def of(cls, way: Training, rate: Rate) -> "Kept":
        """To four digits: the rest differs from run to run."""
        settings = dict(way.settings)
        augmentation = settings.pop("augmentation", None)
        gib = None if rate.memory is None else _rounded(rate.memory / GIB)
        measured = {"images_per_second": _rounded(rate.images), "memory_gib": gib}
        same = {"arch": way.arch, "options": json.loads(way.options), "dataset": way.dataset, "size": way.size}
        return cls(**same, settings=settings, augmentation=augmentation, **measured)

    @property
    def way(self) -> Training:
        settings = self.settings | ({"augmentation": self.augmentation} if self.augmentation else {})
        ordered = tuple((name, settings[name]) for name in (*SPEED, "augmentation") if name in settings)
        return Training(self.arch, json.dumps(self.options, sort_keys=True), self.dataset, self.size, ordered)

    @property
    def rate(self) -> Rate:
        return Rate(self.images_per_second, None if self.memory_gib is None else round(self.memory_gib * GIB))


class Machine(BaseModel):
    """All that was measured on one machine, `made` as `trials.provenance.describe` has it, and what was not, with why."""

    model_config = ConfigDict(extra="forbid")

    made: dict[str, Any]
    rates: list[Kept]
    left_out: dict[str, str] = {}

    @property
    def name(self) -> str:
        hardware = self.made["hardware"]
        return hardware.get("accelerator") or f"{hardware['processor']}, {hardware['threads']} threads"

    @property
    def is_gpu(self) -> bool:
        return "accelerator" in self.made["hardware"]

    def of(self, ways: Iterable[Training]) -> dict[Training, Rate]:
        """The rates of those of `ways` that were measured."""
        known = {kept.way: kept.rate for kept in self.rates}
        return {way: known[bare(way)] for way in ways if bare(way) in known}


class Machines(BaseModel):
    model_config = ConfigDict(extra="forbid")

    machines: list[Machine] = []


def bare(way: Training) -> Training:
    """The way without what its rate does not hang on: how many images an epoch has."""
    return replace(way, images=None)


def file() -> Path:
    return paths.project() / "benchmarks" / "results_rates.json"


def kept() -> list[Machine]:
    """The machines, by name; none where nobody has measured. Raises BadValue for a file that is not as `keep` leaves it."""
    found = read_json(file(), Machines)
    return found.machines if found else []


def keep(rates: Mapping[Training, Rate], left_out: Mapping[str, str], made: Mapping[str, Any]) -> Path:
    """Write what was measured on this machine, in the place of what is there by the same name."""
    new = Machine(made=dict(made), rates=[Kept.of(*item) for item in rates.items()], left_out=dict(left_out))
    machines = sorted([*(one for one in kept() if one.name != new.name), new], key=lambda one: one.name)
    return files.write_json(file(), Machines(machines=machines).model_dump(exclude_defaults=True))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
