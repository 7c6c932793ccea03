import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from dice_records import (
    baseline,
    compared,
    growing,
    network,
    read,
    repeated,
    stopped,
    sweep,
    timed,
    transferred,
)  # fmt: skip
from scipy import stats

from prunebook.errors import BadValue
from prunebook.report import dice_parts as parts
from prunebook.report import dice_tables as made
from prunebook.report import statistics, tables

DICE, L1 = [98.0, 98.4, 98.9, 98.1], [97.0, 97.1, 98.2, 97.3]

# Comparisons


def test_a_comparison_names_what_was_decided_and_what_was_left():
    row = made.comparisons([compared("dice", 1, keep="1100", left=0.5)], [baseline(1, 99.5)]).iloc[0]
    assert (row.dataset, row.arch, row.seed, row.draw, row.method, row.reading) == (
        "mnist",
        "dice_cnn",
        1,
        1,
        "dice",
        made.BOOK,
    )
    assert (row.dial, row.target, row.layers, row.trainable) == ("target 0.4318", 0.4318, "conv", "all")
    assert math.isnan(row.ratio)
    assert (row.removed, row["FR macs"], row["speed-up macs"]) == (50, 50, 2)
    assert (row["top1 pruned"], row["top1 recalibrated"], row["top1 fine-tuned"]) == (50, 90, 98)
    assert row["drop fine-tuned"] == pytest.approx(1.5)
    assert row["val fine-tuned"] == 97
    assert row["seconds an epoch"] == 8


def test_a_regularised_network_drops_from_the_trained_one_and_was_cut_from_its_own():
    row = made.comparisons([compared("growing_reg")], [baseline(0, 99.0), growing(0, 97.0)]).iloc[0]
    assert (row["top1 baseline"], row["top1 before"], row["drop fine-tuned"]) == (99, 97, 1)
    assert (row["finetune epochs"], row["regularised epochs"]) == (15, 5)


def test_what_no_record_holds_is_unknown():
    row = made.comparisons([compared(tuned=None, recalibrated=None)]).iloc[0]
    assert row[["top1 baseline", "top1 before", "drop pruned", "top1 fine-tuned", "top1 recalibrated"]].isna().all()
    assert row.trainable == ""


def test_readings_have_the_names_of_the_study():
    frame = made.comparisons([*read("signs apart, high end only", [90.0], "10"), compared("dice", coupled="lead")])
    assert frame.reading.tolist() == ["signs apart, high end only", ""]
    assert made.comparisons([compared("dice", norm="max", ends="low"), compared("l1")]).reading.tolist() == ["", ""]


def test_without_records_there_are_no_rows():
    frame = made.comparisons([])
    assert frame.empty
    assert set(made.comparisons([compared()]).columns) == set(frame.columns)
    functions: list[Callable[..., pd.DataFrame]] = [
        made.equal_macs, made.fixed_ratio, parts.speeds, parts.stops, parts.tunings, parts.variants, parts.quantiles,
        parts.curve_points, parts.elbows, parts.transfers, parts.controls,
    ]  # fmt: skip
    assert all(function([]).empty for function in functions)
    assert parts.rankings(parts.transfers([])).empty


# Side by side


def test_methods_are_compared_seed_by_seed():
    rows = made.equal_macs(repeated("l1", L1)[::-1] + repeated("dice", DICE) + repeated("random", DICE)).set_index("method")
    assert list(rows.index) == ["dice", "random", "l1"]
    gap = np.subtract(DICE, L1)
    assert rows.loc["l1", "Dice minus it"] == pytest.approx(gap)
    assert str(rows.loc["l1", "Dice minus it"]) == str(tables.interval(gap))
    assert rows["separates?"].tolist() == ["—", "no", "yes"]
    assert rows["n"].tolist() == [4, 4, 4]
    assert rows.loc["dice", "after"] == "20 epochs of fine-tuning"
    assert rows.loc["dice", "network"] == "dice_cnn on MNIST"
    assert rows.loc["dice", "speed-up"] == pytest.approx(1 / 0.568)


def test_holm_counts_the_methods_of_one_network():
    gap = np.array([0.5, 1.1, 0.3, 0.8])
    p = stats.ttest_1samp(gap, 0).pvalue
    assert 0.05 / 3 < p < 0.05
    worse = list(np.subtract(DICE, gap))
    three = [r for method in ("l1", "random", "group_norm") for r in repeated(method, worse)]
    rows = made.equal_macs(
        repeated("dice", DICE) + three + repeated("dice", DICE, "cifar10") + repeated("l1", worse, "cifar10")
    )
    assert set(rows[(rows.method != "dice")]["separates?"]) == {"yes"}
    assert rows[rows.network == "dice_cnn on MNIST"]["after Holm"].tolist() == ["—", "no", "no", "no"]
    assert rows[rows.network == "dice_cnn on CIFAR-10"]["after Holm"].tolist() == ["—", "yes"]


