"""How alike filters are, and which of them a graph joins."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prunebook import features, phash
from prunebook.errors import BadValue
from prunebook.methods import dice, mrp


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3, bias=False))


def images(m: int = 3) -> Tensor:
    return torch.randn(m, 2, 8, 8, generator=torch.Generator().manual_seed(1))


def literal_cosines(rows: list[list[float]]) -> list[list[float]]:
    """Absolute cosines of each two rows, one product after another; 0 for a row of zeros and any, itself included."""
    found = [[float(any(a))] * len(rows) for a in rows]
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if i != j:
                lengths = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(y * y for y in b))
                found[i][j] = abs(math.fsum(x * y for x, y in zip(a, b, strict=True))) / lengths if lengths else 0.0
    return found


def literal_graph(alike: list[list[Fraction]], joined) -> list[list[float]]:
    n = len(alike)
    return [[float(alike[i][j]) if i != j and joined(i, j) and alike[i][j] > 0 else 0.0 for j in range(n)] for i in range(n)]


def matrix(n: int, seed: int, levels: int = 8) -> Tensor:
    """Eighths, so that likenesses tie and are exact."""
    values = torch.randint(0, levels + 1, (n, n), generator=torch.Generator().manual_seed(seed)).double() / levels
    upper = values.triu(1)
    return upper + upper.T + torch.eye(n, dtype=torch.float64)


def exact(alike: Tensor) -> list[list[Fraction]]:
    return [[Fraction(value) for value in row] for row in alike.tolist()]


@pytest.mark.parametrize("layer", ["0", "3"])
def test_likeness_of_maps_is_the_absolute_cosine_over_all_places_of_all_images(layer):
    model = network().eval()
    maps = features.maps(model.double(), images().double(), [layer])[layer]
    rows = [maps[:, filter].flatten().tolist() for filter in range(maps.shape[1])]
    found = mrp.similarities(network().eval(), images(), [layer])[layer]
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), literal_cosines(rows), atol=1e-12)


def test_likeness_of_weights_is_their_absolute_cosine_and_needs_no_images():
    model = network()
    rows = model[3].weight.detach().double().flatten(1).tolist()
    found = mrp.similarities(model, None, ["3"], "weights")["3"]
    np.testing.assert_allclose(found.numpy(), literal_cosines(rows), atol=1e-12)


def test_the_projects_own_measures_are_taken_as_they_are():
    model = network().eval()
    maps = features.maps(network().eval().double(), images().double())
    hashed = mrp.similarities(model, images(), ["0", "3"], "phash")
    overlaps = mrp.similarities(model, images(), ["0", "3"], "dice")
    for name in ("0", "3"):
        assert torch.equal(hashed[name], phash.similarity(phash.hashes(maps[name])))
        weight = model.get_submodule(name).weight.detach()
        assert torch.equal(overlaps[name], dice.similarity(weight.double()))


@pytest.mark.parametrize("measure", mrp.MEASURES)
def test_likeness_is_symmetric_to_the_bit_and_from_0_to_1(measure):
    model = network()
    nn.init.constant_(model[0].weight[2], 0)
    # Its maps are its bias at every place: a vector to the cosine, a constant to the correlation. Its weights are nothing.
    mute = {"correlation": [2], "weights": [2]}.get(measure, [])
    for name, alike in mrp.similarities(model, images(), ["0", "3"], measure).items():
        assert torch.equal(alike, alike.T)
        assert mrp.silent(alike) == (mute if name == "0" else [])
        assert 0 <= alike.min() <= alike.max() <= 1
        assert (alike.diagonal() == 1).sum() == len(alike) - len(mrp.silent(alike))


@pytest.mark.parametrize("layer", ["0", "3"])
def test_correlation_is_the_absolute_cosine_of_maps_without_their_mean(layer):
    maps = features.maps(network().eval().double(), images().double(), [layer])[layer]
    rows = maps.transpose(0, 1).flatten(1).numpy()
    found = mrp.similarities(network().eval(), images(), [layer], "correlation")[layer]
    np.testing.assert_allclose(found.numpy(), abs(np.corrcoef(rows)), atol=1e-12)


def test_two_maps_that_share_a_large_constant_alone_are_alike_by_cosine_and_not_by_correlation():
    model = nn.Sequential(nn.Conv2d(2, 4, 3))
    nn.init.constant_(model[0].bias, 50)
    alike = {measure: mrp.similarities(model, images(), ["0"], measure)["0"] for measure in ("maps", "correlation")}
    off = ~torch.eye(4, dtype=torch.bool)
    assert alike["maps"][off].min() > 0.99
    assert alike["correlation"][off].max() < 0.9


@pytest.mark.parametrize("measure", ["maps", "weights"])
def test_a_filter_and_its_negative_are_wholly_alike_and_one_of_zeros_is_like_no_other(measure):
    model = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False))
    with torch.no_grad():
        model[0].weight[1] = -2 * model[0].weight[0]
        model[0].weight[2:] = 0
    alike = mrp.similarities(model, images(), ["0"], measure)["0"]
    assert alike[0, 1] == pytest.approx(1, abs=1e-12)
    assert not alike[2:].any()
    assert mrp.silent(alike) == [2, 3]


def test_layers_come_in_the_order_asked_for_and_the_network_stays_as_it_was():
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert list(mrp.similarities(model, images(), ["3", "0"], mode="train")) == ["3", "0"]
    assert mrp.similarities(model, images(), []) == {}
    after = model.state_dict()
    assert model.training
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == before[name].dtype for name in before)


def test_a_network_in_train_mode_normalises_by_the_batch():
    model = network()
    by_mode = [mrp.similarities(model, images(), ["3"], mode=mode)["3"] for mode in ("eval", "train")]
    assert not torch.allclose(*by_mode, atol=1e-3)


@given(n=st.integers(1, 9), seed=st.integers(0, 10**6), quantile=st.sampled_from([0, 0.1, 0.25, 0.5, 0.7, 0.9, 1]))
@settings(deadline=None)
def test_a_quantile_joins_the_pairs_that_reach_it(n, seed, quantile):
    alike = exact(matrix(n, seed))
    pairs = sorted(alike[i][j] for i in range(n) for j in range(i))
    place = Fraction(str(quantile)) * max(len(pairs) - 1, 0)
    below = math.floor(place)
    lower, upper = (pairs[below], pairs[min(below + 1, len(pairs) - 1)]) if pairs else (0, 0)
    threshold = lower + (upper - lower) * (place - below)
    wanted = literal_graph(alike, lambda i, j: alike[i][j] >= threshold)
    assert mrp.filter_graph(matrix(n, seed), quantile=quantile).tolist() == wanted


@given(n=st.integers(1, 9), seed=st.integers(0, 10**6), neighbours=st.integers(1, 10))
@settings(deadline=None)
def test_neighbours_join_a_filter_with_those_likest_to_it(n, seed, neighbours):
    alike = exact(matrix(n, seed))
    likest = [sorted((j for j in range(n) if j != i), key=lambda j: (-alike[i][j], j))[:neighbours] for i in range(n)]
    wanted = literal_graph(alike, lambda i, j: j in likest[i] or i in likest[j])
    assert mrp.filter_graph(matrix(n, seed), "knn", neighbours=neighbours).tolist() == wanted


def test_a_threshold_joins_what_reaches_it():
    alike = torch.tensor([[1, 0.7, 0.6], [0.7, 1, 0], [0.6, 0, 1]], dtype=torch.float64)
    graph = mrp.filter_graph(alike, "threshold", threshold=0.7)
    assert graph.nonzero()[0].tolist() == [0, 1]
    assert graph[0, 1] == pytest.approx(0.7)
    assert mrp.filter_graph(alike, "threshold", threshold=0).nonzero()[0].tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("sparsify", mrp.SPARSIFIERS)
def test_what_rounding_leaves_joins_nobody_and_parts_nobody(sparsify):
    alike, noise = matrix(12, 3), torch.randn(12, 12, generator=torch.Generator().manual_seed(4)).double().triu(1) * 1e-14
    moved = (alike + noise + noise.T).clamp(0, 1)
    assert not torch.equal(alike, moved)
    assert (mrp.filter_graph(alike, sparsify) == mrp.filter_graph(moved, sparsify)).all()


@pytest.mark.parametrize("n", [64, 65, 200])
def test_sums_of_weights_are_exact_in_any_order_however_many_there_are(n):
    """200 filters that are all joined have more weight than 2^13, up to which sums of 53 digits on 2^-40 are exact."""
    upper = (torch.rand(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.1 + 0.9).triu(1)
    weights = mrp.filter_graph((upper + upper.T).fill_diagonal_(1), quantile=0)
    flat = weights.flatten()
    exact_sum = sum(map(Fraction, flat.tolist()))
    for order in (flat, flat[::-1], np.random.default_rng(0).permutation(flat), np.sort(flat)):
        assert Fraction(float(np.cumsum(order)[-1])) == exact_sum
    assert (exact_sum > 2**13) == (n > 100)


@pytest.mark.parametrize("sparsify", mrp.SPARSIFIERS)
def test_filters_that_are_not_alike_and_a_filter_alone_have_no_edges(sparsify):
    for n in (1, 5):
        assert not mrp.filter_graph(torch.eye(n, dtype=torch.float64), sparsify, quantile=0, threshold=0).any()


def test_a_quantile_makes_as_many_edges_in_any_layer_of_a_width():
    torch.manual_seed(0)
    alike = [torch.rand(20, 20).double() * scale for scale in (0.1, 1)]
    edges = [np.count_nonzero(mrp.filter_graph((m + m.T) / 2)) // 2 for m in alike]
    assert edges == [19, 19]  # a tenth of 190 pairs


@pytest.mark.parametrize(
    ("alike", "options", "sentence"),
    [
        (torch.rand(3, 4), {}, r"similarity.shape is \(3, 4\), but must be \(n, n\)"),
        (torch.tensor([[1, 0.2], [0.3, 1]]), {}, "similarity is 'a matrix unlike its transpose', but must be symmetric"),
        (torch.tensor([[1, math.nan], [math.nan, 1]]), {}, "a matrix with NaN or infinity"),
        (torch.tensor([[1, -0.5], [-0.5, 1]]), {}, r"between -0.5 and 1', but must be in \[0, 1\]"),
        (torch.eye(2), {"sparsify": "quantiles"}, "did you mean 'quantile'"),
        (torch.eye(2), {"quantile": 1.5}, "quantile is 1.5, but must be a number from 0 to 1"),
        (torch.eye(2), {"threshold": -1}, "threshold is -1, but must be a number from 0 to 1"),
        (torch.eye(2), {"neighbours": 0}, "neighbours is 0, but must be a whole number of at least 1"),
    ],
)
def test_a_graph_of_something_else_is_refused(alike, options, sentence):
    with pytest.raises(BadValue, match=sentence):
        mrp.filter_graph(alike, **options)


def test_numbers_that_are_none_are_refused_by_the_name_of_what_holds_them():
    spoilt, overflowing = network(), network()
    nn.init.constant_(spoilt[3].weight[0], math.nan)
    nn.init.constant_(overflowing[0].bias, math.inf)
    with pytest.raises(BadValue, match="images is 'a tensor with NaN or infinity'"):
        mrp.similarities(network(), images().fill_(math.nan), ["0"])
    with pytest.raises(BadValue, match="the weight of layer '3' is 'a tensor with NaN or infinity'"):
        mrp.similarities(spoilt, None, ["0", "3"], "weights")
    with pytest.raises(BadValue, match="the feature maps of layer '0' is 'a tensor with NaN or infinity'"):
        mrp.similarities(overflowing, images(), ["3", "0"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"measure": "map"}, "did you mean 'maps'"),
        ({"mode": "evaluation"}, "mode is 'evaluation', but must be one of: eval, train"),
        ({"layers": ["4"]}, "layer is '4', but must be one of: 0, 3"),
        ({"images": None}, r"images is 'NoneType', but must be a Tensor \(m, c, h, w\)"),
        ({"images": torch.zeros(2, 8, 8)}, r"images.shape is \(2, 8, 8\), but must be \(m, c, h, w\)"),
    ],
)
def test_unknown_names_and_missing_images_are_refused(options, sentence):
    with pytest.raises(BadValue, match=sentence):
        mrp.similarities(network(), **{"images": images(), "layers": ["0"], **options})
