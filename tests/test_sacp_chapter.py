"""The chapter on SACP: its example, its exercises, its tables of what chance removes, and the arithmetic in its prose."""

import math
from collections.abc import Callable
from typing import NamedTuple

import chapters
import numpy as np
import pytest
import torch
from reported import frame
from torch import Tensor, nn

from prunebook import data, measure, models, notebooks, training, weights
from prunebook.errors import MissingData
from prunebook.methods import sacp
from prunebook.methods.sacp.training import contrast_as_printed
from prunebook.report.sacp_tables import PAPER_NETWORKS
from prunebook.studies import sacp as study
from prunebook.trials import searching
from prunebook.trials.store import Store

IMAGE = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize("label", chapters.exercises("sacp"))
def test_the_printed_solution_of_an_exercise_passes_its_printed_check(label: str) -> None:
    chapters.solve("sacp", label)


def test_the_chapter_has_exercises_whose_checks_need_a_solution() -> None:
    labels = ["ex-threshold", "ex-embedding", "ex-loss", "ex-best"]
    assert chapters.unsolved("sacp") == chapters.exercises("sacp") == labels


# --- The example: two convolutions of 4 and 2 channels, and a linear layer. ---

ORDERS = [torch.tensor([2, 0, 3, 1]), torch.tensor([1, 0])]
CANDIDATES = torch.tensor([[0, 0], [5, 0], [2, 5], [0, 9]])  # unpruned, A, B, C


@pytest.fixture(scope="module")
def example() -> sacp.Space:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(2, 3))
    return sacp.Space(sacp.ArchitectureGraph(network, torch.zeros(1, 1, 1, 1)))


def test_the_example_s_candidates_have_the_printed_ratios_channels_and_masks(example: sacp.Space) -> None:
    assert example.ratio(CANDIDATES).tolist() == pytest.approx([0, 2 / 6, 0.3, 0.3])
    kept = [[example.kept(entry, q) for entry, q in enumerate(r)] for r in CANDIDATES.tolist()]
    assert kept == [[4, 2], [2, 2], [3, 1], [4, 1]]
    first, second = sacp.ranked_masks(example, ORDERS)
    assert first[[5, 2, 0]].tolist() == [[1, -1, 1, -1], [1, -1, 1, 1], [1, 1, 1, 1]]
    assert second[[0, 5, 9]].tolist() == [[1, 1], [-1, 1], [-1, 1]]


def test_the_example_s_graph_embeddings_and_scores_are_the_printed_ones(example: sacp.Space) -> None:
    graph = sacp.ArchitectureGraph(
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(2, 3)), torch.zeros(1, 1, 1, 1)
    )
    root = 1 / math.sqrt(6)
    by_hand = torch.tensor([[1 / 2, root, 0], [root, 1 / 3, root], [0, root, 1 / 2]], dtype=torch.float64)
    assert torch.allclose(graph.adjacency(), by_hand)
    assert graph.adjacency().mean(dim=0).tolist() == pytest.approx([0.303, 0.383, 0.303], abs=5e-4)
    encoder = sacp.Encoder(graph, out=4, layers=1)
    with torch.no_grad():
        encoder.weights[0].copy_(torch.eye(4))
        first, second = sacp.ranked_masks(example, ORDERS)
        z = encoder(graph.assemble([first[CANDIDATES[:, 0]], second[CANDIDATES[:, 1]]]))
    printed = [[0.989, 0.989, 0.605, 0.605], [0.989, 0.383, 0.605, 0], [0.222, 0.383, 0.605, 0.605],
               [0.222, 0.989, 0.605, 0.605]]  # fmt: skip
    assert torch.allclose(z, torch.tensor(printed), atol=6e-4)
    scores = torch.cosine_similarity(z, z[:1])
    assert scores.tolist() == pytest.approx([1, 0.861, 0.843, 0.887], abs=5e-4)


# --- What the threshold asks for. ---


