"""SuperPoint (DeTone, Malisiewicz and Rabinovich 2018): learned corners with descriptors of their
own.

The network is transformers'; weights come from the hub or a folder and are not ours: the published
ones are licensed for noncommercial research, and the first use in a process says so. Knows nothing
of diffusion.
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.cache import file_sha256
from dift_geo.backends.device import pick_device
from dift_geo.backends.hub import Source, locate
from dift_geo.backends.weights import find_weights, load_module
from dift_geo.detectors.contract import Describer, Detector
from dift_geo.errors import InputError, MissingPackageError
from dift_geo.jsonfiles import read_json
from dift_geo.options import require_at_least
from dift_geo.types import Keypoints

if TYPE_CHECKING:
    from transformers import SuperPointForKeypointDetection

__all__ = ["SUPERPOINT", "SuperPoint"]

logger = logging.getLogger(__name__)
SUPERPOINT = "magic-leap-community/superpoint"
CELL = 8  # pixels per side of one cell of the network's output
_told: set[str] = set()


class SuperPoint(Detector, Describer):
    """Detector, and describer with the network's own descriptors."""

    name = "superpoint"

    def __init__(
        self,
        max_keypoints: int = 2048,
        where: str | Path = SUPERPOINT,
        *,
        threshold: float = 0.005,
        nms_radius: int = 4,
        border: int = 4,
        device: str | torch.device = "cpu",
        revision: str | None = None,
    ) -> None:
        """Load the network. The defaults are the authors'.

        max_keypoints: the highest scores kept; to whole pixels, without scale or angle.
        where: hub id or folder in transformers' layout (`config.json`, `model.safetensors`).
        threshold: least score.
        nms_radius: pixels around a keypoint that hold no other.
        border: pixels along the image's edge that hold none.
        revision: of a hub id.
        Raises FileNotFoundError or ValueError where the weights cannot be had or are not
        SuperPoint's.
        """
        require_at_least("SuperPoint's max_keypoints", max_keypoints, 1)
        require_at_least("SuperPoint's nms_radius", nms_radius, 0)
        require_at_least("SuperPoint's border", border, 0)
        _require_transformers()
        source = locate(where, ["config.json", "model.safetensors"], revision)
        sizes = _sizes(source)
        weights = find_weights(source.folder)
        self.device = pick_device(device)
        self.model = load_module(
            lambda: _network(sizes, threshold, nms_radius),
            weights,
            device=self.device,
            dtype=torch.float32,
        )
        self.max_keypoints, self.border = max_keypoints, border
        self._recipe: dict[str, object] = {
            "name": self.name,
            "weights": file_sha256(weights[0])[:16],
            "revision": source.revision,
            "max_keypoints": max_keypoints,
            "threshold": threshold,
            "nms_radius": nms_radius,
            "border": border,
        }
        self._last: tuple[int, Tensor] | None = None  # checksum and encoding of the last image
        _tell_licence(source.label)

    def recipe(self) -> dict[str, object]:
        """What determines keypoints and descriptors, for the store."""
        return dict(self._recipe)

    def own_describer(self) -> SuperPoint:
        """Itself."""
        return self

    def detect(self, image: NDArray[np.uint8], name: str = "") -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB, highest score first, whatever its name.

        There are none in images smaller than one cell. The network sees whole cells: up to 7 rows
        and columns at the bottom and right belong to none.
        """
        h, w = image.shape[:2]
        if min(h, w) < CELL:
            return Keypoints(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), (w, h))
        with torch.inference_mode():
            xy, scores = self.model.keypoint_decoder(self._encoded(image))
        (x, y), score = xy.cpu().numpy().T, scores.cpu().numpy()
        bottom, right = (side // CELL * CELL - self.border for side in (h, w))
        inside = (x >= self.border) & (y >= self.border) & (x < right) & (y < bottom)
        # in an order that does not depend on the device
        order = np.lexsort((x, y, -score))
        order = order[inside[order]][: self.max_keypoints]
        return Keypoints(np.stack([x, y], 1)[order], score[order], (w, h))

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str = ""
    ) -> NDArray[np.float32]:
        """The network's own descriptors of (H, W, 3) uint8 RGB at any keypoints.

        Returns (N, 256) float32 rows of unit length, read as the authors' code reads them, which is
        not quite where the keypoints are; the weights are used so everywhere.
        """
        dim = int(self.model.config.descriptor_decoder_dim)
        if not len(keypoints) or min(image.shape[:2]) < CELL:
            return np.zeros((len(keypoints), dim), np.float32)
        with torch.inference_mode():
            xy = torch.from_numpy(keypoints.xy).to(self.device)
            rows: Tensor = self.model.descriptor_decoder(self._encoded(image), xy)
        return rows.cpu().numpy()

    def _encoded(self, image: NDArray[np.uint8]) -> Tensor:
        """The encoder's output; it is asked for twice an image, to detect and to describe, so that
        of the last image is kept.
        """
        key = zlib.crc32(image.tobytes(), hash(image.shape) & 0xFFFFFFFF)
        if self._last is None or self._last[0] != key:
            luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
            pixels = torch.from_numpy(luma)[None, None].to(self.device)  # (1, 1, H, W)
            self._last = key, self.model.encoder(pixels).last_hidden_state
        return self._last[1]


def _require_transformers() -> None:
    try:
        import transformers  # noqa: F401 (before anything is downloaded)
    except ImportError as error:
        raise MissingPackageError(
            "SuperPoint needs transformers; pip install 'dift-geo[sd]'"
        ) from error


def _sizes(source: Source) -> dict[str, object]:
    """The sizes of the network's layers, out of its `config.json`."""
    file = source.folder / "config.json"
    own = read_json(file, "copy the model again") if file.is_file() else {}
    if own.get("model_type") != "superpoint":
        raise InputError(
            f"{source.label} holds {own.get('model_type', 'no model')}, "
            f"expected SuperPoint, as {SUPERPOINT}"
        )
    return {key: value for key, value in own.items() if key.endswith(("_dim", "_size", "_sizes"))}


def _network(
    sizes: dict[str, object], threshold: float, nms_radius: int
) -> SuperPointForKeypointDetection:
    from transformers import SuperPointConfig, SuperPointForKeypointDetection

    options = {
        "max_keypoints": -1,  # the best are kept in `detect`
        "keypoint_threshold": threshold,
        "nms_radius": nms_radius,
        # transformers 5.23 clears the border at the top and left only; see `detect`
        "border_removal_distance": 0,
    }
    return SuperPointForKeypointDetection(SuperPointConfig.from_dict({**sizes, **options}))


def _tell_licence(label: str) -> None:
    if label not in _told:
        _told.add(label)
        logger.warning(
            "SuperPoint weights from %s: Magic Leap licenses its own for noncommercial research "
            "only",
            label,
        )
