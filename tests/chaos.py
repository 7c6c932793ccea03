"""Faults on purpose: how many, and the table of what became of them.

The unit tests try a few of each kind. With PRUNEBOOK_CHAOS, as `make chaos` sets it, they try many, and the table is
written to the file that it names.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from prunebook import files
from prunebook.trials import provenance

TABLE = os.environ.get("PRUNEBOOK_CHAOS")
TRIED: Counter[tuple[str, str]] = Counter()
SURVIVED: Counter[tuple[str, str]] = Counter()


def cases(few: int, many: int) -> range:
    """The numbers of the cases to try, which seed what is random in them."""
    return range(many if TABLE else few)


@contextmanager
def fault(kind: str, end: str) -> Iterator[None]:
    """One case: what is done, and how it ends where all is well. It is survived unless the block raises."""
    TRIED[kind, end] += 1
    yield
    SURVIVED[kind, end] += 1


def write_table() -> None:
    rows = [
        {"fault": kind, "end": end, "tried": tried, "survived": SURVIVED[kind, end], "lost": tried - SURVIVED[kind, end]}
        for (kind, end), tried in TRIED.items()
    ]
    if TABLE:
        files.write_json(TABLE, {"faults": rows, "made": provenance.describe("cpu")})
