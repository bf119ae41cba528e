"""Lists of pairs as text, with intrinsics and relative poses: SuperGlue's and glue-factory's.

Knows no features and no scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.benchmark.relative_pose.data import PosedPair, PosedPairs, View, scenes_of
from dift_geo.benchmark.relative_pose.scenes import pairs_of_cameras
from dift_geo.colmap.cameras import KnownCamera
from dift_geo.colmap.posed import intrinsics_matrix
from dift_geo.errors import InputError
from dift_geo.frames import from_colmap

__all__ = ["read_pair_list", "read_views"]

Float64 = NDArray[np.float64]
SUPERGLUE = 38  # words: 2 names, 2 turns, 9 + 9 of K, 16 of the pose
GLUEFACTORY = (32, 36)  # without the turns; 12 or 16 of the pose
VIEW = (
    15  # words before the parameters of the camera: name, 9 + 3 of the pose, model, width, height
)


def read_pair_list(root: Path, path: Path) -> PosedPairs:
    """The pairs of a text file, each line of which holds all about one.

    SuperGlue's (`*_pairs_with_gt.txt`): `name0 name1 turn0 turn1 K0 K1 T_0to1` with 9, 9 and 16
    numbers; pixels begin at the centre of the top-left one. Pairs with a photo that SuperGlue turns
    by quarters first, a turn other than 0, are left out: photos are taken as their files have them.
    glue-factory's (`pairs_calibrated.txt`): `name0 name1 K0 K1 R t`, 9, 9, 9 and 3 numbers or a
    pose of 16, in COLMAP's pixels.

    root: what the names of the photos are relative to. Raises InputError naming the line that does
    not fit.
    """
    rows = list(_rows(path))
    scenes = scenes_of(chain.from_iterable(words[:2] for _, words in rows))
    pairs = []
    turned = 0
    for place, words in rows:
        if len(words) not in (SUPERGLUE, *GLUEFACTORY):
            raise InputError(
                f"{place} has {len(words)} words, expected {SUPERGLUE} as SuperGlue writes or "
                f"{' or '.join(map(str, GLUEFACTORY))} as glue-factory does"
            )
        of_superglue = len(words) == SUPERGLUE
        numbers = _numbers(place, words[2:])
        if of_superglue:
            turns, numbers = numbers[:2], numbers[2:]
            if turns.any():
                turned += 1
                continue
        view0 = View(words[0], _intrinsics(numbers[:9], shift=not of_superglue))
        view1 = View(words[1], _intrinsics(numbers[9:18], shift=not of_superglue))
        pairs.append(PosedPair(scenes[words[0]], view0, view1, _pose(numbers[18:])))
    problems = (
        [f"{turned} pairs of {path.name} have a photo that has to be turned first; left out"]
        if turned
        else []
    )
    return PosedPairs(root, f"pairs of {path.name}", tuple(pairs), tuple(problems))


def read_views(root: Path) -> PosedPairs | None:
    """glue-factory's folders: `views.txt`, `pairs.txt` and `images/`, of one scene or of several.

    A line of the first is `name R t MODEL width height params...` in COLMAP's terms, one of the
    second `name0 name1`. Below `images`, the first folder is the scene, as for lists. None where
    there are no such files.
    """
    found = [root] if _has_views(root) else sorted(p for p in root.iterdir() if _has_views(p))
    if not found:
        return None
    pairs: list[PosedPair] = []
    for folder in found:
        cameras = dict(_view(place, words) for place, words in _rows(folder / "views.txt"))
        named = []
        for place, words in _rows(folder / "pairs.txt"):
            if len(words) < 2 or not cameras.keys() >= set(words[:2]):
                raise InputError(f"{place} names {words[:2]}, expected two names of views.txt")
            named.append((words[0], words[1]))
        own = (folder.relative_to(root) / "images").as_posix()
        scenes = scenes_of(cameras)
        for a, b in named:
            scene = scenes[a] if "/" in a else folder.resolve().name
            pairs += pairs_of_cameras(scene, own, cameras, [(a, b)])
    return PosedPairs(root, "pairs and views of glue-factory", tuple(pairs))


def _has_views(folder: Path) -> bool:
    return (folder / "views.txt").is_file() and (folder / "pairs.txt").is_file()


def _view(place: str, words: list[str]) -> tuple[str, KnownCamera]:
    """Name and camera of a line of views.txt."""
    if len(words) <= VIEW:
        raise InputError(
            f"{place} has {len(words)} words, expected `name R t MODEL width height params...`"
        )
    pose = _numbers(place, words[1:13])
    size_wh, params = _numbers(place, words[14:16]).astype(int), _numbers(place, words[16:])
    size = (int(size_wh[0]), int(size_wh[1]))
    K = intrinsics_matrix(words[13], size, params.tolist(), place)
    return words[0], KnownCamera(size, K, _pose(pose))


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(file and number, words) of all lines but blank ones and comments."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if words and not line.startswith("#"):
            yield f"{path}:{number}", words


def _numbers(place: str, words: list[str]) -> Float64:
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise InputError(f"{place} holds a word where a number should be: {error}") from None
    if not np.isfinite(numbers).all():
        raise InputError(f"{place} holds NaN or infinity, expected finite numbers")
    return numbers


def _intrinsics(numbers: Float64, *, shift: bool) -> Float64:
    """shift: whether they are for COLMAP's pixels."""
    K = numbers.reshape(3, 3).copy()
    if shift:
        K[:2, 2] = from_colmap(K[:2, 2])
    return K


def _pose(numbers: Float64) -> Float64:
    """(3, 4) of R and t one after the other, or of a (4, 4) matrix."""
    if len(numbers) == 12:
        return np.column_stack([numbers[:9].reshape(3, 3), numbers[9:]])
    return numbers.reshape(4, 4)[:3]
