"""What stored arrays must be before anything is computed with them. Knows no files.

Every message can be continued by the name of a file and of an image: it says what was got and what
was expected.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.types import Matches, Pair

__all__ = ["check_features", "check_matches", "check_pair"]

NUMBERS = "fiu"  # kinds of dtype: floats and integers
SCORES = ("scores", "matching_scores0")  # nothing is computed with them: they may be anything


def check_pair(matches: Matches, count0: int, count1: int, names: Pair) -> None:
    """Refuse matches that do not belong to these features.

    count0, count1: how many keypoints the two images have.
    names: of the images, in the order of the matches.

    Raises InputError for an index beyond the keypoints.
    """
    for column, (count, name) in enumerate(zip((count0, count1), names)):
        used = matches.pairs[:, column]
        if len(used) and not 0 <= used.min() <= used.max() < count:
            worst = int(used.min() if used.min() < 0 else used.max())
            raise InputError(
                f"matches of {names[0]!r} and {names[1]!r} use keypoint {worst} of {name!r}, "
                f"which has {count} keypoints; match these features again"
            )


def check_features(arrays: Mapping[str, NDArray]) -> None:
    """Refuse arrays of an image that contradict each other or hold no finite numbers.

    Raises InputError with what is wrong.
    """
    for name, array in arrays.items():
        _check_numbers(name, array)
    xy = arrays["keypoints"]
    if xy.ndim != 2 or xy.shape[1] < 2:
        raise InputError(f"keypoints have shape {xy.shape}, expected (N, 2)")
    n = len(xy)
    if "descriptors" in arrays:
        rows = arrays["descriptors"]
        if rows.ndim != 2 or rows.shape[1] != n:
            raise InputError(f"descriptors have shape {rows.shape}, expected (D, {n})")
    for name in ("scores", "scales", "oris"):
        if name in arrays and arrays[name].shape != (n,):
            raise InputError(f"{name} have shape {arrays[name].shape}, expected ({n},)")
    if "image_size" in arrays:
        size = arrays["image_size"]
        if size.shape != (2,) or not (size >= 1).all():
            raise InputError(f"image_size is {size.tolist()}, expected width and height")


def check_matches(arrays: Mapping[str, NDArray]) -> None:
    """Refuse arrays of a pair that contradict each other or hold no finite numbers.

    Raises InputError with what is wrong.
    """
    for name, array in arrays.items():
        _check_numbers(name, array)
    matches0 = arrays["matches0"]
    if matches0.ndim != 1:
        raise InputError(f"matches0 has shape {matches0.shape}, expected (N,)")
    if matches0.dtype.kind != "i":
        raise InputError(f"matches0 is {matches0.dtype}, expected signed integers")
    if len(matches0) and matches0.min() < -1:
        raise InputError(f"matches0 holds {matches0.min()}, expected -1 or an index")
    scores = arrays.get("matching_scores0")
    if scores is not None and scores.shape != matches0.shape:
        raise InputError(f"matching_scores0 has shape {scores.shape}, expected {matches0.shape}")


def _check_numbers(name: str, array: NDArray) -> None:
    if array.dtype.kind not in NUMBERS:
        raise InputError(f"{name} is of type {array.dtype}, expected numbers")
    if name in SCORES or array.dtype.kind != "f":
        return
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity, expected finite numbers")
