import itertools
import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunebook import cutting, measure, models
from prunebook.errors import BadValue
from prunebook.methods import allocation, dice
from prunebook.plan import PruningPlan

X = torch.zeros(1, 3, 32, 32)
RESNET50_WIDTHS = (64, 128, 256, 512, 1024, 2048)


def random_weight(n: int, seed: int, shape: tuple[int, ...] = (2, 3, 3)) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coarse_weight(n: int, seed: int) -> torch.Tensor:
    """Whole numbers from -2 to 2, so that equal filters, equal averages and filters of zeros occur."""
    return torch.randint(-2, 3, (n, 3), generator=torch.Generator().manual_seed(seed)).double()


# The thesis written out, in exact fractions: Eq. 1, 2 and 4, and Algorithm 1 line by line.


def literal_rows(weight, norm="abs", rescale="shift"):
    rows = []
    for filter in weight.flatten(1).tolist():
        w = [Fraction(value) for value in filter]
        divisor = max(abs(value) for value in w)
        if norm == "max" and max(w) != 0:
            divisor = max(w)
        w = [value / divisor if divisor else value for value in w]
        if rescale == "shift":
            w = [(value + 1) / 2 for value in w]
        if rescale == "parts":
            w = [max(value, 0) for value in w] + [max(-value, 0) for value in w]
        rows.append(w)
    return rows


def literal_similarity(a, b):
    shared = sum(min(x, y) for x, y in zip(a, b, strict=True))
    both = sum(a) + sum(b)
    return 2 * shared / both if both else Fraction(a == b)


def literal_averages(rows):
    n = len(rows)
    return [sum(literal_similarity(rows[i], rows[j]) for j in range(n) if j != i) / max(n - 1, 1) for i in range(n)]


def literal_quantile(values, share):
    place = share * (len(values) - 1)
    ordered = sorted(values)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def literal_shares(ratio, ends):
    """The defaults of alpha and beta, exactly."""
    share = Fraction(str(ratio)) / (2 if ends == "both" else 1)
    return share, 1 - share


def literal_one_shot(weight, ratio, ends="both"):
    alpha, beta = literal_shares(ratio, ends)
    averages = literal_averages(literal_rows(weight))
    tau_min, tau_max = literal_quantile(averages, alpha), literal_quantile(averages, beta)
    low = [i for i in range(len(averages)) if averages[i] < tau_min and ends != "high"]
    high = [i for i in range(len(averages)) if averages[i] > tau_max and ends != "low"]
    low.sort(key=lambda i: (averages[i], i))
    high.sort(key=lambda i: (-averages[i], i))
    merged = []
    while low or high:
        merged += high[:1] + low[:1]
        low, high = low[1:], high[1:]
    gone = merged[: math.floor(Fraction(str(ratio)) * len(averages))]
    return [i for i in range(len(averages)) if i not in gone]


def literal_middle(weight, ratio):
    averages = literal_averages(literal_rows(weight))
    median = statistics.median(averages)
    gone = sorted(range(len(averages)), key=lambda i: (abs(averages[i] - median), i))
    return sorted(gone[literal_limit(len(averages), ratio) :])


def literal_limit(width, ratio):
    return min(math.floor(Fraction(str(ratio)) * width), width - 1)


def literal_in_turn(weights, ratio, ends="both"):
    """Algorithm 1 on each layer, its thresholds included, over the filters that the layers before it have left."""
    left = list(range(len(weights[0])))
    for weight in weights:
        left = [left[place] for place in literal_one_shot(weight[left], ratio, ends)]
    return left


def literal_greedy(weight, ratio, ends="both"):
    alpha, beta = literal_shares(ratio, ends)
    left = list(range(len(weight)))
    for _ in range(math.floor(Fraction(str(ratio)) * len(weight))):
        averages = literal_averages(literal_rows(weight[left]))  # everything anew, from the weights
        tau_min, tau_max = literal_quantile(averages, alpha), literal_quantile(averages, beta)
        beyond = []
        for place, value in enumerate(averages):
            if ends != "low":
                beyond.append((value - tau_max, 1, -place))
            if ends != "high":
                beyond.append((tau_min - value, 0, -place))
        farthest = max(beyond)
        if farthest[0] <= 0:
            break
        left.pop(-farthest[2])
    return left


ratios = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.9])
ends = st.sampled_from(["both", "low", "high"])