def test_the_last_moment_that_all_have_is_compared():
    rows = made.equal_macs(
        repeated("dice", DICE) + [compared("l1", seed, tuned=None, recalibrated=80.0) for seed in range(4)]
    )
    assert set(rows.after) == {"recalibrated, not fine-tuned"}
    assert list(rows.set_index("method").loc["l1", "Dice minus it"]) == [10] * 4


def at_ratio(dice: list[float], dice_all: list[float], l1: list[float], **given: float) -> list:
    common = {"ratio": 0.2, "recalibrated": None}
    return (
        repeated("dice", dice, left=0.65, **common) + repeated("dice", dice_all, left=0.58, layers="all", **common)
        + repeated("l1", l1, left=0.58, layers="all", **common)
    )  # fmt: skip


def test_at_one_ratio_dice_stands_there_twice():
    rows = made.fixed_ratio(at_ratio([98.0] * 3, [97.0] * 3, [96.5] * 3)).set_index("method")
    assert list(rows.index) == ["dice", "dice, linear layers too", "l1"]
    assert (list(rows.loc["l1", "Dice minus it"]), list(rows.loc["l1", "at equal cost"])) == ([1.5] * 3, [0.5] * 3)
    assert list(rows.loc["dice, linear layers too", "Dice minus it"]) == [1.0] * 3
    assert rows["separates?"].tolist() == ["—", "—", "yes"]


# The thesis's tables


def test_every_printed_row_is_there_and_nothing_is_judged_without_records():
    for n, rows in ((2, 36), (3, 10)):
        found = made.table(n)
        assert len(found) == rows
        verdicts = found.filter(like="verdict")
        assert set(verdicts.to_numpy().ravel()) == {"", "cannot be tested here"}
    with pytest.raises(BadValue, match="table"):
        made.table(1)


def cell(n: int, records: list, method: str, dataset: str = "MNIST") -> pd.Series:
    rows = made.table(n, records)
    chosen = (rows.dataset == dataset) & (rows.model == "Custom CNN") & (rows.method == method)
    return rows[chosen].iloc[0]


def test_table_3_stands_beside_ours():
    records = repeated("dice", [98.1, 98.0, 97.9]) + repeated("l1", [92.0, 92.1, 91.9])
    row = cell(3, records, "L1")
    assert (row["speed-up thesis"], row["speed-up here"], row["speed-up verdict"]) == (
        "1.76",
        "1.76",
        "guessed network: as printed",
    )
    assert row["top-1, % thesis"] == "95"
    assert row["top-1, % here"].replace("\u00a0", " ") == f"{tables.interval([92.0, 92.1, 91.9])} (3)".replace("\u00a0", " ")
    assert row["top-1, % verdict"] == "guessed network: ours is lower"
    assert (row["lead thesis"], row["lead here"][:5]) == ("+3", "+6.00")
    assert row["lead verdict"] == "guessed network: Dice ahead, by more"
    assert cell(3, records, "Sørensen-Dice")["top-1, % verdict"] == "guessed network: within our interval"
    assert cell(3, records, "L1", "CIFAR-10")["lead verdict"] == "cannot be tested here"


def test_table_2_compares_as_the_thesis_does_and_at_equal_cost():
    records = at_ratio([98.1, 98.0, 97.9], [97.1, 97.0, 96.9], [80.1, 80.2, 79.9])
    row = cell(2, records, "L1")
    assert row["lead verdict"] == "guessed network: unequal cost: Dice ahead, by as much"
    assert row["lead at equal cost"].startswith("+16.93")
    extra = cell(2, records, "Sørensen-Dice, linear layers too")
    assert (extra["top-1, % thesis"], extra["top-1, % here"][:5], extra["top-1, % verdict"]) == ("", "97.00", "")
    assert cell(2, records, "Sørensen-Dice")["speed-up here"] == "1.54"


def test_networks_of_another_width_or_ratio_are_not_set_beside():
    narrow = [compared("dice", s, base=network(s, width=0.5)) for s in range(3)]
    assert cell(3, narrow, "Sørensen-Dice")["top-1, % here"] == "—"
    assert cell(2, repeated("dice", [98.0] * 3, ratio=0.3), "Sørensen-Dice")["top-1, % here"] == "—"


