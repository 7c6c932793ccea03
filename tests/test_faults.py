"""What goes wrong on machines and what is meant to do harm: nothing is lost, and no wrong number comes of it.

`make chaos` tries more of each kind; see chaos.py.
"""

import contextlib
import functools
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import random_parameters
import sklearn.datasets
import torch
from chaos import cases, fault
from chaos_runner import Runner, chain, compute_as_nobody, compute_chain, compute_tree, contents
from hypothesis import HealthCheck, Phase, given, settings
from sklearn.utils import Bunch
from test_sacp_search import small_scorer
from test_tables import credit_rows

from prunebook import cli, data, files, models, notebooks, tables, weights
from prunebook.errors import BadValue
from prunebook.methods import sacp
from prunebook.report import faults
from prunebook.trials import DamagedRecord, Record, Store, Trial
from prunebook.trials.engine import Context
from prunebook.trials.merge import merge
from prunebook.trials.verify import verify


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path / "project"))
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, Any]:
    """The chain computed in peace: its folder, its records, how many steps of writing it took, and how long."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return {"folder": folder, **Runner(compute_chain, folder).end(), "records": contents(folder)}


# Runners that are killed

KILLED = "the same command goes on; the records are those of an undisturbed run"


def check_resumed(cache: Path, undisturbed: dict[str, Any]) -> None:
    assert Runner(compute_chain, cache).end()["steps"] <= undisturbed["steps"]
    assert contents(cache) == undisturbed["records"]
    assert verify().bad == []


@pytest.mark.parametrize("number", cases(2, 20))
def test_a_runner_killed_at_a_random_moment_loses_nothing(number, cache, undisturbed):
    with fault("SIGKILL of the runner at a random moment", KILLED):
        runner = Runner(compute_chain, cache)
        time.sleep(random.Random(number).uniform(0, undisturbed["seconds"]))
        runner.kill()
        runner.end()
        assert set(contents(cache)) <= set(undisturbed["records"])  # all that are there are whole
        check_resumed(cache, undisturbed)


STEPS = 12  # a network, its description, and four records are written, each in two steps


@pytest.mark.parametrize("number", cases(3, STEPS))
def test_a_runner_killed_while_it_writes_a_file_loses_nothing(number, cache, undisturbed):
    assert undisturbed["steps"] == STEPS
    order = random.Random(0).sample(range(1, STEPS + 1), STEPS)
    with fault("SIGKILL of the runner at a step of writing a file", KILLED):
        assert Runner(compute_chain, cache, order[number]).end() is None
        assert len(contents(cache)) < len(undisturbed["records"])
        check_resumed(cache, undisturbed)


# Several runners on one store


def logged(log: Path) -> Counter[str]:
    return Counter(path.name.rpartition(" ")[0] for path in log.iterdir())


@pytest.mark.parametrize("number", cases(1, 10))
def test_of_two_runners_on_one_store_each_trial_is_computed_by_one(number, cache, tmp_path):
    with fault("two runners on one store at once", "each trial is computed once; both return all records"):
        (tmp_path / "log").mkdir()
        runners = [Runner(compute_tree, cache, tmp_path / "log") for _ in range(2)]
        (tmp_path / "go").touch()
        assert [runner.end() for runner in runners] == [24, 24]
        assert set(logged(tmp_path / "log").values()) == {1}
        assert len(logged(tmp_path / "log")) == len(contents(cache)) == 24 + 3
        assert len({path.name.rpartition(" ")[2] for path in (tmp_path / "log").iterdir()}) == 2  # both had their part
        assert list((cache / "records" / ".claims").iterdir()) == []


@pytest.mark.parametrize("number", cases(1, 10))
def test_what_a_killed_runner_had_begun_is_computed_by_the_other(number, cache, tmp_path):
    with fault("one of two runners on one store is killed", "the other computes the rest, and what was in flight again"):
        (tmp_path / "log").mkdir()
        first, second = (Runner(compute_tree, cache, tmp_path / "log") for _ in range(2))
        (tmp_path / "go").touch()
        time.sleep(random.Random(number).uniform(0.02, 0.3))  # alone, either would take 0.57 s at least
        first.kill()
        assert second.end() == 24
        first.end()
        assert sorted(logged(tmp_path / "log").values())[-2:] in ([1, 1], [1, 2])  # one may have been in flight
        assert len(contents(cache)) == 24 + 3


# Files that are damaged


def flipped(whole: bytes, number: int) -> bytes:
    """One bit is another one; of every fifth, the end is missing as well."""
    generator = random.Random(number)
    content = bytearray(whole)
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    return bytes(content[: generator.randrange(len(content))] if number % 5 == 0 else content)


@pytest.fixture
def record(undisturbed, cache) -> Path:
    shutil.copytree(undisturbed["folder"], cache)
    return Store().path(chain()[0])


@pytest.mark.parametrize("block", cases(1, 10))
def test_a_damaged_record_is_refused_by_name_or_says_what_it_said(block, record):
    whole, before = record.read_bytes(), Store().find(chain()[0])
    for number in range(40 * block, 40 * block + 40):
        with fault("a bit of a record flipped, or its end cut off", "refused by name, and its trial runs again"):
            record.write_bytes(flipped(whole, number))
            try:
                assert Store().find(chain()[0]) == before  # a space instead of another one
            except DamagedRecord as refusal:
                assert str(record) in str(refusal)


@pytest.mark.parametrize("block", cases(1, 10))
def test_a_damaged_network_is_refused_by_name_or_is_what_it_was(block, record):
    network = Context("cpu", Store()).checkpoint(chain()[0].needs()[0])
    state = weights.load(network).state_dict()
    for path in (network, network.with_name(network.name + ".json")):
        whole = path.read_bytes()
        for number in range(20 * block, 20 * block + 20):
            with fault("a bit of a network or of its description flipped, or the end cut off", "refused by name"):
                path.write_bytes(flipped(whole, number))
                try:
                    loaded = weights.load(network).state_dict()
                    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
                except BadValue as refusal:
                    assert str(network) in str(refusal)
        path.write_bytes(whole)


def arrays(shape: tuple[int, ...] = (32, 32, 3)) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    images = {
        f"x_{part}": generator.integers(0, 256, (n, *shape), dtype=np.uint8) for part, n in (("train", 40), ("test", 10))
    }
    return images | {"y_train": np.arange(40) % 10, "y_test": np.arange(10)}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("block", cases(1, 10))
def test_a_damaged_dataset_is_refused_by_name_or_is_what_it_was(block, save, tmp_path):
    path = tmp_path / "cifar10.npz"
    save(path, **arrays())
    whole, before = path.read_bytes(), data.fingerprint(data.load("cifar10", tmp_path))
    starts = [i for i in range(len(whole) - 1) if whole[i : i + 2] == b"PK"]  # where the archive describes itself
    for number in range(40 * block, 40 * block + 40):
        with fault("a bit of cifar10.npz flipped, or its end cut off", "refused by name"):
            content = flipped(whole, number)
            if number % 2:
                content = bytearray(whole)
                place = random.Random(number).choice(starts) + random.Random(-number).randrange(200)
                content[min(place, len(whole) - 1)] ^= 1 << number % 8
            path.write_bytes(content)
            try:
                assert data.fingerprint(data.load("cifar10", tmp_path)) == before
            except BadValue as refusal:
                assert str(path) in str(refusal)


@pytest.mark.parametrize("block", cases(1, 10))
def test_a_damaged_table_that_was_fetched_is_refused_by_name_or_is_what_it_was(block, tmp_path, monkeypatch):
    frame = pd.DataFrame(credit_rows(60)[:, 1:], columns=[*tables.CREDIT_COLUMNS, "Class"])
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda **options: Bunch(frame=frame.copy()))
    tables.fetch("creditcard", tmp_path)
    path, before = tmp_path / "creditcard" / "creditcard.csv", data.fingerprint(data.load("creditcard", tmp_path))
    for file in (path, files.checksum(path)):
        whole = file.read_bytes()
        for number in range(20 * block, 20 * block + 20):
            with fault("a bit of a fetched CSV table or of its checksum flipped, or the end cut off", "refused by name"):
                file.write_bytes(flipped(whole, number))
                try:
                    assert data.fingerprint(data.load("creditcard", tmp_path)) == before
                except BadValue as refusal:
                    assert str(path) in str(refusal)
        file.write_bytes(whole)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_a_file_of_mnist_that_has_the_size_of_the_published_one_has_to_be_it(name, folder, tmp_path):
    with fault("a file of MNIST with other bits than the published one", "refused by name"):
        raw = tmp_path / folder / "raw"
        raw.mkdir(parents=True)
        for file in data._IDX_SIZES:
            (raw / file).write_bytes(b"")
        labels = raw / "t10k-labels-idx1-ubyte"
        labels.write_bytes((2049).to_bytes(4, "big") + (10_000).to_bytes(4, "big") + bytes(10_000))
        with pytest.raises(BadValue, match=f"{labels} is damaged.*make data DATASET={name}"):
            data.load(name, tmp_path)


PAGE = {
    "cells": [{"cell_type": "code", "metadata": {}, "source": "1 + 1", "outputs": [{"data": {"text/plain": "2"}}]}],
    "metadata": {"kernelspec": {"name": "python3"}},
}


@pytest.mark.parametrize("block", cases(1, 10))
def test_a_damaged_page_is_executed_again_or_says_what_it_said(block, tmp_path):
    path = files.write_text(tmp_path / "page.ipynb", notebooks._clean(json.loads(json.dumps(PAGE)), "abc", ""))
    whole, before = path.read_bytes(), json.loads(path.read_bytes())
    assert notebooks.is_fresh(path, "abc")
    for number in range(40 * block, 40 * block + 40):
        with fault("a bit of an executed notebook flipped, or its end cut off", "executed again"):
            path.write_bytes(flipped(whole, number))
            assert not notebooks.is_fresh(path, "abc") or json.loads(path.read_bytes()) == before


def test_an_unfinished_sample_that_is_damaged_is_measured_again(tmp_path, capsys):
    from prunebook.trials.searching import _interrupted

    rows = [{"r": [0.1], "top1": 10.0}]
    path = files.seal(tmp_path / "state.json", rows)
    assert _interrupted(path) == rows
    with fault("another number in an unfinished sample of SACP's", "refused by name, and measured again"):
        path.write_text(path.read_text().replace("10.0", "90.0"))
        assert _interrupted(path) == []
        assert f"{path} is damaged" in capsys.readouterr().err
    files.write_json(path, rows)  # as it was written before November 2026
    assert _interrupted(path) == rows
    assert _interrupted(tmp_path / "none.json") == []


@pytest.mark.parametrize("block", cases(1, 10))
def test_the_damaged_state_of_a_search_is_refused_by_name_or_says_what_it_said(block, tmp_path):
    state, scorer = tmp_path / "state.json", small_scorer()
    before = sacp.search(scorer, 300, 0.1, 5, state=state)
    whole = state.read_bytes()
    for number in range(40 * block, 40 * block + 40):
        with fault("a bit of an unfinished search flipped, or its end cut off", "refused by name, and it begins anew"):
            state.write_bytes(flipped(whole, number))
            try:
                found = sacp.search(scorer, 300, 0.1, 5, state=state)
                assert all(map(torch.equal, found[:3], before[:3]))  # a space instead of another one
            except files.Damaged as refusal:
                assert str(state) in str(refusal)


# Places that cannot be written to


def test_a_read_only_folder_is_named_in_one_sentence():
    with tempfile.TemporaryDirectory() as scratch, fault("a read-only folder of records", "one sentence names the file"):
        folder = Path(scratch) / "cache"
        folder.mkdir()
        Path(scratch).chmod(0o755)  # for another user to look, not to write
        folder.chmod(0o555)
        said = Runner(compute_as_nobody, folder).end()
        folder.chmod(0o755)
        assert said.startswith(str(folder / "records"))
        assert said.endswith("cannot be written: permission denied")
        assert list(folder.iterdir()) == []


@contextlib.contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("number", cases(2, 12))
def test_a_full_disk_is_named_in_one_sentence_and_once_there_is_room_the_run_goes_on(number, tmp_path, undisturbed):
    needed = sum(path.stat().st_size for path in undisturbed["folder"].rglob("*.*"))
    free = random.Random(number).randrange(0, needed // 4096 - 2)  # pages of memory: as many as suffice for a part of it
    with small_disk(tmp_path / "disk", 4 * free + 4 * 1024) as disk, fault(
        "a full disk", "one sentence names the file; with room the same command goes on, with the same records"
    ):  # fmt: skip
        filler = disk / "filler"
        room = os.statvfs(disk).f_bavail - free
        filler.write_bytes(bytes(4096 * room))
        said = Runner(compute_chain, disk).end()
        assert isinstance(said, str), said
        assert said.startswith(str(disk / "records")) or said.startswith(str(disk / "checkpoints"))
        assert said.endswith("cannot be written: no space left on device")
        assert list(disk.rglob("*.part")) == []
        filler.unlink()
        Runner(compute_chain, disk).end()
        assert contents(disk) == undisturbed["records"]


# Harm that is meant


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_place_of_a_network_is_refused_and_not_run(record, tmp_path):
    network = Context("cpu", Store()).checkpoint(chain()[0].needs()[0])
    about = json.loads(network.with_name(network.name + ".json").read_text())
    for name in ("net.safetensors", "net.pt"):
        with fault("a pickle with code as a network", "refused by name, and nothing of it is run"):
            path = tmp_path / name
            torch.save({"state_dict": Bomb(tmp_path / "ran")}, path) if name.endswith("pt") else path.write_bytes(
                pickle.dumps(Bomb(tmp_path / "ran"))
            )
            with pytest.raises(BadValue, match=name):
                weights.load_into(models.build("resnet20", 10, 1, seed=0, width=0.125), path)
            named = {key: value for key, value in about.items() if key != "digest"} | {"sha256": weights.sha256(path)}
            files.write_json(tmp_path / f"{name}.json", named)
            with pytest.raises(BadValue, match=name):
                weights.load(path)
            assert not (tmp_path / "ran").exists()


BILLION = "&a [x,x]"
for letter, before in zip("bcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxy", strict=True):
    BILLION = f"[{BILLION}, &{letter} [*{before},*{before},*{before},*{before}]]" if letter == "b" else (
        f"{BILLION[:-1]}, &{letter} [*{before},*{before},*{before},*{before}]]"
    )  # fmt: skip

HOSTILE = {
    "a tag of YAML that asks for code": "!!python/object/apply:os.mkdir [ran]",
    "a tag of YAML that asks for a module": "!!python/module:os",
    "references of YAML that stand for a billion": BILLION,
    "YAML that is nested without end": "[" * 5000,
    "YAML that is nested deeply": "[" * 1900,
    "YAML that is nested in lines": "- " * 999,
    "a number of YAML with ten thousand digits": "9" * 10_000,
    "a number of YAML with a thousand digits": "9" * 1000,
    "a date of YAML that does not exist": "2025-02-30",
    "a wrong timestamp of YAML": "!!timestamp x",
    "a wrong number of YAML": "!!int ''",
    "a wrong truth of YAML": "!!bool x",
    "an unhashable key of YAML": "{[1]: 2}",
    "a character of YAML that may not be": "\x00",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_value_of_a_parameter_is_refused_in_one_short_line(what, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNEBOOK_HOME", str(Path(__file__).parents[1]))
    with fault(what, "refused in one sentence"):
        start = time.process_time()
        assert cli.main(["run", "kcore", "smoke", "-p", "taus", HOSTILE[what]]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("prunebook: taus")
        assert err.count("\n") == 1
        assert len(err) < 500
        assert time.process_time() - start < 2
        assert list(tmp_path.iterdir()) == []


NAMES = ["../kcore", "/etc/passwd", "kcore; touch x", "$(touch x)", "`touch x`", "kcore\n", "..", "", "a\0b", "*"]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_of_a_notebook_or_a_run_is_refused(name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNEBOOK_HOME", str(Path(__file__).parents[1]))
    with fault("a path or shell characters as the name of a notebook or a run", "refused in one sentence"):
        for arguments in (["run", name], ["run", "kcore", name], ["publish", "kcore", name], ["status", name or "x"]):
            assert cli.main(arguments) == 2
            err = capsys.readouterr().err
            assert err.startswith(("prunebook: notebook is ", "prunebook: run is "))
            assert err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../evil", "a b", "$(touch x)", "", "-x", "a\n"])
def test_a_run_whose_name_would_lead_its_page_elsewhere_is_refused(name, monkeypatch, tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "kcore.ipynb").write_text("{}")
    (folder / "kcore.yml").write_text(json.dumps({"about": "x", "runs": {name: {"about": "a", "time": "b"}}}))
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path))
    with fault("a path or shell characters as the name of a run in its file", "refused in one sentence"):
        with pytest.raises(BadValue, match=r"^kcore.yml: a key of runs is .*, but must be text of the form") as refusal:
            notebooks.get("kcore")
        assert "\n" not in str(refusal.value)


def test_a_notebook_whose_file_has_shell_characters_in_its_name_is_refused(monkeypatch, tmp_path, capsys):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    name = "x; touch ran"
    (folder / f"{name}.ipynb").write_text("{}")
    (folder / f"{name}.yml").write_text("about: x\nruns: {quick: {about: a, time: b}}")
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with fault("a notebook's file with shell characters in its name", "refused in one sentence"):
        assert cli.main(["run", name]) == 2
        assert capsys.readouterr().err.startswith(f"prunebook: study is {name!r}, but must be one of")
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("task", "key"), [("../evil", "0" * 16), ("leaf", "../../evil"), ("leaf", "0" * 16)])
def test_a_merged_record_goes_where_its_trial_says_and_nowhere_else(task, key, cache, tmp_path):
    trial = Trial("leaf", {"x": 1, "of": 1, "log": "none"})
    lie = Record(task, 1, key, trial.params, {"value": 1})
    there = tmp_path / "there" / "records" / "leaf" / "a.json"
    files.write_json(there, {**vars(lie), "sha256": lie.digest()})
    with fault("a record to be merged that names another place", "refused by name, or of no use"):
        merged = merge(tmp_path / "there")
        assert merged.records == 0
        assert merged.stale + len(merged.refused) == 1
        assert not cache.exists()


# Parameters at random


def seen_by(p: Any) -> Iterator[tuple[str, str, str, int | None]]:
    """Of a trial's parameters, each network with the images that it sees: (arch, options as JSON, dataset, size)."""
    network = getattr(p, "baseline", p)
    for where in (network, p):
        if hasattr(network, "arch") and hasattr(where, "dataset"):
            yield network.arch, json.dumps(network.options, sort_keys=True), where.dataset, where.size


