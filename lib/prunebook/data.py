"""Datasets by name: `train, val, test = data.load("cifar10")`.

Published datasets are whole tensors on a device. Photographs, of which ImageNet has more than any memory holds, stay in
their files, and threads read a few batches ahead. Either way images are uint8, (n, channels, height, width), until a
batch is normalised. The test split is the official one; `val` is taken out of the official training part, by class and
by seed. Nothing is downloaded unless `download` is called.
"""

import hashlib
import math
import os
import shutil
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from prunebook import distributed, paths, tables
from prunebook.errors import BadValue, MissingData, choose, require

IN_MEMORY = 4 * 2**30  # bytes of photographs that are decoded all at once, at most
AHEAD = 2  # batches of photographs that are read while the one before them is in use
PREPROCESSING = ("leak-free", "paper")
SAMPLE = 5000  # photographs from which mean and deviation of a folder are estimated
DIGITS_SIZE = 8  # pixels of a side
PHOTOGRAPH_SIZE = 224  # pixels of a side, where nothing else is asked for
LARGEST = 4096  # pixels of a side; with no limit, a slip of a digit would ask for terabytes
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
CHECKPOINTS = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
CHECKPOINT_FILES = (
    "resnet20-12fca82f.th",
    "resnet32-d509ac18.th",
    "resnet44-014dd654.th",
    "resnet56-4bfd9763.th",
)


class Augmentation(NamedTuple):
    """How images are changed for training.

    They are cropped at a random place after padding `pad` zero pixels on each side, half of them mirrored if `flip`, then
    turned by a random angle of up to `rotate` degrees either way. Photographs in a folder: a random part instead of the
    padding.
    """

    pad: int = 4
    flip: bool = True
    rotate: float = 0.0


_Job = tuple[Path, Callable[[Image.Image, int], Image.Image]]  # a file, and how its image becomes a square of a size


@dataclass(frozen=True)
class Split:
    """`images` uint8 (n, channels, height, width), float32 for a table, and `labels` int64 (n,), on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def is_table(self) -> bool:
        """Whether these are rows of a table, which are no images."""
        return self.images.is_floating_point()

    def read(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images, uint8 (n, c, h, w), of each batch of numbers."""
        for chosen in batches:
            yield self.images[chosen.to(self.images.device)]

    def read_augmented(
        self, batches: Iterable[Tensor], generator: torch.Generator, how: Augmentation, part: Callable[[int], slice]
    ) -> Iterator[Tensor]:
        """Of each batch of numbers, the images `part(len(batch))`, changed as for training by `augment`.

        The random numbers are drawn for whole batches: a part is the same whatever the others are.
        """
        for chosen in batches:
            images = self.images[chosen.to(self.images.device)]
            yield augment(images, generator, *how)[part(len(chosen))]

    def content(self) -> Iterator[bytes | memoryview]:
        """All that the split is, for a digest."""
        for tensor in (self.images, self.labels):
            yield f"{tensor.dtype} {tuple(tensor.shape)};".encode()
            yield tensor.cpu().contiguous().numpy().data


