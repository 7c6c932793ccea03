"""Trials that cost nothing, and some that keep one core busy, to time what runs them. A module, so that workers find it."""

import time
from collections.abc import Iterable
from typing import Any

from prunebook.trials import Record, Store, Trial, provenance
from prunebook.trials.trial import Parameters, task


class Number(Parameters):
    x: int
    seconds: float = 0.0

    def describe(self) -> str:
        return str(self.x)


@task("small", version=1, parameters=Number)
def small(p: Number, context: Any) -> dict[str, Any]:
    """Counts for so many seconds of the processor's time."""
    end, steps = time.process_time() + p.seconds, 0
    while time.process_time() < end:
        steps += 1
    return {"value": p.x}


def trials(n: int, seconds: float = 0.0) -> list[Trial]:
    return [Trial("small", {"x": x, "seconds": seconds}) for x in range(n)]


def fill(store: Store, wanted: Iterable[Trial]) -> None:
    """Records of one number each as a run would leave them, but for their seconds; it asks for the machine's facts once."""
    facts = provenance.describe("cpu") | {"processes": 1, "networks": {}}
    for number, trial in enumerate(wanted):
        params = trial.parameters.model_dump(mode="json")
        record = Record(trial.task, trial.definition.version, trial.key, params, {"value": number}, {"total": 0.001}, facts)
        store.put(trial, record)
