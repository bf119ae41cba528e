"""Keypoints found elsewhere and listed in text files, as a detector.

The way in which the DIFT release and CAPS use SuperPoint: one file of `x y` lines for each image.
Knows neither descriptors nor who found the keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.contract import Detector
from dift_geo.errors import InputError, MissingFileError, NotAFolderError
from dift_geo.types import Keypoints

__all__ = ["Listed", "read_keypoint_file"]

MAX_PX = 1e6  # no picture is larger


@dataclass(frozen=True)
class Listed(Detector):
    """Keypoints read from files `SEQUENCE-K.kp`: those of `v_wall/1.png` are in `v_wall-1.kp`.

    They are pixels of the photo at its own size, sorted and each counted once, without scale or
    angle. The files do not say how large the photo is, so `detect` has to see it whole.

    folder: where the files are.
    name: what it is called in recipes.
    """

    folder: Path
    name: str = "listed"

    def __post_init__(self) -> None:
        if not Path(self.folder).is_dir():
            raise NotAFolderError(
                f"{self.folder} is no folder; expected one of SEQUENCE-K.kp files"
            )
        if not self._files():
            raise MissingFileError(f"{self.folder} holds no .kp file; expected SEQUENCE-K.kp files")

    @property
    def at_full_size(self) -> bool:
        """Yes: the files hold pixels of the photo and not its size."""
        return True

    def detect(self, image: NDArray[np.uint8], name: str) -> Keypoints:
        """The keypoints listed for the image called `name`.

        image: (H, W, 3) uint8 RGB at its own size, of which only the size is used.
        Raises FileNotFoundError where there is no list for this name.
        """
        xy = np.unique(read_keypoint_file(self.file_of(name)), axis=0)
        h, w = image.shape[:2]
        return Keypoints(xy, np.ones(len(xy), np.float32), (w, h))

    def file_of(self, name: str) -> Path:
        """The file that lists the keypoints of the image called `name`."""
        stem = PurePosixPath(name).with_suffix("")
        sequence = stem.parent.as_posix()
        return Path(
            self.folder, f"{stem.name}.kp" if sequence == "." else f"{sequence}-{stem.name}.kp"
        )

    def recipe(self) -> dict[str, object]:
        """What determines the keypoints: the content of the files, not where they are."""
        digest = sha256()
        for file in self._files():
            digest.update(file.relative_to(self.folder).as_posix().encode() + file.read_bytes())
        return {"name": self.name, "keypoints": digest.hexdigest()[:16]}

    def _files(self) -> list[Path]:
        return sorted(Path(self.folder).rglob("*.kp"))


def read_keypoint_file(path: str | Path) -> NDArray[np.float32]:
    """A text file of `x y` lines (`v_wall-1.kp` of the DIFT release): (N, 2) float32 pixels.

    An empty file gives none. What stands behind the first two numbers of a line is not read.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no keypoints at {path}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = [_pair(line) for line in lines if line.strip()]
        xy = np.array(rows, np.float64).reshape(-1, 2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no list of `x y` lines: {error}") from None
    if not (np.abs(xy) <= MAX_PX).all():
        raise InputError(f"{path} holds NaN or a place beyond any picture, expected pixels")
    return xy.astype(np.float32)


def _pair(line: str) -> list[float]:
    return [float(word) for word in line.split()[:2]]
