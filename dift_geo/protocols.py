"""How the field scores homographies on HPatches: four protocols, each definition once, with its source.

A protocol fixes the frame in which errors are measured, the corner list, the estimator and what the tables show. `score`
turns the matches of one pair into a `PairScore`. Knows no files and no descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dift_geo.geometry import Estimator, Homography, estimate_homography, transfer_error_px, warp_points

__all__ = ["PROTOCOLS", "Frame", "PairScore", "Protocol", "Ransac", "in_frame", "protocol_named", "score", "short_side_wh"]

THRESHOLDS_PX = tuple(range(1, 11))  # of MMA, correct matches and accuracy curves
SWEEP_PX = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)  # inlier thresholds that glue-factory tries for its `ransac_th: -1`

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Ransac:
    """How the homography of a pair is estimated; the fields of `geometry.estimate_homography`."""

    estimator: Estimator
    max_error_px: float
    max_iterations: int
    confidence: float


@dataclass(frozen=True)
class Protocol:
    """One way of scoring.

    source: where the definition comes from. short_side: images are resized to it (up or down) before extraction, and
    errors are pixels of the resized images; None is the original resolution. corners: `centres` of the corner pixels, (0, 0)
    to (w - 1, h - 1), in pixels whose centre is a whole number; or `edges`, (0, 0) to (w, h), in COLMAP's frame, where
    pixel centres lie at .5. max_keypoints: per image, unless the user says otherwise. max_matches: the best-scored kept.
    auc_px: thresholds of the area under the accuracy curve. headline: what its tables show.
    """

    name: str
    source: str
    short_side: int | None
    corners: str
    ransac: Ransac
    max_keypoints: int
    max_matches: int | None
    auc_px: tuple[int, ...]
    headline: tuple[str, ...]
    extras: bool = False  # glue-factory's direct linear transform and symmetric precision
    sweep_px: tuple[float, ...] = ()  # inlier thresholds of which each method gets its best by mean AUC; empty: no choice

    def with_estimator(self, estimator: Estimator | None, max_error_px: float | Literal["best"] | None = None) -> Protocol:
        """The same protocol with another estimator or inlier threshold; None keeps the protocol's.

        `best` tries 0.5 to 3 px for each method and keeps what scores highest: glue-factory's setting behind published
        tables. It chooses on the test set, so it flatters every method.
        """
        ransac = self.ransac
        if estimator is not None and estimator != ransac.estimator:
            iterations, confidence = _BUDGET.get((self.name, estimator), (10_000, 0.9999))
            ransac = Ransac(estimator, ransac.max_error_px, iterations, confidence)
        if max_error_px == "best":
            return replace(self, ransac=ransac, sweep_px=SWEEP_PX)
        if max_error_px is not None:
            if not max_error_px > 0:
                raise ValueError(f"max error is {max_error_px} px, expected a positive number")
            ransac = replace(ransac, max_error_px=float(max_error_px))
        return replace(self, ransac=ransac)


_BUDGET: dict[tuple[str, str], tuple[int, float]] = {
    ("dift", "ransac"): (2000, 0.995),  # the release's setting for the ADM features
    ("gluefactory", "ransac"): (3000, 0.995),  # glue-factory's `opencv`
    ("gluefactory", "magsac"): (3000, 0.995),
}

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "dift",
            "CAPS and DIFT: eval_homography.py of the DIFT release; original resolution, up to 1000 keypoints, mean distance "
            "of the corners (0, 0) to (w-1, h-1), share of pairs within 1, 3, 5 px; LMEDS for the Stable Diffusion features, "
            "`--estimator ransac` (3 px) for the ADM ones",
            None,
            "centres",
            Ransac("lmeds", 3.0, 2000, 0.995),
            1000,
            None,
            (1, 3, 5),
            ("acc@1", "acc@3", "acc@5", "matches", "correct@3"),
        ),
        Protocol(
            "gluefactory",
            "glue-factory, eval/hpatches.py: short side 480, corners (0, 0) to (w, h) in COLMAP's frame, area under the curve "
            "to 1, 3, 5 px, symmetric precision, PoseLib at 1 px and the weighted direct linear transform",
            480,
            "edges",
            Ransac("poselib", 1.0, 100_000, 0.9999),
            1024,
            None,
            (1, 3, 5),
            ("auc@1", "auc@3", "auc@5", "auc_dlt@1", "auc_dlt@3", "auc_dlt@5", "prec@1", "prec@3", "matches"),
            extras=True,
        ),
        Protocol(
            "loftr",
            "LoFTR (CVPR 2021) as its authors state it in issues 105 and 136: short side 480, H adapted, at most 1000 matches, "
            "OpenCV RANSAC at 3 px, SuperGlue's area under the curve of the corner error to 3, 5, 10 px",
            480,
            "centres",
            Ransac("ransac", 3.0, 2000, 0.995),
            1024,
            1000,
            (3, 5, 10),
            ("auc@3", "auc@5", "auc@10", "matches", "correct@3"),
        ),
        Protocol(
            "mma",
            "D2-Net (CVPR 2019): share of matches whose one-way reprojection error in image k is at most 1 to 10 px, averaged "
            "over pairs, no matches counting as 0; original resolution",
            None,
            "centres",
            Ransac("magsac", 3.0, 10_000, 0.9999),
            2048,
            None,
            (3, 5, 10),
            ("mma@1", "mma@3", "mma@5", "mma@10", "matches", "correct@3"),
        ),
    )
}


def protocol_named(name: str) -> Protocol:
    """One of `PROTOCOLS`. Raises ValueError for another name."""
    if name not in PROTOCOLS:
        raise ValueError(f"protocol is {name!r}, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def short_side_wh(size_wh: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Size after resizing the short side to `short_side`; the other is cut to a whole pixel, as glue-factory does."""
    w, h = size_wh
    return (short_side, int(short_side / (w / h))) if w < h else (int(short_side * (w / h)), short_side)


