"""The demo at reduced size, its renderer against projection by hand, and its measure."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="module")
def rendered(pipeline_module):
    pytest.importorskip("skimage", reason="scikit-image carries the photographs")
    return pipeline_module("rendered_scene")


@pytest.fixture(scope="module")
def demo(rendered, pipeline_module):
    return pipeline_module("demo")


def test_the_two_scenes(demo, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = [str(tmp_path), "--max-keypoints", "500", "--views", "3", "--width", "320"]
    assert demo.main(arguments) == 0
    found = json.loads((tmp_path / "demo.json").read_text())
    pair, scene = found["motorcycle"], found["scene"]
    assert pair["matches_with_truth"] > 50
    assert pair["median_disparity_error_px"] < 1.5
    assert pair["reconstruction"]["registered"] == 2
    assert pair["pose_error_deg"] < 3
    assert scene["registered"] == scene["images"] == 3
    assert scene["median_pose_error_deg"] < 5
    printed = capsys.readouterr().out
    for name in ("motorcycle", "scene_3x320"):
        assert (tmp_path / name / "matches.png").is_file()
        assert (tmp_path / name / "sparse").is_dir()
        assert f"picture -> {tmp_path / name / 'matches.png'}" in printed
        assert f"model   -> {tmp_path / name / 'sparse'}" in printed
    assert f"median disparity error {pair['median_disparity_error_px']:.2f} px" in printed


def test_own_photos_and_a_broken_one(
    demo, rendered, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    photos = tmp_path / "my photos ä"
    rendered.write_scene(photos, views=3, size_wh=(320, 240))
    (photos / "words.jpg").write_text("no image")
    arguments = [str(tmp_path / "out"), "--images", str(photos), "--max-keypoints", "500"]
    assert demo.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "3/3 images registered" in printed
    assert "unreadable and skipped: words.jpg" in printed
    assert (tmp_path / "out/photos/matches.png").is_file()
    assert (tmp_path / "out/photos/sparse/cameras.bin").is_file()


def test_an_empty_folder_is_one_clear_line(
    demo, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    assert demo.main([str(tmp_path / "out"), "--images", str(tmp_path / "empty")]) == 1
    told = f"demo: {tmp_path / 'empty'} holds 0 image(s), expected at least 2 to reconstruct\n"
    assert capsys.readouterr().err == told


# the renderer


def test_a_rectangle_facing_the_camera_is_its_photograph(rendered, picture: np.ndarray) -> None:
    """Two units away, with a focal length that makes one of its pixels one of the view's."""
    h, w = picture.shape[:2]
    facing = rendered.Rectangle(
        np.array([-w / 2, h, h / 2]), np.array([w, 0, 0.0]), np.array([0, 0, -h]), picture
    )
    K = np.array([[h, 0, (w - 1) / 2], [0, h, (h - 1) / 2], [0, 0, 1.0]])
    view = rendered.render([facing], rendered.look_at((0, 0, 0), (0, 1, 0)), K, (w, h))
    # four rays per pixel blur a little
    assert np.abs(view[1:-1, 1:-1].astype(int) - picture[1:-1, 1:-1]).mean() < 4


def test_pixels_are_where_the_pinhole_puts_them(rendered) -> None:
    """A white disc on a tilted rectangle appears, centred, at K (R X + t)."""
    photo = np.zeros((201, 201, 3), np.uint8)
    cv2.circle(photo, (100, 100), 9, (255, 255, 255), -1, cv2.LINE_AA)
    corner, along, down = np.array([-1.0, 3, 1]), np.array([2.0, 1, 0.2]), np.array([0.1, 0.3, -2])
    cam_from_world = rendered.look_at((0.4, -2, 0.7), (0.1, 3, 0))
    K = np.array([[300, 0, 159.5], [0, 300, 119.5], [0, 0, 1.0]])
    view = rendered.render(
        [rendered.Rectangle(corner, along, down, photo)], cam_from_world, K, (320, 240)
    )
    x, y, z = K @ (cam_from_world[:, :3] @ (corner + along / 2 + down / 2) + cam_from_world[:, 3])
    weight = np.where(view[..., 0] > 90, view[..., 0].astype(float) - 90, 0)
    rows, columns = np.indices(weight.shape)
    centre = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
    np.testing.assert_allclose(centre, (x / z, y / z), atol=0.15)


def test_the_nearer_rectangle_hides_the_farther(rendered) -> None:
    def square(depth: float, half: float, value: int):
        photo = np.full((8, 8, 3), value, np.uint8)
        return rendered.Rectangle(
            np.array([-half, depth, half]),
            np.array([2 * half, 0, 0]),
            np.array([0, 0, -2 * half]),
            photo,
        )

    K = np.array([[100, 0, 49.5], [0, 100, 49.5], [0, 0, 1.0]])
    near, far = square(2, 0.4, 200), square(4, 3.0, 10)
    for order in ((near, far), (far, near)):
        view = rendered.render(order, rendered.look_at((0, 0, 0), (0, 1, 0)), K, (100, 100))
        assert view[50, 50, 0] == 200
        assert view[50, 10, 0] == 10
    behind = rendered.render(
        [square(-2, 0.4, 200)], rendered.look_at((0, 0, 0), (0, 1, 0)), K, (100, 100)
    )
    assert (behind == 90).all()


def test_views_are_repeatable_and_cameras_upright(rendered, tmp_path: Path) -> None:
    first, again = (
        rendered.write_scene(tmp_path / name, views=2, size_wh=(64, 48)) for name in "ab"
    )
    for name, pose in first.cam_from_world.items():
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        R = pose[:, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(R) == pytest.approx(1)
        assert R[1, 2] < -0.9  # y of the camera points down
    assert again.size_wh == (64, 48)


# the measure


def test_disparity_error_by_hand(demo) -> None:
    disparity = np.full((10, 20), 4.0)
    disparity[5, 7] = np.inf
    xy0 = np.array([[10, 3], [12.2, 3], [7, 5]], float)
    xy1 = np.array([[6, 3], [8.2, 6], [3, 5]], float)
    np.testing.assert_allclose(demo.disparity_error_px(xy0, xy1, disparity), [0, 3, np.nan])
