"""Saliency, NORM, entropy, energy, temperature and acceptance: small exact cases, and the public code's check values."""

import math

import pytest
import torch
from torch import Tensor

from prunebook.errors import BadValue
from prunebook.methods import annealing
from prunebook.methods.annealing import Interval


def intervals(*pairs: tuple[float, float]) -> Interval:
    return Interval(*torch.tensor(pairs, dtype=torch.float64).T)


def literal_saliency(incoming: Tensor, bias: Tensor, outgoing: Tensor, scale: str) -> list[list[float]]:
    n = len(incoming)
    table = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            apart = math.sqrt(sum((a - b) ** 2 for a, b in zip(incoming[i].tolist(), incoming[j].tolist(), strict=True)))
            apart += abs(bias[i] - bias[j]).item() / abs(bias[i] + bias[j]).item()
            out_i, out_j = outgoing[i].tolist(), outgoing[j].tolist()
            factor = {
                "mean": sum(out_i) / len(out_i),
                "absolute": sum(map(abs, out_i)) / len(out_i),
                "delegate": math.sqrt(sum(w**2 for w in out_j)),
            }[scale]
            table[i][j] = factor * apart
    return table


@pytest.mark.parametrize(("variant", "scale"), [("paper", "mean"), ("paper", "absolute"), ("official", "delegate")])
def test_saliency_is_the_equation_for_each_pair(variant: str, scale: str) -> None:
    generator = torch.Generator().manual_seed(0)
    incoming, outgoing = torch.randn(6, 4, generator=generator), torch.randn(6, 3, generator=generator)
    bias = torch.rand(6, generator=generator)
    expected = torch.tensor(literal_saliency(incoming, bias, outgoing, scale), dtype=torch.float64)
    assert torch.allclose(annealing.saliency(incoming, bias, outgoing, variant, scale), expected, rtol=1e-6)
    if scale != "absolute":  # then it is the variant's own
        assert torch.allclose(annealing.saliency(incoming, bias, outgoing, variant), expected, rtol=1e-6)


def test_as_printed_a_nominee_with_negative_outgoing_weights_prefers_the_unit_least_like_it() -> None:
    incoming, outgoing = torch.tensor([[0.0], [0.1], [9.0]]), torch.tensor([[-1.0], [1.0], [1.0]])
    signed = annealing.saliency(incoming, torch.ones(3), outgoing)
    assert signed[0, 2] < signed[0, 1] < 0
    absolute = annealing.saliency(incoming, torch.ones(3), outgoing, scale="absolute")
    assert 0 < absolute[0, 1] < absolute[0, 2]


def test_opposite_biases_are_infinitely_apart_and_two_zeros_alike_or_undefined() -> None:
    incoming, outgoing = torch.zeros(3, 2), torch.ones(3, 1)
    bias = torch.tensor([0.0, 0.0, 1.0])
    paper, official = (annealing.saliency(incoming, bias, outgoing, variant) for variant in ("paper", "official"))
    assert paper[0, 1] == 0
    assert official[0, 1].isnan()
    assert paper[0, 2] == official[0, 2] == 1
    opposite = annealing.saliency(incoming, torch.tensor([-1.0, 0.5, 1.0]), outgoing)
    assert opposite[0, 2] == math.inf


def test_saliency_tells_nearly_equal_units_apart() -> None:
    weights = torch.full((2, 500), 7.0, dtype=torch.float64)
    weights[1, 0] += 1e-9
    assert annealing.saliency(weights, torch.ones(2), torch.ones(2, 1))[0, 1].item() == pytest.approx(1e-9, rel=1e-3)


def test_norm_is_the_sum_of_the_widths() -> None:
    assert annealing.norm(intervals((0, 1), (1, 3), (3, 4), (5, 7), (9, 100))) == 97


def test_similarity_of_two_intervals_that_are_the_whole_list() -> None:
    two = intervals((0, 1), (-1, 1))
    assert annealing.similarity(two).tolist() == [[1, 0.75], [0.75, 1]]


def test_the_official_hull_includes_zero() -> None:
    two = intervals((2, 4), (3, 4))
    assert annealing.similarity(two)[0, 1] == 0.75
    assert annealing.similarity(two, "official")[0, 1] == 1 - 1 / 8


@pytest.mark.parametrize("variant", annealing.VARIANTS)
def test_equal_points_are_alike(variant: str) -> None:
    assert annealing.similarity(intervals((2, 2), (2, 2)), variant).tolist() == [[1, 1], [1, 1]]
    assert annealing.similarity(intervals((0, 0), (0, 0)), variant).tolist() == [[1, 1], [1, 1]]


FOUR = intervals((-50, -40), (-4, -3), (30, 40), (140, 250))


def test_the_official_density_counts_the_interval_itself_and_the_paper_s_does_not() -> None:
    # The first three are at least .8 alike from neighbour to neighbour; the fourth is alone.
    assert annealing.density(FOUR, 0.8, "official").tolist() == [0.5, 0.75, 0.5, 0.25]
    assert annealing.density(FOUR, 0.8).tolist() == [0.25, 0.5, 0.25, 0]


def test_entropies_of_the_check_values() -> None:
    assert annealing.entropy(FOUR, 0.8, "official").item() == pytest.approx(1.255482, abs=1e-6)
    assert annealing.entropy(FOUR, 0.9, "official").item() == pytest.approx(math.log(4))
    quarter, half = 0.25 * math.log(4), 0.5 * math.log(2)
    assert annealing.entropy(FOUR, 0.8).item() == pytest.approx(2 * quarter + half)
    assert annealing.entropy(FOUR, 0.9) == 0  # no two are alike: all densities 0


