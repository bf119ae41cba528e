"""Carry labels from earlier frames of a video to the next one by maps of features, as DIFT's
released script does, which has it from DINO's, or as videowalk does.

Each cell of the next frame takes the mean of the labels of its most similar cells among all frames
looked at, none of them farther away than a few cells. The released scripts hold the similarities of
all cells to all cells; here the frame is cut into tiles, and a tile sees the windows around it; a
column of tiles is worked out at a time.
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
    wholes = 1 if neighbours.first_whole else 0
    result = torch.empty_like(labels[0])
    for left in range(0, w, TILE):
        tiles = [_tile(top, left, (h, w), radius, neighbours.round) for top in range(0, h, TILE)]
        for tile, cosines in zip(tiles, _cosines(target, contexts, wholes, tiles)):
            marks = [each.flatten(1) for each in labels[:wholes]]
            marks += [each[:, tile.around, tile.beside].flatten(1) for each in labels[wholes:]]
            mean = _weighted(cosines, torch.cat(marks, 1), temperature, top_k, neighbours.ties)
            own = result[:, tile.rows, tile.columns]
            own.copy_(mean.reshape(own.shape))
    return result


@dataclass(frozen=True)
class _Tile:
    """Cells of a frame and those that they see of the others.

    rows, columns: its own.
    around, beside: rows and columns seen.
    far: (cells of the tile, cells seen), whether one is out of reach of the other; None where none
        is.
    """

    rows: slice
    columns: slice
    around: slice
    beside: slice
    far: Tensor | None


def _tile(top: int, left: int, size: tuple[int, int], radius: int, as_disk: bool) -> _Tile:
    (rows, around), (columns, beside) = (
        _span(first, length, radius or length) for first, length in zip((top, left), size)
    )
    if not radius:
        return _Tile(rows, columns, around, beside, None)
    y, x = _apart(rows, around)[:, None, :, None], _apart(columns, beside)[None, :, None, :]
    far = y**2 + x**2 >= radius**2 if as_disk else (y > radius) | (x > radius)
    return _Tile(rows, columns, around, beside, far.flatten(2).flatten(0, 1))


def _span(first: int, length: int, reach: int) -> tuple[slice, slice]:
    """A tile's cells along an axis, and the cells that it sees."""
    last = min(first + TILE, length)
    return slice(first, last), slice(max(0, first - reach), min(length, last + reach))


def _apart(own: slice, seen: slice) -> Tensor:
    here, there = torch.arange(own.start, own.stop), torch.arange(seen.start, seen.stop)
    return (here[:, None] - there[None]).abs()


def _cosines(
    target: Tensor, contexts: Sequence[Tensor], wholes: int, tiles: Sequence[_Tile]
) -> list[Tensor]:
    """(cells, all cells seen) of each tile of a column, minus infinity out of reach.

    wholes: how many of the contexts are seen whole, the first ones.
    """
    own = [target[tile.rows, tile.columns].flatten(0, 1) for tile in tiles]
    everywhere = target.shape[0] * target.shape[1]
    windows = [
        (tile.around.stop - tile.around.start) * (tile.beside.stop - tile.beside.start)
        for tile in tiles
    ]
    found = [
        cells.new_empty((len(cells), wholes * everywhere + (len(contexts) - wholes) * window))
        for cells, window in zip(own, windows)
    ]
    for number, context in enumerate(contexts[:wholes]):
        start = number * everywhere
        for cells, out in zip(own, found):
            torch.matmul(cells, context.flatten(0, 1).T, out=out[:, start : start + everywhere])
    for number, context in enumerate(contexts[wholes:]):
        # contiguous, so that the rows around a tile are, too
        strip = context[:, tiles[0].beside].contiguous()
        for tile, cells, window, out in zip(tiles, own, windows, found):
            start = wholes * everywhere + number * window
            part = out[:, start : start + window]
            torch.matmul(cells, strip[tile.around].flatten(0, 1).T, out=part)
            if tile.far is not None:
                part.masked_fill_(tile.far.to(part.device), -torch.inf)
    return found


def _weighted(
    cosines: Tensor, marks: Tensor, temperature: float, top_k: int, with_ties: bool
) -> Tensor:
    """(K, cells): the mean of the labels of the most similar cells."""
    best, where = cosines.topk(min(top_k, cosines.shape[1]), dim=1)
    # beside the best, which takes nothing from the mean: exp(1 / 0.01) is more than a float holds
    weights = ((best - best[:, :1]) / temperature).exp()
    total = weights.sum(1)
    mean = (marks[:, where] * weights).sum(2) / total
    if not with_ties:
        return mean
    least = best[:, -1:]
    ties = (cosines >= least).sum(1) > best.shape[1]
    ties &= torch.isfinite(least[:, 0])
    if ties.any():  # cells as similar as the last one count too
        tied = cosines[ties]
        shares = ((tied - best[ties, :1]) / temperature).exp() * (tied >= least[ties])
        mean[:, ties] = marks @ (shares / shares.sum(1, keepdim=True)).T
    return mean
