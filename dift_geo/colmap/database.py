"""Features and matches -> COLMAP database.

Knows sources of features and matches, and pycolmap; no networks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from dift_geo.colmap.cameras import CameraMode, Intrinsics, check_camera_models
from dift_geo.colmap.quiet import quiet
from dift_geo.colmap.verification import verify_database
from dift_geo.errors import InputError, NoAnswerError
from dift_geo.frames import to_colmap
from dift_geo.store.check import check_pair
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
    counts: Mapping[str, int] | None = None,
) -> list[int]:
    """Write matches of every pair into the database; returns their counts.

    ids: image ids by name.
    verified: also declare the matches geometrically verified, with an explicit configuration:
        COLMAP 4 skips pairs whose configuration is UNDEFINED without a word.
    counts: of keypoints by image name; None takes those that the database holds.

    Raises InputError for a match of a keypoint that does not exist: COLMAP would crash.
    """
    import pycolmap

    sizes = []
    with pycolmap.Database.open(str(path)) as database:
        if counts is None:
            named = {name for pair in pairs for name in pair}
            counts = {name: database.num_keypoints_for_image(ids[name]) for name in named}
        for name0, name1 in pairs:
            found = matches[name0, name1]
            check_pair(found, counts[name0], counts[name1], (name0, name1))
            rows = found.pairs.astype(np.uint32)
            sizes.append(len(rows))
            database.write_matches(ids[name0], ids[name1], rows)
            if verified and len(rows):
                geometry = pycolmap.TwoViewGeometry(
                    config=pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED, inlier_matches=rows
                )
                database.write_two_view_geometry(ids[name0], ids[name1], geometry)
    return sizes
