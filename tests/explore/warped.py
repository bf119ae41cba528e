"""A photo and its warped copy: where points of one are in the other is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

W, H = 320, 240
M = np.array([[1.0, 0.03, 9.0], [-0.03, 1.0, 14.0]])  # pixels of the second photo from the first
POINTS = np.array([[90.0, 70], [160, 120], [230, 150], [120, 170]])


def shares(xy: ArrayLike) -> NDArray[np.float64]:
    """Pixels as shares of the photo's sides."""
    return (np.asarray(xy) + 0.5) / (W, H)


def off_px(there: Mapping[str, float], xy: NDArray[np.float64]) -> float:
    """How far an answer of the second photo is from where a pixel of the first one lies."""
    found = np.array([there["x"], there["y"]]) * (W, H) - 0.5
    return float(np.linalg.norm(found - (M[:, :2] @ xy + M[:, 2])))
