from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from sacp_records import ENTRIES, baseline, chance, final, finals, learnt, light, sampled, scored, searched

from prunebook.errors import BadValue
from prunebook.report import kcore_tables, sacp_claims, sacp_evidence
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
    assert set(frame[frame.verdict == "no number in the paper"].claim) == {"It is as good on ImageNet."}


def test_records_have_the_names_of_the_studys_parts():
    assert set(sacp_evidence.Records._fields) == set(study.parts(study.Parameters.check({})))
    with pytest.raises(BadValue, match="records"):
        sacp_claims.claims(samples=[], lights=[])


def test_every_verdict_is_explained():
    sample = sampled(list(range(30)), seed=0)
    frame = sacp_claims.claims(
        samples=[sample], scores=[scored("infonce", sample, list(range(30)))], light=light("infonce", [80.0]),
        learnt=[learnt("infonce", [(0.9, 0.5)])],
    )  # fmt: skip
    for text in frame.verdict:
        words = text.replace("mixed: ", "").split(" (")[0].split("; ")[0]
        assert all(word in sacp_claims.CLAIM_VERDICTS for part in words.split(": ") for word in part.split(", "))
    legend = kcore_tables.legend(sacp_claims.CLAIM_VERDICTS, frame.verdict)
    assert {"holds here", "other network", "not fine-tuned", "undecided"} <= {line.split("**")[1] for line in legend}


def test_the_page_says_what_the_intervals_are_over():
    sample = sampled([80.0] * 4)
    html = sacp_claims.shown_claims(sacp_claims.claims(samples=[sample])).to_html()
    assert "One seed of resnet20 on CIFAR-10: intervals are over candidates, and say nothing of another encoder" in html
    assert "2,000 resamples" in html
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
    near, far = light("infonce", [80.0] * 19, removed=0.71, **PAPERS), light("infonce", [80.0] * 20, removed=0.8, **PAPERS)
    one_off = [*near, far[-1]]
    assert verdict("what tau asks for", light=near) == "holds here"
    assert verdict("what tau asks for", light=one_off) == "holds here"
    assert verdict("what tau asks for", light=far) == "does not hold here"
    row = claim("what tau asks for", light=far + light("random", [80.0], removed=0.75, **PAPERS))
    assert "10.0 above tau in the mean, chance 5.0, 0 % of 20 within 2" in row.here


# What a score knows

N = 40
UP = [float(i) for i in range(N)]
DOWN = UP[::-1]
NOISE = np.random.default_rng(1).permutation(N).tolist()
NEARLY = [value + 12 * np.sin(7 * value) for value in UP]  # in nearly the same order


def scores_of(values: dict[str, Sequence[float]], **given: object) -> dict[str, list[Record]]:
    sample = sampled(UP, **{**PAPERS, **given})
    return {"samples": [sample], "scores": [scored(name, sample, list(own), **PAPERS) for name, own in values.items()]}


@pytest.mark.parametrize(
    ("score", "found"),
    [(NEARLY, "holds here"), ([-v for v in NEARLY], "the opposite holds here"), (NOISE, "no correlation found")],
)
def test_a_score_predicts_if_its_interval_is_above_0(score, found):
    assert verdict("A higher score means", **scores_of({"infonce": score})) == f"not fine-tuned: {found}"
    assert verdict("than what a candidate costs", **scores_of({"as printed": score})) == f"not fine-tuned: {found}"


def test_few_candidates_decide_nothing():
    sample = sampled(UP[:10])
    records = {"samples": [sample], "scores": [scored("infonce", sample, UP[:10])]}
    assert verdict("A higher score means", **records) == "other network, not fine-tuned: undecided"
    assert "+1.00 (+1.00 to +1.00)" in claim("A higher score means", **records).here


def test_a_score_that_only_follows_the_cost_knows_nothing_more():
    # Accuracy and score both follow the MACs, each with a noise of its own.
    macs = [(i + 1) / N for i in range(N)]
    score = [i + value / 4 for i, value in enumerate(NOISE)]
    test = [i + 10 * np.sin(3.1 * i) for i in range(N)]
    sample = sampled(test, macs, **PAPERS)
    records = {"samples": [sample], "scores": [scored("infonce", sample, score, **PAPERS)]}
    assert verdict("A higher score means", **records) == "not fine-tuned: holds here"
    assert verdict("than what a candidate costs", **records) == "not fine-tuned: no correlation found"


def test_light_fine_tuning_is_said():
    found = searched("random", [[3] * ENTRIES] * N, m=N, **PAPERS)
    records = light("random", UP, m=N, **PAPERS)
    given = {"light": records, "light_scores": [scored("infonce", found, NEARLY, **PAPERS)]}
    assert verdict("A higher score means", **given) == "not trained in full: holds here"
    assert "random search, 1 epoch, infonce: +" in claim("A higher score means", **given).here
    assert verdict("criterion of weights", **given) == UNTESTED  # no record has the L1 norm that is kept


