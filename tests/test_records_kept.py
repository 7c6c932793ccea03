"""Records and networks looked after: checked against their digests, and exported as a table."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from prunebook import cli, files, models, notebooks, paths, trials, weights
from prunebook.errors import BadValue
from prunebook.trials import Store, Trial
from prunebook.trials.engine import Context
from prunebook.trials.export import export, table
from prunebook.trials.verify import verify

NETWORK = {"arch": "resnet20", "options": {"width": 0.125}, "fit": {"epochs": 1, "images": 20, "augment": False}}
BASELINE = Trial("baseline", NETWORK)
PROFILE = Trial("profile", {"baseline": NETWORK, "images": 10})


@pytest.fixture(scope="module")
def computed(tmp_path_factory) -> Path:
    """A cache with two records and the network of one of them."""
    folder = tmp_path_factory.mktemp("computed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNEBOOK_HOME", str(folder / "project"))
        patch.setenv("PRUNEBOOK_CACHE", str(folder / "cache"))
        trials.run([BASELINE, PROFILE], progress=False, device="cpu")
    return folder / "cache"


@pytest.fixture
def cache(computed, tmp_path, monkeypatch) -> Path:
    """A copy of it, to be harmed."""
    import shutil

    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path / "project"))
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(computed, tmp_path / "cache"))


def test_what_is_whole_is_counted(cache, capsys):
    assert cli.main(["verify"]) == 0
    assert capsys.readouterr().out == "2 records, 1 networks and 0 executed pages are whole, 0 files are not\n"


def test_a_networks_description_says_its_task_key_accuracy_and_digests(cache):
    path = Context("cpu", Store()).checkpoint(BASELINE)
    about = json.loads(path.with_name(path.name + ".json").read_text())
    record = Store().find(BASELINE)
    assert record is not None
    assert about["facts"]["task"] == "baseline"
    assert about["facts"]["key"] == BASELINE.key
    assert about["facts"]["test_top1"] == record.result["test"]["top1"]
    assert about["sha256"] == weights.sha256(path) == record.provenance["networks"][BASELINE.key]
    assert len(about["digest"]) == 64


def test_the_same_tensors_are_the_same_file_as_ever(tmp_path):
    """Records name networks by the SHA-256 of their files."""
    model = models.build("resnet20", seed=3, width=0.125)
    save_file(model.state_dict(), tmp_path / "then.safetensors")
    now = weights.save(model, tmp_path / "now.safetensors")
    assert now.read_bytes() == (tmp_path / "then.safetensors").read_bytes()


@pytest.mark.parametrize(
    "path", sorted((paths.project() / "data" / "networks").glob("*/*.safetensors")), ids=lambda p: p.stem
)
def test_the_published_networks_are_read(path):
    assert weights.load(path).state_dict()


def test_an_encoder_without_a_description_is_read_unchecked_and_told(cache, capsys):
    path = cache / "checkpoints" / "learn" / "0123456789abcdef.safetensors"
    path.parent.mkdir()
    save_file({"encoder.a": torch.ones(2)}, path)
    assert torch.equal(weights.load_tensors(path)["encoder.a"], torch.ones(2))
    assert cli.main(["verify"]) == 0
    assert f"{path} is from before networks had a digest" in capsys.readouterr().out
    path.unlink()
    with pytest.raises(BadValue, match="is not there"):
        weights.load_tensors(path)


def harmed(cache: Path) -> dict[Path, str]:
    """Harm files in every way; what is said of each."""
    record = Store().path(PROFILE)
    record.write_text(record.read_text().replace('"version": ', '"version": 1'))
    moved = record.with_name("0" * 16 + ".json")
    moved.write_bytes(Store().path(BASELINE).read_bytes())
    network = Context("cpu", Store()).checkpoint(BASELINE)
    content = bytearray(network.read_bytes())
    content[-5] ^= 1
    network.write_bytes(content)
    alone = network.with_name("1" * 16 + ".safetensors")
    alone.write_bytes(b"")
    lost = network.with_name("2" * 16 + ".safetensors.json")
    lost.write_text("{}")
    return {
        record: "does not match its own digest",
        moved: f"is the record of baseline {BASELINE.key}",
        network: "is damaged",
        alone: "checkpoint file",
        lost: "checkpoint file",
    }


def test_every_bad_file_is_named_and_the_exit_code_is_one(cache, capsys):
    bad = harmed(cache)
    assert cli.main(["verify"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 records, 0 networks and 0 executed pages are whole, 5 files are not\n")
    lines = err.splitlines()
    assert len(lines) == len(bad)
    for path, words in bad.items():
        name = str(path).removesuffix(".json") if path.name.startswith("2") else str(path)
        assert any(name in line and words in line for line in lines), (name, words)


def test_rests_of_killed_writers_are_told_and_are_nothing_bad(cache, capsys):
    rest = cache / "records" / "baseline" / ".x.json.abc.part"
    rest.write_text('{"task": "base')
    assert cli.main(["verify"]) == 0
    assert f"{rest} is a rest of an interrupted run" in capsys.readouterr().out
    assert len(list(Store().records())) == 2


def test_executed_pages_are_counted_and_a_changed_one_is_named(cache, tmp_path, capsys):
    runs = tmp_path / "project" / "book" / "runs"
    page = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": "9 of 10"}], "metadata": {}}
    whole = notebooks._clean(page, "abc", "")
    for path in (runs / "kcore-quick.ipynb", runs / "own" / "kcore-smoke.ipynb"):
        files.write_text(path, whole)
    assert cli.main(["verify"]) == 0
    assert "and 2 executed pages are whole, 0 files are not" in capsys.readouterr().out
    for path, cure in ((runs / "kcore-quick.ipynb", "`prunebook pages`"), (runs / "own" / "kcore-smoke.ipynb", "move it")):
        for bad in (whole.replace("9 of 10", "8 of 10"), whole[:40], "[]", "{}", ""):
            files.write_text(path, bad)
            assert cli.main(["verify"]) == 1
            out, err = capsys.readouterr()
            assert "and 1 executed pages are whole, 1 files are not" in out
            assert err.startswith(f"prunebook: {path} is damaged or was changed")
            assert cure in err
            assert err.count("\n") == 1
        files.write_text(path, whole)


def test_a_description_that_was_changed_is_refused(cache):
    path = Context("cpu", Store()).checkpoint(BASELINE)
    sidecar = path.with_name(path.name + ".json")
    sidecar.write_text(sidecar.read_text().replace('"test_top1": ', '"test_top1": 1'))
    with pytest.raises(BadValue, match="does not match its own digest"):
        weights.load(path)
    assert len(verify().bad) == 1


def test_records_become_a_table_of_csv(cache, tmp_path, capsys):
    assert cli.main(["export", str(tmp_path / "out" / "all.csv")]) == 0
    assert capsys.readouterr().out == f"2 records in {tmp_path}/out/all.csv\n"
    rows = pd.read_csv(tmp_path / "out" / "all.csv", index_col="key")
    record = Store().find(BASELINE)
    assert record is not None
    assert rows.loc[BASELINE.key, "result.test.top1"] == record.result["test"]["top1"]
    assert rows.loc[BASELINE.key, "params.fit.images"] == 20
    assert rows.loc[BASELINE.key, "sha256"] == record.digest()
    assert json.loads(rows.loc[BASELINE.key, "result.cost.macs"]) == record.result["cost"]["macs"]
    assert set(rows["where"]) == {"local"}
    assert set(rows["state"]) == {"current"}


def test_records_become_a_table_of_parquet(cache, tmp_path):
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    assert export(tmp_path / "all.parquet") == 2
    read, made = pd.read_parquet(tmp_path / "all.parquet"), table()
    assert list(read.columns) == list(made.columns)
    assert read["result.test.top1"].dropna().tolist() == made["result.test.top1"].dropna().tolist()


def test_without_pyarrow_one_sentence_says_what_to_install_and_nothing_is_written(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(["export", str(tmp_path / "all.parquet")]) == 2
    err = capsys.readouterr().err
    assert "needs pyarrow, which is not installed: pip install 'prunebook[parquet]'" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "all.parquet").exists()


def test_another_kind_of_table_and_a_damaged_record_are_refused(cache, tmp_path, capsys):
    assert cli.main(["export", str(tmp_path / "all.xlsx")]) == 2
    assert "must be one of: .csv, .parquet" in capsys.readouterr().err
    Store().path(BASELINE).write_text("[]")
    assert cli.main(["export", str(tmp_path / "all.csv")]) == 2
    assert "is not a whole record" in capsys.readouterr().err
    assert not (tmp_path / "all.csv").exists()
