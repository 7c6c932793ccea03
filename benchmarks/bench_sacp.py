"""How fast SACP's search and training are here, for ResNet-56, the search against PyTorch Geometric in the same run.

    python benchmarks/bench_sacp.py            up to ten minutes: what the paper did, 5 M candidates and 50,000 x 10 epochs
    python benchmarks/bench_sacp.py --small    some seconds: a hundredth of that, to see that it runs
    python benchmarks/bench_sacp.py --write    also keep the figures in benchmarks/results_sacp.json

The search draws its candidates, scores them and keeps the best 300, in a process of its own whose peak memory is quoted.
PyTorch Geometric encodes a sample by the same weights; its rate is quoted with the batches ready, and with making them. The
scores of the sample are compared.
"""

import json
import time

import torch
from measuring import in_own_process, median_seconds, options, peak_gib, report, seconds
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, global_mean_pool

from prunebook import models
from prunebook.methods.sacp import ArchitectureGraph, Encoder, Scorer, Space, rankings, search, train
from prunebook.report.speed import RATE, Figure

TAU, BEST = 0.3, 300  # section 4.3, ResNet-56
CANDIDATES, CONFIGURATIONS, EPOCHS, BATCH = 5_000_000, 50_000, 10, 32
SAMPLE = 128  # graphs in PyTorch Geometric's batch


def scene() -> Scorer:
    """An encoder as it is before training, which takes as long as one after it, and all it needs."""
    model = models.build("resnet56", shortcut="B", seed=0)
    graph = ArchitectureGraph(model, torch.zeros(1, 3, 32, 32))
    return Scorer(Encoder(graph), graph, Space(graph), rankings(model, graph))


def search_once(candidates: int) -> None:
    scorer = scene()
    before = peak_gib()
    start = time.perf_counter()
    search(scorer, candidates, TAU, BEST)
    print(json.dumps({"seconds": time.perf_counter() - start, "before": before, "peak": peak_gib()}))


class Reference(nn.Module):
    """The encoder of PyTorch Geometric's layers."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GCNConv(*weight.shape) for weight in encoder.weights)
        for layer, weight, bias in zip(self.layers, encoder.weights, encoder.biases, strict=True):
            layer.lin.weight, layer.bias = nn.Parameter(weight.T.contiguous()), nn.Parameter(bias)

    def forward(self, batch: Batch) -> Tensor:
        hidden = self.layers[0](batch.x, batch.edge_index).relu()
        return global_mean_pool(self.layers[1](hidden, batch.edge_index), batch.batch)


@torch.no_grad()
def reference_rates(scorer: Scorer) -> dict[str, float]:
    """Candidates per second by PyTorch Geometric, by what is timed."""
    reference, graph = Reference(scorer.encoder), scorer.graph
    edges = torch.tensor([*graph.edges, *((j, i) for i, j in graph.edges)]).T
    r = torch.cat([torch.zeros(1, scorer.space.L, dtype=torch.uint8), scorer.space.sample(SAMPLE - 1, TAU)])
    masks = [table[ratios] for table, ratios in zip(scorer.masks, r.long().T, strict=True)]
    features = graph.assemble(masks)

    def batch() -> Batch:
        return Batch.from_data_list([Data(x=x, edge_index=edges) for x in features])

    ready = batch()
    embedded = reference(ready)
    difference = (scorer(r) - F.cosine_similarity(embedded, embedded[:1])).abs().max().item()
    assert difference <= 1e-5, difference
    return {
        "batches ready": SAMPLE / median_seconds(lambda: reference(ready)),
        "batches made": SAMPLE / median_seconds(lambda: reference(batch())),
    }


def search_figures(scorer: Scorer, candidates: int) -> list[Figure]:
    found = in_own_process("bench_sacp", f"search_once({candidates})")
    beside = [
        Figure(what="candidates drawn, scored and sorted", value=candidates / found["seconds"], unit=RATE,
               alternative=f"embedded by PyTorch Geometric, {what}", other=rate, sample=f"a batch of {SAMPLE}")
        for what, rate in reference_rates(scorer).items()
    ]  # fmt: skip
    return [
        Figure(what=f"search among {candidates:,} candidates for the best {BEST}", value=found["seconds"], unit="s"),
        *beside,
        Figure(what="peak memory of a process that searches", value=found["peak"], unit="GiB"),
        Figure(what="of which taken before the search", value=found["before"], unit="GiB"),
    ]


def training_figure(scorer: Scorer, configurations: int) -> Figure:
    taken, _ = seconds(
        lambda: train(scorer.graph, scorer.space, scorer.rankings, configurations, EPOCHS, BATCH, encoder=scorer.encoder)
    )
    return Figure(what=f"training, {configurations:,} configurations, {EPOCHS} epochs", value=taken, unit="s")


def main() -> None:
    given = options(__doc__, "--small")
    scale = 100 if given.small else 1
    scorer = scene()
    found = [*search_figures(scorer, CANDIDATES // scale), training_figure(scorer, CONFIGURATIONS // scale)]
    report("sacp", found, given.write, network="ResNet-56, projections in its shortcuts", tau=TAU)


if __name__ == "__main__":
    main()
