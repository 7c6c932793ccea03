"""The Role-Information study: changes of a layer against networks built anew, draws by their rules, effects by hand."""

import copy
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook import cutting, features, models, roles, tracing
from prunebook.errors import BadValue
from prunebook.methods import mrp
from prunebook.report.roles import PRIMARY, effects
from prunebook.roles.experiment import _summary as summary

IMAGES = torch.randn(24, 3, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(24) % 10
HALVES = (IMAGES[:8], IMAGES[8:16])
LAYER = "layer2.1.conv1"
COMMUNITIES = [[0, 2, 4, 5], [1, 3], [6], [7]]


def network(name: str = "resnet20", **options: Any) -> nn.Module:
    """A narrow network with batch norms unlike those of a fresh one, and large logits, so that what they do shows."""
    model = models.build(name, seed=0, width=0.25, **options).eval()
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data = 0.5 + torch.rand(values.shape, generator=generator)
        if isinstance(module, nn.Linear):
            module.weight.data *= 20
    return model


def probe(model: nn.Module, layer: str = LAYER) -> roles.Probe:
    return roles.Probe(tracing.trace(model), layer, [(IMAGES, LABELS), (IMAGES[:5], LABELS[:5])])


def score(model: nn.Module, images: Tensor = IMAGES, labels: Tensor = LABELS) -> roles.Score:
    with torch.no_grad():
        logits = model(images)
    return roles.Score(F.cross_entropy(logits, labels).item(), 100 * (logits.argmax(1) == labels).float().mean().item())


def block(model: nn.Module) -> Any:
    return model.get_submodule(LAYER.removesuffix(".conv1"))


# What a probe changes


@pytest.mark.parametrize(
    ("name", "options", "layer"),
    [
        ("resnet20", {}, LAYER),
        ("resnet20", {"shortcut": "B"}, "layer3.0.conv1"),
        ("vgg16", {"hidden": False}, "features.7"),
        ("dice_cnn", {"hidden": 16}, "features.8"),
    ],
)
def test_a_network_without_filters_is_the_one_that_is_cut(name: str, options: dict[str, Any], layer: str) -> None:
    model = network(name, **options)
    wide = features.convolutions(model)[layer].out_channels
    pruned = cutting.cut(model, {layer: [c for c in range(wide) if c not in (1, 3)]}, IMAGES[:1])
    seen = probe(model, layer)
    assert seen.removed([1, 3]) == pytest.approx(score(pruned), rel=1e-5)
    assert seen.removed([1, 3], part=1) == pytest.approx(score(pruned, IMAGES[:5], LABELS[:5]), rel=1e-5)
    assert seen.unchanged() == pytest.approx(score(model), rel=1e-5)
    assert abs(seen.removed([1, 3]).loss - seen.unchanged().loss) > 1e-3


def test_a_stand_in_is_another_filter_s_weights_times_its_scale_and_an_offset() -> None:
    model = network()
    changed = copy.deepcopy(model)
    inside = block(changed)
    weight = inside.conv1.weight.data
    weight[1], weight[4] = -0.5 * weight[2].clone(), 2.0 * weight[0].clone()
    inside.bn1.running_mean[4] -= 0.3
    given = {1: roles.StandIn(2, -0.5, 0.0), 4: roles.StandIn(0, 2.0, 0.3)}
    assert probe(model).replaced(given) == pytest.approx(score(changed), rel=1e-5)


def test_a_swap_exchanges_what_the_next_layer_reads() -> None:
    model = network()
    changed = copy.deepcopy(model)
    reader = block(changed).conv2
    reader.weight.data = reader.weight.data[:, [0, 5, 2, 4, 3, 1, 6, 7]]
    assert probe(model).swapped([(1, 5), (4, 3)]) == pytest.approx(score(changed), rel=1e-5)


def test_maps_that_a_batch_norm_or_a_sum_reads_cannot_be_changed_one_by_one() -> None:
    dense = models.build("densenet40", seed=0, growth=4, layers=2)
    with pytest.raises(BadValue, match=r"what layer 'block1.0.conv' passes on is read by .*cat"):
        probe(dense, "block1.0.conv")
    with pytest.raises(BadValue, match=r"what layer 'layer1.0.conv2' passes on is read by .*add"):
        probe(network(), "layer1.0.conv2")


def test_a_probe_leaves_the_network_as_it_was() -> None:
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    seen = probe(model)
    assert seen.removed([0]) == seen.removed([0])
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options", "layer", "reader"),
    [("resnet20", {}, LAYER, "layer2.1.conv2"), ("vgg16", {"hidden": False}, "features.40", "classifier.0")],
)
def test_readers_are_the_weights_that_multiply_a_filter_s_maps(
    name: str, options: dict[str, Any], layer: str, reader: str
) -> None:
    model = network(name, **options)
    weight = model.get_submodule(reader).weight
    n = features.convolutions(model)[layer].out_channels
    found = roles.readers(tracing.trace(model), layer)
    assert weight.shape[1] == n
    for filter in (0, n - 1):
        assert found[filter] == pytest.approx(weight[:, filter].flatten().tolist())


