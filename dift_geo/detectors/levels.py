"""Keypoints of a picture at several resolutions: which gives them scale, and an angle besides.

What finds places in a picture is an argument. Knows no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.orientation import dominant_angles
from dift_geo.frames import resized
from dift_geo.types import Keypoints

__all__ = ["LEVELS", "SCALE_PX", "STEP", "Find", "at_levels"]

LEVELS = 5  # sizes of a picture that are looked at unless told otherwise
STEP = 2**0.5  # between the sizes of levels
LEAST_PX = 32  # shorter side of the smallest level
SCALE_PX = 1.2  # of a keypoint of the picture itself, as a blob radius of SIFT's
ANGLE_RADIUS_PX = 10  # of the disc, in pixels of the level, that gives the angle
# (H, W, 3) uint8 RGB -> places (N, 2) (x, y), and scores (N,)
Find = Callable[[NDArray[np.uint8]], tuple[NDArray[np.floating], NDArray[np.floating]]]


@dataclass(frozen=True)
class _Level:
    """A copy of the picture, and what was found in it.

    factor: its size over the picture's.
    xy: (N, 2) places in its own pixels.
    """

    image: NDArray[np.uint8]
    factor: float
    xy: NDArray[np.floating]
    scores: NDArray[np.floating]


def at_levels(
    image: NDArray[np.uint8], find: Find, levels: int, limit: int, *, upright: bool = False
) -> Keypoints:
    """Keypoints with scale and angle, the highest scores first.

    Where neighbouring levels find the same place, the level with the higher score keeps it. The
    angle is that of the gradients around.

    image: (H, W, 3) uint8 RGB.
    find: finds places in it and in smaller copies.
    levels: copies looked at, each smaller by the square root of 2, down to 32 pixels.
    limit: most keypoints.
    upright: every angle is 0 instead.
    """
    h, w = image.shape[:2]
    found = [_Level(copy, factor, *find(copy)) for factor, copy in _copies(image, levels)]
    maps = [_best_around(level) for level in found]
    parts = [np.zeros((0, 5))]
    for index, level in enumerate(found):
        alone = np.ones(len(level.xy), bool)
        for other in (index - 1, index + 1):
            if 0 <= other < len(found):
                rival = _read(maps[other], resized(level.xy, _ratio(found[other], level)))
                # of equal scores the finer level's stays
                alone &= level.scores > rival if other < index else level.scores >= rival
        xy, scores = level.xy[alone], level.scores[alone]
        angles = np.zeros(len(xy)) if upright else _angles(level.image, xy)
        places = resized(xy, _ratio(found[0], level))
        parts.append(np.c_[places, np.full(len(xy), SCALE_PX / level.factor), angles, scores])
    x, y, scale, angle, score = np.concatenate(parts).T.astype(np.float32)
    # the place breaks ties: the order never depends on the machine
    order = np.lexsort((scale, x, y, -score))[:limit]
    return Keypoints(np.stack([x, y], 1)[order], score[order], (w, h), scale[order], angle[order])


def _copies(image: NDArray[np.uint8], levels: int) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """The picture and smaller ones, with their size over the picture's."""
    h, w = image.shape[:2]
    yield 1.0, image
    for level in range(1, levels):
        factor = STEP**-level
        size_wh = round(w * factor), round(h * factor)
        if min(size_wh) < LEAST_PX:
            return
        small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
        yield factor, np.asarray(small, np.uint8)


def _angles(image: NDArray[np.uint8], xy: NDArray[np.floating]) -> NDArray[np.float32]:
    """Of the gradients around places of a level."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return dominant_angles(luma, xy, ANGLE_RADIUS_PX)


def _ratio(to: _Level, of: _Level) -> NDArray[np.float64]:
    """How many times larger one level is than another, along x and along y."""
    return np.divide(to.image.shape[1::-1], of.image.shape[1::-1])


def _best_around(level: _Level) -> NDArray[np.float32]:
    """For each pixel of a level the highest score of keypoints within a pixel of it; -1 where there
    are none.
    """
    best = np.full(level.image.shape[:2], -1, np.float32)
    x, y = level.xy.round().astype(np.int64).T
    np.maximum.at(best, (y, x), level.scores.astype(np.float32))
    return np.asarray(cv2.dilate(best, np.ones((3, 3), np.uint8)), np.float32)


def _read(values: NDArray[np.float32], xy: NDArray[np.floating]) -> NDArray[np.float32]:
    """The values of the pixels that hold the places, which lie inside or right at the edge."""
    h, w = values.shape
    x, y = xy.round().astype(np.int64).clip(0, (w - 1, h - 1)).T
    return values[y, x]
