"""Faults on purpose: how many, and the table of what became of them.

The unit tests try a few of each kind. With PRUNEBOOK_CHAOS, as `make chaos` sets it, they try many, and the table is
written to the file that it names. A test that breaks off before its fault, or after it, counts as one that is lost; one
that is skipped is named with the reason.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prunebook.report import faults
from prunebook.report.faults import Fault
from prunebook.trials import provenance

TABLE = os.environ.get("PRUNEBOOK_CHAOS")
TRIED: Counter[tuple[str, str]] = Counter()
SURVIVED: Counter[tuple[str, str]] = Counter()
NOT_TRIED: dict[str, str] = {}
BEGAN = time.monotonic()
_lost_before = 0  # the test that is going on


def cases(few: int, many: int) -> range:
    """The numbers of the cases to try, which seed what is random in them."""
    return range(many if TABLE else few)


@contextmanager
def fault(kind: str, end: str) -> Iterator[None]:
    """One case: what is done, and how it ends where all is well. It is survived unless the block raises, or is skipped."""
    TRIED[kind, end] += 1
    try:
        yield
    except pytest.skip.Exception:
        TRIED[kind, end] -= 1
        raise
    SURVIVED[kind, end] += 1


def note(report: pytest.TestReport) -> None:
    """Called on the end of each part of a test: what failed without a lost case of its own is a case of its own."""
    global _lost_before
    name = re.sub(r"\[.*", "", report.nodeid.rpartition("::")[2]).removeprefix("test_").replace("_", " ")
    if report.when == "setup":
        _lost_before = _lost()
    if report.failed and _lost() == _lost_before:
        TRIED[name, "the test goes through"] += 1
    if report.skipped and isinstance(report.longrepr, tuple):
        NOT_TRIED[name] = report.longrepr[2].removeprefix("Skipped: ")


def _lost() -> int:
    return TRIED.total() - SURVIVED.total()


def write_table() -> None:
    rows = [
        Fault(fault=kind, end=end, tried=tried, survived=SURVIVED[kind, end], lost=tried - SURVIVED[kind, end])
        for (kind, end), tried in TRIED.items()
        if tried
    ]
    if TABLE:
        minutes = round((time.monotonic() - BEGAN) / 60, 1)
        faults.write(TABLE, rows, NOT_TRIED, {"minutes": minutes, **provenance.describe("cpu")})
