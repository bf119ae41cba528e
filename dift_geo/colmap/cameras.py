"""Cameras: known intrinsics and poses, as text files and as COLMAP's.

Knows neither features nor matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.frames import to_colmap

if TYPE_CHECKING:
    import pycolmap

__all__ = [
    "CameraMode",
    "Intrinsics",
    "KnownCamera",
    "check_camera_models",
    "colmap_camera",
    "read_cameras",
    "read_intrinsics",
]

CameraMode = Literal["auto", "single", "per-folder", "per-image"]
Intrinsics = dict[str, tuple[str, list[float]]]  # COLMAP's model and parameters, by image name


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


def read_intrinsics(path: str | Path) -> Intrinsics:
    """Known intrinsics: lines `IMAGE_NAME MODEL PARAMS...` in COLMAP's terms.

    The name `*` is every other image, for instance `* PINHOLE 1379.7 1382.1 760.6 503.7`. Raises
    InputError naming the line that does not fit.
    """
    known: Intrinsics = {}
    for place, line in _lines(path):
        wanted = f"{place}: {line!r}, expected `IMAGE_NAME MODEL PARAMS...` with a COLMAP model"
        name, *fields = line.split()
        try:
            model, params = fields[0], [float(field) for field in fields[1:]]
            expected = _parameter_count(model)
        except (IndexError, KeyError, ValueError):
            raise InputError(wanted) from None
        if len(params) != expected:
            raise InputError(f"{place}: {model} got {len(params)} parameters, expected {expected}")
        known[name] = model, params
    return known


def read_cameras(path: str | Path) -> dict[str, KnownCamera]:
    """Known cameras by image name.

    Lines are `name width height fx fy cx cy` and the 12 numbers of cam_from_world, rows of (R | t)
    one after the other; # starts a comment. Raises InputError naming the line that does not fit.
    """
    cameras = {}
    for place, line in _lines(path):
        name, *fields = line.split()
        try:
            w, h = map(int, fields[:2])
            fx, fy, cx, cy, *pose = map(float, fields[2:])
            cam_from_world = np.array(pose).reshape(3, 4)
        except ValueError:
            wanted = "name width height fx fy cx cy and 12 numbers of cam_from_world"
            raise InputError(f"{place}: {line[:60]!r}..., expected {wanted}") from None
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        cameras[name] = KnownCamera((w, h), K, cam_from_world)
    return cameras


def check_camera_models(models: Iterable[str]) -> None:
    """Raise InputError for the first word that is no camera model of COLMAP."""
    import pycolmap

    known = [name for name in pycolmap.CameraModelId.__members__ if name != "INVALID"]
    for model in models:
        if model not in known:
            raise InputError(f"camera_model is {model!r}, expected one of {', '.join(known)}")


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


def _lines(path: str | Path) -> Iterator[tuple[str, str]]:
    """(file and number, line) of all lines but blank ones and comments."""
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield f"{path}:{number}", line


def _parameter_count(model: str) -> int:
    """How many parameters a camera model of COLMAP has. Raises KeyError for a word that is none."""
    import pycolmap

    model_id = pycolmap.CameraModelId.__members__[model]
    return len(pycolmap.Camera.create_from_model_id(1, model_id, 1.0, 1, 1).params)
