"""Datasets by name, as whole tensors on a device: `train, val, test = data.load("cifar10")`.

Images are uint8, (n, channels, height, width), and stay so until a batch is augmented and normalised, both as a few
tensor operations on the device. The test split is the official one; `val` is taken out of the official training part,
by class and by seed. Nothing is downloaded unless `download` is called.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from prunebook import paths
from prunebook.errors import BadValue, MissingData, choose, require

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
CHECKPOINTS = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
CHECKPOINT_FILES = (
    "resnet20-12fca82f.th",
    "resnet32-d509ac18.th",
    "resnet44-014dd654.th",
    "resnet56-4bfd9763.th",
)


@dataclass(frozen=True)
class Split:
    """`images` uint8 (n, channels, height, width) and `labels` int64 (n,), on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Three splits and what a network has to know of them; unpacks to `train, val, test`.

    `classes` are the classes' names or None; `mean` and `std`, one number a channel, are those of the official training
    part scaled to [0, 1]; `flip` says whether a mirrored image is still one of its class.
    """

    name: str
    train: Split
    val: Split
    test: Split
    num_classes: int
    classes: tuple[str, ...] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool

    def __iter__(self) -> Iterator[Split]:
        return iter((self.train, self.val, self.test))

    @property
    def in_channels(self) -> int:
        return self.train.images.shape[1]

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.train.images.shape[2]


@dataclass(frozen=True)
class _Known:
    """A published dataset: its name and folder in torchvision, the shape of an image, and its constants."""

    torchvision: str
    folder: str
    shape: tuple[int, ...]  # of one stored image: (height, width) or (height, width, channels)
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    classes: tuple[str, ...] | None = None


_DIGITS = tuple(str(digit) for digit in range(10))
_CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_KNOWN = {
    "mnist": _Known("MNIST", "MNIST", (28, 28), 10, (0.1307,), (0.3081,), False, _DIGITS),
    "fashion_mnist": _Known("FashionMNIST", "FashionMNIST", (28, 28), 10, (0.2860,), (0.3530,), True, _CLOTHES),
    "cifar10": _Known(
        "CIFAR10", "cifar-10-batches-py", (32, 32, 3), 10,
        (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), True, _THINGS,
    ),
    "cifar100": _Known(
        "CIFAR100", "cifar-100-python", (32, 32, 3), 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), True
    ),
}  # fmt: skip


class _Arrays(NamedTuple):
    """The official parts as stored: images uint8 (n, height, width[, channels]) and labels."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class _Source(NamedTuple):
    """A dataset before it is split: the fields of `Dataset` that do not depend on the split."""

    arrays: _Arrays
    num_classes: int
    classes: tuple[str, ...] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool


def names() -> list[str]:
    """The names that `load` knows, besides `image_folder:FOLDER` for a folder of one's own photographs."""
    return ["digits", *_KNOWN]


