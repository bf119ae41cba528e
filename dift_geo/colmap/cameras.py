"""Cameras: known intrinsics and poses, as text files and as COLMAP's.

Knows neither features nor matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.intrinsics import (
    Intrinsics,
    check_camera_models,
    check_intrinsics,
    read_intrinsics,
)
from dift_geo.errors import InputError
from dift_geo.frames import to_colmap
from dift_geo.pairs.text import numbered_lines, plain_name

if TYPE_CHECKING:
    import pycolmap

__all__ = [
    "CameraMode",
    "Intrinsics",
    "KnownCamera",
    "check_camera_models",
    "check_intrinsics",
    "colmap_camera",
    "read_cameras",
    "read_intrinsics",
]

CameraMode = Literal["auto", "single", "per-folder", "per-image"]
CAMERA_LINE = "name width height fx fy cx cy and 12 numbers of cam_from_world"
NUMBERS = 18  # behind the name of a known camera
MAX_SKEW = 1e-3  # of a rotation that was written with few digits


@dataclass(frozen=True)
class KnownCamera:
    """A pinhole camera whose place is known.

    size_wh: of its photo, in pixels.
    K: (3, 3) intrinsics, for pixels with (0, 0) at the centre of the top-left one.
    cam_from_world: (3, 4).
    """

    size_wh: tuple[int, int]
    K: NDArray[np.float64]
    cam_from_world: NDArray[np.float64]


def read_cameras(path: str | Path) -> dict[str, KnownCamera]:
    """Known cameras by image name.

    Lines are `name width height fx fy cx cy` and the 12 numbers of cam_from_world, rows of (R | t)
    one after the other; # starts a comment. Names may hold spaces and stand in quotation marks.

    Raises MissingFileError where there is no file and InputError naming the line that does not fit.
    """
    cameras: dict[str, KnownCamera] = {}
    for number, line in numbered_lines(path):
        if line.lstrip().startswith("#"):
            continue
        place = f"{path}:{number}"
        if not _is_camera(line):
            raise InputError(f"{place}: {line.strip()[:60]!r}..., expected {CAMERA_LINE}")
        name, *fields = line.strip().rsplit(None, NUMBERS)
        name = plain_name(name)
        if name in cameras:
            raise InputError(f"{place}: {name!r} for the second time, expected each image once")
        cameras[name] = _known_camera(place, [float(field) for field in fields])
    return cameras


def _is_camera(line: str) -> bool:
    try:
        return len([float(word) for word in line.rsplit(None, NUMBERS)[1:]]) == NUMBERS
    except ValueError:
        return False


def _known_camera(place: str, numbers: Sequence[float]) -> KnownCamera:
    """Refuse numbers that no camera has. `place` is where they come from."""
    w, h, fx, fy, cx, cy, *pose = numbers
    cam_from_world = np.array(pose).reshape(3, 4)
    R = cam_from_world[:, :3]
    if not np.isfinite(numbers).all():
        raise InputError(f"{place}: NaN or infinity, expected finite numbers")
    if min(w, h) < 1 or w % 1 or h % 1 or min(fx, fy) <= 0:
        raise InputError(
            f"{place}: {w:g} x {h:g} pixels and focal lengths {fx:g} and {fy:g}, expected whole "
            "pixels and lengths above 0"
        )
    if np.abs(R @ R.T - np.eye(3)).max() > MAX_SKEW or np.linalg.det(R) < 0:
        raise InputError(
            f"{place}: the pose turns by no rotation, expected rows of (R | t) that are orthonormal"
        )
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return KnownCamera((int(w), int(h)), K, cam_from_world)


def colmap_camera(camera: KnownCamera, camera_id: int) -> pycolmap.Camera:
    """The same camera as COLMAP's, whose pixels start at the corner."""
    import pycolmap

    K, (w, h) = camera.K, camera.size_wh
    return pycolmap.Camera(
        model="PINHOLE",
        width=w,
        height=h,
        params=[K[0, 0], K[1, 1], *to_colmap(K[:2, 2])],
        camera_id=camera_id,
        has_prior_focal_length=True,
    )
