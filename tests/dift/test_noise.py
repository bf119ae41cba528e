"""The noise against schedulers, the ensemble, and what seeds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from glass import Glass, generator, glass_dift, seen
from torch import Tensor

from dift_geo.backends.config import DiftConfig, Noise, Oriented
from dift_geo.detectors.sift import Sift
from dift_geo.dift.noise import configured_features, diffusion_features


@pytest.mark.parametrize("scheduler_name", ["DDIMScheduler", "DDPMScheduler"])
@pytest.mark.parametrize("t", [0, 1, 261, 999])
def test_x_t_equals_the_schedulers_add_noise(scheduler_name: str, t: int) -> None:
    import diffusers

    scheduler = getattr(diffusers, scheduler_name)(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    backend = Glass()
    backend.abar = scheduler.alphas_cumprod
    images = torch.rand(2, 3, 16, 24, generator=generator(1))
    diffusion_features(backend, images, t=t, layers=[0], noisy=True, generator=generator())
    x0 = backend.encode(images)[0]
    noise = torch.randn(x0.shape, generator=generator())
    torch.testing.assert_close(
        backend.seen[0], scheduler.add_noise(x0, noise, torch.tensor([t, t]))
    )


def test_ensemble_is_the_mean_of_its_draws() -> None:
    backend, images = Glass(), torch.rand(1, 3, 16, 16, generator=generator(1))
    shared = generator()
    draws = [
        diffusion_features(backend, images, t=500, layers=[0, 3], noisy=True, generator=shared)
        for _ in range(4)
    ]
    together = diffusion_features(
        backend, images, t=500, layers=[0, 3], noisy=True, ensemble=4, generator=generator()
    )
    for k in range(2):
        torch.testing.assert_close(together[k], torch.stack([draw[k] for draw in draws]).mean(0))
    assert not torch.equal(backend.seen[0], backend.seen[1])


def test_without_noise_the_image_goes_in_once() -> None:
    backend, images = Glass(), torch.rand(1, 3, 16, 16, generator=generator(1))
    (features,) = diffusion_features(backend, images, t=500, layers=[0])
    assert len(backend.seen) == 1
    torch.testing.assert_close(features, backend.encode(images)[0])


def test_the_encoding_is_drawn_too_where_it_is_random_and_that_is_asked_for() -> None:
    images = torch.rand(1, 3, 16, 16, generator=generator(1))
    settings: dict[str, Any] = {"t": 500, "layers": [0], "noisy": True, "ensemble": 2}
    seen = {}
    for deviation in (None, 0.3):
        for posterior in (False, True):
            backend = Glass(deviation)
            diffusion_features(
                backend, images, posterior=posterior, generator=generator(), **settings
            )
            seen[deviation, posterior] = torch.cat(backend.seen)
    for case in ((None, True), (0.3, False)):
        assert torch.equal(seen[case], seen[None, False])
    drawn = generator()
    x0, abar = Glass().encode(images)[0], Glass().alpha_bar(500)
    for shown in seen[0.3, True]:
        z, eps = (torch.randn(x0.shape, generator=drawn) for _ in range(2))
        expected = abar.sqrt() * (x0 + 0.3 * z) + (1 - abar).sqrt() * eps
        torch.testing.assert_close(shown[None], expected)


def test_features_configured_equal_features_asked_for() -> None:
    images = torch.rand(1, 3, 16, 16, generator=generator(1))
    clean = DiftConfig(t=7, layers=(0, 3))
    noisy = replace(clean, noise=Noise(ensemble=3, posterior=True, seed=2), max_batch=2)
    for config, words in (
        (clean, {}),
        (noisy, {"noisy": True, "ensemble": 3, "posterior": True, "max_batch": 2}),
    ):
        got = configured_features(Glass(0.2), config, images, generator())
        expected = diffusion_features(
            Glass(0.2), images, t=7, layers=(0, 3), generator=generator(), **words
        )
        assert all(torch.equal(*pair) for pair in zip(got, expected, strict=True))


def test_noise_is_seeded_by_name_and_seed(picture: np.ndarray) -> None:
    def noise(name: str | None, seed: int = 0) -> Tensor:
        extractor = glass_dift(noise=Noise(seed=seed), t=900)
        extractor.extract(picture, name)
        return seen(extractor)[0]

    assert torch.equal(noise("a.jpg"), noise("a.jpg"))
    assert not torch.equal(noise("a.jpg"), noise("b.jpg"))
    assert not torch.equal(noise("a.jpg"), noise("a.jpg", seed=1))
    assert torch.equal(noise(None), noise(None))  # by the pixels


def test_a_resumed_run_equals_an_uninterrupted_one(texture) -> None:
    """Nothing carries over from one image to the next, nor from the global random state."""
    images = {f"{i}.jpg": texture((96, 80), i) for i in range(3)}
    whole = glass_dift(noise=Noise(ensemble=2), t=300)
    first = {name: whole.extract(image, name) for name, image in images.items()}
    torch.manual_seed(7)
    resumed = glass_dift(noise=Noise(ensemble=2), t=300)
    for name in ("2.jpg", "1.jpg"):
        np.testing.assert_array_equal(
            resumed.extract(images[name], name).descriptors, first[name].descriptors
        )


def test_two_patches_and_two_images_get_different_noise(picture: np.ndarray) -> None:
    """A shared noise field would make descriptors match by their noise."""
    flat = np.full_like(picture, 128)
    keypoints = Sift(max_keypoints=6).detect(picture)
    extractor = glass_dift(reading=Oriented(), noise=Noise(), t=999, max_batch=4)
    extractor.describe(flat, keypoints, "a")
    extractor.describe(flat, keypoints, "b")
    patches = torch.cat(seen(extractor)).flatten(1)
    assert len(patches) == 2 * len(keypoints) == 12
    correlation = torch.corrcoef(patches) - torch.eye(12)
    assert correlation.abs().max() < 0.5
