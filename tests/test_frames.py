"""Pixel frames against what they mean: centres of pixels and corners of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dift_geo.frames import from_colmap, resized, to_colmap

SIDES = st.integers(1, 8000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_pixel_is_half_a_pixel_from_the_corner(dtype) -> None:
    centre = np.zeros((1, 2), dtype)
    moved = to_colmap(centre)
    assert moved.dtype == dtype
    assert moved.tolist() == [[0.5, 0.5]]
    assert from_colmap(moved).tolist() == [[0.0, 0.0]]


def test_nothing_is_changed_in_place() -> None:
    xy = np.ones((3, 2), np.float32)
    to_colmap(xy)
    from_colmap(xy)
    assert (xy == 1).all()


@given(SIDES, SIDES, SIDES, SIDES)
def test_resizing_keeps_the_corners(w: int, h: int, new_w: int, new_h: int) -> None:
    corners = np.array([[-0.5, -0.5], [w - 0.5, h - 0.5]])
    moved = resized(corners, np.array([new_w / w, new_h / h]))
    np.testing.assert_allclose(moved, [[-0.5, -0.5], [new_w - 0.5, new_h - 0.5]], rtol=1e-12)


def test_enlarging_puts_a_pixel_in_the_middle_of_its_copies() -> None:
    """A pixel drawn as 4 x 4 ones, of which the first four are 0 to 3."""
    assert resized(np.zeros((1, 2)), np.array([4.0, 4.0])).tolist() == [[1.5, 1.5]]
