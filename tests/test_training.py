"""Training, evaluation and the recalibration of batch norm."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torch import nn

from prunebook import data, models, training
from prunebook.data import Augmentation, Split
from prunebook.errors import BadValue

NORMAL: dict[str, Any] = {"mean": (0.3,), "std": (0.4,)}


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
        )


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def few(split: Split, n: int) -> Split:
    return Split(split.images[:n], split.labels[:n])


def test_fit_learns_digits(digits: data.Dataset) -> None:
    model = network()
    history = training.fit(model, digits.train, digits.val, epochs=6, lr=0.1, augment=False, **NORMAL)
    assert history[-1]["loss"] < 0.3 < history[0]["loss"]
    assert history[-1]["train_top1"] > 95
    measured = training.evaluate(model, digits.val, **NORMAL)
    assert history[-1]["val_top1"] == measured.top1
    assert measured.top1 > 92


def test_equal_seeds_give_equal_weights_to_the_bit_and_others_do_not(digits: data.Dataset) -> None:
    def trained(seed: int) -> list[torch.Tensor]:
        model = network()
        training.fit(model, few(digits.train, 300), epochs=2, lr=0.1, seed=seed, **NORMAL)
        return list(model.state_dict().values())

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = trained(3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, trained(3), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, trained(4), strict=True))


class Recorder(nn.Module):
    """Notes the batches that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(x.detach().clone())
        return self.linear(x.flatten(1))


@pytest.mark.parametrize(("n", "sizes"), [(8, [4, 4]), (10, [4, 4, 2]), (9, [4, 4]), (3, [3])])
def test_an_epoch_sees_each_image_once_but_leaves_out_a_last_single_one(
    n: int, sizes: list[int], digits: data.Dataset
) -> None:
    model, part = Recorder(), few(digits.train, n)
    training.fit(model, part, epochs=1, lr=0.01, batch_size=4, augment=False, mean=(0.0,), std=(1.0,))
    assert [len(batch) for batch in model.seen] == sizes
    seen = [tuple(image.flatten().tolist()) for batch in model.seen for image in batch]
    stored = {tuple((image / 255).flatten().tolist()) for image in part.images}
    assert len(set(seen)) == sum(sizes)
    assert set(seen) <= stored


def test_augmentation_changes_what_the_network_sees(digits: data.Dataset) -> None:
    part = Split(digits.train.images[:1].expand(64, 1, 8, 8), digits.train.labels[:1].expand(64))
    counts = {}
    for augment in (True, False):
        model = Recorder()
        training.fit(model, part, epochs=1, lr=0.01, batch_size=64, augment=augment, **NORMAL)
        counts[augment] = len({tuple(image.flatten().tolist()) for image in model.seen[0]})
    assert counts[False] == 1 < 20 < counts[True]


def test_the_augmentation_that_is_given_is_the_one_that_the_network_sees(digits: data.Dataset) -> None:
    part = Split(digits.train.images[:1].expand(32, 1, 8, 8), digits.train.labels[:1].expand(32))
    plain: dict[str, Any] = {"mean": (0.0,), "std": (1.0,)}
    for how in (Augmentation(), Augmentation(2, False), Augmentation(0, False, 20.0)):
        model = Recorder()
        training.fit(model, part, epochs=1, lr=0.01, batch_size=32, seed=3, augmentation=how, **plain)
        generator = torch.Generator().manual_seed(3)
        torch.randperm(32, generator=generator)  # the order of the images comes first
        assert torch.equal(model.seen[0], data.normalise(data.augment(part.images, generator, *how), **plain))


def rates(digits: data.Dataset, epochs: int = 10, **options: Any) -> list[float]:
    part = few(digits.train, 4)
    history = training.fit(Recorder(), part, epochs=epochs, lr=1.0, batch_size=4, **options, **NORMAL)
    return [entry["lr"] for entry in history]


def test_schedules_take_the_courses_that_their_names_say(digits: data.Dataset) -> None:
    assert rates(digits, schedule="constant") == [1.0] * 10
    assert rates(digits, 5, schedule="step", step_every=2) == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert rates(digits, 4, schedule="cosine") == pytest.approx([(1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)])
    cycle = rates(digits, schedule="one-cycle")
    assert cycle[:4] == pytest.approx([0.04, 0.36, 0.68, 1.0])
    assert cycle[3:] == sorted(cycle[3:], reverse=True)
    assert cycle[-1] < 0.1


