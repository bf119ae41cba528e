"""COLMAP by pycolmap: databases, cameras, mapping, localisation, exchange of files."""

from __future__ import annotations

from dift_geo.colmap.cameras import (
    CameraMode,
    Intrinsics,
    KnownCamera,
    read_cameras,
    read_intrinsics,
)
from dift_geo.colmap.database import (
    build_database,
    import_features,
    import_matches,
    verify_database,
)
from dift_geo.colmap.exchange import export_database, export_text, import_database
from dift_geo.colmap.localization import Localized, Map, localize, triangulate_map
from dift_geo.colmap.mapping import MapperName, Reconstruction, cam_from_world
from dift_geo.colmap.opinions import map_database

__all__ = [
    "CameraMode",
    "Intrinsics",
    "KnownCamera",
    "Localized",
    "Map",
    "MapperName",
    "Reconstruction",
    "build_database",
    "cam_from_world",
    "export_database",
    "export_text",
    "import_database",
    "import_features",
    "import_matches",
    "localize",
    "map_database",
    "read_cameras",
    "read_intrinsics",
    "triangulate_map",
    "verify_database",
]
