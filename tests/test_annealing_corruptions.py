"""What corruption costs a pruned network, and which of two is the sturdier: on records made by hand."""

import math

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from annealing_records import corrupted, fallen

from prunebook.errors import BadValue
from prunebook.report import annealing_claims, annealing_figures
from prunebook.report import annealing_corruptions as disturbed
from prunebook.trials import Record

NEAR = [-0.5, 0.0, 0.5]
SHARE, ACCURACY, CHAPTER = "Corrupted images are", "The same where clean", "no sturdier"
WIDTHS = ((78.0, 3), (93.0, 1), (93.0, 1))  # 20, 5 and 5 points below 98, in so many rounds


def test_an_accuracy_is_the_mean_over_kinds_of_the_mean_over_severities() -> None:
    (before, half) = disturbed.points([corrupted(curves=[fallen(60.0, 40.0)])]).to_dict("records")
    assert (before["clean"], before["corrupted"], before["lost"], before["relative"]) == (98, 88, 10, 100)
    assert (half["clean"], half["corrupted"], half["lost"], half["relative"]) == (60, 40, 20, 200)
    assert (half["share"], half["contrast"], half["jpeg"], half["constant"]) == (50, 42, 38, 10)
    assert disturbed.kinds(pd.DataFrame([half])) == ["contrast", "jpeg"]


def test_kinds_count_alike_however_many_severities_they_have() -> None:
    record = corrupted()
    record.result["conditions"] = ["clean", "contrast 1", "jpeg 1", "jpeg 3", "jpeg 5"]
    record.result["rounds"][0]["points"][0]["counts"] = [200, 100, 200, 200, 200]
    (row,) = disturbed.points([record]).to_dict("records")
    assert (row["contrast"], row["jpeg"], row["corrupted"], row["lost"]) == (50, 100, 75, 25)


def test_what_was_not_lost_before_is_nothing_to_set_a_loss_against() -> None:
    rows = disturbed.points([corrupted(curves=[fallen(60.0, 40.0, start=(88.0, 88.0))])])
    assert all(math.isnan(value) for value in rows.relative)


def test_the_table_has_the_network_before_pruning_once() -> None:
    records = [corrupted(name, [fallen(60.0 + seed, 40.0)], seed=seed) for name in ("paper", "greedy") for seed in range(3)]
    table = disturbed.table(disturbed.points(records))
    assert list(zip(table.reading, table["gone, %"], strict=True)) == [
        ("before pruning", "0"), ("paper", "50"), ("greedy", "50")]  # fmt: skip
    assert list(table.loc[1, "clean, %"]) == [60, 61, 62]
    assert list(table.loc[1, "lost, points"]) == [20, 21, 22]
    assert list(table.loc[0, "relative, %"]) == [100] * 3
    assert disturbed.table(disturbed.points([])).empty


def curve(points: dict[float, tuple[float, float]], name: str = "paper", **given: int) -> pd.DataFrame:
    return disturbed.points([corrupted(name, [points], **given)])


def test_at_equal_accuracy_one_line_is_one_line_wherever_its_points_are() -> None:
    early = curve({0.0: (98.0, 88.0), 0.125: (78.0, 58.0), 0.25: (58.0, 28.0)})
    late = curve({0.0: (98.0, 88.0), 0.375: (88.0, 73.0), 0.5: (68.0, 43.0)})
    assert list(disturbed.at_equal_accuracy(early, late).gap) == pytest.approx([0])
    above = curve({0.0: (98.0, 88.0), 0.5: (68.0, 53.0)})
    # At 98 as sturdy, at 68 ten points ahead: over the stretch that both have, five in the mean.
    assert list(disturbed.at_equal_accuracy(above, early).gap) == pytest.approx([5])
    assert list(disturbed.at_equal_accuracy(early, above).gap) == pytest.approx([-5])