def test_momentum_and_weight_decay_act_as_in_sgd(digits: data.Dataset) -> None:
    part = few(digits.train, 4)
    model, other = Recorder(), Recorder()
    other.load_state_dict(model.state_dict())
    options: dict[str, Any] = {"momentum": 0.5, "nesterov": True, "weight_decay": 0.1}
    training.fit(model, part, epochs=2, lr=0.1, schedule="constant", augment=False, **options, **NORMAL)
    optimizer = torch.optim.SGD(other.parameters(), 0.1, **options)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(other(data.normalise(part.images, **NORMAL)), part.labels).backward()
        optimizer.step()
    assert torch.allclose(model.linear.weight, other.linear.weight, atol=1e-6)


def by_hand(
    model: Recorder, part: Split, optimizer: torch.optim.Optimizer, steps: int, change: Callable[[], object] = lambda: None
) -> None:
    """Full-batch steps of another hand: `change` is called before each of them."""
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data.normalise(part.images, **NORMAL)), part.labels).backward()
        change()
        optimizer.step()


def twins() -> tuple[Recorder, Recorder]:
    one, other = Recorder(), Recorder()
    other.load_state_dict(one.state_dict())
    return one, other


CONSTANT: dict[str, Any] = {"lr": 0.05, "schedule": "constant", "augment": False, **NORMAL}


def test_adam_takes_the_steps_of_pytorchs_own_and_has_no_momentum_to_set(digits: data.Dataset) -> None:
    part = few(digits.train, 4)
    model, other = twins()
    training.fit(model, part, epochs=3, optimizer="adam", momentum=0.3, weight_decay=0.0, **CONSTANT)
    by_hand(other, part, torch.optim.Adam(other.parameters(), 0.05), 3)
    assert torch.allclose(model.linear.weight, other.linear.weight, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_weight_decay_is_added_to_the_gradient_by_both_optimizers(optimizer: str, digits: data.Dataset) -> None:
    part = few(digits.train, 4)
    model, other = twins()

    def decay() -> None:
        for parameter in other.parameters():
            assert parameter.grad is not None
            parameter.grad += 0.1 * parameter.detach()

    training.fit(model, part, epochs=3, optimizer=optimizer, momentum=0.0, weight_decay=0.1, **CONSTANT)
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    by_hand(other, part, kind(other.parameters(), lr=0.05), 3, decay)
    assert torch.allclose(model.linear.weight, other.linear.weight, atol=1e-6)


def test_schedules_hold_for_adam_too(digits: data.Dataset) -> None:
    assert rates(digits, 5, optimizer="adam", schedule="step", step_every=2) == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    model, other = Recorder(), Recorder()
    other.load_state_dict(model.state_dict())
    part = few(digits.train, 4)
    training.fit(model, part, epochs=2, **CONSTANT | {"schedule": "step"}, step_every=1, optimizer="adam", weight_decay=0.0)
    optimizer = torch.optim.Adam(other.parameters(), 0.05)
    by_hand(other, part, optimizer, 1)
    optimizer.param_groups[0]["lr"] = 0.005
    by_hand(other, part, optimizer, 1)
    assert torch.allclose(model.linear.weight, other.linear.weight, atol=1e-6)


def test_regularise_is_called_once_a_step_and_what_it_adds_to_the_gradients_counts(digits: data.Dataset) -> None:
    part = few(digits.train, 4)
    model, other = twins()
    seen: list[tuple[torch.Tensor, bool]] = []

    def pull(network: Recorder) -> None:
        weight = network.linear.weight
        assert weight.grad is not None
        weight.grad += 0.2 * weight.detach().sign()

    def regularise() -> None:
        weight = model.linear.weight
        assert weight.grad is not None
        seen.append((weight.detach().clone(), bool(weight.grad.abs().sum() > 0)))
        pull(model)

    before = model.linear.weight.detach().clone()
    training.fit(model, part, epochs=3, momentum=0.0, weight_decay=0.0, regularise=regularise, **CONSTANT)
    assert len(seen) == 3
    assert all(has_gradient for _, has_gradient in seen)
    assert torch.equal(seen[0][0], before)  # the backward pass is over, the step is not
    assert not torch.equal(seen[1][0], before)
    by_hand(other, part, torch.optim.SGD(other.parameters(), 0.05), 3, lambda: pull(other))
    assert torch.allclose(model.linear.weight, other.linear.weight, atol=1e-6)


@pytest.mark.parametrize(
    ("trainable", "changed"),
    [
        ("head", {"classifier.3.weight", "classifier.3.bias"}),
        ("linear", {"classifier.0.weight", "classifier.0.bias", "classifier.3.weight", "classifier.3.bias"}),
    ],
)
def test_only_the_layers_asked_for_are_trained_and_batch_norm_keeps_its_statistics(
    trainable: str, changed: set[str], digits: data.Dataset
) -> None:
    model = models.build("vgg16", in_channels=1, seed=0, width=0.05)
    model.get_parameter("features.0.weight").requires_grad_(False)
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training.fit(model, few(digits.train, 32), epochs=2, lr=0.1, batch_size=16, trainable=trainable, **NORMAL)
    assert {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])} == changed
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == flags
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name not in changed)


