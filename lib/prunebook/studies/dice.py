"""Sørensen-Dice pruning: what its notebook can be asked for, and the trials that this takes."""

from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from pydantic import Field, ValidationInfo, field_validator, model_validator

from prunebook import data, models
from prunebook.errors import choose, require
from prunebook.methods.baselines import CRITERIA
from prunebook.studies.parameters import NetworkParameters, Schedule, known, listed, shares_of_macs, tables_of, within
from prunebook.trials import Trial

if TYPE_CHECKING:
    from prunebook.notebooks import Notebook

METHODS = ("dice", *CRITERIA)
GROWING = "growing_reg"
VARIANTS: dict[str, dict[str, Any]] = {  # other readings of what the thesis leaves open, as parameters of its decision
    "as in this book": {},
    "greedy": {"mode": "greedy"},
    "high end only": {"ends": "high"},
    "low end only": {"ends": "low"},
    "middle only (control)": {"ends": "middle"},
    "greedy, high end only": {"mode": "greedy", "ends": "high"},
    "divided by max(w)": {"norm": "max"},
    "not rescaled": {"rescale": "none"},
    "signs apart": {"rescale": "parts"},
    "signs apart, high end only": {"rescale": "parts", "ends": "high"},
    "activations": {"of": "activations"},
    "activations, high end only": {"of": "activations", "ends": "high"},
    "activations, signs apart, high end only": {"of": "activations", "rescale": "parts", "ends": "high"},
}
TRAINABLE = ("all", "linear", "head")
BY_ARCH = ("options", "weights", "pretrained")


class Candidate(NamedTuple):
    """A network to start from on another task: where and how long it was trained, or the file that it is."""

    dataset: str
    arch: str
    epochs: int
    seed: int


CANDIDATE = "[dataset, arch, epochs from 1, seed from 0]"


