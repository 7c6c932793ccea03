"""Trials, records and the local engine, on a task of the tests' own that costs nothing."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from processes import HEARS_CTRL_C, press_ctrl_c, start, wait_for
from pydantic import Field
from test_tables import credit_rows, write_credit

from prunebook import cli, data, models, paths, trials, weights
from prunebook.errors import BadValue, MissingData
from prunebook.trials import DamagedRecord, MissingRecords, Store, Trial
from prunebook.trials import trial as trial_module
from prunebook.trials.engine import (
    Context,
    MixedData,
    MixedNetworks,
    check_comparable,
    check_data,
    check_networks,
    parse_budget,
    published_network,
    to_run,
)
from prunebook.trials.trial import Parameters, task


class Square(Parameters):
    x: int = Field(ge=0)
    power: int = 2

    def describe(self) -> str:
        return f"{self.x}^{self.power}"


CALLS: list[int] = []


@task("square", version=1, parameters=Square)
def square(p, context):
    CALLS.append(p.x)
    return {"value": p.x**p.power}


@pytest.fixture
def store(tmp_path) -> Store:
    CALLS.clear()
    return Store(tmp_path / "local", tmp_path / "published")


@pytest.fixture
def bump(monkeypatch):
    def to(version: int) -> None:
        old = trial_module._TASKS["square"]
        monkeypatch.setitem(trial_module._TASKS, "square", trial_module.Task(**{**vars(old), "version": version}))

    return to


def squares(n: int) -> list[Trial]:
    return [Trial("square", {"x": x}) for x in range(n)]


def run(wanted, store, **options):
    return trials.run(wanted, store=store, progress=False, **options)


def test_a_trial_runs_once_and_is_read_ever_after(store):
    assert [r.result["value"] for r in run(squares(4), store)] == [0, 1, 4, 9]
    assert [r.result["value"] for r in run(squares(5), store)] == [0, 1, 4, 9, 16]
    assert CALLS == [0, 1, 2, 3, 4]


def test_force_computes_again(store):
    run(squares(2), store)
    run(squares(2), store, force=True)
    assert CALLS == [0, 1, 0, 1]


def test_the_key_depends_on_task_and_parameters_and_not_on_spelled_out_defaults():
    assert Trial("square", {"x": 3}).key == Trial("square", {"power": 2, "x": 3}).key
    assert Trial("square", {"x": 3}) == Trial("square", {"x": 3, "power": 2})
    assert Trial("square", {"x": 3}).key != Trial("square", {"x": 4}).key


@pytest.mark.parametrize("device", ["tpu", "cuda", "cuda:9", "", "cpu:x"])
def test_a_device_that_is_not_here_is_refused_before_anything_runs(store, device, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadValue, match=f"device is '{device}', but must be .*cpu"):
        run(squares(1), store, device=device)
    assert CALLS == []
    for command in (["run", "kcore", "smoke", "--trials-only"], ["estimate", "kcore", "smoke", "--no-measure"]):
        assert cli.main([*command, "--device", device]) == 2
        assert capsys.readouterr().err.startswith(f"prunebook: device is '{device}', but must be")


def test_a_varied_trial_is_the_one_that_would_be_made_anew():
    first = Trial("square", {"x": 3, "power": 3})
    other = first.varied(x=4)
    assert (other, other.key, other.params) == (Trial("square", {"x": 4, "power": 3}), other.key, {"x": 4, "power": 3})
    assert other.key == Trial("square", {"x": 4, "power": 3}).key
    assert (first.params, first.varied(power=2).key) == ({"x": 3, "power": 3}, Trial("square", {"x": 3}).key)
    with pytest.raises(BadValue, match="x is -1, but must be at least 0"):
        first.varied(x=-1)
    with pytest.raises(BadValue, match="did you mean 'power'"):
        first.varied(powers=2)


def test_the_states_of_many_are_those_of_each(store, bump):
    wanted = squares(5)
    run(wanted[:3], store)
    store.publish(wanted[0])
    (store.local / "square" / f"{wanted[0].key}.json").unlink()
    assert store.state_of_each([*wanted, wanted[0]]) == {trial: store.state(trial) for trial in wanted}
    assert store.states([*wanted, wanted[0]]) == {"done": 3, "missing": 2}
    bump(2)
    assert store.states(wanted) == {"stale": 3, "missing": 2}
    (store.local / "square" / f"{wanted[1].key}.json").write_text("{")
    with pytest.raises(DamagedRecord, match=wanted[1].key):
        store.states(wanted)


def test_a_record_of_another_version_is_shown_as_stale_and_not_used(store, bump):
    run(squares(1), store)
    bump(2)
    one = squares(1)[0]
    assert store.state(one) == "stale"
    assert store.find(one) is None
    assert all(trials.is_stale(record) for record in store.records())
    with pytest.raises(MissingRecords, match="1 stale"):
        run([one], store, engine="records")
    run([one], store)
    assert CALLS == [0, 0]
    assert store.state(one) == "done"


def test_a_changed_default_makes_a_record_stale(store, monkeypatch):
    run(squares(1), store)
    cubed = type("Square", (Square,), {"__annotations__": {"power": int}, "power": 3})
    old = trial_module._TASKS["square"]
    monkeypatch.setitem(trial_module._TASKS, "square", trial_module.Task(**{**vars(old), "parameters": cubed}))
    assert store.state(Trial("square", {"x": 0})) == "stale"


def test_engine_records_computes_nothing(store):
    with pytest.raises(MissingRecords, match="2 of 2 records are not there"):
        run(squares(2), store, engine="records")
    assert CALLS == []


@pytest.mark.parametrize("harm", ["truncate", "flip", "garbage"])
def test_a_damaged_record_is_named_and_computed_again(store, capsys, harm):
    one = squares(3)[2]
    run([one], store)
    path = store.path(one)
    text = path.read_text()
    path.write_text({"truncate": text[:40], "flip": text.replace('"value": 4', '"value": 5'), "garbage": "[]"}[harm])
    with pytest.raises(DamagedRecord, match=path.name):
        store.find(one)
    assert run([one], store)[0].result == {"value": 4}
    assert str(path) in capsys.readouterr().err
    assert CALLS == [2, 2]


def test_a_published_record_is_used_where_there_is_no_local_one(store):
    one = squares(1)[0]
    run([one], store)
    published = store.publish(one)
    store.path(one).unlink()
    assert run([one], store, engine="records")[0].key == published.stem
    assert CALLS == [0]


def test_the_same_trials_give_the_same_records_but_for_times(tmp_path):
    contents = []
    for name in ("a", "b"):
        store = Store(tmp_path / name, tmp_path / "none")
        run(squares(3), store)
        stripped = []
        for path in sorted(store.local.glob("*/*.json")):
            value = json.loads(path.read_text())
            stripped.append({k: v for k, v in value.items() if k not in ("times", "provenance", "sha256")})
        contents.append(stripped)
    assert contents[0] == contents[1]
    assert len(contents[0]) == 3


def test_a_record_holds_code_environment_hardware_and_durations(store):
    record = run(squares(1), store)[0]
    assert record.times["total"] >= 0
    assert record.provenance["environment"]["torch"].startswith("2.")
    assert record.provenance["hardware"]["threads"] >= 1
    assert {"code", "finished"} <= set(record.provenance)
    assert record.params == {"x": 0, "power": 2}


def test_a_budget_that_is_over_starts_no_further_trial(store, monkeypatch):
    clock = iter([0.0, 0.0, 5.0, 10.0])
    monkeypatch.setattr("prunebook.trials.engine.time.monotonic", lambda: next(clock, 99.0))
    assert len(run(squares(4), store, budget="8s")) == 2
    assert CALLS == [0, 1]


@pytest.mark.parametrize(("text", "seconds"), [(90, 90), ("90s", 90), ("25m", 1500), ("1.5h", 5400), (None, None)])
def test_budgets_are_read(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-5", "0", "5d", ""])
def test_impossible_budgets_are_refused(text):
    with pytest.raises(BadValue, match="budget is"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("sqare", {"x": 1}, "did you mean 'square'?"),
        ("square", {"x": -1}, "x is -1, but must be at least 0"),
        ("square", {"x": 1, "pwoer": 3}, "there is no parameter 'pwoer'; did you mean 'power'? (there are: x, power)"),
        ("square", {}, "the parameter 'x' is missing"),
    ],
)
def test_an_impossible_trial_cannot_be_made(name, params, words):
    with pytest.raises(BadValue) as refusal:
        Trial(name, params)
    assert words in str(refusal.value)


def test_an_error_inside_a_trial_says_which_trial_it_was_and_writes_nothing(store):
    @task("broken", version=1, parameters=Square)
    def broken(p, context):
        raise RuntimeError("no")

    try:
        with pytest.raises(RuntimeError) as fault:
            run([Trial("broken", {"x": 7})], store)
        assert "broken" in fault.value.__notes__[0]
        assert "7^2" in fault.value.__notes__[0]
        assert not list(store.local.rglob("*.json"))
    finally:
        del trial_module._TASKS["broken"]


SLOW = (
    HEARS_CTRL_C
    + """
