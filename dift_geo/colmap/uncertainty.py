"""How well the observations of a model determine its cameras: covariance of bundle adjustment.

Says what noise of the keypoints does to poses and focal lengths. Knows nothing of wrong matches: a
model can be certain and wrong. Runs no mapper.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dift_geo.colmap.adjustment import whole_problem
from dift_geo.colmap.quiet import quiet

if TYPE_CHECKING:
    import pycolmap

__all__ = [
    "Uncertainty",
    "camera_uncertainties",
    "centre_uncertainties",
    "determines_cameras",
]

# poses beyond are many to invert at once, and minutes; such models say nothing
MOST_IMAGES = 500
FOCAL_UNKNOWN = 0.3  # one standard deviation of a focal length that could be any


@dataclass(frozen=True)
class Uncertainty:
    """One standard deviation of the camera of an image.

    rotation_deg: of its orientation.
    centre_deg: of its centre, as the angle under which the middle one of its points sees it.
    focal: of its focal length, as a share of it; 0 where it is known.
    """

    rotation_deg: float
    centre_deg: float
    focal: float


def camera_uncertainties(model: pycolmap.Reconstruction) -> dict[str, Uncertainty]:
    """Uncertainty of every registered image but those that fix the frame of the model, by name.

    Keypoints count as exact to the mean reprojection error of the model. Empty where the covariance
    cannot be computed: the cameras are not determined, or the model is too large.
    """
    covariance = _covariance(model)
    if covariance is None:
        return {}
    noise = model.compute_mean_reprojection_error() ** 2
    found = {}
    for image_id in model.reg_image_ids():
        image = model.images[image_id]
        pose = covariance.get_cam_cov_from_world(image_id)
        if pose is not None and pose.shape == (6, 6):
            found[image.name] = _uncertainty(model, covariance, image, pose * noise, noise)
    return found


def centre_uncertainties(
    model: pycolmap.Reconstruction, cameras: Collection[int]
) -> dict[int, float]:
    """One standard deviation of principal points, as a share of the focal length, by camera id.

    cameras: those whose principal points are asked for; the others count as known.
    Empty where `camera_uncertainties` is.
    """
    covariance = _covariance(model, centres=cameras)
    if covariance is None:
        return {}
    noise = model.compute_mean_reprojection_error() ** 2
    found = {}
    for number in cameras:
        camera = model.cameras[number]
        spread = covariance.get_other_params_cov(camera.params)
        if spread is not None and len(spread) == len(camera.params):
            variance = max(spread[i, i] for i in camera.principal_point_idxs())
            found[number] = float(np.sqrt(max(variance, 0) * noise)) / camera.mean_focal_length()
    return found


def _covariance(
    model: pycolmap.Reconstruction, centres: Collection[int] = ()
) -> pycolmap.BACovariance | None:
    """Of all poses and cameras, and of the principal points of some; None where there is none."""
    import pycolmap

    if model.num_reg_images() > MOST_IMAGES:
        return None
    options, config = whole_problem(model, centres)
    with quiet(pycolmap.logging.Level.FATAL):
        adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
        asked = pycolmap.BACovarianceOptions(params=pycolmap.BACovarianceOptionsParams.ALL)
        return pycolmap.estimate_ba_covariance(asked, model, adjuster)


def determines_cameras(model: pycolmap.Reconstruction) -> bool:
    """Whether the observations of a model fix its cameras, focal lengths included.

    They do not where a camera slid along a wall or only turned: any focal length explains that.
    """
    if model.num_reg_images() > MOST_IMAGES:
        return True
    spread = camera_uncertainties(model).values()
    return bool(spread) and float(np.median([one.focal for one in spread])) < FOCAL_UNKNOWN


def _uncertainty(
    model: pycolmap.Reconstruction,
    covariance: pycolmap.BACovariance,
    image: pycolmap.Image,
    pose: np.ndarray,
    noise: float,
) -> Uncertainty:
    """pose: (6, 6) covariance of rotation and translation."""
    camera = model.cameras[image.camera_id]
    cam_from_world = np.asarray(image.cam_from_world().matrix())
    points = [p.point3D_id for p in image.points2D if p.has_point3D()]
    xyz = np.array([model.points3D[i].xyz for i in points])
    depth = float(np.median(xyz @ cam_from_world[2, :3] + cam_from_world[2, 3]))
    focal = covariance.get_other_params_cov(camera.params)
    share = 0.0
    if focal is not None and focal.size:
        share = float(np.sqrt(max(focal[0, 0], 0) * noise)) / camera.mean_focal_length()
    # the translation moves with the rotation; what is left when the rotation is right is the centre
    centre = pose[3:, 3:] - pose[3:, :3] @ np.linalg.pinv(pose[:3, :3]) @ pose[:3, 3:]
    # COLMAP turns by a quaternion, whose numbers are half of the angle
    turned, moved = 2 * np.sqrt(max(np.trace(pose[:3, :3]), 0)), np.sqrt(max(np.trace(centre), 0))
    return Uncertainty(
        float(np.degrees(turned)), float(np.degrees(np.arctan2(moved, max(depth, 1e-12)))), share
    )