class Parameters(NetworkParameters):
    """Parameters of the Sørensen-Dice notebook."""

    arch: list[str] = Field(["dice_cnn"], min_length=1, description="one architecture or a list of them")
    pretrained: dict[str, str] = Field({}, description="weights to start from by architecture: a file, or torchvision:NAME")
    epochs: int = Field(20, ge=1, le=1000, description="of training a baseline")
    lr: float = Field(0.01, gt=0, le=10, description="of training and fine-tuning, at the start")
    schedule: Schedule = Field("step", description="of training and fine-tuning")
    step_every: int | None = Field(7, ge=1, description="epochs after which schedule step divides the rate by 10")
    batch_size: int = Field(32, ge=2, le=8192, description="of training and fine-tuning")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="of training and fine-tuning")
    weight_decay: float = Field(1e-5, ge=0, le=1, description="of training and fine-tuning")
    pad: int = Field(0, ge=0, le=64, description="pixels of padding for random crops; 0: no crops")
    rotate: float = Field(15, ge=0, le=180, description="degrees of random rotation, either way")
    seeds: int = Field(1, ge=1, le=100, description="repetitions with other initial weights, batches and draws")
    first_seed: int = Field(0, ge=0, le=2**31, description="seed of the first repetition; those after it count up")
    seeds_of: dict[str, int] = Field({}, description="other numbers of repetitions by dataset, such as {mnist: 1}")
    methods: list[str] = Field(["dice", "l1", "random"], min_length=1, description=f"to compare: {', '.join(METHODS)}")
    targets: list[float] = Field(
        [], description="shares of the MACs to remove from convolutions, the same for all (Table 3)"
    )
    ratios: list[float] = Field([], description="shares of the filters to remove as the thesis does it (Table 2)")
    curve: list[float] = Field([], description="shares of the filters to remove without fine-tuning (Figure 2)")
    finetune: int = Field(0, ge=0, le=1000, description="epochs of fine-tuning of every pruned network; 0: none")
    regularised: int = Field(0, ge=0, le=1000, description=f"of these, how many {GROWING} spends before the cut")
    regularised_lr: float = Field(1e-3, gt=0, le=10, description=f"constant learning rate of these epochs of {GROWING}")
    recalibrate: int = Field(
        1000, ge=2, description="training images for batch-norm statistics (not where ratios are given)"
    )
    images: int = Field(100, ge=1, le=100_000, description="training images that activations and gradients are taken from")
    variants: list[str] = Field([], description=f"other readings to try: {'; '.join(map(repr, VARIANTS))}")
    quantiles: list[list[float]] = Field([], description="pairs [alpha, beta] to try")
    quantiles_ratio: float = Field(
        0.25, gt=0, lt=1, description="limiter beside quantiles: share of the filters that may go"
    )
    variants_finetune: int = Field(0, ge=0, le=1000, description="epochs of fine-tuning of variants and quantiles; 0: none")
    tunings: list[str] = Field(
        [], description=f"what to fine-tune: {', '.join(TRAINABLE)}; each with and without recalibration"
    )
    control: bool = Field(False, description="give the unpruned network the epochs of fine-tuning as well")
    drops: list[float] = Field([], description="points of validation accuracy to lose before removal stops (section 3.2)")
    profiles: bool = Field(False, description="show the similarities of every layer, and which filters are dead")
    speed: bool = Field(False, description="measure latency before and after pruning to the targets")
    transfer_to: str | None = Field(None, description="dataset on which candidates are fine-tuned")
    candidates: list[Candidate] = Field([], description="networks to choose from, each [dataset, arch, epochs, seed]")
    transfer_epochs: int = Field(2, ge=1, le=1000, description="of fine-tuning candidates")
    transfer_lr: float = Field(1e-3, gt=0, le=10, description="of fine-tuning candidates")
    tables: list[int] = Field([], description="tables of the thesis to show ours beside: 2, 3")
    beside: list[str] = Field(
        [], description="other runs whose records test the claims as well, for which this one has none"
    )

    _as_list = field_validator(
        "methods", "targets", "ratios", "curve", "variants", "tunings", "drops", "tables", "beside", mode="before"
    )(listed)

    _known_methods = field_validator("methods")(known("methods", METHODS))
    _known_variants = field_validator("variants")(known("variants", VARIANTS))
    _known_tunings = field_validator("tunings")(known("tunings", TRAINABLE))
    _are_targets = field_validator("targets")(shares_of_macs("targets"))
    _are_tables = field_validator("tables")(tables_of("thesis", 2, 3))

    @field_validator("ratios", "curve")
    @classmethod
    def _are_ratios(cls, value: list[float], info: ValidationInfo) -> list[float]:
        for ratio in value:
            require(ratio < 1, str(info.field_name), ratio, "a share of the filters, at least 0 and below 1")
        return within(str(info.field_name), value, 0, 1, "a share of the filters, at least 0 and below 1")

    @field_validator("drops")
    @classmethod
    def _are_drops(cls, value: list[float]) -> list[float]:
        return within("drops", value, 0, 100, "points of accuracy above 0 and below 100", ends=False)

    @field_validator("quantiles")
    @classmethod
    def _are_quantiles(cls, value: list[list[float]]) -> list[list[float]]:
        for pair in value:
            inside = len(pair) == 2 and 0 <= pair[0] <= pair[1] <= 1
            require(inside, "quantiles", pair, "two numbers [alpha, beta], 0 <= alpha <= beta <= 1")
        return value

    @field_validator("candidates", mode="before")
    @classmethod
    def _are_candidates(cls, value: Any) -> Any:
        for one in listed(value):
            whole = isinstance(one, list | tuple) and len(one) == len(Candidate._fields)
            require(whole, "candidates", one, f"a list of networks, each {CANDIDATE}")
        return value

    @field_validator("seeds_of")
    @classmethod
    def _are_counts(cls, value: dict[str, int]) -> dict[str, int]:
        for dataset, seeds in value.items():
            require(1 <= seeds <= 100, f"seeds_of {dataset}", seeds, "from 1 to 100")
        return value

    @field_validator("beside")
    @classmethod
    def _are_runs(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(choose("beside", run, _notebook().description.runs) for run in value))

    @field_validator("transfer_to")
    @classmethod
    def _known_target(cls, value: str | None) -> str | None:
        known = value is None or value.startswith("image_folder:")
        return value if known else choose("transfer_to", value, data.names())

    @model_validator(mode="after")
    def _belong_together(self) -> "Parameters":
        self.check_names(BY_ARCH)
        for dataset in self.seeds_of:
            choose("dataset of seeds_of", dataset, data.names())
        self.check_schedule("schedule", "step_every")
        for arch in self.pretrained:
            require(arch not in self.weights, "pretrained", arch, "an architecture without weights of its own")
        for name in ("variants", "tunings", "speed"):
            require(
                not getattr(self, name) or bool(self.targets), "targets", self.targets, f"at least one where {name} is given"
            )
        require(not self.control or self.finetune > 0, "finetune", self.finetune, "at least 1 where control is given")
        require(not self.tunings or self.finetune > 0, "finetune", self.finetune, "at least 1 where tunings are given")
        if GROWING in self.methods:
            require(self.regularised > 0, "regularised", self.regularised, f"at least 1 where {GROWING} is compared")
        short = self.finetune and self.regularised >= self.finetune
        require(
            not short,
            "regularised",
            self.regularised,
            f"below {self.finetune}, the epochs of finetune, of which they are part",
        )
        require(
            (self.transfer_to is None) == (not self.candidates), "candidates", self.candidates, "given where transfer_to is"
        )
        for candidate in self.candidates:
            choose("dataset of candidates", candidate.dataset, data.names())
            choose("arch of candidates", candidate.arch, models.names())
            require(candidate.epochs >= 1 and candidate.seed >= 0, "candidates", list(candidate), CANDIDATE)
        for arch in self.arch:
            models.check(arch, self.options.get(arch, {}))
        return self

    @property
    def repeated(self) -> str:
        """What the run repeats, in words."""
        counts: dict[str, list[str]] = {}
        for name in self.dataset:
            span = self.seeds_on(name)
            words = f"{len(span)} ({span[0]} to {span[-1]})" if len(span) > 1 else f"1 ({span[0]})"
            counts.setdefault(words, []).append(name)
        of = [words if len(counts) == 1 else f"{words} on {' and '.join(names)}" for words, names in counts.items()]
        return f"seeds (initial weights, order of images, draw of images): {', '.join(of)}"

    def seeds_on(self, dataset: str) -> range:
        """The seeds of the repetitions on this dataset."""
        return range(self.first_seed, self.first_seed + self.seeds_of.get(dataset, self.seeds))

    @property
    def criteria(self) -> list[str]:
        """The methods beside Dice."""
        return [method for method in self.methods if method != "dice"]


