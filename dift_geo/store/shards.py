"""The files of one store: the merged file that others read, and shards that wait to be merged.

HDF5 has one writer, and a kill in the middle of a write can ruin the file. So finished work goes to
immutable shards in `FILE.shards/`, each written under a temporary name and renamed; `merge` copies
them into the one file, itself written aside and renamed. A shard is newer than those numbered
before it and than the merged file: its values replace theirs. Knows no layout and no key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import h5py

from dift_geo.errors import MissingFileError, RecipeError, StoreError
from dift_geo.recipe import as_json, differences
from dift_geo.store.files import (
    copy_missing,
    open_h5,
    part_of,
    published,
    read_recipe,
    reading,
    write_recipe,
)
from dift_geo.store.index import Row, Rows, read_index
from dift_geo.store.interrupts import signals_wait
from dift_geo.store.lock import WriterLock
from dift_geo.store.spans import Span, current_spans, span_path, superseded_spans, to_fold

__all__ = ["OpenFile", "Scan", "ShardedFile"]

Scan = Callable[[h5py.File], dict[str, Row]]  # the rows of a file that has no index

TRIES = 20  # to open files that are being merged


@dataclass(frozen=True)
class OpenFile:
    """A file that is open for reading.

    path: where it is.
    file: its contents.
    rows: its index; None where it has none.
    """

    path: Path
    file: h5py.File
    rows: Rows | None


class ShardedFile:
    """An HDF5 file and its shards, all made with one recipe.

    path: the merged file.
    folder: where its shards are.
    recipe: what all of them were made with; None for a file of another program.
    """

    def __init__(
        self, path: Path, kind: str, recipe: Mapping[str, object] | None, width: int
    ) -> None:
        """Open for reading, or with `recipe` for writing too.

        kind: what the file holds, for messages.
        width: how many values a row of the index has.

        Raises MissingFileError when there is nothing to read, StoreError when a file cannot be read
        or another process is writing, RecipeError when a file was made with another recipe.
        """
        self.path = path
        self.folder = path.with_name(f"{path.name}.shards")
        self.recipe: dict[str, object] | None = None
        self._width = width
        self._opened: list[OpenFile] = []  # as they were at the first look
        self._lock: WriterLock | None = None
        if recipe is None:
            self.recipe = self._found_recipe(kind)
        else:
            self.recipe = as_json(recipe)
            self._start_writing()

    def _found_recipe(self, kind: str) -> dict[str, object] | None:
        for path in (*self.paths(), self.path):  # that one again: shards may just become it
            with suppress(MissingFileError):
                return _recipe_of(path)
        raise MissingFileError(f"no {kind} at {self.path}")

    def _start_writing(self) -> None:
        with signals_wait():
            self._lock = WriterLock(self.path)
            try:
                self._clear_leftovers()
                self._check_recipes()
            except BaseException:
                self.close()
                raise

    def _clear_leftovers(self) -> None:
        """Remove what a killed writer left half done; the lock says nobody is writing it now."""
        for part in (*self.folder.glob("*.part"), part_of(self.path)):
            part.unlink(missing_ok=True)
        _remove(superseded_spans(self.folder))
        for span in current_spans(self.folder):
            if not span.first:  # written by 0.1, which gave no numbers
                number = self._next_number()
                span.path.rename(span_path(self.folder, number, number))

    def _check_recipes(self) -> None:
        for path in self.paths():
            found = _recipe_of(path)
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

    def _next_number(self) -> int:
        return max((span.last for span in current_spans(self.folder)), default=0) + 1

    def paths(self) -> list[Path]:
        """The files that are there: the merged one first, then the shards, oldest first."""
        shards = [span.path for span in current_spans(self.folder)]
        return [self.path, *shards] if self.path.exists() else shards

    def opened(self) -> Sequence[OpenFile]:
        """The same files, open for reading, the newest first.

        They stay open until the files change or `close`.
        """
        tries = 0
        while not self._opened:
            try:
                self._opened = self._open()
                break
            except MissingFileError:  # merged between the look into the folder and the opening
                tries += 1
                if tries == TRIES:
                    raise
        return self._opened

    def _open(self) -> list[OpenFile]:
        # shards before the merged file: one that is merged meanwhile is seen twice, not never
        spans = current_spans(self.folder)
        opened: list[OpenFile] = []
        try:
            for span in reversed(spans):
                opened.append(self._open_one(span.path))
            if self.path.exists():
                opened.append(self._open_one(self.path))
            if current_spans(self.folder) != spans:
                raise MissingFileError(f"{self.folder} changes all the time; wait for its writer")
        except BaseException:
            _close(opened)
            raise
        return opened

    def _open_one(self, path: Path) -> OpenFile:
        return OpenFile(path, open_h5(path), read_index(path, self._width))

    @property
    def writable(self) -> bool:
        """Whether this process may write now."""
        return self._lock is not None

    def need_lock(self) -> None:
        """Raise StoreError when this was opened for reading."""
        if not self.writable:
            raise StoreError(f"{self.path} is open for reading; give a recipe to write")

    @contextmanager
    def new_shard(self, rows: Rows) -> Iterator[h5py.File]:
        """A new file that is a shard, with these rows, once the `with` block ends."""
        number = self._next_number()
        path = span_path(self.folder, number, number)
        with self._written(path, rows) as file:
            yield file
        if self._opened:
            self._opened.insert(0, self._open_one(path))

    def fold(self, scan: Scan) -> None:
        """Make few large shards of many small ones.

        All are held open while reading, and each value is copied a few times only.
        """
        while spans := to_fold(current_spans(self.folder)):
            target = span_path(self.folder, spans[0].first, spans[-1].last)
            self._build(target, [span.path for span in spans], scan)
            _remove(spans)

    def merge(self, scan: Scan) -> None:
        """Build the one file that other programs read out of itself and all shards.

        The shards are dropped afterwards. A kill on the way costs nothing: they stay until the new
        file has its name, and copying them twice is harmless.
        """
        paths = self.paths()
        if paths == [self.path]:
            return
        spans = current_spans(self.folder)
        self._build(self.path, paths, scan)
        _remove(spans)
        self._remove_empty_folder()

    def _build(self, target: Path, paths: Sequence[Path], scan: Scan) -> None:
        """Write one file out of several, the oldest first; the newest value of a group counts."""
        self._close_files()
        rows: dict[str, Row] = {}
        with signals_wait() as act_now, self._written(target, rows) as file:
            for path in reversed(paths):
                with open_h5(path) as source, reading(path, "its names"):
                    # no damage of a shard may reach the merged file, where it would cost all of it
                    for _ in copy_missing(source, file, verify=path != self.path):
                        act_now()
                    found = read_index(path, self._width)
                    rows |= (scan(source) if found is None else found) | rows

    @contextmanager
    def _written(self, path: Path, rows: Rows) -> Iterator[h5py.File]:
        self.need_lock()
        with published(path, rows) as file:
            write_recipe(file, self.recipe or {})
            yield file

    def close(self) -> None:
        """Release the files and the lock."""
        with signals_wait():
            self._close_files()
            if self._lock is not None:
                lock, self._lock = self._lock, None
                self._remove_empty_folder()
                lock.release()

    def _remove_empty_folder(self) -> None:
        with suppress(OSError):  # not there, or not empty
            self.folder.rmdir()

    def _close_files(self) -> None:
        opened, self._opened = self._opened, []
        _close(opened)


def _recipe_of(path: Path) -> dict[str, object] | None:
    with open_h5(path) as file, reading(path, "its recipe"):
        return read_recipe(file)


def _close(opened: Sequence[OpenFile]) -> None:
    for one in opened:
        one.file.close()


def _remove(spans: Sequence[Span]) -> None:
    """The oldest first: a kill on the way leaves no older value where a newer one was."""
    for span in spans:
        span.path.unlink(missing_ok=True)
