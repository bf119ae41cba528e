"""COLMAP database -> model. Knows pycolmap; no stores, no networks."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from dift_geo.colmap.cameras import CameraMode, Intrinsics
from dift_geo.colmap.database import (
    build_database,
    import_features,
    import_matches,
    quiet,
    verify_database,
)
from dift_geo.errors import InputError, NoModelError
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore

__all__ = [
    "MAX_REPROJECTION_PX",
    "MapperName",
    "Reconstruction",
    "map_database",
    "reconstruct_from_stores",
]

logger = logging.getLogger(__name__)
MapperName = Literal["incremental", "global"]
MAPPER_SEEDS = 8  # of the incremental mapper, at most
# up to so many images a run takes seconds, and it is worth asking for the best model twice
SMALL = 30
# observations beyond leave the model; COLMAP's own 4 lets in neighbours of the true keypoint
MAX_REPROJECTION_PX = 2.0


@dataclass(frozen=True)
class Reconstruction:
    """What came out: the pycolmap model, its folder, and the numbers for `summary.json`."""

    model: Any
    folder: Path
    summary: dict[str, Any]


def map_database(
    path: str | Path,
    images: str | Path,
    folder: str | Path,
    *,
    mapper: MapperName = "incremental",
    seed: int = 0,
) -> list[Any]:
    """Run COLMAP's mapper; models, most registered images first, then most points. Empty when it
    finds none.

    The incremental mapper depends on the pair it starts from, and with it on its seed: on ten
    internet photos one seed gives 2 images, the next all 10. So small sets are mapped from one seed
    after the other until the best model has come twice, any set is tried again where a model holds
    fewer than half of the images, and the best model counts. Where all that leaves nothing, it
    tries once more keeping small models, with a narrow first pair, and with tracks of two views,
    which COLMAP 4 drops although they are all that two images have.
    """
    import pycolmap

    if mapper not in get_args(MapperName):
        raise InputError(f"mapper is {mapper!r}, expected one of {', '.join(get_args(MapperName))}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    with pycolmap.Database.open(str(path)) as database:
        enough = database.num_images() / 2
        # times that the best model should have come
        wanted = 2 if database.num_images() <= SMALL else 1
        two_views = database.num_images() == 2
    attempts: list[Any]
    run: Any
    if mapper == "incremental":
        attempts = [
            pycolmap.IncrementalPipelineOptions(random_seed=seed + i) for i in range(MAPPER_SEEDS)
        ]
        attempts.append(pycolmap.IncrementalPipelineOptions(random_seed=seed, min_model_size=2))
        attempts[-1].triangulation.ignore_two_view_tracks = False
        attempts[-1].mapper.init_min_tri_angle = 1.0
        for options in attempts:
            options.mapper.filter_max_reproj_error = MAX_REPROJECTION_PX
            # do not determine the cameras: refined, they drift off and take the pose along
            if two_views:
                options.ba_refine_focal_length = options.ba_refine_extra_params = False
        run = pycolmap.incremental_mapping
    else:
        attempts = [pycolmap.GlobalPipelineOptions(random_seed=seed, min_model_size=2)]
        run = pycolmap.global_mapping
    usable: list[Any] = []
    for attempt, options in enumerate(attempts):
        times = sum(_size(model) == _size(usable[0]) for model in usable)
        if usable and (
            attempt == MAPPER_SEEDS or (usable[0].num_reg_images() >= enough and times >= wanted)
        ):
            break
        # "failed to create any sparse model" is for the caller to say
        with quiet(pycolmap.logging.Level.FATAL):
            models = run(str(path), str(images), str(folder), options)
        usable += [
            model
            for model in models.values()
            if model.num_reg_images() >= 2 and model.num_points3D() > 0
        ]
        usable.sort(key=_size, reverse=True)
    return usable


def _size(model: Any) -> tuple[int, int, int]:
    """What the best of several models has most of, and by which one knows it again."""
    return model.num_reg_images(), model.num_points3D(), model.compute_num_observations()


def reconstruct_from_stores(
    images: str | Path,
    features_path: str | Path,
    matches_path: str | Path,
    pairs: Sequence[tuple[str, str]],
    out: str | Path,
    *,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    intrinsics: Intrinsics | None = None,
    verify: bool = True,
    mapper: MapperName = "incremental",
    seed: int = 0,
) -> Reconstruction:
    """Stores -> `OUT/database.db` -> the best model in `OUT/sparse/`.

    verify: off, matches are taken as verified. Raises NoModelError instead of leaving an empty
    model.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    database = out / "database.db"
    names = sorted({name for pair in pairs for name in pair})
    shutil.rmtree(out / "sparse", ignore_errors=True)  # an old model must not pass for a new one
    clock = time.monotonic()
    with quiet():
        ids = build_database(
            database,
            images,
            names,
            camera_mode=camera_mode,
            camera_model=camera_model,
            intrinsics=intrinsics,
        )
    with FeatureStore(features_path) as features, MatchStore(matches_path) as matches:
        import_features(database, ids, features)
        counts = import_matches(database, ids, pairs, matches, verified=not verify)
    inliers = verify_database(database, pairs, seed=seed) if verify else counts
    verified_at = time.monotonic()
    models = map_database(database, images, out / "models", mapper=mapper, seed=seed)
    mapped_at = time.monotonic()
    shutil.rmtree(out / "models", ignore_errors=True)
    summary: dict[str, Any] = {
        "images": len(names),
        "pairs": len(pairs),
        "matches_mean": round(float(np.mean(counts)), 1) if counts else 0.0,
        "inliers_mean": round(float(np.mean(inliers)), 1) if inliers else 0.0,
        "verified_pairs": int(np.count_nonzero(inliers)),
        "seconds": {
            "verify": round(verified_at - clock, 2),
            "map": round(mapped_at - verified_at, 2),
        },
    }
    if not models:
        raise NoModelError(
            f"COLMAP found no model: {len(names)} images, {summary['matches_mean']} matches per pair, "
            f"{summary['verified_pairs']} of {len(pairs)} pairs verified; expected overlapping photos taken from "
            "different places. More keypoints (--max-keypoints) or a larger --size may help"
        )
    best = models[0]
    (out / "sparse").mkdir()
    best.write(str(out / "sparse"))
    summary |= {
        "registered": best.num_reg_images(),
        "models": len(models),
        "points": best.num_points3D(),
        "reprojection_px": round(best.compute_mean_reprojection_error(), 4),
        "track_length_mean": round(best.compute_mean_track_length(), 3),
    }
    return Reconstruction(best, out / "sparse", summary)
