"""Datasets: splits, file layouts, refusals, downloads, and the tensor operations on images."""

import gzip
import hashlib
import math
import os
import pickle
import struct
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.stats import ks_2samp, kstest
from torchvision import datasets
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms._presets import ImageClassification

from prunebook import data
from prunebook.errors import BadValue, MissingData

ROOT = os.environ.get("PRUNEBOOK_DATA", "")


def arrays(n_train: int = 40, n_test: int = 10, shape: tuple[int, ...] = (32, 32, 3)) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (n_train, *shape), dtype=np.uint8),
        "y_train": np.arange(n_train) % 10,
        "x_test": generator.integers(0, 256, (n_test, *shape), dtype=np.uint8),
        "y_test": np.arange(n_test) % 10,
    }


def split(images: torch.Tensor) -> data.Split:
    return data.Split(images, torch.zeros(len(images), dtype=torch.int64))


# Splits


def test_halves_of_the_test_split_have_as_many_images_of_every_class_and_share_none() -> None:
    digits = data.load("digits")
    halves = data.halved(digits)
    assert halves.train is digits.train
    assert abs(len(halves.val) - len(halves.test)) <= digits.num_classes
    counts = [torch.bincount(part.labels, minlength=10) for part in (halves.val, halves.test, digits.test)]
    assert torch.equal(counts[0] + counts[1], counts[2])
    assert int((counts[0] - counts[1]).abs().max()) <= 1
    images = [sorted(image.numpy().tobytes() for image in part.images) for part in (halves.val, halves.test, digits.test)]
    assert sorted(images[0] + images[1]) == images[2]
    assert torch.equal(data.halved(digits).val.images, halves.val.images)


def test_digits_are_split_60_15_25_with_every_class_in_its_share() -> None:
    digits = data.load("digits")
    train, val, test = digits
    total = len(train) + len(val) + len(test)
    assert total == 1797
    assert [round(100 * len(part) / total) for part in digits] == [60, 15, 25]
    for part, share in zip(digits, (0.6, 0.15, 0.25), strict=True):
        counts = part.labels.bincount(minlength=10)
        assert ((counts - share * 179.7).abs() < 4).all()
    assert (digits.num_classes, digits.in_channels, digits.image_size, digits.flip) == (10, 1, 8, False)


def test_digits_use_the_whole_range_of_uint8_and_mean_and_std_are_those_of_the_training_part() -> None:
    digits = data.load("digits")
    assert digits.train.images.dtype == torch.uint8
    assert digits.train.labels.dtype == torch.int64
    assert (int(digits.train.images.min()), int(digits.train.images.max())) == (0, 255)
    official = torch.cat([digits.train.images, digits.val.images]).double() / 255
    assert digits.mean == pytest.approx((official.mean().item(),))
    assert digits.std == pytest.approx((official.std(correction=0).item(),))


def test_the_seed_changes_train_and_val_but_never_test() -> None:
    first, again, other = data.load("digits", seed=1), data.load("digits", seed=1), data.load("digits", seed=2)
    assert data.fingerprint(first) == data.fingerprint(again) != data.fingerprint(other)
    assert not torch.equal(first.val.images, other.val.images)
    assert torch.equal(first.test.images, other.test.images)


def test_loading_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    data.draw(data.load("digits", seed=3).train, 5, seed=4)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_val_fraction_sets_the_share_of_every_class(tmp_path: Path) -> None:
    np.savez(tmp_path / "cifar10.npz", **arrays())
    assert data.load("cifar10", tmp_path, val_fraction=0.5).val.labels.bincount().tolist() == [2] * 10
    assert len(data.load("cifar10", tmp_path, val_fraction=0).val) == 0


def test_size_repeats_every_pixel() -> None:
    small, large = data.load("digits"), data.load("digits", size=24)
    assert large.image_size == 24
    assert torch.equal(large.test.images[:, :, 1::3, 2::3], small.test.images)
    assert torch.equal(large.test.images[:, :, 0::3, 0::3], small.test.images)
    with pytest.raises(BadValue, match="size is 20, but must be a multiple of the images' own 8 pixels"):
        data.load("digits", size=20)


# Files


