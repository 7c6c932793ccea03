"""MRP's tasks, on digits with a tiny network: what their records say is what the method and the networks give."""

import json
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from prunebook import data, measure, models, roles, training, trials, weights
from prunebook.errors import BadValue
from prunebook.methods import mrp
from prunebook.plan import PruningPlan
from prunebook.trials import Record, Store, Trial, communities
from prunebook.trials.engine import Context

FIT: dict[str, Any] = {"epochs": 1, "lr": 3e-3, "batch_size": 64, "optimizer": "adam", "schedule": "constant", "pad": 0}
BASE: dict[str, Any] = {"dataset": "digits", "arch": "resnet20", "options": {"width": 0.25}, "fit": FIT}
DECISION: dict[str, Any] = {"method": "mrp", "target": 0.4}
LAYERS = [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1, 2)]
EXAMPLE = torch.zeros(1, 1, 8, 8)
LITTLE = {"images": 40, "tested": 60, "draws": 2, "nulls": 1, "untrained": 1, "divisions": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("cache")
    return Store(folder / "records", folder / "published")


@pytest.fixture(autouse=True)
def _cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(store.local.parent))


def run(store: Store, task: str, **params: Any) -> Record:
    (record,) = trials.run([Trial(task, {"baseline": BASE, **params})], progress=False, store=store)
    return record


def baseline(store: Store) -> nn.Module:
    trial = Trial("baseline", BASE)
    trials.run([trial], progress=False, store=store)
    return weights.load(Context("cpu", store).checkpoint(trial))


def images(n: int, seed: int = 0) -> torch.Tensor:
    digits = data.load("digits")
    return data.normalise(data.draw(digits.train, n, seed), digits.mean, digits.std)


def kept(record: Record) -> dict[str, list[int]]:
    return {name: [c for c, digit in enumerate(digits) if digit == "1"] for name, digits in record.result["keep"].items()}


def test_a_comparison_prunes_what_the_method_decides(store: Store) -> None:
    record = run(store, "compare", decision=DECISION | {"layer": "uniform", "step": 2}, images=30, draw=1)
    model = baseline(store)
    plan = mrp.plan(model, images(30, seed=1), 0.4, layer="uniform", step=2, seed=1)
    assert kept(record) == plan.keep
    assert record.result["found"] == {"removed": plan.parameters["removed"]}
    assert "trace" not in json.dumps(record.result)
    pruned = plan.apply(model, EXAMPLE)
    assert record.result["cost"]["macs"]["after"] == list(measure.cost(pruned, EXAMPLE))
    digits = data.load("digits")
    test = training.evaluate(pruned, digits.test, mean=digits.mean, std=digits.std)
    assert record.result["test"]["pruned"]["top1"] == pytest.approx(test.top1, abs=1e-4)


def test_criteria_can_be_compared_on_the_layers_that_mrp_prunes(store: Store) -> None:
    whole = {name: len(channels) for name, channels in kept(run(store, "compare", decision=DECISION)).items()}
    by = {"method": "baseline", "criterion": "l1", "target": 0.4, "layers": "internal"}
    record = run(store, "compare", decision=by)
    widths = {name: len(digits) for name, digits in record.result["keep"].items()}
    lost = {name for name, channels in kept(record).items() if len(channels) < widths[name]}
    assert lost == set(LAYERS) >= {name for name, left in whole.items() if left < widths[name]}
    assert abs(record.result["found"]["removed"] - 0.4) < 0.1  # layers of four filters


def test_a_trace_is_the_plan_step_by_step(store: Store) -> None:
    record = run(store, "trace", decision=DECISION, images=30)
    result = record.result
    plan = mrp.plan(baseline(store), images(30), 0.4)
    assert (result["trace"], result["widths"]) == (plan.parameters["trace"], plan.widths)
    assert result["removed"] == pytest.approx(result["cost"]["macs"]["fr"] / 100, abs=1e-4)
    assert record.times["plan"] > 0
    after = mrp.replay(result["widths"], result["trace"])[-1]
    assert after == {name: len(channels) for name, channels in kept(record).items()}
    whole = PruningPlan(kept(record)).apply(baseline(store), EXAMPLE)
    assert result["cost"]["macs"]["after"] == list(measure.cost(whole, EXAMPLE))


def test_a_graph_has_the_edges_and_communities_of_one_layer(store: Store) -> None:
    options = {"sparsify": "knn", "neighbours": 2, "detector": "label-propagation"}
    result = run(store, "graph", layer=LAYERS[4], images=30, seed=2, **options).result
    model = baseline(store)
    alike = mrp.similarities(model, images(30, seed=2), [LAYERS[4]])[LAYERS[4]]
    edges = mrp.filter_graph(alike, "knn", neighbours=2)
    found = np.zeros_like(edges)
    for i, j, weight in result["edges"]:
        assert i < j
        found[i, j] = found[j, i] = weight
    assert found == pytest.approx(edges, abs=1e-6)
    assert result["communities"] == mrp.communities(edges, "label-propagation", seed=2)
    assert (result["layer"], result["filters"]) == (LAYERS[4], len(edges))
    assert result["l1"] == pytest.approx(mrp.norms(model.get_submodule(LAYERS[4]).weight).tolist(), abs=1e-5)
    assert result["modularity"] == pytest.approx(mrp.modularity(edges, result["communities"]), abs=1e-6)
    with pytest.raises(BadValue, match=r"layer is 'layer2.1.conv3', but must be one of"):
        run(store, "graph", layer="layer2.1.conv3")


