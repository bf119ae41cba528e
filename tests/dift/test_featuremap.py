"""The one reading of feature maps: exact on a ramp, in the half-pixel convention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dift_geo.dift.featuremap import FeatureMap


def ramp(h: int, w: int, size_wh: tuple[int, int]) -> torch.Tensor:
    """A map that holds at each cell the pixel (x, y) of the image at the cell's centre."""
    x = (torch.arange(w, dtype=torch.float64) + 0.5) * size_wh[0] / w - 0.5
    y = (torch.arange(h, dtype=torch.float64) + 0.5) * size_wh[1] / h - 0.5
    return torch.stack([x.expand(h, w), y[:, None].expand(h, w)])


@settings(deadline=None)
@given(
    st.integers(2, 60),
    st.integers(2, 60),
    st.integers(60, 900),
    st.integers(60, 900),
    st.integers(0, 9),
)
def test_exact_on_a_ramp(h: int, w: int, width: int, height: int, seed: int) -> None:
    values = ramp(h, w, (width, height))
    inside = torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    xy = values[:, 0, 0] + inside * (values[:, -1, -1] - values[:, 0, 0])
    np.testing.assert_allclose(
        FeatureMap(values, (width, height)).sample(xy), xy, atol=1e-8 * max(width, height)
    )


def test_cell_centres_give_the_cells_themselves() -> None:
    values = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    xy = ramp(3, 4, (64, 48)).flatten(1).T.float()  # stride 16: the first centre is pixel 7.5
    assert xy[0].tolist() == [7.5, 7.5]
    torch.testing.assert_close(FeatureMap(values, (64, 48)).sample(xy), values.flatten(1).T)


def test_a_map_of_the_image_size_is_read_at_pixels() -> None:
    values = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    sampled = FeatureMap(values, (7, 5)).sample(torch.tensor([[0.0, 0.0], [6.0, 4.0], [2.0, 3.0]]))
    torch.testing.assert_close(
        sampled, torch.stack([values[:, 0, 0], values[:, 4, 6], values[:, 3, 2]])
    )


def test_beyond_the_border_it_repeats() -> None:
    values = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    sampled = FeatureMap(values, (70, 50)).sample(
        torch.tensor([[-100.0, -100.0], [0.0, 0.0], [1e6, 1e6]])
    )
    torch.testing.assert_close(
        sampled, torch.stack([values[:, 0, 0], values[:, 0, 0], values[:, -1, -1]])
    )


@pytest.mark.parametrize("n", [0, 1, 3])
def test_empty_one_many(n: int) -> None:
    assert FeatureMap(torch.zeros(8, 2, 2), (20, 10)).sample(torch.zeros(n, 2)).shape == (n, 8)


def test_errors() -> None:
    with pytest.raises(
        ValueError, match=r"FeatureMap.values has shape \(1, 2, 3, 4\), expected \(C, h, w\)"
    ):
        FeatureMap(torch.zeros(1, 2, 3, 4), (4, 4))
    with pytest.raises(ValueError, match=r"xy has shape \(3,\), expected \(N, 2\)"):
        FeatureMap(torch.zeros(1, 2, 3), (4, 4)).sample(torch.zeros(3))
