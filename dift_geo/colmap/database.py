"""Features and matches -> COLMAP database -> verified pairs.

Knows stores and pycolmap; no networks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np

from dift_geo.colmap.cameras import CameraMode, Intrinsics
from dift_geo.errors import InputError, NoAnswerError
from dift_geo.pairs.lists import write_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore

__all__ = ["build_database", "import_features", "import_matches", "quiet", "verify_database"]

logger = logging.getLogger(__name__)


def build_database(
    path: str | Path,
    images: str | Path,
    names: Sequence[str],
    *,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    intrinsics: Intrinsics | None = None,
) -> dict[str, int]:
    """Create a COLMAP database with cameras and images, replacing what is at `path`; returns image
    ids by name.

    camera_mode: `auto` shares one camera among images of one folder with equal size and EXIF focal
    length; `single` and `per-folder` share one as far as sizes allow (COLMAP would drop images of
    another size without a word); `per-image` shares none. intrinsics: from `read_intrinsics`; such
    cameras start from the given parameters.
    """
    import pycolmap

    if camera_mode not in get_args(CameraMode):
        raise InputError(
            f"camera_mode is {camera_mode!r}, expected one of {', '.join(get_args(CameraMode))}"
        )
    Path(path).unlink(missing_ok=True)
    groups: dict[Any, list[str]] = {}
    options: dict[Any, Any] = {}
    for name in names:
        model, params = (
            (intrinsics or {}).get(name) or (intrinsics or {}).get("*") or (camera_model, [])
        )
        reader = pycolmap.ImageReaderOptions(
            camera_model=model, camera_params=",".join(map(repr, params))
        )
        camera = pycolmap.infer_camera_from_image(str(Path(images) / name), reader)
        folder = name.rpartition("/")[0]
        shared = {
            "auto": (
                folder,
                *([round(camera.mean_focal_length(), 1)] if camera.has_prior_focal_length else []),
            ),
            "single": (),
            "per-folder": (folder,),
            "per-image": (name,),
        }[camera_mode]
        key = (*shared, camera.width, camera.height, model, *params)
        groups.setdefault(key, []).append(name)
        options[key] = reader
    if camera_mode == "single" and len(groups) > 1:
        logger.warning(
            "images differ in size or intrinsics: %d cameras instead of a single one", len(groups)
        )
    with pycolmap.Database.open(str(path)):
        pass
    for key, group in groups.items():
        mode = pycolmap.CameraMode.SINGLE
        pycolmap.import_images(
            str(path), str(images), mode, image_names=group, options=options[key]
        )
    with pycolmap.Database.open(str(path)) as database:
        ids = {image.name: image.image_id for image in database.read_all_images()}
    missing = set(names) - set(ids)
    if missing:
        raise NoAnswerError(
            f"COLMAP did not take {len(missing)} of {len(names)} images, first {min(missing)!r}"
        )
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

    verified: also declare them geometrically verified, with an explicit configuration: COLMAP 4
    skips pairs whose configuration is UNDEFINED without a word.
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
    """Verify pairs geometrically in place (COLMAP's two-view estimation); returns inlier counts, 0
    where it failed.
    """
    import pycolmap

    path = Path(path)
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error, options.ransac.random_seed = max_error_px, seed
    file = path.with_name(f"{path.name}.pairs")
    try:
        with _numbered_images(path) as ids, quiet():
            write_pairs(file, [(str(ids[a]), str(ids[b])) for a, b in pairs])
            pycolmap.verify_matches(str(path), str(file), options)
    finally:
        file.unlink(missing_ok=True)
    with pycolmap.Database.open(str(path)) as database:
        geometries = [(ids[a], ids[b]) for a, b in pairs]
        return [
            len(database.read_two_view_geometry(a, b).inlier_matches)
            if database.exists_two_view_geometry(a, b)
            else 0
            for a, b in geometries
        ]


@contextmanager
def _numbered_images(path: Path) -> Iterator[dict[str, int]]:
    """Image ids by name, while the images are named by their ids: COLMAP's pair files cannot hold
    names with spaces.
    """
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


@contextmanager
def quiet(least: Any = None) -> Iterator[None]:
    """COLMAP's own log lines from ERROR (or `least`) up only, for the time of a call."""
    import pycolmap

    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = (pycolmap.logging.Level.ERROR if least is None else least).value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level
