"""`dift_geo.viz` of 0.1, for scripts that import it."""

from dift_geo.report.plots import plot_bars, plot_curves, plot_keypoints, plot_matches

__all__ = ["plot_bars", "plot_curves", "plot_keypoints", "plot_matches"]
