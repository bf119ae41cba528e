"""What is done to one image and to one pair.

Functions of plain data that any engine can run, in this process or another. They write nothing and
know neither engines nor the stores that results go to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.images import read_image, read_mask
from dift_geo.matching.mutual_nn import match
from dift_geo.matching.options import MatchOptions
from dift_geo.store.source import Source
from dift_geo.turned import Straighten
from dift_geo.turns.probe import Probe, probe_photo
from dift_geo.types import Features, FeatureSource, Matches, Pair, Turn

__all__ = [
    "Described",
    "Extracts",
    "ExtractsAsTold",
    "Matched",
    "PairFeatures",
    "Photo",
    "Unreadable",
    "describe_photo",
    "load_pair",
    "mask_of",
    "match_loaded",
    "probe_of",
    "read_photo",
]

TRIES = 3  # to read a photo that is being written


class Extracts(Protocol):
    """Turns an image into features: an `Extractor`, or what is wrapped around one."""

    def extract(self, image: NDArray[np.uint8], name: str) -> Features:
        """Features of (H, W, 3) uint8 RGB in its own pixels; `name` is the image's."""
        ...

    def recipe(self) -> Mapping[str, object]:
        """What determines the features."""
        ...


class ExtractsAsTold(Extracts, Protocol):
    """The same for a part of an image, and for one that stands otherwise, as `Extractor` can."""

    def extract(
        self,
        image: NDArray[np.uint8],
        name: str,
        *,
        mask: NDArray[np.bool_] | None = None,
        turn: Turn | None = None,
    ) -> Features:
        """Features where `mask`, (H, W) bool, is true, of an image that is turned back."""
        ...


@dataclass(frozen=True)
class Photo:
    """An image that was read.

    name: its path below the folder of images.
    pixels: (H, W, 3) uint8 RGB.
    source: the bytes that were read.
    mask: (H, W) bool, where keypoints are wanted; None where they are wanted everywhere.
    """

    name: str
    pixels: NDArray[np.uint8]
    source: Source
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Described:
    """What a features store has to be given for an image.

    features: of the image.
    source: the bytes that they were made of.
    turn: how the image stands beside others, where it was turned back for that.
    """

    features: Features
    source: Source
    turn: Turn | None = None


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read.

    name: its path below the folder of images.
    error: why.
    """

    name: str
    error: Exception


def read_photo(folder: Path, masks: Path | None, name: str) -> Photo | Unreadable:
    """Decode the image `name` below `folder`, and its mask below `masks`."""
    mask = mask_of(masks, name)
    try:
        for _ in range(TRIES):
            source = Source.of(folder / name, mask)
            pixels = read_image(folder / name)
            size_wh = pixels.shape[1], pixels.shape[0]
            wanted = None if masks is None else read_mask(masks, name, size_wh)
            if source.is_still(folder / name, mask):
                return Photo(name, pixels, source, wanted)
        raise InputError(f"{folder / name} changes while it is read; wait for who writes it")
    except (OSError, ValueError) as error:
        return Unreadable(name, error)


def mask_of(masks: Path | None, name: str) -> Path | None:
    """Where the mask of an image lies, if it has one: `name.png`, as COLMAP wants it."""
    return None if masks is None else masks / f"{name}.png"


def probe_of(straighten: Straighten, photo: Photo | Unreadable) -> Probe | None:
    """What a survey of turns needs of a photo; None of one that could not be read."""
    if isinstance(photo, Unreadable):
        return None
    return probe_photo(photo.pixels, straighten.size)


def describe_photo(
    extractor: Extracts,
    photo: Photo | Unreadable,
    turns: Mapping[str, Turn] = MappingProxyType({}),
) -> Described | Unreadable:
    """The features of a photo that was read; what could not be read is passed on.

    turns: of photos that are to be turned back, by name.
    """
    if isinstance(photo, Unreadable):
        return photo
    turn = turns.get(photo.name)
    told: dict[str, Any] = {} if photo.mask is None else {"mask": photo.mask}
    if turn is not None:
        told["turn"] = turn
    features = cast("ExtractsAsTold", extractor).extract(photo.pixels, photo.name, **told)
    return Described(features, photo.source, turn)


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
    """The features of both images.

    Raises MissingNameError when the source lacks one, and InputError for descriptors of two kinds,
    or none at all: those would all be alike.
    """
    name0, name1 = pair
    both = source[name0], source[name1]
    for name, features in zip(pair, both):
        if len(features) and not features.descriptors.shape[1]:
            raise InputError(
                f"{name!r} has {len(features)} keypoints without descriptors, which cannot be "
                "matched; give the matches of the program that found them"
            )
    dim0, dim1 = (features.descriptors.shape[1] for features in both)
    if all(map(len, both)) and dim0 != dim1:
        raise InputError(
            f"descriptors of {name0!r} have {dim0} numbers and those of {name1!r} {dim1}, "
            "expected as many; describe both in the same way"
        )
    return both


def match_loaded(options: MatchOptions, device: str, both: PairFeatures) -> Matched:
    """The mutual nearest neighbours of two images."""
    features0, features1 = both
    if not len(features0) or not len(features1):  # whose descriptors may have no numbers, either
        return Matched(Matches.none(), len(features0))
    found = match(features0.descriptors, features1.descriptors, options, device=device)
    return Matched(found, len(features0))