@dataclass(frozen=True)
class Frame:
    """Matches and truth in the frame a protocol measures in. xy0, xy1: (M, 2). size_wh: of image 0 there."""

    xy0: Points
    xy1: Points
    H_true: NDArray[np.float64]
    size_wh: tuple[int, int]


def in_frame(
    protocol: Protocol, xy0: ArrayLike, xy1: ArrayLike, H_true: ArrayLike, size0_wh: tuple[int, int], size1_wh: tuple[int, int]
) -> Frame:
    """Carry matches and truth, given in original pixels (centre of the first pixel at 0), into the protocol's frame.

    For `edges` the truth is scaled without the half-pixel shift, and points get it: so does glue-factory, which reads the
    files as if they were in COLMAP's frame. Its scores therefore carry a bias of up to half a pixel times the zoom between
    the images; kept, because its published numbers have it.
    """
    xy0, xy1 = (np.asarray(xy, np.float64).reshape(-1, 2) for xy in (xy0, xy1))
    H_true = np.asarray(H_true, np.float64)
    if protocol.short_side is None:
        return Frame(xy0, xy1, H_true, size0_wh)
    resized = [short_side_wh(size, protocol.short_side) for size in (size0_wh, size1_wh)]
    factors = [np.divide(new, old) for new, old in zip(resized, (size0_wh, size1_wh))]
    shift = 0.5 if protocol.corners == "centres" else 0.0  # what is taken off again after scaling
    S0, S1 = (_scaling(factor, shift) for factor in factors)
    xy0, xy1 = ((xy + 0.5) * factor - shift for xy, factor in zip((xy0, xy1), factors))
    return Frame(xy0, xy1, S1 @ H_true @ np.linalg.inv(S0), resized[0])


