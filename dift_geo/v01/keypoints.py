"""`dift_geo.keypoints` of 0.1, for scripts that import it."""

from dift_geo.detectors.contract import Describer, Detector
from dift_geo.detectors.sift import Sift

__all__ = ["Describer", "Detector", "Sift"]
