"""Where to look: detectors, and the descriptors that come with them."""

from __future__ import annotations

from dift_geo.detectors.contract import Describer, Detector, detect_and_describe
from dift_geo.detectors.listed import Listed, read_keypoint_file
from dift_geo.detectors.loader import load_detector
from dift_geo.detectors.sift import RootSift, Sift

__all__ = [
    "Describer",
    "Detector",
    "Listed",
    "RootSift",
    "Sift",
    "detect_and_describe",
    "load_detector",
    "read_keypoint_file",
]
