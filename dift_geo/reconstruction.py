"""Features and matches -> COLMAP database -> verified pairs -> model.

Owns the only change of pixel frame: COLMAP puts (0, 0) on the corner of the top-left pixel, so keypoints gain + 0.5, in
float32. Knows stores and pycolmap; no networks.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from dift_geo.pairs import write_pairs
from dift_geo.store import FeatureStore, MatchStore

__all__ = [
    "MAX_REPROJECTION_PX",
    "CameraMode",
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

logger = logging.getLogger(__name__)
CameraMode = Literal["auto", "single", "per-folder", "per-image"]
MapperName = Literal["incremental", "global"]
MAPPER_SEEDS = 8  # of the incremental mapper, at most
SMALL = 30  # up to so many images a run takes seconds, and it is worth asking for the best model twice
MAX_REPROJECTION_PX = 2.0  # observations beyond leave the model; COLMAP's own 4 lets in neighbours of the true keypoint
Intrinsics = dict[str, tuple[str, list[float]]]


class NoModelError(RuntimeError):
    """COLMAP found no model; the message says how far the data went."""


@dataclass(frozen=True)
class Reconstruction:
    """What came out: the pycolmap model, its folder, and the numbers for `summary.json`."""

    model: Any
    folder: Path
    summary: dict[str, Any]


def read_intrinsics(path: str | Path) -> Intrinsics:
    """Known cameras: lines `IMAGE_NAME MODEL PARAMS...` as COLMAP names them, with `*` for every other image.

    For instance `* PINHOLE 1379.7 1382.1 760.6 503.7`. Raises ValueError naming the line that does not fit.
    """
    import pycolmap

    known: Intrinsics = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        try:
            model = pycolmap.CameraModelId.__members__[fields[1]]
            params = [float(field) for field in fields[2:]]
            expected = len(pycolmap.Camera.create_from_model_id(1, model, 1.0, 1, 1).params)
        except (IndexError, KeyError, ValueError):
            raise ValueError(f"{path}:{number}: {line!r}, expected `IMAGE_NAME MODEL PARAMS...` with a COLMAP model") from None
        if len(params) != expected:
            raise ValueError(f"{path}:{number}: {fields[1]} got {len(params)} parameters, expected {expected}")
        known[fields[0]] = fields[1], params
    return known


def build_database(
    path: str | Path,
    images: str | Path,
    names: Sequence[str],
    *,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    intrinsics: Intrinsics | None = None,
) -> dict[str, int]:
    """Create a COLMAP database with cameras and images, replacing what is at `path`; returns image ids by name.

    camera_mode: `auto` shares one camera among images of one folder with equal size and EXIF focal length; `single` and
    `per-folder` share one as far as sizes allow (COLMAP would drop images of another size without a word); `per-image`
    shares none. intrinsics: from `read_intrinsics`; such cameras start from the given parameters.
    """
    import pycolmap

    if camera_mode not in get_args(CameraMode):
        raise ValueError(f"camera_mode is {camera_mode!r}, expected one of {', '.join(get_args(CameraMode))}")
    Path(path).unlink(missing_ok=True)
    groups: dict[Any, list[str]] = {}
    options: dict[Any, Any] = {}
    for name in names:
        model, params = (intrinsics or {}).get(name) or (intrinsics or {}).get("*") or (camera_model, [])
        reader = pycolmap.ImageReaderOptions(camera_model=model, camera_params=",".join(map(repr, params)))
        camera = pycolmap.infer_camera_from_image(str(Path(images) / name), reader)
        folder = name.rpartition("/")[0]
        shared = {
            "auto": (folder, *([round(camera.mean_focal_length(), 1)] if camera.has_prior_focal_length else [])),
            "single": (),
            "per-folder": (folder,),
            "per-image": (name,),
        }[camera_mode]
        key = (*shared, camera.width, camera.height, model, *params)
        groups.setdefault(key, []).append(name)
        options[key] = reader
    if camera_mode == "single" and len(groups) > 1:
        logger.warning("images differ in size or intrinsics: %d cameras instead of a single one", len(groups))
    with pycolmap.Database.open(str(path)):
        pass
    for key, group in groups.items():
        mode = pycolmap.CameraMode.SINGLE
        pycolmap.import_images(str(path), str(images), mode, image_names=group, options=options[key])
    with pycolmap.Database.open(str(path)) as database:
        ids = {image.name: image.image_id for image in database.read_all_images()}
    missing = set(names) - set(ids)
    if missing:
        raise RuntimeError(f"COLMAP did not take {len(missing)} of {len(names)} images, first {min(missing)!r}")
    return ids


def import_features(path: str | Path, ids: dict[str, int], features: FeatureStore) -> None:
    """Write the keypoints of every image into the database, in COLMAP's pixel frame."""
    import pycolmap

    with pycolmap.Database.open(str(path)) as database:
        for name, image_id in ids.items():
            database.write_keypoints(image_id, features[name].keypoints.xy + np.float32(0.5))


def import_matches(
    path: str | Path,
    ids: dict[str, int],
    pairs: Sequence[tuple[str, str]],
    matches: MatchStore,
    *,
    verified: bool = False,
) -> list[int]:
    """Write matches of every pair into the database; returns their counts.

    verified: also declare them geometrically verified, with an explicit configuration: COLMAP 4 skips pairs whose
    configuration is UNDEFINED without a word.
    """
    import pycolmap

    counts = []
    with pycolmap.Database.open(str(path)) as database:
        for name0, name1 in pairs:
            found = matches[name0, name1].pairs.astype(np.uint32)
            counts.append(len(found))
            database.write_matches(ids[name0], ids[name1], found)
            if verified and len(found):
                geometry = pycolmap.TwoViewGeometry(
                    config=pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED, inlier_matches=found
                )
                database.write_two_view_geometry(ids[name0], ids[name1], geometry)
    return counts