def test_a_parameter_that_was_frozen_stays_so_when_all_are_trained(digits: data.Dataset) -> None:
    model = network()
    model[0].requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training.fit(model, few(digits.train, 32), epochs=1, lr=0.1, **NORMAL)
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert same == {"0.weight", "0.bias"}
    assert [parameter.requires_grad for parameter in model.parameters()] == [False] * 2 + [True] * 4


def test_a_head_is_trained_as_a_linear_layer_alone_would_be_on_what_the_body_gives(digits: data.Dataset) -> None:
    part = few(digits.train, 16)
    model = network()
    with torch.no_grad():
        model[1].running_mean.fill_(0.2)
        inputs = model[:5].eval()(data.normalise(part.images, **NORMAL))
    head = nn.Linear(128, 10)
    head.load_state_dict(model[5].state_dict())
    training.fit(model, part, epochs=2, momentum=0.0, weight_decay=0.0, trainable="head", **CONSTANT)
    optimizer = torch.optim.SGD(head.parameters(), 0.05)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(inputs), part.labels).backward()
        optimizer.step()
    assert torch.allclose(model[5].weight, head.weight, atol=1e-6)


def test_parameters_get_their_flags_back_after_a_failure(digits: data.Dataset) -> None:
    model = network()
    options: dict[str, Any] = {"epochs": 1, "lr": 0.1, "trainable": "head", **NORMAL}
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        training.fit(model, Split(torch.zeros(4, 1, 6, 6, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)), **options)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_callbacks_count_epochs_from_one_and_steps_to_all(digits: data.Dataset) -> None:
    epochs, steps = [], []
    history = training.fit(
        Recorder(), few(digits.train, 8), few(digits.val, 4), epochs=2, lr=0.1, batch_size=4,
        on_epoch=lambda *given: epochs.append(given), on_step=lambda *given: steps.append(given), **NORMAL,
    )  # fmt: skip
    assert epochs == [(1, 2, history[0]), (2, 2, history[1])]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert set(history[0]) == {"loss", "lr", "train_top1", "val_top1", "seconds"}


def test_an_empty_validation_split_is_left_out(digits: data.Dataset) -> None:
    history = training.fit(Recorder(), few(digits.train, 8), few(digits.val, 0), epochs=1, lr=0.1, **NORMAL)
    assert "val_top1" not in history[0]


def test_divergence_is_told_with_epoch_and_learning_rate(digits: data.Dataset) -> None:
    with pytest.raises(RuntimeError, match=r"diverged: the loss is (nan|inf) in epoch \d of 3 with lr 1e\+30"):
        training.fit(Recorder(), few(digits.train, 64), epochs=3, lr=1e30, batch_size=4, schedule="constant", **NORMAL)


