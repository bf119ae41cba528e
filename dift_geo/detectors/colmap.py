"""The keypoints of a COLMAP database as a detector, so that DIFT describes what a project already
has.

Reads it and leaves it as it is; knows neither descriptors nor matches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.colmap_database import connect, read_database
from dift_geo.detectors.contract import Detector
from dift_geo.errors import InputError, MissingNameError
from dift_geo.frames import from_colmap
from dift_geo.types import Keypoints

if TYPE_CHECKING:
    import pycolmap

__all__ = ["ColmapKeypoints", "open_database"]


@dataclass(frozen=True)
class ColmapKeypoints(Detector):
    """The keypoints that a COLMAP database already has, as a detector.

    A row stays a row, in number and order, so that matches of the described keypoints fit the
    database they came from. Scale and orientation are those of COLMAP's affine shapes; keypoints
    without shape (two columns) have neither.

    database: the file that `colmap feature_extractor` writes.
    name: what it is called in recipes.
    """

    database: Path
    name: str = "colmap"
    _ids: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with read_database(self.database) as database:
            self._ids.update(database.image_ids())

    def recipe(self) -> dict[str, object]:
        """What determines the keypoints: the numbers in the database, not its path."""
        digest = sha256()
        with read_database(self.database) as database:
            for name in sorted(self._ids):
                rows = database.keypoints(self._ids[name])
                digest.update(name.encode() + (b"" if rows is None else rows.tobytes()))
        return {"name": self.name, "keypoints": digest.hexdigest()[:16]}

    def keypoints_of(self, name: str) -> Keypoints:
        """Keypoints of one image, by its name in the database, in the frame of the original image.

        Raises KeyError for a name that the database does not have.
        """
        if name not in self._ids:
            raise MissingNameError(
                f"{name!r} is not in {self.database}; expected one of its {len(self._ids)} images"
            )
        with read_database(self.database) as database:
            rows = database.keypoints(self._ids[name])
            if rows is None:
                rows = np.zeros((0, 2), np.float32)
            return _keypoints(rows, database.size_wh(self._ids[name]))

    def detect(self, image: NDArray[np.uint8], name: str) -> Keypoints:
        """Keypoints of the image called `name` in the database, in the frame of the image given.

        The size of the original is that of its camera, so the image may be a resized copy.

        Raises InputError for an image of another shape, such as one that was turned.
        """
        found = self.keypoints_of(name)
        size_wh = image.shape[1], image.shape[0]
        if not _is_resized(size_wh, found.size_wh):
            w, h = found.size_wh
            raise InputError(
                f"{name} is {size_wh[0]} x {size_wh[1]} pixels, but {self.database} has a camera "
                f"of {w} x {h} for it; give the photos that the database was made of"
            )
        return found.resized_to(size_wh)


def _is_resized(size_wh: tuple[int, int], original_wh: tuple[int, int]) -> bool:
    """Whether one size is a multiple of the other, to a pixel of rounding."""
    (w, h), (w0, h0) = size_wh, original_wh
    return abs(w - w0 * h / h0) <= max(1, w0 / h0) or abs(h - h0 * w / w0) <= max(1, h0 / w0)


def _keypoints(rows: NDArray[np.float32], size_wh: tuple[int, int]) -> Keypoints:
    """COLMAP's rows in our frame.

    rows: (x, y), (x, y, scale, orientation) or (x, y, a11, a12, a21, a22).
    """
    scores = np.ones(len(rows), np.float32)
    scale = angle = None
    if rows.shape[1] == 4:
        scale, angle = rows[:, 2], rows[:, 3]
    elif rows.shape[1] == 6:
        a11, a12, a21, a22 = rows[:, 2:].T
        scale = (np.hypot(a11, a21) + np.hypot(a12, a22)) / 2
        angle = np.arctan2(a21, a11)
    return Keypoints(from_colmap(rows[:, :2]), scores, size_wh, scale, angle)


@contextmanager
def open_database(path: str | Path) -> Iterator[pycolmap.Database]:
    """An existing COLMAP database by pycolmap, for scripts of 0.1; it may be changed by that.

    pycolmap would create a missing one.
    """
    import pycolmap

    with closing(connect(Path(path))):
        pass  # it is one
    with pycolmap.Database.open(str(path)) as database:
        yield database