def verify_database(
    path: str | Path, pairs: Sequence[tuple[str, str]], *, max_error_px: float = 4.0, seed: int = 0
) -> list[int]:
    """Verify pairs geometrically in place (COLMAP's two-view estimation); returns inlier counts, 0 where it failed."""
    import pycolmap

    path = Path(path)
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error, options.ransac.random_seed = max_error_px, seed
    file = path.with_name(f"{path.name}.pairs")
    try:
        with _numbered_images(path) as ids, _quiet():
            write_pairs(file, [(str(ids[a]), str(ids[b])) for a, b in pairs])
            pycolmap.verify_matches(str(path), str(file), options)
    finally:
        file.unlink(missing_ok=True)
    with pycolmap.Database.open(str(path)) as database:
        geometries = [(ids[a], ids[b]) for a, b in pairs]
        return [
            len(database.read_two_view_geometry(a, b).inlier_matches) if database.exists_two_view_geometry(a, b) else 0
            for a, b in geometries
        ]


@contextmanager
def _numbered_images(path: Path) -> Iterator[dict[str, int]]:
    """Image ids by name, while the images are named by their ids: COLMAP's pair files cannot hold names with spaces."""
    import pycolmap

    with pycolmap.Database.open(str(path)) as database:
        images = database.read_all_images()
        names = {image.image_id: image.name for image in images}

        def rename(name_of: dict[int, str]) -> None:
            for image in images:
                image.name = name_of[image.image_id]
                database.update_image(image)

        rename({image_id: str(image_id) for image_id in names})
    try:
        yield {name: image_id for image_id, name in names.items()}
    finally:
        with pycolmap.Database.open(str(path)) as database:
            rename(names)


def map_database(
    path: str | Path, images: str | Path, folder: str | Path, *, mapper: MapperName = "incremental", seed: int = 0
) -> list[Any]:
    """Run COLMAP's mapper; models, most registered images first, then most points. Empty when it finds none.

    The incremental mapper depends on the pair it starts from, and with it on its seed: on ten internet photos one seed gives
    2 images, the next all 10. So small sets are mapped from one seed after the other until the best model has come twice, any
    set is tried again where a model holds fewer than half of the images, and the best model counts. Where all that leaves
    nothing, it tries once more keeping small models, with a narrow first pair, and with tracks of two views, which COLMAP 4
    drops although they are all that two images have.
    """
    import pycolmap

    if mapper not in get_args(MapperName):
        raise ValueError(f"mapper is {mapper!r}, expected one of {', '.join(get_args(MapperName))}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    with pycolmap.Database.open(str(path)) as database:
        enough = database.num_images() / 2
        wanted = 2 if database.num_images() <= SMALL else 1  # times that the best model should have come
        two_views = database.num_images() == 2
    attempts: list[Any]
    run: Any
    if mapper == "incremental":
        attempts = [pycolmap.IncrementalPipelineOptions(random_seed=seed + i) for i in range(MAPPER_SEEDS)]
        attempts.append(pycolmap.IncrementalPipelineOptions(random_seed=seed, min_model_size=2))
        attempts[-1].triangulation.ignore_two_view_tracks = False
        attempts[-1].mapper.init_min_tri_angle = 1.0
        for options in attempts:
            options.mapper.filter_max_reproj_error = MAX_REPROJECTION_PX
            if two_views:  # do not determine the cameras: refined, they drift off and take the pose along
                options.ba_refine_focal_length = options.ba_refine_extra_params = False
        run = pycolmap.incremental_mapping
    else:
        attempts = [pycolmap.GlobalPipelineOptions(random_seed=seed, min_model_size=2)]
        run = pycolmap.global_mapping
    usable: list[Any] = []
    for attempt, options in enumerate(attempts):
        times = sum(_size(model) == _size(usable[0]) for model in usable)
        if usable and (attempt == MAPPER_SEEDS or (usable[0].num_reg_images() >= enough and times >= wanted)):
            break
        with _quiet(pycolmap.logging.Level.FATAL):  # "failed to create any sparse model" is for the caller to say
            models = run(str(path), str(images), str(folder), options)
        usable += [model for model in models.values() if model.num_reg_images() >= 2 and model.num_points3D() > 0]
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

    verify: off, matches are taken as verified. Raises NoModelError instead of leaving an empty model.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    database = out / "database.db"
    names = sorted({name for pair in pairs for name in pair})
    shutil.rmtree(out / "sparse", ignore_errors=True)  # an old model must not pass for a new one
    clock = time.monotonic()
    with _quiet():
        ids = build_database(database, images, names, camera_mode=camera_mode, camera_model=camera_model, intrinsics=intrinsics)
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
        "seconds": {"verify": round(verified_at - clock, 2), "map": round(mapped_at - verified_at, 2)},
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


@contextmanager
def _quiet(least: Any = None) -> Iterator[None]:
    """COLMAP's own log lines from ERROR (or `least`) up only, for the time of a call."""
    import pycolmap

    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = (pycolmap.logging.Level.ERROR if least is None else least).value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level
