"""The kinds of trial that SACP is made of: an encoder learns, candidates are scored, and the best are built and trained.

Each step is a trial of its own, which the next one needs, so that an encoder is trained once for many searches, and a search
is made once for many candidates.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from prunebook import cutting, data, distributed, files, measure, models, training, weights
from prunebook.errors import BadValue, choose, require
from prunebook.methods import sacp
from prunebook.trials.engine import Context
from prunebook.trials.estimate import facts
from prunebook.trials.tasks import (
    Baseline,
    Fit,
    Seed,
    check_images,
    costs,
    example,
    load_data,
    load_network,
    normalisation,
    scores,
)
from prunebook.trials.tasks import fit as train
from prunebook.trials.trial import Parameters, Trial, task

Tau = Annotated[float, Field(ge=0, le=0.9, description="least share of the channels to remove, R(r) of Eq. 4")]
HALF = "half of test"
ChosenOn = Annotated[Literal["val", "half of test"], Field(description="images; of the test split, the other half reports")]
DRAWS = 1_000_000  # candidates looked at for those of a wanted cost, at most
AT_ONCE = 10_000
APART = 2**32  # added to a seed: another sequence of candidates than that of the seed
QUANTILES = 201  # of the distribution of a cost over candidates
TRIADS = 500  # anchors with a positive and a negative, by which an encoder is judged
UNLEARNT = 2**33  # added to a seed: random weights that no encoder began to learn from


class Learn(Parameters):
    """An encoder that learns by contrast (section 3.4); with no epochs it stays as it was drawn."""

    kind: Literal["contrast"]
    baseline: Baseline
    configurations: int = Field(10_000, ge=2)
    epochs: int = Field(10, ge=0)
    batch: int = Field(32, ge=2)
    loss: Literal["infonce", "as-printed"] = "infonce"
    anchor: Literal["first", "original"] = "first"
    edges: Literal["network", "shuffled", "none"] = "network"
    positives: Literal["l1", "random"] = Field("l1", description="order whose first channels they keep; always the same one")
    temperature: float = Field(0.5, gt=0)
    lr: float = Field(1e-3, gt=0)
    seed: int = Seed

    @property
    def what(self) -> str:
        how = f"{self.loss}, anchor {self.anchor}, {self.epochs} epochs" if self.epochs else "untrained"
        how += f", edges {self.edges}" if self.edges != "network" else ""
        how += ", positives by a random order" if self.positives != "l1" else ""
        return f"encoder {how}{_numbered('seed', self.seed)}"

    def describe(self) -> str:
        return f"{_on(self.baseline)}: {self.what}"


class Sample(Parameters):
    """Random candidates, built and measured without fine-tuning."""

    baseline: Baseline
    n: int = Field(100, ge=2)
    tau: Tau = 0.0
    removed: float | None = Field(None, gt=0, lt=1, description="share of the MACs that each removes; default: as it comes")
    tolerance: float = Field(0.01, gt=0, le=0.5, description="of removed")
    recalibrate: int = Field(1000, ge=2)
    chosen_on: ChosenOn = "val"
    split: Literal["val", "test"] = Field("test", description="what is measured: the images that choose, or that report")
    seed: int = Seed

    @property
    def what(self) -> str:
        cost = f" that remove {self.removed:g} of the MACs" if self.removed is not None else ""
        split = f" by {self.split}" if self.split != "test" else ""
        return f"{self.n} random candidates{cost}{split}, tau {self.tau:g}{_numbered('draw', self.seed)}"

    def describe(self) -> str:
        return f"{_on(self.baseline)}: {self.what}"


class Regress(Parameters):
    """An encoder that learns the accuracy of sampled candidates, on images that choose: the ablation SACP-1."""

    kind: Literal["regression"]
    sample: Sample
    epochs: int = Field(100, ge=1)
    batch: int = Field(32, ge=2)
    lr: float = Field(1e-3, gt=0)
    seed: int = Seed

    @property
    def baseline(self) -> Baseline:
        return self.sample.baseline

    @property
    def what(self) -> str:
        return f"encoder by regression on {self.sample.n} candidates, {self.epochs} epochs{_numbered('seed', self.seed)}"

    def describe(self) -> str:
        return f"{_on(self.baseline)}: {self.what}"


Encoder = Annotated[Learn | Regress, Field(discriminator="kind")]


class Search(Parameters):
    """The best of many candidates by an encoder; without one the first drawn: a random search.

    With `like`, the random candidates cost what that search's best do, one by one.
    """

    baseline: Baseline
    encoder: Encoder | None = None
    tau: Tau
    candidates: int = Field(1_000_000, ge=1)
    m: int = Field(150, ge=1)
    like: "Search | None" = None
    tolerance: float = Field(0.005, gt=0, le=0.5, description="of the share of the MACs, beside `like`")
    seed: int = Seed

    @model_validator(mode="after")
    def _same_network(self) -> "Search":
        for name, other in (("encoder", self.encoder), ("like", self.like)):
            same = other is None or other.baseline == self.baseline
            require(same, name, "one of another baseline", "made for the baseline that is searched")
        require(self.m <= self.candidates, "m", self.m, f"at most {self.candidates}, the number of candidates")
        require(self.like is None or self.encoder is None, "like", "a search", "given only without an encoder")
        enough = self.like is None or self.like.m >= self.m
        require(enough, "m", self.m, f"at most {self.like.m if self.like else 0}, the candidates that `like` keeps")
        return self

    @property
    def what(self) -> str:
        ends = f", tau {self.tau:g}{_numbered('draw', self.seed)}"
        if self.encoder is not None:
            return f"{self.encoder.what}, best {self.m} of {self.candidates:,} candidates{ends}"
        return f"{self.m} random candidates{' as costly as those found' if self.like else ''}{ends}"

    def describe(self) -> str:
        return f"{_on(self.baseline)}: {self.what}"


class Score(Parameters):
    """What an encoder makes of candidates: those sampled, or those that a search keeps."""

    encoder: Encoder
    of: Sample | Search

    @property
    def baseline(self) -> Baseline:
        return self.encoder.baseline

    @model_validator(mode="after")
    def _same_network(self) -> "Score":
        require(self.of.baseline == self.encoder.baseline, "of", "candidates of another baseline", "of the encoder's")
        return self

    def describe(self) -> str:
        return f"{self.encoder.describe()}, scores of {self.of.what}"


class Crowd(Parameters):
    """How encoders with random weights order candidates, one encoder for each seed: what a score has to stand out from."""

    of: Sample | Search
    encoders: int = Field(99, ge=39)
    seed: int = Seed

    @property
    def baseline(self) -> Baseline:
        return self.of.baseline

    def describe(self) -> str:
        return f"{_on(self.baseline)}: orders by {self.encoders} encoders of random weights of {self.of.what}"


class Triads(Parameters):
    """How well encoders with random weights tell L1 pruning from random pruning: what a learnt one has to stand out from."""

    baseline: Baseline
    anchor: Literal["first", "original"] = "first"
    positives: Literal["l1", "random"] = Field("l1", description="as of Learn; of random orders, each encoder has its own")
    encoders: int = Field(99, ge=39)
    seed: int = Seed

    def describe(self) -> str:
        by = ", positives by random orders" if self.positives != "l1" else ""
        ends = f"anchor {self.anchor}{by}{_numbered('seed', self.seed)}"
        return f"{_on(self.baseline)}: triads by {self.encoders} encoders of random weights, {ends}"


class Unpruned(Parameters):
    """A baseline on the images that choose and on those that report, where these are not its own splits."""

    baseline: Baseline
    chosen_on: Literal["half of test"] = "half of test"

    def describe(self) -> str:
        trained = self.baseline.fit.seed if self.baseline.fit else 0
        return f"{_on(self.baseline)}: unpruned, on halves of the test split{_numbered('seed', trained)}"


class Chance(Parameters):
    """What candidates cost that meet tau, drawn at random; no network is trained for it."""

    dataset: str = "digits"
    size: int | None = Field(None, ge=1)
    arch: str = "resnet20"
    options: dict[str, Any] = Field({})
    tau: Tau
    n: int = Field(5000, ge=100)
    seed: int = Seed

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        return value if value.startswith("image_folder:") else choose("dataset", value, data.names())

    @field_validator("arch")
    @classmethod
    def _known_arch(cls, value: str) -> str:
        return choose("arch", value, models.names())

    @model_validator(mode="after")
    def _takes_the_images(self) -> "Chance":
        check_images(self.arch, self.options, self.dataset, self.size)
        return self

    def describe(self) -> str:
        return f"{self.arch} on {self.dataset}: cost of {self.n:,} random candidates, tau {self.tau:g}"


class Candidate(Parameters):
    """One of a search's best, by its place from 0, built and fine-tuned."""

    search: Search
    place: int = Field(ge=0)
    recalibrate: int = Field(1000, ge=2)
    chosen_on: ChosenOn = "val"
    finetune: Fit | None = None

    @property
    def baseline(self) -> Baseline:
        return self.search.baseline

    @model_validator(mode="after")
    def _in_the_search(self) -> "Candidate":
        require(
            self.place < self.search.m, "place", self.place, f"below {self.search.m}, the candidates that the search keeps"
        )
        return self

    def describe(self) -> str:
        tuned = f", {self.finetune.length}" if self.finetune else ""
        return f"{self.search.describe()}: number {self.place}{tuned}"


