"""What a run costs: counts, times and schedules against hand calculation, without anything being trained."""

import pytest
from PIL import Image

from prunebook import cli, data, notebooks, paths
from prunebook.errors import BadValue
from prunebook.studies import scaling
from prunebook.trials import Record, Store, Trial, estimate, rates
from prunebook.trials import trial as trial_module
from prunebook.trials.engine import Context
from prunebook.trials.estimate import GIB, Facts, Recorded, Work, facts
from prunebook.trials.rates import Rate
from prunebook.trials.schedule import Job
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


def put(store: Store, trial: Trial, **times: float) -> None:
    params = trial.parameters.model_dump(mode="json")
    store.put(trial, Record(trial.task, trial.definition.version, trial.key, params, {}, times))


@pytest.mark.parametrize(
    ("name", "size", "known"),
    [
        ("cifar10", None, Facts(45_000, 10_000, 10, 3, 32)),
        ("cifar100", 64, Facts(45_000, 10_000, 100, 3, 64)),
        ("mnist", None, Facts(54_000, 10_000, 10, 1, 28)),
        ("image_folder:imagenet", None, Facts(1_153_050, 50_000, 1000, 3, 224)),
        ("kddcup99", None, Facts(98_271, 36_397, 23, 120, 1)),
        ("creditcard", None, Facts(2_489, 922, 2, 29, 1)),
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
    assert found.untrained == {"layer": 1}
    assert estimate.report(found)[-2:] == [
        "trials to run that train nothing: 1, 0 s by the records of their tasks",
        "  layer: 1, without a record, so their time is not known and counts as none",
    ]


def test_a_transfer_trains_on_its_own_dataset_and_by_its_own_recipe(store):
    fit = {"epochs": 2, "optimizer": "adam", "trainable": "head", "rotate": 15, "pad": 0}
    trial = Trial("transfer", {"baseline": NETWORK, "dataset": "cifar100", "finetune": fit})
    ((way, epochs),) = estimate.trainings(trial)
    assert (way.dataset, way.arch, epochs) == ("cifar100", "resnet20", 2)
    settings = dict(way.settings)
    assert (settings["optimizer"], settings["trainable"]) == ("adam", "head")
    assert settings["augmentation"] == data.Augmentation(pad=0, rotate=15)


def test_sizes_of_tables_are_those_of_the_published_records():
    store = Store(paths.project() / "nowhere", paths.results())
    found = {}
    for record in store.records(store.published):
        if record.task == "baseline" and record.params["dataset"] in estimate.TABLES:
            images, (features, *_) = record.result["data"]["images"], record.result["data"]["shape"]
            found[record.params["dataset"]] = (images["train"], images["test"], features)
    assert found == {name: (known.train, known.test, known.in_channels) for name, known in estimate.TABLES.items()}


def test_a_table_of_credit_cards_that_is_there_is_counted(tmp_path):
    folder = tmp_path / "data" / "creditcard"
    folder.mkdir(parents=True)
    columns = [*(f"V{i}" for i in range(1, 29)), "Amount"]
    rows = [",".join(map(str, [*range(i, i + 29), i % 2])) for i in range(80)]
    (folder / "part.csv").write_text("\n".join([",".join([*columns, "Class"]), *rows]))
    assert facts("creditcard") == Facts(54, 20, 2, 29, 1)  # a quarter for tests, a tenth of the rest for validation


LAYER = [{"baseline": {"arch": "resnet20", "weights": "w.th"}, "draw": draw} for draw in range(4)]


def test_what_trains_nothing_takes_the_median_of_its_tasks_records(store):
    layers = [Trial("layer", p) for p in LAYER]
    for trial, seconds in zip(layers, (1.0, 2.0, 9.0), strict=False):
        put(store, trial, total=seconds, plan=0.1)
    put(store, Trial("prune", TUNED[0]), total=500.0)  # it trains, so its time is not one of pruning
    recorded = estimate.recorded_times([*layers, Trial("prune", TUNED[0])], store)
    assert recorded == {"layer": Recorded(2.0, 3)}
    found = estimate.estimate([layers[3], Trial("prune", TUNED[1])], store)
    assert "  layer: 1, 2 s each, the median of 3 records" in estimate.report(found, recorded)
    (way,) = found.to_do
    rate = 4_500.0  # images a second: an epoch of 45,000 takes 10 s
    outlined = estimate.outlines(found.missing)
    assert estimate.jobs(outlined, {way: rate}, recorded) == [Job(2.0), Job(2000.0), Job(700.0, (1,))]


def test_times_on_several_places_are_those_of_the_simulated_schedule(store):
    found = estimate.estimate([Trial("prune", p) for p in TUNED], store)
    (way,) = found.to_do
    lines = estimate.report_times(found, {way: 4_500.0}, {}, 2, "measured:")
    assert lines[:-2] == [
        "measured:",
        "  resnet20 on cifar10, batches of 128: 4,500 images/s, 57 min",  # 2000 + 700 + 700 s
        "  all training with a time, one after the other: 57 min",
        "all trials, 2 side by side, by a simulated schedule:",
        "  45 min in order, 45 min longest first; a run starts them in order",
        "  no order takes less than 45 min, nor any number of places less than 45 min",
    ]
    assert "  all trials, one after the other: 57 min" in estimate.report_times(found, {way: 4_500.0}, {}, 1, "")


def test_a_way_to_train_without_a_rate_leaves_the_time_open(store):
    found = estimate.estimate([Trial("prune", p) for p in TUNED], store)
    lines = estimate.report_times(found, {}, {}, 2, "measured:")
    assert lines[1].endswith(": more memory than is free, so its time is not known")
    assert not any("schedule" in line for line in lines)


def test_memory_is_told_beside_what_there_is_with_a_warning_where_it_does_not_fit():
    assert estimate.report_memory(None, 1, 8 * GIB, "here") == []
    assert estimate.report_memory(2 * GIB, 1, None, "here") == ["peak memory of training, on here: 2.0 GiB a worker"]
    assert estimate.report_memory(2 * GIB, 4, 8 * GIB, "here") == [
        "peak memory of training, on here: 2.0 GiB a worker; 4 at once: 8.0 GiB, of 8.0 GiB"
    ]
    assert "does not fit" in estimate.report_memory(2 * GIB, 5, 8 * GIB, "here")[1]


SMOKE = ["-p", "dataset", "cifar10", "-p", "epochs", "16", "-p", "finetune", "{}", "-p", "options", "{}"]


def test_the_command_counts_without_data_and_computes_hours_from_the_rate(capsys, monkeypatch):
    monkeypatch.setattr("prunebook.trials.rates.measure", lambda *_: pytest.fail("something ran"))
    assert cli.main(["estimate", "kcore", "smoke", "--no-measure", *SMOKE]) == 0
    out = capsys.readouterr().out
    assert " 1, of which 0 have a record and 1 would run" in out
    assert "16 epochs in 1 trials, 45,000 images" in out
    assert "images/s" not in out

    asked = []
    monkeypatch.setattr("prunebook.trials.rates.measure", lambda *given: asked.append(given[1:]) or Rate(50.0, 3 * GIB))
    assert cli.main(["estimate", "kcore", "smoke", *SMOKE, "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "50 images/s, 4.0 h\n" in out  # 16 x 45,000 / 50 = 14,400 s
    assert "3.0 GiB a worker, of " in out
    assert cli.main(["estimate", "kcore", "smoke", *SMOKE, "--device", "cpu", "--workers", "3"]) == 0
    out = capsys.readouterr().out
    assert "3 side by side, by a simulated schedule" in out
    assert "3 at once: 9.0 GiB" in out
    assert asked == [("cpu", 1), ("cpu", 3)]


def test_gpus_that_are_not_here_take_the_rates_that_are_kept(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("prunebook.trials.rates.file", lambda: tmp_path / "results_rates.json")
    asked = ["estimate", "kcore", "smoke", *SMOKE, "--device", "cpu", "--gpus", "8"]
    notebook = notebooks.get("kcore")
    values = {"dataset": "cifar10", "epochs": 16, "finetune": {}, "options": {}}
    ways = estimate.estimate(notebook.trials(notebook.parameters("smoke", values))).to_do
    made = {"hardware": {"accelerator": "a GPU", "processor": "p", "threads": 1}}
    rates.keep({way: Rate(500.0, GIB) for way in ways}, {}, made)
    assert cli.main(asked) == 0
    out = capsys.readouterr().out
    assert "kept rates of a GPU, for one trial at a time:" in out
    assert "500 images/s, 24 min" in out
    assert "all trials, 8 side by side" in out
    rates.keep({}, {}, made)
    assert cli.main(asked) == 2
    assert "the kept rates of a GPU have none for resnet20 on cifar10" in capsys.readouterr().err


def test_gpus_of_which_none_was_measured_are_assumed_to_be_those_of_the_page_on_scaling(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("prunebook.trials.rates.file", lambda: tmp_path / "results_rates.json")
    monkeypatch.setattr("prunebook.trials.rates.measure", lambda *_: pytest.fail("something was measured"))
    assumed = scaling.Parameters()
    wide = ["-p", "batch_size", "2000"]  # a step of 3 x 2000 forward passes bounds the rate, not the least step
    asked = ["estimate", "kcore", "smoke", *SMOKE, *wide, "--device", "cpu", "--gpus", "8"]
    rate = assumed.macs_per_second / (3 * RESNET20_MACS)
    assert cli.main(asked) == 0
    out = capsys.readouterr().out
    assert "no GPU was measured: as on the page Scaling, one is assumed that does 4 TMACs a second, and a step in no" in out
    assert f": {rate:,.0f} images/s, " in out
    assert "all trials, 8 side by side" in out
    assert "memory" not in out
    assert cli.main([*asked, "--gpus-per-trial", "0.25"]) == 0
    out = capsys.readouterr().out
    assert "; 4 trials at once share the MACs evenly (" in out
    assert f": {rate / 4:,.0f} images/s, " in out
    assert "all trials, 32 side by side" in out
    assert cli.main([*asked, "-p", "batch_size", "2"]) == 0
    assert f": {2000 / assumed.milliseconds_per_step:,.0f} images/s, " in capsys.readouterr().out


def test_to_count_needs_no_place(capsys, monkeypatch):
    monkeypatch.setattr("prunebook.commands._place", lambda *_: pytest.fail("a place was looked for"))
    assert cli.main(["estimate", "kcore", "smoke", *SMOKE, "--gpus", "8", "--no-measure"]) == 0
    out = capsys.readouterr().out
    assert "16 epochs in 1 trials, 45,000 images" in out
    assert "images/s" not in out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--workers", "0"], "workers is 0, but must be a number of processes"),
        (["--gpus", "0"], "gpus is 0, but must be a number of GPUs"),
        (["--gpus", "2", "--workers", "2"], "workers is 2, but must be left out where GPUs are given"),
        (["--gpus", "2", "--gpus-per-trial", "4"], "GPUs per trial is 4.0, but must be at most 2"),
        (["--gpus-per-trial", "0"], "GPUs per trial is 0.0, but must be above 0"),
        (["--gpus-per-trial", "1.5"], "GPUs per trial is 1.5, but must be a share from 0 to 1 or a whole number"),
    ],
)
def test_an_impossible_place_is_refused(capsys, given, words):
    assert cli.main(["estimate", "kcore", "smoke", *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"prunebook: {words}")


def test_a_wrong_parameter_of_the_estimate_gives_one_sentence_and_exit_code_2(capsys):
    assert cli.main(["estimate", "kcore", "smoke", "-p", "taus", "[1.6]"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "prunebook: taus is 1.6, but must be a number from 0 to 1\n"
