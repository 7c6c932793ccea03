"""Run the trials that have no record yet: one after the other in this process, or side by side in several."""

import importlib
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from prunebook import distributed, paths, weights
from prunebook.errors import BadValue, choose, require
from prunebook.trials import provenance
from prunebook.trials.store import DamagedRecord, Record, Store
from prunebook.trials.trial import Trial
from prunebook.trials.workers import Workers

if TYPE_CHECKING:
    import pandas as pd

ENGINES = ("local", "records")


class MissingRecords(BadValue):
    """Records were asked for without running anything, and some are not there."""


class MixedNetworks(BadValue):
    """Records that are to stand side by side were made with different copies of one network."""


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
        return paths.cache() / "checkpoints" / _file_of(trial)

    def network(self, trial: Trial) -> Path:
        """The network that `trial` trained: this machine's, else the published one."""
        found, published = self.checkpoint(trial), published_network(trial)
        return published if published.is_file() and not found.is_file() else found


def published_network(trial: Trial) -> Path:
    """Where the network that `trial` trained is, or would be, published."""
    return paths.networks() / _file_of(trial)


def _file_of(trial: Trial) -> Path:
    return Path(trial.task) / f"{trial.key}.safetensors"


class Results(list[Record]):
    """The records of the trials asked for, in their order."""

    def frame(self) -> "pd.DataFrame":
        """One row a record: parameters, results and times as columns, nested names joined by dots."""
        import pandas as pd  # here, because no worker needs it

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
    workers: int | None = 1,
) -> Results:
    """The records of `trials`; those that are missing or stale are computed first.

    Parameters
    ----------
    trials : list of Trial
    engine : {"local", "records"}
        "local" computes here, on one machine. "records" computes nothing and refuses where a record is missing.
    budget : seconds, or text such as "90s", "25m", "2h"
        No trial is started once this time is over; those in flight are finished, and the next call goes on. Default:
        no limit.
    progress : bool
        Two bars on standard error: over the trials, with the time left, and inside the trial in flight. With several
        workers only the first, with the trials in flight beside it.
    force : bool
        Compute again what has a record.
    store : Store, default the project's
    device : "cpu", "cuda", ..., default the accelerator if there is one
    workers : int or None
        1 computes in this process; None is as many as `suitable_workers` says. More is the number of processes on the
        same device, each of which takes the next trial whose needed ones are done; they share the threads that this
        process would use. A script that asks for more calls `run` under ``if __name__ == "__main__":``, because each
        process imports it.

    Returns
    -------
    Results
        The records in the order of `trials`. With a budget, those that exist when it is over.

    Raises
    ------
    MissingRecords
        ``engine="records"`` and a record is missing or stale.
    BadValue
        An argument is out of range.

    Whatever a trial raises is raised with a note that names it, once those in flight are finished.
    """
    choose("engine", engine, ENGINES)
    if workers is not None:
        _check_workers(workers)
    seconds = parse_budget(budget)
    wanted = list(dict.fromkeys(trials))
    store = store or Store()
    if engine == "records":
        _refuse_missing(wanted, store)
    else:
        device = device or accelerator()
        todo = distributed.from_main(lambda: to_run(wanted, store, force))
        count = suitable_workers(len(todo), device) if workers is None else workers
        _run_missing(todo, store, device, seconds, progress and distributed.is_main(), count)
    found = (store.find(trial) for trial in wanted)
    return Results(record for record in found if record is not None)


def suitable_workers(trials: int, device: str) -> int:
    """How many workers suit so many trials: on a CPU one for each core, as small networks leave cores idle that they share.

    At most 4, which want a gigabyte of memory each or more, and 1 for few trials, since a worker takes seconds to start. 1
    on other devices and under torchrun: how much of a GPU a network leaves idle is not known here.
    """
    if device != "cpu" or distributed.launched() or trials < 8:
        return 1
    return min(4, torch.get_num_threads())


def accelerator() -> str:
    """The device that trials run on where none is named."""
    return "cuda" if torch.cuda.is_available() else "cpu"


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


def to_run(trials: Iterable[Trial], store: Store, force: bool = False) -> list[Trial]:
    """The trials that `run` would compute, each after those that it needs, none twice."""
    order: dict[Trial, None] = {}

    def add(trial: Trial) -> None:
        for needed in trial.needs():
            if needed not in order and (force or missing([needed], store) or not _usable(needed, store)):
                add(needed)
        order.setdefault(trial)

    for trial in trials if force else missing(trials, store):
        add(trial)
    return list(order)


def _usable(needed: Trial, store: Store) -> bool:
    """Whether what `needed` left on disk for other trials is there: a published record may come without its network."""
    return not needed.definition.leaves or Context("cpu", store).network(needed).is_file()


def publish_network(trial: Trial, store: Store) -> Path:
    """Copy the network that `trial` trained to the published ones. Raises BadValue or MissingData where none is there."""
    context = Context("cpu", store)
    return weights.copy(context.network(trial), published_network(trial))


def _check_workers(workers: int) -> None:
    require(isinstance(workers, int) and workers >= 1, "workers", workers, "a number of processes, at least 1")
    require(
        workers == 1 or not distributed.launched(),
        "workers", workers, "1 under torchrun, which starts processes of its own",
    )  # fmt: skip


