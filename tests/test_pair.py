"""Two photos in one call, against the steps by hand and a motion that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dift_geo.dift.describer import Dift
from dift_geo.extractor import ExtractorOptions
from dift_geo.geometry.homography import estimate_homography, warp_points
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.matching.options import MatchOptions
from dift_geo.pair import PairMatches, match_features, match_pair
from dift_geo.testing import FakeBackend, FakeDetector
from dift_geo.types import Features, Keypoints


@pytest.fixture(scope="module")
def rootsift():
    return ExtractorOptions(descriptor="rootsift", max_keypoints=400).build()


@pytest.fixture(scope="module")
def images(texture):
    """A picture, and the same one 24 pixels to the left and 16 up."""
    whole = texture((360, 280), 1)
    return whole[:240, :320], whole[16:256, 24:344]


def test_a_known_shift_comes_out(rootsift, images):
    found = match_pair(*images, rootsift, match=MatchOptions(ratio=0.9))
    assert found.homography is not None
    corner = warp_points(found.homography.H_1_from_0, [[100, 100]])
    np.testing.assert_allclose(corner, [[76, 84]], atol=0.1)
    assert len(found) == len(found.matches) == len(found.xy0) == len(found.xy1)
    near = np.linalg.norm(found.xy0 - [24, 16] - found.xy1, axis=1) <= 3
    assert found.inliers.mean() > 0.7
    assert (near & found.inliers).sum() > 0.95 * found.inliers.sum()


def test_it_is_the_steps_by_hand(rootsift, images):
    options = MatchOptions(ratio=0.95, min_similarity=0.5)
    found = match_pair(
        *images, rootsift, match=options, estimator="magsac", max_error_px=2.0, seed=4
    )
    f0, f1 = (rootsift.extract(image, "any") for image in images)
    matches = match_mutual_nn(f0.descriptors, f1.descriptors, ratio=0.95, min_similarity=0.5)
    np.testing.assert_array_equal(found.matches.pairs, matches.pairs)
    np.testing.assert_array_equal(found.matches.scores, matches.scores)
    xy0, xy1 = f0.keypoints.xy[matches.pairs[:, 0]], f1.keypoints.xy[matches.pairs[:, 1]]
    np.testing.assert_array_equal(found.xy0, xy0)
    np.testing.assert_array_equal(found.xy1, xy1)
    expected = estimate_homography(xy0, xy1, estimator="magsac", max_error_px=2.0, seed=4)
    np.testing.assert_array_equal(found.homography.H_1_from_0, expected.H_1_from_0)
    np.testing.assert_array_equal(found.inliers, expected.inliers)
    again = match_features(f0, f1, match=options, estimator="magsac", max_error_px=2.0, seed=4)
    np.testing.assert_array_equal(again.homography.H_1_from_0, expected.H_1_from_0)


def test_names_reach_the_extractor(images):
    class Named:
        def __init__(self):
            self.names = []

        def extract(self, image, name=None):
            self.names.append(name)
            return Features(Keypoints(np.zeros((0, 2)), np.zeros(0), (4, 4)), np.zeros((0, 8)))

    extractor = Named()
    match_pair(*images, extractor)
    match_pair(*images, extractor, name0="a.png", name1="b.png")
    assert extractor.names == [None, None, "a.png", "b.png"]


def test_a_dift_is_an_extractor(images):
    dift = Dift(FakeBackend(), FakeDetector())
    found = match_pair(*images, dift)
    assert isinstance(found, PairMatches)
    np.testing.assert_array_equal(
        found.features0.keypoints.xy, dift.extract(images[0]).keypoints.xy
    )


def test_a_turned_photo_is_turned_back(texture):
    """Without angles nothing of a quarter turn is found, unless the photos are compared first."""
    image = texture((320, 240), 1)
    turned = np.ascontiguousarray(np.rot90(image, -1))
    options = ExtractorOptions(descriptor="rootsift", max_keypoints=300, upright=True)
    lost = match_pair(image, turned, options.build())
    found = match_pair(image, turned, replace(options, straighten="roll", upright=False).build())
    right = np.abs(found.xy1 - np.stack([239 - found.xy0[:, 1], found.xy0[:, 0]], 1)).max(1) < 2
    assert right.mean() > 0.9
    assert right.sum() > 100
    wrong = np.abs(lost.xy1 - np.stack([239 - lost.xy0[:, 1], lost.xy0[:, 0]], 1)).max(1) < 2
    assert wrong.mean() < 0.1


def test_without_matches_there_is_no_homography_and_no_inlier():
    none = Features(Keypoints(np.zeros((0, 2)), np.zeros(0), (64, 48)), np.zeros((0, 8)))
    xy = np.array([[1, 2], [3, 4], [5, 6]])
    three = Features(Keypoints(xy, np.ones(3), (64, 48)), np.eye(3, 8))
    for f0, f1, count in ((none, none, 0), (none, three, 0), (three, none, 0), (three, three, 3)):
        found = match_features(f0, f1)
        assert found.homography is None
        assert found.inliers.dtype == np.bool_
        assert found.inliers.tolist() == [False] * count
        assert found.xy0.shape == found.xy1.shape == (count, 2)


def test_descriptors_of_two_kinds_are_refused():
    def features(dim):
        return Features(Keypoints(np.zeros((3, 2)), np.ones(3), (64, 48)), np.eye(3, dim))

    with pytest.raises(ValueError, match=r"descriptors have shapes \(3, 8\) and \(3, 16\)"):
        match_features(features(8), features(16))
