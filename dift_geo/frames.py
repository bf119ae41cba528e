"""Pixel frames: the one place where half a pixel is added or taken off.

Ours has (0, 0) at the centre of the top-left pixel, COLMAP's has it at that pixel's corner.
Resizing keeps corners in place, not centres. Knows no images and no files.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_colmap", "resized", "to_colmap"]

Float = TypeVar("Float", np.float32, np.float64)
HALF_PIXEL = np.float32(0.5)


def to_colmap(xy: NDArray[Float]) -> NDArray[Float]:
    """Our pixels -> COLMAP's, any shape, in the precision given."""
    return np.add(xy, HALF_PIXEL, dtype=xy.dtype)


def from_colmap(xy: NDArray[Float]) -> NDArray[Float]:
    """COLMAP's pixels -> ours, any shape, in the precision given."""
    return np.subtract(xy, HALF_PIXEL, dtype=xy.dtype)


def resized(xy: NDArray, factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels (..., 2) of an image -> the same places in the image enlarged by `factor` (x, y)."""
    return (xy + 0.5) * factor - 0.5
