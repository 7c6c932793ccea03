import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from sacp_records import (
    ENTRIES,
    baseline,
    candidate,
    chance,
    crowd,
    final,
    finals,
    learnt,
    light,
    sampled,
    scored,
    searched,
    triads,
)  # fmt: skip

from prunebook import models
from prunebook.errors import BadValue
from prunebook.methods import sacp
from prunebook.report import kcore_claims, kcore_tables, sacp_claims, sacp_evidence, sacp_scores
from prunebook.report.kcore_claims import Network, Said, judged
from prunebook.studies import sacp as study
from prunebook.trials import Record

PAPERS = {"arch": "resnet18"}  # one of the paper's networks
UNTESTED = "cannot be tested with this run's records"


def claim(words: str, **records: list[Record]) -> pd.Series:
    (found,) = (claim for claim in sacp_claims.CLAIMS if words in claim.claim)
    frames = sacp_evidence.Frames.of(sacp_evidence.Records(**records))
    return pd.Series(judged(found, frames, sacp_claims.conditions))


def verdict(words: str, **records: list[Record]) -> str:
    return claim(words, **records).verdict


# The whole


def test_without_records_only_the_paper_itself_can_be_judged():
    frame = sacp_claims.claims()
    assert set(frame.verdict) == {UNTESTED, "the paper contradicts itself", "no number in the paper"}
    assert frame.claim.is_unique
    assert len(frame) >= 35
    assert set(frame[frame.verdict == "no number in the paper"].claim) == {
        "It is as good on ImageNet.",
        "SACP is robust to deeper architectures.",
    }


def test_records_have_the_names_of_the_studys_parts():
    assert set(sacp_evidence.Records._fields) == set(study.parts(study.Parameters.check({})))
    with pytest.raises(BadValue, match="records"):
        sacp_claims.claims(samples=[], lights=[])


def test_every_verdict_is_explained():
    records = scores_of({"infonce": UP}, arch="resnet20")
    records |= {"light": light("infonce", [80.0]), "learnt": [learnt("infonce", [(0.9, 0.5)])]}
    frame = sacp_claims.claims(**records)
    for text in frame.verdict:
        words = text.replace("mixed: ", "").split(" (")[0].split("; ")[0]
        assert all(word in sacp_claims.CLAIM_VERDICTS for part in words.split(": ") for word in part.split(", "))
    legend = kcore_tables.legend(sacp_claims.CLAIM_VERDICTS, frame.verdict)
    assert {"holds here", "other network", "not fine-tuned", "undecided"} <= {line.split("**")[1] for line in legend}
    for verdict in (
        "as random weights",
        "short of random weights",
        "as another seed",
        "as chance",
        "no correlation found",
        "no difference found",
    ):
        assert verdict in sacp_claims.CLAIM_VERDICTS


def test_the_page_says_what_the_intervals_are_over():
    found = sacp_claims.claims(samples=[sampled([80.0] * 4)], light=light("infonce", [80.0]))
    html = kcore_claims.shown_claims(found).to_html()
    assert "One seed of resnet20 on CIFAR-10: intervals of searches are over candidates, and decide nothing" in html
    assert "2,000 resamples of the candidates; they cover no other seeds" in html
    several = sacp_claims.claims(light=light("infonce", [80.0], 0) + light("infonce", [81.0], 1)).attrs["repetitions"]
    assert several.startswith("Intervals of searches are over seeds (2 of resnet20 on CIFAR-10).")


def test_conditions_name_what_was_not_as_in_the_paper():
    said = Said(("ResNet-56",), ("cifar10",), sacp_evidence.FULL)

    def words(arch: str, dataset: str, trained: int, said: Said = said) -> str:
        return sacp_claims.conditions(said, frozenset({Network(dataset, arch, 1, 0)}), trained)

    assert words("ResNet-56", "cifar10", sacp_evidence.FULL) == ""
    assert words("ResNet-56", "cifar10", sacp_evidence.LIGHT) == "not trained in full"
    assert words("resnet56", "digits", sacp_evidence.RECALIBRATED) == "other network, other data, not fine-tuned"
    assert words("ResNet-56", "cifar10", sacp_evidence.RECALIBRATED, said._replace(epochs=0)) == ""
    assert words("ResNet-56", "cifar10", sacp_evidence.RECALIBRATED, said._replace(epochs=1)) == "not fine-tuned"
    assert words("ResNet-56", "cifar10", sacp_evidence.FULL, said._replace(epochs=1)) == ""


# Costs


