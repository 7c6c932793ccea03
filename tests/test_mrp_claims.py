"""What the records say of the abstract's claims, on records made by hand."""

from typing import Any

import mrp_records as made
import pytest
from test_mrp_tables import ALL, BAD, GOOD, NONE, STEPS, WIDTHS, layers

from prunebook.errors import BadValue
from prunebook.report import kcore_claims, mrp_claims, mrp_evidence
from prunebook.report.kcore_claims import UNTESTED
from prunebook.studies.mrp import READINGS, RULES, Parameters, parts
from prunebook.studies.mrp import STEPS as STEPS_OF
from prunebook.trials import Record

OTHER = "other network: "
BEFORE = [made.baseline(seed, 92.0, arch=arch) for seed in range(4) for arch in ("resnet20", "resnet110")]


def verdict(claim: str, **records: list[Record]) -> str:
    """Of the claim that has these words."""
    return str(row(claim, **records).verdict)


def row(claim: str, **records: list[Record]) -> Any:
    frame = mrp_claims.claims(baselines=BEFORE, **records)
    (found,) = [row for _, row in frame.iterrows() if claim in row.claim]
    return found


def against(other: str, theirs: list[float], own: list[float] | None = None, **given: Any) -> list[Record]:
    return [*made.repeated("mrp", own or [91, 92, 93.5], **given), *made.repeated(other, theirs, **given)]


def test_without_records_nothing_is_tested() -> None:
    assert set(mrp_claims.claims().verdict) == {UNTESTED}


def test_records_by_another_name_are_refused() -> None:
    with pytest.raises(BadValue, match=r"records is 'method', but must be one of: .* did you mean 'methods'"):
        mrp_claims.claims(method=[])


def test_the_records_are_those_of_the_study_s_parts() -> None:
    assert set(mrp_evidence.Records._fields) <= set(parts(Parameters.check({})))


# The Role-Information hypothesis


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "holds here"),
        ({"swaps": NONE}, "not shown here"),
        ({"replaced": BAD}, "does not hold here"),
        ({"maps": BAD}, "not shown here"),
        ({"swaps": None}, "undecided"),
    ],
)
def test_the_hypothesis_has_the_verdict_of_the_study(changed: dict[str, Any], words: str) -> None:
    rows = layers(**dict.fromkeys(ALL, GOOD) | changed)
    assert verdict("stand in for each other", roles=[made.studied(rows, arch="resnet110")]) == words
    assert verdict("stand in for each other", roles=[made.studied(rows)]) == OTHER + words


def test_each_of_its_tests_is_a_claim_with_the_comparison_that_decides() -> None:
    records = [made.studied(layers(**dict.fromkeys(ALL, GOOD) | {"removal": BAD, "swaps": NONE}))]
    found = row("does less harm", roles=records)
    assert found.verdict == OTHER + "the opposite holds here"
    assert "resnet20 on CIFAR-10: +0.321 (" in found.here
    assert ", p = 0.039 after Holm" in found.here
    assert verdict("better replaced", roles=records) == OTHER + "holds here"
    assert verdict("change places", roles=records) == OTHER + "not shown here"
    assert verdict("more alike than others", roles=records) == OTHER + "holds here"
    few = [made.studied(layers(7, swaps=GOOD))]
    assert verdict("change places", roles=few) == OTHER + "undecided"
    assert "-0.021 (7 layers)" in row("change places", roles=few).here


# The level of redundancy


@pytest.mark.parametrize(
    ("random", "words"),
    [(0.3, "holds here"), (0.5, "the opposite holds here"), (0.4, "not shown here"), (None, "undecided")],
)
def test_communities_are_there_if_modularity_is_above_that_of_the_spectrum(random: float | None, words: str) -> None:
    rows = [made.layer(random=random) for _ in range(8)]
    assert verdict("modularity than chance", roles=[made.studied(rows)]) == OTHER + words


def levels(*by_width: list[float], **given: Any) -> list[Record]:
    """A study of layers with 16, 32, ... filters and these redundancies."""
    rows = [made.layer(filters=16 * 2**i, redundancy=level, **given) for i, found in enumerate(by_width) for level in found]
    return [made.studied(rows)]


