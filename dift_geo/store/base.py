"""What features and matches on disk share: values by key, in the layout that a subclass describes.

Knows nothing of images or networks, and of a value only the arrays that it is stored as.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import h5py
from numpy.typing import NDArray

from dift_geo.errors import MissingNameError, StoreError
from dift_geo.store.shards import ShardedFile

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Arrays", "Store"]

Key = TypeVar("Key")
Value = TypeVar("Value")
Arrays = dict[str, NDArray]  # what is written for one key: arrays by the name of their dataset


class Store(ABC, Generic[Key, Value]):
    """Values by key in one HDF5 file and its shards.

    A value is turned into arrays as soon as it is given and back when it is asked for, so that it
    reads the same before and after it is on disk. Disk dtypes are decided by the subclasses, which
    say how a value is laid out.

    kind: what the store holds, for messages.
    datasets: the arrays of a value. The first makes a group a record: a folder of images is a group
        as well.
    """

    kind: str
    datasets: tuple[str, ...]

    def __init__(self, path: str | Path, recipe: Mapping[str, object] | None = None) -> None:
        """Open for reading, or with `recipe` for writing too.

        A store that another program wrote has no recipe: it can be read, not appended to. Raises
        MissingFileError when there is nothing to read, StoreError when the file is no HDF5 or
        another process is writing it, RecipeError when it was made with another recipe.
        """
        self.path = Path(path)
        self._files = ShardedFile(self.path, self.kind, recipe)
        self._pending: dict[str, tuple[Key, Arrays]] = {}  # by group
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
        return self._waiting(key) is not None or self._find(key) is not None

    def __getitem__(self, key: Key, /) -> Value:
        """The value of a key. Raises MissingNameError when there is none."""
        value = self._look_up(key)
        if value is None:
            raise MissingNameError(f"{key!r} is not in {self.path}")
        return value

    def __len__(self) -> int:
        return len(list(iter(self)))

    @abstractmethod
    def __iter__(self) -> Iterator[Key]:
        """The keys, sorted."""

    def flush_every(self, seconds: float) -> None:
        """`flush` when the last one is longer ago: no more work is lost when the power goes."""
        if time.monotonic() - self._flushed > seconds:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one immutable shard."""
        self._flushed = time.monotonic()
        if not self._pending:
            return
        with self._files.new_shard() as file:
            for name, (key, arrays) in self._pending.items():
                # the group exists where an image has the name of another's folder
                group = file.require_group(name)
                for dataset, array in arrays.items():
                    group.create_dataset(dataset, data=array)
                self._label(group, key)
        self._pending.clear()
        self._files.merge_many()

    def merge(self) -> None:
        """Build the one file that other programs read from itself and all shards."""
        self._files.need_lock()
        self.flush()
        self._files.merge()

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
    def _decode(self, arrays: Arrays) -> Value:
        """The value that was stored as these arrays; those of other programs may lack some."""

    def _label(self, group: h5py.Group, key: Key) -> None:
        """Leave in a group what its arrays do not say."""

    def _labelled(self, group: h5py.Group) -> Key | None:
        """The key that `_label` left, where a group's name does not determine it."""
        return None

    def _keep(self, key: Key, arrays: Arrays) -> None:
        """Take a finished value; on disk after the next `flush`.

        A value that is on disk is never replaced: raises StoreError.
        """
        self._files.need_lock()
        self._waiting(key)
        if self._find(key) is not None:
            raise StoreError(f"{self.path} already holds {key!r}; delete the file to make it again")
        self._pending[self._group(key)] = key, arrays

    def _pending_keys(self) -> set[Key]:
        return {key for key, _ in self._pending.values()}

    def _look_up(self, key: Key) -> Value | None:
        waiting = self._waiting(key)
        if waiting is not None:
            return self._decode(waiting)
        group = self._find(key)
        if group is None:
            return None
        try:
            there = [name for name in self.datasets if name in group]
            return self._decode({name: group[name][()] for name in there})
        except (KeyError, OSError, ValueError) as error:
            raise StoreError(
                f"{self.path} holds {key!r} in another layout: {error}; expected hloc's"
            ) from error

    def _waiting(self, key: Key) -> Arrays | None:
        if self._group(key) not in self._pending:
            return None
        waiting, arrays = self._pending[self._group(key)]
        self._check_same(waiting, key)
        return arrays

    def _find(self, key: Key) -> h5py.Group | None:
        name = self._group(key)
        for file in self._files.opened():
            if file.get(f"{name}/{self.datasets[0]}", getclass=True) is h5py.Dataset:
                group = file[name]
                self._check_same(self._labelled(group), key)
                return group
        return None

    def _check_same(self, found: Key | None, key: Key) -> None:
        if found is not None and found != key:
            raise StoreError(
                f"{found} and {key} have the same place in {self.kind} files (hloc's layout); "
                "rename an image"
            )
