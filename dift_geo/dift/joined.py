"""Descriptors of several kinds side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["join"]


def join(parts: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """Unit rows side by side, (N, D) each -> (N, sum of D) unit rows whose cosine is the weighted
    mean of the parts'.
    """
    shares = np.sqrt(np.array(weights) / np.sum(weights)).astype(np.float32)
    return np.concatenate([share * rows for share, rows in zip(shares, parts)], 1)
