"""Photos turned back and made smaller, against the pixels where keypoints say they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dift_geo.detectors.contract import Describer, Detector, detect_and_describe
from dift_geo.errors import InputError
from dift_geo.turned import Straighten, turned_back
from dift_geo.types import Keypoints, Turn


def at(xy: np.ndarray, size_wh: tuple[int, int]) -> Keypoints:
    n = len(xy)
    ones = np.ones(n, np.float32)
    return Keypoints(xy, ones, size_wh, 2 * ones, 0 * ones)


def grid(size_wh: tuple[int, int], step: int = 16) -> np.ndarray:
    y, x = np.mgrid[step : size_wh[1] - step : step, step : size_wh[0] - step : step]
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)


def looked_up(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    x, y = xy.astype(np.float32).T
    return cv2.remap(image, x[None], y[None], cv2.INTER_LINEAR)[0].astype(np.float64)


@pytest.mark.parametrize("degrees", [-170, -135, -90, -33, -12, 12, 45, 88, 90, 178])
@pytest.mark.parametrize("zoom", [0.0, 1.0])
def test_keypoints_come_home_to_what_they_showed(texture, degrees, zoom):
    photo = cv2.GaussianBlur(texture((201, 150)), (0, 0), 3)
    shown = turned_back(photo, Turn(np.deg2rad(degrees), zoom))
    h, w = shown.pixels.shape[:2]
    found = at(grid((w, h)), (w, h))
    found = found[shown.inside(found)]
    assert len(found) > 10
    home = shown.home(found)
    assert home.size_wh == (201, 150)
    assert (home.xy > -0.5).all()
    assert (home.xy < np.array(home.size_wh) - 0.5).all()
    there = looked_up(photo, home.xy)
    assert np.abs(looked_up(shown.pixels, found.xy) - there).mean() < 2.5
    np.testing.assert_allclose(home.scale, 2 * 2**zoom, rtol=0.02)


@pytest.mark.parametrize("degrees", [-150, -90, -25, 30, 90, 180])
def test_what_points_up_in_the_picture_points_along_the_roll_in_the_photo(degrees):
    """An arrow along +x of the shown picture: its two ends, carried home."""
    shown = turned_back(np.zeros((120, 160, 3), np.uint8), Turn(np.deg2rad(degrees)))
    h, w = shown.pixels.shape[:2]
    ends = at(np.array([[w / 2, h / 2], [w / 2 + 10, h / 2]], np.float32), (w, h))
    home = shown.home(ends)
    x, y = home.xy[1] - home.xy[0]
    difference = np.arctan2(y, x) - home.angle[0]
    assert abs(np.angle(np.exp(1j * difference))) < 1e-5
    assert abs(np.angle(np.exp(1j * (np.arctan2(y, x) - np.deg2rad(degrees))))) < 1e-5


def test_most_photos_are_shown_as_they_are(texture):
    photo = texture((90, 60))
    for turn in (Turn(), Turn(np.deg2rad(9)), Turn(-0.1, 0.25), Turn(0.0, -3.0)):
        shown = turned_back(photo, turn)
        np.testing.assert_array_equal(shown.pixels, photo)
        corners = at(np.array([[0, 0], [89, 59]], np.float32), (90, 60))
        assert shown.inside(corners).all()
        np.testing.assert_array_equal(shown.home(corners).xy, corners.xy)


def test_near_whole_quarters_pixels_only_change_places(texture):
    photo = texture((90, 60))
    for quarters in (1, 2, 3):
        shown = turned_back(photo, Turn(np.deg2rad(90 * quarters + 5)))
        np.testing.assert_array_equal(shown.pixels, np.rot90(photo, quarters))


def test_corners_that_turning_leaves_empty_hold_no_keypoints():
    shown = turned_back(np.zeros((100, 100, 3), np.uint8), Turn(np.pi / 4))
    h, w = shown.pixels.shape[:2]
    assert (w, h) == (142, 142)
    corners = at(np.array([[0, 0], [w - 1, h - 1], [w / 2, h / 2]], np.float32), (w, h))
    np.testing.assert_array_equal(shown.inside(corners), [False, False, True])
    assert not len(shown.inside(corners[:0]))


def test_a_photo_of_one_pixel(texture):
    shown = turned_back(texture((90, 60))[:1, :1], Turn(0.7, 5.0))
    assert shown.home(at(np.zeros((1, 2), np.float32), (2, 2))).size_wh == (1, 1)


class Corners(Detector):
    """The brightest pixel of each quarter of the picture."""

    name = "corners"

    def detect(self, image, name):
        luma = image.sum(2).astype(np.float64)
        h, w = luma.shape
        xy = []
        for y0, x0 in ((0, 0), (0, w // 2), (h // 2, 0), (h // 2, w // 2)):
            part = luma[y0 : y0 + h // 2, x0 : x0 + w // 2]
            y, x = np.unravel_index(part.argmax(), part.shape)
            xy.append((x + x0, y + y0))
        return Keypoints(np.array(xy, np.float32), np.ones(4, np.float32), (w, h))


class Pixels(Describer):
    """The colour at the keypoint."""

    name = "pixels"

    def describe(self, image, keypoints, name):
        return looked_up(image, keypoints.xy).astype(np.float32)


def test_detector_and_describer_see_the_turned_copy_and_the_mask_lies_on_the_photo():
    photo = np.zeros((80, 120, 3), np.uint8)
    spots = {(20, 10): 250, (100, 12): 200, (22, 70): 150, (95, 66): 100}
    for (x, y), value in spots.items():
        photo[y, x] = value
    features = detect_and_describe(Corners(), Pixels(), photo, "a", turn=Turn(np.pi / 2))
    found = dict(zip(map(tuple, features.keypoints.xy.astype(int)), features.descriptors[:, 0]))
    assert found == spots
    mask = np.ones((80, 120), bool)
    mask[:, :60] = False
    features = detect_and_describe(Corners(), Pixels(), photo, "a", turn=Turn(np.pi / 2), mask=mask)
    assert sorted(features.descriptors[:, 0]) == [100, 200]


def test_words():
    assert Straighten.of("off", 640, suits=True) is None
    assert Straighten.of("auto", 640, suits=False) is None
    assert Straighten.of("auto", 640, suits=True) == Straighten("zoom", 640)
    assert Straighten.of("roll", None, suits=False) == Straighten("roll", None)
    with pytest.raises(InputError, match="straighten is 'turn', expected roll or zoom"):
        Straighten("turn", None)