def test_a_redundancy_that_is_not_the_number_of_filters_over_again_is_a_level_and_nothing_refutes_it() -> None:
    claim = "more than how wide"
    up, down = [0.1, 0.2, 0.15, 0.12], [0.7, 0.8, 0.75, 0.72]
    assert verdict(claim, roles=levels(up, [0.4, 0.5, 0.45, 0.42], down)) == OTHER + "undecided"
    assert verdict(claim, roles=levels(down, up, [0.4, 0.5, 0.45, 0.42])) == OTHER + "holds here"
    assert "38 % (" in row(claim, roles=levels([0.3] * 4, [0.3, 0.3, 0.3, 0.1])).here  # a tie is half a pair: 6 of 16
    assert verdict(claim, roles=levels(up + down)) == UNTESTED
    assert row(claim, roles=levels(down, up)).here.endswith("8 layers, untrained 50 %")  # all the same: ties
    assert row(claim, roles=levels(down, up, random=None)).here.endswith("8 layers")
    narrow, wide = ([made.layer(filters=n, fresh=level) for level in (r, r + 0.1)] for n, r in ((16, 0.4), (32, 0.45)))
    assert row(claim, roles=[made.studied([*narrow, *wide] * 2)]).here.endswith("untrained 75 %")
    assert verdict(claim, roles=levels(up, down[:3])) == UNTESTED


# Methods at equal MACs


@pytest.mark.parametrize(
    ("claim", "others", "part"),
    [
        ("better than uniform ones", ["mrp, uniform"], "methods"),
        ("layers by lot", ["mrp, random layer"], "methods"),
        ("predefined layer-wise ratios", ["l1", "random", "fpgm"], "methods"),
        ("most replaceable", [*RULES], "variants"),
        ("recalculated", [name for name in STEPS_OF if name != "step 1"], "variants"),
    ],
)
def test_mrp_has_to_be_ahead_of_what_each_claim_names(claim: str, others: list[str], part: str) -> None:
    for other in others:
        own, theirs = made.repeated("mrp", [91, 92, 93.5]), made.repeated(other, [90, 91.1, 92.4])
        records = {"methods": own, part: own + theirs} if part == "methods" else {"methods": own, part: theirs}
        found = row(claim, **records)
        assert found.verdict == OTHER + "holds here"
        assert (
            f"resnet20 on CIFAR-10, 50 %, {other}: +1.00 ± 0.25 (3)".replace(" ±", "\u00a0±").replace("± ", "±\u00a0")
            in found.here
        )


def test_a_smaller_step_is_no_test_of_larger_ones() -> None:
    records = {"methods": made.repeated("mrp", [91, 92, 93]), "variants": made.repeated("step 1", [90, 91, 92])}
    assert verdict("recalculated", **records) == UNTESTED


def test_behind_and_no_difference_have_their_words() -> None:
    assert (
        verdict("better than uniform", methods=against("mrp, uniform", [92, 93.1, 94.4]))
        == OTHER + "the opposite holds here"
    )
    assert (
        verdict("better than uniform", methods=against("mrp, uniform", [91.1, 91.8, 93.6])) == OTHER + "no difference found"
    )
    assert verdict("better than uniform", methods=against("mrp, uniform", [90, 91], own=[91, 92])) == OTHER + "undecided"


def test_accuracies_at_another_cost_are_not_compared() -> None:
    records = [*made.repeated("mrp", [91, 92, 93]), *made.repeated("l1", [90, 91, 92], fr=48.9)]
    assert verdict("predefined", methods=records) == OTHER + "unequal cost"


def test_accuracy_before_retraining_is_named_so() -> None:
    records = [*made.repeated("mrp", [None] * 3, recalibrated=80), *made.repeated("l1", [None] * 3, recalibrated=70)]
    assert verdict("predefined", methods=records) == "other network, not fine-tuned: holds here"
    found = row("predefined", methods=[*made.repeated("mrp", [91, 92, 93]), *made.repeated("l1", [None] * 3)])
    assert "recalibrated — " in found.here  # the last moment that both have


@pytest.mark.parametrize(
    ("epochs", "images", "words"),
    [
        (1, None, "other network, hardly fine-tuned: holds here"),
        (5, 10_000, "other network, hardly fine-tuned: holds here"),  # of 45,000
        (2, None, "other network: holds here"),
        (9, 10_000, "other network: holds here"),
    ],
)
def test_less_than_two_passes_over_the_training_images_are_hardly_a_retraining(
    epochs: int, images: int | None, words: str
) -> None:
    tuned = {"epochs": epochs, "images": images}
    records = [*made.repeated("mrp", [91, 92, 93.5], **tuned), *made.repeated("l1", [90, 91.1, 92.4], **tuned)]
    assert verdict("predefined", methods=records) == words
    cheap = {"claim": "overhead", "methods": made.repeated("mrp", [91, 92, 93], **tuned)}
    assert verdict(**cheap) == OTHER + "holds here"  # about no accuracy


