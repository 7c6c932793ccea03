"""L1 distances between all rows of a matrix, as fast as the processor reads them.

PyTorch's own ``pdist`` waits for one sum at a time. Here a tile of two by four rows is summed at once, so that a number that
was read is used several times, and the sums do not wait for each other.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from prunebook.errors import require

BLOCK = 16  # rows that one task compares with as many others: they stay in the cache


def pairwise_l1(rows: Tensor) -> Tensor:
    """Sum of absolute differences of every pair of rows: (n, d) float32 or float64 -> (n, n) of the same kind.

    Symmetric to the bit, 0 on the diagonal, and the same for equal rows wherever they stand. On the CPU it is compiled on
    the first call ever, which takes some seconds, and uses as many threads as PyTorch; elsewhere it is PyTorch's ``pdist``.
    """
    require(rows.dim() == 2, "rows.shape", tuple(rows.shape), "(n, d)")
    require(rows.dtype in (torch.float32, torch.float64), "rows.dtype", rows.dtype, "float32 or float64")
    n = len(rows)
    if rows.device.type != "cpu":
        distance = rows.new_zeros(n, n)
        upper = torch.ones(n, n, dtype=torch.bool, device=rows.device).triu(1)
        distance.masked_scatter_(upper, F.pdist(rows, p=1))  # row by row, as pdist counts
        return distance + distance.T
    padded = F.pad(rows.detach(), (0, 0, 0, -n % BLOCK)).contiguous()
    blocks = len(padded) // BLOCK
    found = np.empty((len(padded), len(padded)), padded.numpy().dtype)
    first, second = np.triu_indices(blocks)
    _compiled()(padded.numpy(), first, second, found, torch.get_num_threads())
    return torch.from_numpy(found[:n, :n].copy())


@cache
def _compiled() -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], None]:
    import numba  # here, because importing it takes half a second

    block = BLOCK

    def tiles(rows, first, second, found):  # type: ignore[no-untyped-def]
        zero = rows.dtype.type(0)
        for task in numba.prange(len(first)):
            for i in range(first[task] * block, first[task] * block + block, 2):
                a, b = rows[i], rows[i + 1]
                for j in range(second[task] * block, second[task] * block + block, 4):
                    p, q, r, s = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
                    ap = aq = ar = as_ = bp = bq = br = bs = zero
                    for k in range(rows.shape[1]):
                        ap += abs(a[k] - p[k])
                        aq += abs(a[k] - q[k])
                        ar += abs(a[k] - r[k])
                        as_ += abs(a[k] - s[k])
                        bp += abs(b[k] - p[k])
                        bq += abs(b[k] - q[k])
                        br += abs(b[k] - r[k])
                        bs += abs(b[k] - s[k])
                    found[i, j] = found[j, i] = ap
                    found[i, j + 1] = found[j + 1, i] = aq
                    found[i, j + 2] = found[j + 2, i] = ar
                    found[i, j + 3] = found[j + 3, i] = as_
                    found[i + 1, j] = found[j, i + 1] = bp
                    found[i + 1, j + 1] = found[j + 1, i + 1] = bq
                    found[i + 1, j + 2] = found[j + 2, i + 1] = br
                    found[i + 1, j + 3] = found[j + 3, i + 1] = bs

    options = {"parallel": True, "fastmath": {"reassoc", "nsz", "contract"}}
    try:
        compiled = numba.njit(tiles, cache=True, **options)
    except RuntimeError:  # there is no folder that it may keep compiled code in
        compiled = numba.njit(tiles, **options)

    def run(rows: np.ndarray, first: np.ndarray, second: np.ndarray, found: np.ndarray, threads: int) -> None:
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        try:
            compiled(rows, first, second, found)
        finally:
            numba.set_num_threads(before)

    return run
