"""The embedded backbone's own network against diffusers', to the bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from dift_geo.backends.tiny import SCHEDULER_FILE, WEIGHTS, Tiny
from dift_geo.backends.tiny_unet import TinyUnet, cosine_shares, is_plain

CONFIG = json.loads((WEIGHTS / "config.json").read_text())
OTHER = CONFIG | {
    "block_out_channels": [16, 24],
    "down_block_types": ["DownBlock2D"] * 2,
    "up_block_types": ["UpBlock2D"] * 2,
    "layers_per_block": 2,
    "in_channels": 4,
    "out_channels": 5,
    "norm_num_groups": 4,
}


@dataclass
class Both:
    """diffusers' network and ours, with the random weights of one seed."""

    theirs: torch.nn.Module
    ours: TinyUnet


@pytest.fixture(scope="module", params=["shipped", "other"])
def both(request: pytest.FixtureRequest) -> Both:
    from diffusers.models.unets.unet_2d import UNet2DModel

    config = {"shipped": CONFIG, "other": OTHER}[request.param]
    made = []
    for build in (UNet2DModel.from_config, TinyUnet):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            made.append(build(config).eval())
    return Both(*made)


def test_a_seed_draws_the_same_weights_under_the_same_names(both: Both) -> None:
    theirs, ours = both.theirs.state_dict(), both.ours.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


@pytest.mark.parametrize("count", [1, 3, 65])  # diffusers changes the layout of 64 and more
@pytest.mark.parametrize("t", [0, 251])
def test_equals_diffusers(both: Both, count: int, t: int) -> None:
    channels = both.ours.conv_in.in_channels
    x = torch.randn(count, channels, 8, 12, generator=torch.Generator().manual_seed(t))
    with torch.inference_mode():
        expected, found = both.theirs(x, t).sample, both.ours(x, t)
    assert found.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_the_schedule_is_diffusers() -> None:
    from diffusers import DDPMScheduler

    for steps in (1000, 7):
        expected = DDPMScheduler(steps, beta_schedule="squaredcos_cap_v2").alphas_cumprod
        assert torch.equal(cosine_shares(steps), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"dropout": 0.1},
        {"freq_shift": 1},
        {"down_block_types": ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"]},
        {"up_block_types": ["UpBlock2D"] * 2},
        {"block_out_channels": 48},
        {"block_out_channels": []},
        {"a_field_of_tomorrow": 1},
    ],
)
def test_other_architectures_are_left_to_diffusers(change: dict[str, Any]) -> None:
    assert is_plain(CONFIG)
    assert is_plain(OTHER)
    assert not is_plain(CONFIG | change)
    assert not is_plain({name: value for name, value in CONFIG.items() if name != "act_fn"})


def test_a_folder_of_another_architecture_is_built_by_diffusers(tmp_path: Path) -> None:
    from diffusers.models.unets.unet_2d import UNet2DModel

    config = CONFIG | {
        "down_block_types": ["DownBlock2D"] * 2 + ["AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D"] + ["UpBlock2D"] * 2,
    }
    UNet2DModel.from_config(config).save_pretrained(tmp_path)
    linear = {"beta_schedule": "linear", "num_train_timesteps": 1000}
    (tmp_path / SCHEDULER_FILE).write_text(json.dumps(linear))
    model = Tiny(tmp_path)
    assert isinstance(model.unet, UNet2DModel)
    betas = torch.linspace(0.0001, 0.02, 1000)
    torch.testing.assert_close(model.alphas_cumprod, torch.cumprod(1 - betas, 0))
    (found,) = model.decoder_features(torch.randn(1, 16, 8, 8), 10, [-2])
    assert found.shape == (1, 192, 2, 2)
