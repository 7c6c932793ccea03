"""Trials on a Ray cluster of two places, started on this machine."""

import importlib.util
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from chaos import cases, fault
from processes import HEARS_CTRL_C, cluster, is_alive, press_ctrl_c, python_path, start, starts_of_ray, wait_for
from pydantic import Field

from prunebook import cli, trials, weights
from prunebook.errors import BadValue
from prunebook.trials import Store, Trial, engine
from prunebook.trials import cluster as cluster_module
from prunebook.trials.cluster import Demand
from prunebook.trials.engine import Context
from prunebook.trials.trial import Parameters, task
from prunebook.trials.verify import verify

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")

FIT = {"epochs": 1, "lr": 0.01, "batch_size": 16, "images": 32, "augment": False}
NETWORK = {"arch": "resnet20", "options": {"width": 0.125}, "fit": FIT}


class Stop(Parameters):
    x: int
    log: str
    meets: int | None = Field(None, description="the trial that has to be in flight at the same time")
    stays: bool = Field(False, description="until the file go lies beside the log")
    dies: bool = Field(False, description="at the first attempt its process is killed")
    fails: bool = False

    def describe(self) -> str:
        return f"stop {self.x}"


@task("stopover", version=1, parameters=Stop)
def stopover(p, context):
    attempts = len(list(Path(p.log).glob(f"{p.x} *")))
    (Path(p.log) / f"{p.x} {attempts}").write_text(str(os.getpid()))
    deadline = time.monotonic() + 120
    while p.meets is not None and not (Path(p.log) / f"{p.meets} 0").exists():
        assert time.monotonic() < deadline, "no other trial at the same time"
        time.sleep(0.02)
    while p.stays and not (Path(p.log).parent / "go").exists():
        assert time.monotonic() < deadline, "never told to go"
        time.sleep(0.02)
    if p.dies and attempts == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if p.fails:
        raise BadValue(f"nothing to be done in {p.x}")
    return {"process": os.getpid(), "threads": torch.get_num_threads(), "given": _given()}


@task("alone-stopover", version=1, parameters=Stop, alone=True)
def alone(p, context):
    return stopover(p, context)


