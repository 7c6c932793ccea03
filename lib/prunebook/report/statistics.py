"""Tests of differences: Student's t, Fisher's signs, permutations and F, Holm's correction; rank correlations resampled."""

import math
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from scipy import stats

from prunebook.errors import require

ALL_ORDERS = 8  # values whose orders are all tried: 40,320
ALL_SIGNS = 14  # differences whose signs are all tried: 16,384
DRAWS = 20_000  # orders, or signs, drawn of more values
RESAMPLED = 2**18  # ranks made at once: few enough for the cache


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of the paired t-test that their mean is 0; NaN for fewer than three."""
    if len(differences) < 3:
        return math.nan
    if max(differences) == min(differences):
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def sign_flip_p(differences: Sequence[float] | np.ndarray, seed: int = 0) -> float:
    """Two-sided p that differences are as likely as their negatives: the share of signs whose mean is as far from 0.

    Fisher's randomisation test (The Design of Experiments, 1935). All signs are tried for up to `ALL_SIGNS` differences; of
    more, `DRAWS` are drawn, and the given ones count as one of them. NaN for none.
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    if n == 0:
        return math.nan
    if n <= ALL_SIGNS:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        drawn = np.random.default_rng(seed).integers(2, size=(DRAWS, n))
        signs = 1 - 2 * np.vstack([np.zeros(n, dtype=int), drawn])
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= sums[0] * (1 - 1e-12)))


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


def rank_matrices(columns: np.ndarray, draws: int = 0, seed: int = 0) -> np.ndarray:
    """Spearman's rho between every two columns, in bootstrap resamples of the rows (Efron 1979).

    Parameters
    ----------
    columns : (n, p) numbers, one row for each thing that was measured
    draws : number of resamples of n rows with replacement; 0 for the rows as they are, once
    seed : of the resamples: two calls with one seed, n and number of draws resample alike

    Returns
    -------
    array (max(draws, 1), p, p)
        NaN where a column is constant in the resample.

    Raises BadValue for fewer than two rows, and for values that are not finite.
    """
    columns = np.asarray(columns, dtype=float)
    n = len(columns)
    require(n >= 2, "columns", f"{n} rows", "at least two rows")
    require(bool(np.isfinite(columns).all()), "columns", "NaN or infinity", "finite numbers")
    chances, generator = np.full(n, 1 / n), np.random.default_rng(seed)
    counts = generator.multinomial(n, chances, size=draws).astype(float) if draws else np.ones((1, n))
    found = []
    for some in np.array_split(counts, math.ceil(counts.size * columns.shape[1] / RESAMPLED)):
        ranks = np.stack([_centred_ranks(some, column) for column in columns.T], axis=-1)
        products = (ranks * some[:, :, None]).transpose(0, 2, 1) @ ranks
        spread = np.sqrt(np.diagonal(products, axis1=1, axis2=2))
        with np.errstate(invalid="ignore"):
            found.append(products / (spread[:, :, None] * spread[:, None, :]))
    return np.concatenate(found)


def _centred_ranks(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Rank of every value minus the mean rank, where value i is there counts[:, i] times; ties have their mean rank."""
    _, place, often = np.unique(values, return_inverse=True, return_counts=True)
    of_value = np.add.reduceat(counts[:, np.argsort(values)], often.cumsum() - often, axis=1)
    last = of_value.cumsum(axis=1)
    ranks = last - (of_value - 1) / 2
    return ranks[:, place] - (counts.sum(axis=1, keepdims=True) + 1) / 2


def partial(first_second: Any, first_third: Any, second_third: Any) -> Any:
    """Correlation of the first two given the third, from the correlations of the three pairs; NaN where one is 1 or -1.

    Of rank correlations: the correlation of what is left of the ranks of the first two after a line through those of the
    third. Numbers or arrays.
    """
    rest = (1 - np.square(first_third)) * (1 - np.square(second_third))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(rest > 1e-12, (first_second - first_third * second_third) / np.sqrt(rest), np.nan)


def middle95(draws: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of those draws that are numbers: the percentile interval of a bootstrap."""
    known = np.asarray(draws)[~np.isnan(draws)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (math.nan, math.nan)
    return float(low), float(high)


def variance_p(first: Sequence[float], second: Sequence[float], lost: int = 1) -> float:
    """Two-sided p of the F-test that two normal samples have one variance; NaN where one has no degree of freedom.

    `lost` is how many degrees of freedom the second has lost: 1 to its mean; as many as there are groups whose own means
    were taken from its values.
    """
    if len(first) < 2 or len(second) <= lost:
        return math.nan
    a, b = float(np.var(first, ddof=1)), float(np.var(second) * len(second) / (len(second) - lost))
    if a == 0 or b == 0:
        return 1.0 if a == b else 0.0
    below = float(stats.f.cdf(a / b, len(first) - 1, len(second) - lost))
    return 2 * min(below, 1 - below)
