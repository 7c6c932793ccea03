"""The kinds of trial that MRP has alone: its plan step by step, one layer's graph, and the tests of its hypothesis."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from prunebook import data, distributed, features, measure, models, roles, training
from prunebook.errors import choose
from prunebook.methods import mrp
from prunebook.trials.engine import Context
from prunebook.trials.tasks import Baseline, Seed, costs, example, load_data, load_network, normalisation
from prunebook.trials.tasks import kept as as_digits
from prunebook.trials.trial import Parameters, Trial, task

FRESH = 10_000  # first seed of untrained networks, far from those that trained ones begin with
_DIGITS = 6


class Communities(Parameters):
    """How a layer's filters are joined, and divided into communities: options of `methods.mrp.plan`."""

    measure: Literal["maps", "correlation", "weights", "phash", "dice"] = "maps"
    sparsify: Literal["quantile", "knn", "threshold"] = "quantile"
    quantile: float = Field(0.9, ge=0, le=1)
    neighbours: int = Field(5, ge=1)
    threshold: float = Field(0.5, ge=0, le=1)
    detector: Literal["louvain", "leiden", "label-propagation", "greedy-modularity"] = "louvain"
    resolution: float = Field(1.0, gt=0)

    def unusual(self, *beside: str) -> str:
        """The parameters that are not the defaults, but for those named: ", measure weights"."""
        fields = type(self).model_fields
        return "".join(f", {name} {value}" for name, value in self if name not in beside and value != fields[name].default)


class Mrp(Communities):
    """A decision by maximum redundancy pruning: see `methods.mrp.plan`. Its trace is the result of the task "trace"."""

    ratio: ClassVar[None] = None  # how much a layer loses is what it decides

    method: Literal["mrp"]
    target: float = Field(gt=0, lt=1, description="share to remove")
    counter: Literal["macs", "params"] = "macs"
    edges: Literal["anew", "once"] = "anew"
    likeness: Literal["once", "anew"] = "once"
    kind: Literal["count", "modularity"] = "count"
    rule: Literal["replaceable", "random", "l1", "least replaceable"] = "replaceable"
    layer: Literal["redundant", "uniform", "random"] = "redundant"
    step: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = 0.02
    scope: Literal["internal", "coupled"] = "internal"
    mode: Literal["eval", "train"] = "eval"

    def describe(self) -> str:
        return f"mrp {self.target:g}{self.unusual('method', 'target')}"


class Trace(Parameters):
    """The decision on a baseline, step by step."""

    baseline: Baseline
    decision: Mrp
    images: int = Field(100, ge=1, description="training images")
    draw: int = Seed

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}: {self.decision.describe()}"


class Graph(Communities):
    """One layer's filters, joined and divided into communities."""

    baseline: Baseline
    layer: str
    images: int = Field(100, ge=1, description="training images")
    seed: int = Seed

    def describe(self) -> str:
        return f"{self.baseline.arch} on {self.baseline.dataset}: {self.layer}{self.unusual('baseline', 'layer', 'images')}"


class Roles(Communities):
    """The tests of the Role-Information hypothesis, layer by layer: see `roles.study`."""

    baseline: Baseline
    images: int = Field(200, ge=4, description="training images, in two halves: for graphs, and for likeness")
    tested: int = Field(512, ge=1, description="images of the test split, on which loss and accuracy are measured")
    share: float = Field(0.125, gt=0, lt=1, description="of a layer's filters that are removed at a time, at least two")
    layers: list[str] | None = Field(None, min_length=1, description="default: all whose width no other layer shares")
    draws: int = Field(16, ge=1, description="of communities and filters, for each comparison")
    nulls: int = Field(8, ge=0, description="random graphs of each layer, and random sets of vectors")
    untrained: int = Field(3, ge=0, description="networks of the same architecture with fresh weights")
    divisions: int = Field(4, ge=1, description="seeds of the algorithm that finds communities")
    seed: int = Seed

    def describe(self) -> str:
        beside = ("baseline", "images", "tested", "share", "draws", "nulls", "untrained", "divisions")
        return f"{self.baseline.arch} on {self.baseline.dataset}: {self.draws} draws{self.unusual(*beside)}"


