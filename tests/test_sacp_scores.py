import math

import numpy as np
import pandas as pd
import pytest
from sacp_records import ENTRIES, crowd, learnt, light, sampled, scored, searched, triads
from scipy import stats

from prunebook.errors import BadValue
from prunebook.report import sacp_scores as made
from prunebook.report import statistics


def test_without_records_there_are_no_rows_but_the_columns():
    for frame, columns in (
        (made.histories([]), made.HISTORIES), (made.triads([]), made.APART), (made.candidates([]), made.CANDIDATES),
        (made.light_candidates([], []), made.CANDIDATES), (made.correlations(made.candidates([])), made.CORRELATIONS),
    ):  # fmt: skip
        assert frame.empty
        assert tuple(frame.columns) == columns


def test_filled_tables_have_the_same_columns():
    sample = sampled([80.0] * 3)
    frame = made.candidates([sample], [scored("infonce", sample, [1, 2, 3])], [crowd(sample, [[0, 1, 2]] * 2)])
    assert tuple(frame) == (*made.CANDIDATES, "infonce", 0, 1)
    assert tuple(made.correlations(frame)) == made.CORRELATIONS
    assert tuple(made.triads([learnt("infonce")], [triads([0.5] * 3)])) == made.APART


# What an encoder learns


def test_an_encoders_epochs_are_rows_with_the_gap_between_positives_and_negatives():
    rows = made.histories([learnt("as printed", [(0.9, 0.5), (0.8, 0.7)], seed=3), learnt("untrained", [])])
    assert rows.epoch.tolist() == [1, 2]
    assert rows.gap.tolist() == pytest.approx([0.4, 0.1])
    assert set(rows.encoder) == {"as printed"}
    assert set(rows.seed) == {3}
    assert set(rows.network) == {"resnet20 on CIFAR-10"}


def test_triads_are_told_beside_encoders_with_random_weights():
    shares, far = [i / 99 for i in range(99)], [0.5] * 99
    crowds = [triads(shares, shares, far), triads([0.9] * 99, anchor="original"), triads([0.9] * 99, seed=1)]
    crowds.append(triads([0.9] * 99, positives="random"))
    records = [learnt("infonce", [(0.9, 0.5), (0.8, 0.4)], share=0.96), learnt("untrained", share=0.5)]
    first, second = made.triads(records, crowds).to_dict("records")
    assert (first["encoder"], first["share"], first["positive"], first["negative"]) == ("infonce", 0.96, 0.8, 0.4)
    assert (first["share low"], first["share high"]) == pytest.approx((2.45 / 99, 95.55 / 99))
    assert first["share p above"] == pytest.approx(4 / 100)  # 96 to 98, and its own
    assert first["share p below"] == pytest.approx(97 / 100)
    assert (first["negative p below"], first["negative p above"]) == (1 / 100, 1)
    assert second["share p above"] > 0.4
    alone, control = made.triads([learnt("infonce (anchor original)"), learnt("random order")], crowds[:1]).to_dict(
        "records"
    )
    for row in (alone, control):  # made of other triads than those of this crowd
        assert math.isnan(row["share p above"])
        assert math.isnan(row["share low"])
    (control,) = made.triads([learnt("random order", share=0.95)], crowds).to_dict("records")
    assert (control["encoder"], control["share p above"]) == ("random order", 1 / 100)


def test_strangers_of_one_anchor_are_its_own_negatives_so_that_their_distance_says_nothing():
    records = [learnt(name, distance=0.4) for name in ("infonce", "infonce (anchor original)")]
    crowds = [triads([0.5] * 99, anchor=anchor) for anchor in ("first", "original")]
    first, original = made.triads(records, crowds).to_dict("records")
    assert (first["distance"], first["distance p below"]) == (0.4, 1 / 100)
    assert all(math.isnan(original[f"distance{end}"]) for end in ("", " low", " high", " p below", " p above"))
    assert original["share p above"] == 1


# What a score knows


