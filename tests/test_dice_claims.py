from dataclasses import replace

import pandas as pd
import pytest
from dice_records import baseline, compared, network, profiled, read, repeated, stopped, sweep, timed, transferred

from prunebook.errors import BadValue
from prunebook.report import dice_claims, dice_evidence, kcore_claims, kcore_tables
from prunebook.report.kcore_claims import Network, Said, judged
from prunebook.report.tables import Values
from prunebook.studies import dice as study
from prunebook.trials import Record, Trial
from prunebook.trials.engine import MixedNetworks

HERE = "guessed network: "  # of our small network, on a dataset and with a schedule of the thesis


def claim(words: str, **records: list[Record]) -> pd.Series:
    (found,) = (claim for claim in dice_claims.CLAIMS if words in claim.claim)
    return pd.Series(judged(found, dice_claims.Records(**records), dice_claims.conditions))


def verdict(words: str, **records: list[Record]) -> str:
    return claim(words, **records).verdict


def two(dice: list[float], other: list[float], method: str = "l1", **given: object) -> list[Record]:
    return repeated("dice", dice, **given) + repeated(method, other, **given)


def alone(**given: object) -> dict[str, object]:
    return {"ratio": 0.2, "recalibrated": None, **given}


# The whole


def test_parts_that_a_run_lacks_come_from_the_first_other_run_that_has_them() -> None:
    own, other = repeated("dice", [98.0] * 3), repeated("dice", [90.0] * 3)
    ablations, last = two([97.0] * 3, [96.0] * 3), two([1.0] * 3, [2.0] * 3)
    given, taken = dice_claims.together(
        {"baselines": [baseline(0)], "equal_macs": own},
        {
            "curves": {"baselines": [baseline(0), baseline(2)], "equal_macs": other, "variants": []},
            "ablations": {"baselines": [baseline(2)], "variants": ablations, "stops": [stopped([99.0, 98.0], 1.0, 98.0)]},
            "last": {"variants": last},
        },
    )
    assert given["equal_macs"] == own
    assert given["variants"] == ablations
    assert given["transfers"] == []
    assert {record.params["fit"]["seed"] for record in given["baselines"]} == {0, 2}
    assert len(given["baselines"]) == 2
    assert taken == ["ablations: stops, variants"]
    assert not dice_claims.claims(**given).empty
    assert dice_claims.together({"equal_macs": own}, {})[1] == []


def test_records_of_two_copies_of_one_network_are_not_taken_together() -> None:
    def of_copy(digest: str, method: str) -> list[Record]:
        (record,) = repeated(method, [98.0])
        key = Trial("baseline", record.params["baseline"]).key
        return [replace(record, provenance={**record.provenance, "networks": {key: digest}})]

    runs = {"equal_macs": of_copy("a", "dice")}
    dice_claims.together(runs, {"curves": {"variants": of_copy("a", "l1")}})
    with pytest.raises(MixedNetworks, match="2 different copies"):
        dice_claims.together(runs, {"curves": {"variants": of_copy("b", "l1")}})


def test_without_records_nothing_can_be_said_but_that_the_thesis_contradicts_itself():
    frame = dice_claims.claims()
    assert set(frame.verdict) == {"cannot be tested with this run's records", "the thesis contradicts itself"}
    assert frame.claim.is_unique
    assert len(frame) >= 35


def test_what_is_recovered_stands_beside_the_unpruned_network_with_as_many_epochs():
    before = [baseline(seed, 80.0) for seed in range(3)]
    pruned = [compared("dice", seed, tuned=78.0 + seed) for seed in range(3)]
    control = [compared("dice", seed, tuned=82.0 + seed, ratio=0.0) for seed in range(3)]
    shorter = [compared("dice", seed, tuned=0.0, ratio=0.0, epochs=5) for seed in range(3)]
    records = dice_evidence.Records(baselines=before, equal_macs=pruned, controls=control + shorter)
    (case,) = dice_evidence.preserves(records)
    assert "-4.00\u00a0±\u00a00.00 (3) beside the unpruned network with as many epochs" in case.numbers
    (alone,) = dice_evidence.preserves(records._replace(controls=shorter))
    assert "beside" not in alone.numbers


