"""Where to look: detectors and the descriptors that come with them."""

from __future__ import annotations

from dift_geo.detectors.contract import Describer, Detector
from dift_geo.detectors.listed import read_keypoint_file
from dift_geo.detectors.sift import Sift

__all__ = ["Describer", "Detector", "Sift", "read_keypoint_file"]
