"""The test lists of LoFTR as numpy archives: MegaDepth-1500 and ScanNet-1500.

Knows no features and no scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.relative_pose.data import PosedPair, PosedPairs, View, scenes_of
from dift_geo.benchmark.relative_pose.npz import npz_names, read_npz
from dift_geo.errors import InputError, MissingFileError
from dift_geo.frames import from_colmap
from dift_geo.geometry.pose import relative_pose

__all__ = ["read_megadepth", "read_scannet"]

Archive = Mapping[str, NDArray]
Float64 = NDArray[np.float64]
MEGADEPTH = "megadepth_test_1500_scene_info"
SCENE_INFO = ("image_paths", "intrinsics", "poses", "pair_infos")
SCANNET = "scannet_test_1500"
SCANNET_WH = (640, 480)  # of the photos that its intrinsics are for
SCENES = (".", "scans_test", SCANNET)  # where the scenes of ScanNet may lie


def read_megadepth(root: Path, lists: Path | None = None) -> PosedPairs | None:
    """MegaDepth-1500: archives with `image_paths`, `intrinsics`, `poses` and `pair_infos`.

    An element of `pair_infos` is ((i, j), overlap, ...); `poses` carry the world to the camera;
    intrinsics are in COLMAP's pixels, of the photos as they lie. Text files beside the archives
    choose among them by name.

    root: what `image_paths` are relative to.
    lists: folder of the archives, or one of them; default: the folder
        `megadepth_test_1500_scene_info` in `root`, or `root`.

    None where there are no such archives.
    """
    places = [root / MEGADEPTH, root] if lists is None else [lists]
    archives = next(filter(None, map(_scene_infos, places)), None)
    if archives is None:
        return None
    read = {path: read_npz(path, SCENE_INFO) for path in archives}
    paths = chain.from_iterable(own["image_paths"] for own in read.values())
    scenes = scenes_of(str(path) for path in paths if path is not None)
    pairs: list[PosedPair] = []
    for path, own in read.items():
        pairs += _pairs_of(path, own, scenes)
    return PosedPairs(root, f"{len(archives)} lists of LoFTR", tuple(pairs))


def read_scannet(root: Path, lists: Path | None = None) -> PosedPairs | None:
    """ScanNet-1500: `test.npz` and `intrinsics.npz`, photos `SCENE/color/N.jpg`.

    A row of `name` in the first is scene, scan and the numbers of two photos; the second holds the
    intrinsics of each scene, for photos of 640 x 480. Relative poses are `rel_pose` of the first,
    12 numbers each, or come from `SCENE/pose/N.txt`, which carry the camera to the world.

    root: where the scenes are, in a folder `scans_test` or `scannet_test_1500` or by themselves.
    lists: folder of the archives; default: the folder `scannet_test_1500` in `root`, or `root`.

    None where there are no such archives.
    """
    places = [root / SCANNET, root] if lists is None else [lists]
    folder = next(filter(_has_scannet, places), None)
    if folder is None:
        return None
    test = read_npz(folder / "test.npz", ("name", "rel_pose"))
    names = tuple(npz_names(folder / "intrinsics.npz"))
    intrinsics = read_npz(folder / "intrinsics.npz", names)
    rows = [(f"scene{int(a):04d}_{int(b):02d}", str(i), str(j)) for a, b, i, j in test["name"]]
    place = next((p for p in SCENES if rows and (root / p / rows[0][0]).is_dir()), ".")
    relative = test.get("rel_pose")
    pairs = []
    for number, (scene, i, j) in enumerate(rows):
        if scene not in intrinsics:
            raise InputError(f"{folder / 'intrinsics.npz'} has nothing of {scene}")
        below = (Path(place) / scene).as_posix()
        K = np.asarray(intrinsics[scene], np.float64).reshape(3, 3)
        view0, view1 = (View(f"{below}/color/{own}.jpg", K, SCANNET_WH) for own in (i, j))
        if relative is None:
            poses = [_scannet_pose(root / below / "pose" / f"{own}.txt") for own in (i, j)]
            between = relative_pose(*poses)
        else:
            between = np.asarray(relative[number], np.float64).reshape(-1, 4)[:3]
        pairs.append(PosedPair(scene, view0, view1, between))
    return PosedPairs(root, "test list of LoFTR, in pixels of 640 x 480", tuple(pairs))


def _scene_infos(place: Path) -> list[Path]:
    """The archives of a folder that hold pairs of photos, chosen by text files beside them."""
    if place.is_dir():
        archives = sorted(path for path in place.glob("*.npz") if _is_scene_info(path))
    else:
        return [place] if _is_scene_info(place) else []
    lines = chain.from_iterable(map(_lines, place.glob("*.txt")))
    named = {line.strip().removesuffix(".npz") for line in lines}
    chosen = [path for path in archives if path.stem in named]
    return chosen or archives


def _is_scene_info(path: Path) -> bool:
    return npz_names(path) >= set(SCENE_INFO)


def _has_scannet(folder: Path) -> bool:
    return npz_names(folder / "test.npz") >= {"name"} and (folder / "intrinsics.npz").is_file()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _pairs_of(path: Path, archive: Archive, scenes: Mapping[str, str]) -> list[PosedPair]:
    """The pairs of one archive of MegaDepth."""
    found = []
    for info in archive["pair_infos"]:
        ends = [int(end) for end in info[0]]
        names = [str(_known(path, archive, "image_paths", end)) for end in ends]
        view0, view1 = (
            View(name, _colmap_intrinsics(_known(path, archive, "intrinsics", end)))
            for name, end in zip(names, ends)
        )
        poses = [np.asarray(_known(path, archive, "poses", end), np.float64)[:3] for end in ends]
        found.append(PosedPair(scenes[names[0]], view0, view1, relative_pose(*poses)))
    return found


def _known(path: Path, archive: Archive, array: str, index: int) -> NDArray:
    """An element of an array, which has none for photos that were dropped."""
    value = archive[array][index] if index < len(archive[array]) else None
    if value is None:
        raise InputError(f"{path} pairs photo {index}, of which {array} has nothing")
    return np.asarray(value)


def _colmap_intrinsics(value: NDArray) -> Float64:
    K = np.asarray(value, np.float64).reshape(3, 3).copy()
    K[:2, 2] = from_colmap(K[:2, 2])
    return K


def _scannet_pose(path: Path) -> Float64:
    """cam_from_world, (3, 4), of a file with the (4, 4) that carries the camera to the world."""
    if not path.is_file():
        raise MissingFileError(f"no {path}; expected the poses of ScanNet beside its photos")
    try:
        world_from_cam = np.array(path.read_text(encoding="utf-8").split(), np.float64)
        return np.asarray(np.linalg.inv(world_from_cam.reshape(4, 4))[:3])
    except (ValueError, np.linalg.LinAlgError) as error:
        raise InputError(f"{path} is no pose of 4 x 4 numbers: {error}") from None
