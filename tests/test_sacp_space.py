"""The space of pruning ratios: exact counts, exactly feasible and uniform samples, masks."""

import itertools
import math
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from prunebook import models
from prunebook.errors import BadValue
from prunebook.methods.sacp import ArchitectureGraph, Space, random_masks, ranked_masks, rankings

IMAGE = torch.zeros(1, 3, 32, 32)


class Some(NamedTuple):
    """Layers without a network."""

    widths: list[int]
    counts: list[int]

    @property
    def entries(self) -> list[list[str]]:
        return [[f"{e}.{i}" for i in range(count)] for e, count in enumerate(self.counts)]


def some_space(*widths: int, counts: tuple[int, ...] = (), steps: int = 10) -> Space:
    return Space(Some(list(widths), list(counts) or [1] * len(widths)), steps)


@pytest.fixture(scope="module")
def resnet56() -> ArchitectureGraph:
    return ArchitectureGraph(models.build("resnet56", seed=0), IMAGE)


def feasible(space: Space, tau: str) -> list[tuple[int, ...]]:
    """All candidates that meet tau, by trying each, in fractions."""
    weights = [width * count for width, count in zip(space.widths, space.counts, strict=True)]
    least = Fraction(tau) * sum(weights)

    def removed(r: tuple[int, ...]) -> Fraction:
        return sum((Fraction(q, space.steps) * weight for q, weight in zip(r, weights, strict=True)), Fraction(0))

    return [r for r in itertools.product(range(space.steps), repeat=space.L) if removed(r) >= least]


def test_what_a_ratio_leaves_is_rounded_down_in_whole_numbers_and_never_nothing() -> None:
    space = some_space(64, 10, 3, 100)
    assert [space.kept(0, q) for q in range(10)] == [64, 57, 51, 44, 38, 32, 25, 19, 12, 6]
    # In floating point (1 - 0.9) * 10 is a little below 1, and (1 - 0.3) * 100 a little below 70.
    assert (space.kept(1, 9), space.kept(3, 3)) == (1, 70)
    assert [space.kept(2, q) for q in (6, 7, 8, 9)] == [1, 1, 1, 1]


def test_the_ratio_of_a_candidate_counts_an_entry_once_for_each_of_its_layers() -> None:
    space = some_space(16, 32, counts=(3, 1))
    r = torch.tensor([[9, 0], [0, 5], [9, 9]], dtype=torch.uint8)
    assert space.ratio(r).tolist() == pytest.approx([0.9 * 48 / 80, 0.5 * 32 / 80, 0.9])


@settings(max_examples=25, deadline=None)
@given(
    layers=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), min_size=2, max_size=3),
    tau=st.sampled_from(["0", "0.05", "0.3", "0.5", "0.61", "0.75"]),
    steps=st.sampled_from([4, 7, 10]),
)
def test_candidates_are_counted_and_enumerated_as_trying_each_finds_them(
    layers: list[tuple[int, int]], tau: str, steps: int
) -> None:
    space = Space(Some([width for width, _ in layers], [count for _, count in layers]), steps)
    expected = feasible(space, tau)
    assert space.size_at(float(tau)) == len(expected)
    assert [tuple(r) for r in space.enumerate(float(tau)).tolist()] == expected
    found = space.sample(200, float(tau), seed=1)
    assert set(map(tuple, found.tolist())) <= set(expected)


def test_every_candidate_that_meets_tau_is_equally_likely() -> None:
    space = some_space(2, 3, 5, counts=(2, 1, 1), steps=5)
    expected = feasible(space, "0.45")
    n = 200 * len(expected)
    drawn = Counter(map(tuple, space.sample(n, 0.45, seed=3).tolist()))
    assert set(drawn) == set(expected)
    assert stats.chisquare([drawn[r] for r in expected]).pvalue > 1e-3
    # The test can tell: with one candidate repeated to fill up it would not pass.
    skewed = Counter(
        map(tuple, torch.cat([space.sample(n, 0.45, seed=3), space.enumerate(0.7)[:1].repeat(999, 1)]).tolist())
    )
    assert stats.chisquare([skewed[r] for r in expected]).pvalue < 1e-6


