"""The one place that writes files: to a temporary name in the same folder, flushed, then moved."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prunebook.errors import BadValue

# Failures of the place rather than of what is written there: no room, no right, a broken device, no such name.
OF_THE_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG, errno.ENOTDIR,
                errno.ENAMETOOLONG, errno.ENOENT, errno.ELOOP, errno.EISDIR}  # fmt: skip


class Damaged(BadValue):
    """A file is not what was written. The message names the file."""


class NotWritten(BadValue, OSError):
    """A file cannot be written where it belongs: full disk, read-only folder. The message names the file and the reason."""

    def __init__(self, path: str | Path, fault: OSError) -> None:
        super().__init__(str(path), fault)
        self.path, self.fault, self.errno = str(path), fault, fault.errno

    def __str__(self) -> str:  # OSError would print a tuple
        reason = self.fault.strerror or str(self.fault)
        return f"{self.path} cannot be written: {reason[:1].lower()}{reason[1:]}"


@contextlib.contextmanager
def written(path: str | Path) -> Iterator[None]:
    """Inside, what comes from the place where `path` lies is raised as NotWritten."""
    try:
        yield
    except NotWritten:
        raise
    except OSError as fault:
        if fault.errno not in OF_THE_PLACE:
            raise
        raise NotWritten(path, fault) from fault


def write(path: str | Path, put: Callable[[Path], object]) -> Path:
    """Create or replace `path` in one step: `put(temporary)` writes the content, then it is moved into place.

    A reader sees the old file or the new one, never a part. A failure leaves `path` as it was and no rest behind; where the
    place is at fault, it is NotWritten.
    """
    path = Path(path)
    with written(path):
        return _write(path, put)


def _write(path: Path, put: Callable[[Path], object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        put(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes files that only their owner may read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: str | Path, text: str) -> Path:
    return write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def seal(path: str | Path, value: Any) -> Path:
    """Write JSON with its own digest, by which `unseal` knows it again."""
    return write_json(path, {"sha256": _digest(value), "value": value})


def unseal(path: str | Path) -> Any:
    """The value that `seal` wrote. Raises Damaged, and FileNotFoundError where there is none."""
    try:
        found = json.loads(Path(path).read_bytes())
        if found["sha256"] == _digest(found["value"]):
            return found["value"]
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise Damaged(f"{path} is damaged: it does not match its own digest")


def checksum(path: Path) -> Path:
    """Where the SHA-256 of a file of data lies, if there is one: FILE.sha256, as the command sha256sum writes it."""
    return path.with_name(path.name + ".sha256")


def write_with_checksum(path: Path, put: Callable[[Path], object]) -> Path:
    """As `write`, with the checksum beside it, which is written before: the file is never there without."""

    def put_both(temporary: Path) -> None:
        put(temporary)
        write_text(checksum(path), f"{sha256(temporary)}  {path.name}\n")

    return write(path, put_both)


def check(path: Path) -> None:
    """Raise Damaged for a file that is not the one of which the checksum lies beside it. Without one, anything goes."""
    kept = checksum(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            if kept.read_bytes().split()[:1] != [sha256(path).encode()]:
                raise Damaged(f"{path} is damaged or was changed: its SHA-256 is not the one in {kept.name} beside it")
    except OSError as fault:
        raise BadValue(f"{path} and {kept.name} beside it cannot be read: {fault.strerror}") from None


def sha256(path: str | Path) -> str:
    """The hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_bytes(path: str | Path, content: bytes) -> Path:
    return write(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: str | Path, value: Any) -> Path:
    """JSON with sorted keys and a final newline, so that equal values are equal files."""
    return write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
