"""SuperPoint (DeTone, Malisiewicz and Rabinovich 2018): learned corners with descriptors of their
own.

The network is transformers'; weights come from the hub or a folder and are not ours: the published
ones are licensed for noncommercial research, and the first use in a process says so. Knows nothing
of diffusion.
"""

from __future__ import annotations

import json
import logging
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.device import pick_device
from dift_geo.backends.weights import file_sha256, find_weights, load_module, locate
from dift_geo.errors import InputError, MissingPackageError
from dift_geo.types import Keypoints

__all__ = ["SUPERPOINT", "SuperPoint"]

logger = logging.getLogger(__name__)
SUPERPOINT = "magic-leap-community/superpoint"
CELL = 8  # pixels per side of one cell of the network's output
_told: set[str] = set()


class SuperPoint:
    """Detector and baseline descriptor.

    where: hub id or folder in transformers' layout (`config.json`, `model.safetensors`).
    max_keypoints: the highest scores kept. threshold: least score. nms_radius: pixels around a
    keypoint that hold no other. border: pixels along the image's edge that hold none. The defaults
    are the authors'; they find points to whole pixels, without scale or angle. Raises
    FileNotFoundError or ValueError when the weights cannot be had or are not SuperPoint's.
    """

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
        for field, value, least in (
            ("max_keypoints", max_keypoints, 1),
            ("nms_radius", nms_radius, 0),
            ("border", border, 0),
        ):
            if value < least:
                raise InputError(f"SuperPoint's {field} is {value}, expected at least {least}")
        try:
            from transformers import SuperPointConfig, SuperPointForKeypointDetection
        except ImportError as error:
            raise MissingPackageError(
                "SuperPoint needs transformers; pip install 'dift-geo[sd]'"
            ) from error

        source = locate(where, ["config.json", "model.safetensors"], revision)
        file = source.folder / "config.json"
        own = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if own.get("model_type") != "superpoint":
            raise InputError(
                f"{source.label} holds {own.get('model_type', 'no model')}, expected SuperPoint, as {SUPERPOINT}"
            )
        options: dict[str, Any] = {
            # the best are kept in `detect`, in an order that does not depend on the device
            "max_keypoints": -1,
            "keypoint_threshold": threshold,
            "nms_radius": nms_radius,
            # transformers 5.23 clears the border at the top and left only; see `detect`
            "border_removal_distance": 0,
        }
        sizes = {
            key: value for key, value in own.items() if key.endswith(("_dim", "_size", "_sizes"))
        }
        weights = find_weights(source.folder)
        self.device = pick_device(device)
        self.model: Any = load_module(
            lambda: SuperPointForKeypointDetection(SuperPointConfig(**sizes, **options)),
            weights,
            device=self.device,
            dtype=torch.float32,
        )
        self.name, self.max_keypoints, self.border = "superpoint", max_keypoints, border
        self._recipe = {
            "name": self.name,
            "weights": file_sha256(weights[0])[:16],
            "revision": source.revision,
            "max_keypoints": max_keypoints,
            "threshold": threshold,
            "nms_radius": nms_radius,
            "border": border,
        }
        self._last: tuple[int, Tensor] | None = None
        _tell_licence(source.label)

    def recipe(self) -> dict[str, Any]:
        """What determines the keypoints, for the store."""
        return dict(self._recipe)

    def detect(self, image: NDArray[np.uint8]) -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB, highest score first; none for images smaller than one
        cell.

        The network sees whole cells: up to 7 rows and columns at the bottom and right belong to
        none.
        """
        h, w = image.shape[:2]
        if min(h, w) < CELL:
            return Keypoints(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), (w, h))
        with torch.inference_mode():
            xy, scores = self.model.keypoint_decoder(self._encoded(image))
        (x, y), score = xy.cpu().numpy().T, scores.cpu().numpy()
        bottom, right = (side // CELL * CELL - self.border for side in (h, w))
        inside = (x >= self.border) & (y >= self.border) & (x < right) & (y < bottom)
        order = np.lexsort((x, y, -score))
        order = order[inside[order]][: self.max_keypoints]
        return Keypoints(np.stack([x, y], 1)[order], score[order], (w, h))

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str = ""
    ) -> NDArray[np.float32]:
        """The network's own descriptors of (H, W, 3) uint8 RGB at any keypoints: (N, 256) float32,
        unit rows.

        Read as the authors' code reads them, which is not quite where the keypoints are; the
        weights are used so everywhere.
        """
        dim = int(self.model.config.descriptor_decoder_dim)
        if not len(keypoints) or min(image.shape[:2]) < CELL:
            return np.zeros((len(keypoints), dim), np.float32)
        with torch.inference_mode():
            xy = torch.from_numpy(keypoints.xy).to(self.device)
            rows: Tensor = self.model.descriptor_decoder(self._encoded(image), xy)
        return rows.cpu().numpy()

    def _encoded(self, image: NDArray[np.uint8]) -> Tensor:
        """The encoder's output, kept for the last image: it is asked for twice, to detect and to
        describe.
        """
        key = zlib.crc32(image.tobytes(), hash(image.shape) & 0xFFFFFFFF)
        if self._last is None or self._last[0] != key:
            luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
            self._last = (
                key,
                self.model.encoder(
                    torch.from_numpy(luma)[None, None].to(self.device)
                ).last_hidden_state,
            )
        return self._last[1]


def _tell_licence(label: str) -> None:
    if label not in _told:
        _told.add(label)
        logger.warning(
            "SuperPoint weights from %s: Magic Leap licenses its own for noncommercial research only",
            label,
        )
