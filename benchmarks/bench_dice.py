"""How fast the Dice method is here, each figure against its alternative in the same run.

    python benchmarks/bench_dice.py            under a minute: the slowest alternative is timed on a sample and scaled
    python benchmarks/bench_dice.py --full     some minutes: it runs to its end
    python benchmarks/bench_dice.py --write    also keep the figures in benchmarks/results_dice.json

One layer of 512 filters, 512 x 3 x 3 weights each. Quoted times are medians of several calls after a warm-up; a single run
for alternatives that take seconds. Every alternative's result is compared with that of the package.
"""

import torch
from measuring import in_turns, median_seconds, options, report, seconds
from torch import Tensor

from prunebook.methods import dice
from prunebook.report.speed import Figure

FILTERS, CHANNELS, REMOVED = 512, 512, 100
SAMPLE = 60  # pairs of the plain loop that are timed


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


def similarity_figures(weight: Tensor, full: bool) -> list[Figure]:
    found = []

    def add(precision: str, value: float, alternative: str, other: float, sample: str = "") -> None:
        what = f"similarity of {FILTERS} filters, {precision}"
        found.append(Figure(what=what, value=value, unit="s", alternative=alternative, other=other, sample=sample))

    for precision, layer, tolerance in (("float64", weight.double(), 1e-12), ("float32", weight, 1e-5)):
        matrix, rows = dice.similarity(layer), dice.normalised(layer)
        torch.testing.assert_close(row_loop(rows).double(), matrix, rtol=0, atol=tolerance)
        fast, slow = in_turns(lambda w=layer: dice.similarity(w), lambda r=rows: row_loop(r))
        add(precision, fast, "one row at a time, by tensor operations", slow)
    slow, result = seconds(lambda: tensor_pairs(rows))
    torch.testing.assert_close(result.double(), matrix, rtol=0, atol=1e-5)
    add(precision, fast, "one pair at a time, by tensor operations", slow)
    pairs = [(i, j) for i in range(FILTERS) for j in range(i + 1, FILTERS)]
    some = pairs if full else pairs[:SAMPLE]
    lists = rows.tolist()
    slow, result = seconds(lambda: plain_pairs(lists, some))
    torch.testing.assert_close(
        torch.tensor(result).double(), torch.stack([matrix[pair] for pair in some]), rtol=0, atol=1e-5
    )
    sample = "" if full else f"{SAMPLE} of {len(pairs):,} pairs, scaled"
    add(precision, fast, "one pair and one weight at a time, plain Python", slow * len(pairs) / len(some), sample)
    return found


def greedy_figures(weight: Tensor) -> list[Figure]:
    similarity = dice.similarity(weight)
    share = (REMOVED + 0.5) / FILTERS  # as a limiter that allows REMOVED filters
    removals = median_seconds(lambda: dice.select(similarity, share, 0.1, 0.9, "greedy"), repeats=15)
    whole = median_seconds(lambda: dice.select(dice.similarity(weight), share, 0.1, 0.9, "greedy"), repeats=7)
    slow, gone = seconds(lambda: anew_removals(weight))
    kept = dice.select(similarity, share, 0.1, 0.9, "greedy")
    assert sorted(gone) == [i for i in range(FILTERS) if i not in kept]
    alternative = "the similarity of those left, by the same function, anew before each removal"
    return [
        Figure(
            what=f"{REMOVED} greedy removals, with the similarity",
            value=whole,
            unit="s",
            alternative=alternative,
            other=slow,
        ),
        Figure(what=f"{REMOVED} greedy removals, without it", value=removals, unit="s", alternative=alternative, other=slow),
    ]


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
    given = options(__doc__, "--full")
    weight = torch.randn(FILTERS, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(0))
    figures = similarity_figures(weight, given.full) + greedy_figures(weight)
    report("dice", figures, given.write, layer=f"{FILTERS} filters of {CHANNELS} x 3 x 3")


if __name__ == "__main__":
    main()