class Case(NamedTuple):
    """One of a run's repeated cases."""

    dataset: str
    arch: str
    seed: int


def cases(p: Parameters) -> list[Case]:
    """Every dataset, architecture and repetition of the run."""
    places = product(p.dataset, p.arch)
    return [Case(dataset, arch, seed) for dataset, arch in places for seed in p.seeds_on(dataset)]


def fit(p: Parameters, epochs: int, seed: int, **changes: Any) -> dict[str, Any]:
    """A training of so many epochs by the run's recipe; its steps are as much shorter as it is."""
    every = None if p.step_every is None else max(1, round(p.step_every * epochs / p.epochs))
    settings: dict[str, Any] = {"epochs": epochs, "lr": p.lr, "batch_size": p.batch_size, "schedule": p.schedule}
    settings["step_every"] = every
    settings |= {"optimizer": p.optimizer, "weight_decay": p.weight_decay, "pad": p.pad, "rotate": p.rotate, "seed": seed}
    return settings | changes


def baseline(p: Parameters, case: Case, epochs: int | None = None) -> Trial:
    """The network before pruning. Foreign weights are the same whatever the seed."""
    params: dict[str, Any] = {"dataset": case.dataset, "size": p.size, "arch": case.arch, "normalise": p.normalise}
    params["options"] = p.options.get(case.arch, {})
    if case.arch in p.weights:
        return Trial("baseline", params | {"weights": p.weights[case.arch]})
    params["pretrained"] = p.pretrained.get(case.arch)
    return Trial("baseline", params | {"fit": fit(p, epochs or p.epochs, case.seed)})


