"""How fast the k-core method is here, each figure against its alternative in the same run.

    python benchmarks/bench_kcore.py            about a minute: the slow alternatives are timed on a sample and scaled
    python benchmarks/bench_kcore.py --full     some ten minutes: the slow alternatives run to their end
    python benchmarks/bench_kcore.py --write    also keep the figures in benchmarks/results_kcore.json

Quoted times are medians of several calls after a warm-up. Peak memory is that of a process of its own.
"""

import json
import time

import imagehash
import numpy as np
import scipy.fftpack
import torch
from measuring import in_own_process, median_seconds, options, peak_gib, report
from PIL import Image
from torch import Tensor

from prunebook import features, models, phash
from prunebook.methods import kcore
from prunebook.report.speed import Figure

IMAGES = 100
SAMPLE = 24  # filters a layer that the literal loop is timed on
NETWORKS = {"vgg16": "VGG-16", "resnet56": "ResNet-56", "resnet110": "ResNet-110"}


def network(name: str) -> tuple[torch.nn.Module, Tensor]:
    images = torch.randn(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return models.build(name, seed=0).eval(), images


def literal_hash(m: np.ndarray) -> np.ndarray:
    low = scipy.fftpack.dct(scipy.fftpack.dct(m, axis=0), axis=1)[:8, :8]
    return (low >= low.mean()).flatten()


def literal_similarity(maps: np.ndarray, filters: int) -> float:
    """Eq. 1 written out for the first `filters` filters: hash each map, then loop over pairs and images. Seconds."""
    start = time.perf_counter()
    hashes = [[literal_hash(m) for m in image[:filters]] for image in maps]
    bits = len(hashes[0][0])
    similarity = np.eye(filters)
    for i in range(filters):
        for j in range(i + 1, filters):
            total = 0.0
            for image in hashes:
                total += 1 - np.count_nonzero(image[i] != image[j]) / bits
            similarity[i, j] = similarity[j, i] = total / len(hashes)
    return time.perf_counter() - start


def literal_seconds(all_maps: list[Tensor], full: bool) -> float:
    """The literal loop over every layer; on a sample of filters its two parts are scaled by their counts."""
    total = 0.0
    for maps in all_maps:
        n = maps.shape[1]
        array = maps.numpy()
        if full:
            total += literal_similarity(array, n)
            continue
        sample = min(SAMPLE, n)
        one = time.perf_counter()
        for image in array:
            for m in image[:sample]:
                literal_hash(m)
        hashing = time.perf_counter() - one
        pairs = max(literal_similarity(array, sample) - hashing, 0.0)
        total += hashing * n / sample + pairs * (n * (n - 1)) / (sample * (sample - 1))
    return total


def library_seconds(all_maps: list[Tensor], full: bool) -> float:
    """ImageHash's phash for every map (picture ready made): all of them, or of 2 images a layer, scaled."""
    total = 0.0
    for maps in all_maps:
        pictures = phash.pictures(maps if full else maps[:2]).numpy()
        start = time.perf_counter()
        for image in pictures:
            for picture in image:
                imagehash.phash(Image.fromarray(picture))
        total += (time.perf_counter() - start) * len(maps) / len(pictures)
    return total


def plan_once(arch: str) -> None:
    model, images = network(arch)
    before = peak_gib()
    kcore.plan(model, images, 0.7)
    print(json.dumps({"before": before, "peak": peak_gib()}))


def similarity_figures(full: bool) -> list[Figure]:
    model, images = network("vgg16")
    maps = list(features.maps(model, images).values())
    literal, library = literal_seconds(maps, full), library_seconds(maps, full)
    few, some = ("", "") if full else (f"{SAMPLE} filters a layer, scaled", "2 images, scaled")
    fast = median_seconds(lambda: [phash.similarity(phash.hashes(m)) for m in maps])
    means = median_seconds(lambda: [phash.hashes(m) for m in maps])
    medians = median_seconds(lambda: [phash.hashes(m, "imagehash") for m in maps], repeats=3)

    def figure(what: str, value: float, alternative: str, other: float, sample: str) -> Figure:
        return Figure(what=what, value=value, unit="s", alternative=alternative, other=other, sample=sample)

    return [
        figure(
            "hashes and similarities, all convolutions of VGG-16",
            fast,
            "one map, one pair, one image at a time",
            literal,
            few,
        ),
        figure(
            "hashes of the kind dct-mean, all convolutions of VGG-16",
            means,
            "ImageHash's phash, one map at a time",
            library,
            some,
        ),
        figure(
            "hashes of the kind imagehash, all convolutions of VGG-16",
            medians,
            "ImageHash's phash, one map at a time",
            library,
            some,
        ),
    ]


def plan_figures() -> list[Figure]:
    found = []
    for arch, name in NETWORKS.items():
        model, images = network(arch)
        taken = median_seconds(lambda m=model, x=images: kcore.plan(m, x, 0.7), repeats=3)
        found.append(Figure(what=f"the whole plan for {name}", value=taken, unit="s"))
    for arch in ("vgg16", "resnet56"):
        memory = in_own_process("bench_kcore", f"plan_once({arch!r})")
        what = f"a process that plans for {NETWORKS[arch]}"
        found.append(Figure(what=f"peak memory of {what}", value=memory["peak"], unit="GiB"))
        found.append(Figure(what=f"of which taken before planning, {NETWORKS[arch]}", value=memory["before"], unit="GiB"))
    return found


def main() -> None:
    given = options(__doc__, "--full")
    report("kcore", similarity_figures(given.full) + plan_figures(), given.write, images=IMAGES)


if __name__ == "__main__":
    main()