class Final(Parameters):
    """One of the k candidates that were best on the validation split after light fine-tuning, trained in full."""

    trained_before: ClassVar = ("light",)  # by the trials that it needs

    search: Search
    light: Fit | None = None
    first: int = Field(ge=1, description="so many places of the search were fine-tuned lightly: m")
    rank: int = Field(ge=0, description="from 0: which of these by validation accuracy")
    recalibrate: int = Field(1000, ge=2)
    chosen_on: ChosenOn = "val"
    finetune: Fit

    @property
    def baseline(self) -> Baseline:
        return self.search.baseline

    @model_validator(mode="after")
    def _inside(self) -> "Final":
        require(self.first <= self.search.m, "first", self.first, f"at most {self.search.m}, the candidates of the search")
        require(self.rank < self.first, "rank", self.rank, f"below {self.first}, the candidates it is chosen from")
        return self

    def candidates(self) -> list[Trial]:
        """The light fine-tunings that it is chosen from."""
        common = self.model_dump_json(include={"search", "recalibrate", "chosen_on"})
        light = self.light.model_dump_json() if self.light else "null"
        return list(_candidates(common, light, self.first))

    def describe(self) -> str:
        return f"{self.search.describe()}: rank {self.rank} of {self.first}, {self.finetune.length}"


