"""ADM against guided-diffusion's own code: its numbers on a small model, and the key map of the
published checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_backbones import ADM as SMALL
from small_backbones import adm_checkpoint, adm_state

from dift_geo.backends.adm import CHECKPOINT, Adm, diffusers_config, to_diffusers
from dift_geo.backends.config import DiftConfig, Oriented
from dift_geo.backends.loader import load_backend
from dift_geo.dift.noise import diffusion_features
from dift_geo.errors import InputError

FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adm_checkpoint(tmp_path_factory.mktemp("adm") / "small.pt")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFT_GEO_CACHE", str(tmp_path_factory.getbasetemp() / "dift_geo_cache"))


@pytest.mark.parametrize(
    "case", SMALL["cases"], ids=lambda case: f"{case['hw']}x{case['ensemble']}"
)
def test_equals_the_published_code(checkpoint: Path, case: dict[str, Any]) -> None:
    """Every output block, as guided-diffusion (commit 22e0df8) computes it from these weights and
    this noise.
    """
    backend, (h, w), t = Adm(checkpoint), case["hw"], SMALL["t"]
    random = np.random.default_rng(7)
    images = torch.from_numpy(random.random((1, 3, h, w)).astype(np.float32))
    noise = torch.from_numpy(random.standard_normal((case["ensemble"], 3, h, w)).astype(np.float32))
    abar = backend.alpha_bar(t)
    outputs = backend.decoder_features(
        abar.sqrt() * backend.encode(images)[0] + (1 - abar).sqrt() * noise, t, range(9)
    )
    for output, expected in zip(outputs, case["blocks"], strict=True):
        mean = output.mean(0, keepdim=True)
        assert list(mean.shape) == expected["shape"]
        picked = np.random.default_rng(0).integers(0, mean.numel(), len(expected["values"]))
        scale = np.abs(expected["values"]).max()
        np.testing.assert_allclose(
            mean.numpy().ravel()[picked], expected["values"], atol=1e-4 * scale
        )
        assert abs(float(mean.double().norm()) / expected["norm"] - 1) < 1e-5


def test_the_published_checkpoint_maps_without_rest() -> None:
    """Names and shapes of 256x256_diffusion_uncond.pt: 566 tensors, 552.8 million numbers, no
    storage.
    """
    from diffusers import UNet2DModel

    shapes = json.loads((FIXTURES / "adm_256_shapes.json").read_text())
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in shapes.items()}
        config = diffusers_config(state, Path(CHECKPOINT))
        unet = UNet2DModel(**config)
    mapped = to_diffusers(state, config)
    expected = {key: value.shape for key, value in unet.state_dict().items()}
    assert {key: value.shape for key, value in mapped.items()} == expected
    assert sum(value.numel() for value in mapped.values()) == 552_814_086
    assert config["block_out_channels"] == (256, 256, 512, 512, 1024, 1024)
    assert [kind.startswith("Attn") for kind in config["down_block_types"]] == [False] * 3 + [
        True
    ] * 3


def test_layers_are_the_papers_output_blocks(checkpoint: Path) -> None:
    """Block 11 of 18 ends the fourth level: 512 channels at half the image's size."""
    backend = Adm(checkpoint)
    assert backend._block(8) is backend.unet.up_blocks[2]
    assert backend._block(0) is backend.unet.up_blocks[0].attentions[0]
    assert backend._block(7) is backend.unet.up_blocks[2].resnets[1]
    for layer in (-1, 9):
        with pytest.raises(
            ValueError, match=f"layer is {layer}, expected output block 0 to 8 for adm"
        ):
            backend._block(layer)


