"""What the house asks of a diffusion model, and the door to the ones it knows.

A backend turns images into x0, knows its noise schedule, and gives decoder features of a noisy x_t. It knows nothing of
keypoints, descriptors or files of the house; backend files import nothing from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["Backend", "load_backend"]


class Backend(Protocol):
    """The contract. Images are (B, 3, H, W) float in [0, 1], sides multiples of `multiple`."""

    name: str
    multiple: int
    device: torch.device

    def encode(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """(B, 3, H, W) -> x0 (B, c, h, w). `generator` draws from the encoder's posterior; None takes its mode."""

    def alpha_bar(self, t: int) -> Tensor:
        """Share of signal variance left at timestep t, a scalar in (0, 1]."""

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """Outputs of the named decoder blocks, each (B, C, h, w); nothing past the deepest one is run."""

    def recipe(self) -> dict[str, Any]:
        """What determines the features: name, weights fingerprint, precision."""

    # Optional: `posterior(images) -> (mean, deviation)` where encoding is random, so that an ensemble encodes once;
    # `projection_file(reading)` where a fitted projection ships with the weights.


def load_backend(name: str | Path = "tiny", *, device: str | torch.device = "cpu", **options: Any) -> Backend:
    """Load a backbone: tiny, adm, sd2.1, sd1.5, sd-turbo, sdxl, cleandift-sd2.1, a model folder or file, or a hub id.

    device: cpu, cuda, mps or auto. options: those of the backend's class, such as `precision` or `revision`.
    Raises ValueError for an unknown name or damaged weights and FileNotFoundError for missing ones.
    """
    from dift_geo.backends.adm import Adm
    from dift_geo.backends.policy import pick_device
    from dift_geo.backends.stable_diffusion import KNOWN, StableDiffusion
    from dift_geo.backends.tiny import Tiny

    path, device = Path(name), pick_device(device)
    if name == "tiny":
        return Tiny(device=device, **options)
    if name == "adm":
        return Adm(device=device, **options)
    if name in KNOWN:
        return StableDiffusion(name, device=device, **options)
    if path.is_dir():
        if (path / "unet").is_dir() or (path / "model_index.json").is_file():
            return StableDiffusion(path, device=device, **options)
        if (path / "config.json").is_file():
            return Tiny(path, device=device, **options)
        if any(path.glob("*.pt")):
            return Adm(path, device=device, **options)
        raise FileNotFoundError(
            f"{path} holds no model; expected unet/ and vae/ (Stable Diffusion), config.json (tiny's format) or a .pt (ADM)"
        )
    if path.is_file():
        return Adm(path, device=device, **options)
    if str(name).count("/") == 1 and not str(name).startswith((".", "/", "~")):
        return StableDiffusion(name, device=device, **options)
    raise ValueError(
        f"unknown backend {str(name)!r}, expected tiny, adm, {', '.join(KNOWN)}, an existing model folder "
        "or a hub id owner/name"
    )
