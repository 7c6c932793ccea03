"""How fast SACP's search and training are here, for ResNet-56, the search against PyTorch Geometric in the same run.

    python benchmarks/bench_sacp.py            up to ten minutes: what the paper did, 5 M candidates and 50,000 x 10 epochs
    python benchmarks/bench_sacp.py --small    some seconds: a hundredth of that, to see that it runs
    python benchmarks/bench_sacp.py --write    also keep the figures in benchmarks/results_sacp.json

The search draws its candidates, scores them and keeps the best 300, in a process of its own whose peak memory is quoted.
PyTorch Geometric encodes a sample by the same weights; its rate is quoted with the batches ready, and with making them. The
scores of the sample are compared.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from bench_kcore import median_seconds, peak_gib
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, global_mean_pool

from prunebook import files, models
from prunebook.methods.sacp import ArchitectureGraph, Encoder, Scorer, Space, rankings, search, train
from prunebook.trials import provenance

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


def search_figures(candidates: int) -> dict[str, float]:
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import bench_sacp; bench_sacp.search_once({candidates})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout.splitlines()[-1])
    return {
        f"search, {candidates:,} candidates, s": found["seconds"],
        "search, candidates per second": candidates / found["seconds"],
        "peak memory, GiB": found["peak"],
        "of which before the search, GiB": found["before"],
    }


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
def reference_figures(scorer: Scorer) -> dict[str, float]:
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
        "PyTorch Geometric, batches ready, candidates per second": SAMPLE / median_seconds(lambda: reference(ready)),
        "PyTorch Geometric, with making batches, candidates per second": SAMPLE / median_seconds(lambda: reference(batch())),
        "largest difference of scores, millionths": difference * 1e6,
    }


def training_figures(scorer: Scorer, configurations: int) -> dict[str, float]:
    start = time.perf_counter()
    train(scorer.graph, scorer.space, scorer.rankings, configurations, EPOCHS, BATCH, encoder=scorer.encoder)
    return {f"training, {configurations:,} configurations x {EPOCHS} epochs, s": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    scale = 100 if options.small else 1
    scorer = scene()
    figures = search_figures(CANDIDATES // scale) | reference_figures(scorer)
    rate = figures["search, candidates per second"]
    figures["search, times faster than PyTorch Geometric with batches ready"] = (
        rate / figures["PyTorch Geometric, batches ready, candidates per second"]
    )
    figures |= training_figures(scorer, CONFIGURATIONS // scale)
    found = {name: round(value, 3) for name, value in figures.items()}
    for name, value in found.items():
        print(f"{value:>16,.3f}  {name}")
    if options.write:
        facts = {"network": "resnet56, shortcut B", "tau": TAU, "best": BEST, **provenance.describe("cpu")}
        files.write_json(Path(__file__).parent / "results_sacp.json", {"figures": found, "made": facts})


if __name__ == "__main__":
    main()
