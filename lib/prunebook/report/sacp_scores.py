"""What the encoders of the SACP study learn, and what their scores know of accuracy.

Every score stands beside those of encoders with random weights, its null: one that has learnt nothing orders candidates too,
and its order may well agree with accuracy, as both are smooth functions of the same few ratios. An interval over candidates
tells how sure a correlation is, not whether it was learnt.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from prunebook.report.sacp_tables import (
    PLACE,
    accuracies,
    as_table,
    encoder_of,
    key_of,
    length,
    place_of,
    removed_by,
    search_of,
)
from prunebook.report.statistics import holm, middle95, partial, rank_correlation, rank_matrices
from prunebook.studies.sacp import ENCODERS, RANDOM
from prunebook.trials import Record, Trial

SIMPLE = ("MACs kept", "parameters kept", "L1 norm kept", "channels kept", "narrowest entry")  # scores that need no encoder
MACS, L1 = "MACs kept", "L1 norm kept"
RESAMPLES = 2000
FEW = 20  # candidates of a draw: a bootstrap of fewer has intervals that are too narrow
UNTUNED = "no epochs"

HISTORIES = (*PLACE, "encoder", "epoch", "loss", "positive", "negative", "gap")
TOLD = ("share", "positive", "negative", "distance")  # of triads
APART = (*PLACE, "encoder", *(f"{name}{end}" for name in TOLD for end in ("", " low", " high", " p below", " p above")))
CANDIDATES = (*PLACE, "draw", "sample", "place", "test", *SIMPLE)  # then a column for each encoder
CORRELATIONS = ("network", "sample", "predictor", "kind", "n", "seeds", "rho", "low", "high", "random low", "random high",
                "p", "after Holm", "given MACs", "given MACs low", "given MACs high", "minus L1", "minus L1 low",
                "minus L1 high")  # fmt: skip


def histories(learnt: Sequence[Record]) -> pd.DataFrame:
    """One row for each epoch of each encoder that learnt by contrast: columns `HISTORIES`; untrained ones have none.

    "positive" and "negative" are the mean cosines of an anchor with its positive and its negative, "gap" the first minus
    the second. Epochs count from 1.
    """
    rows = []
    for record in learnt:
        place = {**place_of(record.params["baseline"], record.params["seed"]), "encoder": encoder_of(record.params)}
        for i, epoch in enumerate(record.result["history"]):
            rows.append({**place, "epoch": i + 1, **epoch, "gap": epoch["positive"] - epoch["negative"]})
    return as_table(rows, HISTORIES)[list(HISTORIES)]


def triads(learnt: Sequence[Record], crowds: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each encoder that learnt by contrast, or not at all: columns `APART`.

    What it makes of triads that it has not seen (`methods.sacp.Apart`): "share" of those in which the positive is nearer to
    the anchor, mean cosines "positive" and "negative", and the "distance" of the negative over that of other triads' ones,
    which says nothing where all have one anchor: NaN. "low" and "high" are what the middle 95 % of encoders with random
    weights have, "p below" and "p above" the share of them that are at most, or at least, there, the encoder itself counted
    in; NaN without.
    """
    known = {_kind(r.params): r.result for r in crowds}
    rows = []
    for record in learnt:
        p = record.params
        row = {**place_of(p["baseline"], p["seed"]), "encoder": encoder_of(p)}
        crowd = known.get(_kind(p), {})
        for name in TOLD:
            known_here = name != "distance" or p.get("anchor", "first") == "first"
            value = record.result["triads"][name] if known_here else math.nan
            others = np.array(crowd.get(name, []) if known_here else [], dtype=float)
            low, high = middle95(others)
            row |= {name: value, f"{name} low": low, f"{name} high": high}
            row |= {f"{name} p below": share_of(others <= value), f"{name} p above": share_of(others >= value)}
        rows.append(row)
    return as_table(rows, APART)[list(APART)]


