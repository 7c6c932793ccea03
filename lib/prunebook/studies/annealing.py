"""Robustness-preserving data-free pruning: what its notebook can be asked for, and the trials that this takes."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

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
    if "cifar10" in p.dataset:
        found.append(f"cifar10: {p.on('cifar10').images} test images are attacked; the paper does not say how many.")
    return found
