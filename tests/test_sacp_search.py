import json
from functools import cache

import numpy as np
import pytest
import torch
from test_sacp_encoder import graph_of, in_torch_geometric, with_biases
from test_sacp_training import X, parts, small_net
from torch import nn
from torch.nn import functional as F

from prunebook import files, models
from prunebook.errors import BadValue
from prunebook.methods.sacp import ArchitectureGraph, Encoder, Scorer, Space, plan, plan_of, rankings, search
from prunebook.plan import PruningPlan

BRIEF = {"configurations": 32, "epochs": 1, "candidates": 600, "m": 6, "k": 2}


def scorer_of(name: str, head: nn.Linear | None = None, **options) -> Scorer:
    graph = graph_of(name)
    encoder = with_biases(Encoder(graph, **options))
    return Scorer(encoder, graph, Space(graph), rankings(models.build(name, seed=0), graph), head)


@cache
def small_scorer(layers: int = 2, seed: int = 0) -> Scorer:
    graph, space, ranked = parts()
    return Scorer(with_biases(Encoder(graph, hidden=16, out=8, layers=layers, seed=seed)), graph, space, ranked)


def embedded_by_torch_geometric(scorer: Scorer, name: str, r: torch.Tensor) -> torch.Tensor:
    ranked = rankings(models.build(name, seed=0), scorer.graph)
    features = [scorer.graph.features(scorer.space.keep(row, ranked)) for row in r]
    return in_torch_geometric(scorer.encoder, scorer.graph, torch.stack(features), directed=False)


def with_unpruned(r: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(r[:1]), r])


@pytest.mark.parametrize(
    ("name", "method"), [("resnet20", "tables"), ("resnet56", "tables"), ("vgg16", "tables"), ("densenet40", "encoder")]
)
def test_scores_are_the_cosines_of_pytorch_geometric_s_embeddings(name, method):
    scorer = scorer_of(name, hidden=32, out=16)
    r = with_unpruned(scorer.space.sample(3, 0.3))
    original, *others = embedded_by_torch_geometric(scorer, name, r)
    scores = scorer(r)
    assert scorer.method == method
    assert scores[0].item() == pytest.approx(1, abs=1e-6)
    expected = F.cosine_similarity(torch.stack(others), original, dim=1)
    torch.testing.assert_close(scores[1:], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"layers": 3}, {"layers": 1}, {"readout": "max"}, {"directed": True}, {"edges": "none"}, {"edges": "shuffled"}],
)
def test_other_encoders_are_scored_as_they_embed(options):
    scorer = scorer_of("resnet20", hidden=32, out=16, **options)
    r = with_unpruned(scorer.space.sample(300))
    embedded = scorer.encoder.embed([table[ratios] for table, ratios in zip(scorer.masks, r.long().T, strict=True)])
    one_hop_is_small = "directed" in options or options.get("edges") == "none"
    assert scorer.method == ("tables" if one_hop_is_small else "encoder")
    torch.testing.assert_close(scorer(r), F.cosine_similarity(embedded, embedded[:1]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "method"), [("resnet20", "tables"), ("densenet40", "encoder")])
def test_a_head_turns_embeddings_into_accuracies(name, method):
    head = nn.Linear(16, 1)
    with torch.no_grad():
        head.weight.copy_(torch.linspace(-1, 1, 16))
        head.bias.fill_(90.0)
    scorer = scorer_of(name, head, hidden=32, out=16)
    r = scorer.space.sample(3)
    assert scorer.method == method
    expected = head(embedded_by_torch_geometric(scorer, name, r))[:, 0]
    torch.testing.assert_close(scorer(r), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "r", [torch.zeros(2, 4, dtype=torch.uint8), torch.zeros(2, 3), torch.full((2, 3), 10), torch.full((2, 3), -1)]
)
def test_candidates_of_another_space_are_refused(r):
    with pytest.raises(BadValue, match=r"^r is "):
        small_scorer()(r)


def test_a_small_space_is_searched_whole_and_its_best_are_found():
    scorer = small_scorer()
    everything = torch.cartesian_prod(*[torch.arange(10)] * 3)
    everything = everything[scorer.space.ratio(everything) >= 0.5]
    scores = scorer(everything)
    best = np.lexsort((np.arange(len(scores)), -scores.numpy()))[:7]
    found = search(scorer, 10_000, 0.5, 7, batch=256)
    assert found.seen == len(everything)
    assert found.candidates.tolist() == everything[best].tolist()
    torch.testing.assert_close(found.scores, scores[best])


