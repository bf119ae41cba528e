"""Cameras in COLMAP's terms as matrices of intrinsics, and a whole model as known cameras.

Pixels become ours on the way: COLMAP's begin at the corner of the top-left one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.cameras import KnownCamera
from dift_geo.errors import InputError
from dift_geo.frames import from_colmap

if TYPE_CHECKING:
    import pycolmap

__all__ = ["intrinsics_matrix", "is_model", "read_model", "read_model_cameras"]

# pinholes, and models that are one where the rest of their parameters is 0
PERSPECTIVE = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")


def is_model(folder: str | Path) -> bool:
    """Whether a folder holds a COLMAP model, binary or text."""
    return any(
        (Path(folder, f"cameras{kind}").is_file() and Path(folder, f"images{kind}").is_file())
        for kind in (".bin", ".txt")
    )


def read_model(folder: str | Path) -> pycolmap.Reconstruction:
    """A COLMAP model, binary or text. Raises InputError for a folder that holds none."""
    import pycolmap

    if not is_model(folder):
        raise InputError(f"{folder} holds no COLMAP model, expected cameras and images, bin or txt")
    try:
        return pycolmap.Reconstruction(str(folder))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{folder} cannot be read as a COLMAP model: {error}") from error


def read_model_cameras(folder: str | Path) -> dict[str, KnownCamera]:
    """The cameras of all photos that a COLMAP model registers, by image name.

    Raises InputError for a folder that holds no model and for a lens that distorts: there is no
    single matrix of intrinsics then.
    """
    model = read_model(folder)
    found = {}
    for image in model.images.values():
        if not image.has_pose:
            continue
        camera = model.cameras[image.camera_id]
        pose = np.asarray(image.cam_from_world().matrix(), np.float64)
        K = _matrix(camera, str(folder))
        found[image.name] = KnownCamera((camera.width, camera.height), K, pose)
    return dict(sorted(found.items()))


def intrinsics_matrix(
    model: str, size_wh: tuple[int, int], params: Sequence[float], where: str
) -> NDArray[np.float64]:
    """(3, 3) of a camera in COLMAP's terms, for our pixels.

    model: COLMAP's word, with `params` in its order.
    where: the place of the camera, for messages.

    Raises InputError for an unknown model, for parameters that do not fit it and for a lens that
    distorts.
    """
    import pycolmap

    w, h = size_wh
    try:
        camera = pycolmap.Camera(model=model, width=w, height=h, params=list(params))
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{where}: {model} with {len(params)} parameters: {error}") from None
    if not camera.verify_params():
        raise InputError(f"{where}: {model} got {len(params)} parameters, which do not fit it")
    return _matrix(camera, where)


def _matrix(camera: pycolmap.Camera, where: str) -> NDArray[np.float64]:
    model = camera.model.name
    rest = np.asarray(camera.params)[list(camera.extra_params_idxs())]
    if model not in PERSPECTIVE or np.any(rest != 0):
        raise InputError(
            f"{where} has a camera {model} that distorts, expected a pinhole; undistort the photos "
            "first (colmap image_undistorter)"
        )
    K = np.array(camera.calibration_matrix(), np.float64)
    K[:2, 2] = from_colmap(K[:2, 2])
    return K
