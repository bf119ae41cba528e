"""Rows of the tables of semantic correspondence: maps of features of whole images, made once and
kept on disk. Knows no scores.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dift_geo.benchmark.methods import Prepared, check_name
from dift_geo.benchmark.task import Photos
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.images import read_image
from dift_geo.mapper import Mapper
from dift_geo.progress import progress
from dift_geo.recipe import fingerprint
from dift_geo.store.maps import MapFiles

__all__ = ["MapMethod", "Seen"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What a method has of an image.

    size_wh: of the image in pixels.
    map: its features; None where nothing was looked at, and points stay where they are.
    """

    size_wh: tuple[int, int]
    map: FeatureMap | None


@dataclass(frozen=True)
class MapMethod:
    """Maps of features by one mapper.

    name: letters, digits and . + - _; it becomes a folder.
    mapper: makes the maps.
    told: name of an image -> the prompt of models that take text; none for the others.
    """

    name: str
    mapper: Mapper
    told: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[Seen]:
        """Make the maps that are not on disk yet; every recipe has a folder of its own."""
        made_by = fingerprint(self.mapper.recipe(), 10)
        files = MapFiles(cache / self.name / f"maps-{made_by}", photos.folder)
        found: dict[str, tuple[Path | None, tuple[int, int]]] = {}
        missing: dict[str, str] = {}
        for name in progress(photos.names, f"look {self.name}", unit="image"):
            try:
                found[name] = self._look(files, photos.folder, name)
            except (OSError, ValueError) as error:
                logger.warning("skipped: %s", error)
                missing[name] = "cannot be read"
        return Prepared(self.name, _Maps(files, found), missing, lambda pairs: {}, self._recipe)

    def _look(
        self, files: MapFiles, folder: Path, name: str
    ) -> tuple[Path | None, tuple[int, int]]:
        image = read_image(folder / name)
        size_wh = (image.shape[1], image.shape[0])
        if self.mapper.still:
            return None, size_wh
        prompt = self.told.get(name, "")
        file = files.file(name, prompt)
        files.ensure(file, lambda: self.mapper.map(image, name, prompt).values.numpy())
        return file, size_wh

    def _recipe(self) -> dict[str, object]:
        prompts = sorted(set(self.told.values()))
        return {**self.mapper.recipe(), "prompts": prompts}


@dataclass(frozen=True)
class _Maps:
    """By name of the image."""

    files: MapFiles
    found: Mapping[str, tuple[Path | None, tuple[int, int]]]

    def __getitem__(self, name: str, /) -> Seen:
        file, size_wh = self.found[name]
        if file is None:
            return Seen(size_wh, None)
        return Seen(size_wh, FeatureMap(torch.from_numpy(self.files.read(file)), size_wh))
