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
from prunebook.report.roles import effects

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


def test_a_stand_in_is_another_filter_s_weights_times_its_scale() -> None:
    model = network()
    changed = copy.deepcopy(model)
    weight = block(changed).conv1.weight.data
    weight[1], weight[4] = -0.5 * weight[2].clone(), 2.0 * weight[0].clone()
    assert probe(model).replaced({1: (2, -0.5), 4: (0, 2.0)}) == pytest.approx(score(changed), rel=1e-5)


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


# Likeness and random graphs


def test_likeness_averages_pairs_within_and_between_communities() -> None:
    alike = np.array([[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0.4], [0.1, 0.3, 1, 0.8], [0.2, 0.4, 0.8, 1]])
    found = roles.likeness(alike, [[0, 1], [2, 3]])
    assert found["within"] == [pytest.approx(0.85), 2]
    assert found["between"] == found["linked"] == [pytest.approx(0.25), 4]
    found = roles.likeness(alike, [[0, 1], [2], [3]])
    assert (found["within"], found["linked"]) == ([pytest.approx(0.9), 1], None)
    assert found["between"] == [pytest.approx((0.1 + 0.2 + 0.3 + 0.4 + 0.8) / 5), 5]
    assert roles.likeness(alike, [[0], [1], [2], [3]])["within"] is None


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


def test_filters_of_one_community_leave_one_of_the_largest() -> None:
    found = drawn(roles.from_one, COMMUNITIES, 3)
    assert all(len(set(filters)) == 3 and set(filters) < {0, 2, 4, 5} for filters in found)
    assert len({tuple(sorted(filters)) for filters in found}) == 4
    assert drawn(roles.from_one, COMMUNITIES, 4) == [None] * 40


def test_filters_of_different_communities_are_one_of_each() -> None:
    community = {filter: number for number, members in enumerate(COMMUNITIES) for filter in members}
    found = drawn(roles.from_different, COMMUNITIES, 3)
    assert all(len({community[filter] for filter in filters}) == 3 for filters in found)
    assert {filter for filters in found for filter in filters} == set(range(8))
    assert drawn(roles.from_different, COMMUNITIES, 5) == [None] * 40


def test_filters_with_company_are_taken_in_turns_and_leave_one_of_each() -> None:
    for r, largest, second in ((1, 1, 0), (2, 1, 1), (4, 3, 1)):
        for filters in drawn(roles.from_linked, COMMUNITIES, r):
            counts = Counter(filter in COMMUNITIES[0] for filter in filters)
            assert len(set(filters)) == r
            assert not {6, 7}.intersection(filters)
            assert sorted((counts[True], counts[False])) == sorted((largest, second))
    assert drawn(roles.from_linked, COMMUNITIES, 5) == [None] * 40
    assert drawn(roles.from_linked, [[0, 1, 2], [3]], 1) == [None] * 40


def test_pairs_are_of_one_community_or_of_two_and_share_no_filter() -> None:
    community = {filter: number for number, members in enumerate(COMMUNITIES) for filter in members}
    for pairs in drawn(roles.pairs_within, COMMUNITIES, 3):
        assert len({filter for pair in pairs for filter in pair}) == 6
        assert all(community[a] == community[b] for a, b in pairs)
    for linked in (False, True):
        for pairs in drawn(roles.pairs_between, COMMUNITIES, [0, 2], linked=linked):
            assert [a for a, _ in pairs] == [0, 2]
            assert len({filter for pair in pairs for filter in pair}) == 4
            assert all(community[a] != community[b] for a, b in pairs)
            assert not linked or not {6, 7}.intersection(b for _, b in pairs)
    assert drawn(roles.pairs_between, COMMUNITIES, [0, 2, 4], linked=True) == [None] * 40
    assert drawn(roles.pairs_within, [[0], [1]], 1) == [[]] * 40


