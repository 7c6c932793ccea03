import math

import pytest

from prunebook.errors import BadValue
from prunebook.methods import allocation


def test_no_more_filters_go_than_the_ratio_allows_whatever_floating_point_says():
    assert [allocation.limit(n, 0.2) for n in (1, 4, 5, 9, 10, 64)] == [0, 0, 1, 1, 2, 12]
    assert allocation.limit(100, 0.29) == 29  # 0.29 * 100 is 28.999999999999996
    for hundredths in range(100):
        assert allocation.limit(100, hundredths / 100) == hundredths


def test_one_filter_always_stays():
    assert allocation.limit(1, 0.99) == 0
    assert allocation.limit(3, 1 - 1e-12) == 2


@pytest.mark.parametrize(("ratio", "target", "message"), [
    (None, None, "f needs either ratio, a share of the filters, or target, a share of the MACs: neither is given"),
    (0.2, 0.5, "given are ratio 0.2 and target 0.5"),
    (1, None, "ratio is 1, but must be"),
    (1.2, None, "ratio is 1.2, but must be"),
    (-0.1, None, "ratio is -0.1, but must be"),
    (math.nan, None, "ratio is nan, but must be"),
    (True, None, "ratio is True, but must be"),
    ("0.2", None, "ratio is '0.2', but must be"),
    (None, 0, "target is 0, but must be"),
    (None, 1, "target is 1, but must be"),
    (None, math.inf, "target is inf, but must be"),
])  # fmt: skip
def test_a_dial_out_of_range_is_refused(ratio, target, message):
    with pytest.raises(BadValue, match=message):
        allocation.check_dial(ratio, target, "f")


@pytest.mark.parametrize(("ratio", "target"), [(0, None), (0.999, None), (None, 0.001), (None, 0.999)])
def test_a_dial_in_range_is_accepted(ratio, target):
    allocation.check_dial(ratio, target, "f")


def one_layer(width):
    """A network of one layer whose MACs are its filters."""
    return (
        lambda ratio: {"a": list(range(allocation.limit(width, ratio), width))},
        lambda keep: len(keep["a"]) if "a" in keep else width,
    )


@pytest.mark.parametrize("target", [0.03, 0.25, 0.5, 0.777, 0.99])
def test_the_ratio_found_removes_as_near_as_can_be_to_the_target(target):
    decide, macs = one_layer(100)
    keep, ratio, removed = allocation.reach(target, decide, macs)
    assert keep == decide(ratio)
    assert removed == pytest.approx(1 - len(keep["a"]) / 100)
    assert abs(removed - target) == pytest.approx(min(abs(k / 100 - target) for k in range(100)), abs=1e-12)


def test_nothing_goes_where_that_is_nearest():
    decide, macs = one_layer(10)
    assert allocation.reach(0.04, decide, macs) == ({}, 0.0, 0.0)


def test_a_target_that_no_ratio_comes_near_is_refused_with_the_nearest():
    decide, macs = one_layer(4)
    with pytest.raises(
        BadValue, match=r"target is 0.95, but must be near a share that some ratio removes; the nearest is 0.75"
    ):
        allocation.reach(0.95, decide, macs)
