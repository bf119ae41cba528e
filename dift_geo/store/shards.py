"""Features and matches on disk, in hloc's HDF5 layout, with the recipe that made them.

HDF5 has one writer and a kill in the middle of a write can ruin the file. So finished work goes to
immutable shards (`FILE.shards/`), each written under a temporary name and renamed; `merge` copies
them into the file that others read, itself written aside and renamed. Disk dtypes are decided here
alone: coordinates float32 (half would cost up to a pixel), match indices int32 (hloc's int16
wraps), descriptors and scores half. Knows nothing of images or networks.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import h5py

from dift_geo.errors import MissingFileError, MissingNameError, RecipeError, StoreError

__all__ = ["Store", "open_h5", "published"]

Key = TypeVar("Key")
Value = TypeVar("Value")
MAX_SHARDS = 64  # all are held open while reading; many systems allow 1024 open files


class Store(Generic[Key, Value]):
    """One HDF5 file and its shards; subclasses say how a value is laid out and where."""

    kind: str
    # the dataset whose presence makes a group a record: a folder of images is a group as well
    marker: str

    def __init__(self, path: str | Path, recipe: Mapping[str, Any] | None = None) -> None:
        """Open for reading, or with `recipe` for writing too.

        Raises StoreError when the file is no HDF5 or is locked by another writer, RecipeError when
        it was made with another recipe. A store that hloc wrote has no recipe: it can be read, not
        appended to.
        """
        self.path = Path(path)
        self.shards = self.path.with_name(self.path.name + ".shards")
        self._pending: dict[str, tuple[Key, Value]] = {}  # by group
        self._flushed = time.monotonic()
        self._lock: IO[bytes] | None = None
        self._open: list[h5py.File] = []  # the file and its shards, as they were at the first look
        if recipe is None and not self._files():
            raise MissingFileError(f"no {self.kind} at {self.path}")
        if recipe is not None:
            wanted = json.loads(json.dumps(recipe))
            self._take_lock()
            try:
                self._clear_leftovers()
                self._check(wanted)
            except BaseException:
                self.close()
                raise
            self._recipe: dict[str, Any] | None = wanted
        else:
            self._recipe = self._read_recipe(self._files()[0])

    @property
    def recipe(self) -> dict[str, Any] | None:
        """The settings this store was made with; None for files of other programs."""
        return self._recipe

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what is finished: flush to a shard, whatever happened. `merge` is the caller's last
        step.
        """
        try:
            self.flush()
        finally:
            self.close()

    def __contains__(self, key: Key) -> bool:
        return self._waiting(key) is not None or self._find(key) is not None

    def __getitem__(self, key: Key) -> Value:
        value = self._look_up(key)
        if value is None:
            raise MissingNameError(f"{key!r} is not in {self.path}")
        return value

    def _look_up(self, key: Key) -> Value | None:
        waiting = self._waiting(key)
        if waiting is not None:
            return waiting
        group = self._find(key)
        if group is None:
            return None
        try:
            return self._read(group)
        except (KeyError, OSError, ValueError) as error:
            raise StoreError(
                f"{self.path} holds {key!r} in another layout: {error}; expected hloc's"
            ) from error

    def __setitem__(self, key: Key, value: Value) -> None:
        """Take a finished value; on disk after the next `flush`. What is on disk is never replaced."""
        self._need_lock()
        self._waiting(key)
        if self._find(key) is not None:
            raise StoreError(f"{self.path} already holds {key!r}; delete the file to make it again")
        self._pending[self._group(key)] = key, value

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __iter__(self) -> Iterator[Key]:
        raise NotImplementedError  # each layout lists its own keys

    def flush_every(self, seconds: float) -> None:
        """`flush` when the last one is longer ago than this: no more work is lost when the power
        goes.
        """
        if time.monotonic() - self._flushed > seconds:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one immutable shard."""
        self._flushed = time.monotonic()
        if not self._pending:
            return
        self.shards.mkdir(exist_ok=True)
        with published(self.shards / f"{uuid.uuid4().hex}.h5") as file:
            file.attrs["recipe"] = json.dumps(self._recipe, sort_keys=True)
            for name, (key, value) in self._pending.items():
                # it exists where an image has the name of another's folder
                group = file.require_group(name)
                self._sign(group, key)
                self._write(group, value)
        self._pending.clear()
        self._close_files()
        if len(self._files()) > MAX_SHARDS:
            self.merge()

    def merge(self) -> None:
        """Build the one file that other programs read from itself and all shards; then drop the
        shards.

        A kill on the way costs nothing: the shards stay until the new file has its name, and
        copying them twice is harmless.
        """
        self._need_lock()
        self.flush()
        files = self._files()
        if files == [self.path]:
            return
        self._close_files()
        with published(self.path) as target:
            target.attrs["recipe"] = json.dumps(self._recipe, sort_keys=True)
            for path in files:
                with open_h5(path) as source:
                    _copy_groups(source, target)
        shutil.rmtree(self.shards, ignore_errors=True)

    def close(self) -> None:
        """Release files and the lock. Pending values are dropped: leave the `with` block to keep
        them.
        """
        self._close_files()
        if self._lock is not None:
            lock, self._lock = self._lock, None
            # while still held: nobody can have locked this very file
            Path(lock.name).unlink(missing_ok=True)
            lock.close()

    # inside

    def _group(self, key: Key) -> str:
        raise NotImplementedError

    def _sign(self, group: h5py.Group, key: Key) -> None:
        """Leave the key in a group whose name does not determine it."""

    def _signed(self, group: h5py.Group) -> Key | None:
        """The key that `_sign` left, if any."""
        return None

    def _write(self, group: h5py.Group, value: Value) -> None:
        raise NotImplementedError

    def _read(self, group: h5py.Group) -> Value:
        raise NotImplementedError

    def _files(self) -> list[Path]:
        shards = sorted(self.shards.glob("*.h5")) if self.shards.is_dir() else []
        return ([self.path] if self.path.exists() else []) + shards

    def _opened(self) -> list[h5py.File]:
        if not self._open:
            self._open = [open_h5(path) for path in self._files()]
        return self._open

    def _close_files(self) -> None:
        while self._open:
            self._open.pop().close()

    def _find(self, key: Key) -> h5py.Group | None:
        name = self._group(key)
        for file in self._opened():
            if file.get(f"{name}/{self.marker}", getclass=True) is h5py.Dataset:
                self._same(self._signed(file[name]), key)
                return file[name]
        return None

    def _waiting(self, key: Key) -> Value | None:
        waiting, value = self._pending.get(self._group(key), (None, None))
        self._same(waiting, key)
        return value

    def _same(self, found: Key | None, key: Key) -> None:
        if found not in (None, key):
            raise StoreError(
                f"{found} and {key} have the same place in {self.kind} files (hloc's layout); rename an image"
            )

    def _read_recipe(self, path: Path) -> dict[str, Any] | None:
        with open_h5(path) as file:
            text = file.attrs.get("recipe")
            return None if text is None else json.loads(text)

    def _check(self, wanted: dict[str, Any]) -> None:
        for path in self._files():
            found = self._read_recipe(path)
            if found is None:
                raise RecipeError(
                    f"{path} has no recipe (written by another program); choose another output file"
                )
            if found != wanted:
                lines = "; ".join(_difference(found, wanted))
                raise RecipeError(
                    f"{path} was made with other settings: {lines}. Delete it or choose another file"
                )

    def _need_lock(self) -> None:
        if self._lock is None:
            raise StoreError(f"{self.path} is open for reading; give a recipe to write")

    def _take_lock(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path.with_name(self.path.name + ".lock")
        while self._lock is None:
            lock = path.open("wb")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                raise StoreError(
                    f"{self.path} is being written by another process; wait for it or choose another file"
                ) from None
            if _is_at(lock, path):
                self._lock = lock
            else:
                # its owner unlinked it between our open and our lock: take the next one
                lock.close()

    def _clear_leftovers(self) -> None:
        """Remove what a killed writer left half written; the lock says nobody is writing it now."""
        for part in (*self.shards.glob("*.part"), self.path.with_name(f"{self.path.name}.part")):
            part.unlink(missing_ok=True)


@contextmanager
def published(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file that takes the name `path` once it is complete and on the disk; nothing of it
    stays otherwise.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with h5py.File(part, "w") as file:
            yield file
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    # h5py reports a full disk as either, sometimes only on closing
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"{path} cannot be written ({error}); what was finished before is kept"
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def open_h5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise StoreError(
            f"{path} is no readable HDF5 file ({error}); delete it and run again"
        ) from error


def _copy_groups(source: h5py.Group, target: h5py.Group) -> None:
    for name, item in source.items():
        if name not in target:
            source.copy(item, target, name)
        elif isinstance(item, h5py.Group):
            _copy_groups(item, target[name])


def _difference(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """Leaves in which two recipes differ, as `a.b: found X, expected Y`."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            yield from _difference(
                found.get(key), wanted.get(key), f"{where}.{key}" if where else key
            )
    elif found != wanted:
        yield f"{where} is {found!r}, expected {wanted!r}"