def test_records_have_the_names_of_the_studys_parts():
    parameters = study.Parameters.check({"dataset": ["digits"]})
    assert set(dice_evidence.Records._fields) == set(study.parts(parameters))
    with pytest.raises(BadValue, match="records"):
        dice_claims.claims(prunings=[])


def test_every_verdict_is_explained():
    records = two([98.0, 98.1, 98.2], [97.0, 97.2, 97.1]) + repeated("random", [90.0, 80.0, 99.0])
    frame = dice_claims.claims(equal_macs=records, speeds=[timed([1, 1, 1], [0.5, 0.5, 0.5])])
    words = {"holds here", "undecided", "guessed network", "mixed", "other machine"}
    assert words <= {text.split("**")[1] for text in kcore_tables.legend(dice_claims.CLAIM_VERDICTS, frame.verdict)}


def test_the_page_says_what_the_intervals_are_over():
    html = kcore_claims.shown_claims(dice_claims.claims(equal_macs=repeated("dice", [98.0] * 3)), "thesis").to_html()
    assert "The thesis's claims, tested. Intervals" in html
    assert "Intervals are over trainings: 3 of dice_cnn on MNIST." in html
    assert "p &lt; 0.05" in html
    given = {"arch": "dice_cnn", "dataset": "mnist", "weights": "some.pt"}
    foreign = [compared("dice", seed, base=given) for seed in range(3)]
    over = dice_claims.claims(equal_macs=foreign).attrs["repetitions"]
    assert over.startswith("Intervals are over seeds of pruning and fine-tuning, with one trained network: 3 of")


def test_conditions_name_what_was_not_as_in_the_thesis():
    said = Said(("dice_cnn", "vgg19"), ("mnist",), 20)

    def words(arch: str, dataset: str, epochs: int, width: float = 1) -> str:
        return dice_claims.conditions(said, frozenset({Network(dataset, arch, width, 0)}), epochs)

    assert words("vgg19", "mnist", 20) == ""
    assert words("dice_cnn", "mnist", 20) == "guessed network"
    assert words("resnet20", "digits", 0) == "other network, other data, not fine-tuned"
    assert words("dice_cnn", "mnist", 4, width=0.5) == "other network, guessed network, other schedule"
    assert dice_claims.conditions(said, frozenset(), 0) == ""


def test_fewer_than_three_repetitions_are_undecided_and_more_may_show_no_difference():
    assert dice_evidence.side(Values([0.1, -0.1, 0.2])) == "no difference found"
    assert dice_evidence.side(Values([0.1, 0.1])) == "undecided"
    assert dice_evidence.side(Values([3.0, 3.1, 3.2])) == "holds here"


def test_two_things_are_alike_if_the_interval_says_so():
    assert dice_evidence.alike(Values([0.1, -0.1, 0.2])) == "holds here"
    assert dice_evidence.alike(Values([3.0, 3.1, 3.2])) == "does not hold here"
    assert dice_evidence.alike(Values([-3.0, 0.0, 3.0])) == "undecided"
    assert dice_evidence.alike(Values([0.0, 0.0])) == "undecided"


# Beside other methods


AHEAD, BEHIND = ([98.0, 98.1, 98.2], [97.0, 97.2, 97.1]), ([97.0, 97.2, 97.1], [98.0, 98.1, 98.2])


@pytest.mark.parametrize(("sides", "found"), [(AHEAD, "holds here"), (BEHIND, "the opposite holds here")])
def test_dice_leads_at_equal_macs_if_the_interval_is_above_0(sides, found):
    row = claim("still ahead", equal_macs=two(*sides))
    assert row.verdict == HERE + found
    assert "in the thesis +3" in row.here
    assert verdict("still ahead", equal_macs=two(sides[0][:2], sides[1][:2])) == HERE + "undecided"
    assert verdict("still ahead", equal_macs=two(*sides, dataset="digits")) == "guessed network, other data: " + found
    assert verdict("still ahead", equal_macs=two(*sides, epochs=10)) == "guessed network, other schedule: " + found


