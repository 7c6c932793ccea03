import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from scipy import ndimage
from torch import nn

from prunebook import features, importance, models
from prunebook.errors import BadValue
from prunebook.methods import kcore
from prunebook.report import importance as report


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


X, Y = noise(5, 3, 32, 32), torch.tensor([0, 3, 9, 3, 1])


def network() -> nn.Module:
    return models.build("resnet20", seed=0, width=0.25, shortcut="B").eval()


class Tiny(nn.Module):
    """A convolution, ReLU, the mean over all places, and a linear layer: its Grad-CAM is known in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.hidden = nn.Linear(4, 4)
        self.linear = nn.Linear(4, 10)
        state = self.state_dict()
        for seed, tensor in enumerate(state.values()):
            tensor.copy_(noise(*tensor.shape, seed=seed))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.relu(self.conv(x)).mean(dim=(2, 3)))


class Reused(Tiny):
    """The same ReLU serves again between the linear layers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.relu(self.hidden(self.relu(self.conv(x)).mean(dim=(2, 3)))))


def test_gradcam_weighs_each_map_by_the_mean_gradient_of_the_images_own_class():
    model = Tiny()
    with torch.no_grad():
        maps = torch.relu(model.conv(X))
        weights = model.linear.weight[Y] / (32 * 32)  # of a mean over 32 x 32 places
        expected = torch.relu(torch.einsum("mn,mnhw->mhw", weights, maps))
    assert expected.min() == 0 < expected.max()
    torch.testing.assert_close(importance.gradcam(model, X, Y, "relu"), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (network(), "layer3"),
        (models.build("vgg16", seed=0, width=0.05), "features.42"),  # the last ReLU; a pool that halves the maps follows
        (Tiny(), "relu"),
        (Reused(), "conv"),
    ],
    ids=["resnet20", "vgg16", "tiny", "reused"],
)
def test_gradcam_is_taken_after_the_last_convolution_and_before_the_pooling(model, layer):
    assert importance.last_stage(model, X) == layer
    assert torch.equal(importance.gradcam(model, X, Y), importance.gradcam(model, X, Y, layer))


def test_batches_do_not_change_gradcam():
    one, many = (importance.gradcam(network(), X, Y, batch_size=size) for size in (5, 2))
    assert one.shape == (5, 8, 8)
    torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-7)


def test_gradcam_and_overlaps_leave_model_and_images_as_they_were():
    model = network()
    model.layer2.train()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    importance.by_filter(model, X, Y, ["conv1"])
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not X.requires_grad


def test_the_overlap_of_two_filters_by_hand():
    cam = torch.tensor([[[9.0, 8.0], [1.0, 0.0]], [[0.0, 1.0], [8.0, 9.0]]])  # top half: above, then below
    maps = torch.tensor([[[5.0, 4.0], [3.0, 2.0]], [[5.0, 2.0], [4.0, 3.0]]]).expand(2, 2, 2, 2)
    found = importance.overlap(maps, cam, (2, 2), share=0.5)  # the filters' top halves: above; left
    assert found.tolist() == pytest.approx([(1 + 0) / 2, (1 / 3 + 1 / 3) / 2])


def test_maps_are_enlarged_bilinearly_before_their_highest_places_are_taken():
    maps, cam = noise(3, 4, 4, 4), noise(3, 2, 2, seed=1)
    enlarge = {"order": 1, "mode": "nearest", "grid_mode": True}
    large = np.stack([[ndimage.zoom(one.double().numpy(), 2, **enlarge) for one in image] for image in maps])
    key = np.stack([ndimage.zoom(one.double().numpy(), 4, **enlarge) for one in cam])
    expected = literal(large, key, 0.2)
    assert importance.overlap(maps, cam, (8, 8)).tolist() == pytest.approx(expected)


def test_a_level_map_has_no_region_however_it_is_enlarged():
    maps = noise(3, 3, 5, 5)
    maps[:, 0] = 0.1
    maps[0, 1] = -0.7
    cam = noise(3, 3, 3, seed=1).relu()
    cam[2] = 0
    found = importance.overlap(maps, cam, (32, 32))
    assert math.isnan(found[0])
    assert found[1] == importance.overlap(maps[1:2], cam[1:2], (32, 32))[1]
    assert found[2] == pytest.approx(float(importance.overlap(maps[:2], cam[:2], (32, 32))[2]))


