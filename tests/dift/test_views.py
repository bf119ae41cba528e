"""Synthetic views and the correspondences between keypoints in them."""

from __future__ import annotations

import numpy as np

from dift_geo.detectors.sift import Sift
from dift_geo.dift.views import correspondences, mma, synthetic_view
from dift_geo.geometry.homography import transfer_error_px, warp_points
from dift_geo.types import Keypoints


def test_view_follows_its_homography(texture):
    """Keypoints found in both pictures lie where the homography says, more often than chance would
    have it.
    """
    image = texture((400, 300), 3)
    found = []
    for seed in range(5):
        view, H = synthetic_view(image, np.random.default_rng(seed))
        assert view.shape == image.shape
        k0, k1 = Sift(400).detect(image), Sift(400).detect(view)
        found.append(
            len(correspondences(k0, k1, H, 1.5))
            - len(correspondences(k0, k1, np.linalg.inv(H) @ H.T, 1.5))
        )
    assert np.mean(found) > 30


def test_same_seed_same_view(picture):
    (a, H), (b, G) = (synthetic_view(picture, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(H, G)


def test_correspondences_equal_brute_force_and_check_the_frame():
    random = np.random.default_rng(0)
    H = np.array([[0.8, -0.6, 30], [0.6, 0.8, 5], [0, 0, 1]])  # a turn by atan2(.6, .8), no scaling
    xy = random.uniform(0, 200, (40, 2))
    scale, angle = random.uniform(1, 4, 40), random.uniform(-3, 3, 40)
    k0 = Keypoints(xy, np.ones(40), (300, 300), scale, angle)
    moved = warp_points(H, xy) + random.normal(0, 0.3, (40, 2))
    turned = angle + np.arctan2(0.6, 0.8)
    turned[:5] += 1.0  # wrong angle
    scale1 = scale.copy()
    scale1[5:10] *= 2  # wrong scale
    order = random.permutation(40)
    k1 = Keypoints(moved[order], np.ones(40), (300, 300), scale1[order], turned[order])
    pairs = correspondences(k0, k1, H)
    np.testing.assert_array_equal(pairs[:, 0], np.arange(10, 40))
    np.testing.assert_array_equal(order[pairs[:, 1]], np.arange(10, 40))
    plain = correspondences(
        Keypoints(xy, np.ones(40), (300, 300)), Keypoints(moved[order], np.ones(40), (300, 300)), H
    )
    assert len(plain) == 40  # without frames, place alone decides
    empty = Keypoints(np.zeros((0, 2)), np.zeros(0), (300, 300))
    assert correspondences(empty, k1, H).shape == correspondences(k0, empty, H).shape == (0, 2)


def test_mma_by_hand():
    xy0 = np.array([[0, 0], [10, 0], [20, 0], [30, 0]], np.float32)
    xy1 = xy0 + np.array([[0, 0], [2.9, 0], [3.1, 0], [0, 0]], np.float32)
    k0, k1 = Keypoints(xy0, np.ones(4), (40, 40)), Keypoints(xy1, np.ones(4), (40, 40))
    same = np.eye(4, dtype=np.float32)
    assert mma(k0, k1, same, same, np.eye(3)) == (0.75, 3)
    assert mma(k0[:0], k1, same[:0], same, np.eye(3)) == (0.0, 0)
    assert (transfer_error_px(np.eye(3), xy0, xy1) <= 3).sum() == 3
