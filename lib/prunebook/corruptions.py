"""What happens to images without anybody's intent: noise, blur, light, compression, in five severities [1]_.

Seven of the fifteen corruptions of CIFAR-10-C, and Gaussian blur, one of its four extra ones: they need neither a photograph
of frost nor another library. Their constants are those of its authors' script [2]_, for images of 32 pixels; on other sizes
they mean what they mean there, in pixels of the image at hand. Results are rounded, where the script cuts off.

References
----------
.. [1] Hendrycks, Dietterich: Benchmarking neural network robustness to common corruptions and perturbations, ICLR 2019.
.. [2] github.com/hendrycks/robustness, ImageNet-C/create_c/make_cifar_c.py.
"""

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from prunebook.errors import choose, require

SEVERITIES = (1, 2, 3, 4, 5)
_CONSTANTS = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # deviation, where white is 1
    "shot_noise": (500, 250, 100, 75, 50),  # photons of a white pixel
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),  # share of the numbers that become black or white
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # deviation in pixels
    "brightness": (0.05, 0.10, 0.15, 0.20, 0.30),  # added to the value of HSV
    "contrast": (0.75, 0.50, 0.40, 0.30, 0.15),  # what is left of the distance from the image's mean
    "pixelate": (0.95, 0.90, 0.85, 0.75, 0.65),  # side in between, relative
    "jpeg": (80, 65, 58, 50, 40),  # quality
}
KINDS = tuple(_CONSTANTS)


def corrupt(images: Tensor, kind: str, severity: int = 3, seed: int = 0) -> Tensor:
    """Corrupted copies of images.

    Parameters
    ----------
    images : uint8 (n, channels, height, width), of 1 or 3 channels
        Before they are normalised.
    kind : one of KINDS
    severity : int from 1 to 5
    seed : int
        Of the noise. Equal seeds give equal noise, whatever the device.

    Returns uint8 (n, channels, height, width), on the device of the images. Raises BadValue for images of another type, such
    as the rows of a table.
    """
    choose("corruption", kind, KINDS)
    require(severity in SEVERITIES and not isinstance(severity, bool), "severity", severity, "a whole number from 1 to 5")
    require(isinstance(seed, int) and seed >= 0, "seed", seed, "a whole number of at least 0")
    fits = images.dtype == torch.uint8 and images.dim() == 4 and images.shape[1] in (1, 3)
    require(fits, "images", f"{images.dtype} {tuple(images.shape)}", "uint8 of shape (n, 1 or 3, height, width)")
    constant, generator = _CONSTANTS[kind][severity - 1], torch.Generator().manual_seed(seed)
    if kind == "pixelate":
        return _one_by_one(images, lambda image: _pixelated(image, constant))
    if kind == "jpeg":
        return _one_by_one(images, lambda image: _compressed(image, int(constant)))
    change = {
        "gaussian_noise": _gaussian_noise, "shot_noise": _shot_noise, "impulse_noise": _impulse_noise,
        "gaussian_blur": _gaussian_blur, "brightness": _brightness, "contrast": _contrast,
    }[kind]  # fmt: skip
    changed = change(images.cpu().float() / 255, constant, generator)
    return changed.clamp(0, 1).mul(255).round().to(torch.uint8).to(images.device)


def _gaussian_noise(x: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return x + deviation * torch.randn(x.shape, generator=generator)


def _shot_noise(x: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    return torch.poisson(x * photons, generator=generator) / photons


def _impulse_noise(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    hit, white = torch.rand(x.shape, generator=generator) < share, torch.rand(x.shape, generator=generator) < 0.5
    return torch.where(hit, white.float(), x)


def _gaussian_blur(x: Tensor, deviation: float, _: torch.Generator) -> Tensor:
    """The border's pixels go on beyond it; the window reaches four deviations far."""
    radius = int(4 * deviation + 0.5)
    weights = torch.exp(-torch.arange(-radius, radius + 1).float().square() / (2 * deviation**2))
    weights /= weights.sum()
    n, channels, height, width = x.shape
    planes = F.pad(x.reshape(n * channels, 1, height, width), (radius,) * 4, mode="replicate")
    blurred = F.conv2d(F.conv2d(planes, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return blurred.view(x.shape)


def _brightness(x: Tensor, more: float, _: torch.Generator) -> Tensor:
    """In HSV the value is the largest channel; raising it at equal hue and saturation scales all of them alike."""
    value = x.amax(1, keepdim=True)
    brighter = (value + more).clamp(max=1)
    return torch.where(value > 0, x * brighter / torch.where(value > 0, value, 1), brighter)


def _contrast(x: Tensor, left: float, _: torch.Generator) -> Tensor:
    means = x.mean((2, 3), keepdim=True)
    return (x - means) * left + means


def _pixelated(image: Image.Image, share: float) -> Image.Image:
    size = (max(1, math.floor(image.width * share)), max(1, math.floor(image.height * share)))
    return image.resize(size, Image.Resampling.BOX).resize(image.size, Image.Resampling.BOX)


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def _one_by_one(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    changed = images.cpu().clone()
    for i, image in enumerate(images.cpu()):
        picture = Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).contiguous().numpy())
        pixels = torch.from_numpy(np.array(change(picture)))
        changed[i] = pixels if len(image) == 1 else pixels.permute(2, 0, 1)
    return changed.to(images.device)