import sys, time
from prunebook import trials
from prunebook.trials.trial import Parameters, task
class P(Parameters):
    x: int
    def describe(self): return str(self.x)
@task("slow", version=1, parameters=P)
def slow(p, context):
    time.sleep(0.15)
    return {"value": p.x}
from pathlib import Path
store = trials.Store(Path(sys.argv[1]), Path(sys.argv[1]) / "none")
trials.run([trials.Trial("slow", {"x": x}) for x in range(8)], store=store, progress=False)
print("complete")
"""
)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_loses_at_most_the_trial_in_flight_and_goes_on(tmp_path, how):
    arguments = ["-c", SLOW, tmp_path]
    folder = tmp_path / "slow"
    process = start(arguments)
    wait_for(lambda: len(list(folder.glob("*.json"))) >= 3, process)
    press_ctrl_c(process) if how == signal.SIGINT else process.kill()
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert 3 <= len(kept) < 8
    assert all(trials.store.read(path) for path in kept)  # whole, whatever the moment
    assert "complete" in start(arguments, stdout=subprocess.PIPE).communicate()[0]
    assert len(list(folder.glob("*.json"))) == 8
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # not computed again


def test_records_go_to_a_temporary_name_first(store, monkeypatch):
    seen = []
    real = os.replace

    def replace(source, target):
        seen.append((Path(source).name, Path(target).name))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    run(squares(1), store)
    (source, target) = seen[0]
    assert source.startswith(f".{target}.")
    assert source.endswith(".part")


# Baselines that start from other weights

HEAD = {"linear.weight", "linear.bias"}
TRANSFER = {"arch": "resnet20", "options": {"width": 0.125}, "fit": {"epochs": 1, "trainable": "head", "augment": False}}


@pytest.fixture
def pretrained(tmp_path, monkeypatch) -> dict[str, torch.Tensor]:
    """The tensors of start.th: a network for images like the digits, and for five classes."""
    monkeypatch.setenv("PRUNEBOOK_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *given: pytest.fail("downloaded"))
    state = models.build("resnet20", 5, 1, seed=9, width=0.125).state_dict()
    (tmp_path / "weights").mkdir()
    torch.save(state, tmp_path / "weights" / "start.th")
    return state


def trained(trial: Trial, store: Store) -> dict[str, torch.Tensor]:
    return weights.load(Context("cpu", store).checkpoint(trial)).state_dict()


def test_a_baseline_starts_from_all_that_fits_of_a_file_and_its_record_says_how_much_that_was(store, pretrained):
    trial = Trial("baseline", {**TRANSFER, "pretrained": "start.th"})
    (record,) = run([trial], store)
    found = record.result["weights"]
    assert found["file"] == "start.th"
    assert found["sha256"] == weights.sha256(weights.find("start.th"))
    assert found["fit"].startswith(f"{len(pretrained) - 2} tensors match; 2 of another shape (linear.bias (5,) instead of")
    assert len(record.result["history"]) == 1
    state = trained(trial, store)
    assert state.keys() == pretrained.keys()
    assert {name for name in state if not torch.equal(state[name], pretrained[name])} == HEAD
    assert state["linear.weight"].shape == (10, 8)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project's folder, from which a network is published and to which a clone has no other files."""
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path / "project"))
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "project"


