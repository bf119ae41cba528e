"""What candidates are decided by: exact similarities, computed only where they can decide.

Float32 first, float64 for what that cannot tell apart; sums of float32 products have digits to
spare there. Knows nothing of how candidates were found.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dift_geo.matching.candidates import TOLERANCE, Entries, Indices, Nearby, Values

__all__ = [
    "all_nearest",
    "best_rivals",
    "exact_similarity",
    "nearest_of",
    "passes_ratio",
    "passes_ratio_of_all",
    "similarity_of",
]

AT_ONCE = 1 << 18  # numbers in a copy of descriptors: a megabyte, which caches hold


def similarity_of(d0: Tensor, d1: Tensor, at: Entries, dtype: torch.dtype) -> Values:
    """Similarities (K,) at some entries, summed in float32 or float64."""
    values = np.empty(len(at), np.float64)
    step = max(1, AT_ONCE // max(1, d0.shape[1]))
    for start in range(0, len(at), step):
        rows = d0.index_select(0, torch.from_numpy(at.rows[start : start + step])).to(dtype)
        columns = d1.index_select(0, torch.from_numpy(at.columns[start : start + step])).to(dtype)
        values[start : start + step] = torch.einsum("kd,kd->k", rows, columns).numpy()
    return values


def exact_similarity(rows: Tensor, columns: Tensor, block: int) -> Tensor:
    """Similarities (N, M) in float64."""
    return torch.cat([rows.double() @ part.double().T for part in columns.split(block)], 1)


def nearest_of(d0: Tensor, d1: Tensor, candidates: Entries, error: float) -> Entries:
    """The nearest neighbour of each row that has candidates, in order of rows.

    candidates: all that can be within the tolerance of the largest similarity of their row, at
        least one for each row.
    error: how far a float32 sum can be off.
    """
    alone = np.bincount(candidates.rows, minlength=len(d0))[candidates.rows] == 1
    contested = candidates[~alone]
    if len(contested):
        contested = _settled(d0, d1, contested, error)
    rows = np.concatenate([candidates.rows[alone], contested.rows])
    columns = np.concatenate([candidates.columns[alone], contested.columns])
    return Entries(rows, columns)[np.argsort(rows, kind="stable")]


def _settled(d0: Tensor, d1: Tensor, entries: Entries, error: float) -> Entries:
    """The nearest of rows that have several candidates, first in float32, then in float64."""
    entries = entries[np.lexsort((entries.columns, entries.rows))]
    for dtype, margin in ((torch.float32, TOLERANCE + 2 * error), (torch.float64, TOLERANCE)):
        _, starts, counts = np.unique(entries.rows, return_index=True, return_counts=True)
        if len(starts) == len(entries):
            break
        crowded = np.repeat(counts > 1, counts)
        some = entries[crowded]
        values = similarity_of(d0, d1, some, dtype)
        counts_there = counts[counts > 1]
        starts_there = np.cumsum(counts_there) - counts_there
        best = np.repeat(np.maximum.reduceat(values, starts_there), counts_there)
        held = np.ones(len(entries), bool)
        held[crowded] = values >= best - margin
        entries = entries[held]
    _, first = np.unique(entries.rows, return_index=True)  # the lowest of equals
    return entries[first]


def all_nearest(d0: Tensor, d1: Tensor, block: int) -> Entries:
    """The nearest neighbour of every row, in float64 throughout: for crowds of equals."""
    found: list[Indices] = []
    for rows in d0.split(max(1, block * block // len(d1))):
        similarity = exact_similarity(rows, d1, block)
        near = similarity >= similarity.amax(1, keepdim=True) - TOLERANCE
        found.append(near.to(torch.int8).argmax(1).numpy())  # the first of equals
    return Entries(np.arange(len(d0)), np.concatenate(found))


def best_rivals(d0: Tensor, d1: Tensor, pairs: Entries, nearby: Nearby) -> Values:
    """The similarity of each pair's row to its best rival, the pair's own column left out: (K,).

    As float32 gives it, and -inf where there is no rival. `nearby` is of the pairs' rows and holds
    the pairs, at most one for each row; its `rest` is there.
    """
    assert nearby.rest is not None
    nearest = np.full(len(d0), -1)
    nearest[pairs.rows] = pairs.columns
    entries = nearby.entries
    others = entries[(nearest[entries.rows] >= 0) & (nearest[entries.rows] != entries.columns)]
    best = nearby.rest.copy()
    np.maximum.at(best, others.rows, similarity_of(d0, d1, others, torch.float32))
    return best[pairs.rows]


def passes_ratio(
    first: Values, second: Values, ratio: float, error: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pairs are nearer than their best rival, as the ratio wants it, and which may be either.

    first, second: similarities (K,) of the pairs and of their rivals, in float32 or float64.
    error: how far those can be off.
    """
    margin = _margin(first, second, ratio)
    gap = first - second
    passed = (gap > TOLERANCE) & (margin >= 0)
    close = gap <= TOLERANCE + 2 * error  # nothing but the margin can fail a pair beyond it
    unsure = (np.abs(margin) <= 2 * error) | (close & (margin > 0))
    return passed, unsure


def passes_ratio_of_all(
    d0: Tensor, d1: Tensor, pairs: Entries, ratio: float, error: float, block: int
) -> NDArray[np.bool_]:
    """Which pairs are nearer than the best of all others of their row: (K,) bool.

    error: how far a float32 product can be off.
    """
    kept = np.ones(len(pairs), bool)
    step = max(1, min(block, block * block // len(d1)))
    for start in range(0, len(pairs), step):
        part = pairs[np.arange(start, min(start + step, len(pairs)))]
        rows = d0[torch.from_numpy(part.rows)]
        similarity = torch.cat([rows @ columns.T for columns in d1.split(block)], 1)
        first, second = _two_best(similarity, part.columns)
        passed, unsure = passes_ratio(first, second, ratio, error)
        again = np.flatnonzero(unsure)
        for some in np.split(again, range(step, len(again), step)):
            exact = exact_similarity(rows[torch.from_numpy(some)], d1, block)
            passed[some], _ = passes_ratio(*_two_best(exact, part.columns[some]), ratio, 0)
        kept[start : start + len(part)] = passed
    return kept


def _two_best(similarity: Tensor, nearest: Indices) -> tuple[Values, Values]:
    """The similarity of the nearest and of its best rival; overwrites the former."""
    at = torch.from_numpy(nearest)[:, None]
    first = similarity.gather(1, at)[:, 0]
    second = similarity.scatter_(1, at, -torch.inf).amax(1)
    return first.double().numpy(), second.double().numpy()


def _margin(first: Values, second: Values, ratio: float) -> Values:
    """Lowe's test on halves of squared distances, 1 - cos for unit rows."""
    return ratio**2 * (1 - second) - np.maximum(1 - first, 0)