def test_npz_gives_the_official_parts_channels_first(tmp_path: Path) -> None:
    stored = arrays()
    np.savez(tmp_path / "cifar10.npz", **stored)
    loaded = data.load("cifar10", tmp_path)
    assert torch.equal(loaded.test.images, torch.from_numpy(stored["x_test"]).permute(0, 3, 1, 2))
    assert loaded.test.labels.tolist() == stored["y_test"].tolist()
    joined = torch.cat([loaded.train.images, loaded.val.images]).permute(0, 2, 3, 1).flatten(1)
    assert sorted(map(tuple, joined.tolist())) == sorted(map(tuple, stored["x_train"].reshape(40, -1).tolist()))
    assert (loaded.in_channels, loaded.image_size, loaded.mean[0], loaded.flip) == (3, 32, 0.4914, True)


def test_the_root_defaults_to_the_folder_that_prunebook_data_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "mnist.npz", **arrays(shape=(28, 28)))
    monkeypatch.setenv("PRUNEBOOK_DATA", str(tmp_path))
    assert data.load("mnist").train.images.shape[1:] == (1, 28, 28)


def idx(folder: Path, stored: dict[str, np.ndarray]) -> None:
    """Write arrays in the format of the original MNIST files."""
    folder.mkdir(parents=True)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = stored[f"x_{part}"], stored[f"y_{part}"].astype(np.uint8)
        header = struct.pack(">IIII", 0x803, *images.shape)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(labels)) + labels.tobytes())


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files_are_read_where_torchvision_keeps_them(name: str, folder: str, tmp_path: Path) -> None:
    stored = arrays(shape=(28, 28))
    idx(tmp_path / folder / "raw", stored)
    loaded = data.load(name, tmp_path)
    assert torch.equal(loaded.test.images[:, 0], torch.from_numpy(stored["x_test"]))
    assert loaded.classes is not None
    assert len(loaded.classes) == loaded.num_classes == 10


def cifar_files(root: Path, stored: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write arrays in the format of CIFAR-10's own files and make their checksums the expected ones."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def put(name: str, entry: dict[str, Any]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(entry))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    lists = {}
    for part, name in (("train", "data_batch_1"), ("test", "test_batch")):
        flat = stored[f"x_{part}"].transpose(0, 3, 1, 2).reshape(-1, 3072)
        lists[part] = [put(name, {"data": flat, "labels": stored[f"y_{part}"].tolist()})]
    file, md5 = put("batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", lists["train"])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", lists["test"])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": file, "key": "label_names", "md5": md5})


def test_cifar_files_are_read_where_torchvision_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = arrays()
    cifar_files(tmp_path, stored, monkeypatch)
    loaded = data.load("cifar10", tmp_path)
    assert torch.equal(loaded.test.images, torch.from_numpy(stored["x_test"]).permute(0, 3, 1, 2))


def test_damaged_torchvision_files_are_refused_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar_files(tmp_path, arrays(), monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"half")
    with pytest.raises(BadValue, match=r"cifar-10-batches-py are incomplete or damaged.*make data DATASET=cifar10"):
        data.load("cifar10", tmp_path)
    idx(tmp_path / "MNIST" / "raw", arrays(shape=(28, 28)))
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(BadValue, match="MNIST are incomplete or damaged"):
        data.load("mnist", tmp_path)


def test_missing_data_names_the_folder_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingData) as caught:
        data.load("cifar10", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "make data DATASET=cifar10" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x_train": np.zeros((40, 32, 32, 3), np.float32)}, "x_train of .*npz is 'float32"),
        ({"x_test": np.zeros((10, 28, 28), np.uint8)}, "x_test of .*npz is 'uint8"),
        ({"y_test": np.zeros(9, np.int64)}, "y_test of .*npz is 'int64"),
        ({"y_test": np.full(10, 10)}, "'10 to 10', but must be from 0 to 9"),
        ({"y_train": np.array([None] * 40)}, "npz cannot be read"),
    ],
)
def test_unfit_npz_arrays_are_refused_by_name(change: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "cifar10.npz", **(arrays() | change))
    with pytest.raises(BadValue, match=words):
        data.load("cifar10", tmp_path)


