"""The yardsticks: pruning by the importance criteria of Torch-Pruning [1]_.

A criterion gives each output channel of a group of coupled layers one number, computed by Torch-Pruning's own classes
with the settings of its CIFAR benchmark (``reproduce/main.py``): every layer of the group that loses parameters with a
channel has a score for it (biases and depthwise convolutions have none), the group's is their mean, divided by its mean
over the channels. The channels of least importance go, all at once; the benchmark does it in hundreds of small steps and
scores anew before each.

==============  ===================================================================================================
random          uniform in [0, 1)
l1, l2          sum of absolute, of squared weights: of filters, of the inputs that read them, of batch norm's scales
fpgm            sum of distances to the other channels [2]_; Torch-Pruning takes them between squared weights
bn_scale        absolute scale of batch norm [3]_
lamp            l2, divided by the sum over the channels that are not smaller [4]_, and not by a mean; within a group it
                ranks as l2 does
taylor          sum of ``|w dL/dw|`` over filters and their readers [5]_, L the cross-entropy over the images
hessian         sum of ``w^2 h`` over filters, their readers and batch norm's scales [6]_, h the mean over the images
                of the squared gradient of one image's cross-entropy: the diagonal of the empirical Fisher matrix
group_norm      l2: what names the method [1]_ apart is a sparse training before, which the benchmark leaves out of it
growing_reg     l2, after training with growing regularisation [7]_, see `GrowingRegularisation`
==============  ===================================================================================================

References
----------
.. [1] Fang, Ma, Song, Mi, Wang: DepGraph: towards any structural pruning, CVPR 2023.
.. [2] He, Liu, Wang, Hu, Yang: Filter pruning via geometric median, CVPR 2019.
.. [3] Liu et al.: Learning efficient convolutional networks through network slimming, ICCV 2017.
.. [4] Lee, Park, Mo, Ahn, Shin: Layer-adaptive sparsity for the magnitude-based pruning, ICLR 2021.
.. [5] Molchanov, Mallya, Tyree, Frosio, Kautz: Importance estimation for neural network pruning, CVPR 2019.
.. [6] LeCun, Denker, Solla: Optimal brain damage, NIPS 1989.
.. [7] Wang, Qin, Zhang, Fu: Neural pruning via growing regularization, ICLR 2021.
"""

import warnings
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook import cutting
from prunebook.errors import BadValue, choose, require
from prunebook.methods.allocation import Keep, check_dial, limit, reach
from prunebook.models import in_mode
from prunebook.models.resnet import PadShortcut
from prunebook.plan import PruningPlan

CRITERIA = ("random", "l1", "l2", "fpgm", "bn_scale", "lamp", "taylor", "group_norm", "growing_reg", "hessian")
SCOPES = ("uniform", "global")
LAYERS = ("conv", "internal", "all")

_FROM_DATA = ("taylor", "hessian")
_BATCH = 100  # images whose gradients are computed at a time


def plan(
    model: nn.Module,
    criterion: str,
    ratio: float | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    target: float | None = None,
    scope: str = "uniform",
    layers: str = "conv",
    seed: int = 0,
    example_inputs: Tensor | None = None,
) -> PruningPlan:
    """Decide which channels every layer keeps: those of most importance.

    Parameters
    ----------
    model : nn.Module
        Left as it was.
    criterion : one of `CRITERIA`
    ratio : float in [0, 1)
        Share of the channels to remove, rounded down to whole ones.
    images, labels : Tensor (m, c, h, w), normalised as in training, and Tensor (m,), whole numbers
        Needed by "taylor" and "hessian".
    target : float in (0, 1), instead of `ratio`
        Share of the MACs (counter "macs") to remove. The ratio that comes nearest is found by bisection; the plan's
        parameters say which it was, and what share it removes.
    scope : {"uniform", "global"}
        Whether each group of coupled layers loses `ratio` of its own channels, or all groups' channels are ranked together
        by their `scores` and the lowest `ratio` of them go. A channel of a group counts once, however many layers the
        group has, and the highest of each group stays in any case. Of equal scores the first in order of execution stays.
    layers : {"conv", "internal", "all"}
        Prune convolutions only; of these, only the ones that no other layer is coupled to; or linear layers as well. The
        layer that makes the network's output stays whole.
    seed : int
        Used by "random" only.
    example_inputs : Tensor (1, c, h, w)
        Used to trace the network, its values do not matter. By default the first of `images`; without them zeros,
        32 x 32, for a network of `models.build`.

    Returns
    -------
    PruningPlan
        It names every convolution (with layers="all" every linear layer too), those that stay whole included; but no
        depthwise one that reads the input or a concatenation, since it has no channels of its own.

    Raises
    ------
    BadValue
        A parameter out of its range, before anything is computed; a target that no ratio comes near; and as in `scores`.
    """
    check_dial(ratio, target, "a plan by a criterion")
    choose("scope", scope, SCOPES)
    _check(model, criterion, images, labels, layers, seed)
    example = _example(model, example_inputs, images)
    groups = {group[0]: group for group in _groups(model, example, layers)}
    found = _scores(model, criterion, example, groups, images, labels, seed)
    decide = _decider(found, scope)
    parameters: dict[str, Any] = {"criterion": criterion, "ratio": ratio, "scope": scope, "layers": layers, "seed": seed}
    parameters["images"] = None if images is None else len(images)
    if target is None:
        assert ratio is not None
        decided = decide(ratio)
    else:
        counted = cutting.macs_if_kept(model, example, groups)
        decided, ratio, removed = reach(target, decide, counted)
        parameters |= {"target": target, "ratio": ratio, "removed": removed}
    keep = {member: decided[leader] for leader, group in groups.items() for member in group}
    widths = {name: cutting.width(layer) for name, layer in _layers(model, layers, keep).items()}
    in_order = {name: keep.get(name, list(range(wide))) for name, wide in widths.items()}
    return PruningPlan(in_order, widths, "baseline", parameters)


