"""Area under a recall curve, as the field reports it. Knows errors as numbers only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["auc"]


def auc(errors: ArrayLike, thresholds: ArrayLike) -> list[float]:
    """Area under the recall curve up to each threshold, divided by it: numbers in [0, 1].

    Trapezoid rule from (0, 0), as in SuperGlue's `pose_auc`. No errors give 0.

    errors: (N,), in any unit; infinity is a failure.
    thresholds: one or several, in the unit of the errors.
    """
    errors = np.sort(np.asarray(errors, np.float64))
    limits = np.atleast_1d(np.asarray(thresholds, np.float64))
    if not len(errors):
        return [0.0] * len(limits)
    recall = np.concatenate([[0.0], (np.arange(len(errors)) + 1) / len(errors)])
    errors = np.concatenate([[0.0], errors])
    areas = []
    for limit in limits:
        k = int(np.searchsorted(errors, limit))
        x, y = np.append(errors[:k], limit), np.append(recall[:k], recall[k - 1])
        areas.append(float(np.trapezoid(y, x) / limit))
    return areas