def test_no_candidate_is_found_twice_and_of_equal_scores_the_first_drawn_leads():
    """Draws of 500 from 847: many come twice. Each is found where it came first."""
    scorer = small_scorer()
    draws = scorer.space.sample(500, 0.2, seed=3)
    first = {tuple(row): number for number, row in reversed(list(enumerate(draws.tolist())))}
    assert len(first) < 450
    found = search(scorer, 500, 0.2, 100, seed=3)
    rows = [tuple(row) for row in found.candidates.tolist()]
    assert len(set(rows)) == 100
    assert found.numbers.tolist() == [first[row] for row in rows]
    by_score = sorted(first.values(), key=lambda number: (-scorer(draws[number : number + 1]).item(), number))
    assert found.numbers.tolist() == by_score[:100]


@pytest.mark.parametrize("layers", [2, 3])
def test_the_result_depends_on_the_seed_and_not_on_the_batch(layers):
    found = [search(small_scorer(layers), 700, 0.1, 20, seed=1, batch=batch) for batch in (1, 256, 300, 100_000)]
    for other in found[1:]:
        assert torch.equal(other.candidates, found[0].candidates)
        assert torch.equal(other.scores, found[0].scores)
    other_seed = search(small_scorer(layers), 700, 0.1, 20, seed=2)
    assert not torch.equal(other_seed.numbers, found[0].numbers)


def test_progress_tells_candidates_done_and_their_rate():
    told: list[tuple[int, int, float]] = []
    search(small_scorer(), 700, 0.1, 5, batch=300, progress=lambda *now: told.append(now))
    assert [now[:2] for now in told] == [(512, 700), (700, 700)]
    assert all(rate > 0 for *_, rate in told)


def test_an_interrupted_search_goes_on_from_its_state(tmp_path, monkeypatch):
    scorer, state = small_scorer(), tmp_path / "search.json"
    drawn: list[int] = []
    sample = Space.sample

    def noted(self, n, tau, seed, start):
        drawn.append(start)
        return sample(self, n, tau, seed, start)

    def interrupt(done: int, total: int, rate: float) -> None:
        if done == 512:
            raise KeyboardInterrupt

    monkeypatch.setattr(Space, "sample", noted)
    with pytest.raises(KeyboardInterrupt):
        search(scorer, 800, 0.1, 20, batch=256, state=state, save_every=0, progress=interrupt)
    resumed = search(scorer, 800, 0.1, 20, batch=256, state=state)
    assert drawn == [0, 256, 512, 768]
    whole = search(scorer, 800, 0.1, 20)
    for part in ("candidates", "scores", "numbers", "seen"):
        assert np.array_equal(getattr(resumed, part), getattr(whole, part))
    drawn.clear()
    assert torch.equal(search(scorer, 800, 0.1, 20, state=state).scores, whole.scores)
    assert drawn == []


def test_the_state_of_another_search_is_refused(tmp_path):
    state = tmp_path / "search.json"
    search(small_scorer(), 300, 0.1, 5, state=state)
    arguments = {"n": 300, "tau": 0.1, "m": 5, "seed": 0}
    for name, value in {"n": 400, "tau": 0.2, "m": 4, "seed": 1}.items():
        with pytest.raises(BadValue, match="belongs to another search"):
            search(small_scorer(), **{**arguments, name: value}, state=state)
    with pytest.raises(BadValue, match="belongs to another search: its scorer"):
        search(small_scorer(seed=1), **arguments, state=state)
    for other in ([], {"search": {}}, {"search": 1}):
        files.seal(state, other)
        with pytest.raises(BadValue, match="is not the state of a search: "):
            search(small_scorer(), **arguments, state=state)


