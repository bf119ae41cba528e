"""DIFT: descriptors read out of a diffusion model ("Emergent Correspondence from Image Diffusion", NeurIPS 2023).

The noise, its seeding, the ensemble mean and the two readings (dense and oriented) live here once, for every backend.
Knows neither files nor matching.
"""

from __future__ import annotations

import itertools
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
from dift_geo.keypoints import Describer, Detector
from dift_geo.patches import cut_views
from dift_geo.projection import Projection
from dift_geo.types import Features, Keypoints

__all__ = ["Dift", "DiftConfig", "diffusion_features"]

Reading = Literal["dense", "oriented"]
Mode = Literal["default", "paper"]
MAX_TILT = 8.0  # a surface seen at 83 degrees


@dataclass(frozen=True)
class DiftConfig:
    """What is asked of the diffusion model; plain data.

    reading: `dense` reads one map per image (the paper), `oriented` one patch per keypoint, normalised for scale and
    rotation. t: timestep, 0 to 999. noisy: add noise of level t; otherwise the clean image goes in and t only conditions
    the network. ensemble: noise draws averaged. layers: blocks read, concatenated. patch_px: side of an oriented patch.
    extents: half that side in units of the keypoint scale; features are averaged over the patches of all extents (domain-size
    pooling, Dong and Soatto, CVPR 2015). tilt: above 1, each extent is seen twice, compressed that many times along the
    keypoint's direction and across it, and averaged too: what the detector's frame gets wrong then matters less. grid: cells
    per side kept of an oriented patch's map, at most as many as it has (1 is its centre). seed: of the noise.
    network_wh: exact (width, height) shown to the network in the dense reading; None keeps the aspect ratio. mode: `paper`
    follows the released script in what it does besides: x0 is drawn from the encoder's posterior, the image is resized by
    Pillow, and the map is read with that script's half-pixel bias (`FeatureMap.sample_as_published`). max_batch: images,
    patches or ensemble members per forward; bounds memory, not results.
    """

    reading: Reading = "dense"
    t: int = 0
    noisy: bool = False
    ensemble: int = 1
    layers: tuple[int, ...] = (2,)
    patch_px: int = 32
    extents: tuple[float, ...] = (8.0,)
    tilt: float = 1.0
    grid: int = 1
    seed: int = 0
    network_wh: tuple[int, int] | None = None
    mode: Mode = "default"
    max_batch: int = 256

    def __post_init__(self) -> None:
        if self.reading not in get_args(Reading):
            raise ValueError(f"reading is {self.reading!r}, expected dense or oriented")
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode is {self.mode!r}, expected default or paper")
        if not 0 <= self.t < 1000:
            raise ValueError(f"t is {self.t}, expected 0 to 999")
        if not self.layers:
            raise ValueError("layers is empty, expected at least one decoder block")
        if not self.extents or min(self.extents) <= 0:
            raise ValueError(f"extents is {self.extents}, expected one or more, all above 0")
        if not 1 <= self.tilt <= MAX_TILT:
            raise ValueError(f"tilt is {self.tilt}, expected 1 (none) to {MAX_TILT}")
        for field in ("ensemble", "grid", "patch_px", "max_batch"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}, expected at least 1")
        if not self.noisy and self.ensemble > 1:
            raise ValueError(f"ensemble is {self.ensemble} without noise, expected 1: every draw would be the same")

    @classmethod
    def default(cls, backend_name: str, reading: Reading | None = None) -> DiftConfig:
        """The settings a backend is meant to run with: oriented for tiny, one noise-free dense pass for the others.

        The layer is the paper's, or its counterpart where blocks are counted otherwise: the one that ends at 1/8 of the
        image with 640 channels is block 2 of four, but block 1 of XL's three. t is the paper's too; CleanDIFT's weights
        were tuned on clean images around 261.
        """
        reading = reading or ("oriented" if backend_name.startswith("tiny") else "dense")
        if backend_name.startswith("tiny"):
            if reading == "dense":
                return cls(reading="dense", t=100, layers=(1, 2))
            extents = (12.0, 16.0, 24.0)
            return cls(reading="oriented", t=100, layers=(-2,), extents=extents, tilt=5 / 3, grid=2)
        if backend_name == "adm":
            return cls(reading=reading, t=41, layers=(11,), max_batch=8)
        layers = (1,) if "xl" in backend_name.lower() else (2,)
        return cls(reading=reading, t=261 if "cleandift" in backend_name.lower() else 0, layers=layers, max_batch=8)

    @classmethod
    def paper(cls, model: Literal["sd", "adm"]) -> DiftConfig:
        """The settings published for HPatches: Stable Diffusion 2.1 or ADM, at 768 x 768 whatever the aspect ratio.

        Stable Diffusion: t 0, up block 2, 8 draws; ADM: t 41, output block 11, 4 draws. The paper compares Stable
        Diffusion's descriptors by cosine and ADM's by L2 before normalising; ours have unit length, so both by cosine.
        """
        published = {"sd": (0, 2, 8), "adm": (41, 11, 4)}
        if model not in published:
            raise ValueError(f"model is {model!r}, expected sd or adm")
        t, layer, ensemble = published[model]
        return cls(t=t, noisy=True, ensemble=ensemble, layers=(layer,), network_wh=(768, 768), mode="paper", max_batch=ensemble)

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
    posterior: bool = False,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    max_batch: int = 256,
) -> list[Tensor]:
    """Decoder features of images (B, 3, H, W) in [0, 1]: one (B, C, h, w) float32 tensor per layer.

    x_t = sqrt(abar) x0 + sqrt(1 - abar) eps with eps drawn from `generator`, features averaged over `ensemble` draws.
    With `noisy` off, x0 itself goes in once and t only conditions the network. posterior: draw x0 too, once per member,
    where the backend's encoder is random. The encoder runs once in any case. generator: one for all images or one each,
    always on the CPU, so that every device sees the same noise. max_batch: ensemble members per forward, times B.
    """
    draw = getattr(backend, "posterior", None) if posterior else None
    mean, deviation = draw(images) if draw is not None else (backend.encode(images, None), None)
    if not noisy:
        return [feature.float() for feature in backend.decoder_features(mean, t, layers)]
    abar = backend.alpha_bar(t)

    def member() -> Tensor:
        x0 = mean if deviation is None else mean + deviation * _randn(mean, generator)
        return abar.sqrt() * x0 + (1 - abar).sqrt() * _randn(mean, generator)

    members = [member() for _ in range(ensemble)]  # drawn one by one: the noise does not depend on max_batch
    total: list[Tensor] = []
    at_once = max(1, max_batch // max(1, len(images)))
    for start in range(0, ensemble, at_once):
        chunk = members[start : start + at_once]
        features = backend.decoder_features(torch.cat(chunk), t, layers)
        for i, feature in enumerate(features):
            for one in feature.float().unflatten(0, (len(chunk), -1)):  # in the order drawn, whatever the chunks
                if len(total) == i:
                    total.append(one.clone())
                else:
                    total[i] += one
    return [feature / ensemble for feature in total]


def _randn(like: Tensor, generator: torch.Generator | Sequence[torch.Generator] | None) -> Tensor:
    """Standard normal of the shape of (B, ...), drawn on the CPU; with one generator per image, each from its own."""
    if isinstance(generator, Sequence):
        return torch.stack([torch.randn(like.shape[1:], generator=one) for one in generator]).to(like)
    return torch.randn(like.shape, generator=generator).to(like)


class Dift:
    """Keypoints of `detector`, described by `backend`.

    config: None takes `DiftConfig.default`. projection: `auto` takes the one shipped with the backend for this reading if
    there is one; None leaves raw unit descriptors; or a fitted `Projection`. size: longest side, in pixels, of the image
    that detector and network see; None keeps the original. beside: another describer, whose unit rows stand beside those of
    the network before the projection, which then weighs both.
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
        return {"dift": {"backend": self.backend.recipe(), "config": self.config.recipe(), "projection": fitted, **beside}}

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
        """What the network says at each keypoint, before any projection: (N, D) float32, each layer of unit length.

        The rows of `beside` come last.
        """
        key = str(zlib.crc32(image.tobytes())) if name is None else name
        generator = torch.Generator().manual_seed(zlib.crc32(f"{self.config.seed}/{key}".encode()))
        read = self._read_dense if self.config.reading == "dense" else self._read_oriented
        rows = read(image, keypoints, generator)
        return rows if self.beside is None else np.concatenate([rows, self.beside.describe(image, keypoints, key)], 1)

    def _features(self, images: Tensor, generator: torch.Generator | Sequence[torch.Generator]) -> list[Tensor]:
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

    def _read_dense(self, image: NDArray[np.uint8], keypoints: Keypoints, generator: torch.Generator) -> NDArray[np.float32]:
        h, w = image.shape[:2]
        maps = self._features(self._network_image(image), generator)
        xy = torch.from_numpy(keypoints.xy).to(maps[0].device)
        grids = [FeatureMap(values[0], (w, h)) for values in maps]
        published = self.config.mode == "paper"
        parts = [F.normalize(grid.sample_as_published(xy) if published else grid.sample(xy)) for grid in grids]
        return torch.cat(parts, 1).cpu().numpy()

    def _network_image(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W, 3) uint8 -> (1, 3, h, w) float32 in [0, 1], resized to what the network takes."""
        multiple = self.backend.multiple
        sides = (max(multiple, round(side / multiple) * multiple) for side in image.shape[:2])
        size_hw = self.config.network_wh[::-1] if self.config.network_wh else tuple(sides)
        if wrong := [side for side in size_hw if side % multiple]:
            raise ValueError(f"network_wh has side {wrong[0]}, expected multiples of {multiple} for {self.backend.name}")
        if self.config.mode == "paper":  # Pillow's resize, as that script uses: bicubic, rounded to 8 bits
            from PIL import Image

            resized = np.array(Image.fromarray(image).resize(size_hw[::-1]))
            return torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 255
        tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        return F.interpolate(tensor, size_hw, mode="bilinear", antialias=True, align_corners=False)

    def _read_oriented(self, image: NDArray[np.uint8], keypoints: Keypoints, generator: torch.Generator) -> NDArray[np.float32]:
        c = self.config
        tilts = (c.tilt, 1 / c.tilt) if c.tilt > 1 else (1.0,)
        total: list[Tensor] = []
        for patches in cut_views(image, keypoints, c.patch_px, itertools.product(c.extents, tilts)):
            batches = patches.split(c.max_batch) if len(patches) else [torch.full((1, 1, c.patch_px, c.patch_px), 0.5)]
            layers = [torch.cat(parts) for parts in zip(*[self._read_patches(batch, generator) for batch in batches])]
            total = [before + now for before, now in zip(total, layers)] if total else layers
        return torch.cat([F.normalize(part[: len(keypoints)]) for part in total], 1).cpu().numpy()

    def _read_patches(self, patches: Tensor, generator: torch.Generator) -> list[Tensor]:
        """(N, 1, side, side) -> for each layer (N, D), not yet of unit length."""
        maps = self._features(patches.expand(-1, 3, -1, -1), generator)
        if self.config.grid == 1:
            centre = torch.full((1, 2), (self.config.patch_px - 1) / 2)
            size_wh = (self.config.patch_px, self.config.patch_px)
            return [torch.stack([FeatureMap(m, size_wh).sample(centre)[0] for m in values]) for values in maps]
        grid = self.config.grid
        return [(F.adaptive_avg_pool2d(m, grid) if m.shape[-1] > grid else m).flatten(1) for m in maps]

    def with_config(self, **changes: Any) -> Dift:
        """The same extractor with some settings changed and raw descriptors: a shipped projection would not fit them."""
        return Dift(self.backend, self.detector, replace(self.config, **changes), None, self.size, self.beside)

    def beside_of(self, other: Describer, projection: Projection | Literal["auto"] | None) -> Dift:
        """The same extractor with the rows of `other` beside its own, and a projection for both."""
        return Dift(self.backend, self.detector, self.config, projection, self.size, other)
