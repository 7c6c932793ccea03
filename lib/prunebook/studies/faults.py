"""The page on faults: it reads what `make chaos` kept and runs no trial."""

from prunebook.studies.parameters import NotebookParameters
from prunebook.trials import Trial


class Parameters(NotebookParameters):
    pass


def trials(p: Parameters) -> list[Trial]:
    return []
