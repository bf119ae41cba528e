"""A backend that tests can see through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dift_geo.backends.config import DiftConfig
from dift_geo.backends.contract import Backend
from dift_geo.detectors.sift import Sift
from dift_geo.dift.describer import Dift


class Glass(Backend):
    """x0 is the image at stride 4, features of layer k are x_t + k.

    deviation: of the encoding; None where it is not random.
    """

    name, multiple, device = "glass", 8, torch.device("cpu")

    def __init__(self, deviation: float | None = None) -> None:
        self.seen: list[Tensor] = []
        self.abar = torch.linspace(0.999, 0.01, 1000)
        self.deviation = deviation

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        assert images.shape[1] == 3
        assert images.shape[2] % self.multiple == images.shape[3] % self.multiple == 0
        x0 = F.avg_pool2d(images, 4)
        return x0, None if self.deviation is None else torch.full_like(x0, self.deviation)

    def alpha_bar(self, t: int) -> Tensor:
        return self.abar[t]

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        self.seen.append(x_t)
        return [x_t + layer for layer in layers]

    def recipe(self) -> dict[str, object]:
        return {"name": self.name}


def glass_dift(**changes: Any) -> Dift:
    """DIFT on glass, raw, at 50 SIFT keypoints; `changes` are fields of `DiftConfig`."""
    return Dift(Glass(), Sift(max_keypoints=50), DiftConfig(**changes))


def seen(dift: Dift) -> list[Tensor]:
    """What the network of `glass_dift` was shown."""
    assert isinstance(dift.backend, Glass)
    return dift.backend.seen


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
