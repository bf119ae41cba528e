"""Features and matches on disk, in hloc's HDF5 layout, with the recipe that made them.

HDF5 has one writer and a kill in the middle of a write can ruin the file. So finished work goes to immutable shards
(`FILE.shards/`), each written under a temporary name and renamed; `merge` copies them into the file that others read,
itself written aside and renamed. Disk dtypes are decided here alone: coordinates float32 (half would cost up to a pixel),
match indices int32 (hloc's int16 wraps), descriptors and scores half. Knows nothing of images or networks.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import h5py
import numpy as np

from dift_geo.types import Features, Keypoints, Matches

__all__ = ["FeatureStore", "MatchStore", "RecipeError", "StoreError", "pair_key"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class StoreError(RuntimeError):
    """A file that is not what it should be, or that another process is writing."""


class RecipeError(StoreError):
    """A store was made with other settings than the ones asked for."""


def pair_key(name0: str, name1: str) -> str:
    """hloc's group of a pair: slashes inside names become dashes."""
    return f"{name0.replace('/', '-')}/{name1.replace('/', '-')}"


class _Store(Generic[Key, Value]):
    """One HDF5 file and its shards; subclasses say how a value is laid out and where."""

    kind: str

    def __init__(self, path: str | Path, recipe: Mapping[str, Any] | None = None) -> None:
        """Open for reading, or with `recipe` for writing too.

        Raises StoreError when the file is no HDF5 or is locked by another writer, RecipeError when it was made with
        another recipe. A store that hloc wrote has no recipe: it can be read, not appended to.
        """
        self.path = Path(path)
        self.shards = self.path.with_name(self.path.name + ".shards")
        self._pending: dict[Key, Value] = {}
        self._lock: IO[bytes] | None = None
        self._open: dict[Path, h5py.File] = {}
        if recipe is None and not self._files():
            raise FileNotFoundError(f"no {self.kind} at {self.path}")
        if recipe is not None:
            wanted = json.loads(json.dumps(recipe))
            self._take_lock()
            try:
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
        """Keep what is finished: flush to a shard, whatever happened. `merge` is the caller's last step."""
        try:
            self.flush()
        finally:
            self.close()

    def __contains__(self, key: Key) -> bool:
        return key in self._pending or self._find(key) is not None

    def __getitem__(self, key: Key) -> Value:
        if key in self._pending:
            return self._pending[key]
        group = self._find(key)
        if group is None:
            raise KeyError(f"{key!r} is not in {self.path}")
        try:
            return self._read(group)
        except (KeyError, OSError, ValueError) as error:
            raise StoreError(f"{self.path} holds {key!r} in another layout: {error}; expected hloc's") from error

    def __setitem__(self, key: Key, value: Value) -> None:
        """Take a finished value; on disk after the next `flush`."""
        if self._lock is None:
            raise StoreError(f"{self.path} is open for reading; give a recipe to write")
        self._pending[key] = value

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __iter__(self) -> Iterator[Key]:
        raise NotImplementedError  # each layout lists its own keys

    def flush(self) -> None:
        """Write what is pending as one immutable shard."""
        if not self._pending:
            return
        self.shards.mkdir(exist_ok=True)
        name = uuid.uuid4().hex
        part = self.shards / f"{name}.part"
        with h5py.File(part, "w") as file:
            file.attrs["recipe"] = json.dumps(self._recipe, sort_keys=True)
            for key, value in self._pending.items():
                self._write(file.create_group(self._group(key)), value)
        os.replace(part, self.shards / f"{name}.h5")
        self._pending.clear()

    def merge(self) -> None:
        """Build the one file that other programs read from itself and all shards; then drop the shards."""
        self.flush()
        shards = self._files()
        if shards == [self.path]:
            return
        self._close_files()
        part = self.path.with_name(f"{self.path.name}.part")
        with h5py.File(part, "w") as target:
            target.attrs["recipe"] = json.dumps(self._recipe, sort_keys=True)
            for path in shards:
                with h5py.File(path, "r") as source:
                    _copy_groups(source, target)
        os.replace(part, self.path)
        shutil.rmtree(self.shards, ignore_errors=True)

    def close(self) -> None:
        """Release files and the lock. Pending values are dropped: leave the `with` block to keep them."""
        self._close_files()
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.unlink(lock.name)
            lock.close()

    # inside

    def _group(self, key: Key) -> str:
        raise NotImplementedError

    def _write(self, group: h5py.Group, value: Value) -> None:
        raise NotImplementedError

    def _read(self, group: h5py.Group) -> Value:
        raise NotImplementedError

    def _files(self) -> list[Path]:
        shards = sorted(self.shards.glob("*.h5")) if self.shards.is_dir() else []
        return ([self.path] if self.path.exists() else []) + shards

    def _opened(self) -> list[h5py.File]:
        for path in self._files():
            if path not in self._open:
                self._open[path] = _open_h5(path)
        return list(self._open.values())

    def _close_files(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def _find(self, key: Key) -> h5py.Group | None:
        name = self._group(key)
        for file in self._opened():
            if name in file:
                return file[name]
        return None

    def _read_recipe(self, path: Path) -> dict[str, Any] | None:
        with _open_h5(path) as file:
            text = file.attrs.get("recipe")
            return None if text is None else json.loads(text)

    def _check(self, wanted: dict[str, Any]) -> None:
        for path in self._files():
            found = self._read_recipe(path)
            if found is None:
                raise RecipeError(f"{path} has no recipe (written by another program); choose another output file")
            if found != wanted:
                lines = "; ".join(_difference(found, wanted))
                raise RecipeError(f"{path} was made with other settings: {lines}. Delete it or choose another file")

    def _take_lock(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(self.path.name + ".lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise StoreError(f"{self.path} is being written by another process; wait for it or choose another file") from None
        self._lock = lock


class FeatureStore(_Store[str, Features]):
    """Features by image name."""

    kind = "features"

    def __iter__(self) -> Iterator[str]:
        names = set(self._pending)
        for file in self._opened():
            file.visititems(lambda name, item: names.add(name.rsplit("/", 1)[0]) if name.endswith("/keypoints") else None)
        return iter(sorted(names))

    def _group(self, key: str) -> str:
        return key

    def _write(self, group: h5py.Group, value: Features) -> None:
        k = value.keypoints
        keypoints = group.create_dataset("keypoints", data=k.xy.astype(np.float32))
        keypoints.attrs["uncertainty"] = np.float32(1.0)  # pixels; hloc's localisation reads it
        group.create_dataset("descriptors", data=value.descriptors.T.astype(np.float16))
        group.create_dataset("scores", data=k.scores.astype(np.float16))
        group.create_dataset("image_size", data=np.array(k.size_wh, np.int64))
        for name, column in (("scales", k.scale), ("oris", k.angle)):
            if column is not None:
                group.create_dataset(name, data=column.astype(np.float32))

    def _read(self, group: h5py.Group) -> Features:
        xy = group["keypoints"][()]
        columns = {name: group[name][()] if name in group else None for name in ("scales", "oris")}
        scores = group["scores"][()] if "scores" in group else np.ones(len(xy), np.float32)
        size_wh = tuple(int(side) for side in group["image_size"][()])
        keypoints = Keypoints(xy[:, :2], scores, size_wh, columns["scales"], columns["oris"])  # type: ignore[arg-type]
        return Features(keypoints, group["descriptors"][()].T)


class MatchStore(_Store[tuple[str, str], Matches]):
    """Matches by pair of image names; reading accepts either order, as hloc does."""

    kind = "matches"

    def __contains__(self, key: tuple[str, str]) -> bool:
        return super().__contains__(key) or super().__contains__(key[::-1])

    def __getitem__(self, key: tuple[str, str]) -> Matches:
        if not super().__contains__(key) and super().__contains__(key[::-1]):
            swapped = super().__getitem__(key[::-1])
            pairs = swapped.pairs[:, ::-1]
            order = np.argsort(pairs[:, 0], kind="stable")
            return Matches(pairs[order], swapped.scores[order])
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The pairs as stored: names with dashes for slashes, which the file cannot tell apart."""
        keys = {tuple(pair_key(*key).split("/")) for key in self._pending}
        for file in self._opened():
            keys |= {(name0, name1) for name0, group in file.items() for name1 in group}
        return iter(sorted(keys))  # type: ignore[arg-type]

    def _group(self, key: tuple[str, str]) -> str:
        return pair_key(*key)

    def put(self, key: tuple[str, str], value: Matches, count0: int) -> None:
        """Take the matches of a pair whose first image has `count0` keypoints."""
        self[key] = _Counted(value.pairs, value.scores, count0)

    def _write(self, group: h5py.Group, value: Matches) -> None:
        count0 = value.count0 if isinstance(value, _Counted) else int(value.pairs[:, 0].max(initial=-1)) + 1
        matches0 = np.full(count0, -1, np.int32)
        scores0 = np.zeros(count0, np.float16)
        matches0[value.pairs[:, 0]] = value.pairs[:, 1]
        scores0[value.pairs[:, 0]] = value.scores
        group.create_dataset("matches0", data=matches0)
        group.create_dataset("matching_scores0", data=scores0)

    def _read(self, group: h5py.Group) -> Matches:
        matches0 = group["matches0"][()].astype(np.int64)
        scores0 = group["matching_scores0"][()] if "matching_scores0" in group else np.ones(len(matches0), np.float32)
        matched = np.flatnonzero(matches0 >= 0)
        return Matches(np.stack([matched, matches0[matched]], 1), scores0[matched])


class _Counted(Matches):
    """Matches that know how long `matches0` has to be."""

    __slots__ = ("count0",)
    count0: int

    def __init__(self, pairs: Any, scores: Any, count0: int) -> None:
        super().__init__(pairs, scores)
        object.__setattr__(self, "count0", count0)


def _open_h5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise StoreError(f"{path} is no readable HDF5 file ({error}); delete it and run again") from error


def _copy_groups(source: h5py.Group, target: h5py.Group) -> None:
    for name, item in source.items():
        is_record = isinstance(item, h5py.Dataset) or any(isinstance(child, h5py.Dataset) for child in item.values())
        if is_record or name not in target:
            if name not in target:
                source.copy(item, target, name)
        else:
            _copy_groups(item, target[name])


def _difference(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """Leaves in which two recipes differ, as `a.b: found X, expected Y`."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            yield from _difference(found.get(key), wanted.get(key), f"{where}.{key}" if where else key)
    elif found != wanted:
        yield f"{where} is {found!r}, expected {wanted!r}"
