"""The SACP study: what may be asked for, and that the trials it amounts to belong together."""

from collections import Counter
from functools import cache
from typing import Any

import pytest

from prunebook import notebooks
from prunebook.errors import BadValue
from prunebook.studies import sacp as study
from prunebook.studies.sacp import Parameters
from prunebook.trials.engine import describe

SACP = notebooks.get("sacp")
of_run = cache(SACP.parameters)
SOME: dict[str, Any] = {"searches": ["infonce", "random", "random (as costly)"], "m": 4, "k": 2, "light": 1, "full": 3}
COMPARED: dict[str, Any] = {"encoders": ["infonce", "untrained", "sacp-1"], "sampled": 10}


@pytest.mark.parametrize("name", SACP.description.runs)
def test_trials_of_one_repetition_are_told_apart_in_words(name: str) -> None:
    p = SACP.parameters(name, {"seeds": 1, "m": 5, "k": 2, "ms": []})
    assert set(Counter(map(describe, study.trials(p))).values()) == {1}


def test_repetitions_are_told_apart_by_seed_and_draw() -> None:
    p = Parameters.check(SOME | COMPARED | {"seeds": 2})
    words = [describe(trial) for trial in study.trials(p) if trial.task != "baseline"]
    assert len(set(words)) == len(words)


def test_trials_that_parts_share_are_there_once() -> None:
    p = Parameters.check(SOME | COMPARED | {"weights": {"resnet20": "a.th"}, "seeds": 3})
    parts = study.parts(p)
    assert sum(map(len, parts.values())) > len(study.trials(p)) == len({t.key for part in parts.values() for t in part})
    assert len(set(parts["baselines"])) == 1
    assert len(set(parts["learnt"])) == 6


def test_all_searches_of_a_repetition_are_treated_alike() -> None:
    p = Parameters.check(SOME | {"ms": [2, 3]})
    light, finals = study.light(p), study.finals(p)
    assert len(light) == 3 * 4
    assert len({str((t.parameters.place, t.parameters.finetune, t.parameters.recalibrate)) for t in light}) == 4
    assert Counter(t.parameters.first for t in finals) == {2: 3 * 2, 3: 3 * 2, 4: 3 * 2}
    assert {t.parameters.finetune.epochs for t in finals} == {3}
    for final in finals:
        assert set(final.needs()) <= {*light, *study.baselines(p)}


def test_random_candidates_cost_what_those_of_the_first_search_by_an_encoder_do() -> None:
    p = Parameters.check(SOME | {"searches": ["random", "as printed", "random (as costly)", "infonce"]})
    searches = dict(zip(p.searches, study.searches(p), strict=True))
    assert searches["random (as costly)"].parameters.like == searches["as printed"].parameters
    assert searches["random"].parameters.like is None


def test_what_sacp_1_learns_from_is_not_what_it_is_judged_by() -> None:
    p = Parameters.check(COMPARED | {"sampled": 40, "supervised": 40, "free": True})
    _, regression = study.regressions(p)
    learnt = regression.parameters.sample
    judged = [trial.parameters for trial in study.samples(p)]
    assert learnt.seed not in {sample.seed for sample in judged}
    assert (learnt.split, {sample.split for sample in judged}) == ("val", {"test"})
    assert len(study.scores(p)) == 3 * 2


FOREIGN: dict[str, Any] = {"weights": {"resnet20": "a.th"}, "dataset": "cifar10", "seeds": 3}


def test_encoders_of_all_seeds_score_the_same_sample_of_a_network_that_others_trained() -> None:
    p = Parameters.check(SOME | COMPARED | FOREIGN)
    assert len(set(study.samples(p))) == 1
    encoders = [trial.parameters.encoder for trial in study.scores(p)]
    assert sorted((one.seed, one.kind) for one in encoders if one.kind == "regression") == [
        (s, "regression") for s in range(3)
    ]
    assert len(set(study.scores(p))) == 3 * 3
    assert len({str(trial.parameters.sample) for trial in study.regressions(p) if trial.task == "regress"}) == 1
    assert len(set(study.crowds(p))) == 1 + 3  # the sample, and the random search of each seed
    assert len(set(study.triads(p))) == 1
    own = Parameters.check(SOME | COMPARED | {"seeds": 3})
    assert len(set(study.samples(own))) == len(set(study.triads(own))) == 3