def _kind(params: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the triads of a "learn" or "triads" trial are made of: baseline, anchors and positives."""
    return key_of(params["baseline"]), params.get("anchor", "first"), params.get("positives", "l1")


def share_of(others: np.ndarray) -> float:
    """The p of a value of which `others` says who of a null is as extreme: it counts as one of them. NaN for no others."""
    return float((1 + others.sum()) / (1 + len(others))) if len(others) else math.nan


def candidates(samples: Sequence[Record], scores: Sequence[Record] = (), crowds: Sequence[Record] = ()) -> pd.DataFrame:
    """For each sampled candidate a row for each seed of encoders: columns `CANDIDATES`, and by the encoders' names a score.

    "draw" is the sample's seed, "seed" the encoders'. "sample" is in words, "50 % of the MACs" or "tau 0.3"; "place" counts
    from 0 within it; "test" is measured recalibrated, not fine-tuned. The simple scores are shares from 0 to 1: "channels
    kept" is 1 - R(r) of Eq. 1, "narrowest entry" what the most pruned entry keeps. Columns 0, 1, ... are the places of the
    candidate in the orders of encoders with random weights.
    """
    known, orders = _scores(scores, "sample"), _orders(crowds, "sample")
    return as_table((row for record in samples for row in _sampled(record, known, orders)), CANDIDATES)


Scores = dict[str, dict[int, dict[str, list[float]]]]  # by the key of the candidates' trial, the encoder's seed and its name


def _scores(scores: Sequence[Record], task: str) -> Scores:
    found: Scores = {}
    for record in _of_task(scores, task):
        key, encoder = _key(task, json.dumps(record.params["of"])), record.params["encoder"]
        found.setdefault(key, {}).setdefault(encoder["seed"], {})[encoder_of(encoder)] = record.result["scores"]
    return found


def _orders(crowds: Sequence[Record], task: str) -> dict[str, list[list[int]]]:
    """By the key of the trial whose candidates are ordered."""
    return {_key(task, json.dumps(r.params["of"])): r.result["orders"] for r in _of_task(crowds, task)}


@cache
def _key(task: str, params: str) -> str:
    return Trial(task, json.loads(params)).key


def _of_task(records: Sequence[Record], task: str) -> list[Record]:
    """Those about candidates that a "sample" or a "search" has."""
    return [record for record in records if ("m" in record.params["of"]) == (task == "search")]


def _sampled(record: Record, scores: Scores, orders: Mapping[str, list[list[int]]]) -> list[dict[str, Any]]:
    p, (macs, params) = record.params, record.result["before"]
    share = p["removed"]
    words = f"tau {p['tau']:g}" if share is None else f"{100 * share:g} % of the MACs"
    found, crowd = record.result["candidates"], orders.get(record.key, [])
    removed = removed_by(p["baseline"], [row["r"] for row in found])
    by_seed = scores.get(record.key) or {p["seed"]: {}}
    return [
        {**place_of(p["baseline"], seed), "draw": p["seed"], "sample": words, "place": i, "test": row["top1"],
         MACS: row["macs"] / macs, "parameters kept": row["params"] / params, L1: row["norm"],
         "channels kept": 1 - removed[i], "narrowest entry": _narrowest(row["r"]), **_scored(own, crowd, i)}
        for seed, own in by_seed.items() for i, row in enumerate(found)
    ]  # fmt: skip


def _narrowest(r: Sequence[int]) -> float:
    return 1 - max(r) / 10


def _scored(scores: Mapping[str, Sequence[float]], crowd: Sequence[Sequence[int]], place: int) -> dict[Any, float]:
    """What encoders make of one candidate, by their names, and what those with random weights do, by their numbers."""
    own: dict[Any, float] = {name: values[place] for name, values in scores.items()}
    return own | {number: order[place] for number, order in enumerate(crowd)}


def light_candidates(light: Sequence[Record], light_scores: Sequence[Record], crowds: Sequence[Record] = ()) -> pd.DataFrame:
    """The same for the candidates of the random search, "test" measured after light fine-tuning.

    "sample" is "random search, 1 epoch". Their records do not have the L1 norm kept: it is NaN.
    """
    known, orders, rows = _scores(light_scores, "search"), _orders(crowds, "search"), []
    for record in light:
        p, r = record.params, record.result
        if search_of(p["search"]) != RANDOM:
            continue
        cost, seed, key = r["cost"]["macs"], p["search"]["seed"], _key("search", json.dumps(p["search"]))
        kept = [after / whole for after, whole in zip(cost["after"], cost["before"], strict=True)]
        row = {**place_of(p["search"]["baseline"], seed), "draw": seed, "place": p["place"], "test": accuracies(r)["test"]}
        row |= {"sample": f"random search, {length(p['finetune']) or UNTUNED}", "narrowest entry": _narrowest(r["r"])}
        row |= {MACS: kept[0], "parameters kept": kept[1], L1: math.nan, "channels kept": 1 - r["removed"]}
        rows.append(row | _scored(known.get(key, {}).get(seed, {}), orders.get(key, []), p["place"]))
    return as_table(rows, CANDIDATES)


class Ranks(NamedTuple):
    """Statistics of rank correlations: s numbers, and their 95 % percentile intervals."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


Statistic = Callable[[np.ndarray], np.ndarray]  # of correlations (draws, columns, columns): (draws, s)


class Drawn(NamedTuple):
    """Spearman's rho between every two columns of one draw of candidates.

    places : by name and encoder's seed, where the column is; None for the seed of what is no encoder's
    value : (1, p + J, p + J), the last J those of encoders with random weights
    resampled : (RESAMPLES, p, p), of resamples of the candidates
    """

    places: dict[tuple[str, int | None], int]
    value: np.ndarray
    resampled: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame, number: int) -> "Drawn":
        """Of all columns that are known; `number` is the resamples' seed."""
        groups: Any = rows.groupby("seed")
        seeds = {int(seed): block.sort_values("place") for seed, block in groups}
        first = next(iter(seeds.values()))
        columns: dict[tuple[str, int | None], pd.Series] = {
            (name, None): first[name] for name in ("test", *SIMPLE) if name in first and first[name].notna().all()
        }
        for seed, block in seeds.items():
            columns |= {(name, seed): block[name] for name in encoders_of(rows) if block[name].notna().all()}
        numbers = np.column_stack([column.to_numpy(float) for column in columns.values()])
        crowd = first[[name for name in first if isinstance(name, int)]].dropna(axis="columns").to_numpy(float)
        places = {name: place for place, name in enumerate(columns)}
        return cls(places, rank_matrices(np.hstack([numbers, crowd])), rank_matrices(numbers, RESAMPLES, number))

    @property
    def crowd(self) -> range:
        """The columns of the encoders with random weights."""
        return range(len(self.places), self.value.shape[1])

    @property
    def seeds(self) -> list[int]:
        """Of the encoders; a single one where there is none."""
        return sorted({seed for _, seed in self.places if seed is not None}) or [0]

    def chosen(self, columns: Sequence[str]) -> list[list[int]]:
        """Where these columns are, for each encoder's seed by which all of them are known."""
        at = self.places
        found = [tuple(at.get((name, None), at.get((name, seed), -1)) for name in columns) for seed in self.seeds]
        return [list(places) for places in dict.fromkeys(found) if -1 not in places]


