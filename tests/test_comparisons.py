"""The tasks in which methods meet, on digits with a tiny network: what their records say is true of the networks."""

import json
from pathlib import Path
from typing import Any

import pytest
import stores
import torch
from PIL import Image

from prunebook import cutting, data, features, measure, training, weights
from prunebook.errors import BadValue
from prunebook.methods import allocation
from prunebook.plan import PruningPlan
from prunebook.trials import Record, Store, Trial

FIT: dict[str, Any] = {"epochs": 2, "lr": 3e-3, "batch_size": 32, "optimizer": "adam", "schedule": "constant", "pad": 0}
BASE: dict[str, Any] = {"dataset": "digits", "arch": "dice_cnn", "options": {"width": 0.5, "hidden": 16}, "fit": FIT}
GROWING = {"fit": {**FIT, "epochs": 1}, "every": 5, "delta": 0.01}
EXAMPLE = torch.zeros(1, 1, 8, 8)


def run(store: Store, task: str, **params: Any) -> Record:
    return stores.run(store, task, {"baseline": BASE, **params})


def baseline(store: Store) -> torch.nn.Module:
    return weights.load(stores.kept_by(store, "baseline", BASE))


def dice(**options: Any) -> dict[str, Any]:
    return {"method": "dice", **options}


def by(criterion: str, **options: Any) -> dict[str, Any]:
    return {"method": "baseline", "criterion": criterion, **options}


def kept(record: Record) -> dict[str, list[int]]:
    return {name: [c for c, digit in enumerate(digits) if digit == "1"] for name, digits in record.result["keep"].items()}


def test_a_comparison_can_be_replayed_from_its_record(store: Store) -> None:
    record = run(store, "compare", decision=dice(ratio=0.25))
    model = baseline(store)
    pruned = PruningPlan(kept(record)).apply(model, EXAMPLE)
    assert record.result["cost"]["macs"]["after"] == list(measure.cost(pruned, EXAMPLE))
    digits = data.load("digits")
    test = training.evaluate(pruned, digits.test, mean=digits.mean, std=digits.std)
    assert record.result["test"]["pruned"]["top1"] == pytest.approx(test.top1, abs=1e-4)
    assert list(record.result["test"]) == ["pruned"]


def test_at_one_target_every_uniform_method_leaves_the_same_cost(store: Store) -> None:
    decisions = [dice(target=0.4), by("l1", target=0.4), by("random", target=0.4), dice(target=0.4, mode="greedy")]
    records = [run(store, "compare", decision=decision, evaluate="none") for decision in decisions]
    assert len({json.dumps(record.result["cost"]) for record in records}) == 1
    assert len({json.dumps(record.result["keep"]) for record in records}) > 1
    assert all(abs(record.result["found"]["removed"] - 0.4) < 0.03 for record in records)


def test_no_layer_loses_more_than_its_limit_and_linear_layers_only_where_asked(store: Store) -> None:
    widths = {name: cutting.width(layer) for name, layer in cutting.prunable_layers(baseline(store)).items()}
    everything = kept(run(store, "compare", decision=by("l1", ratio=0.2, layers="all"), evaluate="none"))
    convolutions = kept(run(store, "compare", decision=by("l1", ratio=0.2), evaluate="none"))
    hidden, output = "classifier.0", "classifier.2"
    assert len(everything[hidden]) == widths[hidden] - allocation.limit(widths[hidden], 0.2)
    assert len(everything[output]) == widths[output]
    assert hidden not in convolutions
    for name, channels in convolutions.items():
        assert len(channels) == widths[name] - allocation.limit(widths[name], 0.2)


def test_recalibration_before_training_all_weights_changes_nothing_that_remains(store: Store) -> None:
    params = {"decision": dice(ratio=0.25), "finetune": {**FIT, "epochs": 3}}
    without, given = run(store, "compare", **params), run(store, "compare", **params, recalibrate=200)
    assert without.result["test"]["pruned"] == given.result["test"]["pruned"]
    assert given.result["test"]["recalibrated"] != given.result["test"]["pruned"]
    assert [epoch["loss"] for epoch in without.result["history"]] == [epoch["loss"] for epoch in given.result["history"]]
    head = {**params, "finetune": {**FIT, "trainable": "head"}}
    without, given = run(store, "compare", **head), run(store, "compare", **head, recalibrate=200)
    assert without.result["history"][-1]["loss"] != given.result["history"][-1]["loss"]


