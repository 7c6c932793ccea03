"""The chapter on annealing: its example, its tables, its exercises, and what it says of saliency, intervals and entropy."""

import copy
import inspect
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

import chapters
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from prunebook import data, measure, models, tables
from prunebook.methods import annealing
from prunebook.methods.annealing import Interval, official
from prunebook.plan import PruningPlan

ROOT = os.environ.get("PRUNEBOOK_DATA", "")
TEXT = chapters.text("annealing")


@pytest.mark.parametrize("label", chapters.exercises("annealing"))
def test_the_printed_solution_of_an_exercise_passes_its_printed_check(label: str) -> None:
    chapters.solve("annealing", label)


def test_the_chapter_has_exercises_whose_checks_need_a_solution() -> None:
    labels = ["ex-handover", "ex-interval", "ex-unlike", "ex-walk", "ex-dying"]
    assert chapters.unsolved("annealing") == chapters.exercises("annealing") == labels


def table(name: str) -> list[list[str]]:
    """The rows of a list-table of the chapter, its heading first."""
    part = TEXT.split(f":name: {name}\n")[1].split("```")[0]
    return [[re.sub(r"^  ?- ?|^- ?", "", cell) for cell in row.strip().split("\n")] for row in part.split("\n* ")[1:]]


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", cell)]


def test_the_table_of_choices_names_options_of_the_plan() -> None:
    names = {name for row in table("annealing-choices")[1:] for name in re.findall(r"`(\w+)`", row[-1])}
    options = inspect.signature(annealing.plan).parameters
    assert names == options.keys() - {"model", "variant", "example_inputs"}
    assert [options[name].default for name in ("alpha", "beta", "phi", "mode", "bounds")] == [
        0.75, 0.25, 0.9, "annealing", "interval",
    ]  # fmt: skip


def test_every_row_of_a_table_has_all_its_cells() -> None:
    for name in re.findall(r":name: (annealing-\S+)\n", TEXT):
        if f":name: {name}\n\n* " in TEXT:
            rows = table(name)
            assert len(rows) > 2
            assert {len(row) for row in rows} == {len(rows[0])}, name


# --- The example: three units, two units, two outputs. ---


def network() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    printed = [
        [[1, 1], [1, 0.75], [-1, 1]], [0.5, 0.5, 0.25], [[1, 0.5, -1], [-0.5, 0.5, 0.5]], [0, 0.5],
        [[1, -1], [0.5, 1]], [0, 0],
    ]  # fmt: skip
    for parameter, values in zip(model.parameters(), printed, strict=True):
        parameter.data = torch.tensor(values, dtype=torch.float64)
    return model


def merged(model: nn.Sequential, nominee: int, delegate: int) -> nn.Sequential:
    changed = copy.deepcopy(model)
    changed[2].weight.data[:, delegate] += changed[2].weight.data[:, nominee]
    changed[2].weight.data[:, nominee] = 0
    return changed


def in_words(bounds: Interval) -> str:
    ends = zip(bounds.lower.flatten().tolist(), bounds.upper.flatten().tolist(), strict=True)
    return ", ".join(f"{round(low, 4) + 0:g} to {round(high, 4) + 0:g}" for low, high in ends)


GRID = torch.cartesian_prod(*[torch.linspace(0, 1, 401, dtype=torch.float64)] * 2)


def test_the_example_s_units_are_those_of_the_network() -> None:
    model = network()
    (lower, upper) = (bound[0] for bound in annealing.read(model, (0.0, 1.0)).arriving()[1])
    units = table("annealing-example-units")[1:]
    for unit, row in enumerate(units):
        assert numbers(row[2]) == [model[0].bias[unit].item()]
        assert numbers(row[3]) == model[2].weight[:, unit].tolist()
        assert numbers(row[4]) == [lower[unit].item(), upper[unit].item()]
        assert model[:2](GRID)[:, unit].aminmax() == (lower[unit], upper[unit])  # of the first layer, they are exact


