"""Files of known cameras, and the words of COLMAP's models."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.colmap.cameras import (
    KnownCamera,
    check_camera_models,
    colmap_camera,
    read_cameras,
    read_intrinsics,
)


def test_intrinsics_file(tmp_path):
    path = tmp_path / "cameras.txt"
    path.write_text("# known\n* SIMPLE_PINHOLE 500 320 240\na.png PINHOLE 500 501 320 240\n")
    assert read_intrinsics(path) == {
        "*": ("SIMPLE_PINHOLE", [500, 320, 240]),
        "a.png": ("PINHOLE", [500, 501, 320, 240]),
    }
    path.write_text("* SIMPLE_PINHOLE 500 320\n")
    with pytest.raises(
        ValueError, match=r"cameras.txt:1: SIMPLE_PINHOLE got 2 parameters, expected 3"
    ):
        read_intrinsics(path)
    path.write_text("* PINHOL 500\n")
    with pytest.raises(ValueError, match=r"expected `IMAGE_NAME MODEL PARAMS...`"):
        read_intrinsics(path)


def test_cameras_file_round_trip_and_errors(tmp_path):
    file = tmp_path / "cameras.txt"
    file.write_text("# comment\n\na.jpg 640 480 600 601 319.5 239.5 1 0 0 4 0 1 0 5 0 0 1 6\n")
    camera = read_cameras(file)["a.jpg"]
    assert camera.size_wh == (640, 480)
    np.testing.assert_array_equal(camera.K, [[600, 0, 319.5], [0, 601, 239.5], [0, 0, 1]])
    np.testing.assert_array_equal(camera.cam_from_world, [[1, 0, 0, 4], [0, 1, 0, 5], [0, 0, 1, 6]])
    file.write_text("a.jpg 640 480 600\n")
    with pytest.raises(
        ValueError, match=r"cameras.txt:1: 'a.jpg 640 480 600'..., expected name width"
    ):
        read_cameras(file)


def test_unknown_camera_models_are_refused():
    check_camera_models(["PINHOLE", "SIMPLE_RADIAL"])
    check_camera_models([])
    for word in ("PINHOL", "INVALID", ""):
        expected = f"camera_model is '{word}', expected one of SIMPLE_PINHOLE, PINHOLE"
        with pytest.raises(ValueError, match=expected):
            check_camera_models(["PINHOLE", word])


def test_colmap_projects_half_a_pixel_further():
    K = np.array([[500.0, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])
    theirs = colmap_camera(KnownCamera((640, 480), K, np.eye(3, 4)), 7)
    assert (theirs.camera_id, theirs.width, theirs.height) == (7, 640, 480)
    xyz = np.array([[0.1, -0.2, 1], [0, 0, 1], [-0.3, 0.3, 2]])
    ours = (xyz @ K.T)[:, :2] / xyz[:, 2:]
    np.testing.assert_allclose([theirs.img_from_cam(point) for point in xyz], ours + 0.5)
