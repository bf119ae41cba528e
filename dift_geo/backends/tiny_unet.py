"""The U-Net of the embedded backbone in plain torch: convolutions with a time step, no attention.

The same tensors under the same names as diffusers' `UNet2DModel` of such a configuration, and the
same numbers out of them; but importing that takes longer than describing a photo. Knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["TinyUnet", "cosine_shares", "is_plain"]

# what a configuration has to say for this to be its network; other numbers are free
PLAIN: Mapping[str, object] = {
    "act_fn": "silu",
    "add_attention": False,
    "center_input_sample": False,
    "class_embed_type": None,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "dropout": 0.0,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2D",
    "num_class_embeds": None,
    "num_train_timesteps": None,
    "resnet_time_scale_shift": "default",
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "upsample_type": "conv",
}
FREE = {
    *("in_channels", "out_channels", "block_out_channels", "layers_per_block", "norm_eps"),
    *("norm_num_groups", "sample_size", "down_block_types", "up_block_types"),
}
UNUSED = {"attention_head_dim", "attn_norm_num_groups"}  # without attention
LONGEST_PERIOD = 10000
LARGE = 64  # images; above, interpolation of channels last fails in older torch


def is_plain(config: Mapping[str, object]) -> bool:
    """Whether `TinyUnet` is what diffusers would build of a configuration."""
    own = {name: value for name, value in config.items() if not name.startswith("_")}
    if own.keys() - UNUSED != PLAIN.keys() | FREE:
        return False
    widths = own["block_out_channels"]
    if not isinstance(widths, list) or not widths or widths[0] % 2:
        return False
    blocks = {"down_block_types": "DownBlock2D", "up_block_types": "UpBlock2D"}
    return all(own[name] == value for name, value in PLAIN.items()) and all(
        own[name] == [kind] * len(widths) for name, kind in blocks.items()
    )


class TinyUnet(nn.Module):
    """(B, C, H, W) and a time step -> the same shape; sides are multiples of 2 ** (levels - 1).

    config: one for which `is_plain` holds.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        super().__init__()
        widths = cast("list[int]", config["block_out_channels"])
        layers = cast(int, config["layers_per_block"])
        norm = _Norm(cast(int, config["norm_num_groups"]), cast(float, config["norm_eps"]))
        time, before, last = 4 * widths[0], widths[0], len(widths) - 1
        # parts in diffusers' order, so that a seed draws the same random weights
        self.conv_in = nn.Conv2d(cast(int, config["in_channels"]), before, 3, padding=1)
        self.time_embedding = _Time(before, time)
        self.down_blocks = nn.ModuleList()
        skips = [before]
        for level, width in enumerate(widths):
            self.down_blocks.append(
                _Down([before, *[width] * (layers - 1)], width, time, norm, halves=level < last)
            )
            skips += [width] * (layers + (level < last))
            before = width
        self.mid_block = _Middle([before] * 2, before, time, norm)
        self.up_blocks = nn.ModuleList()
        for level, width in enumerate(reversed(widths)):
            taken = [skips.pop() for _ in range(layers + 1)]
            inputs = [a + b for a, b in zip([before, *[width] * layers], taken)]
            self.up_blocks.append(_Up(inputs, width, time, norm, doubles=level < last))
            before = width
        self.conv_norm_out = norm.over(before)
        self.conv_out = nn.Conv2d(before, cast(int, config["out_channels"]), 3, padding=1)

    def forward(self, x: Tensor, t: int) -> Tensor:
        """t: the time step of all images."""
        time = self.time_embedding(torch.full((1,), t, device=x.device))  # the same for all images
        skips = [self.conv_in(x)]
        for block in self.down_blocks:
            skips += block(skips[-1], time)
        x = self.mid_block(skips[-1], time)
        for block in self.up_blocks:
            x = block(x, skips, time)
        out: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return out


class _Norm(NamedTuple):
    groups: int
    eps: float

    def over(self, width: int) -> nn.GroupNorm:
        return nn.GroupNorm(self.groups, width, self.eps)


class _Time(nn.Module):
    """Sines and cosines of a time step through two layers."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, time), nn.Linear(time, time)

    def forward(self, t: Tensor) -> Tensor:
        half = self.linear_1.in_features // 2
        exponent = -math.log(LONGEST_PERIOD) * torch.arange(
            half, dtype=torch.float32, device=t.device
        )
        angle = t[:, None].float() * torch.exp(exponent / half)[None]
        waves = torch.cat([torch.cos(angle), torch.sin(angle)], -1)
        out: Tensor = self.linear_2(F.silu(self.linear_1(waves.to(self.linear_1.weight.dtype))))
        return out


class _Resnet(nn.Module):
    """Two convolutions, the time step between them, around a short cut."""

    def __init__(self, width_in: int, width: int, time: int, norm: _Norm) -> None:
        super().__init__()
        self.norm1 = norm.over(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, width)
        self.norm2 = norm.over(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width_in, width, 1) if width_in != width else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = F.silu(self.norm1(x), inplace=True)
        # one time step for all: what it adds is a part of the bias
        bias = cast(Tensor, self.conv1.bias) + self.time_emb_proj(F.silu(time))[0]
        h = F.conv2d(h, self.conv1.weight, bias, padding=1)
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        h += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return h


class _Level(nn.Module):
    """The layers of one resolution.

    inputs: channels that each takes.
    """

    def __init__(self, inputs: Sequence[int], width: int, time: int, norm: _Norm) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(_Resnet(taken, width, time, norm) for taken in inputs)


class _Sampler(nn.Module):
    """The convolution at a change of resolution, under diffusers' name."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class _Down(_Level):
    def __init__(
        self, inputs: Sequence[int], width: int, time: int, norm: _Norm, *, halves: bool
    ) -> None:
        super().__init__(inputs, width, time, norm)
        self.downsamplers = nn.ModuleList([_Sampler(width, 2)] if halves else [])

    def forward(self, x: Tensor, time: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        for layer in self.resnets:
            found.append(x := layer(x, time))
        for sampler in self.downsamplers:
            found.append(x := sampler(x))
        return found


class _Middle(_Level):
    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for layer in self.resnets:
            x = layer(x, time)
        return x


class _Up(_Level):
    def __init__(
        self, inputs: Sequence[int], width: int, time: int, norm: _Norm, *, doubles: bool
    ) -> None:
        super().__init__(inputs, width, time, norm)
        self.upsamplers = nn.ModuleList([_Sampler(width, 1)] if doubles else [])

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor) -> Tensor:
        """skips: of the way down; what this level needs is taken off its end."""
        for layer in self.resnets:
            x = layer(torch.cat([x, skips.pop()], 1), time)
        for sampler in self.upsamplers:
            x = x.contiguous() if len(x) >= LARGE else x
            x = sampler(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


def cosine_shares(steps: int) -> Tensor:
    """(steps,) shares of signal of diffusers' schedule `squaredcos_cap_v2`."""

    def left(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - left((i + 1) / steps) / left(i / steps), 0.999) for i in range(steps)]
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float32), 0)
