"""The network of the embedded detector: how good a keypoint every pixel would make.

A U-Net of 41,000 numbers on luma from which the light is taken. Knows neither keypoints nor files
nor training.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["MULTIPLE", "KeypointNetwork", "less_light", "light_of", "without_light"]

WIDTHS = (8, 16, 32, 32)  # channels at full, half, quarter and eighth resolution
MULTIPLE = 8  # of both sides of what it is shown
CHANNELS = 4  # repeatability, reliability, and the cosine and sine of the angle
WINDOW_PX = 15
FLOOR = 0.02  # deviation of luma below which there is nothing but noise


def light_of(luma: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation around each pixel of (H, W) luma in [0, 1], each (H, W)."""
    window = (WINDOW_PX, WINDOW_PX)
    mean = cv2.blur(luma, window)
    variance = cv2.blur(luma * luma, window) - mean * mean
    return np.asarray(mean, np.float32), np.sqrt(np.maximum(variance, 0, dtype=np.float32))


def without_light(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) luma in [0, 1] less the mean around each pixel, over the deviation around it.

    Gain, offset and slow shading of the light are gone, and flat places stay near 0.
    """
    return less_light(luma, *light_of(luma))


def less_light(
    luma: NDArray[np.float32], mean: NDArray[np.float32], deviation: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`without_light` where `light_of` is known."""
    return (luma - mean) / (deviation + np.float32(FLOOR))


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())


class KeypointNetwork(nn.Module):
    """Four maps of an image at its own resolution.

    The first two, through a sigmoid, say whether the pixel would be found again in another view and
    whether its descriptor would find its counterpart there. The other two are the cosine and the
    sine, times any length, of an angle that turns with the picture.
    """

    def __init__(self) -> None:
        super().__init__()
        full, half, quarter, eighth = WIDTHS
        self.down = nn.ModuleList(
            [
                nn.Sequential(_convolution(1, full), _convolution(full, full)),
                nn.Sequential(_convolution(full, half), _convolution(half, half)),
                nn.Sequential(_convolution(half, quarter), _convolution(quarter, quarter)),
                nn.Sequential(_convolution(quarter, eighth)),
            ]
        )
        self.lift = nn.ModuleList(
            [nn.Conv2d(half, full, 1), nn.Conv2d(quarter, half, 1), nn.Conv2d(eighth, quarter, 1)]
        )
        self.mix = nn.ModuleList([_convolution(width, width) for width in (full, half, quarter)])
        self.head = nn.Conv2d(full, CHANNELS, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) of `without_light`, sides multiples of 8 -> (B, 4, H, W)."""
        beside: list[Tensor] = []
        x = images
        for block in self.down:
            x = block(F.avg_pool2d(x, 2) if beside else x)
            beside.append(x)
        x = beside.pop()
        for lift, mix in zip(reversed(self.lift), reversed(self.mix)):
            lifted = F.interpolate(lift(x), scale_factor=2, mode="bilinear", align_corners=False)
            x = mix(beside.pop() + lifted)
        maps: Tensor = self.head(x)
        return maps
