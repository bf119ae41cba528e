"""Mutual nearest neighbours of two sets of unit descriptors.

Products that round find the candidates, exact ones decide between them. Memory grows with the
block, never with N x M. Knows nothing of images.
"""

from __future__ import annotations

from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.errors import InputError
from dift_geo.matching.candidates import (
    TOLERANCE,
    Candidates,
    Entries,
    Nearby,
    Values,
    find_candidates,
    largest_norm,
    summation_error,
)
from dift_geo.matching.options import MatchOptions
from dift_geo.matching.settle import (
    all_nearest,
    best_rivals,
    nearest_of,
    passes_ratio,
    passes_ratio_of_all,
    similarity_of,
)
from dift_geo.types import Matches

__all__ = ["TOLERANCE", "match", "match_mutual_nn"]

BLOCK = 2048  # most rows and columns of one product


def match(
    descriptors0: NDArray | Tensor,
    descriptors1: NDArray | Tensor,
    options: MatchOptions = MatchOptions(),
    *,
    device: str | torch.device = "cpu",
) -> Matches:
    """Match unit rows (N, D) with unit rows (M, D) as `options` say; see `match_mutual_nn`."""
    return _match(descriptors0, descriptors1, options, BLOCK, device)


def match_mutual_nn(
    descriptors0: NDArray | Tensor,
    descriptors1: NDArray | Tensor,
    *,
    ratio: float | None = None,
    min_similarity: float | None = None,
    block: int = BLOCK,
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
    block: most rows and columns of one product.
    device: where the products are computed.

    Raises InputError when dimensions differ or an option is out of range, and for descriptors that
    are not finite.
    """
    options = MatchOptions(ratio=ratio, min_similarity=min_similarity)
    if block < 1:
        raise InputError(f"block is {block}, expected at least 1")
    return _match(descriptors0, descriptors1, options, block, device)


def _match(
    descriptors0: NDArray | Tensor,
    descriptors1: NDArray | Tensor,
    options: MatchOptions,
    block: int,
    device: str | torch.device,
) -> Matches:
    d0 = torch.as_tensor(descriptors0, dtype=torch.float32, device=device)
    d1 = torch.as_tensor(descriptors1, dtype=torch.float32, device=device)
    if d0.ndim != 2 or d1.ndim != 2 or d0.shape[1] != d1.shape[1]:
        raise InputError(
            f"descriptors have shapes {tuple(d0.shape)} and {tuple(d1.shape)}, "
            "expected (N, D) and (M, D)"
        )
    if not len(d0) or not len(d1):
        return Matches.none()
    norms = largest_norm(d0), largest_norm(d1)
    if not all(map(isfinite, norms)):
        raise InputError("descriptors are not all finite numbers; describe the images again")
    error = summation_error(d0.shape[1], *norms)
    with_ratio = options.tested_ratio is not None
    candidates = find_candidates(d0, d1, error, block, rest=with_ratio)
    return _decide(d0.cpu(), d1.cpu(), candidates, options, error, block)


def _decide(
    d0: Tensor,
    d1: Tensor,
    candidates: Candidates | None,
    options: MatchOptions,
    error: float,
    block: int,
) -> Matches:
    """The pairs, out of candidates; None where everything has to be compared exactly."""
    if candidates is None:
        near0, near1 = all_nearest(d0, d1, block), all_nearest(d1, d0, block)
    else:
        near0 = nearest_of(d0, d1, candidates.of0.entries, error)
        near1 = nearest_of(d1, d0, candidates.of1.entries, error)
    back = np.full(len(d1), -1)
    back[near1.rows] = near1.columns
    pairs = near0[back[near0.columns] == near0.rows]
    score = similarity_of(d0, d1, pairs, torch.float32)
    ratio = options.tested_ratio
    if ratio is not None:
        of0, of1 = (None, None) if candidates is None else (candidates.of0, candidates.of1)
        kept = _passing(d0, d1, pairs, score, of0, ratio, error, block)
        pairs, score = pairs[kept], score[kept]
        kept = _passing(d1, d0, pairs.turned(), score, of1, ratio, error, block)
        pairs, score = pairs[kept], score[kept]
    if options.min_similarity is not None:
        least = options.min_similarity - TOLERANCE
        unsure = np.flatnonzero(np.abs(score - least) <= error)
        exact = score.copy()
        exact[unsure] = similarity_of(d0, d1, pairs[unsure], torch.float64)
        pairs, score = pairs[exact >= least], score[exact >= least]
    return Matches(np.stack([pairs.rows, pairs.columns], 1), score.astype(np.float32))


def _passing(
    d0: Tensor,
    d1: Tensor,
    pairs: Entries,
    score: Values,
    nearby: Nearby | None,
    ratio: float,
    error: float,
    block: int,
) -> NDArray[np.bool_]:
    """Which pairs pass the ratio, seen from their rows: all are compared where float32 cannot tell.

    score: the similarities (K,) of the pairs.
    nearby: of the rows; None where it is not known.
    """
    if nearby is None:
        return passes_ratio_of_all(d0, d1, pairs, ratio, error, block)
    kept, unsure = passes_ratio(score, best_rivals(d0, d1, pairs, nearby), ratio, error)
    kept[unsure] = passes_ratio_of_all(d0, d1, pairs[unsure], ratio, error, block)
    return kept
