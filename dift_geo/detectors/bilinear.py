"""Reading a map between its pixels, for detectors whose networks read so.

A place is given in pixels of the map, (0, 0) at the centre of the first. Reading is a weighted bag
of four rows, which torch adds up several times faster than `grid_sample` reads. Knows no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PixelRows", "four_around"]


@dataclass(frozen=True)
class PixelRows:
    """A map as one row a pixel, line by line.

    rows: (height * width, C).
    width, height: of the map in pixels.
    """

    rows: Tensor
    width: int
    height: int

    @classmethod
    def of(cls, values: Tensor) -> PixelRows:
        """The rows of a (1, C, height, width) map; without a copy where channels come last."""
        _, channels, height, width = values.shape
        rows = values[0].permute(1, 2, 0).reshape(-1, channels).contiguous()
        return cls(rows, width, height)

    def at(self, xy: Tensor) -> Tensor:
        """Bilinear reading at (N, 2) places -> (N, C). Outside of the map is zero."""
        x, y, weights = four_around(xy, self.width, self.height)
        return F.embedding_bag(
            y * self.width + x, self.rows, per_sample_weights=weights, mode="sum"
        )


def four_around(xy: Tensor, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels that bilinear reading takes and what each counts.

    xy: (N, 2) places.
    Returns x and y of pixels inside the map, (N, 4) int64 each, and (N, 4) weights, which are zero
    for pixels that were outside.
    """
    x0, x1, left, right = _two_around(xy[:, 0], width)
    y0, y1, above, below = _two_around(xy[:, 1], height)
    weights = (left * above, right * above, left * below, right * below)
    return (
        torch.stack((x0, x1, x0, x1), 1),
        torch.stack((y0, y0, y1, y1), 1),
        torch.stack(weights, 1),
    )


def _two_around(place: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same along one axis: both pixels and both weights."""
    before = place.floor()
    after = before + 1
    share = place - before  # of the pixel after, from 0 to 1
    last = side - 1
    here = (1 - share) * ((before >= 0) & (before <= last))
    there = share * ((after >= 0) & (after <= last))
    # clamped before they are integers: far away places do not fit one
    return before.clamp(0, last).long(), after.clamp(0, last).long(), here, there
