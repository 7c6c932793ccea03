"""What the records say of the annealing paper's claims, on records made by hand."""

from typing import Any

import annealing_records as made
import pytest
from annealing_records import decay, impacts, level, pace, repeated

from prunebook.errors import BadValue
from prunebook.report import annealing_claims, annealing_evidence
from prunebook.report.kcore_claims import UNTESTED, shown_claims
from prunebook.studies.annealing import DECISIONS, Parameters, parts
from prunebook.trials import Record

NEAR = [-1.0, 0.0, 1.0]


def row(claim: str, **records: list[Record]) -> Any:
    """Of the claim that has these words."""
    frame = annealing_claims.claims(**records)
    (found,) = [row for _, row in frame.iterrows() if claim in row.claim]
    return found


def verdict(claim: str, *decays: list[Record], **records: list[Record]) -> str:
    return str(row(claim, decays=[one for some in decays for one in some], **records).verdict)


def around(name: str, top1: float, **given: Any) -> list[Record]:
    return repeated(name, [level(top1 + shift) for shift in NEAR], **given)


def test_without_records_nothing_is_tested() -> None:
    assert set(annealing_claims.claims().verdict) == {UNTESTED}


def test_records_by_another_name_are_refused() -> None:
    with pytest.raises(BadValue, match=r"records is 'decay', but must be one of: .* did you mean 'decays'"):
        annealing_claims.claims(decay=[])


def test_the_records_are_those_of_the_study_s_parts() -> None:
    assert set(annealing_evidence.Records._fields) == set(parts(Parameters.check({})))


def test_the_decisions_that_claims_speak_of_exist() -> None:
    for reading in annealing_evidence.FOLLOWED:
        assert reading in DECISIONS
    for name in ("everything accepted", "alpha 0", "alpha 1", "nothing worse", "zonotope", "step 1/8"):
        assert f"absolute, {name}" in DECISIONS


@pytest.mark.parametrize(
    ("top1", "constant", "words"),
    [
        (70.0, 10.0, "holds here"), (20.0, 10.0, "does not hold here"), (49.0, 10.0, "undecided"),
        (86.0, 86.0, "as one answer to all"), (90.0, 86.0, "holds here"),
    ],
)  # fmt: skip
def test_half_of_the_accuracy_is_kept_if_surely_and_by_more_than_one_answer(
    top1: float, constant: float, words: str
) -> None:
    assert verdict("Half of the accuracy", around("paper", top1, constant=constant)) == words


def test_one_network_and_other_data_are_named() -> None:
    one = [decay("paper", [level(70.0 + shift) for shift in NEAR])]
    assert verdict("Half of the accuracy", one) == "one network: holds here"
    assert verdict("Half of the accuracy", around("paper", 70.0, dataset="digits")) == "other data: holds here"
    narrow = [record for record in around("paper", 70.0)]
    for record in narrow:
        record.params["baseline"]["options"] = {"width": 0.5}
    assert verdict("Half of the accuracy", narrow) == "other network: holds here"


def test_rounds_of_one_network_that_agree_are_one() -> None:
    rounds = [decay("paper", [level(70.0)] * 10)]
    assert verdict("Half of the accuracy", rounds) == "one network: undecided"
    assert verdict("Half of the accuracy", [decay("paper", [level(70.0), *[level(71.0)] * 9])]) == "one network: undecided"
    assert verdict("Half of the accuracy", repeated("paper", [level(70.0)] * 3)) == "holds here"  # of three networks


def test_credit_cards_are_a_sample() -> None:
    assert verdict("Half of the accuracy", around("paper", 70.0, dataset="creditcard")) == "other data: holds here"
    assert verdict("Half of the accuracy", around("paper", 70.0, dataset="kddcup99")) == "holds here"
    ours = around("absolute", 80.0, dataset="creditcard"), around("paper", 60.0, dataset="creditcard")
    assert expected("Absolute weights", *ours) == "holds here"  # the chapter's expectations are about our data


