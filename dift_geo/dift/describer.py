"""DIFT: descriptors read out of a diffusion model ("Emergent Correspondence from Image Diffusion",
NeurIPS 2023).

The noise, its seeding, the ensemble mean and the two readings (dense and oriented) live here once,
for every backend. Knows neither files nor matching.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.backends.contract import Backend
from dift_geo.detectors.contract import Describer, Detector
from dift_geo.dift.config import DiftConfig
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.dift.noise import diffusion_features
from dift_geo.dift.patches import cut_views
from dift_geo.dift.projection import Projection
from dift_geo.errors import InputError
from dift_geo.images import resize_longest
from dift_geo.types import Features, Keypoints

__all__ = ["Dift"]


class Dift:
    """Keypoints of `detector`, described by `backend`.

    config: None takes `DiftConfig.default`. projection: `auto` takes the one shipped with the
    backend for this reading if there is one; None leaves raw unit descriptors; or a fitted
    `Projection`. size: longest side, in pixels, of the image that detector and network see; None
    keeps the original. beside: another describer, whose unit rows stand beside those of the network
    before the projection, which then weighs both.
    """

    def __init__(
        self,
        backend: Backend,
        detector: Detector,
        config: DiftConfig | None = None,
        projection: Projection | Literal["auto"] | None = "auto",
        size: int | None = None,
        beside: Describer | None = None,
    ) -> None:
        self.backend, self.detector, self.size, self.beside = backend, detector, size, beside
        self.config = DiftConfig.default(backend.name) if config is None else config
        if projection == "auto":
            shipped = getattr(backend, "projection_file", lambda reading, beside: None)
            file = shipped(self.config.reading, None if beside is None else beside.recipe()["name"])
            projection = None if file is None else Projection.load(file)
        self.projection = projection

    @property
    def weight(self) -> float:
        """Of its rows beside others, see `extractors.join`."""
        return 1.0 if self.projection is None else self.projection.weight

    def recipe(self) -> dict[str, Any]:
        """What determines descriptors, for the store."""
        fitted = None if self.projection is None else self.projection.fingerprint
        beside = {} if self.beside is None else {"beside": self.beside.recipe()}
        return {
            "dift": {
                "backend": self.backend.recipe(),
                "config": self.config.recipe(),
                "projection": fitted,
                **beside,
            }
        }

    def extract(self, image: NDArray[np.uint8], name: str | None = None) -> Features:
        """Detect and describe (H, W, 3) uint8 RGB; keypoints come in its frame.

        name: seeds the noise together with the config's seed; by default a checksum of the pixels.
        """
        h, w = image.shape[:2]
        resized = resize_longest(image, self.size)
        keypoints = self.detector.detect(resized)
        descriptors = self.describe(resized, keypoints, name)
        return Features(keypoints.resized_to((w, h)), descriptors)

    def describe(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str | None = None
    ) -> NDArray[np.float32]:
        """Descriptors at given keypoints of (H, W, 3) uint8 RGB: (N, D) float32 unit rows."""
        raw = self.raw_descriptors(image, keypoints, name)
        if self.projection is not None:
            return self.projection.apply(raw)
        return raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)

    def raw_descriptors(
        self, image: NDArray[np.uint8], keypoints: Keypoints, name: str | None = None
    ) -> NDArray[np.float32]:
        """What the network says at each keypoint, before any projection: (N, D) float32, each layer
        of unit length.

        The rows of `beside` come last.
        """
        key = str(zlib.crc32(image.tobytes())) if name is None else name
        generator = torch.Generator().manual_seed(zlib.crc32(f"{self.config.seed}/{key}".encode()))
        read = self._read_dense if self.config.reading == "dense" else self._read_oriented
        rows = read(image, keypoints, generator)
        return (
            rows
            if self.beside is None
            else np.concatenate([rows, self.beside.describe(image, keypoints, key)], 1)
        )

    def _features(
        self, images: Tensor, generator: torch.Generator | Sequence[torch.Generator]
    ) -> list[Tensor]:
        c = self.config
        return diffusion_features(
            self.backend,
            images,
            t=c.t,
            layers=c.layers,
            noisy=c.noisy,
            ensemble=c.ensemble,
            posterior=c.mode == "paper",
            generator=generator,
            max_batch=c.max_batch,
        )

    def _read_dense(
        self, image: NDArray[np.uint8], keypoints: Keypoints, generator: torch.Generator
    ) -> NDArray[np.float32]:
        h, w = image.shape[:2]
        maps = self._features(self._network_image(image), generator)
        xy = torch.from_numpy(keypoints.xy).to(maps[0].device)
        grids = [FeatureMap(values[0], (w, h)) for values in maps]
        published = self.config.mode == "paper"
        parts = [
            F.normalize(grid.sample_as_published(xy) if published else grid.sample(xy))
            for grid in grids
        ]
        return torch.cat(parts, 1).cpu().numpy()

    def _network_image(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W, 3) uint8 -> (1, 3, h, w) float32 in [0, 1], resized to what the network takes."""
        multiple = self.backend.multiple
        sides = (max(multiple, round(side / multiple) * multiple) for side in image.shape[:2])
        size_hw = self.config.network_wh[::-1] if self.config.network_wh else tuple(sides)
        if wrong := [side for side in size_hw if side % multiple]:
            raise InputError(
                f"network_wh has side {wrong[0]}, expected multiples of {multiple} for {self.backend.name}"
            )
        # Pillow's resize, as that script uses: bicubic, rounded to 8 bits
        if self.config.mode == "paper":
            from PIL import Image

            resized = np.array(Image.fromarray(image).resize(size_hw[::-1]))
            return torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 255
        tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        return F.interpolate(tensor, size_hw, mode="bilinear", antialias=True, align_corners=False)

    def _read_oriented(
        self, image: NDArray[np.uint8], keypoints: Keypoints, generator: torch.Generator
    ) -> NDArray[np.float32]:
        c = self.config
        tilts = (c.tilt, 1 / c.tilt) if c.tilt > 1 else (1.0,)
        total: list[Tensor] = []
        for patches in cut_views(image, keypoints, c.patch_px, itertools.product(c.extents, tilts)):
            batches = (
                patches.split(c.max_batch)
                if len(patches)
                else [torch.full((1, 1, c.patch_px, c.patch_px), 0.5)]
            )
            layers = [
                torch.cat(parts)
                for parts in zip(*[self._read_patches(batch, generator) for batch in batches])
            ]
            total = [before + now for before, now in zip(total, layers)] if total else layers
        return torch.cat([F.normalize(part[: len(keypoints)]) for part in total], 1).cpu().numpy()

    def _read_patches(self, patches: Tensor, generator: torch.Generator) -> list[Tensor]:
        """(N, 1, side, side) -> for each layer (N, D), not yet of unit length."""
        maps = self._features(patches.expand(-1, 3, -1, -1), generator)
        if self.config.grid == 1:
            centre = torch.full((1, 2), (self.config.patch_px - 1) / 2)
            size_wh = (self.config.patch_px, self.config.patch_px)
            return [
                torch.stack([FeatureMap(m, size_wh).sample(centre)[0] for m in values])
                for values in maps
            ]
        grid = self.config.grid
        return [
            (F.adaptive_avg_pool2d(m, grid) if m.shape[-1] > grid else m).flatten(1) for m in maps
        ]

    def with_config(self, **changes: Any) -> Dift:
        """The same extractor with some settings changed and raw descriptors: a shipped projection
        would not fit them.
        """
        return Dift(
            self.backend,
            self.detector,
            replace(self.config, **changes),
            None,
            self.size,
            self.beside,
        )

    def beside_of(self, other: Describer, projection: Projection | Literal["auto"] | None) -> Dift:
        """The same extractor with the rows of `other` beside its own, and a projection for both."""
        return Dift(self.backend, self.detector, self.config, projection, self.size, other)
