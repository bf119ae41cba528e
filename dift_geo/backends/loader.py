"""From the word a user types to the backbone it means.

The only place that maps names to backends.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

import torch

from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision
from dift_geo.errors import InputError, MissingFileError

__all__ = ["load_backend"]


def load_backend(
    name: str | Path = "tiny",
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
    **options: object,
) -> Backend:
    """Load a backbone.

    name: tiny, adm, sd2.1, sd1.5, sd-turbo, sdxl, cleandift-sd2.1, a model folder or file, or a hub
        id; and KIND:WHERE for vision transformers: dino:vitb8, dinov2:vitb14, dinov3:FOLDER,
        clip:ViT-H-14, or dino-keys:vits8 for the keys of their attention.
    device, precision: see `device.py`.
    options: the others of the backend's class, such as `revision` or `prompt`.
    Raises InputError for an unknown name or damaged weights and MissingFileError for missing ones.
    """
    from dift_geo.backends.adm import Adm
    from dift_geo.backends.stable_diffusion import KNOWN, StableDiffusion
    from dift_geo.backends.tiny import Tiny
    from dift_geo.backends.vit import KINDS, Vit

    word, colon, place = str(name).partition(":")
    if colon and word.removesuffix("-keys") in KINDS and place:
        vit: Callable[..., Backend] = Vit
        return vit(
            word.removesuffix("-keys"),
            place,
            device=device,
            precision=precision,
            facet="keys" if word.endswith("-keys") else "tokens",
            **options,
        )
    kinds: dict[str, Callable[..., Backend]] = {"tiny": Tiny, "adm": Adm, "sd": StableDiffusion}
    kind, where = _kind(Path(name), KNOWN)
    return kinds[kind](*where, device=device, precision=precision, **options)


def _kind(path: Path, known: Container[str]) -> tuple[str, list[str | Path]]:
    """Which class a name, folder, file or hub id is for, and what to tell it."""
    name = path.as_posix()
    if name in ("tiny", "adm"):
        return name, []
    if name in known:
        return "sd", [name]
    if path.is_dir():
        return _kind_of_folder(path), [path]
    if path.is_file():
        return "adm", [path]
    if name.count("/") == 1 and name[0] not in "./~":
        return "sd", [name]
    raise InputError(
        f"unknown backend {name!r}, expected tiny, adm, sd2.1, sd1.5, sd-turbo, sdxl, "
        "cleandift-sd2.1, an existing model folder, a hub id owner/name, or KIND:WHERE with dino, "
        "dinov2, dinov3 or clip"
    )


def _kind_of_folder(folder: Path) -> str:
    if (folder / "unet").is_dir() or (folder / "model_index.json").is_file():
        return "sd"
    if (folder / "config.json").is_file():
        return "tiny"
    if any(folder.glob("*.pt")):
        return "adm"
    raise MissingFileError(
        f"{folder} holds no model; expected unet/ and vae/ (Stable Diffusion), config.json "
        "(tiny's format) or a .pt (ADM)"
    )