def compared(p: Parameters, case: Case, method: str, **decision: Any) -> dict[str, Any]:
    """A decision by `method` in this case, as parameters of the tasks that take one."""
    params: dict[str, Any] = {"baseline": baseline(p, case).params, "images": p.images, "draw": case.seed}
    if method == "dice":
        return params | {"decision": {"method": "dice", **decision}}
    if method == GROWING:
        changes = {"schedule": "constant", "step_every": None, "lr": p.regularised_lr}
        params["regularised"] = {"fit": fit(p, p.regularised, case.seed, **changes)}
    return params | {"decision": {"method": "baseline", "criterion": method, **decision}}


def tuned(p: Parameters, case: Case, method: str, **changes: Any) -> dict[str, Any]:
    """The fine-tuning that the run asks for, as a parameter of the task "compare": all methods spend the same epochs."""
    if not p.finetune:
        return {}
    epochs = p.finetune - (p.regularised if method == GROWING else 0)
    return {"finetune": fit(p, epochs, case.seed, **changes)}


def baselines(p: Parameters) -> list[Trial]:
    return [baseline(p, case) for case in cases(p)]


def growing(p: Parameters) -> list[Trial]:
    """The networks trained with growing regularisation, from which its decisions start."""
    if GROWING not in p.methods or not (p.targets or p.ratios or p.curve):
        return []
    needed = [Trial("compare", compared(p, case, GROWING, ratio=0.0)).needs() for case in cases(p)]
    return [trial for trials in needed for trial in trials]


def sources(p: Parameters) -> list[Trial]:
    """The networks from which the candidates of `transfers` come, before their last layer is replaced."""
    return [baseline(p, Case(c.dataset, c.arch, c.seed), c.epochs) for c in p.candidates]


def equal_macs(p: Parameters) -> list[Trial]:
    """Table 3: every method removes the same share of the MACs, from convolutions only, and is recalibrated."""
    return [
        Trial(
            "compare", {**compared(p, case, method, target=target), "recalibrate": p.recalibrate, **tuned(p, case, method)}
        )
        for case, target, method in product(cases(p), p.targets, p.methods)
    ]


def fixed_ratio(p: Parameters) -> list[Trial]:
    """Table 2: the criteria prune linear layers too, Dice convolutions only, as the thesis does; Dice also as they do."""
    scopes = [(method, {} if method == "dice" else {"layers": "all"}) for method in p.methods]
    scopes += [("dice", {"layers": "all"})] if "dice" in p.methods and p.criteria else []
    return [
        Trial("compare", {**compared(p, case, method, ratio=ratio, **scope), **tuned(p, case, method)})
        for case, ratio, (method, scope) in product(cases(p), p.ratios, scopes)
    ]


def controls(p: Parameters) -> list[Trial]:
    """The unpruned network, trained for as long as the pruned ones are fine-tuned: what the epochs do by themselves."""
    if not p.control:
        return []
    return [Trial("compare", {**compared(p, case, "dice", ratio=0.0), **tuned(p, case, "dice")}) for case in cases(p)]


def curves(p: Parameters) -> list[Trial]:
    """Figure 2: accuracy at every ratio without fine-tuning, convolutions only."""
    if not p.curve:
        return []
    common = {"ratios": p.curve, "recalibrate": p.recalibrate}
    return [Trial("sweep", {**compared(p, case, method), **common}) for case, method in product(cases(p), p.methods)]


