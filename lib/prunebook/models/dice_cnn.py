"""The small network of the Sørensen-Dice thesis (Hajbi 2025, chapter 4), which its text does not describe.

Its Figure 1 has the layers, and the text at hand has no figures. Ours, a choice: three blocks of a 3x3 convolution,
batch norm, ReLU and a 2x2 max-pool with 32, 64 and 128 filters, then two linear layers.
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from prunebook.models.options import Width, up_to

FILTERS = (32, 64, 128)
SIDE = 4  # of the last maps: what three pools leave of 32 pixels


class DiceCNN(nn.Module):
    """Maps images (n, in_channels, h, w) to logits (n, num_classes).

    The last maps are averaged to 4x4 places, which changes nothing for images of 32x32 pixels, and lets others pass as
    well. `hidden` is the width of the first linear layer; `width` multiplies the filters of every convolution (rounded, at
    least 1). Convolutions and linear layers start as PyTorch's default has it. Their weights lie in memory channels last,
    and the maps follow them: so few filters for so many places go two to three times as fast on a CPU that way.
    """

    def __init__(self, num_classes: int, in_channels: int, hidden: int, width: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wanted in FILTERS:
            filters = max(1, round(wanted * width))
            layers += [nn.Conv2d(in_channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
            layers += [nn.MaxPool2d(2, ceil_mode=True)]
            in_channels = filters
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(SIDE)
        self.classifier = nn.Sequential(nn.Linear(in_channels * SIDE**2, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))


def dice_cnn(
    num_classes: int = 10, in_channels: int = 3, *, hidden: Annotated[int, up_to(4096)] = 128, width: Width = 1.0
) -> DiceCNN:
    """Three convolutions and two linear layers; 0.36 M parameters for 10 classes."""
    return DiceCNN(num_classes, in_channels, hidden, width)