def test_the_example_s_table_of_pairs_is_computed() -> None:
    model = network()
    bounds = annealing.read(model, (0.0, 1.0))
    tight = annealing.bounded(bounds)
    units = Interval(*(bound[0] for bound in bounds.arriving()[1]))
    printed = annealing.saliency(model[0].weight, model[0].bias, model[2].weight.T)
    absolute = annealing.saliency(model[0].weight, model[0].bias, model[2].weight.T, scale="absolute")
    rows = table("annealing-example-pairs")[1:]
    assert [row[0] for row in rows] == ["A, B", "A, C", "B, A", "B, C", "C, A", "C, B"]
    energies = []
    for row in rows:
        i, j = ("ABC".index(unit) for unit in row[0].split(", "))
        plain = bounds.onward(1, annealing.impact(model[2].weight.detach(), units, [i], [j]))
        zonotope = tight.change(0, torch.tensor([i]), torch.tensor([j]))
        change = (merged(model, i, j)(GRID) - model(GRID)).detach()
        truth = Interval(change.amin(0), change.amax(0))
        computed = [printed[i, j], absolute[i, j], annealing.norm(plain), annealing.norm(zonotope)]
        assert [float(row[cell]) for cell in (1, 2, 4, 5)] == [round(float(value), 4) for value in computed]
        assert (row[3], row[6]) == (in_words(plain), in_words(truth))
        assert annealing.entropy(plain) == 0
        energies.append(annealing.energy(plain).item())
    assert (round(min(energies), 4), round(max(energies), 4)) == (0.7422, 0.7499)
    assert f"with a probability of {annealing.acceptance(max(energies), min(energies), 1):.3f}." in TEXT
    assert math.tanh(5.25 / 2) == pytest.approx(0.99, abs=0.005)


def test_the_steps_of_the_example_in_the_prose() -> None:
    model = network()
    w, b, out = model[0].weight.detach(), model[0].bias.detach(), model[2].weight.detach()
    assert out.mean(0).tolist() == [0.25, 0.5, -0.25]
    assert round((w[2] - w[1]).norm().item(), 4) == 2.0156
    assert round((w[2] - w[1]).norm().item() + (0.25 / 0.75), 4) == 2.3489
    assert (b[1] - b[2], b[1] + b[2]) == (0.25, 0.75)
    low, high = 0.5 - 2.25, 2.5 - 0.5
    assert ([0.5 * low, 0.5 * high], 2 * 1.875 + 1.3125 + 1.5) == ([-0.875, 1], 6.5625)


@pytest.mark.parametrize(
    ("options", "pair"),
    [
        ({}, "CB"),
        ({"scale": "absolute"}, "BA"),
        ({"mode": "greedy"}, "BC"),
        ({"mode": "greedy", "bounds": "zonotope"}, "BA"),
    ],
)
def test_saliency_intervals_and_zonotopes_choose_different_pairs(options: dict, pair: str) -> None:
    plan = annealing.plan(network(), (0.0, 1.0), 0.34, 0.34, **options)
    assert plan.parameters["trace"][0]["pairs"] == [["ABC".index(unit) for unit in pair]]


def test_the_zonotope_of_the_example_is_what_the_chapter_says() -> None:
    zonotope, _ = annealing.bounded(annealing.read(network(), (0.0, 1.0))).before[1]
    apart = zonotope.noise[:, 0] - zonotope.noise[:, 1]
    assert (zonotope.centre[0] - zonotope.centre[1]).item() == 0.125
    assert sorted(apart.abs().tolist(), reverse=True)[:2] == [0.125, 0]
    assert zonotope.noise.abs()[2:, 2].max().item() == pytest.approx(0.234, abs=0.001)  # the new symbol of C
    assert 1.25 / (1.25 + 0.75) == 0.625


# --- What the numbers know. ---


def test_the_width_of_the_impact_is_that_of_the_theorem_for_any_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    lower = torch.randn(6, generator=generator, dtype=torch.float64)
    units = Interval(lower, lower + torch.rand(6, generator=generator, dtype=torch.float64))
    outgoing = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    wide = units.upper - units.lower
    for i in range(6):
        for j in range(6):
            found = annealing.norm(annealing.impact(outgoing, units, [i], [j])).item()
            assert found == pytest.approx(((wide[i] + wide[j]) * outgoing[:, i].abs().sum()).item())


def test_a_bias_s_sign_matters_more_than_its_size_and_scaling_does_not_scale_saliency() -> None:
    weights, out = torch.zeros(3, 1), torch.ones(3, 1)
    found = annealing.saliency(weights, torch.tensor([0.001, -0.002, 5.0]), out)
    assert found[0, 1] == pytest.approx(3)  # different signs: at least 1
    assert found[0, 2] < 1
    weights, bias = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 3.0])
    once, twice = (annealing.saliency(k * weights, k * bias, out[:2])[0, 1].item() for k in (1, 2))
    assert (once, twice) == (pytest.approx(1.5), pytest.approx(2.5))