def test_a_similarity_of_phi_counts_whatever_rounding_makes_of_it() -> None:
    points = torch.tensor([0.7, 0.9, 0.0, 1.0], dtype=torch.float64)
    assert annealing.similarity(Interval(points, points))[0, 1] < 0.8  # and is .8, in reals
    assert annealing.density(Interval(points, points), 0.8).tolist() == [0.25, 0.5, 0, 0.25]


def test_one_output_has_no_entropy_in_either_variant() -> None:
    for variant in annealing.VARIANTS:
        assert annealing.entropy(intervals((-3, 5)), variant=variant) == 0


def test_energy_weighs_norm_and_entropy() -> None:
    n, e = annealing.norm(FOUR), annealing.entropy(FOUR, 0.8)
    assert annealing.energy(FOUR, 0.6, 0.4, 0.8).item() == pytest.approx(0.6 * math.tanh(n / 2) + 0.4 * math.tanh(e / 2))
    e = annealing.entropy(FOUR, 0.8, "official").item()
    expected = 0.6 / (1 + math.exp(-n)) + 0.4 / (1 + math.exp(-e))
    assert annealing.energy(FOUR, 0.6, 0.4, 0.8, "official").item() == pytest.approx(expected)


def test_sigma_stays_in_the_range_of_either_variant_and_saturates_but_the_ratio_does_not() -> None:
    values = torch.tensor([0.0, 1.0, 50.0, 60.0], dtype=torch.float64)
    symmetric, logistic, ratio = (annealing.squash(values, kind) for kind in annealing.SQUASHES)
    assert symmetric[0] == 0
    assert logistic[0] == 0.5
    assert symmetric[1].item() == pytest.approx(2 / (1 + math.exp(-1)) - 1)
    assert symmetric[2] == symmetric[3] == logistic[2] == logistic[3] == 1
    assert ratio[0] == 0 < ratio[2] < ratio[3] < 1


def test_energies_of_many_impacts_at_once_are_those_of_each() -> None:
    generator = torch.Generator().manual_seed(0)
    lower = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    upper = lower + torch.rand(7, 5, generator=generator, dtype=torch.float64)
    for variant in annealing.VARIANTS:
        together = annealing.energy(Interval(lower, upper), variant=variant)
        each = [annealing.energy(Interval(a, b), variant=variant) for a, b in zip(lower, upper, strict=True)]
        assert torch.equal(together, torch.stack(each))


def test_the_temperature_falls_with_the_task_and_rises_as_official_pairs_are_dropped() -> None:
    assert [annealing.temperature(done, 4) for done in (0, 1, 4)] == [1, 0.75, 0]
    assert annealing.temperature(4, 4, "official") == pytest.approx(1e-4)
    assert annealing.temperature(2, 4, "official") == pytest.approx(0.5001)


def test_better_is_accepted_and_worse_by_chance() -> None:
    assert annealing.acceptance(0.5, 0.6, 0.3) == annealing.acceptance(0.6, 0.6, 0) == 1
    assert annealing.acceptance(0.7, 0.6, 0.5) == pytest.approx(math.exp(-0.1 / 0.5))
    assert annealing.acceptance(0.7, 0.6, 0) == 0
    assert annealing.acceptance(0.7, 0.6, math.inf) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: annealing.saliency(torch.ones(2, 2), None, torch.ones(3, 2)), "len(outgoing) is 3, but must be"),
        (lambda: annealing.saliency(torch.ones(2, 2), None, torch.ones(2, 2), "papr"), "did you mean 'paper'"),
        (lambda: annealing.saliency(torch.ones(2, 2), None, torch.ones(2, 2), scale="norm"), "scale is 'norm'"),
        (lambda: annealing.saliency(torch.tensor([[torch.nan]]), None, torch.ones(1, 1)), "incoming is 'a tensor with NaN"),
        (lambda: annealing.saliency(torch.ones(1, 1), torch.tensor([torch.inf]), torch.ones(1, 1)), "bias is 'a tensor"),
        (lambda: annealing.saliency(torch.ones(1, 1), None, torch.tensor([[torch.nan]])), "outgoing is 'a tensor with NaN"),
        (lambda: annealing.density(FOUR, 1.5), "phi is 1.5"),
        (lambda: annealing.density(FOUR, math.nan), "phi is nan"),
        (lambda: annealing.energy(intervals((0, math.nan))), "delta is 'with NaN'"),
        (lambda: annealing.energy(Interval(torch.zeros(0), torch.zeros(0))), "the number of outputs of delta is 0"),
        (lambda: annealing.temperature(0, 0), "of is 0"),
        (lambda: annealing.acceptance(math.nan, 0, 1), "energy is nan"),
        (lambda: annealing.energy(FOUR, 0.5, 0.6), "alpha and beta is (0.5, 0.6)"),
        (lambda: annealing.energy(FOUR, 1.5, -0.5), "shares that add up to 1"),
        (lambda: annealing.temperature(5, 4), "done is 5"),
        (lambda: annealing.acceptance(1, 0, -1), "temperature is -1"),
        (lambda: annealing.squash(torch.ones(1), "sigmoid"), "squash is 'sigmoid'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, words: str) -> None:
    with pytest.raises(BadValue) as refusal:
        call()
    assert words in str(refusal.value)
