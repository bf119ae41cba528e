"""Pairs by rank, their union and the budget, against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dift_geo.pairs.lists import exhaustive_pairs, sequential_pairs
from dift_geo.pairs.ranked import (
    best_pairs,
    rank_exhaustive,
    rank_listed,
    rank_neighbours,
    rank_scores,
    rank_sequential,
    unite,
)

NAMES = [f"{i}.jpg" for i in range(7)]
scores = st.lists(st.lists(st.integers(-3, 3), min_size=7, max_size=7), min_size=7, max_size=7)


def plain(ranking) -> dict[frozenset[str], int]:
    return {frozenset(pair): rank for pair, rank in ranking.items()}


@settings(max_examples=40, deadline=None)
@given(scores, st.integers(1, 8))
def test_ranks_are_places_in_a_sorted_list(rows, count) -> None:
    expected: dict[frozenset[str], int] = {}
    for i, row in enumerate(rows):
        order = sorted((j for j in range(7) if j != i), key=lambda j: (-row[j], j))[:count]
        for rank, j in enumerate(order, 1):
            pair = frozenset((NAMES[i], NAMES[j]))
            expected[pair] = min(rank, expected.get(pair, 99))
    ranking = rank_scores(zip(NAMES, map(np.array, rows)), NAMES, count)
    assert plain(ranking) == expected
    assert len(ranking) == len(expected)  # in one order only


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from([*combinations(NAMES, 2)]), st.integers(1, 9))))
def test_a_union_has_each_pair_with_its_best_rank(rankings) -> None:
    turned = [
        {(pair[::-1] if i % 2 else pair): rank for pair, rank in ranking.items()}
        for i, ranking in enumerate(rankings)
    ]
    united = plain(unite(turned))
    for pair in combinations(NAMES, 2):
        ranks = [ranking[pair] for ranking in rankings if pair in ranking]
        assert united.get(frozenset(pair)) == (min(ranks) if ranks else None)


@settings(max_examples=40, deadline=None)
@given(scores, st.integers(1, 30))
def test_within_a_budget_no_pair_is_kept_before_a_better_one(rows, budget) -> None:
    ranking = rank_scores(zip(NAMES, map(np.array, rows)), NAMES, 4)
    kept = best_pairs(ranking, NAMES, budget)
    ranks = plain(ranking)
    assert len(kept) == len(set(kept)) == min(budget, len(ranking))
    assert kept == sorted(kept)
    assert all(a < b for a, b in kept)
    left = [rank for pair, rank in ranks.items() if tuple(sorted(pair)) not in kept]
    assert max(ranks[frozenset(pair)] for pair in kept) <= min(left, default=99)
    assert best_pairs(ranking, NAMES) == sorted(tuple(sorted(pair)) for pair in ranks)


def test_a_budget_for_the_best_of_each_leaves_out_no_image() -> None:
    clusters = [*combinations(NAMES[:5], 2), (NAMES[5], NAMES[6])]
    ranking = rank_neighbours(
        (name, [b if a == name else a for a, b in clusters if name in (a, b)]) for name in NAMES
    )
    first = sum(rank == 1 for rank in ranking.values())
    kept = best_pairs(ranking, NAMES, first)
    assert {name for pair in kept for name in pair} == set(NAMES)


def test_what_is_no_number_or_too_little_is_no_neighbour() -> None:
    rows = [("a", np.array([9.0, 0.0, np.nan, 2.0]))]
    assert rank_scores(rows, ["a", "b", "c", "d"], 5, least=0) == {("a", "d"): 1}
    assert rank_scores([], [], 5) == {}
    assert rank_neighbours([("a", ["a"])]) == {}


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_exhaustive_ranks_by_distance(n) -> None:
    ranking = rank_exhaustive(NAMES[:n])
    assert best_pairs(ranking, NAMES[:n]) == exhaustive_pairs(NAMES[:n])
    assert all(abs(int(a[0]) - int(b[0])) == rank for (a, b), rank in ranking.items())


def test_sequences_reach_ahead_by_powers_of_two() -> None:
    names = [f"a/{i}.jpg" for i in range(30)] + ["b/1.jpg", "b/2.jpg"]
    ranking = rank_sequential(names, 3)
    steps = {(a, b): int(b[2:-4]) - int(a[2:-4]) for a, b in ranking if a[0] == b[0] == "a"}
    assert set(steps.values()) == {1, 2, 3, 6, 12, 24}
    assert ranking["a/1.jpg", "a/13.jpg"] == 5
    assert {*sequential_pairs(names, 3)} <= {*ranking}
    assert [pair for pair in ranking if pair not in steps] == [("b/1.jpg", "b/2.jpg")]
    assert len(steps) == sum(30 - step for step in {1, 2, 3, 6, 12, 24})
    with pytest.raises(ValueError, match="overlap is 0, expected at least 1"):
        rank_sequential(names, 0)


def test_a_list_ranks_earlier_lines_of_an_image_higher() -> None:
    pairs = [("a", "b"), ("a", "c"), ("a", "d"), ("d", "c")]
    assert rank_listed(pairs) == {("a", "b"): 1, ("a", "c"): 1, ("a", "d"): 1, ("d", "c"): 2}
