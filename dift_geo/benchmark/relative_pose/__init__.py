"""The relative-pose benchmark on pairs of photos with known cameras."""

from __future__ import annotations

from dift_geo.benchmark.relative_pose.data import Choice, PosedPair, PosedPairs, View, choose
from dift_geo.benchmark.relative_pose.protocols import PROTOCOLS, Protocol, Ransac, protocol_named
from dift_geo.benchmark.relative_pose.score import PairScore, score
from dift_geo.benchmark.relative_pose.task import RelativePoses

__all__ = [
    "Choice",
    "PROTOCOLS",
    "PairScore",
    "PosedPair",
    "PosedPairs",
    "Protocol",
    "Ransac",
    "RelativePoses",
    "View",
    "choose",
    "protocol_named",
    "score",
]
