"""The dense reading by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from glass import Glass, glass_dift, seen
from PIL import Image

from dift_geo.backends.config import Dense, DiftConfig, Resize
from dift_geo.dift.dense import network_image
from dift_geo.dift.describer import Dift
from dift_geo.dift.featuremap import FeatureMap
from dift_geo.errors import InputError
from dift_geo.types import Keypoints


@pytest.mark.parametrize("size_wh", [(96, 80), (101, 67)])
def test_dense_reading_by_hand(texture, size_wh: tuple[int, int]) -> None:
    image = texture(size_wh)
    keypoints = Keypoints(np.array([[10.0, 20.0], [50.5, 33.25], [0, 0]]), np.ones(3), size_wh)
    raw = glass_dift(layers=(0, 2)).raw_descriptors(image, keypoints, "a")
    w, h = (round(side / 8) * 8 for side in size_wh)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    x0 = F.avg_pool2d(F.interpolate(tensor, (h, w), mode="bilinear", antialias=True), 4)
    parts = [
        FeatureMap(x0[0] + layer, size_wh).sample(torch.from_numpy(keypoints.xy)).numpy()
        for layer in (0, 2)
    ]
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    np.testing.assert_allclose(raw, np.concatenate(parts, 1), atol=1e-5)
    unit = glass_dift(layers=(0, 2)).describe(image, keypoints, "a")
    np.testing.assert_allclose(unit, raw / np.sqrt(2), atol=1e-5)


def test_dense_reading_at_an_exact_network_size(picture: np.ndarray) -> None:
    extractor = glass_dift(reading=Dense(network_wh=(64, 128)))
    extractor.extract(picture, "a")
    assert seen(extractor)[0].shape == (1, 3, 32, 16)


@pytest.mark.parametrize("resize", ["bilinear", "pillow"])
@pytest.mark.parametrize(
    ("size_wh", "shown_wh"), [((130, 100), (128, 128)), ((1000, 10), (1024, 64))]
)
def test_any_image_size_keeps_its_aspect(
    texture, resize: Resize, size_wh: tuple[int, int], shown_wh: tuple[int, int]
) -> None:
    shown = network_image(texture(size_wh), Dense(resize=resize), 64)
    assert shown.shape == (1, 3, *shown_wh[::-1])
    assert 0 <= shown.min() < shown.max() <= 1


def test_pillow_rounds_to_8_bits_as_the_published_script(texture) -> None:
    image = texture((130, 100))
    shown = network_image(image, Dense(network_wh=(64, 128), resize="pillow"), 64)
    expected = np.asarray(Image.fromarray(image).resize((64, 128)))
    np.testing.assert_array_equal((shown[0].permute(1, 2, 0) * 255).round().byte(), expected)


def test_a_size_that_the_network_cannot_take_is_refused_before_any_work() -> None:
    reading = Dense(network_wh=(100, 128))
    with pytest.raises(InputError, match="side 100, expected multiples of 64"):
        network_image(np.zeros((10, 10, 3), np.uint8), reading, 64)
    with pytest.raises(InputError, match="side 100, expected multiples of 8"):
        Dift(Glass(), config=DiftConfig(reading=reading))
    assert Glass().seen == []


def test_the_published_grid_is_read_where_that_script_reads(texture) -> None:
    """In the middle as any, up to half an image pixel off elsewhere."""
    image = texture((96, 80))
    middle, elsewhere = np.array([[47.5, 39.5]]), np.array([[20.0, 15.0]])
    for xy, same in ((middle, True), (elsewhere, False)):
        keypoints = Keypoints(xy, np.ones(1), (96, 80))
        ours, published = (
            glass_dift(reading=Dense(published_grid=flag)).raw_descriptors(image, keypoints, "a")
            for flag in (False, True)
        )
        assert np.allclose(ours, published, atol=1e-5) == same
