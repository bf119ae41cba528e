"""COLMAP models as known cameras, against cameras that were written into them."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from dift_geo.colmap.cameras import KnownCamera, colmap_camera
from dift_geo.colmap.posed import intrinsics_matrix, is_model, read_model_cameras
from dift_geo.errors import InputError

K = np.array([[500.0, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])


def write_model(folder, poses, *, camera=None, text=False) -> None:
    model = pycolmap.Reconstruction()
    for image_id, (name, pose) in enumerate(poses.items(), 1):
        own = camera or colmap_camera(KnownCamera((640, 480), K, pose), image_id)
        own.camera_id = image_id
        model.add_camera_with_trivial_rig(own)
        image = pycolmap.Image(name=name, camera_id=image_id, image_id=image_id)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pose))
    folder.mkdir(parents=True, exist_ok=True)
    (model.write_text if text else model.write_binary)(str(folder))


@pytest.fixture
def poses():
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    return {
        "b.jpg": np.column_stack([turn, [1.0, 2, 3]]),
        "a/c.jpg": np.eye(3, 4),
    }


@pytest.mark.parametrize("text", [False, True])
def test_a_model_comes_back_as_it_was_written(tmp_path, poses, text) -> None:
    write_model(tmp_path / "sparse", poses, text=text)
    assert is_model(tmp_path / "sparse")
    assert not is_model(tmp_path)
    found = read_model_cameras(tmp_path / "sparse")
    assert list(found) == ["a/c.jpg", "b.jpg"]
    for name, pose in poses.items():
        assert found[name].size_wh == (640, 480)
        np.testing.assert_allclose(found[name].K, K)
        np.testing.assert_allclose(found[name].cam_from_world, pose, atol=1e-12)


def test_refuses_what_is_no_model_or_distorts(tmp_path, poses) -> None:
    with pytest.raises(InputError, match="holds no COLMAP model"):
        read_model_cameras(tmp_path)
    params = [500.0, 320.0, 240.0, 0.1]
    camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=640, height=480, params=params)
    write_model(tmp_path / "bent", {"a.jpg": np.eye(3, 4)}, camera=camera)
    with pytest.raises(InputError, match="SIMPLE_RADIAL that distorts"):
        read_model_cameras(tmp_path / "bent")
    (tmp_path / "broken").mkdir()
    for name in ("cameras.txt", "images.txt"):
        (tmp_path / "broken" / name).write_text("1 2 3 nonsense\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_model_cameras(tmp_path / "broken")


def test_single_cameras() -> None:
    straight = intrinsics_matrix("SIMPLE_RADIAL", (640, 480), [500, 320, 240, 0], "x")
    np.testing.assert_allclose(straight, [[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
    for model, params, message in (
        ("PINHOLE", [500, 320, 240], "parameters"),
        ("LENS", [500], "LENS"),
        ("SIMPLE_RADIAL_FISHEYE", [500, 320, 240, 0], "distorts"),
    ):
        with pytest.raises(InputError, match=message):
            intrinsics_matrix(model, (640, 480), params, "views.txt:1")