def load(
    name: str,
    root: str | Path | None = None,
    seed: int = 0,
    val_fraction: float | None = None,
    device: str | torch.device = "cpu",
    size: int | None = None,
) -> Dataset:
    """The dataset `name`, split and on `device`.

    Parameters
    ----------
    name: one of `names()`, or "image_folder:FOLDER" for root/FOLDER/train and root/FOLDER/test (or val), each with one
        folder of images a class. Digits come with scikit-learn: 8x8 images without official parts, of which a fixed
        quarter of every class is the test split.
    root: folder of the datasets; by default PRUNEBOOK_DATA, else data/raw of the project. Read are torchvision's own
        files, else NAME.npz with x_train, y_train, x_test, y_test (images uint8, n x height x width [x 3]).
    seed: of the split of the training part into train and val; the test split does not depend on it.
    val_fraction: share of every class of the training part that becomes `val`, from 0 up to, not including, 1; by
        default .1, and .2 for digits, which makes its splits 60, 15 and 25 %.
    size: height and width in pixels. Photographs are resized and cropped to it (default 224). Other images are
        enlarged by repeating pixels, so it must be a multiple of their own size.

    Raises BadValue for arguments or files that cannot be used, MissingData where the files are not in `root`.
    """
    if not name.startswith("image_folder:"):
        choose("dataset", name, [*names(), "image_folder:FOLDER"])
    fraction = (0.2 if name == "digits" else 0.1) if val_fraction is None else val_fraction
    require(0 <= fraction < 1, "val_fraction", val_fraction, "at least 0 and below 1")
    require(seed >= 0, "seed", seed, "at least 0")
    require(size is None or size >= 1, "size", size, "at least 1 pixel")
    where = paths.data_root() if root is None else Path(root)
    source = _source(name, where, size)
    arrays = source.arrays
    factor = _factor(size, arrays.x_train.shape[1])
    kept, held_out = _stratified(arrays.y_train, fraction, seed)
    parts = (
        (arrays.x_train[kept], arrays.y_train[kept]),
        (arrays.x_train[held_out], arrays.y_train[held_out]),
        (arrays.x_test, arrays.y_test),
    )
    train, val, test = (_split(images, labels, factor, device) for images, labels in parts)
    return Dataset(
        name, train, val, test, source.num_classes, source.classes, source.mean, source.std, source.flip
    )  # fmt: skip


def download(name: str, root: str | Path | None = None) -> None:
    """Fetch a dataset, or the trained networks "cifar10-resnets", verify checksums, and say where they are.

    What is there already is left alone. Files appear in `root` (see `load`; networks: PRUNEBOOK_WEIGHTS, else its
    folder weights) only when they are complete. Raises BadValue for an unknown name or where the network fails.
    """
    choose("dataset", name, [*names(), "cifar10-resnets"])
    if name == "digits":
        print("digits come with scikit-learn: nothing to download")
        return
    if name == "cifar10-resnets":
        target = paths.weights_root() if root is None else Path(root) / "weights"
        fetch = _fetch_checkpoints
    else:
        target = paths.data_root() if root is None else Path(root)
        fetch = _fetch_known(name)
    target.mkdir(parents=True, exist_ok=True)
    try:
        fetch(target)
    except (OSError, RuntimeError) as fault:  # no network, refused, wrong checksum
        raise BadValue(f"{name} could not be downloaded to {target}: {' '.join(str(fault).split())}") from None
    print(f"{name} is in {target}")


def augment(images: Tensor, generator: torch.Generator, pad: int = 4, flip: bool = True) -> Tensor:
    """Crop every image at a random place after padding `pad` zero pixels on each side; mirror half of them if `flip`.

    `images` uint8 (n, c, h, w) -> the same shape; `generator` must be on the images' device.
    """
    n, _, height, width = images.shape
    device = images.device
    windows = F.pad(images, (pad, pad, pad, pad)).unfold(2, height, 1).unfold(3, width, 1)
    top, left = torch.randint(2 * pad + 1, (2, n), generator=generator, device=device)
    cropped = windows[torch.arange(n, device=device), :, top, left]
    if not flip:
        return cropped
    mirrored = torch.rand(n, 1, 1, 1, generator=generator, device=device) < 0.5
    return torch.where(mirrored, cropped.flip(3), cropped)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale uint8 images (n, c, h, w) to [0, 1], then by each channel's mean and deviation: float32, same shape."""
    require(len(mean) == len(std) == images.shape[1], "mean", mean, f"as long as std and the {images.shape[1]} channels")
    shift, scale = (torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (mean, std))
    return images.to(torch.float32).div_(255).sub_(shift).div_(scale)


def draw(split: Split, n: int, seed: int) -> Tensor:
    """`n` distinct images of a split, uint8 (n, c, h, w): the same ones for equal seeds, on every device."""
    return draw_labelled(split, n, seed)[0]


def draw_labelled(split: Split, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """The images that `draw` gives, and their labels (n,)."""
    require(1 <= n <= len(split), "n", n, f"from 1 to {len(split)}, the number of images in the split")
    chosen = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:n].to(split.images.device)
    return split.images[chosen], split.labels[chosen]