def test_a_published_network_spares_a_clone_the_training(store, project, tmp_path, monkeypatch):
    trial = Trial("baseline", TRANSFER)
    run([trial], store)
    state = trained(trial, store)
    store.publish(trial)
    path = trials.publish_network(trial, store)
    assert path.parent == project / "data" / "networks" / "baseline"
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "clone"))
    clone = Store(tmp_path / "clone" / "records", store.published)
    profile = Trial("profile", {"baseline": TRANSFER, "images": 10})
    assert to_run([profile], clone) == [profile]
    run([profile], clone)
    assert not Context("cpu", clone).checkpoint(trial).exists()
    copied = weights.load(Context("cpu", clone).network(trial)).state_dict()
    assert all(torch.equal(copied[name], state[name]) for name in state)


def test_records_say_which_copy_of_a_network_they_start_from(store, project):
    trial, profile = Trial("baseline", TRANSFER), Trial("profile", {"baseline": TRANSFER, "images": 10})
    first, second = run([trial, profile], store)
    digest = weights.sha256(Context("cpu", store).network(trial))
    assert first.provenance["networks"] == second.provenance["networks"] == {trial.key: digest}
    assert run(squares(1), store)[0].provenance["networks"] == {}


def test_records_of_different_copies_of_a_network_do_not_stand_side_by_side(store, project):
    trial, profile = Trial("baseline", TRANSFER), Trial("profile", {"baseline": TRANSFER, "images": 10})
    first, second = run([trial, profile], store)
    check_networks([first, second])
    other = {**second.provenance, "networks": {trial.key: "0" * 64}}
    with pytest.raises(MixedNetworks, match=f"key {trial.key}.* 2 different copies.*--force"):
        check_networks([first, replace(second, provenance=other)])
    unknown = {name: value for name, value in second.provenance.items() if name != "networks"}
    with pytest.raises(MixedNetworks, match="2 different copies"):
        check_networks([first, replace(second, provenance=unknown)])
    check_networks([replace(record, provenance=unknown) for record in (first, second)])


