"""The page on speed and memory: it reads what the benchmarks kept and runs no trial."""

from prunebook.studies.parameters import NotebookParameters
from prunebook.trials import Trial


class Parameters(NotebookParameters):
    pass


def trials(p: Parameters) -> list[Trial]:
    return []
