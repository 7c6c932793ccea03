"""The page on scaling: a run drawn by hand on assumed and on measured machines, and what the page says of it."""

import math
import sys

import matplotlib.pyplot as plt
import pytest

from prunebook import notebooks, paths
from prunebook.errors import BadValue
from prunebook.report import scaling
from prunebook.report.scaling import Place, Run
from prunebook.studies.scaling import Parameters
from prunebook.trials import estimate, rates
from prunebook.trials.estimate import GIB, Outline, Recorded, Training, Work
from prunebook.trials.rates import Assumed, NoMemory, Rate
from prunebook.trials.schedule import Job

WAY = Training("resnet20", "{}", "cifar10", None, (("batch_size", 100),))
# A baseline of two epochs, a pruning that needs it and trains for one, two that train nothing, of which one runs alone.
TRIALS = [
    Outline("baseline", [(WAY, 2)], (), False),
    Outline("prune", [(WAY, 1)], (0,), False),
    Outline("layer", [], (), False),
    Outline("criterion", [], (), True),
]
RUN = Run("kcore", "lite", TRIALS, {WAY: Work(2, 3, 45_000, 40_000_000)}, {"layer": Recorded(60.2, 5)})
GPU = Place("a GPU by assumption", Assumed(1.2e12, 0.0))  # a step is 3 x 40 M x 100 MACs, which take 10 ms
MADE = {
    "code": "abc1234", "finished": "2026-11-21T14:32:47+00:00",
    "hardware": {"processor": "AMD EPYC", "threads": 2, "memory_gib": 23.5},
}  # fmt: skip
ON_GPU = MADE | {"hardware": {**MADE["hardware"], "accelerator": "NVIDIA X"}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """No rates are kept but those that a test keeps."""
    monkeypatch.setattr(rates, "file", lambda: tmp_path / "results_rates.json")
    return tmp_path


def test_an_assumed_gpu_is_as_fast_as_its_macs_or_its_least_step_allow():
    assert GPU.jobs(RUN) == [Job(9.0), Job(4.5, (0,)), Job(60.2), Job(0.0, (), True)]
    assert GPU._replace(by=Assumed(1.2e12, 0.02)).jobs(RUN)[0] == Job(18.0)
    assert Assumed(1.2e12, 0.02).images(RUN.works, at_once=4) == {WAY: 2500.0}  # 40 ms, as each has a fourth of the MACs


def test_a_runs_row_has_its_times_by_number_and_order_and_how_full_the_places_are():
    (row,) = scaling.costs([RUN], GPU, [1, 2]).to_dict("records")
    assert row == {
        "notebook": "kcore", "run": "lite", "1": "74\u00a0s", "2, in order": "60\u00a0s", "2, longest first": "60\u00a0s",
        "2, full": "61\u00a0% / 61\u00a0%", "critical path": "60\u00a0s",
    }  # fmt: skip


def test_a_measured_machine_gives_its_rates_and_memory_and_no_time_where_one_is_missing(project):
    rates.keep({rates.bare(WAY): Rate(9_000.0, 3 * GIB // 2)}, {"vgg16": "too large"}, MADE)
    (place,) = scaling.measured()
    assert place.jobs(RUN)[:2] == [Job(10.0), Job(5.0, (0,))]
    (row,) = scaling.costs([RUN], place, [1]).to_dict("records")
    assert (row["1"], row["memory"]) == ("75\u00a0s", "1.5\u00a0GiB")
    other = Run("kcore", "paper", TRIALS, {WAY: RUN.works[WAY], TINY: RUN.works[WAY]}, {})
    (row,) = scaling.costs([other], place, [1, 2]).to_dict("records")
    assert set(list(row.values())[2:]) == {"—", "— / —"}
    page = scaling.show([RUN], [place], [1])[0].to_html()
    assert "AMD EPYC, 2 threads. Code abc1234, 2026-11-21. Not measured: vgg16 (too large)." in page


TINY = Training("resnet20", '{"width": 0.25}', "cifar10", None, (("batch_size", 100),))


def test_a_gpu_that_was_measured_takes_the_place_of_the_assumed_one(project):
    p = Parameters(macs_per_second=2e12, milliseconds_per_step=4)
    assert scaling.gpus(p) == [Place("a GPU by assumption", Assumed(2e12, 0.004))]
    assert "2 TMACs a second, and a step in no less than 4 ms" in scaling.show([RUN], scaling.gpus(p), [1])[0].to_html()
    rates.keep({rates.bare(WAY): Rate(9_000.0, None)}, {}, ON_GPU)
    assert [place.name for place in scaling.gpus(p)] == ["NVIDIA X"]
    assert scaling.measured() == []
    assert "`python benchmarks/bench_rates.py --write`" in scaling.show([RUN], scaling.measured(), [1])[0].data


def test_the_overview_of_a_run_is_what_its_estimate_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNEBOOK_CACHE", str(tmp_path))
    (run,) = scaling.runs(Parameters(notebooks=["mrp"], runs=["smoke"]))
    there = notebooks.get("mrp")
    found = estimate.estimate(there.trials(there.parameters("smoke")))
    row = scaling.overview([run]).to_dict("records")[0]
    assert row["trials"] == sum(tally.trials for tally in found.tasks.values())
    assert row["train"] == row["trials"] - found.untrained.total()
    assert row["epochs"] == sum(work.epochs for work in found.whole.values())
    assert run.works == found.whole
    assert scaling.ways([run, run]) == [rates.bare(way) for way in found.whole]


def test_the_assumptions_are_those_that_were_used(project):
    p = Parameters()
    said = scaling.assumptions(p, [RUN], [GPU]).data
    assert "does 1.2 TMACs a second" in said
    assert "(5 records in all)" in said
    assert "In kcore lite, trials without any record of their task count as taking no time: 1 of criterion." in said
    assert "runs alone, while the other places wait: 1 in kcore lite." in said
    rates.keep({rates.bare(WAY): Rate(9_000.0, None)}, {}, MADE)
    quiet = Run("kcore", "lite", TRIALS[:2], RUN.works, {})
    said = scaling.assumptions(p, [quiet], scaling.measured()).data
    assert "Rates on AMD EPYC, 2 threads were measured on noise" in said
    assert not any(words in said for words in ("by assumption", "records in all", "without any record", "runs alone"))


def test_the_verdict_on_the_order_names_where_it_saves_and_where_it_loses():
    def run(name: str, *trials: tuple[int, tuple[int, ...]]) -> Run:
        outlined = [Outline("prune", [(WAY, epochs)], needs, False) for epochs, needs in trials]
        return Run("kcore", name, outlined, RUN.works, {})

    saves = run("lite", (1, ()), (1, ()), (2, ()))  # 3 epochs in order, 2 longest first
    loses = run("paper", (3, ()), (5, ()), (4, (0,)), (4, ()))  # 9 and 11
    changes = scaling.order_matters([saves, loses], GPU, [1, 2])
    assert changes["in order"].tolist() == [3 * 4.5, 9 * 4.5]
    assert changes["saved, %"].tolist() == pytest.approx([100 / 3, -200 / 9])
    said = scaling.verdict(changes).data
    assert said.startswith("In 0 of 2 cases")
    assert "saves most, 33 %, in kcore lite on 2." in said
    assert "loses most, 22 %, in kcore paper on 2." in said
    assert "nothing to compare" in scaling.verdict(scaling.order_matters([saves], GPU, [1])).data


def test_a_figure_has_a_panel_for_each_notebook_with_both_orders_and_both_bounds():
    other = Run("mrp", "paper", TRIALS, RUN.works, RUN.recorded)
    fig = scaling.figure([RUN, other], GPU)
    assert [ax.get_title() for ax in fig.axes] == ["kcore", "mrp"]
    in_order, longest, even, path = fig.axes[0].get_lines()
    assert list(in_order.get_xdata()) == list(longest.get_xdata()) == scaling.DRAWN
    assert in_order.get_ydata()[0] == pytest.approx(73.7 / 3600)
    assert even.get_ydata()[-1] == pytest.approx(73.7 / 3600 / 128)
    assert path.get_ydata()[0] == pytest.approx(60.2 / 3600)
    plt.close(fig)
    with pytest.raises(BadValue, match="the number of runs with a time is 0"):
        scaling.figure([], GPU)


def test_the_benchmark_keeps_what_it_measures_and_why_it_leaves_something_out(project, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(paths.project() / "benchmarks"))
    import bench_rates

    def measure(way, device, seconds):
        if way.arch == "resnet110":
            raise NoMemory(f"{way.describe()}: does not fit")
        return Rate(100.0, GIB)

    monkeypatch.setattr(rates, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["bench_rates.py", "--small"])
    bench_rates.main()
    assert "100 images/s, 1.00 GiB  resnet20 on cifar10, batches of 128" in capsys.readouterr().out
    assert rates.kept() == []
    monkeypatch.setattr(sys, "argv", ["bench_rates.py", "--small", "--write"])
    with pytest.raises(SystemExit, match="too little to be kept"):
        bench_rates.main()
    monkeypatch.setattr(bench_rates, "Parameters", lambda: Parameters(notebooks=["mrp"], runs=["lite", "paper"]))
    monkeypatch.setattr(sys, "argv", ["bench_rates.py", "--write"])
    bench_rates.main()
    (machine,) = rates.kept()
    assert {kept.arch for kept in machine.rates} == {"resnet20", "resnet56"}
    assert machine.left_out == {"resnet110 on cifar10, batches of 128": "does not fit"}
    assert math.isclose(machine.rates[0].memory_gib, 1)
