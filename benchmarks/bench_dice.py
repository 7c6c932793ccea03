"""How fast the Dice method is here, each figure against its alternative in the same run.

    python benchmarks/bench_dice.py            under a minute: the slowest alternative is timed on a sample and scaled
    python benchmarks/bench_dice.py --full     some minutes: it runs to its end
    python benchmarks/bench_dice.py --write    also keep the figures in benchmarks/results_dice.json

One layer of 512 filters, 512 x 3 x 3 weights each. Quoted times are medians of several calls after a warm-up; a single run
for alternatives that take seconds. Every alternative's result is compared with that of the package.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_kcore import median_seconds
from torch import Tensor

from prunebook import files
from prunebook.methods import dice
from prunebook.trials import provenance

FILTERS, CHANNELS, REMOVED = 512, 512, 100
SAMPLE = 60  # pairs of the plain loop that are timed


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def in_turns(fast: Callable[[], Any], slow: Callable[[], Any], rounds: int = 7) -> tuple[float, float]:
    """Median seconds of both, called in turns so that other work on the machine weighs on both alike."""
    fast(), slow()
    times = [(seconds(fast)[0], seconds(slow)[0]) for _ in range(rounds)]
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def row_loop(rows: Tensor) -> Tensor:
    """Eq. 4, one row of the matrix at a time."""
    sums = rows.sum(1)
    return torch.stack([2 * torch.minimum(row, rows).sum(1) / (total + sums) for row, total in zip(rows, sums, strict=True)])


def tensor_pairs(rows: Tensor) -> Tensor:
    """Eq. 4, one pair at a time, by tensor operations."""
    n, sums = len(rows), rows.sum(1).tolist()
    matrix = torch.eye(n, dtype=rows.dtype)
    for i in range(n):
        for j in range(i + 1, n):
            shared = torch.minimum(rows[i], rows[j]).sum().item()
            matrix[i, j] = matrix[j, i] = 2 * shared / (sums[i] + sums[j])
    return matrix


def plain_pairs(rows: list[list[float]], pairs: list[tuple[int, int]]) -> list[float]:
    """Eq. 4, one pair and one weight at a time."""
    found = []
    for i, j in pairs:
        shared = both = 0.0
        for a, b in zip(rows[i], rows[j], strict=True):
            shared += min(a, b)
            both += a + b
        found.append(2 * shared / both)
    return found


def similarity_figures(weight: Tensor, full: bool) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, layer, tolerance in (("float32", weight, 1e-5), ("float64", weight.double(), 1e-12)):
        rows = dice.normalised(layer)
        torch.testing.assert_close(row_loop(rows).double(), dice.similarity(layer), rtol=0, atol=tolerance)
        fast, slow = in_turns(lambda w=layer: dice.similarity(w), lambda r=rows: row_loop(r))
        found |= {f"similarity, {name}, s": fast, f"loop over rows, {name}, s": slow}
        found[f"similarity, {name}, times faster than the loop over rows"] = slow / fast
    fast, matrix, rows = found["similarity, float32, s"], dice.similarity(weight), dice.normalised(weight)
    slow, result = seconds(lambda: tensor_pairs(rows))
    torch.testing.assert_close(result.double(), matrix, rtol=0, atol=1e-5)
    found |= {"loop over pairs of tensors, float32, s": slow, "similarity, times faster than pairs of tensors": slow / fast}
    pairs = [(i, j) for i in range(FILTERS) for j in range(i + 1, FILTERS)]
    some = pairs if full else pairs[:SAMPLE]
    lists = rows.tolist()
    slow, result = seconds(lambda: plain_pairs(lists, some))
    torch.testing.assert_close(
        torch.tensor(result).double(), torch.stack([matrix[pair] for pair in some]), rtol=0, atol=1e-5
    )
    slow *= len(pairs) / len(some)
    found |= {
        "loop over pairs and weights, plain Python, s": slow,
        "similarity, times faster than plain Python": slow / fast,
    }
    return found


def greedy_figures(weight: Tensor) -> dict[str, float]:
    similarity = dice.similarity(weight)
    share = (REMOVED + 0.5) / FILTERS  # as a limiter that allows REMOVED filters
    removals = median_seconds(lambda: dice.select(similarity, share, 0.1, 0.9, "greedy"), repeats=15)
    whole = median_seconds(lambda: dice.select(dice.similarity(weight), share, 0.1, 0.9, "greedy"), repeats=7)
    slow, gone = seconds(lambda: anew_removals(weight))
    kept = dice.select(similarity, share, 0.1, 0.9, "greedy")
    assert sorted(gone) == [i for i in range(FILTERS) if i not in kept]
    return {
        f"greedy, {REMOVED} removals, s": removals,
        f"greedy, similarity and {REMOVED} removals, s": whole,
        f"greedy, similarity anew before each of {REMOVED} removals, s": slow,
        "greedy, times faster with the similarity counted": slow / whole,
        "greedy, times faster, removals alone": slow / removals,
    }


def anew_removals(weight: Tensor) -> list[int]:
    """Section 3.2 as printed: the similarity of those left is computed anew before each removal, by the fast function."""
    left, gone = list(range(len(weight))), []
    for _ in range(REMOVED):
        averages = dice.average(dice.similarity(weight[left]))
        tau_min, tau_max = dice.thresholds(averages, 0.1, 0.9)
        redundant = averages.max() - tau_max >= tau_min - averages.min()
        gone.append(left.pop(int(averages.argmax() if redundant else averages.argmin())))
    return gone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    weight = torch.randn(FILTERS, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(0))
    figures = {**similarity_figures(weight, options.full), **greedy_figures(weight)}
    found = {name: round(value, 4) for name, value in figures.items()}
    for name, value in found.items():
        print(f"{value:>14,.4f}  {name}")
    if options.write:
        how = "to the end" if options.full else f"plain loop: {SAMPLE} pairs, scaled; the others to the end"
        facts = {"slow alternatives": how, "layer": f"{FILTERS} x {CHANNELS} x 3 x 3", **provenance.describe("cpu")}
        files.write_json(Path(__file__).parent / "results_dice.json", {"figures": found, "made": facts})


if __name__ == "__main__":
    main()
