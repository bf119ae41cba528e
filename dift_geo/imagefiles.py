"""The bytes of an image file: what they claim, and how they become pixels.

OpenCV decodes; Pillow reads headers; pillow-heif, where it is installed, opens HEIC. Here are the
traps that these leave open. Knows no paths: messages are continued by `images`, which does.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_PIXELS", "SIGNATURES", "decode", "refuse_bomb"]

MAX_PIXELS = 178_956_970  # where Pillow calls a header a decompression bomb: 13,377 squared
ORIENTATION = 0x0112  # TIFF's and EXIF's tag
TIFF_ORDERS = {b"II": "<", b"MM": ">"}  # of bytes, by how the file begins
# how files begin that are images whatever they are called
SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|....ftyp(hei|hev|mif|avi[fs])|\0\0\0\x0cjP  |BM.{4}\0{4}",
    re.DOTALL,
)
IN_SCAN = frozenset(bytes([code]) for code in (0x00, *range(0xD0, 0xD8)))


def refuse_bomb(data: bytes) -> None:
    """Raise ValueError for a file whose header claims more than `MAX_PIXELS` pixels, or is of a
    format whose header nobody here knows: OpenCV would believe it.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # half the limit is a warning there, and fine here
        try:
            with Image.open(BytesIO(data)) as image:
                pixels = image.width * image.height
        except Image.DecompressionBombError:
            pixels = MAX_PIXELS + 1
        except Exception:  # Pillow's readers raise whatever comes to them
            if not SIGNATURES.match(data):
                raise ValueError(f"is not a readable image ({len(data)} bytes)") from None
            return  # decoding will say what is wrong
    if pixels > MAX_PIXELS:
        raise ValueError(f"claims more than {MAX_PIXELS / 1e6:.0f} million pixels; shrink it")


def decode(data: bytes) -> NDArray:
    """(H, W, 3) RGB in the file's own frame and depth: uint8, uint16 or float32.

    Raises ValueError, to be continued by a path, when the bytes are no whole image.
    """
    refuse_bomb(data)
    if data.startswith(b"\xff\xd8") and not jpeg_ends(data):
        # OpenCV would fill it with grey
        raise ValueError("is a truncated JPEG (no end marker); copy it again")
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return _decode_heif(data)
    data = _without_tiff_orientation(data)
    with _silent():
        image = _decoded(data, cv2.IMREAD_COLOR_RGB)
        if image is None and TIFF_ORDERS.get(data[:2]):
            image = _decoded(data, cv2.IMREAD_GRAYSCALE)  # of whole numbers or floats of 32 bits
    if image is None:
        raise ValueError(f"is not a readable image ({len(data)} bytes)")
    if image.ndim == 2:
        return np.broadcast_to(image[..., None], (*image.shape, 3))
    return image


def _decoded(data: bytes, flags: int) -> NDArray | None:
    flags |= cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ValueError(f"cannot be decoded: {error.err}") from error
    return None if image is None or not image.size else np.asarray(image)


@contextmanager
def _silent() -> Iterator[None]:
    """OpenCV's own lines about what it cannot read are not printed: there will be one of ours."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _decode_heif(data: bytes) -> NDArray:
    try:
        import pillow_heif
    except ImportError as error:
        raise ValueError("is HEIC, which needs pip install 'dift-geo[heif]'") from error
    try:
        return np.asarray(pillow_heif.open_heif(BytesIO(data)).to_pillow().convert("RGB"))
    except (ValueError, OSError, EOFError, RuntimeError) as error:
        raise ValueError(f"cannot be decoded: {error}") from error


def _without_tiff_orientation(data: bytes) -> bytes:
    """The same TIFF with orientation 1: OpenCV turns a TIFF whatever it is told; others pass."""
    order = TIFF_ORDERS.get(data[:2])
    if order is None:
        return data
    try:
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        # where the list of tags begins, how many there are, a tag: BigTIFF counts in 64 bits
        first, many, tag_form = ("8xQ", "Q", "HHQ8x") if version == 43 else ("4xI", "H", "HHI4x")
        (at,) = struct.unpack_from(order + first, data)
        (entries,) = struct.unpack_from(order + many, data, at)
        at += struct.calcsize(order + many)
        size, value = struct.calcsize(order + tag_form), struct.calcsize(order + tag_form[:3])
        for entry in range(at, at + size * entries, size):
            tag, kind, count = struct.unpack_from(order + tag_form, data, entry)
            if (tag, kind, count) == (ORIENTATION, 3, 1):
                place = entry + value
                return data[:place] + struct.pack(f"{order}H", 1) + data[place + 2 :]
    except struct.error:  # cut short: decoding will say so
        pass
    return data


def jpeg_ends(data: bytes) -> bool:
    """Whether a JPEG has its end marker: not that of an embedded thumbnail, nor need it come last.

    Phones append films behind it.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xD9:
        marker = data[at + 1]
        # a fill byte, or a segment
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        # a scan: coded data up to a marker that is neither a stuffed zero nor a restart
        if marker == 0xDA:
            while (at := data.find(b"\xff", at)) >= 0 and data[at + 1 : at + 2] in IN_SCAN:
                at += 2
            if at < 0:
                return False
    return data[at : at + 2] == b"\xff\xd9"
