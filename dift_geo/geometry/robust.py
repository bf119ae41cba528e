"""Robust estimators of a homography, in one table: from a user's word to the function that fits.

Works on pixel coordinates alone; knows no errors beyond its inlier threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dift_geo.errors import MissingPackageError

__all__ = ["ESTIMATORS", "Estimator", "Fit", "Search"]

Estimator = Literal["kornia", "magsac", "ransac", "pycolmap", "lmeds", "poselib"]
Float64 = NDArray[np.float64]
KORNIA_BATCH = 2048  # samples that kornia draws in one of its iterations


@dataclass(frozen=True, kw_only=True)
class Search:
    """How long and how strictly an estimator looks.

    max_error_px: inlier threshold in pixels of the second image.
    confidence: with which it may stop early.
    max_iterations: samples drawn at most.
    seed: of the draws.
    """

    max_error_px: float
    confidence: float
    max_iterations: int
    seed: int


# (N, 2) pixels of both images, no correspondence twice -> (3, 3), or None where nothing fits
Fit = Callable[[Float64, Float64, Search], Float64 | None]


def _kornia(xy0: Float64, xy1: Float64, search: Search) -> Float64 | None:
    from kornia.geometry.ransac import RANSAC

    if len(xy0) == 4:  # kornia wants a fifth point to agree
        return _matrix(cv2.findHomography(xy0, xy1, 0)[0])
    ransac = RANSAC(
        "homography",
        search.max_error_px,
        max_iter=max(1, search.max_iterations // KORNIA_BATCH),
        confidence=search.confidence,
        seed=search.seed,
    )
    H, _ = ransac(torch.from_numpy(xy0).float(), torch.from_numpy(xy1).float())
    return _matrix(H.double().numpy()) if bool(H.any()) else None  # zeros are its "no model"


def _opencv(method: int, xy0: Float64, xy1: Float64, search: Search) -> Float64 | None:
    cv2.setRNGSeed(search.seed)
    try:
        H, _ = cv2.findHomography(
            xy0,
            xy1,
            method,
            search.max_error_px,
            maxIters=search.max_iterations,
            confidence=search.confidence,
        )
    except cv2.error:  # degenerate points
        return None
    return _matrix(H)


def _pycolmap(xy0: Float64, xy1: Float64, search: Search) -> Float64 | None:
    import pycolmap

    options = pycolmap.RANSACOptions(
        max_error=search.max_error_px,
        confidence=search.confidence,
        max_num_trials=search.max_iterations,
        random_seed=search.seed,
    )
    answer = pycolmap.estimate_homography_matrix(xy0, xy1, options)
    return None if answer is None else _matrix(answer["H"])


def _poselib(xy0: Float64, xy1: Float64, search: Search) -> Float64 | None:
    try:
        import poselib
    except ImportError as error:
        raise MissingPackageError(
            "the poselib estimator needs the package poselib: pip install poselib"
        ) from error
    options = {
        "max_reproj_error": search.max_error_px,
        "success_prob": search.confidence,
        "max_iterations": search.max_iterations,
        "seed": search.seed,
    }
    H, found = poselib.estimate_homography(xy0, xy1, options, {})
    return _matrix(H) if found["num_inliers"] >= 4 else None


def _matrix(H: object) -> Float64 | None:
    """What a library gave, typed; OpenCV gives None where nothing fits."""
    return None if H is None else np.asarray(H, np.float64)


ESTIMATORS: dict[Estimator, Fit] = {
    "kornia": _kornia,  # RANSAC with local optimisation
    "magsac": partial(_opencv, cv2.USAC_MAGSAC),
    "ransac": partial(_opencv, cv2.RANSAC),
    "pycolmap": _pycolmap,  # LO-RANSAC
    "lmeds": partial(_opencv, cv2.LMEDS),  # least median: needs more than half inliers
    "poselib": _poselib,  # LO-RANSAC
}