@pytest.mark.parametrize("norm", dice.NORMS)
@pytest.mark.parametrize("rescale", dice.RESCALES)
@pytest.mark.parametrize("make", [random_weight, coarse_weight])
def test_similarity_equals_equation_4_in_exact_fractions(norm, rescale, make):
    weight = make(9, seed=4)
    rows = literal_rows(weight, norm, rescale)
    expected = [[float(literal_similarity(a, b)) if i != j else 1.0 for j, b in enumerate(rows)] for i, a in enumerate(rows)]
    found = dice.similarity(weight, norm=norm, rescale=rescale)
    assert np.allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)
    assert np.allclose(dice.normalised(weight, norm, rescale).numpy(), np.array(rows, dtype=float), rtol=1e-12)


@pytest.mark.parametrize("rescale", ["shift", "parts"])
def test_single_precision_is_good_to_a_ten_millionth_and_keeps_equal_filters_equal(rescale):
    weight = random_weight(20, seed=6, shape=(64, 3, 3)).float()
    weight[13] = weight[4]
    found = dice.similarity(weight, rescale=rescale)
    assert found.dtype == torch.float64
    assert dice.normalised(weight).dtype == torch.float32
    assert dice.normalised(weight.half()).dtype == torch.float32
    torch.testing.assert_close(found, dice.similarity(weight.double(), rescale=rescale), rtol=0, atol=1e-7)
    assert found[4, 13] == 1
    assert torch.equal(found[4], found[13])


def test_the_weights_are_left_as_they_were():
    for weight in (random_weight(4, seed=0), torch.ones(3, 2), torch.tensor([[1, -2], [0, 0]])):
        before = weight.clone()
        for rescale in dice.RESCALES:
            dice.similarity(weight, rescale=rescale)
            dice.normalised(weight, rescale=rescale)
        assert torch.equal(weight, before)


def test_similarity_of_filters_that_one_can_follow_by_hand():
    weight = torch.tensor([[2, -2], [1, 1], [-3, 3]])
    # Rescaled: (1, 0), (1, 1), (0, 1). Shared 1 of 1 + 2; nothing of 1 + 1; 1 of 2 + 1.
    expected = torch.tensor([[1, 2 / 3, 0], [2 / 3, 1, 2 / 3], [0, 2 / 3, 1]], dtype=torch.float64)
    found = dice.similarity(weight)
    torch.testing.assert_close(found, expected)
    assert dice.average(found).tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    assert dice.select(found, 0.4) == [0, 2]  # the redundant one first
    assert dice.select(found, 0.4, ends="low") == [0, 1, 2]  # two tie at the low end, so none lies below the threshold
    assert dice.thresholds(dice.average(found), 0.5, 0.75) == pytest.approx((1 / 3, 1 / 2))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 20), seed=st.integers(0, 10**6), rescale=st.sampled_from(["shift", "parts"]))
def test_similarities_are_symmetric_between_0_and_1_and_1_on_the_diagonal(n, seed, rescale):
    for weight in (random_weight(n, seed), coarse_weight(n, seed)):
        found = dice.similarity(weight, rescale=rescale)
        assert torch.equal(found, found.T)
        assert (found.diagonal() == 1).all()
        assert found.min() >= 0
        assert found.max() <= 1


def test_layers_wider_than_a_chunk_are_compared_whole():
    weight = random_weight(5, seed=8, shape=(1300,))
    rows = dice.normalised(weight)
    expected = 2 * torch.minimum(rows[:, None], rows).sum(2) / (rows.sum(1)[:, None] + rows.sum(1))
    torch.testing.assert_close(dice.similarity(weight), expected)


def test_the_size_of_a_filter_does_not_matter_its_sign_does():
    weight = random_weight(6, seed=1)
    scaled = weight * torch.tensor([0.25, 1, 8, 1, 1e-30, 1e20])[:, None, None, None]
    torch.testing.assert_close(dice.similarity(scaled), dice.similarity(weight), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        dice.similarity(scaled, norm="max"), dice.similarity(weight, norm="max"), rtol=1e-5, atol=1e-6
    )
    weight[0] = -weight[0]
    assert not torch.allclose(dice.similarity(scaled), dice.similarity(weight))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 16), seed=st.integers(0, 10**6), ratio=ratios, mode=st.sampled_from(dice.MODES), ends=ends)
def test_the_order_of_the_filters_does_not_matter(n, seed, ratio, mode, ends):
    weight = random_weight(n, seed)
    permutation = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    kept = dice.select(dice.similarity(weight), ratio, mode=mode, ends=ends)
    moved = dice.select(dice.similarity(weight[permutation]), ratio, mode=mode, ends=ends)
    assert sorted(permutation[i] for i in moved) == kept or n == 2