@lru_cache(maxsize=64)  # each of a search's k final trials needs the same m, in a paper's run a hundred times over
def _candidates(common: str, light: str, first: int) -> tuple[Trial, ...]:
    best = Trial("candidate", {**json.loads(common), "finetune": json.loads(light), "place": 0})
    return tuple(best.varied(place=place) for place in range(first))


class Scene(NamedTuple):
    """A baseline as SACP sees it."""

    dataset: data.Dataset
    normal: tuple[tuple[float, ...], tuple[float, ...]]
    model: nn.Module
    inputs: Tensor
    graph: sacp.ArchitectureGraph
    space: sacp.Space
    rankings: list[Tensor]


def _on(baseline: Baseline) -> str:
    return f"{baseline.arch} on {baseline.dataset}"


def _numbered(what: str, seed: int) -> str:
    return f", {what} {seed}" if seed else ""


def encoder_trial(encoder: Learn | Regress) -> Trial:
    """The trial that trains an encoder."""
    return Trial("learn" if isinstance(encoder, Learn) else "regress", encoder.model_dump(mode="json"))


def _of(baseline: Baseline) -> list[Trial]:
    return [] if baseline.weights else [Trial("baseline", baseline.model_dump(mode="json"))]


def _sample_trial(sample: Sample) -> Trial:
    return Trial("sample", sample.model_dump(mode="json"))


def _search_trial(search: Search) -> Trial:
    return Trial("search", search.model_dump(mode="json"))


def _drawn_trial(drawn: Sample | Search) -> Trial:
    return _sample_trial(drawn) if isinstance(drawn, Sample) else _search_trial(drawn)


def _before_search(p: Search) -> list[Trial]:
    before = [encoder_trial(p.encoder)] if p.encoder else [_search_trial(p.like)] if p.like else []
    return [*_of(p.baseline), *before]


@task("learn", version=3, parameters=Learn, needs=lambda p: _of(p.baseline), leaves=True)
def learn(p: Learn, context: Context) -> dict[str, Any]:
    """Train an encoder by contrast; by epoch its loss, and the mean cosine of anchors with positives and negatives.

    Then what it makes of triads that it has not seen, see `methods.sacp.Apart`.
    """
    scene = _scene(p.baseline, context)
    rankings = _positives(p, p.seed, scene)
    history: list[dict[str, float]] = []

    def note(epoch: int, means: Any) -> None:
        history.append({name: round(value, 6) for name, value in means._asdict().items()})
        context.progress(epoch, p.epochs, "training the encoder, epochs")

    with context.timed("fit"):
        encoder = sacp.Encoder(scene.graph, seed=p.seed, edges=p.edges)
        if p.epochs:
            settings = {name: getattr(p, name) for name in LEARNING}
            encoder = sacp.train(scene.graph, scene.space, rankings, encoder=encoder, on_epoch=note, **settings).encoder
    _keep(context, encoder_trial(p), encoder)
    return {"history": history, "triads": _apart(encoder, p.anchor, rankings, scene), "graph": _described(scene)}


