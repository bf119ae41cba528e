"""hloc's extractor contract over our extractor.

Loaded by hloc as `<its package>.extractors.dift`, and takes the base class from there. Sees the
image as hloc resized it and answers in that frame; knows no files.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.detectors.loader import KINDS, split_word
from dift_geo.errors import InputError
from dift_geo.extractor import ExtractorOptions
from dift_geo.hloc_plugin.confs import options_of
from dift_geo.types import Features

__all__ = ["DiftExtractor"]

# of whichever hloc loads this file
BaseModel: Any = import_module("..utils.base_model", __package__).BaseModel


class DiftExtractor(BaseModel):
    """Keypoints and diffusion descriptors; settings are the fields of `ExtractorOptions`."""

    required_inputs = ["image"]  # noqa: RUF012 (hloc copies it per instance)
    detection_noise = 1.0  # pixels of the image given, hloc's own figure for SIFT

    def _init(self, conf: dict[str, object]) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"  # hloc's own rule
        options = options_of(ExtractorOptions, conf, size=None, device=device)
        kind, _ = split_word(options.detector)
        if KINDS[kind].looked_up:
            raise InputError(
                f"detector is {options.detector!r}, but hloc does not tell an extractor the names "
                "of images; use `dift-geo extract`, whose files hloc reads"
            )
        if options.straightening is not None:
            raise InputError(
                f"straighten is {options.straighten!r}, but hloc shows an extractor one photo at a "
                "time; use `dift-geo extract`, whose files hloc reads"
            )
        self.extractor = options.build()

    def _forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """image (1, 1 or 3, H, W) in [0, 1] -> keypoints (1, N, 2), scores (1, N), descriptors (1,
        D, N) and, where the detector has them, scales (1, N) and oris (1, N).
        """
        image = data["image"]
        # hloc keeps the name to itself; without one, images that differ do not share their noise
        features = self.extractor.extract(_pixels(image))
        return {
            key: torch.from_numpy(np.ascontiguousarray(column))[None].to(image.device)
            for key, column in _columns(features).items()
        }


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    """(1, 1 or 3, H, W) in [0, 1] -> (H, W, 3) uint8."""
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (1, 3):
        raise InputError(
            f"image has shape {tuple(image.shape)}, expected (1, 1 or 3, H, W) "
            "as hloc's loader gives it"
        )
    pixels = (image[0].expand(3, -1, -1) * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def _columns(features: Features) -> dict[str, NDArray]:
    """What hloc calls the columns of our features."""
    keypoints = features.keypoints
    columns: dict[str, NDArray] = {
        # Keypoints leave in double precision: hloc's as_half rounds what is float32, up to a pixel,
        # and nothing else.
        "keypoints": keypoints.xy.astype(np.float64),
        "scores": keypoints.scores,
        "descriptors": features.descriptors.T,
    }
    if keypoints.scale is not None:
        columns["scales"] = keypoints.scale
    if keypoints.angle is not None:
        columns["oris"] = keypoints.angle
    return columns
