"""Two photos compared, against turns that are made."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from standing import turned

from dift_geo.turns.probe import compare, probe_photo


@pytest.fixture(scope="module")
def scene(texture) -> np.ndarray:
    return texture((480, 360), 3)


@pytest.mark.parametrize(("degrees", "factor"), [(0, 1), (30, 1), (-75, 1.5), (170, 0.7), (90, 1)])
def test_a_made_turn_is_seen(scene, degrees, factor):
    seen = compare(probe_photo(scene, None), probe_photo(turned(scene, degrees, factor), None))
    assert seen is not None
    off = np.rad2deg(seen.turn.roll) - degrees
    assert abs((off + 180) % 360 - 180) < 3
    assert seen.turn.zoom == pytest.approx(np.log2(factor), abs=0.1)
    back = compare(probe_photo(turned(scene, degrees, factor), None), probe_photo(scene, None))
    assert back is not None
    assert np.cos(back.turn.roll + seen.turn.roll) > np.cos(np.deg2rad(3))
    assert back.turn.zoom == pytest.approx(-seen.turn.zoom, abs=0.1)


def test_zoom_is_told_in_pixels_of_the_copies_that_are_described(scene):
    """A photo of twice the size shows the same in a copy of one size."""
    large = cv2.resize(scene, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    own = compare(probe_photo(scene, None), probe_photo(large, None))
    copies = compare(probe_photo(scene, 480), probe_photo(large, 480))
    assert own is not None
    assert copies is not None
    assert own.turn.zoom == pytest.approx(1, abs=0.1)
    assert copies.turn.zoom == pytest.approx(0, abs=0.1)


def test_nothing_in_common_says_nothing(scene, texture):
    seen = compare(probe_photo(scene, None), probe_photo(texture((480, 360), 8), None))
    assert seen is None
    flat = probe_photo(np.full((60, 80, 3), 90, np.uint8), None)
    assert not len(flat.angle)
    assert compare(flat, probe_photo(scene, None)) is None
    assert compare(probe_photo(scene, None), flat) is None
