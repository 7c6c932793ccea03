import math
from itertools import combinations, product

import numpy as np
import pytest
from kcore_records import ENTROPY, at_target, pruned, read, repeated
from scipy import stats

from prunebook.errors import BadValue
from prunebook.report import kcore_comparisons as compared
from prunebook.report import statistics, tables
from prunebook.studies.kcore import VARIANTS

# Scores at a target


def test_scores_are_compared_pair_by_pair():
    l1, random = [39.0, 58.8, 49.1, 53.9], [45.0, 59.0, 51.0, 54.0]
    found = compared.scores_at_target(
        at_target("l1", l1)[::-1] + at_target("entropy", ENTROPY) + at_target("random", random)
    )
    rows = found[found.moment == "batch norm recalibrated"].set_index("score")
    assert list(rows.index) == ["entropy", "l1", "random"]
    assert rows.loc["l1", "minus entropy"] == pytest.approx(np.subtract(l1, ENTROPY))
    assert rows["separates?"].tolist() == ["—", "yes", "no"]
    assert str(rows.loc["l1", "minus entropy"]) == str(tables.interval(np.subtract(l1, ENTROPY)))
    reference = stats.ttest_rel(l1, ENTROPY).pvalue
    assert statistics.p_value(rows.loc["l1", "minus entropy"]) == pytest.approx(reference)
    assert "fine-tuned" not in set(found.moment)


def test_signs_are_flipped_in_all_ways_for_few_differences_and_drawn_for_many():
    values = [0.5, 1.0, -0.25, 2.0]
    means = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True))) for signs in product((1, -1), repeat=4)
    ]
    assert statistics.sign_flip_p(values) == sum(mean >= 3.25 for mean in means) / 16 == 4 / 16
    assert statistics.sign_flip_p([1.0] * 8) == 2 / 2**8
    assert statistics.sign_flip_p([0.0] * 5) == 1
    assert math.isnan(statistics.sign_flip_p([]))
    many = np.random.default_rng(0).normal(0.3, 1, 40)
    assert statistics.sign_flip_p(many) == pytest.approx(statistics.p_value(many), abs=0.02)
    assert statistics.sign_flip_p(many) == statistics.sign_flip_p(-many)
    assert statistics.sign_flip_p(many + 5) == pytest.approx(1 / 20_001)


def test_holm_multiplies_the_smallest_p_by_the_number_of_comparisons():
    assert statistics.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": math.nan}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert statistics.holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_what_separates_alone_need_not_after_holm():
    gaps = [1.0, 2.2, 0.6, 1.6]
    assert 0.05 / 3 < stats.ttest_1samp(gaps, 0).pvalue < 0.05
    worse = {score: [v - g for v, g in zip(ENTROPY, gaps, strict=True)] for score in ("l1", "degree", "random")}
    records = at_target("entropy", ENTROPY) + [r for score, values in worse.items() for r in at_target(score, values)]
    rows = compared.scores_at_target(records).query("moment == 'batch norm recalibrated' and score != 'entropy'")
    assert set(rows["separates?"]) == {"yes"}
    assert set(rows["after Holm"]) == {"no"}


def test_two_pairs_separate_nothing_and_equal_ones_do_not():
    assert math.isnan(statistics.p_value([1.0, 1.0]))
    assert statistics.p_value([0.0] * 3) == 1.0
    assert statistics.p_value([2.0] * 3) == 0.0


def test_without_targets_there_are_no_scores_to_compare():
    assert compared.scores_at_target(repeated([50.0] * 3)).empty
    assert compared.scores_at_target([]).empty


# Agreement


def test_the_jaccard_index_counts_filters_of_all_layers():
    assert compared.jaccard({"a": "1100", "b": "1"}, {"a": "1010", "b": "1"}) == pytest.approx(2 / 4)
    with pytest.raises(BadValue, match="layers"):
        compared.jaccard({"a": "1"}, {"b": "1"})


def test_chance_is_the_mean_over_all_choices_with_as_many_filters():
    first, second = {"a": "1100", "b": "110"}, {"a": "1000", "b": "011"}

    def choices(n: int, k: int) -> list[str]:
        return ["".join("01"[i in kept] for i in range(n)) for kept in combinations(range(n), k)]

    every = [
        compared.jaccard({"a": a, "b": b}, {"a": c, "b": d})
        for a, b, c, d in product(choices(4, 2), choices(3, 2), choices(4, 1), choices(3, 2))
    ]
    assert compared.by_chance(first, second) == pytest.approx(np.mean(every))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_record_is_known_by_its_reading(name):
    assert compared.variant(pruned(target=0.5, **VARIANTS[name])) == name


def test_a_record_of_no_listed_reading_has_no_name():
    assert compared.variant(pruned(target=0.5, bins=64)) == ""
    assert compared.variant(pruned(target=0.5, scope="layer")) == ""


def test_readings_are_compared_at_the_same_draw_and_this_books_between_draws():
    base = read(["1100", "0110", "0011"], [50.0, 60.0, 70.0])
    other = read(["1100", "0110", "0101"], [51.0, 62.0, 73.0], found=0.7, bins=16)
    table = compared.agreement(other[::-1] + base).set_index("reading")
    assert table.loc["as in this book", "Jaccard"] == pytest.approx([(1 / 3 + 0 + 1 / 3) / 3])
    assert table.loc["entropy: 16 bins", "Jaccard"] == pytest.approx((1.0, 1.0, 1 / 3)[::-1])
    assert table.loc["entropy: 16 bins", "minus base"] == pytest.approx((1.0, 2.0, 3.0))
    assert table.loc["entropy: 16 bins", "by chance"] == pytest.approx([(1 * 1 + 4 / 3) / 6])  # 1 of 6 alike, 4 share one
    assert table.loc["entropy: 16 bins", "tau"] == "0.700"
    assert table.loc["as in this book", "minus base"] == ()


def test_a_reading_of_other_draws_only_has_nothing_to_be_compared_with():
    base = read(["1100"], [50.0])
    other = read(["1100", "0110"], [51.0, 62.0], bins=16)[1:]
    assert compared.agreement(base + other).set_index("reading").loc["entropy: 16 bins", "Jaccard"] == ()


def test_the_reading_to_compare_with_is_one_of_the_list():
    with pytest.raises(BadValue, match="base"):
        compared.agreement([], base="as in the paper")
    assert compared.agreement([]).empty
