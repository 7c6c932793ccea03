"""How fast plans by annealing are here, against the walk as it is defined, pair by pair, which has to find the same.

    python benchmarks/bench_annealing.py            about a minute: Table I's networks by 80 % in the steps of Table II
    python benchmarks/bench_annealing.py --small    some seconds: an MNIST network of a quarter of the width
    python benchmarks/bench_annealing.py --write    also keep the figures in benchmarks/results_annealing.json

The definition is followed without shortcuts: in every layer and epoch the distances of all pairs one by one, bounds of all
units anew, then for each candidate alone its impact on the next layer, the propagation to the outputs, and its energy. It
draws the same random numbers. Weights are random, of the shapes of Table I: the work hangs on the shapes. The figures to
compare are of one thread.
"""

import math
from itertools import pairwise, product
from typing import Any

import torch
from bench_mrp import cpu_seconds
from measuring import options, report, seconds
from torch import Tensor, nn

from prunebook import models
from prunebook.methods import annealing
from prunebook.methods.allocation import limit
from prunebook.methods.annealing import Interval
from prunebook.report.speed import Figure

TARGET = 0.8
CASES = {"mlp_credit": 1 / 32, "mlp_kdd": 1 / 32, "mlp_mnist": 1 / 64, "cnn_annealing": 1 / 64}  # the steps of Table II
SHAPES = {"mlp_credit": (1, 29, 1), "mlp_kdd": (23, 120, 1), "mlp_mnist": (10, 1, 28), "cnn_annealing": (10, 3, 32)}
NAMES = {"mlp_credit": "credit cards", "mlp_kdd": "KDD Cup'99", "mlp_mnist": "MNIST", "cnn_annealing": "CIFAR-10"}
BOUNDS = (0.0, 1.0)


def network(name: str, width: float = 1.0) -> tuple[nn.Module, Tensor]:
    classes, channels, size = SHAPES[name]
    return models.build(name, classes, channels, seed=0, width=width), torch.zeros(1, channels, size, size)


def distances(weight: Tensor, bias: Tensor, outgoing: Tensor, units: list[int]) -> dict[tuple[int, int], float]:
    """Eq. 2 of every ordered pair of the units left, one after the other."""
    found = {}
    for i, j in product(units, units):
        if i != j:
            apart, total = abs(float(bias[i] - bias[j])), abs(float(bias[i] + bias[j]))
            term = 0.0 if apart == total == 0 else apart / total if total else math.inf
            found[i, j] = float(outgoing[:, i].mean()) * (float(torch.dist(weight[i], weight[j])) + term)
    return found


def as_defined(model: nn.Module, inputs: Tensor, step: float, seed: int = 0) -> list[dict[str, Any]]:
    """Algorithm 1 pair by pair: the pairs of every epoch and layer, as in a plan's trace."""
    layers = annealing.read(model, BOUNDS, inputs).layers
    generator = torch.Generator().manual_seed(seed)
    most = [limit(layer.width, TARGET) for layer in layers[:-1]]
    gone: list[set[int]] = [set() for _ in most]
    total = Interval(*(torch.zeros(layers[-1].width, dtype=torch.float64) for _ in range(2)))
    trace, epoch = [], 0
    while any(len(lost) < end for lost, end in zip(gone, most, strict=True)):
        epoch += 1
        for at, (layer, after) in enumerate(pairwise(layers)):
            wanted = min(math.ceil(step * layer.width - 1e-9), most[at] - len(gone[at]))
            if wanted <= 0:
                continue
            heat = 1 - sum(map(len, gone)) / sum(most)
            left = [unit for unit in range(layer.width) if unit not in gone[at]]
            saliency = distances(layer.weight, layer.bias, after.weight, left)
            units = Interval(*(torch.full(layers[0].weight.shape[1:], bound, dtype=torch.float64) for bound in BOUNDS))
            for below in layers[: at + 1]:
                units = annealing.interval(below.weight, below.bias, units, "relu")
            pairs, changes, previous = [], [], math.inf
            taken, took_over = set[int](), set[int]()
            for i, j in sorted(saliency, key=saliency.__getitem__):
                if i in taken or j in taken or i in took_over:
                    continue
                delta = annealing.impact(after.weight, units, [i], [j])
                for later in layers[at + 2 :]:
                    delta = later.change(Interval(delta.lower.clamp(max=0), delta.upper.clamp(min=0)))
                whole = Interval(total.lower + delta.lower[0], total.upper + delta.upper[0])
                energy = round(float(annealing.energy(whole)) * 2**40) / 2**40
                worse = energy > previous
                drawn = float(torch.rand((), generator=generator, dtype=torch.float64)) if worse else 0.0
                if drawn < annealing.acceptance(energy, previous, heat):
                    previous = energy
                    pairs.append([i, j])
                    changes.append(delta)
                    taken.add(i)
                    took_over.add(j)
                    if len(pairs) == wanted:
                        break
            for (i, j), delta in zip(pairs, changes, strict=True):
                after.merge(i, j, layer.width)
                gone[at].add(i)
                total = Interval(total.lower + delta.lower[0], total.upper + delta.upper[0])
            trace.append({"epoch": epoch, "layer": layer.name, "pairs": pairs})
    return trace


def against_definition(name: str, width: float) -> list[Figure]:
    model, inputs = network(name, width)
    step = CASES[name]
    annealing.plan(network(name, 0.1)[0], BOUNDS, TARGET, 0.5, example_inputs=inputs)  # what is loaded at a first call
    fast, plan = cpu_seconds(lambda: annealing.plan(model, BOUNDS, TARGET, step, example_inputs=inputs))
    slow, trace = cpu_seconds(lambda: as_defined(model, inputs, step))
    assert [{key: entry[key] for key in ("epoch", "layer", "pairs")} for entry in plan.parameters["trace"]] == trace
    what = f"plan for the {NAMES[name]} network, {plan.removed()} units in {annealing.epochs(plan)} epochs"
    return [Figure(what=what, value=fast, unit="CPU s", alternative="the walk as defined, pair by pair", other=slow)]


def on_the_clock(name: str, variant: str) -> Figure:
    """As Table II has it: wall time with all threads."""
    model, inputs = network(name)
    wall, plan = seconds(lambda: annealing.plan(model, BOUNDS, TARGET, CASES[name], variant, example_inputs=inputs))
    steps = f"steps of {100 * CASES[name]:.2f} %"
    return Figure(
        what=f"80 % of the {NAMES[name]} network, {plan.removed()} units, {steps}, {variant}", value=wall, unit="s"
    )


def main() -> None:
    given = options(__doc__, "--small")
    threads = torch.get_num_threads()
    found = [] if given.small else [on_the_clock(name, variant) for name in CASES for variant in ("paper", "official")]
    torch.set_num_threads(1)
    found += against_definition("mlp_mnist", 0.25 if given.small else 1.0)
    report("annealing", found, given.write, target=TARGET, threads=threads)


if __name__ == "__main__":
    main()
