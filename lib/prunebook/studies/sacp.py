"""SACP: what its notebook can be asked for, and the trials that this takes."""

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator, model_validator

from prunebook import models
from prunebook.errors import BadValue, nearest, require, short
from prunebook.studies.parameters import NetworkParameters, Schedule, known, listed, shares_of_macs, tables_of
from prunebook.trials import Trial
from prunebook.trials.tasks import Fit

ENCODERS: dict[str, dict[str, Any]] = {  # what a score can come from, as parameters of the task that trains it
    "infonce": {},
    "infonce (anchor original)": {"anchor": "original"},
    "as printed": {"loss": "as-printed"},
    "as printed (anchor original)": {"loss": "as-printed", "anchor": "original"},
    "untrained": {"epochs": 0},
    "no edges": {"edges": "none"},
    "shuffled edges": {"edges": "shuffled"},
    "random order": {"positives": "random"},  # learns an order of channels that means nothing, as it does L1's
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
COUNTS = ("configurations", "candidates", "m", "sampled", "supervised")
LISTS = ("encoders", "searches")
MOST_TRAININGS = 100_000  # of candidates, in one run: the list of more takes minutes and all memory
DIALS = ("tau", *COUNTS, *LISTS)  # may be given by architecture, as options and weights are
LEARNT_APART = 10_000  # added to a seed: candidates that an encoder learns from are not those that it is judged by
AGAIN = 1000  # added to an encoder's seed for each time that it learns again


class Parameters(NetworkParameters):
    """Parameters of the SACP notebook."""

    pad: int = Field(4, ge=0, le=64, description="pixels of padding for random crops; 0: no crops")
    seeds: int = Field(1, ge=1, le=100, description="repetitions of everything drawn: encoder, candidates, batches")
    chosen_on: Literal["val", "half of test"] = Field(
        "val", description="images that choose, val or half of test; of the test split, the other half then reports"
    )
    tau: float | dict[str, float] = Field(
        0.3, description="least share of the channels to remove, R(r) of Eq. 4; or by architecture"
    )
    configurations: int | dict[str, int] = Field(
        10_000, description="that an encoder learns from, the paper's N; or by architecture"
    )
    learning: int = Field(10, ge=1, le=1000, description="epochs of training an encoder")
    temperature: float = Field(0.5, gt=0, le=100, description="of the contrastive losses")
    encoders: list[str] | dict[str, list[str]] = Field(
        [], description=f"whose scores to compare: {', '.join(ENCODERS)}; or by architecture"
    )
    again: int = Field(0, ge=0, le=9, description="further seeds that each of these learns by, to see what a seed changes")
    crowd: int = Field(99, ge=0, le=10_000, description="encoders with random weights that a score has to stand out from")
    sampled: int | dict[str, int] = Field(
        0, description="random candidates to measure, and to compare scores on; 0: none; or by architecture"
    )
    shares: list[float] = Field([0.5], description="of the MACs that these remove: a sample for each")
    free: bool = Field(False, description="one more sample at tau, of whatever cost")
    tolerance: float = Field(0.01, gt=0, le=0.5, description="of shares")
    supervised: int | dict[str, int] = Field(
        100, description="measured candidates that sacp-1 learns from; or by architecture"
    )
    searches: list[str] | dict[str, list[str]] = Field(
        [], description=f"whose best to build: {', '.join(SEARCHES)}; or by architecture"
    )
    candidates: int | dict[str, int] = Field(1_000_000, description="that a search scores; or by architecture")
    m: int | dict[str, int] = Field(
        150, description="candidates of each search that are fine-tuned lightly; or by architecture"
    )
    k: int = Field(10, ge=0, le=1000, description="of these, trained in full: the best by validation accuracy")
    light: int = Field(0, ge=0, le=1000, description="epochs of light fine-tuning; 0: batch norm is recalibrated, no more")
    light_images: int | None = Field(None, ge=2, description="training images of light fine-tuning; default: all")
    light_lr: float = Field(0.01, gt=0, le=10, description="of light fine-tuning, at the start")
    full: int = Field(0, ge=0, le=1000, description="epochs of full training of the k; 0: none")
    full_lr: float = Field(0.01, gt=0, le=10, description="of full training, at the start")
    finetune_schedule: Schedule = Field("cosine", description="of light and full training")
    recalibrate: int = Field(1000, ge=2, description="training images for batch-norm statistics")
    ms: list[int] = Field([], description="smaller m to choose the k from and train them in full (Figure 2)")
    chance: int = Field(0, ge=0, le=10_000_000, description="random candidates whose cost is counted; 0: none")
    drawing: bool = Field(False, description="draw the network's graph")
    tables: list[int] = Field([], description="tables of the paper to show ours beside: 3, 4")

    _as_list = field_validator("shares", "ms", "tables", mode="before")(listed)
    _as_lists = field_validator(*LISTS, mode="before")(lambda value: _each(value, listed))

    _known_encoders = field_validator("encoders")(lambda value: _each(value, known("encoders", ENCODERS)))
    _known_searches = field_validator("searches")(lambda value: _each(value, known("searches", SEARCHES)))

    _are_shares = field_validator("shares")(shares_of_macs("shares"))
    _are_tables = field_validator("tables")(tables_of("paper", 3, 4))

    @field_validator("tau", *COUNTS, mode="before")
    @classmethod
    def _are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        whole = info.field_name != "tau"
        number = TypeAdapter(int if whole else float, config=ConfigDict(allow_inf_nan=False))
        for one in _values(value):
            try:
                number.validate_python(one)
            except ValidationError:
                kind = "a whole number" if whole else "a number"
                raise BadValue(
                    f"{info.field_name} is {short(one)}, but must be {kind}, or one for each architecture"
                ) from None
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

    @field_validator("crowd")
    @classmethod
    def _is_a_crowd(cls, value: int) -> int:
        require(value == 0 or value >= 39, "crowd", value, "0, or at least 39: of fewer, none stands out at 2.5 %")
        return value

    @field_validator(*COUNTS, mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        """1e6 is a million, which YAML takes for text."""
        return _each(value, _whole)

    @field_validator(*COUNTS)
    @classmethod
    def _are_counts(cls, value: int | dict[str, int], info: ValidationInfo) -> int | dict[str, int]:
        least = {"configurations": 2, "supervised": 2, "sampled": 0}.get(str(info.field_name), 1)
        for number in _values(value):
            require(number >= least, str(info.field_name), number, f"a whole number of at least {least}")
            require(number != 1 or info.field_name != "sampled", "sampled", 1, "0, or at least 2 to compare")
        return value

    @model_validator(mode="after")
    def _belong_together(self) -> "Parameters":
        self.check_names(["options", "weights", *(name for name in DIALS if isinstance(getattr(self, name), dict))])
        self.check_schedule("schedule", "step_every")
        require(self.finetune_schedule != "step", "finetune_schedule", "step", "one-cycle, cosine or constant")
        for arch in self.arch:
            models.check(arch, self.options.get(arch, {}))
            for name in DIALS:
                if isinstance(getattr(self, name), dict) and arch not in getattr(self, name):
                    raise BadValue(f"{name} has no value for {arch}{nearest(arch, getattr(self, name))}")
            searches, sampled, compared = (dial(self, name, arch) for name in ("searches", "sampled", "encoders"))
            require(not compared or sampled > 0, "sampled", sampled, "at least 2 where encoders are compared")
            if AS_COSTLY in searches:
                require(first(searches) is not None, "searches", searches, f"one by an encoder beside {AS_COSTLY!r}")
            m, candidates = dial(self, "m", arch), dial(self, "candidates", arch)
            require(m <= candidates, "m", m, f"at most {candidates}, the number of candidates that are scored")
            require(self.k <= m, "k", self.k, f"at most m, {m}: the k are chosen from these")
            for smaller in self.ms:
                inside = max(1, self.k) <= smaller <= m
                require(inside, "ms", smaller, f"from k to m, {max(1, self.k)} to {m}")
        trained = self.seeds * len(self.dataset) * sum(self._trainings_of(arch) for arch in self.arch)
        few = f"so small that no more than {MOST_TRAININGS:,} candidates are trained in all, not {trained:,}"
        require(trained <= MOST_TRAININGS, "m", self.m, few)
        drawn = bool(self.shares) or self.free or not self.has_samples
        require(drawn, "shares", self.shares, "at least one, or free be given")
        require(not self.full or self.k > 0, "k", self.k, "at least 1 where full is given")
        require(not self.ms or self.full > 0, "full", self.full, "at least 1 where ms are given")
        return self

    @classmethod
    def inherited(cls, run: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """With other architectures, what the run says of its own ones alone is left out, and the defaults count."""
        kept = dict(run)
        chosen = listed(given["arch"]) if "arch" in given else []
        for name in DIALS if chosen else ():
            if isinstance(kept.get(name), dict):
                kept[name] = {arch: value for arch, value in kept[name].items() if arch in chosen}
                if not all(arch in list(kept[name]) for arch in chosen):  # a list, as what is no name may have no hash
                    del kept[name]
        return kept

    def _trainings_of(self, arch: str) -> int:
        """Of one network's searches: each of the m lightly, and the k in full, once more for every smaller m."""
        return len(dial(self, "searches", arch)) * (dial(self, "m", arch) + self.k * (1 + len(self.ms)))

    @property
    def has_samples(self) -> bool:
        return any(dial(self, "sampled", arch) for arch in self.arch)

    @property
    def has_searches(self) -> bool:
        return any(dial(self, "searches", arch) for arch in self.arch)

    @property
    def trained(self) -> bool:
        """Whether the run needs trained networks, rather than their shapes alone."""
        return self.has_samples or self.has_searches

    @property
    def learns(self) -> bool:
        """Whether the run has encoders that learn by contrast."""
        return any(by_contrast(name) for arch in self.arch for name in scoring(self, arch))

    @property
    def repeated(self) -> str:
        """What the run repeats, in words."""
        if not self.trained:
            return "nothing is trained or chosen, so there is nothing to repeat"
        given = [arch for arch in self.arch if arch in self.weights]
        network = ", with one trained network" if given else ", and initial weights of the network"
        again = f"; encoders that are compared, once more each time: {self.again}" if self.again else ""
        return f"seeds (encoder, candidates, batches{network}): {self.seeds}{again}"


class Case(NamedTuple):
    """One of a run's repeated cases."""

    dataset: str
    arch: str
    seed: int


def dial(p: Parameters, name: str, arch: str) -> Any:
    """The value of a parameter that may be given by architecture."""
    value = getattr(p, name)
    return value[arch] if isinstance(value, dict) else value


def by_contrast(name: str) -> bool:
    """Whether an encoder of this name learns by contrast, rather than from accuracies or not at all."""
    return name != SUPERVISED and ENCODERS[name].get("epochs", 1) > 0


def first(searches: Iterable[str]) -> str | None:
    """The first search by an encoder: the one that random candidates are to cost as much as."""
    return next((name for name in searches if name in ENCODERS), None)


def scoring(p: Parameters, arch: str) -> list[str]:
    """All encoders of an architecture, those that are compared and those that search."""
    searching = (name for name in dial(p, "searches", arch) if name in ENCODERS)
    return list(dict.fromkeys([*dial(p, "encoders", arch), *searching]))


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


def encoder(p: Parameters, case: Case, name: str, again: int = 0) -> dict[str, Any]:
    """An encoder of `ENCODERS`, as a parameter of the tasks that use one; by the same seed, or by one of `again`."""
    network, seed = baseline(p, case).params, case.seed + AGAIN * again
    if name == SUPERVISED:
        learnt = {"baseline": network, "n": dial(p, "supervised", case.arch), "tau": dial(p, "tau", case.arch)}
        learnt |= {"recalibrate": p.recalibrate, "chosen_on": p.chosen_on, "split": "val"}
        sample = {**learnt, "seed": LEARNT_APART + _draw(p, case)}
        return {"kind": "regression", "sample": sample, "epochs": 10 * p.learning, "seed": seed}
    settings = {"configurations": dial(p, "configurations", case.arch), "epochs": p.learning}
    settings |= {"temperature": p.temperature, "seed": seed}
    return {"kind": "contrast", "baseline": network, **settings, **ENCODERS[name]}


def encoders(p: Parameters, case: Case, names: Iterable[str]) -> list[dict[str, Any]]:
    """Those that are compared, of these names: each as often as it learns, one with random weights once."""
    return [
        encoder(p, case, name, again)
        for name in names
        for again in range(1 + p.again if ENCODERS[name].get("epochs", 1) else 1)
    ]


def _draw(p: Parameters, case: Case) -> int:
    """The seed of samples. Of foreign weights there is one network, whose sample is the same for all encoders."""
    return 0 if case.arch in p.weights else case.seed


def search(p: Parameters, case: Case, name: str) -> dict[str, Any]:
    """A search of `SEARCHES`, as a parameter of the tasks that use one."""
    params = {"baseline": baseline(p, case).params, "tau": dial(p, "tau", case.arch), "m": dial(p, "m", case.arch)}
    params |= {"seed": case.seed}
    if name == AS_COSTLY:
        like = first(dial(p, "searches", case.arch))
        assert like is not None
        return params | {"like": search(p, case, like)}
    if name == RANDOM:
        return params
    return params | {"encoder": encoder(p, case, name), "candidates": dial(p, "candidates", case.arch)}


def tuned(p: Parameters, case: Case, epochs: int, lr: float, images: int | None = None) -> dict[str, Any] | None:
    """A fine-tuning, as a parameter of the tasks that have one; none for no epochs."""
    if not epochs:
        return None
    fit = {"epochs": epochs, "lr": lr, "schedule": p.finetune_schedule, "batch_size": p.batch_size, "pad": p.pad}
    return {**fit, "images": images, "seed": case.seed}


def samples_of(p: Parameters, case: Case) -> list[dict[str, Any]]:
    """The samples of a case on which scores are compared, as a parameter of the tasks that use one."""
    n = dial(p, "sampled", case.arch)
    if not n:
        return []
    common = {"baseline": baseline(p, case).params, "n": n, "recalibrate": p.recalibrate, "chosen_on": p.chosen_on}
    common |= {"seed": _draw(p, case)}
    found = [{**common, "removed": share, "tolerance": p.tolerance} for share in p.shares]
    return found + ([{**common, "tau": dial(p, "tau", case.arch)}] if p.free else [])


def baselines(p: Parameters) -> list[Trial]:
    return [baseline(p, case) for case in cases(p)] if p.trained else []


def unpruned(p: Parameters) -> list[Trial]:
    """The networks before pruning on the images that choose and report, where these are not their own splits."""
    if p.chosen_on == "val" or not p.has_searches:
        return []
    return [Trial("unpruned", {"baseline": baseline(p, case).params, "chosen_on": p.chosen_on}) for case in cases(p)]


def learnt(p: Parameters) -> list[Trial]:
    """The encoders that learn by contrast, or not at all; those that are compared also by further seeds."""
    found = []
    for case in cases(p):
        compared = [name for name in dial(p, "encoders", case.arch) if name != SUPERVISED]
        others = [name for name in scoring(p, case.arch) if name not in (*compared, SUPERVISED)]
        found += [*encoders(p, case, compared), *(encoder(p, case, name) for name in others)]
    return [Trial("learn", one) for one in found]


def triads(p: Parameters) -> list[Trial]:
    """What encoders with random weights make of the triads that those are judged by which learn by contrast."""
    if not p.crowd:
        return []
    found = []
    for case in cases(p):
        kinds = [ENCODERS[name] for name in scoring(p, case.arch) if by_contrast(name)]
        made = dict.fromkeys((one.get("anchor", "first"), one.get("positives", "l1")) for one in kinds)
        common = {"baseline": baseline(p, case).params, "encoders": p.crowd, "seed": _draw(p, case)}
        found += [{**common, "anchor": anchor, "positives": positives} for anchor, positives in made]
    return [Trial("triads", one) for one in found]


def samples(p: Parameters) -> list[Trial]:
    """The random candidates, measured without fine-tuning."""
    return [Trial("sample", sample) for case in cases(p) for sample in samples_of(p, case)]


def regressions(p: Parameters) -> list[Trial]:
    """SACP-1's encoders, each behind the candidates that it learns from."""
    found = []
    for case in cases(p):
        if SUPERVISED in dial(p, "encoders", case.arch):
            found += encoders(p, case, [SUPERVISED])
        elif SUPERVISED in dial(p, "searches", case.arch):
            found.append(encoder(p, case, SUPERVISED))
    return [trial for one in found for trial in (Trial("sample", one["sample"]), Trial("regress", one))]


def scores(p: Parameters) -> list[Trial]:
    """What each encoder makes of each sample."""
    return [
        Trial("score", {"encoder": one, "of": sample})
        for case in cases(p)
        for sample, one in product(samples_of(p, case), encoders(p, case, dial(p, "encoders", case.arch)))
    ]


def searches(p: Parameters) -> list[Trial]:
    return [Trial("search", search(p, case, name)) for case, name in _searching(p)]


def _searching(p: Parameters) -> list[tuple[Case, str]]:
    return [(case, name) for case in cases(p) for name in dial(p, "searches", case.arch)]


def light(p: Parameters) -> list[Trial]:
    """The m best of every search, built and fine-tuned lightly."""
    return [
        best.varied(place=place)
        for case, name in _searching(p)
        for best in [Trial("candidate", {**_selection(p, case, name), "place": 0, "finetune": _lightly(p, case)})]
        for place in range(dial(p, "m", case.arch))
    ]


def _lightly(p: Parameters, case: Case) -> dict[str, Any] | None:
    return tuned(p, case, p.light, p.light_lr, p.light_images)


def finals(p: Parameters) -> list[Trial]:
    """The k best of these on the validation split, trained in full; and those of a smaller m."""
    if not p.full:
        return []
    return [
        best.varied(first=first, rank=rank)
        for case, name in _searching(p)
        for best in [_best(p, case, name)]
        for first in dict.fromkeys([*p.ms, dial(p, "m", case.arch)])
        for rank in range(p.k)
    ]


def _best(p: Parameters, case: Case, name: str) -> Trial:
    """The best of a search's m candidates, trained in full."""
    chosen = {**_selection(p, case, name), "light": _lightly(p, case), "first": dial(p, "m", case.arch), "rank": 0}
    return Trial("final", {**chosen, "finetune": tuned(p, case, p.full, p.full_lr)})


def _selection(p: Parameters, case: Case, name: str) -> dict[str, Any]:
    return {"search": search(p, case, name), "recalibrate": p.recalibrate, "chosen_on": p.chosen_on}


def light_scores(p: Parameters) -> list[Trial]:
    """What each encoder that searches makes of the random search's candidates, which are fine-tuned lightly."""
    return [
        Trial("score", {"encoder": encoder(p, case, name), "of": search(p, case, RANDOM)})
        for case, name in _searching(p)
        if name in ENCODERS and RANDOM in dial(p, "searches", case.arch)
    ]


def crowds(p: Parameters) -> list[Trial]:
    """How encoders with random weights order the candidates of which scores are compared."""
    if not p.crowd:
        return []
    drawn = [sample for case in cases(p) if dial(p, "encoders", case.arch) for sample in samples_of(p, case)]
    drawn += [trial.params["of"] for trial in light_scores(p)]
    return [Trial("crowd", {"of": of, "encoders": p.crowd}) for of in drawn]


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
    parts = (baselines, unpruned, chances, learnt, triads, samples, regressions, scores, searches, light_scores, crowds,
             light, finals)  # fmt: skip
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
    if p.learns:
        found.append(
            "The anchor keeps the first channels by number, unless the encoder's name says otherwise; the paper takes one "
            "from its training set."
        )
    if p.trained or p.chance:
        found.append("Layers that are coupled share one ratio; the paper does not say how it treats them.")
    searching = {name for arch in p.arch for name in dial(p, "searches", arch) if name in ENCODERS and by_contrast(name)}
    if searching and not any(name.startswith("as printed") for name in searching):
        found.append("All searches by contrast are by a repaired loss (infonce); none is by Eq. 6 to 8 as printed.")
    if p.has_searches:
        found += [_length("Light fine-tuning", _lightly(p, cases(p)[0]), p), _length("Full training", _fully(p), p)]
        found += [*choice(p), "The paper chooses on the test set, which stands beside our choice."]
    if [name for name in p.dataset if name != "cifar10"]:
        found.append(f"Data: {', '.join(p.dataset)}; the paper's numbers are on CIFAR-10.")
    return found


def _length(what: str, fit: dict[str, Any] | None, p: Parameters) -> str:
    how = f"{Fit(**fit).length} of SGD from {fit['lr']:g}, schedule {p.finetune_schedule}" if fit else "none"
    return f"{what}: {how}; the paper does not say how long, nor at what rate."


def _fully(p: Parameters) -> dict[str, Any] | None:
    return tuned(p, cases(p)[0], p.full, p.full_lr)


def choice(p: Parameters) -> list[str]:
    """On which images a run chooses the k and the winner, and what a network from elsewhere may have seen of them."""
    given = [arch for arch in p.arch if arch in p.weights]
    split = "a validation split of a tenth of the training images (a fifth for digits)"
    if p.chosen_on != "val":
        split = 'one half of the test split, drawn by class; "test" is the other half'
    sentences = [f"The k and the winner are chosen on {split}."]
    if given:
        seen = (
            f"The weights of {', '.join(given)} are others' work. Where they have trained on all official training images, "
        )
        seen += "the network has seen those of our validation split: "
        optimistic = (
            "a choice by these is then optimistic, as if made on training images (chosen_on = half of test avoids it)."
        )
        sentences.append(seen + (optimistic if p.chosen_on == "val" else "that is why they do not choose."))
    return sentences


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
        asked = {"tau": True, "configurations": p.learns}.get(name, p.has_searches)
        if ours != theirs and asked:
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


def _each(value: Any, function: Callable[[Any], Any]) -> Any:
    """The function of a value, or of that of each architecture."""
    return {arch: function(one) for arch, one in value.items()} if isinstance(value, dict) else function(value)
