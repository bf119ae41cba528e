"""Matches on disk, in hloc's HDF5 layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NoReturn

import h5py
import numpy as np

from dift_geo.errors import InputError, MissingNameError
from dift_geo.store.base import Arrays, Store
from dift_geo.types import Matches, Pair

__all__ = ["MatchStore", "pair_key", "refuse_name_clashes"]


def pair_key(name0: str, name1: str) -> str:
    """hloc's group of a pair: slashes inside names become dashes."""
    return f"{_dashed(name0)}/{_dashed(name1)}"


def refuse_name_clashes(pairs: Iterable[Pair]) -> None:
    """Raise InputError for two names, like a/b.jpg and a-b.jpg, with one place in hloc's layout."""
    seen: dict[str, str] = {}
    for name in sorted(set(chain.from_iterable(pairs))):
        other = seen.setdefault(_dashed(name), name)
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} share one name in hloc's match files; rename one of them"
            )


def _dashed(name: str) -> str:
    return name.replace("/", "-")


class MatchStore(Store[Pair, Matches]):
    """Matches by pair of image names; reading accepts either order, as hloc does.

    On disk, the matches of a pair are an array with a place for each keypoint of its first image,
    which `put` has to be told. Its indices are int32, as hloc's int16 wraps; scores are half.
    """

    kind = "matches"
    datasets = ("matches0", "matching_scores0")

    def put(self, pair: Pair, matches: Matches, count0: int) -> None:
        """Take the matches of a pair whose first image has `count0` keypoints.

        Raises InputError for a match that has no place among them, or one that is taken already,
        and StoreError when the pair is on disk: nothing there is ever replaced.
        """
        index0 = matches.pairs[:, 0]
        if len(index0) and not 0 <= index0.min() <= index0.max() < count0:
            worst = index0.min() if index0.min() < 0 else index0.max()
            raise InputError(
                f"matches of {pair} use keypoint {worst} of the first image, which has {count0}"
            )
        if len(np.unique(index0)) < len(index0):
            raise InputError(
                f"matches of {pair} use a keypoint of the first image twice, "
                "expected one match for each"
            )
        matches0 = np.full(count0, -1, np.int32)
        scores0 = np.zeros(count0, np.float16)
        matches0[index0] = matches.pairs[:, 1]
        scores0[index0] = matches.scores
        self._keep(pair, {"matches0": matches0, "matching_scores0": scores0})

    def __setitem__(self, pair: Pair, matches: Matches) -> NoReturn:
        """Refuse, with InputError: matches alone do not say how many keypoints there are."""
        raise InputError(
            f"the matches of {pair} do not say how many keypoints the first image has; "
            "use put(pair, matches, count0)"
        )

    def __contains__(self, pair: Pair) -> bool:
        return super().__contains__(pair) or super().__contains__(pair[::-1])

    def __getitem__(self, pair: Pair, /) -> Matches:
        """The matches of a pair, in the order asked for. Raises MissingNameError without any."""
        found = self._look_up(pair)
        if found is not None:
            return found
        other_way = self._look_up(pair[::-1])
        if other_way is None:
            raise MissingNameError(f"{pair!r} is not in {self.path}, in neither order")
        return other_way.swapped()

    def __iter__(self) -> Iterator[Pair]:
        """The pairs, sorted.

        Those in files of other programs come as stored, with dashes for slashes, which cannot be
        told apart there.
        """
        pairs = self._pending_keys()
        for file in self._files.opened():
            for name0, group in file.items():
                pairs |= {
                    self._labelled(record) or (name0, name1) for name1, record in group.items()
                }
        return iter(sorted(pairs))

    def _group(self, key: Pair) -> str:
        return pair_key(*key)

    def _label(self, group: h5py.Group, key: Pair) -> None:
        group.attrs["names"] = list(key)

    def _labelled(self, group: h5py.Group) -> Pair | None:
        names = group.attrs.get("names")
        return None if names is None else (str(names[0]), str(names[1]))

    def _decode(self, arrays: Arrays) -> Matches:
        matches0 = arrays["matches0"].astype(np.int64)
        scores0 = arrays.get("matching_scores0", np.ones(len(matches0), np.float32))
        matched = np.flatnonzero(matches0 >= 0)
        return Matches(np.stack([matched, matches0[matched]], 1), scores0[matched])