@pytest.mark.parametrize(
    ("fr", "found"),
    [([70.0, 95.0], "follows from tau"), ([60.0, 70.0], "holds here"), ([90.0, 95.0], "the opposite holds here")],
)
def test_a_printed_cost_follows_from_tau_if_chance_has_it_too(fr, found):
    def cases(**given: float) -> list[str]:
        records = sacp_evidence.Records(chances=[chance("vgg16", fr, [90.0, 94.0], **given)])
        return [case.verdict for case in sacp_evidence.costs_little(sacp_evidence.Frames.of(records))]

    assert cases() == [found, "follows from tau"]  # FR, PR
    assert cases(tau=0.5) == []


def test_tau_controls_what_goes_if_nearly_all_candidates_lie_at_it():
    def of(removed: float, seeds: int = 3) -> list[Record]:
        more = [removed + 0.001 * s for s in range(seeds)]
        return [r for s in range(seeds) for r in light("infonce", [80.0] * 20, s, removed=more[s], **PAPERS)]

    near, far = of(0.701), of(0.8)
    assert verdict("what tau asks for", light=near) == "holds here"
    assert verdict("what tau asks for", light=[*near[:-3], *far[-3:]]) == "holds here"  # 57 of 60
    assert verdict("what tau asks for", light=far) == "does not hold here"
    row = claim("what tau asks for", light=far)
    assert "10.1 above tau in the mean, 0 % of 60 within 2; random candidates that are nearer, in %: 99" in row.here
    assert verdict("what tau asks for", light=of(0.701, seeds=1)) == "undecided"  # one encoder's candidates are alike


def test_what_chance_removes_is_no_merit_of_a_score():
    space = sacp.Space(sacp.ArchitectureGraph(models.build("resnet18", seed=0), torch.zeros(1, 3, 32, 32)))
    records = []
    for seed in range(3):
        by_chance = space.ratio(space.sample(40, 0.87, seed=3 + seed)).tolist()
        assert np.quantile(by_chance, 0.95) < 0.89  # at this tau random candidates are near it as well
        records += [
            candidate("infonce", i, 80.0, 80.0, seed, removed=share, tau=0.87, m=40, **PAPERS)
            for i, share in enumerate(by_chance)
        ]
    assert verdict("what tau asks for", light=records) == "as chance"


# What a score knows

N = 40
UP = [float(i) for i in range(N)]
DOWN = UP[::-1]
NOISE = np.random.default_rng(1).permutation(N).tolist()
NEARLY = [value + 12 * np.sin(7 * value) for value in UP]  # in nearly the same order


NULL = [np.random.default_rng(100 + i).permutation(N).tolist() for i in range(99)]  # the orders of random weights


def ranks_of(values: Iterable[float]) -> list[int]:
    found: list[int] = np.argsort(np.argsort(list(values))).tolist()
    return found


def scores_of(values: dict[str, Sequence[float]], seeds: int = 1, **given: object) -> dict[str, list[Record]]:
    """Scores by encoders of several seeds, all alike but for a little, beside random orders."""
    own = {**PAPERS, **{name: value for name, value in given.items() if name == "arch"}}
    sample = sampled(UP, **{**PAPERS, **given})
    scores = [
        scored(name, sample, [value + (s * i) % 3 for i, value in enumerate(values[name])], seed=s, **own)
        for name in values
        for s in range(seeds)
    ]
    return {"samples": [sample], "scores": scores, "crowds": [crowd(sample, NULL)]}


@pytest.mark.parametrize(
    ("score", "found"),
    [(NEARLY, "holds here"), ([-v for v in NEARLY], "the opposite holds here"), (NOISE, "no correlation found")],
)
def test_a_score_predicts_if_its_interval_is_above_0(score, found):
    assert verdict("A higher score means", **scores_of({"infonce": score})) == f"not fine-tuned: {found}"
    assert verdict("than what a candidate costs", **scores_of({"as printed": score})) == f"not fine-tuned: {found}"


def test_a_score_decides_nothing_without_encoders_of_random_weights_to_stand_out_from():
    records = scores_of({"infonce": UP, "as printed": UP})
    del records["crowds"]
    for words in ("A higher score means", "than what a candidate costs", "criterion of weights", "the simple number"):
        assert verdict(words, **records) == "not fine-tuned: undecided", words
    assert verdict("either anchor: one method", **records) == "undecided"
    assert verdict("Learning by contrast makes the score", **records) == UNTESTED


