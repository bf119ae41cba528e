"""From the word a user types to the backbone it means. The only place that maps names to backends."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import torch

from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision, pick_device
from dift_geo.errors import InputError, MissingFileError

__all__ = ["load_backend"]


# Optional: `posterior(images) -> (mean, deviation)` where encoding is random, so that an ensemble
# encodes once; `projection_file(reading, beside)` where a fitted projection ships with the weights.


def load_backend(
    name: str | Path = "tiny",
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
    **options: Any,
) -> Backend:
    """Load a backbone: tiny, adm, sd2.1, sd1.5, sd-turbo, sdxl, cleandift-sd2.1, a model folder or
    file, or a hub id.

    device, precision: see `policy`. options: the others of the backend's class, such as `revision`
    or `prompt`. Raises ValueError for an unknown name or damaged weights and FileNotFoundError for
    missing ones.
    """
    from dift_geo.backends.adm import Adm
    from dift_geo.backends.stable_diffusion import KNOWN, StableDiffusion
    from dift_geo.backends.tiny import Tiny

    kind, where = _kind(Path(name), KNOWN)
    if kind == "tiny":
        return Tiny(*where, device=pick_device(device), precision=precision, **options)
    build: Any = Adm if kind == "adm" else StableDiffusion
    return build(*where, device=device, precision=precision, **options)  # type: ignore[no-any-return]


def _kind(path: Path, known: Container[str]) -> tuple[str, list[str | Path]]:
    """Which class a name, folder, file or hub id is for, and what to tell it."""
    name = path.as_posix()
    if name in ("tiny", "adm"):
        return name, []
    if name in known:
        return "sd", [name]
    if path.is_dir():
        if (path / "unet").is_dir() or (path / "model_index.json").is_file():
            return "sd", [path]
        if (path / "config.json").is_file():
            return "tiny", [path]
        if any(path.glob("*.pt")):
            return "adm", [path]
        raise MissingFileError(
            f"{path} holds no model; expected unet/ and vae/ (Stable Diffusion), config.json (tiny's format) or a .pt (ADM)"
        )
    if path.is_file():
        return "adm", [path]
    if name.count("/") == 1 and name[0] not in "./~":
        return "sd", [name]
    raise InputError(
        f"unknown backend {name!r}, expected tiny, adm, sd2.1, sd1.5, sd-turbo, sdxl, cleandift-sd2.1, an existing model "
        "folder or a hub id owner/name"
    )
