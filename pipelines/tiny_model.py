"""The network, its noise schedule and its loss, as `train_tiny.py` trains them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from tiny_patches import SIDE

if TYPE_CHECKING:
    from diffusers import DDPMScheduler
    from diffusers.models.unets.unet_2d import UNet2DModel

__all__ = ["batch_of", "build_model", "build_scheduler", "v_loss", "validate"]


def build_model() -> UNet2DModel:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIDE // 4,
        in_channels=16,
        out_channels=16,
        block_out_channels=(48, 96, 192),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
        add_attention=False,
    )


def build_scheduler() -> DDPMScheduler:
    from diffusers import DDPMScheduler

    return DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")


def batch_of(patches: np.ndarray, index: np.ndarray, flips: np.ndarray) -> torch.Tensor:
    """(B, 16, SIDE/4, SIDE/4): standardised, one of eight mirrorings each, 4x4 blocks into
    channels.
    """
    x = torch.from_numpy(patches[index]).float()
    x = torch.stack(
        [torch.rot90(p.flip(1) if f & 4 else p, int(f & 3), (0, 1)) for p, f in zip(x, flips)]
    )
    x = (x - x.mean((1, 2), keepdim=True)) / (x.std((1, 2), keepdim=True) + 1e-3)
    return F.pixel_unshuffle(x[:, None], 4)


def v_loss(
    model: UNet2DModel,
    scheduler: DDPMScheduler,
    x0: torch.Tensor,
    t: torch.Tensor,
    noise: torch.Tensor,
    bf16: bool = False,
) -> torch.Tensor:
    """Squared error of the predicted velocity, per sample (Salimans and Ho 2022)."""
    x_t = scheduler.add_noise(x0, noise, t)
    v = scheduler.get_velocity(x0, noise, t)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        predicted = model(x_t, t, return_dict=False)[0]
    return (predicted.float() - v).square().mean((1, 2, 3))


@torch.no_grad()
def validate(model: UNet2DModel, scheduler: DDPMScheduler, patches: np.ndarray) -> dict[str, float]:
    """Loss at fixed noise levels, on fixed patches and fixed noise."""
    count = min(256, len(patches))
    index = np.linspace(0, len(patches) - 1, count).astype(int)
    x0 = batch_of(patches, index, np.zeros(count, int))
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    losses = {
        t: v_loss(model, scheduler, x0, torch.full((count,), t), noise).mean().item()
        for t in (20, 100, 250, 500, 800)
    }
    return {f"val@{t}": round(loss, 4) for t, loss in losses.items()}