def scores(
    model: nn.Module,
    criterion: str,
    example_inputs: Tensor,
    *,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    layers: str = "conv",
    seed: int = 0,
) -> dict[str, Tensor]:
    """Importance of every channel, by group of coupled layers; parameters as in `plan`.

    Returns
    -------
    dict of layer name -> Tensor (n,), float32, on the CPU
        For the leading layer of each group, the first in order of execution, and in that order. The higher, the rather a
        channel stays. The mean of each is 1, but for "random" and "lamp". All 0 where all that a group is scored by is 0.

    Raises
    ------
    BadValue
        An unknown criterion; weights or gradients that are not finite; a convolution in groups of several channels;
        "taylor" or "hessian" without images or fitting labels; "bn_scale" for a group without a batch norm that has scales.
    """
    _check(model, criterion, images, labels, layers, seed)
    leaders = [group[0] for group in _groups(model, example_inputs, layers)]
    return _scores(model, criterion, example_inputs, leaders, images, labels, seed)


class GrowingRegularisation:
    """Growing regularisation [7]_ in Torch-Pruning's form: an L2 penalty that rises most for the least channels.

    It is made on the network that is trained, and called between ``loss.backward()`` and ``optimizer.step()``::

        growing = GrowingRegularisation(model, images[:1], every=batches_per_epoch)
        loss.backward()
        growing.after_backward()
        optimizer.step()

    Each call adds ``penalty * w`` to the gradients of a channel's filters and of the weights that read it. Every so many
    calls the penalty of a channel rises by ``delta`` times its place between the highest "l2" score of its group (0) and
    the lowest (1). So no ratio is given. [7]_ raises it alike for all that it penalises: the filters that are to go (its
    first variant), or every filter until their norms tell them apart (its second).

    The layer that makes the output, and but for layers="all" every linear layer, gets no penalty as the one that writes
    channels, only as one that reads them. The installed version of Torch-Pruning (1.6) means to penalise batch norm's
    scales too, but adds those to a copy of their gradients, so they stay free.

    Parameters
    ----------
    model : nn.Module
        Its mode, its weights and what it trains stay as they are; only gradients change, in `after_backward`.
    example_inputs : Tensor (1, c, h, w)
    every : int
        Calls from one rise of the penalty to the next. Torch-Pruning's CIFAR benchmark lets it rise after each epoch.
    reg, delta : float, at least 0
        The penalty at the start, and by how much it rises. The defaults are those of ``tp.pruner.GrowingRegPruner``; the
        benchmark sets 5e-4 and 1e-4, and trains with these without weight decay.
    layers : {"conv", "internal", "all"}
        As in `plan`.
    """

    def __init__(
        self,
        model: nn.Module,
        example_inputs: Tensor,
        *,
        every: int,
        reg: float = 1e-5,
        delta: float = 1e-5,
        layers: str = "conv",
    ) -> None:
        require(isinstance(every, int) and every >= 1, "every", every, "a whole number of calls, at least 1")
        for name, value in (("reg", reg), ("delta", delta)):
            require(isinstance(value, int | float) and 0 <= value < float("inf"), name, value, "a number of at least 0")
        choose("layers", layers, LAYERS)
        _check_layers(model)
        self.model = model
        self.every = every
        self.calls = 0
        groups = _groups(model, example_inputs, layers)
        all_layers = cutting.prunable_layers(model)
        self._leaders = {all_layers[name]: group[0] for group in groups for name in group}
        ignored = [layer for layer in all_layers.values() if layer not in self._leaders]
        self._pruner = _growing_pruner(model, example_inputs, ignored, reg, delta)

    def after_backward(self) -> None:
        """Add the penalties' gradients to those of the loss, and raise the penalties if it is time."""
        self._pruner.regularize(self.model)
        self.calls += 1
        if self.calls % self.every == 0:
            self._pruner.update_reg()

    def penalties(self) -> dict[str, Tensor]:
        """The penalty of every channel (n,), by leading layer as in `scores`."""
        return {self._leaders[group[0].dep.target.module]: now.clone() for group, now in self._pruner.group_reg.items()}


