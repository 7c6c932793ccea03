"""Processes that tests start: what they find, how they are waited for and stopped, and a cluster of several nodes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    """A Ray cluster whose nodes are processes of this machine: `add_node` gives it another, `remove_node` kills one.

    Skips the test where Ray's processes do not start in Ray's own time, which is short for a busy machine.
    """
    import pytest
    from ray.cluster_utils import Cluster

    small = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        found = Cluster(initialize_head=True, head_node_args=small | head)
    except Exception as fault:
        pytest.skip(f"no Ray cluster starts here: {' '.join(str(fault).split())[:200]}")
    try:
        yield found
    finally:
        found.shutdown()
