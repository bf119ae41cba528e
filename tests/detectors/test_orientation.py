"""Angles of gradients against OpenCV's own SIFT and against pictures turned by known angles."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dift_geo.detectors.orientation import dominant_angles


def ramp(angle: float, side: int = 41) -> np.ndarray:
    """A picture that brightens in one direction only."""
    along = np.arange(side) - side // 2
    return np.float32(along * np.cos(angle) + along[:, None] * np.sin(angle))


def apart(first: np.ndarray, second: np.ndarray | float) -> np.ndarray:
    """Between two angles, radians, 0 to pi."""
    return np.abs(np.angle(np.exp(1j * (np.asarray(first, np.float64) - second))))


@given(angle=st.floats(-7, 7))
@settings(max_examples=30, deadline=None)
def test_a_ramp_points_where_it_brightens(angle: float) -> None:
    found = dominant_angles(ramp(angle), np.array([[20.2, 19.8]]), 10)
    assert found.shape == (1,)
    assert apart(found, angle)[0] < np.deg2rad(1.5)


@pytest.mark.parametrize("count", [0, 1, 3000])
def test_each_place_is_by_itself_however_many_there_are(texture, count: int) -> None:
    luma = cv2.cvtColor(texture((200, 160)), cv2.COLOR_RGB2GRAY).astype(np.float32)
    xy = np.random.default_rng(0).uniform(0, (199, 159), (count, 2))
    angles = dominant_angles(luma, xy, 6)
    assert angles.shape == (count,)
    assert angles.dtype == np.float32
    some = slice(None, None, 700)
    for place, angle in zip(xy[some], angles[some]):
        np.testing.assert_array_equal(dominant_angles(luma, place[None], 6), [angle])


def test_follows_a_picture_that_turns(texture) -> None:
    picture = cv2.cvtColor(texture((320, 320)), cv2.COLOR_RGB2GRAY)
    middle, turned = (159.5, 159.5), np.deg2rad(50)
    M = cv2.getRotationMatrix2D(middle, -50, 1)  # OpenCV turns anticlockwise, y downwards
    other = cv2.warpAffine(picture, M, (320, 320), flags=cv2.INTER_CUBIC)
    xy = np.random.default_rng(1).uniform(100, 220, (300, 2))
    there = xy @ M[:, :2].T + M[:, 2]
    before, after = (
        dominant_angles(each.astype(np.float32), at, 10)
        for each, at in ((picture, xy), (other, there))
    )
    assert np.median(apart(after - before, turned)) < np.deg2rad(5)
    assert (apart(after - before, turned) < np.deg2rad(20)).mean() > 0.75


def test_agrees_with_opencvs_sift(texture) -> None:
    picture = texture((400, 300))
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    keypoints = [
        k for k in cv2.SIFT_create(400).detect(luma, None) if 2.5 < k.size < 5 and min(k.pt) > 15
    ]
    found = dominant_angles(luma.astype(np.float32), np.array([k.pt for k in keypoints]), 8)
    theirs = np.deg2rad([k.angle for k in keypoints])
    assert len(keypoints) > 100
    assert (apart(found, theirs) < np.deg2rad(20)).mean() > 0.6  # chance has 0.11


def test_a_flat_picture_has_some_angle() -> None:
    angles = dominant_angles(np.full((30, 30), 7, np.float32), np.array([[0, 0], [29, 29]]), 10)
    np.testing.assert_array_equal(angles, 0)