def test_a_score_that_random_weights_reach_as_well_is_not_ours():
    """Random weights are a function of the same ratios: half of these know accuracy as well as ours."""
    sample = scores_of({"infonce": NEARLY})["samples"][0]
    knowing = [ranks_of(own + 5 * np.sin(i * value) for own, value in zip(NEARLY, UP, strict=True)) for i in range(50)]
    records = scores_of({"infonce": NEARLY}) | {"crowds": [crowd(sample, [*knowing, *NULL[:49]])]}
    row = claim("A higher score means", **records)
    assert row.verdict == "not fine-tuned: as random weights"
    assert ", random weights -0." in row.here
    for words in ("than what a candidate costs", "criterion of weights", "the simple number"):
        assert verdict(words, **records) == "not fine-tuned: as random weights"
    assert verdict("Learning by contrast makes the score", **records) == "not fine-tuned: as random weights"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_score_that_nearly_all_random_weights_surpass_falls_short_of_them(sign):
    """On either side: what they reach is no luck of few, and learning has lost some of it."""
    score = [sign * value for value in NEARLY]
    sample = scores_of({"infonce": score})["samples"][0]
    better = [ranks_of(sign * (UP + np.random.default_rng(i).normal(scale=1, size=N))) for i in range(99)]
    records = scores_of({"infonce": score}) | {"crowds": [crowd(sample, better)]}
    assert verdict("A higher score means", **records) == "not fine-tuned: short of random weights"
    assert verdict("than what a candidate costs", **records) == "not fine-tuned: short of random weights"
    lost = "the opposite holds here" if sign > 0 else "holds here"
    assert verdict("Learning by contrast makes the score", **records) == f"not fine-tuned: {lost}"


def test_few_candidates_decide_nothing():
    sample = sampled(UP[:10])
    records = {"samples": [sample], "scores": [scored("infonce", sample, UP[:10])]}
    records["crowds"] = [crowd(sample, [order[:10] for order in NULL])]
    assert verdict("A higher score means", **records) == "other network, not fine-tuned: undecided"
    assert "+1.00 (+1.00 to +1.00)" in claim("A higher score means", **records).here


def test_a_score_that_only_follows_the_cost_knows_nothing_more():
    # Accuracy and score both follow the MACs, each with a noise of its own.
    macs = [(i + 1) / N for i in range(N)]
    score = [i + value / 4 for i, value in enumerate(NOISE)]
    test = [i + 10 * np.sin(3.1 * i) for i in range(N)]
    sample = sampled(test, macs, **PAPERS)
    records = {"samples": [sample], "scores": [scored("infonce", sample, score, **PAPERS)], "crowds": [crowd(sample, NULL)]}
    assert verdict("A higher score means", **records) == "not fine-tuned: holds here"
    assert verdict("than what a candidate costs", **records) == "not fine-tuned: no correlation found"


def test_light_fine_tuning_is_said():
    found = searched("random", [[3] * ENTRIES] * N, m=N, **PAPERS)
    records = light("random", UP, m=N, **PAPERS)
    given = {"light": records, "light_scores": [scored("infonce", found, NEARLY, **PAPERS)], "crowds": [crowd(found, NULL)]}
    assert verdict("A higher score means", **given) == "not trained in full: holds here"
    assert "random search, 1 epoch, infonce: +" in claim("A higher score means", **given).here
    assert verdict("criterion of weights", **given) == UNTESTED  # no record has the L1 norm that is kept


@pytest.mark.parametrize(
    ("words", "first", "second"),
    [("The score is better", "infonce", "no edges"), ("(SACP-1) predicts worse", "infonce (anchor original)", "sacp-1")],
)  # fmt: skip
def test_one_score_beats_another_on_the_same_candidates_by_every_seed(words, first, second):
    condition = "not fine-tuned: "
    assert verdict(words, **scores_of({first: NEARLY, second: NOISE}, 3)) == condition + "holds here"
    assert verdict(words, **scores_of({first: NOISE, second: NEARLY}, 3)) == condition + "the opposite holds here"
    assert verdict(words, **scores_of({first: NEARLY, second: NEARLY}, 3)) == condition + "no difference found"
    assert verdict(words, **scores_of({first: NEARLY, second: NOISE}, 2)) == condition + "undecided"
    assert verdict(words, **scores_of({first: NEARLY})) == UNTESTED
    assert "3 encoders" in claim(words, **scores_of({first: NEARLY, second: NOISE}, 3)).here


def test_a_lead_that_hangs_on_the_seed_is_none():
    records = scores_of({"infonce": NEARLY, "no edges": NOISE}, 3)
    sample, other = records["samples"][0], NEARLY[::-1]
    records["scores"][2] = scored("infonce", sample, other, seed=2, **PAPERS)
    assert verdict("The score is better", **records) == "not fine-tuned: no difference found"


@pytest.mark.parametrize(
    ("score", "found"), [(NEARLY, "holds here"), (NEARLY[::-1], "the opposite holds here"), (NOISE, "no difference found")]
)
def test_what_was_learnt_is_what_random_weights_do_not_have(score, found):
    row = claim("Learning by contrast makes the score", **scores_of({"as printed": score}))
    assert row.verdict == f"not fine-tuned: {found}"
    assert "minus the mean of 99 encoders with random weights" in row.here


