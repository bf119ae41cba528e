"""Stable Diffusion by diffusers' own loaders, as an oracle: nothing of the package is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Reference:
    """The same weights by diffusers' own loaders: a pipeline's prompt, a whole VAE, a whole U-Net
    forward with hooks.
    """

    def __init__(self, folder: Path) -> None:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        self.vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        self.added: dict[str, Any] = {}
        self.prompt = self._prompt(folder)

    @torch.no_grad()
    def _prompt(self, folder: Path) -> torch.Tensor:
        from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        encoder = CLIPTextModel.from_pretrained(folder / "text_encoder")
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        if not (folder / "text_encoder_2").is_dir():
            ids = [tokenizer.bos_token_id] + [tokenizer.eos_token_id] * 76
            return encoder(torch.tensor([ids]))[0]
        pipeline = StableDiffusionXLPipeline(
            self.vae,
            encoder,
            CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
            tokenizer,
            CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
            self.unet,
            EulerDiscreteScheduler(),
            add_watermarker=False,
        )
        prompt, _, pooled, _ = pipeline.encode_prompt(
            "", device="cpu", do_classifier_free_guidance=False
        )
        self.added = {"text_embeds": pooled}
        return prompt

    @torch.no_grad()
    def features(
        self,
        images: torch.Tensor,
        t: int,
        layer: int,
        noise: Sequence[tuple[torch.Tensor, torch.Tensor]],
    ) -> torch.Tensor:
        """Mean over `noise`, a pair (posterior's, schedule's) per member; each member through
        everything.
        """
        kept: list[torch.Tensor] = []
        hook = self.unet.up_blocks[layer].register_forward_hook(
            lambda module, args, output: kept.append(output)
        )
        h, w = images.shape[-2:]
        if self.added:
            self.added["time_ids"] = torch.tensor([[h, w, 0, 0, h, w]], dtype=torch.float32)
        eps0, eps1 = (torch.cat(draws) for draws in zip(*noise))
        latent = self.vae.encode(2 * images.repeat(len(noise), 1, 1, 1) - 1).latent_dist
        x0 = (latent.mean + latent.std * eps0) * self.vae.config.scaling_factor
        x_t = self.scheduler.add_noise(x0, eps1, torch.tensor([t] * len(noise)))
        added = {key: value.repeat(len(noise), 1) for key, value in self.added.items()}
        self.unet(
            x_t,
            t,
            encoder_hidden_states=self.prompt.repeat(len(noise), 1, 1),
            added_cond_kwargs=added,
        )
        hook.remove()
        return kept[0].mean(0, keepdim=True)


def random_image(h: int, w: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).random((1, 3, h, w)).astype(np.float32))


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


def members(
    generator: torch.Generator, shape: Sequence[int], count: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The noise that `diffusion_features` draws with posterior on."""
    return [
        (torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))
        for _ in range(count)
    ]