def variants(p: Parameters) -> list[Trial]:
    """Other readings of the method, each at the run's targets."""
    grid = product(cases(p), p.targets, [VARIANTS[name] for name in p.variants])
    return [variant(p, case, target=target, **options) for case, target, options in grid]


def quantiles(p: Parameters) -> list[Trial]:
    """Other alpha and beta under the same limiter; where they admit fewer filters, fewer go."""
    grid = product(cases(p), p.quantiles)
    return [variant(p, case, ratio=p.quantiles_ratio, alpha=alpha, beta=beta) for case, (alpha, beta) in grid]


def variant(p: Parameters, case: Case, **decision: Any) -> Trial:
    """Another reading, recalibrated, and fine-tuned for as long as the run says."""
    params = {**compared(p, case, "dice", **decision), "recalibrate": p.recalibrate}
    if p.variants_finetune:
        params["finetune"] = fit(p, p.variants_finetune, case.seed)
    return Trial("compare", params)


def tunings(p: Parameters) -> list[Trial]:
    """Fine-tuning the last layer, the linear layers, or all; each with and without recalibration before it."""
    grid = product(cases(p), p.targets[:1], p.tunings, (p.recalibrate, 0))
    return [
        Trial(
            "compare",
            {**compared(p, case, "dice", target=target), "recalibrate": images, **tuned(p, case, "dice", trainable=what)},
        )
        for case, target, what, images in grid
    ]


def stops(p: Parameters) -> list[Trial]:
    """The stop rule: remove until so many points are lost on the validation split, recalibrated before each look."""
    grid = product(cases(p), p.drops, (0, p.recalibrate))
    return [
        Trial("stop", {"baseline": baseline(p, case).params, "drop": drop, "recalibrate": images, "draw": case.seed})
        for case, drop, images in grid
    ]


def profiles(p: Parameters) -> list[Trial]:
    """The similarities of every layer, and which filters are dead, on the images that the repetition's decisions look at."""
    found = cases(p) if p.profiles else []
    return [
        Trial("profile", {"baseline": baseline(p, case).params, "images": p.images, "draw": case.seed}) for case in found
    ]


def speeds(p: Parameters) -> list[Trial]:
    """Latency of one image and of a batch, last repetition: of Dice as in Table 3, and of whatever Table 2 cuts.

    Larger batches would rather time how the system hands out memory, which each layer asks for anew.
    """
    found = [case for case in cases(p) if case.seed == p.seeds_on(case.dataset)[-1]] if p.speed else []
    decisions: list[dict[str, Any]] = [{"target": target} for target in p.targets]
    decisions += [{"ratio": ratio, "layers": layers} for ratio in p.ratios for layers in ("conv", "all")]
    return [
        Trial("speed", {**compared(p, case, "dice", **decision), "batches": [1, p.batch_size]})
        for case, decision in product(found, decisions)
    ]


def transfers(p: Parameters) -> list[Trial]:
    """Every candidate, fine-tuned on the other task."""
    settings = {"schedule": "cosine", "step_every": None, "lr": p.transfer_lr}
    return [
        Trial(
            "transfer",
            {
                "baseline": source.params,
                "dataset": p.transfer_to,
                "images": p.images,
                "finetune": fit(p, p.transfer_epochs, 0, **settings),
            },
        )
        for source in sources(p)
    ]


def parts(p: Parameters) -> dict[str, list[Trial]]:
    """The trials of each part of the run, in the order in which they are computed; parts may share some."""
    parts = (
        baselines, growing, sources, profiles, speeds, curves, stops, variants, quantiles, equal_macs, fixed_ratio, controls,
        tunings, transfers,
    )  # fmt: skip
    return {part.__name__: part(p) for part in parts}


def others(p: Parameters) -> dict[str, Parameters]:
    """The parameters of the runs beside, by the names of the runs."""
    return {run: cast(Parameters, _notebook().parameters(run)) for run in p.beside}


def _notebook() -> "Notebook":
    from prunebook import notebooks  # here, because it imports the studies

    return notebooks.get("dice")


