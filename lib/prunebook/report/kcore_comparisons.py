"""Two comparisons that the k-core paper does not make: scores at equal cost, and readings of the method."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from prunebook.errors import choose, require
from prunebook.report import figures, tables
from prunebook.report.kcore_tables import READ, READING, longest
from prunebook.report.statistics import holm, p_value, separates
from prunebook.report.tables import PAPER_DATASETS, Values, paired, repetitions
from prunebook.studies.kcore import VARIANTS
from prunebook.trials import Record, Trial
from prunebook.trials.tasks import Prune


def scores_at_target(prunings: Sequence[Record], reference: str = "entropy") -> pd.DataFrame:
    """Scores at an equal share of MACs removed: accuracy at each moment, and its paired difference to the reference.

    Parameters
    ----------
    prunings : records of "prune" trials; those with a target and, but for the score, the reading of this book are used
    reference : str
        The score that the others are compared with.

    Returns
    -------
    DataFrame
        One row for each network, target, moment and score. "FR macs" and "top-1" are `Values`: their text is mean and 95 %
        t-interval over the repetitions. "minus REFERENCE" is paired: same seed, same images. "separates?" says whether the
        interval of that difference excludes 0 (its t-test has p < 0.05), "after Holm" the same with Holm's correction over
        the comparisons of one network, target and moment; "—" for fewer than three pairs.
    """
    frame = tables.prunings(prunings)
    fits = frame.target.notna()
    for name in (name for name in READ if name != "score"):
        fits &= frame[name] == READING[name]
    rows = []
    groups: Any = frame[fits].groupby(["dataset", "arch", "target"])
    for (dataset, arch, target), group in groups:
        place = {"network": f"{arch} on {PAPER_DATASETS.get(dataset, dataset)}", "target": target}
        for column, (words, _) in figures.MOMENTS.items():
            rows += [place | row for row in _compared(group, column, words, reference)]
    return pd.DataFrame(rows)


def _compared(group: pd.DataFrame, column: str, words: str, reference: str) -> list[dict[str, Any]]:
    rows = group if column != "top1 fine-tuned" else longest(group)
    rows = rows[rows[column].notna()]
    scores = sorted(rows.score.unique(), key=lambda score: (score != reference, score))
    gaps = {s: paired(rows[rows.score == s], rows[rows.score == reference], column) for s in scores if s != reference}
    p = {score: p_value(gap) for score, gap in gaps.items()}
    corrected = holm(p)
    return [
        {"moment": words, "score": score, "FR macs": repetitions(rows[rows.score == score], "FR macs"),
         "top-1": repetitions(rows[rows.score == score], column), f"minus {reference}": gaps.get(score, Values()),
         "separates?": separates(p.get(score)), "after Holm": separates(corrected.get(score))}
        for score in scores
    ]  # fmt: skip


def agreement(records: Sequence[Record], base: str = "as in this book") -> pd.DataFrame:
    """How far other readings of the method keep the same filters as one of them does.

    Parameters
    ----------
    records : records of "prune" trials with a target
    base : str
        The reading, of `studies.kcore.VARIANTS`, that the others are compared with at the same seed and draw of images.

    Returns
    -------
    DataFrame
        One row for each network, target and reading. "Jaccard": of the two sets of kept (layer, filter) pairs, over all
        convolutions; a layer that follows another, as in a residual stage, counts like any other. In the row of `base`
        itself it is between two draws of images, over all pairs of draws: the level of noise. "by chance": the index
        expected if every layer kept as many filters as it does, chosen at random and alone (exact). "tau": the thresholds
        that were found. "top-1": in percent, after recalibrating batch norm; "minus base": paired, in points.
        Measured columns are `Values`.
    """
    choose("base", base, VARIANTS)
    frame = tables.prunings(records)
    kept = [record.result["keep"] for record in records]
    frame["variant"] = [variant(record) for record in records]
    frame["keep"], frame["found"] = pd.Series(kept), pd.Series([_found(record) for record in records])
    rows = []
    groups: Any = frame[frame.target.notna()].groupby(["dataset", "arch", "target"])
    for (dataset, arch, target), group in groups:
        place = {"network": f"{arch} on {PAPER_DATASETS.get(dataset, dataset)}", "target": target}
        reference = group[group.variant == base]
        for name in (name for name in VARIANTS if (group.variant == name).any()):
            rows.append(place | {"reading": name} | _alike(group[group.variant == name], reference, name == base))
    return pd.DataFrame(rows)


def variant(record: Record) -> str:
    """The name that `studies.kcore.VARIANTS` has for a record's choices, "" where it has none."""
    p = Trial(record.task, record.params).parameters
    names = {name for choices in VARIANTS.values() for name in choices} | set(READ)
    for name, choices in VARIANTS.items():
        expected = {**{key: Prune.model_fields[key].default for key in names}, **choices}
        if all(getattr(p, key) == value for key, value in expected.items()):
            return name
    return ""


