"""How fast MRP's plan is here, against looking at every layer anew in each iteration, which has to find the same.

    python benchmarks/bench_mrp.py            some minutes: ResNet-20 and ResNet-110 to half their MACs, one filter at a time
    python benchmarks/bench_mrp.py --small    some seconds: ResNet-20 alone
    python benchmarks/bench_mrp.py --write    also keep the figures in benchmarks/results_mrp.json

On ResNet-20 the slow side goes through all iterations, on ResNet-110 through every 20th, and is scaled. The filters that are
left then are known from the plan's trace; the layer and the filter that the slow side would take next have to be those of
the trace. Both sides trace the network and compare the filters of each layer once. Times to compare are those of the
processor, so that other work on the machine hardly moves them, and of one thread, since threads that wait for each other
count too.
"""

import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from bench_kcore import network
from measuring import options, report, seconds
from torch import Tensor, nn

from prunebook import cutting
from prunebook.methods import mrp
from prunebook.report.speed import Figure

TARGET, EVERY = 0.5, 20
NETWORKS = {"resnet20": "ResNet-20", "resnet110": "ResNet-110"}


def cpu_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = call()
    return time.process_time() - start, found


def once(model: nn.Module, images: Tensor) -> tuple[dict[str, Tensor], Any]:
    """What both sides do once."""
    names = [group[0] for group in cutting.coupled_layers(model, images[:1]) if len(group) == 1]
    count = cutting.cost_if_kept(model, images[:1], names)
    return mrp.similarities(model, images, names), count


def next_of_all(alike: dict[str, Tensor], l1: dict[str, np.ndarray], left: dict[str, list[int]]) -> tuple[str, int]:
    """The layer and the filter that go next, with a new graph and new communities of every layer."""
    most, taken = -1.0, ("", -1)
    for name, filters in left.items():
        graph = mrp.filter_graph(alike[name][filters][:, filters])
        found = mrp.communities(graph)
        level = mrp.redundancy(len(filters), found)
        place = mrp.replaceable(graph, found, l1[name][filters])
        if place is not None and level > most:
            most, taken = level, (name, filters[place])
    return taken


def plan_figures(name: str, every: int) -> list[Figure]:
    model, images = network(name)
    once(model, images)  # what is imported and allocated at the first call belongs to neither side
    compared = list[float]()  # when all filters were compared: what follows is the loop

    def similarities(*given: Any) -> dict[str, Tensor]:
        found = mrp.similarities(*given)
        compared.append(time.process_time())
        return found

    with patch("prunebook.methods.mrp.graphs.similarities", similarities):
        wall, (fast, plan) = seconds(lambda: cpu_seconds(lambda: mrp.plan(model, images, TARGET, step=1)))
        loop = time.process_time() - compared[-1]
    shared, (alike, count) = cpu_seconds(lambda: once(model, images))
    l1 = {layer: mrp.norms(model.get_parameter(f"{layer}.weight")) for layer in alike}
    left = {layer: list(range(len(matrix))) for layer, matrix in alike.items()}
    trace, times = plan.parameters["trace"], []
    for number, iteration in enumerate(trace):
        taken = iteration["layer"], iteration["filters"][0]
        if number % every == 0:
            taken_time, (found, _) = cpu_seconds(lambda: (next_of_all(alike, l1, left), count(left)))
            assert found == taken, (number, found, taken)
            times.append(taken_time)
        left[taken[0]].remove(taken[1])
    assert {layer: plan.keep[layer] for layer in left} == left
    slow = sum(times) / len(times) * len(trace)
    what = f"plan for {NETWORKS[name]}, {len(trace):,} filters one at a time"
    sample = f"{len(times)} of {len(trace):,} iterations, scaled" if every > 1 else ""
    return [
        Figure(what=f"{what}, on the clock", value=wall, unit="s"),
        Figure(what=what, value=fast, unit="CPU s", alternative="every layer anew in each iteration", other=shared + slow,
               sample=sample),
        Figure(what="of which tracing the network and comparing filters, which both do once", value=shared, unit="CPU s"),
        Figure(what="and the loop: communities, and filter after filter", value=loop, unit="CPU s",
               alternative="every layer anew in each iteration", other=slow, sample=sample),
    ]  # fmt: skip


def main() -> None:
    given = options(__doc__, "--small")
    torch.set_num_threads(1)
    found = plan_figures("resnet20", every=1)
    if not given.small:
        found += plan_figures("resnet110", EVERY)
    report("mrp", found, given.write, images=100, target=TARGET, threads=1)


if __name__ == "__main__":
    main()
