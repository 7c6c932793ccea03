"""Tables of numbers, for networks without convolutions: network intrusions, credit-card fraud, tumours.

A row is an example, its columns are features. What kind of column it is follows from the table's own documentation; numbers
are scaled by whoever splits the rows, because only then is it known which rows may be looked at.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from prunebook import files
from prunebook.errors import BadValue, MissingData, choose, require

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("breast_cancer", "creditcard", "kddcup99")

KDD_FILE = "kddcup.data_10_percent.gz"
KDD_COLUMNS = 41  # and the label
KDD_SYMBOLIC = (1, 2, 3, 6, 11, 20, 21)  # protocol, service, flag, and four of 0 and 1 that its documentation calls symbolic
CREDIT_COLUMNS = (*(f"V{i}" for i in range(1, 29)), "Amount")  # not "Time", which counts seconds from the first row
CREDIT_CLIP = 5.0
OPENML_CREDIT = 1597  # the whole table's number there


class Table(NamedTuple):
    """Examples before they are split and scaled.

    features : float32 (n, f)
    labels : int64 (n,)
    classes : their names
    scaled : bool (f,), whether a column is a number to be scaled, not a 0 or 1 that stands for a category
    clip : deviations from the mean beyond which numbers are cut off, or None
    """

    features: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    scaled: np.ndarray
    clip: float | None


def read(name: str, root: Path) -> Table:
    """The table `name` from its files in `root`.

    "breast_cancer" comes with scikit-learn. "kddcup99" is root/kddcup99/kddcup.data_10_percent.gz as published, with a
    column of 0 and 1 for each category of a symbolic one, and without numbers that are the same in every row: 120 columns
    for the published file. "creditcard" is all CSV files in root/creditcard, with columns V1 to V28, Amount and Class.

    A file that has its checksum beside it, as those have that `fetch` writes, is compared with it; see `files.check`.

    Raises BadValue for files that cannot be used, MissingData where there are none.
    """
    choose("table", name, NAMES)
    if name == "breast_cancer":
        return _breast_cancer()
    found = [root / "kddcup99" / KDD_FILE] if name == "kddcup99" else sorted((root / "creditcard").glob("*.csv"))
    if not found or not found[0].is_file():
        wanted = root / name / (KDD_FILE if name == "kddcup99" else "*.csv")
        raise MissingData(
            f"table {name!r} is not at {wanted}: run `make data DATASET={name}`, "
            f"or set PRUNEBOOK_DATA to the folder that has {name}/"
        )
    table = _kdd(found[0]) if name == "kddcup99" else _credit(found)
    finite = bool(np.isfinite(table.features).all())
    require(
        finite, f"table {name!r}", "with missing or infinite numbers", "one with a finite number in every column and row"
    )
    return table


def fetch(name: str, root: Path) -> None:
    """Get the files that `read` wants through scikit-learn's fetchers, unless they are there and can be used.

    Raises what a fetcher raises: OSError without a network, RuntimeError or ValueError for files that are not as expected.
    """
    choose("table", name, NAMES[1:])
    try:
        read(name, root)
        return
    except BadValue:
        pass  # not there, or damaged
    import pandas as pd  # here and below, because it takes a while, and most data is no table
    from sklearn import datasets

    with tempfile.TemporaryDirectory() as temporary:
        if name == "kddcup99":
            bunch = datasets.fetch_kddcup99(data_home=temporary)
            rows = pd.DataFrame(
                [[_text(cell) for cell in (*row, label)] for row, label in zip(bunch.data, bunch.target, strict=True)]
            )
            file, options = root / name / KDD_FILE, dict[str, Any]({"header": False, "compression": "gzip"})
        else:
            rows = datasets.fetch_openml(data_id=OPENML_CREDIT, as_frame=True, parser="auto", data_home=temporary).frame
            rows["Class"] = rows["Class"].astype(str).str.strip("'")
            file, options = root / name / "creditcard.csv", {}
    files.write_with_checksum(file, lambda part: rows.to_csv(part, index=False, **options))
    read(name, root)


def _text(cell: object) -> object:
    return cell.decode() if isinstance(cell, bytes) else cell


def _breast_cancer() -> Table:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    values = bunch.data.astype(np.float32)
    names = tuple(map(str, bunch.target_names))
    return Table(values, bunch.target.astype(np.int64), names, np.ones(values.shape[1], dtype=bool), None)


def _kdd(file: Path) -> Table:
    import pandas as pd

    rows = _csv(file, header=None)
    require(rows.shape[1] == KDD_COLUMNS + 1, f"number of columns of {file}", rows.shape[1], f"{KDD_COLUMNS + 1}")
    names, labels = np.unique(rows[KDD_COLUMNS].astype(str).str.rstrip("."), return_inverse=True)
    columns, scaled = list[np.ndarray](), list[bool]()
    for column in range(KDD_COLUMNS):
        if column in KDD_SYMBOLIC:
            symbols = rows[column].to_numpy()
            columns += [symbols == symbol for symbol in sorted(pd.unique(rows[column]))]
        else:
            numbers = pd.to_numeric(rows[column], errors="coerce").to_numpy(np.float32)
            columns += [numbers] if (numbers != numbers[0]).any() else []
        scaled += [column not in KDD_SYMBOLIC] * (len(columns) - len(scaled))
    features = np.column_stack(columns).astype(np.float32)
    return Table(features, labels.astype(np.int64), tuple(map(str, names)), np.array(scaled), None)


def _credit(found: list[Path]) -> Table:
    import pandas as pd

    parts = []
    for file in found:
        rows = _csv(file)
        missing = [column for column in (*CREDIT_COLUMNS, "Class") if column not in rows]
        require(not missing, f"columns of {file}", list(map(str, rows.columns))[:5], f"to include {', '.join(missing[:5])}")
        parts.append(rows[[*CREDIT_COLUMNS, "Class"]].apply(pd.to_numeric, errors="coerce"))
    rows = pd.concat(parts)
    labels = rows.pop("Class").to_numpy()
    require(
        bool(np.isin(labels, (0, 1)).all()), "Class of table 'creditcard'", sorted(set(labels))[:5], "0 or 1 in every row"
    )
    scaled = np.ones(len(CREDIT_COLUMNS), dtype=bool)
    return Table(rows.to_numpy(np.float32), labels.astype(np.int64), ("genuine", "fraud"), scaled, CREDIT_CLIP)


def _csv(file: Path, header: int | None = 0) -> "pd.DataFrame":
    import pandas as pd

    files.check(file)
    try:
        return pd.read_csv(file, header=header)
    except (OSError, EOFError, ValueError) as fault:  # pandas raises ValueErrors of its own; gzip the others
        raise BadValue(f"{file} cannot be read as a table: {' '.join(str(fault).split())}") from None
