"""VGG-16 and VGG-19 for small images: Simonyan and Zisserman (2015), with batch norm and a small head.

The convolutions keep their bias: only so do VGG-16's parameters agree with Table 1 of the k-core paper (14.99 M for 10
classes, 15.04 M for 100). They are named as torchvision's vgg16_bn and vgg19_bn are, so that weights for those load.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from prunebook.models.options import Flag, Width

# The channels of each group of convolutions, configurations D and E of the paper; a 2x2 max-pool follows every group.
GROUPS_16 = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
GROUPS_19 = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)


class VGG(nn.Module):
    """Groups of 3x3 convolutions with batch norm, a global average and a classifier.

    Maps images (n, in_channels, h, w) to logits (n, num_classes). Pools round sizes up, so that images smaller than
    32x32 pass as well. The classifier is Linear(512, 512)-BN-ReLU-Linear where `hidden`, else one linear layer; `width`
    multiplies every channel count (rounded, at least 1). Convolutions start Kaiming-normal with fan-in (He et al. 2015)
    and zero bias, linear layers keep PyTorch's default.
    """

    def __init__(
        self, groups: Sequence[Sequence[int]], num_classes: int, in_channels: int, hidden: bool, width: float
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for group in groups:
            for wanted in group:
                channels = max(1, round(wanted * width))
                layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
                in_channels = channels
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.classifier = _classifier(in_channels, num_classes, hidden)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


def _classifier(channels: int, num_classes: int, hidden: bool) -> nn.Sequential:
    output = nn.Linear(channels, num_classes)
    if not hidden:
        return nn.Sequential(output)
    return nn.Sequential(nn.Linear(channels, channels), nn.BatchNorm1d(channels), nn.ReLU(), output)


def vgg16(num_classes: int = 10, in_channels: int = 3, *, hidden: Flag = True, width: Width = 1.0) -> VGG:
    """VGG-16: 13 convolutions; 14.99 M parameters with the hidden layer in the classifier, 14.73 M without."""
    return VGG(GROUPS_16, num_classes, in_channels, hidden, width)


def vgg19(num_classes: int = 10, in_channels: int = 3, *, hidden: Flag = True, width: Width = 1.0) -> VGG:
    """VGG-19: 16 convolutions; 20.30 M parameters with the hidden layer in the classifier, 20.04 M without."""
    return VGG(GROUPS_19, num_classes, in_channels, hidden, width)
