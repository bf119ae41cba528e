"""Photos: identify, read, resize, write; which ones there are says `imagefolder`.

Decodes to uint8 RGB in the frame that is stored in the file: a rotation in the EXIF data is
ignored, as hloc and COLMAP do, so that all three agree on what pixel (x, y) is. A file counts for
what its bytes are, whatever its extension. Knows nothing of keypoints or networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError, WriteError
from dift_geo.imagefiles import decode
from dift_geo.imagefolder import EXTENSIONS, Listing, list_images, survey
from dift_geo.recipe import write_whole

__all__ = [
    "EXTENSIONS",
    "Listing",
    "Stamp",
    "content_hash",
    "list_images",
    "luma_of",
    "read_image",
    "read_mask",
    "resize_longest",
    "stamp",
    "survey",
    "write_image",
]

PIXELS_AT_ONCE = 1 << 20
LUMA = np.array([0.299, 0.587, 0.114], np.float32) / 255


@dataclass(frozen=True)
class Stamp:
    """Whether a file may have changed, at a glance: its size in bytes, its time in nanoseconds."""

    size: int
    mtime_ns: int


def stamp(path: str | Path) -> Stamp:
    """Size and time of a file. Raises FileNotFoundError when there is none."""
    try:
        stat = Path(path).stat()
    except FileNotFoundError:
        raise MissingFileError(f"no image at {path}") from None
    return Stamp(stat.st_size, stat.st_mtime_ns)


def content_hash(path: str | Path) -> str:
    """A hash of a file's bytes (BLAKE2, 16 bytes), whatever its name and time."""
    digest = blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Decode one image to (H, W, 3) uint8 RGB; grey, palette and CMYK files are converted.

    Pictures of more than 8 bits keep their top 8; where they use less than a quarter of their range
    (thermal cameras, 12 bits in 16) what they use is stretched over 0 to 255.
    Raises FileNotFoundError when there is no file and ValueError when it is empty, truncated, no
    image, or claims more than 179 million pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no image at {path}")
    data = path.read_bytes()  # not imread: it cannot open some unicode paths
    try:
        return _to_8_bits(decode(data))
    except ValueError as error:
        raise InputError(f"{path} {error}") from error


def _to_8_bits(image: NDArray) -> NDArray[np.uint8]:
    """(H, W, 3) of any depth -> uint8: its top 8 bits, or what it uses of its range where that is
    little.
    """
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    low, high = (float(x) for x in np.percentile(_finite(image[::4, ::4]), [0.1, 99.9]))
    whole = 65535.0 if image.dtype == np.uint16 else 0.0  # floats have no range of their own
    wide = whole > 0 and high - low >= whole / 4
    result = np.empty(image.shape, np.uint8)
    rows = max(1, PIXELS_AT_ONCE // image.shape[1])  # large images would be held several times
    for top in range(0, len(image), rows):
        part = image[top : top + rows]
        if wide:
            result[top : top + rows] = part >> 8
            continue
        stretched = (_finite(part) - low) * (255 / max(high - low, 1e-12))
        result[top : top + rows] = stretched.round().clip(0, 255)
    return result


def _finite(image: NDArray) -> NDArray[np.float32]:
    return np.asarray(np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0), np.float32)


def read_mask(folder: str | Path, name: str, size_wh: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where keypoints of the image `name` are wanted: (H, W) bool, or None where it has no mask.

    COLMAP's convention: `FOLDER/NAME.png`, black (0) is ignored. Raises ValueError when the mask
    has another size than the image.
    """
    file = Path(folder) / f"{name}.png"
    if not file.is_file():
        return None
    wanted = read_image(file).max(axis=2) > 0
    if wanted.shape != (size_wh[1], size_wh[0]):
        h, w = wanted.shape
        raise InputError(
            f"mask {file} is {w} x {h}, expected {size_wh[0]} x {size_wh[1]} as {name}"
        )
    return np.asarray(wanted, np.bool_)


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
    write_whole(path, data.tobytes())


def luma_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB to (H, W) float32 luma in [0, 1]."""
    return (image @ LUMA).astype(np.float32, copy=False)


def resize_longest(image: NDArray[np.uint8], longest: int | None) -> NDArray[np.uint8]:
    """Shrink (H, W, 3) so that its longest side is at most `longest` pixels, which must be at least
    1.

    Smaller images and None pass unchanged. Area interpolation, which does not alias when shrinking.
    """
    h, w = image.shape[:2]
    if longest is None or max(h, w) <= longest:
        return image
    if longest < 1:
        raise InputError(f"longest side is {longest}, expected at least 1")
    factor = longest / max(h, w)
    size_wh = max(1, round(w * factor)), max(1, round(h * factor))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
