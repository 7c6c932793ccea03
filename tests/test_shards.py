"""A run divided over machines: by shards, by a number of trials, and brought together again."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebook import cli, models, notebooks, trials, weights
from prunebook.errors import BadValue
from prunebook.trials import Store, Trial, shards
from prunebook.trials import trial as trial_module
from prunebook.trials.engine import Context, to_run
from prunebook.trials.merge import merge
from prunebook.trials.trial import Parameters, task


class Branch(Parameters):
    x: int
    of: tuple[int, ...] = ()

    def describe(self) -> str:
        return f"{self.x} of {self.of}"


@task("root", version=1, parameters=Branch, leaves=True)
def root(p, context):
    context.keep(Trial("root", p.model_dump(mode="json")), models.build("resnet20", seed=p.x, width=0.125), 10.0 + p.x)
    return {"root": p.x}


@task("branch", version=1, parameters=Branch, needs=lambda p: [Trial("root", {"x": x}) for x in p.of])
def branch(p, context):
    return {"roots": [weights.sha256(context.network(Trial("root", {"x": x}))) for x in p.of]}


def branches(*of: tuple[int, ...]) -> list[Trial]:
    return [Trial("branch", {"x": x, "of": roots}) for x, roots in enumerate(of)]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make this process another machine: with its own cache, and the same, empty, published folder."""
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path / "project"))

    def use(name: str) -> Store:
        monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / name))
        return Store()

    return use


def run(wanted, **options):
    return trials.run(wanted, progress=False, device="cpu", **options)


def every(wanted) -> list[Trial]:
    return to_run(wanted, Store(Path("nowhere"), Path("nowhere")), force=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), max_size=2, unique=True).map(tuple), min_size=1, max_size=14), st.integers(1, 5))
def test_every_trial_is_in_exactly_one_shard_whatever_hangs_together(of, n):
    order = every(branches(*of))
    parts = [shards.part(order, (i + 1, n)) for i in range(n)]
    assert sorted(t.key for part in parts for t in part) == sorted(t.key for t in order)
    for part in parts:
        place = {trial: i for i, trial in enumerate(part)}
        assert all(place[one] < place[t] for t in part for one in t.needs() if one in place)  # still in order


def test_what_hangs_together_stays_together_and_parts_are_even():
    order = every(branches((1,), (1,), (2,), (2,), (3,), (3,), (), ()))
    parts = [shards.part(order, (i, 4)) for i in (1, 2, 3, 4)]
    assert sorted(map(len, parts)) == [2, 3, 3, 3]
    for part in parts:
        assert all(one in part for trial in part for one in trial.needs())


def test_a_family_larger_than_its_share_is_divided_with_its_root_in_one_part():
    order = every(branches(*[(1,)] * 9))
    parts = [shards.part(order, (i, 2)) for i in (1, 2)]
    assert sorted(map(len, parts)) == [5, 5]
    assert sum(Trial("root", {"x": 1}) in part for part in parts) == 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/2", "1/2/3", "1/2\n", "1 /2", "٣/٤"])
def test_an_impossible_shard_is_refused(text):
    with pytest.raises(BadValue, match=r"shard is .*, but must be a part such as 2/4"):
        shards.parse(text)


def test_shards_and_a_merge_give_what_one_machine_gives(machine, tmp_path, capsys):
    wanted = branches(*[(1,)] * 5, (2,), (2,), ())
    machine("alone")
    alone = {record.key: record.result for record in run(wanted)}
    for i in (1, 2, 3):
        machine(f"shard{i}")
        run(wanted, shard=f"{i}/3")
    assert "wait for 1 that other shards compute" in capsys.readouterr().err
    store = machine("all")
    assert not (tmp_path / "shard3").exists()  # which had nothing to do yet
    counted = [merge(tmp_path / f"shard{i}") for i in (1, 2)]
    assert not any(merged.refused for merged in counted)
    assert sum(merged.checkpoints for merged in counted) == 2  # each network was trained once
    for i in (1, 2, 3):  # the branches that waited for the network of another shard
        run(wanted, shard=f"{i}/3")
    assert {record.key: record.result for record in run(wanted, engine="records")} == alone
    assert merge(tmp_path / "alone").refused == []
    assert len(list(store.local.glob("*/*.json"))) == 8 + 2


