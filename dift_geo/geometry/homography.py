"""Plane geometry of a pair: homography by RANSAC, warping, errors.

Works on pixel coordinates alone; knows neither descriptors nor files. A transform is named
`H_1_from_0`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dift_geo.errors import InputError
from dift_geo.geometry.robust import ESTIMATORS, Estimator, Search

__all__ = [
    "Homography",
    "corner_error_px",
    "estimate_homography",
    "transfer_error_px",
    "warp_points",
]

# the least determinant of a homography whose numbers have unit length in frames of the points' own
SINGULAR = 1e-6
LOOSE = 1 / 3  # of the inlier threshold: what points may move without being seen to


@dataclass(frozen=True, slots=True)
class Homography:
    """A plane's map from image 0 to image 1.

    H_1_from_0: (3, 3) float64 with H[2, 2] = 1 where that is finite.
    inliers: (N,) bool over the points given.
    """

    H_1_from_0: NDArray[np.float64]
    inliers: NDArray[np.bool_]


def estimate_homography(
    xy0: ArrayLike,
    xy1: ArrayLike,
    *,
    estimator: Estimator = "kornia",
    max_error_px: float = 3.0,
    confidence: float = 0.9999,
    max_iterations: int = 2048,
    seed: int = 0,
) -> Homography | None:
    """The homography that carries xy0 to xy1, or None when the points admit none.

    xy0: (N, 2) pixels of image 0.
    xy1: (N, 2) pixels of image 1.
    estimator: `kornia` RANSAC with local optimisation (default), `magsac` and `ransac` (OpenCV
        USAC_MAGSAC and RANSAC), `pycolmap` (LO-RANSAC), `poselib`, `lmeds` (OpenCV least median:
        needs more than half inliers; the paper's choice for Stable Diffusion).
    max_error_px: inlier threshold, in pixels of image 1.
    confidence: with which the estimator may stop early.
    max_iterations: samples drawn at most.
    seed: of the draws; the same seed gives the same answer.

    Identical correspondences count once in the estimate, and all of them get the inlier flag by the
    same rule: forward transfer error at most `max_error_px`. None, too, where quite another
    homography would carry the inliers as well: points of a line, or of a line but for one.

    Raises InputError for wrong shapes, points that are no finite numbers or an unknown estimator.
    """
    xy0, xy1 = np.asarray(xy0, np.float64), np.asarray(xy1, np.float64)
    if xy0.ndim != 2 or xy0.shape[1:] != (2,) or xy0.shape != xy1.shape:
        raise InputError(f"points have shapes {xy0.shape} and {xy1.shape}, expected twice (N, 2)")
    if not (np.isfinite(xy0).all() and np.isfinite(xy1).all()):
        raise InputError("points hold NaN or infinity, expected finite pixels")
    if estimator not in ESTIMATORS:
        raise InputError(f"estimator is {estimator!r}, expected one of {', '.join(ESTIMATORS)}")
    # OpenCV fails on repeated points (opencv#25546)
    unique = np.unique(np.concatenate([xy0, xy1], 1), axis=0)
    if len(unique) < 4:
        return None
    search = Search(
        max_error_px=max_error_px, confidence=confidence, max_iterations=max_iterations, seed=seed
    )
    H = ESTIMATORS[estimator](unique[:, :2], unique[:, 2:], search)
    if H is None or not np.isfinite(H).all() or not H.any():
        return None
    if abs(H[2, 2]) > 1e-12 * np.abs(H).max():
        H = H / H[2, 2]
    inliers = transfer_error_px(H, xy0, xy1) <= max_error_px
    if inliers.sum() < 4 or not _is_determined(H, xy0[inliers], LOOSE * max_error_px):
        return None
    return Homography(H, inliers)


def _is_determined(H: NDArray[np.float64], xy0: NDArray[np.float64], loose_px: float) -> bool:
    """Whether points hold a homography, which has to be one of planes and not of lines.

    loose_px: a homography that differs from H by as much as H itself must move some of the points,
        in the root mean square, by more than this.

    Both in frames of the points' own size and place: pixels are units, and any would do.
    """
    xy1 = warp_points(H, xy0)
    ours, px0 = _own_frame(xy0)
    theirs, px1 = _own_frame(xy1)
    if not (px0 > 0 and px1 > 0):
        return False
    own = theirs @ H @ np.linalg.inv(ours)
    own = own / np.linalg.norm(own)
    if not np.isfinite(own).all() or abs(np.linalg.det(own)) < SINGULAR:
        return False
    a = np.column_stack([warp_points(ours, xy0), np.ones(len(xy0))])
    b = warp_points(theirs, xy1)
    nothing = np.zeros_like(a)
    rows = np.concatenate(
        [np.hstack([a, nothing, -b[:, :1] * a]), np.hstack([nothing, a, -b[:, 1:] * a])]
    )
    # how far each point moves for a change of the nine numbers, to the first order
    moves = rows / np.tile(np.abs(a @ own[2]), 2)[:, None]
    squares = np.linalg.eigvalsh(moves.T @ moves)  # the least one is that of H itself
    return bool(np.sqrt(max(squares[1], 0) / len(xy0)) * px1 > loose_px)


def _own_frame(xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """From pixels to a frame in which points lie around 0 at distances around 1; its unit in px."""
    middle = xy.mean(axis=0)
    px = float(np.sqrt(((xy - middle) ** 2).mean()))
    if not px > 0:
        return np.eye(3), 0.0
    return np.array([[1 / px, 0, -middle[0] / px], [0, 1 / px, -middle[1] / px], [0, 0, 1]]), px


def warp_points(H_1_from_0: ArrayLike, xy0: ArrayLike) -> NDArray[np.float64]:
    """Carry (N, 2) pixels by a (3, 3) homography: (N, 2) float64.

    Points on its horizon become infinite.
    """
    xy0 = np.asarray(xy0, np.float64).reshape(-1, 2)
    homogeneous = np.concatenate([xy0, np.ones((len(xy0), 1))], 1)
    projected = homogeneous @ np.asarray(H_1_from_0, np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        xy1 = projected[:, :2] / projected[:, 2:]
    return np.where(np.isfinite(xy1), xy1, np.inf)


def transfer_error_px(H_1_from_0: ArrayLike, xy0: ArrayLike, xy1: ArrayLike) -> NDArray[np.float64]:
    """Distance in image 1 between xy1 and the carried xy0: (N,) pixels, infinite on the horizon."""
    seen = np.asarray(xy1, np.float64).reshape(-1, 2)
    with np.errstate(invalid="ignore"):
        error = np.linalg.norm(warp_points(H_1_from_0, xy0) - seen, axis=1)
    return np.where(np.isnan(error), np.inf, error)


def corner_error_px(
    H_estimated: ArrayLike | None, H_true: ArrayLike, size_wh: tuple[int, int]
) -> float:
    """Mean distance between the corners of image 0 carried by both homographies.

    Infinite for None. Corners are the centres of the corner pixels, (0, 0) to (w - 1, h - 1): the
    protocol of CAPS and DIFT (`eval_homography.py` of the DIFT release).
    """
    if H_estimated is None:
        return float("inf")
    w, h = size_wh
    corners = np.array([[0, 0], [0, h - 1], [w - 1, 0], [w - 1, h - 1]], np.float64)
    return float(transfer_error_px(H_estimated, corners, warp_points(H_true, corners)).mean())
