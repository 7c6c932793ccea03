"""Maximum redundancy pruning: what its notebook can be asked for, and the trials that this takes."""

from itertools import product
from typing import Any, NamedTuple

from pydantic import Field, field_validator, model_validator

from prunebook import features, models
from prunebook.errors import choose, require
from prunebook.methods.baselines import CRITERIA
from prunebook.studies.parameters import NetworkParameters, Schedule, known, listed, shares_of_macs
from prunebook.trials import Trial

MRP = "mrp"
OTHER_LAYERS: dict[str, dict[str, Any]] = {  # the same choice of filters, with layers chosen otherwise
    "mrp, uniform": {"layer": "uniform"},
    "mrp, random layer": {"layer": "random"},
}
METHODS = (MRP, *OTHER_LAYERS, *CRITERIA)
GRAPHS: dict[str, dict[str, Any]] = {  # other readings of what the abstract leaves open, as parameters of the decision
    "graph of correlations": {"measure": "correlation"},
    "graph of weights": {"measure": "weights"},
    "graph of hashes": {"measure": "phash"},
    "graph of Dice": {"measure": "dice"},
    "5 neighbours": {"sparsify": "knn"},
    "quantile 0.75": {"quantile": 0.75},
    "quantile 0.5": {"quantile": 0.5},
    "threshold 0.3": {"sparsify": "threshold", "threshold": 0.3},
}
READINGS: dict[str, dict[str, Any]] = {
    **GRAPHS,
    "quantile 0.5, edges once": {"quantile": 0.5, "edges": "once"},
    "likeness anew": {"likeness": "anew"},
    "Leiden": {"detector": "leiden"},
    "label propagation": {"detector": "label-propagation"},
    "greedy modularity": {"detector": "greedy-modularity"},
    "times modularity": {"kind": "modularity"},
}
RULES: dict[str, dict[str, Any]] = {  # which filter of the largest community goes
    "drawn in the community": {"rule": "random"},
    "smallest in the community": {"rule": "l1"},
    "least replaceable (control)": {"rule": "least replaceable"},
}
STEPS: dict[str, dict[str, Any]] = {  # how many go before communities are found anew; 2 % of fewer than 100 are one as well
    "step 1": {"step": 1},
    "step 10 %": {"step": 0.1},
    "step 50 %": {"step": 0.5},
}
SCOPES: dict[str, dict[str, Any]] = {"coupled layers too": {"scope": "coupled"}}
VARIANTS = {**READINGS, **RULES, **STEPS, **SCOPES}
PAPER = {"arch": "resnet110", "dataset": "cifar10"}  # the abstract's


