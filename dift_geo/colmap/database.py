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

from dift_geo.colmap.cameras import CameraMode
from dift_geo.colmap.doors import check_inside
from dift_geo.colmap.intrinsics import (
    Intrinsics,
    check_intrinsics,
    first_model,
    intrinsics_of,
)
from dift_geo.colmap.opened import opened, require_room
from dift_geo.colmap.photos import Photo, read_photo
from dift_geo.colmap.quiet import quiet
from dift_geo.colmap.verification import verify_database
from dift_geo.errors import InputError
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
FAR_OFF = 0.15  # of the side, from the middle of a photo to its principal point
IMAGE_BYTES = 1000  # more than what an image, its frame and its camera take in a database
UNKNOWN_FOCAL = 1.2  # of the longest side, as COLMAP guesses


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
    camera_model: one of COLMAP's, for images without known intrinsics; `auto` begins with
        SIMPLE_RADIAL.
    intrinsics: from `read_intrinsics`; such cameras start from the given parameters.

    Raises InputError for an unknown mode or model and a photo that cannot be read, MissingFileError
    for one that is not there.
    """
    if camera_mode not in get_args(CameraMode):
        raise InputError(
            f"camera_mode is {camera_mode!r}, expected one of {', '.join(get_args(CameraMode))}"
        )
    camera_model = first_model(camera_model)
    check_intrinsics(intrinsics or {})
    photos = {name: read_photo(Path(images) / name) for name in names}
    groups: dict[_SharedCamera, list[str]] = {}
    for name, photo in photos.items():
        known = intrinsics_of(intrinsics, name) or (camera_model, ())
        groups.setdefault(_camera_of(photo, name, camera_mode, known), []).append(name)
    if camera_mode == "single" and len(groups) > 1:
        logger.warning(
            "images differ in size or intrinsics: %d cameras instead of a single one", len(groups)
        )
    Path(path).unlink(missing_ok=True)
    return _write_images(path, groups, photos)


def _write_images(
    path: str | Path, groups: Mapping[_SharedCamera, Sequence[str]], photos: Mapping[str, Photo]
) -> dict[str, int]:
    """Cameras, images and where they were taken, as COLMAP's own import numbers and writes them."""
    import pycolmap

    ids: dict[str, int] = {}
    require_room(path, IMAGE_BYTES * len(photos))
    with opened(path) as database, pycolmap.DatabaseTransaction(database):
        for shared, group in groups.items():
            first, *_ = ordered = sorted(group)
            camera = shared.colmap_camera(photos[first])
            camera.camera_id = database.write_camera(camera)
            rig = pycolmap.Rig()
            rig.add_ref_sensor(camera.sensor_id)
            rig_id = database.write_rig(rig)
            for name in ordered:
                image = pycolmap.Image(name=name, camera_id=camera.camera_id)
                ids[name] = image.image_id = database.write_image(image)
                frame = pycolmap.Frame(rig_id=rig_id)
                frame.add_data_id(image.data_id)
                _write_place(database, photos[name], image.data_id)
                database.write_frame(frame)
    return ids


def _write_place(database: pycolmap.Database, photo: Photo, data_id: pycolmap.data_t) -> None:
    import pycolmap

    if photo.position is None and photo.gravity is None:
        return
    prior = pycolmap.PosePrior(corr_data_id=data_id)
    if photo.position is not None:
        prior.position = photo.position
        prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.WGS84
    if photo.gravity is not None:
        prior.gravity = photo.gravity
    database.write_pose_prior(prior)


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

    def colmap_camera(self, photo: Photo) -> pycolmap.Camera:
        """As COLMAP begins with it; what is not known is guessed from the first photo."""
        import pycolmap

        w, h = self.size_wh
        focal_px = photo.focal_px or UNKNOWN_FOCAL * max(w, h)
        camera = pycolmap.Camera.create_from_model_name(0, self.model, focal_px, w, h)
        camera.has_prior_focal_length = bool(self.params) or photo.focal_px is not None
        if self.params:
            camera.params = list(self.params)
            self._check_centre(camera)
        return camera

    def _check_centre(self, camera: pycolmap.Camera) -> None:
        """Refuse a principal point outside of the photo, warn where it is far from the middle."""
        centre = np.array([camera.params[i] for i in camera.principal_point_idxs()])
        if not len(centre):
            return
        off = np.abs(centre / self.size_wh - 1 / 2).max()
        told = f"({centre[0]:g}, {centre[1]:g}) of {self.size_wh[0]} x {self.size_wh[1]} pixels"
        if off >= 1 / 2:
            raise InputError(
                f"known intrinsics put the principal point at {told}, expected it inside; "
                "are they of photos of another size?"
            )
        if off > FAR_OFF:
            logger.warning(
                "known intrinsics put the principal point at %s, far from the middle; are they of "
                "photos of another size?",
                told,
            )


def _camera_of(
    photo: Photo, name: str, mode: CameraMode, known: tuple[str, Sequence[float]]
) -> _SharedCamera:
    model, params = known[0], tuple(known[1])
    folder = name.rpartition("/")[0]
    shared: tuple[str | float, ...] = ()
    if mode == "auto" and photo.focal_px is not None:
        shared = folder, round(photo.focal_px, 1)
    elif mode in ("auto", "per-folder"):
        shared = (folder,)
    elif mode == "per-image":
        shared = (name,)
    return _SharedCamera(shared, photo.size_wh, model, params)


def image_ids(database: pycolmap.Database) -> dict[str, int]:
    """Image ids by name."""
    return {image.name: image.image_id for image in database.read_all_images()}


# features and matches


def import_features(path: str | Path, ids: Mapping[str, int], features: FeatureSource) -> None:
    """Write the keypoints of every image of `ids` into the database, in COLMAP's pixel frame.

    Raises InputError for keypoints outside of their image.
    """
    with opened(path) as database:
        for name, image_id in ids.items():
            camera = database.read_camera(database.read_image(image_id).camera_id)
            keypoints = features[name].keypoints
            check_inside(name, keypoints, (camera.width, camera.height))
            database.write_keypoints(image_id, to_colmap(keypoints.xy))


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
    with opened(path) as database:
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
