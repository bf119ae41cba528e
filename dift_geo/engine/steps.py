"""What is done to one image and to one pair.

Functions of plain data that any engine can run, in this process or another. They write nothing and
know neither engines nor the stores that results go to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dift_geo.images import read_image
from dift_geo.matching.mutual_nn import match
from dift_geo.matching.options import MatchOptions
from dift_geo.types import Features, FeatureSource, Matches, Pair

__all__ = [
    "Extracts",
    "Matched",
    "PairFeatures",
    "Photo",
    "Unreadable",
    "describe_photo",
    "load_pair",
    "match_loaded",
    "read_photo",
]


class Extracts(Protocol):
    """Turns an image into features: an `Extractor`, or what is wrapped around one."""

    def extract(self, image: NDArray[np.uint8], name: str) -> Features:
        """Features of (H, W, 3) uint8 RGB in its own pixels; `name` is the image's."""
        ...

    def recipe(self) -> Mapping[str, object]:
        """What determines the features."""
        ...


@dataclass(frozen=True)
class Photo:
    """An image that was read.

    name: its path below the folder of images.
    pixels: (H, W, 3) uint8 RGB.
    """

    name: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read.

    name: its path below the folder of images.
    error: why.
    """

    name: str
    error: Exception


def read_photo(folder: Path, name: str) -> Photo | Unreadable:
    """Decode the image `name` below `folder`."""
    try:
        return Photo(name, read_image(folder / name))
    except (OSError, ValueError) as error:
        return Unreadable(name, error)


def describe_photo(extractor: Extracts, photo: Photo | Unreadable) -> Features | Unreadable:
    """The features of a photo that was read; what could not be read is passed on."""
    if isinstance(photo, Unreadable):
        return photo
    return extractor.extract(photo.pixels, photo.name)


PairFeatures = tuple[Features, Features]


@dataclass(frozen=True)
class Matched:
    """What a matches store has to be given for a pair.

    matches: of its features.
    count0: how many keypoints the first image has.
    """

    matches: Matches
    count0: int


def load_pair(source: FeatureSource, pair: Pair) -> PairFeatures:
    """The features of both images. Raises MissingNameError when the source lacks one."""
    name0, name1 = pair
    return source[name0], source[name1]


def match_loaded(options: MatchOptions, device: str, both: PairFeatures) -> Matched:
    """The mutual nearest neighbours of two images."""
    features0, features1 = both
    found = match(features0.descriptors, features1.descriptors, options, device=device)
    return Matched(found, len(features0))
