"""A small model of every kind of backbone, with random weights in its real format: Stable
Diffusion's folder, ADM's checkpoint, and vision transformers. No download, no fixture files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from small_models import draw, fill, stable_diffusion

FIXTURES = Path(__file__).parent / "fixtures"
ADM = json.loads((FIXTURES / "adm_small.json").read_text())
NARROWER = 8  # times, than the published ADM
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}


def adm_state() -> dict[str, torch.Tensor]:
    """Weights by guided-diffusion's names: nine output blocks on three levels."""
    random = np.random.default_rng(ADM["seed"])
    return {
        key: torch.from_numpy(draw(random, key, tuple(ADM["shapes"][key])))
        for key in sorted(ADM["shapes"])
    }


def adm_checkpoint(file: Path) -> Path:
    """Such weights in a file."""
    torch.save(adm_state(), file)
    return file


def narrow_adm(file: Path) -> Path:
    """A file as published, 256x256_diffusion_uncond.pt, with an eighth of its channels: the same
    names, levels and blocks, so that every setting for it holds.
    """
    shapes = json.loads((FIXTURES / "adm_256_shapes.json").read_text())
    random = np.random.default_rng(0)
    state = {}
    for key in sorted(shapes):
        shape = tuple(side // NARROWER if side >= 256 else side for side in shapes[key])
        state[key] = torch.from_numpy(draw(random, key, shape))
    torch.save(state, file)
    return file


def vision_transformers() -> Mapping[str, torch.nn.Module]:
    """One of every kind, of three blocks with 32 channels."""
    import transformers

    own = {**SIZES, "intermediate_size": 64, "image_size": 56, "patch_size": 14}
    return {
        "dino": transformers.ViTModel(
            transformers.ViTConfig(**{**own, "patch_size": 8}), add_pooling_layer=False
        ),
        "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**own)),
        "registers": transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(**own, num_register_tokens=4)
        ),
        "dinov3": transformers.DINOv3ViTModel(
            transformers.DINOv3ViTConfig(**{**own, "patch_size": 16}, num_register_tokens=4)
        ),
        "clip": transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**own)),
    }


def vit_folders(root: Path) -> Path:
    """All of them, each in a folder of its name."""
    for number, (name, model) in enumerate(vision_transformers().items()):
        fill(model, number).save_pretrained(root / name)
    return root


def words_of_all(root: Path) -> dict[str, str]:
    """What `--backend` takes for a small model of each kind, by a short name."""
    vits = vit_folders(root)
    return {
        "sd": str(stable_diffusion(root / "sd")),
        "adm": str(narrow_adm(root / "adm.pt")),
        **{name: f"{name}:{vits / name}" for name in ("dino", "dinov2", "dinov3", "clip")},
        "registers": f"dinov2:{vits / 'registers'}",
    }
