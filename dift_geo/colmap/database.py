"""Features and matches -> COLMAP database -> verified pairs.

Knows sources of features and matches, and pycolmap; no networks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from dift_geo.colmap.cameras import CameraMode, Intrinsics, check_camera_models
from dift_geo.errors import InputError, NoAnswerError
from dift_geo.frames import to_colmap
from dift_geo.pairs.lists import write_pairs
from dift_geo.types import FeatureSource, MatchSource, Pair

if TYPE_CHECKING:
    import pycolmap

__all__ = [
    "build_database",
    "image_ids",
    "import_features",
    "import_matches",
    "quiet",
    "verify_database",
]

logger = logging.getLogger(__name__)


# cameras and images


def build_database(
    path: str | Path,
    images: str | Path,
    names: Sequence[str],
    *,
    camera_mode: CameraMode = "auto",
    camera_model: str = "SIMPLE_RADIAL",
    intrinsics: Intrinsics | None = None,
) -> dict[str, int]:
    """Create a COLMAP database with cameras and images; returns image ids by name.

    path: what is there is replaced.
    images: folder of the photos.
    names: paths below it.
    camera_mode: `auto` shares one camera among images of one folder with equal size and EXIF focal
        length; `single` and `per-folder` share one as far as sizes allow (COLMAP would drop images
        of another size without a word); `per-image` shares none.
    camera_model: one of COLMAP's, for images without known intrinsics.
    intrinsics: from `read_intrinsics`; such cameras start from the given parameters.

    Raises InputError for an unknown mode or model, NoAnswerError for images that COLMAP does not
    take.
    """
    import pycolmap

    if camera_mode not in get_args(CameraMode):
        raise InputError(
            f"camera_mode is {camera_mode!r}, expected one of {', '.join(get_args(CameraMode))}"
        )
    check_camera_models([camera_model])
    groups: dict[_SharedCamera, list[str]] = {}
    for name in names:
        known = (intrinsics or {}).get(name) or (intrinsics or {}).get("*") or (camera_model, [])
        groups.setdefault(_camera_of(Path(images), name, camera_mode, known), []).append(name)
    if camera_mode == "single" and len(groups) > 1:
        logger.warning(
            "images differ in size or intrinsics: %d cameras instead of a single one", len(groups)
        )
    Path(path).unlink(missing_ok=True)
    with pycolmap.Database.open(str(path)):
        pass  # created
    for camera, group in groups.items():
        pycolmap.import_images(
            str(path),
            str(images),
            pycolmap.CameraMode.SINGLE,
            image_names=group,
            options=_reader(camera.model, camera.params),
        )
    with pycolmap.Database.open(str(path)) as database:
        ids = image_ids(database)
    missing = set(names) - set(ids)
    if missing:
        raise NoAnswerError(
            f"COLMAP did not take {len(missing)} of {len(names)} images, first {min(missing)!r}"
        )
    return ids


@dataclass(frozen=True)
class _SharedCamera:
    """What images of one camera agree in; images with equal ones share it.

    shared: what the camera mode goes by: nothing, the folder, its focal length, the name.
    size_wh: of the images, in pixels.
    model: COLMAP's word.
    params: the known ones; empty where COLMAP has to guess.
    """

    shared: tuple[str | float, ...]
    size_wh: tuple[int, int]
    model: str
    params: tuple[float, ...]


def _camera_of(
    images: Path, name: str, mode: CameraMode, known: tuple[str, list[float]]
) -> _SharedCamera:
    import pycolmap

    model, params = known[0], tuple(known[1])
    try:
        camera = pycolmap.infer_camera_from_image(str(images / name), _reader(model, params))
    except ValueError as error:
        raise InputError(
            f"COLMAP cannot read {images / name}, expected a photo in a format it knows, such as "
            "PNG or JPEG"
        ) from error
    folder = name.rpartition("/")[0]
    shared: tuple[str | float, ...] = ()
    if mode == "auto" and camera.has_prior_focal_length:
        shared = folder, round(camera.mean_focal_length(), 1)
    elif mode in ("auto", "per-folder"):
        shared = (folder,)
    elif mode == "per-image":
        shared = (name,)
    return _SharedCamera(shared, (camera.width, camera.height), model, params)


def _reader(model: str, params: Sequence[float]) -> pycolmap.ImageReaderOptions:
    import pycolmap

    text = ",".join(repr(float(value)) for value in params)
    return pycolmap.ImageReaderOptions(camera_model=model, camera_params=text)


def image_ids(database: pycolmap.Database) -> dict[str, int]:
    """Image ids by name."""
    return {image.name: image.image_id for image in database.read_all_images()}


# features and matches


def import_features(path: str | Path, ids: Mapping[str, int], features: FeatureSource) -> None:
    """Write the keypoints of every image of `ids` into the database, in COLMAP's pixel frame."""
    import pycolmap

    with pycolmap.Database.open(str(path)) as database:
        for name, image_id in ids.items():
            database.write_keypoints(image_id, to_colmap(features[name].keypoints.xy))


def import_matches(
    path: str | Path,
    ids: Mapping[str, int],
    pairs: Sequence[Pair],
    matches: MatchSource,
    *,
    verified: bool = False,
) -> list[int]:
    """Write matches of every pair into the database; returns their counts.

    ids: image ids by name.
    verified: also declare the matches geometrically verified, with an explicit configuration:
        COLMAP 4 skips pairs whose configuration is UNDEFINED without a word.
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


# verification


def verify_database(
    path: str | Path, pairs: Sequence[Pair], *, max_error_px: float = 4.0, seed: int = 0
) -> list[int]:
    """Verify pairs geometrically in place; returns inlier counts, 0 where it failed.

    max_error_px: inlier threshold of COLMAP's two-view estimation.
    seed: of its random draws.
    """
    import pycolmap

    path = Path(path)
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error, options.ransac.random_seed = max_error_px, seed
    file = path.with_name(f"{path.name}.pairs")
    try:
        with _numbered_images(path) as ids, quiet():
            numbered = [(ids[a], ids[b]) for a, b in pairs]
            write_pairs(file, [(str(a), str(b)) for a, b in numbered])
            pycolmap.verify_matches(str(path), str(file), options)
    finally:
        file.unlink(missing_ok=True)
    with pycolmap.Database.open(str(path)) as database:
        return [_inlier_count(database, a, b) for a, b in numbered]


def _inlier_count(database: pycolmap.Database, id0: int, id1: int) -> int:
    if not database.exists_two_view_geometry(id0, id1):
        return 0
    return len(database.read_two_view_geometry(id0, id1).inlier_matches)


@contextmanager
def _numbered_images(path: Path) -> Iterator[dict[str, int]]:
    """Image ids by name, while the images are named by their ids.

    COLMAP's files of pairs cannot hold names with spaces.
    """
    import pycolmap

    with pycolmap.Database.open(str(path)) as database:
        ids = image_ids(database)
    _rename_images(path, {image_id: str(image_id) for image_id in ids.values()})
    try:
        yield ids
    finally:
        _rename_images(path, {image_id: name for name, image_id in ids.items()})


def _rename_images(path: Path, names: Mapping[int, str]) -> None:
    import pycolmap

    with pycolmap.Database.open(str(path)) as database:
        for image in database.read_all_images():
            image.name = names[image.image_id]
            database.update_image(image)


@contextmanager
def quiet(least: pycolmap.logging.Level | None = None) -> Iterator[None]:
    """COLMAP's own log lines from ERROR (or `least`) up only, for the time of a call."""
    import pycolmap

    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = (pycolmap.logging.Level.ERROR if least is None else least).value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level