class Ranked(NamedTuple):
    """Rank correlations of a network's candidates, draw by draw.

    All seeds of an encoder on one draw are resampled alike, so that an interval covers other candidates, and no other seeds.
    """

    draws: list[Drawn]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Ranked":
        """Of rows of `candidates` where every draw has at least two."""
        return cls([Drawn.of(block, number) for number, (_, block) in enumerate(rows.groupby("draw"))])

    def statistics(self, columns: Sequence[str], of: Statistic) -> Ranks:
        """Statistics of the correlations between some columns, in the mean over draws and encoders; NaN if not all known."""
        each = self.each(columns, of)
        if not len(each):
            unknown = np.full(of(np.full((1, len(columns), len(columns)), np.nan)).shape[1], np.nan)
            return Ranks(unknown, unknown, unknown)
        found = [of(_between(draw.resampled, at)) for draw in self.draws for at in draw.chosen(columns)]
        low, high = zip(*(middle95(column) for column in np.mean(found, axis=0).T), strict=True)
        return Ranks(each.mean(axis=0), np.array(low), np.array(high))

    def each(self, columns: Sequence[str], of: Statistic) -> np.ndarray:
        """The statistics of each draw and encoder by which the columns are known: (k, s)."""
        found = [of(_between(draw.value, at)) for draw in self.draws for at in draw.chosen(columns)]
        return np.concatenate(found) if found else np.empty((0, 0))

    def null(self, columns: Sequence[str], of: Statistic, place: int = 1) -> np.ndarray:
        """The statistics if the column at `place` were an encoder's with random weights, (J, s); in the mean as above."""
        if not all(draw.crowd for draw in self.draws):
            return np.empty((0, 0))
        members = zip(*(draw.crowd for draw in self.draws), strict=False)
        found = []
        for ones in members:
            swapped = [
                of(_between(draw.value, [*at[:place], one, *at[place + 1 :]]))
                for draw, one in zip(self.draws, ones, strict=True)
                for at in draw.chosen(columns)
            ]
            found.append(np.mean(swapped, axis=0)[0])
        return np.array(found)

    def across(self, first: str, second: str) -> Ranks:
        """Three numbers: rho of two encoders that learnt by one seed, rho of two seeds of either, and the first minus that.

        NaN where no draw has two seeds of both.
        """
        values: list[np.ndarray] = []
        drawn: list[np.ndarray] = []
        for draw in self.draws:
            alike = draw.chosen([first, second])
            pairs = [pair for of_one in zip(*alike, strict=True) for pair in combinations(of_one, 2)]
            if pairs:
                for rho, found in ((draw.value, values), (draw.resampled, drawn)):
                    one, two = (np.mean([rho[:, i, j] for i, j in some], axis=0) for some in (alike, pairs))
                    found.append(np.stack([one, two, one - two], axis=1))
        if not values:
            return Ranks(*[np.full(3, np.nan)] * 3)
        low, high = zip(*(middle95(column) for column in np.mean(drawn, axis=0).T), strict=True)
        return Ranks(np.mean(values, axis=0)[0], np.array(low), np.array(high))


