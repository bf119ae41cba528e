"""What is asked of a diffusion model.

A backend turns images into x0, knows its noise schedule, and gives decoder features of a noisy x_t.
It knows nothing of keypoints, descriptors or files of the house; backend files import nothing from
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["Backend"]


class Backend(Protocol):
    """The contract. Images are (B, 3, H, W) float in [0, 1], sides multiples of `multiple`."""

    name: str
    multiple: int
    device: torch.device

    def encode(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """(B, 3, H, W) -> x0 (B, c, h, w). `generator` draws from the encoder's posterior; None
        takes its mode.
        """

    def alpha_bar(self, t: int) -> Tensor:
        """Share of signal variance left at timestep t, a scalar in (0, 1]."""

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """Outputs of the named decoder blocks, each (B, C, h, w); nothing past the deepest one is
        run.
        """

    def recipe(self) -> dict[str, Any]:
        """What determines the features: name, weights fingerprint, precision."""
