"""One module per notebook: its parameters, and the trials that they amount to.

A study module offers `Parameters`, a pydantic model, and `trials(parameters)`, a list of `Trial`. The notebook and the
command line both use it, so a run can be checked, estimated and computed without opening the notebook.
"""

import importlib
import pkgutil
from types import ModuleType

from prunebook.errors import choose


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "parameters")


def get(name: str) -> ModuleType:
    """The study of that name. Raises BadValue if there is none."""
    return importlib.import_module(f"{__name__}.{choose('study', name, names())}")
