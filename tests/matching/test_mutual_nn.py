"""Mutual nearest neighbours against a brute-force loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dift_geo.matching.mutual_nn import TOLERANCE, match, match_mutual_nn
from dift_geo.matching.options import MatchOptions
from dift_geo.types import Matches


def unit(n: int, dim: int = 16, seed: int = 0, levels: int = 0) -> np.ndarray:
    """Unit rows; with `levels`, of few distinct values, so that ties abound."""
    random = np.random.default_rng(seed)
    rows = (
        random.standard_normal((n, dim)) if not levels else random.integers(1, levels + 1, (n, dim))
    )
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def brute_force(d0, d1, ratio=None, min_similarity=None) -> list[tuple[int, int]]:
    """The definition in float64, one pair at a time: cosines within the tolerance are equal."""
    similarity = d0.astype(np.float64) @ d1.astype(np.float64).T  # (N, M)

    def nearest(row: np.ndarray) -> int:
        return int(np.flatnonzero(row >= row.max() - TOLERANCE)[0])

    def passes(row: np.ndarray, best: int) -> bool:
        others = np.delete(row, best)
        if ratio is None or ratio == 1 or not len(others):
            return True
        if others.max() >= row[best] - TOLERANCE:
            return False
        return max(0, 1 - row[best]) <= ratio**2 * (1 - others.max())

    pairs = []
    for i, row in enumerate(similarity if len(d1) else []):
        j = nearest(row)
        column = similarity[:, j]
        if nearest(column) != i or not passes(row, j) or not passes(column, i):
            continue
        if min_similarity is None or row[j] >= min_similarity - TOLERANCE:
            pairs.append((i, j))
    return pairs


def as_pairs(matches: Matches) -> list[tuple[int, int]]:
    return [(i, j) for i, j in matches.pairs.tolist()]


RATIO = st.sampled_from([None, 0.8, 0.95, 1.0])
LEAST = st.sampled_from([None, 0.2, 0.5, 1.0])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 50), RATIO, LEAST, st.integers(0))
def test_equals_brute_force(n: int, m: int, block: int, ratio, min_similarity, seed: int) -> None:
    d0, d1 = unit(n, seed=seed), unit(m, seed=seed + 1)
    shared = min(n, m) // 2
    d1[:shared] = d0[:shared]
    matches = match_mutual_nn(d0, d1, ratio=ratio, min_similarity=min_similarity, block=block)
    assert as_pairs(matches) == brute_force(d0, d1, ratio, min_similarity)
    cosine = (d0[matches.pairs[:, 0]] * d1[matches.pairs[:, 1]]).sum(1)
    np.testing.assert_allclose(matches.scores, cosine, atol=1e-6)


@st.composite
def crowds(draw) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of rows drawn from few: identical, or different in their last digits only."""
    random = np.random.default_rng(draw(st.integers(0)))
    dim = draw(st.sampled_from([1, 3, 16, 128]))
    few = unit(draw(st.integers(1, 5)), dim, int(random.integers(2**31)))
    noise = draw(st.sampled_from([0.0, 2.0**-24, 2.0**-22, 1e-5]))

    def rows() -> np.ndarray:
        chosen = few[random.integers(0, len(few), draw(st.integers(1, 25)))]
        return (chosen * (1 + noise * random.uniform(-1, 1, chosen.shape))).astype(np.float32)

    return rows(), rows()


@settings(deadline=None, max_examples=150)
@given(crowds(), st.integers(1, 30), RATIO, LEAST)
def test_crowds_of_equals_follow_the_rule(crowd, block: int, ratio, min_similarity) -> None:
    d0, d1 = crowd
    matches = match_mutual_nn(d0, d1, ratio=ratio, min_similarity=min_similarity, block=block)
    assert as_pairs(matches) == brute_force(d0, d1, ratio, min_similarity)