def test_bf16_runs_the_layers_in_bfloat16_and_keeps_float32_weights(digits: data.Dataset) -> None:
    model = network()
    seen = []
    model[5].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    for precision in ("bf16", None):
        training.fit(model, few(digits.train, 8), epochs=1, lr=0.1, precision=precision, **NORMAL)
    assert seen == [torch.bfloat16, torch.float32]
    assert model[5].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"schedule": "step"}, "step_every is None"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"precision": "bf-16"}, "did you mean 'bf16'"),
        ({"optimizer": "adamw"}, "optimizer is 'adamw'.*did you mean 'adam'"),
        ({"trainable": "heads"}, "did you mean 'head'"),
        ({"augmentation": Augmentation(pad=-1)}, "pad is -1"),
        ({"augmentation": Augmentation(rotate=-1.0)}, "rotate is -1.0, but must be from 0 to 180 degrees"),
        ({"augmentation": Augmentation(rotate=181.0)}, "rotate is 181.0"),
        ({"augmentation": Augmentation(rotate=math.nan)}, "rotate is nan"),
        ({"n": 1}, "number of training images is 1"),
    ],
)
def test_bad_arguments_are_refused_before_any_step(change: dict[str, Any], words: str, digits: data.Dataset) -> None:
    model = Recorder()
    arguments = {"epochs": 1, "lr": 0.1, **NORMAL, **change}
    part = few(digits.train, arguments.pop("n", 8))
    with pytest.raises(BadValue, match=words):
        training.fit(model, part, **arguments)
    assert model.seen == []


@pytest.mark.parametrize("trainable", ["head", "linear"])
def test_a_network_without_a_linear_layer_has_no_head_to_train(trainable: str, digits: data.Dataset) -> None:
    model = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(BadValue, match=f"trainable is '{trainable}', but must be 'all' for a network without a linear"):
        training.fit(model, few(digits.train, 8), epochs=1, lr=0.1, trainable=trainable, **NORMAL)


class Constant(nn.Module):
    """Always the same logits, whatever the image."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return self.logits.expand(len(x), -1)


def test_evaluate_gives_top1_f1_and_loss_over_all_batches() -> None:
    split = Split(torch.zeros(5, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 0, 1, 0, 1]))
    model = Constant([1.0, 0.0])
    measured = training.evaluate(model, split, batch_size=2, **NORMAL)
    log_sum = math.log(1 + math.e)
    assert measured.top1 == pytest.approx(60)
    assert measured.f1 == pytest.approx((2 * 3 / (2 * 3 + 2) + 0) / 2)
    assert measured.loss == pytest.approx((3 * (log_sum - 1) + 2 * log_sum) / 5)
    assert measured.n == 5
    assert model.training


def test_top5_is_that_of_scikit_learn_and_none_for_few_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (200, 1, 4, 4), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.randint(8, (200,), generator=generator))
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(8, 16, generator=generator))
        scores = model(data.normalise(images, **NORMAL))
    expected = 100 * top_k_accuracy_score(split.labels, scores, k=5)
    assert 50 < expected < 80
    assert training.evaluate(model, split, batch_size=64, **NORMAL).top5 == pytest.approx(expected)
    few_classes = Split(images, split.labels % 5)
    assert training.evaluate(nn.Sequential(nn.Flatten(), nn.Linear(16, 5)), few_classes, **NORMAL).top5 is None


def test_evaluate_changes_neither_weights_nor_statistics(digits: data.Dataset) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training.evaluate(model, few(digits.val, 20), **NORMAL)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(BadValue, match="images in the split is 0"):
        training.evaluate(model, few(digits.val, 0), **NORMAL)


def test_recalibrate_gives_the_average_statistics_of_the_batches(digits: data.Dataset) -> None:
    model = network().eval()
    with torch.no_grad():
        model[1].running_mean.fill_(7)
    images = digits.train.images[:64]
    training.recalibrate(model, images, batch_size=32, **NORMAL)
    with torch.no_grad():
        maps = model[0](data.normalise(images, **NORMAL))
    assert torch.allclose(model[1].running_mean, maps.mean((0, 2, 3)), atol=1e-5)
    halves = torch.stack([half.var((0, 2, 3)) for half in maps.split(32)])
    assert torch.allclose(model[1].running_var, halves.mean(0), atol=1e-5)


def test_recalibrate_restores_modes_and_momenta_and_leaves_dropout_off(digits: data.Dataset) -> None:
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(1, momentum=0.3))
    training.recalibrate(model, digits.train.images[:33], batch_size=16, **NORMAL)
    expected = data.normalise(digits.train.images[:33], **NORMAL).mean()
    assert model[1].running_mean.item() == pytest.approx(expected.item(), abs=0.01)
    assert model[1].momentum == 0.3
    assert all(module.training for module in model.modules())
    assert model[1].running_mean.grad_fn is None
    with pytest.raises(BadValue, match="number of images is 1"):
        training.recalibrate(model, digits.train.images[:1], **NORMAL)
