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
from dift_geo.geometry.pose import pose_error
from dift_geo.geometry.robust import Estimator, fit_kornia, fit_opencv, fit_poselib, fit_pycolmap

__all__ = [
    "Estimator",
    "Homography",
    "auc",
    "corner_error_px",
    "estimate_homography",
    "fit_kornia",
    "fit_opencv",
    "fit_poselib",
    "fit_pycolmap",
    "pose_error",
    "transfer_error_px",
    "warp_points",
]