@settings(deadline=None, max_examples=60)
@given(crowds(), RATIO)
def test_both_sides_follow_one_rule(crowd, ratio) -> None:
    d0, d1 = crowd
    there, back = match_mutual_nn(d0, d1, ratio=ratio), match_mutual_nn(d1, d0, ratio=ratio)
    np.testing.assert_array_equal(there.swapped().pairs, back.pairs)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), RATIO, st.integers(0))
def test_order_does_not_matter_where_nothing_ties(n: int, m: int, ratio, seed: int) -> None:
    random = np.random.default_rng(seed)
    d0, d1 = unit(n, seed=seed), unit(m, seed=seed + 1)
    order0, order1 = random.permutation(n), random.permutation(m)
    shuffled = match_mutual_nn(d0[order0], d1[order1], ratio=ratio)
    back = {(int(order0[i]), int(order1[j])) for i, j in as_pairs(shuffled)}
    assert back == set(as_pairs(match_mutual_nn(d0, d1, ratio=ratio)))


@pytest.mark.parametrize("block", [1, 2, 3, 5, 100])
def test_ties_go_to_the_lower_index(block: int) -> None:
    d0, d1 = np.eye(4, dtype=np.float32)[[0, 1, 1, 2]], np.eye(4, dtype=np.float32)[[3, 1, 1, 1, 0]]
    assert match_mutual_nn(d0, d1, block=block).pairs.tolist() == [[0, 4], [1, 1]]


@pytest.mark.parametrize("levels", [1, 2])
def test_ties_do_not_depend_on_blocks(levels: int) -> None:
    """Small integers, exact in float32: equal similarities are equal in every block."""
    random = np.random.default_rng(levels)
    d0, d1 = (random.integers(0, levels + 1, (n, 4)).astype(np.float32) for n in (30, 25))
    whole = match_mutual_nn(d0, d1, block=1000)
    for block in (1, 2, 7, 24, 25, 26):
        np.testing.assert_array_equal(match_mutual_nn(d0, d1, block=block).pairs, whole.pairs)


def test_blocks_give_the_same_answer_at_size() -> None:
    d0, d1 = unit(700, 64, 1), unit(900, 64, 2)
    d1[100:600] = d0[:500] + 0.02 * unit(500, 64, 3)
    whole, blocked = (match_mutual_nn(d0, d1, ratio=0.9, block=block) for block in (4096, 128))
    np.testing.assert_array_equal(whole.pairs, blocked.pairs)
    assert len(whole) >= 500


def test_memory_is_bounded_by_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    product = torch.Tensor.__matmul__
    monkeypatch.setattr("dift_geo.matching.product._onednn_is_quicker", lambda: False)

    def watch(a, b):
        nonlocal largest
        answer = product(a, b)
        largest = max(largest, answer.numel())
        return answer

    monkeypatch.setattr(torch.Tensor, "__matmul__", watch)
    match_mutual_nn(unit(500), unit(700), block=64)
    assert largest == 64 * 64


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 5), (5, 0)])
def test_empty_sides_give_no_matches(n: int, m: int) -> None:
    matches = match_mutual_nn(unit(n), unit(m), ratio=0.8, min_similarity=0.1)
    assert matches.pairs.shape == (0, 2)
    assert matches.scores.shape == (0,)


def test_one_with_one_passes_the_ratio() -> None:
    assert match_mutual_nn(unit(1), unit(1), ratio=0.1).pairs.tolist() == [[0, 0]]


@pytest.mark.parametrize("dim", [3, 16, 128, 1000])
@pytest.mark.parametrize("width", [2, 3, 17, 300])  # kernels differ between columns
def test_an_identical_rival_fails_the_ratio(dim: int, width: int) -> None:
    d1 = unit(width, dim)
    d1[width - 1] = d1[0]
    assert as_pairs(match_mutual_nn(d1[:1], d1)) == [(0, 0)]
    assert len(match_mutual_nn(d1[:1], d1, ratio=0.9)) == 0
    assert as_pairs(match_mutual_nn(d1[:1], d1, ratio=1.0)) == [(0, 0)]


