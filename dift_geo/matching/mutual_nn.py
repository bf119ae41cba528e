"""Mutual nearest neighbours of two sets of unit descriptors.

Blocked matrix products: memory grows with the block, never with N x M. Knows nothing of images.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.errors import InputError
from dift_geo.matching.options import MatchOptions
from dift_geo.types import Matches

__all__ = ["match", "match_mutual_nn"]


def match(
    descriptors0: NDArray | Tensor,
    descriptors1: NDArray | Tensor,
    options: MatchOptions = MatchOptions(),
    *,
    device: str | torch.device = "cpu",
) -> Matches:
    """Match unit rows (N, D) with unit rows (M, D) as `options` say; see `match_mutual_nn`."""
    return match_mutual_nn(
        descriptors0,
        descriptors1,
        ratio=options.ratio,
        min_similarity=options.min_similarity,
        device=device,
    )


def match_mutual_nn(
    descriptors0: NDArray | Tensor,
    descriptors1: NDArray | Tensor,
    *,
    ratio: float | None = None,
    min_similarity: float | None = None,
    block: int = 2048,
    device: str | torch.device = "cpu",
) -> Matches:
    """Pairs (i, j) where j is i's nearest neighbour by cosine and i is j's, in order of i.

    descriptors0: (N, D), descriptors1: (M, D), unit rows. ratio: keep a pair when its Euclidean
    distance is at most `ratio` times the distance to the second nearest (Lowe 2004), tested from
    both sides; a lone neighbour passes. min_similarity: keep cosine >= this. block: rows and
    columns of one product. Ties go to the lower index. Raises ValueError when dimensions differ or
    an option is out of range.
    """
    d0 = torch.as_tensor(descriptors0, dtype=torch.float32, device=device)
    d1 = torch.as_tensor(descriptors1, dtype=torch.float32, device=device)
    if d0.ndim != 2 or d1.ndim != 2 or d0.shape[1] != d1.shape[1]:
        raise InputError(
            f"descriptors have shapes {tuple(d0.shape)} and {tuple(d1.shape)}, "
            "expected (N, D) and (M, D)"
        )
    if ratio is not None and not 0 < ratio <= 1:
        raise InputError(f"ratio is {ratio}, expected a number in (0, 1]")
    if block < 1:
        raise InputError(f"block is {block}, expected at least 1")
    if not len(d0) or not len(d1):
        return Matches(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))

    best0 = _Best(len(d0), d0.device)
    best1 = _Best(len(d1), d0.device)
    for i in range(0, len(d0), block):
        for j in range(0, len(d1), block):
            similarity = d0[i : i + block] @ d1[j : j + block].T  # (block, block)
            best0.update(i, j, similarity)
            best1.update(j, i, similarity.T)

    rows = torch.arange(len(d0), device=d0.device)
    nearest = best0.index
    keep = best1.index[nearest] == rows
    if ratio is not None:
        keep &= best0.passes(ratio) & best1.passes(ratio)[nearest]
    if min_similarity is not None:
        keep &= best0.first >= min_similarity
    pairs = torch.stack([rows, nearest], 1)[keep]
    return Matches(pairs.cpu().numpy(), best0.first[keep].cpu().numpy())


class _Best:
    """The two largest similarities seen for each row, and the column of the first."""

    def __init__(self, n: int, device: torch.device) -> None:
        self.first = torch.full((n,), -torch.inf, device=device)
        self.second = torch.full((n,), -torch.inf, device=device)
        self.index = torch.zeros(n, dtype=torch.int64, device=device)

    def update(self, row: int, column: int, similarity: Tensor) -> None:
        rows = slice(row, row + len(similarity))
        value, index = similarity.max(1)  # (rows,)
        if similarity.shape[1] > 1:
            runner_up = similarity.scatter(1, index[:, None], -torch.inf).amax(1)
        else:
            runner_up = torch.full_like(value, -torch.inf)
        first = self.first[rows]
        better = value > first  # strictly: an earlier column keeps a tie
        self.second[rows] = torch.where(
            better, torch.maximum(first, runner_up), torch.maximum(self.second[rows], value)
        )
        self.index[rows] = torch.where(better, index + column, self.index[rows])
        self.first[rows] = torch.where(better, value, first)

    def passes(self, ratio: float) -> Tensor:
        """Lowe's test on squared distances, 2 - 2 cos for unit rows."""
        return (1 - self.first).clamp(min=0) <= ratio**2 * (1 - self.second)
