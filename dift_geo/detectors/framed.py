"""Scale and angle for keypoints of a detector that gives neither, so that patches can be oriented.

The detector looks at several sizes of the picture, as the classic ones do. Knows no network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.contract import Describer, Detector
from dift_geo.detectors.levels import LEVELS, at_levels
from dift_geo.errors import InputError
from dift_geo.types import Keypoints

__all__ = ["Framed"]


class Framed(Detector):
    """Another detector on a pyramid; scale is the level's, angle that of the gradients around.

    detector: gives places and scores that compare between pictures.
    max_keypoints: the highest scores kept.
    levels: sizes of the picture looked at, each smaller by the square root of 2.
    upright: photos do not turn, so that every angle is 0.
    """

    def __init__(
        self,
        detector: Detector,
        max_keypoints: int,
        levels: int = LEVELS,
        *,
        upright: bool = False,
    ) -> None:
        for field, value in (("max_keypoints", max_keypoints), ("levels", levels)):
            if value < 1:
                raise InputError(f"Framed got {field} {value}, expected at least 1")
        self.detector, self.max_keypoints = detector, max_keypoints
        self.levels, self.upright = levels, upright

    @property
    def name(self) -> str:
        """That of the detector."""
        return self.detector.name

    def detect(self, image: NDArray[np.uint8], name: str) -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB with scale and angle, highest score first."""

        def find(copy: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            keypoints = self.detector.detect(copy, name)
            return keypoints.xy, keypoints.scores

        return at_levels(image, find, self.levels, self.max_keypoints, upright=self.upright)

    def recipe(self) -> dict[str, object]:
        """What determines the keypoints, for the store."""
        return {
            "framed": self.detector.recipe(),
            "max_keypoints": self.max_keypoints,
            "levels": self.levels,
            "upright": self.upright,
        }

    def own_describer(self) -> Describer | None:
        """The detector's, which reads the picture at its own size."""
        return self.detector.own_describer()
