"""`dift_geo.drawing` of 0.1, for scripts that import it."""

from dift_geo.report.drawing import draw_matches

__all__ = ["draw_matches"]
