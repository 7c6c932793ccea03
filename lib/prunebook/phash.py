"""Perceptual hashes of feature maps, and how alike two filters are by them.

Two readings of "pHash" are built, because the papers name the technique and not the procedure:

* ``dct-mean``: what the k-core line of work computes [1]_ [2]_: the two-dimensional DCT of the raw map, its 8 x 8 lowest
  frequencies, one bit each for "at least their mean". No resizing, no grey levels.
* ``imagehash``: the ImageHash library's ``phash`` of the map seen as a picture: min-max to 8-bit grey, Lanczos to
  32 x 32, DCT, one bit each for "above the median".

References
----------
.. [1] Yang, Jiang, Deng, Wang: Entropy-Guided k-Core Pruning, RIMNI 2025, section 3.1, Eq. 1.
.. [2] Li, Shao, Zhai, Jiang, Deng: A graphical approach for filter pruning, Pattern Recognition Letters 166, 2023.
"""

from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from prunebook.errors import choose, require

SIDE = 8  # a hash keeps the SIDE x SIDE lowest frequencies
PICTURE = 32  # the ImageHash library resizes to PICTURE x PICTURE before its DCT
KINDS = ("dct-mean", "imagehash")
_CHUNK = 1 << 21  # doubles worked on at a time: small enough to stay near the cache, large enough to hide call overhead


