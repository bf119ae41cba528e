"""The files of one store: the merged file that others read, and shards that wait to be merged.

HDF5 has one writer, and a kill in the middle of a write can ruin the file. So finished work goes to
immutable shards in `FILE.shards/`, each written under a temporary name and renamed; `merge` copies
them into the one file, itself written aside and renamed. Knows no layout and no key.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py

from dift_geo.errors import MissingFileError, RecipeError, StoreError
from dift_geo.recipe import as_json, differences
from dift_geo.store.files import (
    WriterLock,
    copy_missing,
    open_h5,
    part_of,
    published,
    read_recipe,
    write_recipe,
)

__all__ = ["MAX_SHARDS", "ShardedFile"]

MAX_SHARDS = 64  # all are held open while reading; many systems allow 1024 open files


class ShardedFile:
    """An HDF5 file and its shards, all made with one recipe.

    path: the merged file.
    folder: where its shards are.
    recipe: what all of them were made with; None for a file of another program.
    """

    def __init__(self, path: Path, kind: str, recipe: Mapping[str, object] | None) -> None:
        """Open for reading, or with `recipe` for writing too.

        kind: what the file holds, for messages.

        Raises MissingFileError when there is nothing to read, StoreError when a file is no HDF5 or
        another process is writing, RecipeError when a file was made with another recipe.
        """
        self.path = path
        self.folder = path.with_name(f"{path.name}.shards")
        self.recipe: dict[str, object] | None = None
        self._opened: list[h5py.File] = []  # as they were at the first look
        self._lock: WriterLock | None = None
        if recipe is None:
            self.recipe = self._found_recipe(kind)
        else:
            self.recipe = as_json(recipe)
            self._start_writing()

    def _found_recipe(self, kind: str) -> dict[str, object] | None:
        paths = self.paths()
        if not paths:
            raise MissingFileError(f"no {kind} at {self.path}")
        with open_h5(paths[0]) as file:
            return read_recipe(file)

    def _start_writing(self) -> None:
        self._lock = WriterLock(self.path)
        try:
            self._clear_leftovers()
            self._check_recipes()
        except BaseException:
            self.close()
            raise

    def _clear_leftovers(self) -> None:
        """Remove what a killed writer left half written; the lock says nobody is writing it now."""
        for part in (*self.folder.glob("*.part"), part_of(self.path)):
            part.unlink(missing_ok=True)

    def _check_recipes(self) -> None:
        for path in self.paths():
            with open_h5(path) as file:
                found = read_recipe(file)
            if found is None:
                raise RecipeError(
                    f"{path} has no recipe (written by another program); choose another output file"
                )
            if found != self.recipe:
                lines = "; ".join(differences(found, self.recipe))
                raise RecipeError(
                    f"{path} was made with other settings: {lines}. "
                    "Delete it or choose another file"
                )

    def paths(self) -> list[Path]:
        """The files that are there: the merged one first, then the shards."""
        shards = sorted(self.folder.glob("*.h5")) if self.folder.is_dir() else []
        return [self.path, *shards] if self.path.exists() else shards

    def opened(self) -> list[h5py.File]:
        """The same files, open for reading. They stay open until the files change or `close`."""
        if not self._opened:
            self._opened = [open_h5(path) for path in self.paths()]
        return self._opened

    @property
    def writable(self) -> bool:
        """Whether this process may write now."""
        return self._lock is not None

    def need_lock(self) -> None:
        """Raise StoreError when this was opened for reading."""
        if not self.writable:
            raise StoreError(f"{self.path} is open for reading; give a recipe to write")

    @contextmanager
    def new_shard(self) -> Iterator[h5py.File]:
        """A new file that is a shard once the `with` block ends."""
        with self._written(self.folder / f"{uuid.uuid4().hex}.h5") as file:
            yield file
        self._close_files()

    def merge_many(self) -> None:
        """`merge` when there are more shards than may be open at once."""
        if len(self.paths()) > MAX_SHARDS:
            self.merge()

    def merge(self) -> None:
        """Build the one file that other programs read out of itself and all shards.

        The shards are dropped afterwards. A kill on the way costs nothing: they stay until the new
        file has its name, and copying them twice is harmless.
        """
        paths = self.paths()
        if paths == [self.path]:
            return
        self._close_files()
        with self._written(self.path) as target:
            for path in paths:
                with open_h5(path) as source:
                    copy_missing(source, target)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def _written(self, path: Path) -> Iterator[h5py.File]:
        self.need_lock()
        with published(path) as file:
            write_recipe(file, self.recipe or {})
            yield file

    def close(self) -> None:
        """Release the files and the lock."""
        self._close_files()
        if self._lock is not None:
            lock, self._lock = self._lock, None
            lock.release()

    def _close_files(self) -> None:
        while self._opened:
            self._opened.pop().close()
