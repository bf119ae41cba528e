"""Folders of photos: list, read, resize.

Decodes to uint8 RGB and ignores EXIF rotation, as hloc and COLMAP do: all three then agree on what
pixel (x, y) is. Knows nothing of keypoints or networks.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError, NotAFolderError, WriteError

__all__ = ["EXTENSIONS", "list_images", "read_image", "resize_longest", "write_image"]

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp"})


def list_images(folder: str | Path) -> list[str]:
    """Names of the images below `folder`: paths relative to it with forward slashes, sorted,
    recursive.

    Extensions are compared without case; hidden files and folders are passed over. Raises
    NotADirectoryError when `folder` is not a folder and ValueError for a name that is no UTF-8, as
    neither HDF5 nor COLMAP can hold it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise NotAFolderError(f"{root} is not a folder; expected a folder of images")
    names = (
        path.relative_to(root)
        for path in root.rglob("*")
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    )
    listed = sorted(
        name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)
    )
    for name in listed:
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise InputError(f"image name {name!a} in {root} is no UTF-8; rename the file")
    return listed


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Decode one image to (H, W, 3) uint8 RGB; 16-bit, grey, palette and CMYK files are converted.

    Raises FileNotFoundError when there is no file and ValueError when it is empty, truncated or no
    image.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no image at {path}")
    data = path.read_bytes()  # not imread: it cannot open some unicode paths
    if data.startswith(b"\xff\xd8") and not _jpeg_ends(data):
        # OpenCV fills it with grey
        raise InputError(f"{path} is a truncated JPEG (no end marker); copy it again")
    try:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise InputError(f"{path} cannot be decoded: {error.err}") from error
    if image is None:
        raise InputError(f"{path} is not a readable image ({len(data)} bytes)")
    return np.asarray(image, np.uint8)


def _jpeg_ends(data: bytes) -> bool:
    """Whether the JPEG has its end marker: not the one of an embedded thumbnail, and phones append
    films behind it.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xD9:
        marker = data[at + 1]
        # a fill byte, or a segment
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        # a scan: coded data up to a marker that is neither a stuffed zero nor a restart
        if marker == 0xDA:
            while (at := data.find(b"\xff", at)) >= 0 and data[at + 1 : at + 2] in _IN_SCAN:
                at += 2
            if at < 0:
                return False
    return data[at : at + 2] == b"\xff\xd9"


_IN_SCAN = frozenset(bytes([code]) for code in (0x00, *range(0xD0, 0xD8)))


def write_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Encode (H, W, 3) uint8 RGB by the extension of `path`. Raises OSError when it cannot be
    written.
    """
    path = Path(path)
    if not cv2.haveImageWriter(path.name):
        raise WriteError(
            f"{path}: OpenCV cannot encode {path.suffix!r}; expected one of {sorted(EXTENSIONS)}"
        )
    encoded, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise WriteError(f"{path}: OpenCV cannot encode an image of shape {image.shape}")
    path.write_bytes(data.tobytes())


def resize_longest(image: NDArray[np.uint8], longest: int | None) -> NDArray[np.uint8]:
    """Shrink (H, W, 3) so that its longest side is at most `longest` pixels; smaller images and
    None pass unchanged.

    Area interpolation, which does not alias when shrinking.
    """
    h, w = image.shape[:2]
    if longest is None or max(h, w) <= longest:
        return image
    factor = longest / max(h, w)
    size_wh = max(1, round(w * factor)), max(1, round(h * factor))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
