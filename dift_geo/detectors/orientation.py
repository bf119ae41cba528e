"""Which way keypoints point: the direction of most of the gradients around each, as SIFT has it.

Knows luma and places alone.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["dominant_angles"]

BINS = 36
SMOOTHED = 3  # times, by a box of three bins
AT_ONCE = 1024  # keypoints, which bounds memory


def dominant_angles(
    luma: NDArray[np.float32], xy: NDArray[np.floating], radius_px: int
) -> NDArray[np.float32]:
    """(N,) float32 radians, y down: the highest peak of the histogram of gradient directions in a
    disc around each place, weighted by length and by a Gaussian of half its radius (Lowe 2004).

    luma: (H, W) float32.
    xy: (N, 2) pixels inside; the histogram is of the nearest pixel's surroundings.
    radius_px: of the disc. What lies outside the picture has no gradient.
    """
    reach = radius_px
    along_x, along_y = (
        np.pad(cv2.Scharr(luma, cv2.CV_32F, *order), reach) for order in ((1, 0), (0, 1))
    )
    steps = np.arange(-reach, reach + 1)
    squared = (steps[:, None] ** 2 + steps[None] ** 2) / radius_px**2
    disc = np.nonzero(squared <= 1)
    weights = np.exp(-2 * squared[disc]).astype(np.float32)
    column, row = (np.asarray(xy, np.float64).round().astype(np.int64) + reach).T
    angles = np.zeros(len(xy), np.float32)
    for start in range(0, len(xy), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        rows = row[some, None] + steps[disc[0]]
        columns = column[some, None] + steps[disc[1]]
        angles[some] = _peaks(_histograms(along_x[rows, columns], along_y[rows, columns], weights))
    return angles


def _histograms(
    x: NDArray[np.float32], y: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(N, BINS) of the gradients (N, M), each shared by the two bins that it lies between."""
    place = np.arctan2(y, x) * (BINS / (2 * np.pi)) % BINS
    below = np.floor(place)
    share, length = place - below, np.hypot(x, y) * weights
    first = np.arange(len(x))[:, None] * BINS
    total = np.zeros(len(x) * BINS)
    for bins, part in ((below, 1 - share), (below + 1, share)):
        index = (first + bins.astype(np.int64) % BINS).ravel()
        total += np.bincount(index, (length * part).ravel(), len(total))
    histograms = total.reshape(-1, BINS)
    for _ in range(SMOOTHED):
        histograms = (np.roll(histograms, 1, 1) + histograms + np.roll(histograms, -1, 1)) / 3
    return histograms


def _peaks(histograms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where between bins the highest lies, by a parabola, in radians; 0 where nothing is."""
    each, top = np.arange(len(histograms)), histograms.argmax(1)
    before, after = histograms[each, top - 1], histograms[each, (top + 1) % BINS]
    bend = 2 * histograms[each, top] - before - after
    moved = np.divide(after - before, 2 * bend, out=np.zeros(len(top)), where=bend > 0)
    return (top + moved) * (2 * np.pi / BINS)
