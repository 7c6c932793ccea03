"""What the tests of the Role-Information hypothesis amount to over the layers of a network: effects, with intervals.

The unit is a layer. Each comparison is paired: both sides were measured in the same layer, on the same images, and it is
differences that are averaged, never sides. The interval is the percentile bootstrap over layers, as the differences are
skewed: a few layers matter much more than others. It says how far the mean would move with other layers of this kind and
other draws. It says nothing about other networks, and treats as independent what shares one network, one set of images, and
the layers before it: read it as a description. What is called shown has to pass a test, that of flipped signs, with a
correction for the number of tests; each of them has one comparison that decides, see `PRIMARY`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from prunebook.report.statistics import middle95, sign_flip_p

DRAWS = 10_000  # of as many layers, with replacement
FEW = 8  # layers: with fewer, all 2^n signs cannot take p below 0.05 after Holm's correction over five tests
_NONE = (math.nan, math.nan, math.nan, math.nan)

# Of each test the comparison by which it is judged.
PRIMARY = {"structure": "spectrum", "likeness": "untrained", "removal": "beyond", "replaced": "beyond", "swaps": "beyond"}
AGAINST = {
    "structure": ("rewired", "spectrum", "untrained"),
    "likeness": ("any", "linked", "rewired", "spectrum", "untrained"),
    **dict.fromkeys(("removal", "replaced", "swaps"), ("any", "linked", "beyond")),
}

Row = Mapping[str, Any]
Differences = Callable[[Row], float | None]


class Effect(NamedTuple):
    """Mean over layers of a difference between two sides of a comparison.

    test : "structure", "likeness: MEASURE", "removal", "replaced" or "swaps"
    outcome : "modularity", "likeness", "loss" in nats, or "top1" in points
    against : "linked", what filters of one community have minus what others with company have, as large or as alike to the
        same filter; "beyond", the same less that of random graphs, draw by draw; "rewired", "spectrum" and "untrained", the
        contrast of a likeness, or the modularity, less that of such a null; "any", beside filters as they come
    mean : over the layers that have it; NaN where none has
    low, high : the 95 % percentile-bootstrap interval over layers; NaN for fewer than `FEW`, as are d and p
    d : mean difference in standard deviations of the differences (Cohen's d of paired values); NaN where all are equal
    p : two-sided, of flipped signs
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
    p: float
    n: int
    agree: int

    @property
    def predicted(self) -> int:
        """The sign that the hypothesis predicts: filters of one community are more alike, and cost less."""
        return -1 if self.outcome == "loss" else 1

    @property
    def as_predicted(self) -> bool:
        """Whether the mean has that sign; that it differs from 0 is for p to say."""
        return self.mean * self.predicted > 0


def effects(rows: Sequence[Row], seed: int = 0) -> list[Effect]:
    """Every effect that the rows of a "roles" record give, in the order of the tests."""
    measures = list(rows[0]["likeness"]) if rows else []
    wanted: list[tuple[str, str, Callable[[str], Differences]]] = [("structure", "modularity", _structure)]
    wanted += [(f"likeness: {measure}", "likeness", _likeness(measure)) for measure in measures]
    for test in ("removal", "replaced", "swaps"):
        wanted += [(test, "loss", _change(test, 0)), (test, "top1", _change(test, 1))]
    return [
        _effect(test, outcome, against, [value for row in rows if (value := given(against)(row)) is not None], seed)
        for test, outcome, given in wanted
        for against in AGAINST[test.partition(": ")[0]]
    ]


def _structure(against: str) -> Differences:
    def difference(row: Row) -> float | None:
        null = row["nulls"][against]
        return None if null is None else row["modularity"] - null["modularity"]

    return difference


def _likeness(measure: str) -> Callable[[str], Differences]:
    def given(against: str) -> Differences:
        def difference(row: Row) -> float | None:
            alike = row["likeness"][measure]
            if against in ("any", "linked"):
                return alike[against]
            none = alike["linked"] is None or alike[against] is None
            return None if none else alike["linked"] - alike[against]

        return difference

    return given


def _change(test: str, place: int) -> Callable[[str], Differences]:
    return lambda against: lambda row: None if row[test][against] is None else row[test][against][place]


def _effect(test: str, outcome: str, against: str, differences: Iterable[float], seed: int) -> Effect:
    values = np.array(list(differences))
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    bare = Effect(test, outcome, against, mean, *_NONE, n, 0)
    bare = bare._replace(agree=int((values * bare.predicted > 0).sum()))
    if n < FEW:
        return bare
    means = values[np.random.default_rng(seed).integers(n, size=(DRAWS, n))].mean(axis=1)
    low, high = middle95(means)
    deviation = float(values.std(ddof=1))
    d = mean / deviation if deviation > 0 else math.nan
    return bare._replace(low=low, high=high, d=d, p=sign_flip_p(values, seed))
