"""How many of its filters a layer may lose, and the ratio at which a network loses a wanted share of its MACs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

from prunebook.errors import BadValue, require

Keep = dict[str, list[int]]  # kept channels by layer name


def limit(width: int, ratio: float) -> int:
    """At most so many of a layer's `width` filters go: the whole filters in `ratio` times `width`, but never all of them."""
    whole = math.floor(ratio * width + 1e-9)  # so that .29 of 100 is 29, which floating point makes 28.999...
    return min(whole, width - 1)


def check_dial(ratio: float | None, target: float | None, of: str) -> None:
    """Raise BadValue unless exactly one is given, a `ratio` in [0, 1) or a `target` in (0, 1); `of` names the function."""
    if (ratio is None) == (target is None):
        given = "neither is given" if ratio is None else f"given are ratio {ratio!r} and target {target!r}"
        raise BadValue(f"{of} needs either ratio, a share of the filters, or target, a share of the MACs: {given}")
    if ratio is not None:
        require(
            _is_number(ratio) and 0 <= ratio < 1, "ratio", ratio, "a share of each layer's filters, at least 0 and below 1"
        )
    else:
        require(_is_number(target) and 0 < target < 1, "target", target, "a share of the MACs between 0 and 1, such as 0.5")


def reach(
    target: float, decide: Callable[[float], Keep], macs: Callable[[Mapping[str, Sequence[int]]], int]
) -> tuple[Keep, float, float]:
    """The decision that removes as near as can be to `target` of the MACs, its ratio, and the share that it removes.

    `decide` maps a ratio in [0, 1) to kept channels, fewer for a higher ratio; `macs` counts what is left, see
    `cutting.macs_if_kept`. By bisection; of all ratios tried, the nearest is taken, and of equally near ones the first.

    Raises BadValue where the nearest is more than a tenth of the MACs away.
    """
    whole = macs({})
    best: tuple[Keep, float, float] = ({}, 0.0, 0.0)
    low, high = 0.0, 1.0
    while high - low > 1e-4:  # finer than one filter of any layer
        ratio = (low + high) / 2
        keep = decide(ratio)
        removed = 1 - macs(keep) / whole
        if abs(removed - target) < abs(best[2] - target):
            best = keep, ratio, removed
        low, high = (low, ratio) if removed > target else (ratio, high)
    near = f"near a share that some ratio removes; the nearest is {best[2]:.3f}"
    require(abs(best[2] - target) <= 0.1, "target", target, near)
    return best


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
