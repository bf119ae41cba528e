"""Made-up cameras that look at one cloud of points, and features whose matches are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dift_geo.benchmark.methods import Prepared
from dift_geo.types import Features, Keypoints, Matches

SIZE_WH = (640, 480)
K = np.array([[600.0, 0, 319.5], [0, 610, 239.5], [0, 0, 1]])


def camera(index: int) -> np.ndarray:
    """cam_from_world of a camera on an arc around the points."""
    R = Rotation.from_euler("yx", [8 * index, 2 * index], degrees=True).as_matrix()
    return np.column_stack([R, [0.2 * index, -0.1, 8.0]])


def seen(index: int, count: int = 120) -> np.ndarray:
    """Pixels of the points in camera `index`, in an image of `SIZE_WH`."""
    points = np.random.default_rng(3).uniform(-2, 2, (count, 3))
    pose = camera(index)
    rays = (points @ pose[:, :3].T + pose[:, 3]) @ K.T
    return rays[:, :2] / rays[:, 2:]


def cameras_text(names: dict[str, int], K=K, size_wh=SIZE_WH) -> str:
    """As cameras_gt.txt. names: of a photo -> index of its camera."""
    lines = ["# name width height fx fy cx cy  cam_from_world"]
    for name, index in names.items():
        numbers = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], *camera(index).ravel()]
        words = " ".join(map(repr, map(float, numbers)))
        lines.append(f"{name} {size_wh[0]} {size_wh[1]} {words}")
    return "\n".join(lines) + "\n"


def relative(first: int, second: int) -> np.ndarray:
    """(4, 4) cam1_from_cam0, by matrices alone."""
    whole = [np.vstack([camera(i), [0, 0, 0, 1]]) for i in (first, second)]
    return whole[1] @ np.linalg.inv(whole[0])


class Perfect:
    """A method that finds every point in each photo, and `wrong` matches of a pair besides.

    The camera of a photo is the number in its name.
    """

    def __init__(self, name: str = "perfect", wrong: int = 0, size_wh=SIZE_WH) -> None:
        self.name, self.wrong, self.size_wh = name, wrong, size_wh

    def prepare(self, photos, cache, device):
        return Prepared(self.name, self, {}, lambda pairs: _Same(self.wrong), dict)

    def __getitem__(self, name: str) -> Features:
        index = int("".join(c for c in Path(name).stem if c.isdigit()))
        factor = np.divide(self.size_wh, SIZE_WH)
        xy = (seen(index) + 0.5) * factor - 0.5
        keypoints = Keypoints(xy, np.ones(len(xy)), self.size_wh)
        return Features(keypoints, np.zeros((len(xy), 4)))


class _Same:
    """Point i with point i, but for the first `wrong`, which are turned round."""

    def __init__(self, wrong: int) -> None:
        self.wrong = wrong

    def __getitem__(self, pair) -> Matches:
        rows = np.arange(120)
        other = rows.copy()
        other[: self.wrong] = rows[: self.wrong][::-1]
        return Matches(np.column_stack([rows, other]), np.ones(120))
