"""Points carried by maps of features, against maps that are resized with all their channels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dift_geo.errors import InputError
from dift_geo.matching.transfer import SoftArgmax, best_pixels, cosine_maps


def made(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def resized_cosines(rows, values, size_wh):
    """As DIFT's eval_spair.py: every channel resized, every pixel normalised."""
    big = F.interpolate(values[None], size_wh[::-1], mode="bilinear", align_corners=False)[0]
    return torch.einsum("kc,chw->khw", F.normalize(rows), F.normalize(big, dim=0))


@pytest.mark.parametrize(
    ("grid", "size_wh"), [((5, 7), (64, 41)), ((1, 1), (9, 6)), ((6, 4), (4, 6)), ((9, 8), (5, 4))]
)
def test_cosines_are_those_of_a_resized_map(grid, size_wh):
    values, rows = made((6, *grid)), made((3, 6), 1)
    expected = resized_cosines(rows, values, size_wh)
    assert torch.allclose(cosine_maps(rows, values, size_wh), expected, atol=1e-5)


def test_best_pixels_are_those_of_a_resized_map(monkeypatch):
    monkeypatch.setattr("dift_geo.matching.transfer.AT_ONCE", 2 * 50 * 40)  # rows in blocks
    values, rows = made((8, 6, 5)), made((5, 8), 1)
    flat = resized_cosines(rows, values, (50, 40)).flatten(1)
    found = best_pixels(rows, values, (50, 40))
    places = (found[:, 1] * 50 + found[:, 0]).long()
    assert torch.allclose(flat.gather(1, places[:, None])[:, 0], flat.max(1).values, atol=1e-6)
    assert best_pixels(rows[:0], values, (50, 40)).shape == (0, 2)


def test_a_cell_finds_itself():
    values = made((16, 6, 8))
    rows = values[:, 2, 5][None]
    # twice as many pixels as cells: cell 5 is pixels 10 and 11
    x, y = best_pixels(rows, values, (24, 18))[0].tolist()
    assert (x, y) == (16, 7)  # three pixels a cell, its centre is one of them


def test_soft_argmax_is_the_weighted_mean_of_a_window():
    values, rows = made((4, 5, 6)), made((1, 4), 1)
    size_wh, soft = (30, 20), SoftArgmax(cells=1.0, temperature=0.1)
    cosines = resized_cosines(rows, values, size_wh)[0]
    best = int(cosines.argmax())
    by, bx = divmod(best, 30)
    total = sx = sy = 0.0
    for y in range(max(0, by - 4), min(20, by + 5)):
        for x in range(max(0, bx - 5), min(30, bx + 6)):
            weight = float(torch.exp(cosines[y, x] / 0.1))
            total, sx, sy = total + weight, sx + weight * x, sy + weight * y
    found = best_pixels(rows, values, size_wh, soft)[0]
    assert found.tolist() == pytest.approx([sx / total, sy / total], abs=1e-3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"\(2, 3\) and \(4, 5, 6\)"):
        best_pixels(made((2, 3)), made((4, 5, 6)), (10, 10))
    with pytest.raises(InputError, match="above 0"):
        SoftArgmax(cells=0)
