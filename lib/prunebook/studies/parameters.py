"""What the parameters of all notebooks have in common: they are checked as a whole before anything runs."""

import ast
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prunebook import data, models
from prunebook.errors import BadValue, choose, nearest, require
from prunebook.validation import sentence

Schedule = Literal["one-cycle", "cosine", "step", "constant"]


class NotebookParameters(BaseModel):
    """Base of every notebook's parameters. Text such as "1e-3" or "true", as papermill hands it over, is understood."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    engine: Literal["local", "records"] = Field(
        "local", description="local: compute what has no record; records: compute nothing, refuse if one is missing"
    )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Self:
        """The parameters, or BadValue with one sentence on the first thing that is wrong."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as fault:
            notebook = cls.__module__.rpartition(".")[2]
            raise BadValue(sentence(fault, cls, f"prunebook list {notebook}")) from None

    @classmethod
    def inherited(cls, run: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """What of a run's own parameters still makes sense beside those `given` in their place: by default, all."""
        return dict(run)

    @classmethod
    def of_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """From a notebook's globals().

        Papermill only logs a parameter that it does not know, and sets it all the same. So every name that a cell of
        plain assignments has set counts as a parameter here, and an unknown one is refused like any other.
        """
        names = [name for source in namespace.get("In", []) for name in _assigned(source)]
        return cls.check({name: namespace[name] for name in names if name in namespace})


def listed(value: Any) -> Any:
    """A single value given where a list is meant."""
    return value if isinstance(value, list | tuple) else [value]


def within(name: str, values: Iterable[float], low: float, high: float, allowed: str, ends: bool = True) -> list[float]:
    """The values, sorted, without repetitions. BadValue for one outside of `low` to `high`, with or without these `ends`."""
    for value in values:
        require(low <= value <= high if ends else low < value < high, name, value, allowed)
    return sorted(set(values))


def known(name: str, allowed: Iterable[str]) -> Callable[[Iterable[str]], list[str]]:
    """A validator of a list of names: without repetitions, BadValue for one that is not `allowed`."""
    names = list(allowed)
    return lambda values: list(dict.fromkeys(choose(name, value, names) for value in values))


def shares_of_macs(name: str) -> Callable[[Iterable[float]], list[float]]:
    """A validator of a list of shares of the MACs to remove."""
    return lambda values: within(name, values, 0, 1, "a share of the MACs between 0 and 1, such as 0.5", ends=False)


def tables_of(text: str, first: int, last: int) -> Callable[[Iterable[int]], list[int]]:
    """A validator of a list of tables that a text has, by their numbers."""
    allowed = f"one of the {text}'s tables {first} {'and' if last == first + 1 else 'to'} {last}"
    return lambda values: [int(table) for table in within("tables", values, first, last, allowed)]


class NetworkParameters(NotebookParameters):
    """What studies that prune trained networks have in common: data, networks, and how these are trained here."""

    dataset: list[str] = Field(
        ["digits"], min_length=1, description="digits, mnist, fashion_mnist, cifar10, cifar100, image_folder:NAME; or a list"
    )
    size: int | None = Field(None, ge=1, description="side of the images in pixels; default: as the dataset has them")
    arch: list[str] = Field(["resnet20"], min_length=1, description="one architecture or a list of them")
    options: dict[str, dict[str, bool | int | float | str]] = Field(
        {}, description="options by architecture, such as {resnet20: {width: 0.5, shortcut: conv3}}"
    )
    weights: dict[str, str] = Field({}, description="file with trained weights by architecture; else trained here")
    normalise: Literal["dataset", "imagenet"] = Field("dataset", description="mean and deviation of the input")
    epochs: int = Field(8, ge=1, le=1000, description="of training a baseline")
    lr: float = Field(0.1, gt=0, le=10, description="of training a baseline")
    schedule: Schedule = Field("one-cycle", description="of training a baseline")
    step_every: int | None = Field(None, ge=1, description="epochs after which schedule step divides the rate by 10")
    batch_size: int = Field(64, ge=2, le=8192, description="of training and fine-tuning")

    _lists = field_validator("dataset", "arch", mode="before")(listed)
    _known_arch = field_validator("arch")(known("arch", models.names()))

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: list[str]) -> list[str]:
        return [v if v.startswith("image_folder:") else choose("dataset", v, data.names()) for v in dict.fromkeys(value)]

    @model_validator(mode="after")
    def _one_dataset_for_weights(self) -> Self:
        several = len(self.dataset) > 1 and bool(self.weights)
        require(not several, "dataset", self.dataset, "a single one where weights are given, which fit one only")
        return self

    def check_names(self, by_arch: Iterable[str]) -> None:
        """BadValue where a parameter by architecture, one of those named, has a key that is no architecture."""
        for name in by_arch:
            for arch in getattr(self, name):
                if arch not in models.names():
                    raise BadValue(f"{name} names {arch!r}, which is no architecture{nearest(arch, models.names())}")

    def check_schedule(self, schedule: str, every: str) -> None:
        """BadValue where the schedule of this name is "step", and its length is missing."""
        stepped = getattr(self, schedule) == "step"
        require(not stepped or getattr(self, every) is not None, every, None, f"given where {schedule} is 'step'")


def _assigned(source: str) -> list[str]:
    """The names that a cell sets, if all it does is to set names to literals: the parameters, given or injected."""
    try:
        statements = ast.parse(source).body
        for statement in statements:
            ast.literal_eval(statement.value)  # type: ignore[attr-defined]  # AttributeError is caught below
    except (SyntaxError, ValueError, AttributeError, TypeError):
        return []
    targets = [t for s in statements if isinstance(s, ast.Assign | ast.AnnAssign) for t in _targets(s)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _targets(statement: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]
