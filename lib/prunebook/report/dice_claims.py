"""The claims of the thesis on Sørensen-Dice pruning (Hajbi 2025), and what our records say of each.

Every verdict is computed, by `dice_evidence.side` from a paired difference or by the rule that stands with the claim;
`CLAIM_VERDICTS` says what each word means.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from prunebook.report import dice_evidence as by
from prunebook.report.dice_evidence import Records
from prunebook.report.dice_tables import GUESSED, SAME_COST, SAME_LEAD, THESIS_EPOCHS, THESIS_MODELS, network
from prunebook.report.kcore_claims import WORDS, Claim, Network, Said, by_part, table_of
from prunebook.trials import Record
from prunebook.trials.engine import check_comparable

CLAIM_VERDICTS = WORDS | {
    "undecided": "the interval includes the rule's limit, there are fewer than three repetitions, or the control that the "
    "rule asks for is missing or does as well",
    "unequal cost": f"the two sides differ by more than {SAME_COST:g} points of the MACs removed, so that a difference in "
    "accuracy would be one of cost as well",
    "equal by construction": "both sides keep the very same filters, or take the very same steps: nothing to test",
    "by construction": "the rule cannot come out otherwise, whatever the network",
    "other network": "no network that the statement is about; what follows is about ours",
    "guessed network": "the layers of the thesis's Custom CNN are in a figure that the text at hand does not have; what "
    "follows is about ours",
    "not fine-tuned": "accuracy before fine-tuning, which may close or reverse the gap",
    "other schedule": f"accuracy after another number of epochs than the thesis's {THESIS_EPOCHS}",
    "other machine": "a time on other hardware than the thesis's RTX 4090: not comparable but for a ratio",
    "the thesis contradicts itself": "two places of the thesis disagree on it",
}


def together(
    own: Mapping[str, Sequence[Record]], beside: Mapping[str, Mapping[str, Sequence[Record]]]
) -> tuple[dict[str, list[Record]], list[str]]:
    """The records to test the claims with: a run's own, and for parts that it lacks those of the first other run with some.

    Parameters
    ----------
    own : records by part, as `studies.dice.parts` names them
    beside : the same of other runs, by the names of these

    Returns
    -------
    The records for `claims`, with the networks before pruning of all runs; and in words which parts are whose.

    Raises MixedNetworks or MixedData where they were made with different copies of one network or dataset.
    """
    every = [own, *beside.values()]
    check_comparable(record for run in every for part in run.values() for record in part)
    shared = ("baselines", "growing", "sources")
    found = {name: _once(record for run in every for record in run.get(name, ())) for name in shared}
    words: dict[str, list[str]] = {}
    for name in Records._fields:
        if name not in shared:
            source = next((run for run, parts in {"": own, **beside}.items() if parts.get(name)), "")
            found[name] = list({"": own, **beside}[source].get(name, ()))
            words.setdefault(source, []).append(name.replace("_", " "))
    return found, [f"{run}: {', '.join(names)}" for run, names in words.items() if run]


def _once(records: Iterable[Record]) -> list[Record]:
    return list({(record.task, record.key): record for record in records}.values())


def claims(**records: Sequence[Record]) -> pd.DataFrame:
    """What the thesis says, what of it our records can test, and what they say.

    Parameters
    ----------
    records : lists of records by the names of `Records`; those that are missing count as empty

    Returns
    -------
    DataFrame
        place, claim (in our words), tested by, here (our numbers), verdict (of `CLAIM_VERDICTS`). Differences are paired:
        on one trained network and with one seed, then mean and 95 % t-interval over the trainings. An accuracy is top-1 on
        the test split, after fine-tuning where there was one. A verdict begins with what was not as in the thesis's
        statement (`conditions`). No correction is made for the number of claims; `attrs["repetitions"]` says so.
    """
    given: Records = by_part(Records, records)
    return table_of(CLAIMS, given, conditions, over_what(given))


def over_what(r: Records) -> str:
    """What the intervals are over, and that the comparisons are many: sentences for a caption."""
    parts = (r.equal_macs, r.fixed_ratio, r.variants, r.quantiles, r.tunings)
    frame = pd.concat([r.frame(part).assign(part=i) for i, part in enumerate(parts)])
    sentences = []
    for given, words in ((False, "trainings"), (True, "seeds of pruning and fine-tuning, with one trained network")):
        groups: Any = frame[frame.weights.astype(bool) == given].groupby(["dataset", "arch"])
        counted = [f"{_most_repeated(rows)} of {network(*key)}" for key, rows in groups]
        sentences += [f"Intervals are over {words}: {', '.join(counted)}."] if counted else []
    many = "No correction for the number of claims: of twenty true nulls, one would separate by chance."
    return " ".join([*sentences, many])


def _most_repeated(rows: pd.DataFrame) -> str:
    """How many repetitions a comparison has at most; "up to" where a part of the run has fewer."""
    counts = {len(part[["seed", "draw"]].drop_duplicates()) for _, part in rows.groupby("part")}
    return f"{'up to ' if len(counts) > 1 else ''}{max(counts)}"


def conditions(said: Said, on: frozenset[Network], epochs: int) -> str:
    """In what the cases were not as in the thesis's statement: "guessed network, other data", or nothing."""
    words = {
        "other network": any(network.arch not in said.archs or network.width != 1 for network in on),
        "guessed network": any(network.arch in said.archs and THESIS_MODELS[network.arch] == GUESSED for network in on),
        "other data": any(network.dataset not in said.datasets for network in on),
        "not fine-tuned": bool(on) and said.epochs > 0 and epochs == 0,
        "other schedule": bool(on) and said.epochs > 0 and epochs not in (0, said.epochs),
    }
    return ", ".join(word for word, applies in words.items() if applies)