def test_networks_of_little_use_are_not_compared() -> None:
    alike = {0.0: (98.0, 88.0), 0.25: (49.0, 39.0)}
    one, other = curve({**alike, 0.5: (10.0, 10.0)}), curve({**alike, 0.5: (10.0, 0.0)})
    assert list(disturbed.at_equal_accuracy(one, other).gap) == pytest.approx([0])  # they differ below half of 98 alone
    kept = curve({0.0: (98.0, 88.0), 0.5: (97.5, 80.0)})
    (row,) = disturbed.at_equal_accuracy(kept, one).to_dict("records")
    assert row["width"] == pytest.approx(0.5)
    lost = curve({0.0: (98.0, 88.0)})
    (row,) = disturbed.at_equal_accuracy(lost, one).to_dict("records")
    assert (row["width"], math.isnan(row["gap"])) == (0, True)


def test_a_short_common_range_decides_nothing() -> None:
    def records(first: float, second: float) -> list[Record]:
        return [*networks("paper", first, 82.0), *networks("one-shot", second, 28.0)]

    # The other curve falls to 58 and 28: what they have in common ends at the first one's accuracy.
    assert verdict(ACCURACY, records(88.0, 58.0)) == "holds here"  # ten points
    assert verdict(CHAPTER, records(97.0, 58.0), "expectations") == verdict(ACCURACY, records(89.0, 58.0)) == "undecided"
    frame = annealing_claims.claims(corrupted=records(89.0, 58.0))
    (found,) = [row for _, row in frame.iterrows() if ACCURACY in row.claim]
    assert "over 9.0 points of clean accuracy" in found.here
    assert "less than 10 points" in found["tested by"]
    assert verdict(SHARE, records(97.0, 58.0)) == "holds here"


def test_the_width_is_the_mean_over_networks_of_the_mean_over_rounds() -> None:
    own = [corrupted("paper", [fallen(low, 48.0)] * rounds, seed=seed) for seed, (low, rounds) in enumerate(WIDTHS)]
    frame = annealing_claims.claims(corrupted=[*own, *networks("one-shot", 58.0, 28.0)])
    (found,) = [row for _, row in frame.iterrows() if ACCURACY in row.claim]
    assert "over 10.0 points" in found.here
    assert "undecided" not in found.verdict


def test_our_own_change_is_no_reading_of_the_paper() -> None:
    records = [*networks("paper", 58.0, 28.0), *networks("absolute", 58.0, 48.0)]
    records += [*networks("random pairs", 58.0, 28.0)]
    assert verdict(CHAPTER, records, "expectations") == "holds here"
    assert verdict(ACCURACY, records) == verdict(SHARE, records) == "no difference found"
    assert verdict("Absolute weights: corrupted", records) == "holds here"
    assert verdict("Absolute weights: the same where", records) == "holds here"


def test_what_draws_nothing_stands_beside_every_round() -> None:
    drawn = disturbed.points([corrupted("paper", [fallen(58.0, 48.0), fallen(58.0, 38.0)])])
    once = disturbed.points([corrupted("one-shot", [fallen(58.0, 38.0)])])
    found = disturbed.at_equal_accuracy(drawn, once)
    assert list(zip(found.draw, found.gap, strict=True)) == [(0, pytest.approx(5)), (1, pytest.approx(0))]
    back = disturbed.at_equal_accuracy(once, drawn)
    assert list(back.gap) == [-gap for gap in found.gap]
    other = disturbed.points([corrupted("random pairs", [fallen(58.0, 38.0), fallen(58.0, 48.0)])])
    assert list(disturbed.at_equal_accuracy(drawn, other).gap) == pytest.approx([5, -5])  # round by round


def test_a_level_needs_all_shares() -> None:
    frame = disturbed.points(
        [corrupted("paper", [{0.0: (98.0, 88.0), 0.25: (70.0, 60.0), 0.5: (50.0, 40.0)}, fallen(9.0, 9.0)])]
    )
    (row,) = disturbed.levels(frame, [25.0, 50.0]).to_dict("records")
    assert (row["draw"], row["level"]) == (0, 50)


