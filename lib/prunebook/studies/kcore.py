"""Entropy-guided k-core pruning: what its notebook can be asked for, and the trials that this takes."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from prunebook import models
from prunebook.errors import require
from prunebook.methods.kcore import SCORES
from prunebook.studies.parameters import NetworkParameters, Schedule, known, listed, shares_of_macs, tables_of, within
from prunebook.trials import Trial

VARIANTS: dict[str, dict[str, Any]] = {  # other readings of what the paper leaves open, as parameters of the task "prune"
    "as in this book": {},
    "hash: ImageHash": {"hash": "imagehash"},
    "entropy: 16 bins": {"bins": 16},
    "entropy: 1024 bins": {"bins": 1024},
    "entropy: per image": {"pooling": "image"},
    "entropy: one range per layer": {"range": "layer"},
    "edge: above tau": {"edge": ">"},
    "maps: train mode": {"mode": "train"},
    "maps: augmented images": {"augment": True},
    "maps: train mode, augmented": {"mode": "train", "augment": True},
    "tau: one per layer": {"thresholds": "layer"},
    "score: L1": {"score": "l1"},
    "score: random": {"score": "random"},
}
USUAL_TAUS = (0.6, 0.65, 0.7)  # for the pictures of a run that has targets instead
EXPERIMENTS = ("sample_sizes", "learning_rates", "selections", "halves", "importance")  # on architectures of the run
BY_ARCH = ("options", "weights", "finetune", "sample_sizes", "learning_rates", "halves", "layer")


class Parameters(NetworkParameters):
    """Parameters of the k-core notebook."""

    taus: list[float] = Field([0.6, 0.7, 0.8], description="similarity thresholds, each in [0, 1]")
    targets: list[float] = Field([], description="shares of the MACs to remove, each in (0, 1): tau is found for each")
    scores: list[str] = Field(["entropy"], min_length=1, description=f"what keeps a filter: {', '.join(SCORES)}")
    hash: Literal["dct-mean", "imagehash"] = Field("dct-mean", description="reading of pHash")
    edge: Literal[">=", ">"] = Field(">=", description="whether a similarity of exactly tau makes an edge")
    mode: Literal["eval", "train"] = Field("eval", description="mode of the network while it makes feature maps")
    coupled: Literal["lead", "main", "keep"] = Field(
        "lead", description="residual stages: as the shortcut's layer says, as the main path's says, or whole"
    )
    images: int = Field(100, ge=1, le=100_000, description="images drawn for the similarity")
    draws: int = Field(1, ge=1, le=100, description="repetitions with other images")
    seeds: int = Field(1, ge=1, le=100, description="repetitions with other initial weights and batches")
    paired: bool = Field(False, description="repetition i has draw i and seed i, instead of every draw with every seed")
    finetune: dict[str, int] = Field({}, description="epochs of fine-tuning by architecture; none where not named")
    finetune_lr: float = Field(0.01, gt=0, le=10, description="of fine-tuning")
    finetune_schedule: Schedule = Field("cosine", description="of fine-tuning")
    finetune_step_every: int | None = Field(None, ge=1, description="as step_every, of fine-tuning")
    finetune_scores: list[str] = Field(["entropy"], description="scores whose networks are fine-tuned")
    finetune_draws: int = Field(100, ge=0, le=100, description="so many of the draws are fine-tuned")
    sample_sizes: dict[str, list[int]] = Field({}, description="numbers of images to try, by architecture (Table 8)")
    learning_rates: dict[str, list[float]] = Field({}, description="of fine-tuning, to try, by architecture (Figure 6)")
    learning_epochs: int = Field(2, ge=1, le=1000, description="of fine-tuning for learning_rates")
    selections: list[str] = Field([], description="architectures to compare k-core, entropy, and both on (Figure 5)")
    halves: dict[str, list[float]] = Field({}, description="taus to keep highest or lowest entropy at (Figure 3, left)")
    importance: list[str] = Field([], description="architectures whose filters are compared with Grad-CAM (Figure 3, right)")
    variants: list[str] = Field([], description=f"other readings to try: {'; '.join(map(repr, VARIANTS))}")
    criterion: list[str] = Field([], description="architectures to count, and to time the decision on (Table 1)")
    experiment_tau: float = Field(0.7, ge=0, le=1, description="of sample_sizes, learning_rates and selections")
    layer: dict[str, str] = Field({}, description="layer of the pictures by architecture; default: the widest")
    tables: list[int] = Field([], description="tables of the paper to show ours beside")

    _as_list = field_validator(
        "taus", "targets", "scores", "finetune_scores", "selections", "importance", "variants",
        "criterion", "tables", mode="before",
    )(listed)  # fmt: skip

    @field_validator("variants", mode="before")
    @classmethod
    def _unquoted(cls, value: Any) -> Any:
        """In YAML a name such as `hash: ImageHash` without quotes is a mapping; it means the name."""
        return [
            ": ".join(map(str, *one.items())) if isinstance(one, dict) and len(one) == 1 else one for one in listed(value)
        ]

    _known_scores = field_validator("scores")(known("scores", SCORES))
    _known_finetune_scores = field_validator("finetune_scores")(known("finetune_scores", SCORES))
    _known_criterion = field_validator("criterion")(known("criterion", models.names()))
    _known_variants = field_validator("variants")(known("variants", VARIANTS))

    @field_validator("taus")
    @classmethod
    def _in_range(cls, value: list[float]) -> list[float]:
        return within("taus", value, 0, 1, "a number from 0 to 1")

    _are_targets = field_validator("targets")(shares_of_macs("targets"))
    _are_tables = field_validator("tables")(tables_of("paper", 1, 8))

    @model_validator(mode="after")
    def _belong_together(self) -> "Parameters":
        self.check_names(BY_ARCH)
        for name in EXPERIMENTS:
            for arch in getattr(self, name):
                require(arch in self.arch, name, arch, f"an architecture of this run: {', '.join(self.arch)}")
        for arch, epochs in self.finetune.items():
            require(0 <= epochs <= 1000, f"finetune[{arch!r}]", epochs, "a number of epochs from 0 to 1000")
        for arch, sizes in self.sample_sizes.items():
            require(bool(sizes) and min(sizes) >= 1, f"sample_sizes[{arch!r}]", sizes, "numbers of images, each at least 1")
        for arch, rates in self.learning_rates.items():
            require(bool(rates) and 0 < min(rates) <= max(rates) <= 10, f"learning_rates[{arch!r}]", rates, "in (0, 10]")
        for arch, taus in self.halves.items():
            inside = bool(taus) and 0 <= min(taus) <= max(taus) <= 1
            require(inside, f"halves[{arch!r}]", taus, "thresholds from 0 to 1")
        require(bool(self.taus or self.targets), "taus", self.taus, "at least one threshold where targets is empty")
        require(not self.variants or bool(self.targets), "targets", self.targets, "at least one where variants are tried")
        require(not self.paired or self.draws == self.seeds, "draws", self.draws, f"{self.seeds}, as seeds, where paired")
        self.check_schedule("schedule", "step_every")
        self.check_schedule("finetune_schedule", "finetune_step_every")
        for arch in dict.fromkeys([*self.arch, *self.criterion]):
            models.check(arch, self.options.get(arch, {}))
        return self

    @classmethod
    def inherited(cls, run: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """With other architectures, the run's experiments on its own ones are left out."""
        kept = dict(run)
        for name in EXPERIMENTS if "arch" in given else ():
            chosen = listed(given["arch"])
            if isinstance(kept.get(name), dict):
                kept[name] = {arch: value for arch, value in kept[name].items() if arch in chosen}
            elif name in kept:
                kept[name] = [arch for arch in listed(kept[name]) if arch in chosen]
        return kept

    @property
    def repeated(self) -> str:
        """What the run repeats, in words."""
        return f"seeds: {self.seeds}, draws of images: {self.draws}" + (", in pairs" if self.paired else "")

    @property
    def compares_scores(self) -> bool:
        """Whether several scores meet at equal MACs."""
        return bool(self.targets) and len(self.scores) > 1


