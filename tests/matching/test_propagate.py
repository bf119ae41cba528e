"""Labels carried tile by tile, against the released script's own steps on all cells at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dift_geo.errors import InputError
from dift_geo.matching.propagate import DINO, WALK, as_context, propagate


def released(target, contexts, labels, temperature, top_k, radius):
    """`label_propagation` of DIFT's eval_davis.py, with its mask of neighbours."""
    c, h, w = target.shape
    tar = F.normalize(target.reshape(c, -1).T, dim=1)
    src = F.normalize(torch.stack([each.reshape(c, -1) for each in contexts]), dim=1)
    aff = torch.exp(tar[None] @ src / temperature)
    if radius > 0:
        y, x = torch.arange(h * w) // w, torch.arange(h * w) % w
        near = ((y[:, None] - y).abs() <= radius) & ((x[:, None] - x).abs() <= radius)
        aff = aff * near
    aff = aff.transpose(2, 1).reshape(-1, h * w)
    least = aff.topk(top_k, dim=0).values.min(dim=0).values
    aff[aff < least] = 0
    aff = aff / aff.sum(0, keepdim=True)
    segs = torch.stack(labels)
    segs = segs.reshape(len(labels), segs.shape[1], -1).transpose(2, 1).reshape(-1, segs.shape[1]).T
    return (segs @ aff).reshape(-1, h, w)


def walked(target, contexts, labels, temperature, top_k, radius):
    """As videowalk's test.py: the first frame is seen whole, the others by a disk, the best alone
    count.
    """
    c, h, w = target.shape
    tar = F.normalize(target.reshape(c, -1), dim=0)
    y, x = torch.arange(h * w) // w, torch.arange(h * w) % w
    away = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2).float().sqrt()
    parts = []
    for number, each in enumerate(contexts):
        cosines = F.normalize(each.reshape(c, -1), dim=0).T @ tar  # (context, target)
        parts.append(cosines if number == 0 else cosines.masked_fill(away >= radius, -1e10))
    weights, ids = (torch.cat(parts) / temperature).topk(top_k, dim=0)
    flat = torch.cat([each.flatten(1) for each in labels], 1)
    return (flat[:, ids] * weights.softmax(0)[None]).sum(1).reshape(-1, h, w)


def made(h, w, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn((6, h, w), generator=generator) for _ in range(count + 1)]
    labels = [torch.rand((3, h, w), generator=generator) for _ in range(count)]
    return maps[0], maps[1:], [each / each.sum(0) for each in labels]


@pytest.mark.parametrize(
    ("h", "w", "count", "top_k", "radius"),
    [(20, 35, 3, 5, 4), (16, 17, 1, 15, 1), (9, 7, 2, 4, 0), (3, 40, 2, 1, 50)],
)
def test_equals_the_released_script(h, w, count, top_k, radius):
    target, contexts, labels = made(h, w, count)
    settings = {"temperature": 0.2, "top_k": top_k, "radius": radius}
    found = propagate(as_context(target), [*map(as_context, contexts)], labels, **settings)
    assert torch.allclose(found, released(target, contexts, labels, **settings), atol=1e-5)


@pytest.mark.parametrize(
    ("h", "w", "count", "radius"), [(20, 35, 3, 5), (9, 7, 1, 3), (9, 7, 4, 1)]
)
def test_equals_the_program_for_joints(h, w, count, radius):
    target, contexts, labels = made(h, w, count)
    settings = {"temperature": 0.05, "top_k": 10, "radius": radius}
    maps = [*map(as_context, contexts)]
    found = propagate(as_context(target), maps, labels, **settings, neighbours=WALK)
    assert torch.allclose(found, walked(target, contexts, labels, **settings), atol=1e-5)


def test_cells_as_similar_as_the_last_one_count_too():
    """A picture of one colour: every cell within reach has the same similarity."""
    target, _, labels = made(12, 18, 2)
    flat = torch.zeros_like(target)
    flat[0] = 1  # whose cosines are exactly 1 on every machine
    settings = {"temperature": 0.1, "top_k": 3, "radius": 2}
    found = propagate(as_context(flat), [as_context(flat)] * 2, labels, **settings)
    assert torch.allclose(found, released(flat, [flat] * 2, labels, **settings), atol=1e-5)


def test_what_does_not_fit_is_refused():
    target, contexts, _ = made(4, 5, 1)
    with pytest.raises(InputError, match="labels for every map"):
        propagate(
            as_context(target), [as_context(contexts[0])], [], temperature=1, top_k=1, radius=1
        )


@pytest.mark.parametrize("neighbours", [DINO, WALK])
def test_a_low_temperature_is_the_most_similar_cell(neighbours):
    """exp(1 / 0.001) is more than a float holds."""
    target, contexts, labels = made(9, 7, 2)
    maps = [*map(as_context, contexts)]
    settings = {"radius": 0, "top_k": 5, "neighbours": neighbours}
    cold = propagate(as_context(target), maps, labels, temperature=0.001, **settings)
    one = propagate(as_context(target), maps, labels, temperature=1, **settings | {"top_k": 1})
    assert torch.isfinite(cold).all()
    assert (cold - one).abs().median() < 1e-3
    # ties: every cell has the same similarity
    same = [as_context(torch.ones(6, 9, 7))] * 2
    tied = propagate(same[0], same, labels, temperature=0.001, **settings | {"radius": 2})
    assert torch.isfinite(tied).all()
