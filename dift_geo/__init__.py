"""Correspondence from diffusion models, for structure from motion.

The names below are the public ones. Each is imported when first used, so that `import dift_geo`
loads no model code.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Backend": "backends",
    "Detector": "detectors",
    "Dift": "dift",
    "DiftConfig": "dift",
    "FeatureMap": "dift",
    "FeatureStore": "store",
    "Features": "types",
    "ForeignMethod": "benchmark.methods",
    "Homography": "geometry",
    "Keypoints": "types",
    "MatchStore": "store",
    "Matches": "types",
    "Method": "benchmark.methods",
    "Projection": "dift",
    "Sift": "detectors",
    "SuperPoint": "detectors.superpoint",
    "auc": "geometry",
    "corner_error_px": "geometry",
    "diffusion_features": "dift",
    "estimate_homography": "geometry",
    "evaluate": "benchmark.run",
    "list_images": "images",
    "load_backend": "backends",
    "match_mutual_nn": "matching",
    "plot_keypoints": "report.plots",
    "plot_matches": "report.plots",
    "protocol_named": "benchmark.homography.protocols",
    "read_benchmark": "benchmark.homography.data",
    "read_image": "images",
    "transfer_error_px": "geometry",
    "warp_points": "geometry",
}

__all__ = sorted([*_HOME, "__version__"])

# what moved since 0.1 is still found under its old path
__path__ = [*__path__, f"{__path__[0]}/v01"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"dift_geo.{_HOME[name]}"), name)
    raise AttributeError(f"module 'dift_geo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
