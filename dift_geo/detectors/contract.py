"""What is asked of a detector and of a describer, and how the two make features of an image.

A detector says where to look, a describer what is there. Both are given (H, W, 3) uint8 RGB and the
name of the image. Knows nothing of diffusion, of files or of any detector in particular.
"""

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.images import resize_longest
from dift_geo.turned import turned_back
from dift_geo.types import Features, Keypoints, Turn

__all__ = ["Describer", "Detector", "detect_and_describe", "name_of_pixels"]


class Detector(Protocol):
    """Finds keypoints. Derive from it: what has a body here is the default."""

    @property
    def name(self) -> str:
        """What it is called in words and recipes, such as `sift`."""
        raise NotImplementedError

    def detect(self, image: NDArray[np.uint8], name: str) -> Keypoints:
        """Keypoints in the frame of the image given.

        image: (H, W, 3) uint8 RGB, which may be a smaller copy of the photo.
        name: name of the image below its folder (`v_wall/1.png`), for keypoints that are looked up.
        """
        raise NotImplementedError

    def recipe(self) -> dict[str, object]:
        """What determines the keypoints, as plain data for the store."""
        raise NotImplementedError

    @property
    def at_full_size(self) -> bool:
        """Whether `detect` is given the photo at its own size, whatever size the describer sees.

        For keypoints that were found in the photo by another program and do not say its size.
        """
        return False

    def own_describer(self) -> Describer | None:
        """The descriptor that comes with it; None where there is none."""
        return None


class Describer(Protocol):
    """Describes keypoints. Derive from it: what has a body here is the default."""

    @property
    def name(self) -> str:
        """What it is called in words and recipes: `dift`, `rootsift`, `superpoint`."""
        raise NotImplementedError

    @property
    def weight(self) -> float:
        """How much its rows count beside the rows of another describer."""
        return 1.0

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str
    ) -> NDArray[np.float32]:
        """(N, D) float32 rows of unit length, one for each keypoint.

        image: (H, W, 3) uint8 RGB.
        keypoints: in the frame of this image.
        name: name of the image below its folder; the same name gives the same rows.
        """
        raise NotImplementedError

    def recipe(self) -> dict[str, object]:
        """What determines the descriptors, as plain data for the store."""
        raise NotImplementedError


def detect_and_describe(
    detector: Detector,
    describer: Describer,
    image: NDArray[np.uint8],
    name: str | None = None,
    size: int | None = None,
    *,
    photo: NDArray[np.uint8] | None = None,
    mask: NDArray[np.bool_] | None = None,
    turn: Turn | None = None,
) -> Features:
    """The features of one image, in its own frame.

    image: (H, W, 3) uint8 RGB.
    name: name of the image below its folder; None takes `name_of_pixels`.
    size: longest side in pixels of the copy that both work on; None keeps the image's own.
    photo: the photo at its own size, where `image` already is a resized copy of it; a detector
        that works at full size is given this one.
    mask: (H, W) bool in the frame of `image`; keypoints where it is false are dropped before they
        are described. Raises InputError for another size.
    turn: how the copy stands beside others; both are shown it turned back, see `turned_back`.
    """
    h, w = image.shape[:2]
    name = name_of_pixels(image) if name is None else name
    resized = resize_longest(image, size)
    if turn is not None:
        return _of_turned(detector, describer, resized, name, turn, (w, h), mask)
    if detector.at_full_size:
        whole = detector.detect(image if photo is None else photo, name)
        keypoints = whole.resized_to((resized.shape[1], resized.shape[0]))
    else:
        keypoints = detector.detect(resized, name)
    if mask is not None:
        keypoints = keypoints[_wanted(keypoints.resized_to((w, h)), mask)]
    descriptors = describer.describe(resized, keypoints, name)
    return Features(keypoints.resized_to((w, h)), descriptors)


def _of_turned(
    detector: Detector,
    describer: Describer,
    copy: NDArray[np.uint8],
    name: str,
    turn: Turn,
    size_wh: tuple[int, int],
    mask: NDArray[np.bool_] | None,
) -> Features:
    """The features of a copy that is turned back before it is looked at.

    size_wh: of the image, to which keypoints and mask belong.
    """
    shown = turned_back(copy, turn)
    found = detector.detect(shown.pixels, name)
    found = found[shown.inside(found)]
    if mask is not None:
        found = found[_wanted(shown.home(found).resized_to(size_wh), mask)]
    descriptors = describer.describe(shown.pixels, found, name)
    return Features(shown.home(found).resized_to(size_wh), descriptors)


def _wanted(keypoints: Keypoints, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the pixel in which each keypoint lies is true in a mask of the same image."""
    w, h = keypoints.size_wh
    if mask.shape != (h, w):
        raise InputError(f"the mask has shape {mask.shape}, expected {(h, w)} as the image")
    x, y = keypoints.xy.round().astype(int).clip(0, (w - 1, h - 1)).T
    return np.asarray(mask[y, x], np.bool_)


def name_of_pixels(image: NDArray[np.uint8]) -> str:
    """A name for an image that has none: a checksum of its pixels, so that no two share noise."""
    return str(zlib.crc32(image.tobytes()))
