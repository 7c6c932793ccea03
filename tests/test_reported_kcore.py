"""The transcription of the k-core paper's tables: complete, consistent, and equal to what it says was printed."""

import re
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
import reported
from reported import Row

COLUMNS = [
    "table", "row", "section", "dataset", "model", "method", "reference",
    "ours", "tau", "sample_size", "metric", "value", "unit", "printed",
]  # fmt: skip

# Counted by hand in the paper: rows under the heading; in Tables 2 to 5 also by dataset, CIFAR-10 then CIFAR-100.
PRINTED_ROWS = {1: 9, 2: 22, 3: 23, 4: 16, 5: 15, 6: 15, 7: 8, 8: 8}
BY_DATASET = {2: (12, 10), 3: (17, 6), 4: (10, 6), 5: (8, 7)}
SECTIONS = {1: "4.1", 2: "4.2", 3: "4.2", 4: "4.2", 5: "4.2", 6: "4.2", 7: "4.3", 8: "4.4"}
# Rows marked "Ours", and dashes, of each table: also by hand.
OURS_ROWS = {1: 0, 2: 6, 3: 7, 4: 6, 5: 6, 6: 2, 7: 1, 8: 8}
DASHES = {1: 0, 2: 1, 3: 6, 4: 2, 5: 0, 6: 6, 7: 0, 8: 0}

DROP_AND_RATES = {"top1_drop", "fr", "pr"}
METRICS = {
    1: {"top1", "macs", "params", "pruning_time"},
    **dict.fromkeys((2, 3, 4, 5, 8), DROP_AND_RATES),
    6: DROP_AND_RATES | {"top5_drop"},
    7: {"pruning_time", "finetuning_epochs", "total_time", "fr", "top1_drop"},
}
UNITS = {
    "top1": "percent",
    "top5": "percent",
    "top1_drop": "points",
    "top5_drop": "points",
    "fr": "percent",
    "pr": "percent",
    "macs": "M",
    "params": "M",
    "pruning_time": "s",
    "finetuning_epochs": "epochs",
    "total_time": "s",
}
CIFAR_MODELS = {"VGG-16", "ResNet-56", "ResNet-110", "DenseNet-40"}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return reported.rows("kcore")


def number(printed: str) -> Decimal | None:
    """What a printed cell says: None for a dash; the minus may be typographic, "~" means about, E3 thousands."""
    if printed in ("–", "—"):
        return None
    return Decimal(printed.replace("−", "-").removeprefix("~"))


def test_the_columns_are_the_agreed_ones() -> None:
    assert reported.columns("kcore") == COLUMNS


def test_every_printed_row_is_there_once_and_numbered_from_one(rows: list[Row]) -> None:
    assert reported.row_counts(rows) == {str(table): n for table, n in PRINTED_ROWS.items()}


@pytest.mark.parametrize(("table", "counts"), BY_DATASET.items())
def test_rows_of_each_dataset(rows: list[Row], table: int, counts: tuple[int, int]) -> None:
    printed = {(row["row"], row["dataset"]) for row in rows if row["table"] == str(table)}
    datasets = Counter(dataset for _, dataset in printed)
    assert (datasets["CIFAR-10"], datasets["CIFAR-100"]) == counts
    assert datasets.total() == PRINTED_ROWS[table]


def test_every_printed_row_has_every_column_of_its_table(rows: list[Row]) -> None:
    found = defaultdict(set)
    for row in rows:
        found[int(row["table"]), row["row"], row["model"]].add(row["metric"])
    for (table, _, model), metrics in found.items():
        top5 = {"top5"} if (table, model) == (1, "ResNet-50") else set()
        assert metrics == METRICS[table] | top5
    assert len(rows) == 9 * 4 + 1 + (22 + 23 + 16 + 15) * 3 + 15 * 4 + 8 * 5 + 8 * 4 * 3


def test_no_number_is_there_twice(rows: list[Row]) -> None:
    key = ("table", "row", "dataset", "model", "method", "tau", "sample_size", "metric")
    assert reported.repeated(rows, key) == []
    # Nor does the row's number alone keep two of them apart.
    assert reported.repeated(rows, [column for column in key if column != "row"]) == []


def test_metrics_and_units_are_of_the_vocabulary(rows: list[Row]) -> None:
    assert {(row["metric"], row["unit"]) for row in rows} == set(UNITS.items())


def test_sections_datasets_and_models(rows: list[Row]) -> None:
    assert {(int(row["table"]), row["section"]) for row in rows} == set(SECTIONS.items())
    pairs = {(row["dataset"], row["model"]) for row in rows}
    assert pairs == {(d, m) for d in ("CIFAR-10", "CIFAR-100") for m in CIFAR_MODELS} | {("ImageNet", "ResNet-50")}
    fixed = {"2": "VGG-16", "3": "ResNet-56", "4": "ResNet-110", "5": "DenseNet-40", "6": "ResNet-50", "7": "ResNet-56"}
    assert all(row["model"] == fixed.get(row["table"], row["model"]) for row in rows)
    assert {row["dataset"] for row in rows if row["table"] == "7"} == {"CIFAR-10"}
    assert {row["dataset"] for row in rows if row["table"] == "8"} == {"CIFAR-100"}


