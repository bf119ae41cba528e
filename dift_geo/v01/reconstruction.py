"""`dift_geo.reconstruction` of 0.1, for scripts that import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dift_geo import sfm
from dift_geo.colmap.cameras import CameraMode, Intrinsics, read_intrinsics
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
)
from dift_geo.colmap.opinions import map_database
from dift_geo.types import Pair

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


def reconstruct_from_stores(
    images: str | Path,
    features_path: str | Path,
    matches_path: str | Path,
    pairs: Sequence[Pair],
    out: str | Path,
    *,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    intrinsics: Intrinsics | None = None,
    verify: bool = True,
    mapper: MapperName = "incremental",
    seed: int = 0,
) -> Reconstruction:
    """`dift_geo.sfm.reconstruct_from_stores` with keywords in the place of `SfmOptions`."""
    options = sfm.SfmOptions(
        camera_mode=camera_mode,
        camera_model=camera_model,
        intrinsics=intrinsics,
        mapper=mapper,
        seed=seed,
    )
    return sfm.reconstruct_from_stores(
        images, features_path, matches_path, pairs, out, options, verify=verify
    )