LEARNING = ("configurations", "epochs", "batch", "loss", "anchor", "temperature", "lr", "seed")


@task("triads", version=2, parameters=Triads, needs=lambda p: _of(p.baseline))
def triads(p: Triads, context: Context) -> dict[str, Any]:
    """What "learn" says of triads, of each of the encoders with random weights."""
    scene = _scene(p.baseline, context)
    found = []
    for i, encoder in enumerate(_unlearnt(p.encoders, p.seed, scene)):
        found.append(_apart(encoder, p.anchor, _positives(p, p.seed * p.encoders + i, scene), scene))
        context.progress(i + 1, p.encoders, "encoders")
    return {name: [one[name] for one in found] for name in found[0]}


@task("unpruned", version=1, parameters=Unpruned, needs=lambda p: _of(p.baseline))
def unpruned(p: Unpruned, context: Context) -> dict[str, Any]:
    """Accuracy on the images that choose and on those that report."""
    scene = _scene(p.baseline, context, p.chosen_on)
    return {split: _top1(scene.model, split, scene) for split in ("val", "test")}


@task("sample", version=2, parameters=Sample, needs=lambda p: _of(p.baseline))
def sample(p: Sample, context: Context) -> dict[str, Any]:
    """Random candidates: ratios, costs, share of the L1 norm that stays, and accuracy with new batch-norm statistics.

    What is measured is kept as it comes, so that a sample that was interrupted goes on.
    """
    scene = _scene(p.baseline, context, p.chosen_on)
    before = measure.cost(scene.model, scene.inputs)
    candidates = _drawn(p, scene)
    norms = _kept_norms(scene, candidates)
    state = context.checkpoint(_sample_trial(p)).with_suffix(f".{_digest(scene.model)}.json")
    rows = _interrupted(state)
    with context.timed("evaluate"):
        for i, r in enumerate(candidates[len(rows) :], start=len(rows)):
            pruned = _pruned(r, scene)
            cost = measure.cost(pruned, scene.inputs)
            _recalibrate(pruned, p.recalibrate, p.seed, scene)
            rows.append({"r": r.tolist(), "macs": cost.macs, "params": cost.params, "norm": norms[i]})
            rows[-1]["top1"] = _top1(pruned, p.split, scene)
            files.seal(state, rows)
            context.progress(i + 1, len(candidates), "candidates")
    state.unlink(missing_ok=True)
    return {"before": list(before), "candidates": rows, "graph": _described(scene)}


@task("regress", version=2, parameters=Regress, needs=lambda p: [*_of(p.baseline), _sample_trial(p.sample)], leaves=True)
def regress(p: Regress, context: Context) -> dict[str, Any]:
    """Train an encoder and a linear layer to predict the sampled accuracy."""
    scene = _scene(p.baseline, context)
    rows = _record(context, _sample_trial(p.sample))["candidates"]
    r, accuracy = torch.tensor([row["r"] for row in rows]), [row["top1"] for row in rows]
    with context.timed("fit"):
        found = sacp.regress(
            scene.graph, scene.space, scene.rankings, r, accuracy, epochs=p.epochs, batch=p.batch, lr=p.lr, seed=p.seed,
            on_epoch=lambda epoch, _: context.progress(epoch, p.epochs, "training the encoder, epochs"),
        )  # fmt: skip
    _keep(context, encoder_trial(p), found.encoder, found.head)
    return {"history": [round(error, 6) for error in found.history]}


@task("score", version=2, parameters=Score, needs=lambda p: [*_of(p.baseline), encoder_trial(p.encoder), _drawn_trial(p.of)])
def score(p: Score, context: Context) -> dict[str, Any]:
    """The score of every candidate, in their order."""
    found = _scorer(p.encoder, _scene(p.baseline, context), context)(_candidates_of(p.of, context))
    return {"scores": [round(value, 7) for value in found.tolist()]}


