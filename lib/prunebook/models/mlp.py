"""The multilayer perceptrons of the annealing paper (Meng et al. 2022, Table I): credit-card fraud, KDD Cup'99, MNIST.

Table I prints numbers of layers and parameters. The widths are those that agree with both; for credit cards and MNIST the
authors' public code has them, for KDD Cup'99 they are the one shape that fits.
"""

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor, nn

from prunebook.models.options import Width, up_to

Side = Annotated[int, up_to(512)]  # of the images, in pixels


class MLP(nn.Module):
    """Maps images (n, in_channels, size, size) to logits (n, num_classes); a row of a table is an image of one pixel.

    `hidden` are the widths of the layers in between, each with ReLU, times `width` (rounded, at least 1). There is no
    activation function at the output: for one class its logistic is the probability.
    """

    def __init__(self, num_classes: int, in_channels: int, hidden: Sequence[int], size: int, width: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        features = in_channels * size**2
        for wanted in hidden:
            units = max(1, round(wanted * width))
            layers += [nn.Linear(features, units), nn.ReLU()]
            features = units
        self.layers = nn.Sequential(*layers, nn.Linear(features, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


def mlp_credit(num_classes: int = 1, in_channels: int = 29, *, size: Side = 1, width: Width = 1.0) -> MLP:
    """29-64-64-1; 6,145 parameters for the 29 columns of the table and one output."""
    return MLP(num_classes, in_channels, (64, 64), size, width)


def mlp_kdd(num_classes: int = 23, in_channels: int = 120, *, size: Side = 1, width: Width = 1.0) -> MLP:
    """120-512-256-128-128-23; 245,655 parameters for 120 inputs and 23 classes."""
    return MLP(num_classes, in_channels, (512, 256, 128, 128), size, width)


def mlp_mnist(num_classes: int = 10, in_channels: int = 1, *, size: Side = 28, width: Width = 1.0) -> MLP:
    """784-128-128-64-10; 125,898 parameters for images of 28x28 pixels and one channel."""
    return MLP(num_classes, in_channels, (128, 128, 64), size, width)
