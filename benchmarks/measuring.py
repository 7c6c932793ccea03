"""What the benchmarks share: clocks, the peak memory of a process, and what becomes of the figures."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prunebook import memory
from prunebook.report import speed
from prunebook.report.speed import Figure
from prunebook.trials import provenance


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def median_seconds(call: Callable[[], Any], repeats: int = 5) -> float:
    call()
    return statistics.median(seconds(call)[0] for _ in range(repeats))


def in_turns(fast: Callable[[], Any], slow: Callable[[], Any], rounds: int = 7) -> tuple[float, float]:
    """Median seconds of both, called in turns so that other work on the machine weighs on both alike."""
    fast(), slow()
    times = [(seconds(fast)[0], seconds(slow)[0]) for _ in range(rounds)]
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def in_own_process(module: str, call: str) -> dict[str, float]:
    """What `call`, a function of a benchmark with its arguments, prints as JSON in a process that does nothing else."""
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import {module}; {module}.{call}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def peak_gib() -> float:
    """Most memory that this process has had."""
    return (memory.peak() or math.nan) / 2**30


def options(about: str | None, *flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in (*flags, "--write"):
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def report(name: str, figures: Iterable[Figure], keep: bool, **facts: Any) -> None:
    """Print the figures; with `keep`, leave them and how they were made where the book's page reads them."""
    rounded = [
        figure.model_copy(update={"value": _rounded(figure.value), "other": _rounded(figure.other)}) for figure in figures
    ]
    for row in speed.table(rounded).to_dict("records"):
        beside = (
            f"; {row['alternative']} ({row['alternative timed']}): {row['its figure']}; {row['times faster']} times faster"
        )
        print(f"{row['here']:>12}  {row['what']}{beside if row['alternative'] != '—' else ''}")
    if "MALLOC_MMAP_THRESHOLD_" in os.environ:  # large tensors are then not handed back, and not cleared again
        facts["allocator"] = "keeps large blocks (MALLOC_MMAP_THRESHOLD_)"
    if keep:
        print(speed.write(name, rounded, {**facts, **provenance.describe("cpu")}))


def _rounded(value: float | None) -> float | None:
    """Four digits that count: the rest differs from run to run."""
    return None if value is None else float(f"{value:.4g}")
