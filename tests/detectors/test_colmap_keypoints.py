"""Keypoints of a COLMAP database, looked up by image name."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from dift_geo.cli.main import main
from dift_geo.detectors.colmap import ColmapKeypoints
from dift_geo.extractor import ExtractorOptions, build_extractor

pycolmap = pytest.importorskip("pycolmap")
ROWS = np.array([[0.5, 0.5, 2, 0.5], [100.5, 60.5, 4, -1]], np.float32)  # x, y, scale, orientation


def write_database(path: Path, rows: np.ndarray, name: str = "a/x.png") -> Path:
    with pycolmap.Database.open(str(path)) as database:
        camera = pycolmap.Camera(
            model="SIMPLE_PINHOLE", width=320, height=240, params=[300, 160, 120]
        )
        image = pycolmap.Image(name=name, camera_id=database.write_camera(camera))
        database.write_keypoints(database.write_image(image), rows.astype(np.float32))
    return path


def test_detects_by_name_in_the_frame_of_the_image_given(tmp_path: Path) -> None:
    detector = ColmapKeypoints(write_database(tmp_path / "a.db", ROWS))
    whole = detector.detect(np.zeros((240, 320, 3), np.uint8), "a/x.png")
    np.testing.assert_array_equal(whole.xy, [[0, 0], [100, 60]])
    np.testing.assert_array_equal(whole.scale, [2, 4])
    np.testing.assert_array_equal(whole.angle, np.float32([0.5, -1]))
    half = detector.detect(np.zeros((120, 160, 3), np.uint8), "a/x.png")
    np.testing.assert_allclose(half.xy, [[-0.25, -0.25], [49.75, 29.75]])
    np.testing.assert_allclose(half.scale, [1, 2])
    assert half.size_wh == (160, 120)


def test_a_name_it_does_not_have_is_told(tmp_path: Path) -> None:
    detector = ColmapKeypoints(write_database(tmp_path / "a.db", ROWS))
    with pytest.raises(KeyError, match=r"'b\.png' is not in .*a\.db; expected one of its 1 images"):
        detector.detect(np.zeros((240, 320, 3), np.uint8), "b.png")


def test_an_extractor_describes_every_row_in_order(tmp_path: Path, picture: np.ndarray) -> None:
    random = np.random.default_rng(0)
    rows = np.c_[
        random.uniform(10, 200, (30, 2)), random.uniform(1, 5, 30), random.uniform(-3, 3, 30)
    ]
    database = write_database(tmp_path / "a.db", rows)
    features = build_extractor(detector=f"colmap:{database}").extract(picture, "a/x.png")
    np.testing.assert_allclose(features.keypoints.xy, rows[:, :2] - 0.5, atol=1e-4)
    assert len(features.descriptors) == 30


def test_it_can_be_sent_to_another_process(tmp_path: Path) -> None:
    detector = ColmapKeypoints(write_database(tmp_path / "a.db", ROWS))
    again = pickle.loads(pickle.dumps(detector))
    assert again.recipe() == detector.recipe()
    assert len(again.keypoints_of("a/x.png")) == 2


def test_calibration_refuses_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    word = f"colmap:{write_database(tmp_path / 'a.db', ROWS)}"
    with pytest.raises(ValueError, match="keypoints have to be found anew; use --detector sift"):
        ExtractorOptions(detector=word).build_raw()
    assert main(["calibrate", str(tmp_path), str(tmp_path / "p"), "--detector", word]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "use --detector sift" in said
