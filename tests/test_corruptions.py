"""Common corruptions: against other implementations, and what noise must be on average."""

import colorsys
import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from prunebook import corruptions, data
from prunebook.errors import BadValue

CONSTANTS = {"brightness": [0.05, 0.1, 0.15, 0.2, 0.3], "contrast": [0.75, 0.5, 0.4, 0.3, 0.15]}


def smooth(channels: int = 3, n: int = 3, size: int = 32) -> Tensor:
    """Pictures with few edges, so that blur and compression leave most of them."""
    noise = np.random.default_rng(0).random((n, channels, size, size))
    blurred = ndimage.gaussian_filter(noise, (0, 0, 3, 3), mode="wrap")
    low, high = blurred.min(), blurred.max()
    return torch.from_numpy(np.rint((blurred - low) / (high - low) * 255).astype(np.uint8))


def grey(value: int, size: int = 64) -> Tensor:
    return torch.full((20, 1, size, size), value, dtype=torch.uint8)


@pytest.mark.parametrize("kind", corruptions.KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_keep_their_shape_and_type_and_worsen_with_severity(kind: str, channels: int) -> None:
    images = smooth(channels)
    before = images.clone()
    changed = [corruptions.corrupt(images, kind, severity) for severity in corruptions.SEVERITIES]
    assert torch.equal(images, before)
    assert all(each.shape == images.shape and each.dtype == torch.uint8 for each in changed)
    errors = [(each.float() - images.float()).square().mean().item() for each in changed]
    assert 0 < errors[0] < errors[2] < errors[4]


@pytest.mark.parametrize("kind", ["gaussian_noise", "shot_noise", "impulse_noise"])
def test_noise_depends_on_its_seed_alone(kind: str) -> None:
    images = smooth()
    torch.manual_seed(1)
    once = corruptions.corrupt(images, kind, seed=4)
    torch.manual_seed(2)
    assert torch.equal(once, corruptions.corrupt(images, kind, seed=4))
    assert not torch.equal(once, corruptions.corrupt(images, kind, seed=5))


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.04), (5, 0.10)])
def test_gaussian_noise_has_its_deviation(severity: int, deviation: float) -> None:
    noise = (corruptions.corrupt(grey(128), "gaussian_noise", severity).double() - 128) / 255
    assert noise.std().item() == pytest.approx(deviation, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.001)
    assert abs(stats.skew(noise.flatten())) < 0.05
    assert abs(stats.kurtosis(noise.flatten())) < 0.1


@pytest.mark.parametrize(("value", "severity", "photons"), [(51, 1, 500), (51, 5, 50), (128, 3, 100), (0, 5, 50)])
def test_shot_noise_has_the_mean_and_the_variance_of_counted_photons(value: int, severity: int, photons: int) -> None:
    found = corruptions.corrupt(grey(value), "shot_noise", severity).double() / 255
    assert found.mean().item() == pytest.approx(value / 255, abs=0.002)
    assert found.var().item() == pytest.approx(value / 255 / photons, rel=0.05)


