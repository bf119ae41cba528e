"""A finished run as plain arrays: the model, the photos it saw, and what its pairs say to it.

Reads a database and a model and changes nothing of either. Knows no pictures and no pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.cameras import read_cameras
from dift_geo.colmap.mapping import cam_from_world
from dift_geo.colmap.pixels import scale_of
from dift_geo.colmap.posed import read_model
from dift_geo.colmap.uncertainty import Uncertainty, camera_uncertainties
from dift_geo.detectors.colmap_database import ColmapDatabase, read_database
from dift_geo.errors import InputError
from dift_geo.frames import from_colmap, to_colmap
from dift_geo.geometry.pose import relative_pose

if TYPE_CHECKING:
    import pycolmap

__all__ = ["AGREES_PX", "SeenModel", "SeenPair", "SeenPhoto", "read_poses", "read_seen"]

# from the epipolar line of a model's cameras: twice what the mapper lets in, and as that more in
# photos of over 1600 pixels a side
AGREES_PX = 4.0


@dataclass(frozen=True)
class SeenPhoto:
    """A photo of a run.

    name: below the folder of photos.
    size_wh: in pixels.
    focal_px: of its camera as the model has it, the mean of both; None where it is not registered.
    cam_from_world: (3, 4); None where it is not registered.
    xy: (N, 2) keypoints.
    point: (N,) rows of the model's points that they see; -1 for none.
    residual_px: (N,) distances from the projections of those points; NaN for none.
    """

    name: str
    size_wh: tuple[int, int]
    focal_px: float | None
    cam_from_world: NDArray[np.float64] | None
    xy: NDArray[np.float32]
    point: NDArray[np.int64]
    residual_px: NDArray[np.float64]


@dataclass(frozen=True)
class SeenPair:
    """Two photos that were matched.

    name0, name1: of the photos.
    pairs: (M, 2) matched keypoints.
    inliers: (M,) those that the verification of the two photos alone took for right.
    agree: (M,) those that lie within AGREES_PX of the lines that the model's cameras draw for them;
        None where one of the photos is not registered.
    """

    name0: str
    name1: str
    pairs: NDArray[np.int64]
    inliers: NDArray[np.bool_]
    agree: NDArray[np.bool_] | None

    @property
    def agreement(self) -> float | None:
        """The share of the inliers that agree with the model; None where nothing can be said."""
        if self.agree is None or not self.inliers.any():
            return None
        return float(self.agree[self.inliers].mean())


@dataclass(frozen=True)
class SeenModel:
    """A run's model and what it was made of.

    xyz: (P, 3) points.
    rgb: (P, 3) uint8, their colours.
    track: (P,) how many photos see each.
    photos: all that the database names, registered or not, by name.
    pairs: all that have matches.
    uncertainty: of the cameras by the name of their photo, where it can be computed.
    """

    xyz: NDArray[np.float64]
    rgb: NDArray[np.uint8]
    track: NDArray[np.int64]
    photos: dict[str, SeenPhoto]
    pairs: list[SeenPair]
    uncertainty: Mapping[str, Uncertainty]


def read_poses(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """Poses (3, 4) by image name: of a COLMAP model's folder, or of a text as `read_cameras` takes.

    Raises MissingFileError where there is no file and InputError for what is neither.
    """
    if Path(path).is_dir():
        return cam_from_world(read_model(Path(path)))
    return {name: camera.cam_from_world for name, camera in read_cameras(path).items()}


def read_seen(database: str | Path, model: str | Path) -> SeenModel:
    """The database and the folder of the model of one run.

    Raises MissingFileError, InputError and StoreError for what is not there or damaged.
    """
    found = read_model(Path(model))
    points = _Points.of(found)
    registered = {image.name: image for image in found.images.values() if image.has_pose}
    cameras = {name: found.cameras[image.camera_id] for name, image in registered.items()}
    with read_database(database) as opened:
        ids = opened.image_ids()
        photos = {
            name: _photo(opened, name, image_id, registered.get(name), points, cameras)
            for name, image_id in sorted(ids.items())
        }
        names = {image_id: name for name, image_id in ids.items()}
        pairs = [
            _pair(opened, (id0, id1), (photos[names[id0]], photos[names[id1]]), cameras)
            for id0, id1 in opened.pairs()
            if id0 in names and id1 in names
        ]
    matched = [pair for pair in pairs if len(pair.pairs)]
    uncertainty = camera_uncertainties(found)
    return SeenModel(points.xyz, points.rgb, points.track, photos, matched, uncertainty)


@dataclass(frozen=True)
class _Points:
    """The points of a model in order of COLMAP's numbers, and which number is in which row."""

    xyz: NDArray[np.float64]
    rgb: NDArray[np.uint8]
    track: NDArray[np.int64]
    row_of: dict[int, int]

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> _Points:
        points = sorted(model.points3D.items())
        return cls(
            np.array([point.xyz for _, point in points], np.float64).reshape(-1, 3),
            np.array([point.color for _, point in points], np.uint8).reshape(-1, 3),
            np.array([point.track.length() for _, point in points], np.int64),
            {point_id: row for row, (point_id, _) in enumerate(points)},
        )


