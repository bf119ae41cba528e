"""Pose errors against scipy's rotations and against angles set by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dift_geo.geometry.pose import (
    angle_deg,
    epipolar_error_px,
    pose_error,
    relative_pose,
    relative_pose_error_deg,
    relative_pose_errors_deg,
    rotation_angle_deg,
)

# near 0 an arccos, near 180 an arcsin of half the angle would have lost half of the digits
ANGLES_DEG = [0.0, 1e-9, 1e-5, 0.3, 30.0, 90.0, 150.0, 179.9999, 180.0 - 1e-9, 180.0]
AXES = np.array([[0, 0, 1], [1, 0, 0], [1, -2, 3], [-0.3, 0.1, 0.2]], float)


def turn(angle: float, axis=(0.0, 1.0, 0.0)) -> np.ndarray:
    return Rotation.from_rotvec(
        np.deg2rad(angle) * np.asarray(axis) / np.linalg.norm(axis)
    ).as_matrix()


def pose(angle: float, centre, axis=(0.0, 1.0, 0.0)) -> np.ndarray:
    """cam_from_world of a camera at `centre`."""
    R = turn(angle, axis)
    return np.column_stack([R, -R @ np.asarray(centre, float)])


def random_pose(random: np.random.Generator) -> np.ndarray:
    R = Rotation.random(random_state=int(random.integers(2**31))).as_matrix()
    return np.column_stack([R, random.normal(size=3)])


def moved(poses: dict[str, np.ndarray], scale: float = 3.0) -> dict[str, np.ndarray]:
    """The same cameras in a world of other origin, orientation and scale."""
    S = pose(33, (5, -2, 1), (1, 2, 3))
    found = {}
    for name, cam_from_world in poses.items():
        R = cam_from_world[:, :3] @ S[:, :3].T
        found[name] = np.column_stack([R, scale * (cam_from_world[:, 3] - R @ S[:, 3])])
    return found


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("angle", ANGLES_DEG)
def test_the_angle_of_a_rotation_keeps_its_digits(angle: float, axis) -> None:
    assert rotation_angle_deg(turn(angle, axis)) == pytest.approx(angle, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("seed", range(20))
def test_the_angle_of_a_rotation_is_scipys(seed: int) -> None:
    R = Rotation.random(random_state=seed)
    assert rotation_angle_deg(R.as_matrix()) == pytest.approx(np.rad2deg(R.magnitude()), rel=1e-12)


@pytest.mark.parametrize("angle", ANGLES_DEG)
def test_the_angle_between_directions_keeps_its_digits(angle: float) -> None:
    a = np.array([0.2, 0, -3])
    b = 7 * turn(angle) @ a
    assert angle_deg(a, b) == pytest.approx(angle, rel=1e-10, abs=1e-13)


def test_a_relative_pose_carries_points_from_camera_to_camera() -> None:
    random = np.random.default_rng(0)
    a, b = random_pose(random), random_pose(random)
    xyz = random.normal(size=(10, 3))
    in_a, in_b = (xyz @ p[:, :3].T + p[:, 3] for p in (a, b))
    found = relative_pose(a, b)
    np.testing.assert_allclose(in_a @ found[:, :3].T + found[:, 3], in_b, atol=1e-12)
    np.testing.assert_allclose(relative_pose(a, a), np.eye(3, 4), atol=1e-12)


@pytest.mark.parametrize("angle", ANGLES_DEG)
def test_rotation_and_direction_err_each_by_their_own_angle(angle: float) -> None:
    true = np.column_stack([turn(40, (1, 2, 3)), [0.0, 0, 2]])
    turned = np.column_stack([turn(angle, (1, -1, 0)) @ true[:, :3], 5 * true[:, 3]])
    close = {"rel": 1e-7, "abs": 1e-12}
    assert relative_pose_error_deg(turned, true) == pytest.approx((angle, 0), **close)
    aside = np.column_stack([true[:, :3], 0.1 * turn(angle) @ true[:, 3]])
    assert relative_pose_error_deg(aside, true) == pytest.approx((0, angle), **close)


def test_without_a_baseline_there_is_no_direction_to_miss() -> None:
    still, moving = pose(10, (0, 0, 0)), pose(12, (1, 0, 0))
    assert relative_pose_error_deg(still, still) == pytest.approx((0, 0), abs=1e-12)
    assert relative_pose_error_deg(moving, still) == pytest.approx((2, 0))
    # an estimate that stands still has not found the motion, whatever atan2(0, 0) says
    assert relative_pose_error_deg(still, moving) == pytest.approx((2, 180))
    # of rounding: two cameras in one place
    a, b = pose(10, (7, 1, 3)), pose(-50, (7, 1, 3), (1, 2, 3))
    assert 0 < np.linalg.norm(relative_pose(a, b)[:, 3]) < 1e-12
    assert relative_pose_error_deg(pose(0, (1, 0, 0)), relative_pose(a, b))[1] == 0
    assert relative_pose_error_deg(moving, moving, min_baseline=2)[1] == 0


def test_relative_errors_do_not_see_the_world() -> None:
    true = {"a": pose(0, (0, 0, 0)), "b": pose(10, (1, 0, 0)), "c": pose(20, (0, 0, 2))}
    np.testing.assert_allclose(relative_pose_errors_deg(moved(true), true), 0, atol=1e-12)
    turned = {**true, "b": pose(14, (1, 0, 0))}
    errors = dict(zip(("ab", "ac", "bc"), relative_pose_errors_deg(turned, true)))
    assert errors["ab"] == pytest.approx(4)
    assert errors["ac"] == pytest.approx(0, abs=1e-12)
    del turned["c"]
    assert relative_pose_errors_deg(turned, true)[1:] == [180, 180]
    assert relative_pose_errors_deg({}, {}) == relative_pose_errors_deg({}, {"a": true["a"]}) == []


def test_relative_errors_are_those_of_the_plain_formula() -> None:
    """By arccos, as most evaluations have it; in the order of sorted names."""
    random = np.random.default_rng(1)
    true, estimated = ({name: random_pose(random) for name in "cab"} for _ in range(2))
    expected = []
    for a, b in combinations("abc", 2):
        R, R_true = (p[b][:, :3] @ p[a][:, :3].T for p in (estimated, true))
        t, t_true = (p[b][:, 3] - r @ p[a][:, 3] for p, r in ((estimated, R), (true, R_true)))
        turned = np.arccos((np.trace(R @ R_true.T) - 1) / 2)
        aside = np.arccos(t @ t_true / np.linalg.norm(t) / np.linalg.norm(t_true))
        expected.append(np.rad2deg(max(turned, aside)))
    np.testing.assert_allclose(relative_pose_errors_deg(estimated, true), expected, rtol=1e-9)


@pytest.mark.parametrize("angle", ANGLES_DEG)
def test_pose_error_is_distance_of_centres_and_angle(angle: float) -> None:
    a, b = pose(0, (1, 2, 3)), pose(angle, (1, 2, 7), (0, 0, 1))
    assert pose_error(a, b) == pytest.approx((4.0, angle), rel=1e-7, abs=1e-9)
    assert pose_error(b, a) == pytest.approx((4.0, angle), rel=1e-7, abs=1e-9)


def test_epipolar_error_by_hand() -> None:
    """A rectified pair: lines are rows."""
    K = np.diag([100.0, 100, 1])
    right = np.eye(3, 4)
    right[0, 3] = -1
    xy0 = np.array([[10, 3], [12.2, 3], [7, 5]], float)
    xy1 = np.array([[6, 3], [8.2, 6], [3, 5]], float)
    np.testing.assert_allclose(epipolar_error_px(xy0, xy1, right, K, K), [0, 3, 0], atol=1e-9)
    assert epipolar_error_px(xy0[:0], xy1[:0], right, K, K).shape == (0,)


def test_points_seen_by_two_cameras_are_on_their_lines() -> None:
    random = np.random.default_rng(2)
    K0 = np.array([[500, 0, 320], [0, 510, 240], [0, 0, 1.0]])
    K1 = np.array([[700, 0, 300], [0, 690, 250], [0, 0, 1.0]])
    cam1_from_cam0 = pose(8, (1, 0.2, -0.1), (1, 3, 1))
    xyz = random.uniform([-2, -2, 4], [2, 2, 8], (30, 3))
    seen0 = xyz @ K0.T
    seen1 = (xyz @ cam1_from_cam0[:, :3].T + cam1_from_cam0[:, 3]) @ K1.T
    xy0, xy1 = seen0[:, :2] / seen0[:, 2:], seen1[:, :2] / seen1[:, 2:]
    np.testing.assert_allclose(epipolar_error_px(xy0, xy1, cam1_from_cam0, K0, K1), 0, atol=1e-8)
    shifted = epipolar_error_px(xy0, xy1 + np.array([0, 5]), cam1_from_cam0, K0, K1)
    assert (shifted <= 5 + 1e-9).all()
    assert np.median(shifted) > 4  # the lines are nearly rows