class Parameters(NetworkParameters):
    """Parameters of the MRP notebook."""

    pad: int = Field(4, ge=0, le=64, description="pixels of padding for random crops; 0: no crops")
    seeds: int = Field(1, ge=1, le=100, description="repetitions of everything drawn: images, batches, initial weights")
    seeds_of: dict[str, int] = Field({}, description="other numbers of repetitions by architecture, such as {resnet56: 1}")
    images: int = Field(100, ge=1, le=100_000, description="training images that feature maps are taken from")
    methods: list[str] = Field([], description=f"to compare at equal MACs: {'; '.join(map(repr, METHODS))}")
    targets: list[float] = Field([0.5], min_length=1, description="shares of the MACs to remove")
    finetune: int = Field(0, ge=0, le=1000, description="epochs of fine-tuning of every pruned network; 0: none")
    finetune_images: int | None = Field(None, ge=2, description="training images of fine-tuning, drawn once; default: all")
    finetune_lr: float = Field(0.01, gt=0, le=10, description="of fine-tuning, at the start")
    finetune_schedule: Schedule = Field("cosine", description="of fine-tuning")
    recalibrate: int = Field(1000, ge=2, description="training images for batch-norm statistics")
    variants: list[str] = Field([], description=f"other readings to try: {'; '.join(map(repr, VARIANTS))}")
    control: bool = Field(False, description="give the unpruned network the epochs of fine-tuning as well")
    trace: bool = Field(False, description="show the decision step by step")
    graphs: list[str] = Field([], description="convolutions whose communities to draw, such as layer1.1.conv1")
    roles: list[str] = Field(
        [], description=f"graphs to test the hypothesis with: {MRP} (as in this book); {'; '.join(GRAPHS)}"
    )
    tested: int = Field(512, ge=1, le=100_000, description="test images that the hypothesis is tested on")
    draws: int = Field(16, ge=1, le=1000, description="of communities and filters, for each test of each layer")
    nulls: int = Field(8, ge=0, le=1000, description="random graphs of each layer, and random sets of vectors")
    untrained: int = Field(3, ge=0, le=100, description="networks with fresh weights that communities are set against")
    abstract: bool = Field(False, description="show the abstract's numbers beside ours")

    _as_list = field_validator("methods", "targets", "variants", "graphs", "roles", mode="before")(listed)

    _known_methods = field_validator("methods")(known("methods", METHODS))
    _known_variants = field_validator("variants")(known("variants", VARIANTS))
    _known_roles = field_validator("roles")(known("roles", (MRP, *GRAPHS)))
    _are_targets = field_validator("targets")(shares_of_macs("targets"))

    @field_validator("seeds_of")
    @classmethod
    def _are_counts(cls, value: dict[str, int]) -> dict[str, int]:
        for arch, seeds in value.items():
            require(1 <= seeds <= 100, f"seeds_of {arch}", seeds, "from 1 to 100")
        return value

    @model_validator(mode="after")
    def _belong_together(self) -> "Parameters":
        self.check_names(["options", "weights", "seeds_of"])
        self.check_schedule("schedule", "step_every")
        require(self.finetune_schedule != "step", "finetune_schedule", "step", "one-cycle, cosine or constant")
        require(not self.control or self.finetune > 0, "finetune", self.finetune, "at least 1 where control is given")
        alone = bool(self.variants or self.control) and MRP not in self.methods
        require(not alone, "methods", self.methods, f"with {MRP!r} among them where variants or control are given")
        require(not self.roles or self.images >= 2, "images", self.images, "at least 2 where the hypothesis is tested")
        require(self.draws <= self.tested, "draws", self.draws, f"at most {self.tested}: each has test images of its own")
        for arch in self.arch:
            options: dict[str, Any] = self.options.get(arch, {})
            models.check(arch, options)
            layers = features.convolutions(models.build(arch, seed=0, **options)) if self.graphs else {}
            for layer in self.graphs:
                choose(f"layer of {arch} in graphs", layer, layers)
        return self

    @property
    def repeated(self) -> str:
        """What the run repeats, in words."""
        given = [arch for arch in self.arch if arch in self.weights]
        network = ", with one trained network" if given else ", and initial weights of the network"
        others = [f"; {arch}: {self.seeds_of[arch]}" for arch in self.arch if arch in self.seeds_of]
        return f"seeds (draw of images, batches{network}): {self.seeds}{''.join(others)}"

    @property
    def others(self) -> list[str]:
        """The methods to compare with MRP as in this book."""
        return [method for method in self.methods if method != MRP]


class Case(NamedTuple):
    """One of a run's repeated cases."""

    dataset: str
    arch: str
    seed: int


def cases(p: Parameters) -> list[Case]:
    """Every dataset, architecture and repetition of the run."""
    places = product(p.dataset, p.arch)
    return [Case(dataset, arch, seed) for dataset, arch in places for seed in range(p.seeds_of.get(arch, p.seeds))]


def networks(p: Parameters) -> list[Case]:
    """The cases that differ in the network: of given weights there is one, however often what is drawn is repeated."""
    return [case for case in cases(p) if case.seed == 0 or case.arch not in p.weights]


def baseline(p: Parameters, case: Case) -> Trial:
    """The network before pruning. Foreign weights are the same whatever the seed."""
    params: dict[str, Any] = {"dataset": case.dataset, "size": p.size, "arch": case.arch, "normalise": p.normalise}
    params["options"] = p.options.get(case.arch, {})
    if case.arch in p.weights:
        return Trial("baseline", params | {"weights": p.weights[case.arch]})
    fit = {"epochs": p.epochs, "lr": p.lr, "schedule": p.schedule, "step_every": p.step_every}
    return Trial("baseline", params | {"fit": {**fit, "batch_size": p.batch_size, "pad": p.pad, "seed": case.seed}})


def decision(name: str, target: float) -> dict[str, Any]:
    """One of `METHODS` or `VARIANTS`, as a parameter of the tasks that take one. All but `SCOPES` prune the same layers."""
    if name in CRITERIA:
        return {"method": "baseline", "criterion": name, "target": target, "layers": "internal"}
    return {"method": "mrp", "target": target, **OTHER_LAYERS.get(name, VARIANTS.get(name, {}))}


