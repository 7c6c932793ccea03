"""Under what circumstances a record was made: code, environment, hardware, moment."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from prunebook import paths

PACKAGES = ("prunebook", "torch", "torchvision", "torch-pruning", "thop", "imagehash", "networkx", "numpy", "scipy")


def describe(device: str) -> dict[str, Any]:
    """JSON-able facts about this process; nothing that names the machine or its user."""
    return {
        "code": _commit(),
        "environment": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "hardware": hardware(device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def hardware(device: str) -> dict[str, Any]:
    """Processor, cores in use, memory, and the accelerator if `device` is one."""
    facts: dict[str, Any] = {
        "device": device,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),  # on which the last digits of a training hang
        "memory_gib": _memory_gib(),
        "system": platform.system(),
    }
    if device.startswith("cuda"):
        facts["accelerator"] = torch.cuda.get_device_name(device)
    return facts


def _commit() -> str:
    """The commit that the code is at, "+changes" if files differ from it, "unknown" outside of a git checkout."""
    command = ["git", "-C", str(paths.project()), "describe", "--always", "--dirty=+changes", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