def hashes(maps: Tensor, kind: str = "dct-mean") -> Tensor:
    """Perceptual hash of every feature map.

    Parameters
    ----------
    maps : Tensor (m, n, h, w)
        Feature maps of n filters for m images: the raw output of a convolution.
    kind : {"dct-mean", "imagehash"}
        Which reading of pHash; see the module's text.

    Returns
    -------
    BoolTensor (m, n, bits)
        On the device of `maps`. ``dct-mean`` has min(h, 8) * min(w, 8) bits, ``imagehash`` always 64; row-major, the
        mean value's coefficient first.

    Raises
    ------
    BadValue
        An unknown kind, a tensor that is not (m, n, h, w), an empty one, or one with NaN or infinity.
    """
    choose("kind", kind, KINDS)
    require(maps.dim() == 4 and maps.numel() > 0, "maps.shape", tuple(maps.shape), "(m, n, h, w) without a zero")
    require(bool(torch.isfinite(maps).all()), "maps", "a tensor with NaN or infinity", "finite numbers only")
    m, n, h, w = maps.shape
    flat = maps.reshape(m * n, h, w)
    hash_chunk = _dct_mean if kind == "dct-mean" else _imagehash
    rows = max(1, _CHUNK // max(h * w, PICTURE * PICTURE if kind == "imagehash" else 1))
    parts = [hash_chunk(chunk.to(torch.float64)) for chunk in flat.split(rows)]
    return torch.cat(parts).reshape(m, n, -1)


def similarity(hashes: Tensor) -> Tensor:
    """Average similarity of every pair of filters (Eq. 1 of [1]_ in the module's text).

    Similarity of two hashes is the share of bits on which they agree, 1 - Hamming / bits; the mean is over the images.

    Parameters
    ----------
    hashes : BoolTensor (m, n, bits)

    Returns
    -------
    Tensor (n, n), float64
        Symmetric, in [0, 1], 1 on the diagonal. Each entry is an integer count divided once, so that a similarity of
        exactly 7/10 compares equal to a threshold of 0.7.
    """
    require(hashes.dim() == 3 and hashes.numel() > 0, "hashes.shape", tuple(hashes.shape), "(m, n, bits) without a zero")
    m, n, bits = hashes.shape
    # Bits as -1 and +1: a dot product is agreements - disagreements. float32 holds such sums exactly below 2 ** 24.
    exact = torch.float32 if m * bits < 2**24 else torch.float64
    signs = hashes.permute(1, 0, 2).reshape(n, m * bits).to(exact).mul_(2).sub_(1)
    agreements = (signs @ signs.T).to(torch.float64).add_(m * bits).div_(2)
    return agreements.div_(m * bits)


def _dct_mean(maps: Tensor) -> Tensor:
    """(r, h, w) float64 -> (r, min(h, 8) * min(w, 8)) bits: low-frequency coefficient >= mean of those coefficients."""
    _, h, w = maps.shape
    low = _lowest(h, maps.device) @ (maps @ _lowest(w, maps.device).T)
    low = low.flatten(1)
    return low >= low.mean(dim=1, keepdim=True)


def _lowest(size: int, device: torch.device) -> Tensor:
    """(min(size, 8), size): the first rows of the unnormalised DCT of type II, y_k = 2 sum_x x cos(pi k (2x+1) / 2N)."""
    k = torch.arange(min(size, SIDE), dtype=torch.float64).unsqueeze(1)
    x = torch.arange(size, dtype=torch.float64)
    return (2 * torch.cos(torch.pi * k * (2 * x + 1) / (2 * size))).to(device)


def pictures(maps: Tensor) -> Tensor:
    """Feature maps (..., h, w) as 8-bit grey pictures, each stretched from its own minimum to its own maximum.

    A constant map becomes a black picture.
    """
    maps = maps.to(torch.float64)  # so that the grey levels do not hang on the precision of the maps
    low = maps.amin(dim=(-2, -1), keepdim=True)
    span = maps.amax(dim=(-2, -1), keepdim=True) - low
    return ((maps - low) * (255 / torch.where(span > 0, span, 1))).round_().to(torch.uint8)


def _imagehash(maps: Tensor) -> Tensor:
    """(r, h, w) float64 -> (r, 64) bits, the same as ``imagehash.phash`` of each map's picture.

    The 8 x 8 coefficients come from two small matrix products. Where one of them is too close to the median for rounding
    to be harmless (constant pictures, symmetric ones), those maps go through the library's own DCT routine instead.
    """
    grey = _resize(pictures(maps).to(torch.float64))
    dct = _lowest(PICTURE, maps.device)
    low = (dct @ (grey @ dct.T)).flatten(1)
    ordered = low.sort(dim=1).values
    middle = SIDE * SIDE // 2
    median = (ordered[:, middle - 1 : middle] + ordered[:, middle : middle + 1]) / 2
    bits = low > median
    # 1e-6 is far above the rounding of sums of 1024 products up to 1020, and far below a grey level's effect.
    doubtful = ((low - median).abs() < 1e-6).any(dim=1).nonzero().flatten()
    if len(doubtful):
        exact = [torch.from_numpy(_library_bits(picture)) for picture in grey[doubtful].cpu().numpy()]
        bits[doubtful] = torch.stack(exact).to(bits.device)
    return bits


def _library_bits(picture: np.ndarray) -> np.ndarray:
    """(64,) bits of one 32 x 32 picture by the routine that ImageHash calls, rounding included."""
    import scipy.fftpack  # here, because it takes a while, and few pictures come to this

    low = scipy.fftpack.dct(scipy.fftpack.dct(picture.astype(np.uint8), axis=0), axis=1)[:SIDE, :SIDE]
    return (low > np.median(low)).flatten()


def _resize(grey: Tensor) -> Tensor:
    """(r, h, w) whole numbers in 0..255 -> (r, 32, 32): Pillow's Lanczos, each of its two passes rounded to grey levels.

    Because of that rounding the order of the passes matters. For square maps Pillow takes the rows first; for others its
    choice depends on the sizes and on its version, so those few go through Pillow itself.
    """
    _, h, w = grey.shape
    if h == w == PICTURE:
        return grey
    if h != w:
        lanczos = Image.Resampling.LANCZOS
        pictures = (Image.fromarray(one).resize((PICTURE, PICTURE), lanczos) for one in grey.to(torch.uint8).cpu().numpy())
        return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).to(grey)
    weights = _lanczos(w).to(grey.device)
    return _round(weights @ _round(grey @ weights.T))


_FRACTION = 2.0**22  # Pillow works on 8-bit pictures with weights that are multiples of 2 ** -22


def _round(fixed: Tensor) -> Tensor:
    """Fixed-point sums back to grey levels: rounded half up and clipped, as Pillow does."""
    return fixed.add_(_FRACTION / 2).div_(_FRACTION).floor_().clamp_(0, 255)


@lru_cache(maxsize=64)
def _lanczos(size: int) -> Tensor:
    """(32, size): Pillow's fixed-point Lanczos weights from `size` to 32 samples, times 2 ** 22."""
    scale = size / PICTURE
    stretch = max(scale, 1.0)
    reach = 3.0 * stretch
    weights = np.zeros((PICTURE, size))
    for target in range(PICTURE):
        center = (target + 0.5) * scale
        first = max(int(center - reach + 0.5), 0)
        last = min(int(center + reach + 0.5), size)
        x = (np.arange(first, last) - center + 0.5) / stretch
        kernel = np.where((x >= -3) & (x < 3), np.sinc(x) * np.sinc(x / 3), 0.0)
        weights[target, first:last] = kernel / kernel.sum()
    fixed = weights * _FRACTION
    return torch.from_numpy(np.trunc(fixed + np.where(fixed < 0, -0.5, 0.5)))
