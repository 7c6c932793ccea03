"""Entropy-guided k-core pruning: what its notebook can be asked for, and the trials that this takes."""

from itertools import product
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from prunebook import data, models
from prunebook.errors import BadValue, choose, nearest, require
from prunebook.methods.kcore import SCORES
from prunebook.studies.parameters import NotebookParameters
from prunebook.trials import Trial


def _listed(value: Any) -> Any:
    """A single value given where a list is meant."""
    return value if isinstance(value, list | tuple) else [value]


class Parameters(NotebookParameters):
    """Parameters of the k-core notebook."""

    dataset: str = Field("digits", description="digits, mnist, fashion_mnist, cifar10, cifar100, image_folder:NAME")
    size: int | None = Field(None, ge=1, description="side of the images in pixels; default: as the dataset has them")
    arch: list[str] = Field(["resnet20"], min_length=1, description="one architecture or a list of them")
    options: dict[str, dict[str, bool | int | float | str]] = Field(
        {}, description="options by architecture, such as {resnet20: {width: 0.5, shortcut: conv3}}"
    )
    weights: dict[str, str] = Field({}, description="file with trained weights by architecture; else trained here")
    normalise: Literal["dataset", "imagenet"] = Field("dataset", description="mean and deviation of the input")
    epochs: int = Field(8, ge=1, le=1000, description="of training a baseline")
    lr: float = Field(0.1, gt=0, le=10, description="of training a baseline")
    batch_size: int = Field(64, ge=2, le=8192, description="of training and fine-tuning")
    taus: list[float] = Field([0.6, 0.7, 0.8], min_length=1, description="similarity thresholds, each in [0, 1]")
    scores: list[str] = Field(["entropy"], min_length=1, description=f"what keeps a filter: {', '.join(SCORES)}")
    hash: Literal["dct-mean", "imagehash"] = Field("dct-mean", description="reading of pHash")
    edge: Literal[">=", ">"] = Field(">=", description="whether a similarity of exactly tau makes an edge")
    mode: Literal["eval", "train"] = Field("eval", description="mode of the network while it makes feature maps")
    coupled: Literal["lead", "keep"] = Field("lead", description="residual stages: pruned as one layer says, or whole")
    images: int = Field(100, ge=1, le=100_000, description="images drawn for the similarity")
    draws: int = Field(1, ge=1, le=100, description="repetitions with other images")
    seeds: int = Field(1, ge=1, le=100, description="repetitions with other initial weights and batches")
    finetune: dict[str, int] = Field({}, description="epochs of fine-tuning by architecture; none where not named")
    finetune_lr: float = Field(0.01, gt=0, le=10, description="of fine-tuning")
    finetune_scores: list[str] = Field(["entropy"], description="scores whose networks are fine-tuned")

    _as_list = field_validator("arch", "taus", "scores", "finetune_scores", mode="before")(_listed)

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        return value if value.startswith("image_folder:") else choose("dataset", value, data.names())

    @field_validator("arch")
    @classmethod
    def _known_archs(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(choose("arch", name, models.names()) for name in value))

    @field_validator("scores", "finetune_scores")
    @classmethod
    def _known_scores(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(choose("score", name, SCORES) for name in value))

    @field_validator("taus")
    @classmethod
    def _in_range(cls, value: list[float]) -> list[float]:
        for tau in value:
            require(0 <= tau <= 1, "tau", tau, "a number from 0 to 1")
        return sorted(set(value))

    @model_validator(mode="after")
    def _belong_together(self) -> "Parameters":
        for name in ("options", "weights", "finetune"):
            for arch in getattr(self, name):
                if arch not in models.names():
                    raise BadValue(f"{name} names {arch!r}, which is no architecture{nearest(arch, models.names())}")
        for arch, epochs in self.finetune.items():
            require(0 <= epochs <= 1000, f"finetune[{arch!r}]", epochs, "a number of epochs from 0 to 1000")
        for arch in self.arch:
            models.check(arch, self.options.get(arch, {}))
        return self


def baseline(p: Parameters, arch: str, seed: int = 0) -> Trial:
    """The network before pruning. Foreign weights are the same whatever the seed."""
    params: dict[str, Any] = {"dataset": p.dataset, "size": p.size, "arch": arch, "normalise": p.normalise}
    params["options"] = p.options.get(arch, {})
    if arch in p.weights:
        params["weights"] = p.weights[arch]
    else:
        params["fit"] = {
            "epochs": p.epochs,
            "lr": p.lr,
            "batch_size": p.batch_size,
            "schedule": "one-cycle",
            "seed": seed,
        }
    return Trial("baseline", params)