def _between(rho: np.ndarray, places: Sequence[int]) -> np.ndarray:
    return rho[:, places][:, :, places]


def encoders_of(rows: pd.DataFrame) -> list[str]:
    """The columns of `candidates` that are encoders' scores, those of `studies.sacp.ENCODERS` first, in its order."""
    found = [name for name in rows if isinstance(name, str) and name not in CANDIDATES]
    return [name for name in ENCODERS if name in found] + [name for name in found if name not in ENCODERS]


def predictors(rows: pd.DataFrame) -> list[str]:
    """The columns of `candidates` that could predict accuracy: encoders that have scored a draw, then simple scores."""
    return [name for name in encoders_of(rows) if rows[name].notna().any()] + [n for n in SIMPLE if rows[n].notna().all()]


def blocks(frame: pd.DataFrame, least: int = 3) -> Iterable[tuple[str, str, pd.DataFrame]]:
    """Network, sample and rows of `candidates` whose test accuracy is known, where every draw has at least so many."""
    groups: Any = frame[frame.test.notna()].groupby(["network", "sample"], sort=False)
    for (name, sample), rows in groups:
        if rows.groupby("draw").place.nunique().min() >= least:
            yield name, sample, rows


def correlations(frame: pd.DataFrame, least: int = 3) -> pd.DataFrame:
    """Of `candidates`: one row for each network, sample and predictor: columns `CORRELATIONS`.

    Samples with a draw of fewer than `least` candidates have no row.

    "kind" is "encoder" or "simple", "n" the candidates of all draws, "seeds" how often it was measured: of an encoder, its
    seeds. "rho" is Spearman's with test accuracy, in the mean over these, "low" and "high" a 95 % percentile bootstrap over
    candidates; "random low" and "random high" are what the middle 95 % of encoders with random weights reach on the same
    candidates, for encoders; "p" is over permutations, where it was measured once, "after Holm" over the predictors of one
    sample. "given MACs" is the partial rank correlation given the MACs kept; "minus L1" is rho minus that of the L1 norm
    kept, candidate by candidate; each with its interval.
    """
    return as_table((row for block in blocks(frame, least) for row in _correlated(*block)), CORRELATIONS)[list(CORRELATIONS)]


def _correlated(name: str, sample: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    names, ranked = predictors(rows), Ranked.of(rows)
    n = len(rows[["draw", "place"]].drop_duplicates())
    times = {one: len(ranked.each(["test", one], first_two)) for one in names}
    once = rows[rows.seed == rows.seed.min()]
    p = {one: rank_correlation(once.test.tolist(), once[one].tolist())[1] for one in names if times[one] == 1}
    corrected = holm(p)
    return [
        {"network": name, "sample": sample, "predictor": one, "kind": "simple" if one in SIMPLE else "encoder", "n": n,
         "seeds": times[one], **_of_predictor(ranked, one, names), "p": p.get(one, math.nan),
         "after Holm": corrected.get(one, math.nan)}
        for one in names
    ]  # fmt: skip


def _of_predictor(ranked: Ranked, one: str, names: Sequence[str]) -> dict[str, float]:
    """Its rho, that given the MACs, and that minus that of the L1 norm, each with its interval."""
    wanted = {
        "rho": (["test", one], first_two),
        "given MACs": (["test", one, MACS], given_third),
        "minus L1": (["test", one, L1], minus_third),
    }
    row: dict[str, float] = {}
    for title, (columns, of) in wanted.items():
        found = ranked.statistics(columns, of)
        ends = ("low", "high") if title == "rho" else (f"{title} low", f"{title} high")
        row |= {title: found.value[0], ends[0]: found.low[0], ends[1]: found.high[0]}
    low, high = middle95([] if one in SIMPLE else ranked.null(["test", one], first_two).ravel())
    return row | {"random low": low, "random high": high}


def first_two(rho: np.ndarray) -> np.ndarray:
    """The correlation of the first two columns."""
    return rho[:, 0, 1, None]


def given_third(rho: np.ndarray) -> np.ndarray:
    """The correlation of the first two columns given the third."""
    return np.asarray(partial(rho[:, 0, 1], rho[:, 0, 2], rho[:, 1, 2]))[:, None]


def minus_third(rho: np.ndarray) -> np.ndarray:
    """The correlation of the first column with the second minus that with the third."""
    return rho[:, 0, 1, None] - rho[:, 0, 2, None]
