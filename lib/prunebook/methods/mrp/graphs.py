"""How alike the filters of a layer are, and the graph that joins the likest. The abstract names no graph: all is ours."""

import copy
import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from prunebook import features, phash
from prunebook.errors import choose, require
from prunebook.methods import dice

MEASURES = ("maps", "correlation", "weights", "phash", "dice")
FROM_IMAGES = ("maps", "correlation", "phash")  # the measures that look at images
SPARSIFIERS = ("quantile", "knn", "threshold")

_BITS = 40  # numbers are rounded to multiples of 2^-_BITS, or coarser, see `on_grid`


def similarities(
    model: nn.Module, images: Tensor | None, layers: Iterable[str], measure: str = "maps", mode: str = "eval"
) -> dict[str, Tensor]:
    """How alike each two filters of a layer are, in [0, 1].

    Parameters
    ----------
    model : nn.Module
        Left as it was. A copy in float64 makes the feature maps, so that likeness does not hang on the order in which a
        machine sums.
    images : Tensor (m, c, h, w)
        Normalised as in training. Not looked at for measures of weights.
    layers : names of convolutions
    measure : {"maps", "correlation", "weights", "phash", "dice"}
        "maps": absolute cosine of two filters' feature maps. These are the convolution's raw output, before batch norm and
        activation, as everywhere in this package, at all places of all images in one vector (n, m h w), without a mean
        over places. "correlation": the same of maps whose mean over all places of all images is taken off first, as batch
        norm will: two filters that share nothing but a constant are not alike. "weights": absolute cosine of the weights.
        "phash": `prunebook.phash.similarity` of the feature maps. "dice": `methods.dice.similarity` of the weights.
    mode : {"eval", "train"}
        Of the network while it makes the feature maps.

    Returns
    -------
    dict of layer name -> Tensor (n, n), float64, on the CPU
        In the order of `layers`. Symmetric, 1 on the diagonal, but 0 for a filter that is silent, see `silent`: one of
        zeros, or, by correlation, one whose maps are a constant. Such a filter has likeness 0 with any other. Hashes and
        the Dice index know no silence: they take its constant map, its constant weights, as they take any.

    Raises
    ------
    BadValue
        An unknown measure, mode or layer; images, weights or feature maps with NaN or infinity.
    """
    check_likeness(measure, mode)
    convolutions = features.convolutions(model)
    names = [choose("layer", name, convolutions) for name in layers]
    if not names:
        return {}
    if measure in FROM_IMAGES:
        return _from_images(model, images, names, _COMPARE[measure], mode)
    compare = _absolute_cosine if measure == "weights" else dice.similarity
    weights = {name: convolutions[name].weight.detach() for name in names}
    for name, weight in weights.items():
        _require_finite(weight, f"the weight of layer {name!r}")
    return {name: compare(weight.double()).cpu() for name, weight in weights.items()}


def filter_graph(
    similarity: Tensor, sparsify: str = "quantile", quantile: float = 0.9, neighbours: int = 5, threshold: float = 0.5
) -> np.ndarray:
    """The weights of the edges between the filters of one layer: the likeness of two filters, 0 where no edge joins them.

    Parameters
    ----------
    similarity : Tensor (n, n)
        Symmetric, in [0, 1]; the diagonal is not looked at. It is rounded to multiples of 2^-40, for more than 64 filters to
        coarser ones: likenesses that differ by less differ by rounding alone, and sums of weights are exact in any order.
    sparsify : {"quantile", "knn", "threshold"}
        Filters whose likeness is above 0 are joined where it is at least that quantile of the layer's pairs; where one is
        among the other's likest, the lower number of equally like ones; or where it is at least that threshold. The first
        two make as many edges in one layer as in another of its width, however alike its filters are: more filters, more
        redundancy. Only the last compares layers by likeness.
    quantile : float in [0, 1]
        Linear in between; 0 joins all pairs.
    neighbours : int, at least 1
        How many of the likest.
    threshold : float in [0, 1]

    Returns
    -------
    numpy array (n, n), float64
        Symmetric, 0 on the diagonal.

    Raises
    ------
    BadValue
        A parameter out of its range, or a similarity that is not square, symmetric and in [0, 1].
    """
    check_sparsifier(sparsify, quantile, neighbours, threshold)
    alike = _matrix(similarity)
    if sparsify == "knn":
        joined = _by_neighbours(alike, neighbours)
    else:
        least = on_grid(np.asarray(threshold), alike.size)
        joined = alike >= (_quantile(alike, quantile) if sparsify == "quantile" else least)
    np.fill_diagonal(joined, False)
    return np.where(joined, alike, 0.0)


def check_likeness(measure: str, mode: str) -> None:
    """Raise BadValue unless these are parameters of `similarities`."""
    choose("measure", measure, MEASURES)
    choose("mode", mode, ("eval", "train"))


def check_images(images: Tensor | None) -> None:
    """Raise BadValue unless these are images (m, c, h, w), without NaN and infinity."""
    require(isinstance(images, Tensor), "images", type(images).__name__, "a Tensor (m, c, h, w)")
    assert images is not None
    require(images.dim() == 4 and images.numel() > 0, "images.shape", tuple(images.shape), "(m, c, h, w), m at least 1")
    _require_finite(images, "images")


