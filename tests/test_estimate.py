"""What a run costs: counts against hand calculation, and the speed against a fit that takes a known time."""

import pytest
import torch
from PIL import Image

from prunebook import cli, data
from prunebook.errors import BadValue
from prunebook.trials import Record, Store, Trial, estimate
from prunebook.trials import trial as trial_module
from prunebook.trials.engine import Context
from prunebook.trials.estimate import Facts, Training, Work, facts
from prunebook.trials.tasks import Baseline, Fit
from prunebook.trials.trial import Parameters, task

FIT = {"epochs": 200, "lr": 0.1, "batch_size": 128}
NETWORK = {"dataset": "cifar10", "arch": "resnet20", "fit": FIT}
TUNED = [{"baseline": NETWORK, "tau": tau, "finetune": {"epochs": 70, "batch_size": 128}} for tau in (0.6, 0.7)]
# The stem, one stage of 6 convolutions, two of which the first halves the side and doubles the width, and the classifier.
RESNET20_MACS = 3 * 16 * 9 * 32**2 + 6 * 16 * 16 * 9 * 32**2 + 2 * 5.5 * 16 * 16 * 9 * 32**2 + 64 * 10


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PRUNEBOOK_DATA", str(tmp_path / "data"))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "local", tmp_path / "published")


def put(store: Store, trial: Trial) -> None:
    store.put(trial, Record(trial.task, trial.definition.version, trial.key, trial.parameters.model_dump(mode="json"), {}))


@pytest.mark.parametrize(
    ("name", "size", "known"),
    [
        ("cifar10", None, Facts(45_000, 10_000, 10, 3, 32)),
        ("cifar100", 64, Facts(45_000, 10_000, 100, 3, 64)),
        ("mnist", None, Facts(54_000, 10_000, 10, 1, 28)),
        ("image_folder:imagenet", None, Facts(1_153_050, 50_000, 1000, 3, 224)),
    ],
)
def test_sizes_of_published_datasets_are_known_without_them(name, size, known):
    assert facts(name, size) == known


def test_sizes_of_digits_and_of_a_folder_are_those_that_are_loaded(tmp_path):
    for part, counts in {"train": (17, 4), "test": (2, 3)}.items():
        for label, n in enumerate(counts):
            folder = tmp_path / "data" / "photos" / part / f"class{label}"
            folder.mkdir(parents=True)
            (folder / "notes.txt").touch()
            for i in range(n):
                Image.new("RGB", (8, 8)).save(folder / f"{i}.PNG")
    for name, size in (("digits", 16), ("image_folder:photos", 8)):
        loaded = data.load(name, size=size)
        shape = (loaded.num_classes, loaded.in_channels, loaded.image_size)
        assert facts(name, size) == Facts(len(loaded.train), len(loaded.test), *shape)


def test_a_folder_that_is_not_there_and_an_impossible_size_are_refused():
    with pytest.raises(BadValue, match=r"^no photographs in train and test \(or val\) of .*photos, so the size of"):
        facts("image_folder:photos")
    with pytest.raises(BadValue, match="size is 33, but must be a multiple"):
        facts("cifar10", 33)


def test_the_work_is_three_times_the_forward_macs_of_every_image_in_every_epoch(store):
    found = estimate.estimate([Trial("prune", p) for p in TUNED], store)  # the baseline is there because they need it
    assert found.tasks == {"baseline": (1, 0, 1), "prune": (2, 0, 2)}
    ((way, work),) = found.to_do.items()
    assert way.describe() == "resnet20 on cifar10, batches of 128"
    assert work == Work(fits=3, epochs=200 + 70 + 70, images=45_000, macs=RESNET20_MACS)
    assert work.total == 3 * RESNET20_MACS * 45_000 * 340
    assert found.whole == found.to_do
    text = "\n".join(estimate.report(found))
    assert "340 epochs in 3 trials, 45,000 images, 40.6 MMACs forward, 1.86 PMACs in all" in text


def test_what_has_a_record_is_not_to_do(store):
    trials = [Trial("prune", p) for p in TUNED]
    put(store, trials[0])
    put(store, Trial("baseline", NETWORK))
    checkpoint = Context("cpu", store).checkpoint(Trial("baseline", NETWORK))
    found = estimate.estimate(trials, store)
    assert found.tasks == {"baseline": (1, 1, 1), "prune": (2, 1, 1)}  # its record is there, its network is not
    assert [(work.fits, work.epochs) for work in found.to_do.values()] == [(2, 270)]
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    found = estimate.estimate(trials, store)
    assert [(work.fits, work.epochs) for work in found.to_do.values()] == [(1, 70)]
    assert [(work.fits, work.epochs) for work in found.whole.values()] == [(3, 340)]


