"""Mutual nearest neighbours of two sets of unit descriptors.

Blocked matrix products: memory grows with the block, never with N x M. Knows nothing of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.errors import InputError
from dift_geo.matching.options import MatchOptions
from dift_geo.types import Matches

__all__ = ["TOLERANCE", "match", "match_mutual_nn"]

# Cosines that differ by no more than this are equal. The entries of a row carry rounding errors of
# 2^-24 each, so two computations of one row can differ by 2^-23 in their cosine with a third; this
# is twice that. Products in float32 add errors of a few 1e-7 for D <= 1024 that differ between
# processors: wherever those could decide, `_Best.settled` computes again in float64.
TOLERANCE = 2.0**-22  # 2.4e-7
ROUNDING = 2.0**-24  # relative error of one float32 operation


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

    A row's nearest neighbour is the lowest index among those whose cosine is within `TOLERANCE` of
    the largest. Which pairs are kept does not depend on how a processor rounds: what float32 cannot
    decide is computed again in float64.

    descriptors0: (N, D), unit rows.
    descriptors1: (M, D), unit rows.
    ratio: a pair is kept when its Euclidean distance is at most `ratio` times the distance to the
        next best (Lowe 2004), seen from both sides. A rival within `TOLERANCE` of the pair's cosine
        fails it; a neighbour without rivals passes. None or 1 is off.
    min_similarity: a pair is kept when its cosine is at least this, less `TOLERANCE`.
    block: rows and columns of one product.
    device: where the products are computed.

    Raises InputError when dimensions differ or an option is out of range.
    """
    options = MatchOptions(ratio=ratio, min_similarity=min_similarity)
    if block < 1:
        raise InputError(f"block is {block}, expected at least 1")
    d0 = torch.as_tensor(descriptors0, dtype=torch.float32, device=device)
    d1 = torch.as_tensor(descriptors1, dtype=torch.float32, device=device)
    if d0.ndim != 2 or d1.ndim != 2 or d0.shape[1] != d1.shape[1]:
        raise InputError(
            f"descriptors have shapes {tuple(d0.shape)} and {tuple(d1.shape)}, "
            "expected (N, D) and (M, D)"
        )
    if not len(d0) or not len(d1):
        return Matches.none()

    best0, best1 = _Best(len(d0), d0.device), _Best(len(d1), d0.device)
    for i in range(0, len(d0), block):
        for j in range(0, len(d1), block):
            similarity = d0[i : i + block] @ d1[j : j + block].T  # (block, block)
            best0.update(i, j, similarity)
            best1.update(j, i, similarity.T)
    error = _largest_error(d0, d1)
    near0 = best0.settled(d0, d1, options, error, block)
    near1 = best1.settled(d1, d0, options, error, block)

    rows = torch.arange(len(d0))
    pairs = torch.stack([rows, near0.index], 1)
    kept = near1.index[near0.index] == rows
    kept &= near0.passes(options) & near1.passes(options)[near0.index]
    return Matches(pairs[kept].numpy(), near0.score[kept].numpy())


def _largest_error(d0: Tensor, d1: Tensor) -> float:
    """How far a float32 product of a row with a row can be off, in any order of summation.

    The classical bound: dimension times rounding times the norms (Higham 2002, section 3.1).
    """
    norms = [torch.linalg.vector_norm(d, dim=1).max().item() for d in (d0, d1)]
    return d0.shape[1] * ROUNDING * norms[0] * norms[1]


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
        better = value > first
        self.second[rows] = torch.where(
            better, torch.maximum(first, runner_up), torch.maximum(self.second[rows], value)
        )
        self.index[rows] = torch.where(better, index + column, self.index[rows])
        self.first[rows] = torch.where(better, value, first)

    def settled(
        self, rows: Tensor, columns: Tensor, options: MatchOptions, error: float, block: int
    ) -> _Neighbours:
        """The neighbours, those within `error` of a decision looked at again in float64."""
        first, second = self.first.cpu().double(), self.second.cpu().double()
        near = _Neighbours(self.index.cpu(), first, second, self.first.cpu())
        unsure = near.unsure(options, error).nonzero()[:, 0]
        for part in unsure.split(max(1, block * block // len(columns))):
            near.look_again(part, _exact(rows[part.to(rows.device)], columns, block))
        return near


def _exact(rows: Tensor, columns: Tensor, block: int) -> Tensor:
    """Similarities (N, M) in float64, in which sums of float32 products have digits to spare."""
    if rows.device.type == "mps":  # has no float64
        rows, columns = rows.cpu(), columns.cpu()
    products = [rows.double() @ part.double().T for part in columns.split(block)]
    return torch.cat(products, 1).cpu()


@dataclass(frozen=True)
class _Neighbours:
    """For each row its neighbour, the neighbour's similarity and the best rival's, on the CPU.

    index: (N,) column of the neighbour.
    first: (N,) float64 similarity of the neighbour.
    second: (N,) float64 largest similarity of the other columns.
    score: (N,) float32 similarity of the neighbour, for those who read the matches.
    """

    index: Tensor
    first: Tensor
    second: Tensor
    score: Tensor

    def unsure(self, options: MatchOptions, error: float) -> Tensor:
        """Where similarities that are off by `error` could change a decision: (N,) bool."""
        unsure = self.first - self.second <= TOLERANCE + 2 * error
        if options.ratio is not None:
            unsure |= self._ratio_margin(options.ratio).abs() <= 2 * error
        if options.min_similarity is not None:
            unsure |= self._similarity_margin(options.min_similarity).abs() <= error
        return unsure

    def look_again(self, rows: Tensor, similarity: Tensor) -> None:
        """Decide some rows by their exact similarities (rows, M), which are overwritten."""
        nearest = similarity >= similarity.amax(1, keepdim=True) - TOLERANCE
        index = nearest.to(torch.int8).argmax(1)  # the first of equals
        self.first[rows] = similarity.gather(1, index[:, None])[:, 0]
        self.second[rows] = similarity.scatter_(1, index[:, None], -torch.inf).amax(1)
        moved = index != self.index[rows]
        self.score[rows[moved]] = self.first[rows[moved]].float()
        self.index[rows] = index

    def passes(self, options: MatchOptions) -> Tensor:
        """Which rows the options keep: (N,) bool."""
        kept = torch.ones_like(self.index, dtype=torch.bool)
        if options.ratio is not None and options.ratio < 1:
            kept &= self.first - self.second > TOLERANCE
            kept &= self._ratio_margin(options.ratio) >= 0
        if options.min_similarity is not None:
            kept &= self._similarity_margin(options.min_similarity) >= 0
        return kept

    def _ratio_margin(self, ratio: float) -> Tensor:
        """Lowe's test on halves of squared distances, 1 - cos for unit rows."""
        return ratio**2 * (1 - self.second) - (1 - self.first).clamp(min=0)

    def _similarity_margin(self, least: float) -> Tensor:
        return self.first - (least - TOLERANCE)
