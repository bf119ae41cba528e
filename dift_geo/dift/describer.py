"""DIFT: descriptors read out of a diffusion model ("Emergent Correspondence from Image Diffusion",
NeurIPS 2023).

Puts together a backend, a reading, its noise and a projection. Knows neither files nor matching.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dift_geo.backends.config import Dense, DiftConfig, Upright
from dift_geo.backends.contract import Backend
from dift_geo.detectors.contract import Describer, Detector, detect_and_describe, name_of_pixels
from dift_geo.dift.dense import read_dense, require_multiple
from dift_geo.dift.noise import configured_features, seeded
from dift_geo.dift.oriented import read_oriented, read_upright
from dift_geo.dift.projection import Projection
from dift_geo.errors import InputError
from dift_geo.images import resize_longest
from dift_geo.types import Features, Keypoints

__all__ = ["Dift"]


class Dift(Describer):
    """Descriptors of a diffusion model at keypoints.

    backend: the model.
    detector: finds the keypoints for `extract`; None where they are always given.
    config: how the model is read; None takes the settings it is meant to run with.
    projection: `auto` takes the one that ships with the backend for this reading if there is one;
        None leaves raw unit descriptors; or a fitted `Projection`.
    size: longest side in pixels of the image that detector and model see in `extract`; None keeps
        the original.
    beside: another describer, whose unit rows stand beside those of the model before the
        projection, which then weighs both.
    """

    def __init__(
        self,
        backend: Backend,
        detector: Detector | None = None,
        config: DiftConfig | None = None,
        projection: Projection | Literal["auto"] | None = "auto",
        size: int | None = None,
        beside: Describer | None = None,
    ) -> None:
        self.backend, self.detector, self.size, self.beside = backend, detector, size, beside
        self.config = backend.settings(None, "default") if config is None else config
        reading = self.config.reading
        if isinstance(reading, Dense):
            require_multiple(reading, backend.multiple)
        if projection == "auto":
            file = backend.projection(reading.name, None if beside is None else beside.name)
            projection = None if file is None else Projection.load(file)
        self.projection = projection

    @property
    def name(self) -> str:
        """What it is called."""
        return "dift"

    @property
    def weight(self) -> float:
        """How much its rows count beside others: as its projection says."""
        return 1.0 if self.projection is None else self.projection.weight

    def recipe(self) -> dict[str, Any]:
        """What determines descriptors, for the store."""
        recipe = {
            "backend": self.backend.recipe(),
            "config": self.config.recipe(),
            "projection": None if self.projection is None else self.projection.fingerprint,
        }
        if self.beside is not None:
            recipe["beside"] = self.beside.recipe()
        return {"dift": recipe}

    def extract(self, image: NDArray[np.uint8], name: str | None = None) -> Features:
        """Detect and describe (H, W, 3) uint8 RGB; keypoints come in its frame.

        name: of the image; seeds the noise together with the config's seed. By default a checksum
            of the pixels that are described.
        """
        if self.detector is None:
            raise InputError(
                "this Dift has no detector, expected one such as Dift(backend, Sift()); "
                "or describe keypoints of your own by `describe`"
            )
        known = name_of_pixels(resize_longest(image, self.size)) if name is None else name
        return detect_and_describe(self.detector, self, image, known, self.size)

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
        name = name_of_pixels(image) if name is None else name
        config, reading = self.config, self.config.reading
        generator = None if config.noise is None else seeded(config.noise, name)
        look = partial(configured_features, self.backend, config, generator=generator)
        if isinstance(reading, Dense):
            rows = read_dense(look, reading, self.backend.multiple, image, keypoints)
        elif isinstance(reading, Upright):
            rows = read_upright(look, reading, config.max_batch, image, keypoints)
        else:
            rows = read_oriented(look, reading, config.max_batch, image, keypoints)
        if self.beside is None:
            return rows
        return np.concatenate([rows, self.beside.describe(image, keypoints, name)], 1)

    def with_config(self, **changes: Any) -> Dift:
        """The same with some settings changed and raw descriptors: a shipped projection would not
        fit them.
        """
        config = replace(self.config, **changes)
        return Dift(self.backend, self.detector, config, None, self.size, self.beside)

    def beside_of(self, other: Describer, projection: Projection | Literal["auto"] | None) -> Dift:
        """The same with the rows of `other` beside its own, and a projection for both."""
        return Dift(self.backend, self.detector, self.config, projection, self.size, other)