@pytest.mark.parametrize("norm", dice.NORMS)
@pytest.mark.parametrize("rescale", dice.RESCALES)
def test_filters_of_zeros_and_a_largest_weight_of_zero_give_numbers(norm, rescale):
    weight = torch.tensor([[0.0, 0.0], [0.0, 0.0], [-2.0, 0.0], [-2.0, -4.0], [-1.0, 1e-30], [1.0, -1.0]])
    found = dice.similarity(weight, norm=norm, rescale=rescale)
    assert torch.isfinite(found).all()
    assert found[0, 1] == 1  # equal filters, also where both sums are 0
    if rescale == "none":
        assert found[0, 5] == 0  # sums that cancel out, of unequal filters
    assert torch.isfinite(dice.normalised(weight, norm, rescale)).all()


def test_a_largest_weight_of_zero_is_replaced_by_the_largest_absolute_one():
    weight = torch.tensor([[0.0, 0.0], [-2.0, 0.0], [-2.0, -4.0], [4.0, -8.0]])
    assert dice.normalised(weight, "max", "none").tolist() == [[0, 0], [-1, 0], [1, 2], [1, -2]]
    assert dice.normalised(weight, "abs", "none").tolist() == [[0, 0], [-1, 0], [-0.5, -1], [0.5, -1]]
    assert dice.normalised(weight).tolist() == [[0.5, 0.5], [0, 0.5], [0.25, 0], [0.75, 0]]
    assert dice.normalised(weight, rescale="parts").tolist()[3] == [0.5, 0, 0, 1]


def test_rescaling_can_be_given_as_yes_or_no():
    weight = random_weight(4, seed=2)
    assert torch.equal(dice.normalised(weight, rescale=True), dice.normalised(weight, rescale="shift"))
    assert torch.equal(dice.similarity(weight, rescale=False), dice.similarity(weight, rescale="none"))


def test_a_single_filter_is_like_itself_has_no_others_and_stays():
    assert dice.similarity(torch.ones(1, 3, 3, 3)).tolist() == [[1]]
    assert dice.average(torch.ones(1, 1)).tolist() == [0]
    assert dice.order(torch.ones(1, 1)) == []
    for mode in dice.MODES:
        assert dice.select(torch.ones(1, 1), 0.9, mode=mode) == [0]


def test_thresholds_are_numpys_quantiles():
    values = torch.randn(37, generator=torch.Generator().manual_seed(0)).double()
    for alpha, beta in [(0.0, 1.0), (0.1, 0.9), (0.123, 0.877), (0.5, 0.5)]:
        assert dice.thresholds(values, alpha, beta) == pytest.approx(tuple(np.quantile(values, [alpha, beta])), abs=1e-14)


def test_a_quantile_that_falls_on_a_value_is_that_value():
    # 0.7 * 10 and 0.35 * 20 are a little off 7 in floating point; the seventh value would lie below its own quantile.
    assert dice.thresholds(torch.arange(11.0), 0.7, 0.7) == (7, 7)
    for n in range(2, 60):
        for hundredths in range(0, 101, 5):
            place = hundredths * (n - 1) / 100
            if place == int(place):
                assert dice.thresholds(torch.arange(float(n)), hundredths / 100, 1)[0] == int(place)


@settings(max_examples=80, deadline=None)
@given(n=st.integers(1, 12), seed=st.integers(0, 10**6), ratio=ratios, ends=ends, coarse=st.booleans())
def test_one_shot_equals_algorithm_1_in_exact_fractions(n, seed, ratio, ends, coarse):
    weight = coarse_weight(n, seed) if coarse else random_weight(n, seed, (4,))
    assert dice.select(dice.similarity(weight), ratio, ends=ends) == literal_one_shot(weight, ratio, ends)


@settings(max_examples=80, deadline=None)
@given(n=st.integers(1, 9), seed=st.integers(0, 10**6), ratio=ratios, ends=ends, coarse=st.booleans())
def test_greedy_equals_computing_everything_anew_after_each_removal(n, seed, ratio, ends, coarse):
    weight = coarse_weight(n, seed) if coarse else random_weight(n, seed, (4,))
    assert dice.select(dice.similarity(weight), ratio, mode="greedy", ends=ends) == literal_greedy(weight, ratio, ends)


