"""Relative pose of two calibrated photos from matched pixels, and how far matches are from it.

Robust estimators of the essential matrix stand in one table, from a user's word to the function
that fits. Works on pixel coordinates and intrinsics alone; knows neither descriptors nor files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dift_geo.errors import InputError, MissingPackageError
from dift_geo.geometry.pose import epipolar_error_px, relative_pose
from dift_geo.geometry.robust import Search

__all__ = [
    "POSE_ESTIMATORS",
    "PoseEstimator",
    "RelativePose",
    "estimate_relative_pose",
    "sampson_error_px",
    "symmetric_epipolar_error_px",
]

PoseEstimator = Literal["poselib", "magsac", "ransac", "pycolmap"]
Float64 = NDArray[np.float64]
LEAST_MATCHES = 5  # that determine an essential matrix
FAR = 1e9  # in baselines; OpenCV drops points beyond


@dataclass(frozen=True, slots=True)
class RelativePose:
    """The place of camera 1 seen from camera 0.

    cam1_from_cam0: (3, 4), rows of (R | t); t has length 1, as two photos do not tell it.
    inliers: (N,) bool over the matches given.
    """

    cam1_from_cam0: Float64
    inliers: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an estimator is given.

    xy0, xy1: (N, 2) pixels of both images.
    K0, K1: (3, 3) pinhole intrinsics of both.
    """

    xy0: Float64
    xy1: Float64
    K0: Float64
    K1: Float64


Fit = Callable[[_Seen, Search], Float64 | None]  # (3, 4), or None where nothing fits


def estimate_relative_pose(
    xy0: ArrayLike,
    xy1: ArrayLike,
    K0: ArrayLike,
    K1: ArrayLike,
    *,
    estimator: PoseEstimator = "poselib",
    max_error_px: float = 1.0,
    confidence: float = 0.9999,
    max_iterations: int = 10_000,
    seed: int = 0,
) -> RelativePose | None:
    """Where camera 1 is, seen from camera 0, or None when the matches say nothing.

    xy0: (N, 2) pixels of image 0.
    xy1: (N, 2) pixels of image 1.
    K0: (3, 3) intrinsics of image 0 in the frame of its pixels: a pinhole without skew.
    K1: (3, 3) intrinsics of image 1.
    estimator: `poselib` (default) and `pycolmap`, LO-RANSAC with refinement; `magsac` and `ransac`,
        OpenCV's USAC_MAGSAC and RANSAC, which refine less or not at all.
    max_error_px: inlier threshold in pixels; OpenCV's estimators divide it by the mean focal
        length.
    confidence: with which the estimator may stop early.
    max_iterations: samples drawn at most.
    seed: of the draws; OpenCV draws the same ones always, so there it decides the order of the
        matches.

    Identical correspondences, as SIFT's second orientations give, count as often as they are there;
    for OpenCV's estimators, which can fail on them, once. Inliers are told by one rule for all
    estimators: Sampson error at most `max_error_px`; fewer than five are no answer. A camera that
    only turned gives its rotation with a direction of translation that means nothing, or None.
    Raises InputError for wrong shapes, other intrinsics and an unknown estimator.
    """
    xy0, xy1 = np.asarray(xy0, np.float64), np.asarray(xy1, np.float64)
    if xy0.ndim != 2 or xy0.shape[1:] != (2,) or xy0.shape != xy1.shape:
        raise InputError(f"points have shapes {xy0.shape} and {xy1.shape}, expected twice (N, 2)")
    if estimator not in POSE_ESTIMATORS:
        known = ", ".join(POSE_ESTIMATORS)
        raise InputError(f"estimator is {estimator!r}, expected one of {known}")
    K0, K1 = _pinhole(K0), _pinhole(K1)
    if len(_distinct(xy0, xy1)) < LEAST_MATCHES:
        return None
    search = Search(
        max_error_px=max_error_px, confidence=confidence, max_iterations=max_iterations, seed=seed
    )
    pose = POSE_ESTIMATORS[estimator](_Seen(xy0, xy1, K0, K1), search)
    if pose is None or not np.isfinite(pose).all() or not np.linalg.norm(pose[:, 3]) > 0:
        return None
    pose = np.column_stack([pose[:, :3], pose[:, 3] / np.linalg.norm(pose[:, 3])])
    inliers = sampson_error_px(xy0, xy1, pose, K0, K1) <= max_error_px
    return RelativePose(pose, inliers) if inliers.sum() >= LEAST_MATCHES else None


def sampson_error_px(
    xy0: Float64, xy1: Float64, cam1_from_cam0: Float64, K0: Float64, K1: Float64
) -> Float64:
    """(N,) how far matches have to move, to first order and in both images together, to lie on each
    other's epipolar lines.
    """
    lines1, lines0, product = _epipolar(xy0, xy1, cam1_from_cam0, K0, K1)
    slope = np.hypot(np.hypot(*lines1), np.hypot(*lines0))
    return _divided(np.abs(product), slope)


def symmetric_epipolar_error_px(
    xy0: Float64, xy1: Float64, cam1_from_cam0: Float64, K0: Float64, K1: Float64
) -> Float64:
    """(N,) the larger of two distances: a pixel of image 1 from the epipolar line of its partner in
    image 0, and that one from the line of the first.

    Arguments as for `geometry.pose.epipolar_error_px`. A pixel on the epipole has no line and fits
    anything: 0.
    """
    back = relative_pose(cam1_from_cam0, np.eye(3, 4))
    with np.errstate(invalid="ignore"):
        there = epipolar_error_px(xy0, xy1, cam1_from_cam0, K0, K1)
        here = epipolar_error_px(xy1, xy0, back, K1, K0)
    return np.fmax(np.fmax(there, here), 0)