def check_sparsifier(sparsify: str, quantile: float, neighbours: int, threshold: float) -> None:
    """Raise BadValue unless these are parameters of `filter_graph`."""
    choose("sparsify", sparsify, SPARSIFIERS)
    for name, value in (("quantile", quantile), ("threshold", threshold)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        require(number and 0 <= value <= 1, name, value, "a number from 0 to 1")
    whole = isinstance(neighbours, int) and not isinstance(neighbours, bool)
    require(whole and neighbours >= 1, "neighbours", neighbours, "a whole number of at least 1")


def silent(similarity: Tensor) -> list[int]:
    """The filters that say nothing: those that `similarities` has a 0 for on the diagonal."""
    return similarity.diagonal().eq(0).nonzero().flatten().tolist()


def on_grid(values: np.ndarray, total: float = 1.0) -> np.ndarray:
    """`values` rounded to multiples of 2^-40, or coarser, so that sums up to `total` are exact in any order.

    Float64 has 53 digits, and one is kept in reserve: on the grid of 2^-40 sums are exact up to 2^12.
    """
    grid = 2.0 ** min(_BITS, 52 - math.ceil(math.log2(max(1.0, total))))
    return np.rint(values * grid) / grid


def _from_images(
    model: nn.Module, images: Tensor | None, names: list[str], compare: Callable[[Tensor], Tensor], mode: str
) -> dict[str, Tensor]:
    check_images(images)
    assert images is not None

    def see(name: str, maps: Tensor) -> Tensor:
        _require_finite(maps, f"the feature maps of layer {name!r}")
        return compare(maps.detach()).cpu()

    found = features.visit(copy.deepcopy(model).double(), images.double(), see, names, mode)
    return {name: found[name] for name in names}


def _cosine_of_maps(maps: Tensor) -> Tensor:
    return _absolute_cosine(maps.transpose(0, 1))


def _correlation_of_maps(maps: Tensor) -> Tensor:
    rows = maps.transpose(0, 1).flatten(1)
    centred = rows - rows.mean(dim=1, keepdim=True)
    # What is left of a constant is the mean's own rounding.
    constant = centred.norm(dim=1) <= 1e-12 * rows.norm(dim=1)
    return _absolute_cosine(centred.masked_fill(constant[:, None], 0))


def _likeness_of_hashes(maps: Tensor) -> Tensor:
    return phash.similarity(phash.hashes(maps))


_COMPARE: dict[str, Callable[[Tensor], Tensor]] = {
    "maps": _cosine_of_maps,
    "correlation": _correlation_of_maps,
    "phash": _likeness_of_hashes,
}


def cosines(vectors: Tensor) -> Tensor:
    """Signed cosines of vectors (n, ...): (n, n), 1 on the diagonal; one of zeros is alike to none, itself included."""
    rows = vectors.flatten(1)
    lengths = rows.norm(dim=1, keepdim=True)
    rows = rows / torch.where(lengths > 0, lengths, 1)
    upper = (rows @ rows.T).clamp_(-1, 1).triu_(1)  # a product of matrices is not symmetric to the bit
    return upper + upper.T + torch.diag((lengths[:, 0] > 0).to(rows))


def _absolute_cosine(vectors: Tensor) -> Tensor:
    return cosines(vectors).abs_()


def _quantile(alike: np.ndarray, share: float) -> float:
    """A threshold that lets through what the quantile of the pairs would: the next higher value, without arithmetic."""
    pairs = alike[np.triu_indices(len(alike), 1)]
    if len(pairs) == 0:
        return 1.0
    place = math.ceil(round(share * (len(pairs) - 1), 9))
    return float(np.partition(pairs, place)[place])


def _by_neighbours(alike: np.ndarray, neighbours: int) -> np.ndarray:
    """(n, n) bool: either is among the other's likest."""
    n = len(alike)
    others = alike.copy()
    np.fill_diagonal(others, -1)  # below all: no filter is its own neighbour
    likest = np.argsort(-others, axis=1, kind="stable")[:, : min(neighbours, n - 1)]
    joined = np.zeros((n, n), dtype=bool)
    np.put_along_axis(joined, likest, True, axis=1)
    return joined | joined.T


def _matrix(similarity: Tensor) -> np.ndarray:
    """(n, n) float64 on the grid, checked."""
    square = similarity.dim() == 2 and similarity.shape[0] == similarity.shape[1] > 0
    require(square, "similarity.shape", tuple(similarity.shape), "(n, n), n at least 1")
    values = on_grid(similarity.detach().cpu().to(torch.float64).numpy(), similarity.numel())
    require(bool(np.isfinite(values).all()), "similarity", "a matrix with NaN or infinity", "finite numbers only")
    require(bool((values == values.T).all()), "similarity", "a matrix unlike its transpose", "symmetric")
    bounded = bool(((values >= 0) & (values <= 1)).all())
    require(bounded, "similarity", f"between {values.min():.6g} and {values.max():.6g}", "in [0, 1]")
    return values


def _require_finite(values: Tensor, name: str) -> None:
    require(bool(torch.isfinite(values).all()), name, "a tensor with NaN or infinity", "finite numbers only")