def test_methods_of_unequal_cost_are_not_compared_at_equal_cost():
    records = repeated("dice", AHEAD[0], left=0.57) + repeated("l1", AHEAD[1], left=0.56)
    assert verdict("still ahead", equal_macs=records) == HERE + "unequal cost"


def test_table_2_is_compared_as_the_thesis_does_and_with_equal_scope():
    records = (
        repeated("dice", [98.0, 98.1, 98.2], left=0.65, **alone())
        + repeated("dice", [95.0, 95.2, 95.1], left=0.58, layers="all", **alone())
        + repeated("l1", [97.0, 97.2, 97.1], left=0.58, layers="all", **alone())
    )
    assert verdict("At a ratio of 0.2, Dice is ahead", fixed_ratio=records) == HERE + "holds here"
    assert verdict("does not come from pruning less", fixed_ratio=records) == HERE + "the opposite holds here"
    row = claim("the speed-up is 1.55", fixed_ratio=records)
    assert row.here == (
        "ratio of MACs — dice_cnn on MNIST, Dice: 1.54 beside 1.55; dice_cnn on MNIST, the others: 1.72 beside 1.72"
    )
    assert row.verdict.startswith(HERE + "mixed: does not hold here (dice_cnn on MNIST, Dice)")
    assert verdict("slightly lower", fixed_ratio=records) == HERE + "does not hold here"  # 11 %
    other = [compared("l1", s, layers="all", **alone(ratio=0.5)) for s in range(3)]
    assert verdict("the speed-up is 1.55", fixed_ratio=other) == "cannot be tested with this run's records"


def test_the_best_other_method_is_picked_on_the_validation_split():
    better_on_test = repeated("l1", [98.0] * 3, val=90.0)
    better_on_val = repeated("random", [95.0] * 3, val=91.0)
    records = repeated("dice", [98.0, 98.1, 98.2]) + better_on_test + better_on_val
    row = claim("lead over the best other", equal_macs=records)
    assert "+3.10" in row.here
    assert "over random, in the thesis +3" in row.here
    assert row.verdict == HERE + "holds here"
    assert verdict("lead over the best other", equal_macs=two([98.0] * 3, [98.0] * 3)) == HERE + "does not hold here"


def test_others_are_clustered_if_their_means_are_close():
    def others(*means: float) -> list[Record]:
        methods = zip(("l1", "random", "group_norm"), means, strict=True)
        return [r for m, top1 in methods for r in repeated(m, [top1, top1 + 0.1, top1 - 0.1], layers="all", **alone())]

    assert verdict("lie close together", fixed_ratio=others(90, 91, 92.9)) == HERE + "holds here"
    assert verdict("lie close together", fixed_ratio=others(90, 91, 93.2)) == HERE + "does not hold here"
    scattered = [r for m in ("l1", "random") for r in repeated(m, [90.0, 80.0, 99.0], layers="all", **alone())]
    far = repeated("group_norm", [80.0] * 3, layers="all", **alone())
    assert verdict("lie close together", fixed_ratio=scattered + far) == HERE + "holds here"
    once = [r for m in ("l1", "random") for r in repeated(m, [90.0], layers="all", **alone())]
    assert claim("lie close together", fixed_ratio=once).here.endswith("0.00 points between 2 methods, one training")


def test_consistently_means_in_every_cell():
    won, lost = two(*AHEAD), two(*BEHIND, dataset="cifar10")
    assert verdict("better consistently", equal_macs=won) == HERE + "holds here"
    row = claim("better consistently", equal_macs=won + lost)
    assert row.verdict == HERE + "does not hold here"
    assert row.here.startswith("Table 3: highest mean in 1 of 2 cells, highest in 3 of 6 trainings")
    at_a_ratio = repeated("l1", AHEAD[1], layers="all", **alone()) + repeated("dice", AHEAD[0], **alone())
    both = claim("better consistently", equal_macs=won, fixed_ratio=at_a_ratio)
    assert both.here.count("highest mean in 1 of 1 cells") == 2
    assert verdict("better consistently", equal_macs=two([98.0] * 3, [98.0] * 3)) == HERE + "does not hold here"