class Layer(NamedTuple):
    """A convolution that reads `source` (None: the image) and writes `target`, entries of r; k x k weights, side x side."""

    source: int | None
    target: int
    k: int
    side: int


def vgg(bias: bool = True) -> tuple[list[int], list[Layer], int]:
    widths = [64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    sides = [32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2]
    return widths, [Layer(i - 1 if i else None, i, 3, side) for i, side in enumerate(sides)], int(bias)


def resnet(blocks: int, stages: list[int]) -> tuple[list[int], list[Layer], int]:
    widths, layers, source, side = [stages[0]], [Layer(None, 0, 3, 32)], 0, 32
    for number, width in enumerate(stages):
        new = number > 0  # a new stage's entry follows that of its first block's first convolution
        side = side // 2 if new else side
        target = source
        for block in range(blocks):
            widths.append(width)
            middle = len(widths) - 1
            if new and block == 0:
                widths.append(width)
                target = len(widths) - 1
                layers.append(Layer(source, target, 1, side))
            layers += [Layer(source, middle, 3, side), Layer(middle, target, 3, side)]
            source = target
    return widths, layers, 0


class Case(NamedTuple):
    build: Callable[[], nn.Module]
    layers: tuple[list[int], list[Layer], int]
    tau: float
    entries: int
    share: float  # of all vectors
    macs: tuple[float, float]  # quartiles of the removed percentage
    params: tuple[float, float]


CASES = {
    "VGG-16": Case(lambda: models.build("vgg16", hidden=False, seed=0), vgg(), 0.6, 13, 0.052, (78.5, 86.6), (86.5, 90.4)),
    "ResNet-18": Case(
        lambda: models.build("resnet18", seed=0), resnet(2, [64, 128, 256, 512]), 0.7, 12, 0.011, (83.1, 90.6), (93.1, 94.8)
    ),
    "ResNet-56": Case(
        lambda: models.build("resnet56", shortcut="B", seed=0), resnet(9, [16, 32, 64]), 0.3, 30, 0.924, (66.4, 78.9),
        (63.4, 81.9),
    ),
}  # fmt: skip


def costs(case: Case, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiply-accumulates and parameters of candidates (n, L), counted layer by layer."""
    widths, layers, bias = case.layers
    kept = [np.maximum(1, (10 - r[:, entry].astype(int)) * width // 10) for entry, width in enumerate(widths)]
    last = kept[layers[-1].target]
    macs, params = 10 * last, 10 * last + 10
    for source, target, k, side in layers:
        weights = k * k * kept[target] * (3 if source is None else kept[source])
        macs, params = macs + weights * side**2, params + weights + (2 + bias) * kept[target]
    return macs, params


def removed(case: Case, r: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both in percent of the unpruned network's."""
    whole = costs(case, np.zeros((1, r.shape[1])))
    macs, params = (100 * (1 - left / full) for left, full in zip(costs(case, r.numpy()), whole, strict=True))
    return macs, params


def reported(model: str, metric: str) -> float:
    numbers = frame("sacp")
    return numbers.query("table == '3' and ours and model == @model and metric == @metric").value.item()


@pytest.fixture(scope="module", params=CASES)
def drawn(request: pytest.FixtureRequest) -> tuple[str, sacp.Space, nn.Module]:
    network = CASES[request.param].build()
    return request.param, sacp.Space(sacp.ArchitectureGraph(network, IMAGE)), network


def test_the_table_of_the_threshold_is_what_counting_and_drawing_give(drawn: tuple[str, sacp.Space, nn.Module]) -> None:
    name, space, network = drawn
    case = CASES[name]
    assert tuple(int(each[0]) for each in costs(case, np.zeros((1, case.entries)))) == measure.cost(network, IMAGE)
    assert case.entries == space.L
    assert space.counts == [sum(layer.target == entry for layer in case.layers[1]) for entry in range(space.L)]
    assert space.size_at(case.tau) / space.size() == pytest.approx(case.share, abs=6e-4)
    macs, params = removed(case, space.sample(20_000, case.tau))
    assert np.percentile(macs, [25, 75]).tolist() == pytest.approx(case.macs, abs=0.4)
    assert np.percentile(params, [25, 75]).tolist() == pytest.approx(case.params, abs=0.4)
    assert case.macs[0] < reported(name, "fr") < case.macs[1]
    above = (params > reported(name, "pr")).mean()
    assert above == pytest.approx({"VGG-16": 0.10, "ResNet-18": 0.85, "ResNet-56": 0.56}[name], abs=0.02)


@pytest.mark.parametrize("name", CASES)
def test_the_table_of_the_threshold_has_the_digits_of_the_run_s_records(name: str) -> None:
    p = notebooks.get("sacp").parameters("costs")
    assert isinstance(p, study.Parameters)
    (trial,) = (trial for trial in study.chances(p) if PAPER_NETWORKS[trial.params["arch"]] == name)
    record = Store().find(trial)
    assert record is not None
    quartiles = [np.percentile(record.result[rate], [25, 75]) for rate in ("fr", "pr")]
    removed = [f"{low:.1f} to {high:.1f} %" for low, high in quartiles]
    assert [f"{low:.1f} to {high:.1f} %" for low, high in (CASES[name].macs, CASES[name].params)] == removed
    rows = chapters.text("sacp").split(":name: sacp-threshold")[1].split("```")[0].split("\n* - ")
    (cells,) = (row.strip().split("\n  - ") for row in rows if row.startswith(name))
    assert [cells[3], cells[5]] == removed
    assert "20,000 of them for each network" in chapters.text("sacp")
    assert trial.params["n"] == 20_000


def test_the_printed_costs_of_resnet_56_are_not_those_of_its_threshold() -> None:
    case = CASES["ResNet-56"]
    space = sacp.Space(sacp.ArchitectureGraph(case.build(), IMAGE))
    r = space.sample(300_000)
    ratio = space.ratio(r).numpy()
    macs, params = removed(case, r)
    alike = (abs(macs - reported("ResNet-56", "fr")) < 0.5) & (abs(params - reported("ResNet-56", "pr")) < 0.5)
    assert np.percentile(ratio[alike], [5, 95]).tolist() == pytest.approx([0.435, 0.49], abs=0.01)
    at_the_edge = macs[(ratio >= 0.3) & (ratio < 0.32)]
    assert np.percentile(at_the_edge, [25, 75]).tolist() == pytest.approx([57, 63], abs=0.6)
    assert (at_the_edge > 70).mean() < 0.01


def test_no_node_of_these_networks_sees_more_than_three_entries(drawn: tuple[str, sacp.Space, nn.Module]) -> None:
    graph = sacp.ArchitectureGraph(drawn[2], IMAGE)
    near = graph.adjacency() != 0
    entry = [{node.entry} - {None} for node in graph.nodes]
    assert max(len(set().union(*(entry[j] for j in row.nonzero()[:, 0].tolist()))) for row in near) <= 3


# --- Prose. ---


@pytest.mark.data
def test_published_weights_know_the_validation_images_by_heart() -> None:
    try:
        cifar = data.load("cifar10")
        model = models.build("resnet20")
        weights.load_into(model, weights.find("resnet20-12fca82f.th"))
    except MissingData as fault:
        pytest.skip(str(fault))
    normal = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    top1 = [training.evaluate(model, split, **normal).top1 for split in (cifar.val, cifar.test)]
    assert (len(cifar.val), *top1) == (5000, pytest.approx(99.8, abs=0.05), pytest.approx(91.7, abs=0.05))
    assert 100 * math.sqrt(0.917 * 0.083 / len(data.halved(cifar).test)) == pytest.approx(0.4, abs=0.05)


def test_the_protocol_is_that_of_the_run() -> None:
    p = notebooks.get("sacp").parameters("lite")
    assert isinstance(p, study.Parameters)
    assert (p.seeds, p.chosen_on, p.tau, p.candidates, p.k, p.full) == (3, "half of test", 0.3, 5_000_000, 0, 0)
    assert (p.sampled, p.shares, p.tolerance, p.free) == ({"resnet20": 120, "resnet56": 100}, [0.5], 0.01, False)
    assert (p.m, p.recalibrate, p.crowd) == ({"resnet20": 3, "resnet56": 2}, 1000, 99)
    assert (p.light, p.light_images, p.light_lr, p.finetune_schedule) == (1, 5000, 0.01, "cosine")
    assert isinstance(p.searches, dict)
    assert [name for name in p.searches["resnet20"] if name in study.ENCODERS] == [
        "infonce", "no edges", "sacp-1", "untrained",
    ]  # fmt: skip
    assert [name for name in p.searches["resnet56"] if name in study.ENCODERS] == ["infonce"]
    assert set(p.weights) == {"resnet20", "resnet56"}
    assert searching.TRIADS == 500
    assert searching.Search.model_fields["tolerance"].default == 0.005


def test_the_printed_loss_with_one_anchor_for_all_is_least_where_all_partners_are_equally_like_it() -> None:
    generator = torch.Generator().manual_seed(0)
    anchor = torch.randn(1, 4, generator=generator).expand(16, -1)
    partner = torch.randn(1, 4, generator=generator).expand(16, -1)
    least = 2 * math.log(16)
    assert contrast_as_printed(anchor, partner, -partner, 0.5).item() == pytest.approx(least, abs=1e-5)
    for _ in range(100):
        positive, negative = torch.randn(2, 16, 4, generator=generator)
        assert contrast_as_printed(anchor, positive, negative, 0.5).item() > least


def test_the_numbers_of_the_conclusions_are_those_of_the_paper() -> None:
    numbers = frame("sacp")
    top1 = numbers.query("table == '3' and metric == 'top1'").set_index(["model", "method"]).value
    gain = {name: round(top1[name, "SACP"] - top1[name, "Base"], 2) for name in CASES}
    assert gain == {"VGG-16": 0.16, "ResNet-18": 1.09, "ResNet-56": -4.52}
    assert top1["ResNet-56"].drop("SACP").min() - top1["ResNet-56", "SACP"] == pytest.approx(2.11)
    assert all(top1[name].idxmax() != "SACP" for name in CASES)
    left = 100 - numbers.query("table == '4' and metric == 'fr'").set_index("method").value
    assert left["SACP-1"] / left["SACP"] == pytest.approx(0.57, abs=0.01)
    assert left["SACP-2"] / left["SACP-1"] > 2


def test_five_counts_of_other_methods_are_round_shares_of_this_paper_s_base() -> None:
    numbers = frame("sacp").query("table == '3'")
    cells = numbers.set_index(["model", "method", "metric"]).value
    found = []
    for model, method in dict.fromkeys((m, n) for m, n, _ in cells.index):
        share = cells[model, method, "fr"]
        if method not in ("Base", "SACP") and round(share, 1) == share:
            count = cells[model, "Base", "macs"] * (1 - share / 100)
            assert cells[model, method, "macs"] == pytest.approx(count, abs=0.01)
            found.append(share)
    assert sorted(found) == [50.0, 52.6, 55.0, 79.7, 79.8]
    kcore = frame("kcore").query("table == '3' and metric == 'top1_drop'")
    drops = kcore.set_index(["model", "method"]).value["ResNet-56"]
    assert (drops["GAL-0.6"], drops["FPGM"]) == (0.28, 0.10)
    losses = cells["ResNet-56", "Base", "top1"] - cells.xs("top1", level="metric")["ResNet-56"]
    assert (round(losses["GAL-0.6"], 2), round(losses["FPGM"], 2)) == (1.60, 1.65)
