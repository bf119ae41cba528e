"""What a mask is worth: region similarity J and contour accuracy F of DAVIS (Perazzi et al., CVPR
2016), as davis2017-evaluation computes them. Knows no files.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["boundary_f", "region_j"]

Mask = NDArray[np.bool_]
TOLERANCE = 0.008  # of the image's diagonal, by which contours may be apart


def region_j(found: Mask, truth: Mask) -> float:
    """The area in both of two (H, W) masks, divided by that in either; 1 where both are empty."""
    either = int((found | truth).sum())
    return int((found & truth).sum()) / either if either else 1.0


def boundary_f(found: Mask, truth: Mask) -> float:
    """The harmonic mean of the shares of either contour that the other is near to.

    1 where neither mask has a contour, 0 where one has none.
    """
    contours = _contour(found), _contour(truth)
    counts = [int(contour.sum()) for contour in contours]
    if not all(counts):
        return 0.0 if any(counts) else 1.0
    disk = _disk(math.ceil(TOLERANCE * math.hypot(*found.shape)))
    near = [cv2.dilate(contour.astype(np.uint8), disk) > 0 for contour in contours]
    precision = int((contours[0] & near[1]).sum()) / counts[0]
    recall = int((contours[1] & near[0]).sum()) / counts[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _contour(mask: Mask) -> Mask:
    """Pixels that differ from their right, lower or lower right neighbour; beyond the border the
    last ones repeat.
    """
    around = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = around[:-1, :-1]
    return np.asarray(
        (here ^ around[:-1, 1:]) | (here ^ around[1:, :-1]) | (here ^ around[1:, 1:]), np.bool_
    )


def _disk(radius: int) -> NDArray[np.uint8]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x**2 + y**2 <= radius**2, np.uint8)