def test_a_truncated_or_incomplete_npz_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "cifar10.npz"
    np.savez(path, **arrays())
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no archive", whole[:5000] + b"????" + whole[5004:]):
        path.write_bytes(broken)
        with pytest.raises(BadValue, match=r"cifar10\.npz cannot be read"):
            data.load("cifar10", tmp_path)
    incomplete = arrays()
    del incomplete["y_test"]
    np.savez(path, **incomplete)
    with pytest.raises(BadValue, match="must be x_train, y_train, x_test, y_test"):
        data.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "cifar11"}, "did you mean 'cifar10'"),
        ({"name": "digits", "val_fraction": 1.0}, "val_fraction is 1.0"),
        ({"name": "digits", "size": 0}, "size is 0"),
        ({"name": "digits", "seed": -1}, "seed is -1"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        data.load(**arguments)


# Folders of photographs


def photographs(root: Path, test: str = "val") -> Path:
    for part, count in (("train", 10), (test, 2)):
        for name, colour in (("ants", (255, 0, 0)), ("bees", (0, 0, 255))):
            folder = root / "insects" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (30, 20 + i), colour).save(folder / f"{i}.png")
    return root / "insects"


@pytest.mark.parametrize("test", ["val", "test"])
def test_image_folders_become_squares_of_the_given_size(test: str, tmp_path: Path) -> None:
    (photographs(tmp_path, test) / "train" / "ants" / "notes.txt").write_text("no image")
    loaded = data.load("image_folder:insects", tmp_path, size=16)
    assert loaded.classes == ("ants", "bees")
    assert [len(part) for part in loaded] == [18, 2, 4]
    assert loaded.test.images.shape == (4, 3, 16, 16)
    assert loaded.test.images[:, :, 8, 8].tolist() == [[255, 0, 0]] * 2 + [[0, 0, 255]] * 2
    assert loaded.test.labels.tolist() == [0, 0, 1, 1]
    assert loaded.std[1] == 1.0  # green never varies


def test_photographs_are_cropped_at_the_centre_and_made_rgb(tmp_path: Path) -> None:
    folder = photographs(tmp_path)
    stripes = np.zeros((16, 48), np.uint8)
    stripes[:, 16:32] = 200
    Image.fromarray(stripes).save(folder / "val" / "ants" / "0.png")
    images = data.load("image_folder:insects", tmp_path, size=14).test.images
    assert (images[0] == 200).all()


def test_unusable_image_folders_are_refused_with_what_to_create(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"create .*train.*one folder of images for every class"):
        data.load("image_folder:insects", tmp_path)
    folder = photographs(tmp_path)
    (folder / "val" / "ants" / "0.png").write_bytes(b"no image")
    test = data.load("image_folder:insects", tmp_path, size=8).test
    with pytest.raises(BadValue, match=r"0\.png cannot be read as an image"):
        list(test.read([torch.arange(4)]))
    (folder / "val" / "wasps").mkdir()
    with pytest.raises(BadValue, match="must be those of train: ants, bees"):
        data.load("image_folder:insects", tmp_path, size=8)


def noise(root: Path, sizes: list[tuple[int, int]]) -> Path:
    """A folder "noise" of pictures (width, height), all in its training part but for one."""
    generator = np.random.default_rng(0)
    for part, chosen in (("train", sizes), ("test", sizes[:1])):
        folder = root / "noise" / part / "all"
        folder.mkdir(parents=True)
        for i, (width, height) in enumerate(chosen):
            pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return root / "noise"


def whole(n: int) -> slice:
    return slice(0, n)


def augmented(split: data.Split | data.FolderSplit, batches: list[torch.Tensor], part=whole, **options) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.cat(list(split.read_augmented(batches, generator, data.Augmentation(**options), part)))


def test_photographs_for_evaluation_are_those_of_torchvisions_recipe(tmp_path: Path) -> None:
    folder = noise(tmp_path, [(90, 60), (50, 70), (64, 64), (33, 41)])
    split = data.load("image_folder:noise", tmp_path, size=28, val_fraction=0).train
    recipe = ImageClassification(crop_size=28, resize_size=32, mean=(0,) * 3, std=(1,) * 3, antialias=True)
    expected = [recipe(Image.open(file)) for file in sorted((folder / "train" / "all").iterdir())]
    (read,) = split.read([torch.tensor([3, 1])])
    assert torch.equal(read, torch.stack([(255 * expected[i]).round().to(torch.uint8) for i in (3, 1)]))
    assert torch.equal(split.images[[3, 1]], read)
    assert split.shape == (3, 28, 28) == tuple(split.images.shape[1:])


