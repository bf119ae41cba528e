"""Relative poses from matches, against cameras placed by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dift_geo.errors import InputError, MissingPackageError
from dift_geo.geometry.essential import (
    POSE_ESTIMATORS,
    estimate_relative_pose,
    sampson_error_px,
    symmetric_epipolar_error_px,
)
from dift_geo.geometry.pose import epipolar_error_px, relative_pose_error_deg, rotation_angle_deg

K0 = np.array([[900.0, 0, 500], [0, 910, 380], [0, 0, 1]])
K1 = np.array([[1400.0, 0, 520], [0, 1400, 390], [0, 0, 1]])
SIZE = np.array([1000.0, 760.0])


def pose_of(angles_deg, t) -> np.ndarray:
    R = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    return np.column_stack([R, np.asarray(t, float)])


POSE = pose_of((5, 20, -8), (-1.5, 0.2, 0.3))


def seen(points, pose, K) -> np.ndarray:
    """Pixels of points in space."""
    rays = (points @ pose[:, :3].T + pose[:, 3]) @ K.T
    return rays[:, :2] / rays[:, 2:]


def room(count: int, random: np.random.Generator) -> np.ndarray:
    return random.uniform([-2, -1.5, 5], [2, 1.5, 12], (count, 3))


def matches(pose=POSE, *, count=400, wrong=0.0, noise=0.5, points=None, seed=0):
    """Matches of two photos, and which of them are right."""
    random = np.random.default_rng(seed)
    points = room(count, random) if points is None else points
    xy0, xy1 = seen(points, np.eye(3, 4), K0), seen(points, pose, K1)
    right = np.arange(count) >= round(wrong * count)
    xy1[~right] = random.uniform([0, 0], SIZE, (int((~right).sum()), 2))
    return (
        xy0 + random.normal(0, noise, xy0.shape),
        xy1 + random.normal(0, noise, xy1.shape),
        right,
    )


def error_deg(found, pose=POSE) -> float:
    return max(relative_pose_error_deg(found.cam1_from_cam0, pose))


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
@pytest.mark.parametrize("wrong", [0.0, 0.5, 0.7])
def test_finds_the_pose_of_a_camera_placed_by_hand(estimator, wrong) -> None:
    xy0, xy1, right = matches(wrong=wrong)
    found = estimate_relative_pose(xy0, xy1, K0, K1, estimator=estimator, max_error_px=2.0)
    assert error_deg(found) < (6.0 if estimator in ("ransac", "magsac") else 1.5)
    assert np.linalg.norm(found.cam1_from_cam0[:, 3]) == pytest.approx(1)
    assert rotation_angle_deg(found.cam1_from_cam0[:, :3] @ POSE[:, :3].T) < 3
    assert found.inliers[right].mean() > 0.6
    assert found.inliers[~right].mean() < 0.1 if wrong else True


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
def test_without_noise_the_pose_is_exact(estimator) -> None:
    xy0, xy1, _ = matches(noise=0.0)
    found = estimate_relative_pose(xy0, xy1, K0, K1, estimator=estimator)
    assert error_deg(found) < 1e-3
    assert found.inliers.all()


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
def test_the_same_seed_gives_the_same_answer(estimator) -> None:
    xy0, xy1, _ = matches(count=150, wrong=0.4, noise=1.0)

    def pose(seed: int) -> np.ndarray:
        return estimate_relative_pose(
            xy0, xy1, K0, K1, estimator=estimator, seed=seed, confidence=0.9
        ).cam1_from_cam0

    first = pose(0)
    np.testing.assert_array_equal(first, pose(0))
    assert any(not np.array_equal(first, pose(seed)) for seed in (1, 2, 3))


def test_photos_swapped_give_the_inverse() -> None:
    xy0, xy1, _ = matches()
    inverse = np.column_stack([POSE[:, :3].T, -POSE[:, :3].T @ POSE[:, 3]])
    assert error_deg(estimate_relative_pose(xy1, xy0, K1, K0), inverse) < 1.5


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
def test_a_camera_that_only_turned_gives_its_rotation_or_nothing(estimator) -> None:
    turned = pose_of((5, 12, -8), (0, 0, 0))
    xy0, xy1, _ = matches(turned, noise=0.2)
    found = estimate_relative_pose(xy0, xy1, K0, K1, estimator=estimator)
    if found is None:
        assert estimator in ("magsac", "ransac")
    else:
        assert relative_pose_error_deg(found.cam1_from_cam0, turned)[0] < 1


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
def test_a_plane_is_enough(estimator) -> None:
    random = np.random.default_rng(1)
    flat = np.column_stack([random.uniform([-2, -1.5], [2, 1.5], (400, 2)), np.zeros(400)])
    tilted = flat @ Rotation.from_euler("xyz", (20, 35, 0), degrees=True).as_matrix().T + [0, 0, 7]
    xy0, xy1, _ = matches(points=tilted, noise=0.2)
    found = estimate_relative_pose(xy0, xy1, K0, K1, estimator=estimator)
    # a plane has a second solution, which explains its points as well
    assert found.inliers.mean() > 0.8
    assert symmetric_epipolar_error_px(xy0, xy1, POSE, K0, K1).max() < 3


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_few_matches_are_no_answer(estimator, count) -> None:
    xy0, xy1, _ = matches()
    few = estimate_relative_pose(xy0[:count], xy1[:count], K0, K1, estimator=estimator)
    assert few is None


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
def test_one_match_many_times_is_no_answer(estimator) -> None:
    same = np.full((50, 2), 200.0)
    assert estimate_relative_pose(same, same + 3, K0, K1, estimator=estimator) is None


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
def test_any_matches_give_an_answer_or_none_and_no_traceback(estimator) -> None:
    random = np.random.default_rng(0)
    line = np.column_stack([np.linspace(0, 900, 30), np.linspace(0, 700, 30)])
    for xy0, xy1 in (
        (line, line),  # one line, and no motion
        (line, line[::-1]),
        (random.uniform(0, 700, (6, 2)), random.uniform(0, 700, (6, 2))),
        (random.uniform(0, 700, (60, 2)), np.full((60, 2), 300.0)),  # all to one place
    ):
        found = estimate_relative_pose(xy0, xy1, K0, K1, estimator=estimator)
        assert found is None or found.inliers.sum() >= 5


@pytest.mark.parametrize("estimator", POSE_ESTIMATORS)
def test_repeated_matches_do_no_harm(estimator) -> None:
    xy0, xy1, _ = matches(wrong=0.4)
    once = estimate_relative_pose(xy0, xy1, K0, K1, estimator=estimator)
    xy0, xy1 = np.tile(xy0, (2, 1)), np.tile(xy1, (2, 1))
    twice = estimate_relative_pose(xy0, xy1, K0, K1, estimator=estimator)
    assert error_deg(twice) < (6.0 if estimator in ("ransac", "magsac") else 1.5)
    assert len(twice.inliers) == 2 * len(once.inliers)
    if estimator in ("ransac", "magsac"):
        np.testing.assert_array_equal(once.cam1_from_cam0, twice.cam1_from_cam0)


def test_the_larger_of_both_distances() -> None:
    # moved sideways without a turn: epipolar lines are rows, scaled by the focal length
    pose = np.column_stack([np.eye(3), [1.0, 0, 0]])
    A, B = np.diag([100.0, 100, 1]), np.diag([200.0, 200, 1])
    xy0, xy1 = np.array([[10.0, 20], [0, 0]]), np.array([[5.0, 46], [7, -2]])
    error = symmetric_epipolar_error_px(xy0, xy1, pose, A, B)
    np.testing.assert_allclose(error, [6, 2])  # in image 0 it is half of that
    np.testing.assert_allclose(symmetric_epipolar_error_px(xy1, xy0, -pose, B, A), [6, 2])
    # the shortest way there: 6 = 2 a + b with b = a / 2
    np.testing.assert_allclose(sampson_error_px(xy0, xy1, pose, A, B), np.array([6, 2]) / 5**0.5)


def test_distances_agree_with_the_ones_of_one_image() -> None:
    xy0, xy1, _ = matches(noise=3.0)
    back = np.column_stack([POSE[:, :3].T, -POSE[:, :3].T @ POSE[:, 3]])
    both = symmetric_epipolar_error_px(xy0, xy1, POSE, K0, K1)
    there = epipolar_error_px(xy0, xy1, POSE, K0, K1)
    here = epipolar_error_px(xy1, xy0, back, K1, K0)
    np.testing.assert_allclose(both, np.maximum(there, here))
    sampson = sampson_error_px(xy0, xy1, POSE, K0, K1)
    np.testing.assert_allclose(1 / sampson**2, 1 / there**2 + 1 / here**2)


def test_a_pixel_on_the_epipole_fits_anything() -> None:
    forward = np.column_stack([np.eye(3), [0, 0, 1.0]])
    epipole = np.array([[0.0, 0.0]])
    unit = np.eye(3)
    assert symmetric_epipolar_error_px(epipole, epipole, forward, unit, unit) == 0
    assert sampson_error_px(epipole, epipole, forward, unit, unit) == 0


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (np.eye(4), "shape"),
        (np.diag([500.0, -500.0, 1.0]), "above 0"),
        (np.array([[500.0, 3, 0], [0, 500, 0], [0, 0, 1]]), "expected"),
        (np.diag([500.0, np.nan, 1.0]), "finite"),
        (np.diag([500.0, 500.0, 2.0]), "expected"),
    ],
)
def test_refuses_intrinsics_it_does_not_understand(K, message) -> None:
    xy0, xy1, _ = matches()
    with pytest.raises(InputError, match=message):
        estimate_relative_pose(xy0, xy1, K0, K)


def test_refuses_other_shapes_and_words() -> None:
    xy0, xy1, _ = matches()
    with pytest.raises(InputError, match=r"expected twice \(N, 2\)"):
        estimate_relative_pose(xy0, xy1[:-1], K0, K1)
    with pytest.raises(InputError, match="expected one of poselib, magsac, ransac, pycolmap"):
        estimate_relative_pose(xy0, xy1, K0, K1, estimator="kornia")


def test_says_how_poselib_is_had(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "poselib", None)
    xy0, xy1, _ = matches()
    with pytest.raises(MissingPackageError, match="pip install poselib"):
        estimate_relative_pose(xy0, xy1, K0, K1)