def test_criteria_of_magnitude_are_pooled_over_networks():
    near, far = two([98.0, 98.2, 98.1], [97.9, 98.3, 98.1]), two([80.0, 80.1, 80.2], [70.0, 70.2, 70.1], dataset="cifar10")
    row = claim("criteria of magnitude", equal_macs=near + far)
    assert "l1, same target, 2 networks: +5.00" in row.here
    assert row.verdict == HERE + "holds here"


def test_table_3_is_better_than_table_2_by_the_same_seeds():
    first = repeated("dice", [98.0, 97.0, 96.0], left=0.65, **alone())
    row = claim("both accuracy and speed-up improve", fixed_ratio=first, equal_macs=repeated("dice", [97.0, 96.1, 94.9]))
    assert row.verdict == HERE + "the opposite holds here"
    assert "speed-up 1.54 to 1.76" in row.here


def test_what_is_left_of_the_accuracy_is_told_in_percent_and_points():
    before = [baseline(seed, 99.0) for seed in range(3)]
    records = repeated("dice", [98.5, 98.4, 98.6])
    assert "+0.50" in claim("Accuracy is preserved", baselines=before, equal_macs=records).here
    longer = {"baselines": before, "controls": [compared("dice", seed, tuned=98.6, ratio=0.0) for seed in range(3)]}
    for words in ("Accuracy is preserved", "are recovered"):
        assert verdict(words, baselines=before, equal_macs=records) == HERE + "undecided"  # without the control
        assert verdict(words, equal_macs=records, **longer) == HERE + "holds here"
        worse = repeated("dice", [70.0, 70.1, 70.2])
        assert verdict(words, equal_macs=worse, **longer) == HERE + "does not hold here"
    better = {**longer, "controls": [compared("dice", seed, tuned=99.9, ratio=0.0) for seed in range(3)]}
    assert verdict("Accuracy is preserved", equal_macs=records, **better) == HERE + "does not hold here"
    assert verdict("are recovered", equal_macs=records) == "cannot be tested with this run's records"


def test_leads_are_compared_between_datasets():
    hard, easy = two([80.0, 80.1, 80.2], [70.0, 70.2, 70.1], dataset="cifar10"), two(*AHEAD)
    assert verdict("more on CIFAR-10 than on MNIST", equal_macs=hard + easy) == HERE + "holds here"
    assert verdict("more on CIFAR-10 than on MNIST", equal_macs=easy) == "cannot be tested with this run's records"
    deep = [r for data, sides in (("cifar10", ([80.0, 80.1, 80.2], [70.0, 70.2, 70.1])), ("mnist", AHEAD))
            for r in two(*sides, dataset=data, arch="resnet50")]  # fmt: skip
    assert verdict("ResNet-50 gains particularly on MNIST", equal_macs=deep) == "the opposite holds here"


def test_random_is_unreliable_if_it_scatters_more():
    steady = repeated("l1", [97.0, 97.1, 97.2, 97.1]) + repeated("group_norm", [97.0, 97.1, 97.2, 97.1])
    wild = repeated("random", [90.0, 95.0, 99.0, 80.0])
    assert verdict("Random pruning is unreliable", equal_macs=steady + wild) == HERE + "holds here"
    assert verdict("Random pruning is unreliable", equal_macs=steady + repeated("random", [97.0, 97.1, 97.2, 97.1])) == (
        HERE + "undecided"
    )


# Cost and time


