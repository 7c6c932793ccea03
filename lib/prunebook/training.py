"""The one place that trains: SGD or Adam on uint8 images or rows of a table, in one process or together with others.

Several processes (see `distributed`) take their shares of the same batches. But for rounding, and for batch norm, which
sees only the images of its own process, the result is that of one process.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prunebook import data, distributed
from prunebook.data import Augmentation, FolderSplit, Split
from prunebook.errors import choose, require
from prunebook.measure import f1
from prunebook.models import in_mode
from prunebook.robustness import loss as cross_entropy
from prunebook.robustness import predict

SCHEDULES = ("cosine", "step", "one-cycle", "constant")
OPTIMIZERS = ("sgd", "adam")
TRAINABLE = ("all", "head", "linear")
PRECISIONS = ("fp32", "bf16")
AUGMENTATION = Augmentation()  # random crops and mirroring
WARM_UP = 0.3  # share of the steps in which a one-cycle schedule rises, from lr / 25

History = list[dict[str, float]]


class Metrics(NamedTuple):
    """Accuracy `top1` in percent, macro `f1` in [0, 1], mean cross-entropy `loss` in nats, over `n` images.

    `top5` is the percentage of images whose class is among the five likeliest; None for five classes or fewer.
    """

    top1: float
    f1: float
    loss: float
    n: int
    top5: float | None = None


def fit(
    model: nn.Module,
    train: Split | FolderSplit,
    val: Split | FolderSplit | None = None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    epochs: int,
    lr: float,
    batch_size: int = 128,
    schedule: str = "cosine",
    step_every: int | None = None,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 5e-4,
    trainable: str = "all",
    seed: int = 0,
    augment: bool = True,
    augmentation: Augmentation = AUGMENTATION,
    precision: str | None = None,
    regularise: Callable[[], object] | None = None,
    on_epoch: Callable[[int, int, dict[str, float]], object] | None = None,
    on_step: Callable[[int, int], object] | None = None,
) -> History:
    """Train `model` in place with cross-entropy, on the device where it and the splits are; one output is that of class 1.

    Parameters
    ----------
    mean, std: by which each channel is normalised.
    lr, schedule: the highest learning rate, and its course: "cosine" falls from it to 0, "step" divides it by 10 after
        every `step_every` epochs, "one-cycle" rises to it in the first 30 % of the steps and falls as a cosine,
        "constant" stays.
    batch_size: of all processes together. The last batch of an epoch is smaller, and left out where it has less than two
        images for each process (batch norm).
    optimizer: "sgd" with `momentum`, or "adam", which has none; `weight_decay` is added to the gradient (L2) by both.
    trainable: "all" weights; "head", the last linear layer only; "linear", all linear layers. What is not trained stays
        in evaluation mode, so that its batch norm's statistics stay too.
    seed: of the order of the images and of their augmentation. On the CPU, equal seeds give equal weights to the bit.
    augment, augmentation: whether and how the images are changed, see `Augmentation` and `FolderSplit`. Rows of a table
        cannot be.
    regularise: called after every backward pass, before the step; it may add to the gradients of `model`.
    precision: "fp32", or "bf16" for autocast; by default bf16 on CUDA and fp32 elsewhere.
    on_epoch: called as (epoch from 1, epochs, metrics) with the entry of the history, `on_step` as (done, all steps).

    Returns one dict an epoch: loss (mean), lr (of its last step), train_top1 (percent, while training, as augmented),
    val_top1 (percent, if there is a `val` with images) and seconds (of training). Of several processes, all return the
    same (but for the seconds) and have the same network: batch norm's running statistics are averaged after every epoch.

    Raises BadValue for bad arguments, RuntimeError where the loss is not finite after an epoch.
    """
    _check(epochs, lr, batch_size, schedule, step_every, momentum, weight_decay, seed, len(train), augmentation)
    require(not (augment and train.is_table), "augment", augment, "False for a table, whose rows are no images")
    choose("optimizer", optimizer, OPTIMIZERS)
    device = train.labels.device
    precision = _precision(precision, device)
    generator = torch.Generator(device).manual_seed(seed)
    trained = _trained(model, trainable)
    weights = [parameter for module in trained for parameter in module.parameters()]
    descent: torch.optim.Optimizer
    if optimizer == "adam":
        descent = torch.optim.Adam(weights, lr, weight_decay=weight_decay)
    else:
        descent = torch.optim.SGD(weights, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    per_epoch = _steps(len(train), batch_size)
    rates = [_rate(schedule, lr, step, per_epoch, epochs, step_every) for step in range(epochs * per_epoch)]
    history: History = []
    with _only(model, weights):
        together = distributed.parallel(model)
        for epoch in range(epochs):
            start = time.perf_counter()
            order = _order(len(train), batch_size, generator)
            batches = _batches(train, order, generator if augment else None, augmentation, mean, std)
            with in_mode(model, training=trainable == "all"):
                metrics = _epoch(together, descent, batches, rates, epoch * per_epoch, precision, regularise, on_step)
            distributed.average_buffers(model)
            metrics["seconds"] = time.perf_counter() - start
            if not math.isfinite(metrics["loss"]):
                raise RuntimeError(
                    f"training diverged: the loss is {metrics['loss']} in epoch {epoch + 1} of {epochs} with lr {lr:g}; "
                    "try a smaller lr"
                )
            if val is not None and len(val) > 0:
                metrics["val_top1"] = evaluate(model, val, mean=mean, std=std).top1
            history.append(metrics)
            if on_epoch is not None:
                on_epoch(epoch + 1, epochs, metrics)
    return history


def evaluate(
    model: nn.Module, split: Split | FolderSplit, *, mean: Sequence[float], std: Sequence[float], batch_size: int = 128
) -> Metrics:
    """Accuracy, F1 and loss of `model` on a split, in evaluation mode and full precision; modes are restored.

    Of several processes, each takes a share of the images, and all return the same.

    Raises BadValue for a split without images.
    """
    require(len(split) > 0, "number of images in the split", 0, "at least 1")
    require(batch_size >= 1, "batch_size", batch_size, "at least 1")
    n = len(split)
    with in_mode(model, training=False), torch.inference_mode():
        # Larger batches take longer on a CPU. From 32 MiB on, which 256 images of 32 pixels with 32 channels fill, the C
        # library gives memory back to the system after each operation, and has every page of it mapped anew for the next.
        images = split.read(_equal_share(n).split(batch_size))
        logits = torch.cat([model(data.normalise(batch, mean, std)).float() for batch in images])
        logits = distributed.gather(logits)[:n]
        loss = cross_entropy(logits, split.labels).item()
    predicted = predict(logits)
    top1 = 100 * (predicted == split.labels).sum().item() / n
    return Metrics(top1, f1(predicted, split.labels, max(2, logits.shape[1])), loss, n, _top5(logits, split.labels))


def recalibrate(
    model: nn.Module, images: Tensor, *, mean: Sequence[float], std: Sequence[float], batch_size: int = 128
) -> None:
    """Estimate the running statistics of every batch norm anew, in place: the average over batches of `images`.

    `images` are uint8 (n, c, h, w), usually unaugmented training images. Weights, modes and momenta stay as they are.
    Raises BadValue for less than two images or a batch size below two.
    """
    require(len(images) >= 2, "number of images", len(images), "at least 2")
    require(batch_size >= 2, "batch_size", batch_size, "at least 2")
    tracked = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats)
    momenta = {module: module.momentum for module in tracked}
    with in_mode(model, training=False), torch.no_grad():
        try:
            for module in momenta:
                module.train()
                module.reset_running_stats()
                module.momentum = None  # cumulative average: every batch has the same weight
            # Batches of nearly equal size, because they weigh equally.
            for batch in images.tensor_split(max(1, len(images) // batch_size)):
                model(data.normalise(batch, mean, std))
        finally:
            for module, momentum in momenta.items():
                module.momentum = momentum


class _Batch(NamedTuple):
    """This process's share of a batch; `weight` is that of its mean in the mean of all processes' means."""

    inputs: Tensor
    labels: Tensor
    weight: float


def _batches(
    train: Split | FolderSplit,
    order: Sequence[Tensor],
    generator: torch.Generator | None,
    how: Augmentation,
    mean: Sequence[float],
    std: Sequence[float],
) -> Iterator[_Batch]:
    """The batches of an epoch, augmented where there is a generator to do it by."""
    shares = [chosen[distributed.share(len(chosen))] for chosen in order]
    images = train.read_augmented(order, generator, how, distributed.share) if generator else train.read(shares)
    for batch, mine, chosen in zip(images, shares, order, strict=True):
        weight = len(mine) * distributed.world() / len(chosen)
        yield _Batch(data.normalise(batch, mean, std), train.labels[mine], weight)


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[_Batch],
    rates: Sequence[float],
    done: int,
    precision: str,
    regularise: Callable[[], object] | None,
    on_step: Callable[[int, int], object] | None,
) -> dict[str, float]:
    """One step for each batch, after `done` steps of the `len(rates)` in all; the epoch's loss, lr and train_top1."""
    losses, hits, sizes = [], [], []
    for step, batch in enumerate(batches, start=done):
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        # The numbers stay on the device until the epoch's end: to ask for them here would make it wait at every step.
        loss, right = _step(model, optimizer, batch, precision, regularise)
        losses.append(loss * len(batch.labels))
        hits.append(right)
        sizes.append(len(batch.labels))
        if on_step is not None:
            on_step(step + 1, len(rates))
    loss_sum, right_sum = torch.stack(losses).sum(), torch.stack(hits).sum()
    sums = torch.stack([loss_sum.double(), right_sum.double(), torch.tensor(sum(sizes)).to(loss_sum.device)])
    loss, right, seen = distributed.total(sums).tolist()
    return {"loss": loss / seen, "lr": rates[step], "train_top1": 100 * right / seen}


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: _Batch,
    precision: str,
    regularise: Callable[[], object] | None,
) -> tuple[Tensor, Tensor]:
    """One descent; the mean loss and the number of right answers before it, left on the device."""
    with torch.autocast(batch.inputs.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits = model(batch.inputs)
    loss = cross_entropy(logits.float(), batch.labels)
    optimizer.zero_grad(set_to_none=True)
    (loss * batch.weight).backward()
    if regularise is not None:
        regularise()
    optimizer.step()
    return loss.detach(), (predict(logits.detach()) == batch.labels).sum()


def _trained(model: nn.Module, trainable: str) -> list[nn.Module]:
    """The modules whose parameters are trained: see `fit`."""
    if choose("trainable", trainable, TRAINABLE) == "all":
        return [model]
    linear: list[nn.Module] = [module for module in model.modules() if isinstance(module, nn.Linear)]
    require(bool(linear), "trainable", trainable, "'all' for a network without a linear layer")
    return linear[-1:] if trainable == "head" else linear


@contextmanager
def _only(model: nn.Module, weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """No gradients for any other parameter; afterwards each has or has not as before."""
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.requires_grad_(False)
    for parameter in weights:
        parameter.requires_grad_(before[parameter])
    try:
        yield
    finally:
        for parameter, wanted in before.items():
            parameter.requires_grad_(wanted)


def _equal_share(n: int) -> Tensor:
    """This process's contiguous part of the numbers from 0 to n - 1; the last parts repeat the last number to be as long."""
    size = math.ceil(n / distributed.world())
    return (torch.arange(size) + size * distributed.rank()).clamp(max=n - 1)


def _top5(logits: Tensor, labels: Tensor) -> float | None:
    if logits.shape[1] <= 5:
        return None
    return 100 * (logits.topk(5).indices == labels[:, None]).any(1).sum().item() / len(labels)


def _steps(n: int, batch_size: int) -> int:
    return n // batch_size + (n % batch_size >= 2 * distributed.world())


def _order(n: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """The numbers of n images in random order, in `_steps` batches."""
    order = torch.randperm(n, generator=generator, device=generator.device)
    return list(order.split(batch_size)[: _steps(n, batch_size)])


def _rate(schedule: str, lr: float, step: int, per_epoch: int, epochs: int, step_every: int | None) -> float:
    """The learning rate of a step, counted from 0 over all epochs."""
    steps = per_epoch * epochs
    if schedule == "step":
        assert step_every is not None
        return lr * 0.1 ** (step // per_epoch // step_every)
    if schedule == "cosine":
        return _cosine(lr, step / steps)
    if schedule == "one-cycle":
        rising = WARM_UP * steps
        if step < rising:
            return lr / 25 + (lr - lr / 25) * step / rising
        return _cosine(lr, (step - rising) / (steps - rising))
    return lr


def _cosine(lr: float, progress: float) -> float:
    return lr * (1 + math.cos(math.pi * progress)) / 2


def _precision(precision: str | None, device: torch.device) -> str:
    if precision is None:
        return "bf16" if device.type == "cuda" else "fp32"
    return choose("precision", precision, PRECISIONS)


def _check(
    epochs: int, lr: float, batch_size: int, schedule: str, step_every: int | None, momentum: float,
    weight_decay: float, seed: int, images: int, augmentation: Augmentation,
) -> None:  # fmt: skip
    choose("schedule", schedule, SCHEDULES)
    require(epochs >= 1, "epochs", epochs, "at least 1")
    require(lr > 0 and math.isfinite(lr), "lr", lr, "a number above 0")
    least, why = 2 * distributed.world(), "" if distributed.world() == 1 else ", two for each process"
    require(batch_size >= least, "batch_size", batch_size, f"at least {least}{why}")
    require(0 <= momentum < 1, "momentum", momentum, "at least 0 and below 1")
    require(weight_decay >= 0, "weight_decay", weight_decay, "at least 0")
    require(seed >= 0, "seed", seed, "at least 0")
    require(images >= least, "number of training images", images, f"at least {least}{why}")
    require(augmentation.pad >= 0, "pad", augmentation.pad, "at least 0")
    require(0 <= augmentation.rotate <= 180, "rotate", augmentation.rotate, "from 0 to 180 degrees")
    if schedule == "step":
        require(step_every is not None and step_every >= 1, "step_every", step_every, "at least 1 with schedule 'step'")
