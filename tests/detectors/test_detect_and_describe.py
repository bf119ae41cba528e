"""How a detector and a describer make features, and what a contract gives by default."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dift_geo.detectors.contract import Describer, Detector, detect_and_describe, name_of_pixels
from dift_geo.detectors.sift import RootSift, Sift
from dift_geo.errors import InputError
from dift_geo.types import Keypoints


class Fixed(Detector):
    """Points at fixed places of whatever it is given; remembers what that was."""

    name = "fixed"

    def __init__(self, at_full_size: bool) -> None:
        self.whole = at_full_size
        self.given: list[tuple[tuple[int, ...], str]] = []

    @property
    def at_full_size(self) -> bool:
        return self.whole

    def detect(self, image: np.ndarray, name: str) -> Keypoints:
        self.given.append((image.shape, name))
        h, w = image.shape[:2]
        xy = np.array([[0, 0], [w - 1, h - 1], [0.25 * w, 0.5 * h]], np.float32)
        return Keypoints(xy, np.ones(3, np.float32), (w, h))

    def recipe(self) -> dict[str, object]:
        return {"name": self.name}


class Places(Describer):
    """Rows of unit length that tell where a keypoint is, in shares of the image it was given."""

    name = "places"

    def __init__(self) -> None:
        self.given: list[tuple[tuple[int, ...], tuple[int, int], str]] = []

    def describe(self, image: np.ndarray, keypoints: Keypoints, name: str) -> np.ndarray:
        self.given.append((image.shape, keypoints.size_wh, name))
        angle = (keypoints.xy[:, 0] + 0.5) / image.shape[1]
        return np.stack([np.cos(angle), np.sin(angle)], 1)

    def recipe(self) -> dict[str, object]:
        return {"name": self.name}


def test_what_is_optional_has_a_default() -> None:
    assert not Sift().at_full_size
    assert Fixed(False).own_describer() is None
    assert Places().weight == RootSift().weight == 1


@pytest.mark.parametrize("size", [None, 160, 5000])
def test_both_see_the_resized_copy_and_keypoints_come_back(picture: np.ndarray, size: int) -> None:
    detector, describer = Fixed(False), Places()
    features = detect_and_describe(detector, describer, picture, "a/b.png", size)
    h, w = (120, 160) if size == 160 else (240, 320)
    assert detector.given == [((h, w, 3), "a/b.png")]
    assert describer.given == [((h, w, 3), (w, h), "a/b.png")]
    assert features.keypoints.size_wh == (320, 240)
    expected = [[0, 0], [319, 239], [80, 120]]
    if size == 160:  # centres of pixels move by half of what a pixel grows
        expected = [[0.5, 0.5], [318.5, 238.5], [80.5, 120.5]]
    np.testing.assert_allclose(features.keypoints.xy, expected)


def test_a_detector_at_full_size_is_given_the_photo(picture: np.ndarray) -> None:
    detector, describer = Fixed(True), Places()
    features = detect_and_describe(detector, describer, picture, "x", 160)
    assert detector.given == [((240, 320, 3), "x")]
    assert describer.given == [((120, 160, 3), (160, 120), "x")]
    np.testing.assert_allclose(features.keypoints.xy, [[0, 0], [319, 239], [80, 120]], atol=1e-5)


def test_a_copy_made_by_others_keeps_its_photo(picture: np.ndarray) -> None:
    detector, describer = Fixed(True), Places()
    copy = cv2.resize(picture, (160, 120))
    features = detect_and_describe(detector, describer, copy, "x", photo=picture)
    assert detector.given == [((240, 320, 3), "x")]
    assert describer.given == [((120, 160, 3), (160, 120), "x")]
    assert features.keypoints.size_wh == (160, 120)
    seen = Fixed(False)
    detect_and_describe(seen, describer, copy, "x", photo=picture)
    assert seen.given == [((120, 160, 3), "x")]


def test_an_image_without_a_name_is_called_by_its_pixels(picture: np.ndarray) -> None:
    detector, describer = Fixed(False), Places()
    for image in (picture, picture.copy(), picture[::-1]):
        detect_and_describe(detector, describer, image, size=100)
    names = [name for *_, name in describer.given]
    assert names[0] == names[1] == name_of_pixels(picture) != names[2]
    assert names == [name for _, name in detector.given]


@pytest.mark.parametrize("size", [None, 160])
def test_a_mask_drops_keypoints_before_they_are_described(
    picture: np.ndarray, size: int | None
) -> None:
    mask = np.ones((240, 320), bool)
    mask[:, 300:] = False
    detector, describer = Fixed(False), Places()
    features = detect_and_describe(detector, describer, picture, "x", size, mask=mask)
    everything = detect_and_describe(detector, describer, picture, "x", size)
    np.testing.assert_array_equal(features.keypoints.xy, everything.keypoints.xy[[0, 2]])
    np.testing.assert_array_equal(features.descriptors, everything.descriptors[[0, 2]])
    with pytest.raises(InputError, match=r"the mask has shape \(4, 4\), expected \(240, 320\)"):
        detect_and_describe(detector, describer, picture, "x", size, mask=mask[:4, :4])
