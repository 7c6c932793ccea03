"""Which networks take which images: what is refused before any compute is what fails when it is tried, and nothing else."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from prunebook import cli, data, models
from prunebook.errors import BadValue
from prunebook.trials import Trial
from prunebook.trials.tasks import Baseline

FIT = {"epochs": 1, "augment": False}
SIZES = (None, 1, 2, 3, 4, 5, 8, 16, 27, 28, 32, 35, 36, 56, 64)
COLUMNS = 30  # of a table, where its file has not told
NARROW = {"resnet50": {}, "densenet40": {"growth": 1, "layers": 1}}
PERCEPTRONS = ("mlp_credit", "mlp_kdd", "mlp_mnist")


def shapes() -> Iterator[tuple[str, int | None, int, int]]:
    """Each dataset with each size that it can have, and channels and side of its images."""
    for dataset in [*data.names(), "image_folder:photos"]:
        for size in SIZES:
            with contextlib.suppress(BadValue):
                channels, side = data.shape(dataset, size)
                yield dataset, size, channels or COLUMNS, side


def takes(model: torch.nn.Module, channels: int, side: int) -> bool:
    try:
        with torch.inference_mode():
            return model(torch.zeros(1, channels, side, side)).shape == (1, 2)
    except RuntimeError:
        return False


def accepted(dataset: str, size: int | None, arch: str, options: dict[str, Any]) -> bool:
    try:
        Trial("baseline", {"dataset": dataset, "size": size, "arch": arch, "options": options, "fit": FIT})
    except BadValue as refusal:
        assert str(refusal).startswith(f"arch is {arch!r}, which takes images of ")
        return False
    return True


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        *((arch, NARROW.get(arch, {"width": 0.02})) for arch in models.names()),
        *((arch, {"width": 0.02, "size": 8}) for arch in PERCEPTRONS),
        ("resnet20", {"width": 0.02, "shortcut": "B"}),
        ("vgg16", {"width": 0.02, "hidden": False}),
        ("resnet50", {"stem": "cifar"}),
    ],
)
def test_a_network_is_accepted_for_a_dataset_where_an_image_passes_through_it_and_nowhere_else(arch, options):
    networks: dict[int, torch.nn.Module] = {}
    found: dict[tuple[int, int], bool] = {}
    for dataset, size, channels, side in shapes():
        if (channels, side) not in found:
            if channels not in networks:
                networks[channels] = models.build(arch, 2, channels, seed=0, **options).eval()
            found[channels, side] = takes(networks[channels], channels, side)
        assert accepted(dataset, size, arch, options) == found[channels, side], (dataset, size)
    assert any(found.values())


@pytest.mark.parametrize(("name", "sizes"), [("digits", (None, 8, 24)), ("breast_cancer", (None, 1))])
def test_the_shape_of_images_is_known_before_they_are_loaded(name, sizes):
    for size in sizes:
        loaded = data.load(name, size=size)
        channels, side = data.shape(name, size)
        assert (channels or loaded.in_channels, side, side) == loaded.train.shape
    with pytest.raises(BadValue) as early:
        data.shape(name, 12)
    with pytest.raises(BadValue) as late:
        data.load(name, size=12)
    assert str(early.value) == str(late.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"arch": "mlp_mnist"}, "28x28 pixels, but those of digits have 8x8 (options {mlp_mnist: {size: 8}} fits)"),
        ({"arch": "cnn_annealing"}, "28x28 to 35x35 pixels, but those of digits have 8x8 (size 32 fits)"),
        ({"arch": "cnn_annealing", "dataset": "creditcard"}, "28x28 to 35x35 pixels, but those of creditcard have 1x1"),
        ({"arch": "densenet40", "dataset": "image_folder:x", "size": 3},
         "at least 4x4 pixels, but those of image_folder:x have 3x3 (size 4 fits)"),
    ],
)  # fmt: skip
def test_the_sentence_says_which_images_a_network_takes_and_what_to_change(given, sentence):
    with pytest.raises(BadValue) as refusal:
        Trial("baseline", {"fit": FIT, **given})
    assert str(refusal.value) == f"arch is {given['arch']!r}, which takes images of {sentence}"


def test_a_size_that_no_machine_holds_is_refused():
    with pytest.raises(BadValue, match=r"^size is 8000000000, but must be from 1 to 4096 pixels$"):
        data.shape("digits", 8 * 10**9)


def test_a_timed_network_and_random_candidates_take_their_images_too():
    with pytest.raises(BadValue, match=r"^arch is 'cnn_annealing', .* but here they have 8x8 \(size 28 fits\)$"):
        Trial("criterion", {"arch": "cnn_annealing", "size": 8})
    with pytest.raises(BadValue, match=r"^arch is 'cnn_annealing', .* but those of digits have 8x8 \(size 32 fits\)$"):
        Trial("chance", {"arch": "cnn_annealing", "tau": 0.5})
    assert Trial("chance", {"arch": "cnn_annealing", "tau": 0.5, "size": 32}).parameters.size == 32


def test_a_transfer_goes_to_images_that_the_network_takes():
    base = {"arch": "cnn_annealing", "dataset": "mnist", "fit": FIT}
    common = {"baseline": base, "finetune": FIT}
    with pytest.raises(BadValue, match=r"but those of digits have 8x8 \(size 32 fits\)"):
        Trial("transfer", {**common, "dataset": "digits"})
    with pytest.raises(BadValue, match="dataset is 'cifar10', but must be one with 1 channels, as mnist has"):
        Trial("transfer", {**common, "dataset": "cifar10"})
    assert Trial("transfer", {**common, "dataset": "digits", "size": 32}).parameters.baseline == Baseline(**base)


def test_the_command_refuses_such_a_network_in_one_sentence_before_any_trial(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path))
    for notebook in ("kcore", "sacp", "dice"):
        assert cli.main(["run", notebook, "smoke", "-p", "arch", "mlp_mnist", "--trials-only"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("prunebook: arch is 'mlp_mnist', which takes images of 28x28 pixels, but those of digits")
    assert list(tmp_path.iterdir()) == []
