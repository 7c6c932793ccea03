"""The MRP study: what may be asked for, and that the trials it amounts to belong together."""

from collections import Counter
from functools import cache
from typing import Any

import pytest

from prunebook import notebooks
from prunebook.studies import mrp as study
from prunebook.studies.mrp import Parameters
from prunebook.trials import estimate

of_run = cache(notebooks.get("mrp").parameters)
GIVEN = {"weights": {"resnet20": "a.th"}}
EVERY: dict[str, Any] = {
    **{"methods": ["mrp", "mrp, uniform", "l1"], "targets": [0.3, 0.5], "variants": ["step 1"], "finetune": 2},
    **{"control": True, "trace": True, "graphs": ["layer1.1.conv1"], "roles": ["mrp", "graph of weights"], "seeds": 2},
}


def test_every_method_gets_the_same_target_images_and_epochs() -> None:
    p = Parameters.check(EVERY | {"finetune_images": 500})
    for seed in (0, 1):
        alike = {
            str((t.parameters.baseline, t.parameters.finetune, t.parameters.images, t.parameters.recalibrate))
            for t in [*study.methods(p), *study.variants(p), *study.controls(p)]
            if t.parameters.draw == seed
        }
        assert len(alike) == 1
    assert Counter(t.parameters.decision.target for t in study.methods(p)) == {0.3: 2 * 3, 0.5: 2 * 3}
    fit = study.methods(p)[0].parameters.finetune
    assert (fit.epochs, fit.images) == (2, 500)
    assert {t.parameters.decision.ratio for t in study.controls(p)} == {0.0}


def test_criteria_prune_the_layers_that_mrp_does() -> None:
    (trial,) = study.methods(Parameters.check({"methods": ["l1"]}))
    assert trial.parameters.decision.layers == "internal"


@pytest.mark.parametrize("name", [*study.OTHER_LAYERS, *study.VARIANTS])
def test_a_variant_differs_in_what_its_name_says_and_in_nothing_else(name: str) -> None:
    plain, other = study.decision("mrp", 0.5), study.decision(name, 0.5)
    changes = {**study.OTHER_LAYERS, **study.VARIANTS}[name]
    assert other == plain | changes
    assert changes
    assert len({str(value) for value in {**study.OTHER_LAYERS, **study.VARIANTS}.values()}) == len(study.VARIANTS) + 2


def test_of_given_weights_there_is_one_network_to_test_the_hypothesis_on() -> None:
    given, trained = Parameters.check(EVERY | GIVEN), Parameters.check(EVERY)
    assert [(t.parameters.seed, t.parameters.measure) for t in study.roles(given)] == [(0, "maps"), (0, "weights")]
    assert len({t.parameters.baseline.fit.seed for t in study.roles(trained)}) == 2
    assert len(study.methods(given)) == len(study.methods(trained))
    assert len(set(study.baselines(given))) == 1
    assert {t.parameters.images for t in study.roles(given)} == {200}
    assert [t.parameters.draw for t in study.traces(trained)] == [0, 0]


def test_architectures_can_have_other_numbers_of_repetitions() -> None:
    p = Parameters.check({"arch": ["resnet20", "resnet32"], "seeds": 3, "seeds_of": {"resnet32": 1}, "methods": ["mrp"]})
    assert Counter(t.parameters.baseline.arch for t in study.methods(p)) == {"resnet20": 3, "resnet32": 1}
    assert p.repeated == "seeds (draw of images, batches, and initial weights of the network): 3; resnet32: 1"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"methods": "mrp", "targets": "0.4"}, {"methods": ["mrp"], "targets": [0.4]}),
        ({"targets": [0.5, 0.3, 0.5]}, {"targets": [0.3, 0.5]}),
        ({"roles": "mrp", "trace": "true"}, {"roles": ["mrp"], "trace": True}),
        ({"finetune_lr": "1e-3", "methods": ["l1", "l1"]}, {"finetune_lr": 0.001, "methods": ["l1"]}),
    ],
)
def test_text_and_single_values_are_understood(given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert Parameters.check(given) == Parameters.check(meant)


def test_differences_name_what_is_not_the_abstract_s() -> None:
    paper, lite, quick = (" ".join(study.differences(of_run(name))) for name in ("paper", "lite", "quick"))
    assert "the abstract names" not in paper
    assert "Retraining: 40 epochs of SGD from 0.01, schedule cosine" in paper
    assert "resnet56: the abstract names ResNet-110 alone." in lite
    assert "Retraining: 1 epoch of 10,000 training images of SGD" in lite
    assert "trained on our validation split too" in lite
    assert "resnet20: narrower than usual." in quick
    assert "Data: digits; the abstract names CIFAR-10." in quick
    assert "what a filter graph" in quick.lower()
    assert not [s for s in study.differences(Parameters.check({})) if "Retraining" in s or "hypothesis" in s]


def test_what_trains_nothing_is_no_work_to_estimate() -> None:
    p = of_run("smoke")
    kinds = {trial.task: estimate.trainings(trial) for trial in study.trials(p)}
    assert {task for task, found in kinds.items() if found} == {"baseline", "compare"}
    lite = {trial.task: estimate.trainings(trial) for trial in study.trials(of_run("lite"))}
    ((way, epochs),) = lite["compare"]
    assert (way.each, epochs) == (10_000, 1)
