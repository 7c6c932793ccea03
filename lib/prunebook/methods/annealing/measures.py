"""The numbers that decide: saliency, NORM, entropy, energy, temperature and acceptance, each by its equation of [1]_.

Where the text and the authors' public code differ, `variant` says which of the two is followed: "paper" or "official".

References
----------
.. [1] Meng, Bai, Teo, Dong: Supervised robustness-preserving data-free neural network pruning, 2022.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from prunebook.errors import choose, require

VARIANTS = ("paper", "official")
SCALES = ("mean", "absolute", "delegate")
SQUASHES = ("symmetric", "logistic", "ratio")

_ROUNDING = 1e-12  # similarities this close below phi count as phi


class Interval(NamedTuple):
    """Bounds of many numbers at once: two tensors of one shape, `lower` nowhere above `upper`."""

    lower: Tensor
    upper: Tensor


def saliency(
    incoming: Tensor, bias: Tensor | None, outgoing: Tensor, variant: str = "paper", scale: str | None = None
) -> Tensor:
    """Eq. 2: how much a network loses where unit i, the nominee, is replaced by unit j, the delegate. Low is little.

    S[i, j] = scale * (||w_i - w_j||_2 + |b_i - b_j| / |b_i + b_j|).

    Parameters
    ----------
    incoming : Tensor (n, ...)
        The weights w_i into each unit, or the kernels of each filter.
    bias : Tensor (n,), or None for zeros
    outgoing : Tensor (n, ...)
        The weights out of each unit, those to the next layer.
    scale : {"mean", "absolute", "delegate"}
        "mean" is the equation as printed: the mean of the nominee's outgoing weights, sign and all, so that a nominee whose
        mean is negative has its lowest saliency with the unit that is least like it. "absolute": the mean of their absolute
        values. "delegate": the L2 norm of the delegate's outgoing weights, as in the code. By default the variant's.
    variant : {"paper", "official"}
        Two biases of 0 are alike for "paper" (a choice: the text has 0/0); for "official" they are NaN, as in the code. Of
        opposite biases both have infinity.

    Returns
    -------
    Tensor (n, n), nominees by rows; the diagonal means nothing. In float64. Raises BadValue for weights or biases that are
    not finite.
    """
    choose("variant", variant, VARIANTS)
    scale = choose("scale", scale or {"paper": "mean", "official": "delegate"}[variant], SCALES)
    n = len(incoming)
    require(len(outgoing) == n, "len(outgoing)", len(outgoing), f"the number of units, {n}")
    for name, values in (("incoming", incoming), ("bias", bias), ("outgoing", outgoing)):
        finite = values is None or bool(torch.isfinite(values).all())
        require(finite, name, "a tensor with NaN or infinity", "finite numbers only")
    w, out = incoming.detach().double().reshape(n, -1), outgoing.detach().double().reshape(n, -1)
    b = torch.zeros(n, dtype=torch.float64, device=w.device) if bias is None else bias.detach().double()
    difference, total = (b[:, None] - b).abs(), (b[:, None] + b).abs()
    term = difference / total
    if variant == "paper":
        term = torch.where((difference == 0) & (total == 0), 0.0, term)
    # Without matrix products, which lose all digits of the distance between units that are nearly equal.
    apart = torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist") + term
    if scale == "delegate":
        return out.norm(dim=1) * apart
    return (out if scale == "mean" else out.abs()).mean(dim=1)[:, None] * apart


def norm(delta: Interval) -> Tensor:
    """Eq. 4: NORM, the sum of the widths of the intervals (..., n) -> (...)."""
    return (delta.upper - delta.lower).abs().sum(dim=-1)


def similarity(delta: Interval, variant: str = "paper") -> Tensor:
    """Eq. 5, Definition V.1: how alike each two of n intervals are: (..., n) -> (..., n, n), 1 for equal ones.

    Differences of bounds are relative to the hull of all intervals; for "official" of all intervals and zero. Where that
    hull is a point, all intervals are equal: 1.
    """
    choose("variant", variant, VARIANTS)
    lower, upper = delta
    low, high = lower.amin(dim=-1), upper.amax(dim=-1)
    if variant == "official":
        low, high = low.clamp(max=0), high.clamp(min=0)
    apart = (lower[..., :, None] - lower[..., None, :]).abs() + (upper[..., :, None] - upper[..., None, :]).abs()
    wide = (high - low)[..., None, None]
    return 1 - apart / 2 / torch.where(wide == 0, 1, wide)


def density(delta: Interval, phi: float = 0.9, variant: str = "paper") -> Tensor:
    """Eq. 6, Definition V.2: to what share of the n intervals each is similar by at least `phi`: (..., n) -> (..., n).

    The interval itself is not counted, but for "official" it is; either way the count is divided by n.
    """
    require(0 <= phi <= 1, "phi", phi, "a similarity from 0 to 1")
    alike = similarity(delta, variant) >= phi - _ROUNDING
    return (alike.sum(dim=-1) - int(variant == "paper")).double() / delta.lower.shape[-1]


def entropy(delta: Interval, phi: float = 0.9, variant: str = "paper") -> Tensor:
    """Eq. 7: ENT, minus the sum of density times its logarithm, in nats (the text names no base): (..., n) -> (...).

    A density of 0, which only "paper" has, adds 0.
    """
    return torch.special.entr(density(delta, phi, variant)).sum(dim=-1)


def squash(value: Tensor, kind: str = "symmetric") -> Tensor:
    """The function sigma of Eq. 8, monotone on numbers of at least 0 and bounded by 1.

    "symmetric": 2 / (1 + exp(-x)) - 1, the logistic function stretched to the range (-1, 1) that the text gives.
    "logistic": 1 / (1 + exp(-x)), as in the code. Both are 1 to the last bit for x above about 40. "ratio": x / (1 + x), our
    addition, which still tells such values apart.
    """
    choose("squash", kind, SQUASHES)
    if kind == "ratio":
        return value / (1 + value)
    return torch.tanh(value / 2) if kind == "symmetric" else torch.sigmoid(value)


def energy(
    delta: Interval,
    alpha: float = 0.75,
    beta: float = 0.25,
    phi: float = 0.9,
    variant: str = "paper",
    kind: str | None = None,
) -> Tensor:
    """Eq. 8: alpha sigma(NORM) + beta sigma(ENT) of the impact `delta` on the outputs: (..., n) -> (...). Low is good.

    `kind` is that of `squash`; by default the variant's: "symmetric" for "paper", "logistic" for "official". Raises BadValue
    unless alpha and beta are at least 0 and add up to 1, and for an impact with NaN or without outputs.
    """
    choose("variant", variant, VARIANTS)
    require(delta.lower.shape[-1] > 0, "the number of outputs of delta", 0, "at least 1")
    known = not bool(delta.lower.isnan().any() or delta.upper.isnan().any())
    require(known, "delta", "with NaN", "bounds that are numbers")
    require(
        min(alpha, beta) >= 0 and math.isclose(alpha + beta, 1), "alpha and beta", (alpha, beta), "shares that add up to 1"
    )
    kind = kind or {"paper": "symmetric", "official": "logistic"}[variant]
    return alpha * squash(norm(delta), kind) + beta * squash(entropy(delta, phi, variant), kind)


def temperature(done: int, of: int, variant: str = "paper") -> float:
    """T of section V.C.

    "paper": the share of the task that remains, `done` of the `of` units that are to go being gone: from 1 to 0.
    "official": 1.0001 minus the share of a layer's `of` units that are in pairs at the moment, `done`. All disjoint pairs
    are formed before the walk, so it starts near 0, and rises as pairs are dropped.
    """
    choose("variant", variant, VARIANTS)
    require(of > 0, "of", of, "at least 1")
    require(0 <= done <= of, "done", done, f"from 0 to {of}")
    return (1 if variant == "paper" else 1.0001) - done / of


def acceptance(energy: float, previous: float, temperature: float) -> float:
    """Eq. 9: min(1, exp(-(energy - previous) / temperature)), the probability to accept; at temperature 0 its limit."""
    require(temperature >= 0, "temperature", temperature, "at least 0")
    require(not math.isnan(energy - previous), "energy", energy, f"a number to compare with {previous}")
    if energy <= previous:
        return 1.0
    return math.exp(-(energy - previous) / temperature) if temperature > 0 else 0.0