def test_any_parameter_that_describes_a_fit_counts_and_trials_without_one_are_counted(store, monkeypatch):
    class Twice(Parameters):
        baseline: Baseline
        first: Fit
        then: Fit | None = None

    monkeypatch.setattr(trial_module, "_TASKS", dict(trial_module._TASKS))
    task("twice", version=1, parameters=Twice)(lambda p, context: {})
    given = {"baseline": {**NETWORK, "dataset": "mnist"}, "first": {"epochs": 2}}
    found = estimate.estimate(
        [
            Trial("twice", {**given, "then": {"epochs": 3, "augment": False}}),
            Trial("twice", given),
            Trial("layer", {"baseline": {"arch": "resnet20", "weights": "w.th"}}),
        ],
        store,
    )
    assert {dict(way.settings)["augment"]: work.epochs for way, work in found.to_do.items()} == {True: 4, False: 3}
    assert found.untrained == 1
    assert "trials to run that train nothing: 1" in estimate.report(found)[-1]


TINY = Training("resnet20", '{"width": 0.25}', "digits", None, (("batch_size", 5000), ("augment", False)))


def test_a_transfer_trains_on_its_own_dataset_and_by_its_own_recipe(store):
    fit = {"epochs": 2, "optimizer": "adam", "trainable": "head", "rotate": 15, "pad": 0}
    trial = Trial("transfer", {"baseline": NETWORK, "dataset": "mnist", "finetune": fit})
    ((way, epochs),) = estimate.trainings(trial)
    assert (way.dataset, way.arch, epochs) == ("mnist", "resnet20", 2)
    settings = dict(way.settings)
    assert (settings["optimizer"], settings["trainable"]) == ("adam", "head")
    assert settings["augmentation"] == data.Augmentation(pad=0, rotate=15)


def test_the_speed_is_that_of_training_on_noise_of_the_datasets_shape(monkeypatch):
    calls = []

    def fit(model, train, *, epochs, batch_size, augment, **_):
        calls.append(
            (tuple(train.images.shape[1:]), train.images.dtype, len(train) // batch_size, epochs, batch_size, augment)
        )
        return [{"seconds": len(train) / 2000} for _ in range(epochs)]

    monkeypatch.setattr("prunebook.training.fit", fit)
    assert estimate.speed(TINY, "cpu", seconds=60) == pytest.approx(2000)
    assert {call[:2] for call in calls} == {((1, 8, 8), torch.uint8)}
    images = facts("digits").train  # fewer than the batch size that was asked for
    assert {call[4:] for call in calls} == {(images, False)}
    assert sum(batches * epochs * images / 2000 for *_, batches, epochs, _, _ in calls[2:]) == pytest.approx(60, rel=0.2)


def test_the_speed_is_measured_for_real_without_touching_the_global_generator():
    before = torch.random.get_rng_state()
    assert estimate.speed(TINY, "cpu", seconds=0.01) > 0
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_command_counts_without_data_and_computes_hours_from_the_speed(capsys, monkeypatch):
    given = ["-p", "dataset", "cifar10", "-p", "epochs", "16", "-p", "finetune", "{}", "-p", "options", "{}"]
    monkeypatch.setattr("prunebook.trials.estimate.speed", lambda way, device: pytest.fail("something ran"))
    assert cli.main(["estimate", "kcore", "smoke", "--no-measure", *given]) == 0
    out = capsys.readouterr().out
    assert " 1, of which 0 have a record and 1 would run" in out
    assert "16 epochs in 1 trials, 45,000 images" in out
    assert "images/s" not in out

    monkeypatch.setattr("prunebook.trials.estimate.speed", lambda way, device: 50.0)
    assert cli.main(["estimate", "kcore", "smoke", *given, "--device", "cpu"]) == 0
    assert "50 images/s, 4.0 h\n  together 4.0 h" in capsys.readouterr().out  # 16 x 45,000 / 50 = 14,400 s


def test_a_wrong_parameter_of_the_estimate_gives_one_sentence_and_exit_code_2(capsys):
    assert cli.main(["estimate", "kcore", "smoke", "-p", "taus", "[1.6]"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "prunebook: tau is 1.6, but must be a number from 0 to 1\n"
