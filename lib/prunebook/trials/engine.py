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
from torch import nn
from tqdm import tqdm

from prunebook import distributed, paths, weights
from prunebook.errors import BadValue, choose, require
from prunebook.trials import provenance, schedule, shards
from prunebook.trials.claims import Queue
from prunebook.trials.cluster import Cluster, Demand
from prunebook.trials.store import DamagedRecord, Record, Store
from prunebook.trials.trial import Trial
from prunebook.trials.workers import Workers

if TYPE_CHECKING:
    import pandas as pd

ENGINES = ("local", "ray", "records")
POLL = 0.2  # seconds until it is looked again whether another runner has finished a trial


class MissingRecords(BadValue):
    """Records were asked for without running anything, and some are not there."""


class MixedNetworks(BadValue):
    """Records that are to stand side by side were made with different copies of one network."""


class MixedData(BadValue):
    """Records that are to stand side by side were made with different copies of one dataset."""


@dataclass
class Context:
    """What a task gets besides its parameters: where to compute, where files go, and a way to tell how far it is.

    The task leaves `times` in it, in seconds, and in `data` the fingerprints of the datasets that it used, by `data_name`.
    """

    device: str
    store: Store
    bar: Any = None
    times: dict[str, float] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

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

    def keep(self, trial: Trial, model: nn.Module, top1: float) -> None:
        """Write the network that `trial` trained, with its accuracy on the test split in percent: the main process does."""
        if distributed.is_main():
            facts: dict[str, Any] = {
                "task": trial.task,
                "key": trial.key,
                "parameters": trial.params,
                "test_top1": round(top1, 4),
            }
            weights.save(model, self.checkpoint(trial), **facts)

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
    max_trials: int | None = None,
    shard: str | None = None,
    demand: Demand | None = None,
) -> Results:
    """The records of `trials`; those that are missing or stale are computed first.

    Parameters
    ----------
    trials : list of Trial
    engine : {"local", "ray", "records"}
        "local" computes here, on one machine; "ray" on a Ray cluster, as `demand` says. "records" computes nothing and
        refuses where a record is missing.
    budget : seconds, or text such as "90s", "25m", "2h"
        No trial is started once this time is over; those in flight are finished, and the next call goes on. Default:
        no limit.
    progress : bool
        Two bars on standard error: over the trials, with the time left, and inside the trial in flight. With several
        workers only the first, with the trials in flight beside it.
    force : bool
        Compute again what has a record.
    store : Store, default the project's
    device : "cpu", "cuda", ..., one that is here (see `check_device`); default the accelerator if there is one
    workers : int or None
        1 computes in this process; None is as many as `suitable_workers` says. More is the number of processes on the
        same device, each of which takes the next trial whose needed ones are done; they share the threads that this
        process would use. A script that asks for more calls `run` under ``if __name__ == "__main__":``, because each
        process imports it.
    max_trials : int, default no limit
        No more than these are started; the next call goes on with the rest.
    shard : text such as "2/4", default everything
        Only this part of the trials is computed, the second of four; see `shards.part`. What waits for a trial of another
        shard is left, and told.
    demand : Demand, for engine "ray" alone
        Which cluster, and what of it each trial takes.

    Returns
    -------
    Results
        The records in the order of `trials`. With a budget, `max_trials` or a shard, those that exist in the end.

    Several processes may run the same trials on one store at the same time: each trial is computed by one of them, and all
    return when all are done.

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
    valid = max_trials is None or (isinstance(max_trials, int) and max_trials >= 1)
    require(valid, "max_trials", max_trials, "a number of trials, at least 1")
    seconds = parse_budget(budget)
    place = shards.parse(shard) if shard is not None else None
    device = check_device(device) if device is not None else accelerator()
    wanted = list(dict.fromkeys(trials))
    store = store or Store()
    require(demand is None or engine == "ray", "engine", engine, "'ray' where a cluster is asked for")
    if engine == "records":
        _refuse_missing(wanted, store)
    else:
        todo = distributed.from_main(lambda: _todo(wanted, store, force, place))
        count: int | Cluster = suitable_workers(len(todo), device) if workers is None else workers
        if engine == "ray":
            require(not distributed.launched(), "engine", engine, "local under torchrun")
            count = Cluster(demand or Demand(), store, device)
            if todo:
                count.reach()
        # Each comes after those that it needs, so the first so many need none of the others.
        _run_missing(todo[:max_trials], store, device, seconds, progress and distributed.is_main(), count, force)
        if max_trials is not None and len(todo) > max_trials:
            _say(f"prunebook: {max_trials} trials were asked for at most; {len(todo) - max_trials} are left")
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


def check_device(device: str) -> str:
    """The device, where this machine has it; else BadValue, with those that it has."""
    there = ["cpu"]
    if not torch.cuda.is_available():
        require(not device.startswith("cuda"), "device", device, "cpu, as PyTorch finds no GPU of CUDA here")
    else:
        there += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    return choose("device", device, there)


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
            if needed not in order and (force or not _is_there(needed, store)):
                add(needed)
        order.setdefault(trial)

    for trial in trials if force else missing(trials, store):
        add(trial)
    return list(order)


def _todo(wanted: list[Trial], store: Store, force: bool, shard: tuple[int, int] | None) -> list[Trial]:
    """The trials to compute here and now: all, or those of the shard that wait for none of another one."""
    todo = to_run(wanted, store, force)
    if shard is None:
        return todo
    mine = set(shards.part(to_run(wanted, store, force=True), shard))
    ours: dict[Trial, None] = {}
    waiting, others = 0, set[Trial]()
    for trial in (trial for trial in todo if trial in mine):
        lacking = [one for one in trial.needs() if one not in ours and not _is_there(one, store)]
        if lacking:
            waiting += 1
            others.update(set(lacking) - mine)
        else:
            ours[trial] = None
    if waiting:
        _say(
            f"prunebook: {waiting} trials of this shard wait for {len(others)} that other shards compute; "
            "once those are done, merge the folders and call this again"
        )
    return list(ours)


def _is_there(trial: Trial, store: Store) -> bool:
    """Whether nothing need be computed for those that need this trial."""
    return not missing([trial], store) and _usable(trial, store)


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
    trials: list[Trial],
    store: Store,
    device: str,
    seconds: float | None,
    progress: bool,
    workers: "int | Cluster",
    force: bool,
) -> None:
    if not trials:
        return
    deadline = None if seconds is None else _Deadline(seconds)
    every = 0.1 if sys.stderr.isatty() else 10  # a log file wants a line now and then
    with tqdm(total=len(trials), desc="trials", unit="trial", disable=not progress, mininterval=every, smoothing=0) as outer:
        run = _Run(store, device, force, deadline, outer)
        before, together, after = schedule.phases(trials, Trial.needs, lambda trial: workers == 1 or trial.definition.alone)
        left = run.one_by_one(before)
        left += run.side_by_side(together, _pool(workers, store, device)) if together else 0
        left += run.one_by_one(after)
        if left and deadline:
            _say(f"prunebook: the budget of {deadline.seconds:g} s is over; {left} trials are left")


class _Deadline:
    """The moment from which no trial is started."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.start = seconds, time.monotonic()

    def is_over(self) -> bool:
        return time.monotonic() - self.start >= self.seconds