def test_a_stand_in_has_the_scale_of_least_squares_and_the_nearest_explains_most() -> None:
    maps = np.random.default_rng(0).normal(size=(5, 30))
    maps[4] = -3 * maps[0] + 0.1 * maps[1]
    maps[3] = 0
    products = maps @ maps.T
    ((other, scale),) = roles.stand_ins(products, [2], [1], np.random.default_rng(0)).values()
    assert other == 1
    assert scale == pytest.approx(np.linalg.lstsq(maps[[1]].T, maps[2], rcond=None)[0][0])
    assert roles.nearest(products, [0])[0] == (4, pytest.approx(np.linalg.lstsq(maps[[4]].T, maps[0], rcond=None)[0][0]))
    assert roles.nearest(products, [0, 4])[0][0] != 4
    assert roles.stand_ins(products, [0], [3], np.random.default_rng(0)) == {0: (3, 0.0)}
    assert roles.stand_ins(products, [0], [], np.random.default_rng(0)) is None


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
    assert (row["communities"], row["edges"], row["removed"]) == ([3, 2, 1, 1, 1], 4, 2)
    assert row["redundancy"] == pytest.approx(1 - 5 / 8)
    assert row["stability"] == 1
    assert row["likeness"]["maps"]["within"] == row["likeness"]["weights"]["within"] == [pytest.approx(1), 4]
    assert row["likeness"]["maps"]["between"][0] < 0.999
    assert row["replaced"]["inside"] == row["replaced"]["nearest"] == pytest.approx([0, 0], abs=1e-5)
    assert row["replaced"]["outside"][0] != pytest.approx(0, abs=1e-3)
    assert row["explained"]["inside"] == [pytest.approx(1)]
    assert row["swaps"]["within"] == pytest.approx([0, 0], abs=1e-5)
    assert row["swaps"]["between"][0] != pytest.approx(0, abs=1e-4)
    # Whichever two of the three go, the network that is left is the same: but for parts of unequal size, a plain mean.
    pruned = score(cutting.cut(model, {LAYER: [0, 3, 4, 5, 6, 7]}, IMAGES[:1]))
    whole = score(model)
    assert row["removal"]["within"] == pytest.approx([pruned.loss - whole.loss, pruned.top1 - whole.top1], abs=1e-4)
    l1 = mrp.norms(block(model).conv1.weight)
    assert row["gone"]["within"][0] == pytest.approx(2 * l1[0] / l1.sum(), abs=1e-5)


def test_a_random_graph_that_cannot_be_is_counted_out() -> None:
    (row,) = roles.study(with_doubles(), HALVES, IMAGES, LABELS, [LAYER], ALIKE, draws=2, nulls=3)["layers"]
    assert row["nulls"] == {"made": 3, "moved": row["nulls"]["moved"]}  # the triangle's edges and the pair's can change ends
    alone = roles.Graphs(sparsify="threshold", threshold=1.0, measure="dice")
    (row,) = roles.study(network(), HALVES, IMAGES, LABELS, [LAYER], alone, draws=2, nulls=3)["layers"]
    assert (row["edges"], row["communities"], row["nulls"]) == (0, [1] * 8, {"made": 0, "moved": None})
    assert row["stability"] is None
    assert row["removal"]["within"] is None
    assert row["removal"]["across"] is not None
    assert set(row["replaced"].values()) == set(row["swaps"].values()) == {None}
    assert row["removal"]["null_within"] is row["removal"]["null_across"] is row["swaps"]["null_between"] is None


def test_a_study_covers_the_layers_that_mrp_prunes_and_repeats_itself() -> None:
    model = network()
    steps: list[tuple[int, int]] = []
    found = roles.study(model, HALVES, IMAGES, LABELS, draws=2, nulls=1, progress=lambda *step: steps.append(step))
    names = [row["layer"] for row in found["layers"]]
    assert names == [f"layer{stage}.{place}.conv1" for stage in (1, 2, 3) for place in (0, 1, 2)]
    assert steps == [(number, 9) for number in range(1, 10)]
    assert found["base"] == pytest.approx(score(model)._asdict(), abs=1e-4)
    again = roles.study(model, HALVES, IMAGES, LABELS, draws=2, nulls=1)
    assert json.dumps(found) == json.dumps(again)
    other = roles.study(model, HALVES, IMAGES, LABELS, draws=2, nulls=1, seed=1)
    assert found != other


