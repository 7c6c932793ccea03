"""The same plan again, to the bit, in another process; and training again. This file run by itself prints what it found."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from chaos import fault
from processes import start

import prunebook
from prunebook import data, models, training
from prunebook.methods.baselines import CRITERIA

SACP = {"configurations": 64, "epochs": 1, "candidates": 2000, "m": 5, "k": 2}
ASKED: dict[str, dict[str, Any]] = {
    "kcore": {"tau": 0.6},
    "kcore, random score": {"tau": 0.6, "score": "random", "seed": 3},
    "dice, one-shot": {"ratio": 0.3},
    "dice, greedy": {"ratio": 0.3, "mode": "greedy"},
    "sacp": {"tau": 0.3, "seed": 3, **SACP},
    "mrp": {"target": 0.5, "seed": 3},
    "annealing, paper": {"input_bounds": (0.0, 1.0), "target": 0.5, "step": 0.1, "seed": 3},
    "annealing, official": {"input_bounds": (0.0, 1.0), "target": 0.5, "step": 0.1, "variant": "official", "seed": 3},
    **{f"baseline, {criterion}": {"criterion": criterion, "ratio": 0.3} for criterion in CRITERIA},
}
FIT: dict[str, Any] = {"epochs": 1, "lr": 0.05, "batch_size": 256, "seed": 3}
# Of a training with other threads, whose sums are in another order: after five steps, before the difference grows.
SLACK = {"top1": 1.0, "loss": 1e-3}


def digits() -> data.Dataset:
    return data.load("digits")


def plans() -> dict[str, str]:
    """The SHA-256 of each plan, its parameters and traces included."""
    split = digits().train
    images = data.normalise(split.images[:64], (0.3,), (0.3,))
    found = {}
    for name, options in ASKED.items():
        method, _, criterion = name.partition(", ")
        dense = method == "annealing"
        model = models.build("mlp_credit", 1, 29, seed=0) if dense else models.build("resnet20", 10, 1, seed=0, width=0.25)
        given = images
        if dense:
            given = torch.zeros(1, 29, 1, 1)
        elif method in ("kcore", "mrp", "baseline"):
            options = {**options, "images": images}
        if criterion in ("taylor", "hessian"):
            options = {**options, "labels": split.labels[:64]}
        _, plan = prunebook.prune(model, given[:1], method, **options)
        found[name] = hashlib.sha256(json.dumps(plan.to_json(), sort_keys=True).encode()).hexdigest()
    return found


def trained(threads: int) -> dict[str, Any]:
    """What a training ends with, and the SHA-256 of its network."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        digit = digits()
        model = models.build("resnet20", 10, 1, seed=0, width=0.25)
        training.fit(model, digit.train, digit.val, mean=digit.mean, std=digit.std, **FIT)
        metrics = training.evaluate(model, digit.val, mean=digit.mean, std=digit.std)
    finally:
        torch.set_num_threads(before)
    content = b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())
    return {"top1": metrics.top1, "loss": metrics.loss, "network": hashlib.sha256(content).hexdigest()}


def everything() -> dict[str, Any]:
    torch.set_num_threads(1)
    return {"plans": plans(), "trained": trained(1)}


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    """What two processes find; words that Python hashes are in another order in each."""
    both = [start([Path(__file__)], stdout=subprocess.PIPE, env={"PYTHONHASHSEED": seed}) for seed in "12"]
    ended = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    return [json.loads(output.splitlines()[-1]) for output, _ in ended]


@pytest.mark.parametrize("name", ASKED)
def test_a_plan_is_the_same_to_the_bit_in_another_process(name, found):
    with fault("a plan made again in another process, on the CPU", "the same to the bit"):
        assert found[0]["plans"][name] == found[1]["plans"][name]
    assert list(found[0]["plans"].values()).count(found[0]["plans"][name]) == 1  # another request, another plan


def test_a_training_is_the_same_to_the_bit_with_as_many_threads(found):
    with fault("a training again in another process, with as many threads", "the same network to the bit"):
        assert found[0]["trained"] == found[1]["trained"]


def test_a_training_with_other_threads_is_the_same_within_the_stated_tolerance(found):
    with fault(
        "a training again with two threads instead of one",
        f"top-1 within {SLACK['top1']:g} point, loss within {SLACK['loss']:g}",
    ):
        two = trained(2)
        for name, slack in SLACK.items():
            assert two[name] == pytest.approx(found[0]["trained"][name], abs=slack)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(everything()) + "\n")
