"""Tables and figures of the annealing report, on records made by hand."""

import math

import annealing_records as made
import matplotlib.pyplot as plt
import pytest
from annealing_records import SHARES, baseline, decay, impacts, level, pace, repeated

from prunebook.errors import BadValue
from prunebook.methods.annealing import squash
from prunebook.report import annealing_figures as figures
from prunebook.report import annealing_tables as tables
from prunebook.studies.annealing import DECISIONS
from prunebook.trials import Record
from prunebook.trials.annealing import Annealing

LINE = [100 - 100 * share for share in SHARES]


@pytest.mark.parametrize("name", DECISIONS)
def test_every_decision_is_known_by_its_name(name: str) -> None:
    assert tables.name_of(Annealing.model_validate(made.decision(name)), made.STEP) == name


def test_the_run_s_own_step_has_no_name_of_its_own() -> None:
    records = [decay("paper", step=0.125), decay("official", step=0.125), decay("paper", step=0.25)]
    assert list(dict.fromkeys(tables.points(records).reading)) == ["paper", "official", "paper, step 1/4"]


def test_curves_are_straight_between_their_points_and_end_where_they_end() -> None:
    frame = tables.points([decay(curves=[LINE]), decay("one-shot", [LINE[:5]])])
    found = tables.at(frame, [10.0, 50.0, 80.0, 90.0])
    assert list(zip(found.reading, found.share, found.top1, strict=True)) == [
        ("paper", 10.0, pytest.approx(90.0)), ("paper", 50.0, pytest.approx(50.0)), ("paper", 80.0, pytest.approx(20.0)),
        ("one-shot", 10.0, pytest.approx(90.0)), ("one-shot", 50.0, pytest.approx(50.0)),
    ]  # fmt: skip
    assert set(found["top1 before"]) == {100.0}
    assert set(found.constant) == {10.0}


def test_of_robust_instances_one_answer_has_what_is_expected_of_it() -> None:
    records = [decay(curves=[LINE])]
    records[0].result["constant"]["robust"] = 27  # of 200 attacked: among them its class is more frequent than among all
    frame = tables.points(records)
    assert set(frame.constant) == {10.0}
    for ax in figures.decay(frame).axes:
        assert [line.get_ydata()[0] for line in ax.lines if line.get_label() == "one answer to all"] == [10.0]
    plt.close("all")


def test_repetitions_are_networks_and_of_one_network_its_rounds() -> None:
    two = [decay(curves=[level(60.0), level(80.0)], seed=0), decay(curves=[level(90.0), level(90.0)], seed=1)]
    (row,) = tables.decays(tables.points(two)).to_dict("records")
    assert (row["networks"], row["rounds"], list(row["at 50 %"])) == (2, 4, [70.0, 90.0])
    (row,) = tables.decays(tables.points(two[:1])).to_dict("records")
    assert list(row["at 50 %"]) == [60.0, 80.0]
    assert list(tables.decays(tables.points(two), "fgsm 0.05")["at 25 %"][0]) == [70.0, 90.0]
    inputs = {metric: tables.decays(tables.points(two), metric)["inputs"][0] for metric in ("top1", "f1", "fgsm 0.05")}
    assert inputs == {"top1": 1000, "f1": 1000, "fgsm 0.05": 200}


def test_an_improvement_is_relative_to_the_baseline_of_the_same_network_and_saliency() -> None:
    records = [decay("paper", [level(60.0), level(80.0)]), decay("one-shot", [level(40.0)[:5]])]
    records += [decay("official", [level(90.0)]), decay("one-shot, official", [level(60.0)[:5]]), decay("greedy", [LINE])]
    found = tables.improvements(tables.points(records), "top1")
    gains = found[found.share == 50.0].set_index(["reading", "draw"]).gain
    assert gains.to_dict() == pytest.approx({("paper", 0): 50.0, ("paper", 1): 100.0, ("official", 0): 50.0})
    assert found.share.max() == 50.0
    shown = tables.gains(tables.points(records)).set_index("reading")
    assert list(shown.loc["paper", "at 50 %, %"]) == pytest.approx([50.0, 100.0])
    assert list(shown.loc["paper", "at 50 %, points"]) == pytest.approx([20.0, 40.0])