def test_an_image_is_augmented_alike_whoever_reads_it(tmp_path: Path) -> None:
    noise(tmp_path, [(40, 30)] * 7)
    split = data.load("image_folder:noise", tmp_path, size=16, val_fraction=0).train
    batches = [torch.tensor([0, 3, 5, 6]), torch.tensor([4, 1, 2])]
    together = augmented(split, batches)
    parts = (lambda n: slice(0, n // 2), lambda n: slice(n // 2, n))
    first, second = (augmented(split, batches, part) for part in parts)
    assert torch.equal(torch.cat([first[:2], second[:2], first[2:], second[2:]]), together)
    assert torch.equal(together, augmented(split, batches))
    assert not torch.equal(together, augmented(split, batches, flip=False))


@pytest.mark.parametrize(("width", "height"), [(400, 300), (300, 500), (600, 200)])
def test_random_parts_of_photographs_are_distributed_as_torchvisions(width: int, height: int) -> None:
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    given = [RandomResizedCrop.get_params(image, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(4000)]
    generator = np.random.default_rng(0)
    made = [data._random_box(width, height, generator) for _ in range(4000)]
    for ours, theirs in zip(np.array(made).T, np.array(given).T, strict=True):  # top, left, height, width
        assert ks_2samp(ours, theirs).pvalue > 0.01
    shares = np.array([high * wide for _, _, high, wide in made]) / (width * height)
    assert 0.07 < shares.min() < 0.09


def test_the_part_of_a_panorama_is_the_largest_at_its_centre() -> None:
    assert data._random_box(4000, 30, np.random.default_rng(0)) == (0, 1980, 30, 40)
    assert data._random_box(30, 4000, np.random.default_rng(0)) == (1980, 0, 40, 30)


def test_half_of_the_photographs_are_mirrored(tmp_path: Path) -> None:
    noise(tmp_path, [(20, 20)])
    folder = tmp_path / "noise" / "train" / "all"
    gradient = np.tile(np.linspace(0, 255, 20, dtype=np.uint8), (20, 1))
    Image.fromarray(gradient).save(folder / "000.png")
    split = data.load("image_folder:noise", tmp_path, size=8, val_fraction=0).train
    images = augmented(split, [torch.zeros(300, dtype=torch.int64)]).float()
    mirrored = images[..., 0].mean((1, 2)) > images[..., -1].mean((1, 2))
    assert 110 < mirrored.sum() < 190
    images = augmented(split, [torch.zeros(50, dtype=torch.int64)], flip=False).float()
    assert (images[..., 0].mean((1, 2)) < images[..., -1].mean((1, 2))).all()


def test_photographs_are_turned_after_all_else_and_by_angles_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(tmp_path, [(40, 30)])
    split = data.load("image_folder:noise", tmp_path, size=16, val_fraction=0).train
    batches = [torch.zeros(200, dtype=torch.int64)]
    plain = augmented(split, batches)
    angles = []

    def note(image: Image.Image, angle: float, resample: Image.Resampling) -> Image.Image:
        angles.append((angle, resample))
        return image

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "rotate", note)
        assert torch.equal(augmented(split, batches, rotate=30.0), plain)  # the same part, mirrored or not as before
    assert {resample for _, resample in angles} == {Image.Resampling.BILINEAR}
    assert kstest([angle for angle, _ in angles], "uniform", (-30, 60)).pvalue > 0.01
    turned = augmented(split, batches, rotate=30.0)
    assert (turned != plain).flatten(1).any(1).all()
    assert torch.equal(turned, augmented(split, batches, rotate=30.0))


def test_what_a_turned_photograph_leaves_empty_is_black(tmp_path: Path) -> None:
    photographs(tmp_path)
    split = data.load("image_folder:insects", tmp_path, size=32, val_fraction=0).train
    made = augmented(split, [torch.zeros(60, dtype=torch.int64)], rotate=45.0)
    corners = made[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert set(corners.flatten(1).sum(1).tolist()) == {0, 4 * 255}  # all four or, for small angles, none
    assert (corners.flatten(1).sum(1) == 0).sum() > 40
    assert (made[:, 0, 16, 16] == 255).all()


def test_more_photographs_than_fit_are_read_but_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "IN_MEMORY", 3 * 8 * 8 * 5)
    noise(tmp_path, [(12, 10)] * 6)
    loaded = data.load("image_folder:noise", tmp_path, size=8, val_fraction=0)
    assert data.draw(loaded.train, 6, seed=1).shape == (6, 3, 8, 8)
    assert loaded.test.images.shape == (1, 3, 8, 8)
    with pytest.raises(BadValue, match="to be held in memory is 6, but must be at most 5"):
        _ = loaded.train.images


def test_mean_and_deviation_of_a_folder_are_those_of_its_sample(tmp_path: Path) -> None:
    noise(tmp_path, [(20, 24)] * 9)
    loaded = data.load("image_folder:noise", tmp_path, size=16, val_fraction=0)
    pixels = loaded.train.images.double() / 255
    assert loaded.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert loaded.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())


def test_the_fingerprint_of_a_folder_sees_names_sizes_and_labels(tmp_path: Path) -> None:
    folder = photographs(tmp_path)

    def digest(size: int = 8) -> str:
        return data.fingerprint(data.load("image_folder:insects", tmp_path, size=size))

    seen = [digest(), digest(size=9)]
    assert digest() == seen[0]
    (folder / "val" / "ants" / "1.png").write_bytes((folder / "val" / "ants" / "1.png").read_bytes() + b" ")
    seen.append(digest())
    (folder / "val" / "ants" / "1.png").rename(folder / "val" / "ants" / "2.png")
    seen.append(digest())
    (folder / "val" / "ants" / "2.png").rename(folder / "val" / "bees" / "2.png")
    seen.append(digest())
    assert len(set(seen)) == 5


# Downloads


def test_nothing_is_downloaded_by_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.MNIST, "download", lambda self: pytest.fail("downloaded"))
    with pytest.raises(MissingData):
        data.load("mnist", tmp_path)


