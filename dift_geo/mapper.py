"""From what a user asks for to the object that turns an image into a map of features: a model with
the settings of a task, several side by side, or none at all.

`MapOptions` is the one list of what can be asked. Knows no points, labels or scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dift_geo.backends.config import Dense, DiftConfig, Noise
from dift_geo.backends.contract import Backend
from dift_geo.backends.device import Precision
from dift_geo.backends.loader import load_backend
from dift_geo.backends.tasks import JOINTS, Propagation, TaskName
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.dift.maps import feature_map, map_of_shown, side_by_side
from dift_geo.errors import InputError
from dift_geo.options import check_ranges, option
from dift_geo.recipe import package_version

__all__ = ["STILL", "MapOptions", "Mapper"]

STILL = "still"  # the backend that looks at nothing
VERSIONED = ("dift-geo", "torch", "diffusers")  # whose releases can move features


@dataclass(frozen=True)
class Mapper:
    """Models and how each is read; with none of them nothing is looked at.

    parts: models whose maps stand side by side, each of unit length.
    """

    parts: tuple[tuple[Backend, DiftConfig], ...]

    @property
    def still(self) -> bool:
        """Whether it looks at nothing: what moves is then not seen."""
        return not self.parts

    def map(self, image: NDArray[np.uint8], name: str, prompt: str = "") -> FeatureMap:
        """The map of (H, W, 3) uint8 RGB, on the CPU.

        name: of the image; seeds noise.
        prompt: what models that take text are told.
        """
        maps = [
            feature_map(backend.prompted(prompt) if prompt else backend, config, image, name)
            for backend, config in self.parts
        ]
        if not maps:
            raise InputError(f"backend {STILL!r} looks at nothing and has no map of {name}")
        joined = side_by_side([each.values.float().cpu() for each in maps])
        return FeatureMap(joined, maps[0].size_wh)

    def frame(self, shown: NDArray[np.uint8], name: str) -> torch.Tensor:
        """(C, h, w) float32: features of (H, W, 3) uint8 RGB, on the CPU.

        A model that does not take sides of that length sees the next smaller ones that it takes.
        """
        maps = []
        for backend, config in self.parts:
            multiple = backend.propagation().side_multiple
            w, h = (side // multiple * multiple for side in shown.shape[1::-1])
            if not w or not h:
                raise InputError(
                    f"frame {name} is shown as {shown.shape[1]} x {shown.shape[0]} pixels, "
                    f"expected {multiple} or more of each side for {backend.name}"
                )
            fitting = shown if shown.shape[:2] == (h, w) else cv2.resize(shown, (w, h))
            pixels = torch.from_numpy(np.ascontiguousarray(fitting)).permute(2, 0, 1)[None]
            maps.append(map_of_shown(backend, config, pixels.float() / 255, name).float().cpu())
        return side_by_side(maps)

    def propagation(self) -> Propagation:
        """How labels are carried by these maps: as suits the first model."""
        return self.parts[0][0].propagation() if self.parts else Propagation()

    def of_joints(self) -> Propagation:
        """How joints are carried: as published, on a square that the first model takes."""
        multiple = self.propagation().side_multiple
        return replace(JOINTS, short_side=JOINTS.short_side // multiple * multiple)

    def recipe(self) -> dict[str, object]:
        """What determines the maps, but for images and prompts."""
        if self.still:
            return {"maps": STILL}
        return {
            "maps": [
                {"backend": backend.recipe(), "config": config.recipe()}
                for backend, config in self.parts
            ],
            "versions": {name: package_version(name) for name in VERSIONED},
        }


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """What can be asked of maps of whole images; plain data.

    Raises InputError for an unknown word and a number out of range; nothing is loaded before
    `build`. Where nothing is asked, a model is read as was published for the task, or as suits it.
    """

    backend: str = option(
        "tiny", "tiny, sd2.1, dinov2:FOLDER, A+B for two, or still for one that looks at nothing"
    )
    t: int | None = option(None, "timestep; default: the task's", least=0, most=999)
    layer: int | None = option(None, "block read; default: the task's")
    ensemble: int | None = option(
        None, "draws of noise, 0 shows the clean image; default: the task's", least=0
    )
    side: int | None = option(
        None, "show a square of so many pixels; default: the task's", metavar="PX", least=16
    )
    random_weights: int | None = option(
        None, "seed of random weights instead of the trained ones, where a model has a control"
    )
    precision: Precision = option("auto", "auto: half on a GPU")
    max_batch: int | None = option(None, "draws at once; bounds memory", metavar="N", least=1)
    seed: int = option(0, "of the noise")
    device: str = option("cpu", "cpu, cuda, mps, or auto for the best there is")

    def __post_init__(self) -> None:
        check_ranges(self)

    def build(self, task: TaskName) -> Mapper:
        """Load the models with their settings for a task."""
        words = _parts(self.backend)
        if task == "video" and self.side is not None:
            raise InputError(
                "side is the square that a single photo is shown as; frames of a video keep their "
                "shape, set short_side instead"
            )
        if len(words) > 1 and (self.t, self.layer) != (None, None):
            raise InputError(
                f"t and layer are of one model, but the backend is {self.backend!r}; leave them out"
            )
        return Mapper(tuple(self._part(word, task) for word in words))

    def _part(self, word: str, task: TaskName) -> tuple[Backend, DiftConfig]:
        options = {} if self.random_weights is None else {"random_seed": self.random_weights}
        try:
            backend = load_backend(word, device=self.device, precision=self.precision, **options)
        except TypeError as error:
            if not options:
                raise
            raise InputError(
                f"backend {word!r} has no random weights to compare with; use tiny"
            ) from error
        return backend, self._changed(backend.task_config(task))

    def _changed(self, config: DiftConfig) -> DiftConfig:
        """The settings of the task with what the user asked for."""
        if self.t is not None:
            config = replace(config, t=self.t)
        if self.layer is not None:
            config = replace(config, layers=(self.layer,))
        if self.ensemble is not None:
            noise = replace(config.noise or Noise(), ensemble=max(1, self.ensemble))
            config = replace(config, noise=noise if self.ensemble else None)
        if self.side is not None and isinstance(config.reading, Dense):
            square = replace(config.reading, network_wh=(self.side, self.side))
            config = replace(config, reading=square)
        if config.noise is not None:
            config = replace(config, noise=replace(config.noise, seed=self.seed))
        if self.max_batch is not None:
            config = replace(config, max_batch=self.max_batch)
        return config


def _parts(word: str) -> Sequence[str]:
    """The backends that a word names; a folder may have a + in its name."""
    if word == STILL:
        return []
    parts = [word] if Path(word).exists() else word.split("+")
    if not all(parts):
        raise InputError(f"backend is {word!r}, expected a name or A+B")
    return parts
