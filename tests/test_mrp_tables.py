"""The tables of the MRP page, on records made by hand: the Role-Information study, plans, methods, numbers."""

import math
from typing import Any

import mrp_records as made
import pytest

from prunebook.report import mrp_tables as tables
from prunebook.studies.mrp import GRAPHS, METHODS, VARIANTS
from prunebook.trials import Record

ALL = ("maps", "weights", "phash", "dice", "removal", "replaced", "swaps")


def layers(n: int = 8, **gains: made.Gains | None) -> list[dict[str, Any]]:
    """Layers that differ a little from each other, so that intervals have a width."""
    return [
        made.layer(f"layer{i}", **{test: g and tuple(x * (1 + 0.02 * i) for x in g) for test, g in gains.items()})
        for i in range(n)
    ]  # fmt: skip


def study(*rows: dict[str, Any], **given: Any) -> tables.Tested:
    (one,) = tables.tested([made.studied(rows, **given)])
    return one


# The Role-Information study


def test_the_comparison_that_decides_is_told_with_its_interval_and_p_after_holm() -> None:
    one = study(*layers(removal=(0.2, 0.1, 0.05)))
    frame = tables.roles([one]).set_index("test")
    row = frame.loc["(b) removal, loss"]
    assert row.network == "resnet20 on CIFAR-10"
    assert row["inside minus outside"].startswith("-0.054 (-0.05")
    assert row["set against"] == "that, less the same in rewired graphs"
    assert (row.layers, row.verdict) == ("8 of 8", "as predicted")
    assert (row.p, row.Holm) == (f"{2 / 2**8:.2g}", f"{5 * 2 / 2**8:.2g}")
    assert frame.loc["(a) likeness, maps", "Holm"] == "1"
    assert tables.roles([study(*layers(7))]).Holm.tolist() == ["—"] * 5


def test_every_test_has_one_comparison_that_decides() -> None:
    frame = tables.roles([study(*layers())])
    assert frame.test.tolist() == [
        "(d) structure, modularity", "(a) likeness, maps", "(b) removal, loss", "(b') replacement, loss",
        "(c) exchange, loss",
    ]  # fmt: skip
    assert frame["set against"].tolist() == [
        tables.BESIDE[name] for name in ("spectrum", "untrained", "beyond", "beyond", "beyond")
    ]


def test_what_decides_nothing_stands_in_a_table_of_its_own() -> None:
    frame = tables.beside([study(*layers(removal=(0.2, 0.1, 0.05)))]).set_index("test")
    assert len(frame) == 1 + 6 + 3 * 2
    assert frame.loc["(b) removal, loss", "any, without that care"].startswith("-0.214 (")
    assert frame.loc["(b) removal, top-1", "with company, as large or as alike"].startswith("+1.07 (")
    assert frame.loc["(d) structure, modularity", "less rewired graphs"].startswith("+0.100 (")
    assert frame.loc["(d) structure, modularity", "any, without that care"] == ""


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((0.1, 0.05, 0.02), "as predicted"),
        ((0.1, 0.05, -0.02), "the opposite"),
        ((0.1, 0.05, 0.0), "not shown"),  # whatever it has beside others, rewired graphs have too
        ((-0.1, -0.05, 0.02), "as predicted"),
        (None, "undecided"),
    ],
)
def test_a_test_goes_by_what_is_left_beside_company_and_rewired_graphs_at_once(
    gains: made.Gains | None, verdict: str
) -> None:
    assert tables.verdicts(study(*layers(swaps=gains)))["swaps"] == verdict


def test_what_separates_alone_is_not_shown_after_holm() -> None:
    rows = [made.layer(removal=(0.2, 0.2, gain)) for gain in (0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 0.2, -0.05)]
    one = study(*rows)
    assert one.decisive("removal").p < 0.05 < one.p["removal"]
    assert tables.verdicts(one)["removal"] == "not shown"


def test_few_layers_are_too_few_and_have_no_interval() -> None:
    few = study(*layers(7, removal=(0.1, 0.1, 0.1)))
    assert tables.verdicts(few)["removal"] == "undecided"
    assert tables.ranged(few.decisive("removal")) == "-0.106 (7 layers)"
    assert tables.verdicts(study(*layers(8, removal=(0.1, 0.1, 0.1))))["removal"] == "as predicted"
    assert tables.ranged(study(made.layer(swaps=None)).decisive("swaps")) == "—"