def fingerprint(dataset: Dataset) -> str:
    """The first 16 hex digits of a SHA-256 over shapes, images and labels of all splits, in order."""
    digest = hashlib.sha256()
    for split in dataset:
        for tensor in (split.images, split.labels):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _source(name: str, root: Path, size: int | None) -> _Source:
    if name.startswith("image_folder:"):
        arrays, classes = _read_folder(root / name.removeprefix("image_folder:"), size or 224)
        return _Source(arrays, len(classes), classes, *_mean_std(arrays.x_train), flip=True)
    if name == "digits":
        arrays = _digits()
        return _Source(arrays, 10, _DIGITS, *_mean_std(arrays.x_train), flip=False)
    known = _KNOWN[name]
    return _Source(_read_known(name, root), known.num_classes, known.classes, known.mean, known.std, known.flip)


def _digits() -> _Arrays:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    # The test split stands in for an official one, so its seed is fixed.
    train, test = _stratified(labels, 0.25, seed=0)
    return _Arrays(images[train], labels[train], images[test], labels[test])


def _read_known(name: str, root: Path) -> _Arrays:
    known = _KNOWN[name]
    cure = f"run `make data DATASET={name}`"
    if (root / known.folder).is_dir():
        source = root / known.folder
        arrays = _read_torchvision(known, root, cure)
    elif (root / f"{name}.npz").is_file():
        source = root / f"{name}.npz"
        arrays = _read_npz(source)
    else:
        raise MissingData(f"dataset {name!r} is not in {root}: {cure}, or set PRUNEBOOK_DATA to the folder that has it")
    for part in ("train", "test"):
        _check_part(source, known, part, getattr(arrays, f"x_{part}"), getattr(arrays, f"y_{part}"))
    return arrays


def _read_torchvision(known: _Known, root: Path, cure: str) -> _Arrays:
    from torchvision import datasets

    try:
        parts = [getattr(datasets, known.torchvision)(root, train=train) for train in (True, False)]
    except (RuntimeError, ValueError, AssertionError, OSError, EOFError):
        # torchvision checks CIFAR by checksum and MNIST only while reading; either way the files are no use.
        raise BadValue(f"the files in {root / known.folder} are incomplete or damaged: delete them and {cure}") from None
    train, test = ((np.asarray(part.data), np.asarray(part.targets, dtype=np.int64)) for part in parts)
    return _Arrays(*train, *test)


def _read_npz(path: Path) -> _Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in _Arrays._fields if key not in archive]
            require(not missing, f"arrays of {path}", sorted(archive), ", ".join(_Arrays._fields))
            return _Arrays(*(archive[key] for key in _Arrays._fields))
    except BadValue:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as fault:
        raise BadValue(f"{path} cannot be read, it is truncated or no archive of arrays: {fault}") from None


