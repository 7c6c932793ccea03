"""Sørensen-Dice pruning: filters whose weights overlap most with those of the others go, and those that overlap least.

The Dice index takes two filters as sets: twice what they share over what both hold. A filter that is much like all others
on average counts as redundant, one that is little like them as uninformative [1]_.

References
----------
.. [1] Hajbi: Optimizing CNNs via Sørensen-Dice based pruning, master's thesis, Bahçeşehir University, Istanbul 2025.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice, takewhile, zip_longest
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from prunebook import cutting, features
from prunebook.errors import BadValue, choose, require
from prunebook.methods import allocation, kcore
from prunebook.methods.minima import divided, extremes, pairwise_minima
from prunebook.plan import PruningPlan

NORMS = ("abs", "max")
RESCALES = ("shift", "none", "parts")
MODES = ("one-shot", "greedy")
ENDS = ("both", "low", "high", "middle")
SOURCES = ("weights", "activations")
LAYERS = ("conv", "all")
COUPLED = ("mean", "lead", "keep", "each")

_GRID = 2.0**40  # averages are rounded to 1/_GRID


class Step(NamedTuple):
    """One step of `until`: the share of filters that may go, the network's score, and the drop from the whole network's."""

    ratio: float
    score: float
    drop: float


class Scene(NamedTuple):
    """What decisions on a network need.

    groups : the coupled layers, by the name of the first of them
    similarity : for each group that may lose filters, by that name, the matrices (n, n) that decide, one after the other
    widths : output channels of every layer in scope
    example_inputs : one input of the network
    """

    groups: dict[str, list[str]]
    similarity: dict[str, list[Tensor]]
    widths: dict[str, int]
    example_inputs: Tensor


def plan(
    model: nn.Module,
    ratio: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    mode: str = "one-shot",
    *,
    target: float | None = None,
    ends: str = "both",
    norm: str = "abs",
    rescale: str | bool = "shift",
    of: str = "weights",
    images: Tensor | None = None,
    layers: str = "conv",
    coupled: str = "mean",
    example_inputs: Tensor | None = None,
) -> PruningPlan:
    """Decide which filters every layer keeps.

    Parameters
    ----------
    model : nn.Module
        Left as it was.
    ratio : float in [0, 1)
        The thesis's limiter p: no layer loses more than this share of its filters.
    alpha, beta, mode, ends
        As in `select`.
    target : float in (0, 1), instead of `ratio`
        Share of the MACs (counter "macs") to remove. The ratio that comes nearest is found by bisection; the plan's
        parameters say which it was, and what share it removes. Our addition.
    norm, rescale
        As in `normalised`.
    of : {"weights", "activations"}
        What is compared: a filter's weights, as in section 3.1, or its raw outputs for `images`, before batch norm and
        activation function, at all places of all images (the activation patterns of section 1.2), normalised and rescaled
        like weights. Raw outputs because that is what a feature map is everywhere in this package. Similarities are
        computed in float64, whatever the network's precision.
    images : Tensor (m, c, h, w)
        Normalised as in training. Needed for activations.
    layers : {"conv", "all"}
        Which layers lose outputs: convolutions, or linear layers as well.
    coupled : {"mean", "lead", "keep", "each"}
        Where layers have to keep the same filters (a residual stage), "mean" decides by the mean of their similarities,
        "lead" by those of one of them (see `kcore.lead`), "keep" leaves all of them whole. With "each", in order of
        execution, every one of them removes its own share of the filters that are left, by its own similarities among
        these: Algorithm 1 read literally. All lose what any removes, which is more than the limiter allows. The thesis does
        not say.
    example_inputs : Tensor (1, c, h, w)
        To trace the network where no `images` are given; by default zeros, 32 pixels wide, for networks of `models.build`.

    Returns
    -------
    PruningPlan
        It names every layer of the scope, those that follow another included.

    Raises
    ------
    BadValue
        A parameter out of its range, before anything is computed; weights or activations with NaN or infinity; a target
        that no ratio comes near.
    """
    allocation.check_dial(ratio, target, "dice.plan")
    _check_choice(alpha, beta, mode, ends)
    options = _checked(norm, rescale, of, images, layers, coupled)
    scene = _scene(model, options, images, example_inputs)

    def decide(share: float) -> allocation.Keep:
        return {name: _in_turn(s, share, alpha, beta, mode, ends) for name, s in scene.similarity.items()}

    parameters: dict[str, Any] = {"ratio": ratio, "alpha": alpha, "beta": beta, "mode": mode, "ends": ends, **options}
    if target is None:
        assert ratio is not None
        keep = decide(ratio)
    else:
        macs = cutting.macs_if_kept(model, scene.example_inputs, scene.similarity)
        keep, found, removed = allocation.reach(target, decide, macs)
        parameters |= {"target": target, "ratio": found, "removed": removed}
    return _plan(model, scene, keep, parameters)


def until(
    model: nn.Module,
    score: Callable[[nn.Module], float],
    drop: float,
    *,
    step: float = 0.05,
    alpha: float = 0.1,
    beta: float = 0.9,
    ends: str = "both",
    most: float = 0.95,
    on_step: Callable[[Step], None] | None = None,
    norm: str = "abs",
    rescale: str | bool = "shift",
    of: str = "weights",
    images: Tensor | None = None,
    layers: str = "conv",
    coupled: str = "mean",
    example_inputs: Tensor | None = None,
) -> tuple[PruningPlan, list[Step]]:
    """Remove filters greedily until the accuracy has dropped too far: the stop rule of section 3.2.

    At step k every layer has lost the share ``k * step`` of its filters, the first of its `order`. The thesis names neither
    the steps nor the data; here it is every layer by as much, without fine-tuning in between.

    Parameters
    ----------
    score : callable, network -> accuracy in percent
        On a validation split: what the test set decides, it can no longer test. It is called with `model` first, then with
        each smaller network.
    drop : float, at least 0
        The drop from the whole network's score, in points, that is still accepted.
    step : float in (0, 1)
    most : float in (0, 1)
        No layer loses more than this share, whatever the score.
    on_step : callable, called with each `Step` as it is done
    alpha, beta, ends, and the others
        As in `order` and `plan`, without coupled="each".

    Returns
    -------
    (PruningPlan, list of Step)
        The last plan whose drop was accepted, and all steps: the whole network, at ratio 0, first; the one that went too
        far last.

    Raises
    ------
    BadValue
        As `plan`, or a score that is no number.
    """
    require(_is_finite(drop) and drop >= 0, "drop", drop, "points of accuracy, at least 0")
    require(_is_finite(step) and 0 < step < 1, "step", step, "a share of each layer's filters between 0 and 1")
    require(_is_finite(most) and 0 < most < 1, "most", most, "a share of each layer's filters between 0 and 1")
    _check_shares(alpha, beta)
    _check_choice(alpha, beta, "greedy", ends)
    options = _checked(norm, rescale, of, images, layers, coupled)
    require(coupled != "each", "coupled", coupled, "'mean', 'lead' or 'keep': a step takes as large a share of every layer")
    scene = _scene(model, options, images, example_inputs)
    orders = {name: order(similarity, alpha, beta, ends) for name, (similarity,) in scene.similarity.items()}
    parameters: dict[str, Any] = {"drop": drop, "step": step, "most": most, "mode": "until"}
    parameters |= {"alpha": alpha, "beta": beta, "ends": ends, **options}

    def plan_at(ratio: float) -> PruningPlan:
        keep = {name: _without_first(removal, scene.widths[name], ratio) for name, removal in orders.items()}
        return _plan(model, scene, keep, {**parameters, "ratio": ratio})

    accepted, steps = plan_at(0.0), list[Step]()
    for k in range(math.floor(most / step + 1e-9) + 1):
        candidate = plan_at(round(k * step, 12))
        reached = _scored(score, candidate.apply(model, scene.example_inputs) if k > 0 else model)
        whole = steps[0].score if steps else reached
        steps.append(Step(round(k * step, 12), reached, round(whole - reached, 9)))
        if on_step is not None:
            on_step(steps[-1])
        if steps[-1].drop > drop:
            break
        accepted = candidate
    return accepted, steps


def normalised(weight: Tensor, norm: str = "abs", rescale: str | bool = "shift") -> Tensor:
    """Each filter's weights as the Dice index takes them: Eq. 1 and 2.

    Parameters
    ----------
    weight : Tensor (n, ...)
        One filter a row, such as (n, c, k, k).
    norm : {"abs", "max"}
        Divide by the filter's largest absolute weight (Eq. 1) or by its largest weight (Algorithm 1, line 6). Where the
        latter is 0, or below 1e-12 of the former, it is the former after all. A filter of zeros stays so.
    rescale : {"shift", "none", "parts"}
        Add 1 and halve (Eq. 2, also given as True); nothing (also False); or positive and negative parts side by side,
        which makes weights non-negative without moving 0 to 1/2 (our addition).

    Returns
    -------
    Tensor (n, d); (n, 2 d) for "parts"
        float64 for weights in float64 or whole numbers, else float32.
        In [0, 1] for "abs" with "shift" or "parts", in [-1, 1] for "abs" with "none"; not bounded for "max".

    Raises
    ------
    BadValue
        A weight of one dimension or without numbers, one with NaN or infinity, an unknown option.
    """
    choose("norm", norm, NORMS)
    kind = _rescale(rescale)
    rows = _rows(weight)
    return _rescaled(divided(rows, _divisor(rows, norm)), kind)


def similarity(weight: Tensor, *, norm: str = "abs", rescale: str | bool = "shift") -> Tensor:
    """The Dice index of each pair of filters: Eq. 4, twice what they share over what both hold.

    Parameters
    ----------
    weight : Tensor (n, ...)
        In float32 the result is good to some 1e-7, in float64, at half the speed, to 1e-15 (`plan` takes the latter, so that
        no choice between filters hangs on a machine's order of summation). Equal filters have equal rows in both. Rows with
        both signs are compared in float64 in any case.
    norm, rescale : as in `normalised`

    Returns
    -------
    Tensor (n, n), float64
        Symmetric, 1 on the diagonal, in [0, 1] for non-negative rows. Rows with both signs (``rescale="none"`` or
        ``norm="max"``) have no bounds. Where the two sums cancel out to 0 exactly: 1 for equal filters, else 0.

    Raises
    ------
    BadValue
        As `normalised`.
    """
    choose("norm", norm, NORMS)
    kind = _rescale(rescale)
    rows = _rows(weight)
    amounts = divided(rows, _divisor(rows, norm))
    if norm == "max" or kind == "none":
        amounts = amounts.double()  # sums of both signs may all but cancel out
    # By 1 more at each place a sum grows by the number of places, and halves have the same ratio.
    shifted = kind == "shift"
    shared = pairwise_minima(amounts if shifted else _rescaled(amounts, kind))
    values = shared.cpu().numpy()  # in place, because new memory takes longer; and see `minima.extremes`
    if shifted:
        values += amounts.shape[1]
    held = values.diagonal().copy()
    values *= 2
    with np.errstate(divide="ignore", invalid="ignore"):  # sums that cancel out
        values /= held + held[:, None]
    np.nan_to_num(values, copy=False, nan=1, posinf=0, neginf=0)  # 0 / 0 for equal filters, infinity for others
    return torch.from_numpy(values).to(shared.device)


def average(similarity: Tensor) -> Tensor:
    """Mean similarity of each filter to the others: Algorithm 1, line 10. 0 for a filter without others.

    (n, n) -> (n,) float64, rounded to a multiple of 2^-40: averages that differ by less differ by rounding alone, and
    would break ties at random.
    """
    n = len(similarity)
    values = similarity.detach().to(torch.float64)
    return torch.round((values.sum(dim=1) - values.diagonal()) / max(n - 1, 1) * _GRID) / _GRID


def thresholds(average: Tensor, alpha: float, beta: float) -> tuple[float, float]:
    """tau_min and tau_max: the quantiles alpha and beta of the averages (n,), linear in between. Algorithm 1, line 11."""
    _check_shares(alpha, beta)
    values = average.detach().cpu().to(torch.float64).numpy()
    return _quantile(values, alpha), _quantile(values, beta)


def select(
    similarity: Tensor,
    ratio: float,
    alpha: float | None = None,
    beta: float | None = None,
    mode: str = "one-shot",
    ends: str = "both",
) -> list[int]:
    """The filters of one layer that stay.

    A filter is a candidate if its average similarity is below the quantile alpha (uninformative) or above the quantile beta
    (redundant). Of the candidates no more than ``ratio * n`` go. Which ones the thesis does not say; here both ends take
    turns, the most extreme first, the most redundant one before all. Ties: the first filter goes.

    Parameters
    ----------
    similarity : Tensor (n, n)
        Symmetric; the diagonal is not looked at.
    ratio : float in [0, 1)
    alpha, beta : float in [0, 1], alpha <= beta where both ends are used
        By default such that as many candidates as may go are found, but for ties: alpha = ratio / 2 and
        beta = 1 - ratio / 2; where one end alone is used, alpha = ratio or beta = 1 - ratio. Others can find fewer
        candidates, and then fewer go.
    mode : {"one-shot", "greedy"}
        Averages and thresholds computed once (Algorithm 1), or anew after each removal, over those left (section 3.2). Then
        the filter goes that lies farthest beyond its threshold, of equally far ones the redundant; none, if none does.
    ends : {"both", "low", "high", "middle"}
        Which candidates may go: all, the uninformative, the redundant. With "middle" none of these: the filters whose
        average lies nearest to the median of the averages go, as many as may, as a control of the claim that extremes are
        safe to drop and the middle is essential (chapter 4). It is one-shot and takes no alpha and beta. Our addition.

    Returns
    -------
    list of int
        Sorted. Filters whose averages are equal all stay, so two filters do, whatever the ratio; not so with "middle".

    Raises
    ------
    BadValue
        A parameter out of its range, or a similarity that is not square, symmetric and finite.
    """
    allocation.check_dial(ratio, None, "dice.select")
    _check_choice(alpha, beta, mode, ends)
    low, high = _shares(ratio, alpha, beta, ends)
    values = _matrix(similarity)
    if ends == "middle":
        going = iter(_from_the_median(values))
    elif mode == "one-shot":
        going = iter(_candidates(values, low, high, ends))
    else:
        going = (filter for filter, _ in takewhile(lambda removal: removal[1], _removals(values, low, high, ends)))
    gone = set(islice(going, allocation.limit(len(values), ratio)))
    return [filter for filter in range(len(values)) if filter not in gone]


def order(similarity: Tensor, alpha: float = 0.1, beta: float = 0.9, ends: str = "both") -> list[int]:
    """The greedy sequence of removals (see `select`) until one filter is left: n - 1 filters, the first to go first.

    It goes on where `select` would end: if no filter lies beyond its threshold, the nearest to it goes. Without "middle".
    """
    _check_shares(alpha, beta)
    _check_choice(alpha, beta, "greedy", ends)
    return [filter for filter, _ in _removals(_matrix(similarity), alpha, beta, ends)]


def _scene(model: nn.Module, options: Mapping[str, Any], images: Tensor | None, example_inputs: Tensor | None) -> Scene:
    """Group the layers in scope and compare their filters; `options` are those of `plan`, checked."""
    kinds = (nn.Conv2d,) if options["layers"] == "conv" else (nn.Conv2d, nn.Linear)
    layers = {name: layer for name, layer in cutting.prunable_layers(model).items() if isinstance(layer, kinds)}
    require(len(layers) > 0, "model", type(model).__name__, "a network with at least one Conv2d, or Linear for layers='all'")
    for name, layer in layers.items():
        finite = bool(torch.isfinite(layer.weight).all())
        require(finite, f"the weight of layer {name!r}", "a tensor with NaN or infinity", "finite numbers only")
    inputs = _example_inputs(model, images, example_inputs)
    groups = {group[0]: group for group in cutting.coupled_layers(model, inputs, linear=options["layers"] == "all")}
    members = {name: _deciding(group, options["coupled"]) for name, group in groups.items()}
    names = [name for deciding in members.values() for name in deciding]

    def compare(weight: Tensor) -> Tensor:
        return similarity(weight.double(), norm=options["norm"], rescale=options["rescale"])

    if options["of"] == "weights":
        alike = {name: compare(layers[name].weight.detach()) for name in names}
    else:
        assert images is not None
        alike = _alike_by_activations(model, images, {name: layers[name] for name in names}, compare)
    matrices = {name: [alike[member] for member in deciding] for name, deciding in members.items() if deciding}
    if options["coupled"] == "mean":
        matrices = {name: [torch.stack(several).mean(dim=0)] for name, several in matrices.items()}
    # A depthwise convolution outside of the groups has no channels of its own: it follows what it reads.
    grouped = {name for group in groups.values() for name in group}
    own = {name: layer for name, layer in layers.items() if name in grouped or not cutting.is_depthwise(layer)}
    return Scene(groups, matrices, {name: cutting.width(layer) for name, layer in own.items()}, inputs)


def _deciding(group: list[str], coupled: str) -> list[str]:
    """The layers whose filters are compared on behalf of a group of coupled layers."""
    if len(group) == 1 or coupled in ("mean", "each"):
        return group
    return [kcore.lead(group)] if coupled == "lead" else []


def _alike_by_activations(
    model: nn.Module, images: Tensor, layers: Mapping[str, nn.Module], compare: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Similarities of each layer's raw outputs, one layer in memory at a time."""
    alike: dict[str, Tensor] = {}

    def note(name: str, output: Tensor) -> None:
        finite = bool(torch.isfinite(output).all())
        require(finite, f"the output of layer {name!r}", "a tensor with NaN or infinity", "finite numbers only")
        alike[name] = compare(output.movedim(1 if isinstance(layers[name], nn.Conv2d) else -1, 0))

    features.watch(model, images, layers, note)
    return alike


def _plan(model: nn.Module, scene: Scene, keep: Mapping[str, list[int]], parameters: dict[str, Any]) -> PruningPlan:
    """The plan for every layer in scope, from what the groups keep; a group that is not named stays whole."""
    by_layer = {member: keep[name] for name, group in scene.groups.items() if name in keep for member in group}
    in_order = {name: by_layer.get(name, list(range(width))) for name, width in scene.widths.items()}
    return PruningPlan(in_order, dict(scene.widths), "dice", parameters)


def _example_inputs(model: nn.Module, images: Tensor | None, example_inputs: Tensor | None) -> Tensor:
    if images is not None:
        return images[:1]
    if example_inputs is not None:
        return example_inputs
    channels = getattr(model, "spec", {}).get("in_channels")
    if channels is None:
        raise BadValue(
            f"dice needs example_inputs, a Tensor (1, c, h, w) that this {type(model).__name__} takes, "
            "since it does not come from models.build"
        )
    parameter = next(model.parameters())
    return torch.zeros(1, channels, 32, 32, dtype=parameter.dtype, device=parameter.device)


def _shares(ratio: float, alpha: float | None, beta: float | None, ends: str) -> tuple[float, float]:
    """The quantiles that `select` uses: those given, and the defaults of others, moved where alpha would be above beta."""
    if ends != "both":
        return ratio if alpha is None else alpha, 1 - ratio if beta is None else beta
    low, high = ratio / 2, 1 - ratio / 2
    if alpha is None:
        return (low, high) if beta is None else (min(low, beta), beta)
    return alpha, max(high, alpha) if beta is None else beta


def _in_turn(
    similarity: Sequence[Tensor], ratio: float, alpha: float | None, beta: float | None, mode: str, ends: str
) -> list[int]:
    """The filters that stay where several matrices (n, n) decide: each on those that the ones before it have left."""
    left = list(range(len(similarity[0])))
    for matrix in similarity:
        left = [left[place] for place in select(matrix[left][:, left], ratio, alpha, beta, mode, ends)]
    return left


def _from_the_median(similarity: np.ndarray) -> list[int]:
    """All filters, the nearest to the median of the averages first."""
    averages = average(torch.from_numpy(similarity)).numpy()
    distances = np.abs(averages - _quantile(averages, 0.5))
    nearest = np.argsort(distances)
    ties = np.cumsum(np.diff(distances[nearest], prepend=0) > 4 / _GRID)  # equal but for what rounding leaves
    return nearest[np.lexsort((nearest, ties))].tolist()


def _candidates(similarity: np.ndarray, alpha: float, beta: float, ends: str) -> list[int]:
    """Algorithm 1, lines 10 to 14: the filters beyond the thresholds, both ends in turns, the most extreme first."""
    averages = average(torch.from_numpy(similarity)).numpy()
    tau_min, tau_max = _quantile(averages, alpha), _quantile(averages, beta)
    ascending = np.argsort(averages, kind="stable")
    low = [int(i) for i in ascending if averages[i] < tau_min and ends != "high"]
    descending = np.argsort(-averages, kind="stable")
    high = [int(i) for i in descending if averages[i] > tau_max and ends != "low"]
    return [i for i in chain.from_iterable(zip_longest(high, low)) if i is not None]


def _removals(similarity: np.ndarray, alpha: float, beta: float, ends: str) -> Iterator[tuple[int, bool]]:
    """Section 3.2: which filter goes next, and whether it lies beyond its threshold; until one filter is left.

    Similarities are those of pairs, so a removal changes none of them: its column leaves the sums, and that is all.
    """
    left = np.arange(len(similarity))
    sums = similarity.sum(axis=1) - similarity.diagonal()
    while len(left) > 1:
        averages = np.rint(sums / (len(left) - 1) * _GRID) / _GRID  # as in `average`
        most, least = averages.argmax(), averages.argmin()
        above = averages[most] - _quantile(averages, beta) if ends != "low" else -math.inf
        below = _quantile(averages, alpha) - averages[least] if ends != "high" else -math.inf
        gone = left[most if above >= below - 4 / _GRID else least]  # equal but for what rounding leaves
        yield int(gone), bool(max(above, below) > 0)
        stays = left != gone
        sums = (sums - similarity[gone, left])[stays]
        left = left[stays]


def _quantile(values: np.ndarray, share: float) -> float:
    """As numpy.quantile, but a place within 1e-9 of a whole one is that: .7 of 10 intervals is the seventh value itself."""
    place = round(share * (len(values) - 1), 9)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    parted = np.partition(values, (below, above))
    return float(parted[below] + (parted[above] - parted[below]) * (place - below))


def _without_first(removal: Sequence[int], width: int, ratio: float) -> list[int]:
    gone = set(removal[: allocation.limit(width, ratio)])
    return [filter for filter in range(width) if filter not in gone]


def _scored(score: Callable[[nn.Module], float], network: nn.Module) -> float:
    value = float(score(network))
    require(math.isfinite(value), "score(network)", value, "an accuracy in percent")
    return value


def _rows(weight: Tensor) -> Tensor:
    require(isinstance(weight, Tensor), "weight", type(weight).__name__, "a Tensor (n, ...)")
    full = weight.dim() >= 2 and weight.numel() > 0
    require(full, "weight.shape", tuple(weight.shape), "(n, ...), one filter a row, without a zero")
    rows = weight.detach().flatten(1)
    return rows.to(torch.float32 if rows.is_floating_point() and rows.dtype != torch.float64 else torch.float64)


def _divisor(rows: Tensor, norm: str) -> Tensor:
    """(n, 1): what `normalised` divides each row by. BadValue for NaN or infinity, which a row's extremes show."""
    low, high = extremes(rows)
    finite = bool(torch.cat([low, high]).isfinite().all())
    require(finite, "weight", "a tensor with NaN or infinity", "finite numbers only")
    largest = torch.maximum(high, -low)
    if norm == "max":
        largest = torch.where(high.abs() < 1e-12 * largest, largest, high)
    return torch.where(largest == 0, 1, largest)


def _rescaled(rows: Tensor, rescale: str) -> Tensor:
    """`rows`, which are overwritten: a layer's copies are large, and new memory costs more than the arithmetic."""
    if rescale == "shift":
        return rows.add_(1).mul_(0.5)
    return torch.cat([rows.clamp(min=0), rows.neg().clamp_(min=0)], dim=1) if rescale == "parts" else rows


def _rescale(value: str | bool) -> str:
    if isinstance(value, bool):
        return "shift" if value else "none"
    return choose("rescale", value, RESCALES)


def _matrix(similarity: Tensor) -> np.ndarray:
    """(n, n) float64, checked."""
    square = similarity.dim() == 2 and similarity.shape[0] == similarity.shape[1] > 0
    require(square, "similarity.shape", tuple(similarity.shape), "(n, n), n at least 1")
    values = similarity.detach().cpu().to(torch.float64).numpy()
    require(bool(np.isfinite(values).all()), "similarity", "a matrix with NaN or infinity", "finite numbers only")
    even = np.abs(values - values.T).max() <= 1e-6 * max(1.0, np.abs(values).max())
    require(bool(even), "similarity", "a matrix unlike its transpose", "symmetric")
    return values


def _checked(norm: str, rescale: str | bool, of: str, images: Tensor | None, layers: str, coupled: str) -> dict[str, Any]:
    """The options of `plan` that say what is compared and where, checked, as they stand in a plan's parameters."""
    choose("norm", norm, NORMS)
    choose("of", of, SOURCES)
    choose("layers", layers, LAYERS)
    choose("coupled", coupled, COUPLED)
    options: dict[str, Any] = {"norm": norm, "rescale": _rescale(rescale), "of": of, "layers": layers, "coupled": coupled}
    if images is None:
        if of == "activations":
            raise BadValue("images is missing: activations need a normalised batch of images (m, c, h, w)")
        return options
    require(isinstance(images, Tensor), "images", type(images).__name__, "a Tensor (m, c, h, w)")
    require(images.dim() >= 2 and images.numel() > 0, "images.shape", tuple(images.shape), "(m, c, h, w), m at least 1")
    require(bool(torch.isfinite(images).all()), "images", "a tensor with NaN or infinity", "finite numbers only")
    return {**options, "images": len(images)} if of == "activations" else options


def _check_choice(alpha: float | None, beta: float | None, mode: str, ends: str) -> None:
    choose("mode", mode, MODES)
    choose("ends", ends, ENDS)
    if ends == "middle":
        require(mode == "one-shot", "ends", ends, "'both', 'low' or 'high' where filters go one by one")
        for name, value in (("alpha", alpha), ("beta", beta)):
            require(value is None, name, value, "left out where ends is 'middle', which has no thresholds")
    _check_shares(0.0 if alpha is None else alpha, 1.0 if beta is None else beta)
    if alpha is not None and beta is not None and ends == "both":
        require(alpha <= beta, "alpha", alpha, f"at most beta, which is {beta!r}")


def _check_shares(alpha: float, beta: float) -> None:
    for name, value in (("alpha", alpha), ("beta", beta)):
        require(_is_finite(value) and 0 <= value <= 1, name, value, "a number from 0 to 1")


def _is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