@pytest.mark.parametrize(
    ("score", "norm", "found"),
    [(NEARLY, NOISE, "holds here"), (NOISE, NEARLY, "the opposite holds here"), (UP, UP, "no difference found")],
)
def test_a_score_is_set_beside_the_l1_norm(score, norm, found):
    records = scores_of({"infonce": score}, norm=[float(value) for value in norm])
    assert verdict("criterion of weights", **records) == f"not fine-tuned: {found}"


def test_a_score_is_no_more_than_a_number_if_it_orders_alike():
    norm = [i / N for i in range(N)]

    test = [2 * value + 14 * np.sin(3.1 * value) + 14 * np.sin(5.3 * value) for value in UP]  # two parts beside the norm
    knows = [2 * value + 20 * np.sin(3.1 * value) for value in UP]  # one of them

    def found(score: Sequence[float]) -> str:
        sample = sampled(test, norm=norm, **PAPERS)
        records = {"scores": [scored("infonce", sample, list(score), **PAPERS)], "crowds": [crowd(sample, NULL)]}
        row = claim("the simple number", samples=[sample], **records)
        assert "infonce and L1 norm kept: |rho| " in row.here or score is NOISE
        return row.verdict.removeprefix("not fine-tuned: ")

    assert found(DOWN) == "does not hold here"
    assert found(knows) == "holds here"
    assert found([2 * value - 20 * np.sin(3.1 * value) for value in UP]) == "the opposite holds here"
    assert found([value + 12 * np.sin(11 * value) for value in UP]) == "no correlation found"
    assert found(NOISE) == "no correlation found"


def test_readings_are_one_method_if_they_order_alike():
    words = "either anchor: one method"
    assert verdict(words, **scores_of({"infonce": UP, "as printed": UP})) == "holds here"
    assert verdict(words, **scores_of({"infonce": UP, "as printed": NOISE}, 2)) == "does not hold here"
    assert verdict(words, **scores_of({"infonce": UP, "as printed": NOISE})) == "undecided"  # no second seed
    mixed = verdict(words, **scores_of({"infonce": UP, "as printed": UP, "infonce (anchor original)": NOISE}, 2))
    assert mixed.startswith("mixed: does not hold here (")
    assert "; holds here (" in mixed
    assert verdict(words, **scores_of({"infonce": UP})) == UNTESTED


def test_readings_that_differ_as_two_seeds_of_one_do_are_not_told_apart():
    words, noise = "either anchor: one method", [np.random.default_rng(i).permutation(N).tolist() for i in range(4)]
    records = scores_of({})
    sample, names = records["samples"][0], [("infonce", 0), ("infonce", 1), ("as printed", 0), ("as printed", 1)]
    records["scores"] = [scored(n, sample, own, seed=s, **PAPERS) for (n, s), own in zip(names, noise, strict=True)]
    row = claim(words, **records)
    assert row.verdict == "as another seed"
    assert ", two seeds of one reading " in row.here
    nearly = [crowd(sample, [ranks_of(UP + np.random.default_rng(i).normal(scale=2, size=N)) for i in range(99)])]
    alike = scores_of({"infonce": UP, "as printed": UP}) | {"crowds": nearly}
    assert verdict(words, **alike) == "holds here"
    slightly = [value + 3 * np.sin(7.5 * value) for value in UP]
    assert verdict(words, **scores_of({"infonce": UP, "as printed": slightly}) | {"crowds": nearly}) == "as random weights"


# What an encoder learns


SHARES = [0.3 + 0.4 * i / 98 for i in range(99)]  # of triads that random weights tell apart


def crowds_of(seeds: int, **given: object) -> list[Record]:
    return [triads(SHARES, seed=seed, **given) for seed in range(seeds)]


def test_an_encoder_tells_pairs_apart_if_it_does_so_for_every_seed_better_than_random_weights():
    def found(*shares: float, crowds: int = 2) -> str:
        records = [learnt("as printed", [(0.9, 0.5)], s, share, **PAPERS) for s, share in enumerate(shares)]
        return verdict("tells L1 pruning", learnt=records, triads=crowds_of(crowds, **PAPERS))

    assert found(0.95) == "holds here"
    assert found(0.95, 0.9) == "holds here"
    assert found(0.05) == "the opposite holds here"
    assert found(0.65) == "as random weights"  # though the means of the cosines are far apart
    assert found(0.95, 0.65) == "undecided"
    assert found(0.95, crowds=0) == "undecided"
    row = claim("tells L1 pruning", learnt=[learnt("infonce", [(0.9, 0.5)], share=0.95)], triads=crowds_of(1))
    assert row.verdict == "other network: holds here"
    assert "infonce: 95 %, random weights 31 to 69, mean cosines 0.90 and 0.50, 1 encoder" in row.here


