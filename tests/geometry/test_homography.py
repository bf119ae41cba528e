"""Homographies that are known, and errors worked out by hand."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dift_geo.geometry.homography import (
    corner_error_px,
    estimate_homography,
    transfer_error_px,
    warp_points,
)
from dift_geo.geometry.robust import ESTIMATORS, Estimator

SIZE_WH = (640, 480)
H_TRUE = np.array([[0.9, -0.2, 40.0], [0.15, 1.1, -20.0], [2e-4, -1e-4, 1.0]])


def pairs(
    n: int = 200, outliers: float = 0.3, noise_px: float = 0.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    xy0 = random.uniform((0, 0), SIZE_WH, (n, 2))
    xy1 = warp_points(H_TRUE, xy0) + random.normal(0, noise_px, (n, 2))
    wrong = random.random(n) < outliers
    xy1[wrong] = random.uniform((0, 0), SIZE_WH, (wrong.sum(), 2))
    return xy0, xy1


@pytest.fixture(params=ESTIMATORS)
def estimator(request) -> str:
    if request.param == "poselib":
        pytest.importorskip("poselib", reason="the poselib extra is not installed")
    return request.param


def test_finds_a_known_homography(estimator) -> None:
    xy0, xy1 = pairs()
    found = estimate_homography(xy0, xy1, estimator=estimator)
    assert found is not None
    assert found.H_1_from_0[2, 2] == 1
    assert corner_error_px(found.H_1_from_0, H_TRUE, SIZE_WH) < 1.0
    true = transfer_error_px(H_TRUE, xy0, xy1) < 2
    assert (found.inliers & true).sum() > 0.97 * true.sum()


def test_exact_from_four_points(estimator) -> None:
    xy0 = np.array([[0, 0], [600, 10], [580, 470], [20, 450]], float)
    found = estimate_homography(xy0, warp_points(H_TRUE, xy0), estimator=estimator)
    assert found is not None
    assert found.inliers.all()
    assert corner_error_px(found.H_1_from_0, H_TRUE, SIZE_WH) < 0.05


def test_the_same_seed_gives_the_same_answer(estimator) -> None:
    xy0, xy1 = pairs(outliers=0.4)
    first, again = (estimate_homography(xy0, xy1, estimator=estimator, seed=7) for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.H_1_from_0, again.H_1_from_0)


def test_the_callers_random_state_is_left_alone() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    estimate_homography(*pairs(), estimator="kornia", seed=99)
    torch.testing.assert_close(torch.rand(4), expected)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_points_give_none(estimator, n: int) -> None:
    xy = np.random.default_rng(0).uniform(0, 100, (n, 2))
    assert estimate_homography(xy, xy + 1, estimator=estimator) is None


def test_one_point_many_times_gives_none(estimator) -> None:
    xy = np.full((50, 2), 5.0)
    assert estimate_homography(xy, xy, estimator=estimator) is None


@pytest.mark.parametrize("n", [4, 30])
@pytest.mark.parametrize("noise_px", [0, 0.2])
@pytest.mark.parametrize("slope", [(1.0, 2.0), (1.0, 0.0), (0.0, 1.0)])
def test_points_of_a_line_give_none(estimator, n: int, noise_px: float, slope) -> None:
    """They admit many homographies, and none of them means anything."""
    noise = np.random.default_rng(0).normal(0, noise_px, (2, n, 2))
    xy = np.linspace(0, 200, n)[:, None] * slope
    assert estimate_homography(xy + noise[0], xy + 3 + noise[1], estimator=estimator) is None


@pytest.mark.parametrize("n", [4, 5, 30])
@pytest.mark.parametrize("noise_px", [0, 0.1])
def test_points_of_a_line_but_for_one_give_none(estimator, n: int, noise_px: float) -> None:
    noise = np.random.default_rng(0).normal(0, noise_px, (2, n, 2))
    xy = np.linspace(0, 200, n)[:, None] * (1.0, 0.5)
    xy[2] = 20, 180
    assert estimate_homography(xy + noise[0], xy + 3 + noise[1], estimator=estimator) is None


def test_points_that_all_go_to_one_place_give_none(estimator) -> None:
    xy = np.random.default_rng(0).uniform(0, 300, (40, 2))
    assert estimate_homography(xy, np.full((40, 2), 7.0), estimator=estimator) is None
    onto_a_line = np.column_stack([xy[:, 0], np.zeros(40)])
    assert estimate_homography(xy, onto_a_line, estimator=estimator) is None


def test_three_places_many_times_give_none(estimator) -> None:
    places = np.array([[10, 10], [200, 20], [90, 150]], float)[np.arange(30) % 3]
    xy1 = places + np.random.default_rng(0).normal(0, 0.5, (30, 2))
    assert estimate_homography(places, xy1, estimator=estimator) is None


@pytest.mark.parametrize("shift", [12_000, 1e6])
def test_pixels_far_from_zero_are_as_good_as_others(estimator, shift: float) -> None:
    """Such as those of a mosaic: only the size of the points' own area may matter."""
    xy0, xy1 = pairs()
    away = np.array([shift, -shift])
    there = np.array([[1, 0, shift], [0, 1, -shift], [0, 0, 1]])
    found = estimate_homography(xy0, xy1 + away, estimator=estimator)
    assert found is not None
    assert corner_error_px(found.H_1_from_0, there @ H_TRUE, SIZE_WH) < 1
    if estimator == "magsac":  # OpenCV's has a scale of its own
        return
    small = estimate_homography(xy0 / 500, xy1 / 500, estimator=estimator, max_error_px=3 / 500)
    assert small is not None
    assert small.inliers.sum() > 100


