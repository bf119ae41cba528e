"""The homography benchmark on folders in HPatches layout."""

from __future__ import annotations

from dift_geo.benchmark.homography.data import (
    LARGE_SEQUENCES,
    Benchmark,
    Pair,
    kind_of,
    read_benchmark,
)
from dift_geo.benchmark.homography.download import (
    HPATCHES_SEQUENCES,
    HPATCHES_URL,
    download_hpatches,
    missing_files,
)
from dift_geo.benchmark.homography.protocols import PROTOCOLS, Protocol, Ransac, protocol_named
from dift_geo.benchmark.homography.score import Frame, PairScore, in_frame, score
from dift_geo.benchmark.homography.task import Homographies, pair_frame
from dift_geo.benchmark.short_side import short_side_wh

__all__ = [
    "Benchmark",
    "Frame",
    "HPATCHES_SEQUENCES",
    "HPATCHES_URL",
    "Homographies",
    "LARGE_SEQUENCES",
    "PROTOCOLS",
    "Pair",
    "PairScore",
    "Protocol",
    "Ransac",
    "download_hpatches",
    "in_frame",
    "kind_of",
    "missing_files",
    "pair_frame",
    "protocol_named",
    "read_benchmark",
    "score",
    "short_side_wh",
]
