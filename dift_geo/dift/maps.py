"""The features of a whole image as one map, of one model or of several side by side.

Knows neither points nor labels nor files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.config import Dense, DiftConfig
from dift_geo.backends.contract import Backend
from dift_geo.dift.dense import network_image
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.dift.noise import configured_features, seeded
from dift_geo.errors import InputError

__all__ = ["feature_map", "map_of_shown", "side_by_side"]


def feature_map(
    backend: Backend, config: DiftConfig, image: NDArray[np.uint8], name: str
) -> FeatureMap:
    """The map of (H, W, 3) uint8 RGB, in the image's frame.

    config: how the model is read, densely; one layer gives its features as they are, several stand
        side by side.
    name: of the image; seeds the noise together with the config's seed.
    Raises InputError for another reading than the dense one.
    """
    if not isinstance(config.reading, Dense):
        raise InputError(
            f"the reading is {config.reading.name}, but a map of an image needs the dense one"
        )
    h, w = image.shape[:2]
    shown = network_image(image, config.reading, backend.multiple)
    return FeatureMap(map_of_shown(backend, config, shown, name), (w, h))


def map_of_shown(backend: Backend, config: DiftConfig, shown: Tensor, name: str) -> Tensor:
    """(C, h, w) float32: the features of what the model is shown, (1, 3, H, W) in [0, 1]."""
    generator = None if config.noise is None else seeded(config.noise, name)
    maps = configured_features(backend, config, shown, generator)
    return side_by_side([values[0] for values in maps])


def side_by_side(maps: Sequence[Tensor]) -> Tensor:
    """Several (C, h, w) maps as one with all channels, on the grid of the finest.

    Each counts equally: its cells have unit length, without which the longest features decide alone
    (sd-dino, NeurIPS 2023). A single map stays as it is.
    """
    if len(maps) == 1:
        return maps[0]
    grid = max((values.shape[1:] for values in maps), key=lambda size: size[0] * size[1])
    parts = []
    for values in maps:
        if values.shape[1:] != grid:
            values = F.interpolate(values[None], grid, mode="bilinear", align_corners=False)[0]
        parts.append(F.normalize(values.float(), dim=0))
    return torch.cat(parts)
