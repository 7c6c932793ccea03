"""The Sørensen-Dice study: what may be asked for, and that the comparisons it amounts to are fair."""

from typing import Any

import pytest

from prunebook import notebooks
from prunebook.errors import BadValue
from prunebook.studies import dice as study
from prunebook.studies.dice import Parameters

FULL: dict[str, Any] = {
    "dataset": ["mnist", "cifar10"],
    "seeds": 3,
    "methods": ["dice", "l1", "growing_reg"],
    "targets": [0.43],
    "ratios": [0.2],
    "finetune": 20,
    "regularised": 5,
}


def test_every_method_of_a_repetition_starts_from_the_same_network_and_spends_the_same_epochs() -> None:
    p = Parameters.check(FULL)
    by_case: dict[str, list[Any]] = {}
    for trial in study.equal_macs(p):
        by_case.setdefault(str(trial.parameters.baseline), []).append(trial.parameters)
    assert len(by_case) == 6
    for compared in by_case.values():
        assert len(compared) == 3
        spent = [c.finetune.epochs + (c.regularised.fit.epochs if c.regularised else 0) for c in compared]
        assert spent == [20, 20, 20]
        assert {c.finetune.seed for c in compared} == {compared[0].draw}
        assert {c.decision.target for c in compared} == {0.43}
        assert {c.recalibrate for c in compared} == {1000}
        assert {c.decision.layers for c in compared} == {"conv"}


def test_the_unpruned_network_gets_the_epochs_and_batches_of_the_pruned_ones() -> None:
    p = Parameters.check(FULL | {"control": True, "seeds": 2})
    pruned = {str(trial.parameters.baseline): trial.parameters for trial in study.equal_macs(p)}
    assert len(study.controls(p)) == 4
    for trial in study.controls(p):
        assert trial.parameters.decision.ratio == 0
        assert trial.parameters.recalibrate == 0
        assert trial.parameters.finetune.epochs == 20
        assert trial.parameters.finetune.seed == pruned[str(trial.parameters.baseline)].draw
    assert study.controls(Parameters.check(FULL)) == []
    with pytest.raises(BadValue, match="finetune is 0, but must be at least 1 where control is given"):
        Parameters.check(FULL | {"control": True, "finetune": 0, "regularised": 0, "methods": ["dice"]})


def test_repetitions_count_up_from_the_first_seed_and_the_last_is_timed() -> None:
    p = Parameters.check(FULL | {"first_seed": 2, "seeds": 2, "speed": True})
    seeds = {case.seed for case in study.cases(p)}
    assert seeds == {2, 3}
    assert {trial.parameters.fit.seed for trial in study.baselines(p)} == seeds
    assert {trial.parameters.draw for trial in study.equal_macs(p)} == seeds
    assert {trial.parameters.draw for trial in study.speeds(p)} == {3}
    assert p.repeated.endswith(": 2 (2 to 3)")
    with pytest.raises(BadValue, match="first_seed is -1"):
        Parameters.check(FULL | {"first_seed": -1})


def test_a_dataset_may_have_other_repetitions_than_the_rest() -> None:
    p = Parameters.check(FULL | {"first_seed": 2, "seeds_of": {"mnist": 1}, "speed": True})
    assert [(case.dataset, case.seed) for case in study.cases(p)] == [
        ("mnist", 2), ("cifar10", 2), ("cifar10", 3), ("cifar10", 4)]  # fmt: skip
    assert {trial.parameters.draw for trial in study.speeds(p)} == {2, 4}
    assert p.repeated.endswith(": 1 (2) on mnist, 3 (2 to 4) on cifar10")
    for wrong, words in (({"mnist": 0}, "seeds_of mnist is 0"), ({"mnits": 1}, r"'mnits'.*did you mean 'mnist'")):
        with pytest.raises(BadValue, match=words):
            Parameters.check(FULL | {"seeds_of": wrong})


def test_the_trials_of_runs_beside_are_the_runs_own_too() -> None:
    p = Parameters.check(FULL | {"beside": "quick"})
    quick = notebooks.get("dice").parameters("quick")
    assert study.others(p) == {"quick": quick}
    assert set(study.trials(p)) == set(study.trials(Parameters.check(FULL))) | set(study.trials(quick))
    with pytest.raises(BadValue, match=r"'quik'.*did you mean 'quick'"):
        Parameters.check(FULL | {"beside": ["quik"]})


