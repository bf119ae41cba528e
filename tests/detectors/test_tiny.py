"""The embedded detector on pictures whose changes are known, beside SIFT on the same ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from dift_geo.detectors.loader import Limits, load_detector
from dift_geo.detectors.tiny import TINY_KEYPOINTS, TinyKeypoints
from dift_geo.detectors.tiny_network import KeypointNetwork, without_light
from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import luma_of


@pytest.fixture(scope="module")
def detector() -> TinyKeypoints:
    return TinyKeypoints(200)


def turned(image: np.ndarray, degrees: float, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture turned clockwise about its middle, and the (2, 3) map of its pixels."""
    h, w = image.shape[:2]
    M = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), -degrees, zoom)
    return cv2.warpAffine(image, M, (w, h), flags=cv2.INTER_AREA), M


def found_again(first: np.ndarray, second: np.ndarray, M: np.ndarray, px: float = 2.0) -> float:
    """Share of places that lie inside the other picture and are found there as well."""
    there = first @ M[:, :2].T + M[:, 2]
    inside = ((there > 20) & (there < (300, 220))).all(1)
    distance = np.linalg.norm(there[inside, None] - second, axis=2).min(1)
    return float((distance < px).mean())


@pytest.mark.parametrize(
    ("degrees", "zoom", "least"), [(0, 0.8, 0.5), (60, 1.0, 0.45), (90, 0.7, 0.4)]
)
def test_finds_places_again(
    detector: TinyKeypoints, picture: np.ndarray, degrees: float, zoom: float, least: float
) -> None:
    other, M = turned(picture, degrees, zoom)
    found, again = detector.detect(picture), detector.detect(other)
    assert found_again(found.xy, again.xy, M) > least
    anywhere = np.random.default_rng(0).uniform(0, (320, 240), found.xy.shape)
    assert found_again(anywhere, again.xy, M) < least / 2


def test_frames_turn_and_grow_with_the_picture(
    detector: TinyKeypoints, picture: np.ndarray
) -> None:
    other, M = turned(picture, 40, 0.5)
    first, second = detector.detect(picture), detector.detect(other)
    assert first.scale is not None
    assert first.angle is not None
    assert second.scale is not None
    assert second.angle is not None
    there = first.xy @ M[:, :2].T + M[:, 2]
    rows, columns = np.nonzero(np.linalg.norm(there[:, None] - second.xy, axis=2) < 1.5)
    turn = np.angle(np.exp(1j * (second.angle[columns] - first.angle[rows] - np.deg2rad(40))))
    assert len(rows) > 15
    assert (np.abs(turn) < np.deg2rad(30)).mean() > 0.4  # chance has 0.17
    assert np.median(np.log2(second.scale[columns] / first.scale[rows])) <= 0


def test_light_does_not_matter(detector: TinyKeypoints, picture: np.ndarray) -> None:
    darker = np.clip(picture * 0.45 + 40, 0, 255).round().astype(np.uint8)
    first, second = detector.detect(picture).xy, detector.detect(darker).xy
    assert found_again(first, second, np.eye(2, 3), px=1) > 0.85


def test_keypoints_lie_between_pixels_and_follow_there(
    detector: TinyKeypoints, picture: np.ndarray
) -> None:
    M = np.c_[np.eye(2), [0.4, 0.3]]
    moved = cv2.warpAffine(picture, M, (320, 240), flags=cv2.INTER_CUBIC)
    first, second = detector.detect(picture).xy, detector.detect(moved).xy
    distance = np.linalg.norm((first + np.array([0.4, 0.3]))[:, None] - second, axis=2).min(1)
    assert np.median(distance[distance < 2]) < 0.3  # whole pixels have 0.5


def test_keypoints_are_inside_the_best_come_first_and_more_only_adds(
    detector: TinyKeypoints, picture: np.ndarray
) -> None:
    few, many = TinyKeypoints(20).detect(picture), detector.detect(picture)
    assert len(few) == 20
    np.testing.assert_array_equal(few.xy, many.xy[:20])
    assert (np.diff(many.scores) <= 0).all()
    assert (many.xy > 0).all()
    assert (many.xy < (319, 239)).all()
    assert ((many.scores >= 0.05) & (many.scores <= 1)).all()


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 300), (31, 47), (33, 200)])
@pytest.mark.parametrize("kind", ["black", "noise"])
def test_any_picture_is_looked_at(
    detector: TinyKeypoints, size_hw: tuple[int, int], kind: str
) -> None:
    image = np.zeros((*size_hw, 3), np.uint8)
    if kind == "noise":
        image = np.random.default_rng(0).integers(0, 256, image.shape).astype(np.uint8)
    keypoints = detector.detect(image)
    assert keypoints.size_wh == (size_hw[1], size_hw[0])
    assert keypoints.scale is not None
    if kind == "black" or min(size_hw) < 13:
        assert len(keypoints) == 0


