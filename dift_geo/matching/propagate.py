"""Carry labels from earlier frames of a video to the next one by maps of features, as DIFT's
released script does, which has it from DINO's.

Each cell of the next frame takes the mean of the labels of its most similar cells among all frames
looked at, none of them farther away than a few cells. The released script holds the similarities of
all cells to all cells; here the frame is cut into tiles, and a tile sees the windows around it.
Knows tensors, and neither models nor files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dift_geo.errors import InputError

__all__ = ["as_context", "propagate"]

TILE = 16  # cells per side


def as_context(values: Tensor) -> Tensor:
    """A (C, h, w) map as `propagate` takes it: (h, w, C), every cell of unit length."""
    return F.normalize(values.float().permute(1, 2, 0), dim=2).contiguous()


def propagate(
    target: Tensor,
    contexts: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    temperature: float,
    top_k: int,
    radius: int,
) -> Tensor:
    """(K, h, w) labels of a frame.

    target: (h, w, C) of the frame, as `as_context` gives it.
    contexts: the same of the frames looked at.
    labels: (K, h, w) of each of those, summing to 1 over K.
    temperature: weights are exp(cosine / temperature).
    top_k: cells that count, of all frames together; cells as similar as the last of them do too.
    radius: rows and columns that a cell may be away; 0 looks everywhere.
    Raises InputError where shapes differ.
    """
    shapes = {tuple(each.shape) for each in (target, *contexts)}
    grids = {tuple(each.shape) for each in labels}
    if len(shapes) != 1 or len(grids) != 1 or len(contexts) != len(labels):
        raise InputError(
            f"maps have shapes {sorted(shapes)} and labels {sorted(grids)}, expected one of each "
            "and labels for every map looked at"
        )
    h, w, _ = target.shape
    reach = radius or max(h, w)
    result = torch.empty_like(labels[0])
    for top in range(0, h, TILE):
        for left in range(0, w, TILE):
            rows, columns = slice(top, top + TILE), slice(left, left + TILE)
            seen = (
                slice(max(0, top - reach), min(h, top + TILE + reach)),
                slice(max(0, left - reach), min(w, left + TILE + reach)),
            )
            near = _near(rows, columns, seen, (h, w), reach)
            cells = target[rows, columns]
            cosines = _cosines(cells, [each[seen] for each in contexts], near)
            marks = torch.cat([each[:, seen[0], seen[1]].flatten(1) for each in labels], 1)
            mean = _weighted(cosines, marks, temperature, top_k)
            result[:, rows, columns] = mean.reshape(-1, *cells.shape[:2])
    return result


def _near(
    rows: slice, columns: slice, seen: tuple[slice, slice], size: tuple[int, int], reach: int
) -> Tensor:
    """(cells of the tile, cells seen): whether one is within reach of the other."""

    def along(own: slice, other: slice, length: int) -> Tensor:
        here = torch.arange(own.start, min(own.stop, length))
        there = torch.arange(other.start, other.stop)
        return (here[:, None] - there[None]).abs() <= reach

    y, x = along(rows, seen[0], size[0]), along(columns, seen[1], size[1])
    both = y[:, None, :, None] & x[None, :, None, :]
    return both.reshape(y.shape[0] * x.shape[0], y.shape[1] * x.shape[1])


def _cosines(cells: Tensor, contexts: Sequence[Tensor], near: Tensor) -> Tensor:
    """(cells, all cells seen in all frames); minus infinity out of reach."""
    flat = cells.flatten(0, 1)
    found = flat.new_empty((len(flat), len(contexts), near.shape[1]))
    for number, context in enumerate(contexts):
        torch.matmul(flat, context.flatten(0, 1).T, out=found[:, number])
    far = ~near.to(flat.device)
    return found.masked_fill_(far[:, None], -torch.inf).flatten(1)


def _weighted(cosines: Tensor, marks: Tensor, temperature: float, top_k: int) -> Tensor:
    """(K, cells): the mean of the labels of the most similar cells."""
    best, where = cosines.topk(min(top_k, cosines.shape[1]), dim=1)
    weights = (best / temperature).exp()
    total = weights.sum(1)
    mean = (marks[:, where] * weights).sum(2) / total
    least = best[:, -1:]
    ties = (cosines >= least).sum(1) > best.shape[1]
    ties &= torch.isfinite(least[:, 0])
    if ties.any():  # cells as similar as the last one count too
        tied = cosines[ties]
        shares = (tied / temperature).exp() * (tied >= least[ties])
        mean[:, ties] = marks @ (shares / shares.sum(1, keepdim=True)).T
    return mean
