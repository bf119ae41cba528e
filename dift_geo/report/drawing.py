"""Matches drawn into one picture by OpenCV, for commands that must not need a plotting library."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_matches", "spread"]

INLIER, OUTLIER, UNKNOWN = (60, 220, 90), (230, 60, 50), (255, 210, 0)  # RGB


def draw_matches(
    image0: NDArray[np.uint8],
    image1: NDArray[np.uint8],
    xy0: NDArray,
    xy1: NDArray,
    inliers: NDArray[np.bool_] | None = None,
    limit: int = 300,
) -> NDArray[np.uint8]:
    """Both (H, W, 3) RGB images side by side with a line per match, as one (H, W, 3) RGB image.

    xy0, xy1: (M, 2) pixels of image 0 and image 1.
    inliers: (M,) bool, drawn green over the red rest; None draws all yellow.
    limit: at most so many matches, evenly picked, so that the picture stays readable.
    """
    (h0, w0), (h1, w1) = image0.shape[:2], image1.shape[:2]
    canvas = np.zeros((max(h0, h1), w0 + w1, 3), np.uint8)
    canvas[:h0, :w0], canvas[:h1, w0:] = image0, image1
    thickness = max(1, round(max(canvas.shape) / 1500))
    order = spread(len(xy0), limit)
    colours = [UNKNOWN] * len(xy0)
    if inliers is not None:
        order = order[np.argsort(inliers[order], kind="stable")]  # inliers last: on top
        colours = [INLIER if inlier else OUTLIER for inlier in inliers]
    for i in order:
        ends = [_pixel(xy0[i]), _pixel(xy1[i] + (w0, 0))]
        cv2.line(canvas, ends[0], ends[1], colours[i], thickness, cv2.LINE_AA)
        for end in ends:
            cv2.circle(canvas, end, 2 * thickness, colours[i], -1, cv2.LINE_AA)
    return canvas


def spread(count: int, limit: int | None) -> NDArray[np.int64]:
    """Indices of at most `limit` of `count` things, evenly spread; None takes all."""
    if limit is None or count <= limit:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, max(limit, 0)).astype(np.int64))


def _pixel(xy: NDArray) -> tuple[int, int]:
    x, y = np.round(xy)
    return int(x), int(y)