def test_places_without_evidence_are_never_part_of_the_key_area():
    cam = torch.zeros(1, 4, 4)
    cam[0, 0, 0] = 1
    maps = noise(1, 1, 4, 4)
    maps[0, 0, 0, 0] = 9
    assert importance.overlap(maps, cam, (4, 4), share=0.5).tolist() == [1 / 8]


def literal(maps: np.ndarray, cam: np.ndarray, share: float) -> list[float]:
    """The definition, place by place, for maps at the size of the images."""

    def region(one: np.ndarray) -> set[int]:
        values = one.ravel().tolist()
        lowest_in = sorted(values, reverse=True)[max(1, round(share * len(values))) - 1]
        return {place for place, value in enumerate(values) if value >= lowest_in and value > min(values)}

    means = []
    for i in range(maps.shape[1]):
        pairs = [(region(maps[j, i]), region(cam[j])) for j in range(len(maps))]
        scores = [len(active & key) / len(active | key) for active, key in pairs if active and key]
        means.append(sum(scores) / len(scores) if scores else math.nan)
    return means


@settings(deadline=None, max_examples=80)
@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.floats(0.01, 0.99))
def test_the_overlap_is_what_its_definition_says_ties_included(data, m, n, h, w, share):
    few = st.integers(-2, 3)  # few values, hence many ties and level maps
    size = m * n * h * w
    maps = np.reshape(data.draw(st.lists(few, min_size=size, max_size=size)), (m, n, h, w)).astype(np.float32)
    cam = np.reshape(data.draw(st.lists(few, min_size=m * h * w, max_size=m * h * w)), (m, h, w)).astype(np.float32)
    found = importance.overlap(torch.from_numpy(maps), torch.from_numpy(cam), (h, w), share)
    assert found.tolist() == pytest.approx(literal(maps, cam, share), nan_ok=True)


def test_independent_regions_overlap_by_chance():
    found = importance.overlap(noise(20, 10, 64, 64), noise(20, 64, 64, seed=1), (64, 64), 0.3)
    assert float(found.mean()) == pytest.approx(importance.chance(0.3), abs=0.002)
    assert importance.chance(0.2) == pytest.approx(1 / 9)


def test_every_filter_gets_entropy_overlap_and_control_of_the_same_maps():
    model = network()
    with torch.no_grad():
        model.layer1[0].conv1.weight[0] = 0  # a dead filter
    found = importance.by_filter(model, X, Y, bins=32, share=0.1)
    assert list(found) == list(features.visit(model, X, lambda name, maps: None))
    name = "layer1.0.conv1"
    maps, cam = features.maps(model, X, [name])[name], importance.gradcam(model, X, Y)
    assert found[name]["size"] == [32, 32]
    assert found["layer2.0.conv1"]["size"] == [16, 16]
    assert found[name]["entropy"] == kcore.entropy(maps, 32).tolist()
    assert found[name]["overlap"] == [None, *importance.overlap(maps, cam, (32, 32), 0.1)[1:].tolist()]
    others = cam[[4, 0, 1, 2, 3]]
    assert found[name]["control"] == [None, *importance.overlap(maps, others, (32, 32), 0.1)[1:].tolist()]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: importance.by_filter(network(), X, Y, ["conv2"]), "did you mean 'conv1'?"),
        (lambda: importance.by_filter(network(), X, Y, share=1), "share is 1"),
        (lambda: importance.by_filter(network(), X, Y, bins=1), "bins is 1"),
        (lambda: importance.by_filter(network(), X[:1], Y[:1]), "number of images is 1"),
        (lambda: importance.gradcam(network(), X, Y[:3]), "labels is 'torch.int64 (3,)'"),
        (lambda: importance.gradcam(network(), X, Y.float()), "labels is 'torch.float32 (5,)'"),
        (lambda: importance.gradcam(network(), X, Y + 1), "labels is '1 to 10', but must be from 0 to 9"),
        (lambda: importance.gradcam(network(), X, Y, "layer4"), "did you mean 'layer3'?"),
        (lambda: importance.gradcam(network(), X, Y, "linear"), "layer is 'linear'"),
        (lambda: importance.gradcam(network(), X, Y, batch_size=0), "batch_size is 0"),
        (lambda: importance.gradcam(nn.Conv2d(3, 2, 1), X, Y), "must be a classifier"),
        (lambda: importance.last_stage(nn.Flatten(), X), "at least one Conv2d"),
        (lambda: importance.overlap(X, X[:, 0, 0], (32, 32)), "cam.shape is (5, 32)"),
        (lambda: importance.overlap(X, X[:3, 0], (32, 32)), "cam.shape is (3, 32, 32)"),
        (lambda: importance.overlap(X, X[:, 0] * math.nan, (32, 32)), "cam is"),
        (lambda: importance.overlap(X, X[:, 0], (0, 32)), "size is (0, 32)"),
        (lambda: importance.chance(0), "share is 0"),
        (lambda: report.correlation([1.0, 2.0], [1.0]), "lengths is (2, 1)"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(call, words):
    with pytest.raises(BadValue) as refusal:
        call()
    assert words in str(refusal.value)


def test_a_correlation_is_pearsons_with_fishers_interval_and_spearmans():
    x, y = noise(40).tolist(), (noise(40) + noise(40, seed=1)).tolist()
    r = np.corrcoef(x, y)[0, 1]
    half = 1.959963985 / math.sqrt(40 - 3)
    found = report.correlation([*x, None, 1.0], [*y, 1.0, math.nan])
    assert found.n == 40
    assert (found.r, found.low, found.high) == pytest.approx(
        (r, np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half))
    )
    assert found.rho == pytest.approx(np.corrcoef(np.argsort(np.argsort(x)), np.argsort(np.argsort(y)))[0, 1])
    assert 0 < found.p < 0.001
    assert str(found) == f"{r:+.2f}\u00a0({found.low:+.2f}\u00a0to\u00a0{found.high:+.2f})"


