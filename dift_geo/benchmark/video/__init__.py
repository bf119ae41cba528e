"""Objects of videos: masks carried through them from the first frame's."""

from __future__ import annotations

from dift_geo.benchmark.video.data import Sequence, Sequences, read_davis
from dift_geo.benchmark.video.methods import PredictedMasks, TrackedMasks
from dift_geo.benchmark.video.score import boundary_f, region_j
from dift_geo.benchmark.video.task import VideoObjects

__all__ = [
    "PredictedMasks",
    "Sequence",
    "Sequences",
    "TrackedMasks",
    "VideoObjects",
    "boundary_f",
    "read_davis",
    "region_j",
]
