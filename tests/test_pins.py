"""The result of each task's smoke trial, as it was when the task got its version.

A change of what a task means has to come with a new version, or old records would pass for new ones. So if a result
here changes: either mend the task, or bump its version and write the pins anew with

    python tests/test_pins.py
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from prunebook import files, notebooks, trials
from prunebook.trials import Store, Trial

PINS = Path(__file__).parent / "pins.json"
CURE = "bump the task's version and write the pins anew: python tests/test_pins.py"
SLACK = {"top1": 0.5, ".val": 0.5, ".test": 0.5, ".f1": 0.01}  # of results by the ends of their names


def smoke_trials() -> dict[str, Trial]:
    """The first trial of each task in the smoke run of each notebook, by notebook and task."""
    found: dict[str, Trial] = {}
    for name in notebooks.names():
        notebook = notebooks.get(name)
        for trial in notebook.trials(notebook.parameters("smoke")):
            found.setdefault(f"{name}: {trial.task}", trial)
    return found


def results(folder: Path) -> dict[str, dict]:
    """By one thread, because sums over several are in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _results(folder)
    finally:
        torch.set_num_threads(threads)


def _results(folder: Path) -> dict[str, dict]:
    wanted = smoke_trials()
    store = Store(folder / "records", folder / "none")
    found = trials.run(wanted.values(), store=store, progress=False, device="cpu")
    return {
        name: {"version": record.version, "key": record.key, "result": _without_times(record.result)}
        for name, record in zip(wanted, found, strict=True)
    }


def _without_times(result: dict) -> dict:
    """Seconds are never the same twice."""
    return {name: value for name, value in result.items() if name != "latency"}


def difference(pinned, now, where="") -> str:
    """Where two results differ; '' if they agree.

    Accuracies may move by two images of 450, F1 by as much, other numbers by 2 %.
    In a histogram two pairs may be in the next bin, and a place may be in another region of Grad-CAM's: on another
    processor, sums differ in their last digit.
    """
    if isinstance(pinned, dict) and isinstance(now, dict):
        if pinned.keys() != now.keys():
            return f"{where}: other names"
        return next(filter(None, (difference(pinned[k], now[k], f"{where}.{k}") for k in pinned)), "")
    if isinstance(pinned, list) and isinstance(now, list):
        if len(pinned) != len(now):
            return f"{where}: another length"
        pairs = enumerate(zip(pinned, now, strict=True))
        return next(filter(None, (difference(p, n, f"{where}[{i}]") for i, (p, n) in pairs)), "")
    if isinstance(pinned, float) or isinstance(now, float):
        slack = next((most for ends, most in SLACK.items() if where.endswith(ends)), 1e-3)
        slack = 0.02 if ".overlap[" in where or ".control[" in where else slack
        return "" if math.isclose(pinned, now, rel_tol=0.02, abs_tol=slack) else f"{where}: {pinned} then, {now} now"
    if ".counts[" in where and abs(pinned - now) <= 2:
        return ""
    return "" if pinned == now else f"{where}: {pinned!r} then, {now!r} now"


@pytest.fixture(scope="module")
def now(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("pins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNEBOOK_CACHE", str(folder))
        return results(folder)


def test_every_task_is_pinned():
    # Tests register tasks of their own; those of the package live in its modules.
    own = {name for name, task in trials.tasks().items() if task.run.__module__.startswith("prunebook.trials.")}
    assert {name.split(": ")[1] for name in json.loads(PINS.read_text())} == own


@pytest.mark.parametrize("task", sorted(json.loads(PINS.read_text())))
def test_a_task_means_what_its_version_meant(task: str, now: dict[str, dict]) -> None:
    assert task in now, f"no smoke run has it any more: {CURE}"
    pinned = json.loads(PINS.read_text())[task]
    assert now[task]["version"] == pinned["version"], f"the version is new, the pin is old; {CURE}"
    assert now[task]["key"] == pinned["key"], f"the smoke trial is another one; {CURE}"
    assert not difference(pinned["result"], now[task]["result"]), CURE


def test_the_comparison_notices_a_change():
    assert difference({"keep": "101"}, {"keep": "111"})
    assert difference({"fr": 10.0}, {"fr": 10.5})
    assert difference({"top1": 10.0}, {"top1": 11.0})
    assert difference({"cost": [1, 2]}, {"cost": [1, 3]})
    assert difference({"counts": [5]}, {"counts": [8]})
    assert not difference({"counts": [5, 7]}, {"counts": [6, 6]})
    assert not difference({"top1": 10.0, "a": [1.0]}, {"top1": 10.4, "a": [1.001]})


if __name__ == "__main__":
    import os

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PRUNEBOOK_CACHE"] = scratch
        files.write_json(PINS, results(Path(scratch)))
    sys.exit(0)