def test_readers_of_groups_and_of_several_places_are_sorted_by_filter() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4, 5))
    images = torch.randn(2, 3, 2, 2)
    traced = tracing.trace(model)
    for layer, reads in (("0", "1"), ("1", "4")):
        found = roles.readers(traced, layer)
        changed = copy.deepcopy(model)
        made = changed[: int(reads)](images).detach()
        made[:, 3] = 0
        gone = model[int(reads)](model[: int(reads)](images)) - model[int(reads)](made)
        maps = model[: int(reads)](images)[:, 3] if made.dim() == 4 else None
        if maps is not None:
            told = np.tensordot(found[3], maps.detach().numpy(), 0)  # (outputs of its group, images, h, w)
            seen = gone.detach().numpy()[:, 3:]  # filters 2 and 3 are of the second group, outputs 3 to 5
            assert np.moveaxis(told, 0, 1) == pytest.approx(seen, abs=1e-6)
        else:
            assert found.shape == (6, 5 * 4)
            assert found[3] == pytest.approx(model[4].weight.detach()[:, 12:16].flatten().numpy())


# Likeness and what chance makes


def test_likeness_averages_pairs_within_and_between_communities() -> None:
    alike = np.array([[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0.4], [0.1, 0.3, 1, 0.8], [0.2, 0.4, 0.8, 1]])
    found = roles.likeness(alike, [[[0, 1], [2, 3]]])
    assert found["within"] == pytest.approx(0.85)
    assert found["between"] == found["across"] == pytest.approx(0.25)
    assert found["linked"] == found["any"] == pytest.approx(0.6)
    found = roles.likeness(alike, [[[0, 1], [2], [3]]])
    assert (found["within"], found["across"], found["linked"]) == (pytest.approx(0.9), None, None)
    assert found["between"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.4 + 0.8) / 5)
    assert roles.likeness(alike, [[[0], [1], [2], [3]]])["within"] is None


def test_contrasts_are_averaged_over_divisions_and_not_their_sides() -> None:
    alike = np.array([[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0.4], [0.1, 0.3, 1, 0.8], [0.2, 0.4, 0.8, 1]])
    found = roles.likeness(alike, [[[0, 1], [2, 3]], [[2, 3], [0], [1]]])
    assert found["within"] == pytest.approx((0.85 + 0.8) / 2)
    assert found["linked"] == pytest.approx(0.6)  # of the one that has it: 0.825 - 0.25 would be another


def test_random_vectors_have_the_spectrum_and_no_more() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(40, 3)) @ generator.normal(size=(3, 60)) + 0.3 * generator.normal(size=(40, 60))
    vectors[7] = 0
    cosines = mrp.cosines(torch.from_numpy(vectors)).numpy()
    found = roles.same_spectrum(cosines, 0)
    assert torch.equal(found, found.T)
    assert mrp.silent(found) == [7]
    assert not found[7].any()
    live = np.arange(40) != 7
    sizes = [alike[np.ix_(live, live)][np.triu_indices(39, 1)] for alike in (np.abs(cosines), found.numpy())]
    assert np.mean(sizes[1]) == pytest.approx(np.mean(sizes[0]), abs=0.05)
    assert abs(np.corrcoef(*sizes)[0, 1]) < 0.2  # who is like whom is chance
    assert not torch.equal(found, roles.same_spectrum(cosines, 1))
    apart = roles.same_spectrum(np.eye(40), 0)
    assert torch.allclose(apart, torch.eye(40, dtype=torch.float64), atol=1e-12)


