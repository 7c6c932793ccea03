"""Bounds: sound ones hold for every input drawn, tighter ones are nowhere looser, and the public code's do not hold."""

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prunebook.errors import BadValue
from prunebook.methods import annealing
from prunebook.methods.annealing import Interval, Network, official

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
SLACK = 1e-9  # rounding, relative to numbers of about 1 to 100


def mlp(seed: int, widths: tuple[int, ...] = (4, 6, 5, 7, 3), activation: str = "relu", scale: float = 1.0) -> nn.Sequential:
    """Weights of a size that leaves some units always on, some always off, and most in between."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs).double()
        layer.weight.data = scale * torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        layer.bias.data = torch.randn(outputs, generator=generator, dtype=torch.float64)
        layers += [layer, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def cnn(seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2, stride=2), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(6, 3),
    ).double().eval()  # fmt: skip
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def box(seed: int, shape: tuple[int, ...]) -> Interval:
    generator = torch.Generator().manual_seed(seed + 1)
    centre = torch.randn(shape, generator=generator, dtype=torch.float64)
    half = torch.rand(shape, generator=generator, dtype=torch.float64)
    return Interval(centre - half, centre + half)


def inputs_in(bounds: Interval, seed: int, m: int = 200) -> Tensor:
    """Inputs within bounds, half of them at corners, where extremes are."""
    generator = torch.Generator().manual_seed(seed + 2)
    part = torch.rand(m, *bounds.lower.shape, generator=generator, dtype=torch.float64)
    part[: m // 2] = part[: m // 2].round()
    return bounds.lower + part * (bounds.upper - bounds.lower)


def handed_over(model: nn.Sequential, reader: int, nominee: int, delegate: int, units: int) -> nn.Sequential:
    """The network in which layer `reader` reads `delegate` in place of `nominee`, among `units`: nothing is cut."""
    changed = copy.deepcopy(model)
    weight = changed[reader].weight.data.view(len(changed[reader].weight), units, -1)
    weight[:, delegate] += weight[:, nominee]
    weight[:, nominee] = 0
    return changed


def holds(bounds: Interval, values: Tensor) -> bool:
    size = 1 + values.abs().max()
    return bool((values >= bounds.lower - SLACK * size).all() and (values <= bounds.upper + SLACK * size).all())


def plain_change(network: Network, index: int, nominee: int, delegate: int) -> Interval:
    after = network.layers[index + 1]
    reads = network.arriving()[index + 1]
    wide = network.layers[index].width
    lower, upper = (bound.view(wide, -1) if after.options is None else bound[0] for bound in reads)
    apart = Interval(lower[[delegate]] - upper[[nominee]], upper[[delegate]] - lower[[nominee]])
    return network.onward(index + 1, after.change_by_units(torch.tensor([nominee]), apart, wide))


def test_the_affine_interval_of_the_check_value() -> None:
    inputs = Interval(torch.tensor([-0.9, -0.1, 0.1]), torch.tensor([0.9, 0.1, 0.9]))
    weight = torch.tensor([[0.5, 0.5, 0.5], [-0.5, -0.5, -0.5]])
    lower, upper = annealing.interval(weight, torch.tensor([-1.0, 1.0]), inputs)
    assert torch.allclose(lower, torch.tensor([-1.45, 0.05]))
    assert torch.allclose(upper, torch.tensor([-0.05, 1.45]))


@pytest.mark.parametrize("activation", annealing.ACTIVATIONS)
def test_an_interval_of_units_is_reached_at_corners_of_the_input(activation: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(6, 4, generator=generator), torch.randn(6, generator=generator)
    inputs = Interval(torch.full((4,), -1.0), torch.full((4,), 1.0))
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)
    values = getattr(torch, activation)(corners @ weight.T + bias)
    lower, upper = annealing.interval(weight, bias, inputs, activation)
    assert torch.allclose(lower, values.amin(0), atol=1e-5)
    assert torch.allclose(upper, values.amax(0), atol=1e-5)


NUMBERS = st.floats(-100, 100, allow_subnormal=False)
SIDE = st.tuples(NUMBERS, st.floats(0, 50, allow_subnormal=False))  # where it begins, and how wide it is


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBERS, min_size=8, max_size=8), st.lists(SIDE, min_size=3, max_size=3), st.floats(0, 1), st.data())
def test_no_input_leaves_an_interval_of_either_variant_but_where_an_official_relu_is_off(
    numbers: list[float], sides: list[tuple[float, float]], part: float, data
) -> None:
    """Two units that read three numbers; widths may be 0. Where the code's ReLU ends below 0, its interval is empty."""
    weight, bias = (torch.tensor(some, dtype=torch.float64) for some in (numbers[:6], numbers[6:]))
    weight = weight.view(2, 3)
    lower, wide = (torch.tensor(some, dtype=torch.float64) for some in zip(*sides, strict=True))
    inputs = Interval(lower, lower + wide)
    activation = data.draw(st.sampled_from([None, *ACTIVATIONS]))
    corner = torch.tensor(data.draw(st.tuples(*[st.booleans()] * 3)))
    plain = annealing.interval(weight, bias, inputs, activation)
    official = annealing.interval(weight, bias, inputs, activation, "official")
    kept = official.upper >= 0 if activation == "relu" else torch.ones(2, dtype=torch.bool)
    if activation == "relu":  # else the same, and looser below
        assert bool((official.lower[kept] <= plain.lower[kept]).all())
        assert torch.equal(official.upper[kept], plain.upper[kept])
        assert bool((official.lower[~kept] > official.upper[~kept]).all())
    for x in (lower + part * wide, torch.where(corner, inputs.upper, inputs.lower)):
        values = weight @ x + bias
        values = values if activation is None else getattr(torch, activation)(values)
        slack = SLACK * 5e4  # sums reach 3 * 100 * 150 + 100
        for bounds in (plain, Interval(official.lower[kept], official.upper[kept])):
            of = values if bounds is plain else values[kept]
            assert bool((of >= bounds.lower - slack).all() and (of <= bounds.upper + slack).all())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(ACTIVATIONS)), st.floats(0, 1))
