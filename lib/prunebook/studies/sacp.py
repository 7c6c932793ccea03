"""SACP: what its notebook can be asked for, and the trials that this takes."""

from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator, model_validator

from prunebook import models
from prunebook.errors import BadValue, nearest, require
from prunebook.studies.parameters import NetworkParameters, Schedule, known, listed, within
from prunebook.trials import Trial

ENCODERS: dict[str, dict[str, Any]] = {  # what a score can come from, as parameters of the task that trains it
    "infonce": {},
    "infonce (anchor original)": {"anchor": "original"},
    "as printed": {"loss": "as-printed"},
    "as printed (anchor original)": {"loss": "as-printed", "anchor": "original"},
    "untrained": {"epochs": 0},
    "no edges": {"edges": "none"},
    "shuffled edges": {"edges": "shuffled"},
    "sacp-1": {},  # learns accuracies instead of contrasts: the paper's ablation
}
RANDOM = "random"
AS_COSTLY = "random (as costly)"
SEARCHES = (*ENCODERS, RANDOM, AS_COSTLY)
SUPERVISED = "sacp-1"
PAPER = {  # section 4: tau, configurations N, candidates n, m and k, by our names of its networks
    "vgg16": {"tau": 0.6, "configurations": 10_000, "candidates": 1_000_000, "m": 150, "k": 10},
    "resnet18": {"tau": 0.7, "configurations": 10_000, "candidates": 1_000_000, "m": 150, "k": 10},
    "resnet56": {"tau": 0.3, "configurations": 50_000, "candidates": 5_000_000, "m": 300, "k": 10},
}
BY_ARCH = ("options", "weights", "tau", "configurations", "candidates", "m")  # may be given by architecture
DIALS = BY_ARCH[2:]
LEARNT_APART = 10_000  # added to a seed: candidates that an encoder learns from are not those that it is judged by


