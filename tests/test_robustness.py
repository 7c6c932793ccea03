"""FGSM and PGD: against exact cases and another library; robust instances; the public code's way."""

import pytest
import torch
from captum.robust import FGSM, PGD
from torch import Tensor, nn

from prunebook import data, models, robustness
from prunebook.errors import BadValue


def linear(weights: list[list[float]]) -> nn.Sequential:
    model = nn.Sequential(nn.Flatten(), nn.Linear(len(weights[0]), len(weights)))
    model[1].weight.data = torch.tensor(weights)
    model[1].bias.data.zero_()
    return model


def network() -> nn.Module:
    return models.build("dice_cnn", 4, seed=0, width=0.1, hidden=8).train()


IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def test_a_linear_network_is_attacked_along_the_difference_of_its_rows() -> None:
    model = linear([[1.0, -1.0, 0.0], [-1.0, 2.0, 0.0]])
    x = torch.tensor([[0.5, 0.5, 0.5]])
    moved = robustness.fgsm(model, x, torch.tensor([0]), 0.25)
    assert moved.tolist() == [[0.25, 0.75, 0.5]]  # class 0 loses by less of the first and more of the second
    assert robustness.fgsm(model, x, torch.tensor([1]), 0.25).tolist() == [[0.75, 0.25, 0.5]]


def test_one_output_is_the_logit_of_class_1() -> None:
    model = linear([[2.0, -1.0]])
    x = torch.tensor([[0.5, 0.5], [-0.5, 0.5]])
    assert robustness.predict(model(x)).tolist() == [1, 0]
    moved = robustness.fgsm(model, x, torch.tensor([1, 0]), 0.1)
    assert torch.allclose(moved, torch.tensor([[0.4, 0.6], [-0.4, 0.4]]))
    assert robustness.robust(model, x, torch.tensor([1, 0]), 0.1).tolist() == [True, True]
    assert robustness.robust(model, x, torch.tensor([1, 1]), 0.0).tolist() == [True, False]
    assert robustness.robust(model, x, torch.tensor([1, 0]), 0.6).tolist() == [False, False]


