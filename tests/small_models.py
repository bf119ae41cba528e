"""Small models of the true architectures with random weights, saved in the real formats. No
download, no fixture files.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

import numpy as np
import torch


def fill(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights from numpy's generator, the same on every machine and torch: unit gain, norms and
    biases near their rest.
    """
    state = module.state_dict()
    random = np.random.default_rng(seed)
    # a prefix that transformers 5 dropped
    for key in sorted(state, key=lambda key: key.removeprefix("text_model.")):
        if state[key].is_floating_point():
            state[key] = torch.from_numpy(draw(random, key, tuple(state[key].shape)))
    module.load_state_dict(state)
    return module


def draw(random: np.random.Generator, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """One tensor of the name and shape given."""
    values = random.standard_normal(shape).astype(np.float32)
    if len(shape) > 1:
        return values / np.float32(np.sqrt(np.prod(shape[1:])))
    return 0.1 * values + np.float32(key.endswith("weight"))


def _clip(folder: Path, hidden: int, projected: bool) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=hidden,
        bos_token_id=52,
        eos_token_id=53,
        pad_token_id=53,
    )
    encoder = (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)
    fill(encoder, 1 + hidden).save_pretrained(folder)


def _tokenizer(folder: Path) -> None:
    """Byte-pair files with letters only: every word is spelled."""
    folder.mkdir(parents=True)
    letters = string.ascii_lowercase
    tokens = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": 77, "pad_token": "<|endoftext|>", **special})
    )


def stable_diffusion(folder: Path, shape: str = "sd2", seed: int = 0) -> Path:
    """A folder in diffusers' layout, shaped like SD 1.x (`sd1`), 2.x (`sd2`) or XL (`xl`)."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    xl = shape == "xl"
    cross = {"down": "CrossAttnDownBlock2D", "up": "CrossAttnUpBlock2D"}
    if xl:
        own = {
            "block_out_channels": (16, 32, 64),
            "down_block_types": ("DownBlock2D", cross["down"], cross["down"]),
            "up_block_types": (cross["up"], cross["up"], "UpBlock2D"),
            "transformer_layers_per_block": (1, 1, 2),
            "attention_head_dim": (2, 4, 8),
            "cross_attention_dim": 48,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 16,
        }
    else:
        own = {
            "block_out_channels": (16, 32, 64, 64),
            "down_block_types": (*[cross["down"]] * 3, "DownBlock2D"),
            "up_block_types": ("UpBlock2D", *[cross["up"]] * 3),
            "cross_attention_dim": 32,
            "attention_head_dim": 4 if shape == "sd1" else (2, 4, 8, 8),
            "upcast_attention": shape == "sd2",
        }
    unet = UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        norm_num_groups=8,
        use_linear_projection=shape != "sd1",
        **own,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        norm_num_groups=4,
        layers_per_block=1,
        latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        scaling_factor=0.13025 if xl else 0.18215,
    )
    fill(unet, seed).save_pretrained(folder / "unet")
    fill(vae, seed + 1).save_pretrained(folder / "vae")
    _clip(folder / "text_encoder", 32, projected=False)
    if xl:
        _clip(folder / "text_encoder_2", 16, projected=True)
    for part in ("tokenizer", "tokenizer_2") if xl else ("tokenizer",):
        _tokenizer(folder / part)
    schedule = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    schedule.save_config(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def superpoint_folder(folder: Path, seed: int = 0) -> Path:
    """A SuperPoint with few channels and random weights, in transformers' layout.

    He's initialisation, under which even random convolutions tell points apart.
    """
    from transformers import SuperPointConfig, SuperPointForKeypointDetection

    config = SuperPointConfig(
        encoder_hidden_sizes=[16, 16, 32, 32], decoder_hidden_size=64, descriptor_decoder_dim=64
    )
    model = SuperPointForKeypointDetection(config)
    random = np.random.default_rng(seed)
    for key, value in sorted(model.named_parameters()):
        drawn = (
            np.sqrt(2) * draw(random, key, tuple(value.shape))
            if value.ndim > 1
            else np.zeros(value.shape)
        )
        value.data = torch.from_numpy(drawn.astype(np.float32))
    model.save_pretrained(folder)
    return folder


def aliked_state(model: str = "aliked-t16", seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of an ALIKED whose taps move by pixels and whose normalisation does
    something.
    """
    from dift_geo.detectors.aliked_network import AlikedNetwork, AlikedSizes

    sizes = {
        "aliked-t16": AlikedSizes((8, 16, 32, 64), 16),
        "aliked-n32": AlikedSizes((16, 32, 64, 128), 32),
    }
    state = fill(AlikedNetwork(sizes[model]), seed).state_dict()
    for key in state:
        if key.endswith("running_var"):
            state[key] = state[key].abs() + 0.5
        if "offset_conv" in key:
            state[key] = 2 * state[key]
        if key == "score_head.6.weight":
            state[key] = 5 * state[key]
    return state


def aliked_file(folder: Path, model: str = "aliked-t16") -> Path:
    """Such weights in the authors' format."""
    file = folder / f"{model}.pth"
    torch.save(aliked_state(model), file)
    return file


def disk_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a DISK."""
    from kornia.feature import DISK

    return fill(DISK(), seed).state_dict()


def disk_file(folder: Path) -> Path:
    """Such weights in the authors' format."""
    file = folder / "disk-random.pth"
    torch.save({"extractor": disk_state()}, file)
    return file