def test_a_candidates_simple_scores_are_shares_that_stay():
    r = [[5] * ENTRIES, [9] + [0] * (ENTRIES - 1), [0] * ENTRIES]
    rows = made.candidates([sampled([70.0, 80.0, 90.0], [0.5, 0.2, 1.0], [0.6, 0.9, 1.0], r=r)])
    assert rows.test.tolist() == [70, 80, 90]
    assert rows["MACs kept"].tolist() == [0.5, 0.2, 1.0]
    assert rows["parameters kept"].tolist() == [0.5, 0.2, 1.0]
    assert rows["L1 norm kept"].tolist() == [0.6, 0.9, 1.0]
    assert rows["narrowest entry"].tolist() == pytest.approx([0.5, 0.1, 1.0])
    # The first entry are the stem and the second convolution of each of the three blocks of width 16.
    channels, first = 7 * 16 + 6 * 32 + 6 * 64, 4 * 16
    assert rows["channels kept"].tolist() == pytest.approx([0.5, 1 - 0.9 * first / channels, 1.0])


def test_scores_stand_beside_the_candidates_that_they_are_of():
    half, free = sampled([70.0, 80.0, 90.0]), sampled([71.0, 81.0, 91.0], removed=None)
    scores = [scored("infonce", free, [1, 2, 3]), scored("sacp-1", half, [6, 5, 4]), scored("infonce", half, [7, 8, 9])]
    rows = made.candidates([half, free], scores)
    assert rows["sample"].tolist() == ["50 % of the MACs"] * 3 + ["tau 0.3"] * 3
    assert rows.infonce.tolist() == [7, 8, 9, 1, 2, 3]
    assert rows["sacp-1"].tolist()[:3] == [6, 5, 4]
    assert rows["sacp-1"][3:].isna().all()


def test_candidates_of_the_random_search_have_their_accuracy_after_light_fine_tuning():
    found = searched("random", [[3] * ENTRIES, [4] * ENTRIES], m=2)
    records = light("random", [80.0, 82.0], val=[79.0, 78.0], m=2, removed=0.3) + light("infonce", [90.0, 91.0], m=2)
    rows = made.light_candidates(records, [scored("as printed", found, [0.5, 0.6])])
    assert rows["sample"].tolist() == ["random search, 1 epoch"] * 2
    assert rows.test.tolist() == [80, 82]
    assert rows["as printed"].tolist() == [0.5, 0.6]
    assert (rows["MACs kept"].tolist(), rows["parameters kept"].tolist()) == ([0.5] * 2, [0.6] * 2)
    assert rows["channels kept"].tolist() == pytest.approx([0.7] * 2)
    assert rows["L1 norm kept"].isna().all()
    assert "L1 norm kept" not in made.predictors(rows)
    assert made.light_candidates(light("random", [80.0], epochs=0), [])["sample"].tolist() == ["random search, no epochs"]


def test_encoders_of_several_seeds_score_the_same_candidates():
    sample = sampled([70.0, 80.0, 90.0, 75.0])
    scores = [scored("infonce", sample, [1, 2, 3, 4]), scored("infonce", sample, [4, 3, 2, 1], seed=1)]
    scores += [scored("untrained", sample, [1, 2, 4, 3])]
    rows = made.candidates([sample], scores)
    assert (rows.draw.tolist(), rows.seed.tolist()) == ([0] * 8, [0] * 4 + [1] * 4)
    assert rows.infonce.tolist() == [1, 2, 3, 4, 4, 3, 2, 1]
    assert rows.test.tolist() == [70, 80, 90, 75] * 2
    assert rows.untrained.tolist()[:4] == [1, 2, 4, 3]
    assert rows.untrained[4:].isna().all()
    found = made.correlations(rows).set_index("predictor")
    assert (found.n.tolist(), found.seeds[["infonce", "untrained", "MACs kept"]].tolist()) == ([4] * 7, [2, 1, 1])
    assert found.rho["infonce"] == pytest.approx(0)  # the mean of 0.4 and -0.4
    assert found.rho["untrained"] == pytest.approx(stats.spearmanr([70, 80, 90, 75], [1, 2, 4, 3]).statistic)
    assert math.isnan(found.p["infonce"])
    assert found.p["untrained"] > 0
    # Candidates are resampled alike for both seeds, so that opposite orders have opposite correlations each time.
    assert (found.low["infonce"], found.high["infonce"]) == pytest.approx((0, 0), abs=1e-9)