def _found(record: Record) -> list[float]:
    found = record.result.get("found", {})
    return list(found["taus"].values()) if "taus" in found else [found["tau"]] if "tau" in found else []


def _alike(rows: pd.DataFrame, base: pd.DataFrame, is_base: bool) -> dict[str, Any]:
    pairs = _between_draws(base) if is_base else _at_same_draw(rows, base)
    found = [(seed, draw, jaccard(a, b), by_chance(a, b)) for seed, draw, a, b in pairs]
    index = pd.DataFrame(found, columns=["seed", "draw", "j", "c"])
    # The pairs of draws overlap and are no independent repetitions: they have a mean, but no interval.
    alike = Values([index.j.mean()] if len(index) else []) if is_base else Values(tables.repeated(index, "j"))
    thresholds = [tau for found in rows.found for tau in found]
    return {
        "Jaccard": alike,
        "by chance": Values([index.c.mean()] if len(index) else []),
        "tau": " to ".join(dict.fromkeys(f"{tau:.3f}" for tau in (min(thresholds), max(thresholds)))) if thresholds else "—",
        "FR macs": repetitions(rows, "FR macs"),
        "top-1": repetitions(rows, "top1 recalibrated"),
        "minus base": Values() if is_base else paired(rows, base, "top1 recalibrated"),
    }


def _between_draws(base: pd.DataFrame) -> list[tuple[int, int, dict[str, str], dict[str, str]]]:
    groups: Any = base.groupby("seed")
    return [(seed, 0, a, b) for seed, rows in groups for a, b in combinations(rows.keep, 2)]


def _at_same_draw(rows: pd.DataFrame, base: pd.DataFrame) -> list[tuple[int, int, dict[str, str], dict[str, str]]]:
    theirs = {(seed, draw): keep for seed, draw, keep in zip(base.seed, base.draw, base.keep, strict=True)}
    found = zip(rows.seed, rows.draw, rows.keep, strict=True)
    return [(seed, draw, keep, theirs[seed, draw]) for seed, draw, keep in found if (seed, draw) in theirs]


def jaccard(first: Mapping[str, str], second: Mapping[str, str]) -> float:
    """Pairs (layer, filter) that both keep, over those that at least one keeps. What a layer keeps is a text of 0 and 1."""
    require(first.keys() == second.keys(), "layers", sorted(first), f"those of the other network, {sorted(second)}")
    pairs = [(a, b) for name in first for a, b in zip(first[name], second[name], strict=True)]
    return pairs.count(("1", "1")) / (len(pairs) - pairs.count(("0", "0")))


def by_chance(first: Mapping[str, str], second: Mapping[str, str]) -> float:
    """The expected `jaccard` of networks that keep as many filters of each layer, at random: exact.

    What a layer's two choices share is hypergeometric; over layers the numbers add up, and their distributions convolve.
    """
    shared, total = np.ones(1), 0
    for name, text in first.items():
        n, a, b = len(text), text.count("1"), second[name].count("1")
        shared = np.convolve(shared, stats.hypergeom.pmf(np.arange(min(a, b) + 1), n, a, b))
        total += a + b
    both = np.arange(len(shared))
    return float(np.sum(shared * both / (total - both)))