@task("crowd", version=1, parameters=Crowd, needs=lambda p: [*_of(p.baseline), _drawn_trial(p.of)])
def crowd(p: Crowd, context: Context) -> dict[str, Any]:
    """For each encoder with random weights the place of every candidate by its score, from 0 for the lowest."""
    scene, r = _scene(p.baseline, context), _candidates_of(p.of, context)
    masks = sacp.ranked_masks(scene.space, scene.rankings)
    orders = []
    for i, encoder in enumerate(_unlearnt(p.encoders, p.seed, scene)):
        orders.append(sacp.likeness(encoder, masks, r).argsort(stable=True).argsort().tolist())
        context.progress(i + 1, p.encoders, "encoders")
    return {"orders": orders}


@task("search", version=2, parameters=Search, needs=lambda p: _before_search(p))
def search(p: Search, context: Context) -> dict[str, Any]:
    """The best candidates with their scores and numbers, how many there are in all, and how fast they were scored."""
    tau, m = p.tau, p.m
    scene = _scene(p.baseline, context)
    exist = scene.space.size_at(tau)
    common = {"exist": str(exist), "space": str(scene.space.size()), "graph": _described(scene)}
    if p.encoder is None:
        like = _record(context, _search_trial(p.like))["best"][:m] if p.like else None
        r = _as_costly(p, [row["r"] for row in like], scene) if like else _distinct(scene.space, m, tau, p.seed)
        return {"best": [{"r": one} for one in r], **common}
    scorer = _scorer(p.encoder, scene, context)

    def show(done: int, total: int, rate: float) -> None:
        context.progress(done, total, f"candidates, {rate:,.0f}/s")

    # Named by all that its scores depend on: what another encoder has left unfinished is not taken up.
    state = context.checkpoint(_search_trial(p)).with_suffix(f".{scorer.digest()}.json")
    _drop_if_damaged(state)
    with context.timed("search"):
        found = sacp.search(scorer, p.candidates, tau, m, p.seed, state=state, progress=show)
    state.unlink(missing_ok=True)
    some = scorer(scene.space.sample(min(p.candidates, 100_000), tau, p.seed))
    marks = torch.tensor([0, 0.05, 0.25, 0.5, 0.75, 0.95, 1], dtype=torch.float64)
    triples = zip(found.candidates, found.scores.tolist(), found.numbers.tolist(), strict=True)
    best = [{"r": r.tolist(), "score": round(value, 7), "number": number} for r, value, number in triples]
    context.times["scoring"] = round(found.seconds, 3)
    quantiles = [round(q, 7) for q in some.double().quantile(marks).tolist()]
    return {"best": best, "seen": found.seen, "method": scorer.method, "quantiles": quantiles, **common}


@task("candidate", version=2, parameters=Candidate, needs=lambda p: [*_of(p.search.baseline), _search_trial(p.search)])
def candidate(p: Candidate, context: Context) -> dict[str, Any]:
    """One candidate: its cost, and its accuracy, recalibrated and fine-tuned.

    "val" is of the images that choose, "test" of those that report. What chooses is measured once, in the end.
    """
    scene = _scene(p.search.baseline, context, p.chosen_on)
    best = _record(context, _search_trial(p.search))["best"]
    if p.place >= len(best):
        raise BadValue(f"place is {p.place}, but the search found only {len(best)} distinct candidates")
    return _built(best[p.place]["r"], p.recalibrate, p.finetune, scene, context)


@task("final", version=2, parameters=Final, needs=lambda p: [*_of(p.search.baseline), *p.candidates()])
def final(p: Final, context: Context) -> dict[str, Any]:
    """One of the candidates that validation chose after light fine-tuning, trained from the cut network in full."""
    scene = _scene(p.search.baseline, context, p.chosen_on)
    light = [_record(context, trial) for trial in p.candidates()]
    moment = "finetuned" if p.light else "recalibrated"
    ranked = sorted(range(p.first), key=lambda place: (-light[place][moment]["val"], place))
    place = ranked[p.rank]
    return {"place": place, **_built(light[place]["r"], p.recalibrate, p.finetune, scene, context)}


