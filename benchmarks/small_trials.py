"""Trials that cost nothing, and some that keep one core busy, to time what runs them. A module, so that workers find it."""

import time
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


def fill(store: Store, n: int) -> None:
    """`n` records as a run would leave them, but for their number of seconds; it asks for the machine's facts once."""
    facts = provenance.describe("cpu") | {"processes": 1, "networks": {}}
    for trial in trials(n):
        store.put(trial, Record("small", 1, trial.key, trial.params, {"value": trial.params["x"]}, {"total": 0.001}, facts))
