"""Trials of a test module on records of its own, those of the fixture `store` in conftest.py."""

from pathlib import Path
from typing import Any

from prunebook import trials
from prunebook.trials import Record, Store, Trial
from prunebook.trials.engine import Context


def run(store: Store, task: str, params: dict[str, Any]) -> Record:
    (record,) = trials.run([Trial(task, params)], progress=False, store=store)
    return record


def kept_by(store: Store, task: str, params: dict[str, Any]) -> Path:
    """The file that a trial leaves for others."""
    run(store, task, params)
    return Context("cpu", store).checkpoint(Trial(task, params))
