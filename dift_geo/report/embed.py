"""Pictures and arrays as text that a page carries in itself.

A page must open offline and stay small enough to be sent: every photo gets its share of a budget.
Knows no models and no HTML.
"""

from __future__ import annotations

from base64 import b64encode
from math import sqrt
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.frames import to_colmap
from dift_geo.images import read_image, resize_longest

__all__ = ["array_text", "photo_side", "photo_text", "within"]

PHOTO_BYTES = 7 << 20  # of all photos of a page together; a third more as text
LONGEST, LEAST = 1024, 160  # pixels of a photo's longest side
BYTES_PER_PIXEL = 0.28  # of a textured photo at QUALITY
QUALITY = 80
STEPS = 1 << 16  # of a coordinate within a photo


def photo_side(count: int) -> int:
    """The longest side that `count` photos may have, in pixels."""
    pixels = PHOTO_BYTES / max(count, 1) / BYTES_PER_PIXEL
    return int(min(LONGEST, max(LEAST, sqrt(pixels * 4 / 3))))


def photo_text(path: str | Path, count: int) -> str | None:
    """A photo, one of `count`, as a data URL of a small JPEG; None where it cannot be read."""
    try:
        image = read_image(path)
    except (InputError, FileNotFoundError):
        return None
    share, side = PHOTO_BYTES // max(count, 1), photo_side(count)
    while True:
        small = cv2.cvtColor(resize_longest(image, side), cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        if len(data) <= share or side <= LEAST:
            return f"data:image/jpeg;base64,{b64encode(data).decode()}"
        side = max(LEAST, int(side * 0.85))


def array_text(array: NDArray) -> str:
    """The bytes of an array, little end first, in base64."""
    return b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def within(xy: NDArray, size_wh: tuple[int, int]) -> NDArray[np.uint16]:
    """(N, 2) pixels as shares of their photo, in 65536 steps; 0 is its left and upper edge."""
    shares = to_colmap(np.asarray(xy, np.float64).reshape(-1, 2)) / size_wh
    return np.asarray(np.clip(np.round(shares * STEPS), 0, STEPS - 1), np.uint16)
