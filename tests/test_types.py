"""Keypoints, Features and Matches: what they accept, refuse and keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dift_geo.types import Features, Keypoints, Matches


def some(n: int, size_wh: tuple[int, int] = (64, 48)) -> Keypoints:
    random = np.random.default_rng(n)
    return Keypoints(
        random.uniform(0, 40, (n, 2)),
        random.random(n),
        size_wh,
        random.uniform(1, 9, n),
        random.uniform(-3, 3, n),
    )


@pytest.mark.parametrize("n", [0, 1, 7])
def test_keypoints_empty_one_many(n: int) -> None:
    keypoints = some(n)
    assert len(keypoints) == n
    assert keypoints.xy.shape == (n, 2)
    assert {getattr(keypoints, field).dtype for field in ("xy", "scores", "scale", "angle")} == {
        np.dtype(np.float32)
    }


@pytest.mark.parametrize(
    "index", [slice(2, 5), np.array([4, 0]), np.arange(7) % 2 == 0, slice(0, 0)]
)
def test_keypoints_are_picked_together(index) -> None:
    keypoints = some(7)
    picked = keypoints[index]
    for field in ("xy", "scores", "scale", "angle"):
        np.testing.assert_array_equal(getattr(picked, field), getattr(keypoints, field)[index])
    assert picked.size_wh == keypoints.size_wh


def test_keypoints_without_scale_and_angle() -> None:
    keypoints = Keypoints(np.zeros((3, 2)), np.ones(3), (5, 5))
    assert keypoints[1:].scale is None
    assert keypoints.resized_to((10, 10)).angle is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xy": np.zeros((3, 3))}, r"Keypoints.xy has shape \(3, 3\), expected \('N', 2\)"),
        ({"xy": np.zeros(3)}, r"Keypoints.xy has shape \(3,\), expected"),
        ({"scores": np.zeros(2)}, r"Keypoints.scores has shape \(2,\), expected \(3,\)"),
        ({"scale": np.zeros((3, 1))}, r"Keypoints.scale has shape \(3, 1\), expected \(3,\)"),
        ({"angle": np.zeros(4)}, r"Keypoints.angle has shape \(4,\), expected \(3,\)"),
        ({"xy": np.full((3, 2), np.nan)}, "Keypoints.xy holds NaN or infinity"),
        ({"size_wh": (0, 4)}, r"Keypoints.size_wh is \(0, 4\), expected positive"),
    ],
)
def test_keypoints_refuse_contradictions(change: dict, message: str) -> None:
    good = {"xy": np.zeros((3, 2)), "scores": np.zeros(3), "size_wh": (4, 4)}
    with pytest.raises(ValueError, match=message):
        Keypoints(**{**good, **change})


def test_they_are_frozen() -> None:
    with pytest.raises(AttributeError):
        some(1).xy = np.zeros((1, 2))  # type: ignore[misc]


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_resizing_maps_corners_to_corners_and_back(w0: int, h0: int, w1: int, h1: int) -> None:
    # of the image area, not of pixel centres
    corners = np.array([[-0.5, -0.5], [w0 - 0.5, h0 - 0.5]], np.float32)
    keypoints = Keypoints(corners, np.ones(2), (w0, h0), np.ones(2))
    resized = keypoints.resized_to((w1, h1))
    np.testing.assert_allclose(
        resized.xy, [[-0.5, -0.5], [w1 - 0.5, h1 - 0.5]], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(resized.resized_to((w0, h0)).xy, corners, rtol=1e-5, atol=2e-3)
    np.testing.assert_allclose(resized.scale, np.sqrt(w1 / w0 * h1 / h0), rtol=1e-5)


def test_features_need_a_row_per_keypoint() -> None:
    assert len(Features(some(0), np.zeros((0, 8)))) == 0
    assert Features(some(2), np.zeros((2, 8), np.float64)).descriptors.dtype == np.float32
    with pytest.raises(
        ValueError, match=r"Features.descriptors has shape \(3, 8\), expected \(2, 'N'\)"
    ):
        Features(some(2), np.zeros((3, 8)))


def test_matches_empty_one_many() -> None:
    assert len(Matches(np.zeros((0, 2)), np.zeros(0))) == 0
    matches = Matches([[0, 3], [1, 2], [5, 5]], [0.1, 0.2, 0.3])  # type: ignore[arg-type]
    assert matches.pairs.dtype == np.int64
    np.testing.assert_array_equal(matches[np.array([2])].pairs, [[5, 5]])
    with pytest.raises(ValueError, match=r"Matches.scores has shape \(2,\), expected \(3,\)"):
        Matches(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"Matches.pairs has shape \(3, 3\)"):
        Matches(np.zeros((3, 3)), np.zeros(3))