def smooth() -> nn.Module:
    """In float64 and without ReLU: no gradient is so near 0 that rounding decides its sign."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.Tanh(), nn.Linear(16, 4)).double()


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_fgsm_is_that_of_captum() -> None:
    model, x = smooth(), (0.1 + 0.8 * IMAGES.double()).requires_grad_()
    attack = FGSM(model, loss, lower_bound=0.1, upper_bound=0.9)
    attack.zero_thresh = 0  # smaller gradients count as none by default
    theirs = attack.perturb(x, epsilon=0.03, target=LABELS)
    assert torch.allclose(robustness.fgsm(model, x, LABELS, 0.03, (0.1, 0.9)), theirs, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_pgd_is_that_of_captum() -> None:
    model, x = smooth(), IMAGES.double().clamp(0.1, 0.9)
    attack = PGD(model, loss, lower_bound=0.1, upper_bound=0.9)
    theirs = attack.perturb(x, radius=0.03, step_size=0.01, step_num=5, target=LABELS)
    ours = robustness.pgd(model, x, LABELS, 0.03, (0.1, 0.9), steps=5, step_size=0.01, random_start=False)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("attack", [robustness.fgsm, robustness.pgd])
def test_adversarial_inputs_are_near_and_in_range_and_raise_the_loss(attack) -> None:
    model = network()
    epsilon, within = robustness.in_units_of(0.02, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
    x = data.normalise((IMAGES * 255).to(torch.uint8), (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
    moved = attack(model, x, LABELS, epsilon, within)
    assert bool(((moved - x).abs() <= epsilon + 1e-5).all())
    assert bool((moved >= within[0]).all() and (moved <= within[1]).all())
    model.eval()
    assert bool((loss(model(moved), LABELS) > loss(model(x), LABELS)).all())


def test_pgd_finds_more_than_fgsm_and_depends_on_its_seed_alone() -> None:
    model = network().eval()
    once = robustness.fgsm(model, IMAGES, LABELS, 0.1)
    often = robustness.pgd(model, IMAGES, LABELS, 0.1, steps=20)
    assert loss(model(often), LABELS).sum() > loss(model(once), LABELS).sum()
    assert torch.equal(often, robustness.pgd(model, IMAGES, LABELS, 0.1, steps=20))
    assert not torch.equal(often, robustness.pgd(model, IMAGES, LABELS, 0.1, steps=20, seed=1))


def test_an_attack_leaves_the_network_as_it_was() -> None:
    model = network()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        robustness.pgd(model, IMAGES, LABELS, 0.1, steps=2)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_units_of_normalised_images() -> None:
    epsilon, (low, high) = robustness.in_units_of(0.1, (0.5, 0.25), (0.5, 0.2))
    assert torch.allclose(epsilon.flatten(), torch.tensor([0.2, 0.5]))
    assert torch.allclose(low.flatten(), torch.tensor([-1.0, -1.25]))
    assert torch.allclose(high.flatten(), torch.tensor([1.0, 3.75]))


def test_robust_instances_are_right_before_and_after() -> None:
    model = linear([[1.0, 0.0], [0.0, 1.0]])
    x = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.1, 0.9]])
    labels = torch.tensor([0, 0, 0])  # the last is wrong before any attack
    for attack in ("fgsm", "pgd"):
        assert robustness.robust(model, x, labels, 0.2, attack=attack, batch_size=2).tolist() == [False, True, False]
    assert robustness.robust(model, x, labels, 0.05).tolist() == [True, True, False]
    assert robustness.robust(model, x[:0], labels[:0], 0.05).tolist() == []


def test_an_input_whose_gradient_is_zero_withstands_fgsm_though_it_is_next_to_the_boundary() -> None:
    """No unit answers, so nothing moves: the count of robust instances can rise because a network is dying."""
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2))
    for weight, value in zip(model.parameters(), ([[1.0]], [-0.5], [[-1.0], [1.0]], [0.1, 0.0]), strict=True):
        weight.data = torch.tensor(value)
    x, y = torch.tensor([[0.49]]), torch.tensor([0])
    assert robustness.robust(model, x, y, 0.2).tolist() == [True]
    assert robustness.fgsm(model, x, y, 0.2).item() == x.item()
    assert robustness.predict(model(x + 0.2)).tolist() == [1]  # within epsilon, another class
    assert robustness.robust(model, x, y, 0.2, attack="official").tolist() == [False]  # it moves up without a gradient


def test_the_official_attack_goes_by_the_prediction_moves_up_without_gradient_and_ends_at_one() -> None:
    model = linear([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    x = torch.tensor([[0.2, 0.95, 0.5]])  # class 1 is predicted, whatever is true
    moved = robustness.official(model, x, 0.1)
    assert torch.allclose(moved, torch.tensor([[0.3, 0.85, 0.6]]))
    assert torch.allclose(
        robustness.official(model, torch.tensor([[0.95, 0.05, 0.99]]), 0.1), torch.tensor([[0.85, 0.15, 1.0]])
    )
    assert robustness.official(model, torch.tensor([[0.05, 0.5, 0.0]]), 0.6)[0, 1].item() == pytest.approx(-0.1)  # no pixel


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: robustness.fgsm(network(), IMAGES, LABELS, -0.1), "epsilon is -0.1"),
        (lambda: robustness.fgsm(network(), IMAGES, LABELS, float("nan")), "epsilon is nan"),
        (lambda: robustness.fgsm(network(), IMAGES, LABELS, 0.1, (1.0, 0.0)), "a lowest number is above the highest"),
        (lambda: robustness.pgd(network(), IMAGES, LABELS, 0.1, steps=0), "steps is 0"),
        (lambda: robustness.robust(network(), IMAGES, LABELS, 0.1, attack="pdg"), "did you mean 'pgd'"),
        (lambda: robustness.robust(network(), IMAGES, LABELS[:2], 0.1), "len(labels) is 2"),
        (lambda: robustness.robust(network(), IMAGES / 0, LABELS, 0.1), "inputs is 'with NaN or infinity'"),
        (lambda: robustness.official(network(), IMAGES / 0, 0.1), "inputs is 'with NaN or infinity'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, words: str) -> None:
    with pytest.raises(BadValue) as refusal:
        call()
    assert words in str(refusal.value)