def verdict(words: str, records: list[Record], table: str = "claims") -> str:
    frame = getattr(annealing_claims, table)(corrupted=records)
    (found,) = [row for _, row in frame.iterrows() if words in row.claim]
    return str(found.verdict)


def networks(name: str, clean: float, low: float, **given: str) -> list[Record]:
    return [corrupted(name, [fallen(clean, low + shift)], seed=seed, **given) for seed, shift in enumerate(NEAR)]


def test_more_accuracy_is_not_more_robustness() -> None:
    better = [*networks("paper", 78.0, 68.0), *networks("one-shot", 58.0, 48.0)]  # both lose ten points
    assert verdict(SHARE, better) == "holds here"
    assert verdict(ACCURACY, better) == "no difference found"
    assert verdict(CHAPTER, better, "expectations") == "holds here"


def test_the_sturdier_is_ahead_at_equal_accuracy() -> None:
    sturdy = [*networks("paper", 58.0, 48.0), *networks("one-shot", 58.0, 28.0)]
    assert verdict(ACCURACY, sturdy) == "holds here"
    assert verdict(CHAPTER, sturdy, "expectations") == "does not hold here"
    weak = [*networks("paper", 58.0, 28.0), *networks("random pairs", 58.0, 48.0)]
    assert verdict(SHARE, weak) == verdict(ACCURACY, weak) == "the opposite holds here"


def test_the_baseline_has_the_saliency_of_the_reading() -> None:
    records = [
        *networks("official", 58.0, 48.0),
        *networks("one-shot, official", 58.0, 28.0),
        *networks("one-shot", 58.0, 58.0),
    ]
    frame = annealing_claims.claims(corrupted=records)
    (here,) = [row.here for _, row in frame.iterrows() if SHARE in row.claim]
    assert "official minus one-shot, official" in here
    assert "random" not in here


def test_two_networks_decide_nothing() -> None:
    two = [record for name, low in (("paper", 48.0), ("one-shot", 28.0)) for record in networks(name, 58.0, low)[:2]]
    assert verdict(ACCURACY, two) == "undecided"


def test_a_single_network_is_named_and_its_equal_rounds_decide_nothing() -> None:
    rounds = [corrupted("paper", [fallen(58.0, 48.0)] * 5), corrupted("random pairs", [fallen(58.0, 28.0)] * 5)]
    assert verdict(ACCURACY, rounds) == "one network: undecided"
    differ = [corrupted("paper", [fallen(58.0, 48.0 + i) for i in range(5)]), rounds[1]]
    assert verdict(ACCURACY, differ) == "one network: holds here"


def test_a_figure_has_a_panel_for_clean_images_and_each_kind() -> None:
    records = [*networks("paper", 58.0, 48.0), *networks("one-shot", 58.0, 28.0)]
    fig = annealing_figures.corrupted(disturbed.points(records))
    shown = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title() for ax in shown] == ["clean", "contrast", "jpeg"]
    lines = {line.get_label(): list(line.get_ydata()) for line in shown[1].lines}
    assert lines["paper"] == pytest.approx([90, 50])
    assert lines["one-shot"] == pytest.approx([90, 30])
    assert lines["one answer to all"] == [10, 10]
    plt.close("all")
    with pytest.raises(BadValue, match="number of"):
        annealing_figures.corrupted(disturbed.points([]))


def test_a_mean_over_networks_counts_each_network_once() -> None:
    records = [corrupted("paper", [fallen(50.0, 40.0)] * 3, seed=0), corrupted("paper", [fallen(90.0, 80.0)], seed=1)]
    fig = annealing_figures.corrupted(disturbed.points(records))
    assert list(fig.axes[0].lines[0].get_ydata()) == pytest.approx([98, 70])
    plt.close("all")
