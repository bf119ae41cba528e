"""`dift_geo.colmap_keypoints` of 0.1, for scripts that import it."""

from dift_geo.detectors.colmap import ColmapKeypoints, open_database
from dift_geo.frames import HALF_PIXEL

__all__ = ["ColmapKeypoints", "HALF_PIXEL", "open_database"]
