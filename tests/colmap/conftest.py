"""Photos with EXIF data, as Pillow writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational


def write_photo_with_exif(
    path: Path,
    size_wh: tuple[int, int],
    *,
    film_mm: float | None = None,
    focal_mm: float | None = None,
    make: str | None = None,
    model: str | None = None,
    dots: tuple[float, int] | None = None,
    orientation: int | None = None,
    gps: bool = False,
    format: str | None = None,
    picture: np.ndarray | None = None,
) -> Path:
    """A photo, of random pixels where no `picture` is given.

    dots: resolution of the focal plane, and its unit.
    """
    data = Image.Exif()
    data[0x131] = "a program"  # Pillow writes PNG no EXIF data without such
    detail = data.get_ifd(0x8769)
    for place, tag, value in (
        (detail, 41989, film_mm),
        (detail, 37386, focal_mm and IFDRational(round(focal_mm * 10), 10)),
        (detail, 41486, dots and IFDRational(round(dots[0] * 10), 10)),
        (detail, 41488, dots and dots[1]),
        (data, 0x10F, make),
        (data, 0x110, model),
        (data, 0x112, orientation),
    ):
        if value is not None:
            place[tag] = value
    if gps:
        data.get_ifd(0x8825).update(
            {1: "S", 2: (10.0, 30.0, 3.6), 3: "W", 4: (5.0, 6.0, 7.0), 5: b"\x00", 6: 123.5}
        )
    if picture is None:
        w, h = size_wh
        picture = np.random.default_rng(0).integers(0, 255, (h, w, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, format, exif=data)
    return path


@pytest.fixture
def write_exif():
    """The function above."""
    return write_photo_with_exif
