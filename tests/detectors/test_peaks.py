"""Maxima of score maps whose peaks are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dift_geo.detectors.peaks import (
    centre_of_mass,
    clear_border,
    is_plain,
    keypoints_of,
    largest_around,
    lone_maxima,
    parabola_tops,
    paraboloid_tops,
    patches_at,
)


def hill(top_xy: tuple[float, float], size_wh: tuple[int, int] = (30, 20)) -> torch.Tensor:
    """A parabola of two dimensions."""
    y, x = torch.meshgrid(torch.arange(size_wh[1]), torch.arange(size_wh[0]), indexing="ij")
    return 10 - (x - top_xy[0]) ** 2 - (y - top_xy[1]) ** 2 / 2


@pytest.mark.parametrize("top_xy", [(10.0, 8.0), (10.3, 7.6), (14.45, 12.45)])
def test_the_top_of_a_parabola_is_exact(top_xy: tuple[float, float]) -> None:
    scores = hill(top_xy)
    pixels = lone_maxima(scores, 2)
    assert pixels.tolist() == [[round(top_xy[0]), round(top_xy[1])]]
    xy = pixels + parabola_tops(patches_at(scores, pixels, 1))
    np.testing.assert_allclose(xy[0].numpy(), top_xy, atol=1e-4)


def test_mass_moves_towards_the_top() -> None:
    scores, middle = hill((10.3, 7.6)), torch.tensor([[10, 8]])
    (x, y), *_ = centre_of_mass(patches_at(scores, middle, 2), 1.0).tolist()
    assert 0.1 < x < 0.5
    assert -0.5 < y < -0.1
    hot = centre_of_mass(patches_at(scores, middle, 2), 1e-3)
    assert hot.abs().max() < 1e-6  # the colder, the more the largest counts alone


def test_equal_neighbours_and_flat_regions_are_no_maxima() -> None:
    scores = torch.zeros(20, 30)
    assert not len(lone_maxima(scores, 2))
    scores[10, 10] = scores[10, 12] = 1
    assert not len(lone_maxima(scores, 2))
    scores[10, 12] = 0.5
    assert lone_maxima(scores, 2).tolist() == [[10, 10]]


@pytest.mark.parametrize("radius", range(1, 9))
def test_largest_around_is_max_pooling(radius: int) -> None:
    scores = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    pooled = F.max_pool2d(scores[None, None], 2 * radius + 1, 1, radius)[0, 0]
    assert torch.equal(largest_around(scores, radius), pooled)


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 50), (4, 4), (5, 6)])
def test_border_of_small_maps(size_hw: tuple[int, int]) -> None:
    inside = clear_border(torch.ones(size_hw, dtype=torch.bool), 2)
    assert inside.sum() == max(size_hw[0] - 4, 0) * max(size_hw[1] - 4, 0)


def test_strongest_first_and_ties_by_place() -> None:
    xy = torch.tensor([(5.0, 1.0), (2.0, 3.0), (9.0, 0.0), (1.0, 1.0)])
    keypoints = keypoints_of(xy, torch.tensor([0.5, 0.9, 0.5, 0.5]), (10, 10), 3)
    assert keypoints.xy.tolist() == [[2, 3], [9, 0], [1, 1]]
    assert keypoints.scores.tolist() == pytest.approx([0.9, 0.5, 0.5])
    assert keypoints.scale is None
    assert keypoints.angle is None


def test_plain_images() -> None:
    image = np.full((4, 5, 3), (10, 20, 30), np.uint8)
    assert is_plain(image)
    image[2, 2, 1] += 1
    assert not is_plain(image)


def test_paraboloids_have_their_tops_where_they_were_made() -> None:
    """Exact for paraboloids, turned and squeezed ones too; what has no top stays where it is."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-2:3, -2:3]
    tops = random.uniform(-1.5, 1.5, (20, 2))
    patches = []
    for top in tops:
        root = random.normal(size=(2, 2))
        bend = root @ root.T + 0.2 * np.eye(2)
        away = np.stack([x - top[0], y - top[1]], -1)
        patches.append(3 - np.einsum("hwi,ij,hwj->hw", away, bend, away))
    found = paraboloid_tops(torch.from_numpy(np.stack(patches)))
    np.testing.assert_allclose(found.numpy(), tops, atol=1e-8)
    valley, saddle, slope = x**2 + y**2, x**2 - y**2, x + 0.0
    none = paraboloid_tops(torch.from_numpy(np.stack([valley, saddle, slope]).astype(float)))
    np.testing.assert_array_equal(none.numpy(), 0)
    assert paraboloid_tops(torch.zeros(0, 5, 5)).shape == (0, 2)