def test_errors_of_maps_and_readers_that_are_alike_add_up() -> None:
    alike, apart = np.ones((3, 3)), np.eye(3)
    assert roles.adds_up(alike, alike, [0, 1, 2]) == pytest.approx(3)
    assert roles.adds_up(alike, apart, [0, 1, 2]) == roles.adds_up(apart, alike, [0, 1]) == pytest.approx(1)
    assert roles.adds_up(np.zeros((3, 3)), alike, [0, 1]) is None


def graph(edges: dict[tuple[int, int], float], n: int) -> np.ndarray:
    weights = np.zeros((n, n))
    for (i, j), weight in edges.items():
        weights[i, j] = weights[j, i] = weight
    return weights


def random_graph(n: int = 20, seed: int = 0) -> np.ndarray:
    drawn = np.triu(np.random.default_rng(seed).random((n, n)), 1)
    return np.where(drawn > 0.8, drawn, 0) + np.where(drawn > 0.8, drawn, 0).T


def test_a_random_graph_has_the_degrees_and_the_weights_of_the_first_and_other_edges() -> None:
    weights = random_graph()
    found = roles.rewired(weights, 0)
    assert found is not None
    assert (found == found.T).all()
    assert not found.diagonal().any()
    assert (np.count_nonzero(found, axis=0) == np.count_nonzero(weights, axis=0)).all()
    assert sorted(found[found > 0]) == sorted(weights[weights > 0])
    assert np.count_nonzero((found > 0) & (weights > 0)) < 0.6 * np.count_nonzero(weights)
    assert np.array_equal(found, roles.rewired(weights, 0))
    assert not np.array_equal(found, roles.rewired(weights, 1))


def test_all_graphs_of_the_same_degrees_are_equally_likely() -> None:
    square = graph({(0, 1): 1, (1, 2): 1, (2, 3): 1, (0, 3): 1}, 4)  # a ring of four: there are three of them
    drawn = Counter((roles.rewired(square, seed) > 0).tobytes() for seed in range(300))
    assert sorted(count > 75 for count in drawn.values()) == [True] * 3


@pytest.mark.parametrize(
    "weights",
    [
        graph({(0, 1): 1}, 4),
        graph({(0, 1): 1, (0, 2): 1, (0, 3): 1}, 5),  # a star
        graph({(i, j): 1 for i in range(4) for j in range(i + 1, 4)}, 6),  # all joined, and two alone
    ],
)
def test_where_no_edge_can_move_there_is_no_random_graph(weights: np.ndarray) -> None:
    assert roles.rewired(weights, 0) is None


# Draws


def drawn(function: Any, *arguments: Any, **options: Any) -> list[Any]:
    return [function(*arguments, generator=np.random.default_rng(seed), **options) for seed in range(40)]


def test_filters_of_one_community_leave_one_and_come_from_any_that_is_large_enough() -> None:
    several = [[0, 2, 4, 5], [1, 3, 8], [6], [7]]
    found = drawn(roles.from_one, several, 3)
    assert all(len(set(filters)) == (3 if set(filters) < {0, 2, 4, 5} else 2) for filters in found)
    assert {len(filters) for filters in found} == {2, 3}
    assert all(set(filters) < {0, 2, 4, 5} for filters in drawn(roles.from_one, several, 3, least=3))
    assert drawn(roles.from_one, [[0, 1], [2, 3], [4]], 2) == [None] * 40


def test_filters_across_are_one_of_each_community() -> None:
    community = {filter: number for number, members in enumerate(COMMUNITIES) for filter in members}
    found = drawn(roles.across, COMMUNITIES, 3)
    assert all(len({community[filter] for filter in filters}) == 3 for filters in found)
    assert {filter for filters in found for filter in filters} == set(range(8))
    assert drawn(roles.across, COMMUNITIES, 5) == [None] * 40


def test_filters_that_are_spread_are_taken_in_turns_and_leave_one_of_each() -> None:
    for lost, largest, second in (([0], 1, 0), ([0, 2], 1, 1), ([0, 2, 4, 5], 3, 1)):
        for filters in drawn(roles.spread, COMMUNITIES, lost, np.ones((8, 1))):
            counts = Counter(filter in COMMUNITIES[0] for filter in filters)
            assert len(set(filters)) == len(lost)
            assert not {6, 7}.intersection(filters)
            assert sorted((counts[True], counts[False])) == sorted((largest, second))
    assert drawn(roles.spread, COMMUNITIES, range(5), np.ones((8, 1))) == [None] * 40
    assert drawn(roles.spread, [[0, 1, 2], [3]], [0], np.ones((4, 1))) == [None] * 40


