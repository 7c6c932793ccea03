"""Who computes what, where several runners share one store: claims, and the queue of one runner's trials."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from prunebook import files
from prunebook.trials.store import Store
from prunebook.trials.trial import Trial


class Claims:
    """The trials that this runner computes at present: each is a lock in the store's folder.

    The operating system gives a lock back when its process ends, however that happens, so what a killed runner had
    claimed is free at once. A file system that several machines share has to pass locks on, as NFS does from version 4.
    """

    def __init__(self, store: Store) -> None:
        self.folder = store.local / ".claims"
        self._held: dict[Trial, FileLock] = {}

    def take(self, trial: Trial) -> bool:
        """Whether the trial is this runner's now. Raises NotWritten where the folder cannot be written to."""
        path = self.folder / f"{trial.task}-{trial.key}.lock"
        lock = FileLock(path)
        try:
            with files.written(path):
                self.folder.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
        except Timeout:
            return False
        self._held[trial] = lock
        return True

    def give_back(self, trial: Trial) -> None:
        lock = self._held.pop(trial)
        with suppress(OSError):
            Path(lock.lock_file).unlink()  # while it is held: whoever has this file open sees that it is gone
        lock.release()

    def give_all_back(self) -> None:
        for trial in list(self._held):
            self.give_back(trial)


class Queue:
    """Trials that one runner goes through, each after those that it needs; `with` gives all claims back in the end.

    What another runner computes meanwhile is left to it. If it ends without a record, the trial is this runner's again.
    """

    def __init__(
        self,
        trials: Iterable[Trial],
        store: Store,
        is_done: Callable[[Trial], bool] | None = None,
        tick: Callable[[], object] = lambda: None,
    ) -> None:
        """`is_done(trial)`: whether a trial that could be claimed needs no computing any more; by default all do.

        `tick` is called whenever a trial is finished, here or elsewhere.
        """
        self.waiting = list(trials)
        self._unfinished = set(self.waiting)
        self._needs = {trial: set(trial.needs()) & self._unfinished for trial in self.waiting}
        self._claims = Claims(store)
        self._is_done, self._tick = is_done, tick

    def take(self) -> Trial | None:
        """The next trial that is ready, claimed. None: the rest waits for trials in flight, here or at another runner."""
        for trial in list(self.waiting):
            if not self._needs[trial].isdisjoint(self._unfinished) or not self._claims.take(trial):
                continue
            self.waiting.remove(trial)
            if self._is_done is None or not self._is_done(trial):
                return trial
            self.finish(trial)
        return None

    def finish(self, trial: Trial) -> None:
        """The trial has its record, by whomever."""
        self._unfinished.remove(trial)
        self._tick()
        self._claims.give_back(trial)

    def fail(self, trial: Trial) -> None:
        """The trial has failed: nothing else is begun."""
        self._claims.give_back(trial)
        self.waiting = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._claims.give_all_back()
