"""The noise, its seeding and the ensemble mean, once for every backend."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from dift_geo.backends.config import DiftConfig, Noise
from dift_geo.backends.contract import Backend

__all__ = ["configured_features", "diffusion_features", "randn_cpu", "seeded"]

Generators = torch.Generator | Sequence[torch.Generator] | None


def diffusion_features(
    backend: Backend,
    images: Tensor,
    *,
    t: int,
    layers: Sequence[int],
    noisy: bool = False,
    ensemble: int = 1,
    posterior: bool = False,
    generator: Generators = None,
    max_batch: int = 256,
) -> list[Tensor]:
    """Decoder features of images (B, 3, H, W) in [0, 1]: one (B, C, h, w) float32 tensor per layer.

    x_t = sqrt(abar) x0 + sqrt(1 - abar) eps, features averaged over the draws of eps. The encoder
    runs once in any case.

    t: timestep, 0 to 999.
    layers: blocks read, as the backend counts them.
    noisy: add noise; otherwise x0 itself goes in once and t only conditions the network.
    ensemble: draws of eps.
    posterior: draw x0 too, once per draw of eps, where the backend's encoder is random.
    generator: one for all images or one each, on the CPU, so that every device sees the same noise.
    max_batch: draws per forward, times B.
    """
    mean, deviation = backend.encode(images)
    if not noisy:
        return [feature.float() for feature in backend.decoder_features(mean, t, layers)]
    abar = backend.alpha_bar(t)

    def draw() -> Tensor:
        x0 = mean
        if posterior and deviation is not None:
            x0 = mean + deviation * randn_cpu(mean, generator)
        return abar.sqrt() * x0 + (1 - abar).sqrt() * randn_cpu(mean, generator)

    # drawn one by one: the noise does not depend on max_batch
    draws = [draw() for _ in range(ensemble)]
    total: list[Tensor] = []
    at_once = max(1, max_batch // max(1, len(images)))
    for start in range(0, ensemble, at_once):
        chunk = draws[start : start + at_once]
        features = backend.decoder_features(torch.cat(chunk), t, layers)
        parts = [feature.float().unflatten(0, (len(chunk), -1)) for feature in features]
        for one in zip(*parts):  # in the order drawn, whatever the chunks
            total = [before + now for before, now in zip(total, one)] if total else list(one)
    return [feature / ensemble for feature in total]


def configured_features(
    backend: Backend, config: DiftConfig, images: Tensor, generator: Generators
) -> list[Tensor]:
    """`diffusion_features` with the settings of `config`; `generator` only matters with noise."""
    noise = config.noise or Noise()
    return diffusion_features(
        backend,
        images,
        t=config.t,
        layers=config.layers,
        noisy=config.noise is not None,
        ensemble=noise.ensemble,
        posterior=noise.posterior,
        generator=generator,
        max_batch=config.max_batch,
    )


def seeded(noise: Noise, name: str) -> torch.Generator:
    """The generator of one image's noise: no two images of a pair share a field, and a resumed run
    sees what an uninterrupted one does.
    """
    return torch.Generator().manual_seed(zlib.crc32(f"{noise.seed}/{name}".encode()))


def randn_cpu(like: Tensor, generator: Generators) -> Tensor:
    """Standard normal of the shape of (B, ...), drawn on the CPU; with one generator per image,
    each from its own.
    """
    if isinstance(generator, Sequence):
        drawn = [torch.randn(like.shape[1:], generator=one) for one in generator]
        return torch.stack(drawn).to(like)
    return torch.randn(like.shape, generator=generator).to(like)