def test_without_a_spectrum_structure_is_set_against_the_untrained_network() -> None:
    rows = layers()
    for row in rows:
        row["nulls"]["spectrum"] = None
    assert study(*rows, measure="phash").decisive("structure").against == "untrained"


GOOD: made.Gains = (0.1, 0.05, 0.02)
BAD: made.Gains = (0.1, 0.05, -0.3)
NONE: made.Gains = (0.1, 0.05, 0.0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "holds"),
        ({"weights": BAD, "dice": NONE, "readers": NONE}, "holds"),  # by which (a) is not judged
        ({"maps": NONE}, "is not shown"),
        ({"maps": BAD}, "is not shown"),  # nor likeness: members may stand in for each other all the same
        ({"removal": BAD}, "is not shown"),  # removal alone cannot refute it
        ({"replaced": BAD}, "does not hold"),
        ({"swaps": BAD, "removal": NONE}, "does not hold"),
        ({"swaps": NONE}, "is not shown"),
        ({"swaps": None}, "undecided"),
        ({"swaps": None, "removal": NONE}, "is not shown"),
    ],
)
def test_the_hypothesis_holds_if_all_tests_come_out_as_it_predicts(changed: dict[str, Any], words: str) -> None:
    one = study(*layers(**(dict.fromkeys(ALL, GOOD) | changed)))
    assert tables.hypothesis(one) == words


def test_without_communities_there_is_nothing_to_hold() -> None:
    rows = [row | {"modularity": 0.3} for row in layers(**dict.fromkeys(ALL, GOOD))]
    assert tables.verdicts(study(*rows))["structure"] == "not shown"
    assert tables.hypothesis(study(*rows)) == "is not shown"


def test_noise_cannot_pass() -> None:
    """Whatever makes a difference in the nulls as well is no effect of communities."""
    one = study(*[row | {"modularity": 0.3} for row in layers(**dict.fromkeys(ALL, (0.5, 0.5, 0.0)))])
    assert set(tables.verdicts(one).values()) == {"not shown"}


def test_a_graph_of_weights_goes_by_the_likeness_of_weights() -> None:
    rows = layers(**dict.fromkeys(ALL, GOOD) | {"weights": NONE})
    assert tables.hypothesis(study(*rows)) == "holds"
    assert tables.hypothesis(study(*rows, measure="weights")) == "is not shown"


def test_the_sentence_names_the_network_the_verdict_and_every_test() -> None:
    rows = layers(**dict.fromkeys(ALL, GOOD) | {"removal": BAD})
    assert tables.sentences([study(*rows, arch="resnet56")]) == [
        "**resnet56 on CIFAR-10**, 8 layers: in our reading and by the rule above, the hypothesis is not shown (as "
        "predicted: (d) structure, (a) likeness, (b') replacement, (c) exchange; the opposite: (b) removal)."
    ]


def test_a_study_with_another_graph_is_named_after_it() -> None:
    (one,) = tables.tested([made.studied(layers(), measure="weights")])
    assert one.name == "resnet20 on CIFAR-10, graph of weights"


def test_several_studies_of_one_network_are_told_apart_by_their_seed() -> None:
    records = [made.studied(layers(), seed) for seed in (0, 1)] + [made.studied(layers(), arch="resnet56")]
    names = [one.name for one in tables.tested(records)]
    assert names == ["resnet20 on CIFAR-10, seed 0", "resnet20 on CIFAR-10, seed 1", "resnet56 on CIFAR-10"]


def test_what_communities_there_are_is_told_by_width() -> None:
    rows = [made.layer(filters=16, modularity=0.4, random=0.3, redundancy=0.5), made.layer(filters=32, random=None)]
    rows.append(made.layer(filters=16, modularity=0.6, random=None, redundancy=0.6))
    narrow, wide = tables.found([study(*rows)]).to_dict("records")
    assert (narrow["filters"], narrow["layers"], narrow["alone, %"]) == (16, 2, 100 * 11 / 16)
    assert (narrow["communities"], narrow["largest"]) == (2, 3)
    assert (narrow["redundancy"], narrow["modularity"]) == (pytest.approx(0.55), pytest.approx(0.5))
    assert narrow["modularity, rewired"] == narrow["modularity, spectrum"] == pytest.approx(0.3)  # of the one that has it
    assert (narrow["redundancy, untrained"], narrow["moved, %"]) == (pytest.approx(0.45), 50)
    assert (narrow["seeds agree"], narrow["halves agree"]) == (pytest.approx(0.9), pytest.approx(0.6))
    assert math.isnan(wide["modularity, untrained"])


