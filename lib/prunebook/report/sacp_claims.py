"""The claims of the SACP paper (Liu et al. 2025), and what our records say of each.

Every verdict is computed, from an interval or by the rule that stands with the claim; `CLAIM_VERDICTS` says what each word
means.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from prunebook.report import sacp_evidence as by
from prunebook.report.kcore_claims import WORDS, Claim, Network, Said, by_part, table_of
from prunebook.report.sacp_evidence import Frames, Records
from prunebook.report.sacp_scores import FEW, RESAMPLES
from prunebook.report.sacp_tables import PAPER_DATA, PAPER_NETWORKS, SAME_FR
from prunebook.trials import Record

CLAIM_VERDICTS = WORDS | {
    "as random weights": "the interval excludes 0, or the rule is met, but encoders with random weights come as far: ours "
    f"is not among the outermost {100 * by.ALPHA:g} %",
    "short of random weights": "the interval excludes 0, or the rule is met, but nearly all encoders with random weights "
    f"come farther: ours is among the outermost {100 * by.ALPHA:g} % on the other side",
    "as another seed": "the rule is not met, but two seeds of one reading differ as much",
    "as chance": "the rule is met, but by random candidates too",
    "undecided": "the interval includes the rule's limit; or there are fewer than three seeds where it is over seeds, or "
    f"fewer than {FEW} candidates where it is a bootstrap over them; or there is no null to stand out from; "
    "or it is about what full training leaves, and none was trained in full",
    "unequal cost": f"the two sides' FR differ by more than {SAME_FR:g} point in the mean, so that a difference in accuracy "
    "would be one of cost as well; of two winners, in any seed",
    "follows from tau": "the printed rate lies in the middle 95 % of random candidates that meet the paper's threshold",
    "other network": "no network that the statement is about, or one with other layers; what follows is about ours",
    "not fine-tuned": "accuracy after recalibrating batch norm alone; training may close or reverse the gap",
    "not trained in full": "accuracy after light fine-tuning; full training may close or reverse the gap",
    "the paper contradicts itself": "two places of the paper disagree on it",
    "no number in the paper": "the paper says it, but shows nothing that could be compared",
}


def claims(**records: Sequence[Record]) -> pd.DataFrame:
    """What the paper says, what of it our records can test, and what they say.

    Parameters
    ----------
    records : lists of records by the names of `Records`; those that are missing count as empty

    Returns
    -------
    DataFrame
        place, claim (in our words), tested by, here (our numbers), verdict (of `CLAIM_VERDICTS`). An accuracy is top-1 on
        the test split. Differences between searches are paired by seed; what an interval is over stands with the numbers. A
        verdict begins with what was not as in the paper's statement (`conditions`). No correction is made for the number of
        claims; `attrs["repetitions"]` says so.
    """
    frames = Frames.of(by_part(Records, records))
    return table_of(CLAIMS, frames, conditions, over_what(frames))


def over_what(f: Frames) -> str:
    """What the intervals are over, and that the comparisons are many: sentences for a caption."""
    groups: Any = f.light.groupby("network", sort=False)
    seeds = {network: rows.seed.nunique() for network, rows in groups}
    one = [network for network, found in seeds.items() if found == 1]
    several = [f"{found} of {network}" for network, found in seeds.items() if found > 1]
    sentences = []
    if one:
        words = "intervals of searches are over candidates, and decide nothing, as they say nothing of another encoder"
        sentences.append(f"One seed of {', '.join(one)}: {words}.")
    if several:
        sentences.append(f"Intervals of searches are over seeds ({', '.join(several)}).")
    if f.samples:
        words = "they cover no other seeds, and stand beside what encoders with random weights reach"
        sentences.append(f"Those of rank correlations are from {RESAMPLES:,} resamples of the candidates; {words}.")
    many = "No correction for the number of claims: of twenty true nulls, one would separate by chance."
    return " ".join([*sentences, many])


def conditions(said: Said, on: frozenset[Network], trained: int) -> str:
    """In what the cases were not as in the paper's statement: "other network, not trained in full", or nothing.

    `trained` and `said.epochs` are `sacp_evidence.RECALIBRATED`, `LIGHT` or `FULL`; a statement with 0 is about no accuracy.
    """
    words = {
        "other network": any(network.arch not in said.archs for network in on),
        "other data": any(network.dataset not in said.datasets for network in on),
        "not fine-tuned": bool(on) and trained == by.RECALIBRATED < said.epochs,
        "not trained in full": bool(on) and by.RECALIBRATED < trained < said.epochs,
    }
    return ", ".join(word for word, applies in words.items() if applies)


NOWHERE = Said()  # for claims that the paper's text decides, or that no part of the study tests
METHOD = Said(tuple(PAPER_NETWORKS.values()), (PAPER_DATA,))  # of statements about no accuracy
RESULT = METHOD._replace(epochs=by.FULL)
LIGHTLY = METHOD._replace(epochs=by.LIGHT)
ABLATION = RESULT._replace(archs=("ResNet-18",))
OVER = (
    "the interval is over candidates, and the number has to be beyond those by random weights in the (first) encoder's place"
)

CLAIMS = [Claim(*claim) for claim in (
    ("Abstract, Table 3", "The search compresses especially far.", "where the printed FR and PR lie among random candidates "
     f"that meet the paper's tau; holds if above {by.CHANCE[1]:g} % of them", NOWHERE, by.costs_little),
    ("Sections 1, 3.3", "What the search removes is what tau asks for.", "channels that the search's candidates remove; "
     f"holds if {100 * by.MOST:g} % of them are within {by.EDGE:g} points of tau and, over seeds, nearer than random ones",
     METHOD, by.at_tau),
    ("Sections 3.4, 3.5", "A higher score means a better pruned network.", "rank correlation of score and accuracy over "
     f"random candidates; {OVER}", RESULT, by.predicts),
    ("Sections 3.4, 3.5", "The score knows more than what a candidate costs (we add this one).", "the same, given the MACs "
     f"that are kept; {OVER}", RESULT, by.predicts_beyond_cost),
    ("Abstract, section 1", "The score knows more than a criterion of weights.", "rho of the score minus that of the L1 "
     f"norm that is kept; {OVER}", RESULT, by.beats_l1),
    ("Sections 3.2, 3.4", "Beside the simple number that it is nearest to, the score still knows accuracy. (We add this "
     "one.)", "rank correlation of the "
     "score with costs, L1 norm, R(r) and the most pruned entry; does not hold if the nearest of them is beyond "
     f"{by.OWN:g}, holds if the score knows accuracy beside it; {OVER}", RESULT, by.more_than_a_number),
    ("Abstract, section 3.2", "The score is better for the network's topology.", "rho of an encoder with the network's "
     f"edges minus that without, or with shuffled ones; {OVER} (so that learning has to help as well), and one over seeds "
     "has to agree", RESULT, by.edges_matter),
    ("Abstract, section 3.2", "What the search finds is better for the network's topology.", "winner of the search with the "
     "edges minus that without", RESULT, by.wins_by_edges),
    ("Section 3.4", "Learning by contrast makes the score a better one.", "rho of the trained encoder minus the mean rho of "
     f"encoders with random weights; {OVER}", RESULT, by.learning_matters),
    ("Section 3.4", "Learning by contrast makes what the search finds better.", "winner of the search by a trained encoder "
     "minus that by an untrained one", RESULT, by.wins_by_learning),
    ("Section 3.4, Eq. 6 to 8", "The encoder tells L1 pruning from random pruning of the same ratios.", "how often the "
     "positive of a new triad is nearer than the negative; holds if, for every seed, more often than by random weights",
     METHOD, by.parts_them),
    ("Section 3.4", "It does so by what L1 is, not as it would for any order that always returns. (We add this one.)",
     "the same by an encoder whose positives keep the first channels of a random order; does not hold if, for every seed, "
     "it stands out from random weights as well, holds if it does not", METHOD, by.needs_l1),
    ("Section 3.4, Eq. 6 to 8", "Negatives are pushed away.", "distance of anchors to their own new negatives, over that to "
     "those of other triads, which differ in the ratios as well; holds if, for every seed, longer than by random weights",
     METHOD, by.pushes_away),
    ("Section 3.4", "Eq. 6 to 8 as printed or InfoNCE, either anchor: one method. (We add this one.)",
     f"rank correlation of their scores; holds if above {by.OWN:g}, does not if below, and lower than that of two seeds of "
     "one reading", METHOD, by.one_reading),
    ("Section 3.4", "Positives keep what matters, negatives break connections.", "would take the accuracies of random masks",
     NOWHERE, by.untested),
    ("Abstract", "The importance of each channel is learnt. (The score is one number for a candidate; its channels are "
     "chosen by L1.)", "the method has no such number", NOWHERE, by.untested),
    ("Section 3.5", "The m candidates of the highest scores are better than others. (Of the same cost.)", "each minus a "
     "random candidate that costs the same", LIGHTLY, by.better_than_as_costly),
    ("Section 3.5", "They are better than others of any cost.", "their mean minus that of as many random candidates",
     LIGHTLY, by.better_than_random),
    ("Abstract, section 3.5", "The search finds a better network than chance under the same budget. (The paper has no "
     "random search.)", "winner minus winner of a random search, at any and at equal cost", RESULT, by.wins),
    ("Section 3.5", "Light fine-tuning tells which candidates end best.", "rank correlation with accuracy after full "
     "training, among those it picked; the interval is over candidates", RESULT, by.light_tells),
    ("Sections 3.5, 4.2", "Choosing the winner on the test set does no harm. (We add this one.)",
     f"reported accuracy chosen so, minus that chosen by validation; holds if within {by.NEGLIGIBLE:g} points, "
     "nearer than a choice by lot", RESULT, by.choosing_on_test),
    ("Section 4.3", "Millions of candidates have to be scored. (We add this one.)",
     "would take searches of several sizes", NOWHERE, by.untested),
    ("Section 4.5, Figure 2", "A larger k gives a better network. (Chosen on the test set, it cannot be worse.)", "winner "
     "of k by validation minus that of k = 1", ABLATION, by.larger_k),
    ("Section 4.5, Figure 2", "A larger m gives a better network.", "winner by validation at the largest m minus that at "
     "the smallest", ABLATION, by.larger_m),
    ("Section 4.5", "A larger m brings less to SACP than to chance, its score being good already.",
     "what a larger m brings to a random search, minus what it brings to SACP", ABLATION, by.saturates_by_score),
    ("Section 4.4, Table 4", "Learning accuracies instead (SACP-1) predicts worse.", "rho of SACP's score minus that of "
     f"SACP-1's, over candidates that it has not learnt from; {OVER}, and one over seeds has to agree", ABLATION,
     by.beats_regression),
    ("Section 4.4, Table 4", "SACP-1 ends with a worse network. (In the paper at FR 91.49 against 84.99.)", "winner minus "
     "winner", ABLATION, by.wins_over_regression),
    ("Section 4.4, Table 4", "Without the second stage (SACP-2) the network is worse.", "winner minus the best of the m as "
     "it is after light fine-tuning", ABLATION, by.second_stage_helps),
    ("Section 4.4, Table 4", "That network is worse because it is chosen worse, not because it is trained less (we add this "
     "one).", "winner minus the best of the m, trained in full as well", ABLATION, by.by_selection),
    ("Table 3", "Nothing is lost: VGG-16 gains 0.16 points, ResNet-18 1.09.", "winner minus the unpruned network",
     RESULT._replace(archs=("VGG-16", "ResNet-18")), by.gains),
    ("Section 4.3", "ResNet-56 loses only a little. (4.52 points at FR 78.06.)", "the same; holds if it surely loses less "
     f"than {by.SMALL:g} point", RESULT._replace(archs=("ResNet-56",)), by.loses_little),
    ("Section 4.3", "SACP is robust to deeper architectures.", "the paper alone", NOWHERE,
     by.said("Table 3: three networks, each at another cost and tau; ResNet-56 loses 4.52 points, ResNet-18 gains 1.09",
             "no number in the paper")),
    ("Section 4.4", "SACP ends at 91.54 % with ResNet-18.", "the paper alone", NOWHERE,
     by.said("Tables 3 and 4 and section 4.3 print 93.41", "the paper contradicts itself")),
    ("Abstract, section 5", "It is as good on ImageNet.", "the paper alone", NOWHERE,
     by.said("section 4 has no result on ImageNet", "no number in the paper")),
    ("Abstract, section 1", "The size of the search space can be adapted.", "would take other steps than tenths", NOWHERE,
     by.untested),
    ("Abstract, section 1", "No manual adjustment is needed.", "would take several tau, N, n, m and k", NOWHERE,
     by.untested),
    ("Abstract, section 5", "It is better than other methods.", "would take those methods at the same cost", NOWHERE,
     by.untested),
    ("Section 1", "It is practical in deployment.", "would take times; the paper has none", NOWHERE, by.untested),
)]  # fmt: skip