@settings(max_examples=80, deadline=None)
@given(n=st.integers(1, 12), seed=st.integers(0, 10**6), ratio=ratios, coarse=st.booleans())
def test_the_middle_equals_sorting_by_distance_from_the_median_in_exact_fractions(n, seed, ratio, coarse):
    weight = coarse_weight(n, seed) if coarse else random_weight(n, seed, (4,))
    assert dice.select(dice.similarity(weight), ratio, ends="middle") == literal_middle(weight, ratio)


def test_the_middle_is_what_the_two_ends_leave():
    similarity = dice.similarity(random_weight(15, seed=3))
    order = dice.average(similarity).argsort().tolist()
    assert dice.select(similarity, 1 / 15, ends="middle") == sorted(set(range(15)) - {order[7]})
    middle, extremes = (set(range(15)) - set(dice.select(similarity, 0.4, ends=ends)) for ends in ("middle", "both"))
    assert len(middle) == len(extremes) == 6
    assert not middle & extremes
    assert dice.select(torch.ones(5, 5), 0.4, ends="middle") == [2, 3, 4]  # of equals the first, as many as may


@pytest.mark.parametrize(("bad", "name"), [({"mode": "greedy"}, "ends is 'middle'"), ({"alpha": 0.1}, "alpha is 0.1"),
                                           ({"beta": 0.9}, "beta is 0.9")])  # fmt: skip
def test_the_middle_is_one_shot_and_has_no_thresholds(bad, name):
    with pytest.raises(BadValue, match=name):
        dice.select(torch.eye(3), 0.2, ends="middle", **bad)
    with pytest.raises(BadValue, match=name):
        dice.plan(models.build("resnet20", seed=0), 0.2, ends="middle", **bad)


def test_the_order_of_removal_and_the_stop_rule_have_no_middle():
    with pytest.raises(BadValue, match="ends is 'middle'"):
        dice.order(torch.eye(3), ends="middle")
    with pytest.raises(BadValue, match="ends is 'middle'"):
        dice.until(models.build("resnet20", seed=0), lambda network: pytest.fail("scored first"), 1, ends="middle")


def test_greedy_and_one_shot_differ():
    similarity = dice.similarity(random_weight(24, seed=0))
    assert dice.select(similarity, 0.5, mode="greedy") != dice.select(similarity, 0.5)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(3, 40), seed=st.integers(0, 10**6), ratio=st.floats(0, 0.999), ends=ends)
def test_by_default_as_many_filters_go_as_may(n, seed, ratio, ends):
    similarity = dice.similarity(random_weight(n, seed))
    assert len(dice.select(similarity, ratio, ends=ends)) == n - allocation.limit(n, ratio)
    # The last two filters always tie.
    assert len(dice.select(similarity, ratio, mode="greedy", ends=ends)) == max(2, n - allocation.limit(n, ratio))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 30), seed=st.integers(0, 10**6), ratio=ratios, mode=st.sampled_from(dice.MODES), ends=ends,
       shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))  # fmt: skip
def test_never_more_filters_go_than_the_limiter_allows(n, seed, ratio, mode, ends, shares):
    for weight in (random_weight(n, seed), coarse_weight(n, seed)):
        kept = dice.select(dice.similarity(weight), ratio, min(shares), max(shares), mode, ends)
        assert kept == sorted(set(kept))
        assert n - allocation.limit(n, ratio) <= len(kept) <= n


def test_thresholds_given_can_find_fewer_candidates_than_may_go():
    similarity = dice.similarity(random_weight(20, seed=5))
    assert len(dice.select(similarity, 0.5, alpha=0.1, beta=0.9)) == 16  # two below, two above
    assert len(dice.select(similarity, 0.5, alpha=0.0, beta=1.0)) == 20
    assert len(dice.select(similarity, 0.5, alpha=0.1, ends="low")) == 18
    assert len(dice.select(similarity, 0.1, alpha=0.95)) == 18  # the default of beta is never below alpha


def test_filters_that_are_all_alike_all_stay():
    for mode in dice.MODES:
        assert dice.select(torch.ones(6, 6), 0.5, mode=mode) == [0, 1, 2, 3, 4, 5]


def test_of_equal_filters_the_first_goes():
    weight = torch.cat([torch.ones(1, 4), torch.eye(4)[:2], torch.ones(1, 4), torch.eye(4)[2:]])
    averages = dice.average(dice.similarity(weight))
    assert averages[0] == averages[3] == averages.max()
    for mode in dice.MODES:
        assert dice.select(dice.similarity(weight), 0.2, beta=0.7, mode=mode, ends="high") == [1, 2, 3, 4, 5]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 30), seed=st.integers(0, 10**6), ends=ends)
