"""What COLMAP wants to know of a photo: its size, and what its EXIF data say of lens and place.

Its decoder knows few formats and goes partly by extensions. So sizes are read here, and where it
cannot read a photo, it is shown a blank JPEG of that size with the photo's EXIF data: its rules for
them, and its table of sensors, hold for every format. Knows no stores.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dift_geo.colmap.quiet import quiet
from dift_geo.errors import MissingFileError
from dift_geo.images import read_image

if TYPE_CHECKING:
    import pycolmap

__all__ = ["Photo", "photo_size", "read_photo"]

# where down is in a picture, by EXIF orientation, as COLMAP has it
GRAVITY: Mapping[int | None, tuple[float, float, float]] = {
    1: (0, 1, 0),
    3: (0, -1, 0),
    6: (1, 0, 0),
    8: (-1, 0, 0),
}
MAX_JPEG_SIDE = 65500
EXIF_IN_JPEG = b"Exif\x00\x00"  # what other formats leave out
TIFF_WIDTH, TIFF_HEIGHT = 256, 257


@dataclass(frozen=True)
class Photo:
    """A photo as COLMAP sees it.

    size_wh: in pixels, in the frame that is stored.
    focal_px: by its EXIF data; None where they do not say it.
    position: latitude and longitude in degrees, altitude in metres; None where one is missing.
    gravity: (3,) where down is in the picture; None where EXIF data do not say it.
    """

    size_wh: tuple[int, int]
    focal_px: float | None = None
    position: NDArray[np.float64] | None = None
    gravity: NDArray[np.float64] | None = None


def photo_size(path: str | Path) -> tuple[int, int]:
    """Width and height in the frame that is stored, mostly without decoding.

    Raises MissingFileError where there is no photo and InputError where it cannot be read.
    """
    from PIL import Image

    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no image at {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and odd EXIF data
            with Image.open(path) as opened:
                if opened.format == "TIFF":  # Pillow turns its size with its orientation
                    tags = opened.getexif()
                    return int(tags[TIFF_WIDTH]), int(tags[TIFF_HEIGHT])
                return opened.width, opened.height
    except (OSError, ValueError, SyntaxError, KeyError, struct.error, Image.DecompressionBombError):
        height, width = read_image(path).shape[:2]
        return width, height


def read_photo(path: str | Path) -> Photo:
    """Size and EXIF data of a photo; for errors see `photo_size`."""
    import pycolmap

    path, size_wh = Path(path), photo_size(path)
    with quiet(pycolmap.logging.Level.FATAL):
        bitmap = pycolmap.Bitmap.read(str(path), False)
        if bitmap is None or (bitmap.width, bitmap.height) != size_wh:
            bitmap = _stand_in(path, size_wh)
    if bitmap is None:
        return Photo(size_wh)
    place = [bitmap.exif_latitude(), bitmap.exif_longitude(), bitmap.exif_altitude()]
    known = [number for number in place if number is not None]
    gravity = GRAVITY.get(bitmap.exif_orientation())
    return Photo(
        size_wh,
        bitmap.exif_focal_length(),
        np.array(known) if len(known) == len(place) else None,
        None if gravity is None else np.array(gravity, np.float64),
    )


def _stand_in(path: Path, size_wh: tuple[int, int]) -> pycolmap.Bitmap | None:
    """A blank picture with the EXIF data of a photo, if it has any that can be read."""
    import pycolmap
    from PIL import Image

    exif = _exif(path)
    if exif and not exif.startswith(EXIF_IN_JPEG):
        exif = EXIF_IN_JPEG + exif
    if not exif or max(size_wh) > MAX_JPEG_SIDE:
        return None
    with TemporaryDirectory() as folder:
        file = Path(folder) / "stand-in.jpg"
        try:
            Image.new("L", size_wh).save(file, exif=exif)
        except (OSError, ValueError, struct.error):  # data that JPEG cannot hold
            return None
        return pycolmap.Bitmap.read(str(file), False)


def _exif(path: Path) -> bytes:
    """The EXIF data of a photo as JPEG holds them; nothing where there are none."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as opened:
                return bytes(opened.info.get("exif") or opened.getexif().tobytes())
    except (OSError, ValueError, SyntaxError, KeyError, struct.error, Image.DecompressionBombError):
        return _heif_exif(path)


def _heif_exif(path: Path) -> bytes:
    try:
        import pillow_heif

        return bytes(pillow_heif.open_heif(path).info.get("exif") or b"")
    except (ImportError, OSError, ValueError, EOFError, RuntimeError):
        return b""
