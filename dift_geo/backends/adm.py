"""ADM (Dhariwal and Nichol 2021) as a backbone: OpenAI's unconditional checkpoint in diffusers'
`UNet2DModel`.

The architecture is read off the state dict's shapes, then every tensor is mapped by name: none may
be missing, none left over. Works on pixels, so there is nothing to encode. Knows nothing of noise
levels, ensembles or keypoints.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from dift_geo.backends.cache import cache_folder, file_sha256
from dift_geo.backends.config import DiftConfig, Mode, ReadingName, published, reading_named
from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision, pick_device, pick_dtype
from dift_geo.backends.tap import run_until
from dift_geo.backends.tasks import Propagation, TaskName, published_for
from dift_geo.backends.weights import check_keys, place, read_tensors
from dift_geo.errors import InputError, MissingFileError

__all__ = ["Adm", "CHECKPOINT", "URL", "diffusers_config", "to_diffusers"]

CHECKPOINT = "256x256_diffusion_uncond.pt"
URL = f"https://openaipublic.blob.core.windows.net/diffusion/jul-2021/{CHECKPOINT}"
HEAD_CHANNELS = 64  # of every published ADM; the one thing the shapes do not tell
RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
OUTSIDE = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


class Adm(Backend):
    """A guided-diffusion U-Net without classes.

    file: the `.pt` as published (or a `.safetensors` of the same keys), a folder that holds it, or
        None for `$DIFT_GEO_CACHE/256x256_diffusion_uncond.pt`.
    device, precision: see `device.py`.
    Layers are output blocks as in the paper, 0 to 17. Raises MissingFileError when there is no such
    file, InputError when it is damaged or of another architecture.
    """

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
    ) -> None:
        from diffusers.models.unets.unet_2d import UNet2DModel

        path = _find(file)
        self.device = pick_device(device)
        self.dtype = pick_dtype(self.device, precision)
        published = dict(read_tensors(path))
        config = diffusers_config(published, path)
        with torch.device("meta"):
            self.unet = UNet2DModel(**config)
        state = {
            key: place(value, self.device, self.dtype)
            for key, value in to_diffusers(published, config).items()
        }
        expected = {key: tuple(value.shape) for key, value in self.unet.state_dict().items()}
        check_keys(state, expected, path, "guided-diffusion's U-Net")
        self.unet.load_state_dict(state, strict=True, assign=True)
        self.unet.eval().requires_grad_(False)
        self.alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0).to(self.device)
        self.name = "adm"
        self.multiple = 2 ** (len(self.unet.up_blocks) - 1)
        self._per_level = config["layers_per_block"] + 1  # output blocks
        self._weights = file_sha256(path)[:16]

    def recipe(self) -> dict[str, object]:
        """Name, hash of the weight file, precision."""
        return {
            "name": self.name,
            "weights": self._weights,
            "precision": str(self.dtype).removeprefix("torch."),
        }

    def settings(self, reading: ReadingName | None, mode: Mode) -> DiftConfig:
        """The paper's timestep and block in one noise-free pass; with `paper` its noise too."""
        if mode == "paper":
            return published("adm", reading)
        return DiftConfig(
            reading=reading_named(reading or "dense"), t=41, layers=(11,), max_batch=8
        )

    def task_config(self, task: TaskName) -> DiftConfig:
        """What was published for it."""
        return published_for("adm", task)

    def propagation(self) -> Propagation:
        """The published flags."""
        return Propagation(temperature=0.1, top_k=10, frames=28, radius=15)

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """(B, 3, H, W) in [0, 1] -> the same in [-1, 1], which is not random."""
        return 2 * images.to(self.device, torch.float32) - 1, None

    def alpha_bar(self, t: int) -> Tensor:
        """Share of signal variance left at timestep t of 1000 (linear schedule)."""
        return self.alphas_cumprod[t]

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        """Outputs of the paper's output blocks, each (B, C, h, w)."""
        modules = [self._block(layer) for layer in layers]
        x_t = x_t.to(self.device, self.dtype)
        with torch.inference_mode():
            return run_until(modules, lambda: self.unet(x_t, t))

    def _block(self, layer: int) -> torch.nn.Module:
        """Output block i is the j-th resnet of up block k, with the attention and, last in a block,
        the upsampling after it.
        """
        per_block = self._per_level
        count = per_block * len(self.unet.up_blocks)
        if not 0 <= layer < count:
            raise InputError(
                f"layer is {layer}, expected output block 0 to {count - 1} for {self.name}"
            )
        k, j = divmod(layer, per_block)
        block = self.unet.up_blocks[k]
        if j == per_block - 1:
            return cast(torch.nn.Module, block)
        inside = dict(block.named_children())
        parts = inside.get("attentions", inside["resnets"])
        assert isinstance(parts, torch.nn.ModuleList)
        return parts[j]


def _find(file: str | Path | None) -> Path:
    path = cache_folder() / CHECKPOINT if file is None else Path(file)
    if path.is_dir():
        found = sorted(path.glob("*.pt"))
        path = found[0] if len(found) == 1 else path / CHECKPOINT
    if not path.is_file():
        raise MissingFileError(
            f"no ADM weights at {path}; "
            f"fetch them with: curl --create-dirs -L -o {path} {URL} (2.1 GB)"
        )
    return path


