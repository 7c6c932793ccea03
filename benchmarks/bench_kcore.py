"""How fast the k-core method is here, each figure against its alternative in the same run.

    python benchmarks/bench_kcore.py            about a minute: the slow alternatives are timed on a sample and scaled
    python benchmarks/bench_kcore.py --full     some ten minutes: the slow alternatives run to their end
    python benchmarks/bench_kcore.py --write    also keep the figures in benchmarks/results.json

Quoted times are medians of several calls after a warm-up. Peak memory is that of a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import scipy.fftpack
import torch
from PIL import Image
from torch import Tensor

from prunebook import features, files, models, phash
from prunebook.methods import kcore
from prunebook.trials import provenance

IMAGES = 100


def median_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


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
    """The literal loop over every layer; on a sample of 24 filters a layer its two parts are scaled by their counts."""
    total = 0.0
    for maps in all_maps:
        n = maps.shape[1]
        array = maps.numpy()
        if full:
            total += literal_similarity(array, n)
            continue
        sample = min(24, n)
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


def peak_memory(arch: str) -> dict[str, float]:
    """GiB at the peak of a process that only plans for `arch`, and how much of it was there before planning."""
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import bench_kcore; bench_kcore.plan_once({arch!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def plan_once(arch: str) -> None:
    model, images = network(arch)
    before = peak_gib()
    kcore.plan(model, images, 0.7)
    print(json.dumps({"before": before, "peak": peak_gib()}))


def peak_gib() -> float:
    """Most memory that this process has had. Not by getrusage, which counts what the parent had before the start."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 2**20


def measure(full: bool) -> dict[str, float]:
    model, images = network("vgg16")
    maps = list(features.maps(model, images).values())
    similarity = median_seconds(lambda: [phash.similarity(phash.hashes(m)) for m in maps])
    hashing = median_seconds(lambda: [phash.hashes(m) for m in maps])
    hashing_library_kind = median_seconds(lambda: [phash.hashes(m, "imagehash") for m in maps], repeats=3)
    literal, library = literal_seconds(maps, full), library_seconds(maps, full)
    found = {
        "VGG-16 similarity, 13 layers, s": similarity,
        "VGG-16 similarity, literal loop, s": literal,
        "VGG-16 similarity, times faster": literal / similarity,
        "VGG-16 hashing, dct-mean, s": hashing,
        "VGG-16 hashing, imagehash kind, s": hashing_library_kind,
        "VGG-16 hashing, ImageHash library, s": library,
        "VGG-16 hashing, dct-mean, times faster than the library": library / hashing,
        "VGG-16 hashing, imagehash kind, times faster than the library": library / hashing_library_kind,
    }
    for arch in ("vgg16", "resnet56", "resnet110"):
        model, images = network(arch)
        found[f"kcore.plan {arch}, s"] = median_seconds(lambda m=model, x=images: kcore.plan(m, x, 0.7), repeats=3)
    for arch in ("vgg16", "resnet56"):
        memory = peak_memory(arch)
        found[f"kcore.plan {arch}, peak memory of the process, GiB"] = memory["peak"]
        found[f"kcore.plan {arch}, memory before planning, GiB"] = memory["before"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found = {name: round(value, 3) for name, value in measure(options.full).items()}
    for name, value in found.items():
        print(f"{value:>12,.3f}  {name}")
    if options.write:
        how = "to the end" if options.full else "sampled and scaled"
        facts = {"slow alternatives": how, "images": IMAGES, **provenance.describe("cpu")}
        files.write_json(Path(__file__).parent / "results.json", {"figures": found, "made": facts})


if __name__ == "__main__":
    main()
