"""DIFT as a whole: sizes, projections, what stands beside, recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from glass import Glass, glass_dift

from dift_geo.backends.config import (
    Dense,
    DiftConfig,
    Mode,
    Noise,
    Oriented,
    ReadingName,
    reading_named,
)
from dift_geo.detectors.sift import RootSift, Sift
from dift_geo.dift.describer import Dift
from dift_geo.dift.projection import Projection
from dift_geo.errors import InputError
from dift_geo.images import resize_longest


@pytest.mark.parametrize("reading", ["dense", "oriented"])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_empty_one_many(picture: np.ndarray, reading: ReadingName, n: int) -> None:
    extractor = glass_dift(reading=reading_named(reading), max_batch=3)
    keypoints = Sift(max_keypoints=20).detect(picture)[:n]
    assert extractor.describe(picture, keypoints).shape == (n, 3)


def test_keypoints_come_in_the_frame_of_the_given_image(texture) -> None:
    image = texture((400, 300))
    small = Dift(Glass(), Sift(max_keypoints=50), DiftConfig(), size=200).extract(image, "a")
    assert small.keypoints.size_wh == (400, 300)
    assert small.keypoints.xy[:, 0].max() > 200
    direct = Sift(max_keypoints=50).detect(resize_longest(image, 200))
    np.testing.assert_allclose(small.keypoints.xy, 2 * direct.xy + 0.5, atol=1e-3)
    np.testing.assert_allclose(small.keypoints.scale, 2 * direct.scale, rtol=1e-5)


@pytest.mark.parametrize("size_wh", [(1, 1), (640, 3), (50, 40)])
@pytest.mark.parametrize("reading", ["dense", "oriented"])
def test_images_without_keypoints(size_wh: tuple[int, int], reading: ReadingName) -> None:
    black = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    features = glass_dift(reading=reading_named(reading)).extract(black)
    assert len(features) == 0
    assert features.descriptors.shape == (0, 3)
    assert features.keypoints.size_wh == size_wh


def test_a_projection_is_applied(picture: np.ndarray) -> None:
    plain = glass_dift(reading=Oriented(grid=2))
    raw = plain.raw_descriptors(picture, keypoints := plain.detector.detect(picture), "a")
    fitted = Projection.fit(raw[:-1], raw[1:], dim=5)
    projected = Dift(Glass(), Sift(max_keypoints=50), plain.config, fitted)
    np.testing.assert_allclose(
        projected.describe(picture, keypoints, "a"), fitted.apply(raw), atol=1e-6
    )
    assert projected.recipe()["dift"]["projection"] == fitted.fingerprint
    assert projected.with_config(reading=Oriented(grid=1)).projection is None


def test_rows_of_another_describer_stand_beside_and_go_through_the_projection(
    picture: np.ndarray,
) -> None:
    sift = RootSift()
    keypoints = Sift(max_keypoints=12).detect(picture)
    alone = glass_dift(reading=Oriented(grid=2))
    both = alone.beside_of(sift, None)
    raw = both.raw_descriptors(picture, keypoints, "a")
    expected = [alone.raw_descriptors(picture, keypoints, "a"), sift.describe(picture, keypoints)]
    np.testing.assert_array_equal(raw, np.concatenate(expected, 1))
    assert both.recipe() != alone.recipe()
    fitted = Projection.fit(raw, raw + np.random.default_rng(0).normal(0, 0.1, raw.shape), dim=5)
    np.testing.assert_allclose(
        alone.beside_of(sift, fitted).describe(picture, keypoints, "a"),
        fitted.apply(raw),
        atol=1e-6,
    )
    assert both.with_config(reading=Oriented(grid=1)).beside is sift


def test_the_recipe_holds_what_determines_descriptors() -> None:
    base = glass_dift().recipe()
    assert glass_dift(max_batch=3).recipe() == base
    for change in (
        {"t": 5},
        {"layers": (0, 2)},
        {"reading": Oriented(extents=(6.0,))},
        {"reading": Oriented(tilt=2.0)},
        {"noise": Noise()},
        {"noise": Noise(seed=4)},
        {"reading": Dense(network_wh=(64, 64))},
    ):
        assert glass_dift(**change).recipe() != base


def test_a_dift_without_a_detector_describes_and_says_why_it_cannot_extract(
    picture: np.ndarray,
) -> None:
    alone = Dift(Glass())
    keypoints = Sift(max_keypoints=4).detect(picture)
    with_detector = glass_dift(max_batch=8)
    np.testing.assert_array_equal(
        alone.describe(picture, keypoints, "a"), with_detector.describe(picture, keypoints, "a")
    )
    with pytest.raises(InputError, match=r"no detector, expected one such as Dift\(backend, Sift"):
        alone.extract(picture)


def test_an_image_without_a_name_is_called_by_the_pixels_that_are_described(texture) -> None:
    """At any size: a picture given small already has the noise of the same one made small here."""
    large = texture((200, 160))
    small = resize_longest(large, 100)
    noisy = glass_dift(noise=Noise(), t=900)
    rows = [
        Dift(Glass(), noisy.detector, noisy.config, size=100).extract(image).descriptors
        for image in (large, small)
    ]
    np.testing.assert_array_equal(*rows)


def test_the_settings_and_the_projection_are_the_backends(tmp_path: Path) -> None:
    """Asked for by reading, and by the name of what stands beside."""
    asked: list[tuple[str, str | None]] = []

    class Own(Glass):
        def settings(self, reading: ReadingName | None, mode: Mode) -> DiftConfig:
            return DiftConfig(reading=reading_named(reading or "oriented"), layers=(7,))

        def projection(self, reading: ReadingName, beside: str | None) -> Path | None:
            asked.append((reading, beside))
            return tmp_path / "own.safetensors" if beside is None else None

    Dift(Own(), projection=None)
    assert asked == []
    fitted = Projection.fit(*np.random.default_rng(0).normal(size=(2, 20, 3)), dim=2)
    fitted.save(tmp_path / "own.safetensors")
    dift = Dift(Own())
    assert dift.config == DiftConfig(reading=Oriented(), layers=(7,))
    assert dift.projection is not None
    assert dift.projection.fingerprint == fitted.fingerprint
    assert Dift(Own(), config=DiftConfig(), beside=RootSift()).projection is None
    assert asked == [("oriented", None), ("dense", "rootsift")]


def test_its_name_and_weight() -> None:
    raw = glass_dift()
    assert (raw.name, raw.weight) == ("dift", 1.0)
    random = np.random.default_rng(0)
    fitted = Projection.fit(*random.normal(size=(2, 20, 3)), dim=3, constant=2.0)
    assert Dift(Glass(), projection=fitted).weight == 5.0