@task("chance", version=1, parameters=Chance)
def chance(p: Chance, context: Context) -> dict[str, Any]:
    """Quantiles of R(r), FR and PR over random candidates that meet tau, and how many of all candidates there are do."""
    known = facts(p.dataset, p.size)
    model = models.build(p.arch, known.num_classes, known.in_channels, seed=0, **p.options)
    inputs = torch.zeros(1, known.in_channels, known.image_size, known.image_size)
    graph = sacp.ArchitectureGraph(model, inputs)
    space = sacp.Space(graph)
    exist = space.size_at(p.tau)
    count = _counter(model, inputs, graph, space)
    drawn = space.sample(p.n, p.tau, p.seed)
    whole = measure.cost(model, inputs)
    fr, pr = zip(*(measure.rates(whole, measure.Cost(*cost)) for cost in count(drawn).tolist()), strict=True)
    removed = (100 * space.ratio(drawn)).tolist()
    return {
        "cost": {counter: list(measure.cost(model, inputs, counter)) for counter in measure.COUNTERS},
        "exist": str(exist),
        "space": str(space.size()),
        "share": exist / space.size(),
        "entries": space.L,
        **{name: _quantiles(values) for name, values in (("R", removed), ("fr", fr), ("pr", pr))},
    }


def _quantiles(values: Sequence[float]) -> list[float]:
    """From the least to the greatest, in equal steps of probability."""
    marks = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    return [round(q, 4) for q in torch.tensor(values, dtype=torch.float64).quantile(marks).tolist()]


def _scene(baseline: Baseline, context: Context, chosen_on: str = "val") -> Scene:
    """With half of the test split as the images that choose, the other half as those that report, if `chosen_on` says so."""
    dataset = load_data(baseline, context)
    dataset = data.halved(dataset) if chosen_on == HALF else dataset
    model = load_network(baseline, dataset, context)
    inputs = example(dataset, context)
    graph = sacp.ArchitectureGraph(model, inputs)
    space, rankings = sacp.Space(graph), sacp.rankings(model, graph)
    return Scene(dataset, normalisation(baseline, dataset), model, inputs, graph, space, rankings)


def _described(scene: Scene) -> dict[str, Any]:
    graph = scene.graph
    return {"nodes": len(graph.nodes), "edges": len(graph.edges), "entries": len(graph.entries), "d": graph.d}


def _interrupted(state: Path) -> list[dict[str, Any]]:
    """What an interrupted sample had measured; nothing, with a word on standard error, where the file is damaged."""
    if not state.exists():
        return []
    try:
        found = json.loads(state.read_bytes())
        return found if isinstance(found, list) else list(files.unseal(state))  # a list: from before November 2026
    except ValueError as fault:
        print(f"prunebook: {fault}; all of it is measured again", file=sys.stderr)
        return []


def _drop_if_damaged(state: Path) -> None:
    """Delete the state of an interrupted search, with a word on standard error, where it is not what was written."""
    try:
        if state.exists():
            files.unseal(state)
    except files.Damaged as fault:
        print(f"prunebook: {fault}; the search begins anew", file=sys.stderr)
        state.unlink()


def _drawn(p: Sample, scene: Scene) -> Tensor:
    """`n` distinct random candidates (n, L) that meet tau and, where asked, remove the wanted share of the MACs."""
    cost = f" that remove {p.removed:g} +- {p.tolerance:g} of the MACs" if p.removed is not None else ""
    removed = _removed_by(scene) if p.removed is not None else None
    found: dict[bytes, Tensor] = {}
    for start in range(0, DRAWS, AT_ONCE):
        drawn = scene.space.sample(AT_ONCE, p.tau, p.seed, start)
        if removed is not None and p.removed is not None:
            drawn = drawn[(removed(drawn) - p.removed).abs() <= p.tolerance]
        for r in drawn:
            found.setdefault(r.numpy().tobytes(), r)
            if len(found) == p.n:
                return torch.stack(list(found.values()))
    raise BadValue(
        f"n is {p.n}, but must be at most {len(found)}, the distinct ones of {DRAWS:,} random candidates with tau "
        f"{p.tau:g}{cost}"
    )


def _candidates_of(drawn: Sample | Search, context: Context) -> Tensor:
    """(n, L): those sampled, or those that a search keeps."""
    result = _record(context, _drawn_trial(drawn))
    rows = result["candidates"] if isinstance(drawn, Sample) else result["best"]
    return torch.tensor([row["r"] for row in rows])


def _unlearnt(n: int, seed: int, scene: Scene) -> Iterator[sacp.Encoder]:
    """Encoders with random weights, other than those that learning begins with."""
    for i in range(n):
        yield sacp.Encoder(scene.graph, seed=UNLEARNT + seed * n + i).eval()


def _positives(p: Learn | Triads, seed: int, scene: Scene) -> list[Tensor]:
    """The order of each entry's channels that positives keep the first of: by L1, or drawn, once for all triads."""
    if p.positives == "l1":
        return scene.rankings
    generator = torch.Generator().manual_seed(UNLEARNT + seed)
    return [torch.randperm(width, generator=generator) for width in scene.graph.widths]


