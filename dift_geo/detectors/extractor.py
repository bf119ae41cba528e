"""A detector and a describer, which together make features of an image.

Knows neither in particular, and not how they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.contract import Describer, Detector, detect_and_describe
from dift_geo.recipe import package_version
from dift_geo.turned import Straighten
from dift_geo.types import Features, Turn

__all__ = ["Extractor"]

# their releases can move descriptors
VERSIONED = ("dift-geo", "torch", "diffusers", "kornia", "opencv-python-headless")


@dataclass(frozen=True)
class Extractor:
    """A detector and a describer, which together make features of an image.

    detector: finds the keypoints.
    describer: describes them; `Joined` is one made of several.
    size: longest side in pixels of the copy that both see; None keeps the original.
    straighten: how a set of photos is to be shown; who has but one shows it as it stands.
    """

    detector: Detector
    describer: Describer
    size: int | None = None
    straighten: Straighten | None = None

    def extract(
        self,
        image: NDArray[np.uint8],
        name: str | None = None,
        *,
        photo: NDArray[np.uint8] | None = None,
        mask: NDArray[np.bool_] | None = None,
        turn: Turn | None = None,
    ) -> Features:
        """Detect and describe (H, W, 3) uint8 RGB; keypoints come in its frame.

        name: of the image below its folder. It seeds noise, and keypoints that other programs found
            are looked up by it; None takes a checksum of the pixels.
        photo: the photo at its own size, where `image` is a resized copy of it.
        mask: (H, W) bool, true where keypoints are wanted; None has them everywhere.
        turn: how the copy of `size` stands beside others, which it is then made to stand as.
        """
        return detect_and_describe(
            self.detector,
            self.describer,
            image,
            name,
            self.size,
            photo=photo,
            mask=mask,
            turn=turn,
        )

    def recipe(self) -> dict[str, object]:
        """What determines the features, for the store."""
        straighten = self.straighten
        return {
            "detector": self.detector.recipe(),
            "descriptor": self.describer.recipe(),
            "size": self.size,
            "versions": {name: package_version(name) for name in VERSIONED},
            **({} if straighten is None else {"straighten": straighten.recipe()}),
        }
