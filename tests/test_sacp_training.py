import math
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunebook.errors import BadValue
from prunebook.methods.sacp import ArchitectureGraph, Encoder, Space, apart, regress, train
from prunebook.methods.sacp.space import random_masks, ranked_masks, rankings
from prunebook.methods.sacp.training import contrast, contrast_as_printed, select

X = torch.zeros(1, 3, 8, 8)


def small_net() -> nn.Module:
    convolutions = [nn.Conv2d(3, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.Conv2d(16, 20, 3)]
    model = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 4))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


@cache
def parts():
    model = small_net()
    graph = ArchitectureGraph(model, X)
    return graph, Space(graph), rankings(model, graph)


def small_encoder() -> Encoder:
    return Encoder(parts()[0], hidden=16, out=8)


def random_rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_printed_loss_is_equations_5_to_8_written_out():
    anchor, positive, negative = (random_rows(4, 3, seed=seed) for seed in range(3))

    def literal(z1, z2, temperature, eps):
        sim = [[sum(a * b for a, b in zip(x, y, strict=True)) / temperature for y in z2] for x in z1]
        losses = []
        for i, row in enumerate(sim):
            exps = [math.exp(value - max(row)) for value in row]
            losses.append(-math.log(exps[i] / (sum(exps) + eps)))
        return sum(losses) / len(losses)

    expected = sum(literal(anchor.tolist(), other.tolist(), 0.5, 1e-8) for other in (positive, negative))
    assert contrast_as_printed(anchor, positive, negative, 0.5).item() == pytest.approx(expected, rel=1e-12)


def test_infonce_has_the_negatives_in_its_denominator():
    anchor, positive, negative = (random_rows(4, 3, seed=seed) for seed in range(3))

    def cosine(x, y):
        return (x @ y / x.norm() / y.norm()).item()

    expected = 0.0
    for i in range(4):
        others = [math.exp(cosine(anchor[i], other) / 0.2) for other in (*positive, *negative)]
        expected -= math.log(others[i] / sum(others)) / 4
    assert contrast(anchor, positive, negative, 0.2).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("loss", "falls"), [(contrast_as_printed, True), (contrast, False)])
def test_the_printed_loss_falls_as_negatives_come_nearer_and_infonce_rises(loss, falls):
    anchor, positive, negative = (F.normalize(random_rows(6, 4, seed=seed), dim=1) for seed in range(3))
    nearer = F.normalize(negative + 0.1 * anchor, dim=1)
    change = loss(anchor, positive, nearer, 0.5) - loss(anchor, positive, negative, 0.5)
    assert (change.item() < 0) == falls


def test_far_apart_embeddings_leave_the_printed_loss_finite():
    far = 1e3 * torch.eye(3)
    value = contrast_as_printed(far, -far, -far, 0.5)
    assert value.item() == pytest.approx(2 * 2e6)


def test_with_a_single_anchor_the_printed_loss_is_lowest_where_all_are_alike():
    anchor = random_rows(1, 3, seed=0).expand(5, -1)
    others = [random_rows(5, 3, seed=seed) for seed in (1, 2)]
    assert contrast_as_printed(anchor, *others, 0.5).item() > 2 * math.log(5)
    alike = others[0][:1].expand(5, -1)
    assert contrast_as_printed(anchor, alike, alike, 0.5).item() == pytest.approx(2 * math.log(5))


def test_infonce_tells_ranked_from_random_masks_better_than_the_printed_loss_does():
    def gap(loss: str, seed: int) -> list[float]:
        encoder = Encoder(parts()[0], hidden=16, out=8, seed=seed)
        history = train(*parts(), 320, 6, loss=loss, lr=1e-2, seed=seed, encoder=encoder).history
        return [epoch.positive - epoch.negative for epoch in history]

    for seed in range(3):
        infonce, printed = gap("infonce", seed), gap("as-printed", seed)
        assert infonce[-1] > infonce[0] + 0.1
        assert infonce[-1] > printed[-1] + 0.2


@pytest.mark.parametrize("anchor", ["first", "original"])
@pytest.mark.parametrize("loss", ["infonce", "as-printed"])
def test_training_depends_on_its_seed_alone_and_lowers_the_loss(loss, anchor):
    def run(seed: int):
        encoder = small_encoder()
        return train(*parts(), 100, 4, loss=loss, anchor=anchor, lr=3e-3, seed=seed, encoder=encoder)

    before = torch.random.get_rng_state()
    first, again, other = run(1), run(1), run(2)
    assert first.history == again.history
    assert torch.equal(first.encoder.weights[0], again.encoder.weights[0])
    assert first.history != other.history
    assert first.history[-1].loss < first.history[0].loss
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_given_encoder_stays_as_it_was_and_every_epoch_is_told():
    encoder, told = small_encoder(), []
    trained = train(*parts(), 40, 2, encoder=encoder, on_epoch=lambda done, epoch: told.append((done, epoch)))
    assert torch.equal(encoder.weights[0], small_encoder().weights[0])
    assert not torch.equal(encoder.weights[0], trained.encoder.weights[0])
    assert told == [(1, trained.history[0]), (2, trained.history[1])]