def _given() -> dict[str, float]:
    """What of the cluster this process has, as the cluster says; nothing elsewhere."""
    ray = sys.modules.get("ray")
    return ray.get_runtime_context().get_assigned_resources() if ray and ray.is_initialized() else {}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Nodes find this module; records go to a folder of their own, and nothing is published."""
    monkeypatch.setenv("PYTHONPATH", python_path())
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path / "project"))
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "log").mkdir()
    return tmp_path / "log"


@pytest.fixture
def two_places():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run(wanted, **options):
    with starts_of_ray():
        return trials.run(wanted, engine="ray", progress=False, device="cpu", **options)


@with_ray
def test_trials_run_side_by_side_and_one_whose_process_is_lost_runs_again_and_once(elsewhere, two_places):
    given = [{"x": 1, "meets": 2}, {"x": 2, "meets": 1}, {"x": 3, "dies": True}]
    with fault("SIGKILL of a trial's process on a Ray cluster", "the trial runs again; each has one record"):
        found = run([Trial("stopover", {**one, "log": str(elsewhere)}) for one in given])
        assert len(found) == 3
        assert os.getpid() not in {record.result["process"] for record in found}
        assert {record.result["threads"] for record in found} == {1}
        assert sorted(path.name for path in elsewhere.iterdir()) == ["1 0", "2 0", "3 0", "3 1"]
        assert len(list(Store().local.glob("*/*.json"))) == 3
    assert os.environ["PRUNEBOOK_CACHE"] == str(elsewhere.parent / "cache")


@with_ray
@pytest.mark.parametrize("number", cases(1, 5))
def test_what_was_in_flight_on_a_node_that_is_killed_runs_again_elsewhere_and_each_trial_has_one_record(
    number, elsewhere, monkeypatch
):
    written = Counter()
    put = Store.put
    monkeypatch.setattr(
        Store, "put", lambda self, trial, record: (written.update([trial.params["x"]]), put(self, trial, record))[1]
    )

    def kill() -> None:
        first = [elsewhere / "1 0", elsewhere / "2 0"]
        wait_for(lambda: all(path.exists() and path.read_text() for path in first))
        processes = [int(path.read_text()) for path in first]
        nodes.remove_node(other, allow_graceful=False)
        wait_for(lambda: sum(map(is_alive, processes)) == 1)
        (elsewhere.parent / "go").touch()

    wanted = [Trial("stopover", {"x": x, "stays": True, "log": str(elsewhere)}) for x in range(1, 7)]
    with (
        cluster(num_cpus=1) as nodes,
        fault("a node of a Ray cluster is killed", "its trial runs elsewhere; each has one record"),
    ):
        with starts_of_ray():
            other = nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        killer = threading.Thread(target=kill)
        killer.start()
        found = run(wanted, demand=Demand(nodes.address))
        killer.join()
        assert [record.params["x"] for record in found] == [1, 2, 3, 4, 5, 6]
        assert written == dict.fromkeys(range(1, 7), 1)
        attempts = Counter(path.name.partition(" ")[0] for path in elsewhere.iterdir())
        assert sorted(attempts.values()) == [1, 1, 1, 1, 1, 2]
        assert {attempts["1"], attempts["2"]} == {1, 2}  # one of the two that were in flight
        assert len(list(Store().local.glob("*/*.json"))) == 6
        assert verify().bad == []


@with_ray
def test_a_share_of_a_gpu_is_asked_for_and_so_many_trials_share_one(elsewhere, monkeypatch):
    """A node may say that it has a GPU. No trial looks for it: they are told to compute on the CPU."""

    class OnCpu(cluster_module.Cluster):
        def __init__(self, demand, store, device):
            super().__init__(demand, store, device)
            assert self.device == "cuda"
            self.device = "cpu"

        def __enter__(self):
            super().__enter__()
            places.append(self.places())
            return self

    monkeypatch.setattr(engine, "Cluster", OnCpu)
    places: list[int] = []
    circle = [{"x": x, "meets": x % 4 + 1} for x in range(1, 5)]  # none of four would end without the next one
    pair = [{"x": x, "stays": True} for x in (5, 6)]
    with cluster(num_cpus=8, num_gpus=1) as nodes:
        found = run(
            [Trial("stopover", {**one, "log": str(elsewhere)}) for one in circle], demand=Demand(nodes.address, 2, 0.25)
        )
        assert [record.result["given"] for record in found] == [{"CPU": 2, "GPU": 0.25}] * 4
        assert len({record.result["process"] for record in found}) == 4
        assert {record.result["threads"] for record in found} == {2}

        def look() -> None:
            wait_for(lambda: len(list(elsewhere.iterdir())) > 4)
            time.sleep(2)  # for the other one to begin, if it could
            begun.append(len(list(elsewhere.iterdir())) - 4)
            (elsewhere.parent / "go").touch()

        begun: list[int] = []
        threading.Thread(target=look).start()
        found = run([Trial("stopover", {**one, "log": str(elsewhere)}) for one in pair], demand=Demand(nodes.address, 1, 1))
        assert [record.result["given"] for record in found] == [{"CPU": 1, "GPU": 1}] * 2
    assert begun == [1]
    assert places == [4, 1]


@with_ray
@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (Demand(gpus=0.5), "GPUs per trial is 0.5, but must be at most 0"),
        (Demand(cpus=512), "cpus per trial is 512, but must be at most"),
    ],
)
def test_what_this_machine_does_not_have_is_refused_and_not_waited_for(demand, words, elsewhere, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BadValue, match=words):
        run([Trial("stopover", {"x": 5, "log": str(elsewhere)})], demand=demand)
    assert list(elsewhere.iterdir()) == []


SCRIPT = (
    HEARS_CTRL_C
    + """