def compared(p: Parameters, case: Case, decided: dict[str, Any]) -> Trial:
    """A decision in this case: cut, recalibrated, and fine-tuned for as long as the run says."""
    params = {"baseline": baseline(p, case).params, "decision": decided, "recalibrate": p.recalibrate}
    params |= {"images": p.images, "draw": case.seed}
    if p.finetune:
        fit = {"epochs": p.finetune, "lr": p.finetune_lr, "schedule": p.finetune_schedule, "batch_size": p.batch_size}
        params["finetune"] = {**fit, "pad": p.pad, "images": p.finetune_images, "seed": case.seed}
    return Trial("compare", params)


def baselines(p: Parameters) -> list[Trial]:
    return [baseline(p, case) for case in cases(p)]


def roles(p: Parameters) -> list[Trial]:
    """The tests of the hypothesis on every network, in half as many images twice as the decisions look at."""
    common = {"images": 2 * p.images, "tested": p.tested, "draws": p.draws, "nulls": p.nulls, "untrained": p.untrained}
    return [
        Trial("roles", {"baseline": baseline(p, case).params, **common, **GRAPHS.get(name, {}), "seed": case.seed})
        for case, name in product(networks(p), p.roles)
    ]


def graphs(p: Parameters) -> list[Trial]:
    """The layers that are drawn, of each first network, on the images that its first decision looks at."""
    first = [case for case in cases(p) if case.seed == 0]
    return [
        Trial("graph", {"baseline": baseline(p, case).params, "layer": layer, "images": p.images, "seed": case.seed})
        for case, layer in product(first, p.graphs)
    ]


def traces(p: Parameters) -> list[Trial]:
    """The decisions step by step, of each first network."""
    first = [case for case in cases(p) if case.seed == 0] if p.trace else []
    return [
        Trial("trace", {"baseline": baseline(p, case).params, "decision": decision(MRP, target), "images": p.images,
                        "draw": case.seed})
        for case, target in product(first, p.targets)
    ]  # fmt: skip


def methods(p: Parameters) -> list[Trial]:
    """Every method at the same share of the MACs."""
    return [compared(p, case, decision(name, target)) for case, target, name in product(cases(p), p.targets, p.methods)]


def variants(p: Parameters) -> list[Trial]:
    """MRP in other readings, each at the run's targets."""
    return [compared(p, case, decision(name, target)) for case, target, name in product(cases(p), p.targets, p.variants)]


def controls(p: Parameters) -> list[Trial]:
    """The unpruned network, trained for as long as the pruned ones are fine-tuned: what the epochs do by themselves."""
    nothing = {"method": "baseline", "criterion": "l1", "ratio": 0.0, "layers": "internal"}
    return [compared(p, case, nothing) for case in cases(p)] if p.control else []


def parts(p: Parameters) -> dict[str, list[Trial]]:
    """The trials of each part of the run, in the order in which they are computed; parts may share some."""
    parts = (baselines, graphs, traces, roles, methods, variants, controls)
    return {part.__name__: part(p) for part in parts}


def trials(p: Parameters) -> list[Trial]:
    return list(dict.fromkeys(trial for part in parts(p).values() for trial in part))


def differences(p: Parameters) -> list[str]:
    """In what this run is not the abstract's experiment, as far as that is public, one sentence each."""
    found = [f"{arch}: the abstract names ResNet-110 alone." for arch in p.arch if arch != PAPER["arch"]]
    found += [f"{arch}: narrower than usual." for arch in p.arch if p.options.get(arch, {}).get("width", 1) != 1]
    found += [f"Data: {name}; the abstract names CIFAR-10." for name in p.dataset if name != PAPER["dataset"]]
    if p.methods:
        length = f"{p.finetune} epoch{'s' * (p.finetune != 1)}"
        images = f" of {p.finetune_images:,} training images" if p.finetune_images else ""
        how = f"{length}{images} of SGD from {p.finetune_lr:g}, schedule {p.finetune_schedule}" if p.finetune else "none"
        found.append(f"Retraining: {how}; the abstract does not say how long, nor at what rate.")
        found.append(
            "All methods prune only convolutions whose width no other layer shares; the abstract does not say which."
        )
    if p.methods or p.trace:
        found.append(
            "What a filter graph, a community, redundancy and replaceable are is our reading, with feature maps of "
            f"{p.images} training images; the abstract defines none of it."
        )
    if p.roles:
        found.append("The tests of the Role-Information hypothesis are ours; the abstract says that there is a study.")
    if p.weights:
        found.append("The published weights were trained on our validation split too, so nothing is chosen on it.")
    return found
