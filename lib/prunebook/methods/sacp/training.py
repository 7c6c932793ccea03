"""How the encoder learns: contrastive training (section 3.4), and the regression of the ablation SACP-1 (section 4.4)."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook.errors import choose, require
from prunebook.methods.sacp.encoder import Encoder
from prunebook.methods.sacp.graph import ArchitectureGraph
from prunebook.methods.sacp.space import Space, random_masks, ranked_masks

LOSSES = ("infonce", "as-printed")
ANCHORS = ("first", "original")

_EPS = 1e-8  # Eq. 6 calls it small

Masks = list[Tensor]  # one Tensor (B, C) of 1 and -1 for each entry


class Epoch(NamedTuple):
    """Means over an epoch: the loss, and the cosine of an anchor with its positive and with its negative."""

    loss: float
    positive: float
    negative: float


class Trained(NamedTuple):
    encoder: Encoder
    history: list[Epoch]


class Regressed(NamedTuple):
    """An encoder, the linear layer `head` (out -> 1) that predicts accuracy in percent, and each epoch's mean squared
    error in squared percentage points."""

    encoder: Encoder
    head: nn.Linear
    history: list[float]


def train(
    graph: ArchitectureGraph,
    space: Space,
    rankings: Sequence[Tensor],
    configurations: int = 10_000,
    epochs: int = 10,
    batch: int = 32,
    loss: str = "infonce",
    temperature: float = 0.5,
    anchor: str = "first",
    lr: float = 1e-3,
    seed: int = 0,
    encoder: Encoder | None = None,
    on_epoch: Callable[[int, Epoch], object] | None = None,
) -> Trained:
    """Train an encoder on triads of anchor, positive and negative, with Adam.

    Each configuration r is drawn from the whole space (section 3.3). Its positive keeps the channels of highest L1 norm, its
    negative as many at random, drawn anew each time [choice].

    Parameters
    ----------
    rankings : one Tensor (C,) for each entry
        Channels, highest L1 norm first, see `space.rankings`.
    configurations : int, at least 2
        Different draws of r, the paper's N; each is seen once an epoch.
    loss : {"infonce", "as-printed"}
        See `contrast` and `contrast_as_printed`. The printed one draws negatives near as it does positives.
    temperature : float above 0
        Of either loss, tau in Eq. 5.
    anchor : {"first", "original"}
        The paper has an anchor "from the training set" (3.4) and an "embedding of the original model" (introduction).
        "first": r's first channels stay, whatever they weigh; "original": the unpruned network.
    seed : int
        Of everything drawn: configurations, their order, negatives, and the initial weights where no `encoder` is given.
    encoder : Encoder
        To start from; itself left as it was. By default ``Encoder(graph, seed=seed)``.
    on_epoch : called with the number of epochs done and the last `Epoch`

    Raises
    ------
    BadValue
        A parameter out of its range, before anything is computed.
    """
    choose("loss", loss, LOSSES)
    choose("anchor", anchor, ANCHORS)
    _check(configurations, epochs, batch, lr)
    _check_positive("temperature", temperature)
    contrasted = contrast if loss == "infonce" else contrast_as_printed
    learner = Encoder(graph, seed=seed) if encoder is None else copy.deepcopy(encoder)
    optimizer = torch.optim.Adam(learner.parameters(), lr)
    generator = torch.Generator().manual_seed(seed)
    drawn = space.sample(configurations, seed=seed)
    ranked = ranked_masks(space, rankings)
    firsts = ranked_masks(space, [torch.arange(width) for width in graph.widths])
    whole = [table[:1] for table in firsts]
    history = []
    for epoch in range(epochs):
        sums = torch.zeros(3, dtype=torch.float64)
        for r in _batches(drawn, batch, generator):
            anchors = select(firsts, r) if anchor == "first" else whole
            triad = (anchors, select(ranked, r), random_masks(space, r, generator))
            parts = learner.embed([torch.cat(masks) for masks in zip(*triad, strict=True)]).split([len(a[0]) for a in triad])
            first, positive, negative = parts[0].expand(len(r), -1), parts[1], parts[2]
            value = contrasted(first, positive, negative, temperature)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            near, far = (F.cosine_similarity(first, other).mean().item() for other in (positive, negative))
            sums += len(r) * torch.tensor([value.item(), near, far], dtype=torch.float64)
        history.append(Epoch(*(sums / configurations).tolist()))
        if on_epoch is not None:
            on_epoch(epoch + 1, history[-1])
    return Trained(learner.eval(), history)


class Apart(NamedTuple):
    """What an encoder makes of triads.

    share : of those whose positive is nearer to the anchor than the negative, ties counting half
    positive, negative : mean cosines with the anchor
    distance : mean 1 - cosine of an anchor and its negative, over that of it and another triad's; 1 where all are alike
    """

    share: float
    positive: float
    negative: float
    distance: float


@torch.no_grad()
def apart(
    encoder: Encoder,
    graph: ArchitectureGraph,
    space: Space,
    rankings: Sequence[Tensor],
    triads: int = 1000,
    anchor: str = "first",
    seed: int = 0,
) -> Apart:
    """How an encoder tells positives from negatives, made as in `train`, of configurations drawn by another seed.

    A gap of the mean cosines does not say that: an encoder with random weights has one too, and two clouds that overlap
    have means that differ. Chance has a `share` of a half; but one encoder's triads are not independent of each other, as
    all positives are the beginnings of the same lists. So set it beside those of encoders that have not learnt.

    Nor does a cosine say whether a negative is far: random weights give all embeddings much in common, and whatever spreads
    them lowers every cosine. `distance` is free of that. An anchor and its negative differ in which channels stay, an anchor
    and another's also in how many: near 0, only how many counts; above 1, negatives are farther than strangers. With one
    anchor for all, strangers are the same negatives, and it says nothing.
    """
    choose("anchor", anchor, ANCHORS)
    require(isinstance(triads, int) and triads >= 1, "triads", triads, "a whole number of at least 1")
    drawn = space.sample(triads, seed=seed)
    firsts = ranked_masks(space, [torch.arange(width) for width in graph.widths])
    anchors = select(firsts, drawn) if anchor == "first" else [table[:1] for table in firsts]
    positives = select(ranked_masks(space, rankings), drawn)
    negatives = random_masks(space, drawn, torch.Generator().manual_seed(seed))
    first, positive, negative = (encoder.embed(masks) for masks in (anchors, positives, negatives))
    near, far, strangers = (F.cosine_similarity(first, o, dim=1) for o in (positive, negative, negative.roll(1, 0)))
    share = (near > far).double().mean() + (near == far).double().mean() / 2
    own, others = (float((1 - cosines.double()).mean()) for cosines in (far, strangers))
    return Apart(float(share), float(near.mean()), float(far.mean()), own / others if others > _EPS else 1.0)


def contrast(anchor: Tensor, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """InfoNCE: each anchor is to find its own positive among all positives and negatives of the batch, by cosine.

    Embeddings (B, out) -> the mean cross-entropy, a scalar.
    """
    others = F.normalize(torch.cat([positive, negative]), dim=1)
    similarity = F.normalize(anchor, dim=1) @ others.T / temperature
    return F.cross_entropy(similarity, torch.arange(len(anchor), device=anchor.device))


def contrast_as_printed(anchor: Tensor, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Eq. 5 to 8 to the letter: the loss of the positives plus that of the negatives, a scalar.

    Eq. 5 is called a cosine, but divides by the temperature alone. Eq. 6 does not use its label y, so both terms of Eq. 8
    fall as an anchor nears its partner: negatives are drawn near as well. Where all N anchors are one, the loss is at least
    2 log N, and lowest where a batch's similarities are all alike.
    """
    return _softmax_loss(anchor, positive, temperature) + _softmax_loss(anchor, negative, temperature)