def test_readings_are_one_method_if_accuracy_is_surely_the_same() -> None:
    own = made.repeated("mrp", [91, 92, 93])
    name = next(iter(READINGS))
    same = made.repeated(name, [91.1, 91.9, 93.2])
    assert verdict("does not matter", methods=own, variants=same) == OTHER + "holds here"
    other = made.repeated(name, [88, 89.2, 90])
    assert verdict("does not matter", methods=own, variants=other) == OTHER + "does not hold here"


def test_a_decision_is_cheap_if_it_always_takes_less_than_an_epoch() -> None:
    cheap = made.repeated("mrp", [91, 92, 93], seconds=2.0, training=50.0)
    assert verdict("overhead", methods=cheap) == OTHER + "holds here"
    dear = made.repeated("mrp", [91, 92, 93], seconds=20.0, training=50.0)
    assert verdict("overhead", methods=dear) == OTHER + "does not hold here"


# The last sentence


def test_both_costs_have_to_come_from_one_plan() -> None:
    for pr, words in ((52.0, "holds here"), (61.0, "does not hold here"), (48.0, "does not hold here")):
        plan = made.traced(STEPS, WIDTHS, fr=50.6, pr=pr, arch="resnet110")
        assert verdict("52.4 %", traces=[plan]) == words
    assert verdict("52.4 %", traces=[made.traced(STEPS, WIDTHS, fr=30.2)]) == UNTESTED


def test_a_gain_may_be_owed_to_the_training_alone() -> None:
    records = made.repeated("mrp", [93.0, 93.1, 93.2], arch="resnet110", fr=50.4)
    base = [made.network(seed, "resnet110") for seed in range(3)]
    controls = [made.control(seed, 93.5 + 0.1 * seed, base=base[seed]) for seed in range(3)]
    assert verdict("higher than before", methods=records) == "holds here"
    assert verdict("That many points", methods=records) == "undecided"
    assert verdict("owed to pruning", methods=records) == UNTESTED
    assert verdict("owed to pruning", methods=records, controls=controls) == "the opposite holds here"


def test_the_number_of_points_is_compared_at_the_same_cost_alone() -> None:
    close = made.repeated("mrp", [93.0, 93.05, 93.1], arch="resnet110", fr=50.4)
    assert verdict("That many points", methods=close) == "holds here"
    far = made.repeated("mrp", [91.0, 91.05, 91.1], arch="resnet110", fr=50.4)
    assert verdict("That many points", methods=far) == "does not hold here"
    assert verdict("That many points", methods=made.repeated("mrp", [93.0] * 3, fr=30.0)) == UNTESTED


# The page


def test_what_intervals_are_over_is_said() -> None:
    records = {"roles": [made.studied(layers())], "methods": made.repeated("mrp", [91, 92, 93])}
    words = mrp_claims.claims(**records).attrs["repetitions"]
    assert "over the layers of one network with one graph at a time (resnet20 on CIFAR-10)" in words
    assert "its five tests are corrected for each other" in words
    assert "over trainings: 3 of resnet20 on CIFAR-10" in words
    assert "No correction for the number of claims" in words
    assert "five tests" not in mrp_claims.claims(methods=records["methods"]).attrs["repetitions"]


def test_every_word_of_a_verdict_is_explained() -> None:
    used = {*mrp_evidence.HYPOTHESIS.values(), *mrp_evidence.ROLE.values(), "undecided", UNTESTED}
    assert used <= set(mrp_claims.CLAIM_VERDICTS)


def test_a_page_shows_a_line_for_each_case_and_escapes_what_is_html() -> None:
    claims = mrp_claims.claims(methods=against("l1", [90, 91, 92]))
    page = kcore_claims.shown_claims(claims, "abstract").to_html()
    assert "<b>RMCD</b><br>" in page
    assert "(b&#x27;)" in page
    assert "The abstract&#x27;s claims" in page or "The abstract's claims" in page
