"""Keypoints listed in files: which file, which frame, and what a recipe sees."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dift_geo.detectors.listed import Listed, read_keypoint_file
from dift_geo.errors import InputError
from dift_geo.extractor import build_extractor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "v_wall-1.kp").write_text("10.5 20\n30 40 0.9\n\n10.5 20\n3 200\n")
    (tmp_path / "v_wall-2.kp").write_text("")
    return tmp_path


def image(w: int = 320, h: int = 240) -> np.ndarray:
    return np.zeros((h, w, 3), np.uint8)


def test_reads_sorted_places_once_each(folder: Path) -> None:
    keypoints = Listed(folder).detect(image(), "v_wall/1.png")
    np.testing.assert_array_equal(keypoints.xy, [[3, 200], [10.5, 20], [30, 40]])
    np.testing.assert_array_equal(keypoints.scores, [1, 1, 1])
    assert keypoints.size_wh == (320, 240)
    assert keypoints.scale is None
    assert keypoints.angle is None
    assert len(Listed(folder).detect(image(), "v_wall/2.ppm")) == 0
    assert Listed(folder).at_full_size


@pytest.mark.parametrize(
    ("name", "file"),
    [("v_wall/1.png", "v_wall-1.kp"), ("a/b/c.d.jpg", "a/b-c.d.kp"), ("1.png", "1.kp")],
)
def test_the_file_of_a_name(folder: Path, name: str, file: str) -> None:
    assert Listed(folder).file_of(name) == folder / file


def test_an_extractor_shows_the_model_a_copy_and_keeps_the_pixels_of_the_photo(
    folder: Path, picture: np.ndarray
) -> None:
    words = {"detector": f"listed:{folder}", "reading": "dense"}
    for size in (160, None):
        features = build_extractor(**words, size=size).extract(picture, "v_wall/1.png")
        expected = [[3, 200], [10.5, 20], [30, 40]]
        np.testing.assert_allclose(features.keypoints.xy, expected, atol=1e-4)
    copy = cv2.resize(picture, (160, 120), interpolation=cv2.INTER_AREA)
    half = build_extractor(**words, size=None).extract(copy, "v_wall/1.png", photo=picture)
    np.testing.assert_allclose(half.keypoints.xy, (np.array(expected) + 0.5) / 2 - 0.5, atol=1e-4)


def test_the_recipe_is_of_the_numbers_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "copy"
    other.mkdir()
    for file in folder.glob("*.kp"):
        (other / file.name).write_bytes(file.read_bytes())
    (other / "notes.txt").write_text("not a list")
    recipe = Listed(other).recipe()
    (folder / "copy").rename(folder.parent / f"{folder.name}-moved")
    moved = folder.parent / f"{folder.name}-moved"
    assert recipe == Listed(folder).recipe() == Listed(moved).recipe()
    (moved / "v_wall-2.kp").write_text("1 2\n")
    assert Listed(moved).recipe() != recipe


def test_what_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"is no folder; expected one of SEQUENCE-K\.kp"):
        Listed(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no \.kp file"):
        Listed(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"no keypoints at .*v_wall-3\.kp"):
        Listed(folder).detect(image(), "v_wall/3.png")
    (folder / "v_wall-4.kp").write_text("1 x\n")
    with pytest.raises(ValueError, match="is no list of `x y` lines"):
        read_keypoint_file(folder / "v_wall-4.kp")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe1\x00 \x002\x00", "is no list of `x y` lines"),
        (b"1 2\nnan 3\n", "holds NaN or a place beyond any picture"),
        (b"1e999 2\n", "holds NaN or a place beyond any picture"),
        (b"1\n", "is no list of `x y` lines"),
    ],
)
def test_a_damaged_list_is_one_line(tmp_path, content, message) -> None:
    (tmp_path / "v_a-1.kp").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_keypoint_file(tmp_path / "v_a-1.kp")


def test_a_mark_of_the_encoding_is_no_number(tmp_path) -> None:
    (tmp_path / "v_a-1.kp").write_bytes(b"\xef\xbb\xbf1 2\n")
    assert read_keypoint_file(tmp_path / "v_a-1.kp").tolist() == [[1, 2]]
