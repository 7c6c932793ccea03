"""The transcription of the MRP abstract's numbers: complete, and equal to what it says was printed."""

import re
from pathlib import Path

import pytest
import reported
from reported import Row

COLUMNS = [
    "table", "row", "section", "dataset", "model", "method", "ours", "metric", "bound", "value", "unit", "printed",
    "wording",
]  # fmt: skip
UNITS = {"pr": "percent", "fr": "percent", "top1_gain": "points"}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return reported.rows("mrp")


def test_the_columns_are_the_agreed_ones() -> None:
    assert reported.columns("mrp") == COLUMNS


def test_the_three_numbers_are_there_once_each_in_the_order_of_the_text(rows: list[Row]) -> None:
    assert reported.row_counts(rows) == {"": 3}
    assert [(row["metric"], row["unit"]) for row in rows] == list(UNITS.items())


def test_all_are_of_the_abstract_and_of_one_network_on_one_dataset(rows: list[Row]) -> None:
    key = ("section", "dataset", "model", "method", "ours")
    assert {tuple(row[column] for column in key) for row in rows} == {("abstract", "CIFAR-10", "ResNet-110", "MRP", "true")}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("pr", "up to 52.4 52.4% reduce the model size for ResNet-110 by up to 52.4%"),
        ("fr", "up to 50.3 50.3% FLOPs by up to 50.3% on CIFAR-10"),
        ("top1_gain", " 1.04 1.04% improving the original accuracy by 1.04% after retraining the networks"),
    ],
)
def test_values_and_words(rows: list[Row], metric: str, expected: str) -> None:
    assert reported.shown(rows, ("bound", "value", "printed", "wording"), metric=metric) == expected


def test_the_value_is_the_printed_number_and_the_bound_stands_before_it(rows: list[Row]) -> None:
    for row in rows:
        assert row["printed"] == row["value"] + "%"
        found = re.findall(r"(up to )?(\d+\.\d+%)", row["wording"])
        assert [(bound.strip(), number) for bound, number in found] == [(row["bound"], row["printed"])]


def test_the_chapter_quotes_the_numbers_with_their_bounds(rows: list[Row]) -> None:
    chapter = (Path(__file__).resolve().parents[1] / "book" / "mrp.md").read_text(encoding="utf-8")
    for row in rows:
        assert f"{row['bound']} {row['printed']}".strip() in chapter