def test_of_several_targets_the_one_at_the_thesiss_speed_up_counts():
    records = repeated("dice", [60.0] * 3, target=0.7, left=0.3) + repeated("dice", [98.0] * 3)
    assert cell(3, records, "Sørensen-Dice")["speed-up here"] == "1.76"


@pytest.mark.parametrize(
    ("metric", "printed", "values", "epochs", "verdict"),
    [
        ("top1", "95", [], 20, "cannot be tested here"),
        ("speed_up", "1.55", [1.546], 1, "as printed"),
        ("speed_up", "1.55", [1.54], 20, "ours is lower"),
        ("top1", "95", [94.9, 95.0, 95.1], 4, "other schedule: 4 of 20 epochs"),
        ("top1", "95", [95.0, 95.0], 20, "no spread (2 of 3 repetitions)"),
        ("top1", "95", [94.9, 95.0, 95.2], 20, "within our interval"),
        ("top1", "95", [93.0, 95.0, 97.0], 20, "within our interval (wide)"),
        ("top1", "95", [95.9, 95.9, 95.9], 20, "close"),
        ("top1", "95", [96.1, 96.1, 96.1], 20, "ours is higher"),
        ("f1", "0.95", [0.93, 0.93, 0.93], 20, "ours is lower"),
    ],
)
def test_a_printed_number_is_judged_by_the_first_rule_that_applies(metric, printed, values, epochs, verdict):
    assert made.judge(metric, printed, tables.Values(values), epochs) == verdict
    assert verdict.split(":")[0].split(" (")[0] in " ".join(made.VERDICTS)


@pytest.mark.parametrize(
    ("gap", "cost", "epochs", "corrected", "verdict"),
    [
        ([], [], 20, None, "cannot be tested here"),
        ([1.0, 1.1, 1.2], [0] * 3, 10, 0.01, "other schedule: 10 of 20 epochs"),
        ([1.0, 1.1], [0] * 2, 20, None, "no spread (2 of 3 repetitions)"),
        ([-0.1, 0.0, 0.2], [0] * 3, 20, 0.9, "no difference found"),
        ([-2.0, 0.0, 3.0], [0] * 3, 20, 0.9, "no difference found (wide)"),
        ([0.0] * 3, [0] * 3, 20, 1.0, "no difference found"),
        ([3.0, 3.1, 3.2], [0] * 3, 20, 0.01, "Dice ahead, by as much"),
        ([0.5, 0.6, 0.7], [0] * 3, 20, 0.01, "Dice ahead, by less"),
        ([9.0, 9.1, 9.2], [0] * 3, 20, 0.2, "Dice ahead, by more, not after Holm"),
        ([-3.0, -3.1, -3.2], [0] * 3, 20, 0.01, "Dice behind"),
        ([3.0, 3.1, 3.2], [-4] * 3, 20, 0.01, "unequal cost: Dice ahead, by as much"),
    ],
)
def test_a_lead_is_judged_by_its_interval_and_its_cost(gap, cost, epochs, corrected, verdict):
    assert made.judge_lead(3.0, tables.Values(gap), tables.Values(cost), epochs, corrected) == verdict


def test_the_thesiss_leads_are_differences_of_its_cells():
    assert made.thesis_leads(3)["MNIST", "Custom CNN", "random"] == 42
    assert made.thesis_leads(2)["CIFAR-10", "VGG-19", "l1"] == 18
    assert len(made.thesis_leads(2)) == 24


def test_the_page_shows_both_tables():
    for n, columns in ((2, "here, at equal cost"), (3, "lead of Dice, points")):
        html = made.shown(n, made.table(n, repeated("dice", [98.0] * 3)), "Ours").to_html()
        assert columns in html
        assert f"The thesis's Table {n}" in html
    assert "font-weight: bold" in html


# Speed, stop rule, fine-tuning


def test_times_stand_beside_macs():
    row = parts.speeds([timed([0.9, 1.0, 1.2], [0.4, 0.5, 0.6], images=8)]).iloc[0]
    assert (row.images, row["MACs ratio"], row["latency ratio"]) == (8, 2, 2)
    assert (row.lowest, row.highest) == pytest.approx((0.9 / 0.6, 1.2 / 0.4))
    assert (row["before, ms"], row.machine) == ("1e+03 (900 to 1.2e+03)", "some processor, threads: 1")


