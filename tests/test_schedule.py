"""The simulated schedule: small ones drawn by hand, the bounds that hold for all, and the engine's own phases."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebook.errors import BadValue
from prunebook.trials.schedule import ORDERS, Job, critical_path, least, phases, simulate

MOST = 7  # of jobs whose best schedule is found by trying all


def lengths(*seconds: float) -> list[Job]:
    return [Job(s) for s in seconds]


@pytest.mark.parametrize(
    ("jobs", "places", "in_order", "longest_first"),
    [
        ([], 3, 0, 0),
        (lengths(3, 4, 5), 1, 12, 12),
        (lengths(1, 1, 2), 2, 3, 2),  # 1 and 1 together, then 2; or 2 beside 1 + 1
        (lengths(3, 3, 2, 2, 2), 2, 7, 7),  # neither finds the best, 3 + 3 beside 2 + 2 + 2
        (lengths(1, 1, 1, 3), 3, 4, 3),
        # A baseline of 4 with two that need it, behind a free one of 3: 0 to 4, then 2 and 2 side by side.
        ([Job(3), Job(4), Job(2, (1,)), Job(2, (1,))], 2, 6, 6),
        # Longest first can lose: it starts the 5 and the 4, and the chain of 3 and 4 waits; in order it starts at once.
        ([Job(3), Job(5), Job(4, (0,)), Job(4)], 2, 9, 11),
        # What runs alone comes first, by itself, or last where it needs one of the others.
        ([Job(2), Job(5, alone=True), Job(2), Job(1, (0,), alone=True)], 2, 8, 8),
    ],
)
def test_small_schedules_are_those_drawn_by_hand(jobs, places, in_order, longest_first):
    assert simulate(jobs, places).wall == in_order
    assert simulate(jobs, places, "longest first").wall == longest_first


def test_used_is_the_work_over_the_time_of_all_places():
    assert simulate(lengths(1, 1, 2), 2).used == 4 / (2 * 3)
    assert simulate(lengths(1, 1, 2), 2, "longest first").used == 1
    assert simulate([], 2).used == 0


def test_the_least_is_the_longer_of_the_chain_and_the_even_share_and_what_runs_alone():
    jobs = [Job(3), Job(4, (0,)), Job(2, (1,)), Job(1), Job(10, alone=True)]
    assert critical_path(jobs) == 10 + 3 + 4 + 2
    assert least(jobs, 2) == 10 + max(9, 10 / 2)
    assert least(jobs, 1) == 20
    assert critical_path([]) == 0


@st.composite
def graphs(draw, most: int = 25) -> list[Job]:
    """Jobs with needs among those before them; whole seconds, so that sums are exact."""
    jobs: list[Job] = []
    for i in range(draw(st.integers(0, most))):
        needs = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set()
        jobs.append(Job(draw(st.integers(0, 9)), tuple(sorted(needs)), draw(st.booleans()) and draw(st.booleans())))
    return jobs


@given(jobs=graphs(), places=st.integers(1, 6), order=st.sampled_from(ORDERS))
def test_no_schedule_is_shorter_than_the_bounds_or_longer_than_one_after_the_other(jobs, places, order):
    found, work = simulate(jobs, places, order), sum(job.seconds for job in jobs)
    assert critical_path(jobs) <= least(jobs, places) <= found.wall <= work
    assert work / places <= least(jobs, places)
    assert found.used * places * found.wall == pytest.approx(work)


@given(jobs=graphs(), order=st.sampled_from(ORDERS))
def test_one_place_takes_the_sum_and_a_place_for_each_the_critical_path(jobs, order):
    assert simulate(jobs, 1, order).wall == sum(job.seconds for job in jobs)
    assert simulate(jobs, max(2, len(jobs)), order).wall == critical_path(jobs) or len(jobs) < 2


@given(jobs=graphs(), places=st.integers(2, 6))
def test_no_list_schedule_is_longer_than_grahams_bound_for_needs(jobs, places):
    """Graham 1969: beside the longest chain there is at most the rest of the work, evenly shared."""
    jobs = [job._replace(alone=False) for job in jobs]
    work, chain = sum(job.seconds for job in jobs), critical_path(jobs)
    for order in ORDERS:
        assert simulate(jobs, places, order).wall <= chain + (work - chain) / places + 1e-9


@settings(max_examples=60)
@given(seconds=st.lists(st.integers(1, 9), min_size=1, max_size=MOST), places=st.integers(2, 3))
def test_without_needs_the_orders_keep_grahams_distance_from_the_best(seconds, places):
    best = min(
        max(sum(s for s, where in zip(seconds, put, strict=True) if where == place) for place in range(places))
        for put in product(range(places), repeat=len(seconds))
    )
    jobs = lengths(*seconds)
    assert best <= simulate(jobs, places).wall <= (2 - 1 / places) * best + 1e-9
    assert best <= simulate(jobs, places, "longest first").wall <= (4 / 3 - 1 / (3 * places)) * best + 1e-9


def test_phases_of_any_items_keep_their_order():
    needs = {"a": [], "A": [], "b": ["a"], "B": ["b"], "c": []}
    assert phases(needs, needs.__getitem__, str.isupper) == (["A"], ["a", "b", "c"], ["B"])
    assert phases(needs, needs.__getitem__, lambda _: True) == (list(needs), [], [])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: simulate([], 0), "the number of places is 0, but must be at least 1"),
        (lambda: simulate(lengths(-1), 1), "the length of job 0 is -1, but must be at least 0 seconds"),
        (lambda: simulate([Job(1, (0,))], 1), r"the needs of job 0 is \(0,\), but must be jobs that come before it"),
        (lambda: simulate([], 1, "longest"), "did you mean 'longest first'"),
    ],
)
def test_an_impossible_schedule_is_refused(call, words):
    with pytest.raises(BadValue, match=words):
        call()