def test_l1_is_needed_if_no_other_order_can_be_told_apart():
    def found(own: Sequence[float], control: Sequence[float], orders: int = 2) -> str:
        records = [learnt("infonce", (), s, share, **PAPERS) for s, share in enumerate(own)]
        records += [learnt("random order", (), s, share, **PAPERS) for s, share in enumerate(control)]
        crowds = crowds_of(2, **PAPERS) + crowds_of(orders, positives="random", **PAPERS)
        return verdict("any order that always returns", learnt=records, triads=crowds)

    assert found([0.95], [0.9]) == "does not hold here"
    assert found([0.95, 0.96], [0.55, 0.5]) == "holds here"
    assert found([0.95], [0.05]) == "holds here"  # worse than by random weights
    assert found([0.6], [0.6]) == "as random weights"
    assert found([0.05], [0.9]) == "short of random weights"
    assert found([0.95, 0.96], [0.9, 0.5]) == "undecided"
    assert found([0.95], [0.9], orders=0) == "undecided"
    assert found([0.95], []) == UNTESTED
    records = [learnt("infonce", share=0.95), learnt("random order", share=0.9)]
    row = claim("any order that always returns", learnt=records, triads=crowds_of(1) + crowds_of(1, positives="random"))
    assert "95 %, random weights 31 to 69 and 90 %, random weights 31 to 69, 1 encoder each" in row.here


def test_negatives_are_pushed_away_if_they_are_farther_than_by_random_weights_beside_strangers():
    def found(*far: float, crowds: int = 2, cosine: float = 0.1) -> str:
        records = [learnt("infonce", [(0.9, cosine)], s, distance=own, **PAPERS) for s, own in enumerate(far)]
        return verdict("pushed away", learnt=records, triads=crowds_of(crowds, **PAPERS))

    assert found(0.9) == "holds here"
    assert found(0.9, 0.8) == "holds here"
    assert found(0.1) == found(0.1, cosine=-0.9) == "the opposite holds here"
    assert found(0.5) == "as random weights"  # though its cosine is lower than theirs: strangers' are, too
    assert found(0.9, 0.5) == "undecided"
    assert found(0.9, crowds=0) == "undecided"
    untrained = [learnt("shuffled edges", [(0.9, 0.1)])]
    assert verdict("pushed away", learnt=untrained, triads=crowds_of(1)) == UNTESTED  # no reading of the paper
    one_anchor = [learnt("infonce (anchor original)", [(0.9, 0.1)])]
    assert verdict("pushed away", learnt=one_anchor, triads=crowds_of(1, anchor="original")) == UNTESTED  # no strangers


# What a search finds

TOP, LOW = [84.0, 84.2, 84.1], [80.0, 80.1, 80.3]


def beside(
    first: list[float], second: list[float], other: str = "random (as costly)", seed: int = 0, **given: float
) -> list:
    return light("infonce", first, seed, **PAPERS) + light(other, second, seed, **PAPERS, **given)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [(TOP, LOW, "holds here"), (LOW, TOP, "the opposite holds here"), (TOP, TOP, "no difference found"),
     (TOP[:2], LOW[:2], "undecided")],
)  # fmt: skip
def test_the_best_by_score_are_set_beside_equally_costly_ones(first, second, found):
    row = claim("highest scores are better", light=beside(first, second))
    assert row.verdict == "undecided"  # one encoder's candidates are alike
    assert "over candidates" in row.here
    seeds = [r for s in range(3) for r in beside(first, second, seed=s)]
    if len(first) == 3:
        row = claim("highest scores are better", light=seeds)
        assert "over seeds" in row.here
        assert row.verdict == found


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [(TOP, LOW, "holds here"), (LOW, TOP, "the opposite holds here"), (TOP, TOP, "no difference found"),
     (TOP[:2], LOW[:2], "undecided")],
)  # fmt: skip
def test_the_best_by_score_are_set_beside_others_of_any_cost(first, second, found):
    seeds = [r for s in range(len(first)) for r in beside([first[s]], [second[s]], "random", seed=s)]
    assert verdict("others of any cost", light=seeds) == found
    assert verdict("others of any cost", light=beside(first, second, "random")) == "undecided"
    assert verdict("others of any cost", light=beside(first, second, "random", fr=51.1)) == "unequal cost"


def test_of_one_seed_means_differ_by_welchs_interval_and_of_several_by_students():
    row = claim("others of any cost", light=beside([84.0, 85.0, 86.0], [80.0, 81.0, 82.0], "random"))
    assert "+4.00 (+1.73 to +6.27), FR +0.00" in row.here
    seeds = [r for s, more in enumerate((1.0, 1.1, 1.2)) for r in beside([80 + more], [80.0], "random", seed=s)]
    row = claim("others of any cost", light=seeds)
    assert "+1.10\u00a0±\u00a00.25 (3)" in row.here
    assert row.verdict == "holds here"