def test_growing_regularisation_is_a_trial_that_its_comparisons_share(store: Store) -> None:
    record = run(store, "compare", decision=by("growing_reg", ratio=0.25), regularised=GROWING)
    trial = Trial("compare", record.params)
    (needed,) = trial.needs()
    assert needed.task == "regularise"
    assert needed == Trial("sweep", {"baseline": BASE, "regularised": GROWING, "decision": dice(), "ratios": [0]}).needs()[0]
    regularised = store.find(needed)
    assert regularised is not None
    steps = len(data.load("digits").train) // 32 + 1
    assert max(regularised.result["penalties"].values()) == pytest.approx(1e-4 + 0.01 * (steps // 5), rel=1e-5)
    assert run(store, "compare", decision=by("l2", ratio=0.25)).result["test"] != record.result["test"]


def test_a_sweep_starts_at_the_whole_network(store: Store) -> None:
    whole = run(store, "compare", decision=dice(ratio=0))
    swept = run(store, "sweep", decision=dice(), ratios=[0, 0.25, 0.75], recalibrate=200)
    points = swept.result["points"]
    assert points[0]["pruned"]["test"] == whole.result["test"]["pruned"]["top1"]
    assert points[0]["macs"] == swept.result["before"] > points[1]["macs"] > points[2]["macs"]
    one = run(store, "compare", decision=dice(ratio=0.25), recalibrate=200)
    assert points[1]["recalibrated"]["test"] == one.result["test"]["recalibrated"]["top1"]


def test_removal_stops_at_the_last_step_before_the_drop(store: Store) -> None:
    record = run(store, "stop", drop=3, step=0.1)
    steps = record.result["steps"]
    drops = [steps[0]["val"] - step["val"] for step in steps]
    assert drops[0] == 0
    assert all(drop <= 3 for drop in drops[:-1])
    assert drops[-1] > 3
    widths = {name: len(digits) for name, digits in record.result["keep"].items()}
    gone = {name: widths[name] - len(channels) for name, channels in kept(record).items()}
    assert gone == {name: allocation.limit(wide, steps[-2]["ratio"]) for name, wide in widths.items()}


def test_speed_is_measured_alone_and_for_every_batch(store: Store) -> None:
    record = run(store, "speed", decision=dice(target=0.4), batches=[1, 8], repeats=3)
    assert Trial("speed", record.params).definition.alone
    assert [row["images"] for row in record.result["latency"]] == [1, 8]
    for row in record.result["latency"]:
        for side in ("before", "after"):
            low, median, high = row[side]
            assert 0 < low <= median <= high
    assert record.result["cost"]["macs"]["fr"] == pytest.approx(40, abs=3)


def test_a_profile_counts_every_pair_once_and_removes_what_the_limit_allows(store: Store) -> None:
    record = run(store, "profile", ratio=0.25)
    layers = record.result["layers"]
    widths = {name: layer.out_channels for name, layer in features.convolutions(baseline(store)).items()}
    assert list(layers) == list(widths)
    for of_filters in ("spread", "norm", "activity"):
        assert {name: len(values) for name, values in record.result[of_filters].items()} == widths
    for name, readings in layers.items():
        n = widths[name]
        for reading in readings.values():
            assert sum(reading["counts"]) + reading["below"] + reading["above"] == n * (n - 1) // 2
            assert len(reading["gone"]) == allocation.limit(n, 0.25)
    first = set(kept(run(store, "compare", decision=dice(ratio=0.25)))["features.0"])
    assert layers["features.0"]["Eq. 1 and 2"]["gone"] == sorted(set(range(16)) - first)


def test_a_transfer_replaces_the_last_layer_and_trains_on_the_other_task(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = run(store, "transfer", dataset="digits", finetune=FIT)
    assert record.result["test"]["top1"] > 30
    assert all(0 <= value <= 1 for reading in record.result["diversity"].values() for value in reading.values())
    for part in ("train", "test"):
        for name in ("cats", "dogs"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "pets" / part / name / f"{i}.png")
    monkeypatch.setenv("PRUNEBOOK_DATA", str(tmp_path))
    with pytest.raises(BadValue, match="one with 1 channels, as digits has"):
        run(store, "transfer", dataset="image_folder:pets", size=8, finetune=FIT)


@pytest.mark.parametrize(
    ("task", "params", "words"),
    [
        ("compare", {"decision": dice()}, "ratio is None, but must be given exactly where target is not"),
        (
            "compare",
            {"decision": dice(ratio=0.2, target=0.2)},
            "ratio is 0.2, but must be given exactly where target is not",
        ),
        ("compare", {"decision": dice(ratio=1.2)}, "ratio is 1.2, but must be below 1"),
        ("compare", {"decision": by("grow_reg", ratio=0.2)}, "criterion is 'grow_reg'.*did you mean 'growing_reg'"),
        ("compare", {"decision": {"method": "dise", "ratio": 0.2}}, "decision"),
        ("sweep", {"decision": dice(ratio=0.2), "ratios": [0.1]}, "without ratio and target"),
        ("sweep", {"decision": dice(), "ratios": [0.1, 1.0]}, "ratios is 1.0"),
        ("stop", {"drop": 0}, "drop is 0"),
        ("transfer", {"dataset": "cifar11", "finetune": FIT}, "dataset is 'cifar11'.*did you mean 'cifar10'"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(task: str, params: dict[str, Any], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        Trial(task, {"baseline": BASE, **params})
