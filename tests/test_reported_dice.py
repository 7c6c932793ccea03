"""The transcription of the Sørensen-Dice thesis's tables: complete, consistent, and equal to what it says was printed."""

import re
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
import reported
from reported import Row

COLUMNS = [
    "table", "row", "section", "dataset", "model", "method", "ours", "ratio", "metric", "value", "unit", "printed",
]  # fmt: skip

# Counted by hand in the thesis: rows under the heading, the cells that hold a number or words, and numbers of the text.
PRINTED_ROWS = {"1": 8, "2": 30, "3": 10, "": 13}
NUMBERS = {"1": 9, "2": 90, "3": 30, "": 13}
WORDS = {"optimizer", "loss", "augmentation"}
METHODS = ["L1", "Random", "Growing Reg", "Group Norm", "Sørensen-Dice"]
RESULTS = {"top1": "percent", "f1": "1", "speed_up": "1"}
UNITS = RESULTS | {
    "batch_size": "images",
    "epochs": "epochs",
    "learning_rate_start": "1",
    "learning_rate_end": "1",
    "learning_rate_decay": "1",
    "weight_decay": "1",
    "optimizer": "",
    "loss": "",
    "augmentation": "",
    "ratio_table_2": "1",
    "ratio_table_3": "1",
    "recovered_from": "percent",
    "recovered_to": "percent",
    "recalibration_time": "min",
    "pruning_and_training_time": "min",
    "baseline_training_time": "min",
    "gain_over_best": "points",
    "gain_over_random": "points",
}
SPELLED = {"one-minute": 1, "three": 3, "five": 5, "fifteen": 15}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return reported.rows("dice")


@pytest.fixture(scope="module")
def results(rows: list[Row]) -> dict[tuple[str, ...], Decimal]:
    """Values of Tables 2 and 3 by table, dataset, model, method and metric."""
    key = ("table", "dataset", "model", "method", "metric")
    return {tuple(row[column] for column in key): Decimal(row["value"]) for row in rows if row["table"] in ("2", "3")}


def number(printed: str) -> Decimal:
    """What printed characters say: a spelled number, or digits with a percent sign or a unit after them."""
    return Decimal(SPELLED[printed]) if printed in SPELLED else Decimal(printed.removesuffix("%").removesuffix(" minutes"))


def test_the_columns_are_the_agreed_ones() -> None:
    assert reported.columns("dice") == COLUMNS


def test_every_printed_row_is_there_and_numbered_from_one(rows: list[Row]) -> None:
    assert reported.row_counts(rows) == PRINTED_ROWS


def test_every_printed_row_has_every_column_of_its_table(rows: list[Row]) -> None:
    assert Counter(row["table"] for row in rows) == NUMBERS
    found = reported.metrics([row for row in rows if row["table"] in ("2", "3")])
    assert all(metrics == list(RESULTS) for metrics in found.values())


def test_each_network_has_the_five_methods_in_the_printed_order(rows: list[Row]) -> None:
    found = defaultdict(list)
    for row in rows:
        if row["table"] in ("2", "3") and row["metric"] == "top1":
            found[row["table"], row["dataset"], row["model"]].append(row["method"])
    networks = [("2", d, m) for d in ("CIFAR-10", "MNIST") for m in ("Custom CNN", "ResNet-50", "VGG-19")]
    networks += [("3", "CIFAR-10", "Custom CNN"), ("3", "MNIST", "Custom CNN")]
    assert found == dict.fromkeys(networks, METHODS)
    assert list(found) == networks


def test_no_number_is_there_twice(rows: list[Row]) -> None:
    key = ("table", "dataset", "model", "method", "metric")
    assert reported.repeated(rows, key) == []


def test_metrics_and_units_are_of_the_vocabulary(rows: list[Row]) -> None:
    assert {(row["metric"], row["unit"]) for row in rows} == set(UNITS.items())


def test_whose_number_it_is_and_at_which_ratio(rows: list[Row]) -> None:
    for row in rows:
        assert row["section"] == "4"
        assert row["ours"] == ("true" if row["method"] == "Sørensen-Dice" else "false")
        if row["table"]:
            assert row["ratio"] == {"1": "", "2": "0.2", "3": "0.25"}[row["table"]]
    assert {row["value"] for row in rows if row["metric"] == "ratio_table_2"} == {"0.2"}
    assert {row["value"] for row in rows if row["metric"] == "ratio_table_3"} == {"0.25"}


