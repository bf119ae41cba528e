"""`dift_geo.foreign` of 0.1, for scripts that import it."""

from dift_geo.benchmark.foreign import (
    AtKeypoints,
    ForeignFeatures,
    read_npz_features,
    squared_distance_rows,
)
from dift_geo.detectors.listed import read_keypoint_file

__all__ = [
    "AtKeypoints",
    "ForeignFeatures",
    "read_keypoint_file",
    "read_npz_features",
    "squared_distance_rows",
]
