"""What running trials costs beside the trials: of each, of Ray, and of looking at many records.

    python benchmarks/bench_runs.py            some minutes; wants two cores that have nothing else to do
    python benchmarks/bench_runs.py --small    fewer and shorter trials, a tenth of the records, to see that it runs
    python benchmarks/bench_runs.py --write    also keep the figures in benchmarks/results_runs.json

A grid of equal trials, each of which keeps one core busy for a fixed share of the processor's time, on a Ray cluster of one
worker and of two. Their processes are started before the clock, and have loaded the package; the seconds that this takes are
a figure of its own. Overhead is the time of a run of trials that compute nothing, divided by their number, with the start of
processes in it. Records to look at are written as a run would write them. Commands are timed from their start to their end,
the median of five; for them the records are of the largest run that there is, the grid of SACP's paper, with results of one
number each, and what the project publishes is looked at besides.
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import small_trials
import torch
from measuring import median_seconds, options, report, seconds

from prunebook import notebooks, trials
from prunebook.report import status
from prunebook.report.speed import Figure
from prunebook.trials import Store, Trial, engine
from prunebook.trials.cluster import Cluster
from prunebook.trials.verify import verify


class WarmCluster(Cluster):
    """Its places have a process each, which has loaded the package, before the first trial; it notes when it was ready."""

    starting = 0.0
    ready = ended = 0.0

    def __enter__(self) -> "WarmCluster":
        began = time.perf_counter()
        super().__enter__()
        load = self._ray.remote(num_cpus=1)(_load)
        with tempfile.TemporaryDirectory() as scratch:
            self._ray.get([load.remote(scratch, self.places()) for _ in range(self.places())])
        type(self).ready = time.perf_counter()
        type(self).starting = type(self).ready - began
        return self

    def __exit__(self, *told: Any) -> None:
        type(self).ended = time.perf_counter()
        super().__exit__(*told)


def _load(folder: str, places: int) -> None:
    """Load the package, and wait until each place has a process that has."""
    from prunebook.trials import engine  # noqa: F401

    (Path(folder) / str(os.getpid())).touch()
    while len(os.listdir(folder)) < places:
        time.sleep(0.01)


@contextmanager
def new_store() -> Iterator[Store]:
    """An empty one, which the package takes for the project's."""
    with tempfile.TemporaryDirectory() as scratch, patch.dict(os.environ, PRUNEBOOK_CACHE=scratch):
        yield Store(Path(scratch) / "records", Path(scratch) / "none")


def run(wanted: list[Trial], store: Store, **how: Any) -> float:
    found, records = seconds(lambda: trials.run(wanted, store=store, progress=False, device="cpu", **how))
    assert len(records) == len(wanted)
    return found


def grid(n: int, each: float) -> tuple[list[float], float]:
    """Seconds of the grid with one worker and with two, from the first trial's start to the last one's record; and of Ray's
    start."""
    found = []
    for places in (1, 2):
        torch.set_num_threads(places)  # which is how many places a cluster of this machine has
        with new_store() as store, patch.object(engine, "Cluster", WarmCluster):
            run(small_trials.trials(n, each), store, engine="ray")
        found.append(WarmCluster.ended - WarmCluster.ready)
    return found, WarmCluster.starting


def overheads(n: int) -> dict[str, float]:
    """Seconds per trial by how they are run."""
    ways: dict[str, dict[str, Any]] = {
        "one after the other": {},
        "two worker processes": {"workers": 2},
        "Ray, two places": {"engine": "ray"},
    }
    found = {}
    for name, how in ways.items():
        with new_store() as store:
            found[name] = run(small_trials.trials(n), store, **how) / n
    return found


def queries(n: int) -> dict[str, float]:
    """Seconds of looking at `n` records."""
    with new_store() as store, contextlib.redirect_stdout(io.StringIO()):
        wanted = small_trials.trials(n)
        small_trials.fill(store, wanted)
        taken, states = seconds(lambda: store.states(wanted))
        assert states == {"done": n}
        found = {"which of them are done, as prunebook status asks": taken}
        found["all of them, read and checked"], records = seconds(lambda: list(store.records()))
        found["a run that finds all done, as a table"], frame = seconds(
            lambda: trials.run(wanted, engine="records", store=store).frame()
        )
        with patch.dict(os.environ, PRUNEBOOK_HOME=str(store.local.parent)):  # where nothing is published
            found["the table of every record of the status page"], table = seconds(status.every)
        found["prunebook verify"], verdict = seconds(lambda: verify(store))
        assert len(records) == len(frame) == len(table) == verdict.records == n
    return found


def commands(n: int) -> dict[str, float]:
    """Seconds of commands that look at a store of `n` records."""
    notebook = notebooks.get("sacp")
    wanted = notebook.trials(notebook.parameters("paper"))
    with new_store() as store:
        small_trials.fill(store, wanted[:n])
        told = _told("status", "sacp")
        assert f"sacp paper: {n} done, {len(wanted) - n} missing" in told, told
        table = store.local.parent / "records.csv"
        asked = [["list"], ["list", "kcore"], ["status", "sacp"], ["status"], ["verify"], ["export", str(table)]]
        found = {" ".join(words[:2]): median_seconds(lambda words=words: _told(*words)) for words in asked}
        return {name.replace(str(table), "FILE"): value for name, value in found.items()}


def _told(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "prunebook", *words], capture_output=True, text=True, check=True).stdout


def main() -> None:
    given = options(__doc__, "--small")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])  # for nodes
    n, each, many, all_of_them = (4, 1.0, 20, 1000) if given.small else (24, 5.0, 200, 10_000)
    looked, told = queries(all_of_them), commands(all_of_them)
    torch.set_num_threads(2)
    per_trial = overheads(many)
    (one, two), starting = grid(n, each)
    torch.set_num_threads(2)
    figures = [
        Figure(
            what=f"{n} trials of {each:g} CPU s on two Ray workers", value=two, unit="s", alternative="on one", other=one
        ),
        Figure(what="Ray's start, which is not in these", value=starting, unit="s"),
        *(
            Figure(what=f"overhead of each of {many} trials, {name}", value=value, unit="s")
            for name, value in per_trial.items()
        ),
        *(Figure(what=f"{all_of_them:,} records: {name}", value=value, unit="s") for name, value in looked.items()),
        *(
            Figure(what=f"the command prunebook {words}, beside {all_of_them:,} records", value=value, unit="s")
            for words, value in told.items()
        ),
    ]
    report("runs", figures, given.write)


if __name__ == "__main__":
    main()
