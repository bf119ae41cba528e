"""Images brought to a common short side before a method sees them, as some protocols ask.

Knows extractors and images, and no benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.turned import Straighten, straightening_of
from dift_geo.types import Features, Turn

__all__ = ["Extracts", "ShortSide", "resize_to", "short_side_wh"]


class Extracts(Protocol):
    """Turns an image into features; `extractor.Extractor` does."""

    def extract(
        self,
        image: NDArray[np.uint8],
        name: str,
        *,
        photo: NDArray[np.uint8] | None = None,
        turn: Turn | None = None,
    ) -> Features:
        """Features of (H, W, 3) uint8 RGB in its own pixels.

        name: of the image, as stores have it.
        photo: the photo at its own size, where `image` is a resized copy of it, for keypoints that
            were found in the photo.
        turn: how the image stands beside others, which it is then made to stand as.
        """
        ...

    def recipe(self) -> Mapping[str, object]:
        """What determines the features, as plain data."""
        ...


@dataclass(frozen=True)
class ShortSide:
    """Shows images to `extractor` resized so that their short side is `short_side` pixels;
    keypoints come back in the frame of the original.
    """

    extractor: Extracts
    short_side: int

    def extract(self, image: NDArray[np.uint8], name: str, *, turn: Turn | None = None) -> Features:
        """Features of (H, W, 3) uint8 RGB in its own pixels."""
        size_wh = (image.shape[1], image.shape[0])
        resized = resize_to(image, short_side_wh(size_wh, self.short_side))
        asked = {} if turn is None else {"turn": turn}
        features = self.extractor.extract(resized, name, photo=image, **asked)
        return replace(features, keypoints=features.keypoints.resized_to(size_wh))

    @property
    def straighten(self) -> Straighten | None:
        """The extractor's."""
        return straightening_of(self.extractor)

    def recipe(self) -> dict[str, object]:
        """The extractor's, and the size."""
        return {**self.extractor.recipe(), "short_side": self.short_side}


def short_side_wh(size_wh: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Size after resizing the short side to `short_side`; the other is cut to a whole pixel, as
    glue-factory does.
    """
    w, h = size_wh
    if w < h:
        return short_side, int(short_side / (w / h))
    return int(short_side * (w / h)), short_side


def resize_to(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) to the given size: by area when it shrinks, which does not alias, else bilinear."""
    how = cv2.INTER_AREA if size_wh[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_wh, interpolation=how), np.uint8)
