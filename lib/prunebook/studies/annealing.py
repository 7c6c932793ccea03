"""Robustness-preserving data-free pruning: what its notebook can be asked for, and the trials that this takes."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from prunebook import tables
from prunebook.corruptions import KINDS, SEVERITIES
from prunebook.errors import BadValue, choose, require
from prunebook.studies.parameters import NotebookParameters, known, listed
from prunebook.trials import Trial


class Model(NamedTuple):
    """The network of a dataset and what it gets: see `trials.tasks.Baseline`."""

    arch: str
    normalise: str = "none"  # pixels in [0, 1]
    one_logit: bool = False
    options: dict[str, Any] = {}  # noqa: RUF012  read, never written


MODELS = {
    "creditcard": Model("mlp_credit", "dataset", one_logit=True),
    "kddcup99": Model("mlp_kdd", "dataset"),
    "mnist": Model("mlp_mnist"),
    "cifar10": Model("cnn_annealing"),
    "fashion_mnist": Model("mlp_mnist"),
    "digits": Model("mlp_mnist", options={"size": 8}),
    "breast_cancer": Model("mlp_credit", "dataset", one_logit=True),
}  # the first four are Table I's
PAPER = ("creditcard", "kddcup99", "mnist", "cifar10")  # models #1 to #4
PAPER_EPOCHS, PAPER_ROUNDS = 20, 10
PACES = {"creditcard": 1 / 32, "kddcup99": 1 / 32, "mnist": 1 / 64, "cifar10": 1 / 64}  # Table II: 3.13 % and 1.56 %
PACE = 1 / 32  # of other datasets
CORRUPTED_AT = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)  # shares of the units gone at which corrupted images are tested
MOST_ONCE = 0.5  # share of the units that one-shot pruning by pairs can take

READINGS: dict[str, dict[str, Any]] = {  # what Figures 3 and 4 compare, and controls
    "paper": {},
    "official": {"variant": "official"},
    "absolute": {"scale": "absolute"},
    "greedy": {"mode": "greedy", "pool": 16},
    "random pairs": {"mode": "random"},
    "one-shot": {"mode": "one-shot"},
    "one-shot, official": {"variant": "official", "mode": "one-shot"},
    "one-shot, absolute": {"mode": "one-shot", "scale": "absolute"},
}
ONE_SHOT = {"paper": "one-shot", "official": "one-shot, official", "absolute": "one-shot, absolute"}  # the baseline of each
_RULES: dict[str, dict[str, Any]] = {  # one change each
    "alpha 0": {"alpha": 0.0},
    "alpha 0.5": {"alpha": 0.5},
    "alpha 1": {"alpha": 1.0},
    "phi 0.5": {"phi": 0.5},
    "phi 0.99": {"phi": 0.99},
    "nothing worse": {"temperature": 0.0},
    "everything accepted": {"temperature": 1e9},
    "squash ratio": {"squash": "ratio"},
    "squash ratio, nothing worse": {"squash": "ratio", "temperature": 0.0},
    "single impacts": {"cumulative": False},
    "single impacts, nothing worse": {"cumulative": False, "temperature": 0.0},
    "zonotope": {"bounds": "zonotope"},
    "zonotope, nothing worse": {"bounds": "zonotope", "temperature": 0.0},
    "step 1/64": {"step": 1 / 64},
    "step 1/8": {"step": 1 / 8},
    "step 1/4": {"step": 1 / 4},
}
CHOICES: dict[str, dict[str, Any]] = {  # other choices than a reading's: "paper, alpha 0"
    **{f"paper, {name}": change for name, change in _RULES.items()},
    "paper, delegate's norm": {"scale": "delegate"},
    **{f"absolute, {name}": {"scale": "absolute", **change} for name, change in _RULES.items()},
    "absolute, greedy": {"scale": "absolute", "mode": "greedy", "pool": 16},
    "absolute, greedy by zonotopes": {"scale": "absolute", "mode": "greedy", "pool": 16, "bounds": "zonotope"},
    "official, nothing worse": {"variant": "official", "temperature": 0.0},
    "official, everything accepted": {"variant": "official", "temperature": 1e9},
    "official, zonotope": {"variant": "official", "bounds": "zonotope"},
    "official, greedy": {"variant": "official", "mode": "greedy"},
    "paper, filters too": {"layers": "all"},
    "absolute, filters too": {"scale": "absolute", "layers": "all"},
    "official, filters too": {"variant": "official", "layers": "all"},
}
DECISIONS = {**READINGS, **CHOICES}
CONVOLUTIONAL = tuple(name for name, change in CHOICES.items() if change.get("layers") == "all")
BY_DATASET = (
    "epochs", "batch_size", "networks", "rounds", "every", "tested", "images", "attacks", "width", "corruptions",
    "severities", "corrupted",
)  # fmt: skip


class Parameters(NotebookParameters):
    """Parameters of the annealing notebook."""

    dataset: list[str] = Field(["digits"], min_length=1, description=f"one or a list of: {', '.join(MODELS)}")
    width: float = Field(1.0, gt=0, le=4, description="factor of the widths of Table I's networks")
    epochs: int = Field(PAPER_EPOCHS, ge=1, le=1000, description="of training a network")
    lr: float = Field(1e-3, gt=0, le=1, description="constant rate of training, by Adam")
    batch_size: int = Field(32, ge=2, le=8192, description="of training")
    networks: int = Field(1, ge=1, le=100, description="trained networks, with initial weights and batches of their own")
    rounds: int = Field(PAPER_ROUNDS, ge=1, le=1000, description="repetitions of the pruning of each network")
    readings: list[str] = Field(["paper"], min_length=1, description=f"to compare: {'; '.join(map(repr, READINGS))}")
    choices: list[str] = Field([], description=f"other choices to try: {'; '.join(map(repr, CHOICES))}")
    target: float = Field(0.8, gt=0, lt=1, description="share of its units that each layer loses; one-shot: at most a half")
    step: float = Field(1 / 32, gt=0, lt=1, description="share that goes in one epoch of pruning, in whole units")
    every: int = Field(2, ge=1, le=1000, description="epochs of pruning from one measurement to the next")
    tested: int | None = Field(10_000, ge=1, description="test inputs for accuracies, drawn once; null: all")
    images: int = Field(1000, ge=1, le=100_000, description="of these, inputs that are attacked")
    epsilons: list[float] = Field([0.01, 0.05], min_length=1, description="of the attacks; of tables in deviations")
    attacks: list[Literal["fgsm", "pgd", "official"]] = Field(["fgsm"], min_length=1, description="fgsm, pgd, official")
    corruptions: list[str] = Field([], description=f"kinds to test on images, none by default: {', '.join(KINDS)}")
    severities: list[int] = Field([1, 3, 5], min_length=1, description="of each corruption, from 1 to 5")
    corrupted: int = Field(1000, ge=1, description="test images that are corrupted, drawn once")
    by_dataset: dict[str, dict[str, Any]] = Field(
        {}, description=f"other values by dataset, such as {{cifar10: {{networks: 1}}}}, of: {', '.join(BY_DATASET)}"
    )
    paces: bool = Field(False, description="time the pruning of 80 % in the steps of Table II")
    pairs: int = Field(0, ge=0, le=10_000, description="pairs of each layer to look at singly; 0: none")
    claims: bool = Field(False, description="show the paper's numbers, and all its claims")

    _as_list = field_validator(
        "dataset", "readings", "choices", "epsilons", "attacks", "corruptions", "severities", mode="before"
    )(listed)

    _known_datasets = field_validator("dataset")(known("dataset", MODELS))
    _known_readings = field_validator("readings")(known("readings", READINGS))
    _known_choices = field_validator("choices")(known("choices", CHOICES))
    _known_corruptions = field_validator("corruptions")(known("corruptions", KINDS))

    @field_validator("epsilons")
    @classmethod
    def _are_distances(cls, value: list[float]) -> list[float]:
        for epsilon in value:
            require(epsilon > 0, "epsilons", epsilon, "above 0")
        return sorted(set(value))

    @field_validator("severities")
    @classmethod
    def _are_severities(cls, value: list[int]) -> list[int]:
        for severity in value:
            require(severity in SEVERITIES, "severities", severity, "a whole number from 1 to 5")
        return sorted(set(value))

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        for dataset, changes in self.by_dataset.items():
            choose("dataset of by_dataset", dataset, MODELS)
            for name in changes:
                choose(f"parameter of {dataset} in by_dataset", name, BY_DATASET)
            self.on(dataset)
        for choice in self.choices:
            base = choice.partition(", ")[0]
            require(
                base in self.readings, "readings", self.readings, f"with {base!r} among them, beside which {choice!r} is set"
            )
        whole = [choice for choice in self.choices if choice in CONVOLUTIONAL]
        without = [dataset for dataset in self.dataset if MODELS[dataset].arch != "cnn_annealing"]
        require(
            not (whole and without), "choices", whole, f"for networks with filters alone, not that of {', '.join(without)}"
        )
        seen = any(_has_images(dataset) for dataset in self.dataset)
        require(seen or not self.corruptions, "corruptions", self.corruptions, "none where all datasets are tables")
        return self

    def on(self, dataset: str) -> "Parameters":
        """The parameters for this dataset alone. Raises BadValue for those that cannot be."""
        changes = self.by_dataset.get(dataset, {})
        try:
            return self.check({**self.model_dump(), "by_dataset": {}, **changes}) if changes else self
        except BadValue as fault:
            raise BadValue(f"by_dataset of {dataset}: {fault}") from None

    # What sections of the page are for: the notebook's cells are tagged with these names.

    @property
    def one_shot(self) -> list[str]:
        """The readings that are baselines."""
        return [name for name in self.readings if name in ONE_SHOT.values()]

    @property
    def filters(self) -> list[str]:
        """The choices that take filters of convolutions as well, of which a share is not that of the others."""
        return [name for name in self.choices if name in CONVOLUTIONAL]

    @property
    def other_choices(self) -> list[str]:
        return [name for name in self.choices if name not in CONVOLUTIONAL]

    @property
    def tabular(self) -> list[str]:
        """The datasets that are tables, whose classes are of unequal size."""
        return [name for name in self.dataset if not _has_images(name)]

    @property
    def counted_otherwise(self) -> list[str]:
        """The attacks beside the first."""
        return [attack for name in self.dataset for attack in self.on(name).attacks[1:]]

    @property
    def repeated(self) -> str:
        """What the run repeats, in words."""
        parts = []
        for dataset in self.dataset:
            own = self.on(dataset)
            parts.append(f"{dataset}: {_counted(own.networks, 'network')}, each pruned in {_counted(own.rounds, 'round')}")
        return "; ".join(parts)


def _has_images(dataset: str) -> bool:
    return dataset not in tables.NAMES


def _counted(n: int, word: str) -> str:
    return f"{n} {word}{'s' * (n != 1)}"


class Case(NamedTuple):
    """One trained network of the run."""

    dataset: str
    seed: int


def cases(p: Parameters) -> list[Case]:
    """Every dataset and network of the run."""
    return [Case(dataset, seed) for dataset in p.dataset for seed in range(p.on(dataset).networks)]


def baseline(p: Parameters, case: Case) -> Trial:
    """The network before pruning, trained as the paper says as far as it does: so many epochs, at a constant rate."""
    own, model = p.on(case.dataset), MODELS[case.dataset]
    fit = {"epochs": own.epochs, "lr": own.lr, "batch_size": own.batch_size, "schedule": "constant", "optimizer": "adam"}
    fit |= {"weight_decay": 0.0, "augment": False, "seed": case.seed}
    options = {**model.options, "width": own.width} if own.width != 1 else model.options
    params = {"dataset": case.dataset, "arch": model.arch, "options": options, "normalise": model.normalise}
    return Trial("baseline", {**params, "one_logit": model.one_logit, "fit": fit})


def decision(p: Parameters, name: str) -> dict[str, Any]:
    """One of `DECISIONS`, as a parameter of the tasks that take one."""
    changes: Mapping[str, Any] = DECISIONS[name]
    target = min(p.target, MOST_ONCE) if changes.get("mode") == "one-shot" else p.target
    return {"target": target, "step": p.step, **changes}


def decay(p: Parameters, case: Case, name: str) -> Trial:
    """One decision on one network, followed to its end, as often as the run says where it hangs on a seed."""
    own = p.on(case.dataset)
    base, decided, rounds = _repeated(p, case, name)
    common = {"every": own.every, "tested": own.tested, "images": own.images, "epsilons": p.epsilons, "attacks": own.attacks}
    return Trial("decay", {"baseline": base, "decision": decided, "rounds": rounds, **common})


def _repeated(p: Parameters, case: Case, name: str) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Network, decision, and how often it is made: once where it does not hang on a seed."""
    decided = decision(p, name)
    drawn = decided.get("mode", "annealing") in ("annealing", "random")
    return baseline(p, case).params, decided, p.on(case.dataset).rounds if drawn else 1


