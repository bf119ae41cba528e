"""`dift_geo.superpoint` of 0.1, for scripts that import it."""

from dift_geo.detectors.superpoint import SUPERPOINT, SuperPoint

__all__ = ["SUPERPOINT", "SuperPoint"]