def test_a_picture_with_one_pixel_lit_has_hardly_any(detector: TinyKeypoints) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[60, 80] = 255
    keypoints = detector.detect(image)
    assert (np.linalg.norm(keypoints.xy - (80, 60), axis=1) < 30).all()


def test_the_network_is_what_its_weights_say() -> None:
    """Against the same convolutions written out, without the module."""
    weights = load_file(TINY_KEYPOINTS)
    network = KeypointNetwork()
    network.load_state_dict(weights)
    x = torch.randn(2, 1, 48, 64, generator=torch.Generator().manual_seed(0))

    def apply(name: str, values: torch.Tensor) -> torch.Tensor:
        kernel = weights[f"{name}.weight"]
        return F.conv2d(values, kernel, weights[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    def shrunk(values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5))

    def grown(values: torch.Tensor) -> torch.Tensor:
        size_hw = 2 * values.shape[2], 2 * values.shape[3]
        return F.interpolate(values, size_hw, mode="bilinear")

    full = apply("down.0.1.0", apply("down.0.0.0", x).clamp(0)).clamp(0)
    half = apply("down.1.1.0", apply("down.1.0.0", shrunk(full)).clamp(0)).clamp(0)
    quarter = apply("down.2.1.0", apply("down.2.0.0", shrunk(half)).clamp(0)).clamp(0)
    eighth = apply("down.3.0.0", shrunk(quarter)).clamp(0)
    quarter = apply("mix.2.0", quarter + grown(apply("lift.2", eighth))).clamp(0)
    half = apply("mix.1.0", half + grown(apply("lift.1", quarter))).clamp(0)
    full = apply("mix.0.0", full + grown(apply("lift.0", half))).clamp(0)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), apply("head", full), atol=1e-4, rtol=1e-4)


def test_light_is_taken_away_as_written(picture: np.ndarray) -> None:
    luma = luma_of(picture)
    np.testing.assert_allclose(luma, picture.astype(float) @ [0.299, 0.587, 0.114] / 255, atol=1e-5)
    window = luma[100 - 7 : 100 + 8, 90 - 7 : 90 + 8].astype(float)
    expected = (window[7, 7] - window.mean()) / (window.std() + 0.02)
    np.testing.assert_allclose(without_light(luma)[100, 90], expected, atol=1e-3)
    np.testing.assert_allclose(without_light(np.full((40, 50), 0.7, np.float32)), 0, atol=1e-2)


def test_the_word_and_a_file_of_ones_own(tmp_path: Path, picture: np.ndarray) -> None:
    shipped = load_detector("tiny", Limits(max_keypoints=30))
    mine = tmp_path / "mine.safetensors"
    save_file(load_file(TINY_KEYPOINTS), mine)
    own = load_detector(f"tiny:{mine}", Limits(max_keypoints=30))
    assert shipped.name == "tiny"
    assert own.recipe()["max_keypoints"] == 30
    np.testing.assert_array_equal(own.detect(picture, "a").xy, shipped.detect(picture, "a").xy)
    assert shipped.own_describer() is None


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for fields, message in (
        ({"max_keypoints": 0}, "max_keypoints is 0, expected at least 1"),
        ({"threshold": 1.0}, "threshold is 1.0, expected from 0 to below 1"),
        ({"levels": 0}, "levels is 0"),
        ({"nms_radius": 0}, "nms_radius is 0"),
    ):
        with pytest.raises(InputError, match=message):
            TinyKeypoints(**fields)  # type: ignore[arg-type]
    with pytest.raises(MissingFileError, match="is not there, expected a file"):
        TinyKeypoints(10, tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="KeypointNetwork"):
        TinyKeypoints(10, tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(TINY_KEYPOINTS.read_bytes()[:3000])
    with pytest.raises(InputError, match="cut short or corrupt"):
        TinyKeypoints(10, tmp_path / "cut.safetensors")
