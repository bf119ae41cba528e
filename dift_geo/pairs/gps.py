"""Where a photo was taken, by its EXIF data. Knows no distances and no COLMAP."""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from dift_geo.errors import InputError

__all__ = ["place_of", "places_of"]

GPS_IFD = 0x8825
LATITUDE, LONGITUDE = (1, 2, 90.0), (3, 4, 180.0)  # tags of the half and of the angle, the most


def places_of(folder: str | Path, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Latitude and longitude of the photos that say them, by name.

    Raises InputError where fewer than two do.
    """
    found = {name: place_of(Path(folder) / name) for name in names}
    places = {name: place for name, place in found.items() if place is not None}
    if len(places) < 2:
        raise InputError(
            f"{len(places)} of {len(names)} photos in {folder} say where they were taken (GPS in "
            "EXIF data), expected at least 2; choose pairs in another way"
        )
    return places


def place_of(path: str | Path) -> tuple[float, float] | None:
    """Latitude and longitude of a photo in degrees, north and east positive; None where its EXIF
    data do not say both, or it cannot be read.
    """
    gps = _gps(Path(path))
    latitude, longitude = _degrees(gps, *LATITUDE), _degrees(gps, *LONGITUDE)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None  # 0, 0 is what receivers write before they know
    return latitude, longitude


def _degrees(gps: Mapping[int, object], half: int, angle: int, most: float) -> float | None:
    parts = gps.get(angle)
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3:
        return None
    try:
        degrees = sum(float(part) / 60**i for i, part in enumerate(parts))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not math.isfinite(degrees) or not 0 <= degrees <= most:
        return None
    return -degrees if str(gps.get(half, "")).strip("\0 ").upper() in ("S", "W") else degrees


def _gps(path: Path) -> Mapping[int, object]:
    """The directory of GPS data, without decoding the photo."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and odd EXIF data
            with Image.open(path) as opened:
                return dict(opened.getexif().get_ifd(GPS_IFD))
    except (
        *(OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error),
        Image.DecompressionBombError,
    ):
        return _heif_gps(path)


def _heif_gps(path: Path) -> Mapping[int, object]:
    from PIL import Image

    try:
        import pillow_heif

        exif = Image.Exif()
        exif.load(bytes(pillow_heif.open_heif(path).info.get("exif") or b""))
        return dict(exif.get_ifd(GPS_IFD))
    except (ImportError, OSError, ValueError, EOFError, RuntimeError, SyntaxError, struct.error):
        return {}