def _run_missing(
    trials: list[Trial], store: Store, device: str, seconds: float | None, progress: bool, workers: int
) -> None:
    if not trials:
        return
    deadline = None if seconds is None else _Deadline(seconds)
    every = 0.1 if sys.stderr.isatty() else 10  # a log file wants a line now and then
    with tqdm(total=len(trials), desc="trials", unit="trial", disable=not progress, mininterval=every, smoothing=0) as outer:
        alone = [trial for trial in trials if workers == 1 or trial.definition.alone]
        together = [trial for trial in trials if trial not in alone]
        # What runs alone and builds on one that runs beside others has to come after it.
        after = [trial for trial in alone if any(needed in together for needed in trial.needs())]
        _one_by_one([trial for trial in alone if trial not in after], store, device, deadline, outer)
        if together:
            _side_by_side(together, store, device, deadline, outer, workers)
        _one_by_one(after, store, device, deadline, outer)


class _Deadline:
    """The moment from which no trial is started."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.start = seconds, time.monotonic()

    def is_over(self) -> bool:
        return time.monotonic() - self.start >= self.seconds

    def message(self, left: int) -> str:
        return f"prunebook: the budget of {self.seconds:g} s is over; {left} trials are left"


def _one_by_one(trials: list[Trial], store: Store, device: str, deadline: _Deadline | None, outer: tqdm) -> None:
    hidden = outer.disable or not sys.stderr.isatty()  # a log file wants no bar inside the bar
    with tqdm(total=1, leave=False, disable=hidden, bar_format="{desc} {percentage:3.0f}%|{bar}|") as inner:
        for done, trial in enumerate(trials):
            if deadline and distributed.from_main(deadline.is_over):
                _say(deadline.message(len(trials) - done))
                return
            outer.set_postfix_str(describe(trial))
            compute(trial, store, device, None if hidden else inner)
            outer.update()


def _side_by_side(
    trials: list[Trial], store: Store, device: str, deadline: _Deadline | None, outer: tqdm, workers: int
) -> None:
    """Start trials, in their order, as workers come free and as those that they need are done, until all are."""
    needs = {trial: set(trial.needs()).intersection(trials) for trial in trials}
    waiting, unfinished = list(trials), set(trials)
    failures: list[Exception] = []
    refresh = 1 if sys.stderr.isatty() else None  # seconds, so that the time on the bar goes on
    pool: Workers[Trial] = Workers(workers, threads=max(1, torch.get_num_threads() // workers))
    with pool:
        while waiting or pool.running:
            if waiting and deadline and deadline.is_over():
                _say(deadline.message(len(waiting)))
                waiting = []
            ready = [trial for trial in waiting if needs[trial].isdisjoint(unfinished)]
            for trial in ready[: workers - len(pool.running)]:
                waiting.remove(trial)
                module = trial.definition.run.__module__
                pool.call(trial, _compute_in_worker, module, trial.task, trial.params, store, device)
            outer.set_postfix_str("; ".join(map(describe, pool.running)))
            for trial, fault in pool.finished(refresh):
                if fault is None:
                    unfinished.remove(trial)
                    outer.update()
                else:
                    failures.append(_named(fault, trial))
                    waiting = []
                    _say(f"prunebook: {describe(trial)} failed; {len(pool.running)} others in flight are finished first")
    if failures:
        raise failures[0]


def _compute_in_worker(module: str, name: str, params: dict[str, Any], store: Store, device: str) -> None:
    importlib.import_module(module)  # a worker starts with the package's own tasks, and this registers any other
    compute(Trial(name, params), store, device)


def _say(message: str) -> None:
    if distributed.is_main():
        tqdm.write(message, file=sys.stderr)  # between the bars rather than into them


def describe(trial: Trial) -> str:
    """A few words on a trial, for progress and messages."""
    return f"{trial.task} {trial.parameters.describe()}"


def compute(trial: Trial, store: Store, device: str, bar: Any = None) -> Record:
    """Run one trial, whatever records there are, and write its record: of several processes, the main one does."""
    context = Context(device, store, bar)
    try:
        with context.timed("total"):
            result = trial.definition.run(trial.parameters, context)
    except Exception as fault:
        _named(fault, trial)
        raise
    record = Record(
        task=trial.task,
        version=trial.definition.version,
        key=trial.key,
        params=trial.parameters.model_dump(mode="json"),
        result=result,
        times=context.times,
        provenance=provenance.describe(device) | {"processes": distributed.world(), "networks": _networks(trial, context)},
    )
    if distributed.is_main():
        store.put(trial, record)
    distributed.barrier()  # so that the others find the record, and what else the main one has written
    return record


def _networks(trial: Trial, context: Context) -> dict[str, str]:
    """SHA-256 of the networks that `trial` started from and of the one that it left, by the key of whoever trained them."""
    files = {one.key: context.network(one) for one in (*trial.needs(), trial) if one.definition.leaves}
    return {key: weights.sha256(path) for key, path in files.items() if path.is_file()}


def check_networks(records: Iterable[Record]) -> None:
    """Raise MixedNetworks unless all records that have to do with one network have to do with the same copy of it.

    A training repeated on another kind of processor gives another network: rounding differs, and grows. What was measured
    on the one cannot be set against what was measured on the other. A record that does not say which copy it had, as those
    before November 2026, goes with others of that kind only.
    """
    copies: dict[Trial, set[str | None]] = {}
    for record in records:
        trial = Trial(record.task, record.params)
        for one in (*trial.needs(), trial):
            if one.definition.leaves:
                copies.setdefault(one, set()).add(record.provenance.get("networks", {}).get(one.key))
    for one, found in copies.items():
        if len(found) > 1:
            raise MixedNetworks(
                f"the records that build on {describe(one)} (key {one.key}) were made with {len(found)} different copies of "
                "that network, because it was trained more than once; --force computes all of them with one"
            )


def _named(fault: Exception, trial: Trial) -> Exception:
    """`fault` with a note on the trial that it happened in, unless it has one."""
    note = f"in trial {trial.task} {trial.key}: {describe(trial)}"
    if note not in getattr(fault, "__notes__", []):
        fault.add_note(note)
    return fault