class Case(NamedTuple):
    """One of a run's repeated cases: a dataset, an architecture, and the repetition's seed and draw of images."""

    dataset: str
    arch: str
    seed: int
    draw: int


def cases(p: Parameters, archs: Iterable[str] | None = None) -> list[Case]:
    """Every dataset, architecture and repetition of the run."""
    repeats = [(i, i) for i in range(p.seeds)] if p.paired else list(product(range(p.seeds), range(p.draws)))
    some = p.arch if archs is None else list(archs)
    return [Case(dataset, arch, seed, draw) for dataset, arch, (seed, draw) in product(p.dataset, some, repeats)]


def baseline(p: Parameters, case: Case) -> Trial:
    """The network before pruning. Foreign weights are the same whatever the seed."""
    params: dict[str, Any] = {"dataset": case.dataset, "size": p.size, "arch": case.arch, "normalise": p.normalise}
    params["options"] = p.options.get(case.arch, {})
    if case.arch in p.weights:
        params["weights"] = p.weights[case.arch]
    else:
        params["fit"] = {"epochs": p.epochs, "lr": p.lr, "batch_size": p.batch_size, "schedule": p.schedule}
        params["fit"] |= {"step_every": p.step_every, "seed": case.seed}
    return Trial("baseline", params)


def prune(p: Parameters, case: Case, **chosen: Any) -> Trial:
    """One pruned network, not fine-tuned; `chosen` are parameters of the task "prune"."""
    params: dict[str, Any] = {"baseline": baseline(p, case).params, "draw": case.draw}
    params |= {"hash": p.hash, "edge": p.edge, "mode": p.mode, "coupled": p.coupled, "images": p.images}
    return Trial("prune", params | chosen)