def test_a_ratio_is_compared_where_the_speed_up_is_the_thesiss():
    assert verdict("A ratio of 0.25", equal_macs=repeated("dice", [98.0], ratio_found=0.258)) == HERE + "holds here"
    assert verdict("A ratio of 0.25", equal_macs=repeated("dice", [98.0], ratio_found=0.29)) == HERE + "does not hold here"
    other = repeated("dice", [98.0], left=0.5)
    assert verdict("A ratio of 0.25", equal_macs=other) == "cannot be tested with this run's records"


def test_inference_is_faster_if_the_quartiles_are_apart():
    assert verdict("Inference", speeds=[timed([0.9, 1, 1.1], [0.4, 0.5, 0.6])]) == "other machine: holds here"
    assert verdict("Inference", speeds=[timed([0.9, 1, 1.1], [0.4, 0.5, 0.95])]) == "other machine: undecided"
    slower = claim("Inference", speeds=[timed([0.4, 0.5, 0.6], [0.9, 1, 1.1])])
    assert slower.verdict == "other machine: the opposite holds here"
    assert "0.50 (0.36 to 0.67) beside 2.00 in MACs" in slower.here


def test_minutes_are_compared_by_epoch():
    before = [baseline(seed, seconds=200.0) for seed in range(3)]
    records = repeated("dice", [98.0] * 3, seconds=160.0)
    row = claim("60 minutes", baselines=before, equal_macs=records)
    assert (row.verdict, "beside 0.80, and 0.57 of the MACs" in row.here) == ("other machine: agrees", True)
    slow = repeated("dice", [98.0] * 3, seconds=260.0)
    assert verdict("60 minutes", baselines=before, equal_macs=slow) == "other machine: disagrees"
    hardware = {"processor": "another", "threads": 1}
    elsewhere = [replace(one, provenance={**one.provenance, "hardware": hardware}) for one in before]
    assert verdict("60 minutes", baselines=elsewhere, equal_macs=records) == "cannot be tested with this run's records"


# Recalibration


def cut_and_repaired(method: str, cut: list[float], repaired: list[float]) -> list[Record]:
    return [
        compared(method, seed, cut=before, recalibrated=after)
        for seed, (before, after) in enumerate(zip(cut, repaired, strict=True))
    ]


def test_recalibration_is_compared_before_fine_tuning():
    dice = cut_and_repaired("dice", [50.0, 51.0, 52.0], [90.0, 91.2, 92.1])
    l1 = cut_and_repaired("l1", [70.0, 71.0, 72.0], [95.0, 96.0, 97.2])
    assert verdict("helps every method", equal_macs=dice + l1) == HERE + "holds here"
    assert verdict("helps Dice most", equal_macs=dice + l1) == HERE + "holds here"
    assert verdict("distorts the activations more", equal_macs=dice + l1) == HERE + "holds here"
    worse = cut_and_repaired("l1", [40.0, 41.0, 42.0], [30.0, 31.1, 32.0])
    assert "the opposite holds here (dice_cnn on MNIST, l1)" in verdict("helps every method", equal_macs=dice + worse)
    assert verdict("distorts the activations more", equal_macs=dice + worse) == HERE + "the opposite holds here"


def trained(what: str, with_it: list[float], without: list[float]) -> list[Record]:
    return [
        compared("dice", seed, tuned=top1, trainable=what, recalibrated=images)
        for values, images in ((with_it, 90.0), (without, None))
        for seed, top1 in enumerate(values)
    ]


def test_recalibration_that_changes_nothing_does_not_help():
    words = "so that fine-tuning ends higher"
    same = trained("all", [97.0, 98.0, 99.0], [97.0, 98.0, 99.0])
    row = claim(words, tunings=same)
    assert row.verdict == HERE + "equal by construction"
    assert "+" not in row.here.split(": ")[-1]
    assert "the largest 0.000" in row.here
    near = trained("all", [97.0, 98.0, 99.0], [97.01, 98.0, 99.0])
    assert verdict(words, tunings=near) == HERE + "does not hold here"
    assert verdict(words, tunings=trained("all", [97.0, 98.0, 99.0], [91.0, 92.1, 93.1])) == HERE + "holds here"
    head = trained("head", [97.0, 98.0, 99.0], [91.0, 92.1, 93.1])  # the thesis trains all weights
    assert verdict(words, tunings=head) == "cannot be tested with this run's records"


