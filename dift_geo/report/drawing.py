"""Matches drawn into one picture by OpenCV, for commands that must not need a plotting library."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_matches"]


def draw_matches(
    image0: NDArray[np.uint8],
    image1: NDArray[np.uint8],
    xy0: NDArray,
    xy1: NDArray,
    inliers: NDArray[np.bool_] | None = None,
    limit: int = 300,
) -> NDArray[np.uint8]:
    """Both (H, W, 3) RGB images side by side, a line per match: inliers green over outliers red,
    yellow where unknown.

    At most `limit` matches are drawn, evenly picked, so that the picture stays readable.
    """
    (h0, w0), (h1, w1) = image0.shape[:2], image1.shape[:2]
    canvas = np.zeros((max(h0, h1), w0 + w1, 3), np.uint8)
    canvas[:h0, :w0], canvas[:h1, w0:] = image0, image1
    order = (
        np.unique(np.linspace(0, len(xy0) - 1, min(limit, len(xy0))).astype(int))
        if len(xy0)
        else np.zeros(0, int)
    )
    known = inliers is not None
    if inliers is not None:
        order = order[np.argsort(inliers[order], kind="stable")]  # inliers last: on top
    thickness = max(1, round(max(canvas.shape) / 1500))
    for i in order:
        colour = (255, 210, 0) if not known else (60, 220, 90) if inliers[i] else (230, 60, 50)  # type: ignore[index]
        start = tuple(int(v) for v in np.round(xy0[i]))
        end = tuple(int(v) for v in np.round(xy1[i] + (w0, 0)))
        cv2.line(canvas, start, end, colour, thickness, cv2.LINE_AA)
        for point in (start, end):
            cv2.circle(canvas, point, 2 * thickness, colour, -1, cv2.LINE_AA)
    return canvas
