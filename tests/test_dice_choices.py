"""What the methods choose, of small made-up records: dead and living filters, and how alike two choices are."""

import pytest
from dice_records import baseline, compared, growing, network, profiled, read

from prunebook.report import dice_choices as made
from prunebook.report.tables import Values

LIVING, DEAD = 1.0, 1e-6


def activities(*dead: int) -> list[float]:
    return [DEAD if filter in dead else LIVING for filter in range(4)]


def profiles(*dead: tuple[int, ...]) -> list:
    """One layer of four filters; of which these are dead, training by training."""
    return [profiled([], [], activities(*filters), seed) for seed, filters in enumerate(dead)]


def test_what_is_removed_is_counted_by_the_dead_of_the_same_training() -> None:
    chosen = [compared("dice", 0, keep="0011"), compared("dice", 1, keep="0011"), compared("l1", 0, keep="1100", cut=90.0),
              compared("l1", 1, keep="0110", cut=92.0)]  # fmt: skip
    rows = made.removed(chosen, profiles((2, 3), (3,)), [baseline(0, 98.0), baseline(1, 99.0)]).set_index("choice")
    assert list(rows.index) == ["dice", "l1"]
    assert rows[["n", "filters", "dead"]].to_numpy().tolist() == [[2, (4, 4), (2, 1)]] * 2
    assert (rows.loc["dice", "dead removed"], rows.loc["dice", "living removed"]) == ((0, 0), (2, 2))
    assert (rows.loc["l1", "dead removed"], rows.loc["l1", "living removed"]) == ((2, 1), (0, 1))
    assert rows["dead by chance"].tolist() == [(0.75,)] * 2  # half of 2, and half of 1
    assert (rows.loc["l1", "before"], rows.loc["l1", "only cut"]) == ((98, 99), (90, 92))


def test_a_training_without_a_profile_or_of_another_draw_of_images_is_left_out() -> None:
    chosen = [compared("dice", seed, keep="0111") for seed in range(3)]
    other_draw = profiled([], [], activities(0), seed=1)
    other_draw.params["draw"] = 7
    (row,) = made.removed(chosen, [*profiles((0,)), other_draw]).to_dict("records")
    assert (row["n"], row["dead removed"]) == (1, (1,))
    assert made.removed(chosen, []).empty
    assert made.removed([], profiles((0,))).empty


def test_ratios_linear_layers_and_quantiles_are_left_out() -> None:
    chosen = [compared("l1", 0, ratio=0.25), compared("l1", 0, layers="all"), compared("dice", 0, alpha=0.1, beta=0.9)]
    assert made.removed(chosen, profiles((3,))).empty


def test_a_layer_that_no_profile_has_does_not_count() -> None:
    chosen = compared("random", 0, keep="1110")
    chosen.result["keep"]["classifier"] = "01"
    (row,) = made.removed([chosen], profiles((3,))).to_dict("records")
    assert (row["choice"], row["filters"], row["dead removed"], row["living removed"]) == ("random", (4,), (1,), (0,))


def test_other_readings_of_dice_are_choices_of_their_own_and_a_choice_recorded_twice_counts_once() -> None:
    chosen = [
        *read("high end only", [90.0], "0111"),
        *read("as in this book", [90.0], "1110"),
        compared("dice", keep="1110"),
    ]
    rows = made.removed(chosen, profiles((3,))).set_index("choice")
    assert list(rows.index) == ["dice", "dice, high end only"]
    assert rows["dead removed"].tolist() == [(1,), (0,)]
    assert rows["n"].tolist() == [1, 1]


def test_growing_regularisation_is_counted_by_the_network_before_it() -> None:
    (row,) = made.removed([compared("growing_reg", 0, keep="1110")], profiles((3,)), [baseline(), growing()]).to_dict(
        "records"
    )
    assert (row["dead removed"], row["before"]) == ((1,), (97,))


@pytest.mark.parametrize(
    ("values", "text"), [([], "—"), ([33, 33], "33"), ([30, 34.0], "32 (30 to 34)"), ([1, 1, 2], "1.33 (1 to 2)")]
)
def test_counts_are_shown_as_their_mean_and_range(values: list[float], text: str) -> None:
    assert str(made.Counts(values)).replace("\u00a0", " ") == text


def test_two_methods_share_what_both_keep_of_the_same_training() -> None:
    chosen = [compared(method, seed, keep=keep) for method, keeps in (("dice", ("0011", "1100")), ("l1", ("0011", "0110")))
              for seed, keep in enumerate(keeps)]  # fmt: skip
    chosen += [compared("random", 0, keep="1100"), compared("l1", 0, keep="1111", base=network(0, "cifar10"))]
    rows = made.shared(chosen).set_index(["first", "second"])
    assert list(rows.index) == [("dice", "random"), ("dice", "l1"), ("random", "l1")]
    assert rows.loc[("dice", "l1"), "Jaccard"] == (1, 1 / 3)
    # Two of four each: 0, 1 or 2 are shared, in 1, 4, 1 of 6 cases.
    assert rows.loc[("dice", "l1"), "by chance"] == pytest.approx([(4 / 3 + 1) / 6])
    assert rows.loc[("random", "l1"), "Jaccard"] == (0,)
    assert set(rows.network) == {"dice_cnn on MNIST"}
    assert isinstance(rows.loc[("dice", "random"), "Jaccard"], Values)
    assert made.shared([]).empty
