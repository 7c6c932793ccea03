"""All records as one table, in a file that other programs read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebook import files
from prunebook.errors import BadValue, choose
from prunebook.trials.store import Record, Store, is_stale

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".parquet")


def table(store: Store | None = None) -> "pd.DataFrame":
    """One row a record, stale ones and both folders' included; raises DamagedRecord for a record that is not whole.

    Columns are task, key, version, where ("local" or "published"), state ("current" or "stale"), sha256, and every number
    and word of params, result, times and provenance under its nested names, joined by dots. A list is a cell of JSON.
    """
    import pandas as pd  # here, because no worker needs it

    store = store or Store()
    rows = []
    for where, folder in (("local", store.local), ("published", store.published)):
        rows += [_row(where, record) for record in store.records(folder)]
    return pd.DataFrame(rows)


def export(path: str | Path, store: Store | None = None) -> int:
    """Write `table` to a .csv or .parquet file, in one step; how many records it has.

    Raises BadValue for another suffix, and for .parquet where pyarrow is not installed.
    """
    path = Path(path)
    suffix = choose("suffix of the table's file", path.suffix.lower(), FORMATS)
    if suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise BadValue(
                "a .parquet file needs pyarrow, which is not installed: pip install 'prunebook[parquet]', or export to .csv"
            ) from None
    rows = table(store)
    if suffix == ".parquet":
        files.write(path, lambda part: _uniform(rows).to_parquet(part, index=False, engine="pyarrow"))
    else:
        # Hundreds of columns: by default pandas would go through all of them again for every hundred rows.
        files.write(path, lambda part: rows.to_csv(part, index=False, chunksize=10_000))
    return len(rows)


def _row(where: str, record: Record) -> dict[str, Any]:
    state = "stale" if is_stale(record) else "current"
    row = {"task": record.task, "key": record.key, "version": record.version, "where": where, "state": state}
    row["sha256"] = record.digest()
    for part in ("params", "result", "times", "provenance"):
        row |= dict(_flat(getattr(record, part), part))
    return row


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for inner, content in value.items():
            yield from _flat(content, f"{name}.{inner}")
    else:
        yield name, json.dumps(value) if isinstance(value, list) else value


def _uniform(rows: "pd.DataFrame") -> "pd.DataFrame":
    """With one type for a column, which Parquet asks for: text where there are words and numbers."""
    mixed = [name for name in rows if rows[name].map(type, na_action="ignore").nunique() > 1]
    return rows.astype({name: "string" for name in mixed})