def tuned(p: Parameters, case: Case, score: str = "entropy") -> dict[str, Any]:
    """The fine-tuning that the run asks for, as a parameter of `prune`; nothing where it asks for none."""
    epochs = p.finetune.get(case.arch, 0)
    if not epochs or score not in p.finetune_scores or case.draw >= p.finetune_draws:
        return {}
    return {"finetune": _fit(p, case, epochs, p.finetune_lr)}


def _fit(p: Parameters, case: Case, epochs: int, lr: float) -> dict[str, Any]:
    fit = {"epochs": epochs, "lr": lr, "batch_size": p.batch_size, "seed": case.seed}
    return fit | {"schedule": p.finetune_schedule, "step_every": p.finetune_step_every}


def baselines(p: Parameters) -> list[Trial]:
    return list(dict.fromkeys(baseline(p, case) for case in cases(p)))


def prunings(p: Parameters) -> list[Trial]:
    """Every threshold and target with every score; the cheap ones first, so that a page has something to show early."""
    dials = [{"tau": tau} for tau in p.taus] + [{"target": target} for target in p.targets]
    grid = product(cases(p), p.scores, dials)
    found = [prune(p, case, score=score, **dial, **tuned(p, case, score)) for case, score, dial in grid]
    return sorted(dict.fromkeys(found), key=lambda trial: trial.parameters.finetune is not None)


def layers(p: Parameters) -> list[Trial]:
    """One layer of each architecture, for the pictures of its graph."""
    common = {"hash": p.hash, "mode": p.mode, "images": p.images}
    first = [Case(dataset, arch, 0, 0) for dataset in p.dataset for arch in p.arch]
    return [
        Trial("layer", {"baseline": baseline(p, case).params, "layer": p.layer.get(case.arch), **common}) for case in first
    ]


def sample_sizes(p: Parameters) -> list[Trial]:
    """Table 8: other numbers of images, at one threshold. Accuracy is measured where the run fine-tunes."""
    return [
        prune(p, case, tau=p.experiment_tau, images=size, **_briefly("none", size != p.images), **tuned(p, case))
        for arch, sizes in p.sample_sizes.items()
        for case, size in product(cases(p, [arch]), sizes)
    ]


