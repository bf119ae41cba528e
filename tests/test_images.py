"""Folders and files as users have them: EXIF, bit depths, CMYK, broken files, unicode names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dift_geo.images import list_images, read_image, resize_longest, write_image


def test_lists_recursively_sorted_without_hidden(tmp_path: Path) -> None:
    names = ["b.JPG", "a.png", "sub/ä ö.jpeg", "sub/deep/c.TIFF", "z.webp", "日本.ppm"]
    ignored = [
        ".hidden.png",
        ".thumbs/x.jpg",
        "sub/.d/y.png",
        "notes.txt",
        "noextension",
        "._a.jpg",
    ]
    for name in names + ignored:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert list_images(tmp_path) == sorted(names)
    assert list_images(tmp_path / "sub/deep") == ["c.TIFF"]


def test_lists_below_a_hidden_root(tmp_path: Path) -> None:
    root = tmp_path / ".cache"
    root.mkdir()
    (root / "a.png").touch()
    assert list_images(root) == ["a.png"]


def test_empty_folder_and_no_folder(tmp_path: Path) -> None:
    assert list_images(tmp_path) == []
    with pytest.raises(
        NotADirectoryError, match=r"nowhere is not a folder; expected a folder of images"
    ):
        list_images(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).touch()
    with pytest.raises(ValueError, match=r"caf\\udce9.png.* is no UTF-8; rename the file"):
        list_images(tmp_path)


@pytest.mark.parametrize("extension", [".png", ".bmp", ".ppm", ".tif", ".webp", ".jpg"])
def test_writes_and_reads_rgb(tmp_path: Path, picture: np.ndarray, extension: str) -> None:
    path = tmp_path / f"ä 日{extension}"
    write_image(path, picture)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == picture.shape
    lossy = extension in {".webp", ".jpg"}
    assert np.abs(image.astype(int) - picture).mean() <= (6 if lossy else 0)
    np.testing.assert_array_equal(
        image, np.asarray(Image.open(path).convert("RGB"))
    ) if not lossy else None


def test_exif_rotation_is_ignored(tmp_path: Path, picture: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to view
    Image.fromarray(picture).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(picture).save(tmp_path / "plain.jpg", quality=95)
    np.testing.assert_array_equal(
        read_image(tmp_path / "turned.jpg"), read_image(tmp_path / "plain.jpg")
    )


def test_sixteen_bit_png(tmp_path: Path, picture: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), picture[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), picture)


def test_cmyk_jpeg_equals_pillow(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    expected = np.asarray(Image.open(tmp_path / "print.jpg").convert("RGB")).astype(int)
    assert np.abs(read_image(tmp_path / "print.jpg") - expected).max() <= 2


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, picture: np.ndarray, mode: str) -> None:
    Image.fromarray(picture).convert(mode).save(tmp_path / "a.png")
    expected = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_one_pixel(tmp_path: Path) -> None:
    write_image(tmp_path / "dot.png", np.full((1, 1, 3), 7, np.uint8))
    assert read_image(tmp_path / "dot.png").tolist() == [[[7, 7, 7]]]


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".ppm", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_truncated_files_are_refused(
    tmp_path: Path, picture: np.ndarray, extension: str, share: float
) -> None:
    path = tmp_path / f"cut{extension}"
    write_image(path, picture)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match="cut"):
        read_image(path)


def test_truncated_jpeg_is_named_even_with_a_whole_thumbnail(
    tmp_path: Path, picture: np.ndarray
) -> None:
    path = tmp_path / "cut.png"  # the contents count, not the extension
    Image.fromarray(picture).save(tmp_path / "thumb.jpg", quality=60)
    thumbnail = b"Exif\0\0" + (tmp_path / "thumb.jpg").read_bytes()
    Image.fromarray(picture).save(path, "JPEG", exif=thumbnail)
    assert read_image(path).shape == picture.shape
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(
        ValueError, match=r"cut.png is a truncated JPEG \(no end marker\); copy it again"
    ):
        read_image(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_with_a_film_behind_its_end_is_read(
    tmp_path: Path, picture: np.ndarray, progressive: bool
) -> None:
    path = tmp_path / "motion.jpg"
    Image.fromarray(picture).save(path, progressive=progressive, quality=97)
    plain = read_image(path)
    path.write_bytes(path.read_bytes() + bytes(range(200)) * 500)
    np.testing.assert_array_equal(read_image(path), plain)


@pytest.mark.parametrize(
    "content",
    [b"", b"these are words", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xff\xff\xda\x00\x00"],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"words.jpg is (not a readable image|a truncated JPEG)"):
        read_image(tmp_path / "words.jpg")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(FileNotFoundError, match="no image at"):
            read_image(path)


def test_unknown_extension_is_not_written(tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(OSError, match=r"cannot encode '.xyz'"):
        write_image(tmp_path / "a.xyz", picture)


@pytest.mark.parametrize(
    ("size_wh", "longest", "expected"),
    [
        ((300, 200), 150, (150, 100)),
        ((200, 300), 150, (100, 150)),
        ((300, 200), 300, (300, 200)),
        ((300, 200), 999, (300, 200)),
        ((300, 200), None, (300, 200)),
        ((1000, 1), 10, (10, 1)),
    ],
)
def test_resize_longest(
    size_wh: tuple[int, int], longest: int | None, expected: tuple[int, int]
) -> None:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    assert resize_longest(image, longest).shape == (expected[1], expected[0], 3)


def test_resizing_by_half_is_the_mean_of_four() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    mean = image.reshape(10, 2, 15, 2, 3).astype(float).mean((1, 3))
    assert np.abs(resize_longest(image, 15) - mean).max() <= 0.5
