"""From the words a user types (backend, detector, descriptor) to the object that turns an image
into features.

The only place that maps names to parts. Knows no files of features and no matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dift_geo.backends.device import Precision
from dift_geo.backends.loader import load_backend
from dift_geo.detectors.contract import Describer, Detector
from dift_geo.detectors.sift import Sift
from dift_geo.dift.config import DiftConfig, Mode, Reading
from dift_geo.dift.describer import Dift
from dift_geo.dift.joined import join
from dift_geo.dift.projection import Projection
from dift_geo.errors import InputError
from dift_geo.images import resize_longest
from dift_geo.types import Features

__all__ = ["DESCRIPTORS", "DETECTORS", "Extractor", "build_extractor"]

OWNER = {"rootsift": "sift", "superpoint": "superpoint"}  # descriptors that come with a detector
# their releases can move descriptors
VERSIONED = ("dift-geo", "torch", "diffusers", "kornia", "opencv-python-headless")
DETECTORS = ("sift", "superpoint")
DESCRIPTORS = ("dift", "rootsift", "superpoint", "dift+rootsift")


@dataclass(frozen=True)
class Extractor:
    """A detector and one or more describers, whose unit rows are joined.

    Each counts by its `weight` (1 where it has none), so that what varies between keypoints counts
    alike. size: longest side in pixels that all of them see; None keeps the original.
    """

    detector: Detector
    describers: Sequence[Describer]
    size: int | None = None

    def extract(self, image: NDArray[np.uint8], name: str) -> Features:
        """Detect and describe (H, W, 3) uint8 RGB; keypoints come in its frame. `name` seeds noise."""
        h, w = image.shape[:2]
        resized = resize_longest(image, self.size)
        # keypoints found elsewhere are looked up, not detected
        by_name = getattr(self.detector, "detect_named", None)
        keypoints = self.detector.detect(resized) if by_name is None else by_name(resized, name)
        parts = [describer.describe(resized, keypoints, name) for describer in self.describers]
        weights = [getattr(describer, "weight", 1.0) for describer in self.describers]
        return Features(keypoints.resized_to((w, h)), join(parts, weights))

    def recipe(self) -> dict[str, Any]:
        """What determines the features, for the store."""
        return {
            "detector": self.detector.recipe(),
            "descriptors": [describer.recipe() for describer in self.describers],
            **({"joined": "by weight"} if len(self.describers) > 1 else {}),
            "size": self.size,
            "versions": {name: _version(name) for name in VERSIONED},
        }


def build_extractor(
    *,
    backend: str = "tiny",
    detector: str = "sift",
    descriptor: str = "dift",
    reading: Reading | None = None,
    max_keypoints: int = 2048,
    size: int | None = 1600,
    seed: int = 0,
    device: str = "cpu",
    projection: str | None = None,
    mode: Mode = "default",
    precision: Precision = "auto",
    max_batch: int | None = None,
    config: DiftConfig | None = None,
) -> Extractor:
    """The extractor that the command line flags of the same names describe.

    projection: path of a fitted projection instead of the backend's own. `dift+rootsift` goes
    through one projection of both where the backend ships one or the file was fitted so; otherwise
    their rows are joined by weight. mode: `paper` takes the published settings of Stable Diffusion
    or ADM, on the image at its own size. max_batch: of `DiftConfig`; None leaves the backend's
    default. config: overrules `reading`, `mode`, `max_batch` and `seed`. Raises ValueError for an
    unknown word or for words that do not go together.
    """
    if descriptor not in DESCRIPTORS:
        raise InputError(f"descriptor is {descriptor!r}, expected one of {', '.join(DESCRIPTORS)}")
    wanted = descriptor.split("+")
    model = load_backend(backend, device=device, precision=precision) if "dift" in wanted else None
    if model is not None and config is None:
        config = _choose_config(model.name, reading, mode, max_batch, seed)
    # where orientation does not enter the descriptor, a second orientation would repeat it
    upright = wanted == ["dift"] and config is not None and config.reading == "dense"
    size = None if config is not None and config.mode == "paper" else size
    found = _build_detector(detector, max_keypoints, upright, device)
    describers: list[Describer] = []
    for word in wanted:
        if word == "dift" and model is not None:
            describers.append(
                Dift(
                    model,
                    found,
                    config,
                    Projection.load(projection) if projection else "auto",
                    size,
                )
            )
        elif found.name == OWNER[word]:
            describers.append(found)  # type: ignore[arg-type]
        else:
            raise InputError(
                f"descriptor {descriptor!r} needs --detector {OWNER[word]}, got {detector!r}"
            )
    if len(describers) > 1:
        dift, beside = describers
        assert isinstance(dift, Dift)
        describers = _in_one_projection(dift, beside, projection is not None) or describers
    return Extractor(found, describers, size)


def _in_one_projection(dift: Dift, beside: Describer, given: bool) -> list[Describer]:
    """Both as one, where the user's projection (`given`) or one that ships with the backend is for
    both; else nothing.
    """
    if given:
        own = dift.projection
        return [dift.beside_of(beside, own)] if own is not None and "beside" in own.about else []
    both = dift.beside_of(beside, "auto")
    return [] if both.projection is None else [both]


def _choose_config(
    name: str, reading: Reading | None, mode: Mode, max_batch: int | None, seed: int
) -> DiftConfig:
    changes: dict[str, Any] = (
        {"seed": seed} if max_batch is None else {"seed": seed, "max_batch": max_batch}
    )
    if mode == "default":
        return replace(DiftConfig.default(name, reading), **changes)
    if name.startswith("tiny") or reading == "oriented":
        raise InputError(
            f"no paper settings for {name} and reading {reading!r}; expected sd2.1, another SD or adm, dense"
        )
    return replace(DiftConfig.paper("adm" if name == "adm" else "sd"), **changes)


def _build_detector(name: str, max_keypoints: int, upright: bool, device: str) -> Detector:
    if name == "sift":
        return Sift(max_keypoints, max_orientations=1 if upright else 2)
    if name.startswith("colmap:"):
        from dift_geo.detectors.colmap import ColmapKeypoints

        return ColmapKeypoints(Path(name.removeprefix("colmap:")))
    if name == "superpoint" or "/" in name or Path(name).is_dir():
        from dift_geo.detectors.superpoint import SUPERPOINT, SuperPoint

        return SuperPoint(
            max_keypoints, SUPERPOINT if name == "superpoint" else name, device=device
        )
    raise InputError(
        f"detector is {name!r}, expected one of {', '.join(DETECTORS)}, colmap:DATABASE, or a folder or hub id of SuperPoint"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a source tree
        from dift_geo import __version__

        return __version__ if name == "dift-geo" else "none"