def test_the_order_of_removal_begins_with_what_greedy_removes(n, seed, ends):
    similarity = dice.similarity(random_weight(n, seed))
    order = dice.order(similarity, 0.1, 0.9, ends)
    assert len(order) == len(set(order)) == n - 1
    for ratio in (0.1, 0.4, 0.8):
        kept = dice.select(similarity, ratio, 0.1, 0.9, "greedy", ends)
        assert set(order[: n - len(kept)]) == set(range(n)) - set(kept)


def test_the_order_goes_on_where_no_filter_lies_beyond_its_threshold():
    assert dice.order(torch.ones(4, 4)) == [0, 1, 2]


def test_sums_kept_over_hundreds_of_removals_choose_as_sums_made_anew():
    similarity = dice.similarity(random_weight(150, seed=3, shape=(6,)))
    left, literal = list(range(150)), []
    while len(left) > 1:
        averages = dice.average(similarity[left][:, left])
        tau_min, tau_max = dice.thresholds(averages, 0.1, 0.9)
        high = (averages.max() - tau_max) >= (tau_min - averages.min())
        literal.append(left.pop(int(averages.argmax() if high else averages.argmin())))
    assert dice.order(similarity) == literal


@pytest.mark.parametrize("bad", [
    {"ratio": 1}, {"ratio": 1.2}, {"ratio": -0.1}, {"ratio": math.nan}, {"ratio": None}, {"alpha": -0.1}, {"beta": 1.1},
    {"alpha": math.nan}, {"alpha": 0.6, "beta": 0.5}, {"mode": "greed"}, {"ends": "hi"}, {"alpha": "0.1"},
])  # fmt: skip
def test_select_and_plan_refuse_bad_parameters(bad):
    options = {"ratio": 0.2, **bad}
    with pytest.raises(BadValue, match=next(iter(bad))):
        dice.select(torch.eye(3), **options)
    with pytest.raises(BadValue, match=next(iter(bad))):
        dice.plan(models.build("resnet20", seed=0), **options)


@pytest.mark.parametrize("bad", [torch.ones(3, 2), torch.ones(3), torch.ones(0, 0), torch.full((2, 2), math.nan),
                                 torch.tensor([[1.0, 0.2], [0.3, 1.0]])])  # fmt: skip
def test_select_refuses_what_is_no_similarity_matrix(bad):
    with pytest.raises(BadValue, match="similarity"):
        dice.select(bad, 0.2)


@pytest.mark.parametrize("bad", [torch.ones(3), torch.ones(0, 3), torch.tensor([[1.0, math.nan]]),
                                 torch.tensor([[math.inf]]), [[1.0]]])  # fmt: skip
def test_similarity_refuses_what_is_no_weight(bad):
    for call in (dice.similarity, dice.normalised):
        with pytest.raises(BadValue, match="weight"):
            call(bad)


