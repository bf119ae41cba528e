"""Readings by patches around keypoints: in the frame of each, or upright and of fixed sizes.

The oriented one is normalised for scale and rotation, which a map of the whole image cannot be; the
upright one is for keypoints that have neither. Knows neither the network nor the noise: what shows
images to them is an argument.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.config import Oriented, Upright
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.dift.patches import cut_views
from dift_geo.types import Keypoints

__all__ = ["read_oriented", "read_upright"]

Look = Callable[[Tensor], list[Tensor]]  # (B, 3, h, w) in [0, 1] -> (B, C, h, w) for each layer


def read_oriented(
    look: Look,
    reading: Oriented,
    max_batch: int,
    image: NDArray[np.uint8],
    keypoints: Keypoints,
) -> NDArray[np.float32]:
    """(N, D) float32: the mean over all views of a keypoint, each layer at unit length, side by
    side.

    look: images -> features of every layer.
    max_batch: patches shown at once.
    image: (H, W, 3) uint8 RGB.
    keypoints: in its frame, with scale and angle.
    """
    if not len(keypoints):
        return np.zeros((0, _width(look, reading)), np.float32)
    tilts = (reading.tilt, 1 / reading.tilt) if reading.tilt > 1 else (1.0,)
    views = itertools.product(reading.extents, tilts)
    total: list[Tensor] = []
    for patches in cut_views(image, keypoints, reading.patch_px, views):
        for start in range(0, len(patches), max_batch):
            layers = _rows(look(_rgb(patches[start : start + max_batch])), reading)
            if not total:
                total = [rows.new_zeros(len(keypoints), rows.shape[1]) for rows in layers]
            for rows_of_all, rows in zip(total, layers):
                rows_of_all[start : start + max_batch] += rows
    return torch.cat([F.normalize(part) for part in total], 1).cpu().numpy()


def read_upright(
    look: Look,
    reading: Upright,
    max_batch: int,
    image: NDArray[np.uint8],
    keypoints: Keypoints,
) -> NDArray[np.float32]:
    """As `read_oriented`, by patches of fixed sizes; scale and angle of keypoints do not enter."""
    n = len(keypoints)
    one_px = Keypoints(
        keypoints.xy,
        keypoints.scores,
        keypoints.size_wh,
        np.ones(n, np.float32),
        np.zeros(n, np.float32),
    )
    alike = Oriented(
        patch_px=reading.patch_px, extents=reading.radii_px, tilt=reading.tilt, grid=reading.grid
    )
    return read_oriented(look, alike, max_batch, image, one_px)


def _width(look: Look, reading: Oriented) -> int:
    """Numbers in a descriptor: only the network knows its channels and cells, so it is shown one
    grey patch.
    """
    grey = torch.full((1, 1, reading.patch_px, reading.patch_px), 0.5)
    return sum(rows.shape[1] for rows in _rows(look(_rgb(grey)), reading))


def _rgb(patches: Tensor) -> Tensor:
    """One channel shown three times, without copying."""
    return patches.expand(-1, 3, -1, -1)


def _rows(maps: list[Tensor], reading: Oriented) -> list[Tensor]:
    """Maps of patches, (N, C, h, w) for each layer -> (N, D) for each, not yet of unit length."""
    if reading.grid == 1:
        return [_centres(values, reading.patch_px) for values in maps]
    return [_cells(values, reading.grid) for values in maps]


def _centres(values: Tensor, patch_px: int) -> Tensor:
    """(N, C, h, w) -> (N, C), read at the middle of each patch."""
    middle = torch.full((1, 2), (patch_px - 1) / 2)
    return torch.stack([FeatureMap(one, (patch_px, patch_px)).sample(middle)[0] for one in values])


def _cells(values: Tensor, grid: int) -> Tensor:
    """(N, C, h, w) -> (N, C * cells), averaged over `grid` x `grid` cells where there are more."""
    side = values.shape[-1]
    if side > grid:
        values = values.flatten(2) @ _averages(side, grid).to(values)
    return values.flatten(1)


def _averages(side: int, grid: int) -> Tensor:
    """(side * side, grid * grid): what `adaptive_avg_pool2d` multiplies by, without its loops."""
    axis = torch.zeros(side, grid)
    for cell in range(grid):
        first, behind = cell * side // grid, -(-(cell + 1) * side // grid)
        axis[first:behind, cell] = 1 / (behind - first)
    return torch.kron(axis, axis)
