"""Cameras: known intrinsics and poses, and how images share them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError

__all__ = ["CameraMode", "KnownCamera", "read_cameras", "read_intrinsics"]

CameraMode = Literal["auto", "single", "per-folder", "per-image"]
Intrinsics = dict[str, tuple[str, list[float]]]


def read_intrinsics(path: str | Path) -> Intrinsics:
    """Known cameras: lines `IMAGE_NAME MODEL PARAMS...` as COLMAP names them, with `*` for every
    other image.

    For instance `* PINHOLE 1379.7 1382.1 760.6 503.7`. Raises ValueError naming the line that does
    not fit.
    """
    import pycolmap

    known: Intrinsics = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        try:
            model = pycolmap.CameraModelId.__members__[fields[1]]
            params = [float(field) for field in fields[2:]]
            expected = len(pycolmap.Camera.create_from_model_id(1, model, 1.0, 1, 1).params)
        except (IndexError, KeyError, ValueError):
            raise InputError(
                f"{path}:{number}: {line!r}, expected `IMAGE_NAME MODEL PARAMS...` with a COLMAP model"
            ) from None
        if len(params) != expected:
            raise InputError(
                f"{path}:{number}: {fields[1]} got {len(params)} parameters, expected {expected}"
            )
        known[fields[0]] = fields[1], params
    return known


@dataclass(frozen=True)
class KnownCamera:
    """A pinhole camera: K (3, 3) with (0, 0) at the centre of the top-left pixel, cam_from_world
    (3, 4).
    """

    size_wh: tuple[int, int]
    K: NDArray[np.float64]
    cam_from_world: NDArray[np.float64]


def read_cameras(path: str | Path) -> dict[str, KnownCamera]:
    """Known cameras by image name, from lines `name width height fx fy cx cy` and the 12 numbers of
    cam_from_world.

    Rows of (R | t) follow each other; # starts a comment. Raises ValueError naming the line that
    does not fit.
    """
    cameras = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *fields = line.split()
        try:
            w, h = map(int, fields[:2])
            fx, fy, cx, cy, *pose = map(float, fields[2:])
            cam_from_world = np.array(pose).reshape(3, 4)
        except ValueError:
            wanted = "name width height fx fy cx cy and 12 numbers of cam_from_world"
            raise InputError(f"{path}:{number}: {line[:60]!r}..., expected {wanted}") from None
        cameras[name] = KnownCamera(
            (w, h), np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), cam_from_world
        )
    return cameras