def test_digits_need_no_download(capsys: pytest.CaptureFixture[str]) -> None:
    data.download("digits")
    assert "nothing to download" in capsys.readouterr().out


def test_a_download_arrives_whole_and_replaces_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fetch(self: datasets.MNIST) -> None:
        calls.append(self.root)
        idx(Path(self.root) / "MNIST" / "raw", arrays(shape=(28, 28)))

    monkeypatch.setattr(datasets.MNIST, "download", fetch)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    data.download("mnist", tmp_path)
    data.download("mnist", tmp_path)
    assert len(calls) == 1
    assert Path(calls[0]) != tmp_path
    assert os.listdir(tmp_path) == ["MNIST"]
    assert len(data.load("mnist", tmp_path).test) == 10


def test_a_failed_download_is_one_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(self: datasets.MNIST) -> None:
        (Path(self.root) / "half").write_bytes(gzip.compress(b"half"))
        raise URLError("no route to host")

    monkeypatch.setattr(datasets.MNIST, "download", fetch)
    with pytest.raises(BadValue, match=r"mnist could not be downloaded to .*no route to host"):
        data.download("mnist", tmp_path)
    assert os.listdir(tmp_path) == []


def test_checkpoints_are_fetched_once_with_the_hash_in_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"weights"
    prefix = hashlib.sha256(content).hexdigest()[:8]
    calls = []

    def fetch(url: str, path: str, hash_prefix: str) -> None:
        calls.append((url, hash_prefix))
        Path(path).write_bytes(content)

    monkeypatch.setattr(data, "CHECKPOINT_FILES", (f"resnet20-{prefix}.th",))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    data.download("cifar10-resnets", tmp_path)
    data.download("cifar10-resnets", tmp_path)
    assert calls == [(f"{data.CHECKPOINTS}resnet20-{prefix}.th", prefix)]
    assert (tmp_path / "weights" / f"resnet20-{prefix}.th").read_bytes() == content


def test_an_unknown_download_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(BadValue, match="did you mean 'cifar10-resnets'"):
        data.download("cifar10-resnet")


# Tensor operations


def test_augmented_images_are_shifts_of_the_padded_image_and_reach_all_of_them() -> None:
    image = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))[0, 0]
    shifts = {tuple(padded[i : i + 3, j : j + 3].flatten().tolist()) for i in range(3) for j in range(3)}
    made = data.augment(image.expand(400, 1, 3, 3), torch.Generator().manual_seed(0), pad=1, flip=False)
    assert made.dtype == torch.uint8
    assert {tuple(x.flatten().tolist()) for x in made} == shifts