def test_shorter_trainings_have_shorter_steps() -> None:
    p = Parameters.check(FULL)
    assert study.fit(p, 20, 0)["step_every"] == 7
    assert study.fit(p, 15, 0)["step_every"] == 5
    assert study.fit(p, 1, 0)["step_every"] == 1


def test_table_2_prunes_linear_layers_by_every_method_and_convolutions_only_by_dice_as_well() -> None:
    trials = study.fixed_ratio(Parameters.check(FULL | {"dataset": "mnist", "seeds": 1}))
    scopes = [(trial.parameters.decision.describe(), trial.parameters.decision.layers) for trial in trials]
    assert scopes == [("dice", "conv"), ("l1 all", "all"), ("growing_reg all", "all"), ("dice all", "all")]
    assert all(trial.parameters.recalibrate == 0 for trial in trials)


def test_parts_of_a_run_share_their_baselines() -> None:
    p = Parameters.check(
        FULL | {"curve": [0, 0.5], "drops": [1], "profiles": True, "speed": True, "tunings": ["head", "all"]}
    )
    wanted = {trial.key for trial in study.baselines(p)}
    for name, part in study.parts(p).items():
        for trial in part:
            starts = [t for t in trial.needs() if t.task == "baseline"] + [t for n in trial.needs() for t in n.needs()]
            assert name == "baselines" or {t.key for t in starts} <= wanted


def test_every_trained_network_is_profiled_on_the_images_that_its_decisions_look_at() -> None:
    p = Parameters.check(FULL | {"profiles": True})
    looked_at = {(str(trial.parameters.baseline), trial.parameters.draw) for trial in study.equal_macs(p)}
    profiled = [(str(trial.parameters.baseline), trial.parameters.draw) for trial in study.profiles(p)]
    assert len(profiled) == 6
    assert set(profiled) == looked_at
    assert study.profiles(Parameters.check(FULL)) == []


def test_a_file_of_weights_is_one_baseline_whatever_the_seed() -> None:
    p = Parameters.check(
        {"dataset": "cifar10", "arch": "resnet20", "weights": {"resnet20": "a.th"}, "seeds": 3, "targets": [0.4]}
    )
    assert len(set(study.baselines(p))) == 1
    assert {trial.parameters.draw for trial in study.equal_macs(p)} == {0, 1, 2}


def test_candidates_are_trained_for_as_long_as_they_say() -> None:
    p = Parameters.check(
        {"transfer_to": "cifar100", "candidates": [["cifar10", "dice_cnn", 3, 1], ["cifar10", "vgg19", 20, 0]]}
    )
    found = [
        (t.parameters.baseline.arch, t.parameters.baseline.fit.epochs, t.parameters.baseline.fit.seed)
        for t in study.transfers(p)
    ]
    assert found == [("dice_cnn", 3, 1), ("vgg19", 20, 0)]
    assert {t.parameters.dataset for t in study.transfers(p)} == {"cifar100"}


def test_pretrained_weights_are_asked_for_by_name_only() -> None:
    assert study.baselines(Parameters.check({"arch": "vgg19"}))[0].parameters.pretrained is None
    given = Parameters.check({"arch": "vgg19", "pretrained": {"vgg19": "torchvision:DEFAULT"}})
    assert study.baselines(given)[0].parameters.pretrained == "torchvision:DEFAULT"


def test_differences_name_what_is_not_the_thesis() -> None:
    ours = " ".join(study.differences(Parameters.check(FULL | {"epochs": 3, "finetune": 2, "regularised": 1})))
    assert "3 epochs of adam" in ours
    assert "Fine-tuning: 2 epochs" in ours
    theirs = " ".join(study.differences(Parameters.check(FULL)))
    assert "Fine-tuning" not in theirs
    assert "Training: " not in theirs
    assert "Data:" not in theirs
    assert "Data: digits" in " ".join(study.differences(Parameters.check({})))
