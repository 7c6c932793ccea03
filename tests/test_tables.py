"""Tables: columns, categories, splits without leaks, refusals."""

import gzip
import hashlib
import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import torch
from sklearn.utils import Bunch

from prunebook import data, files, models, tables, training
from prunebook.errors import BadValue, MissingData
from prunebook.trials.tasks import Baseline

ROOT = os.environ.get("PRUNEBOOK_DATA", "")


def kdd_row(protocol: str = "tcp", duration: float = 0, label: str = "normal.", logged_in: int = 0) -> str:
    cells = ["0"] * 41
    cells[0], cells[1], cells[2], cells[3], cells[11] = str(duration), protocol, "http", "SF", str(logged_in)
    return ",".join([*cells, label])


def write_kdd(root: Path, rows: list[str]) -> None:
    (root / "kddcup99").mkdir()
    with gzip.open(root / "kddcup99" / tables.KDD_FILE, "wt") as file:
        file.write("\n".join(rows) + "\n")


def write_credit(root: Path, file: str, rows: np.ndarray, index: bool = False) -> None:
    (root / "creditcard").mkdir(exist_ok=True)
    names = ["Time", *tables.CREDIT_COLUMNS, "Class"]
    lines = [",".join(["", *names] if index else names)]
    lines += [",".join([*([str(i)] if index else []), *map(repr, row.tolist())]) for i, row in enumerate(rows)]
    (root / "creditcard" / file).write_text("\n".join(lines) + "\n")


def credit_rows(n: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.column_stack([np.arange(n), generator.normal(3, 2, (n, 29)), np.arange(n) % 2])


def test_a_symbolic_column_becomes_one_for_each_category_and_a_constant_number_none(tmp_path: Path) -> None:
    write_kdd(tmp_path, [kdd_row("udp", 3), kdd_row("tcp", 1, "smurf.", 1), kdd_row("icmp", 3)])
    table = tables.read("kddcup99", tmp_path)
    # duration; icmp, tcp, udp; http; SF; land, logged_in 0 and 1, is_host_login, is_guest_login
    assert table.features.tolist() == [
        [3, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1],
        [1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1],
        [3, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1],
    ]
    assert table.scaled.tolist() == [True] + [False] * 10
    assert (table.classes, table.labels.tolist()) == (("normal", "smurf"), [0, 1, 0])


def test_credit_cards_come_from_all_files_whatever_their_index_column(tmp_path: Path) -> None:
    first, second = credit_rows(6), credit_rows(4, seed=1)
    write_credit(tmp_path, "a.csv", first, index=True)
    write_credit(tmp_path, "b.csv", second)
    table = tables.read("creditcard", tmp_path)
    assert np.allclose(table.features, np.concatenate([first, second])[:, 1:-1])
    assert table.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]


def test_leak_free_no_row_of_the_test_split_is_known_and_only_training_rows_are_looked_at(tmp_path: Path) -> None:
    rows = credit_rows(40)
    write_credit(tmp_path, "a.csv", np.concatenate([rows, rows[:20]]))
    dataset = data.load("creditcard", tmp_path, val_fraction=0.2)
    train, val, test = dataset
    everything = [tuple(row.flatten().tolist()) for split in dataset for row in split.images]
    assert len(everything) == len(set(everything)) == 40
    assert [len(split) for split in (train, val, test)] == [24, 6, 10]
    assert int(test.labels.sum()) == 5
    normal = data.normalise(train.images, dataset.mean, dataset.std)
    assert torch.allclose(normal.mean((0, 2, 3)), torch.zeros(29), atol=1e-5)
    assert torch.allclose(normal.std((0, 2, 3), correction=0), torch.ones(29), atol=1e-4)


def test_the_paper_s_way_keeps_all_rows_and_looks_at_them(tmp_path: Path) -> None:
    rows = credit_rows(40)
    doubled = np.concatenate([rows, rows[:20]])
    write_credit(tmp_path, "a.csv", doubled)
    dataset = data.load("creditcard", tmp_path, preprocessing="paper")
    assert sum(map(len, dataset)) == 60
    assert np.allclose(dataset.mean, doubled[:, 1:-1].mean(0), rtol=1e-5)
    leaky = {tuple(row.flatten().tolist()) for row in dataset.train.images}
    assert any(tuple(row.flatten().tolist()) in leaky for row in dataset.test.images)


def test_numbers_of_credit_cards_are_within_five_deviations(tmp_path: Path) -> None:
    rows = credit_rows(200)
    rows[::7, 4] = 1e4
    write_credit(tmp_path, "a.csv", rows)
    dataset = data.load("creditcard", tmp_path)
    for split in dataset:
        assert float(data.normalise(split.images, dataset.mean, dataset.std).abs().max()) <= 5 + 1e-4