class Parameters(NetworkParameters):
    """Parameters of the SACP notebook."""

    pad: int = Field(4, ge=0, le=64, description="pixels of padding for random crops; 0: no crops")
    seeds: int = Field(1, ge=1, le=100, description="repetitions of everything drawn: encoder, candidates, batches")
    tau: float | dict[str, float] = Field(
        0.3, description="least share of the channels to remove, R(r) of Eq. 4; or by architecture"
    )
    configurations: int | dict[str, int] = Field(
        10_000, description="that an encoder learns from, the paper's N; or by architecture"
    )
    learning: int = Field(10, ge=1, le=1000, description="epochs of training an encoder")
    temperature: float = Field(0.5, gt=0, le=100, description="of the contrastive losses")
    encoders: list[str] = Field([], description=f"whose scores to compare: {', '.join(ENCODERS)}")
    sampled: int = Field(0, ge=0, le=100_000, description="random candidates to measure, and to compare scores on; 0: none")
    shares: list[float] = Field([0.5], description="of the MACs that these remove: a sample for each")
    free: bool = Field(False, description="one more sample at tau, of whatever cost")
    tolerance: float = Field(0.01, gt=0, le=0.5, description="of shares")
    supervised: int = Field(100, ge=2, le=100_000, description="measured candidates that sacp-1 learns from")
    searches: list[str] = Field([], description=f"whose best to build: {', '.join(SEARCHES)}")
    candidates: int | dict[str, int] = Field(1_000_000, description="that a search scores; or by architecture")
    m: int | dict[str, int] = Field(
        150, description="candidates of each search that are fine-tuned lightly; or by architecture"
    )
    k: int = Field(10, ge=0, le=1000, description="of these, trained in full: the best by validation accuracy")
    light: int = Field(0, ge=0, le=1000, description="epochs of light fine-tuning; 0: batch norm is recalibrated, no more")
    light_lr: float = Field(0.01, gt=0, le=10, description="of light fine-tuning, at the start")
    full: int = Field(0, ge=0, le=1000, description="epochs of full training of the k; 0: none")
    full_lr: float = Field(0.01, gt=0, le=10, description="of full training, at the start")
    finetune_schedule: Schedule = Field("cosine", description="of light and full training")
    recalibrate: int = Field(1000, ge=2, description="training images for batch-norm statistics")
    ms: list[int] = Field([], description="smaller m to choose the k from and train them in full (Figure 2)")
    chance: int = Field(0, ge=0, le=10_000_000, description="random candidates whose cost is counted; 0: none")
    drawing: bool = Field(False, description="draw the network's graph")
    tables: list[int] = Field([], description="tables of the paper to show ours beside: 3, 4")

    _as_list = field_validator("encoders", "shares", "searches", "ms", "tables", mode="before")(listed)

    _known_encoders = field_validator("encoders")(known("encoder", ENCODERS))
    _known_searches = field_validator("searches")(known("search", SEARCHES))

    @field_validator("shares")
    @classmethod
    def _are_shares(cls, value: list[float]) -> list[float]:
        return within("share", value, 0, 1, "a share of the MACs between 0 and 1, such as 0.5", ends=False)

    @field_validator("tables")
    @classmethod
    def _are_tables(cls, value: list[int]) -> list[int]:
        return [int(table) for table in within("table", value, 3, 4, "one of the paper's tables 3 and 4")]

    @field_validator(*DIALS, mode="before")
    @classmethod
    def _are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        whole = info.field_name != "tau"
        number = TypeAdapter(int if whole else float, config=ConfigDict(allow_inf_nan=False))
        for one in _values(value):
            try:
                number.validate_python(one)
            except ValidationError:
                kind = "a whole number" if whole else "a number"
                raise BadValue(f"{info.field_name} is {one!r}, but must be {kind}, or one for each architecture") from None
        return value

    @field_validator("tau")
    @classmethod
    def _are_taus(cls, value: float | dict[str, float]) -> float | dict[str, float]:
        for tau in _values(value):
            require(0 <= tau <= 0.9, "tau", tau, "a share of the channels from 0 to 0.9, the highest R(r) of any candidate")
        return value

    @field_validator("chance")
    @classmethod
    def _is_enough(cls, value: int) -> int:
        require(value == 0 or value >= 100, "chance", value, "0, or at least 100 for quantiles of their cost")
        return value

    @field_validator("configurations", "candidates", "m", mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        """1e6 is a million, which YAML takes for text."""
        return {arch: _whole(one) for arch, one in value.items()} if isinstance(value, dict) else _whole(value)

    @field_validator("configurations", "candidates", "m")
    @classmethod
    def _are_counts(cls, value: int | dict[str, int], info: ValidationInfo) -> int | dict[str, int]:
        least = 2 if info.field_name == "configurations" else 1
        for number in _values(value):
            require(number >= least, str(info.field_name), number, f"a whole number of at least {least}")
        return value

    @model_validator(mode="after")
    def _belong_together(self) -> "Parameters":
        self.check_names([name for name in BY_ARCH if isinstance(getattr(self, name), dict)])
        self.check_schedule("schedule", "step_every")
        require(self.finetune_schedule != "step", "finetune_schedule", "step", "one-cycle, cosine or constant")
        for arch in self.arch:
            models.check(arch, self.options.get(arch, {}))
            for name in DIALS:
                if isinstance(getattr(self, name), dict) and arch not in getattr(self, name):
                    raise BadValue(f"{name} has no value for {arch}{nearest(arch, getattr(self, name))}")
            m, candidates = dial(self, "m", arch), dial(self, "candidates", arch)
            require(m <= candidates, "m", m, f"at most {candidates}, the number of candidates that are scored")
            require(self.k <= m, "k", self.k, f"at most m, {m}: the k are chosen from these")
            for smaller in self.ms:
                inside = max(1, self.k) <= smaller <= m
                require(inside, "ms", smaller, f"from k to m, {max(1, self.k)} to {m}")
        require(not self.encoders or self.sampled > 0, "sampled", self.sampled, "at least 2 where encoders are compared")
        require(self.sampled != 1, "sampled", 1, "0, or at least 2 to compare")
        require(bool(self.shares) or self.free or not self.sampled, "shares", self.shares, "at least one, or free be given")
        require(not self.full or self.k > 0, "k", self.k, "at least 1 where full is given")
        require(not self.ms or self.full > 0, "full", self.full, "at least 1 where ms are given")
        if AS_COSTLY in self.searches:
            require(self.first is not None, "searches", self.searches, f"one by an encoder beside {AS_COSTLY!r}")
        return self

    @classmethod
    def inherited(cls, run: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """With other architectures, what the run says of its own ones alone is left out, and the defaults count."""
        kept = dict(run)
        chosen = listed(given["arch"]) if "arch" in given else []
        for name in DIALS if chosen else ():
            if isinstance(kept.get(name), dict):
                kept[name] = {arch: value for arch, value in kept[name].items() if arch in chosen}
                if not set(chosen) <= set(kept[name]):
                    del kept[name]
        return kept

    @property
    def first(self) -> str | None:
        """The first search by an encoder: the one that random candidates are to cost as much as."""
        return next((name for name in self.searches if name in ENCODERS), None)

    @property
    def trained(self) -> bool:
        """Whether the run needs trained networks, rather than their shapes alone."""
        return bool(self.sampled or self.searches)

    @property
    def learns(self) -> bool:
        """Whether the run has encoders that learn by contrast."""
        names = [name for name in (*self.encoders, *self.searches) if name in ENCODERS and name != SUPERVISED]
        return any(ENCODERS[name].get("epochs", self.learning) > 0 for name in names)

    @property
    def repeated(self) -> str:
        """What the run repeats, in words."""
        if not self.trained:
            return "nothing is trained or chosen, so there is nothing to repeat"
        given = [arch for arch in self.arch if arch in self.weights]
        network = ", with one trained network" if given else ", and initial weights of the network"
        return f"seeds (encoder, candidates, batches{network}): {self.seeds}"


class Case(NamedTuple):
    """One of a run's repeated cases."""

    dataset: str
    arch: str
    seed: int


def dial(p: Parameters, name: str, arch: str) -> Any:
    """The value of a parameter that may be given by architecture."""
    value = getattr(p, name)
    return value[arch] if isinstance(value, dict) else value


def cases(p: Parameters) -> list[Case]:
    """Every dataset, architecture and repetition of the run."""
    return [Case(*case) for case in product(p.dataset, p.arch, range(p.seeds))]


def baseline(p: Parameters, case: Case) -> Trial:
    """The network before pruning. Foreign weights are the same whatever the seed."""
    params: dict[str, Any] = {"dataset": case.dataset, "size": p.size, "arch": case.arch, "normalise": p.normalise}
    params["options"] = p.options.get(case.arch, {})
    if case.arch in p.weights:
        return Trial("baseline", params | {"weights": p.weights[case.arch]})
    fit = {"epochs": p.epochs, "lr": p.lr, "schedule": p.schedule, "step_every": p.step_every}
    return Trial("baseline", params | {"fit": {**fit, "batch_size": p.batch_size, "pad": p.pad, "seed": case.seed}})


def encoder(p: Parameters, case: Case, name: str) -> dict[str, Any]:
    """An encoder of `ENCODERS`, as a parameter of the tasks that use one."""
    network = baseline(p, case).params
    if name == SUPERVISED:
        learnt = {"baseline": network, "n": p.supervised, "recalibrate": p.recalibrate, "test": False}
        sample = {**learnt, "tau": dial(p, "tau", case.arch), "seed": LEARNT_APART + case.seed}
        return {"kind": "regression", "sample": sample, "epochs": 10 * p.learning, "seed": case.seed}
    settings = {"configurations": dial(p, "configurations", case.arch), "epochs": p.learning}
    settings |= {"temperature": p.temperature, "seed": case.seed}
    return {"kind": "contrast", "baseline": network, **settings, **ENCODERS[name]}


def search(p: Parameters, case: Case, name: str) -> dict[str, Any]:
    """A search of `SEARCHES`, as a parameter of the tasks that use one."""
    params = {"baseline": baseline(p, case).params, "tau": dial(p, "tau", case.arch), "m": dial(p, "m", case.arch)}
    params |= {"seed": case.seed}
    if name == AS_COSTLY:
        assert p.first is not None
        return params | {"like": search(p, case, p.first)}
    if name == RANDOM:
        return params
    return params | {"encoder": encoder(p, case, name), "candidates": dial(p, "candidates", case.arch)}


def tuned(p: Parameters, case: Case, epochs: int, lr: float) -> dict[str, Any] | None:
    """A fine-tuning, as a parameter of the tasks that have one; none for no epochs."""
    if not epochs:
        return None
    fit = {"epochs": epochs, "lr": lr, "schedule": p.finetune_schedule, "batch_size": p.batch_size, "pad": p.pad}
    return {**fit, "seed": case.seed}


def samples_of(p: Parameters, case: Case) -> list[dict[str, Any]]:
    """The samples of a case on which scores are compared, as a parameter of the tasks that use one."""
    if not p.sampled:
        return []
    common = {"baseline": baseline(p, case).params, "n": p.sampled, "recalibrate": p.recalibrate, "seed": case.seed}
    found = [{**common, "removed": share, "tolerance": p.tolerance} for share in p.shares]
    return found + ([{**common, "tau": dial(p, "tau", case.arch)}] if p.free else [])


def baselines(p: Parameters) -> list[Trial]:
    return [baseline(p, case) for case in cases(p)] if p.trained else []


def learnt(p: Parameters) -> list[Trial]:
    """The encoders that learn by contrast, or not at all."""
    names = dict.fromkeys([*p.encoders, *(name for name in p.searches if name in ENCODERS)])
    found = product(cases(p), (name for name in names if name != SUPERVISED))
    return [Trial("learn", encoder(p, case, name)) for case, name in found]


def samples(p: Parameters) -> list[Trial]:
    """The random candidates, measured without fine-tuning."""
    return [Trial("sample", sample) for case in cases(p) for sample in samples_of(p, case)]


def regressions(p: Parameters) -> list[Trial]:
    """SACP-1's encoders, each behind the candidates that it learns from."""
    if SUPERVISED not in (*p.encoders, *p.searches):
        return []
    encoders = [encoder(p, case, SUPERVISED) for case in cases(p)]
    return [trial for one in encoders for trial in (Trial("sample", one["sample"]), Trial("regress", one))]


def scores(p: Parameters) -> list[Trial]:
    """What each encoder makes of each sample."""
    return [
        Trial("score", {"encoder": encoder(p, case, name), "of": sample})
        for case in cases(p)
        for sample, name in product(samples_of(p, case), p.encoders)
    ]


def searches(p: Parameters) -> list[Trial]:
    return [Trial("search", search(p, case, name)) for case, name in product(cases(p), p.searches)]


def light(p: Parameters) -> list[Trial]:
    """The m best of every search, built and fine-tuned lightly."""
    return [
        Trial("candidate", {**_selection(p, case, name), "place": place, "finetune": tuned(p, case, p.light, p.light_lr)})
        for case, name in product(cases(p), p.searches)
        for place in range(dial(p, "m", case.arch))
    ]


def finals(p: Parameters) -> list[Trial]:
    """The k best of these on the validation split, trained in full; and those of a smaller m."""
    if not p.full:
        return []
    return [
        Trial("final", {**_selection(p, case, name), "light": tuned(p, case, p.light, p.light_lr), "first": first,
                        "rank": rank, "finetune": tuned(p, case, p.full, p.full_lr)})
        for case, name in product(cases(p), p.searches)
        for first in dict.fromkeys([*p.ms, dial(p, "m", case.arch)])
        for rank in range(p.k)
    ]  # fmt: skip


def _selection(p: Parameters, case: Case, name: str) -> dict[str, Any]:
    return {"search": search(p, case, name), "recalibrate": p.recalibrate}


def light_scores(p: Parameters) -> list[Trial]:
    """What each encoder that searches makes of the random search's candidates, which are fine-tuned lightly."""
    if RANDOM not in p.searches:
        return []
    names = [name for name in p.searches if name in ENCODERS]
    return [
        Trial("score", {"encoder": encoder(p, case, name), "of": search(p, case, RANDOM)})
        for case, name in product(cases(p), names)
    ]


def chances(p: Parameters) -> list[Trial]:
    """What candidates cost, whoever chose them."""
    if not p.chance:
        return []
    return [
        Trial("chance", {"dataset": dataset, "size": p.size, "arch": arch, "options": p.options.get(arch, {}),
                         "tau": dial(p, "tau", arch), "n": p.chance})
        for dataset, arch in product(p.dataset, p.arch)
    ]  # fmt: skip


def parts(p: Parameters) -> dict[str, list[Trial]]:
    """The trials of each part of the run, in the order in which they are computed; parts may share some."""
    parts = (baselines, chances, learnt, samples, regressions, scores, searches, light_scores, light, finals)
    return {part.__name__: part(p) for part in parts}


def trials(p: Parameters) -> list[Trial]:
    return list(dict.fromkeys(trial for part in parts(p).values() for trial in part))


def differences(p: Parameters) -> list[str]:
    """In what this run is not the paper's experiment, one sentence each."""
    found = [sentence for arch in p.arch for sentence in _differences_of(p, arch)]
    if p.trained:
        found.append(
            "The graph convolutions have two layers (256, then 128 wide), ReLU, self-loops and symmetric normalisation, and "
            "the mean over nodes; the paper says none of this."
        )
        found.append(
            f"Temperature {p.temperature:g}, Adam at 1e-3, batches of 32, one negative for each anchor beside the batch's; "
            "of these the paper has the batch."
        )
    if p.trained or p.chance:
        found.append("Layers that are coupled share one ratio; the paper does not say how it treats them.")
    if p.searches:
        for name, epochs, lr in (("Light fine-tuning", p.light, p.light_lr), ("Full training", p.full, p.full_lr)):
            length = f"{epochs} epoch{'s' * (epochs != 1)}"
            how = f"{length} of SGD from {lr:g}, schedule {p.finetune_schedule}" if epochs else "none"
            found.append(f"{name}: {how}; the paper does not say how long, nor at what rate.")
        found.append(
            "The k and the winner are chosen on a validation split of a tenth of the training images (a fifth for digits); "
            "the paper chooses on the test set, which stands beside ours."
        )
    if [name for name in p.dataset if name != "cifar10"]:
        found.append(f"Data: {', '.join(p.dataset)}; the paper's numbers are on CIFAR-10.")
    return found


def _differences_of(p: Parameters, arch: str) -> list[str]:
    if arch not in PAPER:
        return [f"{arch}: the paper has no such network."]
    found = []
    if p.options.get(arch, {}).get("width", 1) != 1:
        found.append(f"{arch}: narrower than the paper's.")
    if arch == "resnet56" and p.options.get(arch, {}).get("shortcut") != "B":
        found.append(f"{arch}: its cost in the paper is that of projections in the shortcuts (option B); ours has none.")
    words = {"tau": "tau", "configurations": "configurations to learn from", "candidates": "candidates", "m": "for m"}
    for name, what in words.items():
        ours, theirs = dial(p, name, arch), PAPER[arch][name]
        if ours != theirs and (name in ("tau",) or p.searches or (name == "configurations" and p.encoders)):
            found.append(f"{arch}: {ours:,} {what}; the paper: {theirs:,}." if name != "tau" else
                         f"{arch}: tau {ours:g}; the paper: {theirs:g}.")  # fmt: skip
    if p.full and p.k != PAPER[arch]["k"]:
        found.append(f"{arch}: {p.k} networks trained in full; the paper: {PAPER[arch]['k']}.")
    return found


def _whole(value: Any) -> Any:
    """A number such as 1e6, or its text, as a whole number; anything else as it is."""
    try:
        return int(float(value)) if not isinstance(value, bool) and float(value).is_integer() else value
    except (TypeError, ValueError, OverflowError):
        return value


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else [value]
