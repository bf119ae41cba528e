"""HDF5 files: opened for reading, written whole under their name, locked by one writer.

Knows no layout and no key.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import h5py

from dift_geo.errors import StoreError, WriteError

__all__ = [
    "WriterLock",
    "copy_missing",
    "open_h5",
    "part_of",
    "published",
    "read_recipe",
    "write_recipe",
]


def open_h5(path: Path) -> h5py.File:
    """Open a file for reading. Raises StoreError when it is no HDF5."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise StoreError(
            f"{path} is no readable HDF5 file ({error}); delete it and run again"
        ) from error


@contextmanager
def published(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file that takes the name `path` once it is complete and on the disk.

    Its folder is made where there is none. Raises StoreError when it cannot be written; nothing of
    it stays then, and nothing stays after any other exception of the `with` block.
    """
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(part, "w") as file:
            yield file
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    except StoreError:  # what the block itself has to say
        raise
    except (OSError, RuntimeError) as error:
        # h5py reports a full disk as either, sometimes only on closing
        raise StoreError(
            f"{path} cannot be written ({error}); what was finished before is kept"
        ) from error
    finally:
        with suppress(OSError):  # where all went well it has become `path`
            part.unlink()


def part_of(path: Path) -> Path:
    """The name under which `published` writes `path`; a killed writer leaves it behind."""
    return path.with_name(f"{path.name}.part")


def copy_missing(source: h5py.Group, target: h5py.Group) -> None:
    """Copy what `target` does not have; groups that both have are merged."""
    for name, item in source.items():
        if name not in target:
            source.copy(item, target, name)
        elif isinstance(item, h5py.Group):
            copy_missing(item, target[name])


def read_recipe(file: h5py.File) -> dict[str, object] | None:
    """What the file was made with; None for a file of another program."""
    text = file.attrs.get("recipe")
    return None if text is None else json.loads(text)


def write_recipe(file: h5py.File, recipe: Mapping[str, object]) -> None:
    """Say in the file what it was made with."""
    file.attrs["recipe"] = json.dumps(recipe, sort_keys=True)


class WriterLock:
    """The right to write one file, held from the making of this object until `release`.

    It is a lock of the operating system on `FILE.lock`. It ends with the process that holds it, so
    that a lock file which a killed writer left behind keeps nobody out. Raises StoreError when
    another process holds it and WriteError when the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _locked(path)
        except OSError as error:
            raise WriteError(
                f"{path} cannot be written: {error.strerror or error}; choose another place"
            ) from error

    def release(self) -> None:
        """Let others write."""
        # unlinked while still held, so that nobody can have locked this very file
        Path(self._file.name).unlink(missing_ok=True)
        self._file.close()


def _locked(path: Path) -> IO[bytes]:
    lock_path = path.with_name(f"{path.name}.lock")
    while True:
        lock = lock_path.open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise StoreError(
                f"{path} is being written by another process; wait for it or choose another file"
            ) from None
        if _is_at(lock, lock_path):
            return lock
        lock.close()  # its owner unlinked it between our open and our lock: take the next one


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
