"""Adversarial inputs by the gradient's sign, and how many inputs of a test set withstand them.

Attacks work on inputs as the network gets them. `in_units_of` turns an epsilon and the range of pixels into these units.
What happens to images without anybody's intent is in `corruptions`.

References
----------
FGSM: Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, ICLR 2015.
PGD: Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial attacks, ICLR 2018.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook.errors import BadValue, choose, require
from prunebook.models import in_mode

ATTACKS = ("fgsm", "pgd", "official")

Range = tuple[float | Tensor, float | Tensor]


def in_units_of(
    epsilon: float, mean: Sequence[float], std: Sequence[float], low: float = 0.0, high: float = 1.0
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """An epsilon and a range of pixels, from `low` to `high`, in the units of images normalised by `mean` and `std`.

    Returns (epsilon, (lowest, highest)), each of shape (channels, 1, 1).
    """
    shift, scale = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    return epsilon / scale, ((low - shift) / scale, (high - shift) / scale)


def predict(logits: Tensor) -> Tensor:
    """The class of each row of logits (n, classes) -> (n,); of a single output, whether it is above 0."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def loss(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy of logits (n, classes) and labels (n,), in nats; a single output is the logit of class 1."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits), reduction=reduction)
    return F.cross_entropy(logits, labels, reduction=reduction)


def fgsm(model: nn.Module, inputs: Tensor, labels: Tensor, epsilon: float | Tensor, within: Range | None = None) -> Tensor:
    """Inputs moved by `epsilon` along the sign of the loss's gradient: the fast gradient sign method.

    Parameters
    ----------
    model : nn.Module
        Used in evaluation mode and left as it was. With one output, its logit is that of class 1.
    inputs : Tensor (n, ...)
    labels : Tensor (n,)
        The true ones.
    epsilon : float or Tensor that broadcasts with an input, at least 0
    within : (lowest, highest), numbers or tensors that broadcast with an input
        What inputs can be, in their own units, see `in_units_of`; the result is cut off there. An input that lies outside of
        it is so moved by more than epsilon.

    Returns Tensor (n, ...). Raises BadValue for an epsilon or range that cannot be used, and for inputs with NaN.
    """
    epsilon = _checked(epsilon, within).to(inputs)
    _check_inputs(inputs)
    return _inside(inputs + epsilon * _gradient(model, inputs, labels).sign(), within)


def pgd(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    epsilon: float | Tensor,
    within: Range | None = None,
    steps: int = 10,
    step_size: float | Tensor | None = None,
    random_start: bool = True,
    seed: int = 0,
) -> Tensor:
    """As `fgsm`, in `steps` steps, each brought back to within `epsilon` of the input: projected gradient descent.

    `step_size` is 2.5 epsilon / steps by default, so that every point around the input can be reached. With `random_start`
    it begins at a point drawn from there. Returned is where the last step ends.
    """
    epsilon = _checked(epsilon, within).to(inputs)
    _check_inputs(inputs)
    require(isinstance(steps, int) and steps >= 1, "steps", steps, "an integer of at least 1")
    step_size = 2.5 * epsilon / steps if step_size is None else _like(inputs, step_size)
    at = inputs
    if random_start:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.rand(inputs.shape, generator=generator).to(inputs)
        at = _inside(inputs + epsilon * (2 * drawn - 1), within)
    for _ in range(steps):
        moved = at + step_size * _gradient(model, at, labels).sign()
        at = _inside(torch.clamp(moved, inputs - epsilon, inputs + epsilon), within)
    return at


def official(model: nn.Module, inputs: Tensor, epsilon: float | Tensor) -> Tensor:
    """FGSM as in the annealing paper's public code: by the class that the network predicts, and cut off at -1 and 1.

    Where the gradient is 0, the input moves up. The range is that, although the code's images are in [0, 1].
    """
    _check_inputs(inputs)
    with in_mode(model, training=False), torch.no_grad():
        predicted = predict(model(inputs))
    gradient = _gradient(model, inputs, predicted)
    up = torch.where(gradient >= 0, 1.0, -1.0).to(inputs)
    return _inside(inputs + _checked(epsilon, None).to(inputs) * up, (-1.0, 1.0))


def robust(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    epsilon: float | Tensor,
    within: Range | None = None,
    attack: str = "fgsm",
    batch_size: int = 256,
    seed: int = 0,
) -> Tensor:
    """Definition III.2 of the annealing paper: whether g(x_adv) = g(x) = y, for each input: bool (n,).

    `attack` is "fgsm", "pgd" or "official", which needs no range. The attack is made on `model` itself; the number of robust
    instances is the sum.
    """
    choose("attack", attack, ATTACKS)
    require(len(inputs) == len(labels), "len(labels)", len(labels), f"that of inputs, {len(inputs)}")
    found = []
    for number, (x, y) in enumerate(zip(inputs.split(batch_size), labels.split(batch_size), strict=True)):
        if attack == "official":
            changed = official(model, x, epsilon)
        elif attack == "pgd":
            changed = pgd(model, x, y, epsilon, within, seed=seed + number)
        else:
            changed = fgsm(model, x, y, epsilon, within)
        with in_mode(model, training=False), torch.no_grad():
            found.append((predict(model(x)) == y) & (predict(model(changed)) == y))
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.bool)


def robust_to(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    epsilons: Sequence[float | Tensor],
    within: Range | None = None,
    batch_size: int = 256,
) -> Tensor:
    """`robust` by FGSM, for each of several epsilons: bool (epsilons, n).

    They share the gradient, and inputs that are wrong as they are need none.
    """
    require(len(inputs) == len(labels), "len(labels)", len(labels), f"that of inputs, {len(inputs)}")
    distances = [_checked(epsilon, within) for epsilon in epsilons]
    found = torch.zeros(len(distances), len(inputs), dtype=torch.bool)
    with in_mode(model, training=False), torch.no_grad():
        right = [predict(model(x)) == y for x, y in zip(inputs.split(batch_size), labels.split(batch_size), strict=True)]
        for chosen in (torch.cat(right).nonzero()[:, 0] if right else labels.new_zeros(0)).split(batch_size):
            x, y = inputs[chosen], labels[chosen]
            up = _gradient(model, x, y).sign()
            for i, epsilon in enumerate(distances):
                found[i, chosen.cpu()] = (predict(model(_inside(x + epsilon.to(x) * up, within))) == y).cpu()
    return found


def _gradient(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Of each input's own loss with respect to it."""
    leaf = inputs.detach().clone().requires_grad_(True)
    with in_mode(model, training=False), torch.enable_grad():
        (gradient,) = torch.autograd.grad(loss(model(leaf), labels, "sum"), leaf)
    return gradient


def _checked(epsilon: float | Tensor, within: Range | None) -> Tensor:
    distance = torch.as_tensor(epsilon, dtype=torch.float64)
    finite = bool((torch.isfinite(distance) & (distance >= 0)).all())
    require(finite, "epsilon", epsilon, "at least 0 and finite")
    if within is not None and bool((torch.as_tensor(within[0]) > torch.as_tensor(within[1])).any()):
        raise BadValue("within is (lowest, highest), but a lowest number is above the highest")
    return distance


def _check_inputs(inputs: Tensor) -> None:
    require(bool(torch.isfinite(inputs).all()), "inputs", "with NaN or infinity", "finite numbers only")


def _inside(inputs: Tensor, within: Range | None) -> Tensor:
    if within is None:
        return inputs
    return torch.clamp(inputs, *(_like(inputs, bound) for bound in within))


def _like(inputs: Tensor, value: float | Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=inputs.dtype, device=inputs.device)