def test_how_equal_the_sides_were_made_is_a_sentence_for_each_network_that_has_a_test() -> None:
    without = made.layer()
    without["removed"] = [None, None]
    rows = [*layers(2, removal=(0, 0.1, 0)), made.layer(replaced=None, swaps=(0, -0.2, 0))]
    rows[-1]["replaced"]["explained"] = {"inside": None, "outside": None}
    (words,) = tables.matched([study(*rows), study(without)])
    assert words == (
        "**resnet20 on CIFAR-10**: 2 to 3 filters went at a time. Those of one community had 10.0 % of their layer's L1 "
        "norm and 20.0 % of its activity, those of several 11.0 and 22.0 %. By geometry their errors add up to 1.50 and "
        "1.10 times what they are alone (1: nothing in common). Stand-ins from inside had 30.0 % of the lost maps' "
        "variance, those from outside 29.0 %. The loss rose, inside and outside, by these nats: 0.5000 and 0.5673 in "
        "removal, 0.5000 and 0.5000 in replacement, 0.5000 and 0.4333 in exchange."
    )


def test_by_layer_a_positive_number_is_what_the_hypothesis_predicts() -> None:
    one = study(made.layer("first", removal=(0.3, 0.1, 0.02)), made.layer("second", maps=(0.5, 0.3, 0.1), removal=None))
    frame = tables.sides(one, "removal")
    assert frame.layer.tolist() == ["first", "second"]
    assert frame.loc[0, ["real", "null"]].tolist() == pytest.approx([0.1, 0.08])
    assert math.isnan(frame.real[1])
    frame = tables.sides(one, "likeness")
    assert frame.real.tolist() == pytest.approx([0, 0.3])
    assert frame["null"].tolist() == pytest.approx([0, 0.2])
    assert tables.sides(one, "structure")[["real", "null"]].to_numpy().tolist() == [[0.4, 0.3]] * 2


# Plans


WIDTHS = {"conv1": 16} | {f"layer{i}.{j}.conv{k}": 16 * 2 ** (i - 1) for i in (1, 2, 3) for j in range(3) for k in (1, 2)}
STEPS = [
    made.step("layer3.2.conv1", 1, 5, redundancy=0.8, removed=0.1),
    made.step("layer3.2.conv1", 0, redundancy=0.7, removed=0.2),
    made.step("layer2.0.conv1", *range(8), redundancy=0.5, removed=0.5),
    made.step("layer3.0.conv1", 3, redundancy=0.6, removed=0.51),
]


def test_a_plan_s_layers_are_those_that_may_lose_filters_in_order_of_execution() -> None:
    record = made.traced(STEPS, dict(sorted(WIDTHS.items(), reverse=True)))
    internal = [f"layer{i}.{j}.conv1" for i in (1, 2, 3) for j in range(3)]
    assert tables.in_scope(record) == {name: WIDTHS[name] for name in internal}
    coupled = tables.in_scope(made.traced(STEPS, WIDTHS, scope="coupled"))
    assert set(internal) < set(coupled)
    assert next(iter(coupled)) == "conv1"


def test_deep_networks_keep_the_order_of_their_layers() -> None:
    widths = {f"layer{i}.{j}.conv{k}": 16 for i in (1, 2, 3) for j in range(18) for k in (1, 2)}
    found = list(tables.in_scope(made.traced(STEPS[:1], widths, arch="resnet110")))
    assert found.index("layer1.2.conv1") < found.index("layer1.10.conv1")


def test_a_plan_is_told_in_numbers() -> None:
    (row,) = tables.plans([made.traced(STEPS, WIDTHS, fr=50.6, pr=61.0, seconds=2.5)]).to_dict("records")
    assert (row["network"], row["target"], row["draw"]) == ("resnet20 on CIFAR-10", 0.5, 0)
    assert (row["iterations"], row["layers"], row["that lost filters"], row["changes of layer"]) == (4, 9, 3, 2)
    assert (row["MACs removed, %"], row["parameters removed, %"], row["seconds"]) == (50.6, 61.0, 2.5)


def test_layers_of_one_width_stand_together() -> None:
    widths = {name: WIDTHS[name] for name in WIDTHS if name.endswith("conv1") and "." in name}
    frame = tables.by_width(widths, STEPS)
    assert frame.filters.tolist() == [16, 32, 64]
    assert frame.chosen.tolist() == [0, 1, 2]
    assert frame["first chosen"].tolist() == ["—", "3", "1"]
    assert frame["redundancy at first"].tolist() == ["—", "0.50 to 0.50", "0.60 to 0.80"]
    assert frame["share left, %"].tolist() == ["100 (100 to 100)", "92 (75 to 100)", "98 (95 to 100)"]


