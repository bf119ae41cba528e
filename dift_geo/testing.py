"""A diffusion model and a detector for tests: no weights, no download, the same numbers everywhere.

Both hold their whole contract, so that code written for any backend or detector can be tested with
them in milliseconds. What they give is deterministic and knows nothing of what an image shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.contract import Backend
from dift_geo.detectors.contract import Detector
from dift_geo.errors import InputError
from dift_geo.types import Keypoints

__all__ = ["FakeBackend", "FakeDetector"]

CELL = 4  # pixels per side of what `FakeBackend` encodes into one cell
TIMESTEPS = 1000


class FakeBackend(Backend):
    """A backend that mixes the colours around a place by fixed random numbers.

    The same patch has the same descriptor wherever it lies, as long as it moves by whole cells of
    4 pixels, so that a shifted picture can be matched.

    channels: of every layer.
    deviation: standard deviation of the encoding; None is an encoder that is not random.
    seed: of the mixing; another seed is another model.
    """

    def __init__(self, channels: int = 32, deviation: float | None = None, seed: int = 0) -> None:
        if channels < 1:
            raise InputError(f"channels is {channels}, expected at least 1")
        self.name = "fake"
        self.multiple = CELL
        self.device = torch.device("cpu")
        self.channels, self.deviation, self.seed = channels, deviation, seed
        self.images_seen = 0  # for tests that count how often the model is asked

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) in [0, 1] -> mean colours (B, 3, H/4, W/4) in [-1, 1], and the deviation."""
        x0 = 2 * F.avg_pool2d(images, CELL) - 1
        if self.deviation is None:
            return x0, None
        return x0, torch.full_like(x0, self.deviation)

    def alpha_bar(self, t: int) -> Tensor:
        """All signal at t 0 and none at 1000."""
        return torch.tensor(1 - t / TIMESTEPS)

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """Layer n mixes (2n + 1) x (2n + 1) cells around a place: (B, channels, H/4, W/4) each."""
        self.images_seen += len(x_t)
        return [self._layer(x_t, layer) for layer in layers]

    def recipe(self) -> dict[str, object]:
        """What determines the features."""
        return {
            "name": self.name,
            "channels": self.channels,
            "deviation": self.deviation,
            "seed": self.seed,
        }

    def _layer(self, x_t: Tensor, layer: int) -> Tensor:
        if layer < 0:
            raise InputError(f"layer is {layer}, expected 0 or more for {self.name}")
        side = 2 * layer + 1
        random = torch.Generator().manual_seed(self.seed + 7919 * layer)
        weight = torch.randn((self.channels, x_t.shape[1], side, side), generator=random)
        surrounded = F.pad(x_t, (layer, layer, layer, layer), mode="replicate")
        return torch.tanh(F.conv2d(surrounded, weight))


class FakeDetector(Detector):
    """A detector that sees nothing: keypoints on a grid over the whole image.

    spacing: pixels from one to the next.
    max_keypoints: the first kept, row by row.
    oriented: whether they have a scale (a quarter of the spacing) and an angle (0).
    at_full_size: whether it asks for the photo at its own size, as keypoints of other programs do.
    """

    name = "fake"

    def __init__(
        self,
        spacing: int = 16,
        max_keypoints: int = 10_000,
        *,
        oriented: bool = True,
        at_full_size: bool = False,
    ) -> None:
        for field, value in (("spacing", spacing), ("max_keypoints", max_keypoints)):
            if value < 1:
                raise InputError(f"{field} is {value}, expected at least 1")
        self.spacing, self.max_keypoints, self.oriented = spacing, max_keypoints, oriented
        self._at_full_size = at_full_size

    @property
    def at_full_size(self) -> bool:
        """As the constructor was told."""
        return self._at_full_size

    def detect(self, image: NDArray[np.uint8], name: str) -> Keypoints:
        """The grid over (H, W, 3), half a spacing from the edge; none where it does not fit."""
        h, w = image.shape[:2]
        first = self.spacing // 2
        y, x = np.mgrid[first : h : self.spacing, first : w : self.spacing]
        xy = np.stack([x.ravel(), y.ravel()], 1)[: self.max_keypoints].astype(np.float32)
        count = len(xy)
        # the first counts most, so that whatever keeps the best keeps the same
        keypoints = Keypoints(xy, np.linspace(1, 0.5, count, dtype=np.float32), (w, h))
        if not self.oriented:
            return keypoints
        scale = np.full(count, self.spacing / 4, np.float32)
        return replace(keypoints, scale=scale, angle=np.zeros(count, np.float32))

    def recipe(self) -> dict[str, object]:
        """What determines the keypoints."""
        return {
            "name": self.name,
            "spacing": self.spacing,
            "max_keypoints": self.max_keypoints,
            "oriented": self.oriented,
        }
