"""The oriented reading by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch.nn.functional as F
from glass import glass_dift, seen

from dift_geo.backends.config import DiftConfig, Noise, Oriented
from dift_geo.detectors.sift import Sift
from dift_geo.dift.describer import Dift
from dift_geo.dift.patches import cut_patches


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_oriented_reading_by_hand(picture: np.ndarray, grid: int) -> None:
    keypoints = Sift(max_keypoints=5).detect(picture)
    raw = glass_dift(reading=Oriented(grid=grid)).raw_descriptors(picture, keypoints, "a")
    # + layer 2
    x0 = F.avg_pool2d(cut_patches(picture, keypoints, 32, 8.0).expand(-1, 3, -1, -1), 4)
    cells = (x0 + 2).numpy()
    if grid == 1:  # the centre of an even map lies between its four middle cells
        expected = cells[:, :, 3:5, 3:5].mean((2, 3))
    else:
        expected = cells.reshape(5, 3, grid, 8 // grid, grid, 8 // grid).mean((3, 5)).reshape(5, -1)
    np.testing.assert_allclose(
        raw, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5
    )


def test_features_are_averaged_over_extents_and_tilts(picture: np.ndarray) -> None:
    keypoints = Sift(max_keypoints=5).detect(picture)
    views = [(6.0, 1.5), (6.0, 1 / 1.5), (15.0, 1.5), (15.0, 1 / 1.5)]
    patches = [
        cut_patches(picture, keypoints, 32, extent, tilt).expand(-1, 3, -1, -1)
        for extent, tilt in views
    ]
    for layers in ((2,), (0, 2)):
        reading = Oriented(grid=4, extents=(6.0, 15.0), tilt=1.5)
        extractor = glass_dift(reading=reading, layers=layers)
        raw = extractor.raw_descriptors(picture, keypoints, "a")
        parts = []
        for layer in layers:  # the fake network pools by 4 and adds the layer's number
            cells = np.mean(
                [
                    F.avg_pool2d(F.avg_pool2d(patch, 4) + layer, 2).flatten(1).numpy()
                    for patch in patches
                ],
                0,
            )
            parts.append(cells / np.linalg.norm(cells, axis=1, keepdims=True))
        np.testing.assert_allclose(raw, np.concatenate(parts, 1), atol=1e-5)


def test_a_map_smaller_than_the_grid_keeps_its_own_cells(picture: np.ndarray) -> None:
    keypoints = Sift(max_keypoints=5).detect(picture)
    # the map has 8 x 8 cells
    coarse = glass_dift(reading=Oriented(grid=16)).raw_descriptors(picture, keypoints, "a")
    np.testing.assert_array_equal(
        coarse, glass_dift(reading=Oriented(grid=8)).raw_descriptors(picture, keypoints, "a")
    )


@pytest.mark.parametrize("noise", [None, Noise()])
def test_batches_do_not_change_results(picture: np.ndarray, tiny, noise: Noise | None) -> None:
    keypoints = Sift(max_keypoints=9).detect(picture)
    one, two = (
        Dift(
            tiny,
            Sift(),
            DiftConfig(reading=Oriented(), t=100, layers=(0, 1), noise=noise, max_batch=batch),
            None,
        )
        for batch in (100, 4)
    )
    np.testing.assert_allclose(
        one.describe(picture, keypoints, "a"), two.describe(picture, keypoints, "a"), atol=1e-4
    )


@pytest.mark.parametrize("grid", [1, 2, 16])
@pytest.mark.parametrize("layers", [(0,), (0, 2)])
def test_no_keypoints_give_no_rows_of_the_right_width(
    picture: np.ndarray, grid: int, layers: tuple[int, ...]
) -> None:
    """Stores hold images without keypoints beside others; only the network knows the width."""
    keypoints = Sift(max_keypoints=3).detect(picture)
    extractor = glass_dift(reading=Oriented(grid=grid, extents=(6.0, 9.0)), layers=layers)
    some = extractor.raw_descriptors(picture, keypoints, "a")
    seen(extractor).clear()
    none = extractor.raw_descriptors(picture, keypoints[:0], "a")
    assert none.shape == (0, some.shape[1])
    assert none.dtype == np.float32
    assert [len(shown) for shown in seen(extractor)] == [1]  # one patch tells the width
