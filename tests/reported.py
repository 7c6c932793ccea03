"""What the tests of the papers' transcribed numbers, data/reported/*.csv, share: readers, and questions to the rows."""

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

Row = dict[str, str]


def columns(paper: str) -> list[str]:
    return _file(paper).read_text(encoding="utf-8").splitlines()[0].split(",")


def rows(paper: str) -> list[Row]:
    with _file(paper).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def frame(paper: str) -> pd.DataFrame:
    """Values as numbers; tables by their names, also where these are digits."""
    return pd.read_csv(_file(paper), dtype={"table": str})


def row_counts(rows: Sequence[Row]) -> dict[str, int]:
    """By table, the number of printed rows, which have to be numbered from 1 without a gap."""
    found = defaultdict(set)
    for row in rows:
        found[row["table"]].add(int(row["row"]))
    assert all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in found.values())
    return {table: len(numbers) for table, numbers in found.items()}


def metrics(rows: Sequence[Row]) -> dict[tuple[str, str], list[str]]:
    """By table and printed row, the metrics in their order."""
    found = defaultdict(list)
    for row in rows:
        found[row["table"], row["row"]].append(row["metric"])
    return found


def repeated(rows: Sequence[Row], key: Sequence[str]) -> list[tuple[str, ...]]:
    """Which values of the columns `key` more than one row has."""
    counts = Counter(tuple(row[column] for column in key) for row in rows)
    return [values for values, n in counts.items() if n > 1]


def shown(rows: Sequence[Row], key: Sequence[str], **where: str) -> str:
    """Columns `key` of the only row with these values, with a space between each two."""
    (found,) = [row for row in rows if all(row[column] == value for column, value in where.items())]
    return " ".join(found[column] for column in key)


def _file(paper: str) -> Path:
    return Path(__file__).resolve().parents[1] / "data" / "reported" / f"{paper}.csv"