def test_too_few_pairs_and_equal_values_have_no_correlation():
    assert math.isnan(report.correlation([1.0, 2.0], [1.0, 2.0]).r)
    assert str(report.correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])) == "—"
    assert str(report.correlation([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])) == "+0.98"


def layers(n: int = 30) -> dict[str, dict]:
    """In each layer overlap falls with entropy; the second layer has more of both, so that all together it rises."""
    found = {}
    for i, name in enumerate(("early", "late")):
        entropy = noise(n, seed=i)
        overlap = (-entropy + noise(n, seed=10 + i)) / 100 + 0.1 + i / 2
        control = [None, *(noise(n, seed=20 + i) / 100 + 0.1)[1:].tolist()]
        found[name] = {
            "size": [8 >> i] * 2, "entropy": (entropy + 9 * i).tolist(), "overlap": overlap.tolist(), "control": control
        }  # fmt: skip
    return found


def test_the_table_tells_correlation_between_layers_from_that_within():
    rows = report.table(layers()).set_index("filters")
    signs = rows["Pearson r (95 %)"].str[0]
    assert signs[["maps of 8 x 8", "maps of 4 x 4", "all", "all, within layers"]].tolist() == ["-", "-", "+", "-"]
    assert rows.loc["all", "layers with r > 0"] == "0 of 2"
    assert rows.loc["all", "mean overlap"] == f"{report.filters(layers()).overlap.mean():.3f}"
    assert rows.n.to_dict() == {
        "maps of 8 x 8": 30, "maps of 4 x 4": 30, "all": 60, "all, within layers": 60, "control: all": 58,
        "control: all, within layers": 58,
    }  # fmt: skip


def test_layers_are_told_from_the_largest_maps_to_the_smallest_in_whatever_order_a_record_has_them():
    backwards = dict(reversed(layers().items()))
    assert report.table(backwards).equals(report.table(layers()))


def test_within_a_layer_filters_are_counted_in_its_own_deviations():
    frame = report.filters({"one": {"size": [2, 2], "entropy": [1.0, 3.0], "overlap": [5.0, 5.0], "control": [0.1, None]}})
    assert frame["entropy z"].tolist() == [-1, 1]
    assert frame["overlap z"].isna().all()
    assert pd.isna(frame.control[1])


def test_the_figure_shows_every_filter_the_line_of_chance_and_the_correlation():
    fig = report.figure(layers(), share=0.5)
    for ax, columns in zip(fig.axes, (["entropy", "overlap"], ["entropy z", "overlap z"]), strict=True):
        drawn = np.concatenate([np.asarray(points.get_offsets()) for points in ax.collections])
        assert np.allclose(drawn, report.filters(layers())[columns])
        assert "n = 60" in ax.get_title()
        assert str(report.correlation(*drawn.T)) in ax.get_title()
    (line,) = fig.axes[0].lines
    assert line.get_ydata()[0] == pytest.approx(1 / 3)
    plt.close(fig)