def prune(p: Parameters, arch: str, seed: int, draw: int, score: str, tau: float) -> Trial:
    """One pruned network, fine-tuned if the parameters ask for it."""
    params: dict[str, Any] = {"baseline": baseline(p, arch, seed).params, "tau": tau, "score": score, "draw": draw}
    params |= {"hash": p.hash, "edge": p.edge, "mode": p.mode, "coupled": p.coupled, "images": p.images}
    if p.finetune.get(arch, 0) and score in p.finetune_scores:
        fit = {"epochs": p.finetune[arch], "lr": p.finetune_lr, "batch_size": p.batch_size, "seed": seed}
        params["finetune"] = fit
    return Trial("prune", params)


def baselines(p: Parameters) -> list[Trial]:
    return list(dict.fromkeys(baseline(p, arch, seed) for arch, seed in product(p.arch, range(p.seeds))))


def prunings(p: Parameters) -> list[Trial]:
    """Every pruned network; the cheap ones first, so that a page has something to show early."""
    grid = product(p.arch, p.scores, range(p.seeds), range(p.draws), p.taus)
    found = [prune(p, arch, seed, draw, score, tau) for arch, score, seed, draw, tau in grid]
    return sorted(dict.fromkeys(found), key=lambda trial: trial.parameters.finetune is not None)


def layers(p: Parameters) -> list[Trial]:
    """One layer of each architecture, for the pictures of its graph."""
    common = {"hash": p.hash, "mode": p.mode, "images": p.images}
    return [Trial("layer", {"baseline": baseline(p, arch).params, **common}) for arch in p.arch]


def trials(p: Parameters) -> list[Trial]:
    return baselines(p) + layers(p) + prunings(p)


PAPERS_NETWORKS = ("vgg16", "resnet56", "resnet110")  # of those that we can build


def differences(p: Parameters) -> list[str]:
    """In what this run is not the paper's experiment, one sentence each."""
    found = [sentence for arch in p.arch for sentence in _network_differences(p, arch)]
    if any(arch not in p.weights for arch in p.arch):
        found.append(f"Baselines: {p.epochs} epochs with a one-cycle schedule; the paper trains 200 with steps.")
    tuned = {arch: epochs for arch, epochs in p.finetune.items() if epochs and arch in p.arch}
    lengths = ", ".join(f"{arch} {epochs}" for arch, epochs in tuned.items())
    if tuned:
        found.append(
            f"Fine-tuning: epochs {lengths}, cosine schedule from {p.finetune_lr:g}, batches of {p.batch_size}, only for "
            f"the score {' and '.join(p.finetune_scores)}; the paper: 70 epochs, steps from 0.01, batches of 256."
        )
    else:
        found.append("No fine-tuning; the paper fine-tunes for 70 epochs.")
    found.append(
        f"Feature maps: network in {p.mode} mode, images without augmentation, an edge if the similarity is {p.edge} tau. "
        "The paper writes >; the public code of its predecessor has >=, train mode, and augmented images."
    )
    if p.images != 100:
        found.append(f"{p.images} images for the similarity; the paper draws 100.")
    if p.hash != "dct-mean":
        found.append(f"Hash: {p.hash}; the line of work of the paper computes dct-mean.")
    if p.dataset not in ("cifar10", "cifar100"):
        found.append(f"Data: {p.dataset}; the paper uses CIFAR-10, CIFAR-100 and ImageNet.")
    return found


def _network_differences(p: Parameters, arch: str) -> list[str]:
    options = p.options.get(arch, {})
    shortcut = options.get("shortcut", "A")
    found = []
    if arch not in PAPERS_NETWORKS:
        found.append(f"{arch}: the paper has no such network.")
    if options.get("width", 1) != 1:
        found.append(f"{arch}: {options['width']:g} times the usual width.")
    if arch in PAPERS_NETWORKS and arch.startswith("resnet") and shortcut != "conv3":
        found.append(
            f"{arch}: the MACs of the paper's Table 1 fit 3x3 convolutions on the shortcuts; here the shortcut is option "
            f"{shortcut}, so the costs before pruning differ as well."
        )
    if arch.startswith("resnet") and p.coupled == "keep":
        found.append(f"{arch}: residual stages are left whole; the paper prunes them.")
    elif arch.startswith("resnet"):
        decides = (
            "the last convolution of the stage's first block (for want of one on the shortcut) decides"
            if shortcut == "A"
            else "the shortcut's convolution decides, as in the predecessor's public code"
        )
        found.append(
            f"{arch}: section 3.5.2 lets the main path set how many filters a residual stage keeps, and the shortcut adapt; "
            f"here {decides}; for the first stage, the stem does."
        )
    if arch in p.weights:
        found.append(
            f"{arch}: weights trained by others ({p.weights[arch]}), and chosen by them at the best epoch on the test "
            "split, so the accuracy before pruning is a little optimistic; the paper trains its own for 200 epochs."
        )
    return found
