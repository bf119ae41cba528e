"""Camera poses: relative ones, and how far one is from the truth.

A pose is `b_from_a`, (3, 4) with rows (R | t): it carries a point of frame a to frame b. Knows no
images, no matches and no COLMAP.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "angle_deg",
    "epipolar_error_px",
    "pose_error",
    "relative_pose",
    "relative_pose_error_deg",
    "relative_pose_errors_deg",
    "rotation_angle_deg",
]

Pose = NDArray[np.float64]  # (3, 4)
FAILED_DEG = 180.0  # the largest error there is; of what has no answer


def relative_pose(cam0_from_world: Pose, cam1_from_world: Pose) -> Pose:
    """cam1_from_cam0, (3, 4), of two cameras in one world."""
    R = cam1_from_world[:, :3] @ cam0_from_world[:, :3].T
    return np.column_stack([R, cam1_from_world[:, 3] - R @ cam0_from_world[:, 3]])


def rotation_angle_deg(R: NDArray[np.float64]) -> float:
    """The angle in [0, 180] by which a (3, 3) rotation turns.

    From sine and cosine together, because either alone loses half of the digits near 0 or 180.
    """
    axis = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]  # times twice the sine
    return float(np.degrees(np.arctan2(np.linalg.norm(axis), np.trace(R) - 1)))


def angle_deg(a: NDArray, b: NDArray) -> float:
    """The angle in [0, 180] between two directions, vectors (3,) of any length but 0."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), np.dot(a, b))))


def relative_pose_error_deg(
    cam1_from_cam0: Pose, true_cam1_from_cam0: Pose, *, min_baseline: float = 1e-9
) -> tuple[float, float]:
    """(angle between the rotations, angle between the directions of translation), in degrees.

    The length of the translation, which two photos do not determine, does not matter.

    cam1_from_cam0: (3, 4), estimated; `relative_pose` makes it of two absolute poses.
    true_cam1_from_cam0: (3, 4), in units of its own.
    min_baseline: translations up to this length have no direction. Where the true one has none, its
        error is 0; where only the estimated one has none, 180.
    """
    turned = rotation_angle_deg(cam1_from_cam0[:, :3] @ true_cam1_from_cam0[:, :3].T)
    t, true = cam1_from_cam0[:, 3], true_cam1_from_cam0[:, 3]
    if np.linalg.norm(true) <= min_baseline:
        return turned, 0.0
    if np.linalg.norm(t) <= min_baseline:
        return turned, FAILED_DEG
    return turned, angle_deg(t, true)


def relative_pose_errors_deg(
    cam_from_world: Mapping[str, Pose], true_cam_from_world: Mapping[str, Pose]
) -> list[float]:
    """For each pair of true cameras, in order of their names, the larger of its two angles.

    Needs no alignment, as relative poses have neither origin nor orientation of the world.

    cam_from_world: estimated poses by image name; a pair with one that is missing counts 180.
    true_cam_from_world: true poses by image name.
    """
    errors = []
    for a, b in combinations(sorted(true_cam_from_world), 2):
        if a not in cam_from_world or b not in cam_from_world:
            errors.append(FAILED_DEG)
            continue
        estimated = relative_pose(cam_from_world[a], cam_from_world[b])
        true = relative_pose(true_cam_from_world[a], true_cam_from_world[b])
        errors.append(max(relative_pose_error_deg(estimated, true)))
    return errors


def pose_error(cam_from_world: Pose, true_cam_from_world: Pose) -> tuple[float, float]:
    """(distance of the camera centres in the poses' units, angle of the orientations in degrees).

    cam_from_world: (3, 4), estimated, in the world of the true one.
    true_cam_from_world: (3, 4).
    """
    R, R_true = cam_from_world[:, :3], true_cam_from_world[:, :3]
    distance = np.linalg.norm(R.T @ cam_from_world[:, 3] - R_true.T @ true_cam_from_world[:, 3])
    return float(distance), rotation_angle_deg(R @ R_true.T)


def epipolar_error_px(
    xy0: NDArray, xy1: NDArray, cam1_from_cam0: Pose, K0: NDArray, K1: NDArray
) -> NDArray[np.float64]:
    """Distance of pixels of image 1 from the lines on which those of image 0 must appear: (N,).

    xy0: (N, 2) pixels of image 0.
    xy1: (N, 2) pixels of image 1.
    cam1_from_cam0: (3, 4) with a translation other than 0.
    K0: (3, 3) intrinsics of image 0, in the frame of the pixels.
    K1: (3, 3) intrinsics of image 1.
    """
    R, t = cam1_from_cam0[:, :3], cam1_from_cam0[:, 3]
    F = np.linalg.inv(K1).T @ np.cross(np.eye(3), t) @ R @ np.linalg.inv(K0)
    one = np.ones((len(xy0), 1))
    lines = np.concatenate([xy0, one], 1) @ F.T  # (N, 3)
    distance = (np.concatenate([xy1, one], 1) * lines).sum(1)
    return np.abs(distance) / np.linalg.norm(lines[:, :2], axis=1)
