"""SIFT against OpenCV's own detectAndCompute, and pictures in which there is nothing to find."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dift_geo.detectors.sift import Sift
from dift_geo.types import Keypoints

EVERYTHING = Sift(max_keypoints=10**6, max_orientations=10)


def by_frame(xy, size, angle) -> dict:
    """Rows by position and size to 1/16 pixel and angle to a degree."""
    rows = (
        np.c_[np.asarray(xy) * 16, np.asarray(size) * 16, angle]
        .astype(np.float64)
        .round()
        .astype(int)
    )
    return {tuple(row): i for i, row in enumerate(rows.tolist())}


@pytest.fixture(params=["fine", "smooth"])
def photo(request, picture: np.ndarray) -> np.ndarray:
    """`smooth` has no keypoint on OpenCV's doubled image, for which compute() alone would build
    another pyramid.
    """
    return picture if request.param == "fine" else cv2.GaussianBlur(picture, (0, 0), 5)


def test_detects_and_describes_as_opencv(photo: np.ndarray) -> None:
    opencv = cv2.SIFT.create(0, 3, 0.04, 10, 1.6, enable_precise_upscale=True)
    found, sift = opencv.detectAndCompute(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), None)
    root = np.sqrt(sift / sift.sum(1, keepdims=True))  # Arandjelovic and Zisserman: L1, then root
    expected = by_frame(
        np.array([k.pt for k in found]), [k.size for k in found], [k.angle for k in found]
    )
    keypoints = EVERYTHING.detect(photo)
    ours = by_frame(keypoints.xy, 2 * keypoints.scale, np.rad2deg(keypoints.angle))
    assert len(found) == len(keypoints) > 20
    shared = expected.keys() & ours.keys()
    assert len(shared) >= 0.98 * len(expected)  # the rest sits on a rounding edge
    descriptors = EVERYTHING.describe(photo, keypoints)
    error = [np.abs(descriptors[ours[key]] - root[expected[key]]).max() for key in shared]
    assert np.quantile(error, 0.99) < 0.01
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, rtol=1e-5)


def test_a_descriptor_does_not_depend_on_the_others(photo: np.ndarray) -> None:
    keypoints = Sift(max_keypoints=200).detect(photo)
    together = Sift().describe(photo, keypoints)
    for index in ([0], [5, 3], range(10, 15)):
        picked = np.array(index)
        np.testing.assert_array_equal(Sift().describe(photo, keypoints[picked]), together[picked])


def test_keeps_the_strongest_in_order(picture: np.ndarray) -> None:
    everything, few = (
        EVERYTHING.detect(picture),
        Sift(max_keypoints=50, max_orientations=10).detect(picture),
    )
    assert len(few) == 50
    assert (np.diff(few.scores) <= 0).all()
    np.testing.assert_array_equal(few.xy, everything.xy[:50])


@pytest.mark.parametrize("limit", [1, 2])
def test_orientations_per_location(picture: np.ndarray, limit: int) -> None:
    keypoints = Sift(max_keypoints=10**6, max_orientations=limit).detect(picture)
    _, counts = np.unique(np.c_[keypoints.xy, keypoints.scale], axis=0, return_counts=True)
    assert counts.max() == limit
    everything = EVERYTHING.detect(picture)
    _, all_counts = np.unique(np.c_[everything.xy, everything.scale], axis=0, return_counts=True)
    assert len(keypoints) == np.minimum(all_counts, limit).sum()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_angle_turns_with_the_picture(picture: np.ndarray, turns: int) -> None:
    """y points down: a picture turned counter-clockwise (np.rot90) turns angles by -90 degrees."""
    square = np.ascontiguousarray(picture[:, : picture.shape[0]])
    side = len(square)
    keypoints = Sift(max_keypoints=300, max_orientations=10).detect(square)
    turned = Sift(max_keypoints=400, max_orientations=10).detect(
        np.ascontiguousarray(np.rot90(square, turns))
    )
    xy, angle = keypoints.xy.copy(), keypoints.angle - turns * np.pi / 2
    for _ in range(turns):
        xy = np.stack([xy[:, 1], side - 1 - xy[:, 0]], 1)
    distance = np.linalg.norm(xy[:, None] - turned.xy, axis=2) + 2 * np.abs(
        np.exp(1j * angle)[:, None] - np.exp(1j * turned.angle)
    )
    assert np.mean(distance.min(1) < 0.7) > 0.9


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_places_are_unbiased(picture: np.ndarray, turns: int) -> None:
    """A keypoint a fraction of a pixel too far right would be too far left after half a turn."""
    square = np.ascontiguousarray(picture[:, : picture.shape[0]])
    xy = EVERYTHING.detect(square).xy
    turned = EVERYTHING.detect(np.ascontiguousarray(np.rot90(square, turns))).xy
    for _ in range(turns):
        xy = np.stack([xy[:, 1], len(square) - 1 - xy[:, 0]], 1)
    offset = turned[np.linalg.norm(xy[:, None] - turned, axis=2).argmin(1)] - xy
    near = np.linalg.norm(offset, axis=1) < 1
    assert near.mean() > 0.95
    np.testing.assert_allclose(np.median(offset[near], axis=0), 0, atol=0.02)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((480, 640, 3), np.uint8),
        np.full((64, 64, 3), 200, np.uint8),
        np.zeros((7, 500, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (3, 900, 3)).astype(np.uint8),
    ],
    ids=["1x1", "black", "flat", "thin", "thin-noise"],
)
def test_nothing_to_find(image: np.ndarray) -> None:
    keypoints = Sift().detect(image)
    assert len(keypoints) == 0
    assert keypoints.size_wh == image.shape[1::-1]
    assert keypoints.scale is not None
    assert Sift().describe(image, keypoints).shape == (0, 128)


@pytest.mark.parametrize("side", range(8, 20))
def test_tiny_images_do_not_crash(side: int) -> None:
    image = np.random.default_rng(side).integers(0, 256, (side, side + 3, 3)).astype(np.uint8)
    keypoints = Sift().detect(image)
    assert Sift().describe(image, keypoints).shape == (len(keypoints), 128)


def test_detection_is_repeatable(picture: np.ndarray) -> None:
    first, second = Sift().detect(picture), Sift().detect(picture.copy())
    for field in ("xy", "scores", "scale", "angle"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


def test_bad_settings_and_keypoints_without_frame(picture: np.ndarray) -> None:
    for field in ("max_keypoints", "max_orientations", "octave_layers"):
        with pytest.raises(ValueError, match=f"Sift.{field} is 0, expected at least 1"):
            Sift(**{field: 0})
    with pytest.raises(
        ValueError, match=r"RootSIFT needs keypoints with scale and angle; got none .* for 'a\.jpg'"
    ):
        Sift().describe(picture, Keypoints(np.zeros((1, 2)), np.zeros(1), (320, 240)), "a.jpg")


def test_recipe_says_what_matters() -> None:
    assert Sift(max_keypoints=7).recipe() == {**Sift().recipe(), "max_keypoints": 7}


def test_upright_keypoints_are_there_once_without_an_angle(picture) -> None:
    turned, upright = Sift(10**6), Sift(10**6, upright=True)
    found, once = turned.detect(picture), upright.detect(picture)
    assert len(np.unique(found.xy, axis=0)) == len(np.unique(once.xy, axis=0)) == len(once)
    assert len(once) < len(found)
    assert not once.angle.any()
    zero = Keypoints(once.xy, once.scores, once.size_wh, once.scale, np.zeros_like(once.scale))
    np.testing.assert_array_equal(upright.describe(picture, once), turned.describe(picture, zero))
    assert upright.recipe()["upright"]
    assert "upright" not in turned.recipe()  # as stores say that were made before
