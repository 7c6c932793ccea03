import re

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebook import cutting, measure, models
from prunebook.errors import BadValue
from prunebook.methods import architecture, kcore


def random_similarity(n: int, seed: int) -> torch.Tensor:
    """Similarities on a coarse grid, so that ties with tau happen."""
    values = torch.randint(0, 21, (n, n), generator=torch.Generator().manual_seed(seed)) / 20
    upper = values.triu(1)
    return upper + upper.T + torch.eye(n)


def literal_select(similarity: torch.Tensor, score: list[float], tau: float, edge: str) -> list[int]:
    """Algorithm 2 as printed, on networkx: k counts down from the largest degree."""
    n = len(similarity)
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    for i in range(n):
        for j in range(i + 1, n):
            s = similarity[i, j].item()
            if s > tau or (edge == ">=" and s == tau):
                graph.add_edge(i, j)
    while graph.number_of_edges():
        k = max(degree for _, degree in graph.degree())
        while k > 0 and nx.k_core(graph, k).number_of_nodes() == 0:
            k -= 1
        core = nx.k_core(graph, k)
        for component in [sorted(c) for c in nx.connected_components(core)]:
            best = max(component, key=lambda v: (score[v], -v))
            graph.remove_nodes_from(set(component) - {best})
    return sorted(graph.nodes)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 24), seed=st.integers(0, 10**6), tau=st.sampled_from([0.0, 0.3, 0.5, 0.65, 0.8, 1.0]),
       edge=st.sampled_from([">=", ">"]))  # fmt: skip
def test_select_equals_algorithm_2_on_networkx(n, seed, tau, edge):
    similarity = random_similarity(n, seed).double()
    score = torch.randint(0, 6, (n,), generator=torch.Generator().manual_seed(seed + 1)).tolist()
    assert kcore.select(similarity, score, tau, edge) == literal_select(similarity, score, tau, edge)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 40), seed=st.integers(0, 10**6), tau=st.floats(0, 1))
def test_no_two_filters_that_stay_are_redundant_and_one_always_stays(n, seed, tau):
    similarity = random_similarity(n, seed)
    kept = kcore.select(similarity, torch.arange(n), tau)
    among = similarity[kept][:, kept] - 2 * torch.eye(len(kept))
    assert kept
    assert (among.double() < tau).all()


def test_select_on_a_graph_that_one_can_follow_by_eye():
    # A clique 0-1-2-3, its member 3 joined to 4, and a pair 5-6. The clique keeps 0, so 4 loses its only neighbour.
    similarity = torch.eye(7)
    for i, j in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (3, 4), (5, 6)]:
        similarity[i, j] = similarity[j, i] = 0.9
    score = [9, 1, 1, 1, 1, 2, 3]
    assert [(r.k, r.components, r.kept) for r in kcore.rounds(similarity, score, 0.7)] == [
        (3, [[0, 1, 2, 3]], [0]),
        (1, [[5, 6]], [6]),
    ]
    assert kcore.select(similarity, score, 0.7) == [0, 4, 6]
    # Had 3 been the best of the clique, its edge to 4 would have lived on, and one of the two gone later.
    assert kcore.select(similarity, [0, 1, 1, 9, 1, 2, 3], 0.7) == [3, 6]


def test_equal_scores_keep_the_first_filter():
    assert kcore.select(torch.ones(5, 5), [1.0] * 5, 0.7) == [0]


def test_the_edge_rule_decides_on_a_similarity_of_exactly_tau():
    similarity = torch.tensor([[1.0, 0.7], [0.7, 1.0]], dtype=torch.float64)
    assert kcore.select(similarity, [1, 2], 0.7, edge=">=") == [1]
    assert kcore.select(similarity, [1, 2], 0.7, edge=">") == [0, 1]


def test_entropy_equals_numpy_histograms():
    maps = torch.randn(6, 4, 5, 7, generator=torch.Generator().manual_seed(1)).double()
    for bins in (2, 16, 256):
        expected = []
        for filter in maps.transpose(0, 1).flatten(1).numpy():
            share = np.histogram(filter, bins=bins)[0] / filter.size
            expected.append(-sum(p * np.log(p) for p in share if p > 0))
        assert kcore.entropy(maps, bins).tolist() == pytest.approx(expected, abs=1e-12)


def test_entropy_is_zero_for_a_constant_and_log_of_bins_for_an_even_spread():
    constant = torch.full((2, 1, 3, 3), 4.2)
    spread = torch.arange(256.0).reshape(1, 1, 16, 16)
    found = kcore.entropy(torch.cat([spread, constant.reshape(-1)[:1].expand(1, 1, 16, 16)], dim=1))
    assert found[0].item() == pytest.approx(np.log(256))
    assert found[1].item() == 0


def test_degrees_count_the_redundant_partners():
    similarity = torch.tensor([[1, 0.9, 0.9], [0.9, 1, 0.1], [0.9, 0.1, 1]])
    assert kcore.degrees(similarity, 0.7).tolist() == [2, 1, 1]


