"""A feature map over a whole image, and the only call to `grid_sample` in the house.

Descriptors half a cell off are the recurring bug of this field, so the grid convention lives here once:
cell (i, j) of a (C, h, w) map covers an equal share of the image, borders aligned (`align_corners=False`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

__all__ = ["FeatureMap"]


@dataclass(frozen=True)
class FeatureMap:
    """values: (C, h, w) grid that spans an image of `size_wh` pixels, whatever that image's own resolution."""

    values: Tensor
    size_wh: tuple[int, int]

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise ValueError(f"FeatureMap.values has shape {tuple(self.values.shape)}, expected (C, h, w)")

    def sample(self, xy: Tensor) -> Tensor:
        """Bilinear reading at pixels (x, y): (N, 2) -> (N, C). Beyond the outermost cell centres the border repeats.

        Exact on a map that is linear in x and y, wherever the four cells around a point exist.
        """
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise ValueError(f"xy has shape {tuple(xy.shape)}, expected (N, 2)")
        grid = (2 * xy.to(self.values) + 1) / xy.new_tensor(self.size_wh).to(self.values) - 1  # [-1, 1] border to border
        sampled = F.grid_sample(self.values[None], grid[None, None], padding_mode="border", align_corners=False)
        return sampled[0, :, 0].T
