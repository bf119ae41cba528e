"""`dift_geo.featuremap` of 0.1, for scripts that import it."""

from dift_geo.dift.featuremap import FeatureMap

__all__ = ["FeatureMap"]
