"""Verified matches that the mapper is not shown, and how many of them its model explains.

A model that is right in shape and cameras explains matches it never saw; one that is bent, or put
together from wrong pairs, does not. Knows COLMAP's databases and models; runs no mapper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.opened import opened
from dift_geo.colmap.pixels import scale_of
from dift_geo.geometry.essential import sampson_error_px
from dift_geo.geometry.pose import relative_pose
from dift_geo.types import Pair

if TYPE_CHECKING:
    import pycolmap

__all__ = ["HeldOut", "Witness", "hold_out", "sampson_px"]

SHARE = 0.1
# a pair keeps at least so many of its verified matches, COLMAP's least for a pair
KEPT = 15
WITHIN_PX = 2.0  # of photos of up to 1600 pixels a side, and more in larger ones


@dataclass(frozen=True)
class Witness:
    """What the held-out matches of one pair say of a model.

    total: how many there are.
    within: of these, how many lie within `WITHIN_PX` of the model's epipolar geometry.
    """

    total: int
    within: int


@dataclass(frozen=True)
class HeldOut:
    """Matches withheld, as places: (M, 2) and (M, 2) pixels in COLMAP's frame, by names."""

    places: Mapping[Pair, tuple[NDArray[np.float64], NDArray[np.float64]]]

    def ask(self, model: pycolmap.Reconstruction) -> dict[Pair, Witness]:
        """What each pair says of a model; pairs of which an image has no pose say nothing."""
        posed = {image.name: image for image in model.images.values() if image.has_pose}
        said = {}
        for (name0, name1), (xy0, xy1) in self.places.items():
            if name0 in posed and name1 in posed:
                error = _model_errors_px(model, [posed[name0], posed[name1]], xy0, xy1)
                said[name0, name1] = Witness(len(error), int(np.sum(error <= WITHIN_PX)))
        return said

    def count(self) -> int:
        """All matches withheld."""
        return sum(len(xy0) for xy0, _ in self.places.values())


def hold_out(path: str | Path, *, share: float = SHARE, seed: int = 0) -> HeldOut:
    """Take a share of the verified matches of every pair out of a database of ours, in place.

    path: a database that is a copy.
    share: of the matches of a pair; pairs with few keep theirs.
    seed: of the draw.
    """
    import pycolmap

    random = np.random.default_rng(seed)
    places = {}
    with opened(path) as database:
        names = {image.image_id: image.name for image in database.read_all_images()}
        xy = {i: np.asarray(database.read_keypoints(i))[:, :2].astype(np.float64) for i in names}
        pair_ids, geometries = database.read_two_view_geometries()
        for pair_id, geometry in zip(pair_ids, geometries):
            id0, id1 = pycolmap.pair_id_to_image_pair(pair_id)
            rows = np.asarray(geometry.inlier_matches)
            count = min(round(share * len(rows)), len(rows) - KEPT)
            if count < 1:
                continue
            shuffled = random.permutation(len(rows))
            drawn, kept = rows[shuffled[:count]], rows[np.sort(shuffled[count:])]
            places[names[id0], names[id1]] = xy[id0][drawn[:, 0]], xy[id1][drawn[:, 1]]
            geometry.inlier_matches = kept
            database.update_two_view_geometry(id0, id1, geometry)
    return HeldOut(places)


def _model_errors_px(
    model: pycolmap.Reconstruction, images: Sequence[pycolmap.Image], xy0: NDArray, xy1: NDArray
) -> NDArray[np.float64]:
    """Distances from the epipolar geometry of a model, in pixels of the coarser image: (M,).

    Of larger photos, in pixels of a copy of the size that limits are meant for.
    """
    cameras = [model.cameras[image.camera_id] for image in images]
    poses = [np.asarray(image.cam_from_world().matrix()) for image in images]
    rays = [camera.cam_from_img(xy) for camera, xy in zip(cameras, (xy0, xy1))]
    focal = min(
        camera.mean_focal_length() / scale_of(camera.width, camera.height) for camera in cameras
    )
    return focal * sampson_px(rays[0], rays[1], relative_pose(*poses))


def sampson_px(
    xy0: NDArray[np.float64], xy1: NDArray[np.float64], cam1_from_cam0: NDArray[np.float64]
) -> NDArray[np.float64]:
    """First-order distance of matches from an epipolar geometry, in units of the places: (M,).

    xy0: (M, 2) places in image 0, in units of the focal length.
    xy1: (M, 2) places in image 1.
    cam1_from_cam0: (3, 4).
    Infinite for places that no ray of the camera gives, and where both cameras stand at one place.
    """
    seen = np.isfinite(xy0).all(1) & np.isfinite(xy1).all(1) & cam1_from_cam0[:, 3].any()
    with np.errstate(invalid="ignore"):
        error = sampson_error_px(xy0, xy1, cam1_from_cam0, np.eye(3), np.eye(3))
    return np.where(seen, error, np.inf)
