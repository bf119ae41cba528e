"""Folders of scenes: photos with known cameras, of which every two are a pair.

A scene is a folder with `images/` and the truth: `cameras_gt.txt`, lines as
`colmap.cameras.read_cameras` reads them, or a COLMAP model. Knows no features and no scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from dift_geo.benchmark.relative_pose.data import PosedPair, PosedPairs, View
from dift_geo.colmap.cameras import KnownCamera, read_cameras
from dift_geo.colmap.posed import is_model, read_model_cameras
from dift_geo.errors import InputError
from dift_geo.geometry.pose import relative_pose

__all__ = ["is_scene", "pairs_of_cameras", "read_scenes"]

CAMERAS = "cameras_gt.txt"
MODELS = ("sparse", "sparse/0", "dense/sparse", "dense/sparse/0", "model")
IMAGES = ("images", "dense/images")


def read_scenes(root: Path) -> PosedPairs | None:
    """Every pair of photos of every scene in a folder, scenes and photos by name.

    The folder may be a scene itself. None where it holds no scene; raises InputError where the
    cameras of one cannot be read.
    """
    if is_scene(root):
        places = {root.resolve().name: root}
    else:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        places = {path.name: path for path in folders if is_scene(path)}
    if not places:
        return None
    pairs: list[PosedPair] = []
    problems = []
    for scene, folder in places.items():
        cameras = _cameras(folder)
        if len(cameras) < 2:
            problems.append(f"{scene}: {len(cameras)} known camera, expected at least 2")
        own = folder.relative_to(root) / _images(folder)
        pairs += pairs_of_cameras(scene, own.as_posix(), cameras)
    return PosedPairs(root, "every two known cameras of a scene", tuple(pairs), tuple(problems))


def is_scene(folder: Path) -> bool:
    """Whether a folder has photos and their cameras."""
    return _first(folder, IMAGES) is not None and (
        (folder / CAMERAS).is_file() or _model(folder) is not None
    )


def pairs_of_cameras(
    scene: str,
    folder: str,
    cameras: Mapping[str, KnownCamera],
    pairs: Sequence[tuple[str, str]] | None = None,
) -> list[PosedPair]:
    """Pairs of photos whose cameras are known.

    folder: of the photos, relative to that of the data.
    cameras: by name of the photo in that folder.
    pairs: names of two photos each; None takes every two.
    """
    views = {
        name: View(f"{folder}/{name}", camera.K, camera.size_wh) for name, camera in cameras.items()
    }
    found = []
    for a, b in combinations(sorted(cameras), 2) if pairs is None else pairs:
        between = relative_pose(cameras[a].cam_from_world, cameras[b].cam_from_world)
        found.append(PosedPair(scene, views[a], views[b], between))
    return found


def _cameras(folder: Path) -> Mapping[str, KnownCamera]:
    """The text file goes before the model, as it may hold better poses."""
    if (folder / CAMERAS).is_file():
        return read_cameras(folder / CAMERAS)
    model = _model(folder)
    if model is None:
        raise InputError(f"{folder} has neither {CAMERAS} nor a COLMAP model")
    return read_model_cameras(model)


def _images(folder: Path) -> str:
    return _first(folder, IMAGES) or IMAGES[0]


def _model(folder: Path) -> Path | None:
    return next((folder / place for place in MODELS if is_model(folder / place)), None)


def _first(folder: Path, places: Sequence[str]) -> str | None:
    return next((place for place in places if (folder / place).is_dir()), None)