def test_two_seeds_of_one_reading_stand_beside_two_readings():
    sample, columns = sampled([float(i) for i in range(30)]), drawn(5)
    names = [("infonce", 0), ("infonce", 1), ("as printed", 0), ("as printed", 1)]
    pairs = zip(names, columns.T, strict=True)
    scores = [scored(name, sample, own.tolist(), seed=seed) for (name, seed), own in pairs]
    ranked = made.Ranked.of(made.candidates([sample], scores))
    rho = stats.spearmanr(columns).statistic
    readings, again, less = ranked.across("infonce", "as printed").value
    assert readings == pytest.approx((rho[0, 2] + rho[1, 3]) / 2)
    assert again == pytest.approx((rho[0, 1] + rho[2, 3]) / 2)
    assert less == pytest.approx(readings - again)
    alone = made.Ranked.of(made.candidates([sample], scores[::2]))
    assert np.isnan(alone.across("infonce", "as printed").value).all()


def test_encoders_with_random_weights_are_put_in_the_place_of_ours():
    sample, (test, score, macs, _) = sampled(drawn(6).T[0].tolist(), (drawn(6).T[2] / 20 + 0.5).tolist()), drawn(6).T
    orders = [np.random.default_rng(i).permutation(30).tolist() for i in range(40)]
    rows = made.candidates([sample], [scored("infonce", sample, score.tolist())], [crowd(sample, orders)])
    ranked = made.Ranked.of(rows)
    null = ranked.null(["test", "infonce"], made.first_two).ravel()
    assert null == pytest.approx([stats.spearmanr(test, order).statistic for order in orders])
    partial = ranked.null(["test", "infonce", "MACs kept"], made.given_third).ravel()
    a, b, c = (stats.spearmanr(*pair).statistic for pair in ((test, orders[3]), (test, macs), (orders[3], macs)))
    assert partial[3] == pytest.approx((a - b * c) / math.sqrt((1 - b**2) * (1 - c**2)))
    found = made.correlations(rows).set_index("predictor")
    ends = found.loc["infonce", ["random low", "random high"]].tolist()
    assert ends == pytest.approx(statistics.middle95(null))
    assert found.loc["MACs kept", ["random low", "random high"]].isna().all()
    assert not len(made.Ranked.of(rows.drop(columns=range(40))).null(["test", "infonce"], made.first_two))


