"""Records and checkpoints of other machines, copied into this one's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prunebook import weights
from prunebook.errors import BadValue, require
from prunebook.trials.engine import Context
from prunebook.trials.store import Record, Store, is_stale, read, same_parameters
from prunebook.trials.trial import Trial


@dataclass
class Merged:
    """How many records and checkpoints were copied, were there already, or are of no use; what was refused, and why."""

    records: int = 0
    checkpoints: int = 0
    known: int = 0
    stale: int = 0
    refused: list[str] = field(default_factory=list)


def merge(folder: str | Path, store: Store | None = None) -> Merged:
    """Copy what another machine computed: `folder` is its data/cache, or a copy of it, with `records` and `checkpoints`.

    Nothing of this machine is replaced by something else. Refused are damaged files; records whose result is another one
    than ours for the same trial; networks that are another copy than ours, and the records that were made with them.

    Raises BadValue for a folder that has no records.
    """
    folder, store = Path(folder), store or Store()
    require((folder / "records").is_dir(), "folder", str(folder), "one with a folder records, such as another data/cache")
    require(
        (folder / "records").resolve() != store.local.resolve(), "folder", str(folder), "another one than this project's"
    )
    merged = Merged()
    for path in sorted((folder / "checkpoints").glob("*/*.safetensors")):  # first: no record without its network
        _take_checkpoint(path, store, merged)
    for path in sorted((folder / "records").glob("*/*.json")):
        _take_record(path, store, merged)
    return merged


def _take_checkpoint(path: Path, store: Store, merged: Merged) -> None:
    try:
        facts = weights.check(path)["facts"]
        trial = Trial(facts["task"], facts["parameters"])
    except (BadValue, KeyError, TypeError) as fault:
        merged.refused.append(str(fault) if isinstance(fault, BadValue) else f"{path} does not say which trial it is of")
        return
    context = Context("cpu", store)
    here = context.network(trial)
    if not here.is_file():
        weights.copy(path, context.checkpoint(trial))
        merged.checkpoints += 1
    elif weights.sha256(here) == weights.sha256(path):
        merged.known += 1
    else:
        merged.refused.append(f"{path} is another copy of the network than {here}, which stays")


def _take_record(path: Path, store: Store, merged: Merged) -> None:
    try:
        record = read(path)
        if is_stale(record):
            merged.stale += 1
            return
        trial = Trial(record.task, record.params)
        ours = store.find(trial)
    except BadValue as fault:
        merged.refused.append(str(fault))
        return
    if not same_parameters(record, trial) or record.key != trial.key:
        merged.refused.append(f"{path} is not a record of the trial that it names")
    elif ours is not None and _result(ours) == _result(record):
        merged.known += 1
    elif ours is not None:
        merged.refused.append(f"{path} has another result than {store.path(trial)} or the published record, which stays")
    elif other := next(_other_networks(record, trial, store), None):
        merged.refused.append(f"{path} was made with another copy of the network {other} than the one here")
    else:
        store.put(trial, record)
        merged.records += 1


def _result(record: Record) -> str:
    """Without the seconds that some tasks have in their result, which are never the same twice."""
    return json.dumps({name: value for name, value in record.result.items() if name != "latency"}, sort_keys=True)


def _other_networks(record: Record, trial: Trial, store: Store) -> Iterator[str]:
    """The networks that the record was made with of which there is another copy here."""
    for one in (*trial.needs(), trial):
        digest, ours = record.provenance.get("networks", {}).get(one.key), Context("cpu", store).network(one)
        if digest is not None and ours.is_file() and weights.sha256(ours) != digest:
            yield one.key
