"""How much memory this process has had, and how much there is."""

import os
import sys
from pathlib import Path

import torch

STATUS, FREE, LIMIT = Path("/proc/self/status"), Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


def peak(device: str = "cpu") -> int | None:
    """The most bytes that this process has had: its resident set, or on a GPU what PyTorch had given to tensors there.

    None where the operating system does not tell.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    # Not by getrusage, which on Linux counts what the parent had before the start.
    if kilobytes := _kilobytes(STATUS, "VmHWM"):
        return kilobytes * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes there
    return None


def total(device: str = "cpu") -> int | None:
    """Bytes that the GPU has, or this machine, at most as many as its control group may take; None where not known."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    try:
        return min(there, int(LIMIT.read_text()))
    except (OSError, ValueError):  # no control group, or "max"
        return there


def limit(share: float) -> None:
    """Let this process take at most this share of the memory that is free now: what asks for more gets an exception.

    Without it the operating system would end a process, and not surely this one. Linux alone; elsewhere nothing happens.
    """
    free = _kilobytes(FREE, "MemAvailable")
    if free and sys.platform == "linux":
        import resource

        most = int(free * 1024 * share) + (_kilobytes(STATUS, "VmData") or 0) * 1024
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _kilobytes(file: Path, name: str) -> int | None:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
