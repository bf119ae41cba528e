"""Rows of the tables of video objects: masks carried by maps of features, the first mask copied, or
another program's. Knows no scores.

Whatever a row is, it ends as a folder of palette PNGs, `<sequence>/<frame>.png`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dift_geo.backends.tasks import Propagation
from dift_geo.benchmark.methods import Prepared, check_name
from dift_geo.benchmark.task import Photos
from dift_geo.benchmark.video.data import Sequence, Sequences
from dift_geo.errors import NotAFolderError
from dift_geo.images import content_hash, read_image
from dift_geo.mapper import Mapper
from dift_geo.progress import progress
from dift_geo.recipe import fingerprint
from dift_geo.video.carry import carried_masks
from dift_geo.video.masks import read_mask, write_mask
from dift_geo.video.options import PropagationOptions

__all__ = ["PredictedMasks", "TrackedMasks"]

logger = logging.getLogger(__name__)
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class _Masks:
    """Masks by the name of their frame."""

    folder: Path

    def __getitem__(self, name: str, /) -> Mask:
        return read_mask(_file(self.folder, name))


def _file(folder: Path, frame: str) -> Path:
    place = PurePosixPath(frame)
    return folder / place.parent.name / f"{place.stem}.png"


@dataclass(frozen=True)
class PredictedMasks:
    """Masks that another program wrote.

    folder: of `<sequence>/<frame>.png`, palette images as DAVIS takes them.
    """

    name: str
    folder: Path

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[Mask]:
        """Look which masks are there. Raises NotAFolderError."""
        if not self.folder.is_dir():
            raise NotAFolderError(f"predictions {self.name} are to be in {self.folder}, no folder")
        missing = {
            name: f"has no mask in {self.folder}"
            for name in photos.names
            if not _file(self.folder, name).is_file()
        }
        recipe = {"predictions": str(self.folder)}
        return Prepared(self.name, _Masks(self.folder), missing, lambda pairs: {}, lambda: recipe)


@dataclass(frozen=True)
class TrackedMasks:
    """Masks carried by a mapper from the first frame's; copied where it looks at nothing.

    name: letters, digits and . + - _; it becomes a folder.
    data: the sequences, whose first masks are known.
    asked: how labels are carried, where it is not as suits the mapper.
    """

    name: str
    mapper: Mapper
    data: Sequences
    asked: PropagationOptions = PropagationOptions()

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def propagation(self) -> Propagation:
        """How labels are carried."""
        return self.asked.changed(self.mapper.propagation())

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[Mask]:
        """Carry masks through the sequences that have none yet under this recipe."""
        folder = cache / self.name / f"masks-{fingerprint(self._recipe(), 10)}"
        missing: dict[str, str] = {}
        for sequence in progress(self.data.sequences, f"track {self.name}", unit="sequence"):
            try:
                self._track(sequence, photos.folder, folder)
            except (OSError, ValueError) as error:
                logger.warning("skipped: %s", error)
                missing |= dict.fromkeys(sequence.frames, f"cannot be tracked ({error})")
        return Prepared(self.name, _Masks(folder), missing, lambda pairs: {}, self._recipe)

    def _recipe(self) -> Mapping[str, object]:
        if self.mapper.still:
            return self.mapper.recipe()
        return {**self.mapper.recipe(), "propagation": asdict(self.propagation)}

    def _track(self, sequence: Sequence, images: Path, folder: Path) -> None:
        """Masks of a sequence; one whose frames and first mask have not changed is left alone."""
        sources = [images / name for name in sequence.frames]
        seen = [content_hash(file) for file in (sequence.masks[0], *sources)]
        made_of = fingerprint({"files": seen})
        # the last file that is written: where it is, all masks are
        done = folder / sequence.name / f"{made_of}.done"
        if done.is_file():
            return
        done.parent.mkdir(parents=True, exist_ok=True)
        first = read_mask(sequence.masks[0])
        for name, mask in zip(sequence.frames, self._masks(sequence, images, first)):
            write_mask(_file(folder, name), mask)
        for other in done.parent.glob("*.done"):
            other.unlink()
        done.touch()

    def _masks(self, sequence: Sequence, images: Path, first: Mask) -> Iterator[Mask]:
        frames = ((name, read_image(images / name)) for name in sequence.frames)
        return carried_masks(frames, first, self.mapper, self.propagation)