def test_tapping_equals_the_whole_forward_and_stops(checkpoint: Path) -> None:
    backend, images = Adm(checkpoint), torch.rand(2, 3, 24, 40)
    whole: list[torch.Tensor] = []
    hook = backend.unet.up_blocks[1].register_forward_hook(
        lambda module, args, output: whole.append(output)
    )
    backend.unet(2 * images - 1, 41)
    hook.remove()
    ran: list[int] = []
    backend.unet.up_blocks[2].register_forward_hook(lambda module, args, output: ran.append(1))
    got = diffusion_features(backend, images, t=41, layers=(5,))[0]
    assert torch.equal(got, whole[0])
    assert ran == []


def test_paper_mode_needs_no_posterior(checkpoint: Path) -> None:
    backend, images = Adm(checkpoint), torch.rand(1, 3, 16, 16)
    runs = [
        diffusion_features(
            backend, images, t=41, layers=(5,), noisy=True, ensemble=4, posterior=posterior,
            generator=torch.Generator().manual_seed(0), max_batch=4,
        )[0]
        for posterior in (True, False)
    ]  # fmt: skip
    assert torch.equal(*runs)
    assert backend.encode(images)[1] is None


def test_settings_are_the_papers_with_and_without_its_noise(checkpoint: Path) -> None:
    backend = Adm(checkpoint)
    default = backend.settings(None, "default")
    assert (default.t, default.layers, default.noise) == (41, (11,), None)
    assert default == backend.settings("dense", "default")
    assert isinstance(backend.settings("oriented", "default").reading, Oriented)
    for reading in (None, "dense"):
        assert backend.settings(reading, "paper") == DiftConfig.paper("adm")
    with pytest.raises(InputError, match="reading is 'oriented' with the paper's settings"):
        backend.settings("oriented", "paper")


def test_found_by_name_file_and_folder(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_backend(str(checkpoint)).recipe()
    assert load_backend(str(checkpoint.parent)).recipe() == recipe
    monkeypatch.setenv("DIFT_GEO_CACHE", str(checkpoint.parent))
    with pytest.raises(
        FileNotFoundError,
        match=f"no ADM weights at .*{CHECKPOINT}; fetch them with: curl .*openaipublic",
    ):
        load_backend("adm")
    (checkpoint.parent / CHECKPOINT).symlink_to(checkpoint)
    assert load_backend("adm").recipe() == recipe
    assert set(recipe) == {"name", "weights", "precision"}


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("half a file", "is cut short or corrupt"),
        (
            "other model",
            "is no guided-diffusion U-Net; expected 256x256_diffusion_uncond.pt from https",
        ),
        ("classes", "is class-conditional, expected an unconditional model"),
        ("upsampler", "takes 6 channels, expected RGB"),
        (
            "missing",
            r"of another architecture .* 2 missing \(first up_blocks.1.resnets.0.conv1.bias\)",
        ),
        ("unexpected", r"of another architecture .* 1 unexpected \(first input_blocks.1.9.x\)"),
        ("code", "no plain state dict, or is corrupt; only tensors are read from pickles"),
        ("wrapped", "with more than tensors, expected a plain state dict"),
    ],
)
def test_damage_is_told_in_one_line(checkpoint: Path, tmp_path: Path, what: str, text: str) -> None:
    file, state = tmp_path / "model.pt", adm_state()
    match what:
        case "other model":
            state = {"conv.weight": torch.zeros(1)}
        case "classes":
            state["label_emb.weight"] = torch.zeros(1000, 128)
        case "upsampler":
            state["input_blocks.0.0.weight"] = torch.zeros(32, 6, 3, 3)
        case "missing":
            del (
                state["output_blocks.3.0.in_layers.2.bias"],
                state["output_blocks.3.0.in_layers.0.bias"],
            )
        case "unexpected":
            state["input_blocks.1.9.x"] = torch.zeros(1)
        case "code":
            state = {"a": Path("b")}  # type: ignore[dict-item]
        case "wrapped":
            state = {"state_dict": state}  # type: ignore[dict-item]
    torch.save(state, file)
    if what == "half a file":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=text) as caught:
        Adm(file)
    assert "\n" not in str(caught.value)