def test_the_test_split_is_the_same_for_every_seed_and_validation_is_not() -> None:
    first, second = (data.load("breast_cancer", seed=seed) for seed in (0, 1))
    assert torch.equal(first.test.images, second.test.images)
    assert not torch.equal(first.val.images, second.val.images)
    assert (first.in_channels, first.image_size, first.num_classes) == (30, 1, 2)


def test_a_perceptron_learns_from_a_table() -> None:
    dataset = data.load("breast_cancer")
    model = models.build("mlp_credit", 2, 30, seed=0)
    normal = {"mean": dataset.mean, "std": dataset.std}
    training.fit(model, dataset.train, **normal, epochs=10, lr=1e-2, batch_size=64, optimizer="adam", augment=False)
    assert training.evaluate(model, dataset.test, **normal).top1 > 90


def test_tables_are_datasets_by_name() -> None:
    assert data.names()[-len(tables.NAMES) :] == list(tables.NAMES)
    assert "cifar10" in data.names()


def test_rows_of_a_table_are_not_cropped_or_mirrored() -> None:
    dataset = data.load("breast_cancer")
    assert dataset.train.is_table
    assert not data.load("digits").train.is_table
    model = models.build("mlp_credit", 2, 30, seed=0)
    before = [weight.clone() for weight in model.parameters()]
    with pytest.raises(BadValue, match="augment is True, but must be False for a table"):
        training.fit(model, dataset.train, mean=dataset.mean, std=dataset.std, epochs=1, lr=0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    with pytest.raises(BadValue, match="rows of a table are none"):
        data.draw_augmented(dataset.train, 4, 0)
    fit = {"epochs": 1, "augment": True}
    with pytest.raises(ValueError, match=r"fit.augment is True, but must be false for breast_cancer, a table"):
        Baseline(dataset="breast_cancer", arch="mlp_credit", fit=fit)
    assert Baseline(dataset="breast_cancer", arch="mlp_credit", fit=fit | {"augment": False}).fit is not None


def test_normalising_rows_leaves_them_as_they_were() -> None:
    rows = torch.rand(3, 2, 1, 1)
    before = rows.clone()
    normal = data.normalise(rows, (1.0, 0.0), (2.0, 1.0))
    assert torch.equal(rows, before)
    assert torch.equal(normal[:, 1], rows[:, 1])
    assert torch.allclose(normal[:, 0], (rows[:, 0] - 1) / 2)


@pytest.mark.data
@pytest.mark.skipif(not (Path(ROOT) / "kddcup99").is_dir(), reason="needs KDD Cup'99 under PRUNEBOOK_DATA")
def test_the_published_file_has_the_inputs_and_classes_of_table_1() -> None:
    table = tables.read("kddcup99", Path(ROOT))
    assert table.features.shape == (494_021, 120)
    assert len(table.classes) == 23
    assert table.scaled.sum() == 33


def test_tables_are_fetched_through_scikit_learn_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[cell if cell.isalpha() else int(cell) for cell in kdd_row(p, i).split(",")[:-1]] for i, p in enumerate("abc")]
    rows = [[cell.encode() if isinstance(cell, str) else cell for cell in row] for row in rows]
    kdd = Bunch(data=np.array(rows, dtype=object), target=np.array([b"normal.", b"smurf.", b"normal."], dtype=object))
    frame = pd.DataFrame(credit_rows(6)[:, 1:], columns=[*tables.CREDIT_COLUMNS, "Class"])
    frame["Class"] = pd.Categorical([f"'{i % 2}'" for i in range(6)])
    asked = []
    monkeypatch.setattr(sklearn.datasets, "fetch_kddcup99", lambda **options: asked.append("kdd") or kdd)
    monkeypatch.setattr(
        sklearn.datasets, "fetch_openml", lambda **options: asked.append(options["data_id"]) or Bunch(frame=frame)
    )
    for _ in range(2):  # what is there is left alone
        for name in ("kddcup99", "creditcard", "breast_cancer"):
            data.download(name, tmp_path)
    assert asked == ["kdd", 1597]
    assert tables.read("kddcup99", tmp_path).labels.tolist() == [0, 1, 0]
    assert tables.read("kddcup99", tmp_path).features[:, 0].tolist() == [0, 1, 2]
    assert np.allclose(tables.read("creditcard", tmp_path).features, credit_rows(6)[:, 1:-1])
    assert tables.read("creditcard", tmp_path).labels.tolist() == [0, 1] * 3


