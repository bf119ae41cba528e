"""`dift_geo.protocols` of 0.1, for scripts that import it."""

from dift_geo.benchmark.homography.protocols import PROTOCOLS, Protocol, Ransac, protocol_named
from dift_geo.benchmark.homography.score import Frame, PairScore, in_frame, score
from dift_geo.benchmark.short_side import short_side_wh

__all__ = [
    "Frame",
    "PROTOCOLS",
    "PairScore",
    "Protocol",
    "Ransac",
    "in_frame",
    "protocol_named",
    "score",
    "short_side_wh",
]
