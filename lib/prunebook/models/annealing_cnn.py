"""The convolutional network of the annealing paper (Meng et al. 2022, Table I) for CIFAR-10.

Five 3x3 convolutions without padding and batch norm, three max-pools, three linear layers: the shape that has the number of
parameters that the table prints.
"""

from torch import Tensor, nn

from prunebook.models.options import Width

CONVOLUTIONS = ((64, 64), (128, 128), (256,))  # filters; a 2x2 max-pool behind each group
HIDDEN = (512, 128)
SIDES = range(28, 36)  # of images, in pixels: what leaves one pixel behind the last pool


class AnnealingCNN(nn.Module):
    """Maps images (n, in_channels, h, w) of 28 to 35 pixels a side to logits (n, num_classes); the last maps are one pixel.

    `width` multiplies the filters and the units of the hidden layers (rounded, at least 1).
    """

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        super().__init__()
        maps: list[nn.Module] = []
        for group in CONVOLUTIONS:
            for wanted in group:
                filters = max(1, round(wanted * width))
                maps += [nn.Conv2d(in_channels, filters, 3), nn.ReLU()]
                in_channels = filters
            maps.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*maps)
        first, second = (max(1, round(wanted * width)) for wanted in HIDDEN)
        self.classifier = nn.Sequential(
            nn.Linear(in_channels, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def cnn_annealing(num_classes: int = 10, in_channels: int = 3, *, width: Width = 1.0) -> AnnealingCNN:
    """Five convolutions and three linear layers; 753,866 parameters for images of three channels and 10 classes."""
    return AnnealingCNN(num_classes, in_channels, width)