def _growing_pruner(model: nn.Module, example_inputs: Tensor, ignored: list[nn.Module], reg: float, delta: float) -> Any:
    """Torch-Pruning's pruner on `model` itself, which is given back in the modes and with the gradients that it had."""
    required = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(True)  # tracing follows gradients
    try:
        with in_mode(model, training=False), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tp.pruner.GrowingRegPruner(
                model,
                example_inputs,
                importance=tp.importance.GroupMagnitudeImportance(p=2),
                reg=reg,
                delta_reg=delta,
                ignored_layers=ignored,
                customized_pruners={PadShortcut: cutting._PadShortcutPruner()},
            )
    finally:
        for parameter, before in zip(model.parameters(), required, strict=True):
            parameter.requires_grad_(before)


def _scores(
    model: nn.Module,
    criterion: str,
    example_inputs: Tensor,
    leaders: Iterable[str],
    images: Tensor | None,
    labels: Tensor | None,
    seed: int,
) -> dict[str, Tensor]:
    graph, work = cutting._dependency_graph(model, example_inputs)
    if criterion in _FROM_DATA and images is not None and labels is not None:
        _fill_gradients(work, images, labels, squared=criterion == "hessian")
    importance = _importance(criterion)
    found: dict[str, Tensor] = {}
    # Torch-Pruning's random importance draws from the global generator; only the CPU's is forked and seeded.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for leader in leaders:
            layer = work.get_submodule(leader)
            values = importance(cutting._out_group(graph, layer, range(cutting.width(layer))))
            if values is None:
                raise BadValue(
                    f"criterion {criterion!r} needs a batch norm with scales behind layer {leader!r}, which has none"
                )
            found[leader] = values.detach().cpu().nan_to_num(nan=0.0)  # of finite numbers only 0 / 0 makes NaN
    return found


def _importance(criterion: str) -> Callable[[Any], Tensor | None]:
    """Torch-Pruning's class for a criterion, with the settings of its CIFAR benchmark."""
    made: dict[str, Callable[[], Any]] = {
        "random": tp.importance.RandomImportance,
        "l1": lambda: tp.importance.MagnitudeImportance(p=1),
        "l2": lambda: tp.importance.MagnitudeImportance(p=2),
        "fpgm": lambda: tp.importance.FPGMImportance(p=2),
        "bn_scale": tp.importance.BNScaleImportance,
        "lamp": lambda: tp.importance.LAMPImportance(p=2),
        "taylor": tp.importance.GroupTaylorImportance,
        "hessian": tp.importance.GroupHessianImportance,
        "group_norm": lambda: tp.importance.GroupMagnitudeImportance(p=2),
        "growing_reg": lambda: tp.importance.GroupMagnitudeImportance(p=2),
    }
    return made[criterion]()


def _fill_gradients(work: nn.Module, images: Tensor, labels: Tensor, squared: bool) -> None:
    """Into the gradients of `work`, in eval mode: those of the mean cross-entropy, or with `squared` the mean of the
    squares of each image's own.

    The squares are not left to Torch-Pruning's `accumulate_grad`, which in version 1.6 keeps the last image's only.
    """
    parameters = list(work.parameters())
    device = parameters[0].device
    total = [torch.zeros_like(parameter) for parameter in parameters]
    some = 1 if squared else _BATCH
    for inputs, classes in zip(images.split(some), labels.split(some), strict=True):
        loss = F.cross_entropy(work(inputs.to(device)), classes.to(device, torch.int64), reduction="sum")
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for so_far, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                so_far += gradient.square() if squared else gradient
    for (name, parameter), so_far in zip(work.named_parameters(), total, strict=True):
        require(bool(torch.isfinite(so_far).all()), f"the gradient of {name}", "NaN or infinite somewhere", "finite")
        parameter.grad = so_far / len(images)


