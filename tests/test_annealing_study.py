"""The annealing study: what may be asked for, and that the trials it amounts to belong together."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from prunebook import models, notebooks
from prunebook.studies import annealing as study
from prunebook.studies.annealing import Parameters
from prunebook.trials import estimate

of_run = cache(notebooks.get("annealing").parameters)
EVERY: dict[str, Any] = {
    **{"dataset": ["digits", "breast_cancer"], "networks": 2, "rounds": 3, "readings": list(study.READINGS)},
    **{"choices": ["absolute, alpha 0"], "paces": True, "pairs": 10, "corruptions": ["jpeg", "contrast"]},
}


def test_each_decision_is_followed_on_every_network_as_often_as_it_draws() -> None:
    p = Parameters.check(EVERY)
    trials = study.decays(p)
    assert len(trials) == 2 * 2 * len(study.READINGS)
    for trial in trials:
        drawn = trial.parameters.decision.mode in ("annealing", "random")
        assert trial.parameters.rounds == (3 if drawn else 1)
    assert {trial.parameters.decision.step for trial in trials} == {1 / 32}
    one_shot = [trial.parameters.decision for trial in trials if trial.parameters.decision.mode == "one-shot"]
    assert {decision.target for decision in one_shot} == {0.5}


@pytest.mark.parametrize("name", study.DECISIONS)
def test_a_decision_differs_from_the_paper_s_in_what_its_name_says_alone(name: str) -> None:
    p = Parameters.check({})
    assert study.decision(p, name) | {"target": 0.8} == {"target": 0.8, "step": 1 / 32, **study.DECISIONS[name]}
    assert len({str(value) for value in study.DECISIONS.values()}) == len(study.DECISIONS)
    base = name.partition(", ")[0]
    if name in study.CHOICES:
        assert study.READINGS[base].items() <= study.CHOICES[name].items()


def test_a_page_has_the_sections_that_its_run_fills(tmp_path: Path) -> None:
    notebook, texts = notebooks.get("annealing"), {}
    for run in notebook.description.runs:
        cells = json.loads(notebooks._sections(notebook, notebook.parameters(run), tmp_path).read_text())["cells"]
        texts[run] = "\n".join("".join(cell["source"]) for cell in cells)
    headings = {
        "## Figure 4": {"smoke", "quick", "lite", "paper"},
        "## Corrupted images": {"smoke", "quick", "lite", "paper"},
        "## Filters too": {"filters"},
        "## Other choices": {"smoke", "quick", "ablations"},
        "Macro F1 in percent": {"smoke", "quick", "lite", "ablations", "paper"},
        "Other ways to count": {"smoke", "quick", "lite", "ablations", "paper"},
    }
    for heading, runs in headings.items():
        assert {run for run, text in texts.items() if heading in text} == runs, heading


def test_every_condition_of_a_section_is_a_parameter_or_made_of_them() -> None:
    cells = json.loads(notebooks.get("annealing").template.read_text(encoding="utf-8"))["cells"]
    conditions = {tag.removeprefix("if-") for cell in cells for tag in cell["metadata"].get("tags", []) if "if-" in tag}
    assert conditions
    assert all(hasattr(of_run("quick"), name) for name in conditions)


def test_images_are_corrupted_in_every_reading_and_tables_left_out() -> None:
    trials = study.corrupted(Parameters.check(EVERY | {"severities": 2, "by_dataset": {"digits": {"corrupted": 70}}}))
    assert len(trials) == 2 * len(study.READINGS)
    for trial in trials:
        p = trial.parameters
        assert (p.baseline.dataset, p.kinds, p.severities, p.tested) == ("digits", ["jpeg", "contrast"], [2], 70)
        assert max(p.shares) == (0.5 if p.decision.mode == "one-shot" else 0.75)
    (decay,) = [each for each in study.decays(Parameters.check({})) if each.parameters.decision.mode == "annealing"]
    (same,) = study.corrupted(Parameters.check({"corruptions": "jpeg"}))
    assert same.parameters.decision == decay.parameters.decision
    assert study.corrupted(Parameters.check({})) == []
    (low,) = study.corrupted(Parameters.check({"corruptions": "jpeg", "target": 0.1}))
    assert low.parameters.shares == [0.1]


def test_networks_of_the_runs_on_cifar_10_are_shared() -> None:
    lite, filters, paper = ({t for t in study.baselines(of_run(name)) if t.parameters.dataset == "cifar10"}
                            for name in ("lite", "filters", "paper"))  # fmt: skip
    assert len(lite) == 3
    assert filters == lite < paper
    assert len(paper) == 5
    assert {trial.parameters.fit.epochs for trial in paper} == {study.PAPER_EPOCHS}


def test_datasets_can_have_other_values() -> None:
    p = Parameters.check(EVERY | {"by_dataset": {"digits": {"networks": 1, "epochs": 3, "attacks": ["pgd"]}}})
    assert (p.on("digits").networks, p.on("breast_cancer").networks) == (1, 2)
    fits = {trial.parameters.dataset: trial.parameters.fit.epochs for trial in study.baselines(p)}
    assert fits == {"digits": 3, "breast_cancer": 20}
    attacks = {trial.parameters.baseline.dataset: trial.parameters.attacks for trial in study.decays(p)}
    assert attacks == {"digits": ["pgd"], "breast_cancer": ["fgsm"]}
    assert p.repeated == "digits: 1 network, each pruned in 3 rounds; breast_cancer: 2 networks, each pruned in 3 rounds"


def test_the_paper_s_networks_are_those_of_table_1() -> None:
    p = Parameters.check({"dataset": list(study.PAPER)})
    sizes = {"creditcard": (1, 29), "kddcup99": (23, 120), "mnist": (10, 1), "cifar10": (10, 3)}
    counts = []
    for trial in study.baselines(p):
        base = trial.parameters
        assert base.one_logit == (base.dataset == "creditcard")
        model = models.build(base.arch, *sizes[base.dataset], seed=0, **base.options)
        counts.append(sum(parameter.numel() for parameter in model.parameters()))
    assert counts == [6_145, 245_655, 125_898, 753_866]


def test_paces_have_the_steps_of_table_2() -> None:
    p = Parameters.check({"dataset": list(study.PAPER), "paces": True})
    steps = {t.parameters.baseline.dataset: f"{100 * t.parameters.decision.step:.4g}" for t in study.paces(p)}
    assert steps == {"creditcard": "3.125", "kddcup99": "3.125", "mnist": "1.562", "cifar10": "1.562"}
    assert [t.parameters.decision.variant for t in study.paces(p)] == ["paper", "official"] * 4


def test_differences_name_what_is_not_the_paper_s() -> None:
    paper, lite, quick = (" ".join(study.differences(of_run(name))) for name in ("paper", "lite", "quick"))
    assert "trained for" not in paper + lite
    shorter = study.differences(Parameters.check(notebooks.get("annealing").run("lite").parameters | {"epochs": 6}))
    assert "cifar10: trained for 6 epochs; the paper says 20." in shorter
    assert "99.8 % of the whole table" in lite
    assert "99.8 %" not in quick
    assert "Rounds are over networks as well" in paper
    assert "Rounds: creditcard 10, kddcup99 10, mnist 10, cifar10 12, over networks and seeds" in lite
    assert "Data: digits; the paper has none of it." in quick
    assert "Networks: narrower" in " ".join(study.differences(of_run("smoke")))
    assert "Rounds: digits 6, breast_cancer 6" in quick


def test_only_the_networks_before_pruning_are_trained() -> None:
    kinds = {trial.task: estimate.trainings(trial) for trial in study.trials(of_run("smoke"))}
    assert {task for task, found in kinds.items() if found} == {"baseline"}