def _epipolar(
    xy0: Float64, xy1: Float64, cam1_from_cam0: Float64, K0: Float64, K1: Float64
) -> tuple[Float64, Float64, Float64]:
    """Directions (2, N) of the epipolar lines in images 1 and 0, and (N,) the epipolar products."""
    R, t = cam1_from_cam0[:, :3], cam1_from_cam0[:, 3]
    F = np.linalg.inv(K1).T @ np.cross(np.eye(3), t) @ R @ np.linalg.inv(K0)
    one = np.ones((len(xy0), 1))
    x0, x1 = np.concatenate([xy0, one], 1), np.concatenate([xy1, one], 1)
    lines1, lines0 = x0 @ F.T, x1 @ F
    return lines1[:, :2].T, lines0[:, :2].T, (x1 * lines1).sum(1)


def _divided(error: Float64, slope: Float64) -> Float64:
    """error / slope; 0 / 0 is 0."""
    return np.divide(error, slope, out=np.where(error > 0, np.inf, 0.0), where=slope > 0)


def _pinhole(K: ArrayLike) -> Float64:
    """(3, 3) intrinsics, checked."""
    K = np.asarray(K, np.float64)
    wanted = "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx and fy above 0"
    if K.shape != (3, 3) or not np.isfinite(K).all():
        raise InputError(f"intrinsics have shape {K.shape}, expected finite {wanted}")
    rest = np.array([K[0, 1], K[1, 0], K[2, 0], K[2, 1], K[2, 2] - 1])
    if np.abs(rest).max() > 1e-6 or not (K[0, 0] > 0 and K[1, 1] > 0):
        raise InputError(f"intrinsics are {K.tolist()}, expected {wanted}")
    return K


def _parameters(K: Float64) -> list[float]:
    """As COLMAP's PINHOLE has them."""
    return [float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])]


def _opencv(method: int, seen: _Seen, search: Search) -> Float64 | None:
    distinct = _distinct(seen.xy0, seen.xy1)
    distinct = distinct[np.random.default_rng(search.seed).permutation(len(distinct))]
    rays0, rays1 = _rays(distinct[:, :2], seen.K0), _rays(distinct[:, 2:], seen.K1)
    focal = np.mean([seen.K0[0, 0], seen.K0[1, 1], seen.K1[0, 0], seen.K1[1, 1]])
    try:
        E, mask = cv2.findEssentialMat(
            rays0,
            rays1,
            np.eye(3),
            method=method,
            prob=search.confidence,
            threshold=search.max_error_px / float(focal),
            maxIters=search.max_iterations,
        )
    except cv2.error:  # degenerate points
        return None
    if E is None or not len(E):
        return None
    best: Float64 | None = None
    most = 0
    for one in np.split(np.asarray(E), len(E) // 3):  # five points have up to ten solutions
        count, R, t, *_ = cv2.recoverPose(one, rays0, rays1, np.eye(3), FAR, mask=mask.copy())
        if count > most:
            best, most = np.column_stack([R, t]).astype(np.float64), count
    return best


def _distinct(xy0: Float64, xy1: Float64) -> Float64:
    """(M, 4) the correspondences, each once."""
    return np.unique(np.concatenate([xy0, xy1], 1), axis=0)


def _rays(xy: Float64, K: Float64) -> Float64:
    """(N, 2) places in the plane at distance 1 from the camera."""
    return np.ascontiguousarray((xy - K[:2, 2]) / [K[0, 0], K[1, 1]])


def _pycolmap(seen: _Seen, search: Search) -> Float64 | None:
    import pycolmap

    options = pycolmap.RANSACOptions(
        max_error=search.max_error_px,
        confidence=search.confidence,
        max_num_trials=search.max_iterations,
        random_seed=search.seed,
    )
    camera0, camera1 = (
        pycolmap.Camera(model="PINHOLE", width=1, height=1, params=_parameters(K))
        for K in (seen.K0, seen.K1)
    )
    answer = pycolmap.estimate_essential_matrix(seen.xy0, seen.xy1, camera0, camera1, options)
    return None if answer is None else np.asarray(answer["cam2_from_cam1"].matrix(), np.float64)


def _poselib(seen: _Seen, search: Search) -> Float64 | None:
    try:
        import poselib
    except ImportError as error:
        raise MissingPackageError(
            "the poselib estimator needs the package poselib: pip install poselib"
        ) from error
    options = {
        "max_epipolar_error": search.max_error_px,
        "success_prob": search.confidence,
        "max_iterations": search.max_iterations,
        "seed": search.seed,
    }
    camera0, camera1 = (
        {"model": "PINHOLE", "width": 1, "height": 1, "params": _parameters(K)}
        for K in (seen.K0, seen.K1)
    )
    pose, found = poselib.estimate_relative_pose(seen.xy0, seen.xy1, camera0, camera1, options, {})
    return np.asarray(pose.Rt, np.float64) if found["num_inliers"] >= LEAST_MATCHES else None


POSE_ESTIMATORS: dict[PoseEstimator, Fit] = {
    "poselib": _poselib,  # LO-RANSAC
    "magsac": partial(_opencv, cv2.USAC_MAGSAC),
    "ransac": partial(_opencv, cv2.RANSAC),
    "pycolmap": _pycolmap,  # LO-RANSAC
}