def test_walks_say_how_much_is_accepted_and_how_far_sigma_is_from_its_end() -> None:
    records = [
        decay("paper", impact=[[-5.0, 5.0]] * 4),
        decay("official", impact=[[-5.0, 5.0]] * 4, walked=20),
        decay("random pairs"),
        decay("greedy"),
    ]
    frame = tables.walks(records).set_index("reading")
    assert list(frame.index) == ["paper", "official"]
    assert frame.loc["paper", "accepted, %"] == 100
    assert frame.loc["official", "accepted, %"] == 50
    assert frame.loc["paper", "steps of energy"] == pytest.approx(0.1)
    norm = frame.loc["paper", "NORM at the end"]
    assert norm == 40
    assert frame.loc["paper", "1 - sigma"] == pytest.approx(1 - math.tanh(20), abs=1e-18)
    assert frame.loc["official", "sigma"] == "logistic"
    assert math.isnan(frame.loc["official", "NORM at the end"])  # its energy is of one pair
    assert math.isnan(frame.loc["official", "1 - sigma"])
    (single,) = tables.walks([decay("absolute, single impacts")])["1 - sigma"]
    assert math.isnan(single)
    assert "—" in tables.shown_walks(frame.reset_index()).to_html()


def test_a_choice_is_set_against_the_reading_that_it_changes() -> None:
    records = repeated("absolute", [level(70.0), level(80.0), level(90.0)])
    records += repeated("absolute, alpha 0", [level(60.0), level(69.0), level(81.0)])
    records += repeated("paper", [level(10.0)] * 3)
    (row,) = tables.choices(tables.points(records)).to_dict("records")
    assert (row["choice"], row["n"]) == ("absolute, alpha 0", 3)
    # At 10 % the curve has fallen by 10 / 12.5 of the way.
    fallen = (0.8 + 7) / 8
    assert list(row["mean to 75 %"]) == pytest.approx([-10 * fallen, -11 * fallen, -9 * fallen])
    assert row["separates?"] == "yes"
    assert list(row["Jaccard"]) == [1.0] * 3


LEAPING = {0.4: 30.0, 0.5: 20.0, 0.75: 10.0}  # filters are gone before the first epoch


def with_filters() -> list[Record]:
    """The code's way with filters beside its own reading, on the same networks of CIFAR-10."""
    own = [decay("official", [LINE], "cifar10", seed=seed) for seed in range(3)]
    return own + [decay("official, filters too", [LEAPING], "cifar10", seed=seed) for seed in range(3)]


def test_filters_that_go_at_once_leave_a_gap_in_the_curve() -> None:
    frame = tables.points(with_filters())
    filters = frame[frame.reading == "official, filters too"]
    (row,) = tables.decays(filters).to_dict("records")
    assert list(row["before"]) == [LINE[0]] * 3  # that of the network before pruning, which their own records lack
    assert (list(row["at 25 %"]), list(row["at 50 %"])) == ([], [20] * 3)
    found = tables.at(filters, [0.0, 10.0, 40.0])
    assert list(found.share) == [0.0, 40.0] * 3
    assert list(found["top1 before"]) == [LINE[0]] * 6
    alone = tables.points(with_filters()[3:])
    assert set(alone.epoch) == {13, 16, 24}  # of another network it has none
    line = figures.decay(frame, ["official, filters too"]).axes[0].lines[0]
    assert (line.get_xdata().min(), line.get_ydata().max()) == (40, 30)
    plt.close("all")


def test_a_choice_of_other_layers_is_not_set_against_its_reading_at_one_share() -> None:
    assert tables.choices(tables.points(with_filters())).empty


def test_what_a_half_is_in_macs_is_counted_on_the_cut_network() -> None:
    records = with_filters()[:1] + with_filters()[3:4]
    dense = {"classifier.0": "01" * 256, "classifier.2": "01" * 64}
    filters = {"features.0": "01" * 32, "features.2": "01" * 32, "features.5": "01" * 64, "features.7": "01" * 64}
    records[0].result["rounds"][0]["half"] = dense
    records[1].result["rounds"][0]["half"] = {**filters, "features.10": "01" * 128, **dense}
    rows = tables.amounts(records).to_dict("records")
    found = [[round(row[name][0], 1) for name in ("units gone, %", "MACs gone, %", "parameters gone, %")] for row in rows]
    assert found == [[50, 0.2, 15.3], [50, 74.3, 74.9]]  # the chapter's table
    assert [row["units"] for row in rows] == [640, 1280]
    records[1].result["rounds"][0]["half"] = {}  # no measurement with so little gone
    assert tables.amounts(records)["MACs gone, %"][1][0] == 0
    assert tables.amounts([]).empty


def test_what_two_choices_leave_is_compared_round_by_round() -> None:
    records = [
        decay("absolute", [LINE] * 2, half=["0111", "0011"]),
        decay("absolute, alpha 0", [LINE] * 2, half=["1110", "0011"]),
    ]
    (row,) = tables.choices(tables.points(records)).to_dict("records")
    assert list(row["Jaccard"]) == [0.5, 1.0]
    assert next(iter(row["by chance"])) == pytest.approx(0.25 * 1 + 0.75 * 0.5)


