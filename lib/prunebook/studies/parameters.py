"""What the parameters of all notebooks have in common: they are checked as a whole before anything runs."""

from collections.abc import Mapping
from types import ModuleType
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
    def of_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """From a notebook's globals(), in the cell right after the parameters and the imports of modules.

        Papermill only logs a parameter that it does not know, and sets it all the same. So every plain value among the
        globals is taken for a parameter, and an unknown one is refused like any other.
        """
        hidden = {"In", "Out", "exit", "quit", "get_ipython", "open"}
        given = {
            name: value
            for name, value in namespace.items()
            if not name.startswith("_") and name not in hidden and not isinstance(value, ModuleType | type)
            and not callable(value)
        }  # fmt: skip
        return cls.check(given)
