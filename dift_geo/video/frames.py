"""Frames of a video in their order: a folder of pictures, or a file through OpenCV. Knows no masks
and no networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import list_images, read_image

__all__ = ["Frames", "open_frames"]


@dataclass(frozen=True)
class Frames:
    """A video.

    path: the folder or the file.
    names: of the pictures of a folder, in their order; empty for a file.
    """

    path: Path
    names: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """(name, (H, W, 3) uint8 RGB) of each frame; a file's are called 00000, 00001, ..."""
        if self.names:
            for name in self.names:
                yield Path(name).stem, read_image(self.path / name)
            return
        video = cv2.VideoCapture(str(self.path))
        try:
            number = 0
            while True:
                there, frame = video.read()
                if not there:
                    break
                yield f"{number:05d}", np.ascontiguousarray(frame[:, :, ::-1])
                number += 1
        finally:
            video.release()
        if not number:
            raise InputError(f"{self.path} is no video that OpenCV can read")


def open_frames(path: str | Path) -> Frames:
    """The frames of a folder, sorted by name, or of a video file.

    Raises MissingFileError where there is nothing and InputError for a folder without pictures.
    """
    path = Path(path)
    if path.is_file():
        return Frames(path)
    if not path.is_dir():
        raise MissingFileError(f"no video at {path}; expected a file or a folder of frames")
    names = [name for name in list_images(path) if "/" not in name]
    if not names:
        raise InputError(f"{path} holds no pictures, expected the frames of a video")
    return Frames(path, tuple(sorted(names)))
