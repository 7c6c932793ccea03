"""Several processes that train one network together, as torchrun starts them; in a single one every function is idle.

    torchrun --nproc-per-node 4 -m prunebook.cli run kcore paper-imagenet

Every process walks through the same trials with the same seeds and holds the same network. Only the main one, of rank 0,
writes files and talks; what has to be decided, it decides for all (`from_main`). Processes on several machines need a
file system in common, because the others read the checkpoints that the main one wrote.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from prunebook.errors import require

T = TypeVar("T")

PATIENCE = timedelta(hours=1)  # that processes wait for a slower one; one that has failed is noticed by torchrun, at once


@contextmanager
def setup(device: str | None = None) -> Iterator[None]:
    """Work together with the other processes that torchrun started, for the length of the block.

    Parameters
    ----------
    device: "cpu", where the processes talk by gloo, or "cuda", by nccl, each with the GPU of its number on the machine;
        by default CUDA where there is a GPU.

    An exception ends this process alone, and torchrun then ends the others and returns an exit code above 0.

    Raises BadValue for another device, and for more processes than GPUs.
    """
    if "RANK" not in os.environ or not launched():
        yield
        return
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    require(device in ("cpu", "cuda"), "device", device, "cpu or cuda under torchrun, which gives each process its own GPU")
    if device == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        require(local < gpus, "number of processes on this machine", _on_this_machine(), f"at most {gpus}, one for a GPU")
        torch.cuda.set_device(local)
    # Gloo connects processes when they first talk. By default all connect at the start, and two that meet in the same
    # moment can miss each other, and wait as long as they may: with PyTorch 2.15 in one of some five starts.
    os.environ.setdefault("TORCH_GLOO_LAZY_INIT", "1")
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    yield
    # Not where the block failed: the others are in the middle of something, and would be waited for.
    barrier()
    dist.destroy_process_group()


def launched() -> bool:
    """Whether torchrun started several processes, together yet or not."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def world() -> int:
    """The number of processes that work together."""
    return dist.get_world_size() if _together() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if _together() else 0


def is_main() -> bool:
    """Whether this is the process that writes files and talks."""
    return rank() == 0


def barrier() -> None:
    """Wait until all processes are here."""
    if _together():
        dist.barrier()


def from_main(compute: Callable[[], T]) -> T:
    """What `compute` returns in the main process, in all of them; the others do not call it. It must be picklable."""
    if not _together():
        return compute()
    box = [compute() if is_main() else None]
    dist.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]


def share(n: int) -> slice:
    """This process's contiguous part of `n` items; no two parts differ by more than one item."""
    return slice(n * rank() // world(), n * (rank() + 1) // world())


def gather(values: Tensor) -> Tensor:
    """The processes' tensors, all of one shape, joined along the first dimension in the order of their ranks."""
    if not _together():
        return values
    found = [torch.empty_like(values) for _ in range(world())]
    dist.all_gather(found, values.contiguous())
    return torch.cat(found)


def total(values: Tensor) -> Tensor:
    """The sum of the processes' tensors, all of one shape."""
    if not _together():
        return values
    summed = values.clone()
    dist.all_reduce(summed)
    return summed


def parallel(model: nn.Module) -> nn.Module:
    """`model` such that a backward pass averages the gradients over the processes; first, all get the main one's weights.

    Batch norm takes the statistics of its own process's images; its running ones are not exchanged (`average_buffers`).
    """
    if not _together():
        return model
    return nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)


def average_buffers(model: nn.Module) -> None:
    """Replace every floating-point buffer, such as batch norm's running statistics, by its mean over the processes."""
    if _together():
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.copy_(total(buffer) / world())


def threads() -> int:
    """How many threads this process may use for reading files: its part of the machine's cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // _on_this_machine())


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def _on_this_machine() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
