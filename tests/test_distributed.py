"""Two processes that train together on photographs, compared with one process. torchrun runs this file itself."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from processes import PATIENCE, python_path
from torch import nn

from prunebook import cli, data, distributed, models, training, trials
from prunebook.errors import BadValue
from prunebook.trials import Store, Trial
from prunebook.trials.trial import Parameters, task

PICTURES = 8  # of each of three classes, and half as many in the test part
NORMAL: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


class Hello(Parameters):
    def describe(self) -> str:
        return "to all"


@task("hello", version=1, parameters=Hello)
def hello(p, context):
    (context.store.local / f"ran-{distributed.rank()}").touch()
    return {"ranks": distributed.gather(torch.tensor([distributed.rank()])).tolist()}


class CountingStore(Store):
    """Notes every record that is written."""

    def put(self, trial, record):
        with open(self.local / "written", "a") as file:
            file.write(f"{distributed.rank()} {trial.task}\n")
        return super().put(trial, record)


def pictures(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for part, count in (("train", PICTURES), ("test", PICTURES // 2)):
        for name in ("a", "b", "c"):
            (folder / "noise" / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(0, 256, (48, 40 + i, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "noise" / part / name / f"{i}.png")
    (folder / "noise" / "test" / "c" / "0.png").unlink()  # so that two processes have unequal shares


def network(norm: bool = True) -> nn.Module:
    model = models.build("resnet20", num_classes=7, seed=distributed.rank(), width=0.25)
    if not norm:
        for module in model.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, nn.Identity())
    return model


def trained(split: data.Split | data.FolderSplit, norm: bool, fits: int = 1) -> dict[str, Any]:
    model = network(norm)
    for seed in range(fits):
        history = training.fit(model, split, split, epochs=2, lr=0.01, batch_size=9, seed=seed, **NORMAL)
    for entry in history:
        del entry["seconds"]
    return {"state": model.state_dict(), "history": history}


def everything(folder: Path) -> dict[str, Any]:
    """What this process finds, be it alone or one of several."""
    train, _, test = data.load("image_folder:noise", folder, size=32, val_fraction=0)
    store = CountingStore(folder / f"records-{distributed.world()}", folder / "none")
    store.local.mkdir(exist_ok=True)
    (record,) = trials.run([Trial("hello", {})], store=store, progress=False, device="cpu")
    return {
        "photographs": trained(train, norm=False),
        "tensors": trained(data.Split(train.images, train.labels), norm=False),
        "norm": trained(train, norm=True, fits=2),
        "metrics": training.evaluate(models.build("resnet20", 7, seed=0), test, batch_size=4, **NORMAL)._asdict(),
        "record": {"result": record.result, "processes": record.provenance["processes"]},
    }


def together(arguments: list[Any], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run two processes. Where they wait for each other in vain, none is left behind."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    alone = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": python_path()}
    process = subprocess.Popen(
        list(map(str, command)), env=os.environ | alone | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        for child in [process.pid, *started_by(process.pid)]:  # each worker has a session of its own
            os.kill(child, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def started_by(parent: int) -> list[int]:
    """The numbers of the processes that `parent` started."""
    stats = (path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists())
    fields = [(int(stat.split()[0]), int(stat.rpartition(")")[2].split()[1])) for stat in stats]
    return [child for child, its_parent in fields if its_parent == parent]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Any]:
    """`everything` of both processes, as 0 and 1, and of one "alone"; the "folder"; and how the two "ended"."""
    folder = tmp_path_factory.mktemp("together")
    pictures(folder)
    ended = together([__file__, folder])
    assert (folder / "1.pt").exists(), ended.stderr
    both = {rank: torch.load(folder / f"{rank}.pt") for rank in (0, 1)}
    return {**both, "alone": everything(folder), "folder": folder, "ended": ended}


def close(one: Any, other: Any) -> bool:
    """Equal but for rounding, down to the tensors and numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, torch.Tensor):
        return torch.allclose(one, other, rtol=0, atol=1e-5)
    return one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("split", ["photographs", "tensors"])
def test_two_processes_train_the_network_that_one_does(found, split):
    first, last = found["alone"][split]["history"]
    assert first["loss"] != last["loss"]
    assert close(found[0][split], found["alone"][split])
    assert not close(dict(network(norm=False).state_dict()), found["alone"][split]["state"])


@pytest.mark.parametrize("split", ["photographs", "tensors", "norm"])
def test_all_processes_end_with_the_same_network_and_history(found, split):
    one, other = found[0][split], found[1][split]
    assert one["history"] == other["history"]
    assert all(torch.equal(value, other["state"][name]) for name, value in one["state"].items())


def test_batch_norm_counts_every_step_and_averages_its_statistics(found):
    state, alone = found[0]["norm"]["state"], found["alone"]["norm"]["state"]
    assert state["bn1.num_batches_tracked"] == alone["bn1.num_batches_tracked"] == 12
    # The statistics of half batches differ from those of whole ones, but by little for the mean of the first layer.
    assert torch.allclose(state["bn1.running_mean"], alone["bn1.running_mean"], atol=0.02)
    assert not torch.equal(state["bn1.running_mean"], alone["bn1.running_mean"])


def test_all_processes_measure_what_one_does(found):
    assert found[0]["metrics"] == found[1]["metrics"]
    assert close(found[0]["metrics"], found["alone"]["metrics"])
    assert found["alone"]["metrics"]["n"] == 11
    assert found["alone"]["metrics"]["top5"] > 0