import sys
import test_cluster
from prunebook import cli, trials
wanted = [trials.Trial("stopover", {"x": x, "stays": x > 1, "log": sys.argv[1]}) for x in (1, 2)]
test_cluster.torch.set_num_threads(1)
trials.run(wanted, engine="ray", progress=False, device="cpu")
"""
)


@with_ray
def test_ctrl_c_ends_the_cluster_of_this_machine_and_keeps_what_is_finished(elsewhere, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = start([tmp_path / "script.py", elsewhere])
    try:
        wait_for(lambda: (elsewhere / "2 0").exists(), process)
    except AssertionError as told:
        if "timed out during startup" in str(told):
            pytest.skip("Ray's processes do not start in Ray's own time")
        raise
    press_ctrl_c(process)
    _, errors = process.communicate(timeout=120)  # returns once no process holds standard error: those of Ray have ended
    assert "KeyboardInterrupt" in errors
    assert [path.stem for path in (tmp_path / "cache" / "records").glob("*/*.json")] == [
        Trial("stopover", {"x": 1, "log": str(elsewhere)}).key
    ]


@with_ray
def test_networks_travel_to_the_nodes_and_back_and_records_are_those_of_a_local_run(elsewhere, tmp_path, monkeypatch):
    wanted = [Trial("prune", {"baseline": NETWORK, "tau": tau, "images": 10, "evaluate": "none"}) for tau in (0.6, 0.8)]
    run(wanted)
    network = Context("cpu", Store()).checkpoint(wanted[0].needs()[0])
    assert weights.load(network)
    assert verify()[:3] == (3, 1, [])
    contents = []
    for where in ("cache", "local"):
        monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / where))
        if where == "local":
            before = torch.get_num_threads()
            torch.set_num_threads(1)
            trials.run(wanted, progress=False, device="cpu")
            torch.set_num_threads(before)
        found = [json.loads(path.read_text()) for path in sorted(Store().local.glob("*/*.json"))]
        contents.append([(r["key"], r["params"], r["result"], r["provenance"]["networks"]) for r in found])
    assert contents[0] == contents[1]


@with_ray
def test_what_a_trial_raises_is_raised_with_its_name(elsewhere):
    with pytest.raises(BadValue, match="nothing to be done in 5") as raised:
        run([Trial("stopover", {"x": 5, "fails": True, "log": str(elsewhere)})])
    assert any("stop 5" in note for note in raised.value.__notes__)


@with_ray
def test_a_cluster_that_is_not_there_is_one_sentence(elsewhere, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(BadValue, match="no Ray cluster at 'auto'") as refusal:
        run([Trial("stopover", {"x": 5, "log": str(elsewhere)})], demand=Demand("auto"))
    assert "\n" not in str(refusal.value)


@with_ray
@pytest.mark.parametrize("scheme", ["", "ray://", "auto"])
def test_an_address_where_nothing_answers_is_one_sentence_before_the_first_trial(scheme, elsewhere, monkeypatch, capfd):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme.removeprefix('auto')}127.0.0.1:{server.getsockname()[1]}"  # closed at the end of the block
    monkeypatch.setenv("RAY_ADDRESS", address if scheme == "auto" else "")
    start = time.monotonic()
    with pytest.raises(BadValue, match=f"no Ray cluster at '{address}': .*refused") as refusal:
        trials.run(
            [Trial("alone-stopover", {"x": 5, "log": str(elsewhere)}), Trial("stopover", {"x": 6, "log": str(elsewhere)})],
            engine="ray", progress=False, device="cpu", demand=Demand("auto" if scheme == "auto" else address),
        )  # fmt: skip
    assert time.monotonic() - start < cluster_module.ANSWER + 5
    assert "\n" not in str(refusal.value)
    assert list(elsewhere.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@with_ray
def test_a_name_that_no_machine_has_is_one_sentence(elsewhere):
    with pytest.raises(BadValue, match=r"no Ray cluster at 'a\.\.b:6379'"):
        trials.run([Trial("stopover", {"x": 5, "log": str(elsewhere)})], "ray", progress=False, demand=Demand("a..b:6379"))


@with_ray
def test_with_nothing_to_compute_no_cluster_is_asked_for(elsewhere):
    wanted = [Trial("stopover", {"x": 5, "log": str(elsewhere)})]
    before = trials.run(wanted, progress=False, device="cpu")
    assert trials.run(wanted, engine="ray", progress=False, device="cpu", demand=Demand("127.0.0.1:1")) == before


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "host", "host:", ":6379", "host:99999", "host:0", "host:6379 ", "http://host:80", "ray://host",
     "::1:6379", "user@host:6379", "host:6379/x", "a b:6379", "host\n:6379"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(BadValue, match=r"^address is .*, but must be 'local', 'auto' or HOST:PORT") as refusal:
        Demand(address)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("address", ["10.0.0.7:6379", "head.example-site.org:6379", "[::1]:6379", "ray://head_1:10001"])
def test_an_address_that_is_one_is_taken(address):
    assert Demand(address).address == address


def test_without_ray_one_sentence_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    assert cli.main(["run", "kcore", "smoke", "--engine", "ray"]) == 2
    err = capsys.readouterr().err
    assert "engine 'ray' needs Ray, which is not installed: pip install 'prunebook[ray]'" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--gpus-per-trial", "1.5"], "GPUs per trial is 1.5, but must be a share from 0 to 1 or a whole number"),
        (["--gpus-per-trial", "-1"], "GPUs per trial is -1.0"),
        (["--gpus-per-trial", "nan"], "GPUs per trial is nan"),
        (["--cpus-per-trial", "0"], "cpus per trial is 0, but must be a number of cores, at least 1"),
        (
            ["--address", "host:99999", "--engine", "ray"],
            "address is 'host:99999', but must be 'local', 'auto' or HOST:PORT",
        ),
        (["--address", "", "--engine", "ray"], "address is '', but must be"),
        (["--address", "auto", "--engine", "local"], "engine is 'local', but must be 'ray' where a cluster is asked for"),
    ],
)
def test_impossible_demands_are_refused_in_one_sentence(given, words, capsys, monkeypatch):
    assert cli.main(["run", "kcore", "smoke", *given]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
