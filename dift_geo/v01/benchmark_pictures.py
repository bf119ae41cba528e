"""`dift_geo.benchmark_pictures` of 0.1, for scripts that import it."""

from dift_geo.report.pictures import best_and_worst, save_figure, save_pictures

__all__ = ["best_and_worst", "save_figure", "save_pictures"]