def test_all_processes_run_a_trial_and_the_main_one_writes_its_record_once(found):
    folder = found["folder"] / "records-2"
    assert {path.name for path in folder.glob("ran-*")} == {"ran-0", "ran-1"}
    assert (folder / "written").read_text() == "0 hello\n"
    assert found[0]["record"] == found[1]["record"] == {"result": {"ranks": [0, 1]}, "processes": 2}
    assert found["alone"]["record"] == {"result": {"ranks": [0]}, "processes": 1}


def test_a_failure_in_one_process_ends_all_at_once(found):
    assert (found["folder"] / "left-0").exists()  # what went before ended well
    assert "no such picture" in found["ended"].stderr
    assert found["ended"].returncode == 1
    assert not (found["folder"] / "went-on").exists()


# The command of the how-to on a folder of photographs, at a size for the tests

SMALL = {
    "dataset": "image_folder:some", "size": 32, "arch": "resnet20", "options": "{resnet20: {width: 0.25}}", "batch_size": 16,
    "epochs": 1, "lr": 0.01, "images": 10, "taus": 0.7, "finetune": "{}", "criterion": "[]",
}  # fmt: skip
# Of what is trained, since batch norm sees a process's share of a batch; one of 24 images is 4.2 points.
SLACK = {"top1": 10.0, "f1": 0.2, "loss": 0.02}


@pytest.fixture
def some_photographs(tmp_path) -> Path:
    """24 photographs of ants and bees to learn from and 12 to be tested on, of each class."""
    whole = data.paths.data_root() / "hymenoptera"
    if not whole.is_dir():
        pytest.skip("there is no hymenoptera in PRUNEBOOK_DATA")
    for part, count in (("train", 24), ("val", 12)):
        for name in ("ants", "bees"):
            there = tmp_path / "some" / part / name
            there.mkdir(parents=True)
            for photograph in sorted((whole / part / name).glob("*.jpg"))[:count]:
                (there / photograph.name).symlink_to(photograph)
    return tmp_path


def records(cache: Path) -> dict[str, dict[str, Any]]:
    return {record.task: vars(record) for record in Store(cache / "records", cache / "none").records()}


@pytest.mark.data
def test_the_printed_command_makes_the_records_of_one_process_on_photographs(
    some_photographs, tmp_path, monkeypatch, capsys
):
    how_to = (Path(__file__).parents[1] / "book" / "how-to.md").read_text()
    printed = next(line for line in how_to.splitlines() if line.startswith(".venv/bin/torchrun"))
    torchrun, command = printed.split(" -m prunebook.cli ")
    assert torchrun == ".venv/bin/torchrun --standalone --nproc-per-node 8"
    small = [word for name, value in SMALL.items() for word in ("-p", name, str(value))]
    arguments = [*command.split(), *small, "--device", "cpu", "--trials-only"]
    monkeypatch.setenv("PRUNEBOOK_DATA", str(some_photographs))
    caches = {name: tmp_path / name for name in ("alone", "together", "pruned together")}
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(caches["alone"]))
    assert cli.main([*arguments, "--workers", "1"]) == 0

    def run(name: str, *more: str) -> None:
        ended = together(["-m", "prunebook.cli", *arguments, *more], PRUNEBOOK_CACHE=str(caches[name]))
        assert ended.returncode == 0, ended.stderr

    shutil.copytree(caches["alone"], caches["pruned together"])
    for path in (caches["pruned together"] / "records").glob("*/*.json"):
        if path.parent.name != "baseline":
            path.unlink()
    run("pruned together")
    run("together", "--max-trials", "1")
    alone, trained, pruned = (records(cache) for cache in caches.values())
    assert pruned.keys() == alone.keys() == {"baseline", "layer", "prune"}
    assert {record["provenance"]["processes"] for record in (trained["baseline"], pruned["prune"])} == {2}
    # One network, looked at by two processes: the same but for rounding.
    for name in ("layer", "prune"):
        assert pruned[name]["key"] == alone[name]["key"]
        assert close(pruned[name]["result"], alone[name]["result"])
    # One network, trained by two processes.
    one, two = alone["baseline"], trained["baseline"]
    assert (one["key"], one["params"]) == (two["key"], two["params"])
    assert one["result"].keys() == two["result"].keys()
    for part, before in one["result"]["test"].items():
        assert two["result"]["test"][part] == pytest.approx(before, abs=SLACK.get(part, 0))


def test_a_process_alone_needs_no_others():
    with distributed.setup():
        assert (distributed.rank(), distributed.world(), distributed.is_main()) == (0, 1, True)
        assert distributed.from_main(lambda: 7) == 7
        assert distributed.share(5) == slice(0, 5)


@pytest.mark.parametrize(("device", "words"), [("cuda:1", "device is 'cuda:1', but must be cpu or cuda"), ("cuda", "GPU")])
def test_devices_that_cannot_be_shared_out_are_refused(device, words, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", str(torch.cuda.device_count()))
    with pytest.raises(BadValue, match=words), distributed.setup(device):
        pass


def main(folder: Path) -> None:
    with distributed.setup("cpu"):
        rank = distributed.rank()
        torch.save(everything(folder), folder / f"{rank}.pt")
    (folder / f"left-{rank}").touch()
    with distributed.setup("cpu"):
        if rank == 1:
            raise BadValue("no such picture")
        distributed.barrier()
        (folder / "went-on").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
