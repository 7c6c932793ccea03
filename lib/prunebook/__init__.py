"""PruneBook: pruning neural networks by redundancy; five papers re-run, checked and taught."""

import importlib
from typing import TYPE_CHECKING, Any

from prunebook.errors import BadValue

if TYPE_CHECKING:
    from prunebook.plan import PruningPlan
    from prunebook.pruning import prune

_LATER = {"PruningPlan": "prunebook.plan", "prune": "prunebook.pruning"}  # loaded when asked for, and PyTorch with them


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_LATER]


__all__ = ["BadValue", "PruningPlan", "prune"]
