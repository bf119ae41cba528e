"""Carry points of one image to another by maps of features: for each point, the pixel of the other
image whose feature has the largest cosine.

Maps count as resized to the image's own resolution (bilinear, borders aligned), as DIFT's released
script does with `nn.Upsample`; but no map of that size with all its channels is ever made. Cosines
divide an interpolated product by an interpolated length, and both are sums over the four cells
around a pixel: the products of a point's row with every cell, and the products of neighbouring
cells, say all of it. Knows tensors, and neither models nor files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dift_geo.errors import InputError

__all__ = ["SoftArgmax", "best_pixels", "cosine_maps"]

AT_ONCE = 1 << 24  # numbers in the cosine maps that are held at a time


@dataclass(frozen=True)
class SoftArgmax:
    """The mean place around the best pixel, weighted by similarity (GeoAware-SC, CVPR 2024).

    cells: pixels up to so many cells of the map away from the best one count, along each axis.
    temperature: weights are exp(cosine / temperature).
    """

    cells: float = 7.0
    temperature: float = 0.02

    def __post_init__(self) -> None:
        if not self.cells > 0 or not self.temperature > 0:
            raise InputError(
                f"cells and temperature are {self.cells} and {self.temperature}, "
                "expected numbers above 0"
            )


def best_pixels(
    rows: Tensor, values: Tensor, size_wh: tuple[int, int], soft: SoftArgmax | None = None
) -> Tensor:
    """(K, 2) float32 pixels (x, y) of an image whose feature is most like each row.

    rows: (K, C), of any length; cosine is what counts.
    values: (C, h, w), the map of the image.
    size_wh: of the image in pixels.
    soft: the weighted mean around that pixel instead; None gives whole pixels.
    Raises InputError where rows and map have other numbers of channels.
    """
    w, h = size_wh
    found = [rows.new_zeros((0, 2))]
    lengths = _lengths(values, size_wh)
    at_once = max(1, AT_ONCE // (w * h))
    for part in rows.split(at_once):
        cosines = _products(part, values, size_wh) / lengths  # (k, H, W)
        best = cosines.flatten(1).argmax(1)
        xy = torch.stack([best % w, best.div(w, rounding_mode="floor")], 1).float()
        found.append(xy if soft is None else _softened(cosines, xy, values, soft))
    return torch.cat(found)


def cosine_maps(rows: Tensor, values: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """(K, H, W): the cosine of each row of (K, C) with every pixel of the image of a (C, h, w)
    map.
    """
    return _products(rows, values, size_wh) / _lengths(values, size_wh)


def _products(rows: Tensor, values: Tensor, size_wh: tuple[int, int]) -> Tensor:
    if rows.ndim != 2 or values.ndim != 3 or rows.shape[1] != len(values):
        raise InputError(
            f"rows and map have shapes {tuple(rows.shape)} and {tuple(values.shape)}, "
            "expected (K, C) and (C, h, w)"
        )
    cells = torch.einsum("kc,chw->khw", F.normalize(rows), values)
    w, h = size_wh
    resized = F.interpolate(cells[:, None], (h, w), mode="bilinear", align_corners=False)
    return resized[:, 0]


def _lengths(values: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """(H, W): the length of the interpolated feature at every pixel, at least 1e-12."""
    y0, y1, down = _places(values.shape[1], size_wh[1], values)
    x0, x1, right = _places(values.shape[2], size_wh[0], values)
    below = torch.cat([values[:, 1:], values[:, -1:]], 1)
    beside = torch.cat([values[:, :, 1:], values[:, :, -1:]], 2)
    across = torch.cat([below[:, :, 1:], below[:, :, -1:]], 2)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(0)  # (h, w)

    own, along_x, along_y = dot(values, values), dot(values, beside), dot(values, below)
    falling, rising = dot(values, across), dot(beside, below)
    top, bottom = (1 - down)[:, None], down[:, None]
    left, here = (1 - right)[None], right[None]

    def at(cells: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return cells[y][:, x]  # (H, W)

    squared = (
        (top * left) ** 2 * at(own, y0, x0)
        + (top * here) ** 2 * at(own, y0, x1)
        + (bottom * left) ** 2 * at(own, y1, x0)
        + (bottom * here) ** 2 * at(own, y1, x1)
        + 2 * left * here * (top**2 * at(along_x, y0, x0) + bottom**2 * at(along_x, y1, x0))
        + 2 * top * bottom * (left**2 * at(along_y, y0, x0) + here**2 * at(along_y, y0, x1))
        + 2 * top * bottom * left * here * (at(falling, y0, x0) + at(rising, y0, x0))
    )
    return squared.clamp(min=1e-24).sqrt()


def _places(cells: int, pixels: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The two cells around each pixel along an axis, and how far it is towards the second."""
    centres = torch.arange(pixels, dtype=torch.float32, device=like.device)
    place = ((2 * centres + 1) * (cells / pixels) - 1).clamp(min=0) / 2
    first = place.long().clamp(max=cells - 1)
    second = (first + 1).clamp(max=cells - 1)
    return first, second, (place - first).to(like)


def _softened(cosines: Tensor, best: Tensor, values: Tensor, soft: SoftArgmax) -> Tensor:
    _, h, w = cosines.shape
    y = torch.arange(h, device=cosines.device)[None, :, None]
    x = torch.arange(w, device=cosines.device)[None, None]
    reach_x, reach_y = soft.cells * w / values.shape[2], soft.cells * h / values.shape[1]
    near = ((x - best[:, 0, None, None]).abs() <= reach_x) & (
        (y - best[:, 1, None, None]).abs() <= reach_y
    )
    weights = (cosines / soft.temperature).masked_fill(~near, -torch.inf)
    weights = weights.flatten(1).softmax(1).reshape(cosines.shape)
    return torch.stack([(weights * x).sum((1, 2)), (weights * y).sum((1, 2))], 1)
