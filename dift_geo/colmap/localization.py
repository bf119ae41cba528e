"""Where was this photo taken? A map from photos of known pose, and the pose of another on it.

Features and matches come from stores, triangulation and the absolute pose from pycolmap. Poses are
`cam_from_world` (3, 4), in the units of the known ones. Runs no network.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.cameras import KnownCamera, colmap_camera
from dift_geo.colmap.database import (
    image_ids,
    import_features,
    import_matches,
    quiet,
    verify_database,
)
from dift_geo.colmap.doors import check_inside, check_size
from dift_geo.colmap.opened import opened
from dift_geo.errors import InputError, NoAnswerError
from dift_geo.frames import to_colmap
from dift_geo.store.check import check_pair
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore

if TYPE_CHECKING:
    import pycolmap

__all__ = [
    "Localized",
    "Map",
    "build_verified_database",
    "leave_out_folds",
    "localize",
    "triangulate_map",
]


@dataclass(frozen=True)
class Map:
    """Points in space, and the keypoints that see them.

    points: (P, 3) float64.
    rows: by image name, for each of its keypoints the index into `points`, -1 for none.
    """

    points: NDArray[np.float64]
    rows: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Localized:
    """The pose of a photo.

    cam_from_world: (3, 4).
    correspondences: matches of a keypoint with a point that were given.
    inliers: how many of them the pose explains.
    """

    cam_from_world: NDArray[np.float64]
    correspondences: int
    inliers: int


# the map


def build_verified_database(
    path: str | Path,
    cameras: Mapping[str, KnownCamera],
    features_path: str | Path,
    matches_path: str | Path,
    *,
    seed: int = 0,
) -> None:
    """A COLMAP database of photos with every stored match between them, verified by COLMAP.

    path: what is there is replaced.
    cameras: of the photos, by name. Those that a map will be made of and those to be placed on it
        may both be in.
    seed: of the verification.

    Raises InputError where features are of a picture of another size than the camera's.
    """
    Path(path).unlink(missing_ok=True)
    ids = {name: index for index, name in enumerate(sorted(cameras), 1)}
    _write_cameras(path, _cameras_alone(cameras, ids))
    with FeatureStore(features_path) as features, MatchStore(matches_path) as matches:
        for name, camera in cameras.items():
            check_size(name, features, camera.size_wh, "its camera")
        pairs = [pair for pair in combinations(sorted(cameras), 2) if pair in matches]
        import_features(path, ids, features)
        import_matches(path, ids, pairs, matches)
    verify_database(path, pairs, seed=seed)


def triangulate_map(
    database: str | Path, cameras: Mapping[str, KnownCamera], *, seed: int = 0
) -> Map:
    """Points that at least two photos of `cameras` see.

    Photos of the database that are not in `cameras` take no part.

    database: from `build_verified_database`.
    cameras: of the photos whose poses are known, by name.
    seed: of the triangulation.

    Raises NoAnswerError when no point comes out.
    """
    import pycolmap

    if len(cameras) < 2:
        raise InputError(f"{len(cameras)} photo of known pose, expected at least 2 for a map")
    options = pycolmap.IncrementalPipelineOptions(random_seed=seed, num_threads=1)  # repeatable
    options.triangulation.ignore_two_view_tracks = False  # a map of two photos has no others
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copy(database, Path(folder) / "map.db"))
        _forget_others(copy, cameras)
        with opened(copy) as ours:
            ids = image_ids(ours)
            counts = {name: ours.num_keypoints_for_image(ids[name]) for name in cameras}
        with quiet():
            model = pycolmap.triangulate_points(
                _cameras_alone(cameras, ids), str(copy), folder, folder, options=options
            )
    if not model.num_points3D():
        raise NoAnswerError(
            f"no point is seen from two of the {len(cameras)} known photos: they overlap too little"
        )
    return _map_of(model, counts)


def _cameras_alone(
    cameras: Mapping[str, KnownCamera], ids: Mapping[str, int]
) -> pycolmap.Reconstruction:
    """A COLMAP model without points, one camera for each image."""
    import pycolmap

    model = pycolmap.Reconstruction()
    for name, camera in cameras.items():
        model.add_camera_with_trivial_rig(colmap_camera(camera, ids[name]))
        image = pycolmap.Image(name=name, camera_id=ids[name], image_id=ids[name])
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(camera.cam_from_world))
    return model


def _write_cameras(path: str | Path, model: pycolmap.Reconstruction) -> None:
    """Cameras and images of a model into a new database, under the same ids."""
    with opened(path) as database:
        for camera in model.cameras.values():
            database.write_camera(camera, use_camera_id=True)
        for rig in model.rigs.values():
            database.write_rig(rig, use_rig_id=True)
        for frame in model.frames.values():
            database.write_frame(frame, use_frame_id=True)
        for image in model.images.values():
            database.write_image(image, use_image_id=True)


def _forget_others(path: Path, cameras: Mapping[str, KnownCamera]) -> None:
    """Remove verified pairs with other photos: COLMAP would link two of `cameras` through them."""
    import pycolmap

    with opened(path) as database:
        ids = image_ids(database)
        known = {ids[name] for name in cameras}
        for pair_id in database.read_two_view_geometries()[0]:
            pair = pycolmap.pair_id_to_image_pair(pair_id)
            if not known.issuperset(pair):
                database.delete_two_view_geometry(*pair)


def _map_of(model: pycolmap.Reconstruction, counts: Mapping[str, int]) -> Map:
    """counts: keypoints of each image."""
    index = {point_id: i for i, point_id in enumerate(sorted(model.points3D))}
    rows = {name: np.full(count, -1, np.int64) for name, count in counts.items()}
    for image in model.images.values():
        for row, point in enumerate(image.points2D):
            if point.has_point3D():
                rows[image.name][row] = index[point.point3D_id]
    return Map(np.array([model.points3D[point_id].xyz for point_id in index]), rows)


# a photo on it


def localize(
    scene: Map,
    name: str,
    camera: KnownCamera,
    features_path: str | Path,
    matches_path: str | Path,
    *,
    max_error_px: float = 12.0,
    seed: int = 0,
) -> Localized | None:
    """The pose of the photo `name`, or None when its matches with photos of the map give none.

    camera: of the photo; only size and K are used.
    max_error_px: RANSAC's inlier threshold in the photo (pycolmap's default, and hloc's); the pose
        is then refined on the inliers.
    seed: of RANSAC.

    Raises InputError where features are of a picture of another size than the camera's, or matches
    of other features.
    """
    import pycolmap

    with FeatureStore(features_path) as features, MatchStore(matches_path) as matches:
        check_size(name, features, camera.size_wh, "its camera")
        keypoints = features[name].keypoints
        check_inside(name, keypoints, camera.size_wh)
        xy = keypoints.xy
        links = _links(scene, name, len(xy), matches)
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error, options.ransac.random_seed = max_error_px, seed
    with quiet():
        answer = pycolmap.estimate_and_refine_absolute_pose(
            to_colmap(xy[links[:, 0]]),
            scene.points[links[:, 1]],
            colmap_camera(camera, 1),
            options,
        )
    if answer is None:
        return None
    pose = np.asarray(answer["cam_from_world"].matrix())
    return Localized(pose, len(links), int(answer["num_inliers"]))


def _links(scene: Map, name: str, count: int, matches: MatchStore) -> NDArray[np.int64]:
    """(L, 2) keypoints of a photo and points of the map that matches relate, each link once.

    count: of the keypoints.
    """
    found = [np.zeros((0, 2), np.int64)]
    for other, points in scene.rows.items():
        if (name, other) in matches:
            stored = matches[name, other]
            check_pair(stored, count, len(points), (name, other))
            pairs = stored.pairs
            found.append(np.stack([pairs[:, 0], points[pairs[:, 1]]], 1))
    links = np.unique(np.concatenate(found), axis=0)
    return links[links[:, 1] >= 0]


def leave_out_folds(names: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """Every choice of `count` names, in order."""
    most = len(names) - 2
    if not 1 <= count <= most:
        raise InputError(
            f"{count} of {len(names)} images left out, expected 1 to {most}: a map needs two"
        )
    return list(combinations(names, count))
