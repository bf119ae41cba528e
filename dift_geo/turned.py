"""A photo turned back and made smaller, so that it stands as the others of its set do.

Detectors and descriptors that stand no rotation then find in a turned photo what they find in the
others. Knows how to draw a photo that way and how to carry keypoints home; how a photo stands is
`turns`' to find out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.frames import resized
from dift_geo.types import Keypoints, Turn

__all__ = [
    "Straighten",
    "StraightenWord",
    "Straightens",
    "TurnedPhoto",
    "straightening_of",
    "turned_back",
]

StraightenWord = Literal["auto", "off", "roll", "zoom"]
LEAST_ROLL = np.deg2rad(10)  # what every detector stands, and drawing anew costs sharpness
LEAST_ZOOM, MOST_ZOOM = 0.3, 1.0  # octaves; smaller, close-ups would lose what they share
QUARTER = np.pi / 2
MARGIN_PX = 6  # along an edge that was drawn inside a picture, which is none of the scene


@dataclass(frozen=True)
class Straighten:
    """The photos of a set are to be shown to an extractor as if none was turned against the others.

    mode: roll turns them back; zoom also makes those smaller that show things larger than most.
    size: longest side of the copies that the extractor sees; None is the photos' own.
    """

    mode: Literal["roll", "zoom"]
    size: int | None

    def __post_init__(self) -> None:
        if self.mode not in ("roll", "zoom"):
            raise InputError(f"straighten is {self.mode!r}, expected roll or zoom")

    @classmethod
    def of(cls, word: StraightenWord, size: int | None, *, suits: bool) -> Straighten | None:
        """What a word means; None is to show photos as they stand.

        suits: whether `auto` is to straighten them.
        """
        if word == "auto":
            return cls("zoom", size) if suits else None
        return None if word == "off" else cls(word, size)

    def recipe(self) -> dict[str, object]:
        """What determines the turns of given photos, for the store."""
        return asdict(self)


@runtime_checkable
class Straightens(Protocol):
    """What may want a set of photos straightened before it looks at them, as an `Extractor`."""

    @property
    def straighten(self) -> Straighten | None:
        """How; None wants them as they stand."""
        ...


def straightening_of(extractor: object) -> Straighten | None:
    """How an extractor of any kind wants a set of photos; None is as they stand."""
    return extractor.straighten if isinstance(extractor, Straightens) else None


@dataclass(frozen=True)
class TurnedPhoto:
    """A photo as it is shown instead.

    pixels: (H, W, 3) uint8 RGB.
    roll: by which it was turned back, in radians from +x towards +y.
    small_wh: size of the photo after it was made smaller and before it was turned.
    photo_wh: size of the photo.
    """

    pixels: NDArray[np.uint8]
    roll: float
    small_wh: tuple[int, int]
    photo_wh: tuple[int, int]

    def home(self, keypoints: Keypoints) -> Keypoints:
        """Keypoints of the shown picture in the photo itself; some may lie outside of it."""
        factor = np.divide(self.photo_wh, self.small_wh)
        xy = resized(self._unturned(keypoints), factor)
        scale, angle = keypoints.scale, keypoints.angle
        return Keypoints(
            xy.astype(np.float32),
            keypoints.scores,
            self.photo_wh,
            None if scale is None else scale * np.float32(np.sqrt(factor.prod())),
            None if angle is None else angle + np.float32(self.roll),
        )

    def inside(self, keypoints: Keypoints) -> NDArray[np.bool_]:
        """(N,) bool: which keypoints of the shown picture lie well inside the photo.

        The corners that turning leaves empty are filled with the colours of its edge.
        """
        if not _oblique(self.roll):
            return np.ones(len(keypoints), np.bool_)
        xy = self._unturned(keypoints)
        last = np.subtract(self.small_wh, 1 + MARGIN_PX)
        return np.asarray(((xy >= MARGIN_PX) & (xy <= last)).all(1), np.bool_)

    def _unturned(self, keypoints: Keypoints) -> NDArray[np.float64]:
        """(N, 2) places in the small photo."""
        h, w = self.pixels.shape[:2]
        around = keypoints.xy - _middle((w, h))
        return np.asarray(around @ _turning_back(self.roll) + _middle(self.small_wh), np.float64)


def turned_back(photo: NDArray[np.uint8], turn: Turn) -> TurnedPhoto:
    """(H, W, 3) uint8 RGB without its roll, and without its zoom where it shows things larger.

    A few degrees of roll and a small zoom stay, so that most photos are shown as they are, and of a
    large zoom all but an octave; near whole quarters pixels only change places.
    """
    h, w = photo.shape[:2]
    small = photo
    if turn.zoom > LEAST_ZOOM:
        smaller = 2 ** -min(turn.zoom, MOST_ZOOM)
        size_wh = tuple(max(1, round(side * smaller)) for side in (w, h))
        small = np.asarray(cv2.resize(photo, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    small_wh = small.shape[1], small.shape[0]
    quarters = round(turn.roll / QUARTER)
    if abs(turn.roll - quarters * QUARTER) < LEAST_ROLL:
        pixels = np.ascontiguousarray(np.rot90(small, quarters))
        return TurnedPhoto(pixels, quarters * QUARTER, small_wh, (w, h))
    rotation = _turning_back(turn.roll)
    size = tuple(int(side) for side in np.ceil(np.abs(rotation) @ small_wh))
    shift = _middle(size) - rotation @ _middle(small_wh)
    drawn = cv2.warpAffine(
        small,
        np.column_stack([rotation, shift]),
        size,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return TurnedPhoto(np.asarray(drawn, np.uint8), turn.roll, small_wh, (w, h))


def _turning_back(roll: float) -> NDArray[np.float64]:
    """(2, 2): a place (x, y) around the middle -> where it is shown."""
    cos, sin = np.cos(roll), np.sin(roll)
    return np.array([[cos, sin], [-sin, cos]])


def _middle(size_wh: tuple[int, ...]) -> NDArray[np.float64]:
    return (np.asarray(size_wh, np.float64) - 1) / 2


def _oblique(roll: float) -> bool:
    return abs(roll / QUARTER - round(roll / QUARTER)) > 1e-9