def _scaling(factor: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """x -> (x + shift) * factor - shift, as a (3, 3) matrix."""
    (sx, sy), (tx, ty) = factor, (factor - 1) * shift
    return np.array([[sx, 0, tx], [0, sy, ty], [0, 0, 1]])


@dataclass(frozen=True)
class PairScore:
    """What one pair is worth.

    correct: (10,) matches within 1..10 px of the truth. corner_px: error of the estimate, infinite when there is none.
    dlt_corner_px and precision (symmetric, at 1 and 3 px): glue-factory's, NaN elsewhere.
    """

    sequence: str
    index: int
    matches: int
    inliers: int
    correct: tuple[int, ...]
    corner_px: float
    seconds: float
    dlt_corner_px: float = float("nan")
    precision: tuple[float, float] = (float("nan"), float("nan"))


def score(frame: Frame, protocol: Protocol, *, sequence: str, index: int, scores: ArrayLike, seed: int = 0) -> PairScore:
    """Score the matches of one pair. scores: (M,) the matcher's, higher is better.

    Nothing is dropped: no matches or no estimate count as an infinite corner error and as precision 0.
    """
    error = transfer_error_px(frame.H_true, frame.xy0, frame.xy1)
    start = perf_counter()
    found = fit(frame, protocol, seed)
    seconds = perf_counter() - start
    return PairScore(
        sequence,
        index,
        len(error),
        0 if found is None else int(found.inliers.sum()),
        tuple(int((error <= limit).sum()) for limit in THRESHOLDS_PX),
        corner_distance_px(None if found is None else found.H_1_from_0, frame, protocol.corners),
        seconds,
        corner_distance_px(_weighted_dlt(frame, np.asarray(scores)), frame, protocol.corners)
        if protocol.extras
        else float("nan"),
        symmetric_precision(frame) if protocol.extras else (float("nan"), float("nan")),
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


def corners_of(size_wh: tuple[int, int], corners: str) -> Points:
    """(4, 2): `centres` of the corner pixels (CAPS, DIFT, LoFTR) or outer `edges` of the image (glue-factory)."""
    w, h = size_wh if corners == "edges" else (size_wh[0] - 1, size_wh[1] - 1)
    return np.array([[0, 0], [0, h], [w, 0], [w, h]], np.float64)


def faces_camera(H_1_from_0: ArrayLike, corners: ArrayLike) -> bool:
    """Whether all points stay on one side of the homography's horizon: otherwise some would lie behind the camera."""
    depth = np.asarray(corners, np.float64) @ np.asarray(H_1_from_0)[2, :2] + np.asarray(H_1_from_0)[2, 2]
    return bool((depth > 0).all() or (depth < 0).all())


def corner_distance_px(H_estimated: ArrayLike | None, frame: Frame, corners: str) -> float:
    """Mean distance of the corners carried by the estimate and by the truth; infinite where that has no meaning."""
    points = corners_of(frame.size_wh, corners)
    if H_estimated is None or not faces_camera(H_estimated, points):
        return float("inf")
    return float(transfer_error_px(H_estimated, points, warp_points(frame.H_true, points)).mean())


def symmetric_precision(frame: Frame) -> tuple[float, float]:
    """Share of matches whose mean error over both directions is below 1 and 3 px (glue-factory's `prec`); none give 0."""
    if not len(frame.xy0):
        return 0.0, 0.0
    forth = transfer_error_px(frame.H_true, frame.xy0, frame.xy1)
    back = transfer_error_px(np.linalg.inv(frame.H_true), frame.xy1, frame.xy0)
    error = (forth + back) / 2
    return float((error < 1).mean()), float((error < 3).mean())


def _weighted_dlt(frame: Frame, scores: Points) -> NDArray[np.float64] | None:
    """All matches at once, weighted by score, no outlier rejection: kornia's, which glue-factory calls."""
    import torch
    from kornia.geometry.homography import find_homography_dlt

    if len(scores) < 4:
        return None
    xy0, xy1, weights = (torch.from_numpy(np.ascontiguousarray(a, np.float32))[None] for a in (frame.xy0, frame.xy1, scores))
    H = find_homography_dlt(xy0, xy1, weights)[0].double().numpy()
    return H if np.isfinite(H).all() else None
