"""Keypoints found elsewhere and listed in text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError

__all__ = ["read_keypoint_file"]


def read_keypoint_file(path: str | Path) -> NDArray[np.float32]:
    """A text file of `x y` lines (`v_wall-1.kp` of the DIFT release): (N, 2) float32. An empty file
    gives none.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no keypoints at {path}")
    try:
        rows = [
            [float(word) for word in line.split()[:2]]
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
        return np.array(rows, np.float32).reshape(-1, 2)
    except ValueError as error:
        raise InputError(f"{path} is no list of `x y` lines: {error}") from None
