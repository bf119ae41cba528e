"""A backend knows the settings that suit it, by what it is and never by what it is called."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dift_geo.backends.config import Dense, DiftConfig, Oriented
from dift_geo.backends.contract import Backend
from dift_geo.backends.loader import load_backend
from dift_geo.backends.stable_diffusion import KNOWN, StableDiffusion
from dift_geo.errors import InputError


def test_the_layer_follows_the_unets_blocks(backends: dict[str, StableDiffusion]) -> None:
    """The last but one: block 2 of four, block 1 of XL's three."""
    layers = {
        shape: backend.settings(None, "default").layers for shape, backend in backends.items()
    }
    assert layers == {"sd1": (2,), "sd2": (2,), "xl": (1,)}


@pytest.mark.parametrize(
    ("shape", "name", "layer"),
    [("sd2", "pixlart", 2), ("sd2", "sdxl", 2), ("xl", "plain", 1), ("sd2", "tiny", 2)],
)
def test_the_name_of_a_folder_decides_nothing(
    folders: dict[str, Path], tmp_path: Path, shape: str, name: str, layer: int
) -> None:
    """`xl` in a name made a model count as XL once, and the wrong block was read."""
    shutil.copytree(folders[shape], tmp_path / name)
    backend = load_backend(tmp_path / name)
    assert backend.settings(None, "default") == DiftConfig(layers=(layer,), max_batch=8)


@pytest.mark.parametrize("repo", ["someone/exlibris", "adm/tiny", "someone/my-cleandift-xl"])
def test_the_name_of_a_hub_id_decides_nothing(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, repo: str
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda repo, **options: str(folders["sd2"])
    )
    backend = load_backend(repo)
    assert backend.settings(None, "default") == DiftConfig(layers=(2,), max_batch=8)


def test_cleandift_has_its_timestep_by_its_entry(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = folders["sd2"] / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(unet, tmp_path / "cleandift_sd21_unet.safetensors")

    def snapshot_download(repo: str, **options: object) -> str:
        return str(tmp_path if repo.startswith("CompVis/") else folders["sd2"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert load_backend("cleandift-sd2.1").settings(None, "default").t == 261
    assert load_backend("sd2.1").settings(None, "default").t == 0
    assert {name: known.t for name, known in KNOWN.items() if known.t} == {"cleandift-sd2.1": 261}


def test_readings_and_paper(backends: dict[str, StableDiffusion]) -> None:
    backend = backends["sd2"]
    assert isinstance(backend.settings("dense", "default").reading, Dense)
    assert isinstance(backend.settings("oriented", "default").reading, Oriented)
    assert backend.settings(None, "paper") == DiftConfig.paper("sd")
    assert backend.settings("dense", "paper") == DiftConfig.paper("sd")
    with pytest.raises(InputError, match="reading is 'oriented' with the paper's settings"):
        backend.settings("oriented", "paper")


class Bare(Backend):
    """What a backend must say itself, and nothing else."""

    name, multiple, device = "bare", 4, torch.device("cpu")

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        return images, None

    def alpha_bar(self, t: int) -> Tensor:
        return torch.tensor(0.5)

    def decoder_features(self, x_t: Tensor, t: int, layers: Sequence[int]) -> list[Tensor]:
        return [x_t for _ in layers]

    def recipe(self) -> dict[str, object]:
        return {"name": self.name}


def test_what_a_backend_need_not_say_has_a_default() -> None:
    backend = Bare()
    assert backend.projection("dense", None) is None
    assert isinstance(backend.settings(None, "default").reading, Dense)
    assert isinstance(backend.settings("oriented", "default").reading, Oriented)
    with pytest.raises(InputError, match="no settings are published for bare"):
        backend.settings(None, "paper")


def test_what_it_must_say_is_missed_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (Bare,), {"encode": Backend.encode})()
