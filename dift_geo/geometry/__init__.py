"""Plane geometry and camera poses."""

from __future__ import annotations

from dift_geo.geometry.curves import auc
from dift_geo.geometry.homography import (
    Homography,
    corner_error_px,
    estimate_homography,
    transfer_error_px,
    warp_points,
)
from dift_geo.geometry.pose import (
    epipolar_error_px,
    pose_error,
    relative_pose,
    relative_pose_error_deg,
    relative_pose_errors_deg,
)
from dift_geo.geometry.robust import ESTIMATORS, Estimator

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "Homography",
    "auc",
    "corner_error_px",
    "epipolar_error_px",
    "estimate_homography",
    "pose_error",
    "relative_pose",
    "relative_pose_error_deg",
    "relative_pose_errors_deg",
    "transfer_error_px",
    "warp_points",
]