def _check_part(source: Path, known: _Known, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    described = f"{images.dtype} {images.shape}"
    wanted = f"uint8 (n, {', '.join(map(str, known.shape))})"
    fits = images.dtype == np.uint8 and images.shape[1:] == known.shape and len(images) > 0
    require(fits, f"x_{part} of {source}", described, wanted)
    described = f"{labels.dtype} {labels.shape}"
    fits = np.issubdtype(labels.dtype, np.integer) and labels.shape == (len(images),)
    require(fits, f"y_{part} of {source}", described, f"integers ({len(images)},)")
    lowest, highest = int(labels.min()), int(labels.max())
    require(0 <= lowest <= highest < known.num_classes, f"y_{part} of {source}", f"{lowest} to {highest}",
            f"from 0 to {known.num_classes - 1}")  # fmt: skip


def _read_folder(folder: Path, size: int) -> tuple[_Arrays, tuple[str, ...]]:
    test = folder / "test" if (folder / "test").is_dir() else folder / "val"
    if not (folder / "train").is_dir() or not test.is_dir():
        raise MissingData(
            f"no image folder at {folder}: create {folder / 'train'} and {folder / 'test'} (or val), "
            "each with one folder of images for every class"
        )
    classes, other = (tuple(sorted(f.name for f in part.iterdir() if f.is_dir())) for part in (folder / "train", test))
    require(len(classes) > 0, f"folders in {folder / 'train'}", list(classes), "one for every class")
    require(classes == other, f"folders in {test}", list(other), f"those of train: {', '.join(classes)}")
    return _Arrays(*_photographs(folder / "train", classes, size), *_photographs(test, classes, size)), classes


def _photographs(part: Path, classes: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    files = [
        (file, label)
        for label, name in enumerate(classes)
        for file in sorted((part / name).iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES
    ]
    require(len(files) > 0, f"number of images in {part}", 0, f"at least 1; read are {', '.join(IMAGE_SUFFIXES)}")
    images = np.empty((len(files), size, size, 3), dtype=np.uint8)
    for i, (file, _) in enumerate(files):
        images[i] = _photograph(file, size)
    return images, np.array([label for _, label in files], dtype=np.int64)


def _photograph(file: Path, size: int) -> np.ndarray:
    """Shorter side resized to `size`, then the centre: (size, size, 3)."""
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR))
    except (OSError, UnidentifiedImageError, SyntaxError) as fault:
        raise BadValue(f"{file} cannot be read as an image: {fault}") from None


def _factor(size: int | None, own: int) -> int:
    """By how much images of `own` pixels are enlarged."""
    if size is None:
        return 1
    require(size % own == 0, "size", size, f"a multiple of the images' own {own} pixels")
    return size // own


def _mean_std(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each channel, scaled to [0, 1]; exact, from the counts of the 256 values."""
    values = np.arange(256) / 255
    channels = images.reshape(-1, 1) if images.ndim == 3 else images.reshape(-1, images.shape[3])
    counts = [np.bincount(channel, minlength=256) / len(channel) for channel in channels.T]
    means = [float(share @ values) for share in counts]
    # A channel without any variation would be divided by zero.
    stds = [float(np.sqrt(share @ (values - mean) ** 2)) or 1.0 for share, mean in zip(counts, means, strict=True)]
    return tuple(means), tuple(stds)


def _stratified(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices (rest, taken): of every class, `fraction` of its members, rounded, are taken at random."""
    generator = np.random.default_rng(seed)
    taken = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        taken[members[: round(fraction * len(members))]] = True
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def _split(images: np.ndarray, labels: np.ndarray, factor: int, device: str | torch.device) -> Split:
    stored = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    planes = stored.unsqueeze(1) if stored.ndim == 3 else stored.permute(0, 3, 1, 2)
    if factor > 1:
        planes = planes.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return Split(planes.contiguous(), torch.from_numpy(labels.astype(np.int64)).to(device))


def _fetch_known(name: str) -> Any:
    """A function of the target folder that puts torchvision's files of a dataset there."""
    known = _KNOWN[name]

    def fetch(target: Path) -> None:
        from torchvision import datasets

        try:
            _read_known(name, target)
            return
        except BadValue:
            pass  # not there, or damaged: fetch it
        # torchvision writes where it reads, so an interrupted download would pass for a dataset: work next to it.
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=target) as temporary:
            getattr(datasets, known.torchvision)(temporary, download=True)
            shutil.rmtree(target / known.folder, ignore_errors=True)
            os.replace(Path(temporary) / known.folder, target / known.folder)

    return fetch


def _fetch_checkpoints(target: Path) -> None:
    for file in CHECKPOINT_FILES:
        prefix = Path(file).stem.rpartition("-")[2]
        found = target / file
        if not (found.is_file() and hashlib.sha256(found.read_bytes()).hexdigest().startswith(prefix)):
            torch.hub.download_url_to_file(CHECKPOINTS + file, str(found), hash_prefix=prefix)