def test_whose_row_it_is(rows: list[Row]) -> None:
    for row in rows:
        assert row["ours"] == ("true" if row["method"] == "Ours" else "false")
        own = row["method"] in ("Ours", "Baseline")
        assert own == (row["reference"] == "")
        assert own or 1 <= int(row["reference"]) <= 72
        assert (row["method"] == "Baseline") == (row["table"] == "1")
        assert (row["tau"] != "") == (row["method"] == "Ours" and row["table"] not in ("7", "8"))
        assert row["tau"] in ("", "0.6", "0.65", "0.7", "0.75", "0.8")
    ours = Counter(int(table) for table, _ in {(row["table"], row["row"]) for row in rows if row["ours"] == "true"})
    assert {table: ours[table] for table in PRINTED_ROWS} == OURS_ROWS


def test_sample_sizes_are_those_of_table_8(rows: list[Row]) -> None:
    sizes = {(row["row"], row["sample_size"]) for row in rows if row["table"] == "8"}
    assert sizes == {(str(i), str(25 * i)) for i in range(1, 9)}
    assert {row["sample_size"] for row in rows if row["table"] != "8"} == {""}


def test_every_value_is_the_printed_number(rows: list[Row]) -> None:
    dashes: Counter[int] = Counter()
    for row in rows:
        expected = number(row["printed"])
        if expected is None:
            dashes[int(row["table"])] += 1
            assert row["value"] == ""
        else:
            assert re.fullmatch(r"-?\d+(\.\d+)?", row["value"]), row
            assert Decimal(row["value"]) == expected, row
    assert {table: dashes[table] for table in PRINTED_ROWS} == DASHES


def test_rates_lie_between_none_and_all(rows: list[Row]) -> None:
    assert all(0 < float(row["value"]) < 100 for row in rows if row["metric"] in ("fr", "pr") and row["value"])


def test_table_7_adds_epochs_to_seconds(rows: list[Row]) -> None:
    """So the paper prints its totals; a digit typed wrong in one of the three columns would break the sum."""
    by_row: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        if row["table"] == "7" and row["metric"] in ("pruning_time", "finetuning_epochs", "total_time"):
            by_row[row["row"]][row["metric"]] = int(row["value"])
    for found in by_row.values():
        assert found["pruning_time"] + found["finetuning_epochs"] == found["total_time"]


@pytest.mark.parametrize(
    ("table", "row", "model", "metric", "expected"),
    [
        (1, 1, "VGG-16", "macs", "CIFAR-10 Baseline   314.57 314.57"),
        (1, 8, "DenseNet-40", "params", "CIFAR-100 Baseline   1.10 1.10"),
        (1, 9, "ResNet-50", "macs", "ImageNet Baseline   4130 4.13E3"),
        (1, 9, "ResNet-50", "top5", "ImageNet Baseline   92.87 92.87"),
        (2, 1, "VGG-16", "top1_drop", "CIFAR-10 GDP 60  -0.10 −0.10"),
        (2, 1, "VGG-16", "pr", "CIFAR-10 GDP 60   —"),
        (2, 12, "VGG-16", "pr", "CIFAR-10 Ours  0.7 88.82 88.82"),
        (2, 21, "VGG-16", "top1_drop", "CIFAR-100 Ours  0.75 0.7 0.7"),
        (3, 16, "ResNet-56", "top1_drop", "CIFAR-10 Ours  0.65 -0.03 -0.03"),
        (3, 16, "ResNet-56", "fr", "CIFAR-10 Ours  0.65 50.10 50.10"),
        (3, 20, "ResNet-56", "pr", "CIFAR-100 GRDP 40  17.50 17.50"),
        (4, 5, "ResNet-110", "top1_drop", "CIFAR-10 HRank 6  -0.73 −0.73"),
        (4, 16, "ResNet-110", "pr", "CIFAR-100 Ours  0.65 37.39 37.39"),
        (5, 8, "DenseNet-40", "fr", "CIFAR-10 Ours  0.65 76.45 76.45"),
        (5, 12, "DenseNet-40", "top1_drop", "CIFAR-100 ℓ1-norm 8  0.96 0.96"),
        (6, 14, "ResNet-50", "top5_drop", "ImageNet Ours  0.65 3.53 3.53"),
        (6, 15, "ResNet-50", "pr", "ImageNet HRank 6  67.57 67.57"),
        (7, 1, "ResNet-56", "fr", "CIFAR-10 Ours   59.8 59.8"),
        (7, 7, "ResNet-56", "total_time", "CIFAR-10 AMC 72  1100 ~1100"),
        (8, 4, "ResNet-110", "top1_drop", "CIFAR-100 Ours   0.64 0.64"),
        (8, 8, "DenseNet-40", "pr", "CIFAR-100 Ours   16.46 16.46"),
    ],
)
def test_spot_values(rows: list[Row], table: int, row: int, model: str, metric: str, expected: str) -> None:
    """Expected: dataset, method, reference, tau, value and printed characters, with a space between each two."""
    key = ("dataset", "method", "reference", "tau", "value", "printed")
    assert reported.shown(rows, key, table=str(table), row=str(row), model=model, metric=metric) == expected
