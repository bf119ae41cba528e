"""Where was this photo taken? A map from photos of known pose, and the pose of another by 2D-3D
matches.

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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.cameras import KnownCamera
from dift_geo.colmap.database import import_features, import_matches, quiet, verify_database
from dift_geo.errors import InputError, NoAnswerError
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore

__all__ = [
    "Localized",
    "Map",
    "build_verified_database",
    "colmap_camera",
    "ids_of",
    "known_reconstruction",
    "leave_out_folds",
    "localize",
    "triangulate_map",
]

HALF_PIXEL = np.float32(0.5)  # from our frame to COLMAP's


@dataclass(frozen=True)
class Map:
    """points: (P, 3) float64. rows: by image name, for each of its keypoints the index into
    `points`, -1 for none.
    """

    points: NDArray[np.float64]
    rows: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Localized:
    """cam_from_world: (3, 4). correspondences: 2D-3D matches given. inliers: of them, those that
    the pose explains.
    """

    cam_from_world: NDArray[np.float64]
    correspondences: int
    inliers: int


def build_verified_database(
    path: str | Path,
    cameras: Mapping[str, KnownCamera],
    features_path: str | Path,
    matches_path: str | Path,
    *,
    seed: int = 0,
) -> None:
    """A COLMAP database of the photos in `cameras` with every stored match between them, verified
    by COLMAP.

    Replaces what is at `path`. The photos that a map will be made of and those to be placed on it
    may both be in.
    """
    import pycolmap

    Path(path).unlink(missing_ok=True)
    reference = known_reconstruction(cameras, ids_of(cameras))
    with pycolmap.Database.open(str(path)) as database:
        for camera in reference.cameras.values():
            database.write_camera(camera, use_camera_id=True)
        for rig in reference.rigs.values():
            database.write_rig(rig, use_rig_id=True)
        for frame in reference.frames.values():
            database.write_frame(frame, use_frame_id=True)
        for image in reference.images.values():
            database.write_image(image, use_image_id=True)
    with FeatureStore(features_path) as features, MatchStore(matches_path) as matches:
        pairs = [pair for pair in combinations(sorted(cameras), 2) if pair in matches]
        import_features(path, ids_of(cameras), features)
        import_matches(path, ids_of(cameras), pairs, matches)
    verify_database(path, pairs, seed=seed)


def triangulate_map(
    database: str | Path, cameras: Mapping[str, KnownCamera], *, seed: int = 0
) -> Map:
    """Points that at least two photos of `cameras` see, by the verified matches of a database from
    above.

    Photos of the database that are not in `cameras` take no part: their matches are removed first,
    in a copy, because COLMAP would link two photos through a third. Raises RuntimeError when no
    point comes out.
    """
    import pycolmap

    if len(cameras) < 2:
        raise InputError(f"{len(cameras)} photo of known pose, expected at least 2 for a map")
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copy(database, Path(folder) / "map.db"))
        with pycolmap.Database.open(str(copy)) as opened:
            ids = {image.name: image.image_id for image in opened.read_all_images()}
            known = {ids[name] for name in cameras}
            for pair_id in opened.read_two_view_geometries()[0]:
                pair = pycolmap.pair_id_to_image_pair(pair_id)
                if not known.issuperset(pair):
                    opened.delete_two_view_geometry(*pair)
            counts = {name: opened.num_keypoints_for_image(ids[name]) for name in cameras}
        options = pycolmap.IncrementalPipelineOptions(random_seed=seed)
        options.triangulation.ignore_two_view_tracks = False  # a map of two photos has no others
        with quiet():
            reference = known_reconstruction(cameras, ids)
            model = pycolmap.triangulate_points(
                reference, str(copy), folder, folder, options=options
            )
    if not model.num_points3D():
        raise NoAnswerError(
            f"no point is seen from two of the {len(cameras)} known photos: they overlap too little"
        )
    return _map(model, counts)


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
    """The pose of the photo `name` from its matches with the photos of the map, or None when they
    give no pose.

    Of `camera` only size and K are used. max_error_px: RANSAC's inlier threshold in the photo
    (pycolmap's default, and hloc's); the pose is then refined on the inliers.
    """
    import pycolmap

    with FeatureStore(features_path) as features, MatchStore(matches_path) as matches:
        xy = features[name].keypoints.xy
        found = [
            np.stack([pairs[:, 0], scene.rows[other][pairs[:, 1]]], 1)
            for other in scene.rows
            if (name, other) in matches
            for pairs in [matches[name, other].pairs]
        ]
    # (keypoint, point), each once
    links = np.unique(np.concatenate([np.zeros((0, 2), np.int64), *found]), axis=0)
    links = links[links[:, 1] >= 0]
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error, options.ransac.random_seed = max_error_px, seed
    with quiet():
        answer = pycolmap.estimate_and_refine_absolute_pose(
            xy[links[:, 0]] + HALF_PIXEL,
            scene.points[links[:, 1]],
            colmap_camera(camera, 1),
            options,
        )
    if answer is None:
        return None
    return Localized(
        np.asarray(answer["cam_from_world"].matrix()), len(links), int(answer["num_inliers"])
    )


def ids_of(cameras: Mapping[str, KnownCamera]) -> dict[str, int]:
    return {name: index for index, name in enumerate(sorted(cameras), 1)}


def known_reconstruction(cameras: Mapping[str, KnownCamera], ids: Mapping[str, int]) -> Any:
    """A COLMAP model of the cameras alone, one for each image."""
    import pycolmap

    model = pycolmap.Reconstruction()
    for name, camera in cameras.items():
        model.add_camera_with_trivial_rig(colmap_camera(camera, ids[name]))
        image = pycolmap.Image(name=name, camera_id=ids[name], image_id=ids[name])
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(camera.cam_from_world))
    return model


def colmap_camera(camera: KnownCamera, camera_id: int) -> Any:
    import pycolmap

    K, (w, h) = camera.K, camera.size_wh
    params = [K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5]
    return pycolmap.Camera(
        model="PINHOLE",
        width=w,
        height=h,
        params=params,
        camera_id=camera_id,
        has_prior_focal_length=True,
    )


def _map(model: Any, counts: Mapping[str, int]) -> Map:
    index = {point_id: i for i, point_id in enumerate(sorted(model.points3D))}
    rows = {name: np.full(count, -1, np.int64) for name, count in counts.items()}
    for image in model.images.values():
        for row, point in enumerate(image.points2D):
            if point.has_point3D():
                rows[image.name][row] = index[point.point3D_id]
    return Map(np.array([model.points3D[point_id].xyz for point_id in index]), rows)


def leave_out_folds(names: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """Every choice of `count` names, in order."""
    if not 1 <= count <= len(names) - 2:
        raise InputError(
            f"{count} of {len(names)} images left out, expected 1 to {len(names) - 2}: a map needs two"
        )
    return list(combinations(names, count))
