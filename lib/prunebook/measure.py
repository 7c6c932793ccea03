"""What a network costs and how good its answers are: multiply-accumulates, parameters, latency, F1.

The literature counts "FLOPs" in several ways that differ by up to 4 % for one network, so every count here names its
counter, and reductions are only ever taken between two counts of the same counter.
"""

import copy
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prunebook.errors import choose, require
from prunebook.models import in_mode

COUNTERS = ("macs", "thop", "torch-pruning")


class Cost(NamedTuple):
    """Multiply-accumulates for the example inputs, and the number of parameters."""

    macs: int
    params: int


class Latency(NamedTuple):
    """Seconds for one forward pass: the median, and the quartiles below and above it."""

    median_s: float
    low_s: float
    high_s: float


def cost(model: nn.Module, example_inputs: Tensor, counter: str = "macs") -> Cost:
    """Count the multiply-accumulates of one forward pass in evaluation mode, and all parameters.

    Parameters
    ----------
    model: left as it is: its mode, buffers and hooks do not change.
    example_inputs: (n, c, h, w), usually n = 1; the count grows with n.
    counter: "macs" counts convolutions and linear layers only; "thop" is THOP 0.1.1, which adds batch norms (4 per
        value) and average pools; "torch-pruning" is Torch-Pruning's, which adds biases, batch norms (2 per value), and
        those activations and pools that are modules.

    Raises BadValue for an unknown counter.
    """
    count = {"macs": _macs, "thop": _thop, "torch-pruning": _torch_pruning}[choose("counter", counter, COUNTERS)]
    # A copy, because THOP and Torch-Pruning leave buffers and attributes behind, and the mode has to change.
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        macs = count(copied, example_inputs)
    return Cost(macs, sum(parameter.numel() for parameter in model.parameters()))


def rates(before: Cost, after: Cost) -> tuple[float, float]:
    """FLOPs reduction FR and parameter reduction PR in percent: Eq. 7 and 8 of the k-core paper.

    Both costs must come from the same counter. Raises BadValue where `before` has nothing to reduce.
    """
    require(before.macs > 0 and before.params > 0, "before", before, "a cost with macs and params above 0")
    return 100 * (1 - after.macs / before.macs), 100 * (1 - after.params / before.params)


def latency(model: nn.Module, inputs: Tensor, warmup: int = 3, repeats: int = 10) -> Latency:
    """Time forward passes of `inputs` in evaluation mode, on the device where model and inputs are.

    The first `warmup` passes are not counted. Raises BadValue for a negative `warmup` or `repeats` below 1.
    """
    require(warmup >= 0, "warmup", warmup, "at least 0")
    require(repeats >= 1, "repeats", repeats, "at least 1")
    with in_mode(model, training=False), torch.inference_mode():
        seconds = [_seconds(model, inputs) for _ in range(warmup + repeats)][warmup:]
    low, median, high = torch.tensor(seconds, dtype=torch.float64).quantile(torch.tensor([0.25, 0.5, 0.75]).double())
    return Latency(median.item(), low.item(), high.item())


def f1(predicted: Tensor, labels: Tensor, num_classes: int) -> float:
    """Macro F1 in [0, 1]: the mean over `num_classes` classes of 2 TP / (2 TP + FP + FN).

    `predicted` and `labels` are (n,) class numbers. A class that neither was predicted nor occurs counts as 0.
    Raises BadValue for unequal shapes and for class numbers outside the classes.
    """
    require(predicted.shape == labels.shape, "predicted.shape", tuple(predicted.shape), f"{tuple(labels.shape)}")
    for name, values in (("predicted", predicted), ("labels", labels)):
        inside = bool(((values >= 0) & (values < num_classes)).all())
        require(inside, name, values.tolist()[:10], f"class numbers from 0 to {num_classes - 1}")
    confusion = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    confusion = confusion.view(num_classes, num_classes).double()
    found, size = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    return (2 * found / size.clamp(min=1)).mean().item()


def _macs(model: nn.Module, inputs: Tensor) -> int:
    from torch.utils.flop_counter import FlopCounterMode  # here, because it loads a compiler for GPUs

    with FlopCounterMode(display=False) as flops:
        model(inputs)
    return flops.get_total_flops() // 2


def _thop(model: nn.Module, inputs: Tensor) -> int:
    from thop import profile  # here, because importing it warns about distutils

    macs, _ = profile(model, inputs=(inputs,), verbose=False)
    return int(macs)


def _torch_pruning(model: nn.Module, inputs: Tensor) -> int:
    from torch_pruning.utils import count_ops_and_params

    macs, _ = count_ops_and_params(model, inputs)
    return int(macs)


def _seconds(model: nn.Module, inputs: Tensor) -> float:
    _wait(inputs.device)
    start = time.perf_counter()
    model(inputs)
    _wait(inputs.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    """CUDA returns before the work is done; a time without this would be the time to ask for it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
