"""Sums of minima of all rows against numpy, and the promises that choices between filters rest on."""

import numpy as np
import pytest
import torch

from prunebook.errors import BadValue
from prunebook.methods.minima import BLOCK, PIECE, _minima_by_rows, pairwise_minima


def noise(n: int, d: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n, d, dtype=dtype, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n", "d"),
    [(1, 4), (2, 1), (BLOCK, 9), (BLOCK + 1, 30), (3 * BLOCK - 1, 257), (3, PIECE), (18, PIECE + 1), (5, 2 * PIECE + 70)],
)
def test_sums_are_those_of_numpy(n: int, d: int, dtype: torch.dtype) -> None:
    rows = noise(n, d, dtype)
    wanted = np.minimum(rows.double().numpy()[:, None], rows.double().numpy()).sum(axis=2)
    slack = 4e-7 if dtype == torch.float32 else 1e-14  # of what a row's absolute values add up to
    for found in (pairwise_minima(rows), _minima_by_rows(rows)):  # the latter is for what is not a CPU
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=slack * d)


def test_sums_are_symmetric_to_the_bit_and_largest_with_oneself() -> None:
    for rows in (noise(37, 100, torch.float32), noise(37, PIECE + 100)):
        found = pairwise_minima(rows)
        assert torch.equal(found, found.T)
        assert (found <= found.diagonal()).all()


def test_equal_rows_have_equal_sums_wherever_they_stand() -> None:
    rows = noise(50, PIECE + 77, torch.float32)
    rows[41] = rows[3]
    found = pairwise_minima(rows)
    assert torch.equal(found[3], found[41])
    assert found[3, 41] == found[3, 3]


def test_the_order_of_rows_changes_nothing_but_places() -> None:
    rows = noise(40, 33)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pairwise_minima(rows[order]), pairwise_minima(rows)[order][:, order])


def test_rows_that_are_a_part_of_a_larger_matrix_are_read_in_place_or_copied_rightly() -> None:
    rows = noise(30, 60)
    assert torch.equal(pairwise_minima(rows[::2, ::3]), pairwise_minima(rows[::2, ::3].contiguous()))


def test_rows_are_left_as_they_were() -> None:
    rows = noise(20, 50)
    before = rows.clone()
    pairwise_minima(rows)
    assert torch.equal(rows, before)


def test_a_row_with_nan_shows_on_the_diagonal() -> None:
    rows = noise(20, 50, torch.float32)
    rows[7, 20] = torch.nan
    assert pairwise_minima(rows).diagonal().isnan().tolist() == [i == 7 for i in range(20)]


def test_the_number_of_threads_changes_nothing() -> None:
    rows = noise(70, 40, torch.float32)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(pairwise_minima(rows))
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
        pairwise_minima(rows)