def test_encoders_that_are_compared_learn_again_by_other_seeds_and_search_by_the_first() -> None:
    p = Parameters.check(SOME | COMPARED | {"again": 2})
    seeds = Counter((t.parameters.encoder.what.split(",")[0], t.parameters.encoder.seed) for t in study.scores(p))
    learns = ("encoder infonce", "encoder by regression on 100 candidates")
    assert seeds == {(name, seed): 1 for name in learns for seed in (0, 1000, 2000)} | {("encoder untrained", 0): 1}
    assert {t.parameters.encoder.seed for t in study.searches(p) if t.parameters.encoder} == {0}
    assert {t.parameters.seed for t in study.samples(p)} == {0}
    assert {t.parameters.seed for t in study.learnt(p)} == {0, 1000, 2000}


def test_every_score_has_encoders_with_random_weights_beside_it() -> None:
    p = Parameters.check(
        SOME | COMPARED | {"free": True, "encoders": ["infonce", "as printed (anchor original)"], "crowd": 50}
    )
    scored = {str(t.parameters.of) for t in (*study.scores(p), *study.light_scores(p))}
    assert {str(t.parameters.of) for t in study.crowds(p)} == scored
    assert {t.parameters.encoders for t in (*study.crowds(p), *study.triads(p))} == {50}
    assert {t.parameters.anchor for t in study.triads(p)} == {"first", "original"}
    controlled = Parameters.check(SOME | COMPARED | {"encoders": ["infonce", "random order", "no edges"]})
    assert [(t.parameters.anchor, t.parameters.positives) for t in study.triads(controlled)] == [
        ("first", "l1"), ("first", "random")
    ]  # fmt: skip
    none = Parameters.check(SOME | COMPARED | {"crowd": 0})
    assert study.crowds(none) == study.triads(none) == []


def test_architectures_may_have_encoders_searches_and_samples_of_their_own() -> None:
    given = {"encoders": {"resnet20": ["infonce", "sacp-1"], "vgg16": ["untrained"]}, "sampled": {"resnet20": 8, "vgg16": 4}}
    given |= {"searches": {"resnet20": ["infonce", "random"], "vgg16": "random"}, "supervised": {"resnet20": 9, "vgg16": 2}}
    p = Parameters.check(given | {"arch": ["resnet20", "vgg16"], "m": 3, "k": 1})
    assert Counter(t.parameters.baseline.arch for t in study.searches(p)) == {"resnet20": 2, "vgg16": 1}
    assert Counter(t.parameters.baseline.arch for t in study.scores(p)) == {"resnet20": 2, "vgg16": 1}
    assert {(t.parameters.baseline.arch, t.parameters.n) for t in study.samples(p)} == {("resnet20", 8), ("vgg16", 4)}
    (learnt,) = (t.parameters for t in study.regressions(p) if t.task == "sample")
    assert (learnt.baseline.arch, learnt.n) == ("resnet20", 9)
    assert {t.parameters.baseline.arch for t in study.triads(p)} == {"resnet20"}
    assert {t.parameters.baseline.arch for t in study.light_scores(p)} == {"resnet20"}


def test_what_chooses_is_said_and_that_others_networks_may_have_seen_it() -> None:
    p = Parameters.check(SOME | COMPARED | FOREIGN)
    assert "as if made on training images" in " ".join(study.choice(p))
    assert " ".join(study.choice(p)) in " ".join(study.differences(p))
    halves = Parameters.check(SOME | COMPARED | FOREIGN | {"chosen_on": "half of test"})
    assert "chosen on one half of the test split" in study.choice(halves)[0]
    assert "that is why they do not choose" in study.choice(halves)[1]
    choosing = [t.parameters for t in study.trials(halves) if t.task in ("sample", "candidate", "final")]
    assert {one.chosen_on for one in choosing} == {"half of test"}
    assert len(set(study.unpruned(halves))) == 1
    assert study.unpruned(p) == []
    own = study.choice(Parameters.check(SOME))
    assert own == [
        "The k and the winner are chosen on a validation split of a tenth of the training images (a fifth for digits)."
    ]


def test_all_candidates_are_fine_tuned_lightly_on_as_many_images() -> None:
    p = Parameters.check(SOME | {"light_images": 500, "seeds": 2})
    fits = {(t.parameters.search.seed, t.parameters.finetune.images, t.parameters.finetune.seed) for t in study.light(p)}
    assert fits == {(0, 500, 0), (1, 500, 1)}
    assert {t.parameters.finetune.images for t in study.finals(p)} == {None}
    assert "Light fine-tuning: 1 epoch of 500 images of SGD" in " ".join(study.differences(p))


