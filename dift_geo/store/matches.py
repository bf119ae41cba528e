"""Matches on disk, in hloc's HDF5 layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from dift_geo.errors import InputError, MissingNameError
from dift_geo.store.shards import Store
from dift_geo.types import Matches

__all__ = ["MatchStore", "pair_key"]


def pair_key(name0: str, name1: str) -> str:
    """hloc's group of a pair: slashes inside names become dashes."""
    return f"{name0.replace('/', '-')}/{name1.replace('/', '-')}"


class MatchStore(Store[tuple[str, str], Matches]):
    """Matches by pair of image names; reading accepts either order, as hloc does."""

    kind = "matches"
    marker = "matches0"

    def __contains__(self, key: tuple[str, str]) -> bool:
        return super().__contains__(key) or super().__contains__(key[::-1])

    def __getitem__(self, key: tuple[str, str]) -> Matches:
        found = self._look_up(key)
        if found is not None:
            return found
        swapped = self._look_up(key[::-1])
        if swapped is None:
            raise MissingNameError(f"{key!r} is not in {self.path}, in neither order")
        pairs = swapped.pairs[:, ::-1]
        order = np.argsort(pairs[:, 0], kind="stable")
        return Matches(pairs[order], swapped.scores[order])

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The pairs; of files of other programs as stored, with dashes for slashes, which those
        cannot tell apart.
        """
        keys = {key for key, _ in self._pending.values()}
        for file in self._opened():
            for name0, group in file.items():
                keys |= {self._signed(record) or (name0, name1) for name1, record in group.items()}
        return iter(sorted(keys))

    def _group(self, key: tuple[str, str]) -> str:
        return pair_key(*key)

    def _sign(self, group: h5py.Group, key: tuple[str, str]) -> None:
        group.attrs["names"] = list(key)

    def _signed(self, group: h5py.Group) -> tuple[str, str] | None:
        names = group.attrs.get("names")
        return None if names is None else (str(names[0]), str(names[1]))

    def put(self, key: tuple[str, str], value: Matches, count0: int) -> None:
        """Take the matches of a pair whose first image has `count0` keypoints.

        Raises ValueError for an index beyond them or one that is matched twice: `matches0` has one
        place for each.
        """
        index0 = value.pairs[:, 0]
        if len(index0) and not 0 <= index0.min() <= index0.max() < count0:
            raise InputError(
                f"matches of {key} use keypoint {index0.max()} of the first image, which has {count0}"
            )
        if len(np.unique(index0)) < len(index0):
            raise InputError(
                f"matches of {key} use a keypoint of the first image twice, expected one match for each"
            )
        self[key] = _Counted(value.pairs, value.scores, count0)

    def _write(self, group: h5py.Group, value: Matches) -> None:
        count0 = (
            value.count0
            if isinstance(value, _Counted)
            else int(value.pairs[:, 0].max(initial=-1)) + 1
        )
        matches0 = np.full(count0, -1, np.int32)
        scores0 = np.zeros(count0, np.float16)
        matches0[value.pairs[:, 0]] = value.pairs[:, 1]
        scores0[value.pairs[:, 0]] = value.scores
        group.create_dataset("matches0", data=matches0)
        group.create_dataset("matching_scores0", data=scores0)

    def _read(self, group: h5py.Group) -> Matches:
        matches0 = group["matches0"][()].astype(np.int64)
        scores0 = (
            group["matching_scores0"][()]
            if "matching_scores0" in group
            else np.ones(len(matches0), np.float32)
        )
        matched = np.flatnonzero(matches0 >= 0)
        return Matches(np.stack([matched, matches0[matched]], 1), scores0[matched])


class _Counted(Matches):
    """Matches that know how long `matches0` has to be."""

    __slots__ = ("count0",)
    count0: int

    def __init__(self, pairs: Any, scores: Any, count0: int) -> None:
        super().__init__(pairs, scores)
        object.__setattr__(self, "count0", count0)