def baselines(p: Parameters) -> list[Trial]:
    return [baseline(p, case) for case in cases(p)]


def decays(p: Parameters) -> list[Trial]:
    """The readings on every network (Figures 3 and 4)."""
    return [decay(p, case, name) for case in cases(p) for name in p.readings]


def choices(p: Parameters) -> list[Trial]:
    """Other choices on every network."""
    return [decay(p, case, name) for case in cases(p) for name in p.choices]


def corrupted(p: Parameters) -> list[Trial]:
    """The readings on every network of images, on corrupted copies of them; tables are left out."""
    found = []
    for case in cases(p):
        own = p.on(case.dataset)
        if own.corruptions and _has_images(case.dataset):
            common = {"kinds": own.corruptions, "severities": own.severities, "tested": own.corrupted}
            found += [_corrupted(p, case, name, common) for name in p.readings]
    return found


def _corrupted(p: Parameters, case: Case, name: str, common: Mapping[str, Any]) -> Trial:
    base, decided, rounds = _repeated(p, case, name)
    shares = [share for share in CORRUPTED_AT if share <= decided["target"]] or [decided["target"]]
    return Trial("corrupted", {"baseline": base, "decision": decided, "rounds": rounds, "shares": shares, **common})


def paces(p: Parameters) -> list[Trial]:
    """Times of both variants on each first network, in the steps of Table II."""
    if not p.paces:
        return []
    return [
        Trial("pace", {"baseline": baseline(p, Case(dataset, 0)).params,
                       "decision": {"step": PACES.get(dataset, PACE), "variant": variant}})
        for dataset in p.dataset for variant in ("paper", "official")
    ]  # fmt: skip