def test_a_box_within_another_has_bounds_within_the_other_s(seed: int, activation: str, part: float) -> None:
    model, outer = mlp(seed, activation=activation), box(seed, (4,))
    middle = (outer.lower + outer.upper) / 2
    inner = Interval(*(middle + part * (side - middle) for side in outer))
    found = [annealing.read(model, bounds).arriving() for bounds in (outer, inner)]
    for large, small in zip(*found, strict=True):
        assert bool((small.lower >= large.lower - SLACK).all() and (small.upper <= large.upper + SLACK).all())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(ACTIVATIONS)), st.sampled_from([0.3, 1.0, 3.0]), st.data())
def test_no_input_leaves_the_bounds_of_values_and_of_changes(seed: int, activation: str, scale: float, data) -> None:
    model, bounds = mlp(seed, activation=activation, scale=scale), box(seed, (4,))
    network = annealing.read(model, bounds)
    tight = annealing.bounded(network)
    x = inputs_in(bounds, seed)
    values = x
    for number, layer in enumerate(network.layers):
        assert holds(network.arriving()[number], values)
        assert holds(tight.before[number][0].hull(), values)
        assert holds(tight.before[number][1], values)
        values = model[2 * number](values)
        assert holds(tight.within[number], values)
        values = getattr(torch, activation)(values)
        assert len(layer.bias) == values.shape[1]
    index = data.draw(st.integers(0, 2))
    wide = network.layers[index].width
    nominee, delegate = data.draw(st.permutations(range(wide)))[:2]
    change = handed_over(model, 2 * index + 2, nominee, delegate, wide)(x) - model(x)
    plain = plain_change(network, index, nominee, delegate)
    tighter = tight.change(index, torch.tensor([nominee]), torch.tensor([delegate]))
    assert holds(plain, change)
    assert holds(tighter, change)
    assert bool((tighter.lower >= plain.lower).all() and (tighter.upper <= plain.upper).all())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_no_image_leaves_the_bounds_where_filters_hand_over(seed: int, data) -> None:
    model, bounds = cnn(seed), box(seed, (2, 8, 8))
    network = annealing.read(model, bounds)
    x = inputs_in(bounds, seed, 60)
    index, reader = data.draw(st.sampled_from([(0, 3), (1, 7), (2, 10)]))
    assert holds(network.arriving()[index + 1], model[:reader](x))
    wide = network.layers[index].width
    nominee, delegate = data.draw(st.permutations(range(wide)))[:2]
    change = handed_over(model, reader, nominee, delegate, wide)(x) - model(x)
    assert holds(plain_change(network, index, nominee, delegate), change)


