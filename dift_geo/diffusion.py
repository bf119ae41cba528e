"""DIFT: descriptors read out of a diffusion model ("Emergent Correspondence from Image Diffusion", NeurIPS 2023).

The noise, its seeding, the ensemble mean and the two readings (dense and oriented) live here once, for every backend.
Knows neither files nor matching.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends import Backend
from dift_geo.featuremap import FeatureMap
from dift_geo.images import resize_longest
from dift_geo.keypoints import Detector
from dift_geo.patches import cut_patches
from dift_geo.projection import Projection
from dift_geo.types import Features, Keypoints

__all__ = ["Dift", "DiftConfig", "diffusion_features"]

Reading = Literal["dense", "oriented"]


@dataclass(frozen=True)
class DiftConfig:
    """What is asked of the diffusion model; plain data.

    reading: `dense` reads one map per image (the paper), `oriented` one patch per keypoint, normalised for scale and
    rotation. t: timestep, 0 to 999. noisy: add noise of level t; otherwise the clean image goes in and t only conditions
    the network. ensemble: noise draws averaged. layers: decoder blocks read, concatenated. patch_px: side of an oriented
    patch. extent: half that side in units of the keypoint scale. grid: cells per side kept of an oriented patch's map (1
    is its centre). seed: of the noise. network_wh: exact (width, height) shown to the network in the dense reading;
    None keeps the aspect ratio. max_batch: images or patches per forward; bounds memory, not results.
    """

    reading: Reading = "dense"
    t: int = 0
    noisy: bool = False
    ensemble: int = 1
    layers: tuple[int, ...] = (2,)
    patch_px: int = 32
    extent: float = 8.0
    grid: int = 1
    seed: int = 0
    network_wh: tuple[int, int] | None = None
    max_batch: int = 256

    def __post_init__(self) -> None:
        if self.reading not in get_args(Reading):
            raise ValueError(f"reading is {self.reading!r}, expected dense or oriented")
        if not 0 <= self.t < 1000:
            raise ValueError(f"t is {self.t}, expected 0 to 999")
        if not self.layers:
            raise ValueError("layers is empty, expected at least one decoder block")
        for field in ("ensemble", "grid", "patch_px", "max_batch"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}, expected at least 1")
        if not self.noisy and self.ensemble > 1:
            raise ValueError(f"ensemble is {self.ensemble} without noise, expected 1: every draw would be the same")

    @classmethod
    def default(cls, backend_name: str, reading: Reading | None = None) -> DiftConfig:
        """The settings a backend is meant to run with: oriented for tiny, the noise-free dense map for the others."""
        if not backend_name.startswith("tiny"):
            return cls(reading=reading or "dense")
        oriented = cls(reading="oriented", t=100, layers=(1,), grid=4)
        return oriented if reading in (None, "oriented") else cls(reading="dense", t=100, layers=(1, 2))

    def recipe(self) -> dict[str, Any]:
        """What determines descriptors: everything but the batch size."""
        settings = asdict(self)
        del settings["max_batch"]
        return settings


def diffusion_features(
    backend: Backend,
    images: Tensor,
    *,
    t: int,
    layers: Sequence[int],
    noisy: bool = False,
    ensemble: int = 1,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """Decoder features of images (B, 3, H, W) in [0, 1]: one (B, C, h, w) tensor per layer.

    x_t = sqrt(abar) x0 + sqrt(1 - abar) eps with eps drawn from `generator`, features averaged over `ensemble` draws.
    With `noisy` off, x0 itself goes in once and t only conditions the network.
    """
    x0 = backend.encode(images, None)
    if not noisy:
        return backend.decoder_features(x0, t, layers)
    abar = backend.alpha_bar(t)
    total: list[Tensor] | None = None
    for _ in range(ensemble):
        noise = torch.randn(x0.shape, generator=generator, dtype=torch.float32).to(x0)  # drawn on the CPU: same everywhere
        features = backend.decoder_features(abar.sqrt() * x0 + (1 - abar).sqrt() * noise, t, layers)
        total = features if total is None else [a + b for a, b in zip(total, features)]
    assert total is not None
    return [feature / ensemble for feature in total]


class Dift:
    """Keypoints of `detector`, described by `backend`.

    config: None takes `DiftConfig.default`. projection: `auto` takes the one shipped with the backend for this reading if
    there is one; None leaves raw unit descriptors; or a fitted `Projection`. size: longest side, in pixels, of the image
    that detector and network see; None keeps the original.
    """

    def __init__(
        self,
        backend: Backend,
        detector: Detector,
        config: DiftConfig | None = None,
        projection: Projection | Literal["auto"] | None = "auto",
        size: int | None = None,
    ) -> None:
        self.backend, self.detector, self.size = backend, detector, size
        self.config = DiftConfig.default(backend.name) if config is None else config
        if projection == "auto":
            file = getattr(backend, "projection_file", lambda reading: None)(self.config.reading)
            projection = None if file is None else Projection.load(file)
        self.projection = projection

    def recipe(self) -> dict[str, Any]:
        """What determines descriptors, for the store."""
        fitted = None if self.projection is None else self.projection.fingerprint
        return {"dift": {"backend": self.backend.recipe(), "config": self.config.recipe(), "projection": fitted}}

    def extract(self, image: NDArray[np.uint8], name: str | None = None) -> Features:
        """Detect and describe (H, W, 3) uint8 RGB; keypoints come in its frame.

        name: seeds the noise together with the config's seed; by default a checksum of the pixels.
        """
        h, w = image.shape[:2]
        resized = resize_longest(image, self.size)
        keypoints = self.detector.detect(resized)
        descriptors = self.describe(resized, keypoints, name)
        return Features(keypoints.resized_to((w, h)), descriptors)

    def describe(self, image: NDArray[np.uint8], keypoints: Keypoints, name: str | None = None) -> NDArray[np.float32]:
        """Descriptors at given keypoints of (H, W, 3) uint8 RGB: (N, D) float32 unit rows."""
        raw = self.raw_descriptors(image, keypoints, name)
        if self.projection is not None:
            return self.projection.apply(raw)
        return raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)

    def raw_descriptors(self, image: NDArray[np.uint8], keypoints: Keypoints, name: str | None = None) -> NDArray[np.float32]:
        """What the network says at each keypoint, before any projection: (N, D) float32, each layer of unit length."""
        key = str(zlib.crc32(image.tobytes())) if name is None else name
        generator = torch.Generator().manual_seed(zlib.crc32(f"{self.config.seed}/{key}".encode()))
        read = self._read_dense if self.config.reading == "dense" else self._read_oriented
        return read(image, keypoints, generator)

    def _features(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        c = self.config
        return diffusion_features(
            self.backend, images, t=c.t, layers=c.layers, noisy=c.noisy, ensemble=c.ensemble, generator=generator
        )

    def _read_dense(self, image: NDArray[np.uint8], keypoints: Keypoints, generator: torch.Generator) -> NDArray[np.float32]:
        h, w = image.shape[:2]
        multiple = self.backend.multiple
        size_wh = self.config.network_wh or tuple(max(multiple, round(side / multiple) * multiple) for side in (w, h))
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        tensor = F.interpolate(tensor, size_wh[::-1], mode="bilinear", antialias=True, align_corners=False)
        maps = self._features(tensor, generator)
        xy = torch.from_numpy(keypoints.xy).to(maps[0].device)
        parts = [F.normalize(FeatureMap(values[0].float(), (w, h)).sample(xy)) for values in maps]
        return torch.cat(parts, 1).cpu().numpy()

    def _read_oriented(self, image: NDArray[np.uint8], keypoints: Keypoints, generator: torch.Generator) -> NDArray[np.float32]:
        c = self.config
        patches = cut_patches(image, keypoints, c.patch_px, c.extent)
        batches = patches.split(c.max_batch) if len(patches) else [torch.full((1, 1, c.patch_px, c.patch_px), 0.5)]
        rows = [self._read_patches(batch, generator) for batch in batches]
        return torch.cat(rows)[: len(keypoints)].cpu().numpy()

    def _read_patches(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        maps = self._features(patches.expand(-1, 3, -1, -1), generator)
        if self.config.grid == 1:
            centre = torch.full((1, 2), (self.config.patch_px - 1) / 2)
            size_wh = (self.config.patch_px, self.config.patch_px)
            read = [torch.stack([FeatureMap(m, size_wh).sample(centre)[0] for m in values.float()]) for values in maps]
        else:
            read = [F.adaptive_avg_pool2d(values.float(), self.config.grid).flatten(1) for values in maps]
        return torch.cat([F.normalize(part) for part in read], 1)

    def with_config(self, **changes: Any) -> Dift:
        """The same extractor with some settings changed and raw descriptors: a shipped projection would not fit them."""
        return Dift(self.backend, self.detector, replace(self.config, **changes), None, self.size)
