"""Folders and files as users have them: EXIF, bit depths, CMYK, broken files, unicode names."""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dift_geo.images import (
    content_hash,
    list_images,
    read_image,
    read_mask,
    resize_longest,
    stamp,
    survey,
    write_image,
)


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


# frames, formats and depths that OpenCV alone gets wrong


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_is_read_in_its_stored_frame(
    tmp_path: Path, picture: np.ndarray, orientation: int, bits: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = picture[..., 1]
    stored = Image.fromarray(grey if bits == 8 else grey.astype(np.uint16) * 257)
    stored.save(tmp_path / "turned.tif", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.tif")[..., 0], grey)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "JPEG2000", "PNG"])
def test_a_file_counts_for_its_bytes_whatever_it_is_called(
    tmp_path: Path, picture: np.ndarray, kind: str
) -> None:
    Image.fromarray(picture).save(tmp_path / "saved_by_a_browser.jpg", kind)
    read = read_image(tmp_path / "saved_by_a_browser.jpg")
    assert read.shape == picture.shape
    assert np.abs(read.astype(int) - picture).mean() < 12  # GIF has 256 colours


def test_a_narrow_range_is_stretched_and_a_wide_one_keeps_its_top_bits(
    tmp_path: Path, picture: np.ndarray
) -> None:
    grey = picture[..., 0].astype(np.uint16)
    Image.fromarray(grey * 257).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(read_image(tmp_path / "wide.png")[..., 0], grey)
    Image.fromarray(7000 + grey).save(tmp_path / "thermal.png")
    stretched = read_image(tmp_path / "thermal.png")[..., 0].astype(int)
    assert stretched.min() == 0
    assert stretched.max() == 255
    assert np.corrcoef(stretched.ravel(), grey.ravel())[0, 1] > 0.999
    Image.fromarray(np.full((40, 60), 7000, np.uint16)).save(tmp_path / "flat.png")
    assert np.ptp(read_image(tmp_path / "flat.png")) == 0


def test_a_header_that_claims_too_much_is_refused_before_decoding(tmp_path: Path) -> None:
    data = bytearray(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"bomb.png claims more than 179 million pixels; shrink"):
        read_image(tmp_path / "bomb.png")


def test_what_is_passed_over_is_named(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a.jpg", "sub/b.JPG", "c.jfif", "raw.NEF", "raw.dng", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for mask in ("a.jpg.png", "masks/sub/b.JPG.png", "mask/c.jfif.png"):
        (tmp_path / mask).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / mask, picture)
    (tmp_path / "d.jpg.png").touch()  # no mask: there is no d.jpg
    found = survey(tmp_path)
    assert found.names == ["a.jpg", "c.jfif", "d.jpg.png", "sub/b.JPG"]
    assert found.masks == ["a.jpg.png", "mask/c.jfif.png", "masks/sub/b.JPG.png"]
    assert set(found.passed_over) == {"raw.NEF", "raw.dng"}
    assert "convert it" in found.passed_over["raw.NEF"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "JPEG2000"])
def test_an_image_without_its_extension_is_named(
    tmp_path: Path, picture: np.ndarray, kind: str
) -> None:
    for name in ("photo", "photo.jpg_original", "photo.backup"):
        Image.fromarray(picture).save(tmp_path / name, kind)
    (tmp_path / "notes").write_text("II* is how a TIFF begins")
    (tmp_path / "film.MP4").touch()
    found = survey(tmp_path)
    assert found.names == []
    assert sorted(found.passed_over) == ["film.MP4", "photo", "photo.backup", "photo.jpg_original"]
    assert "rename it" in found.passed_over["photo"]


def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").touch()
    real = os.scandir

    def scandir(path):
        if "closed" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert survey(tmp_path).names == ["a.png"]
    assert survey(tmp_path).passed_over == {"closed": "cannot be listed: Permission denied"}
    with pytest.raises(ValueError, match="closed cannot be listed: Permission denied"):
        survey(tmp_path / "closed")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.png").touch()
    root = tmp_path / "photos"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (root / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert list_images(root) == ["linked/x.png"]
    over = survey(root).passed_over
    assert over.keys() == {"loop", "gone.jpg"}
    assert "link to nothing" in over["gone.jpg"]
    assert "under another name" in over["loop"]


def test_control_characters_in_a_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a\nb.png").touch()
    with pytest.raises(ValueError, match=r"has control characters; rename the file"):
        list_images(tmp_path)


def test_masks_are_colmaps(tmp_path: Path) -> None:
    mask = np.full((20, 30, 3), 255, np.uint8)
    mask[:, 10:] = 0
    (tmp_path / "sub").mkdir()
    write_image(tmp_path / "sub/a.jpg.png", mask)
    wanted = read_mask(tmp_path, "sub/a.jpg", (30, 20))
    assert wanted is not None
    np.testing.assert_array_equal(wanted, np.arange(30)[None].repeat(20, 0) < 10)
    assert read_mask(tmp_path, "b.jpg", (30, 20)) is None
    with pytest.raises(ValueError, match=r"a.jpg.png is 30 x 20, expected 31 x 20 as sub/a.jpg"):
        read_mask(tmp_path, "sub/a.jpg", (31, 20))


def test_the_hash_follows_content_and_the_stamp_follows_writing(tmp_path: Path) -> None:
    for name, data in (("a", b"same"), ("b", b"same"), ("c", b"other")):
        (tmp_path / name).write_bytes(data)
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b")
    assert content_hash(tmp_path / "a") != content_hash(tmp_path / "c")
    before = stamp(tmp_path / "a")
    assert before == stamp(tmp_path / "a")
    os.utime(tmp_path / "a", ns=(1, 1))
    assert stamp(tmp_path / "a") != before
    with pytest.raises(FileNotFoundError, match="no image at"):
        stamp(tmp_path / "gone")


@pytest.mark.parametrize("longest", [0, -1])
def test_no_size_below_a_pixel(picture: np.ndarray, longest: int) -> None:
    with pytest.raises(ValueError, match=rf"longest side is {longest}, expected at least 1"):
        resize_longest(picture, longest)


def test_what_only_opencv_would_believe_is_refused(tmp_path: Path, monkeypatch) -> None:
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n"
    (tmp_path / "claims.jpg").write_bytes(head + bytes(100))
    monkeypatch.setattr(cv2, "imdecode", None)  # not even asked
    with pytest.raises(ValueError, match=r"claims.jpg is not a readable image"):
        read_image(tmp_path / "claims.jpg")


def test_the_limit_is_ours_whatever_others_set(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "bomb.ppm").write_bytes(b"P6 60000 60000 255 ")
    with pytest.raises(ValueError, match="claims more than 179 million pixels"):
        read_image(tmp_path / "bomb.ppm")


def test_large_deep_pictures_are_converted_in_parts(tmp_path: Path, monkeypatch) -> None:
    import dift_geo.images as images

    deep = np.random.default_rng(0).integers(100, 4000, (50, 40), np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    at_once = read_image(tmp_path / "deep.png")
    monkeypatch.setattr(images, "PIXELS_AT_ONCE", 130)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), at_once)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_a_grey_tiff_of_32_bits_is_stretched(tmp_path: Path, picture: np.ndarray, dtype) -> None:
    grey = picture[..., 1].astype(dtype)
    Image.fromarray(grey * 30 + 2000).save(tmp_path / "deep.tif")
    read = read_image(tmp_path / "deep.tif")
    assert read.shape == picture.shape
    assert np.corrcoef(read[..., 0].ravel(), grey.ravel())[0, 1] > 0.999
    assert (read == read[..., :1]).all()


def test_a_grey_picture_of_floats_has_three_channels(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture[..., 1].astype(np.float32)).save(tmp_path / "a.pfm", "PPM")
    (tmp_path / "a.pfm").rename(tmp_path / "a.ppm")
    assert read_image(tmp_path / "a.ppm").shape == picture.shape


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_big_tiff_is_read_in_its_stored_frame(
    tmp_path: Path, picture: np.ndarray, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "big.tif", big_tiff=True, exif=exif)
    assert (tmp_path / "big.tif").read_bytes().startswith(b"II+")
    np.testing.assert_array_equal(read_image(tmp_path / "big.tif"), picture)


def test_opencv_says_nothing_of_its_own(tmp_path: Path, capfd) -> None:
    head = cv2.imencode(".tif", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    (tmp_path / "cut.tif").write_bytes(head[:60])
    with pytest.raises(ValueError, match=r"cut.tif"):
        read_image(tmp_path / "cut.tif")
    assert "ERROR" not in capfd.readouterr().err
    assert cv2.utils.logging.getLogLevel() > 0  # as before
