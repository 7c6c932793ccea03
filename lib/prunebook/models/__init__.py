"""The networks of the papers, by name: `models.build("resnet56", num_classes=100)`.

One file per family. Each entry of the registry is a constructor whose first two arguments are `num_classes` and
`in_channels`; its other arguments, all named, are the options that `build` accepts for that name.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, get_type_hints

import torch
from torch import nn

from prunebook.errors import BadValue, choose, nearest, require
from prunebook.models import annealing_cnn, densenet, dice_cnn, mlp, resnet, resnet18, resnet50, vgg
from prunebook.models.options import Check

_REGISTRY: dict[str, Callable[..., nn.Module]] = {
    "resnet20": resnet.resnet20,
    "resnet32": resnet.resnet32,
    "resnet44": resnet.resnet44,
    "resnet56": resnet.resnet56,
    "resnet110": resnet.resnet110,
    "resnet18": resnet18.resnet18,
    "resnet50": resnet50.resnet50,
    "vgg16": vgg.vgg16,
    "vgg19": vgg.vgg19,
    "densenet40": densenet.densenet40,
    "dice_cnn": dice_cnn.dice_cnn,
    "mlp_credit": mlp.mlp_credit,
    "mlp_kdd": mlp.mlp_kdd,
    "mlp_mnist": mlp.mlp_mnist,
    "cnn_annealing": annealing_cnn.cnn_annealing,
}
# Sides of the images that a network takes, where it does not take all; those with an option `size` take that one alone.
_SIDES = {
    "densenet40": range(2 ** (densenet.BLOCKS - 1), sys.maxsize),  # each transition between blocks halves them
    "cnn_annealing": annealing_cnn.SIDES,
}


def names() -> list[str]:
    """The names that `build` knows."""
    return list(_REGISTRY)


def build(name: str, num_classes: int = 10, in_channels: int = 3, *, seed: int | None = None, **options: Any) -> nn.Module:
    """A freshly initialised network, on the CPU, in training mode.

    Parameters
    ----------
    name: one of `names()`.
    num_classes, in_channels: width of the output and channels of the input image.
    seed: where given, the weights depend on it alone and PyTorch's global generator is left as it was; where not,
        they are drawn from that global generator.
    options: of that architecture, such as `shortcut` and `width` of the ResNets for small images, `stem` of ResNet-50,
        `hidden` and `width` of VGG-16, `growth` and `layers` of DenseNet-40, or `size` of the perceptrons.

    The network maps (n, in_channels, h, w) to logits (n, num_classes). Its attribute `spec` is a JSON-able dict of
    every argument but the seed, defaults included: `build(**model.spec)` makes the same architecture again.

    Raises BadValue for an unknown name or option, or an option's value that the architecture cannot use.
    """
    constructor = _REGISTRY[choose("name", name, _REGISTRY)]
    require(_is_count(num_classes), "num_classes", num_classes, "an integer of at least 1")
    require(_is_count(in_channels), "in_channels", in_channels, "an integer of at least 1")
    arguments = {"num_classes": num_classes, "in_channels": in_channels, **_checked(name, constructor, options)}
    with _in_memory(name):
        if seed is None:
            model = constructor(**arguments)
        else:
            require(isinstance(seed, int) and seed >= 0, "seed", seed, "an integer of at least 0")
            # Only the CPU's generator is forked and seeded: torch.manual_seed would also touch those of the accelerators.
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                model = constructor(**arguments)
    model.__dict__["spec"] = {"name": name, **arguments}
    return model


def check(name: str, options: dict[str, Any]) -> None:
    """Raise BadValue unless `build(name, **options)` would accept the name and its options."""
    _checked(name, _REGISTRY[choose("name", name, _REGISTRY)], options)


def sides(name: str, options: dict[str, Any]) -> range:
    """The sides, in pixels, of the square images that `build(name, **options)` takes. Raises BadValue as `check` does."""
    completed = _checked(name, _REGISTRY[choose("name", name, _REGISTRY)], options)
    if "size" in completed:
        return range(completed["size"], completed["size"] + 1)
    return _SIDES.get(name, range(1, sys.maxsize))


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """All modules in training or evaluation mode; afterwards each in the mode that it had."""
    modes = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, before in modes.items():
            module.training = before


@contextmanager
def _in_memory(name: str) -> Iterator[None]:
    """Inside, BadValue where the network does not fit: PyTorch raises a RuntimeError that tells a number of bytes."""
    try:
        yield
    except (MemoryError, RuntimeError) as fault:
        if "memory" not in str(fault):
            raise
        raise BadValue(f"{name} with these options does not fit into the memory of this machine") from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _checked(name: str, constructor: Callable[..., nn.Module], options: dict[str, Any]) -> dict[str, Any]:
    """`options` completed by the constructor's own defaults; BadValue for one that it does not have or cannot use."""
    defaults, checks = _accepted(constructor)
    for option in options:
        if option not in defaults:
            allowed = f": {', '.join(defaults)}" if defaults else " none"
            raise BadValue(f"{option!r} is no option of {name}, which has{allowed}{nearest(option, defaults)}")
    for option, value in options.items():
        checks[option](option, value)
    return {**defaults, **options}


@cache  # reading a signature takes longer than all else that is checked of a trial's network, in runs of thousands of trials
def _accepted(constructor: Callable[..., nn.Module]) -> tuple[dict[str, Any], dict[str, Check]]:
    """The options of a constructor: their defaults, and how their values are checked."""
    parameters = inspect.signature(constructor).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    kinds = get_type_hints(constructor, include_extras=True)
    return defaults, {option: kinds[option].__metadata__[0] for option in defaults}


__all__ = ["build", "check", "in_mode", "names", "sides"]
