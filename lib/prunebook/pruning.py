"""One call for every method: `prunebook.prune(model, example_inputs, method="kcore", tau=0.7)`."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from prunebook.errors import BadValue, choose
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
    try:
        plan = decide(model, **options)
    except TypeError as fault:
        if "argument" not in str(fault):
            raise
        said = str(fault).removeprefix("plan() ").removeprefix("_sacp() ").removeprefix("_annealing() ")
        raise BadValue(f"method {method!r}: {said}") from None
    return plan.apply(model, example_inputs), plan
