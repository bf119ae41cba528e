"""Images shown at a common short side."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.benchmark.short_side import ShortSide, short_side_wh
from dift_geo.types import Features, Keypoints


@pytest.mark.parametrize(
    ("size_wh", "expected"),
    [
        ((640, 480), (640, 480)),
        ((1000, 700), (685, 480)),
        ((700, 1000), (480, 685)),
        ((50, 50), (480, 480)),
    ],
)
def test_short_side(size_wh, expected):
    assert short_side_wh(size_wh, 480) == expected


def test_short_side_shows_the_resized_image_and_answers_in_the_original():
    class Sees:
        def extract(self, image, name, *, photo=None):
            self.shape = image.shape
            h, w = image.shape[:2]
            corners = Keypoints(np.array([[-0.5, -0.5], [w - 0.5, h - 0.5]]), np.ones(2), (w, h))
            return Features(corners, np.ones((2, 4)))

        def recipe(self):
            return {"detector": "corners"}

    sees = Sees()
    features = ShortSide(sees, 480).extract(np.zeros((150, 200, 3), np.uint8), "a")
    assert sees.shape == (480, 640, 3)
    assert features.keypoints.size_wh == (200, 150)
    np.testing.assert_allclose(features.keypoints.xy, [[-0.5, -0.5], [199.5, 149.5]], atol=1e-4)
    assert ShortSide(sees, 480).recipe() == {"detector": "corners", "short_side": 480}