@dataclass
class _Run:
    """How the trials of one call of `run` are computed. Its methods return how many are left when the time is over."""

    store: Store
    device: str
    force: bool
    deadline: _Deadline | None
    outer: tqdm
    shown: str = ""

    def queue(self, trials: list[Trial]) -> Queue:
        # What another runner has done since the list was made is not done again, unless all was to be done again.
        is_done = None if self.force else lambda trial: _is_there(trial, self.store)
        return Queue(trials, self.store, is_done, self.outer.update)

    def is_over(self) -> bool:
        return self.deadline is not None and self.deadline.is_over()

    def show(self, queue: Queue, running: Iterable[Trial]) -> None:
        text = "; ".join(map(describe, running)) or ("waits for another runner" if queue.waiting else "")
        if text != self.shown:
            self.outer.set_postfix_str(text)
            self.shown = text

    def one_by_one(self, trials: list[Trial]) -> int:
        hidden = self.outer.disable or not sys.stderr.isatty()  # a log file wants no bar inside the bar
        with (
            self.queue(trials) as queue,
            tqdm(total=1, leave=False, disable=hidden, bar_format="{desc} {percentage:3.0f}%|{bar}|") as inner,
        ):
            # Of several processes the main one takes for all, and none waits for long in one call.
            while (step := distributed.from_main(lambda: self._step(queue)))[0]:
                trial = step[1]
                self.show(queue, [trial] if trial else [])
                if trial is None:
                    time.sleep(POLL)
                    continue
                compute(trial, self.store, self.device, None if hidden else inner)
                if distributed.is_main():
                    queue.finish(trial)
            self.show(queue, [])
            return len(queue.waiting)

    def _step(self, queue: Queue) -> tuple[bool, Trial | None]:
        """Whether there is more to do, and the trial to do next; None if there is none at present."""
        if not queue.waiting or self.is_over():
            return False, None
        trial = queue.take()
        return trial is not None or bool(queue.waiting), trial

    def side_by_side(self, trials: list[Trial], pool: "_LocalPool | Cluster") -> int:
        """Start trials, in their order, as places come free and as those that they need are done, until all are."""
        failures: list[Exception] = []
        refresh = 1 if sys.stderr.isatty() else None  # seconds, so that the time on the bar goes on
        left = 0
        with self.queue(trials) as queue, pool:
            while queue.waiting or pool.running:
                if queue.waiting and self.is_over():
                    left, queue.waiting = len(queue.waiting), []
                while len(pool.running) < pool.places() and (trial := queue.take()):
                    pool.start(trial)
                self.show(queue, pool.running)
                if not pool.running:
                    time.sleep(POLL)
                for trial, fault in pool.finished(refresh) if pool.running else ():
                    if fault is None:
                        queue.finish(trial)
                    else:
                        failures.append(_named(fault, trial))
                        queue.fail(trial)
                        _say(f"prunebook: {describe(trial)} failed; {len(pool.running)} others in flight are finished first")
        if failures:
            raise failures[0]
        return left


