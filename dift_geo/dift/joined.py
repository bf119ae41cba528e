"""Descriptors of several kinds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.contract import Describer
from dift_geo.errors import InputError
from dift_geo.types import Keypoints

__all__ = ["Joined", "join"]


class Joined(Describer):
    """Several describers as one.

    describers: whose unit rows stand side by side, each counted by its `weight`, so that what
        varies between keypoints counts alike.
    """

    def __init__(self, describers: Sequence[Describer]) -> None:
        if not describers:
            raise InputError("Joined got no describers, expected one or more")
        self.describers = tuple(describers)

    @property
    def name(self) -> str:
        """Names of the parts, such as `dift+rootsift`."""
        return "+".join(describer.name for describer in self.describers)

    @property
    def weight(self) -> float:
        """As much as the parts together."""
        return sum(describer.weight for describer in self.describers)

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str
    ) -> NDArray[np.float32]:
        """(N, sum of D) float32 unit rows at keypoints of (H, W, 3) uint8 RGB."""
        parts = [describer.describe(image, keypoints, name) for describer in self.describers]
        return join(parts, [describer.weight for describer in self.describers])

    def recipe(self) -> dict[str, Any]:
        """What determines the descriptors, for the store."""
        return {"joined": [describer.recipe() for describer in self.describers]}


def join(parts: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """Unit rows side by side, (N, D) each -> (N, sum of D) unit rows whose cosine is the weighted
    mean of the parts'.
    """
    shares = np.sqrt(np.array(weights) / np.sum(weights)).astype(np.float32)
    return np.concatenate([share * rows for share, rows in zip(shares, parts)], 1)
