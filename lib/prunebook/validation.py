"""Turn pydantic's findings into the one sentence that a person needs."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from prunebook.errors import nearest, short


def sentence(fault: ValidationError, model: type[BaseModel]) -> str:
    """The first thing wrong, in one sentence: which parameter, which value, what is allowed, the nearest match."""
    found = fault.errors(include_url=False)
    first = next((error for error in found if error["type"] == "extra_forbidden"), found[0])
    where = [part if part.isprintable() else repr(part) for part in map(str, first["loc"])]
    name = ".".join(where) or model.__name__
    value = first.get("input")
    if first["type"] == "extra_forbidden":
        known = list(_fields(model, where[:-1]))
        return f"there is no parameter {name!r}; there are: {', '.join(known)}{nearest(where[-1], known)}"
    if first["type"] == "missing":
        return f"the parameter {name!r} is missing"
    if first["type"] == "literal_error":
        expected = str(first["ctx"]["expected"])
        allowed = [part.strip("' ") for part in expected.replace(" or ", ", ").split(",")]
        return f"{name} is {short(value)}, but must be one of: {', '.join(allowed)}{nearest(value, allowed)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # raised by a validator of ours: already a sentence
        return message
    return f"{name} is {short(value)}: {message[0].lower()}{message[1:]}"


def _fields(model: type[BaseModel], path: list[str]) -> dict[str, Any]:
    """The fields at `path` inside a model of models."""
    for part in path:
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        inner = [k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel)]
        if not inner:
            break
        model = inner[0]
    return model.model_fields
