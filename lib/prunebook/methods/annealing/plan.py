"""Algorithm 1: which units go, and which take over from them.

Both variants go layer by layer through pairs of units, a nominee to be removed and a delegate to take over, in ascending
order of saliency, and accept or reject each by its energy. What they differ in stands with `plan`.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunebook.errors import choose, require
from prunebook.methods.annealing import official
from prunebook.methods.annealing.measures import SCALES, SQUASHES, VARIANTS, Interval
from prunebook.methods.annealing.network import Bounds, read
from prunebook.methods.annealing.official import Official
from prunebook.methods.annealing.paper import Paper
from prunebook.methods.annealing.run import move
from prunebook.plan import PruningPlan

MODES = ("annealing", "greedy", "one-shot", "random")
BOUNDS = ("interval", "zonotope")
LAYERS = ("dense", "all")


def plan(
    model: nn.Module,
    input_bounds: Bounds,
    target: float,
    step: float,
    variant: str = "paper",
    alpha: float = 0.75,
    beta: float = 0.25,
    phi: float = 0.9,
    seed: int = 0,
    *,
    mode: str = "annealing",
    bounds: str = "interval",
    layers: str = "dense",
    pool: int | None = None,
    recursive: bool = True,
    scale: str | None = None,
    squash: str | None = None,
    cumulative: bool | None = None,
    temperature: float | None = None,
    example_inputs: Tensor | None = None,
) -> PruningPlan:
    """Decide which units every hidden layer keeps, and which of them take over from the others. No data is needed.

    Parameters
    ----------
    model : nn.Module
        A chain of layers, see `network.read`. Left as it was.
    input_bounds : (lower, upper)
        Of the network's inputs: numbers, or tensors of the shape of one input.
    target : float in (0, 1)
        Share of its units that every layer loses.
    step : float in (0, 1)
        Share of its units, rounded up, that every layer loses in one epoch; the last epoch is smaller for "paper".
    variant : {"paper", "official"}
        "paper" follows the text, "official" the authors' public code. They differ in

        - saliency: see `saliency`. The code never takes the least salient pair.
        - pairs: "paper" walks all pairs of units that are left, and passes over a pair of which a unit is gone, or the
          nominee has taken over from another in this epoch (a choice: its saliency is no longer true). "official" forms
          disjoint pairs first and walks these; where it accepts too few, it walks them again and may accept a pair twice,
          which counts as two removals. Afterwards it may give a removed unit another one's outgoing weights, since in such
          walks it forgets which are gone: then a layer loses less than the target.
        - impact: bounds of the change for "paper"; for "official" see `official`. Its code takes (0, 1) in place of
          `input_bounds` as soon as something is removed.
        - energy: of the change of all removals up to the last layer and this one for "paper", of this one alone for
          "official"; and other functions in it, see `energy`.
        - the first candidate in each layer and epoch is accepted in both, others as in `acceptance`, at the `temperature`
          of either variant.
        - end: "official" stops all layers where one has no pair left, and wherever its epochs times `step` reach the target.
    alpha, beta, phi
        See `energy`.
    seed : int
        Of what is drawn: one number for each candidate that is worse than the one before it.
    mode : {"annealing", "greedy", "one-shot", "random"}
        "greedy": the pairs with the lowest energy, ties by saliency, of the `pool`. "one-shot": the baseline, disjoint pairs
        by the saliency in the whole network alone, for a target of at most 0.5. "random": pairs drawn, as a control, in
        the same way for either variant. Both of these are without energy.
    bounds : {"interval", "zonotope"}
        What bounds the impact: plain intervals, or the tighter and sound ones of `zonotopes`, in either variant.
    layers : {"dense", "all"}
        "dense": linear layers in front of another one. "all": convolutions as well. For "paper", by the same rules, which is
        our extension: a filter's kernels are its incoming weights, its whole map has bounds. For "official" those filters go
        that have the smallest L1 norms, all at once and before anything else, and none takes over.
    pool : int, at least 1
        For "greedy": of how many times as many pairs as are to go, the first by saliency, the energy is computed. By default
        of all pairs for "paper", of twice as many disjoint ones for "official".
    recursive : bool
        Whether for "official" a unit that took over may be in a pair again in a later epoch. Without, target is at most 0.5.
    scale, squash, cumulative
        To try other choices than the variant's: of `saliency`, of `squash`, and whether energy is of the change of all
        removals.
    temperature : float, at least 0
        One that stays, instead of the variant's: 0 accepts what is not worse, infinity accepts everything.
    example_inputs : Tensor (1, ...)
        For its shape, where it cannot be told: numbers as bounds of a network that begins with a convolution.

    Returns
    -------
    PruningPlan
        It names every hidden layer in scope, in `delegates` what takes over. Its parameters are these, with "removed", the
        share of the units in scope that is gone; "impact", the bounds of the change of each output, summed over all removals
        (none for "one-shot" and "random"); and "trace", one dict for each epoch and layer: its number and name, the "pairs"
        removed, their "energies", how many were "walked", and the "temperature" at the end. See `replay`.

    Raises
    ------
    BadValue
        A parameter out of its range, before anything is computed; a network that is no chain, see `network.read`; a target
        so small that no layer would lose a unit.
    """
    _check(target, step, alpha, beta, phi, seed, mode, bounds, layers, pool, temperature)
    choose("variant", variant, VARIANTS)
    scale = choose("scale", scale or {"paper": "mean", "official": "delegate"}[variant], SCALES)
    squash = choose("squash", squash or {"paper": "symmetric", "official": "logistic"}[variant], SQUASHES)
    if mode == "one-shot" or (variant == "official" and not recursive):
        why = "mode 'one-shot'" if mode == "one-shot" else "recursive=False"
        require(target <= 0.5, "target", target, f"at most 0.5 with {why}, where each unit is in one pair")
    network = read(model, input_bounds, example_inputs)
    if layers == "dense":
        network = network.dense_part()
    given = _hull(input_bounds)
    if variant == "official":
        official.check(network, input_bounds)
    options: dict[str, Any] = {"target": target, "step": step, "variant": variant, "alpha": alpha, "beta": beta, "phi": phi}
    options |= {"seed": seed, "mode": mode, "bounds": bounds, "layers": layers, "pool": pool, "recursive": recursive}
    options |= {"scale": scale, "squash": squash, "cumulative": variant == "paper" if cumulative is None else cumulative}
    options |= {"temperature": temperature}
    run = (Paper if variant == "paper" or mode == "random" else Official)(network, given, options)
    run.go()
    shown = {name: value if value is None or not isinstance(value, float) or math.isfinite(value) else str(value)
             for name, value in options.items()}  # fmt: skip
    parameters = {**shown, "input_bounds": list(given), "removed": run.share(), "impact": run.total(), "trace": run.trace}
    return _plan(
        {network.layers[i].name: network.layers[i].width for i in run.scope}, run.took_over(), parameters, run.deleted
    )


def impacts(
    model: nn.Module,
    input_bounds: Bounds,
    layer: str,
    pairs: Tensor,
    variant: str = "paper",
    bounds: str = "interval",
    example_inputs: Tensor | None = None,
) -> Interval:
    """Bounds of the change of the outputs (m, outputs) where of a hidden linear layer's pairs (m, 2) one alone is removed.

    A pair is nominee, delegate; all else is as in `plan`. Raises BadValue for a layer that is no hidden linear one.
    """
    choose("variant", variant, VARIANTS)
    choose("bounds", bounds, BOUNDS)
    network = read(model, input_bounds, example_inputs).dense_part()
    if variant == "official":
        official.check(network, input_bounds)
    names = {network.layers[index].name: index for index in network.dense()}
    options = {"seed": 0, "layers": "dense", "variant": variant, "bounds": bounds}
    run = (Paper if variant == "paper" else Official)(network, _hull(input_bounds), options)
    return run.impacts(names[choose("layer", layer, names)], pairs)


def replay(whole: PruningPlan, epochs: int) -> PruningPlan:
    """The plan after its first `epochs` epochs, by its trace; "removed" and "trace" are those of then, "impact" is none.

    Raises BadValue for a plan of another method.
    """
    require(whole.method == "annealing", "method of the plan", whole.method, "'annealing'")
    require(epochs >= 0, "epochs", epochs, "at least 0")
    trace = [entry for entry in whole.parameters["trace"] if entry["epoch"] <= epochs]
    carried = {name: list(range(wide)) for name, wide in whole.widths.items()}
    for entry in trace:
        for nominee, delegate in entry["pairs"]:
            move(carried[entry["layer"]], nominee, delegate)
    deleted = {
        name: [] if name in whole.delegates else _others(whole.keep[name], wide) for name, wide in whole.widths.items()
    }
    deleted = {name: gone for name, gone in deleted.items() if gone}  # filters, which go before the first epoch
    part = _plan(whole.widths, carried, {**whole.parameters, "impact": None, "trace": trace}, deleted)
    part.parameters["removed"] = part.removed() / sum(whole.widths.values())
    return part


def epochs(whole: PruningPlan) -> int:
    """How many epochs a plan took."""
    return max((entry["epoch"] for entry in whole.parameters["trace"]), default=0)


def _plan(
    widths: Mapping[str, int], carried: Mapping[str, list[int]], parameters: dict[str, Any], deleted: Mapping[str, list[int]]
) -> PruningPlan:
    keep = {name: _others(deleted.get(name, []), wide) for name, wide in widths.items()}
    keep |= {name: sorted(set(where)) for name, where in carried.items() if name not in deleted}
    moved = {name: {i: j for i, j in enumerate(where) if i != j} for name, where in carried.items()}
    return PruningPlan(
        keep, dict(widths), "annealing", parameters, {name: units for name, units in moved.items() if units}
    )  # fmt: skip


def _hull(bounds: Bounds) -> tuple[float, float]:
    return float(torch.as_tensor(bounds[0]).min()), float(torch.as_tensor(bounds[1]).max())


def _others(units: Iterable[int], wide: int) -> list[int]:
    without = set(units)
    return [unit for unit in range(wide) if unit not in without]


def _check(
    target: float,
    step: float,
    alpha: float,
    beta: float,
    phi: float,
    seed: int,
    mode: str,
    bounds: str,
    layers: str,
    pool: int | None,
    temperature: float | None,
) -> None:
    for name, value in (("target", target), ("step", step)):
        require(_is_number(value) and 0 < value < 1, name, value, "a share of each layer's units between 0 and 1")
    for name, value in (("alpha", alpha), ("beta", beta), ("phi", phi)):
        require(_is_number(value) and 0 <= value <= 1, name, value, "from 0 to 1")
    require(math.isclose(alpha + beta, 1), "alpha and beta", (alpha, beta), "shares that add up to 1")
    require(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0, "seed", seed, "a whole number of at least 0")
    choose("mode", mode, MODES)
    choose("bounds", bounds, BOUNDS)
    choose("layers", layers, LAYERS)
    require(pool is None or (isinstance(pool, int) and pool >= 1), "pool", pool, "a whole number of at least 1")
    fixed = temperature is None or (isinstance(temperature, int | float) and temperature >= 0)
    require(fixed, "temperature", temperature, "at least 0")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
