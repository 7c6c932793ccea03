import copy
import math
import re

import pytest
import torch
import torch_pruning as tp
from torch import nn
from torch.nn import functional as F

from prunebook import cutting, measure, models
from prunebook.errors import BadValue
from prunebook.methods import baselines
from prunebook.methods.baselines import CRITERIA, GrowingRegularisation

EXAMPLE = torch.zeros(1, 3, 16, 16)
IMAGES = torch.randn(7, 3, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1])


def shaken(model):
    """The network with all its parameters drawn anew, batch norm's too, so that no two channels tie."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def plain():
    """Convolutions, a flattened map of 2 x 2 places and a hidden linear layer."""
    convolutions = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    convolutions += [nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 5)]
    return shaken(nn.Sequential(*convolutions, *head))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.inner = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.outer = nn.Sequential(nn.Conv2d(12, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.stem(x))
        return self.head(F.relu(x + self.outer(self.inner(x))).mean((2, 3)))


def residual():
    return shaken(Residual())


# By leading layer: where a channel's parameters are. Rows of "out" and "bn" layers, columns of "in" layers.
WHERE = {
    plain: {
        "0": [("out", "0"), ("bn", "1"), ("in", "4")],
        "4": [("out", "4"), ("bn", "5"), ("in", "10")],
        "10": [("out", "10"), ("in", "12")],
    },
    residual: {
        "stem.0": [
            *[("out", "stem.0"), ("bn", "stem.1"), ("out", "outer.0"), ("bn", "outer.1")],
            *[("in", "inner.0"), ("in", "head")],
        ],
        "inner.0": [("out", "inner.0"), ("bn", "inner.1"), ("in", "outer.0")],
    },
}  # fmt: skip


def by_channel(values, side, n):
    """The entries (n, k) that go with each channel."""
    if side == "in":
        return values.unflatten(1, (n, -1)).transpose(0, 1).flatten(1)
    return values.reshape(n, -1)


def reference(model, criterion, where):
    """The mean over a group's layers of what the criterion's definition gives there, over its mean."""
    model = copy.deepcopy(model).eval()
    losses = F.cross_entropy(model(IMAGES), LABELS, reduction="none")
    each = {name: [] for name, _ in model.named_parameters()}
    for loss in losses:
        for name, gradient in zip(each, torch.autograd.grad(loss, list(model.parameters()), retain_graph=True), strict=True):
            each[name].append(gradient)
    n = len(model.get_submodule(where[0][1]).weight)
    terms = []
    for side, name in where:
        w = by_channel(model.get_submodule(name).weight.detach(), side, n).double()
        gradients = torch.stack([by_channel(g, side, n) for g in each[f"{name}.weight"]]).double()
        if criterion == "bn_scale" and side != "bn":
            continue
        if criterion in ("taylor", "fpgm") and side == "bn":
            continue
        terms.append(
            {
                "l1": lambda w, _: w.abs().sum(1),
                "bn_scale": lambda w, _: w.abs().sum(1),
                "taylor": lambda w, g: (w * g.mean(0)).abs().sum(1),
                "hessian": lambda w, g: (w**2 * (g**2).mean(0)).sum(1),
                "fpgm": lambda w, _: torch.stack([(w**2 - row**2).norm(dim=1).sum() for row in w]),
            }.get(criterion, lambda w, _: (w**2).sum(1))(w, gradients)
        )
    total = torch.stack(terms).mean(0)
    if criterion == "lamp":
        return torch.stack([u / total[total >= u].sum() for u in total])
    return total / total.mean()


@pytest.mark.parametrize("make", [plain, residual])
@pytest.mark.parametrize("criterion", [c for c in CRITERIA if c != "random"])
def test_each_criterion_is_its_definition_averaged_over_all_layers_of_a_group(criterion, make):
    model = make()
    layers = "conv" if criterion in ("bn_scale", "fpgm") else "all"
    found = baselines.scores(model, criterion, EXAMPLE, images=IMAGES, labels=LABELS, layers=layers)
    wanted = {name: where for name, where in WHERE[make].items() if layers == "all" or name != "10"}
    assert list(found) == list(wanted)
    for name, where in wanted.items():
        if criterion == "fpgm" and ("in", "10") in where:
            continue  # Torch-Pruning takes distances between the columns of single places there
        torch.testing.assert_close(found[name].double(), reference(model, criterion, where), rtol=1e-4, atol=1e-6)


TP = {
    "l1": lambda: tp.importance.MagnitudeImportance(p=1),
    "l2": lambda: tp.importance.MagnitudeImportance(p=2),
    "fpgm": lambda: tp.importance.FPGMImportance(p=2),
    "bn_scale": lambda: tp.importance.BNScaleImportance(),
    "lamp": lambda: tp.importance.LAMPImportance(p=2),
    "group_norm": lambda: tp.importance.GroupMagnitudeImportance(p=2),
}


@pytest.mark.parametrize("scope", ["uniform", "global"])
@pytest.mark.parametrize("criterion", TP)
@pytest.mark.parametrize(("make", "size"), [(plain, 16), (lambda: shaken(models.build("resnet20", shortcut="B")), 32)])
def test_plans_are_those_of_torch_prunings_own_pruner(make, size, criterion, scope):
    model = make()
    example = torch.zeros(1, 3, size, size)
    # A quarter of every width, and of their sums, is whole, so both round alike.
    plan = baselines.plan(model, criterion, 0.25, scope=scope, example_inputs=example)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    pruner = tp.pruner.BasePruner(
        model, example, TP[criterion](), global_pruning=scope == "global", pruning_ratio=0.25, ignored_layers=linear
    )
    names = {module: name for name, module in model.named_modules()}
    removed = {names[group[0].dep.target.module]: set(group[0].idxs) for group in pruner.step(interactive=True)}
    assert len(removed) >= 2
    assert plan.removed() > 0
    for group in cutting.coupled_layers(model, example):
        kept = plan.keep[group[0]]
        theirs = next((idxs for name, idxs in removed.items() if name in group), set())
        assert kept == [c for c in range(plan.widths[group[0]]) if c not in theirs]


def test_uniform_plans_lose_the_same_numbers_by_every_criterion():
    model = models.build("resnet20", seed=0)
    images, labels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)), torch.tensor([4, 9])
    for criterion in CRITERIA:
        plan = baselines.plan(model, criterion, 0.3, images, labels)
        assert {len(kept) for kept in plan.keep.values()} == {16 - 4, 32 - 9, 64 - 19}
        assert list(plan.keep) == [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
        assert plan.method == "baseline"
        assert plan.parameters["criterion"] == criterion


def test_layers_that_are_coupled_keep_the_same_and_the_plan_can_be_applied():
    plan = baselines.plan(residual(), "l2", 0.5, layers="all", example_inputs=EXAMPLE)
    assert plan.keep["stem.0"] == plan.keep["outer.0"]
    assert [len(plan.keep[name]) for name in ("stem.0", "inner.0", "outer.0", "head")] == [4, 6, 4, 5]
    smaller = plan.apply(residual(), EXAMPLE)
    assert smaller(EXAMPLE).shape == (1, 5)
    assert smaller.inner[0].weight.shape == (6, 4, 3, 3)


def test_with_internal_layers_all_that_is_coupled_stays_whole():
    plan = baselines.plan(residual(), "l1", 0.5, layers="internal", example_inputs=EXAMPLE)
    assert {name: len(kept) for name, kept in plan.keep.items()} == {"stem.0": 8, "inner.0": 6, "outer.0": 8}
    assert plan.keep["inner.0"] == baselines.plan(residual(), "l1", 0.5, example_inputs=EXAMPLE).keep["inner.0"]
    alone = [baselines.plan(plain(), "l1", 0.5, layers=layers, example_inputs=EXAMPLE) for layers in ("conv", "internal")]
    assert alone[0].keep == alone[1].keep  # nothing is coupled there
    target = baselines.plan(residual(), "random", target=0.4, layers="internal", example_inputs=EXAMPLE)
    assert len(target.keep["stem.0"]) == 8
    assert abs(target.parameters["removed"] - 0.4) < 0.05


def test_linear_layers_lose_channels_only_if_asked_for():
    conv = baselines.plan(plain(), "l1", 0.5, example_inputs=EXAMPLE)
    both = baselines.plan(plain(), "l1", 0.5, layers="all", example_inputs=EXAMPLE)
    assert {name: len(kept) for name, kept in conv.keep.items()} == {"0": 4, "4": 6}
    assert {name: len(kept) for name, kept in both.keep.items()} == {"0": 4, "4": 6, "10": 8, "12": 5}
    assert both.apply(plain(), EXAMPLE)(EXAMPLE).shape == (1, 5)


@pytest.mark.parametrize(
    ("scope", "kept"),
    [("uniform", {"0": [0, 1, 2, 3], "4": [0, 1, 2, 3, 4, 5]}), ("global", {"0": list(range(8)), "4": [0, 1]})],
)
def test_of_equal_channels_the_first_stay(scope, kept):
    model = plain()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.5)
    assert baselines.plan(model, "bn_scale", 0.5, scope=scope, example_inputs=EXAMPLE).keep == kept


def test_a_layer_of_zeros_has_scores_of_zero():
    model = plain()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    for criterion in set(CRITERIA) - {"random"}:
        found = baselines.scores(model, criterion, EXAMPLE, images=IMAGES, labels=LABELS)
        assert all((values == 0).all() for values in found.values())


@pytest.mark.parametrize("criterion", ["lamp", "l2", "random"])
def test_a_global_plan_leaves_every_group_its_best_channel(criterion):
    model = residual()
    plan = baselines.plan(model, criterion, 0.95, scope="global", example_inputs=EXAMPLE)
    best = {name: [int(s.argmax())] for name, s in baselines.scores(model, criterion, EXAMPLE).items()}
    assert {name: plan.keep[name] for name in best} == best  # 19 of 20 would go, and 18 may
    half = baselines.plan(model, criterion, 0.5, scope="global", example_inputs=EXAMPLE)
    assert len(half.keep["stem.0"]) + len(half.keep["inner.0"]) == 10


@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_a_target_is_reached_and_the_plan_says_how(scope):
    model = models.build("resnet20", seed=0)
    example = torch.zeros(1, 3, 32, 32)
    plan = baselines.plan(model, "l1", target=0.5, scope=scope)
    whole, left = (measure.cost(network, example).macs for network in (model, plan.apply(model, example)))
    assert plan.parameters["removed"] == pytest.approx(1 - left / whole, abs=1e-12)
    assert plan.parameters["removed"] == pytest.approx(0.5, abs=0.03)  # one channel of the widest groups is 0.02
    assert plan.parameters["target"] == 0.5
    again = baselines.plan(model, "l1", plan.parameters["ratio"], scope=scope)
    assert again.keep == plan.keep


def test_the_same_seed_makes_the_same_random_plan_and_another_seed_another():
    plans = [baselines.plan(plain(), "random", 0.5, seed=seed, example_inputs=EXAMPLE).keep for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_network_and_the_global_generator_are_left_as_they_were(criterion):
    model = residual().train()
    model.inner.eval()
    model.head.weight.requires_grad_(False)
    model.stem[0].weight.grad = torch.ones_like(model.stem[0].weight)
    before = copy.deepcopy(model)
    state = torch.random.get_rng_state()
    baselines.plan(model, criterion, 0.5, IMAGES, LABELS)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_same(model, before)
    assert torch.equal(model.stem[0].weight.grad, torch.ones_like(model.stem[0].weight))
    assert model.inner[0].weight.grad is None


def assert_same(model, before):
    for name, value in model.state_dict().items():
        assert torch.equal(value, before.state_dict()[name]), name
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in before.parameters()]


def grouped(groups):
    middle = nn.Conv2d(8, 8, 3, groups=groups)
    return shaken(nn.Sequential(nn.Conv2d(3, 8, 3), middle, nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(600, 5)))


def test_a_depthwise_convolution_follows_what_it_reads():
    model = grouped(8)
    scores = baselines.scores(model, "l1", EXAMPLE)
    assert list(scores) == ["0", "2"]
    total = model[0].weight.detach().abs().sum((1, 2, 3)) + model[2].weight.detach().abs().sum((0, 2, 3))
    torch.testing.assert_close(scores["0"], total / total.mean())
    plan = baselines.plan(model, "l1", target=0.5, example_inputs=EXAMPLE)
    assert plan.keep["0"] == plan.keep["1"]
    left = measure.cost(plan.apply(model, EXAMPLE), EXAMPLE).macs / measure.cost(model, EXAMPLE).macs
    assert plan.parameters["removed"] == pytest.approx(1 - left, abs=1e-12)
    first = nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), *list(model)[:1], nn.Flatten(), nn.Linear(8 * 144, 5))
    assert list(baselines.plan(first, "l1", 0.5, example_inputs=EXAMPLE).keep) == ["1"]


def unnormed():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 144, 5))


def spoilt():
    model = plain()
    with torch.no_grad():
        model[4].weight[0, 0, 0, 0] = math.nan
    return model


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (plain, {"criterion": "l3"}, "criterion is 'l3', but must be one of: random, l1"),
        (plain, {"criterion": "talyor"}, "did you mean 'taylor'?"),
        (plain, {"ratio": 1}, "ratio is 1, but must be a share of each layer's filters, at least 0 and below 1"),
        (plain, {"ratio": 1.2}, "ratio is 1.2"),
        (plain, {"ratio": math.nan}, "ratio is nan"),
        (plain, {"ratio": -1}, "ratio is -1"),
        (plain, {"ratio": None}, "needs either ratio"),
        (plain, {"target": 0.5}, "needs either ratio"),
        (plain, {"scope": "local"}, "scope is 'local', but must be one of: uniform, global"),
        (plain, {"layers": "linear"}, "layers is 'linear', but must be one of: conv, internal, all"),
        (plain, {"seed": -1}, "seed is -1"),
        (plain, {"criterion": "taylor"}, "'taylor' is computed from labelled images, but labels are not given"),
        (plain, {"criterion": "hessian", "images": None}, "but images and labels are not given"),
        (plain, {"criterion": "taylor", "labels": LABELS + 1}, "labels is '1 to 5', but must be from 0 to 4"),
        (plain, {"criterion": "taylor", "labels": LABELS - 1}, "labels is '-1 to 3', but must be from 0 to 4"),
        (plain, {"criterion": "taylor", "labels": LABELS[:3]}, "must be whole numbers (7,), one for each image"),
        (plain, {"criterion": "taylor", "labels": LABELS.float()}, "torch.float32 (7,)"),
        (plain, {"images": IMAGES[0]}, "images.shape is (3, 16, 16), but must be (m, c, h, w), m at least 1"),
        (plain, {"images": None}, "example_inputs are needed, since nothing says what a Sequential takes"),
        (spoilt, {}, "weight of layer '4' is 'NaN or infinite somewhere', but must be finite"),
        (lambda: grouped(2), {}, "the number of groups of layer '1' is 2, but must be 1"),
        (unnormed, {"criterion": "bn_scale"}, "needs a batch norm with scales behind layer '2', which has none"),
    ],
)
def test_what_cannot_be_pruned_is_refused_in_words(make, arguments, message):
    given = {"criterion": "l1", "ratio": 0.5, "images": IMAGES} | arguments
    with pytest.raises(BadValue, match=re.escape(message)):
        baselines.plan(make(), **given)


def zero_gradients(model):
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)


@pytest.mark.parametrize(("layers", "times"), [("conv", [1, 2, 1, 0]), ("all", [1, 2, 2, 1])])
def test_the_penalty_falls_on_filters_and_on_their_readers_but_not_on_outputs(layers, times):
    model = plain()
    growing = GrowingRegularisation(model, EXAMPLE, every=5, reg=0.5, layers=layers)
    zero_gradients(model)
    growing.after_backward()
    for name, share in zip(("0", "4", "10", "12"), times, strict=True):
        layer = model.get_submodule(name)
        torch.testing.assert_close(layer.weight.grad, 0.5 * share * layer.weight.detach())
        assert (layer.bias.grad == 0).all()


def test_the_penalty_rises_every_so_many_calls_by_the_place_between_most_and_least_important():
    model = residual()
    growing = GrowingRegularisation(model, EXAMPLE, every=3, reg=0.1, delta=0.2)
    places = {
        name: (s.max() - s) / (s.max() - s.min()) for name, s in baselines.scores(model, "growing_reg", EXAMPLE).items()
    }
    for calls in range(1, 8):
        zero_gradients(model)
        growing.after_backward()
        for name, penalty in growing.penalties().items():
            torch.testing.assert_close(penalty, 0.1 + 0.2 * (calls // 3) * places[name])
    assert set(growing.penalties()) == set(places)


def test_growing_regularisation_shrinks_the_least_channels_and_leaves_the_greatest():
    model = plain()
    order = baselines.scores(model, "growing_reg", EXAMPLE)["0"].argsort()
    growing = GrowingRegularisation(model, EXAMPLE, every=1, reg=0.0, delta=0.05)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model[0].weight.detach().flatten(1).norm(dim=1)
    for _ in range(20):
        zero_gradients(model)
        growing.after_backward()
        optimiser.step()
    left = model[0].weight.detach().flatten(1).norm(dim=1) / before
    assert left[order[-1]] == 1
    assert left[order[0]] < 0.5
    assert (left[order].diff() >= 0).all()


def test_growing_regularisation_trains_along_with_the_loss_through_padded_shortcuts():
    model = models.build("resnet20", seed=0)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    growing = GrowingRegularisation(model, images[:1], every=1)
    F.cross_entropy(model(images), torch.arange(4)).backward()
    plain_gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    growing.after_backward()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p.grad, plain_gradients[n])}
    assert {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)} <= {n.removesuffix(".weight") for n in moved}


def test_making_growing_regularisation_leaves_the_network_as_it_was():
    model = residual().train()
    model.inner.eval()
    model.head.weight.requires_grad_(False)
    before = copy.deepcopy(model)
    state = torch.random.get_rng_state()
    GrowingRegularisation(model, EXAMPLE, every=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_same(model, before)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "every is 0, but must be a whole number of calls, at least 1"),
        ({"every": 1, "reg": -1e-5}, "reg is -1e-05, but must be a number of at least 0"),
        ({"every": 1, "delta": math.nan}, "delta is nan"),
        ({"every": 1, "layers": "linear"}, "layers is 'linear'"),
    ],
)
def test_growing_regularisation_refuses_what_it_cannot_do(arguments, message):
    with pytest.raises(BadValue, match=re.escape(message)):
        GrowingRegularisation(plain(), EXAMPLE, **arguments)
