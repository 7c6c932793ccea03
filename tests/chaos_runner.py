"""Runs of trials in processes of their own that are killed, hindered, or have company.

They are forked from a server that has imported everything, so that one costs a fraction of a second.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401  for the server
import torch

from prunebook import models, trials
from prunebook.errors import BadValue
from prunebook.trials import Store, Trial
from prunebook.trials.trial import Parameters, task

FIT = {"epochs": 1, "lr": 0.01, "batch_size": 16, "images": 32, "augment": False}
NETWORK = {"arch": "resnet20", "options": {"width": 0.125}, "fit": FIT}
NOBODY = 65534


class Number(Parameters):
    x: int
    of: int | None = None
    log: str

    def describe(self) -> str:
        return str(self.x)


@task("trunk", version=1, parameters=Number, leaves=True)
def trunk(p: Number, context: Any) -> dict[str, Any]:
    """Leaves a network, and a word on who computed it."""
    (Path(p.log) / f"trunk {p.x} {os.getpid()}").touch()
    time.sleep(0.03)
    context.keep(Trial("trunk", p.model_dump()), models.build("resnet20", seed=p.x, width=0.125), 1.0)
    return {"value": p.x}


@task("leaf", version=1, parameters=Number, needs=lambda p: [Trial("trunk", {"x": p.of, "log": p.log})])
def leaf(p: Number, context: Any) -> dict[str, Any]:
    (Path(p.log) / f"leaf {p.x} {os.getpid()}").touch()
    time.sleep(0.02)
    return {"value": p.x}


def chain() -> list[Trial]:
    """A network, two prunings of it with fine-tuning, and a profile."""
    prunings = [{"baseline": NETWORK, "tau": tau, "images": 10, "evaluate": "none", "finetune": FIT} for tau in (0.6, 0.8)]
    return [*(Trial("prune", p) for p in prunings), Trial("profile", {"baseline": NETWORK, "images": 10})]


def tree(log: Path, leaves: int = 24) -> list[Trial]:
    return [Trial("leaf", {"x": x, "of": x % 3, "log": str(log)}) for x in range(leaves)]


class Runner:
    """`function(cache, *arguments)` in a process of its own, which has `cache` as PRUNEBOOK_CACHE."""

    def __init__(self, function: Callable[..., Any], cache: Path, *arguments: Any) -> None:
        before = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), before])  # for the server, on its start
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["chaos_runner"])
        self.answer, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_run, args=(theirs, function, cache, arguments))
        self.process.start()
        os.environ["PYTHONPATH"] = before
        theirs.close()
        assert self.answer.recv() == "ready"

    def kill(self) -> None:
        assert self.process.pid is not None
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(self.process.pid, signal.SIGKILL)

    def end(self) -> Any:
        """What the function returned; the message of a BadValue; None where the process was killed."""
        try:
            return self.answer.recv()
        except EOFError:
            return None
        finally:
            self.process.join(120)
            assert self.process.exitcode is not None


def _run(answer: Connection, function: Callable[..., Any], cache: Path, arguments: tuple[Any, ...]) -> None:
    os.environ["PRUNEBOOK_CACHE"] = str(cache)
    os.environ["PRUNEBOOK_HOME"] = str(cache / "project")  # nothing is published there
    torch.set_num_threads(1)
    answer.send("ready")
    try:
        answer.send(function(cache, *arguments))
    except BadValue as refusal:
        answer.send(str(refusal))


def compute_chain(cache: Path, die_at: int | None = None) -> dict[str, Any]:
    """Compute the chain, and die at the `die_at`-th step of writing a file. How many steps there were, and seconds."""
    steps = 0

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(what: Any, *given: Any, **named: Any) -> Any:
            nonlocal steps
            path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
            steps += path.startswith(str(cache))  # libraries have files of their own, on their first use
            if steps == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(what, *given, **named)

        return step

    os.fsync, os.replace = before(os.fsync), before(os.replace)
    start = time.monotonic()
    trials.run(chain(), progress=False, device="cpu")
    return {"steps": steps, "seconds": time.monotonic() - start}


def compute_tree(cache: Path, log: Path) -> int:
    """Begins when the file "go" lies beside `log`, so that runners begin together."""
    while not (log.parent / "go").exists():
        time.sleep(0.002)
    return len(trials.run(tree(log), progress=False, device="cpu"))


def compute_as_nobody(cache: Path) -> int:
    """As a user who may not write to the folder: as root, who may, become another one."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return len(trials.run(chain(), progress=False, device="cpu"))


def contents(cache: Path) -> dict[str, Any]:
    """The records of a cache, but for what differs from run to run."""
    found = {}
    for record in Store(cache / "records", cache / "none").records():
        kept = (record.version, record.params, record.result, record.provenance["networks"])
        found[f"{record.task} {record.key}"] = kept
    return found


if __name__ == "__main__":
    sys.exit("for the tests")