def drawn(seed: int = 0, n: int = 30) -> np.ndarray:
    """Columns that correlate: test accuracy, a score, MACs kept, L1 norm kept; with ties."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=n)
    return np.round(np.stack([common + a * generator.normal(size=n) for a in (1, 0.5, 0.8, 2)], axis=1), 1)


def correlated(*seeds: int) -> pd.DataFrame:
    samples, scores = [], []
    for seed in seeds:
        test, score, macs, norm = drawn(seed).T.tolist()
        samples.append(sampled(test, [(m + 9) / 20 for m in macs], norm, seed=seed))
        scores.append(scored("infonce", samples[-1], score))
    return made.correlations(made.candidates(samples, scores)).set_index("predictor")


def test_correlations_are_spearmans_with_test_accuracy():
    rows, (test, score, macs, norm) = correlated(0), drawn(0).T
    rho = [stats.spearmanr(column, test).statistic for column in (score, macs, norm)]
    assert rows.rho[["infonce", "MACs kept", "L1 norm kept"]].tolist() == pytest.approx(rho)
    assert rows["minus L1"][["infonce", "L1 norm kept"]].tolist() == pytest.approx([rho[0] - rho[2], 0])
    assert rows.kind.tolist() == ["encoder"] + ["simple"] * 5
    assert (rows.n.unique().tolist(), rows.seeds.unique().tolist()) == ([30], [1])
    assert (rows.low < rows.rho).all()
    assert (rows.rho < rows.high).all()


def test_samples_of_too_few_candidates_can_be_left_out():
    rows = made.candidates([sampled([1.0, 2.0, 3.0, 4.0])])
    assert len(made.correlations(rows, least=4)) > 0
    assert made.correlations(rows, least=5).empty


def test_what_is_left_given_the_macs_is_the_correlation_of_the_ranks_residuals():
    rows, ranked = correlated(0), [stats.rankdata(column) for column in drawn(0).T]
    test, score, macs, _ = ranked
    left = [own - np.polyval(np.polyfit(macs, own, 1), macs) for own in (test, score)]
    assert rows["given MACs"]["infonce"] == pytest.approx(np.corrcoef(*left)[0, 1])
    assert math.isnan(rows["given MACs"]["MACs kept"])


def test_p_is_corrected_over_the_predictors_of_a_sample():
    rows, (test, score, *_) = correlated(0), drawn(0).T
    assert rows.p["infonce"] == statistics.rank_correlation(test.tolist(), score.tolist())[1]
    assert rows["after Holm"].to_dict() == pytest.approx(statistics.holm(rows.p.to_dict()))


def test_several_seeds_are_averaged_and_have_no_p():
    both, first, second = correlated(0, 1), correlated(0), correlated(1)
    assert both.rho["infonce"] == pytest.approx((first.rho["infonce"] + second.rho["infonce"]) / 2)
    assert both.p.isna().all()
    assert (both.n["infonce"], both.seeds["infonce"]) == (60, 2)
    width = (first.high - first.low)["infonce"]
    assert (both.high - both.low)["infonce"] < width


def test_a_score_that_is_the_same_for_all_has_no_correlation():
    sample = sampled([float(i) for i in range(5)])
    rows = made.correlations(made.candidates([sample], [scored("untrained", sample, [1.0] * 5)])).set_index("predictor")
    assert rows.loc["untrained", ["rho", "low", "high", "p"]].isna().all()
    assert made.correlations(made.candidates([sampled([80.0, 81.0])])).empty


# Rank correlations of resamples


def test_a_rank_matrix_is_spearmans_with_ties():
    columns = drawn(2, n=12)
    found = statistics.rank_matrices(columns)
    assert found.shape == (1, 4, 4)
    assert found[0] == pytest.approx(stats.spearmanr(columns).statistic)


def test_resamples_are_of_whole_rows():
    columns = drawn(3, n=9)
    found = statistics.rank_matrices(columns, draws=20, seed=5)
    counts = np.random.default_rng(5).multinomial(9, np.full(9, 1 / 9), size=20)
    for matrix, times in zip(found, counts, strict=True):
        assert matrix == pytest.approx(stats.spearmanr(np.repeat(columns, times, axis=0)).statistic)


def test_the_percentile_interval_is_scipys():
    columns = drawn(4, n=40)[:, :2]
    low, high = statistics.middle95(statistics.rank_matrices(columns, 2000)[:, 0, 1])
    theirs = stats.bootstrap(
        tuple(columns.T), lambda a, b: stats.spearmanr(a, b).statistic, paired=True, method="percentile",
        n_resamples=1000, vectorized=False, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.03)
    assert all(map(math.isnan, statistics.middle95([math.nan])))


def test_many_resamples_are_made_in_pieces(monkeypatch):
    columns = drawn(3, n=9)
    whole = statistics.rank_matrices(columns, draws=50)
    monkeypatch.setattr(statistics, "RESAMPLED", 100)
    assert np.array_equal(statistics.rank_matrices(columns, draws=50), whole)


def test_ranks_of_nothing_are_refused():
    with pytest.raises(BadValue, match="two rows"):
        statistics.rank_matrices(np.ones((1, 2)))
    with pytest.raises(BadValue, match="finite"):
        statistics.rank_matrices(np.array([[1.0], [math.nan]]))