def test_filters_that_are_spread_are_as_large_as_those_of_one_community() -> None:
    communities = [list(range(10)), list(range(10, 20)), list(range(20, 30))]
    sizes = np.random.default_rng(0).uniform(0, 1, (30, 2))
    lost = [int(filter) for filter in np.argsort(-sizes[:10].sum(axis=1))[:4]]  # the largest four

    def gap(by: np.ndarray) -> float:
        found = drawn(roles.spread, communities, lost, by)
        return float(np.mean([np.abs(sizes[some].sum(0) / sizes[lost].sum(0) - 1).mean() for some in found]))

    assert gap(sizes) < 0.5 * gap(np.ones((30, 1)))


def test_pairs_are_of_one_community_or_of_two_and_share_no_filter() -> None:
    community = {filter: number for number, members in enumerate(COMMUNITIES) for filter in members}
    for pairs in drawn(roles.pairs_within, COMMUNITIES, 3):
        assert len({filter for pair in pairs for filter in pair}) == 6
        assert all(community[a] == community[b] for a, b in pairs)
    for pairs in drawn(roles.pairs_between, COMMUNITIES, [0, 2]):
        assert [a for a, _ in pairs] == [0, 2]
        assert len({filter for pair in pairs for filter in pair}) == 4
        assert all(community[a] != community[b] for a, b in pairs)
        assert not {6, 7}.intersection(b for _, b in pairs)
    assert drawn(roles.pairs_between, COMMUNITIES, [0, 2, 4]) == [None] * 40
    assert drawn(roles.pairs_within, [[0], [1]], 1) == [[]] * 40


def test_of_two_as_alike_to_a_filter_one_is_of_its_community() -> None:
    alike = np.zeros((8, 8))
    for i, j, value in ((0, 2, 0.8), (0, 4, 0.5), (0, 1, 0.77), (0, 3, 0.3), (0, 6, 0.8), (5, 2, 0.9)):
        alike[i, j] = alike[j, i] = value
    for found in drawn(roles.equally_alike, alike, COMMUNITIES, [0, 5]):
        # 1 is within 0.05 of 2; 6 would be nearer, but has no company. 5 is as little like 4 as like others.
        assert (found.inside[0], found.outside[0]) == (2, 1)
        assert (found.inside[5], alike[5, found.outside[5]]) == (4, 0)
    assert drawn(roles.equally_alike, alike[:6, :6], [[0, 2], [1, 3], [4, 5]], [2]) == [None] * 40
    for found in drawn(roles.equally_alike, np.zeros((8, 8)), COMMUNITIES, [0, 2, 1], number=2, once=True):
        places = [*found.inside, *found.inside.values(), *found.outside.values()]
        assert len(places) == len(set(places))
        assert len(found.inside) <= 2


def test_a_stand_in_has_the_scale_and_offset_of_least_squares() -> None:
    maps = np.random.default_rng(0).normal(size=(4, 30)) + np.array([[1.0], [2.0], [0.0], [5.0]])
    maps[3] = 5
    moments = roles.Moments(maps.mean(axis=1), np.cov(maps, bias=True))
    ((other, scale, offset),) = roles.stand_ins(moments, [2], [1], np.random.default_rng(0)).values()
    line = np.linalg.lstsq(np.column_stack([maps[1], np.ones(30)]), maps[2], rcond=None)[0]
    assert (other, scale, offset) == (1, pytest.approx(line[0]), pytest.approx(line[1]))
    assert roles.stand_ins(moments, [0], [3], np.random.default_rng(0)) == {0: (3, 0.0, pytest.approx(maps[0].mean()))}
    assert roles.stand_ins(moments, [0], [], np.random.default_rng(0)) is None
    assert moments.correlations()[0, 1] == pytest.approx(np.corrcoef(maps[:2])[0, 1])
    assert moments.correlations()[3].tolist() == [0, 0, 0, 0]


# The study


