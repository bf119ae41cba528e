"""Carry labels from earlier frames of a video to the next one by maps of features, as DIFT's
released script does, which has it from DINO's, or as videowalk does.

Each cell of the next frame takes the mean of the labels of its most similar cells among all frames
looked at, none of them farther away than a few cells. The released scripts hold the similarities of
all cells to all cells; here the frame is cut into tiles, and a tile sees the windows around it.
Knows tensors, and neither models nor files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dift_geo.errors import InputError

__all__ = ["DINO", "WALK", "Neighbours", "as_context", "propagate"]

TILE = 8  # cells per side


@dataclass(frozen=True)
class Neighbours:
    """Which cells count, where released programs differ.

    round: those less than `radius` cells away as the bird flies, rather than those that are at most
        so many rows and columns away.
    first_whole: the first frame is looked at everywhere.
    ties: cells as similar as the last of the `top_k` count too, rather than any of them.
    """

    round: bool = False
    first_whole: bool = False
    ties: bool = True


DINO = Neighbours()
WALK = Neighbours(round=True, first_whole=True, ties=False)


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
    neighbours: Neighbours = DINO,
) -> Tensor:
    """(K, h, w) labels of a frame.

    target: (h, w, C) of the frame, as `as_context` gives it.
    contexts: the same of the frames looked at, the first frame of the video first.
    labels: (K, h, w) of each of those.
    temperature: weights are exp(cosine / temperature).
    top_k: cells that count, of all frames together.
    radius: cells that a cell may be away; 0 looks everywhere.
    neighbours: what these two mean exactly.
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
    wholes = 1 if neighbours.first_whole else 0
    whole = [each.flatten(0, 1) for each in contexts[:wholes]]
    result = torch.empty_like(labels[0])
    for left in range(0, w, TILE):
        columns, beside = _span(left, w, reach)
        # contiguous, so that the rows around a tile are, too
        strips = [each[:, beside].contiguous() for each in contexts[wholes:]]
        for top in range(0, h, TILE):
            rows, around = _span(top, h, reach)
            near = _near((rows, columns), (around, beside), radius, neighbours.round)
            cells = target[rows, columns]
            seen = [each[around].flatten(0, 1) for each in strips]
            cosines = _cosines(cells.flatten(0, 1), whole, seen, near)
            marks = [each.flatten(1) for each in labels[:wholes]]
            marks += [each[:, around, beside].flatten(1) for each in labels[wholes:]]
            mean = _weighted(cosines, torch.cat(marks, 1), temperature, top_k, neighbours.ties)
            result[:, rows, columns] = mean.reshape(-1, *cells.shape[:2])
    return result


def _span(first: int, length: int, reach: int) -> tuple[slice, slice]:
    """A tile's cells along an axis, and the cells that it sees."""
    last = min(first + TILE, length)
    return slice(first, last), slice(max(0, first - reach), min(length, last + reach))


def _near(
    own: tuple[slice, slice], seen: tuple[slice, slice], radius: int, as_disk: bool
) -> Tensor | None:
    """(cells of the tile, cells seen): whether one is within reach of the other; None where all
    are.
    """
    if not radius:
        return None

    def along(here: slice, there: slice) -> Tensor:
        a, b = torch.arange(here.start, here.stop), torch.arange(there.start, there.stop)
        return (a[:, None] - b[None]).abs()

    y, x = along(own[0], seen[0])[:, None, :, None], along(own[1], seen[1])[None, :, None, :]
    both = y**2 + x**2 < radius**2 if as_disk else (y <= radius) & (x <= radius)
    return both.flatten(2).flatten(0, 1)


def _cosines(
    cells: Tensor, whole: Sequence[Tensor], seen: Sequence[Tensor], near: Tensor | None
) -> Tensor:
    """(cells, all cells of whole frames and of windows); minus infinity out of reach."""
    ends = [0]
    for each in (*whole, *seen):
        ends.append(ends[-1] + len(each))
    found = cells.new_empty((len(cells), ends[-1]))
    far = None if near is None else ~near.to(cells.device)
    for number, (each, start, end) in enumerate(zip((*whole, *seen), ends, ends[1:])):
        torch.matmul(cells, each.T, out=found[:, start:end])
        if far is not None and number >= len(whole):
            found[:, start:end].masked_fill_(far, -torch.inf)
    return found


def _weighted(
    cosines: Tensor, marks: Tensor, temperature: float, top_k: int, with_ties: bool
) -> Tensor:
    """(K, cells): the mean of the labels of the most similar cells."""
    best, where = cosines.topk(min(top_k, cosines.shape[1]), dim=1)
    weights = (best / temperature).exp()
    total = weights.sum(1)
    mean = (marks[:, where] * weights).sum(2) / total
    if not with_ties:
        return mean
    least = best[:, -1:]
    ties = (cosines >= least).sum(1) > best.shape[1]
    ties &= torch.isfinite(least[:, 0])
    if ties.any():  # cells as similar as the last one count too
        tied = cosines[ties]
        shares = (tied / temperature).exp() * (tied >= least[ties])
        mean[:, ties] = marks @ (shares / shares.sum(1, keepdim=True)).T
    return mean
