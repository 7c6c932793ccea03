"""How the package refuses bad input: one sentence that names the thing, the value, and what is allowed."""

from collections.abc import Iterable
from difflib import get_close_matches


class BadValue(ValueError):
    """A value that cannot be used. Its message is one sentence for the person who gave it."""


class MissingData(BadValue, FileNotFoundError):
    """A dataset or a weights file is not where it was looked for. The message names the folder and the cure."""

    def __str__(self) -> str:  # FileNotFoundError would print an errno tuple
        return str(self.args[0])


def nearest(value: object, allowed: Iterable[str]) -> str:
    """The clause '; did you mean X?' for the closest allowed name, or '' where none is close."""
    matches = get_close_matches(str(value), list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def short(value: object, most: int = 200) -> str:
    """The value as Python writes it, its middle left out where that is long: a message is for reading."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def listing(names: Iterable[str], value: object = "", most: int = 600) -> str:
    """The names with commas between them, in quotes where one has a comma itself.

    Where this takes more than `most` characters: those that are most like `value`, and how many others there are.
    """
    known = list(names)
    quoted = [repr(name) for name in known] if any("," in name for name in known) else known
    text = ", ".join(quoted)
    if len(text) <= most:
        return text
    alike = get_close_matches(str(value), quoted, n=5, cutoff=0.0)
    return f"{', '.join(alike)} and {len(known) - len(alike)} others"


def choose(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`, else raise BadValue with the nearest match."""
    names = list(allowed)
    if value in names:
        return str(value)
    raise BadValue(f"{name} is {short(value)}, but must be one of: {listing(names, value)}{nearest(value, names)}")


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise BadValue('NAME is VALUE, but must be ALLOWED') unless `condition` holds."""
    if not condition:
        raise BadValue(f"{name} is {short(value)}, but must be {allowed}")