def test_a_state_that_is_damaged_is_refused_by_name_with_any_bit_flipped(tmp_path):
    state = tmp_path / "search.json"
    scorer = small_scorer()
    whole = search(scorer, 300, 0.1, 5, state=state)
    content = state.read_bytes()
    assert b'"sha256"' in content
    refused = 0
    for place in range(len(content)):
        state.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            found = search(scorer, 300, 0.1, 5, state=state)
        except files.Damaged as refusal:
            assert str(state) in str(refusal)
            refused += 1
        else:  # another white space
            assert torch.equal(found.scores, whole.scores)
            assert torch.equal(found.candidates, whole.candidates)
    assert refused > len(content) / 2
    state.write_bytes(content[: len(content) // 2])
    with pytest.raises(files.Damaged, match="is damaged: it does not match its own digest"):
        search(scorer, 300, 0.1, 5, state=state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 0.95}, "tau is 0.95, but must be at most 0.9"),
        ({"m": 200}, "m is 200, but must be at most 100, the number of candidates"),
        ({"tau": 0.9, "m": 2}, "m is 2, but must be at most 1, the number of candidates"),
        ({"n": 0}, "n is 0, but must be a whole number of at least 1"),
        ({"batch": 0}, "batch is 0, but must be a whole number of at least 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused(options, message):
    with pytest.raises(BadValue) as raised:
        search(small_scorer(), **{"n": 100, "tau": 0.5, "m": 10, **options})
    assert str(raised.value).startswith(message)


def test_a_plan_keeps_what_its_candidate_says_and_can_be_applied():
    model = models.build("resnet20", width=8, seed=0)
    made = plan(model, X, 0.4, **BRIEF)
    graph = ArchitectureGraph(model, X)
    space, r = Space(graph), torch.tensor(made.parameters["r"])
    assert made.method == "sacp"
    assert made.parameters["removed"] == space.ratio(r).item() >= 0.4
    for number, entry in enumerate(graph.entries):
        assert {len(made.keep[name]) for name in entry} == {space.kept(number, int(r[number]))}
    assert made.apply(model, X)(X).shape == (1, 10)
    assert PruningPlan.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert plan(model, X, 0.4, **BRIEF) == made


def test_without_evaluation_the_best_score_is_taken_and_with_it_the_best_accuracy():
    model, seen = small_net(), []
    by_score = plan(model, X, 0.3, **BRIEF)

    def size(network: nn.Module) -> float:
        seen.append(sum(parameter.numel() for parameter in network.parameters()))
        return float(seen[-1])

    smallest = plan(model, X, 0.3, evaluate=lambda network: -size(network), **BRIEF)
    assert len(seen) == 6
    assert smallest.parameters["accuracy"] == -min(seen)
    assert by_score.parameters["accuracy"] is None
    assert by_score.parameters["score"] >= smallest.parameters["score"]


def test_only_the_k_best_by_evaluation_are_finished():
    evaluated, finished = [], []

    def parameters(network: nn.Module) -> float:
        return float(sum(parameter.numel() for parameter in network.parameters()))

    def evaluate(network: nn.Module) -> float:
        evaluated.append(parameters(network))
        return evaluated[-1]

    def finish(network: nn.Module) -> float:
        finished.append(parameters(network))
        return -finished[-1]

    made = plan(small_net(), X, 0.3, evaluate=evaluate, finish=finish, **BRIEF)
    assert finished == sorted(evaluated, reverse=True)[:2]
    assert made.parameters["accuracy"] == -min(finished)


def test_a_plan_of_one_candidate_names_convolutions_that_stay_whole_as_well():
    graph, space, ranked = parts()
    made = plan_of(graph, space, ranked, torch.tensor([9, 0, 5]))
    assert made.widths == {"0": 12, "2": 16, "4": 20}
    assert [len(kept) for kept in made.keep.values()] == [1, 16, 10]
    heaviest = small_net()[4].weight.abs().sum(dim=(1, 2, 3)).argsort(descending=True)[:10]
    assert made.keep["4"] == sorted(heaviest.tolist())


def one_prunable_layer() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 4))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (small_net, {"m": 5, "k": 6}, "m is 5, but must be at least k, which is 6"),
        (small_net, {"k": 0}, "k is 0, but must be a whole number of at least 1"),
        (small_net, {"candidates": 5}, "m is 6, but must be at most 5, the number of candidates"),
        (small_net, {"tau": 0.95}, "tau is 0.95, but must be at most 0.9"),
        (small_net, {"loss": "triplet"}, "loss is 'triplet', but must be one of: infonce, as-printed"),
        (one_prunable_layer, {}, "the number of entries of the graph is 1, but must be at least 2"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(model, options, message):
    with pytest.raises(BadValue) as raised:
        plan(model(), X, **{"tau": 0.3, **BRIEF, **options})
    assert str(raised.value).startswith(message)
