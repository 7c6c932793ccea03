"""How alike the filters of each layer of a network are, by the Sørensen-Dice index in several readings, and the reverse.

The thesis (Hajbi 2025) shows neither the distribution of its similarities nor the use that section 1.3 promises of them:
to choose, among several trained networks, the one to start from. Nor does it say how many filters of its networks were dead
before anything was pruned: see `dead`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prunebook import features
from prunebook.errors import require
from prunebook.methods import dice

READINGS: dict[str, dict[str, Any]] = {  # options of `methods.dice.plan`
    "Eq. 1 and 2": {},
    "divided by max(w)": {"norm": "max"},
    "not rescaled": {"rescale": "none"},
    "signs apart": {"rescale": "parts"},
    "activations": {"of": "activations"},
    "activations, signs apart": {"of": "activations", "rescale": "parts"},
}
BOUNDED = ("Eq. 1 and 2", "signs apart", "activations", "activations, signs apart")  # readings whose values are in [0, 1]
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SILENT = 1e-4  # share of the layer's largest activity up to which a filter counts as dead


def similarities(model: nn.Module, images: Tensor, reading: str) -> dict[str, Tensor]:
    """Similarity (n, n) of the filters of every convolution, by name, in one of `READINGS`.

    `images` (m, c, h, w) are normalised as in training; readings of weights do not look at them. Raises BadValue for a
    weight that is not finite.
    """
    options = dict(READINGS[reading])
    if options.pop("of", "weights") == "activations":
        return features.visit(model, images, lambda _, maps: dice.similarity(maps.transpose(0, 1), **options))
    return {name: dice.similarity(layer.weight.detach(), **options) for name, layer in features.convolutions(model).items()}


def profile(model: nn.Module, images: Tensor, ratio: float, bins: int = 50) -> dict[str, dict[str, dict[str, Any]]]:
    """By layer and reading: how similar pairs of filters are, and which filters one-shot pruning at `ratio` removes.

    Each is a dict of "quantiles" (at `QUANTILES`) over the pairs, "counts" of pairs in `bins` equal bins from 0 to 1, of
    those "below" 0 and "above" 1 (only possible without rescaling), "averages" of the filters (Algorithm 1, line 10), and
    "gone", the filters that would go. Layers with a single filter have no pairs and are left out.
    """
    require(isinstance(bins, int) and bins >= 1, "bins", bins, "a whole number of at least 1")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for reading in READINGS:
        for name, alike in similarities(model, images, reading).items():
            if len(alike) > 1:
                found.setdefault(name, {})[reading] = _described(alike, ratio, bins)
    return found


def spread(weight: Tensor) -> Tensor:
    """Of every filter, mean |w| / max |w|: how evenly its weights are spread, in (0, 1]; 0 for a filter of zeros.

    No similarity enters it: it belongs to one filter alone. (n, ...) -> (n,) float64.
    """
    rows = weight.detach().abs().flatten(1).double()
    return rows.mean(1) / rows.amax(1).clamp(min=torch.finfo(torch.float64).tiny)


def spreads(model: nn.Module) -> dict[str, list[float]]:
    """The `spread` of the filters of every convolution."""
    layers = features.convolutions(model)
    return {name: [round(value, 6) for value in spread(layer.weight).tolist()] for name, layer in layers.items()}


def norms(model: nn.Module) -> dict[str, list[float]]:
    """The L2 norm of every filter of every convolution, to six digits; a bias is no part of it."""
    layers = features.convolutions(model)
    return {name: _to_six_digits(layer.weight.detach().double().flatten(1).norm(dim=1)) for name, layer in layers.items()}


def activity(model: nn.Module, images: Tensor) -> dict[str, list[float]]:
    """Of every filter of every convolution, how much what it passes on varies: the standard deviation, to six digits.

    It is over images (m, c, h, w), normalised as in training, and places, of the maps after the batch norm and the ReLU that
    directly follow (`features.visit_passed_on`).
    """
    seen = features.visit_passed_on(
        model, images, lambda _, maps: maps.double().transpose(0, 1).flatten(1).std(1, correction=0)
    )
    return {name: _to_six_digits(values) for name, values in seen.items()}


def dead(activity: Sequence[float]) -> list[bool]:
    """Whether each filter of a layer is dead: its `activity` is at most `SILENT` of the layer's largest.

    A dead filter tells those that read it the same, whatever the image: it can go, or at most leave a constant behind. The
    share is not critical, since behind a shut ReLU the activity is 0. What answers to images that are too rare to be among
    those looked at counts as dead, too.

    This asks what a filter does, not how large its weights are, since neither implies the other. Batch norm divides by
    the deviation of a filter's output, so that small weights may do all that large ones do, if its scale has not decayed
    with them. And a filter with large weights is silent behind a ReLU that batch norm's shift keeps shut. Nor is a small
    norm for a criterion that ranks norms a fair definition: it would find the dead by construction.
    """
    return [value <= SILENT * max(activity) for value in activity]


def _to_six_digits(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]


def diversity(model: nn.Module, images: Tensor) -> dict[str, dict[str, float]]:
    """By reading and layer: 1 minus the mean similarity of two different filters. The higher, the more diverse.

    Of the readings in [0, 1] only: the mean of numbers without bounds would be that of its outliers.
    """
    return {
        reading: {
            name: round(1 - dice.average(alike).mean().item(), 6)
            for name, alike in similarities(model, images, reading).items()
            if len(alike) > 1
        }
        for reading in BOUNDED
    }


def _described(alike: Tensor, ratio: float, bins: int) -> dict[str, Any]:
    n = len(alike)
    pairs = alike[tuple(torch.triu_indices(n, n, 1))].double()
    averages = dice.average(alike)
    kept = set(dice.select(alike, ratio))
    inside = pairs[(pairs >= 0) & (pairs <= 1)]
    return {
        "quantiles": [round(q, 6) for q in pairs.quantile(torch.tensor(QUANTILES, dtype=torch.float64)).tolist()],
        "counts": torch.histc(inside, bins, 0, 1).long().tolist(),
        "below": int((pairs < 0).sum()),
        "above": int((pairs > 1).sum()),
        "averages": [round(average, 6) for average in averages.tolist()],
        "gone": [filter for filter in range(n) if filter not in kept],
    }
