"""Trials side by side in several processes, on a task of the tests' own and on tiny networks."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from processes import HEARS_CTRL_C, press_ctrl_c, start, wait_for
from pydantic import Field

from prunebook import cli, trials
from prunebook.errors import BadValue
from prunebook.trials import Store, Trial
from prunebook.trials import trial as trial_module
from prunebook.trials.engine import suitable_workers
from prunebook.trials.trial import Parameters, task
from prunebook.trials.workers import WorkerLost


class Step(Parameters):
    x: int
    seconds: float = 0
    meets: int | None = Field(None, description="the trial that has to be in flight at the same time")
    fails: bool = False
    exits: int | None = None

    def describe(self) -> str:
        return f"number {self.x}"


class Awkward(Exception):
    """Cannot be read back from its pickle: there is one argument where two are asked for."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} {number}")


@task("step", version=1, parameters=Step)
def step(p, context):
    seen = context.store.local / "seen"
    seen.mkdir(parents=True, exist_ok=True)
    (seen / str(p.x)).touch()
    deadline = time.monotonic() + 180  # a machine may be busy
    while p.meets is not None and not (seen / str(p.meets)).exists():
        assert time.monotonic() < deadline, "no other trial at the same time"
        time.sleep(0.01)
    time.sleep(p.seconds)
    if p.exits is not None:
        os._exit(p.exits)
    if p.fails:
        raise Awkward("nothing to be done in", p.x)
    return {"process": os.getpid(), "threads": torch.get_num_threads()}


def steps(*parameters: dict) -> list[Trial]:
    return [Trial("step", one) for one in parameters]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "local", tmp_path / "published")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run(wanted, store, **options):
    return trials.run(wanted, store=store, progress=False, device="cpu", **options)


def children() -> list[str]:
    """The processes whose parent this one is, dead ones that nobody has asked about included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        # multiprocessing keeps one helper of its own, which outlives the workers.
        if parent == os.getpid() and "resource_tracker" not in command:
            found.append(f"{path} {command}")
    return found


def test_two_workers_run_side_by_side_and_share_the_threads_until_the_budget_is_over(store, two_threads, capsys):
    before = children()
    wanted = steps({"x": 1, "meets": 2}, {"x": 2, "meets": 1}, {"x": 3})
    (store.local / "seen").mkdir(parents=True)
    (store.local / "seen" / "2").touch()  # as if it were in flight
    assert run(wanted[:1], store)[0].result["process"] == os.getpid()
    shutil.rmtree(store.local / "seen")
    found = [record.result for record in run(wanted, store, workers=2, budget=0.01, force=True)]
    assert len({result["process"] for result in found} - {os.getpid()}) == 2  # neither would end without the other
    assert [result["threads"] for result in found] == [1, 1]
    assert torch.get_num_threads() == 2
    assert "the budget of 0.01 s is over; 1 trials are left" in capsys.readouterr().err
    assert children() == before


def test_what_measures_times_runs_alone_and_with_all_threads(store, two_threads, monkeypatch):
    timed = trial_module.Task(**{**vars(trials.tasks()["step"]), "name": "timed", "alone": True})
    monkeypatch.setitem(trial_module._TASKS, "timed", timed)
    first, alone = run([*steps({"x": 1}), Trial("timed", {"x": 2})], store, workers=2)
    assert alone.result == {"process": os.getpid(), "threads": 2}
    assert first.result["process"] != os.getpid()


def test_what_runs_alone_comes_after_what_it_needs(store, two_threads, monkeypatch):
    needed = steps({"x": 1, "seconds": 0.2})
    spec = {**vars(trials.tasks()["step"]), "name": "timed", "alone": True, "needs": lambda p: needed}
    monkeypatch.setitem(trial_module._TASKS, "timed", trial_module.Task(**spec))
    order: list[int] = []
    put = Store.put
    monkeypatch.setattr(
        Store, "put", lambda self, trial, record: (order.append(trial.params["x"]), put(self, trial, record))
    )
    timed = Trial("timed", {"x": 2})
    (record,) = run([timed], store, workers=2)
    assert record.result["process"] == os.getpid()
    assert store.find(needed[0]).provenance["finished"] <= store.find(timed).provenance["finished"]
    assert order[-1] == 2


def test_an_exception_is_raised_with_its_trial_and_those_in_flight_are_finished(store, capsys):
    before = children()
    wanted = steps({"x": 1, "meets": 2, "fails": True}, {"x": 2, "meets": 1, "seconds": 0.5}, {"x": 3})
    with pytest.raises(RuntimeError, match=r"^Awkward: nothing to be done in 1\n") as fault:
        run(wanted, store, workers=2)
    assert fault.value.__notes__[0] == f"in trial step {wanted[0].key}: step number 1"
    assert "test_workers.py" in fault.value.__notes__[1]  # where it was raised
    assert "step number 1 failed; 1 others in flight" in capsys.readouterr().err
    assert [store.state(trial) for trial in wanted] == ["missing", "done", "missing"]
    assert children() == before


def test_a_worker_that_is_gone_is_told_with_its_trial(store):
    before = children()
    with pytest.raises(WorkerLost, match="exit code 7") as fault:
        run(steps({"x": 1, "exits": 7}), store, workers=2)
    assert "step number 1" in fault.value.__notes__[0]
    assert children() == before


SCRIPT = (
    HEARS_CTRL_C
    + """
