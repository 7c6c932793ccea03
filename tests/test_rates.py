"""Rates of training: measured against a fit that takes a known time, kept by machine, and memory that has an end."""

import json
import os
import subprocess
import sys

import pytest
import torch

from prunebook import data, memory
from prunebook.errors import BadValue
from prunebook.trials import rates
from prunebook.trials.estimate import GIB, Training, facts
from prunebook.trials.rates import NoMemory, Rate, bare, keep, kept, measure, rate

SETTINGS = (("batch_size", 5000), ("augment", False), ("augmentation", data.Augmentation(rotate=15.0)))
TINY = Training("resnet20", '{"width": 0.25}', "digits", None, SETTINGS)
linux = pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is Linux's")


def test_the_rate_is_that_of_training_on_noise_of_the_datasets_shape(monkeypatch):
    calls = []

    def fit(model, train, *, epochs, batch_size, augment, **_):
        calls.append(
            (tuple(train.images.shape[1:]), train.images.dtype, len(train) // batch_size, epochs, batch_size, augment)
        )
        return [{"seconds": len(train) / 2000} for _ in range(epochs)]

    monkeypatch.setattr("prunebook.training.fit", fit)
    assert rate(TINY, "cpu", seconds=60).images == pytest.approx(2000)
    assert {call[:2] for call in calls} == {((1, 8, 8), torch.uint8)}
    images = facts("digits").train  # fewer than the batch size that was asked for
    assert {call[4:] for call in calls} == {(images, False)}
    assert sum(batches * epochs * images / 2000 for *_, batches, epochs, _, _ in calls[2:]) == pytest.approx(60, rel=0.2)


def test_the_rate_is_measured_for_real_without_touching_the_global_generator():
    before = torch.random.get_rng_state()
    assert rate(TINY, "cpu", seconds=0.01).images > 0
    assert torch.equal(torch.random.get_rng_state(), before)


@linux
def test_a_measurement_has_a_process_of_its_own_with_its_own_peak():
    ballast = torch.ones(2**27, dtype=torch.float32)  # half a GiB, which is not the measured process's
    here = memory.peak()
    found = measure(TINY, "cpu", seconds=0.01)
    assert found.images > 0
    assert here > ballast.nbytes
    assert 0.1 * GIB < found.memory < here


@linux
def test_training_that_takes_too_much_memory_is_refused_by_name(monkeypatch):
    free = memory._kilobytes(memory.FREE, "MemAvailable")
    monkeypatch.setattr(rates, "SHARE", 2**19 / free)  # half a GiB, and a single feature map of this one takes more
    with pytest.raises(NoMemory, match=r"^resnet20 on digits at 224 pixels, batches of 5000: "):
        measure(Training("resnet20", "{}", "digits", 224, SETTINGS), "cpu", seconds=0.01)


@linux
def test_the_peak_is_what_was_taken_though_it_was_given_back_and_the_limit_ends_no_process():
    code = (
        "import torch; from prunebook import memory; a = memory.peak(); x = torch.ones(2**26); del x\n"
        "b = memory.peak(); memory.limit(0.1)\n"
        "try: torch.ones(2**40, dtype=torch.uint8)\n"
        "except RuntimeError: print(a, b)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    before, after = map(int, run.stdout.split())
    assert 2**28 <= after - before < 2**28 * 1.2


def test_a_machine_has_no_more_than_its_control_group_may_take(monkeypatch, tmp_path):
    whole = memory.total()
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "LIMIT", limit)
    for text, most in (("max\n", whole), (f"{2**30}\n", 2**30), (f"{2**60}\n", whole)):
        limit.write_text(text)
        assert memory.total() == most


# What is kept

MADE = {"hardware": {"processor": "AMD EPYC", "threads": 2, "memory_gib": 23.5}}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEBOOK_HOME", str(tmp_path))
    return tmp_path / "benchmarks" / "results_rates.json"


def test_rates_are_read_as_they_were_kept_to_four_digits(file):
    assert kept() == []
    assert keep({TINY: Rate(1234.56, 3 * 2**29)}, {"resnet50": "too large"}, MADE) == file
    (machine,) = kept()
    assert (machine.name, machine.is_gpu, machine.left_out) == ("AMD EPYC, 2 threads", False, {"resnet50": "too large"})
    half = Training(TINY.arch, TINY.options, TINY.dataset, TINY.size, TINY.settings, images=500)
    other = Training("resnet20", "{}", "digits", None, SETTINGS)
    assert machine.of([half, other]) == {half: Rate(1235.0, 3 * 2**29)}
    assert bare(half) == TINY


def test_a_machine_replaces_its_own_rates_and_leaves_the_others(file):
    gpu = {"hardware": {"accelerator": "a GPU", "processor": "p", "threads": 1}}
    keep({TINY: Rate(1.0, None)}, {}, MADE)
    keep({TINY: Rate(50.0, None)}, {}, gpu)
    keep({TINY: Rate(2.0, None)}, {}, MADE)
    found = {machine.name: machine.of([TINY])[TINY].images for machine in kept()}
    assert found == {"AMD EPYC, 2 threads": 2.0, "a GPU": 50.0}
    assert [machine.is_gpu for machine in kept()] == [False, True]


def test_a_file_with_a_wrong_rate_is_refused_by_name(file):
    keep({TINY: Rate(1.0, None)}, {}, MADE)
    text = json.loads(file.read_text())
    text["machines"][0]["rates"][0]["images_per_second"] = 0
    file.write_text(json.dumps(text))
    with pytest.raises(BadValue, match=r"^results_rates\.json: .*images_per_second is 0"):
        kept()