def test_training_the_head_alone_is_compared_with_the_rest():
    records = [
        *trained("all", [98.0, 98.1, 98.2], [98.0, 98.1, 98.2]),
        *trained("linear", [96.0, 96.2, 96.1], [90.0, 90.2, 90.1]),
        *trained("head", [95.0, 95.1, 95.3], [92.0, 92.1, 92.3]),
    ]
    assert verdict("last layer alone", tunings=records) == HERE + "holds here"
    linear = verdict("several linear layers", tunings=records)
    assert linear.startswith(HERE + "mixed: holds here (dice_cnn on MNIST, recalibrated)")


# Curves, readings, stop rule, candidates


RATIOS = [0.0, 0.1, 0.2, 0.3, 0.4]


def test_the_elbow_is_at_02_if_it_is_in_every_curve():
    bent, late = [90, 90, 90, 50, 10], [90, 90, 90, 90, 10]
    at_3, steep = [90, 90, 90, 89, 10], [90, 40, 20, 15, 10]

    def found(words: str, *curves: list[float]) -> str:
        return verdict(words, curves=[sweep(curve, RATIOS, seed) for seed, curve in enumerate(curves)])

    assert found("from a ratio of 0.2 on", bent, bent, at_3) == HERE + "holds here"
    assert found("from a ratio of 0.2 on", bent, bent, steep) == HERE + "undecided"
    assert found("from a ratio of 0.2 on", steep, steep, late) == HERE + "does not hold here"
    assert found("steeply at first", bent, bent, late) == HERE + "does not hold here"
    assert found("steeply at first", steep, steep, steep) == HERE + "holds here"


def test_networks_curves_are_compared_by_their_loss_at_02():
    curves = [
        sweep([90 + seed, 80, top1, 30, 10], RATIOS, seed, arch=arch)
        for arch, top1 in (("vgg19", 40), ("resnet50", 80)) for seed in range(3)
    ]  # fmt: skip
    row = claim("VGG-19 falls more sharply", curves=curves)
    assert "MNIST, pruned" in row.here
    assert row.verdict == "holds here"
    assert verdict("VGG-19 falls more sharply", curves=curves[:3]) == "cannot be tested with this run's records"


def test_readings_are_one_method_if_their_accuracy_is():
    base = read("as in this book", [90.0, 91.0, 92.0], "1100")
    same, apart = read("greedy", [90.1, 91.0, 91.9], "1010"), read("activations", [80.0, 81.2, 82.1], "0110")
    row = claim("all at once or one by one", variants=base + same + apart)
    assert row.verdict.endswith(
        "holds here (dice_cnn on MNIST, greedy); does not hold here (dice_cnn on MNIST, activations)"
    )
    assert "Jaccard 0.33, by chance 0.39" in row.here
    ends = base + read("high end only", [90.1, 91.0, 91.9], "1010")
    cut = HERE.replace(": ", ", not fine-tuned: ")
    assert verdict("Either end may go", variants=ends) == cut + "holds here"
    for top1, words in (([95.1, 96.0, 96.9], "holds here"), ([85.1, 86.0, 86.9], "does not hold here")):
        low = base + read("low end only", top1, "1010")
        assert verdict("Either end may go", variants=low) == cut + words
    assert verdict("all at once or one by one", variants=ends) == "cannot be tested with this run's records"
    middle = base + read("middle only (control)", [85.1, 86.0, 86.9], "0011")
    assert verdict("between the ends is essential", variants=middle) == cut + "holds here"
    better = base + read("middle only (control)", [95.1, 96.0, 96.9], "0011")
    assert verdict("between the ends is essential", variants=better) == cut + "the opposite holds here"