# Methods at equal MACs


def test_a_decision_has_the_name_that_the_study_knows_it_by() -> None:
    names = [*METHODS, *VARIANTS]
    assert [tables.choice(made.compared(name).params["decision"]) for name in names] == names
    assert tables.choice(made.compared(quantile=0.8, step=2).params["decision"]) == "quantile 0.8, step 2"


def test_a_graph_of_the_study_has_its_name_too() -> None:
    records = [made.studied(layers(), **GRAPHS.get(name, {})) for name in ("mrp", *GRAPHS)]
    assert [one.name.split(", ")[1] for one in tables.tested(records)] == ["mrp", *GRAPHS]


def test_seconds_are_set_beside_an_epoch_on_all_images() -> None:
    whole, part = made.compared(seconds=2.0, training=50.0, epochs=5), made.compared(images=4500, training=50.0, epochs=5)
    frame = tables.comparisons([whole, part, made.compared(tuned=None)])
    assert frame["epochs to plan"].tolist()[:2] == [pytest.approx(0.2), pytest.approx(0.02)]
    assert frame["passes"].tolist()[:2] == [pytest.approx(5), pytest.approx(0.5)]
    assert math.isnan(frame["epochs to plan"][2])
    assert math.isnan(frame["passes"][2])


def test_methods_are_compared_at_each_moment_paired_on_the_same_network() -> None:
    records = [*made.repeated("mrp", [91, 92, 93]), *made.repeated("l1", [90, 90.9, 92], pr=50.0)]
    frame = tables.at_equal_macs(tables.comparisons(records))
    assert list(zip(frame.after, frame.choice, strict=True)) == [
        (moment, choice) for moment in ("pruned", "recalibrated", "fine-tuned") for choice in ("mrp", "l1")
    ]
    l1 = frame.iloc[-1]
    assert (l1.network, l1.target, l1.n) == ("resnet20 on CIFAR-10", 0.5, 3)
    assert l1["mrp minus it"] == pytest.approx((1, 1.1, 1))
    assert (tuple(l1.FR), tuple(l1.PR)) == ((50, 50, 50), (50, 50, 50))
    assert l1["separates?"] == "yes"
    assert frame["mrp minus it"].map(len).tolist() == [0, 3, 0, 3, 0, 3]


def test_moments_stand_side_by_side_but_for_the_bare_cut() -> None:
    records = [*made.repeated("mrp", [91, 92, 93]), *made.repeated("l1", [90, 90.9, 92], recalibrated=79.0)]
    frame = tables.by_moment(tables.at_equal_macs(tables.comparisons(records)))
    assert frame.choice.tolist() == ["mrp", "l1"]
    assert frame["minus, recalibrated"].tolist() == [(), (1, 1, 1)]
    assert frame["minus, fine-tuned"][1] == pytest.approx((1, 1.1, 1))
    assert frame["Holm, fine-tuned"].tolist() == ["—", "yes"]
    assert not [name for name in frame if "pruned" in name]


def test_what_separates_alone_may_not_after_holm() -> None:
    tops = {"mrp": [90, 91, 92], "l1": [89.2, 89.8, 90.6], "random": [90.2, 90.6, 92.1], "l2": [89.0, 89.9, 90.4]}
    frame = tables.at_equal_macs(tables.comparisons([r for name, tuned in tops.items() for r in made.repeated(name, tuned)]))
    tuned = frame[frame.after == "fine-tuned"].set_index("choice")
    assert tuned["separates?"].to_dict() == {"mrp": "—", "l1": "yes", "random": "no", "l2": "yes"}
    assert tuned["after Holm"].to_dict() == {"mrp": "—", "l1": "no", "random": "no", "l2": "no"}


def test_variants_keep_other_filters_and_reach_another_accuracy() -> None:
    records = [*made.repeated("mrp", [91, 92, 93]), *made.repeated("Leiden", [91, 91, 91], keep="1101", recalibrated=79.0)]
    base, other = tables.variants(tables.comparisons(records)).to_dict("records")
    assert (base["reading"], base["Jaccard"], base["minus base"]) == ("mrp", (), ())
    assert (other["reading"], other["dial"], other["n"]) == ("Leiden", "target 0.5", 3)
    assert other["Jaccard"] == (0.5, 0.5, 0.5)
    assert other["minus base"] == (-1, -1, -1)
    assert other["minus base fine-tuned"] == (0, -1, -2)


