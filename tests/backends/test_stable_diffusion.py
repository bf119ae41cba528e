"""Stable Diffusion against diffusers' own full forward and against DIFT's own code, on small models
in the real formats.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sd_reference import Reference, members, random_image, relative

from dift_geo.backends.config import DiftConfig
from dift_geo.backends.stable_diffusion import StableDiffusion
from dift_geo.dift.describer import Dift
from dift_geo.dift.noise import diffusion_features
from dift_geo.types import Keypoints

FIXTURES = Path(__file__).parent.parent / "fixtures"
SHAPES = ("sd1", "sd2", "xl")


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
    mean, deviation = backend.encode(images)
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
    mean, deviation = backend.encode(images)
    assert relative(mean, x0) < 1e-5
    with torch.no_grad():
        latent = reference.vae.encode(2 * images - 1).latent_dist
    assert relative(deviation, latent.std * reference.vae.config.scaling_factor) < 1e-5


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
    paper = DiftConfig.paper("sd")
    config = replace(
        paper,
        reading=replace(paper.reading, network_wh=(64, 128)),
        noise=replace(paper.noise, ensemble=2, seed=5),
    )
    dift = Dift(backends["sd2"], config=config)
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


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_lower_precision_stays_near(
    folders: dict[str, Path], backends: dict[str, StableDiffusion], precision: Any
) -> None:
    images = random_image(64, 64)
    heads = torch.zeros(1, 2, 64, 32, dtype=getattr(torch, precision))
    try:
        F.scaled_dot_product_attention(heads, heads, heads)
    except RuntimeError as error:  # with ATEN_CPU_CAPABILITY below what the processor has
        pytest.skip(f"torch itself cannot attend in {precision} here: {error}")
    expected = diffusion_features(backends["sd1"], images, t=0, layers=(2,))[0]
    got = diffusion_features(
        StableDiffusion(folders["sd1"], precision=precision), images, t=0, layers=(2,)
    )[0]
    assert got.dtype == torch.float32
    assert relative(got, expected) < 0.05


def test_a_layer_that_is_not_there(backends: dict[str, StableDiffusion]) -> None:
    with pytest.raises(ValueError, match="layer is 3, expected -1 to 2 for sd:xl"):
        diffusion_features(backends["xl"], random_image(64, 64), t=0, layers=(3,))