def diffusers_config(state: dict[str, Tensor], path: Path) -> dict[str, Any]:
    """`UNet2DModel` arguments of a guided-diffusion state dict, read off its keys and shapes."""
    if (
        "input_blocks.0.0.weight" not in state
        or "output_blocks.0.0.in_layers.2.weight" not in state
    ):
        raise InputError(f"{path} is no guided-diffusion U-Net; expected {CHECKPOINT} from {URL}")
    if "label_emb.weight" in state:
        raise InputError(
            f"{path} is class-conditional, expected an unconditional model such as {CHECKPOINT}"
        )
    if (
        "input_blocks.1.0.in_layers.0.weight" not in state
        or state["input_blocks.0.0.weight"].shape[1] != 3
    ):
        channels = state["input_blocks.0.0.weight"].shape[1]
        raise InputError(f"{path} takes {channels} channels, expected RGB; give {CHECKPOINT}")
    levels = _levels(state)
    widths = [
        state[f"input_blocks.{blocks[-1]}.0.in_layers.2.weight"].shape[0] for blocks in levels
    ]
    attention = [f"input_blocks.{blocks[-1]}.1.qkv.weight" in state for blocks in levels]
    scale_shift = state["input_blocks.1.0.emb_layers.1.weight"].shape[0] == 2 * widths[0]
    return {
        "in_channels": 3,
        "out_channels": state["out.2.weight"].shape[0],
        "block_out_channels": tuple(widths),
        "layers_per_block": len(levels[0]),
        "down_block_types": tuple(
            "AttnDownBlock2D" if there else "ResnetDownsampleBlock2D" for there in attention
        ),
        "up_block_types": tuple(
            "AttnUpBlock2D" if there else "ResnetUpsampleBlock2D" for there in attention[::-1]
        ),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift" if scale_shift else "default",
        "attention_head_dim": HEAD_CHANNELS,
        "norm_num_groups": 32,
        "attn_norm_num_groups": 32,
        "freq_shift": 0,
        "flip_sin_to_cos": True,
    }


def _levels(state: dict[str, Tensor]) -> list[list[int]]:
    """Input-block indices of each resolution level; the block between two levels halves the
    resolution.

    A level has one resnet less on the way down than on the way up, and the numbers of both ways are
    equal but for the stem.
    """
    count = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("input_blocks."))
    upsamplers = sum(
        1 for key in state if re.fullmatch(r"output_blocks\.\d+\.[12]\.in_layers\.2\.weight", key)
    )
    per_level = (count - upsamplers - 1) // (upsamplers + 1)
    starts = [1 + level * (per_level + 1) for level in range(upsamplers + 1)]
    return [list(range(start, start + per_level)) for start in starts]


def to_diffusers(state: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """The same tensors under `UNet2DModel`'s names; keys that have no place there keep theirs, for
    the caller to refuse.
    """
    renamed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        place = _place(key, config["layers_per_block"])
        if ".qkv." in key:
            renamed.update(_split_qkv(place, tensor))
        else:
            renamed[place] = tensor.squeeze(-1) if ".proj_out." in key else tensor
    return renamed


def _place(key: str, per_level: int) -> str:
    """Where a guided-diffusion tensor lives in diffusers."""
    module, kind = key.rsplit(".", 1)
    if module in OUTSIDE:
        return f"{OUTSIDE[module]}.{kind}"
    match = re.fullmatch(
        r"(input_blocks|output_blocks)\.(\d+)\.(\d)\.(.+)|middle_block\.(\d)\.(.+)", module
    )
    if match is None:
        return key
    way, block, child, inner, middle, middle_inner = match.groups()
    if way is None:
        owner = ("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1")[
            int(middle)
        ]
        return f"{owner}.{_inner(middle_inner)}.{kind}"
    down = way == "input_blocks"
    level, j = divmod(int(block) - 1, per_level + 1) if down else divmod(int(block), per_level + 1)
    side = "down_blocks" if down else "up_blocks"
    attention = inner.split(".")[0] in ("norm", "qkv", "proj_out")
    if down and j == per_level:
        owner = f"{side}.{level}.downsamplers.0"
    elif attention:
        owner = f"{side}.{level}.attentions.{j}"
    else:
        owner = f"{side}.{level}.resnets.{j}" if child == "0" else f"{side}.{level}.upsamplers.0"
    return f"{owner}.{_inner(inner)}.{kind}"


def _inner(name: str) -> str:
    return RESNET.get(name) or {"norm": "group_norm", "qkv": "qkv", "proj_out": "to_out.0"}.get(
        name, name
    )


def _split_qkv(place: str, tensor: Tensor) -> dict[str, Tensor]:
    """One 1x1 convolution whose rows are (head, q|k|v, channel) -> three linear layers whose rows
    are (head, channel).
    """
    rows = tensor.squeeze(-1) if tensor.ndim == 3 else tensor
    parts = rows.unflatten(0, (-1, 3, HEAD_CHANNELS)).unbind(1)
    named = zip(("to_q", "to_k", "to_v"), parts)
    return {
        place.replace(".qkv.", f".{name}."): part.flatten(0, 1).contiguous() for name, part in named
    }
