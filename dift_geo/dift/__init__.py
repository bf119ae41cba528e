"""DIFT: descriptors read out of a diffusion model ("Emergent Correspondence from Image Diffusion",
NeurIPS 2023).
"""

from __future__ import annotations

from dift_geo.backends.config import Dense, DiftConfig, Noise, Oriented
from dift_geo.dift.calibration import Calibration, calibrate
from dift_geo.dift.describer import Dift
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.dift.joined import Joined, join
from dift_geo.dift.noise import diffusion_features, randn_cpu
from dift_geo.dift.patches import cut_patches, cut_views, local_affine_frames
from dift_geo.dift.projection import PairStatistics, Projection
from dift_geo.dift.views import correspondences, mma, synthetic_view

__all__ = [
    "Calibration",
    "Dense",
    "Dift",
    "DiftConfig",
    "FeatureMap",
    "Joined",
    "Noise",
    "Oriented",
    "PairStatistics",
    "Projection",
    "calibrate",
    "correspondences",
    "cut_patches",
    "cut_views",
    "diffusion_features",
    "join",
    "local_affine_frames",
    "mma",
    "randn_cpu",
    "synthetic_view",
]
