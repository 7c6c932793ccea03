"""Foreign weights and the project's own checkpoints."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models import Weights, WeightsEnum

from prunebook import data, models, training, weights
from prunebook.errors import BadValue, MissingData
from prunebook.plan import PruningPlan


def tiny(seed: int = 0, **options: Any) -> nn.Module:
    return models.build("resnet20", width=0.125, seed=seed, **options)


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def wrapped(state: dict[str, torch.Tensor], how: str) -> dict[str, Any]:
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    return {
        "plain": state,
        "state_dict": {"state_dict": parallel, "best_prec1": 91.7},
        "model": {"model": state, "epoch": 3},
        "parallel": parallel,
    }[how]


@pytest.mark.parametrize("how", ["plain", "state_dict", "model", "parallel"])
def test_foreign_state_dicts_load_however_they_are_wrapped(how: str, tmp_path: Path) -> None:
    source, target = tiny(1), tiny(2)
    torch.save(wrapped(source.state_dict(), how), tmp_path / "foreign.th")
    report = weights.load_into(target, tmp_path / "foreign.th")
    assert same(source, target)
    assert str(report) == f"{len(source.state_dict())} tensors match"


def test_safetensors_and_files_without_batch_counters_load(tmp_path: Path) -> None:
    source, target = tiny(1), tiny(2)
    state = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    save_file(state, tmp_path / "foreign.safetensors")
    assert weights.load_into(target, tmp_path / "foreign.safetensors").missing == ()
    assert same(source, target)


def test_a_file_that_does_not_fit_is_refused_by_names_and_the_network_stays_as_it_was(tmp_path: Path) -> None:
    state = tiny(1).state_dict()
    state["fc.weight"] = state.pop("linear.weight")
    state["conv1.weight"] = torch.zeros(2, 1, 3, 3)
    torch.save(state, tmp_path / "foreign.th")
    target = tiny(2)
    with pytest.raises(BadValue) as caught:
        weights.load_into(target, tmp_path / "foreign.th")
    for words in (
        "1 missing (linear.weight)",
        "1 unexpected (fc.weight)",
        "conv1.weight (2, 1, 3, 3) instead of (2, 3, 3, 3)",
    ):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert same(target, tiny(2))
    report = weights.load_into(target, tmp_path / "foreign.th", strict=False)
    assert (report.missing, report.unexpected) == (("linear.weight",), ("fc.weight",))
    assert torch.equal(target.get_parameter("linear.bias"), state["linear.bias"])
    assert torch.equal(target.get_parameter("conv1.weight"), tiny(2).get_parameter("conv1.weight"))


def test_tensors_without_a_place_are_refused_because_they_belong_to_another_network(tmp_path: Path) -> None:
    torch.save(tiny(shortcut="B").state_dict(), tmp_path / "foreign.th")
    with pytest.raises(BadValue, match=r"unexpected \(layer2.0.shortcut.0.weight, .*, \.\.\.\)"):
        weights.load_into(tiny(), tmp_path / "foreign.th")


class Code:
    """Runs a function where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Code(tmp_path / "ran")}, tmp_path / "evil.th")
    with pytest.raises(BadValue, match=r"evil\.th is refused: it asks to run code"):
        weights.load_into(tiny(), tmp_path / "evil.th")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".th", ".safetensors"])
def test_a_damaged_file_is_refused_by_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"foreign{suffix}"
    state = tiny().state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not weights at all"):
        path.write_bytes(content)
        with pytest.raises(BadValue, match=rf"foreign{suffix} is no file of weights, or a damaged one"):
            weights.load_into(tiny(), path)


def test_files_without_tensors_and_missing_files_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.th")
    with pytest.raises(BadValue, match="holds no dict of tensors"):
        weights.load_into(tiny(), tmp_path / "list.th")
    with pytest.raises(MissingData, match=r"none\.th is not there"):
        weights.load_into(tiny(), tmp_path / "none.th")


