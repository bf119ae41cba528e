"""`dift_geo.projection` of 0.1, for scripts that import it."""

from dift_geo.dift.projection import PairStatistics, Projection

__all__ = ["PairStatistics", "Projection"]