def test_a_table_that_cannot_be_fetched_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(sklearn.datasets, "fetch_kddcup99", fail)
    with pytest.raises(BadValue, match=r"kddcup99 could not be downloaded to .*no route"):
        data.download("kddcup99", tmp_path)


def test_a_table_that_was_fetched_is_read_only_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [pd.DataFrame(credit_rows(6, seed)[:, 1:], columns=[*tables.CREDIT_COLUMNS, "Class"]) for seed in (0, 1)]
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda **options: Bunch(frame=frames.pop(0)))
    tables.fetch("creditcard", tmp_path)
    file = tmp_path / "creditcard" / "creditcard.csv"
    kept = file.with_name("creditcard.csv.sha256")
    assert kept.read_text() == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  creditcard.csv\n"
    first = tables.read("creditcard", tmp_path).features
    file.write_text(file.read_text()[:-2])  # the last class is gone, and the line's end: pandas would not mind another digit
    for content in (file.read_text(), "", "ab"):
        file.write_text(content)
        with pytest.raises(
            files.Damaged, match=rf"^{file} is damaged or was changed: .* in creditcard.csv.sha256 beside it$"
        ):
            tables.read("creditcard", tmp_path)
    tables.fetch("creditcard", tmp_path)  # another copy of the table, and its checksum
    assert not np.array_equal(tables.read("creditcard", tmp_path).features, first)


def test_a_table_of_ones_own_is_compared_where_it_has_a_checksum(tmp_path: Path) -> None:
    write_credit(tmp_path, "a.csv", credit_rows(6))
    file, kept = tmp_path / "creditcard" / "a.csv", tmp_path / "creditcard" / "a.csv.sha256"
    whole, rows = file.read_bytes(), credit_rows(6)
    kept.write_text(f"{hashlib.sha256(whole).hexdigest()} *a.csv\n")  # as sha256sum --binary writes it
    before = tables.read("creditcard", tmp_path).features
    rows[2, 3] += 1
    write_credit(tmp_path, "a.csv", rows)
    with pytest.raises(BadValue, match="is damaged or was changed"):
        tables.read("creditcard", tmp_path)
    kept.unlink()
    assert not np.array_equal(tables.read("creditcard", tmp_path).features, before)
    kept.mkdir()
    with pytest.raises(BadValue, match="cannot be read: Is a directory"):
        tables.read("creditcard", tmp_path)


def broken(root: Path, how: str) -> None:
    if how == "truncated":
        write_kdd(root, [kdd_row()] * 500)
        file = root / "kddcup99" / tables.KDD_FILE
        file.write_bytes(file.read_bytes()[:60])
    if how == "narrow":
        write_kdd(root, ["1,2,3"])
    if how == "words":
        write_kdd(root, [kdd_row(duration=1), kdd_row().replace("0,tcp", "long,tcp")])
    rows = credit_rows(4)
    if how == "classes":
        rows[0, -1] = 2
    if how == "nan":
        rows[1, 3] = np.nan
    if how in ("classes", "nan"):
        write_credit(root, "a.csv", rows)
    if how == "columns":
        (root / "creditcard").mkdir()
        (root / "creditcard" / "a.csv").write_text("Time,V1\n1,2\n")


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("kddcup99", "truncated", "cannot be read as a table"),
        ("kddcup99", "narrow", "is 3, but must be 42"),
        ("kddcup99", "words", "missing or infinite numbers"),
        ("creditcard", "classes", "0 or 1 in every row"),
        ("creditcard", "nan", "missing or infinite numbers"),
        ("creditcard", "columns", "to include V2, V3, V4, V5, V6"),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_one_sentence(name: str, how: str, words: str, tmp_path: Path) -> None:
    broken(tmp_path, how)
    with pytest.raises(BadValue) as refusal:
        tables.read(name, tmp_path)
    assert words in str(refusal.value)


def test_tables_that_are_not_there_are_missing(tmp_path: Path) -> None:
    for name in ("kddcup99", "creditcard"):
        with pytest.raises(
            MissingData, match=f"table '{name}' is not at .*: run `make data DATASET={name}`, or set PRUNEBOOK_DATA"
        ):
            data.load(name, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "kddcup"}, "did you mean 'kddcup99'"),
        ({"name": "breast_cancer", "size": 28}, "size is 28, but must be 1"),
        ({"name": "breast_cancer", "preprocessing": "papers"}, "did you mean 'paper'"),
        ({"name": "digits", "preprocessing": "paper"}, "'leak-free' for images"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(options: dict, words: str) -> None:
    with pytest.raises(BadValue) as refusal:
        data.load(**options)
    assert words in str(refusal.value)