def test_find_looks_in_the_weights_folder_or_beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEBOOK_DATA", str(tmp_path))
    monkeypatch.delenv("PRUNEBOOK_WEIGHTS", raising=False)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.th").touch()
    (tmp_path / "b.th").touch()
    assert weights.find("a.th") == tmp_path / "weights" / "a.th"
    monkeypatch.setenv("PRUNEBOOK_WEIGHTS", str(tmp_path))
    assert weights.find("b.th") == tmp_path / "b.th"
    with pytest.raises(
        MissingData, match=r"make data DATASET=cifar10-resnets`, or set PRUNEBOOK_WEIGHTS to the folder that has it$"
    ):
        weights.find("resnet20-12fca82f.th")
    with pytest.raises(MissingData, match=r"put it there, or .*did you mean 'b.th'\?"):
        weights.find("a.th")
    with pytest.raises(MissingData, match=r"did you mean 'resnet20-12fca82f.th'\?"):
        weights.find("resnet20-12fca82.th")


def test_find_checks_the_hash_in_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEBOOK_WEIGHTS", str(tmp_path))
    name = f"net-{hashlib.sha256(b'good').hexdigest()[:8]}.th"
    (tmp_path / name).write_bytes(b"good")
    assert weights.find(name).read_bytes() == b"good"
    (tmp_path / name).write_bytes(b"bad")
    with pytest.raises(BadValue, match="is damaged"):
        weights.find(name)


Download = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, not there yet."""
    monkeypatch.setenv("PRUNEBOOK_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that torchvision seems to offer for resnet50, at an address that needs no network."""
    file = tmp_path / f"resnet50-{hashlib.sha256(b'good').hexdigest()[:8]}.pth"
    file.write_bytes(b"good")

    class Offer(WeightsEnum):
        FIRST = Weights(url=file.as_uri(), transforms=nn.Identity, meta={})
        DEFAULT = FIRST

    monkeypatch.setattr(torchvision.models, "get_model_weights", {"resnet50": Offer}.__getitem__)
    return file