def test_a_small_place_holds_a_homography(estimator) -> None:
    """A window of 30 pixels with good points, in a large photo."""
    random = np.random.default_rng(0)
    xy0 = random.uniform((2000, 1500), (2030, 1530), (40, 2))
    xy1 = warp_points(H_TRUE, xy0) + random.normal(0, 0.2, (40, 2))
    assert estimate_homography(xy0, xy1, estimator=estimator) is not None


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_points_that_are_no_numbers_are_refused(estimator, wrong: float) -> None:
    xy0, xy1 = pairs()
    for side in (xy0, xy1):
        side[7, 1], before = wrong, side[7, 1]
        with pytest.raises(ValueError, match="points hold NaN or infinity, expected finite pixels"):
            estimate_homography(xy0, xy1, estimator=estimator)
        side[7, 1] = before


def test_repeated_correspondences_count_once_but_all_get_a_flag(estimator) -> None:
    xy0, xy1 = pairs(60, outliers=0.2)
    found = estimate_homography(np.tile(xy0, (3, 1)), np.tile(xy1, (3, 1)), estimator=estimator)
    assert found is not None
    assert found.inliers.shape == (180,)
    np.testing.assert_array_equal(found.inliers[:60], found.inliers[60:120])
    assert corner_error_px(found.H_1_from_0, H_TRUE, SIZE_WH) < 2


def test_the_table_holds_every_word_of_the_type() -> None:
    assert tuple(ESTIMATORS) == get_args(Estimator)


def test_errors_say_what_was_got() -> None:
    with pytest.raises(
        ValueError, match=r"points have shapes \(5, 3\) and \(5, 2\), expected twice \(N, 2\)"
    ):
        estimate_homography(np.zeros((5, 3)), np.zeros((5, 2)))
    best: str = "best"
    with pytest.raises(ValueError, match="estimator is 'best', expected one of kornia, magsac"):
        estimate_homography(np.zeros((5, 2)), np.zeros((5, 2)), estimator=best)


def test_inliers_are_the_points_within_the_threshold(estimator) -> None:
    xy0, xy1 = pairs(noise_px=1.0)
    found = estimate_homography(xy0, xy1, estimator=estimator, max_error_px=2.5)
    assert found is not None
    np.testing.assert_array_equal(
        found.inliers, transfer_error_px(found.H_1_from_0, xy0, xy1) <= 2.5
    )


@given(st.integers(0, 2**31))
def test_warping_there_and_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    H = np.eye(3) + random.uniform(-1, 1, (3, 3)) * [
        [0.2, 0.2, 50],
        [0.2, 0.2, 50],
        [2e-4, 2e-4, 0],
    ]
    xy = random.uniform(0, 500, (20, 2))
    np.testing.assert_allclose(warp_points(np.linalg.inv(H), warp_points(H, xy)), xy, atol=1e-6)


def test_warping_by_hand_and_at_the_horizon() -> None:
    H = [[1, 0, 10], [0, 2, 0], [0, 0.5, 0]]
    np.testing.assert_allclose(warp_points(H, [[4, 2], [0, 4]]), [[14, 4], [5, 4]])
    assert np.isinf(warp_points(H, [[4, 0]])).all()
    assert transfer_error_px(H, [[4, 0]], [[1, 1]]).tolist() == [np.inf]
    assert warp_points(np.eye(3), np.zeros((0, 2))).shape == (0, 2)


def test_corner_error_by_hand() -> None:
    shift = np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1.0]])
    assert corner_error_px(shift, np.eye(3), (100, 50)) == pytest.approx(5)
    # moves the right corners by w - 1 = 99 and the left ones by nothing
    zoom = np.diag([2, 1, 1.0])
    assert corner_error_px(zoom, np.eye(3), (100, 50)) == pytest.approx(99 / 2)
    assert corner_error_px(7 * H_TRUE, H_TRUE, SIZE_WH) == pytest.approx(0, abs=1e-9)
    assert corner_error_px(None, H_TRUE, SIZE_WH) == np.inf