def test_the_stop_rule_is_judged_on_the_last_network_that_it_accepted():
    went_too_far = stopped([98.0, 97.5, 97.2, 95.0], drop=1, test=96.0)
    never_did = stopped([98.0, 97.9], drop=1, test=98.0, seed=1)
    frame = parts.stopped([went_too_far, never_did], [baseline(0, 99.0), baseline(1, 99.0)])
    assert frame["filters removed, %"].tolist() == pytest.approx([10, 5])
    assert frame["lost on validation"].tolist() == pytest.approx([0.8, 0.1])
    assert frame["lost on test"].tolist() == pytest.approx([3, 1])
    row = parts.stops([went_too_far, never_did], [baseline(0, 99.0), baseline(1, 99.0)]).iloc[0]
    assert (row.n, row.recalibrated, str(row["filters removed, %"])) == (2, "no", "5.00 to 10.00")


def test_training_less_is_compared_with_and_without_recalibration():
    records = [
        compared("dice", seed, tuned=top1 + seed, trainable=what, recalibrated=90.0 if again else None)
        for seed in range(3)
        for what, again, top1 in (("all", 1, 97.0), ("all", 0, 97.0), ("head", 1, 95.0), ("head", 0, 91.0))
    ]
    rows = parts.tunings(records).set_index(["trained", "recalibrated"])
    assert list(rows.loc[("head", "yes"), "minus all"]) == [-2] * 3
    assert list(rows.loc[("head", "no"), "minus all"]) == [-6] * 3
    assert list(rows.loc[("head", "yes"), "recalibrated minus not"]) == [4] * 3
    assert (rows.loc[("all", "yes"), "largest"], rows.loc[("head", "yes"), "largest"]) == ("0.000", "4.000")
    assert (fmean(rows.loc[("head", "yes"), "before"]), fmean(rows.loc[("head", "no"), "before"])) == (90, 50)


def fmean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


# Readings, quantiles, curves, candidates


def test_what_the_epochs_do_by_themselves_stands_beside_what_pruning_costs():
    before = [baseline(0, 70.0), baseline(1, 72.0)]
    unpruned = [compared("dice", seed, tuned=top1, ratio=0.0) for seed, top1 in enumerate([75.0, 79.0])]
    pruned = [compared("dice", seed, tuned=top1) for seed, top1 in enumerate([74.0, 77.0])]
    others = [compared("l1", 0, tuned=10.0), compared("dice", 0, tuned=10.0, epochs=5, ratio=0.2)]
    (row,) = parts.controls(unpruned, pruned + others, before).to_dict("records")
    assert (row["before"], row["after"], row["gain"]) == ((70, 72), (75, 79), (5, 7))
    assert row["Dice at target 0.4318 minus after"] == (-1, -2)
    assert not [name for name in row if "ratio" in name]  # other epochs


def test_readings_are_compared_on_the_same_network():
    records = read("as in this book", [90.0, 92.0], "110000") + read("greedy", [91.0, 90.0], "100001")
    rows = parts.variants(records).set_index("reading")
    assert list(rows.loc["greedy", "Jaccard"]) == [1 / 3] * 2
    assert list(rows.loc["greedy", "minus base"]) == [1, -2]
    assert rows.loc["greedy", "by chance"][0] == pytest.approx((1 * 1 + 8 / 3) / 15)  # 2 of 6: both shared once, one 8 times
    assert not rows.loc["greedy", "minus base fine-tuned"]
    assert not rows.loc["as in this book", "Jaccard"]


def test_quantiles_that_keep_the_same_filters_say_so():
    def at(alpha: float, beta: float, keep: str) -> list:
        return [compared("dice", s, tuned=None, ratio=0.25, alpha=alpha, beta=beta, keep=keep) for s in range(2)]

    rows = parts.quantiles(at(0.25, 0.75, "0111") + at(0.1, 0.9, "0111") + at(0.05, 0.95, "1111"))
    assert rows.alpha.tolist() == ["0.05", "0.1", "0.25"]
    assert rows["kept as"].tolist() == ["", "", "0.1, 0.9"]
    assert [fmean(values) for values in rows["filters removed, %"]] == [0, 25, 25]


RATIOS = [0.0, 0.1, 0.2, 0.3, 0.4]


def test_an_elbow_is_the_point_farthest_above_the_line_between_the_ends():
    assert parts.elbow(RATIOS, [90, 90, 90, 50, 10]) == (2, 40, 0)
    assert parts.elbow(RATIOS, [90, 50, 30, 20, 10]) == (None, 0, 20)
    assert parts.elbow([0, 0.1, 0.3], [90, 80, 60])[0] is None
    above_and_below = parts.elbow(RATIOS, [90, 85, 20, 15, 10])
    assert above_and_below == (1, 15, 30)
    generator = np.random.default_rng(0)
    y = np.sort(generator.random(9))[::-1] * 90
    x = np.sort(generator.random(9))
    line, points = np.array([x[-1] - x[0], y[-1] - y[0]]), np.stack([x - x[0], y - y[0]])
    distances = (line[0] * points[1] - line[1] * points[0]) / np.hypot(*line)  # perpendicular, signed
    assert parts.elbow(x, y)[0] == (int(distances.argmax()) if distances.max() > 1e-9 else None)


