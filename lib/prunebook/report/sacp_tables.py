"""The tables of the SACP notebook: scores beside accuracies, candidates built and trained, and the paper's tables beside ours.

Every judgement is computed, by `judge`; `VERDICTS` says what each word means. Accuracies are top-1 in percent, differences of
them in points; "val" is the split that chooses, "test" the one that reports. FR and PR are by THOP's counts, as the paper's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from prunebook.trials import Record

SIMPLE = ("MACs kept", "parameters kept", "L1 norm kept", "channels kept", "narrowest entry")  # scores that need no encoder
PLACE = ("dataset", "arch", "width", "weights", "network", "seed")  # first columns of every long table
HISTORIES = (*PLACE, "encoder", "epoch", "loss", "positive", "negative", "gap")
CANDIDATES = (*PLACE, "sample", "place", "val", "test", *SIMPLE)  # then a column for each encoder
CORRELATIONS = ("dataset", "arch", "width", "weights", "network", "sample", "predictor", "kind", "n", "seeds", "rho", "low", "high", "p", "after Holm",
                "given MACs", "given MACs low", "given MACs high", "minus L1", "minus L1 low", "minus L1 high")  # fmt: skip
BUILT = (*PLACE, "search", "place", "r", "R", "FR", "PR", "val recalibrated", "test recalibrated", "val light", "test light",
         "light epochs", "before", "drop")  # fmt: skip
FINISHED = (*PLACE, "search", "m", "rank", "place", "r", "R", "FR", "PR", "val", "test", "light epochs", "epochs", "before",
            "drop")  # fmt: skip
SELECTIONS = ("network", "search", "m", "FR", "mean of m", "best of m by validation", "best of m by test", "k",
              "winner by validation", "winner by test", "FR of the winner", "minus random", "minus random, as costly",
              "mean minus as costly")  # fmt: skip
BEST_OF = (*PLACE, "search", "stage", "m", "k", "chosen by", "test")
RATIOS = (*PLACE, "search", "place", "entry", "ratio", "score")


def encoder_of(params: Mapping[str, Any]) -> str:
    """The name in `studies.sacp.ENCODERS` of an encoder, given as a parameter of the tasks that use one (`Learn`, `Regress`)."""
    raise NotImplementedError


def search_of(params: Mapping[str, Any]) -> str:
    """The name in `studies.sacp.SEARCHES` of a search, given as the parameters of its trial."""
    raise NotImplementedError


def histories(learnt: Sequence[Record]) -> pd.DataFrame:
    """One row for each epoch of each encoder that learnt by contrast: columns `HISTORIES`; untrained ones have none.

    "positive" and "negative" are the mean cosines of an anchor with its positive and its negative, "gap" the first minus the
    second. Epochs count from 1.
    """
    return pd.DataFrame(columns=list(HISTORIES))


def candidates(samples: Sequence[Record], scores: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each sampled candidate: columns `CANDIDATES`, and one for each encoder, by its name: its score.

    "sample" is in words, "50 % of the MACs" or "tau 0.3"; "place" counts from 0 within it; "val" and "test" are measured
    recalibrated, not fine-tuned. The simple scores are shares from 0 to 1: "channels kept" is 1 - R(r) of Eq. 1, "narrowest
    entry" the share that the most pruned entry keeps.
    """
    return pd.DataFrame(columns=list(CANDIDATES))


def light_candidates(
    light: Sequence[Record], light_scores: Sequence[Record], searches: Sequence[Record] = ()
) -> pd.DataFrame:
    """The same for the candidates of the random search, "val" and "test" measured after light fine-tuning.

    "sample" is "random search, 1 epoch". What their records do not hold, the L1 norm, is NaN.
    """
    return pd.DataFrame(columns=list(CANDIDATES))


def correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Of `candidates`: one row for each network, sample and predictor: columns `CORRELATIONS`.

    "kind" is "encoder" or "simple", "n" the candidates of each seed. "rho" is Spearman's with test accuracy, mean over the
    seeds; "low" and "high" its 95 % percentile bootstrap over candidates within each seed; "p" from permutations, of a single
    seed alone; "after Holm" over the predictors of one sample. "given MACs" is the partial rank correlation given the MACs
    kept; "minus L1" is rho minus that of the L1 norm kept, each with its interval.
    """
    return pd.DataFrame(columns=list(CORRELATIONS))


def built(light: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each "candidate" record: columns `BUILT`. R, FR and PR are in percent; "drop" is baseline minus light.

    "test light" is the accuracy after light fine-tuning, or recalibrated where the trial has none. "r" is a list of tenths.
    """
    return pd.DataFrame(columns=list(BUILT))


def finished(finals: Sequence[Record], before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each "final" record: columns `FINISHED`. "m" is how many places it was chosen from, "rank" from 0."""
    return pd.DataFrame(columns=list(FINISHED))


def selections(light: Sequence[Record], finals: Sequence[Record] = (), before: Sequence[Record] = ()) -> pd.DataFrame:
    """One row for each network and search: columns `SELECTIONS`.

    "mean of m" and "best of m ..." are test accuracies after light fine-tuning, the best chosen by validation or, as in the
    paper, by test; "winner ..." the same among the k finals at the largest m. "minus random" is the winner by validation (of
    the finals if any, else of the m) minus that of the random search, paired over seeds; "mean minus as costly" the mean over
    places of the candidate minus its equally costly partner.
    """
    return pd.DataFrame(columns=list(SELECTIONS))


def best_of(light: Sequence[Record], finals: Sequence[Record] = ()) -> pd.DataFrame:
    """For Figure 2: the test accuracy of the best of m or k: columns `BEST_OF`.

    "stage" is "light": the best of the first m places, m = 1, 2, ...; or "full": the best of the first k ranks of each m.
    "chosen by" is "validation" or "test".
    """
    return pd.DataFrame(columns=list(BEST_OF))


def ratios(searches: Sequence[Record]) -> pd.DataFrame:
    """The pruning ratio (0 to 0.9) of every entry of every candidate that a search keeps: columns `RATIOS`."""
    return pd.DataFrame(columns=list(RATIOS))


def costs(chances: Sequence[Record]) -> pd.DataFrame:
    """One row for each network: its cost beside the paper's, the candidates that meet tau, and where the paper's FR and PR lie.

    Columns: network, "MACs, M", "MACs, M paper", "MACs as printed", the same for "parameters, M", tau, "paper's tau",
    "share of the space, %", and for FR and PR: "FR of chance" (quartiles as text), "FR paper", "FR percentile".
    """
    return pd.DataFrame()


def table(
    n: int, light: Sequence[Record] = (), finals: Sequence[Record] = (), chances: Sequence[Record] = (),
    before: Sequence[Record] = (),
) -> pd.DataFrame:  # fmt: skip
    """Every row of the paper's Table 3 or 4, in its order, with ours beside where we have it.

    Columns: network, method, "ours" (whether the row is the paper's own method); for each of top-1, FR, PR, MACs, parameters
    "... paper" (as printed), "... here" and "... verdict" (`judge`).
    """
    return pd.DataFrame()


def shown(n: int, frame: pd.DataFrame, caption: str = "") -> Any:
    """`table(n)` for a page of a book: paper and here in turns, SACP's rows bold."""
    raise NotImplementedError
