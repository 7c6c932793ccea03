"""DenseNet for small images: Huang et al., "Densely connected convolutional networks" (2017), section 3.

The plain form without bottlenecks: a 3x3 stem, three dense blocks with a transition after the first and the second, and
a classifier. Each layer of a block, BN-ReLU-conv3x3, adds `growth` channels behind those that it reads; a transition,
BN-ReLU-conv1x1 and a 2x2 average pool, passes on the share `compression` of them.

Counters that see modules, not functions, make a network's cost depend on how it is written. Here all three pools are
functions: so written, THOP counts for DenseNet-40 what Table 1 of the k-core paper prints. With pools as modules it would
count 0.09 M more.
"""

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook.models.options import Share, up_to

BLOCKS = 3
Few = Annotated[int, up_to(64)]


class DenseLayer(nn.Module):
    """(n, in_channels, h, w) -> (n, in_channels + growth, h, w): the input, and behind it what is made from it."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(self.relu(self.bn(x)))], 1)


class Transition(nn.Module):
    """(n, in_channels, h, w) -> (n, out_channels, h // 2, w // 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(self.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """Three dense blocks of `layers` layers each: images (n, in_channels, h, w) -> logits (n, num_classes).

    The stem makes 2 * `growth` channels. Images need at least 4x4 pixels, since both transitions halve their sides
    (rounding down). Convolutions have no bias; their weights are Kaiming-normal with fan-in (He et al. 2015), the linear
    layer keeps PyTorch's default.
    """

    def __init__(self, layers: int, num_classes: int, in_channels: int, growth: int, compression: float) -> None:
        super().__init__()
        self.compression = float(compression)
        channels = 2 * growth
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        for block in range(1, BLOCKS + 1):
            dense = nn.Sequential(*(DenseLayer(channels + i * growth, growth) for i in range(layers)))
            self.add_module(f"block{block}", dense)
            channels += layers * growth
            if block < BLOCKS:
                passed_on = transition_width(channels, compression)
                self.add_module(f"transition{block}", Transition(channels, passed_on))
                channels = passed_on
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.linear = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        for block in range(1, BLOCKS + 1):
            out = self.get_submodule(f"block{block}")(out)
            if block < BLOCKS:
                out = self.get_submodule(f"transition{block}")(out)
        return self.linear(F.adaptive_avg_pool2d(self.relu(self.bn(out)), 1).flatten(1))

    def dense_layers(self) -> list[list[str]]:
        """Names of the 3x3 convolutions of each block, in the order in which they run."""
        blocks = [f"block{block}" for block in range(1, BLOCKS + 1)]
        return [[f"{block}.{name}.conv" for name, _ in self.get_submodule(block).named_children()] for block in blocks]

    def transitions(self) -> dict[str, float]:
        """The compression of each transition, by the name of its 1x1 convolution, in the order in which they run."""
        return {f"transition{block}.conv": self.compression for block in range(1, BLOCKS)}


def transition_width(inputs: int, compression: float) -> int:
    """Output channels of a transition that reads `inputs` channels: compression * inputs, rounded down, at least 1."""
    # The addend makes up for binary fractions: 0.29 * 100 is a little below 29.
    return max(1, math.floor(compression * inputs + 1e-9))


def densenet40(
    num_classes: int = 10, in_channels: int = 3, *, growth: Few = 12, compression: Share = 1.0, layers: Few = 12
) -> DenseNet:
    """DenseNet-40: 12 layers a block that add 12 channels each, 1.06 M parameters for 10 classes."""
    return DenseNet(layers, num_classes, in_channels, growth, compression)
