"""Features as colours: what a model takes for alike looks alike.

Knows arrays; no models and no pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError

__all__ = ["pca_colours"]

COLOURS = 3
WITHIN = (2, 98)  # per cent of the cells, between black and the full colour
NOTHING = 1e-6  # of the first component's extent: what is left is rounding, and stays grey


def pca_colours(maps: Sequence[NDArray[np.floating]]) -> list[NDArray[np.uint8]]:
    """Maps of features as pictures with one meaning of colours: the first three principal
    components of the cells of all of them as red, green and blue, as is usual since DINO's papers.

    maps: each (C, h, w), with one C; sizes may differ.

    Returns (h, w, 3) uint8 for each. Raises InputError where there is no map, or C differs.
    """
    shapes = [one.shape for one in maps]
    if not maps or any(len(shape) != 3 or shape[0] != shapes[0][0] for shape in shapes):
        raise InputError(
            f"maps have shapes {shapes}, expected one or more of (C, h, w) with the same C"
        )
    cells = np.concatenate([np.reshape(one, (len(one), -1)).T for one in maps]).astype(np.float64)
    centred = cells - cells.mean(0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :COLOURS]
    # of the two signs that a direction may have, the one in which its largest part is positive
    largest = directions[np.abs(directions).argmax(0), np.arange(directions.shape[1])]
    parts = centred @ (directions * np.sign(largest))
    low, high = np.percentile(parts, WITHIN, axis=0)
    extent = high - low
    shares = np.full((len(parts), COLOURS), 0.5)
    seen = np.flatnonzero(extent > NOTHING * max(extent.max(), 1e-12))
    shares[:, seen] = np.clip((parts[:, seen] - low[seen]) / extent[seen], 0, 1)
    colours = np.round(shares * 255).astype(np.uint8)
    ends = np.cumsum([shape[1] * shape[2] for shape in shapes])[:-1]
    return [own.reshape(*shape[1:], COLOURS) for own, shape in zip(np.split(colours, ends), shapes)]
