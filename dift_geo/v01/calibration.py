"""`dift_geo.calibration` of 0.1, for scripts that import it."""

from dift_geo.dift.calibration import Calibration, calibrate
from dift_geo.dift.views import correspondences, mma, synthetic_view

__all__ = ["Calibration", "calibrate", "correspondences", "mma", "synthetic_view"]