def test_quantiles_that_remove_as_many_are_compared():
    def at(alpha: float, top1: list[float], keep: str) -> list[Record]:
        return [
            compared("dice", seed, tuned=None, recalibrated=value, ratio=0.25, alpha=alpha, beta=0.75, keep=keep)
            for seed, value in enumerate(top1)
        ]

    words = "Quantiles as thresholds"
    base = at(0.1, [90.0, 91.0, 92.0], "0111")
    assert verdict(words, quantiles=base + at(0.2, [90.0, 91.0, 92.0], "0111")) == HERE + "equal by construction"
    assert verdict(words, quantiles=base + at(0.2, [90.1, 91.0, 92.1], "1011")) == HERE + "holds here"
    assert verdict(words, quantiles=base + at(0.2, [80.1, 81.0, 82.1], "1011")) == HERE + "does not hold here"
    fewer = base + at(0.2, [80.0, 81.0, 82.0], "1111")
    assert verdict(words, quantiles=fewer) == "cannot be tested with this run's records"


def test_the_stop_rule_is_judged_on_the_test_split():
    before = [baseline(seed, 99.0) for seed in range(3)]

    def found(tests: list[float]) -> str:
        rule = [stopped([98.0, 97.5, 90.0], 1, top1, seed) for seed, top1 in enumerate(tests)]
        return verdict("stays within that loss", baselines=before, stops=rule)

    assert found([98.5, 98.6, 98.4]) == HERE + "holds here"
    assert found([96.5, 96.6, 96.4]) == HERE + "does not hold here"
    assert found([98.0, 98.5, 97.5]) == HERE + "undecided"


def test_a_larger_allowance_removes_more_by_construction():
    rule = [stopped([98.0, 90.0], drop, 98.0, seed, fr=10 * drop + seed) for drop in (1, 5) for seed in range(3)]
    row = claim("adapts to the loss", stops=rule)
    assert (row.verdict, "+40.00" in row.here) == (HERE + "by construction", True)


def test_similarity_is_more_than_spread_unless_spread_orders_the_filters_alike():
    averages = [0.1, 0.2, 0.3, 0.4, 0.5]
    words = "how redundant it is"
    ordered = profiled(averages, averages[::-1])
    assert verdict(words, profiles=[ordered] * 3) == HERE + "does not hold here"
    assert verdict(words, profiles=[ordered]) == HERE + "undecided"  # one training
    assert verdict(words, profiles=[profiled(averages, [0.3, 0.1, 0.5, 0.2, 0.4])] * 3) == HERE + "undecided"


def test_the_layers_of_all_trainings_of_a_network_are_one_case():
    averages = [0.1, 0.2, 0.3, 0.4, 0.5]
    trainings = [profiled(averages, averages[::-1], seed=seed) for seed in range(2)]
    trainings += [profiled(averages, averages, seed=2), profiled(averages, averages, dataset="cifar10")]
    mnist, cifar10 = dice_evidence.more_than_spread(dice_evidence.Records(profiles=trainings))
    assert mnist.numbers == "median -1.00 (-1.00 to +1.00) over 3 layers of 3 trainings"
    assert cifar10.numbers == "median +1.00 (+1.00 to +1.00) over 1 layers"


def test_diverse_networks_are_better_starts_if_they_rank_higher():
    up = [transferred(0.1 * i, 10.0 * i, seed=i) for i in range(1, 8)]
    down = [transferred(0.1 * i, -10.0 * i, seed=i) for i in range(1, 8)]
    words = "better one to start from"
    assert verdict(words, transfers=up) == "holds here"
    assert verdict(words, transfers=down) == "the opposite holds here"
    assert verdict(words, transfers=up[:3]) == "undecided"
    row = claim(words, transfers=up, sources=[baseline(i, 90.0 - i, dataset="cifar10") for i in range(1, 8)])
    assert "source top-1 -1.00 (p = 0.0004)" in row.here


def test_a_network_of_another_width_is_another_network():
    narrow = [
        compared(m, s, tuned=t, base=network(s, width=0.5)) for m, t in (("dice", 98.0), ("l1", 97.0)) for s in range(3)
    ]
    assert verdict("still ahead", equal_macs=narrow) == "other network, guessed network: holds here"
