"""L1 distances between all rows of a matrix, as fast as the processor reads them.

PyTorch's own ``pdist`` waits for one sum at a time. Here a tile of two by four rows is summed at once, so that a number that
was read is used several times, and the sums do not wait for each other.
"""

from collections.abc import Callable
from functools import cache
from threading import Thread
from typing import cast

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
    padded = (F.pad(rows.detach(), (0, 0, 0, -n % BLOCK)) if n % BLOCK else rows.detach()).contiguous().numpy()
    found = np.empty((len(padded), len(padded)), padded.dtype)
    tasks = np.stack(np.triu_indices(len(padded) // BLOCK), axis=1)  # of two distances only one is computed
    mine, *others = np.array_split(tasks, torch.get_num_threads())
    compare = _compiled()
    # Threads of Python's: those of a second OpenMP and PyTorch's would wait for each other, busily.
    threads = [Thread(target=compare, args=(padded, some, found)) for some in others]
    for thread in threads:
        thread.start()
    compare(padded, mine, found)
    for thread in threads:
        thread.join()
    return torch.from_numpy(found[:n, :n] if n == len(found) else found[:n, :n].copy())


@cache
def _compiled() -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    import numba  # here, because importing it takes half a second

    block = BLOCK

    def compare(rows, tasks, found):  # type: ignore[no-untyped-def]
        """Fill `found` for pairs of blocks (t, 2)."""
        zero = rows.dtype.type(0)
        for one, other in tasks:
            for i in range(one * block, one * block + block, 2):
                a, b = rows[i], rows[i + 1]
                for j in range(other * block, other * block + block, 4):
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

    options = {"nogil": True, "fastmath": {"reassoc", "nsz", "contract"}}
    try:
        compiled = numba.njit(compare, cache=True, **options)
    except RuntimeError:  # there is no folder that it may keep compiled code in
        compiled = numba.njit(compare, **options)
    return cast(Callable[[np.ndarray, np.ndarray, np.ndarray], None], compiled)