@pytest.mark.parametrize(("name", "options"), [
    ("resnet20", {"width": 0.5}), ("resnet20", {"width": 0.5, "shortcut": "B"}), ("vgg16", {"width": 0.125}),
    ("densenet40", {"growth": 4, "layers": 2}),
])  # fmt: skip
@pytest.mark.parametrize("choice", [{}, {"mode": "greedy", "layers": "all", "coupled": "lead"}])
def test_the_networks_of_the_book_are_cut_and_run(name, options, choice):
    model = models.build(name, seed=0, **options).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plan = dice.plan(model, 0.3, **choice)
    assert plan.method == "dice"
    layers = cutting.prunable_layers(model)
    scope = [key for key in layers if choice or isinstance(layers[key], nn.Conv2d)]
    assert list(plan.keep) == scope
    assert plan.removed() > 0
    smaller = plan.apply(model, X)
    assert smaller(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    for group in cutting.coupled_layers(model, X, linear=bool(choice)):
        wide = plan.widths[group[0]]
        assert {tuple(plan.keep[member]) for member in group} == {tuple(plan.keep[group[0]])}
        assert len(plan.keep[group[0]]) == wide - allocation.limit(wide, 0.3)
    assert PruningPlan.from_json(plan.to_json()) == plan
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_layer_by_itself_decides_by_its_own_weights_and_a_group_by_the_mean():
    model = models.build("resnet20", seed=0, width=0.5)
    layers = cutting.prunable_layers(model)
    plan = dice.plan(model, 0.25, mode="greedy", norm="max", rescale="parts", ends="high")
    alone = dice.similarity(layers["layer1.0.conv1"].weight.double(), norm="max", rescale="parts")
    assert plan.keep["layer1.0.conv1"] == dice.select(alone, 0.25, mode="greedy", ends="high")
    group = next(group for group in cutting.coupled_layers(model, X) if group[0] == "conv1")
    mean = sum(dice.similarity(layers[name].weight.double(), norm="max", rescale="parts") for name in group) / len(group)
    assert plan.keep["conv1"] == dice.select(mean, 0.25, mode="greedy", ends="high")
    lead = dice.plan(model, 0.25, coupled="lead")
    assert lead.keep[group[1]] == dice.select(dice.similarity(layers["conv1"].weight.double()), 0.25)
    whole = dice.plan(model, 0.25, coupled="keep")
    assert all(len(whole.keep[name]) == whole.widths[name] for name in group)
    assert len(whole.keep["layer1.0.conv1"]) == 6


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("ends", ["both", "high"])
def test_where_each_decides_every_coupled_layer_removes_its_share_of_what_is_left(shortcut, ends):
    model = models.build("resnet20", seed=1, width=0.25, shortcut=shortcut).eval()
    layers = cutting.prunable_layers(model)
    plan = dice.plan(model, 0.3, coupled="each", ends=ends)
    groups = cutting.coupled_layers(model, X)
    for group in groups:
        assert {tuple(plan.keep[member]) for member in group} == {tuple(plan.keep[group[0]])}
        left = plan.widths[group[0]]
        if left <= 8:  # fractions take their time
            assert plan.keep[group[0]] == literal_in_turn([layers[name].weight for name in group], 0.3, ends)
        for _ in group:
            left -= allocation.limit(left, 0.3)
        assert len(plan.keep[group[0]]) == left
    alone = dice.plan(model, 0.3, ends=ends)
    assert all(plan.keep[name] == alone.keep[name] for (name, *others) in groups if not others)
    assert plan.apply(model, X)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("choice", [{}, {"mode": "greedy"}, {"ends": "middle"}])
def test_where_each_decides_a_target_is_reached_too(choice):
    model = models.build("resnet20", seed=0, width=0.5)
    plan = dice.plan(model, target=0.5, coupled="each", **choice)
    removed = 1 - measure.cost(plan.apply(model, X), X).macs / measure.cost(model, X).macs
    assert removed == pytest.approx(plan.parameters["removed"])
    assert removed == pytest.approx(0.5, abs=0.05)
    assert plan.keep == dice.plan(model, plan.parameters["ratio"], coupled="each", **choice).keep


def test_at_a_ratio_of_a_fifth_resnet50_gets_the_speed_up_of_table_2_where_each_decides(monkeypatch):
    """Table 2 prints 2.28. How many filters stay does not hang on the weights, so made-up similarities do."""
    made_up = {n: torch.rand(n, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) for n in RESNET50_WIDTHS}
    monkeypatch.setattr(dice, "similarity", lambda weight, **options: made_up[len(weight)] * made_up[len(weight)].T)
    model, x = models.build("resnet50", num_classes=1000), torch.zeros(1, 3, 224, 224)
    plan = dice.plan(model, 0.2, coupled="each", example_inputs=x)
    leads = [group[0] for group in cutting.coupled_layers(model, x)]
    count = cutting.macs_if_kept(model, x, leads)
    assert round(count({}) / count({name: plan.keep[name] for name in leads}), 2) == 2.29


def test_with_a_ratio_of_0_everything_stays():
    plan = dice.plan(models.build("resnet20", seed=0, width=0.5), 0)
    assert plan.removed() == 0


@pytest.mark.parametrize("mode", dice.MODES)
def test_a_target_is_reached_in_macs(mode):
    model = models.build("resnet20", seed=0, width=0.5)
    plan = dice.plan(model, target=0.4, mode=mode)
    removed = 1 - measure.cost(plan.apply(model, X), X).macs / measure.cost(model, X).macs
    assert removed == pytest.approx(plan.parameters["removed"])
    assert removed == pytest.approx(0.4, abs=0.05)
    assert plan.keep == dice.plan(model, plan.parameters["ratio"], mode=mode).keep


def test_a_target_beyond_what_the_thresholds_allow_is_refused():
    with pytest.raises(BadValue, match=r"target is 0\.9"):
        dice.plan(models.build("resnet20", seed=0, width=0.5), target=0.9, alpha=0.1, beta=0.9)


def test_activations_are_the_raw_outputs_over_images_and_places():
    torch.manual_seed(0)  # weights and activations choose alike for two networks of a hundred
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                          nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 2))  # fmt: skip
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    plan = dice.plan(model, 0.5, of="activations", images=images, layers="all")
    assert model.training
    with torch.no_grad():
        outputs = model[0](images).permute(1, 0, 2, 3).reshape(6, -1)
        hidden = model.eval()[:6](images).T
    assert plan.keep["0"] == dice.select(dice.similarity(outputs.double()), 0.5)
    assert plan.keep["5"] == dice.select(dice.similarity(hidden.double()), 0.5)
    assert plan.keep["7"] == [0, 1]
    assert plan.parameters["images"] == 5
    assert plan.keep["5"] != dice.plan(model, 0.5, layers="all", example_inputs=images[:1]).keep["5"]
    with pytest.raises(BadValue, match="images"):
        dice.plan(model, 0.5, of="activations", example_inputs=images)


