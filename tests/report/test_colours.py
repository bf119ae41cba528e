"""Features as colours, against features whose components are known."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.errors import InputError
from dift_geo.report.colours import pca_colours


def test_components_in_the_order_of_their_extent_become_red_green_and_blue() -> None:
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.standard_normal((8, 8)))[0][:3]  # orthonormal
    amounts = random.uniform(-1, 1, (20 * 30, 3)) * (9, 3, 1)
    features = (amounts @ axes + 5).T.reshape(8, 20, 30)
    (colours,) = pca_colours([features])
    assert colours.shape == (20, 30, 3)
    assert colours.dtype == np.uint8
    for channel in range(3):
        found = colours[..., channel].ravel().astype(float)
        assert abs(np.corrcoef(found, amounts[:, channel])[0, 1]) > 0.98
        assert found.min() == 0
        assert found.max() == 255


def test_one_colour_is_one_feature_in_all_maps() -> None:
    random = np.random.default_rng(1)
    small, large = random.standard_normal((5, 4, 6)), random.standard_normal((5, 7, 3))
    large[:, 6, 2] = small[:, 0, 0]
    first, second = pca_colours([small, large])
    assert (first.shape, second.shape) == ((4, 6, 3), (7, 3, 3))
    assert first[0, 0].tolist() == second[6, 2].tolist()


def test_what_does_not_change_is_grey() -> None:
    line = np.zeros((2, 3, 4))
    line[0] = np.arange(12).reshape(3, 4)
    (colours,) = pca_colours([line])
    assert len(np.unique(colours[..., 0])) > 5
    assert np.unique(colours[..., 1:]).tolist() == [128]
    assert np.unique(pca_colours([np.ones((4, 2, 2))])[0]).tolist() == [128]


def test_maps_of_different_models_are_refused() -> None:
    for maps in ([], [np.zeros((2, 3))], [np.zeros((2, 3, 3)), np.zeros((3, 3, 3))]):
        with pytest.raises(InputError, match="expected one or more"):
            pca_colours(maps)