def test_flip_mirrors_about_half_of_the_images_left_to_right() -> None:
    image = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(1000, 3, 2, 2)
    made = data.augment(image, torch.Generator().manual_seed(0), pad=0)
    mirrored = (made == image.flip(3)).flatten(1).all(1)
    assert torch.equal(made[~mirrored], image[~mirrored])
    assert 400 < mirrored.sum() < 600


def cropped_and_mirrored(image: torch.Tensor, top: int, left: int, mirrored: bool, pad: int) -> torch.Tensor:
    """One image (c, h, w), shifted pixel by pixel, then mirrored."""
    height, width = image.shape[1:]
    made = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            row, column = y + top - pad, x + left - pad
            if 0 <= row < height and 0 <= column < width:
                made[:, y, width - 1 - x if mirrored else x] = image[:, row, column]
    return made


@pytest.mark.parametrize("flip", [True, False])
def test_without_rotation_the_numbers_drawn_and_their_use_are_those_that_published_records_rest_on(flip: bool) -> None:
    images = torch.randint(256, (20, 3, 6, 9), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(8)
    top, left = torch.randint(5, (2, 20), generator=generator).tolist()
    mirrored = (torch.rand(20, generator=generator) < 0.5).tolist() if flip else [False] * 20
    made = data.augment(images, torch.Generator().manual_seed(8), pad=2, flip=flip)
    expected = map(cropped_and_mirrored, images, top, left, mirrored, [2] * 20)
    assert torch.equal(made, torch.stack(list(expected)))


def turned(images: torch.Tensor, degrees: float) -> torch.Tensor:
    return data._turned(images, torch.full((len(images),), math.radians(degrees)))


def test_right_angles_turn_square_images_to_the_pixel() -> None:
    images = torch.randint(256, (3, 2, 7, 7), dtype=torch.uint8)
    assert torch.equal(turned(images, 0), images)
    for quarters in (1, 2, 3):
        assert torch.equal(turned(images, 90 * quarters), images.rot90(quarters, (2, 3)))


def test_oblong_images_are_turned_about_their_centre_without_being_stretched() -> None:
    images = torch.randint(1, 256, (2, 3, 4, 10), dtype=torch.uint8)
    assert torch.equal(turned(images, 0), images)
    assert torch.equal(turned(images, 180), images.flip(2, 3))
    expected = torch.zeros_like(images)
    expected[..., 3:7] = images[..., 3:7].rot90(1, (2, 3))  # what is further out turns out of the image
    assert torch.equal(turned(images, 90), expected)


@pytest.mark.parametrize("degrees", [10.0, -37.0, 120.0])
@pytest.mark.parametrize("shape", [(16, 16), (9, 14)])
def test_turned_images_are_those_of_scipy(degrees: float, shape: tuple[int, int]) -> None:
    images = torch.randint(256, (2, 1, *shape), dtype=torch.uint8)
    options: dict[str, Any] = {"reshape": False, "order": 1, "mode": "grid-constant"}
    expected = ndimage.rotate(images.numpy().astype(float), degrees, axes=(3, 2), **options)
    difference = turned(images, degrees).double() - torch.from_numpy(expected)
    assert difference.abs().max() < 0.51  # of rounding to whole numbers
    assert turned(images, degrees).dtype == torch.uint8


def test_the_corners_that_a_rotation_leaves_empty_are_zero() -> None:
    white = torch.full((1, 1, 20, 20), 255, dtype=torch.uint8)
    made = turned(white, 45)[0, 0]
    offset = (torch.arange(20) - 9.5).abs()
    distance = (offset[:, None] + offset) / math.sqrt(2)  # of a pixel from the middle, across the turned square's sides
    assert (made[distance > 10 + 1] == 0).all()
    assert (made[distance < 10 - 1] == 255).all()
    assert made[0, 0] == made[0, -1] == made[-1, 0] == made[-1, -1] == 0


def test_each_image_is_turned_by_an_angle_of_its_own_within_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(data, "_turned", lambda images, angles: seen.append(angles) or images)
    images = torch.zeros(2000, 1, 4, 4, dtype=torch.uint8)
    data.augment(images, torch.Generator().manual_seed(0), rotate=25.0)
    assert kstest(torch.rad2deg(seen[0]).numpy(), "uniform", (-25, 50)).pvalue > 0.01
    assert seen[0].abs().max() <= math.radians(25)


def test_rotation_comes_after_crop_and_mirroring_and_changes_neither_of_them() -> None:
    images = torch.randint(256, (12, 3, 8, 8), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(4)
    plain = data.augment(images, generator)
    angles = (2 * torch.rand(12, generator=generator) - 1) * math.radians(15)
    before = torch.get_rng_state()
    made = data.augment(images, torch.Generator().manual_seed(4), rotate=15.0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(made, data._turned(plain, angles))
    assert not torch.equal(made, plain)
    alone = data.augment(images, torch.Generator().manual_seed(4), pad=0, flip=False, rotate=15.0)
    angles = (2 * torch.rand(12, generator=torch.Generator().manual_seed(4)) - 1) * math.radians(15)
    assert torch.equal(alone, data._turned(images, angles))


def test_a_part_of_a_batch_is_turned_as_in_the_whole() -> None:
    images = torch.randint(256, (6, 1, 8, 8), dtype=torch.uint8)
    batches = [torch.tensor([5, 0, 3, 1])]
    together = augmented(split(images), batches, rotate=20.0)
    parts = [augmented(split(images), batches, part, rotate=20.0) for part in (lambda n: slice(0, 2), lambda n: slice(2, n))]
    assert torch.equal(torch.cat(parts), together)


def test_augmentation_is_the_same_for_equal_generators_and_leaves_its_input_alone() -> None:
    images = torch.randint(256, (8, 3, 6, 6), dtype=torch.uint8)
    before = images.clone()
    made = [data.augment(images, torch.Generator().manual_seed(seed), rotate=30.0) for seed in (1, 1, 2)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert torch.equal(images, before)


def test_normalise_scales_to_one_then_standardises_each_channel() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1)
    made = data.normalise(images, (0.5, 0.25), (0.5, 0.25))
    assert made.dtype == torch.float32
    assert made.flatten().tolist() == [-1.0, 3.0]
    with pytest.raises(BadValue, match="mean is"):
        data.normalise(images, (0.5,), (0.5,))


def test_draw_gives_distinct_images_by_seed() -> None:
    images = torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1)
    first, again, other = (data.draw(split(images), 20, seed).flatten().tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 20
    with pytest.raises(BadValue, match="n is 51, but must be from 1 to 50"):
        data.draw(split(images), 51, 0)


def test_the_fingerprint_sees_every_image_and_label_of_every_split(tmp_path: Path) -> None:
    stored = arrays()
    seen = set()
    for key in ("", *stored):
        changed = {name: value.copy() for name, value in stored.items()}
        if key:
            changed[key].flat[0] = 9 if key.startswith("y") else 255 - changed[key].flat[0]
        np.savez(tmp_path / "cifar10.npz", **changed)
        seen.add(data.fingerprint(data.load("cifar10", tmp_path)))
    assert len(seen) == 5
    assert all(len(digest) == 16 for digest in seen)


# Real data


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "files", "sizes", "shape"),
    [
        ("cifar10", ("cifar10.npz", "cifar-10-batches-py"), [45000, 5000, 10000], (3, 32, 32)),
        ("cifar100", ("cifar100.npz", "cifar-100-python"), [45000, 5000, 10000], (3, 32, 32)),
        ("mnist", ("mnist.npz", "MNIST"), [54001, 5999, 10000], (1, 28, 28)),
        ("image_folder:hymenoptera", ("hymenoptera",), [220, 24, 153], (3, 224, 224)),
    ],
)
def test_real_datasets_have_their_official_sizes_and_published_means(
    name: str, files: tuple[str, ...], sizes: list[int], shape: tuple[int, ...]
) -> None:
    if not ROOT or not any((Path(ROOT) / file).exists() for file in files):
        pytest.skip(f"{name} is not under PRUNEBOOK_DATA")
    loaded = data.load(name)
    assert [len(part) for part in loaded] == sizes
    assert loaded.train.images.shape[1:] == shape
    mean = loaded.train.images.double().mean((0, 2, 3)) / 255
    assert mean.tolist() == pytest.approx(loaded.mean, abs=0.004)
