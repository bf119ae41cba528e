"""Projections fitted on synthetic views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dift_geo.backends.config import DiftConfig, Oriented
from dift_geo.detectors.colmap import ColmapKeypoints
from dift_geo.detectors.contract import Detector
from dift_geo.detectors.sift import RootSift, Sift
from dift_geo.dift.calibration import calibrate
from dift_geo.dift.describer import Dift
from dift_geo.errors import InputError
from dift_geo.images import write_image
from dift_geo.types import Keypoints


def test_fit_improves_matching_of_photos_not_fitted_on(tiny, texture, tmp_path):
    for seed in range(6):
        write_image(tmp_path / f"{seed}.png", texture((180, 150), seed))
    dift = Dift(tiny, Sift(100), DiftConfig(reading=Oriented(), t=100), None)
    result = calibrate(tmp_path, dift, dim=32, views=5)
    assert result.projection.dim == 32
    assert result.held_back == 6  # photos 0 and 5, three views each
    assert result.pairs > 500
    assert result.mma_after > result.mma_before + 0.02
    assert set(result.projection.about) == {"config", "backend", "pairs"}


def test_rows_beside_are_fitted_too_and_more_is_kept(tiny, texture, tmp_path):
    for seed in range(3):
        write_image(tmp_path / f"{seed}.png", texture((180, 160), seed))
    config = DiftConfig(reading=Oriented(grid=2), t=100, layers=(-2,))
    dift = Dift(tiny, Sift(80), config, None, beside=RootSift())
    fitted = calibrate(tmp_path, dift, views=2).projection
    assert fitted.input_dim == 4 * 192 + 128
    assert (fitted.dim, fitted.constant) == (256, 4.0)
    assert "rootsift" in fitted.about["beside"]
    alone = calibrate(tmp_path, Dift(tiny, Sift(80), config, None), views=2).projection
    assert (alone.dim, alone.constant) == (128, 2.0)


def test_one_photo_is_not_enough(tiny, texture, tmp_path):
    write_image(tmp_path / "a.png", texture((100, 100)))
    with pytest.raises(ValueError, match=r"holds 1 image\(s\), expected at least 2"):
        calibrate(tmp_path, Dift(tiny, Sift(50)))
    with pytest.raises(InputError, match="this Dift has no detector, expected one such as"):
        calibrate(tmp_path, Dift(tiny))


def test_a_photo_that_cannot_be_read_is_left_out(tiny, texture, tmp_path, caplog):
    for seed in range(1, 5):
        write_image(tmp_path / f"{seed}.png", texture((180, 160), seed))
    (tmp_path / "0.png").write_text("words")  # the first of all is held back
    dift = Dift(tiny, Sift(40), DiftConfig(reading=Oriented(), t=100), None)
    with pytest.raises(InputError, match=r"no held-back photo of .* can be read"):
        calibrate(tmp_path, dift, dim=8, views=1)
    assert "skipped: " in caplog.text


def test_a_detector_is_told_the_name_of_what_it_looks_at(tiny, texture, tmp_path):
    for seed in range(2):
        write_image(tmp_path / f"{seed}.png", texture((180, 160), seed))
    told = []

    class Told(Detector):
        name = "told"

        def detect(self, image: NDArray[np.uint8], name: str) -> Keypoints:
            told.append(name)
            return Sift(60).detect(image, name)

        def recipe(self) -> dict[str, Any]:
            return {"name": self.name}

    dift = Dift(tiny, Told(), DiftConfig(reading=Oriented(), t=100), None)
    calibrate(tmp_path, dift, dim=8, views=2)
    assert told[1:] == ["1.png", "1.png#0", "1.png#1", "0.png", "0.png#0", "0.png#1", "0.png#2"]


def test_a_detector_that_knows_its_own_images_alone_is_refused_up_front(tiny, texture, tmp_path):
    """Keypoints of a COLMAP database cannot be found again in a view of a photo; it used to end in
    a traceback.
    """
    import pycolmap

    (tmp_path / "photos").mkdir()
    with pycolmap.Database.open(str(tmp_path / "database.db")) as database:
        camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 180, 160)
        camera_id = database.write_camera(camera)
        for seed in range(2):
            write_image(tmp_path / "photos" / f"{seed}.png", texture((180, 160), seed))
            image = pycolmap.Image(name=f"{seed}.png", camera_id=camera_id)
            image_id = database.write_image(image)
            database.write_keypoints(image_id, np.full((3, 4), 9.0, np.float32))
    dift = Dift(tiny, ColmapKeypoints(tmp_path / "database.db"))
    message = "detector 'colmap' only knows images of its own, expected one .* use sift"
    with pytest.raises(InputError, match=message) as told:
        calibrate(tmp_path / "photos", dift)
    assert "\n" not in str(told.value)