def images(n: int = 8) -> torch.Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("shortcut", "deciders"), [
    ("A", ["conv1", "layer2.0.conv2", "layer3.0.conv2"]),
    ("B", ["conv1", "layer2.0.shortcut.0", "layer3.0.shortcut.0"]),
    ("conv3", ["conv1", "layer2.0.shortcut.0", "layer3.0.shortcut.0"]),
])  # fmt: skip
def test_the_stem_and_the_shortcuts_decide_for_their_stage(shortcut, deciders):
    model = models.build("resnet20", shortcut=shortcut, seed=0, width=0.5).eval()
    keep = kcore.plan(model, images(), 0.6).keep
    for stage, decider in enumerate(deciders, start=1):
        followers = [f"layer{stage}.{block}.conv2" for block in range(3)]
        assert all(keep[name] == keep[decider] for name in followers), stage
        own = kcore.plan(model, images(), 0.6, coupled="keep").keep[decider]
        assert own == list(range(len(own)))  # left whole: the decision above was the leader's
        assert len(keep[decider]) < len(own)


def test_every_score_gives_a_plan_of_its_own_on_the_same_graph():
    model = models.build("vgg16", seed=0, width=0.25).eval()
    plans = {score: kcore.plan(model, images(), 0.7, score=score, seed=1) for score in kcore.SCORES}
    kept = {score: [tuple(k) for k in plan.keep.values()] for score, plan in plans.items()}
    assert len({tuple(k) for k in kept.values()}) == len(kcore.SCORES)
    assert kcore.plan(model, images(), 0.7, score="random", seed=2).keep != plans["random"].keep


def test_the_same_seed_gives_the_same_plan_and_the_global_generator_is_not_used():
    model = models.build("resnet20", seed=0, width=0.5).eval()
    first = kcore.plan(model, images(), 0.7, score="random", seed=5)
    state = torch.random.get_rng_state()
    assert kcore.plan(model, images(), 0.7, score="random", seed=5) == first
    assert torch.equal(torch.random.get_rng_state(), state)


def test_planning_leaves_the_network_as_it_was():
    model = models.build("resnet20", seed=0, width=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kcore.plan(model, images(), 0.7, mode="train")
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tau": 1.5}, "tau is 1.5, but must be a number from 0 to 1"),
        ({"tau": float("nan")}, "tau is nan"),
        ({"tau": 0.7, "score": "entropie"}, "did you mean 'entropy'?"),
        ({"tau": 0.7, "edge": "=>"}, "edge is '=>'"),
        ({"tau": 0.7, "hash": "phash"}, "hash is 'phash'"),
        ({"tau": 0.7, "bins": 1}, "bins is 1"),
    ],
)
def test_bad_options_are_refused_before_the_network_runs(options, words):
    class NeverRun(torch.nn.Conv2d):
        def forward(self, *_):
            raise AssertionError("the network ran")

    with pytest.raises(BadValue) as refusal:
        kcore.plan(NeverRun(3, 4, 3), images(), **options)
    assert words in str(refusal.value)


def literal_entropy(maps, bins, pooling, over):
    """Eq. 3 by numpy's histogram, filter by filter and, where asked, image by image."""
    values = maps.double().numpy()
    found = []
    for i in range(values.shape[1]):
        seen = values if over == "layer" else values[:, i]
        edges = (seen.min(), seen.max() if seen.max() > seen.min() else seen.min() + 1)
        groups = [values[:, i]] if pooling == "all" else list(values[:, i])
        each = []
        for group in groups:
            p = np.histogram(group, bins=bins, range=edges)[0] / group.size
            each.append(-(p[p > 0] * np.log(p[p > 0])).sum())
        found.append(np.mean(each))
    return np.array(found)


@pytest.mark.parametrize("pooling", kcore.POOLINGS)
@pytest.mark.parametrize("over", kcore.RANGES)
@pytest.mark.parametrize("bins", [2, 16, 256])
def test_every_entropy_estimate_equals_a_literal_one(pooling, over, bins):
    # Eighths, so that an activation falls on the same side of a bin's edge whichever way the edge is computed.
    maps = torch.randint(-40, 40, (5, 4, 6, 6), generator=torch.Generator().manual_seed(bins)) / 8
    maps[:, 2] = 1.5
    mine = kcore.entropy(maps, bins, pooling, over)
    np.testing.assert_allclose(mine.numpy(), literal_entropy(maps, bins, pooling, over), atol=0.02 if bins > 2 else 0.05)
    assert mine[2] == 0


def test_pooled_images_and_single_images_tell_a_switching_filter_from_a_varied_one():
    switching = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])[:, None]  # constant in each image
    assert kcore.entropy(switching, 2).item() == pytest.approx(np.log(2))
    assert kcore.entropy(switching, 2, pooling="image").item() == 0


@pytest.mark.parametrize("thresholds", kcore.THRESHOLDS)
@pytest.mark.parametrize("score", ["entropy", "degree", "random"])
def test_a_target_is_met_and_what_the_plan_says_of_it_is_what_the_cut_network_costs(score, thresholds):
    model = models.build("resnet20", seed=0, width=0.5).eval()
    x = images()
    plan = kcore.plan(model, x, target=0.5, score=score, thresholds=thresholds)
    before, after = (measure.cost(net, x[:1]).macs for net in (model, plan.apply(model, x[:1])))
    assert plan.parameters["removed"] == pytest.approx(1 - after / before, abs=1e-12)
    assert plan.parameters["removed"] == pytest.approx(0.5, abs=0.04)  # layers of 8 filters are coarse
    assert plan.parameters["target"] == 0.5


