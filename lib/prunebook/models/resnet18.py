"""ResNet-18 for small images: the network of He et al. (2016), section 4.1, with a stem for images of 32 pixels.

Its stem is a 3x3 convolution of stride 1 without the max-pool behind it, as is usual for CIFAR; where a block changes the
shape, its shortcut is a 1x1 convolution with batch norm (option "B" of `prunebook.models.resnet`, whose blocks these are).

Counters that see modules, not functions, make a network's cost depend on how it is written. Here the final pool is a
module: so written, THOP counts what Table 3 of the SACP paper prints, 557.89 M. With the pool as a function it would count
557.88 M.
"""

from torch import Tensor, nn

from prunebook.models.options import Width
from prunebook.models.resnet import _stage

CHANNELS = (64, 128, 256, 512)
BLOCKS = 2  # of each stage


class ResNet18(nn.Module):
    """Four stages of two blocks each: images (n, in_channels, h, w) -> logits (n, num_classes).

    `width` multiplies the channels of every stage (rounded, at least 1). Convolutions have no bias; their weights are
    Kaiming-normal with fan-in (He et al. 2015), the linear layer keeps PyTorch's default.
    """

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        super().__init__()
        widths = [max(1, round(channels * width)) for channels in CHANNELS]
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(BLOCKS, widths[0], widths[0], 1, "B")
        self.layer2 = _stage(BLOCKS, widths[0], widths[1], 2, "B")
        self.layer3 = _stage(BLOCKS, widths[1], widths[2], 2, "B")
        self.layer4 = _stage(BLOCKS, widths[2], widths[3], 2, "B")
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(widths[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return self.linear(self.pool(out).flatten(1))


def resnet18(num_classes: int = 10, in_channels: int = 3, *, width: Width = 1.0) -> ResNet18:
    """ResNet-18 with a stem for small images: 8 blocks, 11.17 M parameters for 10 classes."""
    return ResNet18(num_classes, in_channels, width)
