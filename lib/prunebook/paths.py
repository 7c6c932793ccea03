"""Where things lie: the project's folder, its data, its records."""

import os
from pathlib import Path


def project() -> Path:
    """The project's folder: the nearest one, from the current folder up, that holds notebooks/ and _toc.yml.

    Outside of a project (the package used alone) it is the current folder. PRUNEBOOK_HOME overrides the search.
    """
    if home := os.environ.get("PRUNEBOOK_HOME"):
        return Path(home).expanduser().resolve()
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / "notebooks").is_dir() and (f / "_toc.yml").is_file()), here)


def data_root() -> Path:
    """Folder of the datasets: PRUNEBOOK_DATA, by default data/raw of the project."""
    return Path(os.environ.get("PRUNEBOOK_DATA") or project() / "data" / "raw").expanduser()


def weights_root() -> Path:
    """Folder of foreign weights: PRUNEBOOK_WEIGHTS, by default weights/ in the folder of the datasets."""
    return Path(os.environ.get("PRUNEBOOK_WEIGHTS") or data_root() / "weights").expanduser()


def cache() -> Path:
    """Folder of local records and checkpoints, ignored by git: PRUNEBOOK_CACHE, by default data/cache of the project."""
    return Path(os.environ.get("PRUNEBOOK_CACHE") or project() / "data" / "cache").expanduser()


def results() -> Path:
    """Folder of the published records, committed."""
    return project() / "data" / "results"


def networks() -> Path:
    """Folder of the published networks that were trained here, committed."""
    return project() / "data" / "networks"