def separable(groups: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=groups), nn.ReLU(),
                         nn.Conv2d(8, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))  # fmt: skip


def test_a_depthwise_convolution_keeps_the_channels_that_it_reads_and_is_counted_right():
    model = separable().eval()
    images = torch.randn(2, 3, 12, 12)
    plan = dice.plan(model, 0.4, example_inputs=images[:1])
    assert plan.keep["0"] == plan.keep["3"]
    assert [len(kept) for kept in plan.keep.values()] == [5, 5, 4]
    mean = (dice.similarity(model[0].weight.double()) + dice.similarity(model[3].weight.double())) / 2
    assert plan.keep["0"] == dice.select(mean, 0.4)
    smaller = plan.apply(model, images[:1])
    count = cutting.macs_if_kept(model, images[:1], ["0", "5"])
    assert count({name: plan.keep[name] for name in ("0", "5")}) == measure.cost(smaller, images[:1]).macs
    assert count({}) == measure.cost(model, images[:1]).macs
    # What is cut must compute what the whole network does where the other filters are silent.
    with torch.no_grad():
        for name, batch_norm in (("0", model[1]), ("3", None), ("5", None)):
            gone = [c for c in range(plan.widths[name]) if c not in plan.keep[name]]
            for layer in (model.get_submodule(name), batch_norm):
                if layer is not None:
                    layer.weight[gone] = 0
                    layer.bias[gone] = 0
        model[1].running_mean[[c for c in range(8) if c not in plan.keep["0"]]] = 0
        torch.testing.assert_close(smaller(images), model(images))


