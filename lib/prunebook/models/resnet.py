"""ResNets for small images: He et al., "Deep residual learning for image recognition" (2016), section 4.2.

A network of depth 6n + 2 has a 3x3 stem and three stages of n two-convolution blocks with 16, 32 and 64 channels; the
second and third stage begin with stride 2. Where a block changes the shape, its shortcut is one of

    "A"      the input, subsampled, with zero channels added on both sides: no parameters
    "B"      a 1x1 convolution with stride, and batch norm
    "conv3"  a 3x3 convolution with stride, and batch norm: the shape whose costs Table 1 of the k-core paper prints

Module names are those of the widely used `pytorch_resnet_cifar10` checkpoints, which load without renaming.

Counters that see modules, not functions, make a network's cost depend on how it is written. Here the activations after
the stem and inside a block and the final pool are modules, the activation after a sum is a function: so written, each
of the published costs of ResNet-56 and ResNet-110 comes out to the digit under its own counter.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook.errors import require
from prunebook.models.options import Width, one_of

SHORTCUTS = ("A", "B", "conv3")
Shortcut = Annotated[str, one_of(*SHORTCUTS)]


class PadShortcut(nn.Module):
    """A shortcut without parameters: (n, in_channels, h, w) -> (n, out_channels, ceil(h / stride), ceil(w / stride)).

    Output channel i is input channel `source[i]`, subsampled, or zeros where `source[i]` is -1. Unlike a plain
    padding it stays exact when channels are removed on either side, whichever they are.
    """

    _index: Tensor  # (out_channels,) int64: `source`, with any valid channel in place of -1
    _empty: Tensor  # (1, out_channels, 1, 1) bool: where `source` is -1

    def __init__(self, source: Sequence[int], stride: int, in_channels: int | None = None) -> None:
        """`in_channels` is needed only where the last input channels have no place in `source`."""
        super().__init__()
        self.stride = stride
        self.in_channels = max(source, default=-1) + 1 if in_channels is None else in_channels
        self.register_buffer("_index", torch.empty(0, dtype=torch.int64), persistent=False)
        self.register_buffer("_empty", torch.empty(0, dtype=torch.bool), persistent=False)
        self._set_source(list(source))

    @property
    def out_channels(self) -> int:
        return len(self.source)

    def forward(self, x: Tensor) -> Tensor:
        subsampled = x[:, :, :: self.stride, :: self.stride]
        # Not a concatenation with zeros: Torch-Pruning would trace that as a layer of in_channels + 1 channels.
        return subsampled.index_select(1, self._index).masked_fill(self._empty, 0)

    def keep_inputs(self, kept: Sequence[int]) -> None:
        """Only the input channels `kept`, in this order, still arrive; outputs fed by another become zeros."""
        _check_kept(kept, self.in_channels)
        position = {channel: i for i, channel in enumerate(kept)}
        self.in_channels = len(kept)
        self._set_source([position.get(channel, -1) for channel in self.source])

    def keep_outputs(self, kept: Sequence[int]) -> None:
        """Only the output channels `kept`, in this order, are still produced."""
        _check_kept(kept, self.out_channels)
        self._set_source([self.source[channel] for channel in kept])

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}, source={self.source}"

    def _set_source(self, source: list[int]) -> None:
        allowed = f"channel numbers below {self.in_channels}, or -1 for zeros"
        require(all(-1 <= channel < self.in_channels for channel in source), "source", source, allowed)
        self.source = source
        wanted = torch.tensor(source, dtype=torch.int64, device=self._index.device)
        self._index = wanted.clamp(min=0)
        self._empty = (wanted == -1).view(1, -1, 1, 1)


def _check_kept(kept: Sequence[int], channels: int) -> None:
    valid = len(kept) > 0 and len(set(kept)) == len(kept) and all(0 <= channel < channels for channel in kept)
    require(valid, "kept", list(kept), f"distinct channel numbers from 0 to {channels - 1}, at least one")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and the shortcut around them."""

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(in_channels, channels, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def _shortcut(in_channels: int, channels: int, stride: int, kind: str) -> nn.Module:
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    if kind == "A":
        before = (channels - in_channels) // 2
        after = channels - in_channels - before
        return PadShortcut([-1] * before + list(range(in_channels)) + [-1] * after, stride)
    size = {"B": 1, "conv3": 3}[kind]
    convolution = nn.Conv2d(in_channels, channels, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


class ResNet(nn.Module):
    """The CIFAR ResNet of the given depth (6n + 2): images (n, in_channels, h, w) -> logits (n, num_classes).

    Maps larger than 8x8 are averaged in windows of 8x8, then over the windows: the global mean for image sides up to 32
    and multiples of 32. `width` multiplies the channels of every stage (rounded, at least 1). Convolutions have no
    bias; their weights are Kaiming-normal with fan-in (He et al. 2015), the linear layer keeps PyTorch's default.
    """

    def __init__(self, depth: int, num_classes: int, in_channels: int, shortcut: str, width: float) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        first, second, third = (max(1, round(channels * width)) for channels in (16, 32, 64))
        self.conv1 = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.layer1 = _stage(blocks, first, first, 1, shortcut)
        self.layer2 = _stage(blocks, first, second, 2, shortcut)
        self.layer3 = _stage(blocks, second, third, 2, shortcut)
        self.pool = nn.AvgPool2d(8, ceil_mode=True)
        self.linear = nn.Linear(third, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.linear(F.adaptive_avg_pool2d(self.pool(out), 1).flatten(1))


def _stage(blocks: int, in_channels: int, channels: int, stride: int, shortcut: str) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, shortcut) for _ in range(blocks - 1)))


def resnet20(num_classes: int = 10, in_channels: int = 3, *, shortcut: Shortcut = "A", width: Width = 1.0) -> ResNet:
    """ResNet-20: 3 blocks a stage, 0.27 M parameters."""
    return ResNet(20, num_classes, in_channels, shortcut, width)


def resnet32(num_classes: int = 10, in_channels: int = 3, *, shortcut: Shortcut = "A", width: Width = 1.0) -> ResNet:
    """ResNet-32: 5 blocks a stage, 0.46 M parameters."""
    return ResNet(32, num_classes, in_channels, shortcut, width)


def resnet44(num_classes: int = 10, in_channels: int = 3, *, shortcut: Shortcut = "A", width: Width = 1.0) -> ResNet:
    """ResNet-44: 7 blocks a stage, 0.66 M parameters."""
    return ResNet(44, num_classes, in_channels, shortcut, width)


def resnet56(num_classes: int = 10, in_channels: int = 3, *, shortcut: Shortcut = "A", width: Width = 1.0) -> ResNet:
    """ResNet-56: 9 blocks a stage, 0.85 M parameters (0.86 with shortcut "B", 0.88 with "conv3")."""
    return ResNet(56, num_classes, in_channels, shortcut, width)


def resnet110(num_classes: int = 10, in_channels: int = 3, *, shortcut: Shortcut = "A", width: Width = 1.0) -> ResNet:
    """ResNet-110: 18 blocks a stage, 1.73 M parameters (1.75 with shortcut "conv3")."""
    return ResNet(110, num_classes, in_channels, shortcut, width)
