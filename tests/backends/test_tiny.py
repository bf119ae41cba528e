"""The embedded backbone: its tap, its input, its files."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dift_geo.backends.config import (
    Dense,
    DiftConfig,
    Effort,
    Noise,
    Oriented,
    ReadingName,
    Upright,
)
from dift_geo.backends.loader import load_backend
from dift_geo.backends.modelfiles import read_settings, write_settings
from dift_geo.backends.tap import run_until
from dift_geo.backends.tiny import BLOCK, WEIGHTS, Tiny
from dift_geo.detectors.sift import RootSift, Sift
from dift_geo.dift.describer import Dift
from dift_geo.errors import InputError


@pytest.fixture
def x_t() -> torch.Tensor:
    return torch.randn(2, 16, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [(0,), (2,), (-1,), (2, 0), (-1, 1), (-2,), (-4, -3)])
def test_tapped_features_equal_the_full_forward(
    tiny, x_t: torch.Tensor, layers: tuple[int, ...]
) -> None:
    """Bit for bit, though the forward stops early."""
    seen: dict[int, torch.Tensor] = {}
    blocks = {-1: tiny.unet.mid_block, **dict(enumerate(tiny.unet.up_blocks))}
    for outwards, block in enumerate(reversed(tiny.unet.down_blocks)):
        blocks[-2 - outwards] = block.resnets[-1]
    handles = [
        block.register_forward_hook(lambda _, __, output, layer=layer: seen.update({layer: output}))
        for layer, block in blocks.items()
    ]
    with torch.inference_mode():
        tiny.unet(x_t, 100)
    for handle in handles:
        handle.remove()
    for layer, features in zip(layers, tiny.decoder_features(x_t, 100, layers)):
        assert torch.equal(features, seen[layer])


@pytest.mark.parametrize(("layer", "unused"), [(-1, [0, 1, 2]), (0, [1, 2]), (1, [2]), (2, [])])
def test_nothing_past_the_deepest_layer_is_run(
    tiny, x_t: torch.Tensor, layer: int, unused: list[int]
) -> None:
    ran: list[int] = []
    modules = {**dict(enumerate(tiny.unet.up_blocks)), 99: tiny.unet.conv_out}
    handles = [
        module.register_forward_pre_hook(lambda *_, index=index: ran.append(index))
        for index, module in modules.items()
    ]
    tiny.decoder_features(x_t, 0, [layer])
    for handle in handles:
        handle.remove()
    assert ran == [index for index in range(3) if index not in unused]


def test_no_hook_stays_behind_even_after_an_error(tiny, x_t: torch.Tensor) -> None:
    with pytest.raises(RuntimeError):
        tiny.decoder_features(x_t[:, :3], 0, [2])
    tiny.decoder_features(x_t, 0, [1])
    assert not any(module._forward_hooks for module in tiny.unet.modules())


def test_tap_gives_one_module_asked_twice_and_passes_errors_on() -> None:
    module = torch.nn.Linear(2, 2)
    outputs = run_until([module, module], lambda: module(torch.ones(1, 2)))
    assert torch.equal(outputs[0], outputs[1])
    with pytest.raises(ZeroDivisionError):
        run_until([module], lambda: 1 / 0)


def test_encoding_is_standardised_luma_in_blocks(tiny, picture: np.ndarray) -> None:
    image = torch.from_numpy(picture[:64, :96]).permute(2, 0, 1)[None] / 255
    x0, deviation = tiny.encode(image)
    assert deviation is None
    assert x0.shape == (1, BLOCK * BLOCK, 16, 24)
    luma = picture[:64, :96] @ np.array([0.299, 0.587, 0.114]) / 255
    luma = (luma - luma.mean()) / luma.std(ddof=1)
    blocks = luma.reshape(16, 4, 24, 4).transpose(1, 3, 0, 2).reshape(16, 16, 24)
    np.testing.assert_allclose(x0[0].numpy(), blocks, atol=1e-3)
    grey = (
        torch.from_numpy(picture[:64, :96] @ np.array([0.299, 0.587, 0.114], np.float32))[
            None, None
        ]
        / 255
    )
    torch.testing.assert_close(tiny.encode(grey)[0], x0, atol=1e-4, rtol=1e-4)


def test_light_and_contrast_do_not_matter_and_flat_images_stay_finite(
    tiny, picture: np.ndarray
) -> None:
    image = torch.from_numpy(picture[:64, :64]).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(
        tiny.encode(0.4 * image + 0.3)[0], tiny.encode(image)[0], atol=1e-2, rtol=1e-2
    )
    assert torch.equal(tiny.encode(torch.zeros(1, 3, 8, 8))[0], torch.zeros(1, 16, 2, 2))


def test_a_grey_image_shown_three_times_is_its_own_luma(tiny) -> None:
    grey = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(
        tiny.encode(grey.expand(-1, 3, -1, -1))[0],
        tiny.encode(grey.repeat(1, 3, 1, 1))[0],
        atol=1e-5,
        rtol=1e-4,
    )


def test_bfloat16_stays_near_and_is_told(tiny) -> None:
    x0 = torch.randn(4, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    half = Tiny(precision="bfloat16")
    got, expected = (
        each.decoder_features(x0, 100, [-2])[0].float().flatten(1) for each in (half, tiny)
    )
    assert torch.cosine_similarity(got, expected).min() > 0.999
    assert not torch.equal(got, expected)
    assert half.recipe() == tiny.recipe() | {"precision": "bfloat16"}
    with pytest.raises(ValueError, match="precision is 'half', expected one of"):
        Tiny(precision="half")  # type: ignore[arg-type]


def test_schedule_falls_from_one(tiny) -> None:
    abar = torch.stack([tiny.alpha_bar(t) for t in range(1000)])
    assert 0.99 < abar[0] <= 1
    assert (abar.diff() < 0).all()
    assert abar[-1] < 0.01


def test_recipe_follows_the_weights(tiny) -> None:
    assert tiny.recipe() == Tiny().recipe()
    random = Tiny(random_seed=3)
    assert random.recipe() == tiny.recipe() | {"weights": "random-3"}
    assert random.projection("oriented", None) is None
    again = Tiny(random_seed=3)
    assert all(torch.equal(a, b) for a, b in zip(random.unet.parameters(), again.unet.parameters()))
    assert tiny.projection("dense", "rootsift") is None


def test_recipe_differs_where_the_same_weights_are_used_otherwise(tiny, tmp_path: Path) -> None:
    """Another noise schedule changes the features; the version that wrote the files does not."""
    folder = tmp_path / "tiny"
    shutil.copytree(WEIGHTS, folder)
    assert Tiny(folder).recipe() == tiny.recipe()
    for part in ("config.json", "scheduler_config.json"):
        plain = json.loads((folder / part).read_text())
        (folder / part).write_text(json.dumps(plain | {"_diffusers_version": "9.9"}))
    assert Tiny(folder).recipe() == tiny.recipe()
    file = folder / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"beta_schedule": "linear"}))
    for seed in (None, 3):
        changed, recipe = (
            Tiny(where, random_seed=seed).recipe() for where in (folder, tiny.folder)
        )
        assert {key for key in recipe if recipe[key] != changed[key]} == {"config"}


def test_random_weights_leave_the_global_random_state_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    Tiny(random_seed=0)
    assert torch.equal(torch.rand(2), expected)


def test_errors(tiny, x_t: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layer is 3, expected -4 to 2 for tiny"):
        tiny.decoder_features(x_t, 0, [3])
    with pytest.raises(FileNotFoundError, match="holds no model; expected unet/ and vae/"):
        load_backend(str(tmp_path))
    with pytest.raises(
        FileNotFoundError,
        match=r"no weights at .*diffusion_pytorch_model.safetensors; expected a folder",
    ):
        Tiny(tmp_path)
    with pytest.raises(ValueError, match="unknown backend 'large', expected tiny"):
        load_backend("large")


@pytest.mark.parametrize("reading", [None, "dense", "oriented"])
@pytest.mark.parametrize("own_settings", [True, False])
def test_a_copy_by_another_name_gives_the_same_descriptors(
    tiny, picture: np.ndarray, tmp_path: Path, reading: ReadingName | None, own_settings: bool
) -> None:
    """Bit for bit, by the folder's own files and by the shipped settings where it has none.

    A backend was recognised by its name once, and a copy ran with the settings of another model.
    """
    shutil.copytree(WEIGHTS, tmp_path / "mine")
    if not own_settings:
        (tmp_path / "mine" / "settings.json").unlink()
    copy = load_backend(tmp_path / "mine")
    assert copy.name == "mine"
    assert copy.recipe() == tiny.recipe() | {"name": "mine"}
    for beside in (None, RootSift()):
        found = [
            Dift(backend, Sift(60), backend.settings(reading, "default"), beside=beside)
            for backend in (copy, tiny)
        ]
        rows = [each.extract(picture, "a.png").descriptors for each in found]
        assert len(rows[0]) == 60
        np.testing.assert_array_equal(*rows)


def test_a_folder_has_settings_of_its_own(tmp_path: Path) -> None:
    for file in WEIGHTS.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "settings.json").unlink()
    own: dict[ReadingName, DiftConfig] = {
        "dense": DiftConfig(reading=Dense(network_wh=(64, 32)), layers=(0, 1), max_batch=7),
        "oriented": DiftConfig(
            reading=Oriented(extents=(1 / 3, 2.0), grid=4), t=7, noise=Noise(ensemble=3, seed=9)
        ),
    }
    write_settings(tmp_path / "settings.json", own)
    backend = Tiny(tmp_path)
    assert backend.settings(None, "default") == own["dense"]  # the first
    assert backend.settings("oriented", "default") == own["oriented"]
    with pytest.raises(InputError, match=r"no paper settings for .*; use --mode default"):
        backend.settings(None, "paper")


@pytest.mark.parametrize("effort", ["fast", "best"])
def test_an_effort_is_the_same_weights_read_otherwise(
    tiny, picture: np.ndarray, effort: Effort
) -> None:
    """On a quarter turn, where the truth is exact; alone and beside RootSIFT."""
    from dift_geo.matching.mutual_nn import match_mutual_nn

    other = tiny.at_effort(effort)
    assert other.recipe() == tiny.recipe()
    assert other.settings(None, "default") != tiny.settings(None, "default")
    square = np.ascontiguousarray(picture[:, :240])
    turned = np.ascontiguousarray(np.rot90(square))
    sift = Sift(max_keypoints=150, max_orientations=1)
    for beside, dim in ((None, 128), (RootSift(sift), 256)):
        dift = Dift(other, sift, beside=beside)
        f0, f1 = dift.extract(square, "a"), dift.extract(turned, "b")
        assert f0.descriptors.shape[1] == dim
        pairs = match_mutual_nn(f0.descriptors, f1.descriptors).pairs
        xy0, xy1 = f0.keypoints.xy[pairs[:, 0]], f1.keypoints.xy[pairs[:, 1]]
        error = np.linalg.norm(np.stack([xy0[:, 1], 239 - xy0[:, 0]], 1) - xy1, axis=1)
        assert len(pairs) > 75
        assert (error < 2).mean() > 0.8


def test_an_effort_that_a_folder_does_not_have_is_one_line(tiny, tmp_path: Path) -> None:
    """Such as those of 0.1, or random weights; the default one is the model itself."""
    assert tiny.at_effort("default") is tiny
    for file in WEIGHTS.iterdir():
        if file.is_file():
            (tmp_path / file.name).symlink_to(file)
    for model in (Tiny(tmp_path), Tiny(random_seed=1)):
        assert model.at_effort("default") is model
        with pytest.raises(InputError, match=r"effort is 'fast', but .* leave --effort out"):
            model.at_effort("fast")
    with pytest.raises(InputError, match=r"has no reading 'dense', .*; or leave --effort out"):
        tiny.at_effort("fast").settings("dense", "default")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("words", "holds no settings .* write it by pipelines/train_tiny.py export"),
        ("[]", "holds no settings"),
        ("{}", "holds no settings .'default'."),
        ('{"default": "dense"}', "has no reading 'dense', expected one of"),
        ('{"default": "dense", "dense": 3}', "settings hold 3, expected a mapping of fields"),
        ('{"default": "dense", "dense": {"time": 3}}', "settings of the dense reading cannot be"),
        ('{"default": "dense", "dense": {"reading": {"grid": 2}}}', "cannot be used: .*grid"),
        ('{"default": "dense", "dense": {"t": 1000}}', "t is 1000, expected 0 to 999"),
    ],
)
def test_damaged_settings_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(InputError, match=message) as told:
        read_settings(tmp_path / "settings.json")
    assert "\n" not in str(told.value)


def test_default_reading_finds_a_turned_picture_again(tiny, picture: np.ndarray) -> None:
    """The whole of it: keypoints, patches, network, matching; on a quarter turn, where the truth is
    exact.
    """
    from dift_geo.matching.mutual_nn import match_mutual_nn

    square = np.ascontiguousarray(picture[:, :240])
    dift = Dift(tiny, Sift(max_keypoints=150, max_orientations=1))
    f0, f1 = dift.extract(square, "a"), dift.extract(np.ascontiguousarray(np.rot90(square)), "b")
    pairs = match_mutual_nn(f0.descriptors, f1.descriptors).pairs
    xy0, xy1 = f0.keypoints.xy[pairs[:, 0]], f1.keypoints.xy[pairs[:, 1]]
    error = np.linalg.norm(np.stack([xy0[:, 1], 239 - xy0[:, 0]], 1) - xy1, axis=1)
    assert len(pairs) > 75
    assert (error < 2).mean() > 0.8


def test_shipped_settings(tiny) -> None:
    oriented = DiftConfig(
        reading=Oriented(extents=(12.0, 16.0, 24.0), tilt=5 / 3, grid=2), t=100, layers=(-2,)
    )
    assert tiny.settings(None, "default") == tiny.settings("oriented", "default") == oriented
    upright = Upright(radii_px=(8.0, 16.0, 36.0), tilt=5 / 3, grid=2)
    assert tiny.settings("upright", "default") == replace(oriented, reading=upright)
    assert tiny.settings("dense", "default") == DiftConfig(t=100, layers=(1, 2))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "is no configuration"),
        ("config.json", b"[1]", "holds list"),
        ("config.json", b"[" * 100_000, "is no configuration"),
        ("config.json", b'{"block_out_channels": [9999999999]}', "block_out_channels is 9999999"),
        ("config.json", b'{"layers_per_block": 1000}', "layers_per_block is 1000"),
        ("config.json", b'{"down_block_types": ["None"]}', "describes no model of ours"),
        ("scheduler_config.json", b"\xff", "is no configuration"),
        ("scheduler_config.json", b'{"num_train_timesteps": 1e12}', "num_train_timesteps is 1"),
        ("scheduler_config.json", b'{"beta_schedule": "steep"}', "describes no model of ours"),
        ("settings.json", b'{"default": 3}', "has no reading 3"),
        ("settings.json", b'{"default": "dense", "dense": {"t": "late"}}', "settings.json"),
        ("diffusion_pytorch_model.safetensors", b"\0" * 99, "cut short or corrupt"),
    ],
)
def test_a_damaged_folder_is_one_line_that_names_the_file(tmp_path, name, content, message) -> None:
    folder = Path(shutil.copytree(WEIGHTS, tmp_path / "model"))
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Tiny(folder).settings(None, "default")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers_are_refused(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(WEIGHTS, tmp_path / "model"))
    file = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, file)
    with pytest.raises(InputError, match=r"conv_in.weight holds NaN or infinity"):
        Tiny(folder)