def test_roles_are_those_of_the_study_on_training_halves_and_test_images(store: Store) -> None:
    options = {"quantile": 0.8, "share": 0.25, "seed": 3, "layers": LAYERS[3:5]}
    result = run(store, "roles", **LITTLE, **options).result
    digits = data.load("digits")
    tested, labels = data.draw_labelled(digits.test, 60, 3)
    halves = images(40, seed=3).split(20)
    fresh = models.build("resnet20", 10, 1, seed=communities.FRESH + 3, width=0.25)
    raw = data.draw(digits.train, 40, 3)[:20]
    training.recalibrate(fresh, raw, mean=digits.mean, std=digits.std)
    direct = roles.study(
        baseline(store), halves, data.normalise(tested, digits.mean, digits.std), labels, LAYERS[3:5],
        roles.Graphs(quantile=0.8), untrained=[fresh], share=0.25, draws=2, nulls=1, divisions=2, seed=3,
    )  # fmt: skip
    assert result == direct
    assert [row["layer"] for row in result["layers"]] == LAYERS[3:5]


def test_all_internal_layers_are_looked_at_unless_some_are_named(store: Store) -> None:
    result = run(store, "roles", **LITTLE).result
    assert [row["layer"] for row in result["layers"]] == LAYERS
    with pytest.raises(BadValue, match=r"layer is 'conv1', but must be one of"):
        run(store, "roles", **LITTLE, layers=["conv1"])


def test_a_decision_offers_what_the_plan_does() -> None:
    fields = communities.Mrp.model_fields
    allowed: dict[str, Any] = {"measure": mrp.MEASURES, "sparsify": mrp.SPARSIFIERS, "detector": mrp.DETECTORS}
    allowed |= {
        "edges": mrp.EDGES,
        "likeness": mrp.LIKENESS,
        "kind": mrp.REDUNDANCIES,
        "rule": mrp.RULES,
        "layer": mrp.LAYERS,
    }
    allowed |= {"layer": mrp.LAYERS, "scope": mrp.SCOPES, "counter": mrp.COUNTERS}
    assert {name: get_args(fields[name].annotation) for name in allowed} == allowed
    defaults = {name: field.default for name, field in fields.items() if name not in ("method", "target")}
    plan = mrp.plan(models.build("resnet20", seed=0, width=0.25), torch.randn(4, 3, 8, 8), 0.1)
    assert {name: plan.parameters[name] for name in defaults} == defaults


def test_a_whole_step_stays_one_filter_in_json() -> None:
    trial = Trial("trace", {"baseline": BASE, "decision": DECISION | {"step": 1}})
    again = Trial("trace", json.loads(json.dumps(trial.parameters.model_dump(mode="json"))))
    assert again == trial
    assert isinstance(again.parameters.decision.step, int)
    assert Trial("trace", {"baseline": BASE, "decision": DECISION}).parameters.decision.step == 0.02


@pytest.mark.parametrize(
    ("task", "params", "words"),
    [
        ("compare", {"decision": {"method": "mrp"}}, "target"),
        ("compare", {"decision": DECISION | {"ratio": 0.3}}, "ratio"),
        ("compare", {"decision": DECISION | {"target": 1}}, "target is 1"),
        ("trace", {"decision": DECISION | {"step": 0}}, "step"),
        ("trace", {"decision": DECISION | {"measure": "map"}}, "measure is 'map', but must be one of: maps"),
        ("sweep", {"decision": DECISION, "ratios": [0.1]}, "decision is 0.4, but must be without ratio and target"),
        ("roles", {"share": 1}, "share is 1"),
        ("roles", {"layers": []}, "layers is \\[\\]"),
        ("graph", {}, "the parameter 'layer' is missing"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(task: str, params: dict[str, Any], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        Trial(task, {"baseline": BASE, **params})


@pytest.mark.parametrize("task", ["trace", "graph", "roles"])
def test_a_trained_baseline_is_needed_and_given_weights_are_not(task: str) -> None:
    params = {"trace": {"decision": DECISION}, "graph": {"layer": LAYERS[0]}, "roles": {}}[task]
    assert Trial(task, {"baseline": BASE, **params}).needs() == [Trial("baseline", BASE)]
    assert Trial(task, {"baseline": {"dataset": "cifar10", "weights": "a.th"}, **params}).needs() == []
