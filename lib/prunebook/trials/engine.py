"""Run the trials that have no record yet. One engine so far, "local": in this process, one after the other."""

import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from prunebook import paths
from prunebook.errors import BadValue, choose, require
from prunebook.trials import provenance
from prunebook.trials.store import DamagedRecord, Record, Store
from prunebook.trials.trial import Trial

ENGINES = ("local", "records")


class MissingRecords(BadValue):
    """Records were asked for without running anything, and some are not there."""


@dataclass
class Context:
    """What a task gets besides its parameters: where to compute, where files go, and a way to tell how far it is."""

    device: str
    store: Store
    bar: Any = None
    times: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to ``times[name]`` of the record."""
        start = time.perf_counter()
        yield
        self.times[name] = round(self.times.get(name, 0.0) + time.perf_counter() - start, 3)

    def progress(self, done: int, total: int, what: str) -> None:
        """Show the inner bar at `done` of `total`."""
        if self.bar is not None:
            self.bar.set_description_str(f"  {what}", refresh=False)
            self.bar.total = total
            self.bar.n = done
            self.bar.refresh()

    def checkpoint(self, trial: Trial) -> Path:
        """Where the network that `trial` trained is kept, on this machine."""
        return paths.cache() / "checkpoints" / trial.task / f"{trial.key}.safetensors"


class Results(list[Record]):
    """The records of the trials asked for, in their order."""

    def frame(self) -> pd.DataFrame:
        """One row a record: parameters, results and times as columns, nested names joined by dots."""
        rows = [{"task": r.task, "key": r.key, **r.params, "result": r.result, "times": r.times} for r in self]
        return pd.json_normalize(rows)


def run(
    trials: Iterable[Trial],
    engine: str = "local",
    budget: float | str | None = None,
    progress: bool = True,
    *,
    force: bool = False,
    store: Store | None = None,
    device: str | None = None,
) -> Results:
    """The records of `trials`; those that are missing or stale are computed first.

    Parameters
    ----------
    trials : list of Trial
    engine : {"local", "records"}
        "local" computes in this process. "records" computes nothing and refuses where a record is missing.
    budget : seconds, or text such as "90s", "25m", "2h"
        No trial is started once this time is over; the next call goes on. Default: no limit.
    progress : bool
        Two bars on standard error: over the trials, with the time left, and inside the trial in flight.
    force : bool
        Compute again what has a record.
    store : Store, default the project's
    device : "cpu", "cuda", ..., default the accelerator if there is one

    Returns
    -------
    Results
        The records in the order of `trials`. With a budget, those that exist when it is over.

    Raises
    ------
    MissingRecords
        ``engine="records"`` and a record is missing or stale.
    """
    choose("engine", engine, ENGINES)
    seconds = parse_budget(budget)
    wanted = list(dict.fromkeys(trials))
    store = store or Store()
    if engine == "records":
        _refuse_missing(wanted, store)
    else:
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        _run_missing(_to_run(wanted, store, force), store, device, seconds, progress)
    found = (store.find(trial) for trial in wanted)
    return Results(record for record in found if record is not None)


def parse_budget(budget: float | str | None) -> float | None:
    """Seconds of a budget such as 90, "90s", "25m" or "1.5h"; None stays None."""
    if budget is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(budget))
    require(match is not None and float(match[1]) > 0, "budget", budget, 'a time such as 90, "90s", "25m" or "2h"')
    assert match is not None
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def missing(trials: Iterable[Trial], store: Store) -> list[Trial]:
    """Those without a current record. A damaged local record counts as missing, with a word on standard error."""
    return [trial for trial in dict.fromkeys(trials) if _state(trial, store) != "done"]


def _state(trial: Trial, store: Store) -> str:
    try:
        return store.state(trial)
    except DamagedRecord as fault:
        print(f"prunebook: {fault}", file=sys.stderr)
        store.path(trial).unlink(missing_ok=True)  # only the local copy: a published one is refused again, below
        return store.state(trial)


def _refuse_missing(trials: list[Trial], store: Store) -> None:
    gone = missing(trials, store)
    if gone:
        stale = sum(store.state(trial) == "stale" for trial in gone)
        raise MissingRecords(
            f"{len(gone)} of {len(trials)} records are not there ({stale} stale), and engine='records' computes nothing"
        )


def _to_run(trials: list[Trial], store: Store, force: bool) -> list[Trial]:
    """The trials to compute, each after those that it needs, none twice."""
    order: dict[Trial, None] = {}
    for trial in trials if force else missing(trials, store):
        for needed in trial.needs():
            if force or needed in missing([needed], store) or not _usable(needed, store):
                order.setdefault(needed)
        order.setdefault(trial)
    return list(order)


def _usable(needed: Trial, store: Store) -> bool:
    """Whether what `needed` left on disk for other trials is there: a published record comes without its network."""
    return Context("cpu", store).checkpoint(needed).is_file()


def _run_missing(trials: list[Trial], store: Store, device: str, seconds: float | None, progress: bool) -> None:
    start = time.monotonic()
    if not trials:
        return
    terminal = sys.stderr.isatty()  # a log file wants a line now and then, and no bar inside the bar
    hidden = not (progress and terminal)
    every = 0.1 if terminal else 10
    with (
        tqdm(total=len(trials), desc="trials", unit="trial", disable=not progress, mininterval=every, smoothing=0) as outer,
        tqdm(total=1, leave=False, disable=hidden, bar_format="{desc} {percentage:3.0f}%|{bar}|") as inner,
    ):
        for done, trial in enumerate(trials):
            if seconds is not None and time.monotonic() - start >= seconds:
                outer.write(f"prunebook: the budget of {seconds:g} s is over; {len(trials) - done} trials are left")
                return
            outer.set_postfix_str(describe(trial))
            compute(trial, store, device, None if hidden else inner)
            outer.update()


def describe(trial: Trial) -> str:
    """A few words on a trial, for progress and messages."""
    return f"{trial.task} {trial.parameters.describe()}"


def compute(trial: Trial, store: Store, device: str, bar: Any = None) -> Record:
    """Run one trial, whatever records there are, and write its record."""
    context = Context(device, store, bar)
    try:
        with context.timed("total"):
            result = trial.definition.run(trial.parameters, context)
    except Exception as fault:
        fault.add_note(f"in trial {trial.task} {trial.key}: {describe(trial)}")
        raise
    record = Record(
        task=trial.task,
        version=trial.definition.version,
        key=trial.key,
        params=trial.parameters.model_dump(mode="json"),
        result=result,
        times=context.times,
        provenance=provenance.describe(device),
    )
    store.put(trial, record)
    return record
