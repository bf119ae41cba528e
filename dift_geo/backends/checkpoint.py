"""A diffusers folder of Stable Diffusion: which files there are and whether they can be used.

Reads configurations and finds weight files, locally or on the hub; loads no tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from dift_geo.backends.cache import configs_fingerprint, files_fingerprint
from dift_geo.backends.hub import Source, locate
from dift_geo.backends.weights import find_weights
from dift_geo.errors import InputError, MissingFileError
from dift_geo.jsonfiles import read_json

__all__ = ["Checkpoint", "open_checkpoint"]

Config = dict[str, Any]  # as JSON holds it
# what of a sampler's configuration is the noise schedule
SCHEDULE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk, checked to be one that this package can use.

    source: where it is.
    unet, vae, schedule: configurations.
    unet_files, vae_files, text_files: weights, all shards.
    """

    source: Source
    unet: Config
    vae: Config
    schedule: Config
    unet_files: list[Path]
    vae_files: list[Path]
    text_files: list[Path]

    @property
    def is_xl(self) -> bool:
        """Whether the U-Net is told pooled text and image sizes, and read at the last but one layer
        of two text encoders.
        """
        return self.unet.get("addition_embed_type") == "text_time"

    @property
    def vae_factor(self) -> int:
        """Pixels per side of one cell of the latent."""
        return int(2 ** (len(self.vae["block_out_channels"]) - 1))

    @property
    def text_parts(self) -> list[str]:
        """Folders of the text encoders."""
        return _text_parts(self.unet)

    def recipe(self) -> dict[str, object]:
        """What identifies the files: the hub's commit, and hashes of weights and configurations."""
        text = None if self.source.repo else files_fingerprint(self.text_files)
        return {
            "revision": self.source.revision,
            "weights": files_fingerprint(self.unet_files),
            "vae": files_fingerprint(self.vae_files),
            "text": text,  # of a hub's model the revision says it
            "config": configs_fingerprint(self.unet, self.vae, self.schedule),
        }


def open_checkpoint(
    where: str | Path,
    variants: Sequence[str],
    revision: str | None = None,
    unet: Path | None = None,
) -> Checkpoint:
    """The model in a folder, or under a hub id.

    variants: of weight files, such as `fp16`, best first.
    unet: file of a U-Net state dict that replaces the checkpoint's own.
    Raises MissingFileError or InputError in one line.
    """
    source = _locate(where, variants, revision, with_unet=unet is None)
    unet_config = _config(source, "unet", "UNet2DConditionModel")
    vae_config = _config(source, "vae", "AutoencoderKL")
    _require_plain(source, unet_config, vae_config)
    text_files: list[Path] = []
    for part in _text_parts(unet_config):
        text_files += find_weights(source.folder / part, variants)
    return Checkpoint(
        source,
        unet_config,
        vae_config,
        _schedule(source),
        [unet] if unet else find_weights(source.folder / "unet", variants),
        find_weights(source.folder / "vae", variants),
        text_files,
    )


def _text_parts(unet: Config) -> list[str]:
    both = unet.get("addition_embed_type") == "text_time"
    return ["text_encoder", "text_encoder_2"] if both else ["text_encoder"]


def _locate(
    where: str | Path, variants: Sequence[str], revision: str | None, with_unet: bool
) -> Source:
    """The folder, or from the hub only the files that are used: in the first variant if it is
    there, else in both.
    """
    if Path(where).is_dir():
        return Source(Path(where))
    parts = ["vae", "text_encoder", *(["unet"] if with_unet else [])]
    for variant in variants:
        source = locate(where, _patterns(variant, with_unet), revision)
        if all(any((source.folder / part).glob("*.safetensors")) for part in parts):
            break
    return source


def _patterns(variant: str, with_unet: bool) -> list[str]:
    dot = f".{variant}" if variant else ""
    parts = ["vae", "text_encoder", "text_encoder_2", *(["unet"] if with_unet else [])]
    ways = product(parts, ("diffusion_pytorch_model", "model"), ("", "-?????-of-?????"))
    weights = [f"{part}/{stem}{dot}{end}.safetensors" for part, stem, end in ways]
    return ["*/*.json", "*/merges.txt", "model_index.json", *weights]


def _config(source: Source, part: str, wanted: str) -> Config:
    """`part`/config.json, if it describes the class this backend can use."""
    file = source.folder / part / "config.json"
    if not file.is_file():
        held = sorted(path.parent.name for path in source.folder.glob("*/config.json"))
        raise MissingFileError(
            f"no {part}/config.json in {source.label}, which holds "
            f"{', '.join(held) or 'no models'}; "
            "expected a diffusers folder with unet, vae, scheduler, text_encoder and tokenizer"
        )
    config: Config = read_json(file, "download the model again")
    if config.get("_class_name") != wanted:
        raise InputError(
            f"{file} describes {config.get('_class_name')}, expected {wanted}; "
            "give a Stable Diffusion 1, 2 or XL"
        )
    return config


def _require_plain(source: Source, unet: Config, vae: Config) -> None:
    """Refuse U-Nets that need more than a latent, a timestep and a prompt."""
    got, expected = unet.get("in_channels"), vae.get("latent_channels", 4)
    if got != expected:
        raise InputError(
            f"the U-Net of {source.label} takes {got} channels, expected the VAE's {expected}: "
            "inpainting, depth and upscaling checkpoints cannot be used; give the base model"
        )
    extra = unet.get("addition_embed_type") not in (None, "text_time")
    if extra or unet.get("class_embed_type") or unet.get("num_class_embeds"):
        raise InputError(
            f"the U-Net of {source.label} needs conditions other than a prompt; give the base model"
        )


def _schedule(source: Source) -> Config:
    """The noise schedule out of scheduler_config.json, whatever sampler it was written for."""
    file = source.folder / "scheduler" / "scheduler_config.json"
    if not file.is_file():
        raise MissingFileError(
            f"no scheduler/scheduler_config.json in {source.label}; download the model again"
        )
    config = read_json(file, "download the model again")
    return {key: config[key] for key in SCHEDULE if key in config}
