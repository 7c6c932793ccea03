"""Records of trials: one small JSON file per trial, written once in one step, read ever after."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from prunebook import files, paths
from prunebook.errors import BadValue
from prunebook.trials.trial import Trial, canonical, tasks

State = Literal["done", "stale", "missing"]


class DamagedRecord(BadValue):
    """A record's file is not what was written. The message names the file."""


@dataclass(frozen=True)
class Record:
    """What a trial found, and everything about how.

    `result` depends on task, version and parameters alone; `times` (seconds) and `provenance` (code, environment,
    hardware, moment) vary from run to run.
    """

    task: str
    version: int
    key: str
    params: dict[str, Any]
    result: dict[str, Any]
    times: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        return hashlib.sha256(canonical(vars(self)).encode()).hexdigest()


class Store:
    """Two folders of records: a local one, written to, and a published one, only read. The local one wins.

    Parameters
    ----------
    local : folder, default data/cache/records of the project
    published : folder, default data/results of the project
    """

    def __init__(self, local: Path | None = None, published: Path | None = None) -> None:
        self.local = Path(local) if local is not None else paths.cache() / "records"
        self.published = Path(published) if published is not None else paths.results()

    def path(self, trial: Trial, folder: Path | None = None) -> Path:
        return (folder or self.local) / trial.task / f"{trial.key}.json"

    def find(self, trial: Trial) -> Record | None:
        """The record of this very trial, made by the task's present version; None if there is none.

        Raises DamagedRecord if a file is there but is not what was written.
        """
        return next((r for r in self._candidates(trial) if is_current(r, trial)), None)

    def state(self, trial: Trial) -> State:
        """ "done"; "stale": only a record of another version or of other defaults; "missing"."""
        return _state(trial, self._candidates(trial))

    def states(self, trials: Iterable[Trial]) -> Counter[State]:
        """How many of the distinct trials are in each state."""
        return Counter(self.state_of_each(trials).values())

    def state_of_each(self, trials: Iterable[Trial]) -> dict[Trial, State]:
        """The state of every distinct trial."""
        # A folder is asked what it has once, and not by each trial.
        there = [(folder, _listing(folder)) for folder in (self.local, self.published)]
        found = dict[Trial, State]()
        for trial in dict.fromkeys(trials):
            name = f"{trial.task}/{trial.key}.json"
            found[trial] = _state(trial, (read(f"{folder}/{name}") for folder, names in there if name in names))
        return found

    def put(self, trial: Trial, record: Record) -> Path:
        return _write(self.path(trial), record)

    def publish(self, trial: Trial) -> Path:
        """Copy the trial's record to the published folder. Raises BadValue if it is not done."""
        record = self.find(trial)
        if record is None:
            raise BadValue(f"trial {trial.task} {trial.key} has no current record to publish")
        return _write(self.path(trial, self.published), record)

    def records(self, folder: Path | None = None) -> Iterator[Record]:
        """Every record of a folder (both, local first, by default), in the order of the file names."""
        for place in [folder] if folder is not None else [self.local, self.published]:
            for path in sorted(place.glob("*/*.json")):
                yield read(path)

    def _candidates(self, trial: Trial) -> Iterator[Record]:
        for folder in (self.local, self.published):
            path = f"{folder}/{trial.task}/{trial.key}.json"  # of thousands in turn: a Path takes longer than the file
            if os.path.isfile(path):
                yield read(path)


def _state(trial: Trial, records: Iterator[Record]) -> State:
    states = {is_current(record, trial) for record in records}
    return "done" if True in states else ("stale" if states else "missing")


def _listing(folder: Path) -> set[str]:
    """TASK/KEY.json of every record."""
    tasks = [task for task in folder.iterdir() if task.is_dir()] if folder.is_dir() else []
    return {f"{task.name}/{name}" for task in tasks for name in os.listdir(task)}


def is_current(record: Record, trial: Trial) -> bool:
    """Same task version, and the same parameters once today's defaults are filled in on both sides."""
    return record.version == trial.definition.version and same_parameters(record, trial)


def same_parameters(record: Record, trial: Trial) -> bool:
    if record.params == trial.parameters.model_dump(mode="json"):  # as nearly all are: reading them again takes far longer
        return True
    try:
        return bool(trial.definition.parameters.model_validate(record.params) == trial.parameters)
    except ValidationError:  # written by a version of the task that had other parameters
        return False


def is_stale(record: Record) -> bool:
    """Whether the task has moved on since this record was written (or is gone)."""
    return record.task not in tasks() or tasks()[record.task].version != record.version


def read(path: str | Path) -> Record:
    """A record from its file, checked against its digest."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as fault:
        raise BadValue(f"{path} cannot be read: {fault.strerror}") from None
    try:
        value = json.loads(text)
        digest = value.pop("sha256")
        record = Record(**value)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as fault:
        raise DamagedRecord(
            f"{path} is not a whole record ({type(fault).__name__}); delete it and its trial runs again"
        ) from None
    if record.digest() != digest:
        raise DamagedRecord(f"{path} does not match its own digest; delete it and its trial runs again")
    return record


def _write(path: Path, record: Record) -> Path:
    return files.write_json(path, {**vars(record), "sha256": record.digest()})
