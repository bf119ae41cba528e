"""Which images are nearest to each: by place on the earth, by the poses of cameras.

Knows numbers only, not where they come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dift_geo.pairs.ranked import Ranking, rank_scores

__all__ = ["rank_places", "rank_poses"]

EARTH_M = 6_371_000.0  # mean radius
MOST_TURN_DEG = 90.0  # between viewing directions of cameras that may see the same


def rank_places(places: Mapping[str, tuple[float, float]], count: int) -> Ranking:
    """The `count` nearest of each image by great circle.

    places: latitude and longitude in degrees, by image name.
    """
    names = list(places)
    latitude, longitude = np.radians(np.array([places[name] for name in names]).reshape(-1, 2)).T
    east, north = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude)
    points = EARTH_M * np.stack([east, north, np.sin(latitude)], 1)
    return rank_scores(_nearness(names, points), names, count)


def rank_poses(poses: Mapping[str, NDArray[np.float64]], count: int) -> Ranking:
    """The `count` nearest of each camera among those that look less than 90 degrees elsewhere.

    poses: cam_from_world (3, 4), by image name.
    """
    names = list(poses)
    matrices = np.array([poses[name] for name in names], np.float64).reshape(-1, 3, 4)
    turns, moves = matrices[:, :, :3], matrices[:, :, 3]
    centres = -np.einsum("nij,ni->nj", turns, moves)
    axes = turns[:, 2]  # the viewing direction in the world
    least = np.cos(np.radians(MOST_TURN_DEG))

    def rows() -> Iterator[tuple[str, NDArray]]:
        for (name, near), axis in zip(_nearness(names, centres), axes):
            yield name, np.where(axes @ axis > least, near, -np.inf)

    return rank_scores(rows(), names, count)


def _nearness(names: Sequence[str], points: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Each image with minus its squared distance from every point; memory grows with their number
    alone.
    """
    for name, point in zip(names, points):
        yield name, -((points - point) ** 2).sum(1)
