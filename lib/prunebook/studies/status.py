"""The status page: it reads records and runs no trial."""

from prunebook.studies.parameters import NotebookParameters
from prunebook.trials import Trial


class Parameters(NotebookParameters):
    pass


def trials(p: Parameters) -> list[Trial]:
    return []
