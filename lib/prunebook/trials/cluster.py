"""Trials on a Ray cluster: on this machine alone by default, on any cluster by its address.

Nodes need the package and the datasets, but no folder in common: what a trial needs, records and networks, is sent with it,
and what it leaves comes back to this process, which writes it into the store.
"""

import importlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from prunebook import files, paths, weights
from prunebook.errors import BadValue, require
from prunebook.trials.store import Store, read
from prunebook.trials.trial import Trial

RETRIES = 3  # of a trial whose node was lost
ANSWER = 5  # seconds in which a cluster answers; Ray itself would wait for minutes, and say so on the terminal
ADDRESS = re.compile(r"(?:ray://)?(\[[0-9a-f:.]+\]|[\w.-]+):(\d{1,5})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Demand:
    """Which cluster, and what of it each trial takes.

    Parameters
    ----------
    address : "local" for one that is started on this machine and ends with the run, "auto" for one that this machine is
        part of, HOST:PORT of its head, or ray://HOST:PORT of its client server, which needs 'ray[client]'
    cpus : CPU cores of each trial, and its threads
    gpus : share of a GPU of each trial, or several whole ones; with any, trials run on "cuda"
    """

    address: str = "local"
    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.address not in ("local", "auto"):
            _host_and_port("address", self.address)
        require(isinstance(self.cpus, int) and self.cpus >= 1, "cpus per trial", self.cpus, "a number of cores, at least 1")
        valid = 0 <= self.gpus <= 1 or (self.gpus > 1 and self.gpus % 1 == 0)
        require(valid, "GPUs per trial", self.gpus, "a share from 0 to 1 or a whole number")


class Cluster:
    """A pool of trials in flight on a cluster, for the length of a `with` block."""

    def __init__(self, demand: Demand, store: Store, device: str) -> None:
        """Raises BadValue where Ray is not installed, and for what a cluster of this machine would wait for in vain."""
        try:
            import ray
        except ImportError:
            raise BadValue("engine 'ray' needs Ray, which is not installed: pip install 'prunebook[ray]'") from None
        if demand.address == "local":
            cores, gpus = _cores(), torch.cuda.device_count()
            require(demand.cpus <= cores, "cpus per trial", demand.cpus, f"at most {cores}, the cores that are used here")
            require(demand.gpus <= gpus, "GPUs per trial", demand.gpus, f"at most {gpus}, the GPUs of this machine")
        self._ray, self.demand, self.store = ray, demand, store
        self.device = "cuda" if demand.gpus else "cpu" if demand.address != "local" else device
        self._flights: dict[Any, Trial] = {}

    def reach(self) -> None:
        """Raise BadValue where the address names a place at which nothing answers within `ANSWER` seconds."""
        address = self.demand.address
        name, address = ("RAY_ADDRESS", os.environ.get("RAY_ADDRESS", "")) if address == "auto" else ("address", address)
        if address in ("", "local", "auto"):
            return
        host, port = _host_and_port(name, address)
        try:
            socket.create_connection((host, port), ANSWER).close()
        except (OSError, UnicodeError) as fault:  # the latter for a name that is none, such as a..b
            raise BadValue(f"no Ray cluster at {address!r}: {str(fault).lower()}") from None

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        options: dict[str, Any] = {"address": self.demand.address, "log_to_driver": False, "logging_level": "warning"}
        if self.demand.address == "local":
            options |= {"include_dashboard": False, "num_cpus": _cores()}
        try:
            self._ray.init(**options)
        except Exception as fault:  # Ray raises that itself where its own processes take too long to start
            said = " ".join(str(fault).split())
            raise BadValue(f"no Ray cluster at {self.demand.address!r}: {said[:200]}") from None
        calls = self._ray.remote(num_cpus=self.demand.cpus, num_gpus=self.demand.gpus, max_retries=RETRIES)
        self._compute = calls(_compute_on_node)
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for flight in self._flights if kind is not None else ():
            self._ray.cancel(flight, force=True)
        self._ray.shutdown()

    @property
    def running(self) -> list[Trial]:
        return list(self._flights.values())

    def places(self) -> int:
        """How many trials the cluster has room for, as it is now. At least one, which then waits for a node."""
        there = self._ray.cluster_resources()
        room = there.get("CPU", 0) // self.demand.cpus
        if self.demand.gpus:
            room = min(room, there.get("GPU", 0) // self.demand.gpus)
        return max(1, int(room))

    def start(self, trial: Trial) -> None:
        module = trial.definition.run.__module__
        sent = dict(_needed(trial, self.store))
        flight = self._compute.remote(module, trial.task, trial.params, sent, self.device, self.demand.cpus)
        self._flights[flight] = trial

    def finished(self, timeout: float | None = None) -> Iterator[tuple[Trial, Exception | None]]:
        """Wait until a trial ends, at most `timeout` seconds; trial and exception (or None) of each that has ended.

        Its network and its record are in the store by then.
        """
        ready, _ = self._ray.wait(list(self._flights), num_returns=1, timeout=timeout)
        for flight in ready:
            trial, fault = self._flights.pop(flight), None
            try:
                self._keep(trial, self._ray.get(flight))
            except self._ray.exceptions.RayTaskError as told:
                fault = told.cause if isinstance(told.cause, Exception) else told
            except (self._ray.exceptions.RayError, BadValue) as told:
                fault = told
            yield trial, fault

    def _keep(self, trial: Trial, left: dict[str, bytes]) -> None:
        """Write what a trial has left: its network first, so that there is no record without it."""
        record = self.store.path(trial, Path("records"))
        for name, content in sorted(left.items()):
            if name != str(record):
                files.write_bytes(paths.cache() / name, content)
        with tempfile.TemporaryDirectory() as scratch:
            found = read(files.write_bytes(Path(scratch) / record.name, left[str(record)]))
        self.store.put(trial, found)


def _host_and_port(name: str, address: str) -> tuple[str, int]:
    found = ADDRESS.fullmatch(address)
    valid = found is not None and 1 <= int(found[2]) <= 65535
    require(valid, name, address, "'local', 'auto' or HOST:PORT, a port from 1 to 65535")
    assert found is not None
    return found[1].strip("[]"), int(found[2])


def _cores() -> int:
    """Of a cluster of this machine alone."""
    return max(1, torch.get_num_threads())


def _needed(trial: Trial, store: Store) -> Iterator[tuple[str, bytes]]:
    """The records and networks that a trial needs, by their places in a cache."""
    from prunebook.trials.engine import Context  # which imports this module

    for one in trial.needs():
        for folder in (store.local, store.published):
            path = store.path(one, folder)
            if path.is_file():
                yield str(store.path(one, Path("records"))), path.read_bytes()
                break
        network = Context("cpu", store).network(one)
        for path in (network, weights.sidecar(network)):
            if one.definition.leaves and path.is_file():
                yield f"checkpoints/{one.task}/{path.name}", path.read_bytes()


def _compute_on_node(
    module: str, task: str, params: dict[str, Any], sent: dict[str, bytes], device: str, threads: int
) -> dict[str, bytes]:
    """What a node does: the files that the trial leaves, by their places in a cache."""
    from prunebook.trials.engine import compute

    importlib.import_module(module)  # a node starts with the package's own tasks, and this registers any other
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(prefix="prunebook-") as scratch:
        os.environ["PRUNEBOOK_CACHE"] = scratch
        for name, content in sent.items():
            files.write_bytes(Path(scratch) / name, content)
        compute(Trial(task, params), Store(Path(scratch) / "records", Path(scratch) / "none"), device)
        made = [path for path in Path(scratch).rglob("*") if path.is_file()]
        names = {str(path.relative_to(scratch)): path for path in made}
        return {name: path.read_bytes() for name, path in names.items() if name not in sent}
