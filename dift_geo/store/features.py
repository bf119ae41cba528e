"""Features on disk, in hloc's HDF5 layout."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingNameError
from dift_geo.store.base import Arrays, Store
from dift_geo.store.check import check_features
from dift_geo.store.files import as_name, read_text, write_text
from dift_geo.store.index import Row
from dift_geo.store.source import Source
from dift_geo.types import Features, Keypoints, Turn

__all__ = ["FeatureLabel", "FeatureStore"]

logger = logging.getLogger(__name__)


class FeatureLabel(NamedTuple):
    """What features were made of, and what they are at a glance.

    content, size, mtime_ns, ctime_ns, mask: as in `Source`.
    fingerprint: of the features; empty in files that do not say it.
    keypoints: how many there are; -1 in files that do not say it.
    turn: roll and zoom of a photo that was turned back for them; empty where none was.
    """

    content: str = ""
    size: int = -1
    mtime_ns: int = -1
    ctime_ns: int = -1
    mask: str = ""
    fingerprint: str = ""
    keypoints: int = -1
    turn: str = ""

    @property
    def source(self) -> Source:
        """The photo they were made of."""
        return Source(*self[:5])


# in HDF5 the size of a file is called `bytes`, as groups have an `image_size` as well
ATTRIBUTES = ("content", "bytes", "mtime_ns", "ctime_ns", "mask", "fingerprint", "count", "turn")


class FeatureStore(Store[str, Features, FeatureLabel]):
    """Features by image name.

    On disk, coordinates are float32, as half would cost up to a pixel; descriptors and scores are
    half. Files of other programs may lack descriptors (N, 0), scores and the size of the image.
    """

    kind = "features"
    datasets = ("keypoints", "descriptors", "scores", "score", "image_size", "scales", "oris")
    label_width = len(ATTRIBUTES)

    def __init__(self, path: str | Path, recipe: Mapping[str, object] | None = None) -> None:
        super().__init__(path, recipe)
        self._computed: dict[str, str] = {}  # fingerprints that a file does not say
        self._sizes_missed = False

    __init__.__doc__ = Store.__init__.__doc__

    def put(
        self,
        name: str,
        features: Features,
        source: Source | None = None,
        turn: Turn | None = None,
    ) -> None:
        """Take the finished features of an image; on disk after the next `flush`.

        They replace what the store holds under this name.

        source: the photo and the mask that they were made of, for `current`.
        turn: how the photo stands beside others, where it was turned back for them.

        Raises InputError for numbers that are not finite.
        """
        keypoints = features.keypoints
        with np.errstate(over="ignore"):  # what half cannot hold is refused below
            arrays: Arrays = {
                "keypoints": keypoints.xy.astype(np.float32),
                "descriptors": features.descriptors.T.astype(np.float16),
                "scores": keypoints.scores.astype(np.float16),
                "image_size": np.array(keypoints.size_wh, np.int64),
            }
        if keypoints.scale is not None:
            arrays["scales"] = keypoints.scale.astype(np.float32)
        if keypoints.angle is not None:
            arrays["oris"] = keypoints.angle.astype(np.float32)
        try:
            check_features(arrays)
        except InputError as error:
            raise InputError(f"features of {name!r}: {error}") from error
        self._keep(name, arrays, _label(arrays, source or Source(), _turn_text(turn)))

    def __setitem__(self, name: str, features: Features) -> None:
        """`put` without a source."""
        self.put(name, features)

    def current(self, name: str, path: str | Path, mask: str | Path | None = None) -> bool:
        """Whether the features of an image are of the photo that lies at `path` now.

        Size and times say so at a glance; where they differ, the bytes decide, and a store that is
        open for writing takes note of the new times.

        mask: the file of its mask, which may not exist. The mask counts as the photo does.

        Raises MissingFileError when there is no photo.
        """
        located = self._locate(name)
        if located is None:
            return False
        label = located[0]
        source = label.source
        if source.is_still(path, mask):
            return True
        if not source.has_bytes_of(path, mask):
            return False
        arrays = self._arrays_of(name)
        if self._files.writable and arrays is not None:
            self._keep(name, arrays, _label(arrays, Source.of(path, mask), label.turn))
        return True

    def fingerprint(self, name: str) -> str:
        """A hash of the keypoints and descriptors of an image as they are stored.

        Raises MissingNameError when there are none.
        """
        label = self._existing(name)
        if label.fingerprint:
            return label.fingerprint
        if name not in self._computed:
            self._computed[name] = _fingerprint(self._arrays_of(name) or {})
        return self._computed[name]

    def count(self, name: str) -> int:
        """How many keypoints an image has. Raises MissingNameError when it is not there."""
        label = self._existing(name)
        return len(self[name]) if label.keypoints < 0 else label.keypoints

    def turn(self, name: str) -> Turn | None:
        """How the photo of an image stood beside others, if it was turned back for its features.

        Raises MissingNameError when it is not there.
        """
        text = self._existing(name).turn
        if not text:
            return None
        roll, zoom = map(float, text.split())
        return Turn(roll, zoom)

    def size_wh(self, name: str) -> tuple[int, int] | None:
        """The size of an image in pixels; None where the file of another program does not say it.

        Raises MissingNameError when it is not there.
        """
        self._existing(name)
        size = (self._arrays_of(name) or {}).get("image_size")
        return None if size is None else (int(size[0]), int(size[1]))

    def _existing(self, name: str) -> FeatureLabel:
        located = self._locate(name)
        if located is None:
            raise MissingNameError(f"{name!r} is not in {self.path}")
        return located[0]

    def _group(self, key: str) -> str:
        return key

    def _key(self, name: str, label: FeatureLabel) -> str:
        return name

    def _belongs(self, label: FeatureLabel, key: str) -> bool:
        return True

    def _label(self, row: Row) -> FeatureLabel:
        return FeatureLabel._make(row)

    def _write_label(self, group: h5py.Group, label: FeatureLabel) -> None:
        group["keypoints"].attrs["uncertainty"] = np.float32(1.0)  # pixels, for hloc's localisation
        for attribute, value, unknown in zip(ATTRIBUTES, label, FeatureLabel()):
            if isinstance(value, str) and value != unknown:
                write_text(group, attribute, value)
            elif value != unknown:
                group.attrs[attribute] = value

    def _read_label(self, group: h5py.Group) -> FeatureLabel:
        values = [
            read_text(group, attribute)
            if isinstance(unknown, str)
            else int(group.attrs.get(attribute, unknown))
            for attribute, unknown in zip(ATTRIBUTES, FeatureLabel())
        ]
        return self._label(tuple(values))

    def _groups_in(self, file: h5py.File) -> Iterator[str]:
        names: list[str] = []
        file.visit_links(names.append)
        for name in names:
            if as_name(name).endswith("/keypoints"):
                yield name.removesuffix("/keypoints")

    def _check(self, arrays: Arrays) -> None:
        check_features(arrays)

    def _decode(self, arrays: Arrays, key: str) -> Features:
        xy = arrays["keypoints"][:, :2]
        n = len(xy)
        scores = arrays.get("scores", arrays.get("score"))
        if scores is None or scores.shape != (n,):
            scores = np.ones(n, np.float32)
        descriptors = arrays.get("descriptors", np.zeros((0, n), np.float32))
        size = arrays.get("image_size")
        keypoints = Keypoints(
            xy,
            scores,
            self._least_size(xy, key) if size is None else (int(size[0]), int(size[1])),
            arrays.get("scales"),
            arrays.get("oris"),
        )
        return Features(keypoints, descriptors.T)

    def _least_size(self, xy: NDArray, name: str) -> tuple[int, int]:
        """The smallest image that holds the keypoints, where a file does not say its size."""
        if not self._sizes_missed:
            self._sizes_missed = True
            logger.warning(
                "%s does not say how large the images are (%r first): its keypoints are taken to "
                "be in pixels of the photos",
                self.path,
                name,
            )
        w, h = np.floor(xy.max(axis=0, initial=0) + 0.5).astype(int) + 1
        return int(w), int(h)


def _turn_text(turn: Turn | None) -> str:
    return "" if turn is None else f"{turn.roll!r} {turn.zoom!r}"


def _label(arrays: Arrays, source: Source, turn: str) -> FeatureLabel:
    return FeatureLabel(
        source.content,
        source.size,
        source.mtime_ns,
        source.ctime_ns,
        source.mask,
        _fingerprint(arrays),
        len(arrays["keypoints"]),
        turn,
    )


def _fingerprint(arrays: Arrays) -> str:
    digest = blake2b(digest_size=8)
    for name in ("keypoints", "descriptors"):
        array = np.ascontiguousarray(arrays.get(name, np.zeros(0)))
        digest.update(f"{array.shape} {array.dtype.str} ".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
