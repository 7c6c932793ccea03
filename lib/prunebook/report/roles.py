"""What the tests of the Role-Information hypothesis amount to over the layers of a network: effects, with intervals.

The unit is a layer. Each comparison is paired: both sides were measured in the same layer, on the same images. The interval
is the percentile bootstrap over layers, as the differences are skewed: a few layers matter much more than others. It says
how far the mean would move with other layers of this kind and other draws. It says nothing about other networks, and treats
as independent what shares one network, one set of images, and the layers before it: read it as a description, not as a
test. For few layers it is too narrow.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from prunebook.methods.mrp import MEASURES
from prunebook.report.statistics import middle95

DRAWS = 10_000  # of as many layers, with replacement
LEAST = 3  # layers that a mean, an interval and a standard deviation are given for
LEAST_FITTED = 12  # layers that the three numbers of a regression are fitted to
_UNKNOWN = (math.nan, math.nan, math.nan, math.nan)

Row = Mapping[str, Any]
Differences = Callable[[Row], float | None]


class Effect(NamedTuple):
    """Mean over layers of a difference between two sides of a comparison.

    test : "likeness: MEASURE", "removal", "replaced" or "swaps"
    outcome : "likeness", "loss" in nats, or "top1" in points
    against : the side that is taken away from filters of one community: any others ("between", "across", "outside"), others
        that are not isolated ("linked"), the likest filter ("nearest"); or "null", the same difference in random graphs; or
        "equal norms", the difference of a removal where both sides lose as much L1 norm and activity, by a regression over
        layers
    mean, low, high : with the 95 % percentile-bootstrap interval over layers
    d : mean difference in standard deviations of the differences (Cohen's d of paired values); NaN where all are equal
    n : layers that have both sides
    agree : of these, layers whose difference has the sign that the hypothesis predicts
    """

    test: str
    outcome: str
    against: str
    mean: float
    low: float
    high: float
    d: float
    n: int
    agree: int

    @property
    def predicted(self) -> int:
        """The sign that the hypothesis predicts: filters of one community are more alike, and cost less."""
        return -1 if self.outcome == "loss" else 1

    @property
    def holds(self) -> bool | None:
        """Whether the interval lies on the predicted side of 0: False if it is on the other; None if it covers 0."""
        if not (self.low > 0 or self.high < 0):
            return None
        return self.mean * self.predicted > 0


def effects(rows: Sequence[Row], seed: int = 0) -> list[Effect]:
    """Every effect that the rows of a "roles" record give, in the order of the tests.

    Where fewer than `LEAST` layers have both sides, or `LEAST_FITTED` for a regression, mean, interval and d are NaN.
    """
    found = [
        _effect(f"likeness: {measure}", "likeness", against, _each(rows, _likeness(measure, against)), seed)
        for measure in MEASURES
        for against in ("between", "linked", "null")
    ]
    for test, others in _OTHERS.items():
        for outcome, place in (("loss", 0), ("top1", 1)):
            for against in (*others, "null"):
                found.append(_effect(test, outcome, against, _each(rows, _change(test, place, against)), seed))
    found.append(_at_equal_norms(rows, seed))
    return found


_OTHERS = {"removal": ("across", "linked"), "replaced": ("outside", "linked", "nearest"), "swaps": ("between", "linked")}
_OWN = {"removal": "within", "replaced": "inside", "swaps": "within"}


def _likeness(measure: str, against: str) -> Differences:
    def difference(row: Row) -> float | None:
        alike = row["likeness"][measure]
        if against != "null":
            return _minus(_first(alike["within"]), _first(alike[against]))
        real = _minus(_first(alike["within"]), _first(alike["between"]))
        return _minus(real, _minus(alike["null_within"], alike["null_between"]))

    return difference


def _change(test: str, place: int, against: str) -> Differences:
    own, other = _OWN[test], _OTHERS[test][0]

    def difference(row: Row) -> float | None:
        value = {side: None if found is None else found[place] for side, found in row[test].items()}
        if against != "null":
            return _minus(value.get(own), value.get(against))
        random = _minus(value.get(f"null_{own}"), value.get(f"null_{other}"))
        return _minus(_minus(value.get(own), value.get(other)), random)

    return difference


def _at_equal_norms(rows: Sequence[Row], seed: int) -> Effect:
    """The intercept of the loss's difference on the differences in L1 norm and activity that are gone."""

    def point(row: Row) -> list[float] | None:
        sides = [(row["removal"][side], row["gone"][side]) for side in ("within", "across")]
        if any(lost is None or gone is None for lost, gone in sides):
            return None
        (own, own_gone), (other, other_gone) = sides
        return [own[0] - other[0], own_gone[0] - other_gone[0], own_gone[1] - other_gone[1]]

    points = np.array([found for row in rows if (found := point(row)) is not None])
    n = len(points)
    if n < LEAST_FITTED:
        return Effect("removal", "loss", "equal norms", *_UNKNOWN, n, 0)
    generator = np.random.default_rng(seed)
    mean, residuals = _intercept(points)
    drawn = [_intercept(points[generator.integers(n, size=n)])[0] for _ in range(DRAWS // 10)]
    deviation = math.sqrt(float(residuals @ residuals) / (n - 3))
    d = mean / deviation if deviation > 0 else math.nan
    return Effect("removal", "loss", "equal norms", mean, *middle95(drawn), d, n, int((mean + residuals < 0).sum()))


def _intercept(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Of the first column on the others, by least squares; and the residuals."""
    factors = np.column_stack([np.ones(len(points)), points[:, 1:]])
    fitted = np.linalg.lstsq(factors, points[:, 0], rcond=None)[0]
    return float(fitted[0]), points[:, 0] - factors @ fitted


def _effect(test: str, outcome: str, against: str, differences: Iterable[float], seed: int) -> Effect:
    values = np.array(list(differences))
    n = len(values)
    bare = Effect(test, outcome, against, *_UNKNOWN, n, 0)
    bare = bare._replace(agree=int((values * bare.predicted > 0).sum()))
    if n < LEAST:
        return bare
    means = values[np.random.default_rng(seed).integers(n, size=(DRAWS, n))].mean(axis=1)
    low, high = middle95(means)
    deviation = float(values.std(ddof=1))
    mean = float(values.mean())
    return bare._replace(mean=mean, low=low, high=high, d=mean / deviation if deviation > 0 else math.nan)


def _each(rows: Iterable[Row], difference: Differences) -> list[float]:
    """Of the rows that have it."""
    return [value for row in rows if (value := difference(row)) is not None]


def _first(pair: Sequence[float] | None) -> float | None:
    return None if pair is None else pair[0]


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
