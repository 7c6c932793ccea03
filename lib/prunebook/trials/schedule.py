"""When trials would start and end on so many places, by the engine's own rules: a simulation, which computes nothing.

A place runs one trial at a time: a worker, or a GPU. What runs `alone` comes first, or last where it builds on one of the
others; the rest starts as places come free, a trial only after those that it needs.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from prunebook.errors import choose, require

ORDERS = ("in order", "longest first")
T = TypeVar("T")


class Job(NamedTuple):
    """A trial's length, and the places in the list of those that it needs, which come before it."""

    seconds: float
    needs: tuple[int, ...] = ()
    alone: bool = False


class Schedule(NamedTuple):
    """Seconds from the first start to the last end, and the share of all places' time that was used."""

    wall: float
    used: float


def simulate(jobs: Sequence[Job], places: int, order: str = "in order") -> Schedule:
    """List scheduling: whenever a place is free, the first trial that is ready starts on it.

    `order` says which is first: the one that comes first in the list, as the engine has it, or the longest. Raises BadValue
    for another order, no place, a negative length, or a need that does not come before.
    """
    choose("order", order, ORDERS)
    before, together, after = _phases(jobs, places)
    if order == "longest first":
        together = sorted(together, key=lambda i: -jobs[i].seconds)  # stable: equal ones stay in order
    wall = _length(jobs, before) + _side_by_side(jobs, together, places) + _length(jobs, after)
    return Schedule(wall, _length(jobs, range(len(jobs))) / (places * wall) if wall else 0.0)


def least(jobs: Sequence[Job], places: int) -> float:
    """Seconds that no order goes below: the longer of the longest chain of needs and an even share of the work.

    What runs alone comes to that, because nothing runs beside it.
    """
    before, together, after = _phases(jobs, places)
    chain = _side_by_side(jobs, together, max(1, len(together)))  # with a place for each, nothing waits but for its needs
    return _length(jobs, before) + max(chain, _length(jobs, together) / places) + _length(jobs, after)


def critical_path(jobs: Sequence[Job]) -> float:
    """Seconds that any number of places takes: the longest chain of needs, and what runs alone."""
    return least(jobs, max(1, len(jobs)))


def phases(
    items: Iterable[T], needs: Callable[[T], Iterable[T]], alone: Callable[[T], bool]
) -> tuple[list[T], list[T], list[T]]:
    """What runs one by one first, what runs side by side, and what runs one by one last, each in the order of `items`.

    What runs alone and builds on one that runs beside others has to come after it.
    """
    by_itself, together = list[T](), dict[T, None]()
    for item in items:
        if alone(item):
            by_itself.append(item)
        else:
            together[item] = None
    after = {item for item in by_itself if together and any(needed in together for needed in needs(item))}
    return [item for item in by_itself if item not in after], list(together), [i for i in by_itself if i in after]


def _phases(jobs: Sequence[Job], places: int) -> tuple[list[int], list[int], list[int]]:
    require(places >= 1, "the number of places", places, "at least 1")
    for i, job in enumerate(jobs):
        require(job.seconds >= 0, f"the length of job {i}", job.seconds, "at least 0 seconds")
        before = not job.needs or (min(job.needs) >= 0 and max(job.needs) < i)
        require(before, f"the needs of job {i}", job.needs, "jobs that come before it")
    return phases(range(len(jobs)), lambda i: jobs[i].needs, lambda i: places == 1 or jobs[i].alone)


def _length(jobs: Sequence[Job], chosen: Iterable[int]) -> float:
    return sum(jobs[i].seconds for i in chosen)


def _side_by_side(jobs: Sequence[Job], ranked: Sequence[int], places: int) -> float:
    """Seconds until all of `ranked` are done; of those that are ready, the first of them starts."""
    rank = {i: place for place, i in enumerate(ranked)}
    # Those that need the same wait together: of a paper's run, thousands for a hundred each.
    families: dict[tuple[int, ...], list[int]] = {}
    for i in ranked:
        families.setdefault(jobs[i].needs, []).append(i)
    ready: list[int] = []
    missing: dict[tuple[int, ...], int] = {}
    waiting: dict[int, list[tuple[int, ...]]] = {}
    for needs, family in families.items():
        lacking = [needed for needed in set(needs) if needed in rank]
        for needed in lacking:
            waiting.setdefault(needed, []).append(needs)
        missing[needs] = len(lacking)
        ready += () if lacking else (rank[i] for i in family)
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < places:
            i = ranked[heapq.heappop(ready)]
            heapq.heappush(running, (now + jobs[i].seconds, i))
        now = running[0][0]
        while running and running[0][0] == now:
            for needs in waiting.get(heapq.heappop(running)[1], ()):
                missing[needs] -= 1
                for one in families[needs] if not missing[needs] else ():
                    heapq.heappush(ready, rank[one])
    return now
