"""`dift_geo.diffusion` of 0.1, for scripts that import it."""

from dift_geo.backends.config import DiftConfig
from dift_geo.dift.describer import Dift
from dift_geo.dift.noise import diffusion_features

__all__ = ["Dift", "DiftConfig", "diffusion_features"]