def test_draws_of_one_sequence_are_independent_of_each_other() -> None:
    space = some_space(1, 1, steps=3)
    expected = feasible(space, "0.5")
    drawn = [expected.index(tuple(r)) for r in space.sample(40_001, 0.5, seed=5).tolist()]
    pairs = np.zeros((len(expected), len(expected)))
    np.add.at(pairs, (drawn[:-1], drawn[1:]), 1)
    assert stats.chi2_contingency(pairs).pvalue > 1e-3


def test_each_ratio_of_resnet56_is_as_frequent_as_its_share_of_all_candidates(resnet56: ArchitectureGraph) -> None:
    space = Space(resnet56)
    r = space.sample(20_000, 0.5, seed=2)
    assert space.ratio(r).min() >= 0.5 - 1e-12
    total = space.size_at(0.5)
    weights = [width * count // 16 for width, count in zip(space.widths, space.counts, strict=True)]
    least = 5 * sum(weights)
    for entry in (0, 5, space.L - 1):
        # Without that entry, the others have to make up for what it does not remove.
        counts = np.ones(1)  # by the sum removed, in units of 16
        for other in (weight for e, weight in enumerate(weights) if e != entry):
            counts = np.convolve(counts, np.arange(9 * other + 1) % other == 0)
        share = [counts[max(0, least - weights[entry] * q) :].sum() / total for q in range(10)]
        seen = torch.bincount(r[:, entry].long(), minlength=10).numpy()
        assert stats.chisquare(seen, np.array(share) * len(r)).pvalue > 1e-4


def test_a_candidate_depends_on_tau_seed_and_number_alone() -> None:
    space = some_space(16, 32, 48, 64, 16, steps=10)
    whole = space.sample(20_000, 0.4, seed=7)
    pieces = [space.sample(n, 0.4, seed=7, start=start) for start, n in ((0, 1), (1, 8999), (9000, 11_000))]
    assert torch.equal(torch.cat(pieces), whole)
    assert torch.equal(some_space(16, 32, 48, 64, 16).sample(3, 0.4, seed=7, start=10**12), space.sample(3, 0.4, 7, 10**12))
    assert not torch.equal(space.sample(100, 0.4, seed=8), whole[:100])
    assert whole.dtype == torch.uint8
    assert space.sample(0, 0.4).shape == (0, 5)


def test_sequences_stay_what_they_were() -> None:
    # The generator's numbers are part of every published search.
    assert some_space(16, 32, 64).sample(3, 0.5, seed=1).tolist() == [[3, 8, 4], [9, 0, 9], [4, 2, 7]]


def test_the_highest_tau_leaves_one_candidate_and_tau_is_taken_as_written() -> None:
    space = some_space(7, 11, 13)
    assert space.size_at(0.9) == 1
    assert space.sample(4, 0.9).tolist() == [[9, 9, 9]] * 4
    even = some_space(1, 1, 1)
    # The sum 3 of 0.1 + 0.1 + 0.1 is exactly 0.1 of 3 layers, whatever floating point makes of it.
    assert [1, 1, 1] in even.enumerate(0.1).tolist()
    assert min(map(sum, even.enumerate(0.3).tolist())) == 9


def test_the_space_of_resnet56_is_counted_exactly(resnet56: ArchitectureGraph) -> None:
    space = Space(resnet56)
    assert (space.L, space.size(), space.size_at(0)) == (30, 10**30, 10**30)
    # The shares that r and 9 - r remove add up to .9, and since the sum of the widths is odd in units of 16, none has .45.
    assert space.size_at(0.45) == 10**30 // 2


def test_candidates_are_enumerated_in_pieces() -> None:
    space = some_space(2, 3, 4)
    whole = space.enumerate(0.6)
    assert torch.equal(
        torch.cat([space.enumerate(0.6, 0, 10), space.enumerate(0.6, 10, 7), space.enumerate(0.6, 17)]), whole
    )
    assert len(space.enumerate(0.6, start=len(whole))) == 0
    with pytest.raises(BadValue, match="the number of candidates to enumerate is 10000000000000000000"):
        some_space(*[1] * 19).enumerate()


@pytest.mark.parametrize(
    ("tau", "words"),
    [
        (0.95, "tau is 0.95, but must be at most 0.9, the highest R"),
        (1.0, "tau is 1.0, but must be a share"),
        (-0.1, "tau is -0.1"),
        (math.nan, "tau is nan"),
        ("0.3", "tau is '0.3'"),
    ],
)
def test_a_tau_that_no_candidate_can_meet_is_refused(tau: object, words: str) -> None:
    space = some_space(2, 3)
    for ask in (space.size_at, space.enumerate, lambda t: space.sample(1, t)):
        with pytest.raises(BadValue, match=words):
            ask(tau)


def test_other_bad_input_is_refused() -> None:
    one = ArchitectureGraph(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 900, 2)), IMAGE)
    with pytest.raises(BadValue, match="the number of entries of the graph is 1, but must be at least 2: with one prunable"):
        Space(one)
    with pytest.raises(BadValue, match="steps is 1"):
        some_space(1, 2, steps=1)
    for wrong in ({"n": -1}, {"n": 1.5}, {"n": 1, "seed": -1}, {"n": 1, "seed": 2**64}, {"n": 1, "start": -1}):
        name = list(wrong)[-1]
        with pytest.raises(BadValue, match=rf"{name} is {wrong[name]}, but must be a whole number"):
            some_space(1, 2).sample(**wrong)


