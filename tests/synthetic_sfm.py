"""A scene of known cameras and points, as the stores that extraction and matching would write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.images import write_image
from dift_geo.pairs.lists import exhaustive_pairs
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints, Matches, Pair

SIZE_WH = (640, 480)
FOCAL = 600.0


@dataclass(frozen=True)
class Scene:
    """A scene on disk.

    images: folder of (blank) images.
    features: features store.
    matches: matches store.
    pairs: names of the images.
    poses: cam_from_world (3, 4) by image name.
    """

    images: Path
    features: Path
    matches: Path
    pairs: list[Pair]
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
    """Random points before cameras on an arc; keypoints are exact projections.

    wrong: matches of each pair that are not true.
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
