"""Tests of differences: Student's t, Fisher's permutations and F, and Holm's correction for many at once."""

import math
from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
from scipy import stats

from prunebook.errors import require

ALL_ORDERS = 8  # values whose orders are all tried: 40,320
DRAWS = 20_000  # orders drawn of more values


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of the paired t-test that their mean is 0; NaN for fewer than three."""
    if len(differences) < 3:
        return math.nan
    if max(differences) == min(differences):
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction of the p that are defined (Scandinavian Journal of Statistics, 1979)."""
    defined = sorted((value, name) for name, value in p.items() if not math.isnan(value))
    corrected, highest = {}, 0.0
    for i, (value, name) in enumerate(defined):
        highest = max(highest, min(1.0, value * (len(defined) - i)))
        corrected[name] = highest
    return corrected


def separates(p: float | None) -> str:
    """Whether p is below 0.05, in a word; a dash where there is none."""
    if p is None or math.isnan(p):
        return "—"
    return "yes" if p < 0.05 else "no"


def rank_correlation(first: Sequence[float], second: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Spearman's rho, and its two-sided p over permutations; NaN where one side is constant or has fewer than three values.

    p is the share of orders of one side whose rho is at least as far from 0. All orders are tried for up to `ALL_ORDERS`
    values; of more, `DRAWS` are drawn, and the given order counts as one of them. Raises BadValue for unequal lengths.
    """
    require(len(first) == len(second), "second", len(second), f"as many values as the first, {len(first)}")
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return math.nan, math.nan
    ranks = [(rank - rank.mean()) / rank.std() for rank in (stats.rankdata(first), stats.rankdata(second))]
    n = len(first)
    rho = float(ranks[0] @ ranks[1] / n)
    if n <= ALL_ORDERS:
        orders = np.array(list(permutations(range(n))))
    else:
        generator = np.random.default_rng(seed)
        drawn = generator.permuted(np.tile(np.arange(n), (DRAWS, 1)), axis=1)
        orders = np.vstack([np.arange(n), drawn])
    found = ranks[1][orders] @ ranks[0] / n
    return rho, float(np.mean(np.abs(found) >= abs(rho) - 1e-12))


def variance_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of the F-test that two normal samples have one variance; NaN where a sample has fewer than two values."""
    if min(len(first), len(second)) < 2:
        return math.nan
    a, b = (float(np.var(values, ddof=1)) for values in (first, second))
    if a == 0 or b == 0:
        return 1.0 if a == b else 0.0
    below = float(stats.f.cdf(a / b, len(first) - 1, len(second) - 1))
    return 2 * min(below, 1 - below)