def learning_rates(p: Parameters) -> list[Trial]:
    """Figure 6: other learning rates of fine-tuning, at one threshold, first repetition."""
    return [
        prune(p, case, tau=p.experiment_tau, finetune=_fit(p, case, p.learning_epochs, rate))
        for arch, rates in p.learning_rates.items()
        for case, rate in product([Case(dataset, arch, 0, 0) for dataset in p.dataset], rates)
    ]


SELECTIONS = {  # of Figure 5, as the task "prune" calls them
    "k-core & entropy": {"score": "entropy", "scope": "core"},
    "k-core only": {"score": "random", "scope": "core"},
    "entropy only": {"score": "entropy", "scope": "layer"},
    "neither": {"score": "random", "scope": "layer"},
}


def selections(p: Parameters) -> list[Trial]:
    """Figure 5: each part of the criterion alone, both, and neither, at one threshold. Fine-tuned all or none."""
    return [
        prune(
            p,
            case,
            tau=p.experiment_tau,
            **selection,
            **_briefly("recalibrated", selection["scope"] == "layer"),
            **tuned(p, case),
        )
        for case, selection in product(cases(p, p.selections), SELECTIONS.values())
    ]


def _briefly(moments: str, only_here: bool) -> dict[str, str]:
    """Fewer moments are measured of networks that are only here: they share no record with `prunings`."""
    return {"evaluate": moments} if only_here else {}


def halves(p: Parameters) -> list[Trial]:
    """Figure 3, left: of each group the filter with the highest or the lowest entropy."""
    return [
        prune(p, case, tau=tau, score=score, **_briefly("recalibrated", score == "low-entropy"), **tuned(p, case))
        for arch, taus in p.halves.items()
        for case, tau, score in product(cases(p, [arch]), taus, ("entropy", "low-entropy"))
    ]


def importance(p: Parameters) -> list[Trial]:
    """Figure 3, right: entropy and Grad-CAM overlap of every filter, first repetition."""
    first = [Case(dataset, arch, 0, 0) for dataset in p.dataset for arch in p.importance]
    return [Trial("importance", {"baseline": baseline(p, case).params, "images": p.images}) for case in first]


def variants(p: Parameters) -> list[Trial]:
    """Other readings of the method, each at the run's targets, not fine-tuned."""
    grid = product(cases(p), p.targets, p.variants)
    return [prune(p, case, **{"target": target, **VARIANTS[name]}) for case, target, name in grid]


def criterion(p: Parameters) -> list[Trial]:
    """Table 1: cost of the paper's networks, and how long the decision on them takes; of others, as the run has them."""
    return [trial for arch in p.criterion for trial in _timed(p, arch)]


def _timed(p: Parameters, arch: str) -> list[Trial]:
    shapes = {"resnet50": [(224, 1000)]}.get(arch, [(32, 10), (32, 100)])
    options = PAPER_OPTIONS.get(arch, {}) if arch in PAPERS_NETWORKS else p.options.get(arch, {})
    common = {"arch": arch, "options": options, "images": p.images}
    return [Trial("criterion", {**common, "size": size, "num_classes": classes}) for size, classes in shapes]


def parts(p: Parameters) -> dict[str, list[Trial]]:
    """The trials of each part of the run, in the order in which they are computed; parts may share some."""
    parts = (baselines, layers, criterion, importance, prunings, variants, selections, halves, sample_sizes, learning_rates)
    return {part.__name__: part(p) for part in parts}


def trials(p: Parameters) -> list[Trial]:
    return list(dict.fromkeys(trial for part in parts(p).values() for trial in part))


PAPER_OPTIONS: dict[str, dict[str, Any]] = {"resnet56": {"shortcut": "conv3"}, "resnet110": {"shortcut": "conv3"}}
PAPERS_NETWORKS = ("vgg16", "resnet56", "resnet110", "densenet40", "resnet50")


