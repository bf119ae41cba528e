"""Reading between pixels, against `grid_sample` in pixels and against what one can work out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from dift_geo.detectors.bilinear import PixelRows, four_around


def places(count: int, width: int, height: int) -> torch.Tensor:
    """Places inside, at the edges, outside and far outside."""
    generator = torch.Generator().manual_seed(0)
    near = torch.rand(count, 2, generator=generator) * torch.tensor([width + 4.0, height + 4.0]) - 2
    edges = torch.tensor([(0.0, 0.0), (width - 1.0, height - 1.0), (-1.0, 0.0), (1e20, -1e20)])
    return torch.cat((near, edges))


def test_reads_as_grid_sample_with_zeros_outside() -> None:
    values = torch.randn(1, 5, 7, 9, generator=torch.Generator().manual_seed(1))
    xy = places(200, 9, 7)
    grid = 2 * xy / torch.tensor([8.0, 6.0]) - 1
    expected = F.grid_sample(values, grid[None, None], align_corners=True)[0, :, 0].T
    for layout in (torch.contiguous_format, torch.channels_last):
        rows = PixelRows.of(values.to(memory_format=layout))
        torch.testing.assert_close(rows.at(xy), expected, atol=1e-5, rtol=0)


def test_a_whole_pixel_is_read_alone() -> None:
    values = torch.arange(12.0).view(1, 1, 3, 4)
    xy = torch.tensor([(0.0, 0.0), (3.0, 0.0), (0.0, 2.0), (3.0, 2.0), (1.5, 1.0)])
    assert PixelRows.of(values).at(xy)[:, 0].tolist() == [0, 3, 8, 11, 5.5]


def test_a_map_of_one_pixel() -> None:
    one = PixelRows.of(torch.full((1, 2, 1, 1), 3.0))
    read = one.at(torch.tensor([(0.0, 0.0), (0.25, 0.0), (5.0, 0.0)]))
    assert read[:, 0].tolist() == [3, 2.25, 0]


def test_weights_of_inner_places_add_up_to_one() -> None:
    xy = torch.rand(50, 2, generator=torch.Generator().manual_seed(2)) * torch.tensor([8.0, 6.0])
    x, y, weights = four_around(xy, 9, 7)
    torch.testing.assert_close(weights.sum(1), torch.ones(50))
    torch.testing.assert_close((weights * x).sum(1), xy[:, 0])
    torch.testing.assert_close((weights * y).sum(1), xy[:, 1])
