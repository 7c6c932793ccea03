"""Processes that tests start: what they find, how they are waited for and stopped, and a cluster of several nodes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import prunebook

PATIENCE = 180  # seconds: a machine may be busy

# The first lines of a script that Ctrl-C is to reach: whatever started the tests may ignore it, and processes inherit that.
HEARS_CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"


def python_path() -> str:
    """For PYTHONPATH: the modules of the tests, the package that these tests are of, and what was there."""
    places = [str(Path(__file__).parent), str(Path(prunebook.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, places))


def start(arguments: list[Any], **options: Any) -> subprocess.Popen[str]:
    """Python with these arguments, in a session of its own, which `press_ctrl_c` and `kill` mean; standard error is kept."""
    options = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, **options}
    environment = {**os.environ, "PYTHONPATH": python_path(), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], env=environment, text=True, start_new_session=True, **options
    )


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)  # all of them, as a terminal does


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> None:
    """Until the condition holds. Fails after PATIENCE, and where `process` has ended before."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {process.communicate()[1]}")
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def cluster(**head: Any) -> Iterator[Any]:
    """A Ray cluster whose nodes are processes of this machine: `add_node` gives it another, `remove_node` kills one."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    small = {"include_dashboard": False, "no_monitor": True, "include_log_monitor": False, "object_store_memory": 80 * 2**20}
    with starts_of_ray():
        found = Cluster(initialize_head=True, head_node_args=small | head)
    try:
        yield found
    finally:
        found.shutdown()


_too_slow: list[str] = []  # what Ray said when it did not start


@contextmanager
def starts_of_ray() -> Iterator[None]:
    """Around what starts Ray: skip the test where that takes longer than Ray waits, which is not long for a busy machine.

    Then skip those that follow at once, and end the processes that Ray has left behind, which would slow them all.
    """
    if _too_slow:
        pytest.skip(_too_slow[0])
    before = set(_children())
    try:
        yield
    except Exception as fault:
        said = " ".join(str(fault).split())
        if "timed out during startup" not in said:
            raise
        for process in set(_children()) - before:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        _too_slow.append(said[:200])
        pytest.skip(_too_slow[0])


def is_alive(process: int) -> bool:
    """Whether there is a process of this number that has not ended, asked about or not."""
    return bool(stat := _stat(process)) and stat[0] != "Z"


def _children() -> list[int]:
    numbers = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [number for number in numbers if (stat := _stat(number)) and int(stat[1]) == os.getpid()]


def _stat(process: int) -> list[str]:
    """State, parent's number and more of a process; nothing where there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