def test_the_impact_on_the_next_layer_is_the_paper_s_equation() -> None:
    units = Interval(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0, 2.0]))
    outgoing = torch.tensor([[1.0, 0.0, 4.0], [-2.0, 1.0, 0.0]])
    lower, upper = annealing.impact(outgoing, units, [0, 2], [1, 0])
    # Unit 1 for unit 0: [1, 3] - [0, 1] = [0, 3], times 1 and -2. Unit 0 for unit 2: [-2, -1], times 4 and 0.
    assert lower.tolist() == [[0, -6], [-8, 0]]
    assert upper.tolist() == [[3, 0], [-4, 0]]
    lower, upper = annealing.impact(outgoing, units, [0], [1], "official")  # the delegate's weights, 0 and 1
    assert (lower.tolist(), upper.tolist()) == ([[0, 0]], [[0, 3]])


def two_layers(first: list[list[float]], second: list[list[float]], bias: list[float] | None = None) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(len(first[0]), len(first)), nn.ReLU(), nn.Linear(len(first), len(second))).double()
    model[0].weight.data, model[2].weight.data = (torch.tensor(w, dtype=torch.float64) for w in (first, second))
    model[0].bias.data = torch.tensor(bias or [0.0] * len(first), dtype=torch.float64)
    model[2].bias.data.zero_()
    return model


def official_change(model: nn.Sequential, given: tuple[float, float], nominee: int, delegate: int) -> Interval:
    network = annealing.read(model, given)
    units = official.units(network, given)
    return official.change(network, 0, units[0], torch.tensor([nominee]), torch.tensor([delegate]))


def test_official_bounds_fail_because_the_first_layer_is_given_the_input_s_bounds() -> None:
    model = two_layers([[5.0], [0.0]], [[1.0, 1.0]])  # both outgoing weights are 1: whose are taken does not matter
    bounds = official_change(model, (0, 1), 0, 1)
    x = torch.ones(1, 1, dtype=torch.float64)
    change = (handed_over(model, 2, 0, 1, 2)(x) - model(x)).item()
    assert (bounds.lower.item(), bounds.upper.item(), change) == (-1, 1, -5)
    assert not holds(bounds, torch.tensor(change))
    assert holds(plain_change(annealing.read(model, (0, 1)), 0, 0, 1), torch.tensor(change))


def test_official_bounds_fail_because_the_change_is_weighed_by_the_delegate_s_weights() -> None:
    model = two_layers([[1.0, 0.0], [0.0, 1.0]], [[5.0, 0.5]])  # units do have the input's bounds
    bounds = official_change(model, (0, 1), 0, 1)
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    change = (handed_over(model, 2, 0, 1, 2)(x) - model(x)).item()
    assert (bounds.lower.item(), bounds.upper.item(), change) == (-0.5, 0.5, -5)


