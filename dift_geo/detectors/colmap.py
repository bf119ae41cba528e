"""The keypoints of a COLMAP database as a detector, so that DIFT describes what a project already
has.

Knows pycolmap's database; neither descriptors nor matches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.contract import Detector
from dift_geo.errors import InputError, MissingFileError, MissingNameError
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
        with open_database(self.database) as database:
            self._ids.update({image.name: image.image_id for image in database.read_all_images()})

    def recipe(self) -> dict[str, object]:
        """What determines the keypoints: the numbers in the database, not its path."""
        digest = sha256()
        with open_database(self.database) as database:
            for name in sorted(self._ids):
                digest.update(name.encode() + database.read_keypoints(self._ids[name]).tobytes())
        return {"name": self.name, "keypoints": digest.hexdigest()[:16]}

    def keypoints_of(self, name: str) -> Keypoints:
        """Keypoints of one image, by its name in the database, in the frame of the original image.

        Raises KeyError for a name that the database does not have.
        """
        if name not in self._ids:
            raise MissingNameError(
                f"{name!r} is not in {self.database}; expected one of its {len(self._ids)} images"
            )
        with open_database(self.database) as database:
            image_id = self._ids[name]
            camera = database.read_camera(database.read_image(image_id).camera_id)
            return _keypoints(database.read_keypoints(image_id), (camera.width, camera.height))

    def detect(self, image: NDArray[np.uint8], name: str) -> Keypoints:
        """Keypoints of the image called `name` in the database, in the frame of the image given.

        The size of the original is that of its camera, so the image may be a resized copy.
        """
        return self.keypoints_of(name).resized_to((image.shape[1], image.shape[0]))


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
    """An existing COLMAP database; pycolmap would create a missing one."""
    import pycolmap

    if not Path(path).is_file():
        raise MissingFileError(
            f"no COLMAP database at {path}; expected the file `colmap feature_extractor` writes"
        )
    with Path(path).open("rb") as file:
        if file.read(15) != b"SQLite format 3":
            raise InputError(f"{path} is no COLMAP database; expected an SQLite file")
    with pycolmap.Database.open(str(path)) as database:
        yield database