def _photo(
    database: ColmapDatabase,
    name: str,
    image_id: int,
    image: pycolmap.Image | None,
    points: _Points,
    cameras: Mapping[str, pycolmap.Camera],
) -> SeenPhoto:
    rows = database.keypoints(image_id)
    corner_xy = np.zeros((0, 2), np.float32) if rows is None else np.ascontiguousarray(rows[:, :2])
    point = np.full(len(corner_xy), -1)
    residual_px = np.full(len(corner_xy), np.nan)
    size_wh, xy = database.size_wh(image_id), from_colmap(corner_xy)
    if image is None:
        return SeenPhoto(name, size_wh, None, None, xy, point, residual_px)
    if len(image.points2D) != len(xy):
        raise InputError(
            f"{database.path} has {len(xy)} keypoints of {name!r}, the model "
            f"{len(image.points2D)}; expected a database and a model of one run"
        )
    for index, seen in enumerate(image.points2D):
        if seen.has_point3D():
            point[index] = points.row_of[seen.point3D_id]
    camera, pose = cameras[name], np.asarray(image.cam_from_world().matrix())
    of_points = np.flatnonzero(point >= 0)
    before = points.xyz[point[of_points]] @ pose[:, :3].T + pose[:, 3]
    projected = np.asarray(camera.img_from_cam(before)).reshape(-1, 2)
    residual_px[of_points] = np.linalg.norm(projected - corner_xy[of_points], axis=1)
    focal_px = float(camera.mean_focal_length())
    return SeenPhoto(name, size_wh, focal_px, pose, xy, point, residual_px)


def _pair(
    database: ColmapDatabase,
    ids: tuple[int, int],
    photos: tuple[SeenPhoto, SeenPhoto],
    cameras: Mapping[str, pycolmap.Camera],
) -> SeenPair:
    pairs = database.matches(*ids).astype(np.int64)
    for side, photo in enumerate(photos):
        if len(pairs) and pairs[:, side].max() >= len(photo.xy):
            raise InputError(
                f"{database.path}: matches of {photos[0].name!r} and {photos[1].name!r} point "
                "beyond their keypoints; run again"
            )
    verified = {tuple(row) for row in database.inliers(*ids).tolist()}
    inliers = np.array([tuple(row) in verified for row in pairs.tolist()], bool)
    agree = _agree(pairs, photos, cameras)
    return SeenPair(photos[0].name, photos[1].name, pairs, inliers, agree)


def _agree(
    pairs: NDArray[np.int64],
    photos: tuple[SeenPhoto, SeenPhoto],
    cameras: Mapping[str, pycolmap.Camera],
) -> NDArray[np.bool_] | None:
    """(M,) whether matches lie by the epipolar lines of the model: Sampson's distance, in pixels.

    In the directions that the lenses saw, so that distortion does not count.
    """
    pose0, pose1 = (photo.cam_from_world for photo in photos)
    if pose0 is None or pose1 is None:
        return None
    cam1_from_cam0 = relative_pose(pose0, pose1)
    R, t = cam1_from_cam0[:, :3], cam1_from_cam0[:, 3]
    E = np.cross(np.eye(3), t) @ R
    rays = []
    for side, photo in enumerate(photos):
        xy = to_colmap(photo.xy[pairs[:, side]]).astype(np.float64)
        seen = np.asarray(cameras[photo.name].cam_from_img(xy)).reshape(-1, 2)
        rays.append(np.column_stack([seen, np.ones(len(seen))]))
    lines1, lines0 = rays[0] @ E.T, rays[1] @ E
    steep = np.sqrt((lines0[:, :2] ** 2).sum(1) + (lines1[:, :2] ** 2).sum(1))
    off = np.abs((rays[1] * lines1).sum(1)) / np.maximum(steep, 1e-12)
    lenses = [cameras[photo.name] for photo in photos]
    focal_px = np.mean([c.mean_focal_length() / scale_of(c.width, c.height) for c in lenses])
    return np.asarray(off * focal_px <= AGREES_PX, np.bool_)  # NaN does not
