"""Keypoints on a pyramid against made discs of known size, and against each level by itself."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dift_geo.detectors.framed import Framed
from dift_geo.detectors.levels import at_levels
from dift_geo.detectors.sift import Sift
from dift_geo.errors import InputError
from dift_geo.testing import FakeDetector
from dift_geo.types import Keypoints


def nothing(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((0, 2), np.float32), np.zeros(0, np.float32)


def blobs(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maxima of a Laplacian of one size, in pixels of whatever is shown: a blob scores most at the
    level at which its radius is 4 pixels.
    """
    luma = cv2.GaussianBlur(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 2.83
    )
    scores = -cv2.Laplacian(luma, cv2.CV_32F)
    top = (scores == cv2.dilate(scores, np.ones((9, 9)))) & (scores > 1)
    y, x = np.nonzero(top)
    return np.stack([x, y], 1).astype(np.float32), scores[y, x]


def disc(radius: float, middle: tuple[float, float] = (100, 80)) -> np.ndarray:
    y, x = np.mgrid[:160, :200]
    inside = np.hypot(x - middle[0], y - middle[1]) < radius
    return np.repeat(np.where(inside, 220, 30)[..., None], 3, 2).astype(np.uint8)


@pytest.mark.parametrize(("radius", "level"), [(4, 0), (5.7, 1), (8, 2), (11.3, 3), (16, 4)])
def test_a_disc_is_found_once_at_the_level_that_fits_it(radius: float, level: int) -> None:
    keypoints = at_levels(disc(radius), blobs, 5, 100)
    assert keypoints.scale is not None
    strongest, pixel = keypoints[:1], 2 ** (level / 2)  # of the level
    assert np.linalg.norm(strongest.xy[0] - (100, 80)) < pixel
    np.testing.assert_allclose(strongest.scale, 1.2 * 2 ** (level / 2), rtol=1e-6)
    near = np.linalg.norm(keypoints.xy - (100, 80), axis=1) < pixel
    assert near.sum() <= 2  # not five times


def test_places_come_back_in_the_picture_they_were_found_in() -> None:
    """One place a level, which does not compare with its neighbours as it lies elsewhere."""

    def corner(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        share = image.shape[1] / 200
        return np.array([[share * 60, share * 120 - 5]], np.float32), np.array([share], np.float32)

    keypoints = at_levels(disc(9), corner, 3, 10)
    factors = [1, 141 / 200, 100 / 200]
    expected = [
        ((f * 60 + 0.5) / f - 0.5, (f * 120 - 4.5) / (s / 160) - 0.5)
        for f, s in zip(factors, (160, 113, 80))
    ]
    np.testing.assert_allclose(keypoints.xy, expected, atol=1e-4)
    np.testing.assert_allclose(keypoints.scale, 1.2 * 2 ** (np.arange(3) / 2), rtol=1e-6)
    assert keypoints.size_wh == (200, 160)


def test_none_where_nothing_is_found_and_the_best_where_there_are_too_many(texture) -> None:
    picture = texture((320, 240))
    none = at_levels(picture, nothing, 5, 10)
    assert len(none) == 0
    assert none.scale is not None
    assert none.angle is not None
    every = at_levels(picture, blobs, 5, 10_000)
    few = at_levels(picture, blobs, 5, 10)
    assert len(every) > 100
    np.testing.assert_array_equal(few.xy, every.xy[:10])
    assert (np.diff(every.scores) <= 0).all()


def test_small_pictures_have_fewer_levels() -> None:
    seen = []

    def look(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(image.shape[:2])
        return nothing(image)

    at_levels(np.zeros((50, 90, 3), np.uint8), look, 5, 10)
    at_levels(np.zeros((20, 90, 3), np.uint8), look, 5, 10)
    assert seen == [(50, 90), (35, 64), (20, 90)]


def test_frames_follow_a_picture_that_turns_and_shrinks(texture) -> None:
    picture, middle = texture((480, 480)), (239.5, 239.5)
    M = cv2.getRotationMatrix2D(middle, -70, 0.5)
    other = cv2.warpAffine(picture, M, (480, 480), flags=cv2.INTER_AREA)

    class Bare(Sift):
        """Blobs without frames, of one size."""

        def detect(self, image: np.ndarray, name: str = "") -> Keypoints:
            xy, scores = blobs(image)
            return Keypoints(xy, scores, (image.shape[1], image.shape[0]))

    framed = Framed(Bare(), 400)
    first, second = framed.detect(picture, "a"), framed.detect(other, "b")
    assert first.scale is not None
    assert first.angle is not None
    assert second.scale is not None
    assert second.angle is not None
    distance = np.linalg.norm((first.xy @ M[:, :2].T + M[:, 2])[:, None] - second.xy, axis=2)
    rows, columns = np.nonzero(distance < 1.5)
    octaves = np.log2(second.scale[columns] / first.scale[rows])
    turn = np.angle(np.exp(1j * (second.angle[columns] - first.angle[rows] - np.deg2rad(70))))
    assert len(rows) > 50
    assert -1.6 < np.median(octaves) < -0.4
    assert abs(np.median(turn)) < np.deg2rad(10)
    assert (np.abs(turn) < np.deg2rad(30)).mean() > 0.5  # chance has 0.17


def test_framed_is_the_detector_by_name_and_says_what_it_did() -> None:
    framed = Framed(FakeDetector(), 50, 3)
    assert framed.name == FakeDetector().name
    assert framed.recipe() == {
        "framed": FakeDetector().recipe(),
        "max_keypoints": 50,
        "levels": 3,
        "upright": False,
    }
    with pytest.raises(InputError, match="levels 0"):
        Framed(FakeDetector(), 50, 0)