@pytest.mark.parametrize(
    ("words", "first", "second"),
    [("The score is better", "infonce", "no edges"), ("Learning by contrast makes the score", "as printed", "untrained"),
     ("(SACP-1) predicts worse", "infonce (anchor original)", "sacp-1")],
)  # fmt: skip
def test_one_score_beats_another_on_the_same_candidates(words, first, second):
    condition = "not fine-tuned: "
    assert verdict(words, **scores_of({first: NEARLY, second: NOISE})) == condition + "holds here"
    assert verdict(words, **scores_of({first: NOISE, second: NEARLY})) == condition + "the opposite holds here"
    assert verdict(words, **scores_of({first: NEARLY, second: NEARLY})) == condition + "no difference found"
    assert verdict(words, **scores_of({first: NEARLY})) == UNTESTED


@pytest.mark.parametrize(
    ("score", "norm", "found"),
    [(NEARLY, NOISE, "holds here"), (NOISE, NEARLY, "the opposite holds here"), (UP, UP, "no difference found")],
)
def test_a_score_is_set_beside_the_l1_norm(score, norm, found):
    records = scores_of({"infonce": score}, norm=[float(value) for value in norm])
    assert verdict("criterion of weights", **records) == f"not fine-tuned: {found}"


def test_a_score_is_no_more_than_a_number_if_it_orders_alike():
    norm = [i / N for i in range(N)]

    def found(score: Sequence[float]) -> str:
        return verdict("one simple number", **scores_of({"infonce": score}, norm=norm))

    assert found(DOWN) == "does not hold here"
    assert found(NOISE) == "holds here"
    assert found([value + 8 * np.sin(7 * value) for value in UP]) == "undecided"
    assert "infonce and L1 norm kept" in claim("one simple number", **scores_of({"infonce": UP}, norm=norm)).here


def test_readings_are_one_method_if_they_order_alike():
    words = "either anchor: one method"
    assert verdict(words, **scores_of({"infonce": UP, "as printed": UP})) == "holds here"
    assert verdict(words, **scores_of({"infonce": UP, "as printed": NOISE})) == "does not hold here"
    mixed = scores_of({"infonce": UP, "as printed": UP, "infonce (anchor original)": NOISE})
    assert verdict(words, **mixed).startswith("mixed: does not hold here")
    assert verdict(words, **scores_of({"infonce": UP})) == UNTESTED


# What an encoder learns


def test_an_encoder_tells_pairs_apart_if_it_does_so_for_every_seed():
    apart, alike = [(0.9, 0.9), (0.9, 0.5)], [(0.9, 0.5), (0.9, 0.88)]

    def found(*seeds: list[tuple[float, float]]) -> str:
        return verdict("tells L1 pruning", learnt=[learnt("as printed", c, s, **PAPERS) for s, c in enumerate(seeds)])

    assert found(apart) == "holds here"
    assert found(alike, alike) == "does not hold here"
    assert found(apart, alike) == "undecided"
    row = claim("tells L1 pruning", learnt=[learnt("infonce", apart)])
    assert row.verdict == "other network: holds here"
    assert "infonce: 0.90 and 0.50, apart by +0.40, 1 encoder" in row.here


def test_negatives_are_pushed_away_if_their_cosine_falls():
    def found(*seeds: list[tuple[float, float]]) -> str:
        return verdict("pushed away", learnt=[learnt("infonce", c, s, **PAPERS) for s, c in enumerate(seeds)])

    falls, rises = [(0.9, 0.8), (0.9, 0.5)], [(0.9, 0.5), (0.9, 0.8)]
    assert found(falls, falls) == "holds here"
    assert found(rises) == "the opposite holds here"
    assert found(falls, rises) == "undecided"
    assert found([(0.9, 0.50), (0.9, 0.47)]) == "undecided"
    assert found([(0.9, 0.5)]) == UNTESTED
    untrained = [learnt("shuffled edges", falls)]
    assert verdict("pushed away", learnt=untrained) == UNTESTED  # no reading of the paper


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
    assert row.verdict == found
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
    assert verdict("others of any cost", light=beside(first, second, "random")) == found
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
    def found(gap: float, seeds: int = 3) -> str:
        tuned = [r for s in range(seeds) for r in finals("infonce", [90.0, 90 + gap], s, val=[91.0, 90.0], **PAPERS)]
        lightly = [r for s in range(seeds) for r in light("infonce", [80.0], s, **PAPERS)]
        return verdict("on the test set does no harm", light=lightly, finals=tuned)

    assert found(0.05) == "holds here"
    assert found(0.5) == "does not hold here"
    assert found(0.5, seeds=1) == "undecided"


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


@pytest.mark.parametrize(
    ("top1", "found"),
    [([91.5, 91.6, 91.4], "holds here"), ([90.0, 90.1, 90.2], "does not hold here"), ([90.0, 91.0, 92.0], "undecided"),
     ([91.5], "undecided")],
)  # fmt: skip
def test_a_loss_is_small_if_it_is_surely_below_a_point(top1, found):
    assert verdict("loses only a little", **pruned("resnet56", top1)) == found
    assert verdict("loses only a little", **pruned("resnet56", top1, shortcut="A")) == f"other network: {found}"
    row = claim("loses only a little", **pruned("resnet56", top1))
    assert "at FR 50.0" in row.here