@pytest.mark.parametrize("away", [2.0**-24, 2.0**-23, 1e-7])
def test_a_nearly_identical_rival_ties_whichever_is_nearer(away: float) -> None:
    """In one dimension a cosine is the entry itself, so that the distances are known."""
    query = np.ones((1, 1), np.float32)
    for entries in ([1 - away, 1], [1, 1 - away]):
        rivals = np.array(entries, np.float32)[:, None]
        assert as_pairs(match_mutual_nn(query, rivals)) == [(0, 0)]
        assert len(match_mutual_nn(query, rivals, ratio=0.95)) == 0


def test_a_rival_outside_the_tolerance_is_told_from_the_nearest() -> None:
    query = np.ones((1, 1), np.float32)
    rivals = np.array([[1 - 2 * TOLERANCE], [1]], np.float32)
    assert as_pairs(match_mutual_nn(query, rivals, ratio=0.95)) == [(0, 1)]


def test_a_rival_of_the_other_side_counts_too() -> None:
    d0 = unit(4)
    d0[3] = d0[1]
    assert as_pairs(match_mutual_nn(d0, d0)) == [(0, 0), (1, 1), (2, 2)]
    assert as_pairs(match_mutual_nn(d0, d0[:3], ratio=0.9)) == [(0, 0), (2, 2)]


def test_identical_rows_reach_a_cosine_of_one() -> None:
    d0 = unit(200, 128)
    assert len(match_mutual_nn(d0, d0, min_similarity=1.0)) == 200


def test_zero_rows_are_no_trouble() -> None:
    zeros = np.zeros((5, 16), np.float32)
    assert as_pairs(match_mutual_nn(zeros, zeros)) == [(0, 0)]
    assert len(match_mutual_nn(zeros, zeros, ratio=0.9)) == 0
    assert len(match_mutual_nn(zeros, unit(5), min_similarity=0.1)) == 0


def test_no_answer_depends_on_how_products_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Similarities moved by as much as float32 can be off give the same pairs."""
    d0, d1 = unit(300, 128, 1), unit(200, 128, 2)
    d1[:100] = d0[:100] + 0.05 * unit(100, 128, 3)
    d1[100:150] = d1[:50]  # twins
    d1 /= np.linalg.norm(d1, axis=1, keepdims=True)
    ratios = (None, 0.8, 0.95)
    wanted = [as_pairs(match_mutual_nn(d0, d1, ratio=ratio)) for ratio in ratios]
    monkeypatch.setattr("dift_geo.matching.product._onednn_is_quicker", lambda: False)
    product, random = torch.Tensor.__matmul__, torch.Generator().manual_seed(0)

    def rounded(a, b):
        answer = product(a, b)
        if answer.dtype == torch.float32:
            answer += 128 * 2.0**-24 * (2 * torch.rand(answer.shape, generator=random) - 1)
        return answer

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    for _ in range(5):
        got = [as_pairs(match_mutual_nn(d0, d1, ratio=ratio)) for ratio in ratios]
        assert got == wanted


def test_options_are_the_keywords() -> None:
    d0, d1 = unit(50, seed=1), unit(60, seed=2)
    options = MatchOptions(ratio=0.99, min_similarity=0.3)
    named = match_mutual_nn(d0, d1, ratio=0.99, min_similarity=0.3)
    np.testing.assert_array_equal(match(d0, d1, options).pairs, named.pairs)
    assert as_pairs(match(d0, d1)) == as_pairs(match_mutual_nn(d0, d1))
    assert len(match(d0, d1)) > len(named)


def test_tensors_are_taken_and_errors_say_what_was_got() -> None:
    assert len(match_mutual_nn(torch.eye(3), torch.eye(3))) == 3
    with pytest.raises(ValueError, match=r"16.*8"):
        match_mutual_nn(unit(3, 16), unit(3, 8))
    with pytest.raises(ValueError, match="ratio"):
        match_mutual_nn(unit(3), unit(3), ratio=1.5)
    with pytest.raises(ValueError, match="ratio"):
        match_mutual_nn(unit(3), unit(3), ratio=0.0)
    with pytest.raises(ValueError, match="block"):
        match_mutual_nn(unit(3), unit(3), block=0)
