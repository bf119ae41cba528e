"""What more of a camera the photos of a finished model determine than the mapper asked for.

While a model grows, one term of distortion is all that few photos bear, and the principal point
lies in the middle. When it stands, a lens gets its second term, and a camera that several photos
share its principal point, if they fix it. Cameras that the user knows stay as they are. Knows
models and databases; runs no mapper.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dift_geo.colmap.adjustment import Adjustment
from dift_geo.colmap.intrinsics import FIRST, Intrinsics, intrinsics_of
from dift_geo.colmap.opened import opened
from dift_geo.colmap.uncertainty import centre_uncertainties

if TYPE_CHECKING:
    import pycolmap

__all__ = ["free_cameras", "open_lenses", "refined", "write_lenses"]

LARGEST_TERM = 1.0  # COLMAP's own limit: images with more leave its models
SHARED_BY = 3  # photos, at least, before a principal point is asked for
# one standard deviation of a principal point that counts as fixed, as a share of the focal length:
# a tenth of a degree. Of subsets of 3 to 6 photos of two scenes all below gained, and five of the
# eleven above lost: docs/results.md
CENTRE_KNOWN = 0.002
FAR_OFF = 0.15  # of the side, from the middle; lenses are not so crooked


def free_cameras(path: str | Path, intrinsics: Intrinsics | None = None) -> frozenset[int]:
    """Ids of the cameras of a database that nobody knows and that begin with one term.

    None of two photos: they do not determine cameras at all.

    intrinsics: the known ones.
    """
    with opened(path) as database:
        images = database.read_all_images()
        known = {i.camera_id for i in images if intrinsics_of(intrinsics, i.name) is not None}
        cameras = {i.camera_id for i in images} - known
        if len(images) == 2:
            return frozenset()
        return frozenset(i for i in cameras if database.read_camera(i).model_name == FIRST)


def refined(
    model: pycolmap.Reconstruction, free: Collection[int], adjustment: Adjustment
) -> pycolmap.Reconstruction:
    """The same model with finer cameras, adjusted; the one given does not change.

    free: ids of the cameras that may become finer.
    """
    import pycolmap

    fine = pycolmap.Reconstruction(model)
    open_lenses(fine, free)
    adjustment.solve(fine)
    wild = {i for i in free if i in fine.cameras and _is_wild(fine.cameras[i])}
    if wild:  # of a long lens, or of few points: another time without them
        fine = pycolmap.Reconstruction(model)
        open_lenses(fine, set(free) - wild)
        adjustment.solve(fine)
    return _with_centres(fine, free, adjustment)


def _is_wild(camera: pycolmap.Camera) -> bool:
    terms = [camera.params[i] for i in camera.extra_params_idxs()]
    return bool(np.max(np.abs(terms), initial=0.0) > LARGEST_TERM)


def _with_centres(
    model: pycolmap.Reconstruction, free: Collection[int], adjustment: Adjustment
) -> pycolmap.Reconstruction:
    """With the principal points that the photos fix, of cameras that several share."""
    import pycolmap

    photos = Counter(model.images[i].camera_id for i in model.reg_image_ids())
    shared = {i for i in free if photos[i] >= SHARED_BY}
    while shared:
        centred = pycolmap.Reconstruction(model)
        adjustment.solve(centred, shared)
        spread = centre_uncertainties(centred, shared)
        fixed = {
            i
            for i in shared
            if spread.get(i, np.inf) <= CENTRE_KNOWN and not _is_crooked(centred.cameras[i])
        }
        if fixed == shared:
            if set(photos) - shared:  # they stood still meanwhile
                adjustment.solve(centred)
            return centred
        shared = fixed
    return model


def _is_crooked(camera: pycolmap.Camera) -> bool:
    centre = np.array([camera.principal_point_x, camera.principal_point_y])
    off = np.abs(centre / (camera.width, camera.height) - 1 / 2).max()
    return bool(off > FAR_OFF or _is_wild(camera))


def open_lenses(model: pycolmap.Reconstruction, cameras: Iterable[int]) -> None:
    """Give cameras of one term a second one of 0, in place; others stay."""
    for number in cameras:
        if number in model.cameras:
            _open(model.cameras[number])


def _open(camera: pycolmap.Camera) -> None:
    import pycolmap

    if camera.model_name == FIRST:
        params = [*camera.params, 0.0]
        camera.model = pycolmap.CameraModelId.RADIAL
        camera.params = params


def write_lenses(path: str | Path, cameras: Collection[int]) -> None:
    """The same in a database: COLMAP ends the process where a model has another kind of camera.

    Raises WriteError where the disk is full.
    """
    if not cameras:
        return
    with opened(path) as database:
        for number in sorted(cameras):
            camera = database.read_camera(number)
            _open(camera)
            database.update_camera(camera)