def tops(seeds: int, values: dict[str, float], fr: dict[str, float] | None = None) -> dict[str, list[Record]]:
    """Searches with finals that reach about these accuracies, at those FR."""
    found: dict[str, list[Record]] = {"light": [], "finals": []}
    for name, top1 in values.items():
        given = {**PAPERS, "fr": (fr or {}).get(name, 50.0)}
        for s in range(seeds):
            found["light"] += light(name, [70.0, 71.0], s, **given)
            found["finals"] += finals(name, [top1 + 0.1 * s, top1 - 1], s, **given)
    return found


@pytest.mark.parametrize(
    ("words", "first", "second"),
    [("better network than chance", "infonce", "random (as costly)"), ("better network than chance", "as printed", "random"),
     ("SACP-1 ends with a worse", "infonce", "sacp-1"), ("finds is better", "infonce", "no edges"),
     ("what the search finds better", "infonce", "untrained")],
)  # fmt: skip
def test_winners_are_compared_seed_by_seed(words, first, second):
    assert verdict(words, **tops(3, {first: 92.0, second: 90.0})) == "holds here"
    assert verdict(words, **tops(3, {first: 90.0, second: 92.0})) == "the opposite holds here"
    assert verdict(words, **tops(3, {first: 90.0, second: 90.0})) == "no difference found"
    assert verdict(words, **tops(1, {first: 92.0, second: 90.0})) == "undecided"
    assert verdict(words, **tops(3, {first: 92.0, second: 90.0}, {second: 52.0})) == "unequal cost"
    lightly = tops(3, {first: 92.0, second: 90.0})["light"]
    assert verdict(words, light=lightly) == "not trained in full: no difference found"


def test_costs_that_cancel_over_the_seeds_are_not_equal():
    records = {"light": [r for s in range(3) for r in light("infonce", [80.0], s, **PAPERS)]}
    for s, fr in enumerate((45.0, 50.0, 55.0)):
        records["light"] += light("random", [70.0], s, fr=fr, **PAPERS)
    row = claim("better network than chance", **records)
    assert row.verdict == "not trained in full: unequal cost"
    assert "FR -5.00 to +5.00" in row.here


def test_winners_of_different_training_are_not_compared():
    records = tops(3, {"infonce": 92.0, "random": 90.0})
    records["finals"] = [r for r in records["finals"] if r.params["search"]["encoder"]]
    assert verdict("better network than chance", **records) == UNTESTED


@pytest.mark.parametrize(
    ("gain", "found"), [(1.0, "holds here"), (-1.0, "the opposite holds here"), (0.0, "no difference found")]
)
def test_a_larger_k_helps_if_validation_finds_the_better(gain, found):
    tuned = [r for s in range(3) for r in finals("infonce", [90.0, 90.0 + gain], s, val=[90.0, 91.0], **PAPERS)]
    row = claim("larger k gives", light=light("infonce", [80.0], **PAPERS), finals=tuned)
    assert row.verdict == found
    assert "infonce, k = 2" in row.here
    assert verdict("larger k gives", finals=tuned[:2]) == "undecided"
    by_lot = [r for s in range(3) for r in finals("random", [90.0, 91.0], s, val=[90.0, 91.0], **PAPERS)]
    assert verdict("larger k gives", finals=by_lot) == UNTESTED
    assert verdict("larger k gives", finals=tuned[::2]) == UNTESTED


def grown(gains: dict[str, float], seeds: int = 3) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {"light": [], "finals": []}
    for name, gain in gains.items():
        for s in range(seeds):
            found["light"] += light(name, [80.0, 80.0], s, **PAPERS)
            found["finals"] += [final(name, 0, 90.0, 90.0 + (m > 5) * gain, s, first=m, **PAPERS) for m in (5, 10)]
    return found


def test_a_larger_m_helps_if_its_winner_is_better():
    assert verdict("larger m gives", **grown({"infonce": 1.0})) == "holds here"
    assert verdict("larger m gives", **grown({"infonce": -1.0})) == "the opposite holds here"
    assert verdict("larger m gives", **grown({"infonce": 0.0})) == "no difference found"
    assert verdict("larger m gives", **grown({"infonce": 1.0}, seeds=1)) == "undecided"
    row = claim("larger m gives", light=light("infonce", [80.0, 81.0], **PAPERS))
    assert "infonce, m from 1 to 2: +1.00 (1)" in row.here
    assert row.verdict == "not trained in full: undecided"
    assert verdict("larger m gives", light=light("infonce", [80.0], **PAPERS)) == UNTESTED
    chance = grown({"infonce": 0.0, "random": 1.0, "random (as costly)": 1.0})
    assert verdict("larger m gives", **chance) == "no difference found"  # what chance gains is not SACP's


