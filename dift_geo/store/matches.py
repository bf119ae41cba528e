"""Matches on disk, in hloc's HDF5 layout."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn

import h5py
import numpy as np

from dift_geo.errors import InputError, MissingNameError
from dift_geo.store.base import Arrays, Store
from dift_geo.store.check import check_matches
from dift_geo.store.features import FeatureStore
from dift_geo.store.files import as_name, as_text, read_text, write_text
from dift_geo.store.index import Row
from dift_geo.types import Matches, Pair

__all__ = ["MatchLabel", "MatchStore", "pair_key", "refuse_name_clashes"]

logger = logging.getLogger(__name__)


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


class MatchLabel(NamedTuple):
    """What matches were made of.

    name0, name1: of the images; empty in files of other programs, whose groups have dashes for
        slashes.
    features0, features1: fingerprints of their features; empty in files that do not say it.
    """

    name0: str = ""
    name1: str = ""
    features0: str = ""
    features1: str = ""


class MatchStore(Store[Pair, Matches, MatchLabel]):
    """Matches by pair of image names; reading accepts either order, as hloc does.

    On disk, the matches of a pair are an array with a place for each keypoint of its first image,
    which `put` has to be told. Its indices are int32, as hloc's int16 wraps; scores are half.
    """

    kind = "matches"
    datasets = ("matches0", "matching_scores0")
    label_width = len(MatchLabel._fields)

    def __init__(self, path: str | Path, recipe: Mapping[str, object] | None = None) -> None:
        super().__init__(path, recipe)
        self._differed = False

    __init__.__doc__ = Store.__init__.__doc__

    def put(
        self,
        pair: Pair,
        matches: Matches,
        count0: int,
        fingerprints: tuple[str, str] = ("", ""),
    ) -> None:
        """Take the matches of a pair; on disk after the next `flush`.

        They replace what the store holds for the pair in this order.

        count0: how many keypoints the first image has.
        fingerprints: of the features of both images, for `current`; see `FeatureStore.fingerprint`.

        Raises InputError for a match that has no place among the keypoints, or one that is taken
        already.
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
        arrays: Arrays = {"matches0": matches0, "matching_scores0": scores0}
        self._keep(pair, arrays, MatchLabel(*pair, *fingerprints))

    def __setitem__(self, pair: Pair, matches: Matches) -> NoReturn:
        """Refuse, with InputError: matches alone do not say how many keypoints there are."""
        raise InputError(
            f"the matches of {pair} do not say how many keypoints the first image has; "
            "use put(pair, matches, count0)"
        )

    def __contains__(self, pair: Pair) -> bool:
        return self.order_of(pair) is not None

    def __getitem__(self, pair: Pair, /) -> Matches:
        """The matches of a pair, in the order asked for. Raises MissingNameError without any.

        A file may hold both orders: the one asked for is read, and where the other one says
        something else, a warning names the pair.
        """
        found = self._look_up(pair)
        other_way = None if pair[0] == pair[1] else self._look_up(pair[::-1])
        if found is None and other_way is None:
            raise MissingNameError(f"{pair!r} is not in {self.path}, in neither order")
        if found is None:
            assert other_way is not None
            return other_way.swapped()
        if other_way is not None:
            self._compare(pair, found, other_way.swapped())
        return found

    def order_of(self, pair: Pair) -> Pair | None:
        """The order in which a pair is stored: the one asked for where both are; None without."""
        for order in (pair, pair[::-1]):
            if super().__contains__(order):
                return order
        return None

    def current(self, pair: Pair, features: FeatureStore) -> bool:
        """Whether the matches of a pair, in this order, are of these features.

        The fingerprints that were given to `put` decide. In a file without them, matches count as
        current that fit the numbers of keypoints.

        Raises MissingNameError when one of the images has no features.
        """
        located = self._locate(pair)
        if located is None:
            return False
        label = located[0]
        if label.features0 or label.features1:
            made_of = label.features0, label.features1
            return made_of == (features.fingerprint(pair[0]), features.fingerprint(pair[1]))
        matches0 = (self._arrays_of(pair) or {})["matches0"]
        counts = [features.count(name) for name in pair]
        return len(matches0) == counts[0] and matches0.max(initial=-1) < counts[1]

    def _compare(self, pair: Pair, found: Matches, other_way: Matches) -> None:
        same = {*map(tuple, found.pairs.tolist())} == {*map(tuple, other_way.pairs.tolist())}
        if not same and not self._differed:
            self._differed = True
            logger.warning(
                "%s holds matches of %s in both orders, which differ (%d and %d); of such pairs "
                "the order that is asked for is read",
                self.path,
                " and ".join(map(repr, pair)),
                len(found),
                len(other_way),
            )

    def _group(self, key: Pair) -> str:
        return pair_key(*key)

    def _key(self, name: str, label: MatchLabel) -> Pair:
        if label.name0:
            return label.name0, label.name1
        name0, _, name1 = name.partition("/")
        return name0, name1

    def _belongs(self, label: MatchLabel, key: Pair) -> bool:
        return not label.name0 or (label.name0, label.name1) == key

    def _label(self, row: Row) -> MatchLabel:
        return MatchLabel._make(row)

    def _write_label(self, group: h5py.Group, label: MatchLabel) -> None:
        names = [name.encode() for name in label[:2]]
        of_both = h5py.string_dtype("utf-8", max(map(len, names)))
        group.attrs["names"] = np.array(names, of_both)
        for attribute, value in zip(MatchLabel._fields[2:], label[2:]):
            if value:
                write_text(group, attribute, value)

    def _read_label(self, group: h5py.Group) -> MatchLabel:
        names = [as_text(name) for name in group.attrs.get("names", ("", ""))]
        return MatchLabel(*names, *(read_text(group, name) for name in MatchLabel._fields[2:]))

    def _groups_in(self, file: h5py.File) -> Iterator[str]:
        for name0 in map(as_name, file):
            if file.get(name0, getclass=True) is h5py.Group:
                for name1 in map(as_name, file[name0]):
                    yield f"{name0}/{name1}"

    def _check(self, arrays: Arrays) -> None:
        check_matches(arrays)

    def _decode(self, arrays: Arrays, key: Pair) -> Matches:
        matches0 = arrays["matches0"].astype(np.int64)
        scores0 = arrays.get("matching_scores0", np.ones(len(matches0), np.float32))
        matched = np.flatnonzero(matches0 >= 0)
        return Matches(np.stack([matched, matches0[matched]], 1), scores0[matched])