def test_the_communities_are_those_of_the_first_half_and_likeness_is_the_second_s() -> None:
    model = network()
    (layer,) = roles.examine(model, HALVES, [LAYER], roles.Graphs())
    first, second = (mrp.similarities(model, half, [LAYER])[LAYER] for half in HALVES)
    assert layer.communities == mrp.communities(mrp.filter_graph(first))
    assert layer.others == mrp.communities(mrp.filter_graph(second))
    assert np.array_equal(layer.alike["maps"], second.numpy())
    inside = block(model)
    maps = features.maps(model, HALVES[0], [LAYER])[LAYER]
    assert layer.products[1, 2] == pytest.approx(float((maps[:, 1] * maps[:, 2]).sum()), rel=1e-4)
    with torch.no_grad():
        passed = torch.relu(inside.bn1(maps))
    assert layer.activity == pytest.approx(passed.square().mean((0, 2, 3)).numpy(), rel=1e-4)


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
    found: dict[str, Any] = {
        "likeness": {
            measure: {"within": [0.8, 3], "between": [0.2, 9], "linked": [0.5, 4], "null_within": 0.4, "null_between": 0.3}
            for measure in mrp.MEASURES
        },
        "removal": {
            **{"within": [loss, -2.0], "across": [0.0, -1.0], "linked": [0.1, -2.0]},
            **{"null_within": [0.5, 0.0], "null_across": [0.2, 0.0]},
        },
        "gone": {"within": [0.3, 0.2], "across": [0.2, 0.2], "linked": [0.2, 0.2]},
        "replaced": {
            **{"inside": [loss, 0.0], "outside": [0.0, 0.0], "linked": None, "nearest": [0.0, 0.0]},
            **{"null_inside": [0.0, 0.0], "null_outside": [0.0, 0.0]},
        },
        "swaps": {
            **{"within": [loss, 0.0], "between": [0.0, 0.0], "linked": None},
            **{"null_within": None, "null_between": None},
        },
    }
    return found | changes


def named(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], Any]:
    return {(effect.test, effect.outcome, effect.against): effect for effect in effects(rows)}


def test_an_effect_is_the_mean_over_layers_of_one_side_minus_the_other() -> None:
    found = named([row(loss) for loss in (-0.1, -0.3, -0.2)])
    removal = found["removal", "loss", "across"]
    assert (removal.mean, removal.n, removal.agree) == (pytest.approx(-0.2), 3, 3)
    assert removal.d == pytest.approx(-0.2 / 0.1)
    assert -0.3 <= removal.low <= -0.2 <= removal.high <= -0.1
    assert removal.holds is True
    assert found["removal", "loss", "linked"].mean == pytest.approx(-0.3)
    assert found["removal", "loss", "null"].mean == pytest.approx(-0.2 - (0.5 - 0.2))
    top1 = found["removal", "top1", "across"]
    assert (top1.mean, top1.agree, top1.holds) == (-1.0, 0, False)
    assert found["likeness: maps", "likeness", "between"].mean == pytest.approx(0.6)
    assert found["likeness: maps", "likeness", "linked"].mean == pytest.approx(0.3)
    assert found["likeness: maps", "likeness", "null"].mean == pytest.approx(0.6 - 0.1)


def test_an_interval_that_covers_zero_decides_nothing() -> None:
    effect = named([row(loss) for loss in (-0.1, 0.12, -0.1, 0.1)])["swaps", "loss", "between"]
    assert effect.low < 0 < effect.high
    assert (effect.holds, effect.agree, effect.n) == (None, 2, 4)


def test_layers_without_a_side_are_left_out_and_few_layers_give_no_interval() -> None:
    without = row(5.0, removal={**row()["removal"], "across": None, "null_within": None})
    found = named([row(-0.1), row(-0.2), without])
    effect = found["removal", "loss", "across"]
    assert (effect.n, effect.agree, effect.holds) == (2, 2, None)
    assert np.isnan([effect.mean, effect.low, effect.high, effect.d]).all()
    assert found["removal", "loss", "linked"].n == 3
    assert found["replaced", "loss", "linked"].n == found["swaps", "loss", "null"].n == 0


def test_at_equal_norms_what_the_norms_explain_is_taken_off() -> None:
    shares = [(0.1 * (place % 5), 0.1 * (place * place % 7)) for place in range(12)]
    rows = [
        row(
            -0.5 + 2 * l1 + 3 * activity,
            gone={"within": [0.1 + l1, 0.2 + activity], "across": [0.1, 0.2], "linked": None},
        )
        for l1, activity in shares
    ]
    effect = named(rows)["removal", "loss", "equal norms"]
    assert (effect.mean, effect.low, effect.high) == (pytest.approx(-0.5),) * 3
    assert (effect.n, effect.agree) == (12, 12)
    assert named(rows)["removal", "loss", "across"].mean > 0
    assert np.isnan(named(rows[:11])["removal", "loss", "equal norms"].mean)


def test_effects_of_a_study_are_those_of_its_rows() -> None:
    rows = roles.study(network(), HALVES, IMAGES, LABELS, draws=2, nulls=1)["layers"]
    found = named(rows)
    within = [r["likeness"]["maps"]["within"][0] - r["likeness"]["maps"]["between"][0] for r in rows]
    assert found["likeness: maps", "likeness", "between"].mean == pytest.approx(np.mean(within))