@functools.cache  # most sets of parameters share theirs
def take_an_image(arch: str, options: str, dataset: str, size: int | None) -> None:
    """One image through the network, on the device that computes shapes alone; as narrow as its options allow."""
    given = json.loads(options)
    for narrow in ({"width": 0.01}, {"growth": 1, "layers": 1}):
        with contextlib.suppress(BadValue):
            models.check(arch, narrow)
            given |= narrow
    channels, side = data.shape(dataset, size)
    channels = channels or 30  # a table's are in its file
    with torch.device("meta"):
        assert models.build(arch, 2, channels, **given).eval()(torch.zeros(1, channels, side, side)).shape == (1, 2)


@pytest.mark.parametrize("name", notebooks.names())
def test_random_parameters_of_a_notebook_are_valid_or_refused_in_one_sentence_at_once(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PRUNEBOOK_HOME", str(Path(__file__).parents[1]))  # where the notebooks are
    monkeypatch.chdir(tmp_path)
    notebook = notebooks.get(name)
    notebook.parameters("smoke")  # what is imported on the first use takes its time

    lost = []

    @settings(
        max_examples=len(cases(25, 1000)), deadline=None, database=None, suppress_health_check=list(HealthCheck),
        derandomize=True, phases=[Phase.generate],
    )  # fmt: skip
    @given(random_parameters.runs(name), random_parameters.overrides(name))
    def check(run, values):
        try:
            one(run, values)
        except Exception as broken:  # the others are tried all the same
            lost.append(f"{run} {values}: {broken!r}")

    def one(run, values):
        with fault(
            f"random parameters of the notebook {name}",
            "valid, its networks take their images, or refused in one sentence within a second",
        ):
            start = time.process_time()
            try:
                parameters = notebook.parameters(run, values)
                found = notebook.trials(parameters)
            except BadValue as refusal:
                assert time.process_time() - start < 1
                assert "\n" not in str(refusal)
                assert 10 < len(str(refusal)) < 1000
            else:
                assert notebook.parameters(run, json.loads(parameters.model_dump_json())) == parameters
                assert all(Trial(trial.task, trial.params) == trial for trial in found[:20])
                for sight in {sights for trial in found for sights in seen_by(trial.parameters)}:
                    take_an_image(*sight)

    check()
    assert not lost, "\n".join(lost)
    assert list(tmp_path.iterdir()) == []


def test_the_table_counts_what_was_tried_and_what_was_not_survived(tmp_path, monkeypatch):
    import chaos

    monkeypatch.setattr(chaos, "TRIED", Counter())
    monkeypatch.setattr(chaos, "SURVIVED", Counter())
    monkeypatch.setattr(chaos, "NOT_TRIED", {})
    monkeypatch.setattr(chaos, "TABLE", str(tmp_path / "table.json"))
    with chaos.fault("one", "well"):
        pass
    with contextlib.suppress(AssertionError), chaos.fault("one", "well"):
        raise AssertionError
    chaos.write_table()
    written = json.loads((tmp_path / "table.json").read_text())
    assert written["faults"] == [{"fault": "one", "end": "well", "tried": 2, "survived": 1, "lost": 1}]
    assert "environment" in written["made"]


PYTEST = """
import pytest
from chaos import fault

@pytest.fixture
def broken():
    raise OSError("no such place")

def test_before_its_fault(broken):
    pass

@pytest.mark.parametrize("i", [1, 2])
def test_with_its_fault(i):
    with fault("one", "well"):
        assert i == 1

def test_after_its_fault():
    with fault("two", "well"):
        pass
    raise AssertionError

def test_of_another_machine():
    with fault("three", "well"):
        pytest.skip("no small disk")
"""


def test_what_breaks_off_is_lost_and_what_is_skipped_is_named(tmp_path):
    """In a session of its own, because this one counts too."""
    (tmp_path / "test_some.py").write_text(PYTEST)
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], capture_output=True, text=True,
        env=os.environ | {"PRUNEBOOK_CHAOS": str(tmp_path / "table.json"), "PYTHONPATH": path}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    table = faults.read(tmp_path / "table.json")
    assert [(row.fault, row.tried, row.lost) for row in table.faults] == [
        ("before its fault", 1, 1), ("one", 2, 1), ("two", 1, 0), ("after its fault", 1, 1)
    ]  # fmt: skip
    assert table.not_tried == {"of another machine": "no small disk"}


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("name", ["x; touch ran", "`touch ran`", "$$(touch ran)", "'; touch ran; '", "--version", "a b"])
def test_make_hands_a_name_over_as_it_is(name, tmp_path):
    with fault("shell characters in a name given to make", "handed over as they are"):
        (tmp_path / "prunebook").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tmp_path / "prunebook").chmod(0o755)
        (tmp_path / ".ready").touch()
        command = ["make", "-s", "-f", Path(__file__).parents[1] / "Makefile", f"BIN={tmp_path}", f"READY={tmp_path}/.ready"]
        given = {"run": [f"NB={name}", f"RUN={name}"], "data": [f"DATASET={name}"]}
        shutil.copy(Path(__file__).parents[1] / "pyproject.toml", tmp_path)
        (tmp_path / "requirements.lock").touch()
        (tmp_path / ".ready").touch()
        for what, settings_ in given.items():
            done = subprocess.run([*command, what, *settings_], capture_output=True, text=True, cwd=tmp_path, check=True)
            assert done.stdout.splitlines() == [what, *[name.replace("$$", "$")] * len(settings_)]
        assert not (tmp_path / "ran").exists()
