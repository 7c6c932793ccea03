"""The annealing study's tasks, on digits and breast cancer: their records say what the method and the networks give."""

from typing import Any, get_args

import pytest
import torch
from torch import nn

from prunebook import corruptions, data, models, robustness, training, trials, weights
from prunebook.errors import BadValue
from prunebook.methods import annealing
from prunebook.plan import PruningPlan
from prunebook.trials import Record, Store, Trial
from prunebook.trials.annealing import Annealing, Decay, input_range
from prunebook.trials.engine import Context

FIT: dict[str, Any] = {"epochs": 3, "lr": 1e-3, "batch_size": 32, "optimizer": "adam", "schedule": "constant",
                       "weight_decay": 0.0, "augment": False}  # fmt: skip
BASE: dict[str, Any] = {"dataset": "digits", "arch": "mlp_mnist", "options": {"size": 8, "width": 0.25}, "fit": FIT,
                        "normalise": "none"}  # fmt: skip
TABLE: dict[str, Any] = {"dataset": "breast_cancer", "arch": "mlp_credit", "options": {"width": 0.25}, "fit": FIT,
                         "one_logit": True}  # fmt: skip
DECISION: dict[str, Any] = {"target": 0.8, "step": 0.125, "scale": "absolute"}
EXAMPLE = torch.zeros(1, 1, 8, 8)
pytestmark = pytest.mark.usefixtures("store")


def run(store: Store, task: str, base: dict[str, Any] = BASE, **params: Any) -> Record:
    (record,) = trials.run([Trial(task, {"baseline": base, **params})], progress=False, store=store)
    return record


def network(store: Store, base: dict[str, Any] = BASE) -> nn.Module:
    trial = Trial("baseline", base)
    trials.run([trial], progress=False, store=store)
    return weights.load(Context("cpu", store).checkpoint(trial))


def test_a_decay_measures_the_networks_that_the_plan_goes_through(store: Store) -> None:
    (one,) = run(store, "decay", decision=DECISION, every=3, images=60, epsilons=[0.05]).result["rounds"]
    model, digits = network(store), data.load("digits")
    whole = annealing.plan(model, (0.0, 1.0), 0.8, 0.125, scale="absolute", example_inputs=EXAMPLE)
    last = annealing.epochs(whole)
    assert [point["epoch"] for point in one["points"]] == [0, 3, 6, last]
    images, labels = data.draw_labelled(digits.test, len(digits.test), 0)
    for point in one["points"]:
        part = annealing.replay(whole, point["epoch"])
        pruned = part.apply(model, EXAMPLE) if point["epoch"] else model
        assert point["removed"] == pytest.approx(part.parameters["removed"], abs=1e-6)
        found = training.evaluate(pruned, digits.test, mean=[0.0], std=[1.0])
        assert (point["top1"], point["f1"]) == (pytest.approx(found.top1, abs=1e-4), pytest.approx(found.f1, abs=1e-6))
        x, y = data.normalise(images[:60], [0.0], [1.0]), labels[:60]
        assert point["robust"] == {"fgsm 0.05": int(robustness.robust(pruned, x, y, 0.05, (0.0, 1.0)).sum())}
    assert one["points"][-1]["removed"] > 0.7
    assert one["impact"] == [pytest.approx(bound, rel=1e-5) for bound in whole.parameters["impact"]]
    assert sum(walk["taken"] for walk in one["walks"]) == whole.removed()
    half = annealing.replay(whole, 3)
    assert {name: [u for u, digit in enumerate(text) if digit == "1"] for name, text in one["half"].items()} == half.keep


def test_rounds_have_seeds_of_their_own_and_begin_with_the_same_network(store: Store) -> None:
    record = run(store, "decay", decision={"step": 0.25, "mode": "random"}, rounds=3, images=20)
    rounds = record.result["rounds"]
    assert [one["seed"] for one in rounds] == [0, 1, 2]
    assert len({str(one["points"][0]) for one in rounds}) == 1
    assert len({str(one["half"]) for one in rounds}) == 3
    assert {walk["energies"] for one in rounds for walk in one["walks"]} == {None}
    labels = data.draw_labelled(data.load("digits").test, 450, 0)[1]
    most = torch.bincount(labels).max()
    assert record.result["constant"]["top1"] == pytest.approx(100 * float(most) / 450, abs=1e-4)


