"""SIFT keypoints and RootSIFT descriptors, by OpenCV. Knows nothing of diffusion."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.detectors.contract import Describer, Detector
from dift_geo.detectors.spread import cover, rank_within
from dift_geo.errors import InputError
from dift_geo.options import require_at_least
from dift_geo.types import Keypoints

__all__ = ["RootSift", "Sift"]


@dataclass(frozen=True)
class Sift(Detector):
    """SIFT keypoints (Lowe 2004) by OpenCV, which also gives RootSIFT descriptors at them.

    max_keypoints: the strongest responses kept, orientations counted.
    max_orientations: keypoints kept at one location and scale, which differ in angle only; Lowe
        finds a second peak at about 15 % of locations.
    contrast_threshold, edge_threshold, octave_layers, sigma: OpenCV's parameters of these meanings.
    spread: of more keypoints than `max_keypoints`, keep those that cover the picture, see
        `cover`, instead of the strongest.
    upright: for photos that do not turn, each location once, with angle 0.
    name: what it is called in recipes.
    """

    max_keypoints: int = 2048
    max_orientations: int = 2
    contrast_threshold: float = 0.04
    edge_threshold: float = 10.0
    octave_layers: int = 3
    sigma: float = 1.6
    spread: bool = False
    upright: bool = False
    name: str = "sift"

    def __post_init__(self) -> None:
        counts = {
            "max_keypoints": self.max_keypoints,
            "max_orientations": self.max_orientations,
            "octave_layers": self.octave_layers,
        }
        for field, value in counts.items():
            require_at_least(f"Sift.{field}", value, 1)
        require_at_least("Sift.contrast_threshold", self.contrast_threshold, 0)

    def recipe(self) -> dict[str, object]:
        """What determines the keypoints, for the store."""
        fields = asdict(self)
        for later in ("spread", "upright"):
            if not fields[later]:  # as stores say that were made before it could be asked for
                del fields[later]
        return fields

    def own_describer(self) -> RootSift:
        """RootSIFT, by the same pyramid."""
        return RootSift(self)

    def _opencv(self) -> cv2.SIFT:
        # Precise: OpenCV's default puts every keypoint a quarter pixel too far right and down.
        return cv2.SIFT.create(
            0,
            self.octave_layers,
            self.contrast_threshold,
            self.edge_threshold,
            self.sigma,
            enable_precise_upscale=True,
        )

    def detect(self, image: NDArray[np.uint8], name: str = "") -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB, strongest response first, whatever its name.

        There are none in flat or tiny images.
        """
        h, w = image.shape[:2]
        rows = np.zeros((0, 5), np.float64)
        if min(h, w) >= 8:  # OpenCV's pyramid has no octave below that
            found = self._opencv().detect(_luma(image), None)
            rows = np.array(
                [(*k.pt, k.size, k.angle, k.response) for k in found], np.float64
            ).reshape(-1, 5)
        x, y, size, angle, response = rows.T
        # position breaks ties: the order never depends on OpenCV's
        order = np.lexsort((angle, size, x, y, -response))
        order = order[
            _rank_within(rows[order, :3]) < (1 if self.upright else self.max_orientations)
        ]
        if self.spread:
            order = order[cover(rows[order, :2], (w, h), self.max_keypoints)]
        order = order[: self.max_keypoints]
        return Keypoints(
            rows[order, :2].astype(np.float32),
            response[order].astype(np.float32),
            (w, h),
            (size[order] / 2).astype(np.float32),
            np.deg2rad(0 * angle[order] if self.upright else angle[order]).astype(np.float32),
        )

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str = ""
    ) -> NDArray[np.float32]:
        """RootSIFT (Arandjelovic and Zisserman 2012) of (H, W, 3) uint8 RGB.

        keypoints: with scale and angle.
        Returns (N, 128) float32 rows of unit length.
        """
        if keypoints.scale is None or keypoints.angle is None:
            raise InputError(
                "RootSIFT needs keypoints with scale and angle; "
                f"got none from the detector for {name!r}"
            )
        if not len(keypoints):
            return np.zeros((0, 128), np.float32)
        columns = zip(
            keypoints.xy.tolist(), keypoints.scale.tolist(), np.rad2deg(keypoints.angle).tolist()
        )
        points = [
            cv2.KeyPoint(xy[0], xy[1], 2 * scale, angle, 0, self._octave(scale))
            for xy, scale, angle in columns
        ]
        # OpenCV builds its pyramid from the finest octave asked for; a keypoint of octave -1 always
        # asks for the doubled image, so that a descriptor equals `detectAndCompute`'s and never
        # depends on the other keypoints.
        points.append(cv2.KeyPoint(0, 0, self.sigma, 0, 0, self._octave(self.sigma / 2)))
        kept, sift = self._opencv().compute(_luma(image), points)
        assert len(kept) == len(points), "OpenCV dropped keypoints while describing"
        sift = sift[:-1]
        return np.sqrt(sift / np.maximum(np.abs(sift).sum(1, keepdims=True), 1e-12)).astype(
            np.float32
        )

    def _octave(self, scale: float) -> int:
        """OpenCV's packed octave and layer of a keypoint of this blob radius.

        A refined layer l + xi lies in [1/2, layers + 1/2], an interval of one octave, so scale
        determines both.
        """
        position = np.log2(scale / self.sigma) * self.octave_layers  # layers above the base image
        octave = int(np.floor((position - 0.5) / self.octave_layers))
        octave = max(octave, -1)
        layer = int(np.clip(round(position - octave * self.octave_layers), 1, self.octave_layers))
        return (octave & 255) | layer << 8


@dataclass(frozen=True)
class RootSift(Describer):
    """RootSIFT descriptors at keypoints with scale and angle, by OpenCV's SIFT.

    sift: whose pyramid it reads.
    name: what it is called in words.
    """

    sift: Sift = Sift()
    name: str = "rootsift"

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str = ""
    ) -> NDArray[np.float32]:
        """As `Sift.describe`: (N, 128) float32 rows of unit length."""
        return self.sift.describe(image, keypoints, name)

    def recipe(self) -> dict[str, object]:
        """What determines the descriptors, for the store."""
        return {**self.sift.recipe(), "name": self.name}


def _luma(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _rank_within(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each row, how many equal rows stand before it."""
    _, group = np.unique(rows, axis=0, return_inverse=True)
    return rank_within(group)