def test_official_bounds_fail_because_a_change_goes_through_biases_and_activation_functions_as_a_value() -> None:
    """Both units of the first layer are the same, so nothing changes at all, and the bounds say at least 2."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    for layer in (model[0], model[2], model[4]):
        layer.weight.data.fill_(1)
        layer.bias.data.zero_()
    model[4].bias.data.fill_(3)
    bounds = official_change(model, (0, 1), 0, 1)
    x = torch.rand(5, 1, dtype=torch.float64)
    assert torch.equal(handed_over(model, 2, 0, 1, 2)(x), model(x))
    assert (bounds.lower.item(), bounds.upper.item()) == (2, 4)


def test_an_official_relu_keeps_an_upper_bound_below_zero() -> None:
    inputs = Interval(torch.zeros(1), torch.ones(1))
    weight, bias = torch.tensor([[1.0]]), torch.tensor([-3.0])
    assert annealing.interval(weight, bias, inputs, "relu") == (0, 0)
    lower, upper = annealing.interval(weight, bias, inputs, "relu", "official")
    assert (lower.item(), upper.item()) == (0, -2)
    assert annealing.interval(torch.ones(1, 1), None, Interval(lower, upper), "relu", "official")[1].item() == -2


def test_zonotopes_see_that_two_units_are_the_same_and_intervals_do_not() -> None:
    model = two_layers([[1.0, 2.0], [1.0, 2.0], [3.0, -1.0]], [[4.0, 1.0, 1.0]], [0.5, 0.5, 0.1])
    network = annealing.read(model, (0, 1))
    plain = plain_change(network, 0, 0, 1)
    tight = annealing.bounded(network).change(0, torch.tensor([0]), torch.tensor([1]))
    assert (plain.lower.item(), plain.upper.item()) == (-12, 12)
    assert (tight.lower.item(), tight.upper.item()) == (0, 0)


def test_a_change_behind_units_that_are_always_off_is_known_to_vanish() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    for layer in (model[0], model[2], model[4]):
        layer.weight.data.fill_(1)
        layer.bias.data.zero_()
    model[0].weight.data[1] = 0.5
    model[2].bias.data.fill_(-10)
    network = annealing.read(model, (0, 1))
    tight = annealing.bounded(network).change(0, torch.tensor([0]), torch.tensor([1]))
    assert (tight.lower.item(), tight.upper.item()) == (0, 0)
    assert plain_change(network, 0, 0, 1).lower.item() == -1


def test_changes_of_single_replacements_do_not_add_up_to_that_of_all_where_values_are_looked_at() -> None:
    """Units are 0, 1, 0, 1. Replacing a 0 lifts the next unit from -1 to 0, unseen; replacing both lifts it to 1."""
    model = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    for layer in (model[0], model[2], model[4]):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    model[0].bias.data = torch.tensor([0.0, 1, 0, 1], dtype=torch.float64)
    model[2].weight.data[0, [0, 2]] = 1
    model[2].bias.data[0] = -1
    model[4].weight.data[0, 0] = 1
    tight = annealing.bounded(annealing.read(model, (0, 1)))
    nominees, delegates = torch.tensor([0, 2]), torch.tensor([1, 3])
    assert tight.change(0, nominees, delegates).upper.tolist() == [[0], [0]]
    together = tight.change_together(0, nominees, delegates)
    x = torch.rand(3, 1, dtype=torch.float64)
    change = handed_over(handed_over(model, 2, 0, 1, 4), 2, 2, 3, 4)(x) - model(x)
    assert change.flatten().tolist() == [1, 1, 1]
    assert (together.lower.item(), together.upper.item()) == (1, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(ACTIVATIONS)), st.data())
def test_no_input_leaves_the_bounds_of_several_replacements_together(seed: int, activation: str, data) -> None:
    model, bounds = mlp(seed, activation=activation), box(seed, (4,))
    network = annealing.read(model, bounds)
    index = data.draw(st.integers(0, 2))
    wide = network.layers[index].width
    order = data.draw(st.permutations(range(wide)))
    nominees, delegates = order[:3], [data.draw(st.sampled_from(order[3:])) for _ in range(3)]
    changed, plain = model, []
    for nominee, delegate in zip(nominees, delegates, strict=True):
        changed = handed_over(changed, 2 * index + 2, nominee, delegate, wide)
        plain.append(plain_change(network, index, nominee, delegate))
    x = inputs_in(bounds, seed)
    together = annealing.bounded(network).change_together(index, torch.tensor(nominees), torch.tensor(delegates))
    added = Interval(*(torch.stack(bound).sum(0) for bound in zip(*plain, strict=True)))
    assert holds(together, changed(x) - model(x))
    assert holds(added, changed(x) - model(x))
    assert bool((together.lower >= added.lower - SLACK).all() and (together.upper <= added.upper + SLACK).all())


def test_bounds_of_changes_of_many_pairs_at_once_are_those_of_each() -> None:
    network = annealing.read(mlp(3), (-1.0, 1.0))
    tight = annealing.bounded(network)
    nominees, delegates = torch.tensor([0, 4, 2]), torch.tensor([1, 0, 5])
    together = tight.change(0, nominees, delegates)
    for k in range(3):
        alone = tight.change(0, nominees[[k]], delegates[[k]])
        assert torch.allclose(together.lower[k], alone.lower[0], rtol=1e-12)
        assert torch.allclose(together.upper[k], alone.upper[0], rtol=1e-12)


class Functional(nn.Module):
    """What modules do, by functions and methods."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.hidden, self.out = nn.Conv2d(1, 3, 3), nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv(x)), 2)
        x = nn.functional.dropout(x.flatten(1), training=self.training)
        return self.out(torch.sigmoid(self.hidden(x)))


def test_a_network_may_call_functions_instead_of_modules() -> None:
    torch.manual_seed(0)
    model = Functional().double().eval()
    bounds = Interval(torch.zeros(1, 4, 4, dtype=torch.float64), torch.ones(1, 4, 4, dtype=torch.float64))
    network = annealing.read(model, bounds)
    kinds = [[step.kind for step in layer.before] for layer in network.layers]
    assert kinds == [[], ["relu", "max", "flatten"], ["sigmoid"]]
    x = inputs_in(bounds, 0)
    assert holds(network.layers[2].bounds(network.arriving()[2]), model(x))