LINEAR = nn.Linear


def changes(model: nn.Module, x: Tensor, layer: int, pairs: Iterable[list[int]]) -> Tensor:
    """For each pair the sum over the outputs of how far they move apart over the inputs."""
    linear = [module for module in model.modules() if isinstance(module, LINEAR)]

    def output(weight: Tensor | None = None) -> Tensor:
        values = x
        for number, each in enumerate(linear):
            own = weight if weight is not None and number == layer + 1 else each.weight
            values = values @ own.T + each.bias
            values = values.relu() if number < len(linear) - 1 else values
        return values

    base, found = output(), []
    for i, j in pairs:
        weight = linear[layer + 1].weight.clone()
        weight[:, j] += weight[:, i]
        weight[:, i] = 0
        change = output(weight) - base
        found.append((change.amax(0) - change.amin(0)).sum())
    return torch.stack(found)


def test_the_table_of_loose_bounds_is_computed() -> None:
    """60 of the table's 200 pairs, others than those; the tolerance is several standard errors of a median."""
    model = models.build("mlp_mnist", 10, 1, seed=0).double()
    network = annealing.read(model, (0.0, 1.0))
    tight = annealing.bounded(network)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2000, 784, generator=generator, dtype=torch.float64)
    x[:1000] = x[:1000].round()
    for layer, row in enumerate(table("annealing-loose")[1:]):
        wide = network.layers[layer].width
        assert row[0].endswith(f", {wide}")
        pairs = torch.stack([torch.randperm(wide, generator=generator)[:2] for _ in range(60)])
        nominees, delegates = pairs.T
        lower, upper = (bound[0] for bound in network.arriving()[layer + 1])
        apart = Interval(lower[delegates] - upper[nominees], upper[delegates] - lower[nominees])
        plain = network.onward(layer + 1, network.layers[layer + 1].change_by_units(nominees, apart, wide))
        with torch.no_grad():
            found = changes(model, x, layer, pairs.tolist()).median().item()
        norms = [annealing.norm(each).median().item() for each in (plain, tight.change(layer, nominees, delegates))]
        assert [*norms, found] == pytest.approx([float(cell) for cell in row[1:]], rel=0.25)
        assert norms[0] > 300 * found
        assert annealing.squash(torch.tensor(norms[0], dtype=torch.float64)) == 1
    assert 1 / (1 + math.exp(-40)) == 1.0


def grouped(of: int) -> Interval:
    at = torch.arange(10, dtype=torch.float64) // of
    return Interval(at, at + 0.001)


@pytest.mark.parametrize(("row", "of"), [(1, 10), (2, 5), (3, 2), (4, 1)])
def test_the_table_of_entropies_is_computed(row: int, of: int) -> None:
    found = []
    for variant in ("paper", "official"):
        density = annealing.density(grouped(of), 0.9, variant)
        assert len(set(density.tolist())) == 1
        found += [density[0].item(), round(annealing.entropy(grouped(of), 0.9, variant).item(), 3)]
    assert [float(cell) for cell in table("annealing-entropy")[row][1:]] == pytest.approx(found)


def test_with_a_saturated_norm_the_worst_candidate_is_accepted_as_often_as_the_chapter_says() -> None:
    largest = 10 * max(-n / 10 * math.log(n / 10) for n in range(1, 10))
    assert largest == pytest.approx(annealing.entropy(grouped(5)).item())
    apart = 0.25 * annealing.squash(torch.tensor(largest, dtype=torch.float64)).item()
    assert round(apart, 4) == 0.2375
    chances = [round(annealing.acceptance(apart, 0, temperature), 3) for temperature in (1, 0.5, 0.2)]
    assert chances == [0.789, 0.622, 0.305]
    assert all(f"{chance:g}" in TEXT for chance in (*chances, 0.2375))


# --- Bounds. ---


def test_the_code_s_bounds_do_not_hold_in_the_example() -> None:
    model = network()
    bounds = annealing.read(model, (0.0, 1.0))
    found = official.change(bounds, 0, official.units(bounds, (0.0, 1.0))[0], torch.tensor([0]), torch.tensor([2]))
    assert in_words(found) == "-1.5 to 1.5, -1 to 1"
    change = (merged(model, 0, 2)(GRID) - model(GRID))[:, 0]
    assert change.min().item() == pytest.approx(-3.375)


