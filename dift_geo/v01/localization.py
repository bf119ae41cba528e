"""`dift_geo.localization` of 0.1, for scripts that import it."""

from dift_geo.colmap.cameras import KnownCamera, read_cameras
from dift_geo.colmap.localization import (
    Localized,
    Map,
    build_verified_database,
    leave_out_folds,
    localize,
    triangulate_map,
)
from dift_geo.geometry.pose import pose_error

__all__ = [
    "KnownCamera",
    "Localized",
    "Map",
    "build_verified_database",
    "leave_out_folds",
    "localize",
    "pose_error",
    "read_cameras",
    "triangulate_map",
]
