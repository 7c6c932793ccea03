"""The transcription of the SACP paper's numbers: complete, consistent, and equal to what it says was printed."""

import re
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
import reported
from reported import Row

COLUMNS = [
    "table", "row", "section", "dataset", "model", "method", "ours", "tau", "metric", "value", "unit", "printed",
]  # fmt: skip

# Counted by hand in the paper: rows under the heading, the cells of each table, and the numbers of the text.
PRINTED_ROWS = {"1": 9, "3": 16, "4": 3, "": 50}
CELLS = {"1": 45, "3": 80, "4": 9, "": 50}
MARKS = {"structure": "mark", "automatic": "mark", "search": "mark", "contrastive": "mark", "adaptable": "mark"}
RESULTS = {"top1": "percent", "macs": "M", "fr": "percent", "params": "M", "pr": "percent"}
ABLATION = ["top1", "fr", "pr"]
SETTINGS = {
    "ratio_step": "1",
    "ratio_highest": "1",
    "learning_rate": "1",
    "momentum": "1",
    "weight_decay": "1",
    "batch_size": "images",
    "epochs": "epochs",
    "epochs_lowest": "epochs",
    "epochs_highest": "epochs",
    "encoder_epochs_lowest": "epochs",
    "encoder_epochs_highest": "epochs",
    "encoder_batch_size": "configurations",
    "configurations": "configurations",
    "tau": "1",
    "candidates": "candidates",
    "m": "candidates",
    "k": "candidates",
    "m_fixed": "candidates",
    "k_fixed": "candidates",
    "k_lowest": "candidates",
    "k_highest": "candidates",
    "m_saturation": "candidates",
    "m_chosen": "candidates",
    "k_chosen": "candidates",
}
METHODS = {
    "VGG-16": ["Base", "GAL-0.05", "Hrank", "ABCPruner-80%", "SACP"],
    "ResNet-18": ["Base", "OTOv2", "ATO", "SACP"],
    "ResNet-56": ["Base", "GAL-0.6", "FPGM", "HRank", "ABCPruner-70%", "ATO", "SACP"],
}
TAU = {"VGG-16": "0.6", "ResNet-18": "0.7", "ResNet-56": "0.3"}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return reported.rows("sacp")


@pytest.fixture(scope="module")
def results(rows: list[Row]) -> dict[tuple[str, ...], Decimal]:
    """Values of Table 3 by model, method and metric, without its dashes."""
    return {
        (row["model"], row["method"], row["metric"]): Decimal(row["value"])
        for row in rows
        if row["table"] == "3" and row["value"]
    }


def number(printed: str) -> Decimal:
    """What printed characters of a table or of the text say, but for a mark of Table 1."""
    power = re.fullmatch(r"(\d) \\times 10\^\{(-\d)\}", printed)
    if power:
        return Decimal(f"{power[1]}e{power[2]}")
    plain = re.sub(r"^(approximately |over |about |top[- ]|[mk] = )", "", printed).replace(",", "")
    if plain.endswith(" million"):
        return Decimal(plain.removesuffix(" million")) * 10**6
    return Decimal(plain.rstrip("%M"))


def test_the_columns_are_the_agreed_ones() -> None:
    assert reported.columns("sacp") == COLUMNS


def test_every_printed_row_is_there_and_numbered_from_one(rows: list[Row]) -> None:
    assert reported.row_counts(rows) == PRINTED_ROWS


def test_every_printed_row_has_every_column_of_its_table(rows: list[Row]) -> None:
    assert Counter(row["table"] for row in rows) == CELLS
    expected = {"1": list(MARKS), "3": list(RESULTS), "4": ABLATION}
    assert all(metrics == expected[table] for (table, _), metrics in reported.metrics(rows).items() if table)


def test_each_network_has_its_methods_in_the_printed_order(rows: list[Row]) -> None:
    found = defaultdict(list)
    for row in rows:
        if row["table"] == "3" and row["metric"] == "top1":
            found[row["model"]].append(row["method"])
    assert found == METHODS
    assert list(found) == list(METHODS)
    assert [row["method"] for row in rows if row["table"] == "4" and row["metric"] == "top1"] == ["SACP-1", "SACP-2", "SACP"]


def test_no_number_is_there_twice_in_the_tables_or_in_a_section_of_the_text(rows: list[Row]) -> None:
    key = ("table", "section", "dataset", "model", "method", "metric")
    assert reported.repeated(rows, key) == []


def test_metrics_and_units_are_of_the_vocabulary(rows: list[Row]) -> None:
    assert {(row["metric"], row["unit"]) for row in rows} == set((MARKS | RESULTS | SETTINGS).items())


def test_whose_number_it_is_and_at_which_threshold(rows: list[Row]) -> None:
    for row in rows:
        assert row["section"] == {"1": "2.1.2", "3": "4.3", "4": "4.4", "": row["section"]}[row["table"]]
        assert row["ours"] == ("true" if row["method"] == "SACP" else "false")
        pruned = row["method"].startswith("SACP") and row["model"] != ""
        assert row["tau"] == (TAU[row["model"]] if pruned else "")
    assert {row["model"]: row["value"] for row in rows if row["metric"] == "tau"} == TAU


