"""What travels between the parts of the package: keypoints, features, matches, who can give them.

Pixels are (x, y) of the image the arrays belong to; (0, 0) is the centre of the top-left pixel.
Knows no image, no network and no file format; it only refuses arrays that contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.frames import resized

__all__ = ["FeatureSource", "Features", "Keypoints", "MatchSource", "Matches", "Pair", "Turn"]

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Pair = tuple[str, str]  # names of two images


def _array(
    owner: str, field: str, value: object, dtype: type, shape: tuple[int | None, ...]
) -> NDArray:
    array: NDArray = np.ascontiguousarray(value, dtype=dtype)
    fits = array.ndim == len(shape) and all(
        want in (None, got) for got, want in zip(array.shape, shape)
    )
    if not fits:
        wanted = tuple("N" if side is None else side for side in shape)
        raise InputError(f"{owner}.{field} has shape {array.shape}, expected {wanted}")
    return array


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Points of one image.

    xy: (N, 2) float32 pixels.
    scores: (N,) float32, higher is better.
    size_wh: width and height of the image in pixels.
    scale: (N,) float32 blob radius in pixels; None where the detector has none.
    angle: (N,) float32 radians, from +x towards +y, which points down; None as for scale.

    Raises InputError when shapes contradict each other or a coordinate is not finite.
    """

    xy: Float32
    scores: Float32
    size_wh: tuple[int, int]
    scale: Float32 | None = None
    angle: Float32 | None = None

    def __post_init__(self) -> None:
        xy = _array("Keypoints", "xy", self.xy, np.float32, (None, 2))
        if not np.isfinite(xy).all():
            raise InputError("Keypoints.xy holds NaN or infinity, expected finite pixels")
        object.__setattr__(self, "xy", xy)
        for field in ("scores", "scale", "angle"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(
                    self, field, _array("Keypoints", field, value, np.float32, (len(xy),))
                )
        w, h = (int(side) for side in self.size_wh)
        if w < 1 or h < 1:
            raise InputError(f"Keypoints.size_wh is {(w, h)}, expected positive width and height")
        object.__setattr__(self, "size_wh", (w, h))

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, index: NDArray | slice) -> Keypoints:
        """The keypoints picked by a slice, a mask or an index array."""
        return Keypoints(
            self.xy[index],
            self.scores[index],
            self.size_wh,
            None if self.scale is None else self.scale[index],
            None if self.angle is None else self.angle[index],
        )

    def resized_to(self, size_wh: tuple[int, int]) -> Keypoints:
        """The same points in the frame of the image resized to `size_wh` (half-pixel convention).

        Scale follows the geometric mean of both axes; the angle is kept, as resizing keeps the
        aspect ratio to a pixel.
        """
        factor = np.array(size_wh, np.float64) / self.size_wh
        xy = resized(self.xy, factor)
        scale = None if self.scale is None else self.scale * np.sqrt(factor.prod())
        return Keypoints(xy, self.scores, size_wh, scale, self.angle)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Turn:
    """How a photo stands beside the others of its set.

    roll: radians by which it shows things turned, from +x towards +y.
    zoom: octaves by which it shows them larger.
    """

    roll: float = 0.0
    zoom: float = 0.0


@dataclass(frozen=True, slots=True)
class Features:
    """Keypoints with one descriptor each.

    keypoints: N of them.
    descriptors: (N, D) float32, rows of unit length, or all zero where nothing can be said.
    """

    keypoints: Keypoints
    descriptors: Float32

    def __post_init__(self) -> None:
        descriptors = _array(
            "Features", "descriptors", self.descriptors, np.float32, (len(self.keypoints), None)
        )
        object.__setattr__(self, "descriptors", descriptors)

    def __len__(self) -> int:
        return len(self.keypoints)


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs of row indices into two sets of features.

    pairs: (M, 2) int64, column 0 into the first set, column 1 into the second.
    scores: (M,) float32 cosine.
    """

    pairs: Int64
    scores: Float32

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "pairs", _array("Matches", "pairs", self.pairs, np.int64, (None, 2))
        )
        object.__setattr__(
            self, "scores", _array("Matches", "scores", self.scores, np.float32, (len(self.pairs),))
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: NDArray | slice) -> Matches:
        """The matches picked by a slice, a mask or an index array."""
        return Matches(self.pairs[index], self.scores[index])

    def points(self, features0: Features, features1: Features) -> tuple[Float32, Float32]:
        """The matched keypoints of both images: (M, 2) float32 pixels of each, row by row."""
        return (
            features0.keypoints.xy[self.pairs[:, 0]],
            features1.keypoints.xy[self.pairs[:, 1]],
        )

    def swapped(self) -> Matches:
        """The same matches seen from the second image, in the order of its rows."""
        pairs = self.pairs[:, ::-1]
        order = np.argsort(pairs[:, 0], kind="stable")
        return Matches(pairs[order], self.scores[order])

    @classmethod
    def none(cls) -> Matches:
        """No matches."""
        return cls(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))


class FeatureSource(Protocol):
    """Gives features by image name; KeyError for an image it does not have."""

    def __getitem__(self, name: str, /) -> Features: ...


class MatchSource(Protocol):
    """Gives matches by pair of image names; KeyError for a pair it does not have."""

    def __getitem__(self, pair: Pair, /) -> Matches: ...
