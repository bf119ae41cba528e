"""What features and matches on disk share: values by key, in the layout that a subclass describes.

Knows nothing of images or networks, and of a value only the arrays that it is stored as.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Generic, TypeVar

import h5py
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingNameError, StoreError
from dift_geo.store.files import is_ours, read_arrays, reading, write_array
from dift_geo.store.index import Row
from dift_geo.store.interrupts import signals_wait
from dift_geo.store.shards import OpenFile, ShardedFile
from dift_geo.types import Pair

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Arrays", "Store"]

Key = TypeVar("Key", str, Pair)
Value = TypeVar("Value")
Label = TypeVar("Label", bound=Row)
Arrays = dict[str, NDArray]  # what is written for one key: arrays by the name of their dataset
MAX_PENDING = 1 << 28  # bytes that wait for a flush


class Store(ABC, Generic[Key, Value, Label]):
    """Values by key in one HDF5 file and its shards.

    A value is turned into arrays as soon as it is given and back when it is asked for, so that it
    reads the same before and after it is on disk. It comes with a label: what it was made of, in
    the attributes of its group and in the index of its file. Disk dtypes are decided by the
    subclasses, which say how a value is laid out.

    kind: what the store holds, for messages.
    datasets: the arrays of a value. The first makes a group a record: a folder of images is a group
        as well.
    label_width: how many values a label has.
    """

    kind: str
    datasets: tuple[str, ...]
    label_width: int

    def __init__(self, path: str | Path, recipe: Mapping[str, object] | None = None) -> None:
        """Open for reading, or with `recipe` for writing too.

        A store that another program wrote has no recipe: it can be read, not appended to. Raises
        MissingFileError when there is nothing to read, StoreError when the file cannot be read or
        another process is writing it, WriteError when its folder cannot be written, RecipeError
        when it was made with another recipe.
        """
        self.path = Path(path)
        self._files = ShardedFile(self.path, self.kind, recipe, self.label_width)
        self._pending: dict[str, tuple[Key, Arrays, Label]] = {}  # by group
        self._waiting = 0  # bytes of these
        self._flushed = time.monotonic()

    @property
    def recipe(self) -> dict[str, object] | None:
        """The settings this store was made with; None for files of other programs."""
        return self._files.recipe

    @property
    def shards(self) -> Path:
        """The folder of what is not merged yet."""
        return self._files.folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what is finished, whatever happened: `flush`, then `close`.

        `merge` is the caller's last step.
        """
        try:
            self.flush()
        finally:
            self.close()

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """A store open for reading travels to another process as its path and is opened there."""
        if self._files.writable:
            raise StoreError(
                f"{self.path} is open for writing, which one process can do; "
                "send a store that is open for reading"
            )
        return type(self), (self.path.absolute(),)

    def __contains__(self, key: Key) -> bool:
        return self._locate(key) is not None

    def __getitem__(self, key: Key, /) -> Value:
        """The value of a key.

        Raises MissingNameError when there is none, StoreError when what is there is damaged or is
        not what it should be.
        """
        value = self._look_up(key)
        if value is None:
            raise MissingNameError(f"{key!r} is not in {self.path}")
        return value

    def __len__(self) -> int:
        return len(self._keys())

    def __iter__(self) -> Iterator[Key]:
        """The keys, sorted."""
        return iter(sorted(self._keys()))

    def flush_every(self, seconds: float) -> None:
        """`flush` when the last one is longer ago: no more work is lost when the power goes.

        So it does when what waits takes much memory.
        """
        if time.monotonic() - self._flushed > seconds or self._waiting > MAX_PENDING:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one immutable shard."""
        self._flushed = time.monotonic()
        if not self._pending:
            return
        with signals_wait():
            rows: dict[str, Row] = {name: label for name, (_, _, label) in self._pending.items()}
            with self._files.new_shard(rows) as file:
                for name, (key, arrays, label) in self._pending.items():
                    self._write(file, name, arrays, label, key)
            self._pending.clear()
            self._waiting = 0
        self._files.fold(self._scan)

    def _write(self, file: h5py.File, name: str, arrays: Arrays, label: Label, key: Key) -> None:
        try:
            group = file.require_group(name)  # it is there where it is a folder of others
            for dataset, array in arrays.items():
                write_array(group, dataset, array)
            self._write_label(group, label)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise StoreError(
                f"{key!r} has no place in {self.path} ({error}); rename the image"
            ) from error

    def merge(self) -> None:
        """Build the one file that other programs read from itself and all shards."""
        self._files.need_lock()
        self.flush()
        self._files.merge(self._scan)

    def close(self) -> None:
        """Release files and the lock.

        Pending values are dropped: leave the `with` block to keep them.
        """
        self._files.close()

    # for subclasses

    @abstractmethod
    def _group(self, key: Key) -> str:
        """Where a key is in the file."""

    @abstractmethod
    def _key(self, name: str, label: Label) -> Key:
        """The key of a group with this label."""

    @abstractmethod
    def _belongs(self, label: Label, key: Key) -> bool:
        """Whether a label is of this key, and not of another one with the same group."""

    @abstractmethod
    def _label(self, row: Row) -> Label:
        """The label that an index holds as these values."""

    @abstractmethod
    def _check(self, arrays: Arrays) -> None:
        """Raise InputError for arrays that are no value."""

    @abstractmethod
    def _decode(self, arrays: Arrays, key: Key) -> Value:
        """The value that was stored as these arrays; those of other programs may lack some."""

    @abstractmethod
    def _write_label(self, group: h5py.Group, label: Label) -> None:
        """Leave in the attributes of a group what its value was made of."""

    @abstractmethod
    def _read_label(self, group: h5py.Group) -> Label:
        """What `_write_label` left; in files of other programs nothing."""

    @abstractmethod
    def _groups_in(self, file: h5py.File) -> Iterator[str]:
        """The groups of a file that may be records."""

    def _keep(self, key: Key, arrays: Arrays, label: Label) -> None:
        """Take a finished value; on disk after the next `flush`. It replaces what is there."""
        self._files.need_lock()
        self._locate(key)  # refuses a key in another's place
        name = self._group(key)
        if not _is_place(name):
            raise InputError(f"{key!r} has no place in {self.path}, expected names of files")
        before = self._pending.get(name)
        self._waiting += _bytes(arrays) - (0 if before is None else _bytes(before[1]))
        self._pending[name] = key, arrays, label

    def _keys(self) -> set[Key]:
        keys = {key for key, _, _ in self._pending.values()}
        for one in self._files.opened():
            rows = one.rows
            if rows is None:
                with reading(one.path, "its names"):
                    rows = self._scan(one.file)
            keys |= {self._key(name, self._label(row)) for name, row in rows.items()}
        return keys

    def _scan(self, file: h5py.File) -> dict[str, Row]:
        return {
            name: self._read_label(file[name])
            for name in self._groups_in(file)
            if self._is_record(file, name)
        }

    def _is_record(self, file: h5py.File, name: str) -> bool:
        return file.get(f"{name}/{self.datasets[0]}", getclass=True) is h5py.Dataset

    def _locate(self, key: Key) -> tuple[Label, OpenFile | None] | None:
        """What the value of a key was made of, and the newest file that holds it.

        No file while it waits for a flush; None where there is no value.
        """
        name = self._group(key)
        if name in self._pending:
            return self._own(self._pending[name][2], key), None
        for one in self._files.opened():
            if one.rows is not None:
                if name in one.rows:
                    return self._own(self._label(one.rows[name]), key), one
                continue
            with reading(one.path, repr(key)):
                if self._is_record(one.file, name):
                    return self._own(self._read_label(one.file[name]), key), one
        return None

    def _own(self, label: Label, key: Key) -> Label:
        if not self._belongs(label, key):
            raise StoreError(
                f"{self._key('', label)} and {key} have the same place in {self.kind} files "
                "(hloc's layout); rename an image"
            )
        return label

    def _look_up(self, key: Key) -> Value | None:
        arrays = self._arrays_of(key)
        return None if arrays is None else self._decode(arrays, key)

    def _arrays_of(self, key: Key) -> Arrays | None:
        """The arrays of a value as they are stored, checked; None where there is no value."""
        located = self._locate(key)
        if located is None:
            return None
        _, found = located
        if found is None:
            return self._pending[self._group(key)][1]
        with reading(found.path, repr(key)):
            arrays = read_arrays(found.file[self._group(key)], self.datasets)
        try:
            self._check(arrays)
        except InputError as error:
            remedy = "delete the file and run again" if is_ours(found.path) else "make it again"
            raise StoreError(f"{found.path} at {key!r}: {error}; {remedy}") from error
        return arrays


def _is_place(name: str) -> bool:
    """Whether HDF5 can have a group of this name, and means it as a file system would."""
    plain = PurePosixPath("/", name).as_posix() == f"/{name}" and not name.startswith("/")
    return bool(name) and plain and "\0" not in name and ".." not in name.split("/")


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())
