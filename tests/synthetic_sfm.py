"""A scene of known cameras and points, as the stores the road would have written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.images import write_image
from dift_geo.pairs.lists import exhaustive_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints, Matches

SIZE_WH = (640, 480)
FOCAL = 600.0


@dataclass(frozen=True)
class Scene:
    """Folder of (blank) images, stores, pairs, and cam_from_world (3, 4) by image name."""

    images: Path
    features: Path
    matches: Path
    pairs: list[tuple[str, str]]
    poses: dict[str, NDArray[np.float64]]


def look_at(centre: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """cam_from_world (3, 4) of a camera at `centre` that looks at `target`, y down."""
    forward = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(forward, [0.0, -1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return np.concatenate([rotation, -rotation @ centre[:, None]], 1)


def make_scene(
    folder: Path, views: int = 5, points: int = 150, wrong: int = 15, seed: int = 0
) -> Scene:
    """Random points before cameras on an arc; keypoints are exact projections, matches are true but
    `wrong` of each pair.
    """
    random = np.random.default_rng(seed)
    xyz = random.uniform([-2, -1.5, -1], [2, 1.5, 1], (points, 3))
    images = folder / "images"
    images.mkdir(parents=True)
    poses = {}
    with FeatureStore(folder / "features.h5", {"scene": seed}) as store:
        for index, angle in enumerate(np.linspace(-0.5, 0.5, views)):
            name = f"view {index}.png"  # a space, on purpose
            centre = 7 * np.array([np.sin(angle), -0.1 * index, -np.cos(angle)])
            pose = poses[name] = look_at(centre, np.zeros(3))
            camera = xyz @ pose[:, :3].T + pose[:, 3]
            # COLMAP's principal point; our frame has it half a pixel less
            corner = np.array(SIZE_WH) / 2
            xy = FOCAL * camera[:, :2] / camera[:, 2:] + corner - 0.5
            write_image(images / name, np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8))
            store[name] = Features(Keypoints(xy, np.ones(points), SIZE_WH), np.eye(points, 160))
        store.merge()
    pairs = exhaustive_pairs(sorted(poses))
    with MatchStore(folder / "matches.h5", {"scene": seed}) as store:
        for pair in pairs:
            index = np.arange(points)
            mistaken = random.permutation(points)[:wrong]
            index[mistaken] = np.roll(index[mistaken], 1)
            store.put(
                pair, Matches(np.stack([np.arange(points), index], 1), np.ones(points)), points
            )
        store.merge()
    return Scene(images, folder / "features.h5", folder / "matches.h5", pairs, poses)


def pose_errors_deg(model, poses: dict[str, NDArray[np.float64]]) -> list[float]:  # type: ignore[no-untyped-def]
    """Rotation and direction error, whichever is larger, of every pair of registered images, in
    degrees.
    """
    found = {
        image.name: np.asarray(image.cam_from_world().matrix())
        for image in model.images.values()
        if image.has_pose
    }
    errors = []
    for name0, name1 in exhaustive_pairs(sorted(found)):
        (R_found, t_found), (R_true, t_true) = (
            _relative(p[name0], p[name1]) for p in (found, poses)
        )
        turn = np.arccos(np.clip((np.trace(R_found @ R_true.T) - 1) / 2, -1, 1))
        cosine = t_found @ t_true / np.linalg.norm(t_found) / np.linalg.norm(t_true)
        errors.append(float(np.rad2deg(max(turn, np.arccos(np.clip(cosine, -1, 1))))))
    return errors


def _relative(cam0_from_world: NDArray, cam1_from_world: NDArray) -> tuple[NDArray, NDArray]:
    R_1_from_0 = cam1_from_world[:, :3] @ cam0_from_world[:, :3].T
    return R_1_from_0, cam1_from_world[:, 3] - R_1_from_0 @ cam0_from_world[:, 3]