def _groups(model: nn.Module, example_inputs: Tensor, layers: str) -> list[list[str]]:
    """The groups of coupled layers that lose channels, see `plan`."""
    groups = cutting.coupled_layers(model, example_inputs, linear=layers == "all")
    return [group for group in groups if len(group) == 1 or layers != "internal"]


def _decider(found: Mapping[str, Tensor], scope: str) -> Callable[[float], Keep]:
    """The function from a ratio to the channels that each group keeps."""
    # The least important first; of equal ones the last first.
    order = {name: (len(values) - 1 - values.flip(0).argsort(stable=True)).tolist() for name, values in found.items()}
    position = {name: i for i, name in enumerate(found)}
    # The last of each order is the group's best, which stays.
    together = sorted((float(found[name][c]), -position[name], -c, name) for name in found for c in order[name][:-1])
    channels = sum(map(len, order.values()))

    def uniform(ratio: float) -> Keep:
        return {name: sorted(worst_first[limit(len(worst_first), ratio) :]) for name, worst_first in order.items()}

    def ranked_together(ratio: float) -> Keep:
        gone = {(name, -c) for _, _, c, name in together[: limit(channels, ratio)]}
        return {name: [c for c in range(len(order[name])) if (name, c) not in gone] for name in order}

    return uniform if scope == "uniform" else ranked_together


def _layers(model: nn.Module, layers: str, grouped: Container[str]) -> dict[str, nn.Module]:
    """The layers that a plan names. A depthwise convolution outside of the groups is not: it follows what it reads."""
    wanted = (nn.Conv2d, nn.Linear) if layers == "all" else nn.Conv2d
    found = {name: layer for name, layer in cutting.prunable_layers(model).items() if isinstance(layer, wanted)}
    return {name: layer for name, layer in found.items() if name in grouped or not cutting.is_depthwise(layer)}


def _example(model: nn.Module, example_inputs: Tensor | None, images: Tensor | None) -> Tensor:
    device = next(model.parameters()).device
    if example_inputs is not None:
        return example_inputs
    if images is not None:
        return images[:1].to(device)
    spec = getattr(model, "spec", {})
    if "in_channels" not in spec:
        raise BadValue(
            f"example_inputs are needed, since nothing says what a {type(model).__name__} takes: give an image (1, c, h, w)"
        )
    return torch.zeros(1, spec["in_channels"], 32, 32, device=device)


def _check(model: nn.Module, criterion: str, images: Tensor | None, labels: Tensor | None, layers: str, seed: int) -> None:
    """Refuse what cannot be scored, before anything is computed but the network's outputs for one image."""
    choose("criterion", criterion, CRITERIA)
    choose("layers", layers, LAYERS)
    require(isinstance(seed, int) and seed >= 0, "seed", seed, "an integer of at least 0")
    _check_layers(model)
    if images is not None:
        require(isinstance(images, Tensor), "images", type(images).__name__, "a Tensor (m, c, h, w)")
        require(images.dim() == 4 and len(images) > 0, "images.shape", tuple(images.shape), "(m, c, h, w), m at least 1")
    if criterion not in _FROM_DATA:
        return
    if images is None or labels is None:
        missing = " and ".join(name for name, given in (("images", images), ("labels", labels)) if given is None)
        raise BadValue(f"criterion {criterion!r} is computed from labelled images, but {missing} are not given")
    _check_labels(model, images, labels)


def _check_layers(model: nn.Module) -> None:
    for name, layer in model.named_modules():
        for kind, values in layer.named_parameters(recurse=False):
            finite = bool(torch.isfinite(values).all())
            require(finite, f"{kind} of layer {name!r}", "NaN or infinite somewhere", "finite")


@torch.no_grad()
def _check_labels(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    require(isinstance(labels, Tensor), "labels", type(labels).__name__, f"a Tensor ({len(images)},)")
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    fits = whole and tuple(labels.shape) == (len(images),)
    described = f"{labels.dtype} {tuple(labels.shape)}"
    require(fits, "labels", described, f"whole numbers ({len(images)},), one for each image")
    with in_mode(model, training=False):
        outputs = model(images[:1].to(next(model.parameters()).device))
    classifies = isinstance(outputs, Tensor) and outputs.dim() == 2
    require(classifies, "model", type(model).__name__, "a classifier: (m, c, h, w) -> (m, classes)")
    lowest, highest = int(labels.min()), int(labels.max())
    require(
        0 <= lowest <= highest < outputs.shape[1], "labels", f"{lowest} to {highest}", f"from 0 to {outputs.shape[1] - 1}"
    )