def with_doubles() -> nn.Module:
    """In one layer filters 0, 1 and 2 are the same, and so are 3 and 4; what reads them takes them alike."""
    model = network()
    inside = block(model)
    norm = inside.bn1
    for twin, original in ((1, 0), (2, 0), (4, 3)):
        for values in (inside.conv1.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
            values.data[twin] = values.data[original]
        inside.conv2.weight.data[:, twin] = inside.conv2.weight.data[:, original]
    return model


ALIKE = roles.Graphs(sparsify="threshold", threshold=0.999)


def test_doubles_play_one_role() -> None:
    model = with_doubles()
    (row,) = roles.study(model, HALVES, IMAGES, LABELS, [LAYER], ALIKE, share=0.25, draws=4, nulls=2)["layers"]
    assert (row["communities"], row["counts"], row["edges"]) == ([3, 2, 1, 1, 1], [5] * 4, 4)
    assert row["removed"] == [2] * 4  # of the three, as the two leave none to remove
    assert row["redundancy"] == pytest.approx(1 - 5 / 8)
    assert row["stability"] == row["agreement"] == 1
    for measure in ("maps", "weights", "readers"):
        assert row["likeness"][measure]["within"] == pytest.approx(1)
    assert row["likeness"]["maps"]["across"] < 0.999
    # Nobody else is as alike as a double, so nothing is left to compare at equal likeness.
    assert row["replaced"]["linked"] is row["swaps"]["linked"] is None
    assert row["replaced"]["any"][0] != pytest.approx(0, abs=1e-3)  # minus a stand-in that is none
    assert row["swaps"]["any"][0] != pytest.approx(0, abs=1e-4)
    # Whichever two of the three go, the network that is left is the same: but for parts of unequal size, a plain mean.
    pruned = score(cutting.cut(model, {LAYER: [0, 3, 4, 5, 6, 7]}, IMAGES[:1]))
    whole = score(model)
    assert row["removal"]["own"] == pytest.approx([pruned.loss - whole.loss, pruned.top1 - whole.top1], abs=1e-4)
    l1 = mrp.norms(block(model).conv1.weight)
    assert row["removal"]["gone"]["within"][0] == pytest.approx(2 * l1[0] / l1.sum(), abs=1e-5)
    assert row["removal"]["adds up"]["within"] == [pytest.approx(2)]  # the same error twice


def test_a_community_that_is_no_better_than_its_likeness_has_no_advantage_at_equal_likeness() -> None:
    """Both sides of (b') lose the same filters, and their stand-ins explain as much of them."""
    for row in roles.study(network(), HALVES, IMAGES, LABELS, draws=4, nulls=1)["layers"]:
        if row["replaced"]["linked"] is not None:
            explained = row["replaced"]["explained"]
            assert explained["inside"][0] == pytest.approx(explained["outside"][0], abs=0.1)


def test_a_random_graph_that_cannot_be_is_counted_out() -> None:
    (row,) = roles.study(with_doubles(), HALVES, IMAGES, LABELS, [LAYER], ALIKE, draws=2, nulls=3)["layers"]
    assert row["nulls"]["rewired"]["made"] == 3  # the triangle's edges and the pair's can change ends
    assert row["nulls"]["untrained"] is None
    alone = roles.Graphs(sparsify="threshold", threshold=1.0, measure="dice")
    (row,) = roles.study(network(), HALVES, IMAGES, LABELS, [LAYER], alone, draws=2, nulls=3)["layers"]
    assert (row["edges"], row["communities"], row["nulls"]) == (0, [1] * 8, dict.fromkeys(row["nulls"]))
    assert row["stability"] is None
    assert row["removed"] == [None, None]
    for test in ("removal", "replaced", "swaps"):
        assert {name for name, value in row[test].items() if name in ("linked", "any", "beyond") and value} == set()


def test_a_silent_filter_makes_a_layer_more_redundant() -> None:
    model = network()
    block(model).conv1.weight.data[3] = 0
    (layer,) = roles.examine(model, HALVES, [LAYER], roles.Graphs())
    assert layer.silent == [3]
    row = roles.study(model, HALVES, IMAGES, LABELS, [LAYER], draws=1, nulls=1, divisions=1)["layers"][0]
    assert row["redundancy"] == pytest.approx(1 - (len(layer.divisions[0]) - 1) / 8)
    assert [3] in layer.divisions[0]


def test_differences_are_averaged_over_draws_that_have_both_sides() -> None:
    """One draw lacks a side: its other side must not shift the mean."""
    both, half = {"a": [1.0, 0.0], "b": [0.5, 0.0]}, {"a": [9.0, 0.0], "b": None}
    real = [draw | {"any a": None, "any b": None} for draw in (both, half)]
    found = summary(real, [{"a": [2.0, 0.0], "b": [1.0, 0.0]}, {"a": [4.0, 0.0], "b": [1.0, 0.0]}], "a", "b")
    assert (found["linked"], found["own"], found["other"], found["any"]) == ([0.5, 0.0], [1.0, 0.0], [0.5, 0.0], None)
    assert found["null"] == [2.0, 0.0]
    assert found["beyond"] == [-0.5, 0.0]  # of the first draw alone
    assert found["draws"] == {"own": 1, "other": 1, "linked": 1, "any": 0, "null": 2, "beyond": 1}


def test_a_study_covers_the_layers_that_mrp_prunes_and_a_layer_s_draws_do_not_hang_on_its_neighbours() -> None:
    model = network()
    steps: list[tuple[int, int]] = []
    found = roles.study(model, HALVES, IMAGES, LABELS, draws=2, nulls=1, progress=lambda *step: steps.append(step))
    names = [row["layer"] for row in found["layers"]]
    assert names == [f"layer{stage}.{place}.conv1" for stage in (1, 2, 3) for place in (0, 1, 2)]
    assert steps == [(number, 9) for number in range(1, 10)]
    assert found["base"] == pytest.approx(score(model)._asdict(), abs=1e-4)
    again = roles.study(model, HALVES, IMAGES, LABELS, names[7:3:-1], draws=2, nulls=1)
    assert json.dumps(again["layers"]) == json.dumps(found["layers"][7:3:-1])
    other = roles.study(model, HALVES, IMAGES, LABELS, names[7:8], draws=2, nulls=1, seed=1)
    assert found["layers"][7] != other["layers"][0]


def test_untrained_networks_have_the_likeness_of_their_own_communities() -> None:
    fresh = [models.build("resnet20", seed=seed, width=0.25) for seed in (5, 6)]
    (row,) = roles.study(network(), HALVES, IMAGES, LABELS, [LAYER], draws=2, nulls=1, untrained=fresh)["layers"]
    assert row["nulls"]["untrained"]["made"] == 2
    contrasts, levels = [], []
    for seed, model in enumerate(fresh):
        first, second = (mrp.similarities(model, half, [LAYER])[LAYER] for half in HALVES)
        weights = mrp.filter_graph(first)
        communities = mrp.communities(weights, seed=seed)
        contrasts.append(roles.likeness(second.numpy(), [communities])["linked"])
        levels.append(mrp.modularity(weights, communities))
    known = [contrast for contrast in contrasts if contrast is not None]
    assert row["likeness"]["maps"]["untrained"] == (pytest.approx(np.mean(known), abs=1e-6) if known else None)
    assert row["nulls"]["untrained"]["modularity"] == pytest.approx(np.mean(levels), abs=1e-6)


def test_the_communities_are_those_of_the_first_half_and_likeness_is_the_second_s() -> None:
    model = network()
    (layer,) = roles.examine(model, HALVES, [LAYER], roles.Graphs(), (3, 4))
    first, second = (mrp.similarities(model, half, [LAYER])[LAYER] for half in HALVES)
    assert layer.divisions == [mrp.communities(mrp.filter_graph(first), seed=seed) for seed in (3, 4)]
    assert layer.others == mrp.communities(mrp.filter_graph(second), seed=3)
    assert np.array_equal(layer.alike["maps"], second.numpy())
    assert np.abs(layer.cosines) == pytest.approx(first.numpy(), abs=1e-9)
    inside = block(model)
    maps = features.maps(model, HALVES[0], [LAYER])[LAYER]
    rows = maps.transpose(0, 1).flatten(1).numpy()
    assert layer.moments.mean == pytest.approx(rows.mean(axis=1), rel=1e-4)
    assert layer.moments.covariance == pytest.approx(np.cov(rows, bias=True), rel=1e-3, abs=1e-5)
    with torch.no_grad():
        passed = torch.relu(inside.bn1(maps))
    assert layer.passed.diagonal() == pytest.approx(passed.square().mean((0, 2, 3)).numpy(), rel=1e-4)
    reads = inside.conv2.weight.detach().transpose(0, 1).flatten(1).double()
    assert layer.read == pytest.approx((reads @ reads.T).numpy())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"share": 1.0}, "share is 1.0, but must be a share of a layer's filters between 0 and 1"),
        ({"draws": 0}, "draws is 0, but must be a whole number of at least 1"),
        ({"nulls": -1}, "nulls is -1, but must be a whole number of at least 0"),
        ({"draws": 25}, "number of images is 24, but must be at least 25, one for each draw"),
        ({"layers": ["layer2.1.conv3"]}, "layer is 'layer2.1.conv3'.*did you mean 'layer2.1.conv1'"),
        ({"layers": []}, "layers is \\[\\], but must be at least one convolution"),
    ],
)
def test_what_cannot_be_studied_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        roles.study(network(), HALVES, IMAGES, LABELS, **options)


