"""hloc's extractor contract over our extractor.

Loaded by hloc as `<its package>.extractors.dift`, and takes the base class from there. Sees the
image as hloc resized it and answers in that frame; knows no files.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dift_geo.errors import InputError
from dift_geo.extractor import build_extractor

__all__ = ["DiftExtractor"]

# of whichever hloc loads this file
BaseModel: Any = import_module("..utils.base_model", __package__).BaseModel


class DiftExtractor(BaseModel):
    """Keypoints and diffusion descriptors; settings are the arguments of `build_extractor`."""

    required_inputs = ["image"]  # noqa: RUF012 (hloc copies it per instance)
    detection_noise = 1.0  # pixels of the image given, hloc's own figure for SIFT

    def _init(self, conf: dict[str, Any]) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"  # hloc's own rule
        settings = {key: value for key, value in conf.items() if key != "name"}
        self.extractor = build_extractor(**{"size": None, "device": device, **settings})

    def _forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """image (1, 1 or 3, H, W) in [0, 1] -> keypoints (1, N, 2), scores (1, N), descriptors (1,
        D, N) and, where the detector has them, scales (1, N) and oris (1, N)."""
        image = data["image"]
        if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (1, 3):
            raise InputError(
                f"image has shape {tuple(image.shape)}, expected (1, 1 or 3, H, W) as hloc's loader gives it"
            )
        pixels = (image[0].expand(3, -1, -1) * 255).round().clamp(0, 255).to(torch.uint8)
        array = np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())
        # hloc keeps the name to itself; two images must not share their noise
        name = str(zlib.crc32(array.tobytes()))
        features = self.extractor.extract(array, name)
        k = features.keypoints
        # Keypoints leave in double precision: hloc's as_half rounds what is float32, up to a pixel,
        # and nothing else.
        found = {
            "keypoints": k.xy.astype(np.float64),
            "scores": k.scores,
            "descriptors": features.descriptors.T,
        }
        found |= {
            key: column
            for key, column in (("scales", k.scale), ("oris", k.angle))
            if column is not None
        }
        return {
            key: torch.from_numpy(np.ascontiguousarray(value))[None].to(image.device)
            for key, value in found.items()
        }