def test_elbows_are_found_on_the_validation_split():
    rows = parts.elbows([sweep([90, 90, 90, 50, 10], RATIOS), sweep([90, 50, 30, 20, 10], RATIOS, method="l1")])
    cut = rows[rows.moment == "pruned"].set_index("method")
    found = cut.loc["dice", ["ratio", "val", "test", "before", "near 0.2", "side"]].tolist()
    assert found == [0.2, 90, 89, 89, "yes", "above"]
    assert math.isnan(cut.loc["l1", "ratio"])
    assert cut.loc["l1", ["near 0.2", "side"]].tolist() == ["no", "below"]
    assert rows[rows.moment == "recalibrated"].ratio.isna().all()  # flat


def test_candidates_are_ranked_by_what_they_reach():
    records = [transferred(d, 10 * d + 1, seed=i, epochs=20 - i) for i, d in enumerate((0.2, 0.5, 0.3, 0.4))]
    frame = parts.transfers(records, [baseline(i, 90.0 - i, dataset="cifar10", epochs=20 - i) for i in range(4)])
    assert frame.reached.tolist() == [6, 5, 4, 3]
    assert frame["source top-1"].tolist() == [89, 87, 88, 90]
    rows = parts.rankings(frame).set_index("predictor")
    assert rows.loc["diversity: Eq. 1 and 2", "rho"] == 1
    assert rows.loc["diversity: Eq. 1 and 2", "p"] == pytest.approx(2 / 24)
    assert rows.loc["diversity: Eq. 1 and 2", "after Holm"] == pytest.approx(4 * 2 / 24)
    assert rows.loc["source epochs", "rho"] == pytest.approx(stats.spearmanr([19, 17, 18, 20], [6, 5, 4, 3]).statistic)
    unknown = parts.rankings(parts.transfers(records)).set_index("predictor").loc["source top-1"]
    assert unknown.n == 0
    assert math.isnan(unknown.rho)


# Statistics


def test_rank_correlation_is_spearmans_with_an_exact_p():
    first, second = [1.0, 2.0, 2.0, 5.0, 3.0, 9.0], [2.0, 1.0, 4.0, 4.0, 8.0, 7.0]
    rho, p = statistics.rank_correlation(first, second)
    assert rho == pytest.approx(stats.spearmanr(first, second).statistic)

    def size(values: np.ndarray) -> float:
        return abs(stats.spearmanr(values, second).statistic)

    exact = stats.permutation_test((first,), size, permutation_type="pairings", alternative="greater", n_resamples=np.inf)
    assert p == pytest.approx(exact.pvalue)


def test_rank_correlation_of_many_draws_orders():
    values = list(np.random.default_rng(0).random(30))
    other = list(np.random.default_rng(1).random(30))
    rho, p = statistics.rank_correlation(values, other)
    assert p == pytest.approx(stats.spearmanr(values, other).pvalue, abs=0.02)
    assert statistics.rank_correlation(values, values)[1] == pytest.approx(1 / 20_001)
    assert (rho, p) == statistics.rank_correlation(values, other)


def test_rank_correlation_needs_three_different_values():
    assert all(map(math.isnan, statistics.rank_correlation([1.0, 2.0], [1.0, 2.0])))
    assert all(map(math.isnan, statistics.rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])))
    with pytest.raises(BadValue, match="second"):
        statistics.rank_correlation([1.0, 2.0, 3.0], [1.0, 2.0])


def test_variances_are_compared_by_their_ratio():
    first, second = [1.0, 2.0, 4.0, 8.0], [1.0, 1.2, 1.1]
    ratio = np.var(first, ddof=1) / np.var(second, ddof=1)
    assert statistics.variance_p(first, second) == pytest.approx(2 * stats.f.sf(ratio, 3, 2))
    assert statistics.variance_p(second, first) == pytest.approx(statistics.variance_p(first, second))
    assert statistics.variance_p([1.0, 1.0], [2.0, 2.0]) == 1
    assert math.isnan(statistics.variance_p([1.0], second))
    centred = [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0]  # of two groups, each less its mean: 4 degrees of freedom
    scatter = np.var(first, ddof=1) / (sum(value**2 for value in centred) / 4)
    below = stats.f.cdf(scatter, len(first) - 1, 4)
    assert statistics.variance_p(first, centred, lost=2) == pytest.approx(2 * min(below, 1 - below))