def test_with_the_unpruned_network_as_anchor_all_of_a_batch_share_it():
    """The mean cosine of the first step, before any weight has changed, against the encoder's own embeddings."""
    graph, space, ranked = parts()
    encoder = small_encoder()
    epoch = train(graph, space, ranked, 32, 1, batch=32, anchor="original", seed=4, encoder=encoder).history[0]
    tables = ranked_masks(space, ranked)
    whole = encoder.embed([torch.ones(1, width) for width in graph.widths])
    positive = encoder.embed(select(tables, space.sample(32, seed=4)))
    assert epoch.positive == pytest.approx(F.cosine_similarity(positive, whole).mean().item(), abs=1e-6)


@pytest.mark.parametrize("anchor", ["first", "original"])
def test_triads_are_told_apart_as_often_as_the_positive_is_nearer(anchor):
    graph, space, ranked = parts()
    encoder = small_encoder()
    found = apart(encoder, graph, space, ranked, 60, anchor, seed=7)
    r = space.sample(60, seed=7)
    negatives = random_masks(space, r, torch.Generator().manual_seed(7))
    firsts = ranked_masks(space, [torch.arange(width) for width in graph.widths])
    near = far = wins = strange = 0.0
    for i, ratios in enumerate(r.tolist()):
        rows = [0] * space.L if anchor == "original" else ratios
        anchors, positive, negative = (
            encoder(graph.assemble(masks)[None])[0]
            for masks in (
                [table[q] for table, q in zip(firsts, rows, strict=True)],
                [table[q] for table, q in zip(ranked_masks(space, ranked), ratios, strict=True)],
                [mask[i] for mask in negatives],
            )
        )
        stranger = encoder(graph.assemble([mask[i - 1] for mask in negatives])[None])[0]
        cosines = [F.cosine_similarity(anchors, other, dim=0).item() for other in (positive, negative, stranger)]
        near, far, wins = near + cosines[0] / 60, far + cosines[1] / 60, wins + (cosines[0] > cosines[1]) / 60
        strange += cosines[2] / 60
    assert found[:3] == pytest.approx((wins, near, far), abs=1e-5)
    assert found.distance == pytest.approx((1 - far) / (1 - strange) if anchor == "first" else 1, rel=1e-3)


def test_what_infonce_has_learnt_tells_triads_apart_that_it_has_not_seen():
    trained = train(*parts(), 320, 6, lr=1e-2, encoder=small_encoder()).encoder
    assert apart(trained, *parts(), 200, seed=9).share > 0.95
    unlearnt = [apart(Encoder(parts()[0], hidden=16, out=8, seed=seed), *parts(), 200, seed=9).share for seed in range(20)]
    assert max(unlearnt) < 0.95
    with pytest.raises(BadValue, match="triads is 0"):
        apart(trained, *parts(), 0)


@pytest.mark.parametrize("loss", ["infonce", "as-printed"])
def test_any_order_that_always_returns_is_told_apart_as_l1_s_is(loss):
    graph, space, _ = parts()
    orders = [torch.randperm(width, generator=torch.Generator().manual_seed(3)) for width in graph.widths]
    trained = train(graph, space, orders, 320, 6, loss=loss, lr=1e-2, encoder=small_encoder()).encoder
    unlearnt = [apart(Encoder(graph, hidden=16, out=8, seed=s), graph, space, orders, 200, seed=9) for s in range(20)]
    found = apart(trained, graph, space, orders, 200, seed=9)
    assert found.share > max(one.share for one in unlearnt)


def test_the_printed_loss_draws_negatives_near_beside_strangers_though_their_cosine_falls():
    unlearnt = [apart(Encoder(parts()[0], hidden=16, out=8, seed=seed), *parts(), 200, seed=9) for seed in range(20)]
    printed = apart(
        train(*parts(), 320, 6, loss="as-printed", lr=1e-2, encoder=small_encoder()).encoder, *parts(), 200, seed=9
    )
    assert printed.distance < min(one.distance for one in unlearnt)
    assert printed.negative < sum(one.negative for one in unlearnt) / 20


def test_regression_learns_an_accuracy_that_falls_with_the_pruned_share():
    graph, space, ranked = parts()
    r = space.sample(400, seed=0)
    accuracies = 95 - 30 * space.ratio(r)
    regressed = regress(graph, space, ranked, r[:300], accuracies[:300], 20, lr=1e-2, encoder=small_encoder())
    with torch.no_grad():
        predicted = regressed.head(regressed.encoder.embed(select(ranked_masks(space, ranked), r[300:])))[:, 0]
    assert regressed.history[-1] < regressed.history[0] / 10
    assert (predicted - accuracies[300:]).abs().mean() < accuracies.std() / 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "as printed"}, "loss is 'as printed', but must be one of: infonce, as-printed; did you mean"),
        ({"anchor": "zero"}, "anchor is 'zero', but must be one of: first, original"),
        ({"temperature": 0}, "temperature is 0, but must be a number above 0"),
        ({"lr": float("nan")}, "lr is nan, but must be a number above 0"),
        ({"configurations": 1}, "configurations is 1, but must be a whole number of at least 2"),
        ({"batch": 1}, "batch is 1, but must be a whole number of at least 2"),
        ({"epochs": 0}, "epochs is 0, but must be a whole number of at least 1"),
    ],
)
def test_training_that_cannot_be_is_refused(options, message):
    with pytest.raises(BadValue) as raised:
        train(*parts(), **options)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("accuracies", [[90.0], [90.0, math.nan]])
def test_accuracies_that_do_not_fit_are_refused(accuracies):
    r = parts()[1].sample(2)
    with pytest.raises(BadValue, match=r"^accuracies is "):
        regress(*parts(), r, accuracies)
