"""What the parameters of all notebooks have in common: they are checked as a whole before anything runs."""

import ast
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prunebook.errors import BadValue
from prunebook.validation import sentence


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
            raise BadValue(sentence(fault, cls)) from None

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
