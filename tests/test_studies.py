"""What all studies promise of the trials that their runs amount to."""

from functools import cache

import pytest

from prunebook import notebooks, studies
from prunebook.trials import Trial

PAPERS = [name for name in notebooks.names() if hasattr(studies.get(name), "parts")]
RUNS = [(name, run) for name in PAPERS for run in notebooks.get(name).description.runs]
MOST = 1000  # trials of a run that are looked at one by one


@cache
def trials(name: str, run: str) -> list[Trial]:
    notebook = notebooks.get(name)
    return notebook.trials(notebook.parameters(run))


@pytest.mark.parametrize(("name", "run"), RUNS)
def test_every_run_has_trials_that_are_valid_and_asked_for_once(name: str, run: str) -> None:
    found = trials(name, run)
    assert len({trial.key for trial in found}) == len(found) > 0


@pytest.mark.parametrize(("name", "run"), RUNS)
def test_trials_of_a_run_come_after_what_they_need(name: str, run: str) -> None:
    place = {trial: i for i, trial in enumerate(trials(name, run))}
    some = list(place)[:: 1 + len(place) // MOST]
    assert [trial for trial in some for need in trial.needs() if place.get(need, -1) >= place[trial]] == []


@pytest.mark.parametrize("name", [name for name in PAPERS if name != "kcore"])  # its experiments take several runs
def test_the_smoke_run_exercises_every_part(name: str) -> None:
    assert all(studies.get(name).parts(notebooks.get(name).parameters("smoke")).values())


def test_kcore_s_runs_for_readers_exercise_every_part_between_them() -> None:
    notebook = notebooks.get("kcore")
    runs = [studies.get("kcore").parts(notebook.parameters(run)) for run in ("quick", "lite", "ablations")]
    assert all(any(parts[part] for parts in runs) for part in runs[0])
