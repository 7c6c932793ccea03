"""The transcription of the annealing paper's numbers: complete, consistent, and equal to what it says was printed."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
import reported
import torch
from reported import Row

from prunebook import measure, models

COLUMNS = [
    "table", "figure", "row", "section", "dataset", "model", "method", "ours", "pruned", "metric", "bound", "value", "unit",
    "printed", "wording",
]  # fmt: skip
NETWORKS = {
    "Credit Card": "mlp_credit",
    "KDD Cup'99": "mlp_kdd",
    "MNIST": "mlp_mnist",
    "CIFAR-10": "cnn_annealing",
}
UNITS = {
    "layers": "layers", "fc_layers": "layers", "params": "parameters", "step": "percent", "time": "s", "claim": "",
    "accuracy_kept": "percent of the original", "robustness_kept": "percent of the original",
    "accuracy_gain": "percent of the baseline", "robustness_gain": "percent of the baseline", "accuracy_factor": "1",
    "accuracy_gain_peak": "percent", "robustness_gain_peak": "percent", "accuracy_knee": "percent", "phi": "1", "alpha": "1",
    "beta": "1", "learning_rate": "1", "epochs": "epochs", "target": "percent", "epsilon": "1", "rounds": "rounds",
    "units_lowest": "units", "units_highest": "units",
}  # fmt: skip
# Words that stand for more than their digits.
SAID = {"4-layer MLP": "4", "6-layer MLP": "6", "5-layer MLP": "5", "8 minutes": "480", "3x": "3"}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return reported.rows("annealing")


def test_the_columns_are_the_agreed_ones() -> None:
    assert reported.columns("annealing") == COLUMNS


def test_both_tables_are_whole_and_the_text_s_numbers_are_counted_through(rows: list[Row]) -> None:
    assert reported.row_counts(rows) == {"I": 4, "II": 4, "": 36}
    expected = {"I": ["layers", "params"], "II": ["step", "time"]}
    for (table, row), found in reported.metrics(rows).items():
        if table:
            assert found == (["layers", "fc_layers", "params"] if (table, row) == ("I", "4") else expected[table])
    for table in ("I", "II"):
        names = {row["dataset"]: row["model"] for row in rows if row["table"] == table}
        assert list(names.items()) == list(NETWORKS.items())


def test_metrics_and_units_are_of_the_vocabulary(rows: list[Row]) -> None:
    assert {(row["metric"], row["unit"]) for row in rows} == set(UNITS.items())


def test_no_number_is_there_twice_in_one_place(rows: list[Row]) -> None:
    numbers = [row for row in rows if row["metric"] != "epsilon"]
    assert reported.repeated(numbers, ("table", "figure", "section", "dataset", "metric")) == []
    epsilons = [(row["dataset"], row["value"]) for row in rows if row["metric"] == "epsilon"]
    assert epsilons == [(dataset, value) for dataset in ("MNIST", "CIFAR-10") for value in ("0.01", "0.05")]


def test_nothing_is_read_off_a_figure(rows: list[Row]) -> None:
    """The figures are not in the text at hand: rows on Figures 3 and 4 have the words of the text that say it."""
    about = [row for row in rows if row["figure"]]
    assert {row["figure"] for row in about} == {"3", "4"}
    assert all(row["wording"] and not row["table"] for row in about)
    assert all(bool(row["wording"]) != bool(row["table"]) for row in rows)


def test_every_value_is_the_printed_number_and_every_number_of_the_text_stands_in_its_words(rows: list[Row]) -> None:
    for row in rows:
        if row["metric"] == "claim":
            assert row["value"] == row["printed"] == row["unit"] == ""
            continue
        number = re.search(r"[\d.,]*\d", row["printed"])
        assert number is not None
        if row["metric"] == "fc_layers":
            assert (row["value"], row["printed"]) == ("3", "13-layer CNN (3 FC layers)")
        elif row["printed"] == "1 or 2":
            assert row["value"] == {"units_lowest": "1", "units_highest": "2"}[row["metric"]]
        else:
            assert Decimal(row["value"]) == Decimal(SAID.get(row["printed"], number[0].replace(",", "")))
        if row["wording"] and row["metric"] not in ("alpha", "beta", "epsilon", "accuracy_knee"):
            assert row["printed"].removesuffix(" rounds").removesuffix(" epochs") in row["wording"]
        if row["bound"] and row["metric"] not in ("robustness_kept",):
            assert row["bound"] in row["wording"]


def test_whose_number_it_is(rows: list[Row]) -> None:
    for row in rows:
        assert row["ours"] == ("true" if row["method"] == "Supervised pruning" else "false")
        assert row["model"] == NETWORKS.get(row["dataset"], "")
        assert row["section"] == {"I": "VI.A", "II": "VI.C", "": row["section"]}[row["table"]]


def test_the_project_s_networks_have_table_1_s_counts(rows: list[Row]) -> None:
    inputs = {"mlp_credit": (29, 1, 1), "mlp_kdd": (120, 1, 23), "mlp_mnist": (1, 28, 10), "cnn_annealing": (3, 32, 10)}
    printed = {row["model"]: int(row["value"]) for row in rows if row["metric"] == "params"}
    assert printed.keys() == inputs.keys()
    for name, (channels, size, classes) in inputs.items():
        network = models.build(name, classes, channels, seed=0)
        cost = measure.cost(network, torch.zeros(1, channels, size, size))
        assert cost.params == sum(weight.numel() for weight in network.parameters()) == printed[name]


def test_the_introduction_repeats_section_vi_but_leaves_out_the_largest_gain(rows: list[Row]) -> None:
    def values(section: str, metric: str) -> set[str]:
        return {row["value"] for row in rows if row["section"] == section and row["metric"] == metric}

    for metric, later in (("accuracy_kept", "VI.B"), ("robustness_kept", "VI.B"), ("robustness_gain", "VI.D")):
        assert values("I", metric) == values(later, metric)
    assert values("I", "accuracy_gain") == {"66"} == values("VI.D", "accuracy_gain")
    assert values("VI.D", "accuracy_factor") == {"3"}  # model 2: three times the baseline, or 200 % above it


def test_only_two_of_the_four_networks_lose_one_or_two_units_a_layer_at_table_2_s_steps(rows: list[Row]) -> None:
    widths = {
        "mlp_credit": (64, 64),
        "mlp_kdd": (512, 256, 128, 128),
        "mlp_mnist": (128, 128, 64),
        "cnn_annealing": (512, 128),
    }
    units = {
        row["model"]: [round(float(row["value"]) / 100 * wide) for wide in widths[row["model"]]]
        for row in rows
        if row["metric"] == "step"
    }
    assert units == {"mlp_credit": [2, 2], "mlp_kdd": [16, 8, 4, 4], "mlp_mnist": [2, 2, 1], "cnn_annealing": [8, 2]}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"table": "I", "row": "2", "metric": "params"}, "KDD Cup'99  245655 245,655"),
        ({"table": "II", "row": "3", "metric": "time"}, "MNIST  435.4 435.4"),
        ({"table": "II", "row": "4", "metric": "step"}, "CIFAR-10  1.56 1.56%"),
        ({"figure": "3", "dataset": "CIFAR-10", "metric": "robustness_kept"}, "CIFAR-10 at least 50 50%"),
        ({"figure": "4", "dataset": "MNIST", "metric": "robustness_gain"}, "MNIST up to 42 42%"),
        ({"figure": "4", "dataset": "CIFAR-10", "metric": "accuracy_gain"}, "CIFAR-10 up to 66 66%"),
        ({"figure": "4", "metric": "accuracy_factor"}, "KDD Cup'99 up to 3 3x"),
    ],
)
def test_spot_values(rows: list[Row], where: dict[str, str], expected: str) -> None:
    assert reported.shown(rows, ("dataset", "bound", "value", "printed"), **where) == expected


def test_the_table_of_columns_and_metrics_in_the_readme_is_complete() -> None:
    readme = (Path(__file__).resolve().parents[1] / "data" / "reported" / "README.md").read_text(encoding="utf-8")
    part = readme.split("## `annealing.csv`")[1]
    named = set(re.findall(r"`(\w+)`", "\n".join(line for line in part.splitlines() if line.startswith("| `"))))
    assert named >= set(COLUMNS) | set(UNITS)
