"""ResNet-50 for photographs: He et al., "Deep residual learning for image recognition" (2016), section 4.1.

torchvision's own network, so that its trained weights load without renaming. It is made for images of 224x224 pixels
and takes smaller ones down to 32x32, which it reduces to a single place.
"""

from torch import nn


def resnet50(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """ResNet-50: 16 bottleneck blocks, 25.56 M parameters for 1000 classes. No weights are downloaded."""
    from torchvision import models  # here, because importing it takes a second

    model = models.resnet50(weights=None, num_classes=num_classes)
    if in_channels != model.conv1.in_channels:
        model.conv1 = nn.Conv2d(in_channels, model.conv1.out_channels, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    return model
