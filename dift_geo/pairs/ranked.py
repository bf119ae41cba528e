"""Pairs by rank: several ways to choose them united, and the best of them within a budget.

The rank of a pair is its place, from 1, in the list of one of its images: the better of both. Knows
names only, not where ranks come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.pairs.lists import sequences
from dift_geo.types import Pair

__all__ = [
    "Ranking",
    "best_pairs",
    "rank_exhaustive",
    "rank_listed",
    "rank_neighbours",
    "rank_scores",
    "rank_sequential",
    "unite",
]

Ranking = Mapping[Pair, int]  # rank by pair; a pair stands in it in one order only
LAST = 1 << 30  # behind all ranks


def rank_neighbours(lists: Iterable[tuple[str, Sequence[str]]]) -> Ranking:
    """The ranks of pairs out of the neighbours of each image, best first.

    lists: an image and its neighbours. The image itself may stand among them and counts for none.
    """
    ranks: dict[Pair, int] = {}
    for name, others in lists:
        rank = 0
        for other in others:
            if other == name:
                continue
            rank += 1
            pair = (other, name) if (other, name) in ranks else (name, other)
            ranks[pair] = min(rank, ranks.get(pair, LAST))
    return ranks


def rank_scores(
    rows: Iterable[tuple[str, NDArray]], names: Sequence[str], count: int, least: float = -np.inf
) -> Ranking:
    """The ranks of the `count` images with the largest scores for each image.

    rows: an image and its scores (N,) of `names`; what is at most `least`, or no number, is no
        neighbour. Of equal scores the earlier name counts more.
    """

    def best(scores: NDArray, own: str) -> list[str]:
        left = np.flatnonzero(scores > least)
        if len(left) > 2 * count:
            left = left[_largest(scores[left], count + 1)]
        order = left[np.argsort(-scores[left], kind="stable")]
        return [names[i] for i in order if names[i] != own][:count]

    return rank_neighbours((name, best(np.asarray(scores), name)) for name, scores in rows)


def _largest(scores: NDArray, count: int) -> NDArray[np.intp]:
    """The indices, in order, of the `count` largest and of all that equal the last of them."""
    return np.flatnonzero(scores >= np.partition(scores, -count)[-count])


def rank_listed(pairs: Sequence[Pair]) -> Ranking:
    """The ranks of pairs of a file: of its images, those of earlier lines are better."""
    seen: dict[str, int] = {}
    ranks: dict[Pair, int] = {}
    for a, b in pairs:
        for name in (a, b):
            seen[name] = seen.get(name, 0) + 1
        ranks[a, b] = min(seen[a], seen[b])
    return ranks


def rank_exhaustive(names: Sequence[str]) -> Ranking:
    """Every image with every other; the nearer in the order of `names`, the better."""
    return {(names[i], names[j]): j - i for i, j in combinations(range(len(names)), 2)}


def rank_sequential(names: Sequence[str], overlap: int = 10) -> Ranking:
    """Every image with the next `overlap` ones of its own folder, then with those 2, 4, 8, ...
    times as far: where a camera rests, the next ones all show the same.

    Numbers count as such. Raises InputError where `overlap` is less than 1.
    """
    if overlap < 1:
        raise InputError(f"overlap is {overlap}, expected at least 1")
    ranks: dict[Pair, int] = {}
    for group in sequences(names):
        steps = [*range(1, overlap + 1)]
        while 2 * steps[-1] < len(group):
            steps.append(2 * steps[-1])
        for rank, step in enumerate(steps, 1):
            ranks |= dict.fromkeys(zip(group, group[step:]), rank)
    return ranks


def unite(rankings: Iterable[Ranking]) -> Ranking:
    """All pairs of several rankings, each by its best rank."""
    united: dict[Pair, int] = {}
    for ranking in rankings:
        for (a, b), rank in ranking.items():
            pair = (b, a) if (b, a) in united else (a, b)
            united[pair] = min(rank, united.get(pair, LAST))
    return united


def best_pairs(ranking: Ranking, names: Sequence[str], budget: int | None = None) -> list[Pair]:
    """The pairs of a ranking in the order of `names`, and so is each pair.

    budget: at most as many, the best ranks first, so that every image keeps its best neighbours
        before any has its second best. None keeps all.
    """
    if budget is not None and budget < 1:
        raise InputError(f"budget is {budget}, expected at least 1")
    place = {name: i for i, name in enumerate(names)}
    ranked = sorted((rank, *sorted((place[a], place[b]))) for (a, b), rank in ranking.items())[
        :budget
    ]
    return [(names[i], names[j]) for i, j in sorted(pair[1:] for pair in ranked)]
