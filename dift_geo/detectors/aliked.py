"""ALIKED (Zhao, Wu, Chen, Chen, Xu and Li 2023): learned keypoints between pixels, with descriptors
of their own.

The network is computed here; its published weights are under the BSD 3-Clause licence. Knows
nothing of diffusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.cache import file_sha256
from dift_geo.backends.device import pick_device
from dift_geo.backends.weights import load_module, read_tensors
from dift_geo.detectors.aliked_network import AlikedNetwork, AlikedSizes, Encoding
from dift_geo.detectors.contract import Describer, Detector
from dift_geo.detectors.last_image import LastImage
from dift_geo.detectors.peaks import (
    centre_of_mass,
    clear_border,
    is_plain,
    keypoints_of,
    largest_around,
    no_keypoints,
    patches_at,
)
from dift_geo.detectors.published import Published, find_weights_file
from dift_geo.errors import InputError
from dift_geo.options import require_at_least
from dift_geo.types import Keypoints

__all__ = ["ALIKED", "MODELS", "Aliked"]

ALIKED = "aliked-n16"
TEMPERATURE = 0.1  # of the scores around a keypoint, as trained
_URL = "https://raw.githubusercontent.com/Shiaoming/ALIKED"
_COMMIT = "683d7c65197395c0b3f01ebe76e1084a27e73a65"
_SHA256 = {
    "aliked-t16": "56782336919db220144a884e710e2b6af13b3b8f8da15b915a239078ab471085",
    "aliked-n16": "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2",
    "aliked-n16rot": "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332",
    "aliked-n32": "055283fd1624d3ab46a05c3b617b1a79a3f28d1f551737eef2d653e8c8232890",
}
MODELS: Mapping[str, Published] = MappingProxyType(
    {
        name: Published(
            url=f"{_URL}/{_COMMIT}/models/{name}.pth", sha256=sha256, wheel_name=f"{name}.pth"
        )
        for name, sha256 in _SHA256.items()
    }
)


class Aliked(Detector, Describer):
    """Detector, and describer with the network's own descriptors."""

    name = "aliked"

    def __init__(
        self,
        max_keypoints: int = 2048,
        where: str | Path = ALIKED,
        *,
        threshold: float = 0.02,
        nms_radius: int = 2,
        device: str | torch.device = "cpu",
    ) -> None:
        """Load the network. The defaults are the authors', but for `threshold`, which they set to
        0.2: what lies below matches as well, and small or dim photos have little above.

        max_keypoints: the highest scores kept; between pixels, without scale or angle.
        where: aliked-t16, aliked-n16, aliked-n16rot, aliked-n32, a weight file of one of them, or a
            folder that holds one.
        threshold: least score, from 0 to 1.
        nms_radius: pixels around a keypoint that hold no other; also along the image's edge.
        Raises MissingFileError or InputError where the weights cannot be had or are not ALIKED's.
        """
        require_at_least("ALIKED's max_keypoints", max_keypoints, 1)
        require_at_least("ALIKED's nms_radius", nms_radius, 1)
        if not 0 <= threshold < 1:
            raise InputError(f"ALIKED's threshold is {threshold}, expected from 0 to below 1")
        file = find_weights_file(where, MODELS, "aliked-*")
        shapes = {name: tuple(tensor.shape) for name, tensor in read_tensors(file)}
        sizes = AlikedSizes.of(shapes, str(file))
        self.device = pick_device(device)
        self.network = load_module(
            lambda: AlikedNetwork(sizes), [file], device=self.device, dtype=torch.float32
        )
        self.max_keypoints, self.threshold, self.nms_radius = max_keypoints, threshold, nms_radius
        self._weights = file_sha256(file)[:16]
        self._last: LastImage[Encoding] = LastImage()

    def recipe(self) -> dict[str, object]:
        """What determines keypoints and descriptors, for the store."""
        return {
            "name": self.name,
            "weights": self._weights,
            "max_keypoints": self.max_keypoints,
            "threshold": self.threshold,
            "nms_radius": self.nms_radius,
        }

    def own_describer(self) -> Aliked:
        """Itself."""
        return self

    def detect(self, image: NDArray[np.uint8], name: str = "") -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB, highest score first, whatever its name.

        A score is that of the pixel where a keypoint was found, which is moved between pixels
        afterwards. Where no pixel is above the threshold there are no keypoints; the published
        code lowers the threshold to the mean then.
        """
        size_wh = image.shape[1], image.shape[0]
        if is_plain(image):
            return no_keypoints(size_wh)
        with torch.inference_mode():
            scores = self._encoded(image).scores
            pixels = _maxima(scores, self.nms_radius, self.threshold).nonzero().flip(1)
            patches = patches_at(scores, pixels, self.nms_radius)
            xy = pixels + centre_of_mass(patches, TEMPERATURE)
            peaks = scores[pixels[:, 1], pixels[:, 0]]
            return keypoints_of(xy, peaks, size_wh, self.max_keypoints)

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str = ""
    ) -> NDArray[np.float32]:
        """The network's own descriptors of (H, W, 3) uint8 RGB at any keypoints.

        Returns (N, 128) float32 rows of unit length, 64 columns for aliked-t16.
        """
        if not len(keypoints):
            return np.zeros((0, self.network.dim), np.float32)
        with torch.inference_mode():
            xy = torch.from_numpy(keypoints.xy).to(self.device)
            rows: Tensor = self.network.describe(self._encoded(image), xy)
        return rows.cpu().numpy()

    def _encoded(self, image: NDArray[np.uint8]) -> Encoding:
        return self._last.get(image, self._encode)

    def _encode(self, image: NDArray[np.uint8]) -> Encoding:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        encoding: Encoding = self.network(pixels.permute(2, 0, 1)[None].float() / 255)
        return encoding


def _maxima(scores: Tensor, radius: int, threshold: float) -> Tensor:
    """The pixels that are keypoints, a mask like (height, width) scores.

    Maxima of their windows, then those of what no maximum is near, twice; as published.
    """
    kept = scores == largest_around(scores, radius)
    for _ in range(2):
        near = largest_around(kept.to(scores), radius) > 0
        rest = torch.where(near, torch.zeros_like(scores), scores)
        kept |= (rest == largest_around(rest, radius)) & ~near
    return clear_border(kept & (scores > threshold), radius)
