"""Points of a person carried through a video, as heat maps on the cells of a frame: so videowalk
does it for JHMDB. Knows neither files nor scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.tasks import Propagation
from dift_geo.mapper import Mapper
from dift_geo.video.track import Tracker

__all__ = ["carried_joints", "heat_maps", "joints_of"]

Points = NDArray[np.float64]
SIGMA = 0.5  # cells
BEST = 3  # cells that a joint's place is the mean of


def heat_maps(xy: Points, size_wh: tuple[int, int], grid_hw: tuple[int, int]) -> Tensor:
    """(1 + J, h, w) float32: where no joint is, and a spot of four by four cells for each.

    xy: (J, 2) pixels of a frame of `size_wh`; those outside of it have empty maps.
    A place in cells is its pixel in proportion, without a half, and is cut off towards zero.
    """
    h, w = grid_hw
    maps = np.zeros((1 + len(xy), h, w), np.float32)
    along = np.exp(-((np.arange(4) - 2) ** 2) / (2 * SIGMA**2))
    spot = along[:, None] * along[None]
    for number, (x, y) in enumerate(xy * np.divide((w, h), size_wh), 1):
        left, top = int(x - 3 * SIGMA), int(y - 3 * SIGMA)
        right, bottom = int(x + 3 * SIGMA + 1), int(y + 3 * SIGMA + 1)
        if left >= w or top >= h or right < 0 or bottom < 0:
            continue
        rows, columns = slice(max(0, top), min(bottom, h)), slice(max(0, left), min(right, w))
        own = maps[number, rows, columns]
        above, before = max(0, -top), max(0, -left)
        own[:] = spot[above : above + own.shape[0], before : before + own.shape[1]]
    maps[0] = maps[1:].sum(0) == 0
    return torch.from_numpy(maps)


def joints_of(labels: Tensor, size_wh: tuple[int, int]) -> Points:
    """(J, 2) pixels of a frame of `size_wh`: the mean of the best three cells of each (1 + J, h, w)
    map but the first, NaN where a map is empty.
    """
    _, h, w = labels.shape
    maps = labels[1:].flatten(1).double()
    values, cells = maps.topk(min(BEST, maps.shape[1]), dim=1)
    rows = cells.div(w, rounding_mode="floor")
    places = torch.stack([cells - rows * w, rows], 2).double()
    mean = (places * values[:, :, None]).sum(1) / values.sum(1, keepdim=True)  # empty: 0 / 0
    return mean.numpy() * np.divide(size_wh, (w, h))


def carried_joints(
    frames: Iterable[tuple[str, NDArray[np.uint8]]],
    first: Points,
    mapper: Mapper,
    settings: Propagation | None = None,
) -> Iterator[Points]:
    """(J, 2) pixels in every frame, NaN for a joint that was lost.

    frames: name, which seeds noise, and (H, W, 3) uint8 RGB of each.
    first: (J, 2) pixels in the first of them.
    mapper: makes the features; one that looks at nothing leaves the joints where they are.
    settings: how heat maps are carried; None is `Mapper.of_joints`.
    """
    settings = settings or mapper.of_joints()
    side = settings.short_side
    tracker: Tracker | None = None
    for name, frame in frames:
        if mapper.still:
            yield first
            continue
        with torch.inference_mode():
            values = mapper.frame(np.asarray(cv2.resize(frame, (side, side)), np.uint8), name)
            size_wh = (frame.shape[1], frame.shape[0])
            if tracker is None:
                labels = heat_maps(first, size_wh, (values.shape[1], values.shape[2]))
                tracker = Tracker(values, labels, settings)
            else:
                labels = tracker.step(values)
            yield joints_of(labels, size_wh)