def _apart(encoder: sacp.Encoder, anchor: str, rankings: Sequence[Tensor], scene: Scene) -> dict[str, float]:
    """On triads of ratios that are the same for all encoders of a network, and that none has learnt from."""
    found = sacp.apart(encoder, scene.graph, scene.space, rankings, TRIADS, anchor, seed=UNLEARNT)
    return {name: round(value, 6) for name, value in found._asdict().items()}


def _distinct(space: sacp.Space, m: int, tau: float, seed: int) -> list[list[int]]:
    """The first `m` distinct candidates of a seed's sequence, or all where there are fewer."""
    if space.size_at(tau) <= m:
        everything: list[list[int]] = space.enumerate(tau).tolist()
        return everything
    found: dict[tuple[int, ...], None] = {}
    start = 0
    while len(found) < m:
        found |= dict.fromkeys(map(tuple, space.sample(m, tau, seed, start).tolist()))
        start += m
    return [list(r) for r in found][:m]


def _as_costly(p: Search, wanted: Sequence[list[int]], scene: Scene) -> list[list[int]]:
    """For each of the candidates `wanted` a random one that meets tau and removes the same share of the MACs, all distinct.

    Of a sequence of random candidates, another than that of the random search, each goes to the nearest in cost that has
    none yet, if it is within the tolerance.
    """
    removed = _removed_by(scene)
    shares = removed(torch.tensor(wanted))
    found: list[list[int] | None] = [None] * len(wanted)
    for start in range(0, DRAWS, AT_ONCE):
        drawn = scene.space.sample(AT_ONCE, p.tau, APART + p.seed, start)
        gaps = (removed(drawn)[:, None] - shares).abs()
        for i in (gaps <= p.tolerance).any(dim=1).nonzero()[:, 0].tolist():
            r = drawn[i].tolist()
            free = [place for place, other in enumerate(found) if other is None and gaps[i, place] <= p.tolerance]
            if free and r not in found:
                found[min(free, key=gaps[i].tolist().__getitem__)] = r
            if None not in found:
                return [r for r in found if r is not None]
    lacking = sum(r is None for r in found)
    raise BadValue(
        f"of {DRAWS:,} random candidates with tau {p.tau:g}, none costs within {p.tolerance:g} of the MACs what {lacking} "
        f"of the {len(found)} best candidates of the search do"
    )


def _removed_by(scene: Scene) -> Callable[[Tensor], Tensor]:
    """A function from candidates (n, L) to the shares of the MACs that they remove, (n,) float64."""
    count = _counter(scene.model, scene.inputs, scene.graph, scene.space)
    whole = measure.cost(scene.model, scene.inputs).macs
    return lambda r: 1 - count(r)[:, 0].double() / whole


def _counter(
    model: nn.Module, inputs: Tensor, graph: sacp.ArchitectureGraph, space: sacp.Space
) -> Callable[[Tensor], Tensor]:
    """A function from candidates (n, L) to the MACs and parameters that they leave, (n, 2) int64, exactly.

    What `cutting.cost_if_kept` counts one by one, for millions. A layer costs the product of its inputs and its outputs, so
    a network costs a constant, and something for each entry, and something for each pair of entries times the channels that
    both lose. It is asked for each of these once; which channels stay makes no difference.
    """
    count = cutting.cost_if_kept(model, inputs, [entry[0] for entry in graph.entries])
    lost = torch.tensor([[w - space.kept(e, q) for q in range(space.steps)] for e, w in enumerate(space.widths)]).double()
    most = space.steps - 1

    def cost(ratios: dict[int, int]) -> Tensor:
        kept = {graph.entries[e][0]: range(space.kept(e, q)) for e, q in ratios.items()}
        return torch.tensor(count(kept), dtype=torch.float64)

    whole = cost({})
    alone = torch.stack([torch.stack([cost({e: q}) - whole for q in range(space.steps)]) for e in range(space.L)])
    both = torch.zeros(2, space.L, space.L, dtype=torch.float64)
    for e, f in combinations(range(space.L), 2):
        more = cost({e: most, f: most}) - whole - alone[e, most] - alone[f, most]
        both[:, e, f] = more / (lost[e, most] * lost[f, most]).clamp(min=1)  # entries of one channel lose none

    def counted(r: Tensor) -> Tensor:
        entries, ratios = torch.arange(space.L), r.long()
        gone = lost[entries, ratios]
        pairs = torch.stack([(gone @ part * gone).sum(1) for part in both], dim=1)
        return (whole + alone[entries, ratios].sum(1) + pairs).round().long()

    return counted


