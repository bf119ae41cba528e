"""What is asked of a detector and of a describer.

A detector turns (H, W, 3) uint8 RGB into `Keypoints` in the frame of that image. Knows nothing of
diffusion.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dift_geo.types import Keypoints

__all__ = ["Describer", "Detector"]


class Detector(Protocol):
    """Finds keypoints; `name` and `recipe()` identify it in stores."""

    @property
    def name(self) -> str: ...

    def detect(self, image: NDArray[np.uint8]) -> Keypoints: ...

    def recipe(self) -> dict[str, Any]: ...


class Describer(Protocol):
    """Gives (N, D) float32 unit rows at keypoints; `Dift` and the detectors with descriptors of
    their own are such.
    """

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str = ...
    ) -> NDArray[np.float32]: ...

    def recipe(self) -> dict[str, Any]: ...
