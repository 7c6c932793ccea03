"""SACP's tasks, on digits with tiny networks: what their records say is what the method and the networks give."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stores import kept_by, run
from torch import Tensor, nn

from prunebook import cutting, data, files, measure, models, training, weights
from prunebook.errors import BadValue
from prunebook.methods import sacp
from prunebook.trials import Record, Store, Trial, estimate, searching
from prunebook.trials.engine import Context, compute, describe, to_run

FIT: dict[str, Any] = {"epochs": 1, "lr": 3e-3, "batch_size": 32, "optimizer": "adam", "schedule": "constant", "pad": 0}
BASE: dict[str, Any] = {"dataset": "digits", "arch": "dice_cnn", "options": {"width": 0.5, "hidden": 16}, "fit": FIT}
LEARN: dict[str, Any] = {"kind": "contrast", "baseline": BASE, "configurations": 64, "epochs": 2}
SAMPLE: dict[str, Any] = {"baseline": BASE, "n": 5, "removed": 0.5, "tolerance": 0.05}
REGRESS: dict[str, Any] = {"kind": "regression", "sample": SAMPLE, "epochs": 3}
SEARCH: dict[str, Any] = {"baseline": BASE, "encoder": LEARN, "tau": 0.3, "candidates": 700, "m": 5}
RANDOM: dict[str, Any] = {"baseline": BASE, "tau": 0.3, "m": 5}
AS_COSTLY: dict[str, Any] = {**RANDOM, "like": SEARCH}
EXAMPLE = torch.zeros(1, 1, 8, 8)


class Scene:
    """The baseline and what the method makes of it, without the tasks."""

    def __init__(self, store: Store) -> None:
        self.model = weights.load(kept_by(store, "baseline", BASE))
        self.graph = sacp.ArchitectureGraph(self.model, EXAMPLE)
        self.space = sacp.Space(self.graph)
        self.rankings = sacp.rankings(self.model, self.graph)
        self.of = (self.graph, self.space, self.rankings)
        self.digits = data.load("digits")

    def cut(self, r: list[int]) -> nn.Module:
        plan = sacp.plan_of(*self.of, torch.tensor(r))
        return plan.apply(self.model, EXAMPLE).to(memory_format=torch.channels_last)  # the same sums in the same order

    def removed(self, r: list[int]) -> float:
        return 1 - measure.cost(self.cut(r), EXAMPLE).macs / measure.cost(self.model, EXAMPLE).macs

    def top1(self, model: nn.Module, split: str) -> float:
        normal = {"mean": self.digits.mean, "std": self.digits.std}
        return round(training.evaluate(model, getattr(self.digits, split), **normal).top1, 4)

    def recalibrated(self, r: list[int], draw: int) -> nn.Module:
        model = self.cut(r)
        images = data.draw(self.digits.train, min(1000, len(self.digits.train)), draw)
        training.recalibrate(model, images, mean=self.digits.mean, std=self.digits.std)
        return model


@pytest.fixture(scope="module")
def scene(store: Store) -> Scene:
    return Scene(store)


def assert_same_tensors(kept: dict[str, Tensor], module: nn.Module, prefix: str) -> None:
    of_module = {name.removeprefix(prefix): tensor for name, tensor in kept.items() if name.startswith(prefix)}
    assert of_module.keys() == module.state_dict().keys()
    for name, tensor in module.state_dict().items():
        assert torch.equal(of_module[name], tensor), name


# The encoders


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "as-printed", "anchor": "original", "seed": 2}, {"edges": "none"}, {"edges": "shuffled", "seed": 1},
     {"positives": "random", "seed": 1}],
)  # fmt: skip
def test_an_encoder_is_the_one_that_the_method_trains(store: Store, scene: Scene, changes: dict[str, Any]) -> None:
    params = LEARN | {"epochs": 1} | changes
    seed, edges = params.get("seed", 0), params.get("edges", "network")
    settings = {name: params[name] for name in ("loss", "anchor") if name in params}
    encoder = sacp.Encoder(scene.graph, seed=seed, edges=edges)
    order = scene.of if params.get("positives", "l1") == "l1" else (*scene.of[:2], random_orders(scene, seed))
    trained = sacp.train(*order, configurations=64, epochs=1, seed=seed, encoder=encoder, **settings)
    assert_same_tensors(load_file(kept_by(store, "learn", params)), trained.encoder, "encoder.")
    result = run(store, "learn", params).result
    assert result["history"] == [pytest.approx(trained.history[0]._asdict(), abs=1e-6)]
    apart = sacp.apart(trained.encoder, *order, 500, params.get("anchor", "first"), searching.UNLEARNT)
    assert result["triads"] == pytest.approx(apart._asdict(), abs=1e-6)
    scores = run(store, "score", {"encoder": params, "of": RANDOM}).result["scores"]
    r = torch.tensor([row["r"] for row in run(store, "search", RANDOM).result["best"]])
    assert scores == pytest.approx(sacp.Scorer(trained.encoder, *scene.of)(r).tolist(), abs=1e-6)


def random_orders(scene: Scene, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(searching.UNLEARNT + seed)
    return [torch.randperm(width, generator=generator) for width in scene.graph.widths]


def test_an_encoder_without_epochs_is_as_it_was_drawn(store: Store, scene: Scene) -> None:
    params = LEARN | {"epochs": 0, "seed": 3}
    assert_same_tensors(load_file(kept_by(store, "learn", params)), sacp.Encoder(scene.graph, seed=3), "encoder.")
    assert run(store, "learn", params).result["history"] == []


def test_a_regression_learns_the_validation_accuracies_of_its_sample(store: Store, scene: Scene) -> None:
    rows = run(store, "sample", SAMPLE).result["candidates"]
    r, accuracies = torch.tensor([row["r"] for row in rows]), [row["top1"] for row in rows]
    found = sacp.regress(*scene.of, r, accuracies, epochs=3, batch=32)
    kept = load_file(kept_by(store, "regress", REGRESS))
    assert_same_tensors(kept, found.encoder, "encoder.")
    assert_same_tensors(kept, found.head, "head.")
    assert run(store, "regress", REGRESS).result["history"] == pytest.approx(found.history, abs=1e-6)
    scores = run(store, "score", {"encoder": REGRESS, "of": SAMPLE}).result["scores"]
    assert scores == pytest.approx(sacp.Scorer(found.encoder, *scene.of, found.head)(r).tolist(), abs=1e-5)


# Random candidates


def test_a_sample_has_distinct_candidates_of_the_wanted_cost(store: Store, scene: Scene) -> None:
    rows = run(store, "sample", SAMPLE).result["candidates"]
    assert len({tuple(row["r"]) for row in rows}) == 5
    for row in rows:
        assert abs(scene.removed(row["r"]) - 0.5) <= 0.05
    other = run(store, "sample", SAMPLE | {"seed": 1}).result["candidates"]
    assert [row["r"] for row in other] != [row["r"] for row in rows]


def test_a_sample_at_tau_is_the_beginning_of_the_space_s_own_sequence(store: Store, scene: Scene) -> None:
    rows = run(store, "sample", {"baseline": BASE, "n": 4, "tau": 0.6}).result["candidates"]
    drawn = dict.fromkeys(map(tuple, scene.space.sample(20, 0.6).tolist()))
    assert [tuple(row["r"]) for row in rows] == list(drawn)[:4]


def test_the_columns_of_a_sample_are_those_of_the_networks_cut_for_real(store: Store, scene: Scene) -> None:
    record = run(store, "sample", SAMPLE).result
    by_val = run(store, "sample", SAMPLE | {"split": "val"}).result["candidates"]
    assert record["before"] == list(measure.cost(scene.model, EXAMPLE))
    convolutions = [name for entry in scene.graph.entries for name in entry]
    modules = dict(scene.model.named_modules())
    for row, other in zip(record["candidates"][:3], by_val, strict=False):
        pruned = scene.recalibrated(row["r"], draw=0)
        assert [row["macs"], row["params"]] == list(measure.cost(pruned, EXAMPLE))
        assert (other["top1"], row["top1"]) == (scene.top1(pruned, "val"), scene.top1(pruned, "test"))
        of_filters = {name: modules[name].weight.detach().abs().sum(dim=(1, 2, 3)) for name in convolutions}
        keep = sacp.plan_of(*scene.of, torch.tensor(row["r"])).keep
        left = sum(float(of_filters[name][keep[name]].sum()) for name in convolutions)
        assert row["norm"] == pytest.approx(left / sum(float(norms.sum()) for norms in of_filters.values()), abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"removed": 0.999, "tolerance": 1e-4}, "n is 5, but must be at most 0, .* remove 0.999 \\+- 0.0001 of the MACs"),
        (
            {"removed": None, "tau": 0.9},
            "n is 5, but must be at most 1, the distinct ones of 20,000 random candidates with tau 0.9$",
        ),
    ],
)
def test_a_sample_that_cannot_be_is_refused_before_a_network_is_cut(
    store: Store, scene: Scene, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(searching, "DRAWS", 20_000)
    monkeypatch.setattr(cutting, "cut", lambda *_: pytest.fail("a network was cut"))
    with pytest.raises(BadValue) as refused:
        run(store, "sample", SAMPLE | changes)
    assert re.search(words, str(refused.value))


def test_a_sample_that_was_interrupted_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    params = SAMPLE | {"seed": 5}
    whole = run(store, "sample", params).result
    measured: list[int] = []
    monkeypatch.setattr(searching, "_recalibrate", noting(searching._recalibrate, measured))
    with monkeypatch.context() as patch:
        patch.setattr(Context, "progress", _interrupting_at(3))
        with pytest.raises(KeyboardInterrupt):
            compute(Trial("sample", params), store, "cpu")
    assert len(measured) == 3
    assert compute(Trial("sample", params), store, "cpu").result == whole
    assert len(measured) == 5
    assert compute(Trial("sample", params), store, "cpu").result == whole  # from the start: nothing is left of it
    assert len(measured) == 10


def noting(function: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    def noted(*arguments: Any) -> Any:
        calls.append(1)
        return function(*arguments)

    return noted


class Concatenating(nn.Module):
    """Convolutions that read two others, one behind the other, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 7, 3, padding=1)
        self.third, self.out = nn.Conv2d(19, 9, 3, padding=1, bias=False), nn.Linear(9 * 64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.out(self.third(torch.cat([self.second(x), x], dim=1)).flatten(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.build("dice_cnn", 10, 1, seed=0, width=0.25),
        lambda: models.build("resnet20", 10, 1, seed=0, width=0.25),
        lambda: models.build("resnet20", 10, 1, seed=0, width=0.25, shortcut="B"),
        Concatenating,
    ],
)
def test_many_candidates_cost_what_each_does(make: Callable[[], nn.Module]) -> None:
    model = make()
    graph = sacp.ArchitectureGraph(model, EXAMPLE)
    space, rankings = sacp.Space(graph), sacp.rankings(model, graph)
    r = torch.cat([space.sample(20), torch.zeros(1, space.L, dtype=torch.uint8)])
    counted = searching._counter(model, EXAMPLE, graph, space)(r).tolist()
    one_by_one = cutting.cost_if_kept(model, EXAMPLE, [entry[0] for entry in graph.entries])
    for row, costs in zip(r, counted, strict=True):
        keep = space.keep(row, rankings)
        assert costs == list(one_by_one({entry[0]: keep[entry[0]] for entry in graph.entries}))
    assert counted[0] == list(measure.cost(sacp.plan_of(graph, space, rankings, r[0]).apply(model, EXAMPLE), EXAMPLE))


def test_chance_has_the_quantiles_of_networks_cut_for_real() -> None:
    params = {"dataset": "digits", "arch": "dice_cnn", "options": {"width": 0.5, "hidden": 16}, "tau": 0.5}
    few = Trial("chance", params).parameters.model_copy(update={"n": 12})
    result = searching.chance(few, Context("cpu", Store()))
    model = models.build("dice_cnn", 10, 1, seed=5, width=0.5, hidden=16)
    graph = sacp.ArchitectureGraph(model, EXAMPLE)
    space, rankings = sacp.Space(graph), sacp.rankings(model, graph)
    before = measure.cost(model, EXAMPLE)
    rates = []
    for r in space.sample(12, 0.5):
        pruned = sacp.plan_of(graph, space, rankings, r).apply(model, EXAMPLE)
        rates.append((100 * float(space.ratio(r)), *measure.rates(before, measure.cost(pruned, EXAMPLE))))
    marks = np.linspace(0, 1, len(result["fr"]))
    for name, values in zip(("R", "fr", "pr"), zip(*rates, strict=True), strict=True):
        assert result[name] == pytest.approx(np.quantile(values, marks).tolist(), abs=1e-4)
    assert result["exist"] == str(space.size_at(0.5))
    assert result["share"] == space.size_at(0.5) / 10**3
    assert (result["space"], result["entries"]) == ("1000", 3)
    assert result["cost"]["macs"] == list(before)


# Encoders that have not learnt


@pytest.mark.parametrize("of", [SAMPLE, RANDOM])
def test_a_crowd_orders_candidates_as_encoders_of_other_random_weights_do(
    store: Store, scene: Scene, of: dict[str, Any]
) -> None:
    orders = run(store, "crowd", {"of": of, "encoders": 39}).result["orders"]
    result = run(store, "sample" if of is SAMPLE else "search", of).result
    r = torch.tensor([row["r"] for row in result["candidates" if of is SAMPLE else "best"]])
    assert len(orders) == 39
    for i in (0, 38):
        encoder = sacp.Encoder(scene.graph, seed=searching.UNLEARNT + i)
        scores = sacp.Scorer(encoder, *scene.of)(r)
        assert orders[i] == [int((scores < own).sum()) for own in scores]
    others = run(store, "crowd", {"of": of, "encoders": 39, "seed": 1}).result["orders"]
    assert others != orders


def test_triads_are_told_apart_by_encoders_of_other_random_weights(store: Store, scene: Scene) -> None:
    result = run(store, "triads", {"baseline": BASE, "anchor": "original", "encoders": 39}).result
    encoder = sacp.Encoder(scene.graph, seed=searching.UNLEARNT + 1)
    apart = sacp.apart(encoder, *scene.of, 500, "original", searching.UNLEARNT)
    assert {name: values[1] for name, values in result.items()} == pytest.approx(apart._asdict(), abs=1e-6)
    assert {len(values) for values in result.values()} == {39}


def test_encoders_of_random_weights_tell_random_orders_apart_each_its_own(store: Store, scene: Scene) -> None:
    params = {"baseline": BASE, "positives": "random", "encoders": 39, "seed": 1}
    result = run(store, "triads", params).result
    for i in (0, 38):
        encoder = sacp.Encoder(scene.graph, seed=searching.UNLEARNT + 39 + i)
        order = random_orders(scene, 39 + i)
        apart = sacp.apart(encoder, *scene.of[:2], order, 500, "first", searching.UNLEARNT)
        assert {name: values[i] for name, values in result.items()} == pytest.approx(apart._asdict(), abs=1e-6)


# Images that choose, where the network has seen the validation split


def test_halves_of_the_test_split_choose_and_report(store: Store, scene: Scene) -> None:
    halves = data.halved(scene.digits)
    normal = {"mean": scene.digits.mean, "std": scene.digits.std}

    def top1(model: nn.Module, split: str) -> float:
        return round(training.evaluate(model, getattr(halves, split), **normal).top1, 4)

    half = {"chosen_on": "half of test"}
    unpruned = run(store, "unpruned", {"baseline": BASE}).result
    assert unpruned == {"val": top1(scene.model, "val"), "test": top1(scene.model, "test")}
    result = run(store, "candidate", {"search": RANDOM, "place": 1, **half}).result
    pruned = scene.recalibrated(result["r"], draw=0)
    assert result["recalibrated"] == {"val": top1(pruned, "val"), "test": top1(pruned, "test")}
    tuned = run(store, "candidate", {"search": RANDOM, "place": 1, "finetune": FIT, **half}).result
    assert tuned["recalibrated"] == {"test": result["recalibrated"]["test"]}
    assert tuned["finetuned"]["test"] == tuned["test"]["top1"]
    (first,) = run(store, "sample", {**SAMPLE, **half}).result["candidates"][:1]
    assert first["top1"] == top1(scene.recalibrated(first["r"], draw=0), "test")
    final = Trial("final", {"search": RANDOM, "first": 2, "rank": 0, "finetune": FIT, **half})
    assert {t.parameters.chosen_on for t in final.needs() if t.task == "candidate"} == {"half of test"}


# Searches


def test_a_search_is_the_method_s_own(store: Store, scene: Scene) -> None:
    result = run(store, "search", SEARCH).result
    trained = sacp.train(*scene.of, configurations=64, epochs=2)
    found = sacp.search(sacp.Scorer(trained.encoder, *scene.of), 700, 0.3, 5)
    assert [row["r"] for row in result["best"]] == found.candidates.tolist()
    assert [row["number"] for row in result["best"]] == found.numbers.tolist()
    assert [row["score"] for row in result["best"]] == pytest.approx(found.scores.tolist(), abs=1e-6)
    assert (result["seen"], result["exist"], result["space"]) == (700, str(scene.space.size_at(0.3)), "1000")
    assert result["quantiles"] == sorted(result["quantiles"])
    assert result["quantiles"][-1] == pytest.approx(result["best"][0]["score"], abs=1e-6)


def test_the_scores_of_a_search_s_best_are_those_that_it_found(store: Store) -> None:
    scores = run(store, "score", {"encoder": LEARN, "of": SEARCH}).result["scores"]
    assert scores == [row["score"] for row in run(store, "search", SEARCH).result["best"]]


def test_a_search_is_the_same_whatever_the_batch_and_goes_on_after_an_interruption(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(store, "search", SEARCH).result
    folder = Context("cpu", store).checkpoint(Trial("search", SEARCH)).parent
    monkeypatch.setattr(sacp, "search", partial(sacp.search, batch=256, save_every=0))
    assert compute(Trial("search", SEARCH), store, "cpu").result == whole
    assert list(folder.iterdir()) == []
    starts: list[int] = []
    sample = sacp.Space.sample

    def noted(self: sacp.Space, n: int, tau: float, seed: int, start: int = 0) -> Tensor:
        starts.append(start)
        return sample(self, n, tau, seed, start)

    monkeypatch.setattr(sacp.Space, "sample", noted)
    with monkeypatch.context() as patch:
        patch.setattr(Context, "progress", _interrupting_at(512))
        with pytest.raises(KeyboardInterrupt):
            compute(Trial("search", SEARCH), store, "cpu")
    (state,) = folder.iterdir()
    assert files.unseal(state)["done"] == 512
    assert starts == [0, 256]
    starts.clear()
    left = state.read_bytes()
    assert compute(Trial("search", SEARCH), store, "cpu").result == whole
    assert starts[0] == 512
    assert list(folder.iterdir()) == []
    state.write_bytes(left.replace(b'"done": 512', b'"done": 768'))
    starts.clear()
    assert compute(Trial("search", SEARCH), store, "cpu").result == whole
    assert starts[0] == 0
    assert f"{state} is damaged: it does not match its own digest; the search begins anew" in capsys.readouterr().err


def _interrupting_at(done: int) -> Callable[..., None]:
    def progress(self: Context, now: int, total: int, what: str) -> None:
        if now == done and what.startswith("candidates"):
            raise KeyboardInterrupt

    return progress


def test_a_search_left_unfinished_by_another_encoder_begins_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params = SEARCH | {"seed": 7}
    whole = run(store, "search", params).result
    encoder = Context("cpu", store).checkpoint(Trial("learn", LEARN))
    as_it_was = weights.copy(encoder, tmp_path / encoder.name)
    other = kept_by(store, "learn", LEARN | {"seed": 9})
    with monkeypatch.context() as patch:
        patch.setattr(sacp, "search", partial(sacp.search, batch=256, save_every=0))
        patch.setattr(Context, "progress", _interrupting_at(256))
        weights.copy(other, encoder)
        with pytest.raises(KeyboardInterrupt):
            compute(Trial("search", params), store, "cpu")
        weights.copy(as_it_was, encoder)
    assert compute(Trial("search", params), store, "cpu").result == whole


def test_a_random_search_keeps_the_first_distinct_candidates_that_meet_tau(store: Store, scene: Scene) -> None:
    five = [row["r"] for row in run(store, "search", RANDOM).result["best"]]
    three = [row["r"] for row in run(store, "search", RANDOM | {"m": 3}).result["best"]]
    many = [row["r"] for row in run(store, "search", RANDOM | {"m": 300}).result["best"]]
    assert three == five[:3]
    assert five == many[:5]
    assert len(set(map(tuple, many))) == 300
    assert float(scene.space.ratio(torch.tensor(many)).min()) >= 0.3
    assert run(store, "search", RANDOM | {"seed": 1}).result["best"][0]["r"] != five[0]


def test_a_random_search_of_a_small_space_has_all_of_it_and_no_more_places(store: Store, scene: Scene) -> None:
    exist = scene.space.size_at(0.88)
    params = RANDOM | {"tau": 0.88, "m": exist + 1}
    best = [row["r"] for row in run(store, "search", params).result["best"]]
    assert best == scene.space.enumerate(0.88).tolist()
    assert 1 < len(best) == exist
    with pytest.raises(BadValue) as refused:
        run(store, "candidate", {"search": params, "place": exist})
    assert str(refused.value) == f"place is {exist}, but the search found only {exist} distinct candidates"


def test_random_candidates_as_costly_as_those_found_are_so_one_by_one(store: Store, scene: Scene) -> None:
    partners = [row["r"] for row in run(store, "search", SEARCH).result["best"]]
    alike = [row["r"] for row in run(store, "search", AS_COSTLY).result["best"]]
    assert len(alike) == len(set(map(tuple, alike))) == 5
    assert float(scene.space.ratio(torch.tensor(alike)).min()) >= 0.3
    for r, partner in zip(alike, partners, strict=True):
        assert abs(scene.removed(r) - scene.removed(partner)) <= 0.005
    fewer = run(store, "search", AS_COSTLY | {"m": 2}).result["best"]
    for row, partner in zip(fewer, partners[:2], strict=True):
        assert abs(scene.removed(row["r"]) - scene.removed(partner)) <= 0.005


def test_a_cost_that_random_candidates_do_not_have_is_refused(
    store: Store, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "DRAWS", 10_000)
    words = "of 10,000 random candidates with tau 0.9, none costs within 0.005 of the MACs what 5 of the 5 best"
    with pytest.raises(BadValue, match=words):
        run(store, "search", AS_COSTLY | {"tau": 0.9})


# Candidates, and those that are trained in full


def test_a_candidate_without_fine_tuning_is_cut_and_recalibrated(store: Store, scene: Scene) -> None:
    best = run(store, "search", SEARCH).result["best"]
    result = run(store, "candidate", {"search": SEARCH, "place": 2}).result
    pruned = scene.recalibrated(best[2]["r"], draw=0)
    assert result["r"] == best[2]["r"]
    assert result["removed"] == pytest.approx(float(scene.space.ratio(torch.tensor(result["r"]))), abs=1e-6)
    assert result["cost"]["macs"]["after"] == list(measure.cost(pruned, EXAMPLE))
    assert result["cost"]["macs"]["fr"] == pytest.approx(100 * scene.removed(result["r"]), abs=1e-3)
    assert result["recalibrated"] == {"val": scene.top1(pruned, "val"), "test": scene.top1(pruned, "test")}
    assert "finetuned" not in result


def test_a_candidate_is_trained_on_from_the_cut_network(store: Store) -> None:
    plain = run(store, "candidate", {"search": SEARCH, "place": 0}).result
    tuned = run(store, "candidate", {"search": SEARCH, "place": 0, "finetune": {**FIT, "epochs": 4}}).result
    assert tuned["recalibrated"] == {"test": plain["recalibrated"]["test"]}
    assert len(tuned["history"]) == 4
    assert tuned["finetuned"]["test"] == tuned["test"]["top1"] > plain["recalibrated"]["test"]
    assert tuned["history"][-1]["val_top1"] == pytest.approx(tuned["finetuned"]["val"], abs=1e-4)


def test_light_fine_tuning_may_see_few_images_the_same_for_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = {**FIT, "images": 64, "seed": 3}
    seen: list[Tensor] = []
    trained = training.fit

    def noted(model: nn.Module, train: data.Split, *others: Any, **settings: Any) -> Any:
        seen.append(train.images)
        return trained(model, train, *others, **settings)

    monkeypatch.setattr(training, "fit", noted)
    for search, place in ((RANDOM, 0), (SEARCH, 1)):
        compute(Trial("candidate", {"search": search, "place": place, "finetune": fit}), store, "cpu")
    assert torch.equal(seen[0], data.draw(data.load("digits").train, 64, 3))
    assert torch.equal(seen[0], seen[1])


def put(store: Store, trial: Trial, result: dict[str, Any]) -> None:
    params = trial.parameters.model_dump(mode="json")
    store.put(trial, Record(trial.task, trial.definition.version, trial.key, params, result))


@pytest.mark.parametrize(("moment", "light", "seed"), [("recalibrated", None, 20), ("finetuned", FIT, 21)])
def test_full_training_goes_to_the_best_on_the_validation_split(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: str, light: dict[str, Any] | None, seed: int
) -> None:
    search = RANDOM | {"seed": seed}
    best = run(store, "search", search).result["best"]
    for place, (val, test) in enumerate([(50.0, 99.0), (80.0, 10.0), (90.0, 20.0), (80.0, 30.0)]):
        measured = {"recalibrated": {"test": test}} | {moment: {"val": val, "test": test}}
        trial = Trial("candidate", {"search": search, "place": place, "finetune": light})
        put(store, trial, {"r": best[place]["r"], **measured})
    monkeypatch.setattr(searching, "_built", lambda r, images, fit, *_: {"r": r, "epochs": fit.epochs})
    params = {"search": search, "light": light, "finetune": {**FIT, "epochs": 6}}
    for first, places in {4: [2, 1, 3, 0], 2: [1, 0]}.items():
        for rank, place in enumerate(places):
            trial = Trial("final", params | {"first": first, "rank": rank})
            assert compute(trial, store, "cpu").result == {"place": place, "r": best[place]["r"], "epochs": 6}


def test_full_training_needs_the_light_one_of_every_place(store: Store) -> None:
    trial = Trial("final", {"search": SEARCH, "light": FIT, "first": 3, "rank": 1, "recalibrate": 500, "finetune": FIT})
    needed = [t for t in trial.needs() if t.task == "candidate"]
    assert [t.parameters.place for t in needed] == [0, 1, 2]
    assert {t.parameters.recalibrate for t in needed} == {500}
    assert all(t.parameters.finetune == trial.parameters.light for t in needed)


# What is around them


@pytest.mark.parametrize(
    ("task", "params"),
    [
        ("learn", LEARN),
        ("sample", SAMPLE),
        ("regress", REGRESS),
        ("score", {"encoder": LEARN, "of": SAMPLE}),
        ("crowd", {"of": SAMPLE}),
        ("crowd", {"of": RANDOM}),
        ("triads", {"baseline": BASE}),
        ("unpruned", {"baseline": BASE}),
        ("search", SEARCH),
        ("search", RANDOM),
        ("search", AS_COSTLY),
        ("candidate", {"search": SEARCH, "place": 0}),
        ("final", {"search": SEARCH, "first": 1, "rank": 0, "finetune": FIT}),
    ],
)
def test_whatever_loads_the_network_needs_it_unless_it_is_a_file_of_weights(task: str, params: dict[str, Any]) -> None:
    assert Trial("baseline", BASE) in Trial(task, params).needs()
    foreign = json.loads(json.dumps(params).replace(json.dumps(BASE), '{"arch": "dice_cnn", "weights": "w.th"}'))
    assert [needed for needed in Trial(task, foreign).needs() if needed.task == "baseline"] == []


def test_what_has_a_record_is_computed_again_only_for_a_file_that_is_gone(store: Store) -> None:
    final = {"search": SEARCH, "light": FIT, "first": 3, "rank": 0, "finetune": FIT}
    for place in range(2):
        run(store, "candidate", {"search": SEARCH, "place": place, "finetune": FIT})
    assert [trial.task for trial in to_run([Trial("final", final)], store)] == ["candidate", "final"]
    encoder = Context("cpu", store).checkpoint(Trial("learn", LEARN))
    assert sorted(encoder.parent.glob(f"{Trial('learn', LEARN).key}.*")) == [encoder, weights.sidecar(encoder)]
    encoder.unlink()
    assert [trial.task for trial in to_run([Trial("final", final)], store)] == ["candidate", "final"]
    another = Trial("search", SEARCH | {"m": 6})
    assert to_run([another], store) == [Trial("learn", LEARN), another]


def test_different_trials_have_different_words() -> None:
    tuned = {"search": SEARCH, "place": 0, "finetune": FIT}
    found = [
        *(Trial("learn", LEARN | change) for change in ({}, {"loss": "as-printed"}, {"anchor": "original"}, {"epochs": 0})),
        *(Trial("learn", LEARN | change) for change in ({"edges": "none"}, {"edges": "shuffled"}, {"seed": 1})),
        *(
            Trial(task, given | {"positives": "random"})
            for task, given in (("learn", LEARN), ("triads", {"baseline": BASE}))
        ),
        *(Trial("sample", SAMPLE | change) for change in ({}, {"removed": None}, {"tau": 0.2}, {"seed": 1}, {"n": 9})),
        *(Trial("regress", REGRESS | change) for change in ({}, {"epochs": 4}, {"seed": 1})),
        *(Trial("score", {"encoder": e, "of": o}) for e in (LEARN, REGRESS) for o in (SAMPLE, SEARCH, RANDOM)),
        *(Trial("crowd", {"of": o}) for o in (SAMPLE, RANDOM, SAMPLE | {"split": "val"})),
        *(Trial("triads", {"baseline": BASE, "anchor": anchor}) for anchor in ("first", "original")),
        Trial("unpruned", {"baseline": BASE}),
        *(Trial("search", p) for p in (SEARCH, RANDOM, AS_COSTLY, RANDOM | {"m": 4}, SEARCH | {"m": 4})),
        *(Trial("candidate", tuned | change) for change in ({}, {"place": 1}, {"finetune": None}, {"search": RANDOM})),
        Trial("candidate", tuned | {"finetune": {**FIT, "images": 500}}),
        *(Trial("final", {"search": SEARCH, "first": m, "rank": r, "finetune": FIT}) for m in (2, 3) for r in (0, 1)),
        *(Trial("chance", {"tau": tau}) for tau in (0.3, 0.4)),
    ]
    words = [describe(trial) for trial in found]
    assert len(set(words)) == len(set(found)) == len(found)


def test_the_training_of_candidates_is_estimated_and_an_encoder_s_is_not() -> None:
    ((way, epochs),) = estimate.trainings(
        Trial("candidate", {"search": SEARCH, "place": 0, "finetune": {**FIT, "epochs": 5}})
    )
    assert (way.arch, way.dataset, epochs, way.each) == ("dice_cnn", "digits", 5, len(data.load("digits").train))
    ((way, _),) = estimate.trainings(Trial("candidate", {"search": SEARCH, "place": 0, "finetune": {**FIT, "images": 64}}))
    assert way.each == 64
    assert estimate.trainings(Trial("candidate", {"search": SEARCH, "place": 0})) == []
    for task, params in (("learn", LEARN), ("regress", REGRESS), ("sample", SAMPLE), ("search", SEARCH)):
        assert estimate.trainings(Trial(task, params)) == []
    final = {"search": SEARCH, "light": FIT, "first": 2, "rank": 0, "finetune": {**FIT, "epochs": 7}}
    ((way, epochs),) = estimate.trainings(Trial("final", final))  # the light one is the candidates'
    assert (way.arch, epochs) == ("dice_cnn", 7)


@pytest.mark.parametrize(
    ("task", "params", "words"),
    [
        ("learn", LEARN | {"loss": "triplet"}, "loss is 'triplet', but must be one of: infonce, as-printed"),
        ("learn", LEARN | {"edges": "shufled"}, "edges is 'shufled'.*did you mean 'shuffled'"),
        ("learn", LEARN | {"configurations": 1}, "configurations is 1"),
        ("learn", LEARN | {"positives": "L2"}, "positives is 'L2', but must be one of: l1, random"),
        ("sample", SAMPLE | {"removed": 1.0}, "removed is 1.0"),
        ("sample", SAMPLE | {"split": "train"}, "split is 'train', but must be one of: val, test"),
        ("crowd", {"of": SAMPLE, "encoders": 20}, "encoders is 20"),
        (
            "candidate",
            {"search": SEARCH, "place": 0, "chosen_on": "test"},
            "chosen_on is 'test', but must be one of: val, half",
        ),
        ("sample", SAMPLE | {"tau": 0.95}, "tau is 0.95, but must be at most 0.9"),
        ("search", SEARCH | {"tau": -0.1}, "tau is -0.1"),
        ("search", SEARCH | {"m": 701}, "m is 701, but must be at most 700, the number of candidates"),
        ("search", SEARCH | {"like": SEARCH}, "like is 'a search', but must be given only without an encoder"),
        ("search", AS_COSTLY | {"m": 6}, "m is 6, but must be at most 5, the candidates that `like` keeps"),
        ("search", SEARCH | {"baseline": {**BASE, "size": 16}}, "encoder is 'one of another baseline'"),
        ("score", {"encoder": LEARN, "of": RANDOM | {"baseline": {**BASE, "size": 16}}}, "of is 'candidates of another"),
        ("candidate", {"search": SEARCH, "place": 5}, "place is 5, but must be below 5"),
        ("final", {"search": SEARCH, "first": 6, "rank": 0, "finetune": FIT}, "first is 6, but must be at most 5"),
        ("final", {"search": SEARCH, "first": 2, "rank": 2, "finetune": FIT}, "rank is 2, but must be below 2"),
        ("chance", {"tau": 0.3, "dataset": "digit"}, "dataset is 'digit'.*did you mean 'digits'"),
        ("chance", {"tau": 0.3, "n": 50}, "n is 50"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(task: str, params: dict[str, Any], words: str) -> None:
    with pytest.raises(BadValue, match=words) as refused:
        Trial(task, params)
    assert "\n" not in str(refused.value)