BOTH = ("cifar10", "mnist")
NOWHERE = Said()  # for claims that are about no network of the thesis
TABLE_2 = Said(("dice_cnn", "resnet50", "vgg19"), BOTH, THESIS_EPOCHS)
TABLE_3 = Said(("dice_cnn",), BOTH, THESIS_EPOCHS)
COSTS = TABLE_2._replace(epochs=0)  # of statements about no accuracy after fine-tuning
CUT = TABLE_3._replace(epochs=0)

CLAIMS = [Claim(*claim) for claim in (
    ("Section 3.2", "The average similarity of a filter says how redundant it is among the others.",
     f"rank correlation with the filter's own spread, mean |w| / max |w|, which looks at no other filter; does not hold if "
     f"the median layer is beyond {by.OWN:g}; that it is not would not yet say that it does", COSTS, by.more_than_spread),
    ("Section 1.3, 6.3", "A network whose filters are more diverse is the better one to start from.",
     "candidates fine-tuned on another dataset; holds if rho > 0, p < 0.05 after Holm over the readings, and rho is above "
     "that of the accuracy on the old task", NOWHERE, by.diverse_starts),
    ("Chapter 2", "Random pruning is unreliable.", "its variance over trainings against that of the criteria, F-test",
     TABLE_3, by.random_scatters),
    ("Sections 1.2, 3.1, 3.2", "Weights or activations, Eq. 1 or line 6 of Algorithm 1, all at once or one by one: one "
     "method.", f"these readings at equal MACs; holds if top-1 differs by at most {by.SAME:g} point, by the interval",
     TABLE_3, by.one_method),
    ("Section 3.2, chapter 4", "Either end may go: filters like all others, and filters unlike all others.",
     f"each end alone at equal MACs; holds if that leaves at most {by.SAME:g} point less than both ends. How many of the "
     "removed were dead differs, too", TABLE_3, by.either_end),
    ("Chapter 4, after Table 3", "What lies between the ends is essential.",
     "removing the middle instead, at equal MACs; holds if that leaves less accuracy. Fewer of the removed were dead, too",
     TABLE_3, by.middle_is_essential),
    ("Section 3.2", "Removal adapts to the loss of accuracy that is allowed.", "the stop rule at the largest and the "
     "smallest drop", COSTS, by.adapts),
    ("Section 3.2", "The network stays within that loss. (The rule looks at the validation split, the "
     "claim is tested on the test split.)", "the stop rule; holds if the points lost on the test split are below the "
     "allowed ones", COSTS, by.keeps_to_the_drop),
    ("Sections 1.4, 6.1", "Quantiles as thresholds make tuning needless.",
     f"other quantiles that let as many filters go; holds if top-1 moves by at most {by.SAME:g} point", CUT, by.no_tuning),
    ("Abstract", "Accuracy is preserved.", f"the drop of Dice after fine-tuning, from the unpruned network with as many "
     f"epochs more; holds if below {by.PRESERVED:g} point", TABLE_2, by.preserves),
    ("Table 2", "At a ratio of 0.2, Dice is ahead of every other method. (Unequal cost: the others prune linear layers "
     "too.)", "Dice minus each", TABLE_2, by.ahead_as_in_table_2),
    ("Chapter 4, after Table 3", "That does not come from pruning less.", "the same with Dice pruning linear layers too",
     TABLE_2, by.ahead_at_equal_cost),
    ("Table 2", "The other methods lie close together.", f"range of their means; holds if at most {by.CLUSTERED:g} points "
     "or two deviations over trainings", TABLE_2, by.clustered),
    ("Table 2", "At a ratio of 0.2 the speed-up is 1.55 for Dice and 1.64 or 1.72 for the others (ResNet-50: 2.28 for "
     "Dice).", "ratio of MACs; holds if it rounds to that", COSTS, by.speed_ups),
    ("Chapter 5", "Dice's speed-up in Table 2 is slightly lower than that of the others.",
     f"ratio of MACs; holds if it is lower, by at most {100 * by.SLIGHTLY:g} %", COSTS, by.slightly_slower),
    ("Table 3", "When all remove the same, with batch norm recalibrated, Dice is still ahead of every other method.",
     "Dice minus each", TABLE_3, by.ahead_as_in_table_3),
    ("Table 3", "A ratio of 0.25 gives a speed-up of 1.76.", "the ratio found for that; holds if it is within 0.01", CUT,
     by.ratio_for_176),
    ("Tables 2 and 3", "Dice's lead over the best other method is 2 to 18 points in Table 2, and 3 and 5 in Table 3.",
     f"the same, the best picked by validation accuracy; holds if within {SAME_LEAD:g} points by the interval", TABLE_2,
     by.leads_as_far),
    ("Chapter 4, section 6.1", "Dice is better consistently.", "cells of both tables; holds if its mean is highest in all",
     TABLE_2, by.best_everywhere),
    ("Section 6.1", "Dice is better than criteria of magnitude, L1 and group norm.", "Dice minus each, mean over networks",
     TABLE_2, by.beats_magnitudes),
    ("Chapter 4, on Table 3", "From Table 2 to Table 3, both accuracy and speed-up improve.",
     "accuracy in the latter minus the former, method by method, after as many epochs", TABLE_3, by.better_in_table_3),
    ("Chapter 4", "80 to 90 % of the unpruned accuracy are recovered, sometimes more than all of it.",
     f"accuracy of Dice over that of the unpruned network with as many epochs more; holds if above {by.RECOVERED:g} %",
     TABLE_2, by.recovers),
    ("Chapter 4", "Recalibrating batch norm helps every method.", "accuracy with it minus without, before fine-tuning", CUT,
     by.recalibration_helps),
    ("Chapter 4", "It helps to converge, so that fine-tuning ends higher. (With all weights trained, no step reads the "
     "statistics that were replaced.)", f"fine-tuned with it minus without; does not hold if surely within "
     f"{by.NEGLIGIBLE:g} points of 0", TABLE_3, by.recalibration_lasts),
    ("Chapter 4", "It helps Dice most.", "Dice's gain minus each other's", CUT, by.helps_dice_most),
    ("Chapter 4", "Because Dice distorts the activations more.", "by proxy: accuracy of each other minus Dice's, only cut",
     CUT, by.distorts_most),
    ("Chapter 4, Figure 2", "Accuracy falls faster from a ratio of 0.2 on, whatever the network.",
     "the point of each curve farthest above the line between its ends (validation split, only cut; ours end at a ratio of "
     "0.9, the figure's end is not known); holds if within a grid point in all trainings, does not if in at most half",
     COSTS, by.elbow_at_02),
    ("Chapter 4, Figure 2", "It falls steeply at first.",
     "share of Dice's loss that is lost at 0.2; holds if above a straight line's", COSTS, by.steep_at_first),
    ("Chapter 4, Figure 2", "VGG-19 falls more sharply than ResNet-50.", "share of the loss at 0.2, Dice", COSTS,
     by.vgg_falls_sharper),
    ("Chapter 4, Figure 2", "A flatter curve shows more redundancy inside.", "would take several networks", COSTS,
     by.untested),
    ("Chapter 4", "Pretrained networks are more resilient.", "would take one network with and without", COSTS, by.untested),
    ("Chapter 4", "Inference becomes faster.", "times of a forward pass before and after; holds if their quartiles are "
     "apart", NOWHERE, by.faster_in_time),
    ("Chapter 4", "Pruning and training take 60 minutes instead of 75.",
     "seconds of an epoch; agrees if surely within 0.1 of 0.80", NOWHERE, by.minutes),
    ("Chapter 4, end", "Dice gains more on CIFAR-10 than on MNIST.", "mean leads over the others, by seed", TABLE_3,
     by.more_on_cifar),
    ("Chapter 4, section 6.1", "Dice gains most on compact, shallow networks; or on deep ones.", "the thesis alone", NOWHERE,
     by.contradicted("the end of chapter 4 says the one, section 6.1 the other")),
    ("Chapter 5", "Training the last layer alone after pruning is not enough.", "training all weights minus that", TABLE_3,
     by.head_is_not_enough),
    ("Chapter 5", "Training several linear layers helps.", "training all linear layers minus the last alone", TABLE_3,
     by.linear_layers_help),
    ("Chapter 5", "ResNet-50 gains particularly on MNIST.", "mean leads over the others, by seed", TABLE_2,
     by.more_on_mnist),
)]  # fmt: skip
