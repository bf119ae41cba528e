"""Correspondence from diffusion models, for structure from motion.

The names below are the public ones. Each is imported when first used, so that `import dift_geo` loads no model code.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Backend": "backends",
    "Detector": "keypoints",
    "Dift": "diffusion",
    "DiftConfig": "diffusion",
    "FeatureMap": "featuremap",
    "FeatureStore": "store",
    "Features": "types",
    "ForeignMethod": "benchmark_methods",
    "Homography": "geometry",
    "Keypoints": "types",
    "MatchStore": "store",
    "Matches": "types",
    "Method": "benchmark_methods",
    "Projection": "projection",
    "Sift": "keypoints",
    "SuperPoint": "superpoint",
    "auc": "geometry",
    "corner_error_px": "geometry",
    "diffusion_features": "diffusion",
    "estimate_homography": "geometry",
    "evaluate": "evaluation",
    "list_images": "images",
    "load_backend": "backends",
    "match_mutual_nn": "matching",
    "plot_keypoints": "viz",
    "plot_matches": "viz",
    "protocol_named": "protocols",
    "read_benchmark": "benchmark_data",
    "read_image": "images",
    "transfer_error_px": "geometry",
    "warp_points": "geometry",
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"dift_geo.{_HOME[name]}"), name)
    raise AttributeError(f"module 'dift_geo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