def test_no_more_trials_are_started_than_asked_for_and_each_comes_after_what_it_needs(machine, capsys):
    store = machine("one")
    wanted = branches((1,), (1,), (2,))
    assert len(run(wanted, max_trials=2)) == 1
    assert store.state(Trial("root", {"x": 1})) == store.state(wanted[0]) == "done"
    assert "2 trials were asked for at most; 3 are left" in capsys.readouterr().err
    assert len(run(wanted, max_trials=10)) == 3
    assert capsys.readouterr().err == ""
    for number in (0, -1, 1.5):
        with pytest.raises(BadValue, match="max_trials is"):
            run(wanted, max_trials=number)


def test_a_merge_refuses_by_name_what_is_damaged_different_or_of_another_network(machine, tmp_path):
    wanted = branches((1,), (2,), (3,), ())
    there = machine("there")
    run(wanted)
    machine("here")
    run([Trial("root", {"x": 1})])
    other = Context("cpu", Store()).checkpoint(Trial("root", {"x": 1}))
    trained_elsewhere = weights.save(models.build("resnet20", seed=99, width=0.125), other)
    damaged, different = there.path(wanted[1]), there.path(wanted[3])
    damaged.write_text(damaged.read_text()[:-9])
    run([wanted[3]])
    record = json.loads(different.read_text())
    changed = trials.Record(
        **{name: value for name, value in record.items() if name != "sha256"} | {"result": {"roots": [1]}}
    )
    different.write_text(json.dumps({**record, "result": {"roots": [1]}, "sha256": changed.digest()}))
    network = tmp_path / "there" / "checkpoints" / "root" / f"{Trial('root', {'x': 3}).key}.safetensors"
    network.write_bytes(network.read_bytes()[:-1] + b"!")

    merged = merge(tmp_path / "there")
    said = "\n".join(merged.refused)
    assert f"{damaged} is not a whole record" in said
    assert f"{different} has another result" in said
    assert f"{network} is damaged" in said
    assert f"is another copy of the network than {trained_elsewhere}" in said
    assert f"{there.path(wanted[0])} was made with another copy of the network {Trial('root', {'x': 1}).key}" in said
    assert (merged.records, merged.checkpoints, len(merged.refused)) == (3, 1, 5)  # two records of roots, one of a branch
    assert [Store().state(trial) for trial in wanted] == ["missing", "missing", "done", "done"]


def test_a_merge_takes_stale_records_of_no_use_and_needs_a_folder_of_records(machine, tmp_path, monkeypatch, capsys):
    machine("there")
    run(branches(()))
    machine("here")
    old = trial_module._TASKS["branch"]
    monkeypatch.setitem(trial_module._TASKS, "branch", trial_module.Task(**{**vars(old), "version": 2}))
    assert merge(tmp_path / "there").stale == 1
    assert cli.main(["merge", str(tmp_path / "there")]) == 0
    assert "0 records and 0 networks copied, 0 were here, 1 stale, 0 refused" in capsys.readouterr().out
    for folder, words in (("nowhere", "one with a folder records"), ("here", "another one than this project's")):
        (tmp_path / "here" / "records").mkdir(parents=True, exist_ok=True)
        assert cli.main(["merge", str(tmp_path / folder)]) == 2
        assert words in capsys.readouterr().err


def test_the_command_computes_a_shard_and_executes_no_notebook(machine, capsys, monkeypatch):
    machine("shard")
    monkeypatch.setenv("PRUNEBOOK_HOME", str(Path(__file__).parents[1]))  # where the notebooks are
    monkeypatch.setattr(notebooks.Notebook, "trials", lambda self, parameters: branches((1,), (2,)))
    monkeypatch.setattr(notebooks, "execute", lambda *given: pytest.fail("executed"))
    assert cli.main(["run", "kcore", "smoke", "--shard", "1/2", "--max-trials", "5", "--device", "cpu"]) == 0
    assert "once all shards are done and merged, call this without --shard" in capsys.readouterr().err
    assert len(list(Store().local.glob("*/*.json"))) == 2
    assert cli.main(["run", "kcore", "smoke", "--shard", "3/2"]) == 2
    assert capsys.readouterr().err == "prunebook: shard is '3/2', but must be a part such as 2/4: the second of four\n"