def test_other_attacks_are_counted_beside_fgsm(store: Store) -> None:
    attacks = ["fgsm", "pgd", "official"]
    (one,) = run(store, "decay", decision={"step": 0.25}, images=50, epsilons=[0.1], attacks=attacks).result["rounds"]
    counts = one["points"][0]["robust"]
    assert counts.keys() == {"fgsm 0.1", "pgd 0.1", "official 0.1"}
    assert counts["pgd 0.1"] <= counts["fgsm 0.1"] <= 50


def test_filters_in_front_are_computed_once_and_nothing_changes_by_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    base = {"dataset": "digits", "size": 32, "arch": "cnn_annealing", "options": {"width": 0.06}, "normalise": "none",
            "fit": FIT | {"epochs": 1, "images": 200}}  # fmt: skip
    asked = {"decision": {"step": 0.5, "scale": "absolute"}, "images": 20, "tested": 40}
    once = run(store, "decay", base, **asked)
    monkeypatch.setattr("prunebook.trials.annealing._front", lambda model: None)
    (again,) = trials.run([Trial("decay", {"baseline": base, **asked})], progress=False, store=store, force=True)
    assert once.result == again.result
    filters = run(store, "decay", base, **asked | {"decision": {"step": 0.5, "layers": "all"}})
    assert len(filters.result["widths"]) == 7 > len(once.result["widths"]) == 2


def test_corrupted_copies_are_answered_by_the_networks_that_the_plan_goes_through(store: Store) -> None:
    asked = {"shares": [0.5, 0.25], "kinds": ["contrast", "gaussian_noise"], "severities": [1, 5], "tested": 80}
    result = run(store, "corrupted", decision=DECISION, **asked).result
    conditions = ["clean", "contrast 1", "contrast 5", "gaussian_noise 1", "gaussian_noise 5"]
    assert (result["tested"], result["conditions"]) == (80, conditions)
    model, digits = network(store), data.load("digits")
    whole = annealing.plan(model, (0.0, 1.0), 0.8, 0.125, scale="absolute", example_inputs=EXAMPLE)
    images, labels = data.draw_labelled(digits.test, 80, 0)
    assert result["constant"] == torch.bincount(labels).max()
    copies = [images, *(corruptions.corrupt(images, *name.split()[:1], int(name.split()[1])) for name in conditions[1:])]
    (one,) = result["rounds"]
    assert [(point["share"], point["epoch"]) for point in one["points"]] == [(0.0, 0), (0.25, 2), (0.5, 4)]
    for point in one["points"]:
        part = annealing.replay(whole, point["epoch"])
        assert point["removed"] == pytest.approx(part.parameters["removed"], abs=1e-6) == point["share"]
        pruned = part.apply(model, EXAMPLE) if point["epoch"] else model
        with torch.no_grad():
            right = [int((pruned(data.normalise(x, [0.0], [1.0])).argmax(1) == labels).sum()) for x in copies]
        assert point["counts"] == right
        assert point.keys() == {"share", "epoch", "removed", "counts"}
    assert len({tuple(point["counts"]) for point in one["points"]}) == 3


def test_a_share_has_the_nearest_epoch_and_none_where_the_plan_ended_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(self: Annealing, model: nn.Module, bounds: Any, inputs: torch.Tensor, seed: int) -> PruningPlan:
        return annealing.plan(model, (0.0, 1.0), 0.25, 0.125, example_inputs=inputs)

    asked = {"decision": {"step": 0.125}, "shares": [0.2, 0.3125, 0.5], "kinds": ["jpeg"], "severities": [3]}
    (one,) = run(store, "corrupted", **asked).result["rounds"]
    assert [(point["share"], point["removed"]) for point in one["points"]] == [
        (0, 0),
        (0.2, 0.25),
        (0.3125, 0.25),
        (0.5, 0.5),
    ]
    monkeypatch.setattr(Annealing, "plan", short)
    (again,) = trials.run([Trial("corrupted", {"baseline": BASE, **asked})], progress=False, store=store, force=True)
    assert [point["share"] for point in again.result["rounds"][0]["points"]] == [0, 0.2, 0.3125]


def test_corruption_of_every_round_begins_with_the_same_network_and_noise(store: Store) -> None:
    asked = {"shares": [0.5], "kinds": ["shot_noise"], "severities": [5]}
    rounds = run(store, "corrupted", decision={"step": 0.25, "mode": "random"}, rounds=3, **asked).result["rounds"]
    assert [one["seed"] for one in rounds] == [0, 1, 2]
    assert len({str(one["points"][0]) for one in rounds}) == 1
    assert len({str(one["points"][1]["counts"]) for one in rounds}) > 1
    other = run(store, "corrupted", decision={"step": 0.25, "scale": "absolute"}, **asked).result["rounds"]
    assert other[0]["points"][0] == rounds[0]["points"][0]