def test_an_attack_that_leaves_no_more_than_one_answer_has_is_not_judged() -> None:
    weak = repeated("paper", [level(98.0)] * 3, robust=[[9.0, *[20.0] * 7]], constant=10.0)
    for claim in ("Half of the robust", "grows slightly", "same trend"):
        found = row(claim, decays=weak)
        assert "FGSM 0.01" in found.here
        assert "FGSM 0.05" not in found.here
    assert "FGSM 0.05" in row("grows slightly", decays=repeated("paper", [level(98.0)] * 3, constant=97.0)).here


def test_an_attack_is_judged_if_it_surely_leaves_more_than_one_answer_has() -> None:
    def before(*robust: float) -> list[Record]:
        one = [decay("paper", [level(98.0)], seed=s, robust=[[n, *[20.0] * 7]]) for s, n in enumerate(robust)]
        for record in one:
            record.result["constant"]["robust"] = 0  # an accident of the draw, which is not asked
        return one

    assert "FGSM 0.05" in row("same trend", decays=before(12.0, 13.0, 14.0)).here
    assert "FGSM 0.05" not in row("same trend", decays=before(9.0, 10.5, 30.0)).here  # more in the mean, but not surely
    assert "FGSM 0.05" not in row("same trend", decays=before(12.0, 13.0)).here
    assert "FGSM 0.01" in row("same trend", decays=before(9.0, 10.5, 30.0)).here


def test_robustness_is_tested_on_images_only() -> None:
    assert verdict("Half of the robust", around("paper", 70.0)) == "holds here"
    assert verdict("Half of the robust", around("paper", 70.0, dataset="creditcard")) == UNTESTED
    assert "FGSM 0.05" in row("Half of the robust", decays=around("paper", 70.0)).here


def test_it_is_better_than_one_shot_by_the_same_saliency_alone() -> None:
    records = around("absolute", 70.0), around("one-shot, absolute", 50.0), around("one-shot", 90.0)
    assert verdict("Accuracy is better than by one-shot", *records) == "holds here"
    records = around("absolute", 70.0), around("one-shot, absolute", 80.0)
    assert verdict("Accuracy is better than by one-shot", *records) == "the opposite holds here"
    assert verdict("Accuracy is better than by one-shot", around("absolute", 70.0), around("one-shot", 10.0)) == UNTESTED


def test_noise_is_no_difference() -> None:
    noisy = repeated("random pairs", [level(60.0), level(80.0), level(71.0)])
    assert verdict("not to any pairs", around("paper", 70.0), noisy) == "no difference found"
    assert verdict("not to any pairs", around("paper", 70.0), noisy[:2]) == "undecided"


def test_the_largest_improvement_has_to_be_more_than_chance_has() -> None:
    own, baseline = around("paper", 90.0), repeated("one-shot", [level(50.0)] * 3)
    assert verdict("up to 42 %", own, baseline) == "holds here"
    assert verdict("up to 42 %", own, baseline, around("random pairs", 93.0)) == "as random pairs"
    assert verdict("up to 42 %", own, baseline, around("random pairs", 55.0)) == "holds here"
    noisy = repeated("random pairs", [level(60.0), level(95.0), level(80.0)])  # less in the mean, but not surely
    assert verdict("up to 42 %", own, baseline, noisy) == "as random pairs"
    assert verdict("up to 42 %", around("paper", 60.0), baseline) == "does not hold here"
    assert verdict("up to 66 %", own, baseline) == UNTESTED


def test_model_1_loses_nothing_or_something() -> None:
    claim = "Model 1 loses almost nothing"
    flat = repeated("paper", [level(98.0 + shift / 10, start=98.2) for shift in NEAR], dataset="creditcard")
    assert verdict(claim, flat) == "other data: holds here"
    assert verdict(claim, around("paper", 90.0, dataset="creditcard")) == "other data: does not hold here"
    assert verdict(claim, around("paper", 90.0)) == UNTESTED


@pytest.mark.parametrize(("robust", "words"), [(99.0, "holds here"), (60.0, "the opposite holds here")])
def test_robustness_grows_or_falls(robust: float, words: str) -> None:
    records = repeated("paper", [level(98.0)] * 3, robust=[[80.0, *[robust] * 7]])
    assert f"{words} (MNIST, paper, FGSM 0.05)" in verdict("grows slightly", records)