def trials(p: Parameters) -> list[Trial]:
    runs = [p, *others(p).values()]
    return list(dict.fromkeys(trial for run in runs for part in parts(run).values() for trial in part))


def differences(p: Parameters) -> list[str]:
    """In what this run is not the thesis's experiment, one sentence each."""
    found = [sentence for arch in p.arch for sentence in _network_differences(p, arch)]
    recipe = (p.optimizer, p.batch_size, p.lr, p.schedule, p.weight_decay, p.epochs)
    if recipe != ("adam", 32, 0.01, "step", 1e-5, 20):
        steps = f" of {p.step_every} epochs" if p.schedule == "step" else ""
        found.append(
            f"Training: {p.epochs} epochs of {p.optimizer}, schedule {p.schedule}{steps} from {p.lr:g}, batches of "
            f"{p.batch_size}, weight decay {p.weight_decay:g}; the thesis: 20 epochs of Adam, 1e-2 to 1e-4, batches of 32, "
            "1e-5."
        )
    elif p.schedule == "step":
        found.append(
            f"Learning rate: {p.lr:g}, divided by 10 after every {p.step_every} epochs; the thesis prints 1e-2 to 1e-4 and "
            "a factor of 0.1, not when."
        )
    if p.finetune and p.finetune != 20:
        found.append(f"Fine-tuning: {p.finetune} epochs, the steps of the rate as much shorter; the thesis: 20 epochs.")
    elif not p.finetune and (p.targets or p.ratios):
        found.append("No fine-tuning; the thesis fine-tunes for 20 epochs.")
    if GROWING in p.methods:
        epochs = "1 epoch" if p.regularised == 1 else f"{p.regularised} epochs"
        found.append(
            f"{GROWING}: {epochs} with the penalty before the cut, of the same budget, at a constant rate of "
            f"{p.regularised_lr:g}; the penalty starts at 1e-4 and grows by as much every 10 steps. None of this is tuned; "
            "the thesis does not say."
        )
    if p.transfer_to:
        how = f"{p.transfer_epochs} epochs on {p.transfer_to} at {p.transfer_lr:g}, schedule cosine"
        found.append(f"Transfer: {how}; the thesis does not try it.")
    found.append(
        f"Images: rotated by up to {p.rotate:g} degrees, mirrored only where a mirrored image is still one of its class "
        "(not digits); the thesis mirrors, and rotates by an angle that it does not print."
    )
    found.append(
        "Training uses 90 % of the official training images (80 % for digits); elbow and stop rule look at the rest, where "
        "the thesis looks at test data (section 6.2)."
    )
    found.append("The last epoch counts. The thesis does not say which epoch it reports, nor how many seeds it has.")
    if [name for name in p.dataset if name not in ("mnist", "cifar10")]:
        found.append(f"Data: {', '.join(p.dataset)}; the thesis uses MNIST and CIFAR-10.")
    return found


def _network_differences(p: Parameters, arch: str) -> list[str]:
    found = []
    if arch not in ("dice_cnn", "vgg19", "resnet50"):
        found.append(f"{arch}: the thesis has no such network.")
    if arch == "dice_cnn":
        found.append(
            "dice_cnn: three convolutions of 32, 64 and 128 filters and two linear layers, our choice: the thesis shows its "
            "network in a figure that its text does not contain."
        )
    if arch in ("vgg19", "resnet50") and arch not in p.pretrained and arch not in p.weights:
        found.append(f"{arch}: trained from scratch; the thesis starts from weights for ImageNet.")
    if arch == "resnet50" and p.options.get(arch, {}).get("stem") == "cifar":
        found.append(
            f"{arch}: a first convolution for images of 32 pixels, whose weights are not pretrained; the thesis does not "
            "say how it adapts the network."
        )
    if arch == "vgg19":
        found.append(f"{arch}: a global average and a small classifier behind the convolutions, our choice.")
    return found
