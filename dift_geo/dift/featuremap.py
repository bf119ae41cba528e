"""A feature map over a whole image, and the package's only calls to `grid_sample`.

Descriptors half a cell off are the recurring bug of this field, so the grid convention lives here
once: cell (i, j) of a (C, h, w) map covers an equal share of the image, borders aligned
(`align_corners=False`). The paper's script reads elsewhere; `sample_as_published` repeats that, for
comparison with its numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dift_geo.errors import InputError

__all__ = ["FeatureMap", "grid_frames"]


@dataclass(frozen=True)
class FeatureMap:
    """A grid that spans an image, whatever the image's own resolution.

    values: (C, h, w).
    size_wh: (width, height) of the image in pixels.
    """

    values: Tensor
    size_wh: tuple[int, int]

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise InputError(
                f"FeatureMap.values has shape {tuple(self.values.shape)}, expected (C, h, w)"
            )

    def sample(self, xy: Tensor) -> Tensor:
        """Bilinear reading at pixels (x, y): (N, 2) -> (N, C). Beyond the outermost cell centres
        the border repeats.

        Exact on a map that is linear in x and y, wherever the four cells around a point exist.
        """
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise InputError(f"xy has shape {tuple(xy.shape)}, expected (N, 2)")
        grid = (2 * xy.to(self.values) + 1) / xy.new_tensor(self.size_wh).to(self.values) - 1
        return self.sample_grid(grid[None])[:, 0].T

    def sample_grid(self, grid: Tensor) -> Tensor:
        """`sample` at places given as (a, b, 2) from -1 to 1, border to border -> (C, a, b)."""
        return F.grid_sample(
            self.values[None], grid[None], padding_mode="border", align_corners=False
        )[0]

    def sample_as_published(self, xy: Tensor) -> Tensor:
        """Reading of DIFT's released HPatches script: (N, 2) -> (N, C).

        It scales (0, w - 1) to (-1, 1) but samples as if that were border to border, with zeros
        outside. So it reads exactly in the middle, half an image pixel off at the borders, and
        fades within half a cell of them.
        """
        half = (xy.new_tensor(self.size_wh).to(self.values) - 1) / 2
        # clamp: one-pixel images have no extent to divide by
        grid = (xy.to(self.values) - half) / half.clamp(min=0.5)
        sampled = F.grid_sample(
            self.values[None], grid[None, None], padding_mode="zeros", align_corners=False
        )
        return sampled[0, :, 0].T


def grid_frames(frames: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """Affine maps to pixels of an image of `size_wh`, (N, 2, 3) -> the same to the places that
    `FeatureMap.sample_grid` takes.
    """
    moved = frames.clone()
    moved[:, :, 2] += 0.5
    moved *= 2 / torch.tensor(size_wh)[:, None]
    moved[:, :, 2] -= 1
    return moved
