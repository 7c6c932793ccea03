"""Turn pydantic's findings into the one sentence that a person needs."""

import re
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from prunebook.errors import BadValue, listing, nearest, short

M = TypeVar("M", bound=BaseModel)

ALLOWED = {  # what a value must be, by pydantic's name of the error
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "above {gt:.15g}",
    "greater_than_equal": "at least {ge:.15g}",
    "less_than": "below {lt:.15g}",
    "less_than_equal": "at most {le:.15g}",
    "string_type": "text",
    "string_unicode": "text",
    "string_too_short": "text of {min_length} or more characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "list_type": "a list",
    "tuple_type": "a list",
    "named_tuple_type": "a list",
    "dict_type": "a mapping such as {{NAME: VALUE}}",
    "model_type": "a mapping such as {{NAME: VALUE}}",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
    "json_invalid": "JSON",
}
# Which member of a union was tried: pydantic puts it into the place, although nobody wrote it there.
_MEMBER = re.compile(r"bool|int|float|str|list\[.*\]|dict\[.*\]")


def read_json(path: Path, model: type[M]) -> M | None:
    """What a file of JSON holds; None where there is no file. Raises BadValue, which names the file, if it is not valid."""
    if not path.is_file():
        return None
    try:
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as fault:
        raise BadValue(f"{path.name}: {sentence(fault, model)}") from None


def sentence(fault: ValidationError, model: type[BaseModel], command: str = "") -> str:
    """The first thing wrong, in one sentence: which parameter, which value, what is allowed, the nearest match.

    `command` is one that lists the model's parameters; without, the sentence on an unknown one lists them.
    """
    found = fault.errors(include_url=False)
    extra = next((error for error in found if error["type"] == "extra_forbidden"), None)
    # Of the members of a union, the one that fits best is refused deepest inside the value.
    first = extra or max((error for error in found if error["loc"][:1] == found[0]["loc"][:1]), key=lambda e: len(_place(e)))
    where = [part if part.isprintable() else repr(part) for part in map(str, _named(_place(first)))]
    name, value = ".".join(where) or model.__name__, first.get("input")
    if first["type"] == "extra_forbidden":
        known = list(_fields(model, where[:-1]))
        listed = f"all {len(known)}: {command}" if command else f"there are: {listing(known, where[-1], 200)}"
        return f"there is no parameter {name!r}{nearest(where[-1], known)} ({listed})"
    if first["type"] == "missing":
        return f"the parameter {name!r} is missing"
    if first["type"] == "value_error":  # raised by a validator of ours: already a sentence
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "literal_error":
        names = re.findall("'([^']*)'", first["ctx"]["expected"])
        return f"{name} is {short(value)}, but must be one of: {listing(names, value)}{nearest(value, names)}"
    allowed = dict.fromkeys(_allowed(error) for error in found if _place(error) == _place(first))
    return f"{name} is {short(value)}, but must be {', or '.join(allowed)}"


def _allowed(error: ErrorDetails) -> str:
    words = ALLOWED.get(error["type"], f"otherwise ({error['msg'].replace('{', '{{').replace('}', '}}')})")
    return words.format(**error.get("ctx", {}))


def _place(error: ErrorDetails) -> list[int | str]:
    return [part for part in error["loc"] if not (isinstance(part, str) and _MEMBER.fullmatch(part))]


def _named(place: list[int | str]) -> list[int | str]:
    """A place as it is named to a person: a list's name stands for its items, and a key is one of its mapping."""
    while place and isinstance(place[-1], int):
        place = place[:-1]
    return [f"a key of {'.'.join(map(str, place[:-2]))}"] if place[-1:] == ["[key]"] else place


def _fields(model: type[BaseModel], path: list[str]) -> dict[str, Any]:
    """The fields at `path` inside a model of models."""
    for part in path:
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        inner = [k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel)]
        if not inner:
            break
        model = inner[0]
    return model.model_fields