def test_table_1_and_2_stand_beside_ours() -> None:
    (row,) = tables.before([baseline(seed=0), baseline(seed=1, top1=97.0)]).to_dict("records")
    assert (row["parameters"], row["in Table I"], list(row["top-1, %"])) == ("125,898", "125,898", [98.0, 97.0])
    (row,) = tables.paces([pace(seconds=2.0)]).to_dict("records")
    assert (row["paper, s"], row["ratio"]) == (435.4, pytest.approx(217.7))
    (row,) = tables.paces([pace("digits")]).to_dict("records")
    assert math.isnan(row["ratio"])


def test_bounds_that_are_too_small_are_counted() -> None:
    record = impacts(norm_official=[0.1, 0.6, 0.6, 0.6, 0.6, 0.1], norm_zonotope=[0.5, 1, 1.5, 2, 2.5, 3])
    (row,) = tables.bounds([record]).to_dict("records")
    assert row["interval / zonotope"] == pytest.approx(2.0)
    assert [row[f"below the truth, {look}, %"] for look in tables.LOOKS] == [0, 0, pytest.approx(100 / 3)]


def test_predictors_are_ranked_within_a_layer_and_constant_ones_have_no_rank() -> None:
    down = list(range(6, 0, -1))
    records = [impacts(seed=seed, saliency_mean=down, entropy_interval=[0.0] * 6) for seed in (0, 1)]
    frame = tables.predictors(records)
    rhos = frame[frame.harm == "moved"].set_index("predictor").rho
    assert list(rhos["saliency, Eq. 2 as printed"]) == pytest.approx([-1, -1])
    assert list(rhos["NORM, interval"]) == pytest.approx([1, 1])
    assert list(rhos["ENT, interval"]) == []
    assert frame.set_index("predictor")["constant, %"]["ENT, interval"].tolist() == [100, 100]
    assert list(rhos["energy, official"]) == pytest.approx([1, 1])  # NORM and ENT both rise with the change
    assert len(tables.side_by_side(frame)) == 12


def test_without_records_tables_are_empty_and_figures_refuse() -> None:
    frame = tables.points([])
    for table in (tables.decays(frame), tables.choices(frame), tables.walks([]), tables.paces([]), tables.bounds([]),
                  tables.predictors([]), tables.before([]), tables.gains(frame)):  # fmt: skip
        assert table.empty
    for draw in (figures.decay, figures.improvement, figures.choices):
        with pytest.raises(BadValue, match="number of"):
            draw(frame)


def test_a_figure_of_decay_has_the_median_and_all_rounds() -> None:
    frame = tables.points([decay(curves=[level(60.0), level(70.0), level(95.0)])])
    fig = figures.decay(frame)
    line = fig.axes[0].lines[0]
    assert line.get_ydata()[line.get_xdata() == 50][0] == 70
    (band,) = fig.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (60, 98)
    assert len(fig.axes) == 3
    plt.close(fig)


def test_a_reading_has_one_colour_in_both_figures_and_its_baseline_the_same() -> None:
    records = [decay(name, [level(60.0)]) for name in ("one-shot", "random pairs", "absolute", "paper")]
    frame = tables.points(records)
    decays, gains = figures.decay(frame).axes[0], figures.improvement(frame).axes[0]
    lines = {line.get_label(): line for line in decays.lines}
    assert lines["paper"].get_color() == lines["one-shot"].get_color() != lines["random pairs"].get_color()
    assert lines["paper"].get_linestyle() == "-" != lines["one-shot"].get_linestyle()
    marked = {bar.get_label(): bar.lines[0].get_color() for bar in gains.containers}
    assert marked["random pairs, above one-shot"] == lines["random pairs"].get_color()
    assert len(decays.collections) == 2  # bands of paper and random pairs
    plt.close("all")


def test_an_axis_begins_at_0_unless_all_lines_are_high() -> None:
    low, high = (
        figures.decay(tables.points([decay(curves=[level(top1)], constant=constant)])).axes[0].get_ylim()[0]
        for top1, constant in ((90.0, 10.0), (90.0, 85.0))
    )
    assert (low, high) == (0, 75)
    plt.close("all")


def test_figures_of_improvements_choices_and_bounds_are_drawn() -> None:
    records = repeated("absolute", [level(70.0), level(80.0), level(90.0)])
    records += repeated("one-shot, absolute", [level(40.0)[:5]] * 3)
    records += repeated("absolute, alpha 0", [level(60.0)] * 3)
    frame = tables.points(records)
    fig = figures.improvement(frame)
    assert "absolute, above one-shot, absolute" in [text.get_text() for text in fig.legends[0].get_texts()]
    shown = figures.choices(tables.choices(frame))
    assert [text.get_text() for text in shown.axes[0].get_yticklabels()] == ["absolute, alpha 0"]
    assert len(figures.bounds(impacts()).axes) == 3
    squashed = figures.squashes([100.0])
    assert len(squashed.axes[0].lines) == 4
    assert float(squash(tables.torch.tensor(100.0, dtype=tables.torch.float64), "symmetric")) == 1.0
    plt.close("all")