def _softmax_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Eq. 6 and 7: the mean of -log(exp(s_ii - max) / (sum_j exp(s_ij - max) + eps)), s = first second^T / temperature."""
    similarity = first @ second.T / temperature
    shifted = similarity - similarity.amax(dim=1, keepdim=True)
    return ((shifted.exp().sum(dim=1) + _EPS).log() - shifted.diagonal()).mean()  # log(exp(x)) = x: no underflow


def regress(
    graph: ArchitectureGraph,
    space: Space,
    rankings: Sequence[Tensor],
    configurations: Tensor,
    accuracies: Tensor | Sequence[float],
    epochs: int = 10,
    batch: int = 32,
    lr: float = 1e-3,
    seed: int = 0,
    encoder: Encoder | None = None,
    on_epoch: Callable[[int, float], object] | None = None,
) -> Regressed:
    """SACP-1: an encoder and a linear layer learn to predict the accuracy of pruned networks, by mean squared error.

    Parameters
    ----------
    configurations : Tensor (N, L), whole numbers in 0..steps - 1, see `Space`
        Each stands for the network that keeps the channels of highest L1 norm.
    accuracies : (N,)
        Of these networks, in percent. Learnt with mean 0 and standard deviation 1, given back in percent.
    others : as in `train`
    """
    measured = torch.as_tensor(accuracies, dtype=torch.float32)
    _check(len(configurations), epochs, batch, lr)
    require(measured.shape == (len(configurations),), "accuracies", tuple(measured.shape), f"({len(configurations)},)")
    require(bool(measured.isfinite().all()), "accuracies", "a list with NaN or infinity", "finite numbers only")
    learner = Encoder(graph, seed=seed) if encoder is None else copy.deepcopy(encoder)
    head = nn.utils.skip_init(nn.Linear, len(learner.biases[-1]), 1)
    nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
    optimizer = torch.optim.Adam([*learner.parameters(), *head.parameters()], lr)
    centre, scale = measured.mean(), measured.std().clamp(min=1e-6)
    generator = torch.Generator().manual_seed(seed)
    ranked = ranked_masks(space, rankings)
    history = []
    for epoch in range(epochs):
        total = 0.0
        for chosen in _batches(torch.arange(len(configurations)), batch, generator):
            predicted = head(learner.embed(select(ranked, configurations[chosen])))[:, 0]
            error = F.mse_loss(predicted, (measured[chosen] - centre) / scale)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            total += len(chosen) * error.item() * scale.item() ** 2
        history.append(total / len(configurations))
        if on_epoch is not None:
            on_epoch(epoch + 1, history[-1])
    with torch.no_grad():
        head.weight *= scale
        head.bias.mul_(scale).add_(centre)
    return Regressed(learner.eval(), head, history)


def select(tables: Sequence[Tensor], r: Tensor) -> Masks:
    """The masks of configurations r (B, L), from one table (steps, C) for each entry, see `space.ranked_masks`."""
    return [table[ratios] for table, ratios in zip(tables, r.long().unbind(dim=1), strict=True)]


def _batches(values: Tensor, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """All rows once, in a new order; the last batch may be smaller."""
    yield from values[torch.randperm(len(values), generator=generator)].split(batch)


def _check(configurations: int, epochs: int, batch: int, lr: float) -> None:
    for name, value, least in (("configurations", configurations, 2), ("epochs", epochs, 1), ("batch", batch, 2)):
        require(isinstance(value, int) and value >= least, name, value, f"a whole number of at least {least}")
    _check_positive("lr", lr)


def _check_positive(name: str, value: float) -> None:
    require(isinstance(value, int | float) and 0 < value < math.inf, name, value, "a number above 0")
