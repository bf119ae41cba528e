"""Stable Diffusion with random weights, in the real format and size, for `sd.py`."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch

__all__ = ["SIZES", "write_model"]

SIZES: dict[str, dict[str, Any]] = {
    "sd2.1": {
        "unet": {
            "block_out_channels": (320, 640, 1280, 1280),
            "attention_head_dim": (5, 10, 20, 20),
            "cross_attention_dim": 1024,
        },
        "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
        "text": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "vocab_size": 49408,
            "hidden_act": "gelu",
        },
    },
    "small": {
        "unet": {
            "block_out_channels": (32, 64, 64, 64),
            "attention_head_dim": (2, 4, 4, 4),
            "cross_attention_dim": 32,
        },
        "vae": {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1},
        "text": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "vocab_size": 64,
            "hidden_act": "gelu",
        },
    },
}


def unit_gain(module: Any) -> Any:
    """Weights that keep a signal's size, as trained ones do: torch's own would shrink it until
    rounding decides.
    """
    for value in module.parameters():
        if value.ndim > 1:
            torch.nn.init.normal_(value, std=value[0].numel() ** -0.5)
    return module


def write_model(folder: Path, sizes: dict[str, Any]) -> None:
    """A folder in diffusers' layout, unless it is already there."""
    wanted = json.dumps([sizes, "unit gain"])
    stamp = folder / "sizes.json"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    cross_down, cross_up = ["CrossAttnDownBlock2D"] * 3, ["CrossAttnUpBlock2D"] * 3
    unet = UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        use_linear_projection=True,
        sample_size=96,
        down_block_types=(*cross_down, "DownBlock2D"),
        up_block_types=("UpBlock2D", *cross_up),
        **sizes["unet"],
    )
    vae = AutoencoderKL(
        latent_channels=4,
        scaling_factor=0.18215,
        sample_size=768,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        **sizes["vae"],
    )
    unit_gain(unet).save_pretrained(folder / "unet")
    unit_gain(vae).save_pretrained(folder / "vae")
    config = CLIPTextConfig(
        max_position_embeddings=77,
        bos_token_id=52,
        eos_token_id=53,
        pad_token_id=53,
        **sizes["text"],
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    schedule = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    schedule.save_config(folder / "scheduler")
    write_tokenizer(folder / "tokenizer")
    stamp.write_text(wanted, encoding="utf-8")


def write_tokenizer(folder: Path) -> None:
    """Byte-pair files with letters only: every word is spelled."""
    letters = string.ascii_lowercase
    endings = [f"{letter}</w>" for letter in letters]
    start, end = "<|startoftext|>", "<|endoftext|>"
    tokens = {token: i for i, token in enumerate([*letters, *endings, start, end])}
    special = {
        "bos_token": start,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
        "model_max_length": 77,
    }
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(tokens), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(special), encoding="utf-8")