def test_encoders_differ_in_what_their_names_say_and_in_nothing_else() -> None:
    p = Parameters.check({"encoders": list(study.ENCODERS), "sampled": 2})
    found = {name: study.encoder(p, study.cases(p)[0], name) for name in study.ENCODERS if name != "sacp-1"}
    for name, changes in study.ENCODERS.items():
        if name != "sacp-1":
            assert found[name] == found["infonce"] | changes


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"tau": "0.3"}, {"tau": 0.3}),
        ({"tau": {"resnet20": "0.5"}}, {"tau": {"resnet20": 0.5}}),
        ({"light_lr": "1e-3"}, {"light_lr": 1e-3}),
        ({"candidates": "1e6"}, {"candidates": 1_000_000}),
        ({"candidates": {"resnet20": "5e6"}}, {"candidates": {"resnet20": 5_000_000}}),
        ({"free": "true", "drawing": "False"}, {"free": True, "drawing": False}),
        ({"m": "20", "candidates": "5000"}, {"m": 20, "candidates": 5000}),
        ({"searches": "random (as costly)", "encoders": []}, None),
        ({"searches": "infonce", "shares": 0.4, "tables": "3"}, {"searches": ["infonce"], "shares": [0.4], "tables": [3]}),
        ({"searches": ["random", "random"]}, {"searches": ["random"]}),
    ],
)
def test_text_and_single_values_are_understood(given: dict[str, Any], meant: dict[str, Any] | None) -> None:
    if meant is None:
        with pytest.raises(BadValue, match=r"one by an encoder beside 'random \(as costly\)'"):
            Parameters.check(given)
    else:
        assert Parameters.check(given) == Parameters.check(meant)


def test_another_architecture_takes_the_defaults_where_the_run_has_values_for_its_own_alone() -> None:
    lite, costs = SACP.run("lite").parameters, SACP.run("costs").parameters
    assert "m" not in Parameters.inherited(lite, {"arch": "vgg16"})
    assert Parameters.inherited(lite, {"arch": "resnet56"})["m"] == {"resnet56": lite["m"]["resnet56"]}
    assert Parameters.inherited(costs, {"arch": ["resnet18"]})["tau"] == {"resnet18": 0.7}
    assert Parameters.inherited(costs, {"tau": 0.5}) == costs


def test_nothing_is_trained_where_only_costs_are_asked_for() -> None:
    assert {trial.task for trial in study.trials(of_run("costs"))} == {"chance"}


def test_differences_name_what_is_not_the_paper_s() -> None:
    paper = study.differences(of_run("paper"))
    assert not [sentence for sentence in paper if sentence.startswith(("vgg16", "resnet18", "resnet56", "Data"))]
    lite = " ".join(study.differences(of_run("lite")))
    assert "resnet20: the paper has no such network." in lite
    assert "resnet56: its cost in the paper is that of projections" in lite
    m = SACP.run("lite").parameters["m"]["resnet56"]
    assert f"resnet56: {m} for m; the paper: 300." in lite
    assert "Light fine-tuning: 1 epoch of 5,000 images of SGD from 0.01, schedule cosine" in lite
    assert "chosen on one half of the test split" in lite
    assert "Full training: none" in lite
    assert "All searches by contrast are by a repaired loss" in lite
    assert "The anchor keeps the first channels by number" in lite
    assert "repaired loss" not in " ".join(paper)  # it searches by the printed one as well
    chance = Parameters.check({"searches": ["random", "sacp-1", "untrained"], "m": 2, "k": 1})
    assert not [
        sentence for sentence in study.differences(chance) if "by contrast" in sentence or "anchor keeps" in sentence
    ]
    assert "Data:" not in lite
    other = " ".join(study.differences(of_run("paper").model_copy(update={"tau": 0.5, "k": 3, "dataset": ["digits"]})))
    assert "vgg16: tau 0.5; the paper: 0.6." in other
    assert "resnet18: 3 networks trained in full; the paper: 10." in other
    assert "Data: digits" in other


@pytest.mark.parametrize("arch", [[{}], [["resnet20"]], {"resnet20": 1}, [None]])
def test_what_is_no_name_of_an_architecture_is_refused_in_one_sentence(arch: Any) -> None:
    for run in notebooks.get("sacp").description.runs:
        with pytest.raises(BadValue, match=r"^arch"):
            notebooks.get("sacp").parameters(run, {"arch": arch})
