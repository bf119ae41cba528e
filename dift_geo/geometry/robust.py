"""Robust estimators of a homography, one function per library.

Works on pixel coordinates alone; knows no errors beyond its inlier threshold.
"""

from __future__ import annotations

from typing import Literal

import cv2
import torch

from dift_geo.errors import MissingPackageError

__all__ = ["Estimator", "fit_kornia", "fit_opencv", "fit_poselib", "fit_pycolmap"]

Estimator = Literal["kornia", "magsac", "ransac", "pycolmap", "lmeds", "poselib"]


def fit_kornia(xy0, xy1, estimator, max_error_px, confidence, max_iterations, seed):  # type: ignore[no-untyped-def]
    from kornia.geometry.ransac import RANSAC

    if len(xy0) == 4:  # kornia wants a fifth point to agree
        return cv2.findHomography(xy0, xy1, 0)[0]
    ransac = RANSAC(
        "homography",
        max_error_px,
        max_iter=max(1, max_iterations // 2048),
        confidence=confidence,
        seed=seed,
    )
    H, _ = ransac(torch.from_numpy(xy0).float(), torch.from_numpy(xy1).float())
    return H.double().numpy() if bool(H.any()) else None  # kornia's "no model" is a matrix of zeros


def fit_opencv(xy0, xy1, estimator, max_error_px, confidence, max_iterations, seed):  # type: ignore[no-untyped-def]
    method = {"magsac": cv2.USAC_MAGSAC, "ransac": cv2.RANSAC, "lmeds": cv2.LMEDS}[estimator]
    cv2.setRNGSeed(seed)
    try:
        return cv2.findHomography(xy0, xy1, method, max_error_px, None, max_iterations, confidence)[
            0
        ]
    except cv2.error:  # degenerate points
        return None


def fit_pycolmap(xy0, xy1, estimator, max_error_px, confidence, max_iterations, seed):  # type: ignore[no-untyped-def]
    import pycolmap

    options = pycolmap.RANSACOptions(
        max_error=max_error_px,
        confidence=confidence,
        max_num_trials=max_iterations,
        random_seed=seed,
    )
    answer = pycolmap.estimate_homography_matrix(xy0, xy1, options)
    return None if answer is None else answer["H"]


def fit_poselib(xy0, xy1, estimator, max_error_px, confidence, max_iterations, seed):  # type: ignore[no-untyped-def]
    try:
        import poselib
    except ImportError as error:
        raise MissingPackageError(
            "the poselib estimator needs the package poselib: pip install poselib"
        ) from error
    options = {
        "max_reproj_error": max_error_px,
        "success_prob": confidence,
        "max_iterations": max_iterations,
        "seed": seed,
    }
    H, info = poselib.estimate_homography(xy0, xy1, options, {})
    return H if info["num_inliers"] >= 4 else None
