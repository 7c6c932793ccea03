"""The claims of the abstract on maximum redundancy pruning (Gao et al. 2025), and what our records say of each.

Nothing else of the paper is public, so each is tested in our reading of it. Every verdict is computed, from an interval or
by the rule that stands with the claim; `CLAIM_VERDICTS` says what each word means.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from prunebook.methods.baselines import CRITERIA
from prunebook.report import mrp_evidence as by
from prunebook.report.kcore_claims import WORDS, Claim, Network, Said, by_part, table_of
from prunebook.report.mrp_evidence import Frames, Records
from prunebook.report.mrp_tables import BRIEF, FEW, HARDLY, SAME_FR
from prunebook.studies.mrp import PAPER, READINGS, RULES, STEPS
from prunebook.trials import Record

CLAIM_VERDICTS = WORDS | {
    "the opposite holds here": "the interval lies on the other side of 0, or the rule's test says so",
    "not shown here": "p is not below 0.05 by the test of flipped signs after Holm's correction; of several tests, not all "
    "come out as predicted, but none that could refute the claim says the opposite",
    "undecided": "the interval includes the rule's limit, or there are fewer than three repetitions or, for tests of the "
    f"hypothesis, {FEW} layers",
    "unequal cost": f"the two sides differ by more than {SAME_FR:g} point of the MACs removed in the mean, so that a "
    "difference in accuracy would be one of cost as well",
    "other network": "not ResNet-110; what follows is about ours",
    "not fine-tuned": "accuracy before retraining, which may close or reverse the gap",
    "hardly fine-tuned": HARDLY,
}


def claims(**records: Sequence[Record]) -> pd.DataFrame:
    """What the abstract says, what of it our records can test, and what they say.

    Parameters
    ----------
    records : lists of records by the names of `Records`; those that are missing count as empty

    Returns
    -------
    DataFrame
        place, claim (in our words), tested by, here (our numbers), verdict (of `CLAIM_VERDICTS`). An accuracy is top-1 on
        the test split, at the last moment that both sides have. A verdict begins with what was not as in the abstract
        (`conditions`). The tests of the hypothesis are corrected for each other; no correction is made for the number of
        claims, and `attrs["repetitions"]` says so.
    """
    frames = Frames.of(by_part(Records, records))
    return table_of(CLAIMS, frames, conditions, over_what(frames))


def over_what(f: Frames) -> str:
    """What the intervals are over, and that the comparisons are many: sentences for a caption."""
    sentences = []
    if f.tested:
        words = (
            "Intervals and tests of the Role-Information study are over the layers of one network with one graph at a time"
        )
        names = "; ".join(one.name for one in f.tested)
        sentences.append(
            f"{words} ({names}), and say nothing of other networks; its five tests are corrected for each other."
        )
    for given, words in ((False, "trainings"), (True, "draws of images and batches, with one trained network")):
        groups: Any = f.compared[f.compared.weights.astype(bool) == given].groupby("network", sort=False)
        counted = [f"{rows[['seed', 'draw']].drop_duplicates().shape[0]} of {name}" for name, rows in groups]
        sentences += [f"Those of accuracies are over {words}: {', '.join(counted)}."] if counted else []
    many = "No correction for the number of claims: of twenty true nulls tested at 0.05, about one would separate by chance."
    return " ".join([*sentences, many])


def conditions(said: Said, on: frozenset[Network], epochs: int) -> str:
    """In what the cases were not as in the abstract: "other network, not fine-tuned", or nothing.

    The abstract does not say how long it retrains, so any fine-tuning counts, but one of less than `BRIEF` passes over
    the training images is named. `epochs`: such passes, see `mrp_evidence`.
    """
    words = {
        "other network": any(network.arch not in said.archs or network.width != 1 for network in on),
        "other data": any(network.dataset not in said.datasets for network in on),
        "not fine-tuned": bool(on) and said.epochs > 0 and epochs == 0,
        "hardly fine-tuned": bool(on) and said.epochs > 0 and 0 < epochs < BRIEF,
    }
    return ", ".join(word for word, applies in words.items() if applies)


METHOD = Said((PAPER["arch"],), (PAPER["dataset"],))  # of statements about no accuracy after retraining
RESULT = METHOD._replace(epochs=1)
LARGER = [name for name, options in STEPS.items() if options["step"] != 1]
SIGNS = "flipped signs over layers, Holm over the five tests"

CLAIMS = [Claim(*claim) for claim in (
    ("Role-Information hypothesis", "Filters play roles as members of a society do; those of one community can stand in for "
     "each other. (The abstract names the hypothesis, and does not say it.)", "five tests; holds if all are as predicted",
     METHOD, by.hypothesis),
    ("the same, (a)", "Filters of one community are more alike than others, and more so than in an untrained network.",
     f"likeness, less that of fresh weights; {SIGNS}", METHOD, by.role("likeness")),
    ("the same, (b)", "To lose filters of one community does less harm than to lose others as large. (The opposite would "
     "not refute the hypothesis.)", f"removal without training, less rewired graphs; {SIGNS}", METHOD, by.role("removal")),
    ("the same, (b')", "A lost filter is better replaced by one of its community than by another that is as alike.",
     f"replacement, less rewired graphs; {SIGNS}", METHOD, by.role("replaced")),
    ("the same, (c)", "Filters of one community can change places, better than others that are as alike.",
     f"exchange, less rewired graphs; {SIGNS}", METHOD, by.role("swaps")),
    ("RMCD", "The layers have more modularity than chance gives a layer of the same geometry. (We add this one.)",
     f"modularity beside random vectors of the same spectrum; {SIGNS}", METHOD, by.role("structure")),
    ("RMCD", "It obtains the level of redundancy for each layer: more than how wide the layer is. (We add the latter.)",
     "pairs of layers of different width in which the wider one is the more redundant; holds if surely below "
     f"{100 * by.OWN:g} %; a higher share refutes nothing, as wide layers may be the redundant ones", METHOD,
     by.more_than_width),
    ("RMCD", "What detects communities, and on which graph, does not matter. (The abstract names neither; we add this one.)",
     f"other graphs, algorithms and counts; holds if top-1 is within {by.SAME:g} point, by the interval", RESULT,
     by.one_method(*READINGS)),
    ("SRP", "The layer-wise ratios that it finds are better than uniform ones.", "MRP minus the same choice of filters with "
     "uniform ratios", RESULT, by.ahead_of("mrp, uniform")),
    ("SRP", "They are optimal: at least better than layers by lot. (A greedy loop proves no optimum.)", "MRP minus the same "
     "with layers drawn", RESULT, by.ahead_of("mrp, random layer")),
    ("SRP", "It removes the most replaceable filters: others of the same communities do worse.", "MRP minus the same loop "
     "with other filters", RESULT, by.ahead_of(*RULES)),
    ("SRP", "Redundancy has to be recalculated at each iteration.", "MRP minus larger steps", RESULT, by.ahead_of(*LARGER)),
    ("First sentences", "It is better than methods with predefined layer-wise ratios.", "MRP minus criteria at uniform "
     "ratios", RESULT, by.ahead_of(*CRITERIA)),
    ("First sentences", "It avoids high computational overhead.", "seconds of a decision, in epochs of training on all "
     "images; holds if always below 1", METHOD, by.cheap),
    ("Last sentence", "52.4 % of the model size and 50.3 % of the FLOPs go, in one network. (The abstract says up to, and "
     "not whether it is one.)", "parameters of a plan that removes 50.3 % of the MACs; holds if within "
     f"{SAME_FR:g} point: to remove more is another shape of network, and no failure", METHOD, by.both_costs),
    ("Last sentence", "Accuracy is higher than before: by 1.04 %.", "MRP after fine-tuning minus the unpruned network",
     RESULT, by.gains),
    ("Last sentence", "That is owed to pruning. (We add this one.)", "the same minus the unpruned network trained as long",
     RESULT, by.gains_beside_training),
    ("Last sentence", "That many points: 1.04.", f"the gain; holds if within {by.SAME_GAIN:g} points, by the interval",
     RESULT, by.gains_as_much),
)]  # fmt: skip
