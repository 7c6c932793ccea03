"""Processes beside this one that each make one call after another, on the same device.

They are spawned, not forked, because CUDA does not survive a fork. They end with the `with` block that they are used in,
and with this process, however it ends.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch

L = TypeVar("L")  # what the caller knows a call by
PATIENCE = 5  # seconds that a worker has to clean up before it is killed


class WorkerLost(RuntimeError):
    """A worker's process ended in the middle of a call, without an exception that it could have told."""


class _Worker(NamedTuple):
    process: SpawnProcess
    connection: Connection


class Workers(Generic[L]):
    """Up to `count` processes with `threads` threads each; a process is started when a call finds none idle.

    Leaving the `with` block by an exception, Ctrl-C included, ends the processes at once; otherwise they are idle by
    then. Either way none is left behind.
    """

    def __init__(self, count: int, threads: int) -> None:
        self.count, self.threads = count, threads
        self._workers: list[_Worker] = []
        self._busy: dict[_Worker, L] = {}

    @property
    def running(self) -> list[L]:
        """The labels of the calls in flight, in the order of their start."""
        return list(self._busy.values())

    def call(self, label: L, function: Callable[..., object], *arguments: Any) -> None:
        """Have a worker call a module's `function`. At most `count` calls at a time.

        What it returns is dropped: it leaves its results in files.
        """
        assert len(self._busy) < self.count
        worker = next((w for w in self._workers if w not in self._busy), None) or self._start()
        self._busy[worker] = label
        worker.connection.send((function, arguments))

    def finished(self, timeout: float | None = None) -> Iterator[tuple[L, Exception | None]]:
        """Wait until a call ends, at most `timeout` seconds; label and exception (or None) of each that has ended."""
        ready = wait([worker.connection for worker in self._busy], timeout)
        for worker in [worker for worker in self._busy if worker.connection in ready]:
            label = self._busy.pop(worker)
            try:
                fault = worker.connection.recv()
            except (EOFError, ConnectionError):
                fault = self._lost(worker)
            yield label, fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.connection.close()  # which an idle worker takes as the end
            if kind is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _start(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, self.threads))
        worker = _Worker(process, ours)
        with _threads_in_environment(self.threads), _deaf_to_ctrl_c():
            process.start()
            self._workers.append(worker)
        theirs.close()  # so that the worker's end alone keeps the pipe open, and we notice when it is gone
        return worker

    def _lost(self, worker: _Worker) -> WorkerLost:
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        return WorkerLost(f"a worker's process ended with exit code {worker.process.exitcode}; was there enough memory?")


@contextmanager
def _threads_in_environment(threads: int) -> Iterator[None]:
    """A process started inside finds the number of threads before it imports anything that asks for it."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A process started inside ignores Ctrl-C, which a terminal sends to all: this process tells the workers to end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, threads: int) -> None:
    """What a worker does: calls as they come, until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as an exception, so that no half-written file stays
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        try:
            function, arguments = pickle.loads(message)
            function(*arguments)
        except Exception as fault:
            connection.send(_portable(fault))
        else:
            connection.send(None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _portable(fault: Exception) -> Exception:
    """The exception as another process can read it, with a note on where it was raised."""
    where = "".join(traceback.format_tb(fault.__traceback__))
    fault.add_note(f"in a worker, most recent call last:\n{where.rstrip()}")
    try:
        again = pickle.loads(pickle.dumps(fault))
        return fault if isinstance(again, type(fault)) else _plain(fault)
    except Exception:  # whatever the class does when it is pickled
        return _plain(fault)


def _plain(fault: Exception) -> RuntimeError:
    plain = RuntimeError(f"{type(fault).__name__}: {fault}")
    plain.__notes__ = fault.__notes__
    return plain