def test_corrupted_images_pass_filters_once_and_nothing_changes_by_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    base = {"dataset": "digits", "size": 32, "arch": "cnn_annealing", "options": {"width": 0.06}, "normalise": "none",
            "fit": FIT | {"epochs": 1, "images": 200}}  # fmt: skip
    asked = {"decision": {"step": 0.5, "scale": "absolute"}, "shares": [0.5], "severities": [4], "tested": 30}
    once = run(store, "corrupted", base, **asked)
    monkeypatch.setattr("prunebook.trials.annealing._front", lambda model: None)
    (again,) = trials.run([Trial("corrupted", {"baseline": base, **asked})], progress=False, store=store, force=True)
    assert once.result == again.result
    assert len(once.result["conditions"]) == 1 + len(corruptions.KINDS)


def test_a_table_has_the_bounds_of_its_training_rows_and_one_logit_decides(store: Store) -> None:
    record = run(store, "decay", TABLE, decision={"step": 0.25}, epsilons=[0.5])
    rows = data.load("breast_cancer")
    scaled = data.normalise(rows.train.images, rows.mean, rows.std)
    assert record.result["input_bounds"] == pytest.approx([float(scaled.min()), float(scaled.max())], abs=1e-5)
    model = network(store, TABLE)
    assert model(torch.zeros(1, 30, 1, 1)).shape == (1, 1)
    answers = (model(data.normalise(rows.test.images, rows.mean, rows.std))[:, 0] > 0).long()
    top1 = 100 * float((answers == rows.test.labels).double().mean())
    assert record.result["rounds"][0]["points"][0]["top1"] == pytest.approx(top1, abs=1e-4)
    lower, upper = input_range(Decay(baseline=TABLE, decision=Annealing(step=0.5)), rows, Context("cpu", store))
    assert torch.equal(lower, scaled.amin(0))
    assert torch.equal(upper, scaled.amax(0))


def test_bounds_can_be_given(store: Store) -> None:
    record = run(store, "decay", TABLE, decision={"step": 0.25}, input_bounds=[-2.0, 3.0], images=10)
    assert record.result["input_bounds"] == [-2.0, 3.0]


def test_single_removals_are_measured_beside_what_bounds_say(store: Store) -> None:
    result = run(store, "impacts", pairs=12, images=40).result
    model = network(store)
    read = annealing.read(model, (0.0, 1.0), EXAMPLE)
    digits = data.load("digits")
    images, labels = data.draw_labelled(digits.val, 40, 0)
    x = data.normalise(images, [0.0], [1.0])
    assert [layer["layer"] for layer in result["layers"]] == [read.layers[i].name for i in read.dense()]
    for layer in result["layers"]:
        assert all(low <= high * 1.001 for low, high in zip(layer["range"], layer["norm zonotope"], strict=True))
        pairs = zip(layer["norm zonotope"], layer["norm interval"], strict=True)
        assert all(tight <= wide * 1.001 for tight, wide in pairs)
        (i, j), moved, flips = layer["pairs"][0], layer["moved"][0], layer["flips"][0]
        keep = {layer["layer"]: [unit for unit in range(layer["width"]) if unit != i]}
        pruned = annealing.plan(model, (0.0, 1.0), 0.5, 0.5, example_inputs=EXAMPLE)
        pruned = type(pruned)(keep, {}, "annealing", {}, {layer["layer"]: {i: j}}).apply(model, EXAMPLE)
        with torch.no_grad():
            before, after = model(x), pruned(x)
        assert moved == pytest.approx(float((after - before).abs().sum(1).mean()), rel=2e-3, abs=1e-5)
        assert flips == pytest.approx(100 * float((after.argmax(1) != before.argmax(1)).double().mean()), abs=1e-3)
        harm = robustness.loss(after, labels) - robustness.loss(before, labels)
        assert layer["loss"][0] == pytest.approx(float(harm), rel=1e-2, abs=1e-5)


def test_a_pace_is_the_time_of_the_whole_plan(store: Store) -> None:
    record = run(store, "pace", decision={"step": 0.125}, repeats=2)
    whole = annealing.plan(network(store), (0.0, 1.0), 0.8, 0.125, example_inputs=EXAMPLE)
    assert record.result["units"] == whole.removed()
    assert record.result["taken"] <= record.result["walked"]
    assert 0 < record.times["plan"] <= record.times["plan_slowest"] <= record.times["total"]


