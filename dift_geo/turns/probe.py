"""What a first round of matching says of two photos: how far one is turned against the other, and
how much larger it shows things.

By RootSIFT at the strongest keypoints of small copies, whose angles and scales differ between the
photos by the same for most right matches. Knows nothing of a third photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.sift import Sift
from dift_geo.images import resize_longest
from dift_geo.matching.mutual_nn import match
from dift_geo.matching.options import MatchOptions
from dift_geo.types import Turn

__all__ = ["Probe", "Seen", "compare", "probe_photo"]

SIFT = Sift(1024, contrast_threshold=0.02)
PROBE_PX = 800  # longest side of the copies
RATIO = MatchOptions(ratio=0.85)
# matches that say the same lie so near, and so many of them are no accident
NEAR_ROLL, NEAR_ZOOM = np.deg2rad(20), 0.5
LEAST_AGREEING = 16
ROLL_SPREAD, ZOOM_SPREAD = np.deg2rad(10), 0.25  # of the kernel under which they crowd


@dataclass(frozen=True)
class Probe:
    """What is kept of a photo.

    descriptors: (N, 128) float16 RootSIFT.
    angle: (N,) float32 radians.
    octave: (N,) float32 logarithm to base 2 of the scale in pixels of the copy that is described.
    """

    descriptors: NDArray[np.float16]
    angle: NDArray[np.float32]
    octave: NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """How a second photo stands beside a first one.

    turn: of the second, against the first.
    agreeing: matches that say so.
    """

    turn: Turn
    agreeing: int

    def reversed(self) -> Seen:
        """The same, of the first photo against the second."""
        return Seen(Turn(-self.turn.roll, -self.turn.zoom), self.agreeing)


def probe_photo(photo: NDArray[np.uint8], size: int | None) -> Probe:
    """Look at (H, W, 3) uint8 RGB.

    size: longest side of the copy that will be described, in whose pixels scales are told; None is
        the photo's own.
    """
    copy = resize_longest(photo, PROBE_PX)
    keypoints = SIFT.detect(copy)
    descriptors = SIFT.describe(copy, keypoints).astype(np.float16)
    longest = max(photo.shape[:2])
    described = longest if size is None else min(size, longest)
    assert keypoints.scale is not None
    assert keypoints.angle is not None
    octave = np.log2(keypoints.scale * np.float32(described / max(copy.shape[:2])))
    return Probe(descriptors, keypoints.angle, octave.astype(np.float32))


def compare(first: Probe, second: Probe) -> Seen | None:
    """How the second photo stands beside the first; None where too few matches agree on it."""
    rows0, rows1 = (probe.descriptors.astype(np.float32) for probe in (first, second))
    if not len(rows0) or not len(rows1):
        return None
    i, j = match(rows0, rows1, RATIO).pairs.T
    roll = second.angle[j] - first.angle[i]
    zoom = second.octave[j] - first.octave[i]
    if len(roll) < LEAST_AGREEING:
        return None
    apart = 1 - np.cos(roll[:, None] - roll)
    crowd = -apart / ROLL_SPREAD**2 - (zoom[:, None] - zoom) ** 2 / (2 * ZOOM_SPREAD**2)
    middle = int(np.exp(crowd).sum(1).argmax())
    near = apart[middle] <= 1 - np.cos(NEAR_ROLL)
    near &= np.abs(zoom - zoom[middle]) <= NEAR_ZOOM
    if near.sum() < LEAST_AGREEING:
        return None
    mean = np.angle(np.exp(1j * roll[near].astype(np.float64)).sum())
    return Seen(Turn(float(mean), float(np.median(zoom[near]))), int(near.sum()))