def test_every_value_is_the_printed_number(rows: list[Row]) -> None:
    dashes: Counter[str] = Counter()
    for row in rows:
        if row["printed"] == "-":
            assert row["value"] == ""
            dashes[row["table"]] += 1
        elif row["table"] == "1":
            assert row["value"] == {"1": "1", "X": "0"}[row["printed"]]
        else:
            assert re.fullmatch(r"\d+(\.\d+)?", row["value"]), row
            share = 100 if row["metric"] == "tau" else 1
            assert Decimal(row["value"]) * share == number(row["printed"]), row
    assert dashes == {"1": 3, "3": 6}


def test_the_printed_reductions_follow_from_the_printed_counts(results: dict[tuple[str, ...], Decimal]) -> None:
    """Within what rounding of both counts and of the percentage allows; a cell of the wrong row would stick out."""
    half = Decimal("0.005")
    checked = 0
    for (model, method, metric), reduction in results.items():
        count = {"fr": "macs", "pr": "params"}.get(metric)
        if count is None or method == "Base":
            continue
        whole, left = results[model, "Base", count], results[model, method, count]
        low, high = (100 * (1 - (left + sign * half) / (whole - sign * half)) for sign in (1, -1))
        assert low - half <= reduction <= high + half, (model, method, metric)
        checked += 1
    assert checked == 23


def test_the_text_repeats_its_tables_but_for_one_accuracy(rows: list[Row], results: dict[tuple[str, ...], Decimal]) -> None:
    key = ("model", "method", "metric")
    tables = results | {tuple(row[c] for c in key): Decimal(row["value"]) for row in rows if row["table"] == "4"}
    differing = []
    for row in rows:
        if row["table"] == "" and row["metric"] in RESULTS:
            places = 0 if re.match("approximately|over|about", row["printed"]) else 2
            if abs(Decimal(row["value"]) - tables[tuple(row[c] for c in key)]) >= Decimal(1).scaleb(-places):
                differing.append((row["section"], row["value"]))
    assert differing == [("4.4", "91.54")]


@pytest.mark.parametrize(
    ("table", "row", "metric", "expected"),
    [
        ("1", "5", "automatic", "  AMC 1 1"),
        ("1", "6", "adaptable", "  MetaPruning  -"),
        ("1", "7", "adaptable", "  ABCPruner 1 1"),
        ("1", "8", "structure", "  AGMC 1 1"),
        ("1", "8", "contrastive", "  AGMC 0 X"),
        ("3", "2", "macs", "CIFAR-10 VGG-16 GAL-0.05 189.49 189.49M"),
        ("3", "3", "pr", "CIFAR-10 VGG-16 Hrank 82.08 82.08%"),
        ("3", "4", "top1", "CIFAR-10 VGG-16 ABCPruner-80% 93.08 93.08%"),
        ("3", "5", "params", "CIFAR-10 VGG-16 SACP 1.16 1.16M"),
        ("3", "7", "macs", "CIFAR-10 ResNet-18 OTOv2 113.25 113.25M"),
        ("3", "8", "pr", "CIFAR-10 ResNet-18 ATO  -"),
        ("3", "10", "top1", "CIFAR-10 ResNet-56 Base 94.58 94.58%"),
        ("3", "11", "macs", "CIFAR-10 ResNet-56 GAL-0.6 78.30 78.30"),
        ("3", "12", "params", "CIFAR-10 ResNet-56 FPGM 0.47 0.47M"),
        ("3", "13", "top1", "CIFAR-10 ResNet-56 HRank 92.17 92.17%"),
        ("3", "16", "fr", "CIFAR-10 ResNet-56 SACP 78.06 78.06%"),
        ("4", "1", "fr", "CIFAR-10 ResNet-18 SACP-1 91.49 91.49"),
        ("4", "2", "pr", "CIFAR-10 ResNet-18 SACP-2 92.47 92.47"),
        ("", "8", "weight_decay", "CIFAR-10   0.0005 5 \\times 10^{-4}"),
        ("", "25", "candidates", "CIFAR-10 ResNet-18 SACP 1000000 1 million"),
        ("", "30", "pr", "CIFAR-10 ResNet-18 SACP 92 over 92%"),
        ("", "35", "m", "CIFAR-10 ResNet-56 SACP 300 top 300"),
        ("", "41", "top1", "CIFAR-10 ResNet-18 SACP 91.54 91.54%"),
        ("", "48", "m_saturation", "CIFAR-10 ResNet-18 SACP 150 m = 150"),
    ],
)
def test_spot_values(rows: list[Row], table: str, row: str, metric: str, expected: str) -> None:
    """Expected: dataset, model, method, value and printed characters, with a space between each two."""
    key = ("dataset", "model", "method", "value", "printed")
    assert reported.shown(rows, key, table=table, row=row, metric=metric) == expected
