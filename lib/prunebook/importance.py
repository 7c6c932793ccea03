"""Where filters look, beside where the evidence is: Grad-CAM, and the overlap of activation regions with it.

Section 3.4 of the k-core paper [1]_ measures a filter's importance "by the overlap between activation regions and key
semantic areas in input images", found by Grad-CAM [2]_, and sets it against the filter's entropy (Figure 3, right). It
gives no formula. Here a region is the highest `share` of an image's positions, the key area is that region of the
image's Grad-CAM map, and the overlap is their intersection over union, averaged over images.

References
----------
.. [1] Yang, Jiang, Deng, Wang: Entropy-Guided k-Core Pruning Balancing Redundancy Reduction and Information Preservation
       for Efficient CNN Compression, RIMNI 2025, doi:10.23967/j.rimni.2025.10.73400.
.. [2] Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM: Visual explanations from deep networks via
       gradient-based localization, ICCV 2017.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebook import features
from prunebook.errors import choose, require
from prunebook.methods import kcore
from prunebook.models import in_mode

# Values that differ by less than this share of a map's largest magnitude count as equal: enlarging rounds what is level.
LEVEL = 1e-6


def by_filter(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    layers: Iterable[str] | None = None,
    bins: int = 256,
    share: float = 0.2,
) -> dict[str, dict[str, Any]]:
    """Entropy and overlap of every filter, layer by layer.

    Parameters
    ----------
    model : nn.Module
        A classifier; left as it was.
    images : Tensor (m, c, h, w)
        Normalised as in training.
    labels : Tensor (m,), whole numbers
        The true classes, whose evidence Grad-CAM shows.
    layers : names of convolutions, default all
    bins : int
        Of the entropy's histogram, see `kcore.entropy`.
    share : float in (0, 1)
        Of an image's positions that make a region, see `overlap`.

    Returns
    -------
    dict
        By layer, in the order in which they ran: "size", height and width of its maps; and with one number a filter
        "entropy" in nats, "overlap" from 0 to 1, and "control", the overlap with the Grad-CAM of the image before (the
        first's is the last's). The control is what the shapes of the regions and their common places, such as the
        middle, are worth without evidence; `chance(share)` knows of neither. None where an overlap is not defined.
        All see the same maps, the convolution's raw output.
    """
    _check_share(share)
    require(len(images) >= 2, "number of images", len(images), "at least 2, since the control needs another image")
    require(isinstance(bins, int) and bins >= 2, "bins", bins, "a whole number of at least 2")
    cam = gradcam(model, images, labels)
    others = cam.roll(1, dims=0)
    size = (images.shape[2], images.shape[3])

    def look(_: str, maps: Tensor) -> dict[str, Any]:
        found = {"size": list(maps.shape[2:]), "entropy": kcore.entropy(maps, bins).tolist()}
        for name, values in zip(("overlap", "control"), _overlaps(maps, (cam, others), size, share), strict=True):
            found[name] = [None if math.isnan(value) else value for value in values.tolist()]
        return found

    return features.visit(model, images, look, layers)


def gradcam(model: nn.Module, images: Tensor, labels: Tensor, layer: str | None = None, batch_size: int = 32) -> Tensor:
    """Grad-CAM of every image for its own class, with negative evidence set to 0, computed by Captum.

    Parameters
    ----------
    model : nn.Module
        A classifier, images (m, c, h, w) -> logits (m, classes). Left as it was: mode, gradients and hooks.
    images : Tensor (m, c, h, w)
        Normalised as in training.
    labels : Tensor (m,), whole numbers
    layer : name of a module whose output has four dimensions, default `last_stage(model, images)`
    batch_size : int
        Images at a time; it changes the memory needed, not the result.

    Returns
    -------
    Tensor (m, h', w')
        At the size of the layer's maps, at least 0. All 0 where nothing in the image speaks for its class.
    """
    require(images.dim() == 4 and images.numel() > 0, "images.shape", tuple(images.shape), "(m, c, h, w), m at least 1")
    whole = not labels.is_floating_point() and tuple(labels.shape) == (len(images),)
    described = f"{labels.dtype} {tuple(labels.shape)}"
    require(whole, "labels", described, f"whole numbers ({len(images)},), one for each image")
    require(isinstance(batch_size, int) and batch_size >= 1, "batch_size", batch_size, "a whole number of at least 1")
    outputs = _outputs(model, images[:1])
    classes = outputs[""][1] if len(outputs.get("", ())) == 2 else 0
    require(classes > 0, "model", type(model).__name__, "a classifier: (m, c, h, w) -> (m, classes)")
    lowest, highest = int(labels.min()), int(labels.max())
    require(0 <= lowest <= highest < classes, "labels", f"{lowest} to {highest}", f"from 0 to {classes - 1}")
    spatial = [name for name, shape in outputs.items() if len(shape) == 4]
    target = model.get_submodule(choose("layer", layer or last_stage(model, images), spatial))
    from captum.attr import LayerGradCam  # half a second to import, and few need it

    method = LayerGradCam(model, target)
    with in_mode(model, training=False):
        parts = [
            method.attribute(some, target=classes_of, relu_attributions=True).detach()
            for some, classes_of in zip(images.split(batch_size), labels.to(images.device).split(batch_size), strict=True)
        ]
    return torch.cat(parts).squeeze(1)


def last_stage(model: nn.Module, images: Tensor) -> str:
    """The module at which to take Grad-CAM: the last whose output is as high and wide as that of the last convolution.

    In order of completion, for the first of `images`. So it comes after batch norm, sum and activation, and before the
    pooling: the last stage of a ResNet, the last ReLU among the features of a VGG.
    """
    outputs = _outputs(model, images[:1])
    ran = [name for name in outputs if name in features.convolutions(model)]
    require(len(ran) > 0, "model", type(model).__name__, "a network with at least one Conv2d")
    size = outputs[ran[-1]][2:]
    return [name for name, shape in outputs.items() if len(shape) == 4 and shape[2:] == size][-1]


def overlap(maps: Tensor, cam: Tensor, size: tuple[int, int], share: float = 0.2) -> Tensor:
    """How much of where a filter is active is where the evidence is: mean intersection over union.

    Parameters
    ----------
    maps : Tensor (m, n, h, w)
        Feature maps of n filters for m images.
    cam : Tensor (m, h', w')
        Grad-CAM of the same images.
    size : (height, width)
        To which both are enlarged (bilinear) before they are compared: that of the images.
    share : float in (0, 1)
        A region is the highest `share` of an image's positions, rounded to whole positions, at least one; and all
        positions that tie with the lowest of them, unless that is the map's lowest value.

    Returns
    -------
    Tensor (n,), float64
        In [0, 1]. A level map has no region: that image is left out for that filter, and one with a level Grad-CAM for
        all. NaN for a filter without any image left.
    """
    _check_share(share)
    require(maps.dim() == 4 and maps.numel() > 0, "maps.shape", tuple(maps.shape), "(m, n, h, w) without a zero")
    fits = cam.dim() == 3 and cam.numel() > 0 and len(cam) == len(maps)
    require(fits, "cam.shape", tuple(cam.shape), f"({len(maps)}, h, w), one map for each image")
    require(len(size) == 2 and min(size) >= 1, "size", size, "(height, width), each at least 1 pixel")
    for name, values in (("maps", maps), ("cam", cam)):
        require(bool(torch.isfinite(values).all()), name, "a tensor with NaN or infinity", "finite numbers only")
    return _overlaps(maps, (cam,), size, share)[0]


def chance(share: float) -> float:
    """The overlap of two regions of `share` whose positions are drawn independently: share / (2 - share).

    They have share^2 of all positions in common, and 2 share - share^2 in either.
    """
    _check_share(share)
    return share / (2 - share)


def _check_share(share: float) -> None:
    require(isinstance(share, int | float) and 0 < share < 1, "share", share, "a number above 0 and below 1")


def _overlaps(maps: Tensor, cams: Sequence[Tensor], size: tuple[int, int], share: float) -> Tensor:
    """`overlap` with each of several Grad-CAMs: (len(cams), n)."""
    total = torch.zeros(len(cams), maps.shape[1], dtype=torch.float64, device=maps.device)
    images = torch.zeros_like(total)
    # One image at a time: enlarged, the maps of a late layer are many times their own size.
    for own, *keys in zip(maps, *cams, strict=True):
        active = _regions(own, size, share)
        for i, evidence in enumerate(_regions(torch.stack(keys), size, share)):
            both = (active & evidence).sum(dim=1).to(torch.float64)
            either = (active | evidence).sum(dim=1)
            counts = active.any(dim=1) & evidence.any()
            total[i] += torch.where(counts, both / either.clamp(min=1), 0)
            images[i] += counts
    return total / images


def _regions(maps: Tensor, size: tuple[int, int], share: float) -> Tensor:
    """The highest positions of each map (n, h, w): (n, height * width) bool, all False for a level map."""
    values = F.interpolate(maps[None].detach().to(torch.float32), size, mode="bilinear", align_corners=False)[0].flatten(1)
    number = max(1, round(share * values.shape[1]))
    threshold = values.kthvalue(values.shape[1] - number + 1, dim=1, keepdim=True).values
    low, high = values.aminmax(dim=1, keepdim=True)
    level = LEVEL * torch.maximum(high.abs(), low.abs())
    return (values >= threshold - level) & (values > low + level)


def _outputs(model: nn.Module, image: Tensor) -> dict[str, tuple[int, ...]]:
    """Shape of every module's last output, in the order in which they completed; the network itself is "", the last."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Any) -> None:
        shapes.pop(name, None)  # a module that runs twice counts where it ran last
        if isinstance(output, Tensor):
            shapes[name] = tuple(output.shape)

    features.watch(model, image, [name for name, _ in model.named_modules()], note)
    return shapes
