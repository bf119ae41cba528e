"""How the field scores homographies on HPatches: four protocols, each definition once, with its
source.

A protocol fixes the frame in which errors are measured, the corner list, the estimator and what the
tables show. `score` turns the matches of one pair into a `PairScore`. Knows no files and no
descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.geometry.robust import Estimator

__all__ = ["PROTOCOLS", "Protocol", "Ransac", "protocol_named", "short_side_wh"]

THRESHOLDS_PX = tuple(range(1, 11))  # of MMA, correct matches and accuracy curves
# inlier thresholds that glue-factory tries for its `ransac_th: -1`
SWEEP_PX = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
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

    source: where the definition comes from. short_side: images are resized to it (up or down)
    before extraction, and errors are pixels of the resized images; None is the original resolution.
    corners: `centres` of the corner pixels, (0, 0) to (w - 1, h - 1), in pixels whose centre is a
    whole number; or `edges`, (0, 0) to (w, h), in COLMAP's frame, where pixel centres lie at .5.
    max_keypoints: per image, unless the user says otherwise. max_matches: the best-scored kept.
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
    # inlier thresholds of which each method gets its best by mean AUC; empty: no choice
    sweep_px: tuple[float, ...] = ()

    def with_estimator(
        self, estimator: Estimator | None, max_error_px: float | Literal["best"] | None = None
    ) -> Protocol:
        """The same protocol with another estimator or inlier threshold; None keeps the protocol's.

        `best` tries 0.5 to 3 px for each method and keeps what scores highest: glue-factory's
        setting behind published tables. It chooses on the test set, so it flatters every method.
        """
        ransac = self.ransac
        if estimator is not None and estimator != ransac.estimator:
            iterations, confidence = _BUDGET.get((self.name, estimator), (10_000, 0.9999))
            ransac = Ransac(estimator, ransac.max_error_px, iterations, confidence)
        if max_error_px == "best":
            return replace(self, ransac=ransac, sweep_px=SWEEP_PX)
        if max_error_px is not None:
            if not max_error_px > 0:
                raise InputError(f"max error is {max_error_px} px, expected a positive number")
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
            (
                "auc@1",
                "auc@3",
                "auc@5",
                "auc_dlt@1",
                "auc_dlt@3",
                "auc_dlt@5",
                "prec@1",
                "prec@3",
                "matches",
            ),
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
        raise InputError(f"protocol is {name!r}, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def short_side_wh(size_wh: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Size after resizing the short side to `short_side`; the other is cut to a whole pixel, as
    glue-factory does.
    """
    w, h = size_wh
    return (
        (short_side, int(short_side / (w / h)))
        if w < h
        else (int(short_side * (w / h)), short_side)
    )