def _pool(workers: "int | Cluster", store: Store, device: str) -> "_LocalPool | Cluster":
    return workers if isinstance(workers, Cluster) else _LocalPool(workers, store, device)


class _LocalPool(Workers[Trial]):
    """Trials in processes beside this one, which write their records themselves."""

    def __init__(self, count: int, store: Store, device: str) -> None:
        super().__init__(count, threads=max(1, torch.get_num_threads() // count))
        self.store, self.device = store, device

    def places(self) -> int:
        return self.count

    def start(self, trial: Trial) -> None:
        module = trial.definition.run.__module__
        self.call(trial, _compute_in_worker, module, trial.task, trial.params, self.store, self.device)


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
        provenance=provenance.describe(device)
        | {"processes": distributed.world(), "networks": _networks(trial, context), "data": context.data},
    )
    try:  # now, rather than when all of a grid's are there
        check_data([record, *(found for one in trial.needs() if (found := store.find(one)) is not None)])
    except MixedData as fault:
        _named(fault, trial)
        raise
    if distributed.is_main():
        store.put(trial, record)
    distributed.barrier()  # so that the others find the record, and what else the main one has written
    return record


def _networks(trial: Trial, context: Context) -> dict[str, str]:
    """SHA-256 of the networks that `trial` started from and of the one that it left, by the key of whoever trained them."""
    files = {one.key: context.network(one) for one in (*trial.needs(), trial) if one.definition.leaves}
    return {key: weights.sha256(path) for key, path in files.items() if path.is_file()}


def data_name(dataset: str, size: int | None) -> str:
    """What a record calls a dataset whose images have this many pixels a side; None is their own size."""
    return dataset if size is None else f"{dataset} of {size} pixels"


def check_comparable(records: Iterable[Record]) -> None:
    """Raise MixedNetworks or MixedData unless the records may stand side by side."""
    records = list(records)
    check_networks(records)
    check_data(records)


def check_data(records: Iterable[Record]) -> None:
    """Raise MixedData unless all records that have to do with one dataset have to do with the same copy of it.

    Files of the same name may be damaged, or a smaller or a later edition. A record that does not say which copy it had, as
    most before November 2026, goes with any.
    """
    copies: dict[str, set[str]] = {}
    for record in records:
        for name, fingerprint in _data(record).items():
            copies.setdefault(name, set()).add(fingerprint)
    for name, found in copies.items():
        if len(found) > 1:
            raise MixedData(
                f"the records on {name} were made with {len(found)} different copies of that dataset (fingerprints "
                f"{', '.join(sorted(found))}); --force computes all of them with the one that is here"
            )


def _data(record: Record) -> dict[str, str]:
    """The fingerprints of the datasets that a record was made with; of older ones, only networks before pruning tell."""
    facts, dataset = record.result.get("data"), record.params.get("dataset")
    if "data" not in record.provenance and isinstance(facts, dict) and "fingerprint" in facts and dataset:
        return {data_name(dataset, record.params.get("size")): facts["fingerprint"]}
    found: dict[str, str] = record.provenance.get("data", {})
    return found


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
