"""The noise, its seeding and the ensemble mean, once for every backend."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dift_geo.backends.contract import Backend

__all__ = ["diffusion_features", "randn_cpu"]


def diffusion_features(
    backend: Backend,
    images: Tensor,
    *,
    t: int,
    layers: Sequence[int],
    noisy: bool = False,
    ensemble: int = 1,
    posterior: bool = False,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    max_batch: int = 256,
) -> list[Tensor]:
    """Decoder features of images (B, 3, H, W) in [0, 1]: one (B, C, h, w) float32 tensor per layer.

    x_t = sqrt(abar) x0 + sqrt(1 - abar) eps with eps drawn from `generator`, features averaged over
    `ensemble` draws. With `noisy` off, x0 itself goes in once and t only conditions the network.
    posterior: draw x0 too, once per member, where the backend's encoder is random. The encoder runs
    once in any case. generator: one for all images or one each, always on the CPU, so that every
    device sees the same noise. max_batch: ensemble members per forward, times B.
    """
    draw = getattr(backend, "posterior", None) if posterior else None
    mean, deviation = draw(images) if draw is not None else (backend.encode(images, None), None)
    if not noisy:
        return [feature.float() for feature in backend.decoder_features(mean, t, layers)]
    abar = backend.alpha_bar(t)

    def member() -> Tensor:
        x0 = mean if deviation is None else mean + deviation * randn_cpu(mean, generator)
        return abar.sqrt() * x0 + (1 - abar).sqrt() * randn_cpu(mean, generator)

    # drawn one by one: the noise does not depend on max_batch
    members = [member() for _ in range(ensemble)]
    total: list[Tensor] = []
    at_once = max(1, max_batch // max(1, len(images)))
    for start in range(0, ensemble, at_once):
        chunk = members[start : start + at_once]
        features = backend.decoder_features(torch.cat(chunk), t, layers)
        for i, feature in enumerate(features):
            # in the order drawn, whatever the chunks
            for one in feature.float().unflatten(0, (len(chunk), -1)):
                if len(total) == i:
                    total.append(one.clone())
                else:
                    total[i] += one
    return [feature / ensemble for feature in total]


def randn_cpu(
    like: Tensor, generator: torch.Generator | Sequence[torch.Generator] | None
) -> Tensor:
    """Standard normal of the shape of (B, ...), drawn on the CPU; with one generator per image,
    each from its own.
    """
    if isinstance(generator, Sequence):
        return torch.stack([torch.randn(like.shape[1:], generator=one) for one in generator]).to(
            like
        )
    return torch.randn(like.shape, generator=generator).to(like)
