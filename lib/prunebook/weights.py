"""Weights in files: other people's, matched by name and shape, and the project's own checkpoints."""

import hashlib
import json
import pickle
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialised
from torch import Tensor, nn

from prunebook import data, files, models, paths
from prunebook.errors import BadValue, MissingData, choose, nearest, require
from prunebook.files import sha256 as sha256

FORMAT = 1
TORCHVISION = {"resnet50": "resnet50", "vgg16": "vgg16_bn", "vgg19": "vgg19_bn"}  # our names, and torchvision's


@dataclass(frozen=True)
class Report:
    """How a file's tensors and a network's fit: names, sorted; `mismatched` with the two shapes."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    def __str__(self) -> str:
        lists = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.mismatched}
        troubles = [f"{len(found)} {what} ({_first(found)})" for what, found in lists.items() if found]
        return "; ".join([f"{len(self.matched)} tensors match", *troubles])


def load_into(model: nn.Module, path: str | Path, strict: bool = True) -> Report:
    """Copy the tensors of a foreign file into `model`, where name and shape agree.

    Read are .safetensors files and PyTorch's own, the latter without running any code that they may hold. A dict
    wrapped as "state_dict" or "model" is unwrapped, and a prefix "module." of the names, left by data-parallel
    training, is removed. Batch norm's counters `num_batches_tracked`, which old files lack, need not be there.

    Raises MissingData where there is no such file, and BadValue where it is damaged, holds code, or, if `strict`, does
    not fit `model` exactly; the model is then as it was.
    """
    path = Path(path)
    found = _state(path)
    own = model.state_dict()
    fitting = {name for name in own if name in found and own[name].shape == found[name].shape}
    report = Report(
        matched=tuple(sorted(fitting)),
        missing=tuple(sorted(n for n in own.keys() - found.keys() if not n.endswith("num_batches_tracked"))),
        unexpected=tuple(sorted(found.keys() - own.keys())),
        mismatched=tuple(
            f"{name} {tuple(found[name].shape)} instead of {tuple(own[name].shape)}"
            for name in sorted((own.keys() & found.keys()) - fitting)
        ),
    )
    if strict and (report.missing or report.unexpected or report.mismatched):
        raise BadValue(f"{path} does not fit the network: {report}")
    model.load_state_dict({name: found[name] for name in fitting}, strict=False)
    return report


def find(name: str) -> Path:
    """The weights file `name` in the folder PRUNEBOOK_WEIGHTS, by default `weights` in the folder of the datasets.

    Where the name ends in a hash, as in resnet20-12fca82f.th, the file's SHA-256 must begin with it.
    Raises MissingData where it is not there, BadValue where the hash differs.
    """
    require(name not in ("", ".", "..") and Path(name).name == name, "weights", name, "the name of a file, without a folder")
    path = paths.weights_root() / name
    if not path.is_file():
        published = name in data.CHECKPOINT_FILES
        cure = "run `make data DATASET=cifar10-resnets`" if published else "put it there"
        others = [] if published else [*data.CHECKPOINT_FILES, *(file.name for file in path.parent.glob("*"))]
        raise MissingData(
            f"weights file {name!r} is not in {path.parent}: {cure}, "
            f"or set PRUNEBOOK_WEIGHTS to the folder that has it{nearest(name, others)}"
        )
    expected = _hash_in(name)
    if expected and not sha256(path).startswith(expected):
        raise BadValue(f"{path} is damaged: its SHA-256 does not begin with {expected}; delete it and get it again")
    return path


def from_torchvision(arch: str, name: str) -> Path:
    """The file of torchvision's weights `name` (such as "DEFAULT" or "IMAGENET1K_V2") for an architecture of ours.

    Unless it is there already, it is downloaded to the folder of `find`, where it appears only if it is whole and its
    SHA-256 begins as its name says; nothing else in this project calls this without being told to. Raises BadValue for an
    architecture or weights that torchvision does not have, and where the download fails.
    """
    from torchvision import models as zoo  # here, because importing it takes a second

    theirs = TORCHVISION[choose("arch", arch, TORCHVISION)]
    known = zoo.get_model_weights(theirs)
    url = known[choose("weights", name, known.__members__)].url
    file = url.rsplit("/", 1)[1]
    folder = paths.weights_root()
    if not (folder / file).is_file():
        try:
            files.write(folder / file, lambda part: torch.hub.download_url_to_file(url, str(part), _hash_in(file)))
        except (OSError, RuntimeError) as fault:  # no network, refused, wrong hash
            raise BadValue(f"{url} could not be downloaded to {folder}: {' '.join(str(fault).split())}") from None
    return find(file)


def save(model: nn.Module, path: str | Path, plan: Mapping[str, Any] | None = None, **facts: Any) -> Path:
    """Write a checkpoint: tensors at `path` (.safetensors), and beside them `path`.json with all that rebuilds them.

    Parameters
    ----------
    model: made by `models.build`, then perhaps cut by `plan` and trained.
    plan: the JSON of the PruningPlan that cut it, if any.
    facts: anything JSON-able worth keeping with it: the task that made it, its key, its accuracy.

    Raises BadValue for a network that `models.build` did not make, NotWritten where there is no room or no right.
    """
    spec = getattr(model, "spec", None)
    require(isinstance(spec, dict), "model", type(model).__name__, "a network made by models.build, or a copy of one")
    return save_tensors(model.state_dict(), path, model=spec, plan=plan, facts=facts)


def save_tensors(tensors: Mapping[str, Tensor], path: str | Path, **about: Any) -> Path:
    """Write tensors at `path`, and `path`.json with their SHA-256, all that is said `about` them, and a digest of both."""
    path = Path(path)
    content = serialised({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    described = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), **about}
    files.write_bytes(path, content)
    files.write_json(sidecar(path), {**described, "digest": _digest(described)})
    return path


def load(path: str | Path) -> nn.Module:
    """The network of a checkpoint that `save` wrote, on the CPU, in training mode.

    Raises MissingData where a file is not there, BadValue where the two do not belong together or are no checkpoint.
    """
    path = Path(path)
    described = check(path)
    try:
        spec, plan = described["model"], described["plan"]
    except KeyError:
        raise BadValue(f"{sidecar(path)} does not describe a network: delete it and {path.name}") from None
    model = models.build(**spec, seed=0)  # a seed, so that the global generator stays as it is
    if plan is not None:
        from prunebook.plan import PruningPlan

        side = spec.get("size", 32)  # of the images, for networks that take no other
        model = PruningPlan.from_json(plan).apply(model, torch.zeros(1, spec["in_channels"], side, side))
    load_into(model, path)
    return model


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors that `save_tensors` wrote. Raises what `check` does.

    Encoders from before November 2026 have no description; they are read unchecked.
    """
    path = Path(path)
    if is_described(path) or not path.is_file():
        check(path)
    found: dict[str, Tensor] = _read(path)
    return found


