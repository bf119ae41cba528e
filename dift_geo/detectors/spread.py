"""Which of many keypoints are kept so that they cover the picture. Knows positions alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cover", "rank_within"]

PER_CELL = 8  # keypoints that a cell of the grid would hold if all were spread evenly


def cover(xy: NDArray[np.floating], size_wh: tuple[int, int], count: int) -> NDArray[np.int64]:
    """Rows to keep, ascending: `count` of them, or all where there are no more.

    The picture is cut into square cells, which give their strongest keypoint in turn until there
    are enough: cells of rich texture give what poor ones cannot. In the last turn the strongest
    count.

    xy: (N, 2) positions in pixels, strongest first.
    size_wh: of the picture in pixels.
    """
    if len(xy) <= count:
        return np.arange(len(xy))
    w, h = size_wh
    side = np.sqrt(w * h * PER_CELL / max(count, 1))
    columns = int(np.ceil(w / side))
    x, y = (np.asarray(xy, np.float64) / side).astype(np.int64).T
    turn = rank_within(y * columns + x)
    return np.sort(np.argsort(turn, kind="stable")[:count])


def rank_within(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row, how many rows of the same group stand before it."""
    _, group = np.unique(groups, return_inverse=True)
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group)
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank
