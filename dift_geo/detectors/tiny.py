"""The embedded detector: learned keypoints with scale and angle, from weights that ship.

Trained without labels, on synthetic views of photos, to find places that are found again and whose
descriptors from the embedded diffusion model find each other (`pipelines/train_keypoints.py`).
Knows nothing of descriptors at run time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dift_geo.backends.cache import file_sha256
from dift_geo.backends.device import pick_device
from dift_geo.backends.weights import load_module
from dift_geo.detectors.contract import Detector
from dift_geo.detectors.levels import LEVELS, at_levels
from dift_geo.detectors.peaks import (
    clear_border,
    lone_maxima,
    paraboloid_tops,
    patches_at,
)
from dift_geo.detectors.tiny_network import (
    MULTIPLE,
    KeypointNetwork,
    less_light,
    light_of,
)
from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import luma_of
from dift_geo.options import require_at_least
from dift_geo.types import Keypoints

__all__ = ["TINY_KEYPOINTS", "TinyKeypoints"]

TINY_KEYPOINTS = (
    Path(__file__).parent.parent / "weights" / "tiny_keypoints" / "keypoints.safetensors"
)
FLAT = 0.5 / 255  # deviation of luma around
BORDER_PX = 6  # of each level, where the network sees the edge


class TinyKeypoints(Detector):
    """Detects on a pyramid; a keypoint's scale is its level's, its angle that of the gradients."""

    name = "tiny"

    def __init__(
        self,
        max_keypoints: int = 2048,
        where: str | Path = TINY_KEYPOINTS,
        *,
        threshold: float = 0.1,
        nms_radius: int = 4,
        levels: int = LEVELS,
        upright: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        """Load the network.

        max_keypoints: the highest scores kept.
        where: a weight file, as `train_keypoints.py export` writes them.
        threshold: least score, from 0 to 1.
        nms_radius: pixels of a level around a keypoint that hold no other.
        levels: sizes of the picture looked at, each smaller by the square root of 2.
        upright: photos do not turn, so that every angle is 0.
        Raises MissingFileError or InputError where the weights cannot be had or are another's.
        """
        require_at_least("the tiny detector's max_keypoints", max_keypoints, 1)
        require_at_least("the tiny detector's nms_radius", nms_radius, 1)
        require_at_least("the tiny detector's levels", levels, 1)
        if not 0 <= threshold < 1:
            raise InputError(
                f"the tiny detector's threshold is {threshold}, expected from 0 to below 1"
            )
        file = Path(where)
        if not file.is_file():
            raise MissingFileError(
                f"{file} is not there, expected a file that train_keypoints.py export wrote"
            )
        self.device = pick_device(device)
        self.network = load_module(KeypointNetwork, [file], device=self.device, dtype=torch.float32)
        for parameter in self.network.parameters():
            if parameter.ndim == 4:  # a kernel, in the order of memory that few channels want
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.max_keypoints, self.threshold = max_keypoints, threshold
        self.nms_radius, self.levels, self.upright = nms_radius, levels, upright
        self._weights = file_sha256(file)[:16]

    def recipe(self) -> dict[str, object]:
        """What determines the keypoints, for the store."""
        return {
            "name": self.name,
            "weights": self._weights,
            "max_keypoints": self.max_keypoints,
            "threshold": self.threshold,
            "nms_radius": self.nms_radius,
            "levels": self.levels,
            "upright": self.upright,
        }

    def detect(self, image: NDArray[np.uint8], name: str = "") -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB, highest score first, whatever its name."""
        return at_levels(image, self._find, self.levels, self.max_keypoints, upright=self.upright)

    def _find(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Places (N, 2) (x, y) in a picture, and their scores (N,)."""
        h, w = image.shape[:2]
        if min(h, w) <= 2 * BORDER_PX:
            return np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
        luma = luma_of(image)
        mean, deviation = light_of(luma)
        shown = torch.from_numpy(less_light(luma, mean, deviation))[None, None].to(self.device)
        # in flat places rounding alone makes maxima
        textured = torch.from_numpy(deviation > FLAT).to(self.device)
        with torch.inference_mode():
            padded = F.pad(shown, (0, -w % MULTIPLE, 0, -h % MULTIPLE))
            maps = self.network(padded.contiguous(memory_format=torch.channels_last))
            again, reliable = maps[0, :2, :h, :w].contiguous()
            scores = again.sigmoid() * reliable.sigmoid()
            inside = clear_border((scores > self.threshold) & textured, BORDER_PX)
            pixels = lone_maxima(scores, self.nms_radius)
            pixels = pixels[inside[pixels[:, 1], pixels[:, 0]]]
            peaks = scores[pixels[:, 1], pixels[:, 0]]
            xy = pixels + paraboloid_tops(patches_at(again, pixels, 2))
        return xy.cpu().numpy(), peaks.cpu().numpy()