def _kept_norms(scene: Scene, candidates: Tensor) -> list[float]:
    """Of each candidate, the share of the sum of all filters' L1 norms that stays."""
    layers = cutting.prunable_layers(scene.model)
    norms: dict[str, Tensor] = {}
    for name in (name for entry in scene.graph.entries for name in entry):
        weight = layers[name].weight
        assert isinstance(weight, Tensor)
        norms[name] = weight.detach().abs().flatten(1).sum(1)
    total = sum(float(norm.sum()) for norm in norms.values())
    kept = [scene.space.keep(r, scene.rankings) for r in candidates]
    return [round(sum(float(norms[name][channels].sum()) for name, channels in keep.items()) / total, 6) for keep in kept]


def _built(r: list[int], images: int, fit: Fit | None, scene: Scene, context: Context) -> dict[str, Any]:
    pruned = _pruned(torch.tensor(r), scene)
    result: dict[str, Any] = {
        "r": r,
        "removed": round(float(scene.space.ratio(torch.tensor(r))), 6),
        "cost": {counter: costs(scene.model, pruned, scene.inputs, counter) for counter in measure.COUNTERS},
    }
    _recalibrate(pruned, images, 0, scene)
    with context.timed("evaluate"):
        result["recalibrated"] = {"test": _top1(pruned, "test", scene)}
        if fit is None:
            result["recalibrated"]["val"] = _top1(pruned, "val", scene)
    if fit is not None:
        with context.timed("finetune"):
            result["history"] = train(pruned, scene.dataset, fit, scene.normal, context)
        mean, std = scene.normal
        result["test"] = scores(training.evaluate(pruned, scene.dataset.test, mean=mean, std=std), scene.dataset)
        val = round(result["history"][-1]["val_top1"], 4)  # of the network as it is now
        result["finetuned"] = {"val": val, "test": result["test"]["top1"]}
    return result


def _pruned(r: Tensor, scene: Scene) -> nn.Module:
    """A candidate's network, its channels last in memory, which takes a CPU less time."""
    plan = sacp.plan_of(scene.graph, scene.space, scene.rankings, r)
    return plan.apply(scene.model, scene.inputs).to(memory_format=torch.channels_last)


def _top1(model: nn.Module, split: str, scene: Scene) -> float:
    mean, std = scene.normal
    return round(training.evaluate(model, getattr(scene.dataset, split), mean=mean, std=std).top1, 4)


def _digest(model: nn.Module) -> str:
    """A name for the network's weights."""
    sha = hashlib.sha256()
    for tensor in model.state_dict().values():
        sha.update(tensor.cpu().numpy().tobytes())
    return sha.hexdigest()[:16]


def _recalibrate(model: nn.Module, images: int, draw: int, scene: Scene) -> None:
    mean, std = scene.normal
    drawn = data.draw(scene.dataset.train, min(images, len(scene.dataset.train)), draw)
    training.recalibrate(model, drawn, mean=mean, std=std)


def _record(context: Context, trial: Trial) -> Mapping[str, Any]:
    record = context.store.find(trial)
    assert record is not None, f"{trial.key} was needed, so it is there"
    return record.result


def _keep(context: Context, trial: Trial, encoder: sacp.Encoder, head: nn.Linear | None = None) -> None:
    """An encoder's parameters, and those of its linear layer, in a file."""
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()} if head else {}
    if distributed.is_main():
        facts = {"task": trial.task, "key": trial.key, "parameters": trial.params}
        weights.save_tensors(tensors, context.checkpoint(trial), facts=facts)


def _scorer(p: Learn | Regress, scene: Scene, context: Context) -> sacp.Scorer:
    tensors = weights.load_tensors(context.checkpoint(encoder_trial(p)))
    encoder = sacp.Encoder(scene.graph, seed=p.seed, edges=p.edges if isinstance(p, Learn) else "network")
    encoder.load_state_dict({name.removeprefix("encoder."): t for name, t in tensors.items() if name.startswith("encoder.")})
    head = None
    if isinstance(p, Regress):
        head = nn.utils.skip_init(nn.Linear, len(encoder.biases[-1]), 1)
        head.load_state_dict({name.removeprefix("head."): t for name, t in tensors.items() if name.startswith("head.")})
    return sacp.Scorer(encoder.eval(), scene.graph, scene.space, scene.rankings, head)