class Concatenated(nn.Module):
    """Depthwise convolutions that read the image, and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, groups=3)
        self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1)
        self.both = nn.Conv2d(10, 10, 3, groups=10)
        self.last = nn.Conv2d(10, 2, 1)

    def forward(self, x):
        x = self.first(x)
        return self.last(self.both(torch.cat([self.left(x), self.right(x)], 1))).mean((2, 3))


def test_a_depthwise_convolution_behind_a_concatenation_follows_and_one_that_reads_the_image_stays():
    model = Concatenated()
    x = torch.randn(1, 3, 8, 8)
    plan = dice.plan(model, 0.5, example_inputs=x)
    assert {name: len(kept) for name, kept in plan.keep.items()} == {"left": 2, "right": 3, "last": 2}
    smaller = plan.apply(model, x)
    assert (smaller.first.groups, smaller.both.groups) == (3, 5)
    assert smaller(x).shape == (1, 2)
    keep = {name: plan.keep[name] for name in ("left", "right")}
    assert cutting.cost_if_kept(model, x, keep)(keep) == measure.cost(smaller, x)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet20", {}),
        ("resnet56", {"shortcut": "B"}),
        ("vgg16", {}),
        ("vgg16", {"hidden": True, "width": 0.25}),
        ("densenet40", {}),
        ("dice_cnn", {}),
    ],
)
def test_costs_counted_without_a_cut_are_those_of_the_cut_network(name, options):
    model, x = models.build(name, seed=0, **options), torch.zeros(1, 3, 32, 32)
    groups = cutting.coupled_layers(model, x)
    layers, draws = cutting.prunable_layers(model), torch.Generator().manual_seed(0)
    leads = [group[0] for group in groups]
    count = cutting.cost_if_kept(model, x, leads)
    assert count({}) == measure.cost(model, x)
    keep = {}
    for lead in leads:
        wide = cutting.width(layers[lead])
        some = int(torch.randint(1, wide + 1, (), generator=draws))
        keep[lead] = sorted(torch.randperm(wide, generator=draws)[:some].tolist())
    assert count(keep) == measure.cost(cutting.cut(model, keep, x), x)


def test_other_grouped_convolutions_are_refused_by_name():
    for call in (lambda: dice.plan(separable(groups=2), 0.2, example_inputs=torch.zeros(1, 3, 8, 8)),
                 lambda: cutting.cut(separable(groups=2), {"0": [0, 1, 4, 5]}, torch.zeros(1, 3, 8, 8))):  # fmt: skip
        with pytest.raises(BadValue, match="the number of groups of layer '3' is 2"):
            call()


def test_plan_names_the_layer_whose_weights_are_not_finite():
    model = models.build("resnet20", seed=0, width=0.5)
    with torch.no_grad():
        model.layer1[0].conv2.weight[0, 0, 0, 0] = math.nan
    with pytest.raises(BadValue, match=r"the weight of layer 'layer1.0.conv2'"):
        dice.plan(model, 0.2)


@pytest.mark.parametrize("bad", [
    {"norm": "l2"}, {"rescale": "half"}, {"of": "weight"}, {"layers": "fc"}, {"coupled": "main"}, {"images": [1]},
    {"images": torch.ones(3)}, {"images": torch.full((1, 3, 8, 8), math.nan)}, {"target": 0.5}, {"of": "activations"},
])  # fmt: skip
def test_plan_refuses_bad_options_before_it_computes(bad, monkeypatch):
    monkeypatch.setattr(cutting, "coupled_layers", lambda *args, **kwargs: pytest.fail("computed first"))
    with pytest.raises(BadValue, match="images" if "activations" in bad.values() else next(iter(bad))):
        dice.plan(models.build("resnet20", seed=0, width=0.5), 0.2, **bad)


def test_a_network_from_elsewhere_needs_example_inputs():
    with pytest.raises(BadValue, match="dice needs example_inputs"):
        dice.plan(separable(), 0.2)
    with pytest.raises(BadValue, match="model is 'Linear'"):
        dice.plan(nn.Linear(2, 2), 0.2)


def parameters_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_stop_rule_ends_at_the_first_drop_beyond_the_tolerance():
    model = models.build("resnet20", seed=0, width=0.5)
    seen, told = [], []

    def score(network):
        seen.append(parameters_of(network))
        return [90, 90.5, 89, 88, 91][len(seen) - 1]

    plan, steps = dice.until(model, score, 1, step=0.15, on_step=told.append)
    assert steps == told == [(0, 90, 0), (0.15, 90.5, -0.5), (0.3, 89, 1), (0.45, 88, 2)]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 4
    assert parameters_of(plan.apply(model, X)) == seen[2]
    assert plan.parameters["ratio"] == 0.3
    own = dice.order(dice.similarity(model.layer2[0].conv1.weight.double()))[: allocation.limit(16, 0.3)]
    assert plan.keep["layer2.0.conv1"] == [i for i in range(16) if i not in own]


def test_the_stop_rule_ends_at_the_most_that_may_go_and_its_plans_are_nested():
    model = models.build("resnet20", seed=0, width=0.5)
    plans = [dice.until(model, lambda network: 50.0, 0, step=0.2, most=most)[0] for most in (0.2, 0.4, 0.6)]
    for less, more in itertools.pairwise(plans):
        assert all(set(more.keep[name]) <= set(less.keep[name]) for name in less.keep)
    assert [plan.parameters["ratio"] for plan in plans] == [0.2, 0.4, 0.6]


def test_the_stop_rule_keeps_the_whole_network_where_the_first_step_is_too_far():
    model = models.build("resnet20", seed=0, width=0.5)
    scores = iter([90.0, 10.0])
    plan, steps = dice.until(model, lambda network: next(scores), 5)
    assert plan.removed() == 0
    assert [step.ratio for step in steps] == [0, 0.05]


@pytest.mark.parametrize("bad", [{"drop": -1}, {"drop": math.nan}, {"step": 0}, {"step": 1}, {"most": 1}, {"alpha": 2},
                                 {"beta": None}, {"ends": "none"}, {"layers": "some"}, {"coupled": "each"}])  # fmt: skip
def test_the_stop_rule_refuses_bad_parameters(bad):
    options = {"drop": 1, **bad}
    with pytest.raises(BadValue, match=next(iter(bad))):
        dice.until(models.build("resnet20", seed=0, width=0.5), lambda network: pytest.fail("scored first"), **options)


def test_the_stop_rule_refuses_a_score_that_is_no_number():
    with pytest.raises(BadValue, match="score"):
        dice.until(models.build("resnet20", seed=0, width=0.5), lambda network: math.nan, 1)