def _needs_baseline(p: Trace | Graph | Roles) -> list[Trial]:
    return [] if p.baseline.weights else [Trial("baseline", p.baseline.model_dump(mode="json"))]


@task("trace", version=1, parameters=Trace, needs=_needs_baseline)
def trace(p: Trace, context: Context) -> dict[str, Any]:
    """Which layer loses which filters at each iteration, and why; what is left in the end, and what it costs.

    `times["plan"]` is how long the decision takes. Nothing is trained, and no accuracy is measured.
    """
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    images = data.normalise(data.draw(dataset.train, p.images, p.draw), *normalisation(p.baseline, dataset))
    options = {name: value for name, value in p.decision if name != "method"}
    with context.timed("plan"):
        plan = distributed.from_main(lambda: mrp.plan(model, images, seed=p.draw, **options))
    inputs = example(dataset, context)
    pruned = plan.apply(model, inputs)
    return {
        "trace": plan.parameters["trace"],
        "widths": plan.widths,
        "keep": as_digits(plan),
        "cost": {counter: costs(model, pruned, inputs, counter) for counter in measure.COUNTERS},
        "removed": round(plan.parameters["removed"], _DIGITS),
    }


@task("graph", version=1, parameters=Graph, needs=_needs_baseline)
def graph(p: Graph, context: Context) -> dict[str, Any]:
    """The edges between one layer's filters, their communities, and each filter's L1 norm."""
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    convolutions = features.convolutions(model)
    name = choose("layer", p.layer, convolutions)
    images = data.normalise(data.draw(dataset.train, p.images, p.seed), *normalisation(p.baseline, dataset))
    how = _graphs(p)
    alike = mrp.similarities(model, images, [name], p.measure)[name]
    weights = how.weights(alike)
    found = how.communities(weights, p.seed)
    return {
        "layer": name,
        "filters": len(weights),
        "edges": [[int(i), int(j), round(float(weights[i, j]), _DIGITS)] for i, j in np.argwhere(np.triu(weights))],
        "communities": found,
        "l1": [round(norm, _DIGITS) for norm in mrp.norms(convolutions[name].weight).tolist()],
        "redundancy": round(how.redundancy(found, mrp.silent(alike)), _DIGITS),
        "modularity": round(mrp.modularity(weights, found, p.resolution), _DIGITS),
    }


@task("roles", version=2, parameters=Roles, needs=_needs_baseline)
def role_information(p: Roles, context: Context) -> dict[str, Any]:
    """The tests on each layer, and the loss and accuracy of the whole network on the same images.

    These are of the test split: nothing is chosen by them, and of foreign weights it is the only part that they have not
    been trained on. Batch norms of untrained networks have the statistics of the first half of the training images.
    """
    dataset = load_data(p.baseline, context)
    model = load_network(p.baseline, dataset, context)
    normal = normalisation(p.baseline, dataset)
    halves = data.draw(dataset.train, p.images, p.seed).tensor_split(2)
    images, labels = data.draw_labelled(dataset.test, p.tested, p.seed)
    fresh = [_untrained(p, dataset, halves[0], FRESH + p.seed + number, context) for number in range(p.untrained)]
    first, second = (data.normalise(half, *normal) for half in halves)
    return roles.study(
        model, (first, second), data.normalise(images, *normal), labels, p.layers, _graphs(p), untrained=fresh,
        share=p.share, draws=p.draws, nulls=p.nulls, divisions=p.divisions, seed=p.seed,
        progress=lambda done, total: context.progress(done, total, "layers"),
    )  # fmt: skip


def _untrained(p: Roles, dataset: data.Dataset, images: Tensor, seed: int, context: Context) -> nn.Module:
    """The baseline's architecture with fresh weights, and batch norms that have seen these images (m, c, h, w), uint8."""
    base = p.baseline
    network = models.build(base.arch, dataset.num_classes, dataset.in_channels, seed=seed, **base.options)
    mean, std = normalisation(base, dataset)
    training.recalibrate(network.to(context.device), images, mean=mean, std=std)
    return network


def _graphs(p: Communities) -> roles.Graphs:
    return roles.Graphs(**{name: getattr(p, name) for name in Communities.model_fields})
