"""What the matches of one pair of photos are worth. Knows no files and no descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dift_geo.benchmark.relative_pose.data import PosedPair, View
from dift_geo.benchmark.relative_pose.protocols import Protocol
from dift_geo.frames import resized
from dift_geo.geometry.essential import (
    RelativePose,
    estimate_relative_pose,
    symmetric_epipolar_error_px,
)
from dift_geo.geometry.pose import relative_pose_error_deg

__all__ = ["CORRECT_PX", "PairScore", "fit", "in_frame_of", "pose_angle_deg", "score"]

Float64 = NDArray[np.float64]
CORRECT_PX = 3.0  # from the true epipolar lines
INFINITE = float("inf")


@dataclass(frozen=True)
class PairScore:
    """What one pair is worth.

    matches, inliers: how many there are, and how many fit the estimate.
    correct, correct_inliers: how many of each lie within 3 px of the true epipolar lines.
    rotation_deg, translation_deg: error of the estimate, infinite where there is none.
    pose_deg: the larger of both as the protocol counts them.
    seconds: that the estimate took.
    """

    matches: int
    inliers: int
    correct: int
    correct_inliers: int
    rotation_deg: float
    translation_deg: float
    pose_deg: float
    seconds: float


def in_frame_of(view: View, xy: ArrayLike, size_wh: tuple[int, int]) -> Float64:
    """Pixels of a photo of this size in the frame of the intrinsics: (N, 2) float64."""
    xy = np.asarray(xy, np.float64).reshape(-1, 2)
    if view.size_wh is None or view.size_wh == size_wh:
        return xy
    return resized(xy, np.divide(view.size_wh, size_wh))


def score(
    pair: PosedPair, xy0: Float64, xy1: Float64, protocol: Protocol, *, seed: int = 0
) -> PairScore:
    """Score the matches of one pair, (N, 2) pixels each in the frame of the intrinsics.

    Nothing is dropped: no matches or no estimate count as an infinite error and no inlier.
    """
    start = perf_counter()
    found = fit(pair, xy0, xy1, protocol, seed)
    seconds = perf_counter() - start
    K0, K1, true = pair.view0.K, pair.view1.K, pair.cam1_from_cam0
    correct = symmetric_epipolar_error_px(xy0, xy1, true, K0, K1) <= CORRECT_PX
    turned = moved = INFINITE
    inliers = np.zeros(len(xy0), bool)
    if found is not None:
        inliers = found.inliers
        turned, moved = relative_pose_error_deg(found.cam1_from_cam0, true)
    return PairScore(
        matches=len(xy0),
        inliers=int(inliers.sum()),
        correct=int(correct.sum()),
        correct_inliers=int((correct & inliers).sum()),
        rotation_deg=turned,
        translation_deg=moved,
        pose_deg=pose_angle_deg(turned, moved, either_way=protocol.either_way),
        seconds=seconds,
    )


def fit(
    pair: PosedPair, xy0: Float64, xy1: Float64, protocol: Protocol, seed: int = 0
) -> RelativePose | None:
    """The protocol's estimate from the matches of a pair."""
    ransac = protocol.ransac
    return estimate_relative_pose(
        xy0,
        xy1,
        pair.view0.K,
        pair.view1.K,
        estimator=ransac.estimator,
        max_error_px=ransac.max_error_px,
        confidence=ransac.confidence,
        max_iterations=ransac.max_iterations,
        seed=seed,
    )


def pose_angle_deg(rotation_deg: float, translation_deg: float, *, either_way: bool) -> float:
    """The larger of both errors. either_way: a translation the other way round is right too."""
    if either_way and np.isfinite(translation_deg):
        translation_deg = min(translation_deg, 180 - translation_deg)
    return max(rotation_deg, translation_deg)
