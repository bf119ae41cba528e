"""The definitions of relative-pose benchmarks: how poses are estimated and their errors counted.

Data of any layout can be scored under any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from dift_geo.errors import InputError
from dift_geo.geometry.essential import POSE_ESTIMATORS, PoseEstimator

__all__ = ["AUC_DEG", "LIMITS_DEG", "PROTOCOLS", "Protocol", "Ransac", "protocol_named"]

AUC_DEG = (1, 3, 5, 10, 20)
LIMITS_DEG = (*range(1, 11), 15, 20)  # of the shares of pairs
SWEEP_PX = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


@dataclass(frozen=True)
class Ransac:
    """How a relative pose is estimated.

    estimator: one of `dift_geo.geometry.essential.POSE_ESTIMATORS`.
    max_error_px: inlier threshold, in pixels of the frame of the intrinsics.
    max_iterations: samples drawn at most.
    confidence: with which it may stop early.
    """

    estimator: PoseEstimator = "poselib"
    max_error_px: float = 1.0
    max_iterations: int = 10_000
    confidence: float = 0.9999


@dataclass(frozen=True)
class Protocol:
    """What decides the numbers beside the data.

    name: as the user asks for it.
    source: what it is and where it comes from, in a sentence without a full stop.
    max_keypoints: default of a method that says nothing else.
    headline: the numbers that the tables show.
    ransac: how poses are estimated.
    either_way: whether a translation the other way round counts as right.
    quoted: published numbers of others: name -> number -> value.
    quoted_from: where they were read.
    sweep_px: inlier thresholds of which each method gets its best; empty is no choice.
    """

    name: str
    source: str
    max_keypoints: int
    headline: tuple[str, ...]
    ransac: Ransac = Ransac()
    either_way: bool = False
    quoted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quoted_from: str = ""
    sweep_px: tuple[float, ...] = ()

    def with_estimator(
        self, estimator: str | None, max_error_px: float | Literal["best"] | None = None
    ) -> Protocol:
        """The same protocol with another estimator or inlier threshold; None keeps the protocol's.

        `best` tries 0.5 to 3 px for each method and keeps what scores highest: glue-factory's
        setting behind published tables. It chooses on the test set, so it flatters every method.
        """
        ransac = self.ransac
        if estimator is not None:
            named = next((own for own in POSE_ESTIMATORS if own == estimator), None)
            if named is None:
                known = ", ".join(POSE_ESTIMATORS)
                raise InputError(
                    f"estimator of relative poses is {estimator!r}, expected one of {known}"
                )
            ransac = replace(ransac, estimator=named)
        if max_error_px == "best":
            return replace(self, ransac=ransac, sweep_px=SWEEP_PX)
        if max_error_px is not None:
            if not max_error_px > 0:
                raise InputError(f"max error is {max_error_px} px, expected a positive number")
            ransac = replace(ransac, max_error_px=float(max_error_px))
        return replace(self, ransac=ransac)


HEADLINE = ("auc@5", "auc@10", "auc@20", "precision@3px", "matches")
MEGADEPTH = Protocol(
    name="megadepth1500",
    source="MegaDepth-1500 as LoFTR (CVPR 2021) chose its pairs and SuperGlue defines the error: "
    "larger of the angles of rotation and translation, the latter either way round; area under the "
    "curve to 5, 10, 20 degrees",
    max_keypoints=2048,
    headline=HEADLINE,
    ransac=Ransac(max_iterations=100_000),
    either_way=True,
    quoted={
        "SuperPoint + NN": {"auc@10": 0.600},
        "DIFT at SuperPoint keypoints": {"auc@10": 0.628},
        "MATCHA": {"auc@10": 0.693},
    },
    quoted_from="notes on MATCHA, which say neither estimator nor threshold",
)
SCANNET = Protocol(
    name="scannet1500",
    source="ScanNet-1500 of SuperGlue (CVPR 2020) and LoFTR: indoor pairs, error and areas as for "
    "MegaDepth-1500",
    max_keypoints=2048,
    headline=HEADLINE,
    ransac=Ransac(max_iterations=100_000),
    either_way=True,
)
IMC = Protocol(
    name="imc",
    source="Image Matching Challenge, stereo task of 2020 and 2021: mean over 1 to 10 degrees of "
    "the share of pairs whose larger angle of rotation and translation (either way round) is "
    "within them",
    max_keypoints=2048,
    headline=("maa@10", *HEADLINE),
    either_way=True,
)
POSES = Protocol(
    name="poses",
    source="relative poses of known cameras: larger of the angles of rotation and translation, "
    "area under the curve to 1, 3, 5, 10, 20 degrees",
    max_keypoints=8192,
    headline=("auc@1", "auc@3", *HEADLINE),
)
PROTOCOLS = {protocol.name: protocol for protocol in (MEGADEPTH, SCANNET, IMC, POSES)}


def protocol_named(name: str) -> Protocol:
    """One of `PROTOCOLS`. Raises InputError for another name."""
    if name not in PROTOCOLS:
        raise InputError(f"protocol is {name!r}, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
