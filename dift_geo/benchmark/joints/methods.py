"""Rows of the tables of joints: carried by maps of features, or left where they were. Knows no
scores.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.backends.tasks import Propagation
from dift_geo.benchmark.joints.data import Clip, Clips
from dift_geo.benchmark.methods import Prepared, check_name
from dift_geo.benchmark.task import Photos
from dift_geo.images import content_hash, read_image
from dift_geo.mapper import Mapper
from dift_geo.progress import progress
from dift_geo.recipe import fingerprint, write_whole
from dift_geo.video.joints import carried_joints
from dift_geo.video.options import PropagationOptions

__all__ = ["CarriedJoints"]

logger = logging.getLogger(__name__)
Points = NDArray[np.float64]


@dataclass(frozen=True)
class CarriedJoints:
    """Joints carried by a mapper from the first frame's; left there where it looks at nothing.

    name: letters, digits and . + - _; it becomes a folder.
    data: the clips, whose first joints are known.
    asked: how heat maps are carried, where it is not as published.
    """

    name: str
    mapper: Mapper
    data: Clips
    asked: PropagationOptions = PropagationOptions()

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def propagation(self) -> Propagation:
        """How heat maps are carried."""
        return self.asked.changed(self.mapper.of_joints())

    def prepare(self, photos: Photos, cache: Path, device: str) -> Prepared[Points]:
        """Carry joints through the clips that have none yet under this recipe; they are given by
        the name of their frame, (15, 2).
        """
        folder = cache / self.name / f"joints-{fingerprint(self._recipe(), 10)}"
        found: dict[str, Points] = {}
        missing: dict[str, str] = {}
        for clip in progress(self.data.clips, f"track {self.name}", unit="clip"):
            try:
                found |= zip(clip.frames, self._carried(clip, photos.folder, folder))
            except (OSError, ValueError) as error:
                logger.warning("skipped: %s", error)
                missing |= dict.fromkeys(clip.frames, f"cannot be tracked ({error})")
        return Prepared(self.name, found, missing, lambda pairs: {}, self._recipe)

    def _recipe(self) -> Mapping[str, object]:
        if self.mapper.still:
            return self.mapper.recipe()
        return {**self.mapper.recipe(), "propagation": asdict(self.propagation)}

    def _carried(self, clip: Clip, images: Path, folder: Path) -> Points:
        """(T, 15, 2), from disk where frames and first joints have not changed."""
        seen = [content_hash(images / name) for name in clip.frames]
        made_of = fingerprint({"files": seen, "first": clip.xy[0].tolist()})
        file = folder / f"{clip.name.replace('/', '-')}-{made_of}.npy"
        try:
            return np.asarray(np.load(file), np.float64)
        except (OSError, ValueError, EOFError):  # not there, or damaged
            pass
        frames = ((name, read_image(images / name)) for name in clip.frames)
        found = np.stack([*carried_joints(frames, clip.xy[0], self.mapper, self.propagation)])
        buffer = BytesIO()
        np.save(buffer, found)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, buffer.getvalue())
        return found
