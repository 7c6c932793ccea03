"""The page on scaling: what whole runs cost on more machines than there are here. It simulates, and runs no trial."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from prunebook.errors import choose
from prunebook.studies.parameters import NotebookParameters, known, listed, within
from prunebook.trials import Trial, rates

PAPERS = ("kcore", "dice", "sacp", "mrp", "annealing")  # the notebooks that have trials
MOST = 10_000  # GPUs


class Parameters(NotebookParameters):
    notebooks: list[str] = Field(list(PAPERS), min_length=1, description=f"of {', '.join(PAPERS)}")
    runs: list[str] = Field(
        ["lite", "paper", "paper-ablations", "paper-imagenet"],
        min_length=1,
        description="names of their runs; each notebook has some of them",
    )
    gpus: list[int] = Field([1, 8, 100], min_length=1, description="numbers of GPUs, or of machines")
    macs_per_second: float = Field(
        4e12, gt=0, le=1e18, description="multiply-accumulates a second of a GPU in training, where none was measured"
    )
    milliseconds_per_step: float = Field(
        5.0, ge=0, le=1e4, description="that a step of training takes at least on such a GPU"
    )

    _lists = field_validator("notebooks", "runs", "gpus", mode="before")(listed)
    _notebooks = field_validator("notebooks")(known("notebooks", PAPERS))

    @field_validator("gpus")
    @classmethod
    def _some_gpus(cls, values: list[int]) -> list[int]:
        return [int(n) for n in within("gpus", values, 1, MOST, f"a number from 1 to {MOST:,}")]

    @property
    def assumed(self) -> rates.Assumed:
        return rates.Assumed(self.macs_per_second, self.milliseconds_per_step / 1000)

    @model_validator(mode="after")
    def _known_runs(self) -> Self:
        there = [run for name in self.notebooks for run in runs_of(name)]
        for run in self.runs:
            choose("runs", run, dict.fromkeys(there))
        return self


def runs_of(notebook: str) -> list[str]:
    from prunebook import notebooks  # which imports this package

    return list(notebooks.get(notebook).description.runs)


def trials(p: Parameters) -> list[Trial]:
    return []
