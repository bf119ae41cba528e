"""Photos of which there is no model: a camera that only turned, a wall, a common watermark."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from conftest import textured
from scipy.spatial.transform import Rotation

from dift_geo.errors import NoModelError
from dift_geo.extractor import ExtractorOptions
from dift_geo.images import write_image
from dift_geo.sfm import reconstruct

VIEWS, SIZE_WH, FOCAL = 5, (400, 300), 380.0
K = np.array([[FOCAL, 0, SIZE_WH[0] / 2], [0, FOCAL, SIZE_WH[1] / 2], [0, 0, 1]])
NOISE = 3  # grey levels, as photos have it


def turned() -> Iterator[np.ndarray]:
    """One place, other directions: a wide picture far away."""
    wide = textured((1200, 900), seed=1)
    centre = np.array([[1, 0, -600], [0, 1, -450], [0, 0, FOCAL]], float)
    for i in range(VIEWS):
        turn = Rotation.from_euler("yx", [6 * i - 15, 3 * (i % 3) - 3], degrees=True).as_matrix()
        yield cv2.warpPerspective(wide, K @ turn @ centre / FOCAL, SIZE_WH)


def wall() -> Iterator[np.ndarray]:
    """A flat picture by a camera that slides along it: any focal length explains that."""
    flat = textured((1200, 900), seed=2)
    for i in range(VIEWS):
        corner = np.array([60.0 * i, 25.0 * (i % 3)])
        shift = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1]])
        yield cv2.warpPerspective(flat, shift, SIZE_WH)


def watermarked() -> Iterator[np.ndarray]:
    """Unrelated pictures with one mark at the edge."""
    mark = textured((200, 56), seed=99)
    for i in range(VIEWS):
        picture = textured(SIZE_WH, seed=10 + i)
        picture[-60:-4, 100:300] = mark
        yield picture


@pytest.mark.parametrize("pictures", [turned, wall, watermarked], ids=lambda made: made.__name__)
def test_there_is_no_model(pictures, tmp_path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i, picture in enumerate(pictures()):
        noisy = picture + random.normal(0, NOISE, picture.shape)
        write_image(tmp_path / f"images/{i}.png", np.clip(noisy, 0, 255).astype(np.uint8))
    extractor = ExtractorOptions(descriptor="rootsift", max_keypoints=800, contrast=0.02).build()
    with pytest.raises(NoModelError, match="COLMAP found no model: 5 images, "):
        reconstruct(tmp_path / "images", tmp_path / "out", extractor)
    assert not (tmp_path / "out" / "sparse").exists()
