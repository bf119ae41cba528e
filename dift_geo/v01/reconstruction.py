"""`dift_geo.reconstruction` of 0.1, for scripts that import it."""

from dift_geo.colmap.cameras import CameraMode, read_intrinsics
from dift_geo.colmap.database import (
    build_database,
    import_features,
    import_matches,
    verify_database,
)
from dift_geo.colmap.mapping import (
    MAX_REPROJECTION_PX,
    MapperName,
    NoModelError,
    Reconstruction,
    map_database,
    reconstruct_from_stores,
)

__all__ = [
    "CameraMode",
    "MAX_REPROJECTION_PX",
    "MapperName",
    "NoModelError",
    "Reconstruction",
    "build_database",
    "import_features",
    "import_matches",
    "map_database",
    "read_intrinsics",
    "reconstruct_from_stores",
    "verify_database",
]
