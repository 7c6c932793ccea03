"""Every record, every checkpoint and every executed page against its digest."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from prunebook import notebooks, paths, weights
from prunebook.errors import BadValue
from prunebook.trials.store import Store, read


class Verdict(NamedTuple):
    """How many files are whole; what is wrong, a sentence for each bad file; and what is neither.

    `unchecked` are encoders from before they had a description, and `rests` files of writers that were killed: nothing reads
    them, and they can be deleted where no run is going on.
    """

    records: int
    checkpoints: int
    bad: list[str]
    unchecked: list[Path]
    rests: list[Path]
    pages: int = 0


def verify(store: Store | None = None) -> Verdict:
    """Look at all records of the store's two folders, at the checkpoints here and the published ones, and at all pages."""
    store = store or Store()
    verdict = Verdict(0, 0, [], [], [])
    for folder in (store.local, store.published):
        for path in sorted(folder.glob("*/*.json")):
            if trouble := _of_record(path):
                verdict.bad.append(trouble)
            else:
                verdict = verdict._replace(records=verdict.records + 1)
        verdict.rests.extend(sorted(folder.glob("*/.*.part")))
    for folder in (paths.cache() / "checkpoints", paths.networks()):
        for path in _checkpoints(folder):
            if weights.is_described(path) or not _is_encoder(path):
                try:
                    weights.check(path)
                    verdict = verdict._replace(checkpoints=verdict.checkpoints + 1)
                except BadValue as fault:
                    verdict.bad.append(str(fault))
            else:
                verdict.unchecked.append(path)
        verdict.rests.extend(sorted(folder.glob("*/.*.part")))
    pages = notebooks.executed()
    damaged = of_pages(pages)
    verdict.bad.extend(damaged)
    return verdict._replace(pages=len(pages) - len(damaged))


def of_pages(pages: Iterable[Path]) -> list[str]:
    """A sentence for each executed page that is not as it was written."""
    bad = []
    for page in pages:
        try:
            notebooks.check(page)
        except BadValue as fault:
            bad.append(str(fault))
    return bad


def _of_record(path: Path) -> str | None:
    """What is wrong with a record's file: its content, or its place, which would make it another trial's."""
    try:
        record = read(path)
    except BadValue as fault:
        return str(fault)
    if (record.task, record.key) != (path.parent.name, path.stem):
        return f"{path} is the record of {record.task} {record.key}, which belongs under that name; delete it"
    return None


def _checkpoints(folder: Path) -> Iterator[Path]:
    """The files of tensors, be they there or only described."""
    found = {*folder.glob("*/*.safetensors"), *(path.with_suffix("") for path in folder.glob("*/*.safetensors.json"))}
    return iter(sorted(found))


def _is_encoder(path: Path) -> bool:
    """Whether the file is one of those that once came without a description: what no network's trial has left."""
    return path.parent.name in ("learn", "regress")
