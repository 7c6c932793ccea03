"""One call for every method: `prunebook.prune(model, example_inputs, method="kcore", tau=0.7)`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from prunebook.errors import BadValue, choose, listing, nearest
from prunebook.methods import annealing, baselines, dice, kcore, mrp, sacp
from prunebook.plan import PruningPlan


def _sacp(model: nn.Module, images: Tensor, **options: Any) -> PruningPlan:
    return sacp.plan(model, images[:1], **options)  # it looks at no image, but has to trace the network


def _annealing(model: nn.Module, images: Tensor, **options: Any) -> PruningPlan:
    return annealing.plan(model, example_inputs=images[:1], **options)  # for its shape


METHODS: dict[str, Callable[..., PruningPlan]] = {
    "kcore": kcore.plan,
    "dice": dice.plan,
    "sacp": _sacp,
    "mrp": mrp.plan,
    "annealing": _annealing,
    "baseline": baselines.plan,
}


def prune(model: nn.Module, example_inputs: Tensor, method: str, **options: Any) -> tuple[nn.Module, PruningPlan]:
    """Make a network smaller with one of the papers' methods, or with a criterion to compare them with.

    Parameters
    ----------
    model : any network that Torch-Pruning can trace; left as it was
    example_inputs : Tensor (1, c, h, w)
        An input that the network takes, to trace it.
    method : {"kcore", "dice", "sacp", "mrp", "annealing", "baseline"}
    options : of that method's `plan`, such as `images`, a normalised batch of training images, without which a decision
        that looks at images rests on `example_inputs` alone. "kcore" needs `tau` or `target`, "dice" `ratio` or `target`,
        "sacp" `tau`, "mrp" `target`, "annealing" `input_bounds`, `target` and `step`, "baseline" a `criterion` of
        Torch-Pruning's and `ratio` or `target`.

    Returns
    -------
    (pruned network, PruningPlan)
        The network is ready to be fine-tuned. The plan can be saved and replayed.

    Raises
    ------
    BadValue
        An unknown method, an option that it lacks or one out of its range.
    """
    decide = METHODS[choose("method", method, METHODS)]
    options.setdefault("images", example_inputs)
    _check(method, options)
    plan = decide(model, **options)
    return plan.apply(model, example_inputs), plan


def _check(method: str, options: Mapping[str, Any]) -> None:
    """Raise BadValue for an option that the method's `plan` does not have, and for one that it cannot do without."""
    plans: dict[str, Callable[..., PruningPlan]] = {**METHODS, "sacp": sacp.plan, "annealing": annealing.plan}
    parameters = inspect.signature(plans[method]).parameters
    known = {name: p for name, p in parameters.items() if name not in ("model", "example_inputs")}
    for name in options:
        if name not in known and name != "images":  # which every method is offered
            there = f"{nearest(name, known)} (there are: {listing(known, name)})"
            raise BadValue(f"method {method!r} has no option {name!r}{there}")
    lacking = [name for name, p in known.items() if p.default is p.empty and name not in options]
    if lacking:
        raise BadValue(f"method {method!r} needs {', '.join(map(repr, lacking))}: see help(prunebook.prune)")
