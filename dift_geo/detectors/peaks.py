"""From a map of scores to keypoints: its maxima, where between pixels they lie, and the strongest.

What learned detectors share. Knows no network.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.types import Keypoints

__all__ = [
    "centre_of_mass",
    "clear_border",
    "is_plain",
    "keypoints_of",
    "largest_around",
    "lone_maxima",
    "no_keypoints",
    "parabola_tops",
    "paraboloid_tops",
    "patches_at",
]


def is_plain(image: NDArray[np.uint8]) -> bool:
    """Whether all pixels of (H, W, 3) are equal: what a network finds there comes of the edges."""
    return bool((image == image[0, 0]).all())


def no_keypoints(size_wh: tuple[int, int]) -> Keypoints:
    """Those of an image in which there is nothing to find."""
    return Keypoints(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), size_wh)


def largest_around(scores: Tensor, radius: int) -> Tensor:
    """The largest score of each window of 2 * radius + 1 pixels, which edges cut off."""
    padded = F.pad(scores[None], [radius] * 4, value=float("-inf"))[0]
    side = 2 * radius + 1
    return _running_maxima(_running_maxima(padded, side, 0), side, 1)


def _running_maxima(values: Tensor, width: int, dim: int) -> Tensor:
    """The largest of each `width` neighbours, by runs that double: far cheaper than pooling."""
    length = 1
    while length < width:
        step = min(length, width - length)
        count = values.shape[dim] - step
        values = torch.maximum(values.narrow(dim, 0, count), values.narrow(dim, step, count))
        length += step
    return values


def lone_maxima(scores: Tensor, radius: int) -> Tensor:
    """Pixels above every other one of the window around them, (N, 2) (x, y).

    radius: of the window, which lies inside the map.
    Of equal maxima in one window none is taken, so that flat regions give none.
    """
    largest = clear_border(scores == largest_around(scores, radius), radius)
    pixels = largest.nonzero().flip(1)
    windows = patches_at(scores, pixels, radius).flatten(1)
    return pixels[(windows == windows.amax(1, keepdim=True)).sum(1) == 1]


def clear_border(mask: Tensor, border: int) -> Tensor:
    """The mask without the pixels along the edges."""
    height, width = mask.shape
    inside = torch.zeros_like(mask)
    rows, columns = slice(border, height - border), slice(border, width - border)
    inside[rows, columns] = mask[rows, columns]
    return inside


def patches_at(scores: Tensor, pixels: Tensor, radius: int) -> Tensor:
    """The scores around (N, 2) pixels (x, y) that lie at least `radius` inside: (N, side, side)."""
    steps = torch.arange(-radius, radius + 1, device=scores.device)
    x, y = pixels.unbind(1)
    return scores[y[:, None, None] + steps[:, None], x[:, None, None] + steps]


def centre_of_mass(patches: Tensor, temperature: float) -> Tensor:
    """Where between pixels the mass of (N, side, side) scores lies, from the middle: (N, 2) (x, y).

    temperature: a score lower by this much counts a factor of e less.
    """
    radius = patches.shape[1] // 2
    steps = torch.arange(-radius, radius + 1, device=patches.device).to(patches)
    mass = (patches / temperature).flatten(1).softmax(1).view_as(patches)
    return torch.stack((mass.sum(1) @ steps, mass.sum(2) @ steps), 1)


def parabola_tops(patches: Tensor) -> Tensor:
    """Where parabolas through the middle of (N, 3, 3) maxima and its neighbours along x and along y
    have their tops, from the middle: (N, 2) (x, y), at most half a pixel.
    """
    middle = patches[:, 1, 1, None]
    before = torch.stack((patches[:, 1, 0], patches[:, 0, 1]), 1)
    after = torch.stack((patches[:, 1, 2], patches[:, 2, 1]), 1)
    bend = 2 * middle - before - after  # positive at a maximum
    return (after - before) / (2 * bend)


def paraboloid_tops(patches: Tensor) -> Tensor:
    """Where the paraboloids that fit (N, side, side) values best have their tops, from the middle:
    (N, 2) (x, y).

    Least squares, weighted by a Gaussian of one pixel. 0 where the top is no maximum or lies
    outside.
    """
    radius = patches.shape[1] // 2
    steps = torch.arange(-radius, radius + 1).to(patches)
    y, x = (line.flatten() for line in torch.meshgrid(steps, steps, indexing="ij"))
    shapes = torch.stack([torch.ones_like(x), x, y, x * x / 2, x * y, y * y / 2], 1)
    weights = torch.exp(-(x * x + y * y) / 4)[:, None]  # roots: residuals are squared
    fit = torch.linalg.pinv((shapes * weights).cpu()).to(patches) * weights.T
    _, at_x, at_y, xx, xy, yy = (patches.flatten(1) @ fit.T).unbind(1)
    bend = xx * yy - xy * xy
    tops = torch.stack([xy * at_y - yy * at_x, xy * at_x - xx * at_y], 1) / bend[:, None]
    is_top = (bend > 0) & (xx < 0) & (tops.abs() <= radius).all(1)
    return torch.where(is_top[:, None], tops, torch.zeros_like(tops))


def keypoints_of(xy: Tensor, scores: Tensor, size_wh: tuple[int, int], limit: int) -> Keypoints:
    """The keypoints of the highest scores, highest first, without scale or angle.

    xy: (N, 2) pixels.
    scores: (N,).
    limit: most keypoints.
    """
    places: NDArray[np.float32] = xy.float().cpu().numpy()
    values: NDArray[np.float32] = scores.float().cpu().numpy()
    # the place breaks ties: the order never depends on the device
    order = np.lexsort((places[:, 0], places[:, 1], -values))[:limit]
    return Keypoints(places[order], values[order], size_wh)
