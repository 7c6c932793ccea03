"""The kinds of options that architectures have: types for a constructor's arguments that say which values it can use.

`prunebook.models` reads them from the constructor's signature, so that options can be checked without building a network.
"""

from collections.abc import Callable
from typing import Annotated

from prunebook.errors import choose, require

# They catch a slip of a digit; that a network fits into this machine's memory, they do not say.
WIDEST = 16  # times an architecture's own channels

Check = Callable[[str, object], None]  # (the option's name, a value): raises BadValue where no network can use it


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _width(name: str, value: object) -> None:
    require(_is_number(value) and 0 < value <= WIDEST, name, value, f"a number above 0, up to {WIDEST}")  # type: ignore[operator]


def _share(name: str, value: object) -> None:
    require(_is_number(value) and 0 < value <= 1, name, value, "a number above 0, up to 1")  # type: ignore[operator]


def up_to(most: int) -> Check:
    def check(name: str, value: object) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        require(whole and 1 <= value <= most, name, value, f"an integer from 1 to {most}")  # type: ignore[operator]

    return check


def _flag(name: str, value: object) -> None:
    require(isinstance(value, bool), name, value, "True or False")


def one_of(*names: str) -> Check:
    def check(name: str, value: object) -> None:
        choose(name, value, names)

    return check


Width = Annotated[float, _width]
Share = Annotated[float, _share]
Flag = Annotated[bool, _flag]
