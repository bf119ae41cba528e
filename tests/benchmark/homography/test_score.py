"""Scores of a pair, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.benchmark.homography.protocols import PROTOCOLS, protocol_named
from dift_geo.benchmark.homography.score import (
    Frame,
    corner_distance_px,
    corners_of,
    faces_camera,
    in_frame,
    score,
    strongest,
    symmetric_precision,
)
from dift_geo.geometry.homography import warp_points
from tests.benchmark.rendered import frame_with_errors, homography


def test_corner_lists_and_their_errors_by_hand():
    np.testing.assert_array_equal(corners_of((8, 6), "centres"), [[0, 0], [0, 5], [7, 0], [7, 5]])
    np.testing.assert_array_equal(corners_of((8, 6), "edges"), [[0, 0], [0, 6], [8, 0], [8, 6]])
    empty = np.zeros((0, 2))
    frame = Frame(empty, empty, np.eye(3), (8, 6))
    moved = np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]])
    assert corner_distance_px(moved, frame, "centres") == pytest.approx(5)
    stretched = np.diag([1.5, 1, 1])  # only the right corners move: by 7/2 or 8/2
    assert corner_distance_px(stretched, frame, "centres") == pytest.approx(3.5 / 2)
    assert corner_distance_px(stretched, frame, "edges") == pytest.approx(4 / 2)
    # the same homography
    assert corner_distance_px(-stretched, frame, "edges") == pytest.approx(4 / 2)
    assert corner_distance_px(None, frame, "edges") == np.inf


def test_a_horizon_through_the_image_is_a_failure():
    H = np.array([[1.0, 0, 0], [0, 1, 0], [-0.25, 0, 1]])  # depth 1 - x/4 changes sign at x = 4
    assert faces_camera(H, corners_of((4, 4), "centres"))
    assert not faces_camera(H, corners_of((8, 6), "centres"))
    assert (
        corner_distance_px(
            H, Frame(np.zeros((0, 2)), np.zeros((0, 2)), np.eye(3), (8, 6)), "centres"
        )
        == np.inf
    )


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_truth_stays_true_in_every_frame(name):
    protocol = PROTOCOLS[name]
    H = homography("v_x", 5)
    xy0 = np.random.default_rng(0).uniform(0, 140, (20, 2))
    frame = in_frame(protocol, xy0, warp_points(H, xy0), H, (200, 150), (180, 240))
    error = np.abs(warp_points(frame.H_true, frame.xy0) - frame.xy1)
    if protocol.corners == "centres":
        np.testing.assert_allclose(error, 0, atol=1e-9)
    else:  # read as COLMAP's frame: off by the half pixels that do not cancel, and no more
        assert 0.01 < error.max() < 2
    assert frame.size_wh == ((200, 150) if protocol.short_side is None else (640, 480))


def test_gluefactory_frame_by_hand():
    protocol = protocol_named("gluefactory")
    H = np.array([[1.0, 0, 10], [0, 1, 20], [0, 0, 1]])
    frame = in_frame(protocol, [[0, 0]], [[10, 20]], H, (960, 960), (480, 480))
    np.testing.assert_allclose(frame.xy0, [[0.25, 0.25]])  # (0 + 0.5) / 2
    np.testing.assert_allclose(frame.xy1, [[10.5, 20.5]])
    # x -> 2x in original pixels, plus 10
    np.testing.assert_allclose(frame.H_true, [[2, 0, 10], [0, 2, 20], [0, 0, 1]])
    assert frame.size_wh == (480, 480)


def test_correct_matches_and_precision_by_hand():
    row = score(
        frame_with_errors([0, 0, 0, 0, 0.5, 1.5, 2.5, 50]),
        protocol_named("mma"),
        sequence="v",
        index=2,
        scores=np.ones(8),
    )
    assert row.matches == 8
    assert row.correct[:3] == (5, 6, 7)
    assert row.correct[9] == 7
    np.testing.assert_allclose(
        symmetric_precision(frame_with_errors([0, 0.5, 1.5, 5])), (0.5, 0.75)
    )


def test_symmetric_precision_averages_both_directions():
    H = np.diag([4.0, 4, 1])  # an error of 2 px forth is 0.5 px back: 1.25 on average
    frame = Frame(np.array([[10.0, 10]]), np.array([[42.0, 40]]), H, (100, 100))
    assert symmetric_precision(frame) == (0.0, 1.0)


def test_keeps_the_strongest_matches_in_their_order():
    np.testing.assert_array_equal(strongest([0.1, 0.9, 0.5, 0.9], 3), [1, 2, 3])
    np.testing.assert_array_equal(strongest([0.9, 0.9, 0.9], 2), [0, 1])
    np.testing.assert_array_equal(strongest([0.1, 0.2], None), [0, 1])
    assert len(strongest([], 5)) == 0
