"""Feature maps of every convolution for a batch of images, one layer at a time."""

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from prunebook.errors import choose, require
from prunebook.models import in_mode

T = TypeVar("T")


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """Every ``Conv2d`` of a network by its name, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}


def visit(
    model: nn.Module,
    images: Tensor,
    see: Callable[[str, Tensor], T],
    layers: Iterable[str] | None = None,
    mode: str = "eval",
) -> dict[str, T]:
    """Run `images` through `model` once and call ``see(name, maps)`` for every convolution as its maps come up.

    Nothing but what `see` returns is kept, so the memory is that of one layer's maps, not of all.

    Parameters
    ----------
    model : nn.Module
        Left as it was: mode, batch-norm statistics and hooks.
    images : Tensor (m, c, h, w)
        Normalised as in training.
    see : callable (name, Tensor (m, n, h, w)) -> anything
        The maps are the convolution's raw output, before batch norm and activation.
    layers : names of convolutions, default all
    mode : {"eval", "train"}
        "train" normalises by the statistics of this batch.

    Returns
    -------
    dict
        What `see` returned, by layer name, in the order in which the layers ran.
    """
    choose("mode", mode, ("eval", "train"))
    _check(images)
    available = convolutions(model)
    names = [choose("layer", name, available) for name in (layers if layers is not None else available)]
    require(len(names) > 0, "model", type(model).__name__, "a network with at least one Conv2d")
    seen: dict[str, T] = {}

    def note(name: str, output: Tensor) -> None:
        seen[name] = see(name, output)

    watch(model, images, names, note, mode)
    return seen


def watch(
    model: nn.Module, images: Tensor, names: Iterable[str], note: Callable[[str, Any], None], mode: str = "eval"
) -> None:
    """As `visit`, for modules of any kind, and whatever these return; one that runs twice is noted twice."""
    _run(model, images, names, lambda name, inputs, output: note(name, output), mode)


def visit_passed_on(model: nn.Module, images: Tensor, see: Callable[[str, Tensor], T]) -> dict[str, T]:
    """As `visit`, in evaluation mode, for the maps that each convolution passes on.

    These are its output after the batch norm and the ReLU that directly follow, as far as they do. What is first summed or
    concatenated with other maps is passed on as it enters that.
    """
    _check(images)
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU)
    modules = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    seen: dict[str, T] = {}
    latest = _Passed("", torch.empty(0), 0)

    def note(name: str, inputs: tuple, output: Tensor) -> None:
        nonlocal latest
        module = modules[name]
        of = name if isinstance(module, nn.Conv2d) else latest.layer if latest.entered(module, inputs) else None
        if of is not None:
            latest = _Passed(of, output, output._version)
            seen[of] = see(of, output)

    _run(model, images, modules, note)
    return seen


def _check(images: Tensor) -> None:
    require(images.dim() == 4 and images.numel() > 0, "images.shape", tuple(images.shape), "(m, c, h, w), m at least 1")


class _Passed(NamedTuple):
    """Maps of one convolution alone; their version tells whether something was added to them in place since."""

    layer: str
    maps: Tensor
    version: int

    def entered(self, module: nn.Module, inputs: tuple) -> bool:
        own = 1 if getattr(module, "inplace", False) else 0  # what the module itself has just written
        return inputs[0] is self.maps and self.maps._version == self.version + own


@torch.no_grad()
def _run(
    model: nn.Module, images: Tensor, names: Iterable[str], note: Callable[[str, tuple, Any], None], mode: str = "eval"
) -> None:
    # A forward pass in train mode moves the batch-norm statistics: that happens to a copy.
    work = copy.deepcopy(model) if mode == "train" else model

    def hook(name: str) -> Callable[[nn.Module, tuple, Any], None]:
        return lambda module, inputs, output: note(name, inputs, output)

    handles = [work.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        with in_mode(work, training=mode == "train"):
            work(images)
    finally:
        for handle in handles:
            handle.remove()


def maps(model: nn.Module, images: Tensor, layers: Iterable[str] | None = None, mode: str = "eval") -> dict[str, Tensor]:
    """The feature maps themselves, (m, n, h, w) by layer name. All at once in memory: prefer `visit` for whole networks."""
    return visit(model, images, lambda name, output: output.clone(), layers, mode)