def test_what_goes_with_a_number_is_found_over_networks() -> None:
    up, mixed = [impacts(seed=s) for s in range(3)], [impacts(seed=0), impacts(seed=1, norm_interval=made.RANKS[::-1])]
    mixed.append(impacts(seed=2, norm_interval=[3, 1, 2, 5, 6, 4]))
    assert verdict("A smaller NORM means less change", impacts=up) == "holds here"
    assert verdict("A smaller NORM means less change", impacts=mixed) == "no correlation found"
    constant = [impacts(seed=s, entropy_interval=[0.0] * 6) for s in range(3)]
    assert verdict("A smaller ENT", impacts=constant) == "does not hold here"
    assert "constant" in row("A smaller ENT", impacts=constant).here


def test_bounds_hold_unless_a_pair_is_beyond_them() -> None:
    wrong = [impacts(norm_official=[0.1] * 6)]
    assert verdict("So do the code's", impacts=wrong) == "does not hold here"
    assert verdict("So do the code's", impacts=[impacts()]) == "undecided"  # none found, which proves nothing
    assert verdict("Interval arithmetic bounds", impacts=wrong) == "holds here"
    two = [impacts(norm_official=[0.1, *[0.6] * 5]), impacts(seed=1, norm_official=[0.1, 0.1, *[0.6] * 4])]
    assert "25.00 % of 12" in row("So do the code's", impacts=two).here


def test_choices_are_set_against_their_own_reading() -> None:
    own = around("absolute", 70.0)
    accepted = around("absolute, everything accepted", 60.0)
    assert verdict("The energy guides", own, choices=accepted) == "holds here"
    assert verdict("The energy guides", around("paper", 70.0), choices=accepted) == UNTESTED
    same = repeated("absolute, alpha 0", [level(69.1), level(70.0), level(70.9)])
    assert verdict("Alpha 0.75 suits", own, choices=same) == "holds here"
    assert verdict("Alpha 0.75 suits", own, choices=around("absolute, alpha 0", 40.0)) == "does not hold here"
    tight = around("absolute, zonotope", 75.0)
    assert verdict("More precise bounds", own, choices=tight) == "holds here"


def test_annealing_is_set_against_the_greedy_mode_of_its_own_reading() -> None:
    claim = "better than taking the lowest energy"
    greedy = around("greedy", 60.0)
    assert verdict(claim, around("paper", 70.0), around("absolute", 80.0), greedy) == "holds here"
    found = row(claim, decays=[*around("paper", 70.0), *around("absolute", 80.0), *greedy])
    assert "paper minus greedy" in found.here
    assert "absolute minus" not in found.here
    own = around("absolute, greedy", 90.0)
    assert verdict(claim, around("absolute", 80.0), greedy, choices=own) == "the opposite holds here"


def test_times_hold_within_eight_minutes() -> None:
    assert verdict("within 8 minutes", paces=[pace()]) == "holds here"
    assert verdict("within 8 minutes", paces=[pace(seconds=481.0)]) == "does not hold here"
    assert "in the paper 435.4 s" in row("within 8 minutes", paces=[pace()]).here


def test_a_page_says_whose_claims_or_expectations_they_are() -> None:
    frame = annealing_claims.expectations(decays=around("paper", 70.0))
    assert shown_claims(frame, "chapter", "expectations").caption.startswith("The chapter's expectations, tested. Interv")
    assert shown_claims(frame).caption.startswith("The paper's claims, tested.")


def test_every_verdict_is_explained() -> None:
    records: list[Record] = [*around("paper", 70.0), *around("official", 20.0), *around("one-shot", 60.0)]
    frame = annealing_claims.claims(decays=records, impacts=[impacts()], paces=[pace()])
    for text in frame.verdict:
        parts = text.replace("mixed: ", "").split("; ")
        assert all(any(word in part for word in annealing_claims.CLAIM_VERDICTS) for part in parts), text
    assert "Intervals are over trained networks: 3 of mlp_mnist on MNIST." in frame.attrs["repetitions"]


