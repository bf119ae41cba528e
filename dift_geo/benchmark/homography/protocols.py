"""How the field scores homographies on HPatches: four protocols, each definition once, with its
source.

A protocol fixes the frame in which errors are measured, the corners, the estimator and what the
tables show. Knows no files, no descriptors and no points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from dift_geo.errors import InputError
from dift_geo.geometry.robust import Estimator

__all__ = ["PROTOCOLS", "Protocol", "Ransac", "protocol_named"]

THRESHOLDS_PX = tuple(range(1, 11))  # of MMA, correct matches and accuracy curves
# inlier thresholds that glue-factory tries for its `ransac_th: -1`
SWEEP_PX = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
Corners = Literal["centres", "edges"]


@dataclass(frozen=True)
class Ransac:
    """How the homography of a pair is estimated: arguments of `geometry.estimate_homography`."""

    estimator: Estimator
    max_error_px: float
    max_iterations: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way of scoring.

    name: what the user asks for.
    source: where the definition comes from.
    short_side: images are resized to it (up or down) before extraction, and errors are pixels of
        the resized images; None is the original resolution.
    corners: `centres` of the corner pixels, (0, 0) to (w - 1, h - 1), in pixels whose centre is a
        whole number; or `edges`, (0, 0) to (w, h), in COLMAP's frame.
    ransac: how homographies are estimated.
    max_keypoints: per image, unless the user says otherwise.
    max_matches: the best-scored that are kept; None keeps all.
    auc_px: thresholds of the area under the accuracy curve.
    headline: what its tables show.
    extras: whether it has glue-factory's direct linear transform and symmetric precision.
    sweep_px: inlier thresholds of which each method gets its best by mean AUC; empty is no choice.
    """

    name: str
    source: str
    short_side: int | None
    corners: Corners
    ransac: Ransac
    max_keypoints: int
    max_matches: int | None
    auc_px: tuple[int, ...]
    headline: tuple[str, ...]
    extras: bool = False
    sweep_px: tuple[float, ...] = ()

    def with_estimator(
        self, estimator: Estimator | None, max_error_px: float | Literal["best"] | None = None
    ) -> Protocol:
        """The same protocol with another estimator or inlier threshold; None keeps the protocol's.

        `best` tries 0.5 to 3 px for each method and keeps what scores highest: glue-factory's
        setting behind published tables. It chooses on the test set, so it flatters every method.
        """
        ransac = self.ransac
        if estimator is not None and estimator not in get_args(Estimator):
            known = ", ".join(get_args(Estimator))
            raise InputError(f"estimator is {estimator!r}, expected one of {known}")
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


# (protocol, estimator that is not its own) -> (most iterations, confidence)
_BUDGET: dict[tuple[str, str], tuple[int, float]] = {
    ("dift", "ransac"): (2000, 0.995),  # the release's setting for the ADM features
    ("gluefactory", "ransac"): (3000, 0.995),  # glue-factory's `opencv`
    ("gluefactory", "magsac"): (3000, 0.995),
}

DIFT = Protocol(
    name="dift",
    source="CAPS and DIFT: eval_homography.py of the DIFT release; original resolution, up to 1000 "
    "keypoints, mean distance of the corners (0, 0) to (w-1, h-1), share of pairs within 1, 3, "
    "5 px; LMEDS for the Stable Diffusion features, `--estimator ransac` (3 px) for the ADM ones",
    short_side=None,
    corners="centres",
    ransac=Ransac(estimator="lmeds", max_error_px=3.0, max_iterations=2000, confidence=0.995),
    max_keypoints=1000,
    max_matches=None,
    auc_px=(1, 3, 5),
    headline=("acc@1", "acc@3", "acc@5", "matches", "correct@3"),
)
GLUEFACTORY = Protocol(
    name="gluefactory",
    source="glue-factory, eval/hpatches.py: short side 480, corners (0, 0) to (w, h) in COLMAP's "
    "frame, area under the curve to 1, 3, 5 px, symmetric precision, PoseLib at 1 px and the "
    "weighted direct linear transform",
    short_side=480,
    corners="edges",
    ransac=Ransac(estimator="poselib", max_error_px=1.0, max_iterations=100_000, confidence=0.9999),
    max_keypoints=1024,
    max_matches=None,
    auc_px=(1, 3, 5),
    headline=(
        *("auc@1", "auc@3", "auc@5"),
        *("auc_dlt@1", "auc_dlt@3", "auc_dlt@5"),
        *("prec@1", "prec@3", "matches"),
    ),
    extras=True,
)
LOFTR = Protocol(
    name="loftr",
    source="LoFTR (CVPR 2021) as its authors state it in issues 105 and 136: short side 480, H "
    "adapted, at most 1000 matches, OpenCV RANSAC at 3 px, SuperGlue's area under the curve of the "
    "corner error to 3, 5, 10 px",
    short_side=480,
    corners="centres",
    ransac=Ransac(estimator="ransac", max_error_px=3.0, max_iterations=2000, confidence=0.995),
    max_keypoints=1024,
    max_matches=1000,
    auc_px=(3, 5, 10),
    headline=("auc@3", "auc@5", "auc@10", "matches", "correct@3"),
)
MMA = Protocol(
    name="mma",
    source="D2-Net (CVPR 2019): share of matches whose one-way reprojection error in image k is at "
    "most 1 to 10 px, averaged over pairs, no matches counting as 0; original resolution",
    short_side=None,
    corners="centres",
    ransac=Ransac(estimator="magsac", max_error_px=3.0, max_iterations=10_000, confidence=0.9999),
    max_keypoints=2048,
    max_matches=None,
    auc_px=(3, 5, 10),
    headline=("mma@1", "mma@3", "mma@5", "mma@10", "matches", "correct@3"),
)
PROTOCOLS = {protocol.name: protocol for protocol in (DIFT, GLUEFACTORY, LOFTR, MMA)}


def protocol_named(name: str) -> Protocol:
    """One of `PROTOCOLS`. Raises InputError for another name."""
    if name not in PROTOCOLS:
        raise InputError(f"protocol is {name!r}, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
