"""Masks of objects as DAVIS keeps them: PNG files whose palette index is the number of the object.

Knows neither videos nor networks.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError
from dift_geo.recipe import write_whole

__all__ = ["COLOURS", "VOID", "read_mask", "write_mask"]

VOID = 255  # annotated as neither object nor background
MOST_COLOURS = 64  # of a picture that is no palette image


def read_mask(path: str | Path) -> NDArray[np.uint8]:
    """(H, W): 0 is background, 1, 2, ... are objects; void is background.

    In a palette image indices are objects. In any other, every colour but black is one, in the
    order of the colours. Raises MissingFileError and InputError.
    """
    from PIL import Image, UnidentifiedImageError

    if not Path(path).is_file():
        raise MissingFileError(f"no mask at {path}")
    try:
        with Image.open(path) as image:
            indexed = image.mode == "P"
            pixels = np.asarray(image if indexed else image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is no mask that can be read: {error}") from error
    if indexed:
        return np.asarray(np.where(pixels == VOID, 0, pixels), np.uint8)
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours = np.unique(packed[packed > 0])
    if len(colours) > MOST_COLOURS:
        raise InputError(
            f"{path} has {len(colours)} colours, expected a palette PNG or one colour for each "
            "object on black, without soft edges"
        )
    numbered = np.searchsorted(colours, packed) + 1
    return np.asarray(np.where(packed > 0, numbered, 0), np.uint8)


def write_mask(path: str | Path, mask: NDArray[np.uint8]) -> None:
    """Write (H, W) numbers of objects as a palette PNG in DAVIS' colours."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(mask, np.uint8)).convert("L")
    image.putpalette(COLOURS.tobytes())
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    write_whole(path, buffer.getvalue())


def _colours() -> NDArray[np.uint8]:
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> channel) & 1) << (7 - bit)).astype(np.uint8)
        index = index >> 3
    return colours


# those of PASCAL VOC, which DAVIS took: bits of the index over three channels
COLOURS = _colours()