def test_every_value_is_the_printed_number(rows: list[Row]) -> None:
    for row in rows:
        if row["metric"] in WORDS:
            assert row["value"] == ""
            assert row["printed"]
        else:
            assert re.fullmatch(r"\d+(\.\d+)?", row["value"]), row
            assert Decimal(row["value"]) == number(row["printed"]), row


def test_accuracies_and_scores_agree_within_what_rounding_and_the_classes_allow(
    results: dict[tuple[str, ...], Decimal],
) -> None:
    """F1 is near the accuracy on both datasets, so a cell of the wrong row or column would stick out."""
    for (*where, metric), value in results.items():
        if metric == "f1":
            assert abs(100 * value - results[*where, "top1"]) <= 7, where
        elif metric == "speed_up":
            assert value in {Decimal(printed) for printed in ("1.55", "1.64", "1.72", "1.76", "2.28")}


def test_the_text_subtracts_table_3_rightly(rows: list[Row], results: dict[tuple[str, ...], Decimal]) -> None:
    for row in rows:
        if row["metric"].startswith("gain_over_"):
            top1 = [results["3", row["dataset"], "Custom CNN", method, "top1"] for method in METHODS]
            other = max(top1[:-1]) if row["metric"] == "gain_over_best" else top1[METHODS.index("Random")]
            assert Decimal(row["value"]) == top1[-1] - other


@pytest.mark.parametrize(
    ("table", "row", "metric", "expected"),
    [
        ("1", "1", "batch_size", "   32 32"),
        ("1", "2", "optimizer", "    Adam"),
        ("1", "3", "learning_rate_end", "   0.0001 1e-4"),
        ("1", "4", "weight_decay", "   0.00001 1e-5"),
        ("1", "5", "epochs", "   20 20"),
        ("1", "6", "learning_rate_decay", "   0.1 0.1"),
        ("1", "8", "augmentation", "    Horizontal flip, Random rotation"),
        ("2", "1", "f1", "CIFAR-10 Custom CNN L1 0.62 0.62"),
        ("2", "5", "top1", "CIFAR-10 Custom CNN Sørensen-Dice 81 81"),
        ("2", "7", "f1", "CIFAR-10 ResNet-50 Random 0.57 0.57"),
        ("2", "10", "speed_up", "CIFAR-10 ResNet-50 Sørensen-Dice 2.28 2.28"),
        ("2", "13", "f1", "CIFAR-10 VGG-19 Growing Reg 0.753 0.753"),
        ("2", "19", "top1", "MNIST Custom CNN Group Norm 79 79"),
        ("2", "22", "top1", "MNIST ResNet-50 Random 92.8 92.8"),
        ("2", "26", "f1", "MNIST VGG-19 L1 0.945 0.945"),
        ("2", "30", "f1", "MNIST VGG-19 Sørensen-Dice 0.97 0.97"),
        ("2", "30", "speed_up", "MNIST VGG-19 Sørensen-Dice 1.55 1.55"),
        ("3", "2", "top1", "CIFAR-10 Custom CNN Random 60 60"),
        ("3", "3", "f1", "CIFAR-10 Custom CNN Growing Reg 0.71 0.71"),
        ("3", "7", "f1", "MNIST Custom CNN Random 0.57 0.57"),
        ("3", "10", "top1", "MNIST Custom CNN Sørensen-Dice 98 98"),
        ("", "3", "speed_up", "MNIST Custom CNN Sørensen-Dice 1.50 1.50"),
        ("", "5", "top1", "MNIST VGG-19 other methods 80 80%"),
        ("", "9", "pruning_and_training_time", " Custom CNN  60 60 minutes"),
        ("", "10", "baseline_training_time", " Custom CNN  75 75 minutes"),
    ],
)
def test_spot_values(rows: list[Row], table: str, row: str, metric: str, expected: str) -> None:
    """Expected: dataset, model, method, value and printed characters, with a space between each two."""
    key = ("dataset", "model", "method", "value", "printed")
    assert reported.shown(rows, key, table=table, row=row, metric=metric) == expected