def test_a_score_saturates_the_gain_if_chance_gains_more():
    words = "brings less to SACP"
    assert verdict(words, **grown({"infonce": 0.1, "random": 1.0})) == "holds here"
    assert verdict(words, **grown({"infonce": 1.0, "random": 0.1})) == "the opposite holds here"
    assert verdict(words, **grown({"infonce": 1.0, "random": 1.0})) == "no difference found"
    assert verdict(words, **grown({"infonce": 1.0, "random": 0.1}, seeds=2)) == "undecided"
    assert verdict(words, **grown({"infonce": 1.0})) == UNTESTED


@pytest.mark.parametrize(
    ("full", "found"),
    [(NEARLY, "holds here"), ([-v for v in NEARLY], "the opposite holds here"), (NOISE, "no correlation found")],
)
def test_light_fine_tuning_tells_if_it_ranks_as_full_training_does(full, found):
    lightly = light("infonce", UP, m=N, **PAPERS)
    trained = [final("infonce", i, 90.0, float(top1), first=N, m=N, **PAPERS) for i, top1 in enumerate(full)]
    again = [final("infonce", i, 90.0, 0.0, first=N - 1, m=N, place=i, **PAPERS) for i in range(3)]  # of another m
    row = claim("Light fine-tuning tells", light=lightly, finals=trained + again)
    assert row.verdict == found
    assert ", 40 candidates" in row.here
    assert verdict("Light fine-tuning tells", light=lightly, finals=trained[:10]) == "undecided"
    assert verdict("Light fine-tuning tells", light=lightly) == UNTESTED


def test_choosing_on_the_test_set_matters_if_it_raises_what_is_reported():
    def found(gap: float, seeds: int = 3, k: int = 10) -> str:
        others = [80.0] * (k - 2)
        tops, val = [90.0, 90 + gap, *others], [91.0, 90.0, *others]
        tuned = [r for s in range(seeds) for r in finals("infonce", tops, s, val=val, **PAPERS)]
        lightly = [r for s in range(seeds) for r in light("infonce", [80.0], s, **PAPERS)]
        return verdict("on the test set does no harm", light=lightly, finals=tuned)

    assert found(0.05) == "holds here"
    assert found(0.5) == "does not hold here"
    assert found(0.5, seeds=1) == "undecided"
    assert found(0.05, k=2) == "undecided"  # of two, a lot would do as well


# Ablations


def staged(first: float, best: float, lightly: float = 80.0, seeds: int = 3) -> dict[str, list[Record]]:
    """The best by light fine-tuning ends at `first`, another one, which validation then picks, at `best`."""
    found: dict[str, list[Record]] = {"light": [], "finals": []}
    for s in range(seeds):
        found["light"] += light("infonce", [lightly, lightly - 1], s, **PAPERS)
        found["finals"] += finals("infonce", [first, best], s, val=[90.0, 91.0], **PAPERS)
    return found


def test_the_second_stage_helps_by_training_or_by_choosing():
    trains, chooses = "Without the second stage", "because it is chosen worse"
    assert verdict(trains, **staged(90.0, 90.0)) == "holds here"
    assert verdict(trains, **staged(90.0, 79.0)) == "the opposite holds here"
    assert verdict(trains, **staged(90.0, 80.0)) == "no difference found"
    assert verdict(chooses, **staged(90.0, 91.0)) == "holds here"
    assert verdict(chooses, **staged(90.0, 89.0)) == "the opposite holds here"
    assert verdict(chooses, **staged(90.0, 90.0)) == "no difference found"
    assert verdict(chooses, **staged(90.0, 91.0, seeds=2)) == "undecided"
    one = staged(90.0, 91.0)
    one["finals"] = [r for r in one["finals"] if r.params["rank"] == 0]
    assert verdict(trains, **one) == "holds here"
    assert verdict(chooses, **one) == UNTESTED


# Accuracy


def pruned(arch: str, top1: Sequence[float], **given: object) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {"baselines": [], "light": [], "finals": []}
    for s, value in enumerate(top1):
        found["baselines"].append(baseline(s, 92.0, arch=arch, **given))
        found["light"] += light("infonce", [80.0], s, arch=arch, **given)
        found["finals"] += finals("infonce", [value], s, arch=arch, **given)
    return found


@pytest.mark.parametrize(
    ("top1", "found"),
    [([93.0, 93.1, 93.2], "holds here"), ([91.0, 91.1, 91.2], "the opposite holds here"),
     ([91.9, 92.0, 92.1], "no difference found"), ([93.0], "undecided")],
)  # fmt: skip
def test_nothing_is_lost_if_the_winner_is_above_the_unpruned_network(top1, found):
    assert verdict("Nothing is lost", **pruned("resnet18", top1)) == found
    assert verdict("Nothing is lost", **pruned("resnet20", top1)) == f"other network: {found}"
    assert verdict("Nothing is lost", **pruned("resnet56", top1)) == UNTESTED
    lightly = pruned("resnet18", top1) | {"finals": []}
    assert verdict("Nothing is lost", **lightly) == "not trained in full: undecided"