def test_channels_are_ranked_by_l1_and_coupled_layers_by_the_sum_of_their_shares_of_the_mean() -> None:
    model = models.build("resnet20", seed=0, width=0.25)
    graph = ArchitectureGraph(model, IMAGE)
    layers = dict(model.named_modules())
    alone = next(e for e, entry in enumerate(graph.entries) if entry == ["layer1.0.conv1"])
    for name in ("layer1.0.conv1", *graph.entries[0]):
        layers[name].weight.data.fill_(0)
    layers["layer1.0.conv1"].weight.data[:, 0, 0, 0] = torch.tensor([0.5, -2.0, 0.5, 1.0])
    first, second = graph.entries[0][:2]
    # Alone, the second layer's larger weights would decide; by shares of the means 4/4, 12/4, 0, 0 and 0, 0, 400/100, 0.
    layers[first].weight.data[:, 0, 0, 0] = torch.tensor([4.0, 12.0, 0.0, 0.0])
    layers[second].weight.data[:, 0, 0, 0] = torch.tensor([0.0, 0.0, 100.0, 300.0])
    found = rankings(model, graph)
    assert found[alone].tolist() == [1, 3, 0, 2]
    assert found[0].tolist() == [1, 3, 0, 2]  # 3, 3, 1, 1
    layers[first].weight.data[0] = math.nan
    with pytest.raises(BadValue, match=f"weight of layer '{first}' is 'NaN"):
        rankings(model, graph)


def test_masks_keep_as_many_channels_as_a_candidate_leaves_ranked_or_at_random() -> None:
    space = some_space(4, 20)
    order = [torch.tensor([2, 0, 3, 1]), torch.arange(20)]
    tables = ranked_masks(space, order)
    assert tables[0][5].tolist() == [1, -1, 1, -1]
    assert [int((row == 1).sum()) for row in tables[1]] == [20, 18, 16, 14, 12, 10, 8, 6, 4, 2]
    r = torch.tensor([[5, 9]] * 6000, dtype=torch.uint8)
    some, many = random_masks(space, r, torch.Generator().manual_seed(0))
    assert set(some.unique().tolist()) == {-1, 1}
    assert torch.equal((some == 1).sum(1), torch.full((6000,), 2))
    assert torch.equal((many == 1).sum(1), torch.full((6000,), 2))
    sets = Counter(tuple(mask) for mask in some.tolist())
    assert len(sets) == 6
    assert stats.chisquare(list(sets.values())).pvalue > 1e-3
    again = random_masks(space, r, torch.Generator().manual_seed(0))
    assert torch.equal(again[0], some)


def test_a_candidate_says_which_channels_each_layer_of_its_entries_keeps() -> None:
    space = some_space(4, 5, counts=(2, 1))
    kept = space.keep(torch.tensor([5, 9], dtype=torch.uint8), [torch.tensor([2, 0, 3, 1]), torch.tensor([4, 0, 1, 2, 3])])
    assert kept == {"0.0": [0, 2], "0.1": [0, 2], "1.0": [4]}