def test_impulse_noise_makes_its_share_of_the_numbers_black_or_white() -> None:
    found = corruptions.corrupt(grey(100), "impulse_noise", 5)
    counts = {value: (found == value).double().mean().item() for value in (0, 100, 255)}
    assert sum(counts.values()) == pytest.approx(1)
    assert counts[100] == pytest.approx(0.93, abs=0.003)
    assert counts[0] == pytest.approx(counts[255], abs=0.004)


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.4), (3, 0.7), (5, 1.0)])
def test_blur_is_that_of_scipy(severity: int, deviation: float) -> None:
    images = torch.randint(256, (2, 3, 9, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    theirs = ndimage.gaussian_filter(images.double().numpy(), (0, 0, deviation, deviation), mode="nearest", truncate=4)
    assert np.abs(corruptions.corrupt(images, "gaussian_blur", severity).numpy() - theirs).max() <= 0.51


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_brightness_is_that_of_colorsys(severity: int) -> None:
    images = torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[0, :, 0, 0] = 0  # black has no hue
    images[0, :, 0, 1] = torch.tensor([255, 10, 0])
    found = corruptions.corrupt(images, "brightness", severity)
    for y in range(8):
        for x in range(8):
            hue, saturation, value = colorsys.rgb_to_hsv(*(images[0, :, y, x] / 255).tolist())
            rgb = colorsys.hsv_to_rgb(hue, saturation, min(1, value + CONSTANTS["brightness"][severity - 1]))
            assert found[0, :, y, x].tolist() == pytest.approx([255 * each for each in rgb], abs=0.51)


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_contrast_of_a_grey_image_is_that_of_torchvision(severity: int) -> None:
    images = smooth(1)
    theirs = transforms.adjust_contrast(images.float() / 255, CONSTANTS["contrast"][severity - 1])  # of the image's mean
    found = corruptions.corrupt(images, "contrast", severity)
    assert torch.allclose(found.float(), theirs * 255, atol=0.51)


def test_contrast_keeps_the_mean_of_each_channel() -> None:
    images = smooth()
    found = corruptions.corrupt(images, "contrast", 5).float()
    assert torch.allclose(found.mean((2, 3)), images.float().mean((2, 3)), atol=0.5)


def box(rows: np.ndarray, size: int) -> np.ndarray:
    """For each of `size` equal parts of the first axis, the mean of the rows whose middle lies in it, or at its end."""
    n = len(rows)
    middles = np.arange(n) + 0.5
    parts = [np.clip([part * n / size, (part + 1) * n / size], 0, n) for part in range(size)]
    inside = [(middles > start - 1e-9) & (middles <= end + 1e-9) for start, end in parts]
    return np.array([rows[found].mean(axis=0) if found.any() else rows[int(np.mean(part))]
                     for found, part in zip(inside, parts, strict=True)])  # fmt: skip


@pytest.mark.parametrize(("severity", "left"), [(5, 10), (4, 12), (2, 14)])
def test_pixels_are_means_of_boxes(severity: int, left: int) -> None:
    """Of 16 pixels a side 10, 12 or 14 are left; then each is repeated, some twice."""
    images = smooth(1, 1, 16)
    small = np.rint(box(box(images[0, 0].double().numpy(), left).T, left).T)
    large = box(box(small, 16).T, 16).T
    found = corruptions.corrupt(images, "pixelate", severity)[0, 0].numpy()
    assert len(np.unique(found, axis=0)) == left
    assert np.abs(found - large).max() <= 2


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
@pytest.mark.parametrize(("severity", "quality"), [(1, 80), (5, 40)])
def test_compression_is_about_that_of_torchvision(severity: int, quality: int) -> None:
    images = smooth()
    theirs = torch.stack([transforms.jpeg(image, quality) for image in images])
    found = corruptions.corrupt(images, "jpeg", severity)
    assert (found.float() - theirs.float()).abs().mean() < 0.5
    assert (found.float() - images.float()).abs().mean() > 0.5


def test_compression_is_what_a_file_of_this_quality_holds() -> None:
    image = smooth(1, 1)
    file = io.BytesIO()
    Image.fromarray(image[0, 0].numpy()).save(file, format="jpeg", quality=58)
    assert corruptions.corrupt(image, "jpeg", 3)[0, 0].tolist() == np.asarray(Image.open(file)).tolist()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: corruptions.corrupt(smooth(), "gausian_noise"), "did you mean 'gaussian_noise'"),
        (lambda: corruptions.corrupt(smooth(), "fog"), "corruption is 'fog', but must be one of"),
        (lambda: corruptions.corrupt(smooth(), "jpeg", 6), "severity is 6"),
        (lambda: corruptions.corrupt(smooth(), "jpeg", 0), "severity is 0"),
        (lambda: corruptions.corrupt(smooth(), "jpeg", True), "severity is True"),
        (lambda: corruptions.corrupt(smooth(), "shot_noise", seed=-1), "seed is -1"),
        (lambda: corruptions.corrupt(smooth().float(), "jpeg"), "torch.float32 (3, 3, 32, 32)"),
        (lambda: corruptions.corrupt(smooth()[0], "jpeg"), "torch.uint8 (3, 32, 32)"),
        (lambda: corruptions.corrupt(smooth(2), "jpeg"), "(n, 1 or 3, height, width)"),
        (lambda: corruptions.corrupt(data.load("breast_cancer").test.images, "contrast"), "(n, 1 or 3, height, width)"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, words: str) -> None:
    with pytest.raises(BadValue) as refusal:
        call()
    assert words in str(refusal.value)
