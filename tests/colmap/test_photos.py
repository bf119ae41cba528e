"""Sizes and EXIF data of photos in every format that can be read, against COLMAP where it can."""

from __future__ import annotations

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image, features

from dift_geo.colmap.photos import photo_size, read_photo
from dift_geo.images import read_image

SIZE_WH = (60, 40)
SHOWN = {
    "film": {"film_mm": 45},
    "sensor": {"focal_mm": 28.3, "make": "Canon", "model": "Canon EOS 5DSR"},
    "dots": {"focal_mm": 28.3, "dots": (3000.5, 3)},
    "place": {"gps": True, "orientation": 8},
    "nothing": {},
}


def written(folder, write_exif, name, kind, **exif):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    return write_exif(folder / name, SIZE_WH, format=kind, **exif)


def same(photo, other):
    assert photo.size_wh == other.size_wh
    assert photo.focal_px == other.focal_px
    np.testing.assert_array_equal(photo.position, other.position)
    np.testing.assert_array_equal(photo.gravity, other.gravity)


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.webp", "WEBP"), ("a.jpg", "WEBP"), ("b.jpg", "PNG"), ("a.avif", "AVIF"), ("p.png", "PNG")],
)
def test_exif_data_count_whatever_the_format(tmp_path, write_exif, name, kind, shown):
    exif = SHOWN[shown]
    jpeg = read_photo(written(tmp_path, write_exif, "known.jpg", "JPEG", **exif))
    same(read_photo(written(tmp_path, write_exif, name, kind, **exif)), jpeg)
    theirs = pycolmap.Bitmap.read(str(tmp_path / "known.jpg"), False)
    assert jpeg.focal_px == theirs.exif_focal_length()
    assert (jpeg.focal_px is None) == (shown in ("place", "nothing"))


def test_focal_lengths_follow_colmaps_rules(tmp_path, write_exif):
    """Worked out by hand, so that a rule that changed would be seen."""
    diagonal = np.hypot(*SIZE_WH)
    found = {
        shown: read_photo(written(tmp_path, write_exif, f"{shown}.webp", "WEBP", **exif)).focal_px
        for shown, exif in SHOWN.items()
    }
    assert found["film"] == pytest.approx(45 / 43.27 * diagonal)
    assert found["sensor"] == pytest.approx(28.3 / 36 * 60, rel=1e-6)
    assert found["dots"] == pytest.approx(28.3 * 3000.5 / 10, rel=1e-5)


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", "JPEG"),
        ("a.tif", "TIFF"),
        ("turned.jpg", "TIFF"),
        ("a.png", "PNG"),
        ("a.webp", "WEBP"),
        ("a.gif", "GIF"),
        ("b.jpg", "GIF"),
        ("a.bmp", "BMP"),
        ("a.avif", "AVIF"),
        ("a.jp2", "JPEG2000"),
    ],
)
def test_sizes_are_those_of_the_pixels_that_are_read(tmp_path, write_exif, name, kind, orientation):
    path = written(tmp_path, write_exif, name, kind, orientation=orientation)
    h, w = read_image(path).shape[:2]
    assert photo_size(path) == (w, h) == SIZE_WH
    assert read_photo(path).size_wh == SIZE_WH


def test_what_pillow_cannot_open_is_decoded(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((7, 9, 3), np.uint8))

    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(Image, "open", refuse)
    assert photo_size(tmp_path / "a.png") == (9, 7)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image at .*none.jpg"):
        read_photo(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("words")
    with pytest.raises(ValueError, match=r"text.jpg is not a readable image"):
        read_photo(tmp_path / "text.jpg")


def test_broken_exif_data_are_none(tmp_path, write_exif):
    path = written(tmp_path, write_exif, "a.webp", "WEBP", film_mm=45)
    data = path.read_bytes()
    at = data.index(b"II*\x00") if b"II*\x00" in data else data.index(b"MM\x00*")
    path.write_bytes(data[: at + 8] + b"\xff" * 20 + data[at + 28 :])
    assert read_photo(path).size_wh == SIZE_WH
