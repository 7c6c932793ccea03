"""Similarities of whole networks: each reading is the method's own, and the summaries are those of the pairs."""

import math

import pytest
import torch

from prunebook import diversity, features, models
from prunebook.methods import dice


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return models.build("dice_cnn", 10, 1, seed=0, width=0.25, hidden=8).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("reading", diversity.READINGS)
def test_each_reading_removes_what_the_method_removes_by_it(
    reading: str, model: torch.nn.Module, images: torch.Tensor
) -> None:
    plan = dice.plan(model, 0.3, images=images, **diversity.READINGS[reading])
    profile = diversity.profile(model, images, 0.3)
    for name, kept in plan.keep.items():
        assert profile[name][reading]["gone"] == sorted(set(range(plan.widths[name])) - set(kept))


def test_a_profile_describes_the_pairs(model: torch.nn.Module, images: torch.Tensor) -> None:
    alike = diversity.similarities(model, images, "Eq. 1 and 2")["features.0"]
    pairs = [alike[i, j].item() for i in range(8) for j in range(i)]
    found = diversity.profile(model, images, 0.3, bins=10)["features.0"]["Eq. 1 and 2"]
    assert found["counts"] == [sum(bin <= 10 * pair < bin + 1 for pair in pairs) for bin in range(10)]
    assert found["quantiles"][0] == pytest.approx(min(pairs), abs=1e-6)
    assert found["quantiles"][-1] == pytest.approx(max(pairs), abs=1e-6)
    assert found["averages"] == pytest.approx([(alike[i].sum().item() - 1) / 7 for i in range(8)], abs=1e-6)


def test_without_rescaling_similarities_leave_their_range_and_are_counted(
    model: torch.nn.Module, images: torch.Tensor
) -> None:
    found = diversity.profile(model, images, 0.3)["features.8"]["not rescaled"]
    pairs = 32 * 31 // 2
    assert found["below"] + found["above"] > 0
    assert sum(found["counts"]) + found["below"] + found["above"] == pairs


def test_twins_are_not_diverse_and_a_filter_and_its_negative_are(images: torch.Tensor) -> None:
    model = models.build("dice_cnn", 10, 1, seed=0, width=0.25, hidden=8)
    first = features.convolutions(model)["features.0"]
    with torch.no_grad():
        first.weight.copy_(first.weight[:1].expand_as(first.weight))
    assert diversity.diversity(model, images)["signs apart"]["features.0"] == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        first.weight[4:] *= -1
    # Of the 28 pairs of 8 filters, 16 have opposite signs and share nothing.
    assert diversity.diversity(model, images)["signs apart"]["features.0"] == pytest.approx(16 / 28, abs=1e-6)


def test_spread_is_one_for_even_weights_and_small_for_a_spike() -> None:
    model = models.build("dice_cnn", 10, 1, seed=0, width=0.25, hidden=8)
    first = features.convolutions(model)["features.0"]
    with torch.no_grad():
        first.weight[0] = -0.3
        first.weight[1] = 0
        first.weight[1, 0, 0, 0] = 5
        first.weight[2] = 0
    spreads = diversity.spreads(model)["features.0"]
    assert spreads[:3] == [1.0, round(1 / 9, 6), 0.0]
    assert all(0 < spread < 1 and math.isfinite(spread) for spread in spreads[3:])


def test_a_norm_is_the_root_of_the_sum_of_squares_and_a_bias_is_no_part_of_it() -> None:
    model = models.build("dice_cnn", 10, 1, seed=0, width=0.25, hidden=8)
    first = features.convolutions(model)["features.0"]
    with torch.no_grad():
        first.weight[0] = 0
        first.weight[1] = 0
        first.weight[1, 0, 0, :2] = torch.tensor([3.0, -4.0])
        first.weight[2] = 1e-30
        first.bias.fill_(7)
    assert diversity.norms(model)["features.0"][:3] == [0, 5, 3e-30]


def test_activity_is_the_deviation_over_images_and_places_behind_batch_norm_and_relu() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 1, bias=False), torch.nn.BatchNorm2d(3, eps=0), torch.nn.ReLU()).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 1e-20, 1.0]).view(3, 1, 1, 1))
        model[1].running_var.copy_(torch.tensor([1.0, 1e-40, 1.0]))  # as the maps of the second filter have it
        model[1].bias[2] = -9  # behind the ReLU, nothing of the third is left
    images = torch.tensor([[1.0, 3.0], [-1.0, 8.0]]).view(2, 1, 1, 2)
    expected = torch.tensor([1.0, 3.0, 0.0, 8.0]).double().std(correction=0).item()
    first, second, third = diversity.activity(model, images)["0"]
    assert first == pytest.approx(expected, rel=1e-5)
    assert second == pytest.approx(expected, rel=1e-2)  # tiny weights, which batch norm makes up for
    assert third == 0


def test_a_filter_is_dead_if_it_varies_next_to_not_at_all_beside_the_liveliest() -> None:
    assert diversity.dead([2.0, 0.0, 0.0002, 0.00021]) == [False, True, True, False]
    assert diversity.dead([0.0, 0.0]) == [True, True]