class Branched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(x) + x


NAN = torch.tensor([torch.nan])


def unit_box(n: int) -> Interval:
    return Interval(torch.zeros(n), torch.ones(n))


def spoilt() -> nn.Sequential:
    model = mlp(0)
    model[2].weight.data[0, 0] = torch.nan
    return model


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: annealing.read(mlp(0), (1.0, 0.0)), "a lower bound is above its upper bound, at most by 1"),
        (lambda: annealing.read(mlp(0), (torch.zeros(4), torch.tensor([1.0, -0.5, 1, 1]))), "a lower bound at [1]"),
        (lambda: annealing.read(mlp(0), (0.0, torch.nan)), "input_bounds is 'with NaN or infinity'"),
        (lambda: annealing.read(mlp(0), (0.0, torch.inf)), "finite numbers"),
        (lambda: annealing.read(mlp(0), (0.0,)), "(lower, upper)"),
        (lambda: annealing.read(spoilt(), (0.0, 1.0)), "weight of layer '2' is 'a tensor with NaN or infinity'"),
        (lambda: annealing.read(Branched(), (0.0, 1.0)), "one chain of layers"),
        (lambda: annealing.read(nn.Sequential(nn.ReLU()), (0.0, 1.0)), "a network with linear layers or convolutions"),
        (lambda: annealing.read(nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2)), (0.0, 1.0)), "(GELU) is not"),
        (lambda: annealing.read(nn.Sequential(nn.Linear(2, 2), nn.Softmax(1)), (0.0, 1.0)), "(Softmax) is not supported"),
        (lambda: annealing.read(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)), (0.0, 1.0)), "groups of layer '0' is 2"),
        (lambda: annealing.read(nn.Sequential(nn.Conv2d(1, 4, 1)), (0.0, 1.0)).arriving(), "give example_inputs"),
        (lambda: annealing.bounded(annealing.read(nn.Sequential(nn.Conv2d(1, 4, 1)), (0.0, 1.0))), "need linear layers"),
        (lambda: annealing.interval(torch.ones(1, 1), None, Interval(torch.zeros(1), torch.ones(1)), "gelu"), "is 'gelu'"),
        (lambda: annealing.interval(torch.ones(1, 1), None, Interval(torch.ones(1), torch.zeros(1))), "above its upper"),
        (lambda: annealing.interval(torch.ones(1, 2), None, unit_box(3)), "inputs of weight is 2, but must be that"),
        (lambda: annealing.interval(NAN[:, None], None, unit_box(1)), "weight or bias is 'a tensor with NaN"),
        (lambda: annealing.interval(torch.ones(1, 1), NAN, unit_box(1)), "weight or bias is 'a tensor with NaN"),
        (lambda: annealing.interval(torch.ones(1, 1), None, Interval(NAN, NAN), "relu", "official"), "NaN or infinity"),
        (lambda: annealing.impact(torch.ones(2, 3), unit_box(3), [3], [0]), "delegate is 3, but must be a unit from 0 to 2"),
        (lambda: annealing.impact(torch.ones(2, 3), unit_box(3), [0], [-1]), "delegate is -1"),
        (lambda: annealing.impact(torch.ones(2, 3), unit_box(3), [0, 1], [2]), "number of delegates is 1, but must be that"),
        (lambda: annealing.impact(torch.ones(2, 4), unit_box(3), [0], [1]), "shape of units is (3,), but must be (4,)"),
        (lambda: annealing.impact(torch.ones(2, 1), Interval(torch.ones(1), torch.zeros(1)), [0], [0]), "above its upper"),
        (lambda: annealing.impact(NAN[:, None], unit_box(1), [0], [0]), "outgoing is 'a tensor with NaN"),
        (lambda: annealing.read(mlp(0), (torch.zeros(3), torch.ones(3))), "an input of shape (3,), that of input_bounds or"),
        (lambda: annealing.read(mlp(0), (torch.zeros(3), torch.ones(4))), "two tensors of an input's shape"),
        (lambda: annealing.read(mlp(0), ("0", 1.0)), "must be (lower, upper): two numbers"),
        (lambda: annealing.read(cnn(0), (0.0, 1.0), torch.zeros(1, 3, 8, 8)), "an input of shape (3, 8, 8)"),
    ],
)  # fmt: skip
def test_what_cannot_be_bounded_is_refused_in_one_sentence(call, words: str) -> None:
    with pytest.raises(BadValue) as refusal:
        call()
    assert words in str(refusal.value)