def test_what_pruning_costs_is_told_beside_what_the_epochs_bring() -> None:
    before = [made.baseline(seed, 92.0) for seed in range(3)]
    controls = [made.control(seed, 92.5 + 0.1 * seed) for seed in range(3)]
    pruned = [*made.repeated("mrp", [91, 91.2, 91.3]), *made.repeated("l1", [90] * 3)]
    (row,) = tables.controls(controls, pruned, before).to_dict("records")
    assert (row["network"], row["epochs"], row["n"]) == ("resnet20 on CIFAR-10", 5, 3)
    assert row["gain"] == pytest.approx((0.5, 0.6, 0.7))
    assert row["mrp at 50 % minus after"] == pytest.approx((-1.5, -1.4, -1.4))


def test_of_each_network_the_plan_that_goes_furthest_is_replayed() -> None:
    plans = [made.traced(STEPS, WIDTHS, target, arch=arch) for arch in ("resnet20", "resnet56") for target in (0.7, 0.3)]
    assert [(tables.named(r), r.params["decision"]["target"]) for r in tables.furthest(plans)] == [
        ("resnet20 on CIFAR-10", 0.7), ("resnet56 on CIFAR-10", 0.7)
    ]  # fmt: skip


# The abstract's numbers


def abstract(*records: Record, traces: tuple[Record, ...] = (), top1: float = 92.0) -> list[tuple[str, str, str, str]]:
    before = [made.baseline(seed, top1) for seed in range(3)]
    before += [made.baseline(seed, top1, arch="resnet110") for seed in range(3)]
    frame = tables.abstract(tables.comparisons(records, before), traces)
    return [tuple(row) for row in frame[["abstract", "network", "here", "verdict"]].to_numpy()]


def test_without_records_the_abstract_stands_alone() -> None:
    assert abstract() == [(text, "—", "—", "cannot be tested here") for text in ("up to 52.4%", "up to 50.3%", "1.04%")]


def test_the_abstract_s_network_is_judged_and_others_are_named_so() -> None:
    records = made.repeated("mrp", [92.9, 93.0, 93.2], arch="resnet110", fr=50.5, pr=52.42)
    assert abstract(*records) == [
        ("up to 52.4%", "resnet110 on CIFAR-10", "52.42\u00a0±\u00a00.00 (3)", "as printed"),
        ("up to 50.3%", "resnet110 on CIFAR-10", "50.50\u00a0±\u00a00.00 (3)", "asked for"),
        ("1.04%", "resnet110 on CIFAR-10", "1.03\u00a0±\u00a00.38 (3)", "within our interval (wide)"),
    ]
    verdicts = [row[3] for row in abstract(*made.repeated("mrp", [91, 91.1, 91.2]))]
    assert verdicts == ["other network: ours is lower", "other network: asked for", "other network: ours is lower"]


def test_of_several_targets_the_one_nearest_to_the_abstract_s_counts() -> None:
    records = [r for target in (0.3, 0.5, 0.7) for r in made.repeated("mrp", [92] * 3, target=target, fr=100 * target)]
    assert [row[2] for row in abstract(*records)][1] == "50.00\u00a0±\u00a00.00 (3)"


def test_a_plan_alone_has_costs_and_no_accuracy() -> None:
    rows = abstract(traces=(made.traced(STEPS, WIDTHS, fr=50.4, pr=61.0, arch="resnet110"),))
    assert [row[2:] for row in rows] == [
        ("61.00 (1)", "ours is higher"),
        ("50.40 (1)", "asked for"),
        ("—", "not fine-tuned"),
    ]


def test_another_share_of_macs_is_not_judged() -> None:
    rows = abstract(*made.repeated("mrp", [92] * 3, fr=30.0, target=0.3))
    assert [row[3] for row in rows] == ["other network: other target"] * 3


def test_a_gain_after_a_brief_fine_tuning_is_named_so() -> None:
    brief = {"epochs": 1, "images": 10_000, "arch": "resnet110", "fr": 50.3}
    verdicts = [row[3] for row in abstract(*made.repeated("mrp", [91, 91.1, 91.2], **brief))]
    assert verdicts == ["ours is lower", "asked for", "hardly fine-tuned: ours is lower"]
    assert abstract(*made.repeated("mrp", [None] * 3, **brief))[2][3] == "not fine-tuned"


def test_two_repetitions_have_no_spread() -> None:
    assert abstract(*made.repeated("mrp", [92, 93]))[2][3] == "other network: no spread (2 of 3 repetitions)"