def test_torchvisions_weights_are_fetched_once_and_stand_under_their_name(
    folder: Path, offered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real: Download = torch.hub.download_url_to_file

    def fetch(url: str, path: str, *options: Any) -> None:
        calls.append((url, Path(path).name, os.listdir(folder)))
        real(url, path, *options)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    assert weights.from_torchvision("resnet50", "FIRST") == folder / offered.name
    assert (folder / offered.name).read_bytes() == b"good"
    ((url, name, seen),) = calls
    assert url == offered.as_uri()
    assert name != offered.name
    assert offered.name not in seen  # it gets its name only when it is complete
    assert weights.from_torchvision("resnet50", "DEFAULT") == folder / offered.name
    assert len(calls) == 1
    assert os.listdir(folder) == [offered.name]


def test_weights_with_another_hash_than_their_name_says_are_not_kept(folder: Path, offered: Path) -> None:
    offered.write_bytes(b"bad")
    with pytest.raises(BadValue, match=rf"{offered.name} could not be downloaded to .*invalid hash") as caught:
        weights.from_torchvision("resnet50", "DEFAULT")
    assert "\n" not in str(caught.value)
    assert os.listdir(folder) == []
    offered.write_bytes(b"good")
    assert weights.from_torchvision("resnet50", "DEFAULT").read_bytes() == b"good"  # one failure does not last


def test_a_network_that_cannot_be_reached_is_one_sentence_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(url: str, path: str, *options: Any) -> None:
        Path(path).write_bytes(b"half")
        raise URLError("no route\nto host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    with pytest.raises(BadValue, match=r"resnet50-11ad3fa6\.pth could not be downloaded to .*no route to host"):
        weights.from_torchvision("resnet50", "DEFAULT")
    assert os.listdir(folder) == []


def test_a_damaged_file_under_the_name_of_torchvisions_weights_is_not_used(folder: Path, offered: Path) -> None:
    folder.mkdir()
    (folder / offered.name).write_bytes(b"bad")
    with pytest.raises(BadValue, match=rf"{offered.name} is damaged.*delete it and get it again"):
        weights.from_torchvision("resnet50", "DEFAULT")


@pytest.mark.parametrize(
    ("arch", "name", "words"),
    [
        ("resnet5", "DEFAULT", "arch is 'resnet5'.*did you mean 'resnet50'"),
        ("resnet20", "DEFAULT", "arch is 'resnet20', but must be one of: resnet50, vgg16, vgg19"),
        ("resnet50", "IMAGENET1K_V3", "weights is 'IMAGENET1K_V3'.*did you mean 'IMAGENET1K_V"),
        ("vgg19", "default", "must be one of: IMAGENET1K_V1, DEFAULT"),
    ],
)
def test_what_torchvision_does_not_have_is_refused_without_a_download(
    arch: str, name: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *given: pytest.fail("downloaded"))
    with pytest.raises(BadValue, match=words):
        weights.from_torchvision(arch, name)
    assert not folder.exists()


def test_every_architecture_that_can_start_from_torchvision_is_ours_and_its_files_carry_a_hash(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(url: str, path: str, hash_prefix: str) -> None:
        asked.append((Path(url).stem, hash_prefix))
        raise OSError

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    assert weights.TORCHVISION.keys() <= set(models.names())
    for arch in weights.TORCHVISION:
        with pytest.raises(BadValue):
            weights.from_torchvision(arch, "DEFAULT")
    assert asked == [("resnet50-11ad3fa6", "11ad3fa6"), ("vgg16_bn-6c64b313", "6c64b313"), ("vgg19_bn-c79401a0", "c79401a0")]


def test_a_checkpoint_comes_back_as_it_was_with_its_facts(tmp_path: Path) -> None:
    model = tiny(3, num_classes=7, shortcut="B")
    path = weights.save(model, tmp_path / "net.safetensors", epochs=2)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    loaded = weights.load(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(model, loaded)
    assert loaded.spec == model.spec
    assert json.loads((tmp_path / "net.safetensors.json").read_text())["facts"] == {"epochs": 2}
    assert sorted(os.listdir(tmp_path)) == ["net.safetensors", "net.safetensors.json"]


def test_a_pruned_networks_checkpoint_is_cut_again_by_its_plan(tmp_path: Path) -> None:
    x = torch.rand(2, 3, 32, 32)
    plan = PruningPlan({"layer1.0.conv1": [0], "layer3.1.conv1": [1, 4, 6]})
    pruned = plan.apply(tiny(), x[:1]).eval()
    weights.save(pruned, tmp_path / "net.safetensors", plan=plan.to_json())
    loaded = weights.load(tmp_path / "net.safetensors").eval()
    assert loaded.get_parameter("layer3.1.conv1.weight").shape[0] == 3
    assert torch.equal(loaded(x), pruned(x))


def test_a_checkpoint_whose_files_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    path = weights.save(tiny(1), tmp_path / "net.safetensors")
    other = weights.save(tiny(2), tmp_path / "other.safetensors")
    path.write_bytes(other.read_bytes())
    with pytest.raises(BadValue, match="is damaged or not the file"):
        weights.load(path)
    sidecar = tmp_path / "net.safetensors.json"
    sidecar.write_text("{")
    with pytest.raises(BadValue, match="does not describe a checkpoint"):
        weights.load(path)
    sidecar.unlink()
    with pytest.raises(MissingData, match=r"net\.safetensors\.json is not there"):
        weights.load(path)


def test_only_networks_of_the_registry_are_saved(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"a network made by models\.build"):
        weights.save(nn.Linear(2, 2), tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []


@pytest.mark.data
def test_published_resnets_load_and_know_cifar10() -> None:
    names = ["resnet20-12fca82f.th", "resnet32-d509ac18.th", "resnet44-014dd654.th", "resnet56-4bfd9763.th"]
    try:
        for name in names:
            model = models.build(name.partition("-")[0])
            assert weights.load_into(model, weights.find(name)).missing == ()
        test = data.load("cifar10").test
    except MissingData as fault:
        pytest.skip(str(fault))
    model = models.build("resnet20")
    weights.load_into(model, weights.find(names[0]))
    part = data.Split(test.images[:500], test.labels[:500])
    # 91.73 % on all 10,000 images, as published; exact for these 500 as well, but for rounding on other machines.
    top1 = training.evaluate(model, part, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)).top1
    assert 90.5 <= top1 <= 94
