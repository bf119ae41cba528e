"""The dense reading: one feature map of the whole image, read at the keypoints (the paper's).

Knows neither the network nor the noise: what shows images to them is an argument.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.config import Dense
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.errors import InputError
from dift_geo.types import Keypoints

__all__ = ["network_image", "read_dense", "require_multiple"]

Look = Callable[[Tensor], list[Tensor]]  # (B, 3, h, w) in [0, 1] -> (B, C, h, w) for each layer


def read_dense(
    look: Look, reading: Dense, multiple: int, image: NDArray[np.uint8], keypoints: Keypoints
) -> NDArray[np.float32]:
    """(N, D) float32: what each layer says at each keypoint, at unit length, side by side.

    look: images -> features of every layer.
    multiple: sides of what `look` is shown are multiples of this, in pixels.
    image: (H, W, 3) uint8 RGB.
    keypoints: in its frame.
    """
    h, w = image.shape[:2]
    maps = look(network_image(image, reading, multiple))
    xy = torch.from_numpy(keypoints.xy).to(maps[0].device)
    parts = []
    for values in maps:
        grid = FeatureMap(values[0], (w, h))
        rows = grid.sample_as_published(xy) if reading.published_grid else grid.sample(xy)
        parts.append(F.normalize(rows))
    return torch.cat(parts, 1).cpu().numpy()


def network_image(image: NDArray[np.uint8], reading: Dense, multiple: int) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, h, w) float32 in [0, 1], resized to what the network takes."""
    require_multiple(reading, multiple)
    h, w = (max(multiple, round(side / multiple) * multiple) for side in image.shape[:2])
    if reading.network_wh is not None:
        w, h = reading.network_wh
    if reading.resize == "pillow":
        from PIL import Image

        image = np.array(Image.fromarray(image).resize((w, h)))
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    if reading.resize == "pillow":
        return tensor
    return F.interpolate(tensor, (h, w), mode="bilinear", antialias=True, align_corners=False)


def require_multiple(reading: Dense, multiple: int) -> None:
    """Raise InputError where the exact size asked for is none that the network takes."""
    for side in reading.network_wh or ():
        if side % multiple:
            raise InputError(f"network_wh has side {side}, expected multiples of {multiple}")