CARDS = {
    "dataset": "creditcard", "arch": "mlp_credit", "fit": {"epochs": 1, "batch_size": 8, "augment": False}
}  # fmt: skip


@pytest.fixture
def cards(tmp_path, monkeypatch) -> Callable[[int], None]:
    """Writes a table of cards, another one for each seed."""
    monkeypatch.setenv("PRUNEBOOK_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return lambda seed: write_credit(tmp_path / "data", "a.csv", credit_rows(40, seed))


def test_records_say_which_copy_of_a_dataset_they_were_made_with(store, project, cards):
    cards(0)
    (record,) = run([Trial("baseline", CARDS)], store)
    assert record.provenance["data"] == {"creditcard": data.fingerprint(data.load("creditcard"))}
    assert record.result["data"]["fingerprint"] == record.provenance["data"]["creditcard"]
    (record,) = run(
        [Trial("transfer", {"baseline": TRANSFER, "dataset": "digits", "size": 16, "finetune": TRANSFER["fit"]})], store
    )
    assert set(record.provenance["data"]) == {"digits", "digits of 16 pixels"}
    assert run(squares(1), store)[0].provenance["data"] == {}


def test_records_of_different_copies_of_a_dataset_do_not_stand_side_by_side(store, project, cards):
    other = {**CARDS, "fit": {**CARDS["fit"], "seed": 1}}
    cards(0)
    first = run([Trial("baseline", CARDS)], store)
    cards(1)
    mixed = run([Trial("baseline", CARDS), Trial("baseline", other)], store)
    assert mixed[0] == first[0]
    with pytest.raises(MixedData, match=r"^the records on creditcard were made with 2 different copies .*--force"):
        check_comparable(mixed)
    older = [replace(record, provenance={k: v for k, v in record.provenance.items() if k != "data"}) for record in mixed]
    with pytest.raises(MixedData, match="the records on creditcard"):
        check_comparable(older)
    with pytest.raises(MixedData, match="the records on creditcard"):
        check_comparable([older[0], mixed[1]])
    check_comparable([mixed[0], replace(older[1], result={})])  # which does not say
    check_comparable(run([Trial("baseline", CARDS), Trial("baseline", other)], store, force=True))


def test_a_trial_with_another_copy_of_the_data_than_its_network_had_is_refused_at_once(store, project, cards):
    impacts = Trial("impacts", {"baseline": CARDS})
    cards(0)
    run(impacts.needs(), store)
    cards(1)
    with pytest.raises(MixedData, match="the records on creditcard") as raised:
        run([impacts], store)
    assert any(impacts.key in note for note in raised.value.__notes__)
    assert store.find(impacts) is None
    cards(0)
    assert len(run([impacts], store)) == 1


def test_of_each_dataset_all_published_records_had_the_same_copy():
    check_data(Store().records(paths.results()))


def test_a_network_trained_again_counts_before_the_published_one(store, project):
    trial = Trial("baseline", TRANSFER)
    run([trial], store)
    context = Context("cpu", store)
    trials.publish_network(trial, store)
    assert context.network(trial) == context.checkpoint(trial)
    context.checkpoint(trial).unlink()
    assert context.network(trial) == published_network(trial)
    assert trials.publish_network(trial, store) == published_network(trial)


def test_no_damaged_or_missing_network_is_published(store, project):
    trial = Trial("baseline", TRANSFER)
    with pytest.raises(MissingData, match="is not there"):
        trials.publish_network(trial, store)
    run([trial], store)
    path = Context("cpu", store).checkpoint(trial)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(BadValue, match="damaged"):
        trials.publish_network(trial, store)
    assert not published_network(trial).exists()


def test_a_baseline_without_other_weights_says_nothing_of_a_file(store, pretrained):
    trial = Trial("baseline", TRANSFER)
    (record,) = run([trial], store)
    assert record.result["weights"] == {}
    assert not torch.equal(trained(trial, store)["conv1.weight"], pretrained["conv1.weight"])


def test_torchvisions_weights_are_asked_for_by_their_prefix_only(store, pretrained, monkeypatch):
    asked = []

    def fetch(arch, name):
        asked.append((arch, name))
        return weights.find("start.th")

    monkeypatch.setattr(weights, "from_torchvision", fetch)
    for name in ("DEFAULT", "resnet20", "IMAGENET1K_V1"):
        with pytest.raises(BadValue, match=f"weights file '{name}' is not in"):
            run([Trial("baseline", {**TRANSFER, "pretrained": name})], store)
    assert asked == []
    trial = Trial("baseline", {**TRANSFER, "pretrained": "torchvision:DEFAULT"})
    (record,) = run([trial], store)
    assert asked == [("resnet20", "DEFAULT")]
    assert record.result["weights"]["file"] == "torchvision:DEFAULT"
    assert torch.equal(trained(trial, store)["conv1.weight"], pretrained["conv1.weight"])


def test_weights_of_which_nothing_fits_are_refused_and_leave_no_record(store, pretrained):
    torch.save({"body.weight": torch.zeros(3)}, weights.find("start.th"))
    with pytest.raises(BadValue, match=r"pretrained is 'start\.th', but must be a file that fits resnet20 at least in part"):
        run([Trial("baseline", {**TRANSFER, "pretrained": "start.th"})], store)
    with pytest.raises(BadValue, match="arch is 'resnet20', but must be one of: resnet50"):
        run([Trial("baseline", {**TRANSFER, "pretrained": "torchvision:DEFAULT"})], store)
    assert not list(store.local.rglob("*.json"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weights": "w.th", "pretrained": "start.th"}, "pretrained is 'start.th', but must be given only with fit"),
        (
            {"weights": "w.th", "pretrained": "start.th", "fit": {"epochs": 1}},
            "weights is 'w.th', but must be given exactly",
        ),
        ({"pretrained": "start.th"}, "must be given exactly where fit is not"),
        ({"fit": {"epochs": 1, "optimizer": "adamw"}}, "optimizer is 'adamw'"),
        ({"fit": {"epochs": 1, "trainable": "body"}}, "trainable is 'body'"),
        ({"fit": {"epochs": 1, "rotate": 181}}, "rotate is 181"),
        ({"fit": {"epochs": 1, "pad": -1}}, "pad is -1"),
    ],
)
def test_a_baseline_that_contradicts_itself_cannot_be_asked_for(given, words):
    with pytest.raises(BadValue) as refusal:
        Trial("baseline", given)
    assert words in str(refusal.value)
