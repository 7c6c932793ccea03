"""The chapter on Sørensen-Dice pruning: its example, its exercises, and the arithmetic in its prose."""

import math

import chapters
import pytest
import reported
import torch

from prunebook.methods import dice

A, B, C = range(3)
EXAMPLE = torch.tensor([[2.0, 1.0, -1.0, 0.0], [4.0, 4.0, -4.0, 0.0], [-1.0, -0.5, 0.5, 0.0]])


@pytest.mark.parametrize("label", chapters.exercises("dice"))
def test_the_printed_solution_of_an_exercise_passes_its_printed_check(label: str) -> None:
    chapters.solve("dice", label)


def test_the_chapter_has_exercises_whose_checks_need_a_solution() -> None:
    assert chapters.unsolved("dice") == chapters.exercises("dice") == ["ex-overlap", "ex-spread", "ex-twins", "ex-speedup"]


def test_the_example_has_the_printed_sums_similarities_and_averages() -> None:
    assert dice.normalised(EXAMPLE).tolist() == [[1, 0.75, 0.25, 0.5], [1, 1, 0, 0.5], [0, 0.25, 0.75, 0.5]]
    similarity = dice.similarity(EXAMPLE)
    assert similarity.flatten().tolist() == pytest.approx([1, 0.9, 0.5, 0.9, 1, 0.375, 0.5, 0.375, 1])
    assert dice.average(similarity).tolist() == pytest.approx([0.7, 0.6375, 0.4375])


def test_the_example_at_once_loses_a_and_c_and_one_by_one_only_c() -> None:
    similarity = dice.similarity(EXAMPLE)
    low, high = dice.thresholds(dice.average(similarity), 1 / 3, 2 / 3)
    assert (round(low, 4), round(high, 4)) == (0.5708, 0.6583)
    assert dice.select(similarity, 2 / 3) == [B]
    assert (round(low - 0.4375, 4), round(0.7 - high, 4)) == (0.1333, 0.0417)
    assert dice.select(similarity, 2 / 3, mode="greedy") == [A, B]


def test_unrelated_and_opposite_filters_are_as_alike_as_the_chapter_says() -> None:
    """Normally distributed weights of standard deviation 1/3, the largest 1: the formulae give 0.81 and 0.73."""
    rows = torch.randn(2, 100_000, generator=torch.Generator().manual_seed(0)).div(3).clamp(-1, 1)
    rows = torch.cat([rows, -rows[:1]])
    rows[:, 0] = 1.0
    similarity = dice.similarity(rows)
    assert 1 - 1 / 3 / math.sqrt(math.pi) == pytest.approx(0.81, abs=0.005)
    assert similarity[0, 1].item() == pytest.approx(0.81, abs=0.005)
    assert similarity[0, 2].item() == pytest.approx(0.73, abs=0.005)


def test_the_leads_in_the_table_of_conclusions_are_those_of_the_thesis() -> None:
    top1 = reported.frame("dice").query("metric == 'top1'")
    leads = {}
    for network, rows in top1.groupby(["table", "dataset", "model"]):  # leaves out what no table has
        leads[network] = round(rows[rows.ours].value.item() - rows[~rows.ours].value.max(), 1)
    assert leads == {
        ("2", "CIFAR-10", "Custom CNN"): 16,
        ("2", "CIFAR-10", "ResNet-50"): 12,
        ("2", "CIFAR-10", "VGG-19"): 18,
        ("2", "MNIST", "Custom CNN"): 17,
        ("2", "MNIST", "ResNet-50"): 5.2,
        ("2", "MNIST", "VGG-19"): 2,
        ("3", "CIFAR-10", "Custom CNN"): 5,
        ("3", "MNIST", "Custom CNN"): 3,
    }


def test_no_speed_up_above_the_bound_comes_from_rounding_in_wide_layers() -> None:
    """A ratio of 0.2 with one filter more than its share from every layer of at least 64."""
    highest = max((n / (n - math.ceil(0.2 * n))) ** 2 for n in range(64, 2049))
    assert highest < 1.64
