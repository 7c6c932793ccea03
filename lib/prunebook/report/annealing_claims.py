"""The claims of the annealing paper (Meng et al. 2022), and what our records say of each.

Every verdict is computed, from an interval or by the rule that stands with the claim; `CLAIM_VERDICTS` says what each word
means.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from prunebook.report import annealing_evidence as by
from prunebook.report.annealing_corruptions import LEAST, WIDE
from prunebook.report.annealing_evidence import Frames, Records
from prunebook.report.annealing_tables import network
from prunebook.report.kcore_claims import WORDS, Claim, Network, Said, by_part, table_of
from prunebook.studies.annealing import MODELS, PAPER, PAPER_EPOCHS
from prunebook.trials import Record

SAMPLES = ("creditcard",)  # the paper's table has a far smaller share of frauds than our sample of it
CLAIM_VERDICTS = WORDS | {
    "holds here": "the 95 % interval lies on the claim's side of 0 or of its limit, or its own rule is met",
    "does not hold here": "the interval lies on the other side of the claim's limit, or its own rule is not met",
    "as one answer to all": "the rule is met, but no more is left, or not surely, than one answer to all inputs scores, the "
    "one that is most often right; of the inputs attacked it has the same share, by expectation",
    "as random pairs": "the rule is met, but pairs drawn by lot come as far, or not surely less far",
    "undecided": "the interval includes the rule's limit, or there are fewer than three repetitions, of one network fewer "
    "than three that differ; or there is nothing to judge, as the claim says",
    "one network": "a single trained network: intervals are over rounds of its pruning, and say nothing of another network",
    "other network": "not a network of Table I; what follows is about ours",
    "other data": "not a dataset, or only a sample of one, that the statement is about; what follows is about ours",
}


def claims(**records: Sequence[Record]) -> pd.DataFrame:
    """What the paper says, what of it our records can test, and what they say.

    Parameters
    ----------
    records : lists of records by the names of `Records`; those that are missing count as empty

    Returns
    -------
    DataFrame
        place, claim (in our words), tested by, here (our numbers), verdict (of `CLAIM_VERDICTS`). Accuracies are top-1 on
        the test split, robust instances by Definition III.2. A verdict begins with what was not as in the paper's statement
        (`conditions`). No correction is made for the number of claims; `attrs["repetitions"]` says so.
    """
    frames = Frames.of(by_part(Records, records))
    return table_of(CLAIMS, frames, conditions, over_what(frames))


def expectations(**records: Sequence[Record]) -> pd.DataFrame:
    """What the chapter expected before the runs, in the same form: "holds here" is what it said would confirm."""
    frames = Frames.of(by_part(Records, records))
    return table_of(EXPECTED, frames, partial(conditions, samples=()), over_what(frames))


def over_what(f: Frames) -> str:
    """What the intervals are over, and that the comparisons are many: sentences for a caption."""
    sentences = []
    groups: Any = f.frame.groupby(["dataset", "arch"], sort=False) if len(f.frame) else []
    found = [(network(*key) + _shorter(key[0], rows), rows.seed.nunique()) for key, rows in groups]
    several = [f"{n} of {name}" for name, n in found if n > 1]
    one = [name for name, n in found if n == 1]
    sentences += [f"Intervals are over trained networks: {', '.join(several)}."] if several else []
    sentences += [f"One network of {', '.join(one)}: intervals are over rounds of its pruning."] if one else []
    many = "No correction for the number of claims: of twenty true nulls, one would separate by chance."
    return " ".join([*sentences, many])


def _shorter(dataset: str, rows: pd.DataFrame) -> str:
    """That the paper's network was trained for another time than the paper's, in brackets."""
    own = sorted(set(rows.epochs) - {PAPER_EPOCHS}) if dataset in PAPER else []
    return f" (trained for {' and '.join(map(str, own))} of the paper's {PAPER_EPOCHS} epochs)" if own else ""


def conditions(said: Said, on: frozenset[Network], networks: int, samples: Sequence[str] = SAMPLES) -> str:
    """In what the cases were not as in the paper's statement: "one network, other data", or nothing.

    `networks` is `annealing_evidence.ONE` or `SEVERAL`, and stands where other papers' cases have epochs. `samples` count as
    other data.
    """
    words = {
        "one network": bool(on) and networks == by.ONE,
        "other network": any(network.arch not in said.archs or network.width != 1 for network in on),
        "other data": any(network.dataset not in said.datasets or network.dataset in samples for network in on),
    }
    return ", ".join(word for word, applies in words.items() if applies)


def _about(*datasets: str) -> Said:
    return Said(tuple(MODELS[name].arch for name in datasets), datasets)


ALL, PICTURES = _about(*PAPER), _about("mnist", "cifar10")
CREDIT, KDD, MNIST, CIFAR = (_about(name) for name in PAPER)
NOWHERE = Said()
READ = "in the paper's reading and the code's"
NARROW = (
    f"undecided where these are less than {WIDE:g} points in the mean, a limit set after the runs, on a referee's objection"
)

EXPECTED = [Claim(*claim) for claim in (
    ("Question 1", "Eq. 2 as printed is no better than chance.", f"paper minus random pairs; holds if surely less than "
     f"{by.SAME:g} point ahead", ALL, by.no_better("paper", "random pairs")),
    ("Question 2", "Absolute weights are better than signed ones.", "absolute minus paper", ALL,
     by.minus("absolute", "paper", 75.0)),
    ("Question 3", "The squashed NORM saturates on trained networks, in the text's reading.", "1 - sigma of a whole "
     f"pruning; holds if below {by.SATURATED:g}", ALL, by.saturates),
    ("Question 4", "Annealing does little more than the order by saliency.", "everything accepted, minus the reading; "
     f"holds if within {by.SAME:g} point", ALL, by.as_good_as("*, everything accepted")),
    ("Question 5", "The code does better than the text.", "official minus paper", ALL, by.minus("official", "paper", 75.0)),
    ("Question 5", "By its saliency: one-shot pruning by it keeps most of the lead.", "one-shot, official minus paper, less "
     "half of official minus paper", ALL, by.most_of_the_lead),
    ("Question 6", "Zonotopes find better pairs.", "greedy by zonotopes minus greedy by intervals", ALL,
     by.minus("absolute, greedy by zonotopes", "absolute, greedy")),
    ("Question 7", "Robustness does not outlive accuracy: less of it is kept.", "what is kept of accuracy minus what is "
     f"kept of robust instances, when {by.HALF:g} % are gone", PICTURES, by.outlived_by_accuracy),
    ("Question 8", "Relative gains are largest where the pruned network is of little use.", "accuracy left at the share of "
     f"the largest gain; holds if surely below {by.OF_USE:g} % of the original; judged where the gain is sure", ALL,
     by.largest_gain_is_where_little_is_left),
    ("Question 9", "80 % of the MNIST network take seconds.", "Table II's steps; holds if within ten seconds", MNIST,
     by.quick),
    ("Question 10", "The method is no sturdier under noise, blur, light and compression than one-shot pruning and random "
     "pairs that leave the same accuracy.", f"minus theirs, on corrupted images, mean over the accuracies on clean ones "
     f"that both have; holds if surely less than {by.SAME:g} point ahead; {NARROW}", PICTURES, by.no_sturdier),
)]  # fmt: skip

CLAIMS = [Claim(*claim) for claim in (
    ("Sections I, VI.B", "Half of the accuracy is left when half of the units are gone.", "accuracy in percent of that "
     f"before, {READ}; holds if surely above {by.KEPT:g} and above one answer to all inputs", ALL,
     by.keeps(by.AT_HALF, False)),
    ("Sections I, VI.B", "Half of the robust instances are left when 70 % of the units are gone.", "the same of robust "
     "instances", PICTURES, by.keeps(by.AT_MORE, True)),
    ("Section VI.B", "Model 1 loses almost nothing, even at 80 %.", f"points lost at 80 %; holds if surely below "
     f"{by.LOSSLESS:g}", CREDIT, by.lossless),
    ("Section VI.B", "Robustness grows slightly as units go.", "robust instances at 10 to 30 %, minus before; holds "
     "if surely above 0", PICTURES, by.grows),
    ("Section VI.B", "Robustness has the same trend as accuracy.", "rank correlation along the curve; holds if above "
     f"{by.SAME_TREND:g}", PICTURES, by.same_trend),
    ("Abstract, section VI.D", "Accuracy is better than by one-shot pruning.", "minus one-shot pruning by the same "
     "saliency, mean over shares up to 50 %", ALL, by.ahead_of_one_shot(False)),
    ("Abstract, section VI.D", "Robustness is better than by one-shot pruning.", "the same of robust instances", PICTURES,
     by.ahead_of_one_shot(True)),
    ("Abstract, section VI.D", "That is owed to the method, not to any pairs that are merged. (We add this one.)", "minus "
     "pairs drawn by lot, mean over shares up to 75 %", ALL, by.ahead_of("random pairs")),
    ("Section III.A", "Corrupted images are answered better than after one-shot pruning, and than after random pairs, with "
     "as many units gone. (We add this one: the paper names such disturbances, and tests none.)", "accuracy over all kinds "
     "and severities, minus theirs, mean over shares up to 50 %", PICTURES, by.sturdier("share")),
    ("Section III.A", "The same where clean images are answered equally well. (We add this one.)", "the same, mean over the "
     f"accuracies on clean images that both have, down to {LEAST:g} % of the original; {NARROW}", PICTURES,
     by.sturdier("accuracy")),
    ("None: our own change", "Absolute weights: corrupted images are answered better, with as many units gone.",
     "the reading absolute, as in the two claims above", PICTURES, by.sturdier("share", by.OURS)),
    ("None: our own change", "Absolute weights: the same where clean images are answered equally well.",
     "the reading absolute, as in the claims above", PICTURES, by.sturdier("accuracy", by.OURS)),
    ("Sections I, VI.D", "Robustness improves by up to 42 % (model 3).", "largest improvement of each repetition; holds if "
     "surely above that, and surely above random pairs", MNIST, by.gains_as_much("mnist", "robust", 42.0)),
    ("Sections I, VI.D", "Accuracy improves by up to 66 % (model 4).", "the same of accuracy", CIFAR,
     by.gains_as_much("cifar10", "top1", 66.0)),
    ("Section VI.D", "Accuracy improves by up to 3x (model 2). (Read as 200 % more.)", "the same", KDD,
     by.gains_as_much("kddcup99", "top1", 200.0)),
    ("Section VI.D", "Model 1: one-shot pruning is almost lossless as well.", f"points of accuracy lost at 50 %; holds if "
     f"surely below {by.LOSSLESS:g}", CREDIT, by.both_lossless),
    ("Section IV.A, Eq. 2", "A lower saliency means less impact.", "rank correlation of saliency and change of the outputs "
     "over single removals", ALL, by.foretells("saliency, Eq. 2 as printed")),
    ("Section IV.A, Eq. 2", "The same with the mean of absolute weights, and with the code's norm. (We add this one.)",
     "the same", ALL, by.foretells("saliency, absolute weights", "saliency, delegate's norm")),
    ("Section V.B, Eq. 4", "A smaller NORM means less change.", "rank correlation of NORM and change of the outputs", ALL,
     by.foretells("NORM, interval")),
    ("Section V.B, Eq. 4", "The same of the code's bounds. (We add this one.)", "the same", ALL,
     by.foretells("NORM, official")),
    ("Section V.B, Eq. 7", "A smaller ENT means less change.", "rank correlation of ENT and change of the outputs", ALL,
     by.foretells("ENT, interval")),
    ("Section V.B, Eq. 8", "A lower energy means less change.", "rank correlation of energy and change of the outputs", ALL,
     by.foretells("energy, interval", "energy, official")),
    ("Section V.A", "Interval arithmetic bounds the impact.", "share of the pairs whose NORM is below the range measured on "
     "inputs; holds if none, 0.1 % allowed for rounding", ALL, by.sound("interval")),
    ("Section V.A", "So do the code's intervals.", "the same; of these, none found is no proof", ALL, by.sound("official")),
    ("Sections V.B, V.C", "The energy guides the choice: candidates that it rejects would do worse.", "minus the same walk "
     "with everything accepted", ALL, by.ahead_of("*, everything accepted")),
    ("Section V.B", "Entropy helps: alpha 0.75 is better than NORM alone.", "minus alpha 1", ALL, by.ahead_of("*, alpha 1")),
    ("Section VI.A", "Alpha 0.75 suits all models: others do no better. (Read as: the rest does not matter.)",
     f"other alphas, minus it; holds if within {by.SAME:g} point", ALL,
     by.as_good_as("*, alpha 0", "*, alpha 0.5", "*, alpha 1")),
    ("Section V.C", "Accepting some that are worse avoids local optima: it is better than to accept none.", "minus "
     "temperature 0", ALL, by.ahead_of("*, nothing worse")),
    ("Section V.C", "Annealing does better than taking the lowest energy. (The paper has cost as its reason alone.)",
     "minus the greedy mode of the same reading, mean over shares up to 50 %", ALL, by.ahead_of("*, greedy", most=50.0)),
    ("Section VI.C", "Small steps are not necessary.", f"steps of 1/64, 1/8 and 1/4; holds if within {by.SAME:g} point of "
     "1/32", ALL, by.as_good_as("*, step 1/64", "*, step 1/8", "*, step 1/4")),
    ("Section VII", "More precise bounds would improve the choice.", "zonotopes minus intervals, all else the same", ALL,
     by.improved_by("*, zonotope", "*, zonotope, nothing worse")),
    ("Section VI.C, Table II", "80 % are pruned within 8 minutes.", "seconds, in the steps of Table II", ALL, by.fast),
    ("Section VI.D", "Model 2 and model 4 gain less from 45 % on.", "would take a rule for where a curve turns, which noise "
     "cannot meet", NOWHERE, by.untested),
    ("Section I", "It generalises to a wide range of architectures.", "would take others than Table I's", NOWHERE,
     by.untested),
)]  # fmt: skip