def test_a_shorter_training_than_the_paper_s_is_named() -> None:
    short = around("paper", 70.0)
    for record in short:
        record.params["baseline"]["fit"]["epochs"] = 6
    frame = annealing_claims.claims(decays=[*short, *around("paper", 70.0, dataset="kddcup99")])
    words = "3 of mlp_mnist on MNIST (trained for 6 of the paper's 20 epochs), 3 of mlp_kdd on KDD Cup'99."
    assert words in frame.attrs["repetitions"]


# What the chapter expected


def expected(words: str, *decays: list[Record], **records: list[Record]) -> str:
    frame = annealing_claims.expectations(decays=[one for some in decays for one in some], **records)
    (found,) = [row for _, row in frame.iterrows() if words in row.claim]
    return str(found.verdict)


def test_no_better_than_chance_is_surely_less_than_a_point_ahead() -> None:
    claim = "no better than chance"
    assert expected(claim, around("paper", 70.0), around("random pairs", 72.0)) == "holds here"
    assert expected(claim, around("paper", 80.0), around("random pairs", 72.0)) == "does not hold here"
    noisy = repeated("random pairs", [level(60.0), level(80.0), level(71.0)])
    assert expected(claim, around("paper", 70.0), noisy) == "undecided"


def test_a_norm_saturates_by_the_function_of_its_reading() -> None:
    wide, narrow = ({"impact": [[-half, half]] * 10} for half in (50.0, 0.01))
    assert expected("saturates", around("paper", 70.0, **wide)) == "holds here"
    assert expected("saturates", around("paper", 70.0, **narrow)) == "does not hold here"


def test_the_largest_gain_may_stand_where_little_is_left() -> None:
    falling = [98.0, 97.0, 96.0, 70.0, 40.0, 20.0, 10.0, 10.0]
    own = repeated("paper", [falling] * 3)
    low = repeated("one-shot", [[98.0, 96.0, 90.0, 40.0, 10.0]] * 3)
    assert expected("of little use", own, low) == "holds here"
    early = repeated("one-shot", [[98.0, 40.0, 90.0, 69.0, 40.0]] * 3)
    assert expected("of little use", own, early) == "does not hold here"
    noisy = repeated("one-shot", [[98.0, 97.0, 96.0, top1, 40.0] for top1 in (10.0, 70.0, 75.0)])
    assert expected("of little use", own, noisy) == "undecided"  # a gain of one network is none


@pytest.mark.parametrize(
    ("robust", "words"), [(30.0, "holds here"), (60.0, "the opposite holds here"), (49.0, "no difference found")]
)
def test_what_is_kept_at_a_half_says_which_curve_falls_further(robust: float, words: str) -> None:
    tops = [level(49.0 + shift, start=98.0) for shift in NEAR]  # a half is kept
    counted = [decay("paper", [curve], seed=s, robust=[level(robust)]) for s, curve in enumerate(tops)]
    frames = annealing_evidence.Frames.of(annealing_evidence.Records(decays=counted))
    found = {case.name: case.verdict for case in annealing_evidence.outlived_by_accuracy(frames)}
    assert found == {"MNIST, paper, FGSM 0.01": "no difference found", "MNIST, paper, FGSM 0.05": words}
    assert words in expected("less of it is kept", counted)


def test_the_other_questions_are_differences() -> None:
    assert expected("Absolute weights", around("absolute", 80.0), around("paper", 60.0)) == "holds here"
    assert expected("better than the text", around("official", 50.0), around("paper", 60.0)) == "the opposite holds here"
    both = around("official", 80.0), around("paper", 60.0)
    assert expected("By its saliency", around("one-shot, official", 76.0), *both) == "holds here"
    assert expected("By its saliency", around("one-shot, official", 66.0), *both) == "the opposite holds here"
    own, greedy = around("absolute", 70.0), around("absolute, greedy", 60.0)
    tight = around("absolute, greedy by zonotopes", 65.0)
    assert expected("Zonotopes find", own, choices=[*greedy, *tight]) == "holds here"
    accepted = around("absolute, everything accepted", 70.0)
    assert expected("little more", own, choices=accepted) == "holds here"
    assert expected("take seconds", paces=[pace(seconds=3.0)]) == "holds here"
    assert expected("take seconds", paces=[pace(seconds=11.0)]) == "does not hold here"
    assert expected("take seconds", paces=[pace("cifar10")]) == UNTESTED