def check(path: Path) -> dict[str, Any]:
    """The description of a checkpoint, once its files are found to be whole and each other's.

    Raises MissingData where a file is not there, BadValue where one is damaged. Descriptions from before November 2026 have
    no digest of their own; what they say of the tensors is checked all the same.
    """
    if not path.is_file():
        raise MissingData(f"checkpoint file {path} is not there: compute it again")
    if not is_described(path):
        raise MissingData(f"checkpoint file {sidecar(path)} is not there: delete {path.name}, and it is computed again")
    try:
        described = json.loads(sidecar(path).read_text(encoding="utf-8"))
        version, expected = described["format"], described["sha256"]
        digest = described.pop("digest", None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadValue(f"{sidecar(path)} does not describe a checkpoint: delete it and {path.name}") from None
    require(version == FORMAT, f"format of {sidecar(path)}", version, f"{FORMAT}")
    if digest not in (None, _digest(described)):
        raise BadValue(f"{sidecar(path)} does not match its own digest: delete it and {path.name}, and compute it again")
    if sha256(path) != expected:
        raise BadValue(f"{path} is damaged or not the file that its .json describes: delete both and compute it again")
    return dict(described)


def is_described(path: Path) -> bool:
    """Whether a checkpoint has a description beside it."""
    return sidecar(path).is_file()


def copy(source: str | Path, target: str | Path) -> Path:
    """Copy a checkpoint and its description, once `check` has found them whole. Raises what `check` does."""
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        return target
    check(source)
    for file, place in ((source, target), (sidecar(source), sidecar(target))):
        files.write(place, partial(shutil.copyfile, file))
    return target


def _digest(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _hash_in(name: str) -> str | None:
    """The beginning of a file's SHA-256 that ends its name, as in resnet20-12fca82f.th."""
    found = re.search(r"-([0-9a-f]{8,64})$", Path(name).stem)
    return found[1] if found else None


def sidecar(path: Path) -> Path:
    """Where the description of a checkpoint lies."""
    return path.with_name(path.name + ".json")


def _first(names: tuple[str, ...], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, unwrapped."""
    if not path.is_file():
        raise MissingData(f"weights file {path} is not there: give the path of one that is")
    content = _read(path)
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadValue(f"{path} holds no dict of tensors by name")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, SafetensorError, OSError, EOFError, ValueError, KeyError) as fault:
        # PyTorch names the class or function that a file asks for; any other failure is a damaged file.
        if "GLOBAL" in str(fault):
            raise BadValue(f"{path} is refused: it asks to run code, and weights need only tensors") from None
        raise BadValue(f"{path} is no file of weights, or a damaged one") from None
