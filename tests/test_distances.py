"""Distances between all rows against scipy, and the promises that choices between filters rest on."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from prunebook.errors import BadValue
from prunebook.methods.distances import BLOCK, pairwise_l1


def noise(n: int, d: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n, d, dtype=dtype, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize(("n", "d"), [(1, 4), (2, 1), (BLOCK, 9), (BLOCK + 1, 30), (3 * BLOCK - 1, 257)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_distances_are_those_of_scipy(n: int, d: int, dtype: torch.dtype, tolerance: float) -> None:
    rows = noise(n, d, dtype)
    found = pairwise_l1(rows)
    assert found.dtype == dtype
    wanted = cdist(rows.numpy(), rows.numpy(), "cityblock")
    np.testing.assert_allclose(found.numpy(), wanted, rtol=tolerance, atol=tolerance)


def test_distances_are_symmetric_to_the_bit_and_zero_to_oneself() -> None:
    found = pairwise_l1(noise(37, 100, torch.float32))
    assert torch.equal(found, found.T)
    assert not found.diagonal().any()


def test_equal_rows_have_equal_distances_wherever_they_stand() -> None:
    rows = noise(50, 77, torch.float32)
    rows[41] = rows[3]
    found = pairwise_l1(rows)
    assert found[3, 41] == 0
    others = [i for i in range(50) if i not in (3, 41)]
    assert torch.equal(found[3, others], found[41, others])


def test_the_order_of_rows_changes_nothing_but_places() -> None:
    rows = noise(40, 33)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pairwise_l1(rows[order]), pairwise_l1(rows)[order][:, order])


def test_rows_that_are_a_part_of_a_larger_matrix_are_read_in_place_or_copied_rightly() -> None:
    rows = noise(30, 60)
    assert torch.equal(pairwise_l1(rows[::2, ::3]), pairwise_l1(rows[::2, ::3].contiguous()))


def test_the_number_of_threads_changes_nothing() -> None:
    rows = noise(70, 40, torch.float32)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(pairwise_l1(rows))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (torch.zeros(3), "rows.shape is \\(3,\\), but must be \\(n, d\\)"),
        (torch.zeros(3, 2, dtype=torch.int64), "rows.dtype is torch.int64, but must be float32 or float64"),
    ],
)
def test_wrong_rows_are_refused(rows: torch.Tensor, words: str) -> None:
    with pytest.raises(BadValue, match=words):
        pairwise_l1(rows)
