"""How far joints are from the truth, in parts of the person, as videowalk's `eval_pck.py` counts.
Knows no files.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["joint_errors"]

Floats = NDArray[np.float64]
OF_DIAGONAL = 0.6  # of the box around the joints, which errors are shares of


def joint_errors(found: Floats, truth: Floats) -> Floats:
    """(T, J): distances of (T, J, 2) places, divided by 0.6 of the diagonal of the box around the
    true joints of the frame; NaN where one was lost.

    The box holds those joints alone that were found in the frame.
    """
    errors = np.full(found.shape[:2], np.nan)
    for frame, (own, true) in enumerate(zip(found, truth)):
        there = np.isfinite(own).all(1)
        if there.any():
            side = OF_DIAGONAL * np.linalg.norm(np.ptp(true[there], axis=0))
            away = np.linalg.norm(own - true, axis=1)
            errors[frame] = np.divide(away, side, out=np.full(len(away), np.inf), where=side > 0)
            errors[frame, ~there] = np.nan
    return errors