def differences(p: Parameters) -> list[str]:
    """In what this run is not the paper's experiment, one sentence each."""
    found = [sentence for arch in p.arch for sentence in _network_differences(p, arch)]
    if any(arch not in p.weights for arch in p.arch):
        steps = f" of {p.step_every} epochs" if p.schedule == "step" else ""
        found.append(
            f"Baselines: {p.epochs} epochs, schedule {p.schedule}{steps} from {p.lr:g}, batches of {p.batch_size}; "
            "the paper: 200 epochs, steps of 50 from 0.1, batches of 256."
        )
    tuned = {arch: epochs for arch, epochs in p.finetune.items() if epochs and arch in p.arch}
    lengths = ", ".join(f"{arch} {epochs}" for arch, epochs in tuned.items())
    if tuned:
        found.append(
            f"Fine-tuning: epochs {lengths}, schedule {p.finetune_schedule} from {p.finetune_lr:g}, batches of "
            f"{p.batch_size}, for the score {' and '.join(p.finetune_scores)}; the paper: 70 epochs, steps of 30 from 0.01, "
            "batches of 256."
        )
    else:
        found.append("No fine-tuning; the paper fine-tunes for 70 epochs.")
    found.append(
        f"Feature maps: network in {p.mode} mode, images without augmentation, an edge if the similarity is {p.edge} tau. "
        "The paper writes >; the public code of its predecessor has >=, train mode, and augmented images."
    )
    found.append(
        "Training and fine-tuning here use 90 % of the official training images (80 % for digits); the rest is for choices. "
        "The paper names no held-out part, and weights trained by others have seen all of them."
    )
    if p.images != 100:
        found.append(f"{p.images} images for the similarity; the paper draws 100.")
    if p.hash != "dct-mean":
        found.append(f"Hash: {p.hash}; the line of work of the paper computes dct-mean.")
    other = [name for name in p.dataset if name not in ("cifar10", "cifar100", "image_folder:imagenet")]
    if other:
        found.append(f"Data: {', '.join(other)}; the paper uses CIFAR-10, CIFAR-100 and ImageNet.")
    return found


def _network_differences(p: Parameters, arch: str) -> list[str]:
    options = p.options.get(arch, {})
    shortcut = options.get("shortcut", "A")
    found = []
    if arch not in PAPERS_NETWORKS:
        found.append(f"{arch}: the paper has no such network.")
    if options.get("width", 1) != 1:
        found.append(f"{arch}: {options['width']:g} times the usual width.")
    cifar_resnet = arch.startswith("resnet") and arch != "resnet50"
    if arch in PAPERS_NETWORKS and cifar_resnet and shortcut != "conv3":
        found.append(
            f"{arch}: the MACs of the paper's Table 1 fit 3x3 convolutions on the shortcuts; here the shortcut is option "
            f"{shortcut}, so the costs before pruning differ as well."
        )
    if arch.startswith("resnet") and p.coupled == "keep":
        found.append(f"{arch}: residual stages are left whole; the paper prunes them.")
    elif cifar_resnet and shortcut == "A":
        found.append(
            f"{arch}: no shortcut has weights, so for the last two stages the main path's last convolution of the first "
            "block decides, as section 3.5.2 asks; for the first stage, of which it says nothing, the stem does."
        )
    elif cifar_resnet and p.coupled == "lead":
        found.append(
            f"{arch}: section 3.5.2 lets the main path set how many filters a residual stage keeps; here the shortcut's "
            "convolution decides, as in the predecessor's public code (coupled: main is the paper's way)."
        )
    if arch == "resnet50":
        found.append(
            f"{arch}: where a stage begins, the first and the last convolution of the block lose the same number of "
            "filters, our reading of section 3.5.2; so a stage never loses more than a quarter of its channels."
        )
    if arch == "densenet40":
        found.append(
            f"{arch}: tau rises by 0.05 over each block, transitions keep exactly as many channels as they still read, and "
            "the last filters are scored by the classifier's input; section 3.5.3 asks for this without numbers."
        )
    if arch in p.weights:
        found.append(
            f"{arch}: weights trained by others ({p.weights[arch]}), by their repository for 200 epochs on all of the "
            "training images with weight decay 1e-4; the paper trains its own, with 5e-4."
        )
    return found
