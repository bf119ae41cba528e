"""Models made of known poses, as COLMAP would hold them, and databases that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
from synthetic_sfm import FOCAL, SIZE_WH, Scene

from dift_geo.colmap.filling import Stores, fill_database


def database_of(scene: Scene, path: Path) -> Path:
    """The database of a scene, with verified pairs."""
    fill_database(path, scene.images, Stores(scene.features, scene.matches, scene.pairs))
    return path


def model_of(
    poses: Mapping[str, np.ndarray], xyz: np.ndarray | None = None, focal: float = FOCAL
) -> pycolmap.Reconstruction:
    """A model of exact cameras in the order of their names, and of points that all of them see."""
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", focal, *SIZE_WH)
    model.add_camera_with_trivial_rig(camera)
    points = np.zeros((0, 3)) if xyz is None else xyz
    for number, (name, pose) in enumerate(sorted(poses.items()), 1):
        image = pycolmap.Image(name=name, camera_id=1, image_id=number)
        seen = points @ pose[:, :3].T + pose[:, 3]
        xy = focal * seen[:, :2] / seen[:, 2:] + np.array(SIZE_WH) / 2
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(place) for place in xy])
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pose))
    for index, place in enumerate(points):
        track = pycolmap.Track()
        for number in range(1, len(poses) + 1):
            track.add_element(number, index)
        model.add_point3D(place, track)
    return model
