"""Trial = a task's name and its parameters; everything expensive in a study is one."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prunebook.errors import BadValue, choose
from prunebook.validation import sentence

# (value) -> the one text of JSON that digests are made of
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode


class Parameters(BaseModel):
    """Base of every task's parameters: unknown names are refused, and so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Task:
    """A kind of trial.

    `version` is bumped whenever the meaning of the result changes: records of another version are stale from then on.
    `needs` names the trials that have to be done before one with these parameters. What measures times runs `alone`:
    side by side, trials slow each other down. What `leaves` a file for those that need it, a network, has to run again where
    there is its record alone.
    """

    name: str
    version: int
    parameters: type[Parameters]
    run: Callable[[Any, Any], dict[str, Any]]  # (parameters, Context) -> JSON-able result
    needs: Callable[[Any], "list[Trial]"]
    help: str
    alone: bool = False
    leaves: bool = False


_TASKS: dict[str, Task] = {}  # filled by the decorator below when prunebook.trials.tasks is imported, then constant


def task(
    name: str,
    version: int,
    parameters: type[Parameters],
    needs: Callable[[Any], "list[Trial]"] = lambda p: [],
    alone: bool = False,
    leaves: bool = False,
) -> Callable[[Callable], Callable]:
    """Decorator that registers a function (parameters, context) -> result as a task."""

    def register(function: Callable) -> Callable:
        _TASKS[name] = Task(name, version, parameters, function, needs, (function.__doc__ or "").strip(), alone, leaves)
        return function

    return register


def tasks() -> dict[str, Task]:
    """All tasks by name."""
    return dict(_TASKS)


@dataclass(frozen=True, eq=False)
class Trial:
    """One unit of work: `Trial("prune", {"tau": 0.7, ...})`.

    Raises BadValue at construction if there is no such task or the parameters are not valid for it.
    """

    task: str
    params: dict[str, Any]

    def __post_init__(self) -> None:
        choose("task", self.task, _TASKS)
        # Where the property below keeps them, so that a run of thousands of trials is not checked twice.
        self.__dict__["parameters"] = _valid(_TASKS[self.task], self.params)

    def varied(self, **changes: Any) -> "Trial":
        """The trial with other values of some parameters. Only these are read: a grid of thousands shares the others."""
        found = object.__new__(Trial)
        given = {**dict(self.parameters), **changes}  # the others as the models that they are, which pydantic takes as valid
        found.__dict__.update(task=self.task, params={**self.params, **changes}, parameters=_valid(self.definition, given))
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trial) and (self.task, self.key) == (other.task, other.key)

    def __hash__(self) -> int:
        return hash((self.task, self.key))

    @property
    def definition(self) -> Task:
        return _TASKS[self.task]

    @cached_property
    def parameters(self) -> Any:
        """The parameters as the task's own model, defaults filled in."""
        return self.definition.parameters.model_validate(self.params)

    @cached_property
    def key(self) -> str:
        """16 hex digits: the digest of the task's name and of the parameters that differ from their defaults.

        Without the defaults, a task can gain a parameter and keep its records. A changed default is still noticed: a
        record holds all of its parameters, and they are compared when it is read.
        """
        chosen = self.parameters.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(canonical([self.task, chosen]).encode()).hexdigest()[:16]

    def needs(self) -> "list[Trial]":
        return list(self._needs)

    @cached_property
    def _needs(self) -> "list[Trial]":
        return self.definition.needs(self.parameters)


def _valid(task: Task, params: Mapping[str, Any]) -> Parameters:
    try:
        return task.parameters.model_validate(params)
    except ValidationError as fault:
        raise BadValue(sentence(fault, task.parameters)) from None
