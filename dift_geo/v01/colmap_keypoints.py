"""`dift_geo.colmap_keypoints` of 0.1, for scripts that import it."""

from dift_geo.detectors.colmap import HALF_PIXEL, ColmapKeypoints, open_database

__all__ = ["ColmapKeypoints", "HALF_PIXEL", "open_database"]
