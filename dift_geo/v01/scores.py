"""`dift_geo.scores` of 0.1, for scripts that import it."""

from dift_geo.benchmark.table import Bootstrap, ScoreTable

__all__ = ["Bootstrap", "ScoreTable"]
