"""What single removals do beside what bounds say of them, and robust instances at several epsilons at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prunebook import models, robustness
from prunebook.errors import BadValue
from prunebook.methods import annealing
from prunebook.plan import PruningPlan


def mlp(seed: int = 0, outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 6), nn.Sigmoid(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, outputs)
    ).double()


def inputs(n: int = 30, seed: int = 1) -> Tensor:
    return torch.rand(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def without(model: nn.Module, layer: str, wide: int, nominee: int, delegate: int) -> nn.Module:
    keep = {layer: [unit for unit in range(wide) if unit != nominee]}
    return PruningPlan(keep, {}, "annealing", {}, {layer: {nominee: delegate}}).apply(model, torch.zeros(1, 4).double())


@pytest.mark.parametrize("outputs", [3, 1])
@pytest.mark.parametrize("most", [1, 2**22])
def test_a_change_is_that_of_the_smaller_network(outputs: int, most: int) -> None:
    model, x = mlp(outputs=outputs), inputs()
    labels = torch.arange(30) % max(2, outputs)
    network = annealing.read(model, (0.0, 1.0))
    with torch.no_grad():
        before = model(x)
        for index, (layer, wide) in enumerate([("0", 7), ("2", 6), ("4", 5)]):
            pairs = torch.tensor([[0, 1], [3, 2], [4, 0]])
            found = annealing.changes(network, index, pairs, x, labels, most)
            for at, (i, j) in enumerate(pairs.tolist()):
                after = without(model, layer, wide, i, j)(x)
                delta = after - before
                spread = (delta.amax(0) - delta.amin(0)).sum()
                flips = 100 * (robustness.predict(after) != robustness.predict(before)).double().mean()
                harm = robustness.loss(after, labels) - robustness.loss(before, labels)
                expected = {"range": spread, "moved": delta.abs().sum(1).mean(), "loss": harm, "flips": flips}
                for name, value in expected.items():
                    assert float(found[name][at]) == pytest.approx(float(value), abs=1e-9), name


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), layer=st.sampled_from(["0", "2", "4"]), kind=st.sampled_from(annealing.BOUNDS))
def test_no_change_on_inputs_is_outside_of_the_bounds_of_a_single_removal(seed: int, layer: str, kind: str) -> None:
    model = mlp(seed)
    network = annealing.read(model, (0.0, 1.0))
    pairs = torch.tensor([[0, 1], [2, 4]])
    delta = annealing.impacts(model, (0.0, 1.0), layer, pairs, bounds=kind)
    found = annealing.changes(network, int(layer) // 2, pairs, inputs(50, seed), torch.zeros(50).long())
    assert bool((found["range"] <= annealing.norm(delta) + 1e-9).all())


def test_impacts_are_those_that_a_plan_starts_with() -> None:
    for variant in annealing.VARIANTS:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3)).double()
        plan = annealing.plan(model, (0.0, 1.0), 0.5, 0.1, variant)
        first = plan.parameters["trace"][0]
        delta = annealing.impacts(model, (0.0, 1.0), "0", torch.tensor(first["pairs"][:1]), variant)
        energy = float(annealing.energy(delta, variant=variant)[0])
        assert first["energies"][0] == pytest.approx(energy, abs=1e-9)


def test_layers_that_are_not_in_scope_are_refused_in_one_sentence() -> None:
    model = mlp()
    with pytest.raises(BadValue, match="layer is '6', but must be one of: 0, 2, 4"):
        annealing.impacts(model, (0.0, 1.0), "6", torch.tensor([[0, 1]]))
    with pytest.raises(BadValue, match=r"bounds is 'zonotpe'.*did you mean 'zonotope'"):
        annealing.impacts(model, (0.0, 1.0), "0", torch.tensor([[0, 1]]), bounds="zonotpe")
    network = annealing.read(model, (0.0, 1.0))
    with pytest.raises(BadValue, match=r"index is 3, but must be one of \[0, 1, 2\], the hidden linear layers"):
        annealing.changes(network, 3, torch.tensor([[0, 1]]), inputs(), torch.zeros(30).long())


@pytest.mark.parametrize("classes", [10, 1])
def test_several_epsilons_at_once_count_what_each_counts_alone(classes: int) -> None:
    model = models.build("mlp_mnist", classes, 1, seed=0, size=8, width=0.25)
    x = torch.rand(70, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(70) % max(2, classes)
    epsilons = [0.0, 0.02, 0.3]
    together = robustness.robust_to(model, x, labels, epsilons, (0.0, 1.0), batch_size=16)
    for row, epsilon in zip(together, epsilons, strict=True):
        assert torch.equal(row, robustness.robust(model, x, labels, epsilon, (0.0, 1.0)))
    assert 0 < int(together[0].sum()) < 70
    assert robustness.robust_to(model, x[:0], labels[:0], epsilons).shape == (3, 0)


def test_robustness_to_several_epsilons_refuses_what_it_cannot_use() -> None:
    model = models.build("mlp_mnist", 10, 1, seed=0, size=8, width=0.25)
    x, labels = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(4).long()
    with pytest.raises(BadValue, match="epsilon is -1"):
        robustness.robust_to(model, x, labels, [0.1, -1])
    with pytest.raises(BadValue, match=r"len\(labels\) is 3"):
        robustness.robust_to(model, x, labels[:3], [0.1])
