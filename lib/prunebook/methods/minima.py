"""Sums of the minima of all pairs of rows of a matrix, as fast as the processor reads them, and what comes before them.

A tile of two by four rows is summed at once, so that a number that was read is used several times, and the sums do not wait
for each other. Long rows are read in pieces, so that those of two blocks stay in the cache.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from prunebook.errors import require

BLOCK = 16  # rows that are compared with as many others before the next ones
PIECE = 2304  # numbers of a row that are summed in its own precision: 256 channels of 3 x 3


def pairwise_minima(rows: Tensor) -> Tensor:
    """Sum of the smaller number at each place, for every pair of rows: (n, d) float32 or float64 -> (n, n) float64.

    Symmetric to the bit, and the same for equal rows wherever they stand: those have in common what each has in common with
    itself. A sum is never larger than either row's own, which stands on the diagonal; a row with NaN has NaN there. Sums
    of float32 are good to some 1e-7 of what the absolute values add up to. On the CPU it is compiled on the first call
    ever, which takes some seconds, and uses as many threads as PyTorch.
    """
    require(rows.dim() == 2, "rows.shape", tuple(rows.shape), "(n, d)")
    require(rows.dtype in (torch.float32, torch.float64), "rows.dtype", rows.dtype, "float32 or float64")
    rows = rows.detach()
    return _compiled_minima(rows) if rows.device.type == "cpu" else _minima_by_rows(rows)


def _minima_by_rows(rows: Tensor) -> Tensor:
    return torch.stack([torch.minimum(row, rows).sum(dim=1, dtype=torch.float64) for row in rows])


def extremes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest number of each row, (n, d) -> (n, 1) each; NaN for a row with NaN.

    On the CPU by numpy: PyTorch's threads, after an operation that they share, wait for more, busily, for some
    milliseconds, and take a core from the threads that compare rows.
    """
    if rows.device.type != "cpu":
        return rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True)
    numbers = rows.numpy()
    return torch.from_numpy(numbers.min(axis=1, keepdims=True)), torch.from_numpy(numbers.max(axis=1, keepdims=True))


def divided(rows: Tensor, divisor: Tensor) -> Tensor:
    """``rows / divisor``, (n, d) and (n, 1). On the CPU by numpy, as `extremes`."""
    if rows.device.type != "cpu":
        return rows / divisor
    quotients = torch.empty_like(rows, memory_format=torch.contiguous_format)
    np.divide(rows.numpy(), divisor.numpy(), out=quotients.numpy())
    return quotients


def _compiled_minima(rows: Tensor) -> Tensor:
    n = len(rows)
    padded = (F.pad(rows, (0, 0, 0, -n % BLOCK)) if n % BLOCK else rows).contiguous().numpy()
    found = np.zeros((len(padded), len(padded)))
    compare = _compiled()
    # Threads of Python's: those of a second OpenMP and PyTorch's would wait for each other, busily. PyTorch's own do so for
    # some milliseconds after each of its operations, on one of the cores: whoever is free takes the next strip.
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(lambda start: compare(padded, start, found), range(0, n, BLOCK)))
    return torch.from_numpy(found[:n, :n] if n == len(found) else found[:n, :n].copy())


@cache
def _compiled() -> Callable[[np.ndarray, int, np.ndarray], None]:
    import numba  # here, because importing it takes half a second

    block, piece = BLOCK, PIECE

    def compare(rows, start, found):  # type: ignore[no-untyped-def]
        """Fill a strip of `found`, one block high, from the diagonal to the right, and the strip opposite."""
        zero = rows.dtype.type(0)
        for other in range(start, len(rows), block):
            for left in range(0, rows.shape[1], piece):
                right = left + piece
                for i in range(start, start + block, 2):
                    a, b = rows[i, left:right], rows[i + 1, left:right]
                    for j in range(other, other + block, 4):
                        p, q = rows[j, left:right], rows[j + 1, left:right]
                        r, s = rows[j + 2, left:right], rows[j + 3, left:right]
                        ap = aq = ar = as_ = bp = bq = br = bs = zero
                        for k in range(len(a)):
                            ap += min(a[k], p[k])
                            aq += min(a[k], q[k])
                            ar += min(a[k], r[k])
                            as_ += min(a[k], s[k])
                            bp += min(b[k], p[k])
                            bq += min(b[k], q[k])
                            br += min(b[k], r[k])
                            bs += min(b[k], s[k])
                        found[i, j] += ap
                        found[i, j + 1] += aq
                        found[i, j + 2] += ar
                        found[i, j + 3] += as_
                        found[i + 1, j] += bp
                        found[i + 1, j + 1] += bq
                        found[i + 1, j + 2] += br
                        found[i + 1, j + 3] += bs
            found[other : other + block, start : start + block] = found[start : start + block, other : other + block].T

    options = {"nogil": True, "fastmath": {"reassoc", "nsz", "contract"}}
    try:
        compiled = numba.njit(compare, cache=True, **options)
    except RuntimeError:  # there is no folder that it may keep compiled code in
        compiled = numba.njit(compare, **options)
    return cast(Callable[[np.ndarray, int, np.ndarray], None], compiled)
