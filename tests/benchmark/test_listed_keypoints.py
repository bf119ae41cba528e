"""Descriptions at the keypoints of another program, under protocols that resize the images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from dift_geo.foreign import AtKeypoints

from dift_geo.benchmark.short_side import ShortSide
from dift_geo.detectors.contract import Describer
from dift_geo.detectors.listed import Listed
from dift_geo.dift.joined import Joined
from dift_geo.extractor import Extractor


class Places(Describer):
    """Describes a keypoint by where it is in the image that it is shown."""

    name = "places"

    def describe(self, image, keypoints, name):
        return keypoints.xy.astype(np.float32)

    def recipe(self):
        return {"reads": "places"}


class Weighted(Describer):
    """Unit rows that are the same everywhere, with a weight."""

    name, weight = "weighted", 1.0

    def __init__(self, row, weight):
        self.row, self.weight = row, weight

    def describe(self, image, keypoints, name):
        return np.tile(np.float32(self.row), (len(keypoints), 1))

    def recipe(self):
        return {"row": self.row}


def test_describes_at_given_keypoints(tmp_path, picture):
    (tmp_path / "v_a-1.kp").write_text("10.5 20\n\n30 40 0.9\n10.5 20\n")
    at = AtKeypoints([Places()], tmp_path)
    features = at.extract(picture, "v_a/1.png")
    np.testing.assert_allclose(features.descriptors, [[10.5, 20], [30, 40]])
    small = cv2.resize(picture, (160, 120))
    # the same places in the smaller image
    seen = at.extract(small, "v_a/1.png", photo=picture)
    np.testing.assert_allclose(seen.descriptors, [[5, 9.75], [14.75, 19.75]])
    back = ShortSide(at, 120).extract(picture, "v_a/1.png")
    np.testing.assert_allclose(back.keypoints.xy, [[10.5, 20], [30, 40]], atol=1e-4)
    np.testing.assert_allclose(back.descriptors, [[5, 9.75], [14.75, 19.75]])
    with pytest.raises(FileNotFoundError, match="no keypoints at"):
        at.extract(picture, "v_a/2.png")
    (tmp_path / "v_a-2.kp").write_text("ten twenty")
    with pytest.raises(ValueError, match="no list of"):
        at.extract(picture, "v_a/2.png")
    (tmp_path / "v_a-2.kp").write_text("")
    assert len(at.extract(picture, "v_a/2.png")) == 0


def test_parts_count_by_their_weight_at_given_keypoints_too(tmp_path, picture):
    """Of 0.1: here, and nowhere else, they counted alike, and rows were off by up to 0.24."""
    (tmp_path / "v_a-1.kp").write_text("10 20\n30 40\n")
    parts = [Weighted([1, 0], 1.0), Weighted([0, 1], 3.0)]
    rows = AtKeypoints(parts, tmp_path).extract(picture, "v_a/1.png").descriptors
    np.testing.assert_allclose(rows, [[0.5, 0, 0, np.sqrt(0.75)]] * 2, atol=1e-6)
    whole = Extractor(Listed(tmp_path), Joined(parts)).extract(picture, "v_a/1.png")
    np.testing.assert_array_equal(rows, whole.descriptors)