# Effects


def row(loss: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A layer in which filters of one community cost `loss` more than others, in each test."""
    alike = {"within": 0.8, "between": 0.2, "across": 0.5, "any": 0.6, "linked": 0.3, "rewired": 0.1}
    found: dict[str, Any] = {
        "modularity": 0.4,
        "nulls": {"rewired": {"modularity": 0.25}, "spectrum": {"modularity": 0.5}, "untrained": None},
        "likeness": {"maps": {**alike, "spectrum": 0.35, "untrained": None}},
    }
    for test in ("removal", "replaced", "swaps"):
        found[test] = {"linked": [loss, -2.0], "any": [loss + 0.1, -1.0], "beyond": [loss - 0.3, 0.0]}
    return found | changes


def named(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], Any]:
    return {(effect.test, effect.outcome, effect.against): effect for effect in effects(rows)}


LOSSES = (-0.1, -0.3, -0.2, -0.2, -0.1, -0.3, -0.2, -0.2)


def test_an_effect_is_the_mean_over_layers_of_one_side_minus_the_other() -> None:
    found = named([row(loss) for loss in LOSSES])
    removal = found["removal", "loss", "linked"]
    assert (removal.mean, removal.n, removal.agree) == (pytest.approx(-0.2), 8, 8)
    assert removal.d == pytest.approx(-0.2 / np.std(LOSSES, ddof=1))
    assert -0.3 <= removal.low <= -0.2 <= removal.high <= -0.1
    assert removal.p == pytest.approx(2 / 2**8)
    assert removal.as_predicted
    assert found["removal", "loss", "any"].mean == pytest.approx(-0.1)
    assert found["removal", "loss", "beyond"].mean == pytest.approx(-0.5)
    top1 = found["removal", "top1", "linked"]
    assert (top1.mean, top1.agree, top1.as_predicted) == (-2.0, 0, False)
    assert found["likeness: maps", "likeness", "linked"].mean == pytest.approx(0.3)
    assert found["likeness: maps", "likeness", "rewired"].mean == pytest.approx(0.2)
    assert found["likeness: maps", "likeness", "spectrum"].mean == pytest.approx(-0.05)
    assert found["structure", "modularity", "rewired"].mean == pytest.approx(0.15)
    assert found["structure", "modularity", "spectrum"].mean == pytest.approx(-0.1)
    assert found["structure", "modularity", "untrained"].n == 0


def test_an_interval_that_covers_zero_has_a_large_p() -> None:
    effect = named([row(loss) for loss in (-0.1, 0.12, -0.1, 0.1, 0.1, -0.1, 0.1, -0.1)])["swaps", "loss", "linked"]
    assert effect.low < 0 < effect.high
    assert effect.p > 0.5
    assert (effect.agree, effect.n) == (4, 8)


def test_layers_without_a_side_are_left_out_and_few_layers_have_a_mean_and_no_interval() -> None:
    without = row(5.0, removal={"linked": None, "any": [5.0, 0.0], "beyond": None})
    found = named([row(loss) for loss in LOSSES[:7]] + [without])
    effect = found["removal", "loss", "linked"]
    assert (effect.n, effect.agree, effect.mean) == (7, 7, pytest.approx(np.mean(LOSSES[:7])))
    assert np.isnan([effect.low, effect.high, effect.d, effect.p]).all()
    assert found["removal", "loss", "any"].n == 8
    assert not np.isnan(found["removal", "loss", "any"].p)


def test_every_comparison_that_decides_is_made() -> None:
    rows = roles.study(network(), HALVES, IMAGES, LABELS, draws=2, nulls=1)["layers"]
    made = {(effect.test.split(":")[0], effect.against) for effect in effects(rows)}
    assert set(PRIMARY.items()) <= made
    found = named(rows)
    contrasts = [r["likeness"]["maps"]["linked"] for r in rows if r["likeness"]["maps"]["linked"] is not None]
    assert found["likeness: maps", "likeness", "linked"].mean == pytest.approx(np.mean(contrasts))