def test_the_figure_s_shapes_are_the_example_s() -> None:
    picture = (Path(__file__).resolve().parents[1] / "book" / "_static" / "annealing-bounds.svg").read_text(encoding="utf-8")

    def at(a: float, b: float) -> str:
        return f"{80 + 150 * a:g},{420 - 150 * b:g}"

    corners = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    values = network()[:2](corners)[:, :2].tolist()
    assert f'<polygon points="{" ".join(at(*value) for value in values)}"' in picture
    assert f'<rect x="{80 + 75:g}" y="{420 - 150 * 2.25:g}" width="300" height="{150 * 1.75:g}"' in picture


# --- What a fair test takes. ---


def test_the_table_of_amounts_is_counted() -> None:
    inputs = {"mlp_credit": (1, 29, 1), "mlp_kdd": (23, 120, 1), "mlp_mnist": (10, 1, 28), "cnn_annealing": (10, 3, 32)}
    cut = [*((name, (nn.Linear,)) for name in inputs), ("cnn_annealing", (nn.Linear, nn.Conv2d))]
    for (name, kinds), row in zip(cut, table("annealing-shares")[1:], strict=True):
        classes, channels, size = inputs[name]
        model, x = models.build(name, classes, channels, seed=0), torch.zeros(1, channels, size, size)
        whole, found = measure.cost(model, x), []
        hidden = [(n, len(layer.weight)) for n, layer in model.named_modules() if isinstance(layer, kinds)][:-1]
        for share in (0.5, 0.8):
            keep = {n: list(range(wide - math.floor(share * wide + 1e-9))) for n, wide in hidden}
            left = measure.cost(PruningPlan(keep).apply(model, x), x)
            found += [round(100 * (1 - left.macs / whole.macs), 1), round(100 * (1 - left.params / whole.params), 1)]
        assert [float(cell.removesuffix(" %")) for cell in row[1:]] == found, name


def shares(row: int) -> tuple[int, int, float]:
    """Members of the largest class, examples, and percent."""
    printed = table("annealing-always")[row][2]
    part, whole, percent = (
        float(number) for number in re.findall(r"\d+(?:\.\d+)?", printed.replace(" ", "").replace("of", " "))
    )
    return int(part), int(whole), percent


def test_the_shares_of_the_largest_classes_are_those_of_their_counts() -> None:
    for row in range(1, 6):
        part, whole, percent = shares(row)
        assert 100 * part / whole == pytest.approx(percent, abs=0.05)


@pytest.mark.data
@pytest.mark.skipif(not (Path(ROOT) / "kddcup99").is_dir(), reason="needs KDD Cup'99 under PRUNEBOOK_DATA")
def test_the_largest_classes_of_kdd_cup_99_are_counted() -> None:
    found = tables.read("kddcup99", Path(ROOT))
    counts = np.bincount(found.labels)
    assert (counts.max(), counts.sum()) == shares(2)[:2]
    assert found.classes[counts.argmax()] == "smurf"
    splits = data.load("kddcup99", ROOT)
    labels = torch.cat([split.labels for split in splits])
    assert (labels.bincount().max().item(), len(labels)) == shares(3)[:2]
    assert found.classes[labels.bincount().argmax()] == "normal"


@pytest.mark.data
@pytest.mark.skipif(not (Path(ROOT) / "kddcup99").is_dir(), reason="needs KDD Cup'99 under PRUNEBOOK_DATA")
def test_so_many_test_rows_of_kdd_cup_99_are_known_from_training() -> None:
    train, _, test = data.load("kddcup99", ROOT, preprocessing="paper")
    known, asked = (
        pd.util.hash_pandas_object(
            pd.DataFrame(split.images.flatten(1).numpy()).assign(label=split.labels.numpy()), index=False
        )
        for split in (train, test)
    )
    assert f"{round(100 * asked.isin(set(known)).mean())} % of the test rows are known from training" in TEXT


@pytest.mark.data
@pytest.mark.skipif(not (Path(ROOT) / "MNIST").is_dir(), reason="needs MNIST under PRUNEBOOK_DATA")
def test_the_largest_class_of_mnist_is_counted() -> None:
    labels = data.load("mnist", ROOT).test.labels
    assert (labels.bincount().max().item(), len(labels)) == shares(4)[:2]
    assert labels.bincount().argmax() == 1
