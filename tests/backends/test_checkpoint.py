"""Files of Stable Diffusion: the formats found in the wild, and damage told in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sd_reference import random_image, relative
from small_models import stable_diffusion

from dift_geo.backends.loader import load_backend
from dift_geo.backends.stable_diffusion import StableDiffusion
from dift_geo.dift.noise import diffusion_features


def test_published_formats_give_the_same_features(
    copy: Callable[..., Path], folders: dict[str, Path]
) -> None:
    """Old attention names with 1x1 convolutions, pickles, shards and half-precision variants."""
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file, save_file

    images, plain = random_image(64, 64), StableDiffusion(folders["sd2"])
    expected = diffusion_features(plain, images, t=0, layers=(2,))[0]

    def features(folder: Path) -> torch.Tensor:
        return diffusion_features(StableDiffusion(folder), images, t=0, layers=(2,))[0]

    old = copy()
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(old / "vae" / "diffusion_pytorch_model.safetensors")
    for new, before in names.items():
        for key in [key for key in state if f".attentions.0.{new}." in key]:
            tensor = state.pop(key)
            state[key.replace(new, before)] = (
                tensor[:, :, None, None] if tensor.ndim == 2 else tensor
            )
    save_file(state, old / "vae" / "diffusion_pytorch_model.safetensors")
    assert relative(features(old), expected) < 1e-6

    sharded = copy()
    (sharded / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    UNet2DConditionModel.from_pretrained(folders["sd2"] / "unet").save_pretrained(
        sharded / "unet", max_shard_size="3MB"
    )
    assert len(list((sharded / "unet").glob("*-of-*.safetensors"))) > 1
    # where a tensor lies in memory decides which kernel runs
    assert relative(features(sharded), expected) < 1e-6

    pickled = copy()
    file = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    assert relative(features(pickled), expected) < 1e-6

    half = copy()
    for part in ("unet", "vae"):
        file = half / part / "diffusion_pytorch_model.safetensors"
        save_file(
            {k: v.half() for k, v in load_file(file).items()}, file.with_suffix(".fp16.safetensors")
        )
        file.unlink()
    assert relative(features(half), expected) < 0.01


def test_another_unet_drops_in(
    copy: Callable[..., Path], folders: dict[str, Path], tmp_path: Path
) -> None:
    other = (
        stable_diffusion(tmp_path / "other", "sd2", seed=9)
        / "unet"
        / "diffusion_pytorch_model.safetensors"
    )
    base = copy()
    # what is replaced need not be there
    (base / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    backend = StableDiffusion(base, unet=other)
    assert torch.equal(
        backend.unet.conv_in.weight, StableDiffusion(tmp_path / "other").unet.conv_in.weight
    )
    assert backend.recipe()["weights"] != StableDiffusion(folders["sd2"]).recipe()["weights"]
    with pytest.raises(FileNotFoundError, match="no U-Net state dict at"):
        StableDiffusion(base, unet=tmp_path / "nothing.safetensors")


def test_recipe_names_what_determines_the_features(
    copy: Callable[..., Path], folders: dict[str, Path]
) -> None:
    recipe = StableDiffusion(folders["sd2"]).recipe()
    assert recipe == StableDiffusion(copy()).recipe()
    kept = {"name", "revision", "weights", "vae", "text", "config", "precision", "prompt"}
    assert set(recipe) == kept
    assert StableDiffusion(folders["sd2"], precision="bfloat16").recipe()["precision"] == "bfloat16"
    assert StableDiffusion(folders["sd2"], prompt="a").recipe() != recipe


def test_recipe_differs_where_the_same_weights_are_used_otherwise(
    copy: Callable[..., Path],
) -> None:
    """Another noise schedule and another text encoder change the features."""
    folder = copy()
    recipe = StableDiffusion(folder).recipe()
    file = folder / "scheduler" / "scheduler_config.json"
    schedule = json.loads(file.read_text())
    file.write_text(json.dumps(schedule | {"beta_end": 0.02}))
    changed = StableDiffusion(folder).recipe()
    assert {key for key in recipe if recipe[key] != changed[key]} == {"config"}
    file.write_text(json.dumps(schedule | {"_diffusers_version": "9.9"}))
    assert StableDiffusion(folder).recipe() == recipe
    weights = folder / "text_encoder" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    changed = StableDiffusion(folder).recipe()
    assert {key for key in recipe if recipe[key] != changed[key]} == {"text"}


def damaged(copy: Callable[..., Path], what: str) -> Path:
    folder = copy("xl" if what == "other shape" else "sd2")
    unet, vae = (
        folder / "unet" / "diffusion_pytorch_model.safetensors",
        folder / "vae" / "diffusion_pytorch_model.safetensors",
    )
    config = json.loads((folder / "unet" / "config.json").read_text())
    match what:
        case "half a file":
            unet.write_bytes(unet.read_bytes()[: unet.stat().st_size // 2])
        case "an empty file":
            vae.write_bytes(b"")
        case "no weights":
            unet.unlink()
        case "no vae":
            shutil.rmtree(folder / "vae")
        case "no text encoder":
            shutil.rmtree(folder / "text_encoder")
        case "no tokenizer":
            shutil.rmtree(folder / "tokenizer")
        case "no scheduler":
            shutil.rmtree(folder / "scheduler")
        case "transformer":
            (folder / "unet").rename(folder / "transformer")
        case "inpainting":
            config["in_channels"] = 9
        case "other width":
            config["block_out_channels"] = [16, 32, 64, 128]
        case "other class":
            config["_class_name"] = "UNet3DConditionModel"
        case "a pickle with code":
            unet.unlink()
            torch.save({"a": Path("b")}, unet.with_suffix(".bin"))
    if (folder / "unet").is_dir():
        (folder / "unet" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        (
            "half a file",
            ValueError,
            r"unet/diffusion_pytorch_model.safetensors is cut short .* download it again",
        ),
        (
            "an empty file",
            ValueError,
            "vae/diffusion_pytorch_model.safetensors is cut short or corrupt",
        ),
        (
            "no weights",
            FileNotFoundError,
            "no weights in .*unet, expected diffusion_pytorch_model.safetensors",
        ),
        ("no vae", FileNotFoundError, "no vae/config.json in .* which holds text_encoder, unet"),
        ("no text encoder", FileNotFoundError, "no weights in .*text_encoder|no text_encoder"),
        ("no tokenizer", FileNotFoundError, "no tokenizer in .* download the whole model"),
        ("no scheduler", FileNotFoundError, "no scheduler/scheduler_config.json"),
        (
            "transformer",
            FileNotFoundError,
            "no unet/config.json in .* which holds text_encoder, transformer, vae",
        ),
        ("inpainting", ValueError, "takes 9 channels, expected the VAE's 4: inpainting"),
        (
            "other width",
            ValueError,
            "architecture than UNet2DConditionModel as configured: tensors .* of another shape",
        ),
        (
            "other class",
            ValueError,
            "describes UNet3DConditionModel, expected UNet2DConditionModel",
        ),
        (
            "a pickle with code",
            ValueError,
            "no plain state dict, or is corrupt; only tensors are read from pickles",
        ),
    ],
)
def test_damage_is_told_in_one_line(
    copy: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    error: type,
    text: str,
) -> None:
    monkeypatch.setenv("DIFT_GEO_CACHE", str(tmp_path))
    with pytest.raises(error, match=text) as caught:
        load_backend(str(damaged(copy, what)))
    assert "\n" not in str(caught.value)
