"""What the matches of one pair are worth under a protocol. Knows no files and no descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dift_geo.benchmark.homography.protocols import THRESHOLDS_PX, Corners, Protocol
from dift_geo.benchmark.short_side import short_side_wh
from dift_geo.frames import resized, to_colmap
from dift_geo.geometry.homography import (
    Homography,
    estimate_homography,
    transfer_error_px,
    warp_points,
)

__all__ = [
    "Frame",
    "PairScore",
    "corner_distance_px",
    "corners_of",
    "faces_camera",
    "fit",
    "in_frame",
    "score",
    "strongest",
    "symmetric_precision",
]

Points = NDArray[np.float64]
NAN = float("nan")
LEAST_MATCHES = 4  # that determine a homography


@dataclass(frozen=True)
class Frame:
    """Matches and truth in the frame a protocol measures in.

    xy0, xy1: (M, 2) matched points.
    H_true: (3, 3), carries image 0 to image 1.
    size_wh: of image 0 there.
    """

    xy0: Points
    xy1: Points
    H_true: NDArray[np.float64]
    size_wh: tuple[int, int]


def in_frame(
    protocol: Protocol,
    xy0: ArrayLike,
    xy1: ArrayLike,
    H_true: ArrayLike,
    size0_wh: tuple[int, int],
    size1_wh: tuple[int, int],
) -> Frame:
    """Carry matches and truth, given in original pixels (centre of the first pixel at 0), into the
    protocol's frame.

    For `edges` the truth is scaled without the half-pixel shift, and points get it: so does
    glue-factory, which reads the files as if they were in COLMAP's frame. Its scores therefore
    carry a bias of up to half a pixel times the zoom between the images; kept, because its
    published numbers have it.
    """
    xy0, xy1 = (np.asarray(xy, np.float64).reshape(-1, 2) for xy in (xy0, xy1))
    H_true = np.asarray(H_true, np.float64)
    if protocol.short_side is None:
        return Frame(xy0, xy1, H_true, size0_wh)
    sizes = (size0_wh, size1_wh)
    small0_wh, small1_wh = (short_side_wh(size, protocol.short_side) for size in sizes)
    factor0, factor1 = np.divide(small0_wh, size0_wh), np.divide(small1_wh, size1_wh)
    S0, S1 = _scaling(factor0, protocol.corners), _scaling(factor1, protocol.corners)
    xy0, xy1 = _scaled(xy0, factor0, protocol.corners), _scaled(xy1, factor1, protocol.corners)
    return Frame(xy0, xy1, S1 @ H_true @ np.linalg.inv(S0), small0_wh)


def _scaled(xy: Points, factor: Points, corners: Corners) -> Points:
    """Points of an image in that image resized: in our frame for `centres`, in COLMAP's for
    `edges`.
    """
    return resized(xy, factor) if corners == "centres" else to_colmap(xy) * factor


def _scaling(factor: Points, corners: Corners) -> NDArray[np.float64]:
    """What carries an image to that image resized, as a (3, 3) matrix, inside one frame."""
    sx, sy = factor
    tx, ty = resized(np.zeros(2), factor) if corners == "centres" else (0.0, 0.0)
    return np.array([[sx, 0, tx], [0, sy, ty], [0, 0, 1]])


@dataclass(frozen=True)
class PairScore:
    """What one pair is worth.

    sequence, index: which pair: image 1 and image `index` of a sequence.
    matches, inliers: how many there are, and how many fit the estimate.
    correct: (10,) matches within 1..10 px of the truth.
    corner_px: error of the estimate, infinite when there is none.
    seconds: that the estimate took.
    dlt_corner_px: error of glue-factory's direct linear transform; NaN elsewhere.
    precision: glue-factory's symmetric one, at 1 and 3 px; NaN elsewhere.
    """

    sequence: str
    index: int
    matches: int
    inliers: int
    correct: tuple[int, ...]
    corner_px: float
    seconds: float
    dlt_corner_px: float = NAN
    precision: tuple[float, float] = (NAN, NAN)


def score(
    frame: Frame, protocol: Protocol, *, sequence: str, index: int, scores: ArrayLike, seed: int = 0
) -> PairScore:
    """Score the matches of one pair. scores: (M,) the matcher's, higher is better.

    Nothing is dropped: no matches or no estimate count as an infinite corner error and as precision
    0.
    """
    error = transfer_error_px(frame.H_true, frame.xy0, frame.xy1)
    start = perf_counter()
    found = fit(frame, protocol, seed)
    seconds = perf_counter() - start
    H = None if found is None else found.H_1_from_0
    dlt_corner_px, precision = NAN, (NAN, NAN)
    if protocol.extras:
        H_dlt = _weighted_dlt(frame, np.asarray(scores))
        dlt_corner_px = corner_distance_px(H_dlt, frame, protocol.corners)
        precision = symmetric_precision(frame)
    return PairScore(
        sequence=sequence,
        index=index,
        matches=len(error),
        inliers=0 if found is None else int(found.inliers.sum()),
        correct=tuple(int((error <= limit).sum()) for limit in THRESHOLDS_PX),
        corner_px=corner_distance_px(H, frame, protocol.corners),
        seconds=seconds,
        dlt_corner_px=dlt_corner_px,
        precision=precision,
    )


def fit(frame: Frame, protocol: Protocol, seed: int = 0) -> Homography | None:
    """The protocol's estimate from the matches of a pair, in the protocol's frame."""
    ransac = protocol.ransac
    return estimate_homography(
        frame.xy0,
        frame.xy1,
        estimator=ransac.estimator,
        max_error_px=ransac.max_error_px,
        confidence=ransac.confidence,
        max_iterations=ransac.max_iterations,
        seed=seed,
    )


def strongest(scores: ArrayLike, limit: int | None) -> NDArray[np.int64]:
    """Indices of the `limit` highest scores in their old order; None keeps all."""
    scores = np.asarray(scores)
    if limit is None or len(scores) <= limit:
        return np.arange(len(scores))
    return np.sort(np.argsort(-scores, kind="stable")[:limit])


def corners_of(size_wh: tuple[int, int], corners: Corners) -> Points:
    """(4, 2): `centres` of the corner pixels (CAPS, DIFT, LoFTR) or outer `edges` of the image
    (glue-factory).
    """
    w, h = size_wh if corners == "edges" else (size_wh[0] - 1, size_wh[1] - 1)
    return np.array([[0, 0], [0, h], [w, 0], [w, h]], np.float64)


def faces_camera(H_1_from_0: ArrayLike, corners: ArrayLike) -> bool:
    """Whether all points stay on one side of the homography's horizon: otherwise some would lie
    behind the camera.
    """
    H = np.asarray(H_1_from_0)
    depth = np.asarray(corners, np.float64) @ H[2, :2] + H[2, 2]
    return bool((depth > 0).all() or (depth < 0).all())


def corner_distance_px(H_estimated: ArrayLike | None, frame: Frame, corners: Corners) -> float:
    """Mean distance of the corners carried by the estimate and by the truth; infinite where that
    has no meaning.
    """
    points = corners_of(frame.size_wh, corners)
    if H_estimated is None or not faces_camera(H_estimated, points):
        return float("inf")
    return float(transfer_error_px(H_estimated, points, warp_points(frame.H_true, points)).mean())


def symmetric_precision(frame: Frame) -> tuple[float, float]:
    """Share of matches whose mean error over both directions is below 1 and 3 px (glue-factory's
    `prec`); none give 0.
    """
    if not len(frame.xy0):
        return 0.0, 0.0
    forth = transfer_error_px(frame.H_true, frame.xy0, frame.xy1)
    back = transfer_error_px(np.linalg.inv(frame.H_true), frame.xy1, frame.xy0)
    error = (forth + back) / 2
    return float((error < 1).mean()), float((error < 3).mean())


def _weighted_dlt(frame: Frame, scores: Points) -> NDArray[np.float64] | None:
    """All matches at once, weighted by score, no outlier rejection: kornia's, which glue-factory
    calls.
    """
    import torch
    from kornia.geometry.homography import find_homography_dlt

    if len(scores) < LEAST_MATCHES:
        return None
    xy0, xy1, weights = (
        torch.from_numpy(np.ascontiguousarray(a, np.float32))[None]
        for a in (frame.xy0, frame.xy1, scores)
    )
    H = find_homography_dlt(xy0, xy1, weights)[0].double().numpy()
    return np.asarray(H) if np.isfinite(H).all() else None