@pytest.mark.parametrize(
    ("top1", "found"),
    [([91.5, 91.6, 91.4], "holds here"), ([90.0, 90.1, 90.2], "does not hold here"), ([90.0, 91.0, 92.0], "undecided"),
     ([91.5], "undecided")],
)  # fmt: skip
def test_a_loss_is_small_if_it_is_surely_below_a_point(top1, found):
    assert verdict("loses only a little", **pruned("resnet56", top1)) == found
    assert verdict("loses only a little", **pruned("resnet56", top1, shortcut="A")) == f"other network: {found}"
    lightly = pruned("resnet56", top1) | {"finals": []}
    assert verdict("loses only a little", **lightly) == "not trained in full: undecided"
    row = claim("loses only a little", **pruned("resnet56", top1))
    assert "at FR 50.0" in row.here


# Noise


RUNS, SEEDS = 7, range(3)
SOME = ("infonce", "as printed", "no edges", "untrained", "sacp-1")


def noise_of_scores(g: np.random.Generator, of_ratios: bool) -> dict[str, list[Record]]:
    """Accuracy, scores and the orders of random weights: independent numbers, or each a random function of the ratios."""
    r = g.integers(0, 10, (N, ENTRIES))
    draw = (lambda: r @ g.normal(size=ENTRIES)) if of_ratios else (lambda: g.normal(size=N))
    sample = sampled(draw().tolist(), norm=draw().tolist(), r=r.tolist(), **PAPERS)
    scores = [scored(name, sample, draw().tolist(), seed=seed, **PAPERS) for name in SOME for seed in SEEDS]
    shares, far = (0.5 + 0.1 * g.normal(size=(2, 102))).tolist()
    again = (0.5 + 0.1 * g.normal(size=3)).tolist()
    learnt_ones = [learnt("infonce", [(0.9, 0.1)], s, shares[s], far[s], **PAPERS) for s in SEEDS]
    learnt_ones += [learnt("random order", [(0.9, 0.1)], s, again[s], **PAPERS) for s in SEEDS]
    kinds = itertools.product(SEEDS, ("l1", "random"))
    crowds = [triads(shares[3:], distance=far[3:], seed=s, positives=kind, **PAPERS) for s, kind in kinds]
    orders = crowd(sample, [ranks_of(draw()) for _ in range(99)])
    return {"samples": [sample], "scores": scores, "crowds": [orders], "learnt": learnt_ones, "triads": crowds}


def noise_of_searches(g: np.random.Generator, arch: str) -> dict[str, list[Record]]:
    """All searches reach the same in the mean. What one finds is alike, as one encoder chose it."""
    before = 91.0 if arch == "resnet56" else 90.0  # where the claim is that not so much is lost
    found: dict[str, list[Record]] = {
        "baselines": [baseline(s, before, arch=arch) for s in SEEDS],
        "light": [],
        "finals": [],
    }
    for name in (*SOME, "random", "random (as costly)"):
        for s in SEEDS:
            common = 90 + g.normal()
            removed = float(g.uniform(0.7, 0.75))
            found["light"] += light(name, (common + 0.3 * g.normal(size=6)).tolist(), s, removed=removed, m=6, arch=arch)
            for m in (3, 6):
                found["finals"] += [
                    final(name, k, *(common + 0.3 * g.normal(size=2)), s, m, m=6, arch=arch) for k in range(3)
                ]
    return found


@pytest.mark.parametrize("of_ratios", [False, True])
def test_no_claim_about_scores_holds_on_noise(monkeypatch, of_ratios):
    monkeypatch.setattr(sacp_scores, "RESAMPLES", 300)
    records = [noise_of_scores(np.random.default_rng(i), of_ratios) for i in range(RUNS)]
    tested = assert_nothing_holds(records)
    assert len(tested) == 11


@pytest.mark.parametrize("arch", ["resnet18", "resnet56"])
def test_no_claim_about_searches_holds_on_noise(arch):
    tested = assert_nothing_holds([noise_of_searches(np.random.default_rng(i), arch) for i in range(RUNS)])
    assert len(tested) == 15


def assert_nothing_holds(runs: Sequence[dict[str, list[Record]]]) -> set[str]:
    """The claims that have cases. One holds in no more than a tenth of its own, where 2.5 % are expected, or in one."""
    verdicts: dict[str, list[str]] = {}
    for frames in (sacp_evidence.Frames.of(sacp_evidence.Records(**records)) for records in runs):
        for one in sacp_claims.CLAIMS:
            verdicts.setdefault(one.claim, []).extend(case.verdict for case in one.test(frames) if case.on)
    tested = {words for words, found in verdicts.items() if found}
    for words in tested:
        assert verdicts[words].count("holds here") <= max(1, 0.1 * len(verdicts[words])), words
    return tested