import sys
from pathlib import Path
import test_workers
from prunebook import trials
if __name__ == "__main__":
    store = trials.Store(Path(sys.argv[1]), Path(sys.argv[1]) / "none")
    wanted = test_workers.steps({"x": 0}, *({"x": int(x), "seconds": 600} for x in sys.argv[2:]))
    trials.run(wanted, store=store, progress=False, device="cpu", workers=len(wanted) - 1 or 1)
"""
)


@pytest.mark.parametrize(("how", "slow", "complaints"), [(signal.SIGINT, "123", 1), (signal.SIGKILL, "12", 0)])
def test_a_run_that_is_stopped_keeps_what_is_finished_and_leaves_no_process(tmp_path, how, slow, complaints):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = start([tmp_path / "script.py", tmp_path / "records", *slow])
    records = tmp_path / "records"
    wait_for(lambda: (records / "seen" / slow[-1]).exists() and list(records.glob("step/*.json")), process)
    press_ctrl_c(process) if how == signal.SIGINT else process.kill()
    _, errors = process.communicate(timeout=120)  # returns once no process holds standard error; the trials take 600 s
    assert errors.count("KeyboardInterrupt") == complaints  # none from the workers
    names = [path.name for path in (records / "step").iterdir()]
    assert names == [f"{Trial('step', {'x': 0}).key}.json"]


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_an_impossible_number_of_workers_is_refused(store, workers):
    with pytest.raises(BadValue, match=f"workers is {workers}, but must be a number of processes, at least 1"):
        run(steps({"x": 1}), store, workers=workers)


def test_workers_under_torchrun_are_refused_in_one_sentence(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(["run", "kcore", "smoke", "--workers", "2"]) == 2
    err = capsys.readouterr().err
    assert "workers is 2, but must be 1 under torchrun" in err
    assert err.count("\n") == 1


FIT = {"epochs": 1, "lr": 0.05, "batch_size": 256, "augment": False}
NETWORK = {"dataset": "digits", "arch": "resnet20", "options": {"width": 0.25}, "fit": FIT}


def test_results_are_the_same_with_one_and_two_workers(tmp_path, monkeypatch, two_threads):
    pruning = {"baseline": NETWORK, "images": 10, "evaluate": "none", "finetune": FIT}
    wanted = [Trial("prune", {**pruning, "tau": tau}) for tau in (0.6, 0.8)]
    contents = []
    for workers in (1, 2):
        torch.set_num_threads(workers)  # so that one computes with one thread, and each of two as well
        monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / f"cache {workers}"))
        local = tmp_path / f"records {workers}"
        run(wanted, Store(local, tmp_path / "none"), workers=workers)  # the network that both need comes first
        records = [json.loads(path.read_text()) for path in sorted(local.glob("*/*.json"))]
        contents.append([{name: r[name] for name in ("task", "key", "params", "result", "version")} for r in records])
        assert {r["provenance"]["hardware"]["threads"] for r in records} == {1}
    assert len(contents[0]) == 3
    assert contents[0] == contents[1]


def test_as_many_workers_as_suit_are_one_for_each_core_of_a_cpu_and_one_elsewhere(two_threads, monkeypatch):
    assert suitable_workers(30, "cpu") == 2
    assert suitable_workers(7, "cpu") == 1
    assert suitable_workers(30, "cuda") == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert suitable_workers(30, "cpu") == 1