def test_what_a_decision_allows_is_what_the_method_allows() -> None:
    allowed = {
        "variant": annealing.VARIANTS,
        "mode": annealing.MODES,
        "bounds": annealing.BOUNDS,
        "layers": annealing.LAYERS,
    }
    for name, values in allowed.items():
        assert get_args(Annealing.model_fields[name].annotation) == values
    for name, values in {"scale": annealing.SCALES, "squash": annealing.SQUASHES}.items():
        assert get_args(get_args(Annealing.model_fields[name].annotation)[0]) == values


@pytest.mark.parametrize(
    ("task", "params", "words"),
    [
        (
            "decay",
            {"decision": {"step": 0.1, "mode": "one-shot"}, "rounds": 2},
            "rounds is 2, but must be 1 for mode 'one-shot'",
        ),
        ("decay", {"decision": {"step": 0.0}}, "decision.step"),
        ("decay", {"decision": {"step": 0.1, "mode": "anealing"}}, "decision.mode"),
        ("decay", {"decision": {"step": 0.1}, "input_bounds": [1.0, 0.0]}, "input_bounds is .1.0, 0.0., but must be"),
        ("decay", {"decision": {"step": 0.1}, "attacks": ["cw"]}, "attacks"),
        ("impacts", {"pairs": 1}, "pairs"),
        ("corrupted", {"decision": {"step": 0.1}, "shares": [0.9]}, "share is 0.9, but must be above 0 and at most .* 0.8"),
        ("corrupted", {"decision": {"step": 0.1}, "shares": [0.5], "kinds": ["blur"]}, "corruption is 'blur'"),
        ("corrupted", {"decision": {"step": 0.1}, "shares": [0.5], "severities": [6]}, "severity is 6"),
        (
            "corrupted",
            {"decision": {"step": 0.1, "mode": "greedy"}, "shares": [0.5], "rounds": 2},
            "must be 1 for mode 'greedy'",
        ),
    ],
)
def test_bad_parameters_are_refused_in_one_sentence(task: str, params: dict[str, Any], words: str) -> None:
    with pytest.raises(BadValue, match=words) as refusal:
        Trial(task, {"baseline": BASE, **params})
    assert "\n" not in str(refusal.value)


def test_the_rows_of_a_table_are_not_corrupted() -> None:
    with pytest.raises(BadValue, match="dataset is 'breast_cancer', but must be one of images"):
        Trial("corrupted", {"baseline": TABLE, "decision": {"step": 0.1}, "shares": [0.5]})


def test_one_logit_is_for_two_classes(store: Store) -> None:
    with pytest.raises(BadValue, match="one_logit is True, but must be false for the 10 classes of digits"):
        trials.run([Trial("baseline", BASE | {"one_logit": True})], progress=False, store=store)


def test_a_network_with_one_logit_is_trained_and_evaluated_by_the_logistic_loss() -> None:
    rows = data.load("breast_cancer")
    model = models.build("mlp_credit", 1, 30, seed=0)
    scale = {"mean": rows.mean, "std": rows.std}
    before = training.evaluate(model, rows.test, **scale)
    training.fit(model, rows.train, epochs=15, lr=1e-3, batch_size=32, optimizer="adam", schedule="constant", augment=False,
                 **scale)  # fmt: skip
    after = training.evaluate(model, rows.test, **scale)
    logits = model(data.normalise(rows.test.images, rows.mean, rows.std))[:, 0].detach()
    log_odds = torch.where(rows.test.labels == 1, -logits, logits)
    assert after.loss == pytest.approx(float(torch.log1p(log_odds.exp()).mean()), rel=1e-4)
    assert after.loss < 0.3 < before.loss
    assert after.top1 > 90
    assert 0.85 < after.f1 <= 1


def test_rows_outside_of_the_training_range_are_not_pulled_back_into_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = []
    attack = robustness.robust_to

    def watched(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, epsilons: Any, within: Any) -> torch.Tensor:
        ranges.append((inputs, *within))
        return attack(model, inputs, labels, epsilons, within)

    monkeypatch.setattr(robustness, "robust_to", watched)
    record = run(store, "decay", TABLE, decision={"step": 0.5})
    shown = record.result["input_bounds"]
    for inputs, lower, upper in ranges:
        assert bool(((inputs >= lower) & (inputs <= upper)).all())
    rows = data.load("breast_cancer")
    tested = data.normalise(rows.test.images, rows.mean, rows.std)
    train = data.normalise(rows.train.images, rows.mean, rows.std)
    assert bool((tested > train.amax(0)).any())  # so there are such rows
    assert shown == pytest.approx(
        [float(train.min()), float(train.max())], abs=1e-5
    )  # and the plan's bounds know none of them
