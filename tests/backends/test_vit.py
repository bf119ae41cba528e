"""Vision transformers from folders in the real formats, against transformers' own forward."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_backbones import vit_folders

from dift_geo.backends.loader import load_backend
from dift_geo.backends.vit import KINDS
from dift_geo.errors import InputError, MissingFileError
from dift_geo.extractor import build_extractor

PATCH = {"dino": 8, "dinov2": 14, "registers": 14, "dinov3": 16, "clip": 14}
BESIDE = {"dino": 1, "dinov2": 1, "registers": 5, "dinov3": 5, "clip": 1}  # tokens of no place


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return vit_folders(tmp_path_factory.mktemp("vit"))


def word(name, folders, suffix=""):
    return f"{'dinov2' if name == 'registers' else name}{suffix}:{folders / name}"


@pytest.mark.parametrize("name", PATCH)
def test_features_are_those_of_transformers(name, folders):
    backend = load_backend(word(name, folders))
    patch = PATCH[name]
    assert backend.multiple == patch
    h, w = 3, 5
    image = torch.rand((2, 3, h * patch, w * patch), generator=torch.Generator().manual_seed(1))
    x0, deviation = backend.encode(image)
    assert deviation is None
    kind = KINDS["dinov2" if name == "registers" else name]
    mean, std = (torch.tensor(own)[:, None, None] for own in (kind.mean, kind.std))
    assert torch.allclose(x0, (image - mean) / std)
    stretched = {"interpolate_pos_encoding": True} if name in ("dino", "clip") else {}
    with torch.inference_mode():
        whole = backend.model(x0, output_hidden_states=True, **stretched)
    last, middle = backend.decoder_features(x0, 0, [-1, 1])
    assert last.shape == (2, 32, h, w)
    expected = whole.last_hidden_state[:, BESIDE[name] :]
    assert torch.allclose(last.flatten(2).transpose(1, 2), expected, atol=1e-5)
    hidden = whole.hidden_states[2][:, BESIDE[name] :]
    if name != "clip":  # whose tokens are read before the last normalisation
        hidden = torch.nn.functional.layer_norm(
            hidden,
            (32,),
            *(backend.model.state_dict()[f"{_norm(name)}.{part}"] for part in ("weight", "bias")),
            eps=backend.model.config.layer_norm_eps,
        )
    assert torch.allclose(middle.flatten(2).transpose(1, 2), hidden, atol=1e-5)


def _norm(name):
    return "norm" if name == "dinov3" else "layernorm"


def test_keys_are_the_projection_of_a_block(folders):
    backend = load_backend(word("dinov2", folders, "-keys"))
    x0, _ = backend.encode(torch.rand((1, 3, 28, 42)))
    (found,) = backend.decoder_features(x0, 0, [2])
    state = backend.model.state_dict()
    with torch.inference_mode():
        before = backend.model(x0, output_hidden_states=True).hidden_states[2][0, 1:]

    def part(text):
        (key,) = (key for key in state if f".2.{text}" in key)
        return state[key]

    normed = torch.nn.functional.layer_norm(
        before, (32,), part("norm1.weight"), part("norm1.bias"), 1e-6
    )
    (weight,) = (
        v for k, v in state.items() if ".2." in k and k.endswith(("k_proj.weight", "key.weight"))
    )
    (bias,) = (
        v for k, v in state.items() if ".2." in k and k.endswith(("k_proj.bias", "key.bias"))
    )
    expected = normed @ weight.T + bias
    assert torch.allclose(found[0].flatten(1).T, expected, atol=1e-5)
    assert backend.recipe()["facet"] == "keys"
    assert backend.settings(None, "default").layers == (0,)


def test_settings_of_tasks(folders):
    backend = load_backend(word("dinov2", folders))
    assert backend.task_config("semantic").reading.network_wh == (840, 840)
    settings = backend.propagation()
    assert (settings.short_side % 14, settings.multiple) == (0, 14)
    assert load_backend(word("dino", folders)).propagation().multiple == 64
    with pytest.raises(InputError, match="no settings for matching geometry"):
        backend.settings(None, "paper")
    with pytest.raises(InputError, match="layer is 3, expected 0 to 2"):
        backend.decoder_features(torch.zeros((1, 3, 28, 28)), 0, [3])


def test_extract_just_works(folders, picture):
    extractor = build_extractor(backend=word("dino", folders), max_keypoints=50, size=160)
    features = extractor.extract(picture, "a.png")
    assert features.descriptors.shape[1] == 32
    assert len(features) > 10


def test_what_cannot_be_used_is_refused(folders, tmp_path):
    with pytest.raises(InputError, match="of type 'vit', expected dinov2 or dinov2_with_registers"):
        load_backend(f"dinov2:{folders / 'dino'}")
    with pytest.raises(MissingFileError, match=r"no config\.json"):
        load_backend(f"clip:{tmp_path}")
    copy = shutil.copytree(folders / "dino", tmp_path / "dino")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read as ViTModel"):
        load_backend(f"dino:{copy}")
    weights.unlink()
    with pytest.raises(MissingFileError, match="no weights"):
        load_backend(f"dino:{copy}")
    (copy / "config.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        load_backend(f"dino:{copy}")


@pytest.mark.parametrize("name", PATCH)
def test_a_weight_that_is_not_there_is_not_drawn_at_random(name, folders, tmp_path, capfd):
    """transformers fills the gap and says so in passing; so does a weight of another shape."""
    load_backend(word(name, folders))
    assert capfd.readouterr() == ("", "")
    copy = shutil.copytree(folders / name, tmp_path / name)
    file = copy / "model.safetensors"
    state = load_file(file)
    lost = next(key for key in sorted(state) if ".1." in key and key.endswith("weight"))
    kept = {key: value for key, value in state.items() if key != lost}
    save_file(kept, file, {"format": "pt"})
    kind = "dinov2" if name == "registers" else name
    with pytest.raises(InputError, match=r"lacks 1 weights of .*, .* among them; copy it again"):
        load_backend(f"{kind}:{copy}")
    wrong = state | {lost: state[lost].repeat_interleave(2, 0)}
    save_file(wrong, file, {"format": "pt"})
    with pytest.raises(InputError, match="cannot be read as"):
        load_backend(f"{kind}:{copy}")
    assert capfd.readouterr() == ("", "")


def test_a_folder_may_say_how_it_wants_images(folders, tmp_path):
    copy = shutil.copytree(folders / "dinov3", tmp_path / "dinov3")
    own = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (copy / "preprocessor_config.json").write_text(json.dumps(own))
    x0, _ = load_backend(f"dinov3:{copy}").encode(torch.ones((1, 3, 16, 16)))
    assert torch.equal(x0, torch.full((1, 3, 16, 16), 2.0))
