"""How much a pixel is: limits in pixels are meant for photos of about the size they are read at.

Features are found in copies of at most 1600 pixels a side, so in a photo of 4800 they are three
times less exact, counted in its own pixels. Knows sizes; no features and no geometry.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dift_geo.detectors.colmap_database import read_database

__all__ = ["MEANT_FOR_PX", "pixel_scale", "scale_of"]

MEANT_FOR_PX = 1600  # longest side that limits in pixels are meant for: what extraction works at


def pixel_scale(path: str | Path) -> float:
    """By what limits in pixels are multiplied for the photos of a database, at least 1.

    The middle one of its photos counts, since COLMAP has one limit for all of them.

    Raises InputError for an image without a camera.
    """
    with read_database(path) as database:
        scales = [scale_of(*database.size_wh(number)) for number in database.image_ids().values()]
    return float(np.median(scales)) if scales else 1.0


def scale_of(width: int, height: int) -> float:
    """By what limits in pixels are multiplied for one photo, at least 1."""
    return max(1.0, max(width, height) / MEANT_FOR_PX)
