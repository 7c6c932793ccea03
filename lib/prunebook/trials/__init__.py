"""Trials: everything expensive, described as data, run once, recorded, and read ever after."""

from prunebook.trials import annealing as _annealing  # noqa: F401  importing these registers the tasks
from prunebook.trials import communities as _communities  # noqa: F401
from prunebook.trials import comparisons as _comparisons  # noqa: F401
from prunebook.trials import searching as _searching  # noqa: F401
from prunebook.trials import tasks as _tasks  # noqa: F401
from prunebook.trials.engine import MissingRecords, Results, compute, describe, missing, publish_network, run
from prunebook.trials.store import DamagedRecord, Record, Store, is_stale
from prunebook.trials.trial import Task, Trial, tasks

__all__ = [
    "DamagedRecord",
    "MissingRecords",
    "Record",
    "Results",
    "Store",
    "Task",
    "Trial",
    "compute",
    "describe",
    "is_stale",
    "missing",
    "publish_network",
    "run",
    "tasks",
]