def impacts(p: Parameters) -> list[Trial]:
    """Single pairs of every network."""
    if p.pairs < 2:
        return []
    return [Trial("impacts", {"baseline": baseline(p, case).params, "pairs": p.pairs}) for case in cases(p)]


def parts(p: Parameters) -> dict[str, list[Trial]]:
    """The trials of each part of the run, in the order in which they are computed; parts may share some."""
    return {part.__name__: part(p) for part in (baselines, paces, decays, corrupted, impacts, choices)}


def trials(p: Parameters) -> list[Trial]:
    return list(dict.fromkeys(trial for part in parts(p).values() for trial in part))


def differences(p: Parameters) -> list[str]:
    """In what this run is not the paper's experiment, one sentence each."""
    found = [f"Data: {name}; the paper has none of it." for name in p.dataset if name not in PAPER]
    found += ["Networks: narrower or wider than Table I's."] * any(p.on(name).width != 1 for name in p.dataset)
    for name in p.dataset:
        own = p.on(name)
        if own.epochs != PAPER_EPOCHS:
            found.append(f"{name}: trained for {_counted(own.epochs, 'epoch')}; the paper says {PAPER_EPOCHS}.")
    found.append("The optimiser is Adam and the rate stays at its value; the paper names a rate, and neither of the two.")
    rounds = {name: p.on(name).networks * p.on(name).rounds for name in p.dataset}
    if any(n != PAPER_ROUNDS for n in rounds.values()):
        words = ", ".join(f"{name} {n}" for name, n in rounds.items())
        found.append(f"Rounds: {words}, over networks and seeds; the paper has {PAPER_ROUNDS}, of one network as it seems.")
    elif any(p.on(name).networks > 1 for name in p.dataset):
        found.append(
            "Rounds are over networks as well as over seeds of the pruning; in the paper of one network, as it seems."
        )
    tables = [name for name in p.dataset if MODELS[name].normalise == "dataset"]
    if tables:
        found.append(
            f"{' and '.join(tables)}: equal rows count once, columns are scaled by the training split, and the bounds of "
            "the input are each column's range there, for the code their hull; the paper tells nothing of it. Attacks, "
            "which the paper has on images only, are in deviations of a column, and may make rows that no table could have; "
            "they end at these bounds, widened to the attacked rows."
        )
    if "creditcard" in p.dataset:
        found.append(
            "creditcard: two samples with all frauds and some of the genuine rows, as far as the files say; "
            "one answer to all has 99.8 % of the whole table and far less here, so that accuracy has further to fall."
        )
    if "kddcup99" in p.dataset:
        found.append("kddcup99: a quarter of the 10 % file is the test split; the paper does not name its own.")
    if p.filters:
        found.append(
            "Filters: the paper's text cuts fully-connected layers alone, its code filters by their L1 norm as well."
        )
    if p.corruptions:
        found.append("Corrupted images: the paper names such disturbances, and tests none.")
    if "cifar10" in p.dataset:
        found.append(f"cifar10: {p.on('cifar10').images} test images are attacked; the paper does not say how many.")
    return found
