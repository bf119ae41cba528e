"""The right to write one file, given to one process at a time. Knows nothing of what is written."""

from __future__ import annotations

import errno
import warnings
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from dift_geo.errors import StoreError, WriteError

__all__ = ["WriterLock"]

# what a file system without locks answers; anything else says that the place cannot be written
NO_LOCKS = {
    getattr(errno, name, None)
    for name in ("ENOSYS", "ENOLCK", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "ENOTTY")
} - {None}


class WriterLock:
    """The right to write one file, held from the making of this object until `release`.

    It is a lock of the operating system on `FILE.lock`. It ends with the process that holds it, so
    that a lock file which a killed writer left behind keeps nobody out. Where the file system knows
    no locks, `FILE.writer` with the number of the writing process stands in.

    Raises StoreError when another process holds it and WriteError when the folder cannot be
    written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise WriteError(f"{path} is a folder, expected a file; give another name")
            self._lock = _lock_of_the_system(path) or _marker(path)
        except WriteError:
            raise
        except OSError as error:
            raise WriteError(
                f"{path} cannot be written: {error.strerror or error}; choose another place"
            ) from error

    def release(self) -> None:
        """Let others write."""
        if not isinstance(self._lock, SoftFileLock):  # that one removes its file itself
            # unlinked while still held: nobody can have locked this very file. Windows refuses,
            # and removes it on release
            with suppress(OSError):
                Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


def _lock_of_the_system(path: Path) -> BaseFileLock | None:
    """A lock that ends with its process; None where the file system has none."""
    file = path.with_name(f"{path.name}.lock")
    while True:
        lock = FileLock(file)
        if _taken(lock):
            if isinstance(lock, SoftFileLock):  # newer filelocks make do by themselves
                lock.release()
                return None
            probe = FileLock(file)
            if not _taken(probe):  # so what we hold is what has this name
                return lock
            # its owner unlinked it between our open and our lock: take the next one
            probe.release()
            lock.release()
            continue
        held = _is_held(file)
        if held:
            raise StoreError(
                f"{path} is being written by another process; wait for it or choose another file"
            )
        if held is None:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            return None


def _taken(lock: BaseFileLock) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # filelock says that it makes do without flock
        try:
            lock.acquire(timeout=0)
        except (Timeout, NotImplementedError):
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return False
    return True


def _is_held(file: Path) -> bool | None:
    """Why a lock was refused: somebody holds it, nobody does by now, or None: no locks here."""
    try:
        import fcntl
    except ImportError:  # Windows, where every file system has them
        return True
    try:
        with file.open("rb") as probe:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)  # in nobody's way for long
    except FileNotFoundError:
        return False
    except OSError as error:
        return None if error.errno in NO_LOCKS else True
    return False


def _marker(path: Path) -> BaseFileLock:
    file = path.with_name(f"{path.name}.writer")
    lock = SoftFileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            f"{path} is being written by another process; wait for it, "
            f"or delete {file} if that process was killed"
        ) from None
    return lock
