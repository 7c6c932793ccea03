"""ResNet-50 for photographs: He et al., "Deep residual learning for image recognition" (2016), section 4.1.

torchvision's own network, so that its trained weights load without renaming. It is made for images of 224x224 pixels
and takes smaller ones down to 32x32, which it reduces to a single place. With the stem "cifar" it keeps the resolution of
images of 32 pixels, as is usual for them: that stem has no pooling, and a convolution of its own.
"""

from typing import Annotated

from torch import nn

from prunebook.models.options import one_of

STEMS = ("imagenet", "cifar")


def resnet50(num_classes: int = 10, in_channels: int = 3, *, stem: Annotated[str, one_of(*STEMS)] = "imagenet") -> nn.Module:
    """ResNet-50: 16 bottleneck blocks, 25.56 M parameters for 1000 classes. No weights are downloaded.

    `stem`: "imagenet", a 7x7 convolution of stride 2 and a max-pool, or "cifar", a 3x3 convolution of stride 1 only.
    """
    from torchvision import models  # here, because importing it takes a second

    model = models.resnet50(weights=None, num_classes=num_classes)
    first = model.conv1
    if stem == "cifar":
        model.conv1 = nn.Conv2d(in_channels, first.out_channels, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    elif in_channels != first.in_channels:
        model.conv1 = nn.Conv2d(in_channels, first.out_channels, 7, stride=2, padding=3, bias=False)
    if model.conv1 is not first:
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    return model