def test_a_global_target_is_the_plan_of_the_tau_that_it_names():
    model = models.build("vgg16", seed=0, width=0.125).eval()
    plan = kcore.plan(model, images(), target=0.4)
    assert kcore.plan(model, images(), plan.parameters["tau"]).keep == plan.keep


def test_one_threshold_per_layer_leaves_every_layer_about_the_same_share():
    model = models.build("vgg16", seed=0, width=0.25).eval()
    shares = {}
    for thresholds in kcore.THRESHOLDS:
        plan = kcore.plan(model, images(), target=0.5, thresholds=thresholds)
        shares[thresholds] = np.std([len(kept) / plan.widths[name] for name, kept in plan.keep.items()])
    assert shares["layer"] < shares["global"] / 2


def test_a_whole_layer_as_scope_keeps_as_many_filters_and_the_best_of_all():
    model = models.build("vgg16", seed=0, width=0.25).eval()
    core, whole = (kcore.plan(model, images(), 0.7, scope=scope, score="l1") for scope in kcore.SCOPES)
    assert {n: len(k) for n, k in core.keep.items()} == {n: len(k) for n, k in whole.keep.items()}
    for name, kept in whole.keep.items():
        norms = model.get_parameter(f"{name}.weight").detach().abs().flatten(1).sum(1)
        assert set(kept) == set(norms.argsort(descending=True, stable=True)[: len(kept)].tolist())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "neither is given"),
        ({"tau": 0.7, "target": 0.5}, "tau 0.7 and target 0.5"),
        ({"target": 50}, "such as 0.5"),
        ({"target": 0.9999}, "at most 0."),
        ({"tau": 0.7, "thresholds": "layer"}, "global"),
        ({"tau": 0.7, "scope": "cor"}, "core"),
        ({"tau": 0.7, "pooling": "images"}, "image"),
    ],
)
def test_plan_refuses_what_does_not_go_together(options, words):
    with pytest.raises(BadValue, match=re.escape(words)):
        kcore.plan(models.build("resnet20", seed=0, width=0.25), images(), **options)


@pytest.mark.parametrize("arch", ["resnet20", "vgg16", "densenet40"])
def test_macs_counted_without_cutting_are_those_of_the_cut_network(arch):
    model = models.build(arch, seed=0, **({"growth": 4} if arch == "densenet40" else {"width": 0.25}))
    x = images()[:1]
    generator = np.random.default_rng(0)
    groups = cutting.coupled_layers(model, x)
    count = cutting.macs_if_kept(model, x, [group[0] for group in groups])
    keep = {}
    for group in groups:
        wide = cutting.width(model.get_submodule(group[0]))
        keep[group[0]] = sorted(generator.choice(wide, generator.integers(1, wide + 1), replace=False).tolist())
    assert count({}) == measure.cost(model, x).macs
    assert count(keep) == measure.cost(cutting.cut(model, keep, x), x).macs


def test_a_densenets_later_layers_are_pruned_with_a_higher_threshold_and_its_transitions_pass_on_what_they_read():
    model = models.build("densenet40", seed=0, growth=4).eval()
    plan = kcore.plan(model, images(), 0.6)
    rules = architecture.rules(model)
    for transition, sources in rules.transition_inputs.items():
        assert len(plan.keep[transition]) == sum(len(plan.keep[source]) for source in sources)
    assert rules.rise
    smaller = plan.apply(model, images()[:1])
    assert smaller(images()).shape == (len(images()), 10)


def test_who_decides_for_a_stage_is_the_shortcut_the_main_path_or_nobody():
    group = ["layer2.0.shortcut.0", "layer2.0.conv2", "layer2.1.conv2"]
    assert kcore.lead(group) == "layer2.0.shortcut.0"
    assert kcore.lead(group, "main") == "layer2.0.conv2"
    assert kcore.lead(["conv1", "layer1.0.conv2"], "main") == "conv1"
    model = models.build("resnet20", seed=0, width=0.5, shortcut="conv3").eval()
    plans = {coupled: kcore.plan(model, images(), 0.6, coupled=coupled).keep for coupled in kcore.COUPLED}
    assert plans["lead"]["layer2.0.conv2"] == plans["lead"]["layer2.0.shortcut.0"]
    assert plans["main"]["layer2.0.conv2"] == plans["main"]["layer2.0.shortcut.0"]
    assert plans["main"] != plans["lead"]
    assert len(plans["keep"]["layer2.0.conv2"]) == 16


def test_a_target_that_no_threshold_comes_near_is_refused():
    model = models.build("resnet20", seed=0, width=0.5).eval()
    with pytest.raises(BadValue, match="the nearest is"):  # all filters of a layer are alike at once
        kcore.plan(model, torch.zeros(2, 3, 32, 32), target=0.4)