@dataclass(frozen=True)
class FolderSplit:
    """Photographs in files, read when they are asked for; used like a `Split`.

    `names` are the files' names from `folder` on. `labels` are int64 (n,); images come to the device where these are,
    as squares of `size` pixels. For evaluation the shorter side is resized to 256/224 of `size` and the centre is taken.
    For training it is a random part of 8 to 100 % of the image, its width from 3/4 to 4/3 of its height, resized.
    """

    folder: Path
    names: np.ndarray
    labels: Tensor
    size: int
    is_table = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return 3, self.size, self.size

    @cached_property
    def images(self) -> Tensor:
        """All images, as for evaluation, at once. Raises BadValue where they would take more than IN_MEMORY bytes."""
        most = IN_MEMORY // math.prod(self.shape)
        require(len(self) <= most, f"number of images of {self.folder} to be held in memory", len(self), f"at most {most}")
        return torch.cat([*self.read(torch.arange(len(self)).split(512)), torch.empty(0, *self.shape, dtype=torch.uint8)])

    def read(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images, uint8 (n, 3, size, size), of each batch of numbers. Raises BadValue for a file that is no image."""
        return self._stream([(name, _centre) for name in self._files(chosen)] for chosen in batches)

    def read_augmented(
        self, batches: Iterable[Tensor], generator: torch.Generator, how: Augmentation, part: Callable[[int], slice]
    ) -> Iterator[Tensor]:
        """Of each batch of numbers, the images `part(len(batch))`, changed as for training.

        Each image has a random seed of its own, so that it does not matter which process and which thread reads it.
        """

        def jobs() -> Iterator[list[_Job]]:
            for chosen in batches:
                seeds = torch.randint(2**62, (len(chosen),), generator=generator, device=generator.device)
                mine = part(len(chosen))
                pairs = zip(self._files(chosen[mine]), seeds[mine].tolist(), strict=True)
                yield [(file, partial(_random_part, seed=seed, how=how)) for file, seed in pairs]

        return self._stream(jobs())

    def content(self) -> Iterator[bytes | memoryview]:
        """For a digest: names, sizes and labels of the files. To read them all would take hours."""
        yield f"{self.size};".encode()
        for name in self.names:
            yield f"{name} {(self.folder / name).stat().st_size};".encode()
        yield self.labels.cpu().contiguous().numpy().data

    def _files(self, chosen: Tensor) -> list[Path]:
        return [self.folder / self.names[i] for i in chosen.tolist()]

    def _stream(self, batches: Iterable[list[_Job]]) -> Iterator[Tensor]:
        """The images of each batch, while threads read the next ones. Decoding and resizing let other threads run."""
        waiting: deque[list[Future[np.ndarray]]] = deque()
        pool = ThreadPoolExecutor(distributed.threads())
        try:
            for batch in batches:
                waiting.append([pool.submit(_photograph, file, self.size, change) for file, change in batch])
                if len(waiting) > AHEAD:
                    yield self._collect(waiting.popleft())
            while waiting:
                yield self._collect(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _collect(self, batch: list[Future[np.ndarray]]) -> Tensor:
        images = np.empty((len(batch), self.size, self.size, 3), dtype=np.uint8)
        for i, image in enumerate(batch):
            images[i] = image.result()
        return torch.from_numpy(images).to(self.labels.device).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Dataset:
    """Three splits and what a network has to know of them; unpacks to `train, val, test`.

    `classes` are the classes' names or None; `mean` and `std`, one number a channel, are those of the official training
    part scaled to [0, 1] (of a folder, of a sample of it); `flip` says whether a mirrored image is still one of its class.
    """

    name: str
    train: Split | FolderSplit
    val: Split | FolderSplit
    test: Split | FolderSplit
    num_classes: int
    classes: tuple[str, ...] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool

    def __iter__(self) -> Iterator[Split | FolderSplit]:
        return iter((self.train, self.val, self.test))

    @property
    def in_channels(self) -> int:
        return self.train.shape[0]

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.train.shape[1]


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


# MD5 of the unpacked files, which torchvision does not check; those of CIFAR it does. Sizes are the published ones.
_IDX_SIZES = {"train-images-idx3-ubyte": 47_040_016, "train-labels-idx1-ubyte": 60_008,
              "t10k-images-idx3-ubyte": 7_840_016, "t10k-labels-idx1-ubyte": 10_008}  # fmt: skip
_IDX_MD5 = {
    "mnist": ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
              "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
    "fashion_mnist": ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
                      "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"),
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
    """Datasets that `load` knows, besides `image_folder:FOLDER` for a folder of one's own photographs; tables come last."""
    return ["digits", *_KNOWN, *tables.NAMES]


def shape(name: str, size: int | None = None) -> tuple[int | None, int]:
    """Channels, and height and width in pixels, of the images that `load(name, size=size)` gives; no file is read.

    How many channels the rows of a table have is told by its file, so None stands for it here. Raises BadValue for a name
    or a size that `load` refuses.
    """
    require(size is None or 1 <= size <= LARGEST, "size", size, f"from 1 to {LARGEST} pixels")
    if name.startswith("image_folder:"):
        return 3, size or PHOTOGRAPH_SIZE
    choose("dataset", name, [*names(), "image_folder:FOLDER"])
    if name in tables.NAMES:
        require(size in (None, 1), "size", size, "1 for a table, whose rows are images of one pixel")
        return None, 1
    own, *channels = (DIGITS_SIZE,) if name == "digits" else _KNOWN[name].shape[1:]
    return (channels or [1])[0], own * _factor(size, own)


def load(
    name: str,
    root: str | Path | None = None,
    seed: int = 0,
    val_fraction: float | None = None,
    device: str | torch.device = "cpu",
    size: int | None = None,
    preprocessing: str = "leak-free",
) -> Dataset:
    """The dataset `name`, split and on `device`.

    Parameters
    ----------
    name: one of `names()`, or "image_folder:FOLDER" for root/FOLDER/train and root/FOLDER/test (or val),
        each with one folder of images a class. Digits come with scikit-learn: 8x8 images without official parts, of which a
        fixed quarter of every class is the test split.
    root: folder of the datasets; by default PRUNEBOOK_DATA, else data/raw of the project. Read are torchvision's own
        files, else NAME.npz with x_train, y_train, x_test, y_test (images uint8, n x height x width [x 3]).
    seed: of the split of the training part into train and val; the test split does not depend on it.
    val_fraction: share of every class of the training part that becomes `val`, from 0 up to, not including, 1; by
        default .1, and .2 for digits, which makes its splits 60, 15 and 25 %.
    size: height and width in pixels. Photographs are resized and cropped to it (default 224; see `FolderSplit`). Other
        images are enlarged by repeating pixels, so it must be a multiple of their own size.
    preprocessing: of a table, of which a fixed quarter of every class is the test split. "leak-free" drops all but the
        first of equal rows, so that no row of the test split is known, and takes mean and deviation from the training split.
        "paper" keeps all rows and takes them from all rows. The annealing paper, which these tables are for, tells neither.

    Raises BadValue for arguments or files that cannot be used, MissingData where the files are not in `root`.
    """
    _, side = shape(name, size)
    choose("preprocessing", preprocessing, PREPROCESSING)
    require(preprocessing == "leak-free" or name in tables.NAMES, "preprocessing", preprocessing, "'leak-free' for images")
    fraction = (0.2 if name == "digits" else 0.1) if val_fraction is None else val_fraction
    require(0 <= fraction < 1, "val_fraction", val_fraction, "at least 0 and below 1")
    require(seed >= 0, "seed", seed, "at least 0")
    where = paths.data_root() if root is None else Path(root)
    if name.startswith("image_folder:"):
        return _load_folder(name, where, seed, fraction, device, side)
    if name in tables.NAMES:
        return _load_table(name, where, seed, fraction, device, preprocessing)
    source = _source(name, where)
    arrays = source.arrays
    factor = side // arrays.x_train.shape[1]
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
    if name in ("digits", "breast_cancer"):
        print(f"{name} come{'s' * (name != 'digits')} with scikit-learn: nothing to download")
        return
    if name == "cifar10-resnets":
        target = paths.weights_root() if root is None else Path(root) / "weights"
        fetch = _fetch_checkpoints
    else:
        target = paths.data_root() if root is None else Path(root)
        fetch = partial(tables.fetch, name) if name in tables.NAMES else _fetch_known(name)
    target.mkdir(parents=True, exist_ok=True)
    try:
        fetch(target)
    except (OSError, RuntimeError, ValueError) as fault:  # no network, refused, wrong checksum
        raise BadValue(f"{name} could not be downloaded to {target}: {' '.join(str(fault).split())}") from None
    print(f"{name} is in {target}")


def augment(images: Tensor, generator: torch.Generator, pad: int = 4, flip: bool = True, rotate: float = 0.0) -> Tensor:
    """Change every image at random, as `Augmentation` says.

    `images` uint8 (n, c, h, w) -> the same shape; `generator` must be on the images' device. What a rotation leaves empty
    is zero; in between pixels it is bilinear. Raises BadValue for rows of a table.
    """
    require(images.dtype == torch.uint8, "dtype of images to augment", images.dtype, "torch.uint8: rows of a table are none")
    n, _, height, width = images.shape
    device = images.device
    changed = images
    if pad:
        windows = F.pad(images, (pad, pad, pad, pad)).unfold(2, height, 1).unfold(3, width, 1)
        top, left = torch.randint(2 * pad + 1, (2, n), generator=generator, device=device)
        changed = windows[torch.arange(n, device=device), :, top, left]
    if flip:
        mirrored = torch.rand(n, 1, 1, 1, generator=generator, device=device) < 0.5
        changed = torch.where(mirrored, changed.flip(3), changed)
    if rotate:
        angles = (2 * torch.rand(n, generator=generator, device=device) - 1) * math.radians(rotate)
        changed = _turned(changed, angles)
    return changed


def _turned(images: Tensor, angles: Tensor) -> Tensor:
    """uint8 (n, c, h, w), each turned by its angle (n,) in radians about its centre."""
    height, width = images.shape[2:]
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # Coordinates reach from -1 to 1 over either side, so a side's share of the other enters where they differ.
    rows = [torch.stack([cos, -sin * height / width, zero], 1), torch.stack([sin * width / height, cos, zero], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    turned = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return turned.round_().clamp_(0, 255).to(torch.uint8)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale uint8 images (n, c, h, w) to [0, 1], then by each channel's mean and deviation: float32, same shape.

    The numbers of a table, which are no uint8, are scaled by mean and deviation alone.
    """
    require(len(mean) == len(std) == images.shape[1], "mean", mean, f"as long as std and the {images.shape[1]} channels")
    shift, scale = (torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (mean, std))
    if images.is_floating_point():
        return (images.float() - shift) / scale
    return images.to(torch.float32).div_(255).sub_(shift).div_(scale)


def halved(dataset: Dataset) -> Dataset:
    """The dataset with one half of its test split as `val`, and the other half, as many of every class, as `test`.

    For networks that others trained, on all official training images: of these none is left to choose on that the network
    has not seen.
    """
    report, choose_on = _stratified(dataset.test.labels.cpu().numpy(), 0.5, 0)
    return replace(dataset, val=_taken(dataset.test, choose_on), test=_taken(dataset.test, report))


def _taken(split: Split | FolderSplit, chosen: np.ndarray) -> Split | FolderSplit:
    labels = split.labels[torch.from_numpy(chosen).to(split.labels.device)]
    if isinstance(split, FolderSplit):
        return replace(split, names=split.names[chosen], labels=labels)
    (images,) = split.read([torch.from_numpy(chosen)])
    return Split(images, labels)


def draw(split: Split | FolderSplit, n: int, seed: int) -> Tensor:
    """`n` distinct images of a split, uint8 (n, c, h, w): the same ones for equal seeds, on every device."""
    return draw_labelled(split, n, seed)[0]


def draw_labelled(split: Split | FolderSplit, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """The images that `draw` gives, and their labels (n,)."""
    chosen = _drawn(split, n, seed)
    (images,) = split.read([chosen])
    return images, split.labels[chosen.to(split.labels.device)]


def draw_augmented(split: Split | FolderSplit, n: int, seed: int, flip: bool = True) -> Tensor:
    """The images that `draw` gives, changed as for training; `flip` is that of the dataset."""
    chosen = _drawn(split, n, seed)
    generator = torch.Generator(split.labels.device).manual_seed(seed)
    (images,) = split.read_augmented([chosen], generator, Augmentation(flip=flip), lambda size: slice(0, size))
    return images


def _drawn(split: Split | FolderSplit, n: int, seed: int) -> Tensor:
    require(1 <= n <= len(split), "n", n, f"from 1 to {len(split)}, the number of images in the split")
    return torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:n]


def fingerprint(dataset: Dataset) -> str:
    """The first 16 hex digits of a SHA-256 over shapes, images and labels of all splits, in order.

    Of a folder's photographs, names and sizes of the files stand for the images.
    """
    digest = hashlib.sha256()
    for split in dataset:
        for piece in split.content():
            digest.update(piece)
    return digest.hexdigest()[:16]


def _source(name: str, root: Path) -> _Source:
    if name == "digits":
        arrays = _digits()
        return _Source(arrays, 10, _DIGITS, *_mean_std([arrays.x_train]), flip=False)
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
        _check_idx(name, source / "raw", cure)
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


def _check_idx(name: str, folder: Path, cure: str) -> None:
    """Raise BadValue for a file of the size of the published one that is not the published one. Others show when read."""
    for (file, size), md5 in zip(_IDX_SIZES.items(), _IDX_MD5.get(name, ()), strict=False):
        path = folder / file
        if path.is_file() and path.stat().st_size == size:
            with open(path, "rb") as content:
                damaged = hashlib.file_digest(content, "md5").hexdigest() != md5
            if damaged:
                raise BadValue(f"{path} is damaged, it is not the published file: delete it and {cure}")


# What comes of an archive in which some bit is another one, depending on where it lies.
NO_ARCHIVE = (OSError, ValueError, EOFError, AttributeError, TypeError, SyntaxError, tokenize.TokenError, RuntimeError,
              MemoryError, LookupError, zipfile.BadZipFile, zlib.error, struct.error)  # fmt: skip


def _read_npz(path: Path) -> _Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in _Arrays._fields if key not in archive]
            require(not missing, f"arrays of {path}", sorted(archive), ", ".join(_Arrays._fields))
            if bad := archive.zip.testzip():  # NumPy reads no further than a shape says, and never comes to the checksum
                raise zipfile.BadZipFile(f"wrong checksum of {bad}")
            return _Arrays(*(archive[key] for key in _Arrays._fields))
    except BadValue:
        raise
    except NO_ARCHIVE as fault:
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


def _load_folder(name: str, root: Path, seed: int, fraction: float, device: str | torch.device, size: int) -> Dataset:
    folder = root / name.removeprefix("image_folder:")
    train, test = folder / "train", folder / "test" if (folder / "test").is_dir() else folder / "val"
    if not train.is_dir() or not test.is_dir():
        raise MissingData(
            f"no image folder at {folder}: create {train} and {folder / 'test'} (or val), "
            "each with one folder of images for every class"
        )
    classes, other = (tuple(sorted(f.name for f in part.iterdir() if f.is_dir())) for part in (train, test))
    require(len(classes) > 0, f"folders in {train}", list(classes), "one for every class")
    require(classes == other, f"folders in {test}", list(other), f"those of train: {', '.join(classes)}")
    (names, labels), (test_names, test_labels) = (_list_photographs(part, classes) for part in (train, test))
    kept, held_out = (
        FolderSplit(train, names[chosen], torch.from_numpy(labels[chosen]).to(device), size)
        for chosen in _stratified(labels, fraction, seed)
    )
    tested = FolderSplit(test, test_names, torch.from_numpy(test_labels).to(device), size)
    whole = FolderSplit(train, names, torch.from_numpy(labels), size)
    return Dataset(name, kept, held_out, tested, len(classes), classes, *_mean_std(_sample(whole)), flip=True)


def _load_table(
    name: str, root: Path, seed: int, fraction: float, device: str | torch.device, preprocessing: str
) -> Dataset:
    """Whatever the preprocessing, categories and constant columns are seen in all rows: the width depends on them."""
    table = tables.read(name, root)
    features, labels = table.features, table.labels
    if preprocessing == "leak-free":
        import pandas as pd  # here, because nothing else needs it

        # By pandas, which hashes: NumPy sorts whole rows, and takes minutes for half a million of them.
        first = ~pd.DataFrame(features).assign(label=labels).duplicated().to_numpy()
        features, labels = features[first], labels[first]
    rest, test = _stratified(labels, 0.25, seed=0)
    kept, held_out = _stratified(labels[rest], fraction, seed)
    parts = [rest[kept], rest[held_out], test]
    seen = features if preprocessing == "paper" else features[parts[0]]
    mean = np.where(table.scaled, seen.mean(axis=0, dtype=np.float64), 0.0)
    std = np.where(table.scaled, seen.std(axis=0, dtype=np.float64), 1.0)
    std[std == 0] = 1
    if table.clip is not None:
        features = np.clip(features, mean - table.clip * std, mean + table.clip * std).astype(np.float32)
    train, val, tested = (
        Split(torch.from_numpy(features[part])[:, :, None, None].to(device), torch.from_numpy(labels[part]).to(device))
        for part in parts
    )
    means, stds = tuple(mean.tolist()), tuple(std.tolist())
    return Dataset(name, train, val, tested, len(table.classes), table.classes, means, stds, flip=False)


def _list_photographs(part: Path, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Names, as "class/file", and labels of all images below a folder."""
    found = [
        (f"{name}/{file}", label)
        for label, name in enumerate(classes)
        for file in sorted(os.listdir(part / name))
        if Path(file).suffix.lower() in IMAGE_SUFFIXES
    ]
    require(len(found) > 0, f"number of images in {part}", 0, f"at least 1; read are {', '.join(IMAGE_SUFFIXES)}")
    names, labels = zip(*found, strict=True)
    return np.array(names, dtype=object), np.array(labels, dtype=np.int64)


def _sample(split: FolderSplit) -> Iterator[np.ndarray]:
    """Batches (n, height, width, 3) of up to SAMPLE photographs, always the same ones."""
    chosen = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:SAMPLE]
    return (images.permute(0, 2, 3, 1).numpy() for images in split.read(chosen.split(256)))


def _photograph(file: Path, size: int, change: Callable[[Image.Image, int], Image.Image]) -> np.ndarray:
    """The image of a file, upright, as a square: (size, size, 3)."""
    try:
        with Image.open(file) as image:
            return np.asarray(change(ImageOps.exif_transpose(image).convert("RGB"), size))
    except (OSError, UnidentifiedImageError, SyntaxError) as fault:
        raise BadValue(f"{file} cannot be read as an image: {fault}") from None


def _centre(image: Image.Image, size: int) -> Image.Image:
    from torchvision.transforms import functional

    return functional.center_crop(functional.resize(image, round(size * 256 / 224)), [size, size])


def _random_part(image: Image.Image, size: int, seed: int, how: Augmentation) -> Image.Image:
    from torchvision.transforms import functional

    generator = np.random.default_rng(seed)
    part = functional.resized_crop(image, *_random_box(image.width, image.height, generator), [size, size])
    part = functional.hflip(part) if how.flip and generator.random() < 0.5 else part
    if how.rotate:
        part = part.rotate(generator.uniform(-how.rotate, how.rotate), Image.Resampling.BILINEAR)
    return part


def _random_box(width: int, height: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random part of 8 to 100 % of the area, its width from 3/4 to 4/3 of its height."""
    for _ in range(10):
        area = width * height * generator.uniform(0.08, 1)
        ratio = math.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            return int(generator.integers(height - high + 1)), int(generator.integers(width - wide + 1)), high, wide
    # Hardly any such part fits into a panorama: then the largest one at its centre.
    wide, high = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - high) // 2, (width - wide) // 2, high, wide


def _factor(size: int | None, own: int) -> int:
    """By how much images of `own` pixels are enlarged."""
    if size is None:
        return 1
    require(size % own == 0, "size", size, f"a multiple of the images' own {own} pixels")
    return size // own


def _mean_std(batches: Iterable[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each channel of images (n, height, width[, channels]), in [0, 1]; exact, from the counts of the 256 values."""
    values = np.arange(256) / 255
    counts: Any = 0
    for images in batches:
        channels = images.reshape(-1, 1) if images.ndim == 3 else images.reshape(-1, images.shape[3])
        counts = counts + np.stack([np.bincount(channel, minlength=256) for channel in channels.T])
    shares = [count / count.sum() for count in counts]
    means = [float(share @ values) for share in shares]
    # A channel without any variation would be divided by zero.
    stds = [float(np.sqrt(share @ (values - mean) ** 2)) or 1.0 for share, mean in zip(shares, means, strict=True)]
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
