"""Mutual nearest neighbours against a brute-force loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dift_geo.matching.mutual_nn import match_mutual_nn


def unit(n: int, dim: int = 16, seed: int = 0, levels: int = 0) -> np.ndarray:
    """Unit rows; with `levels`, of few distinct values, so that ties abound."""
    random = np.random.default_rng(seed)
    rows = (
        random.standard_normal((n, dim)) if not levels else random.integers(1, levels + 1, (n, dim))
    )
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def brute_force(d0, d1, ratio=None, min_similarity=None) -> list[tuple[int, int]]:
    """The definition, one pair at a time."""
    if not len(d0) or not len(d1):
        return []
    similarity = (torch.from_numpy(d0) @ torch.from_numpy(d1).T).numpy()

    def passes(row: np.ndarray, best: int) -> bool:
        others = np.delete(row, best)
        if ratio is None or not len(others):
            return True
        return max(0, 1 - row[best]) <= ratio**2 * (1 - others.max())

    pairs = []
    for i, row in enumerate(similarity):
        j = int(row.argmax())  # argmax: the first of equals
        column = similarity[:, j]
        if int(column.argmax()) != i or not passes(row, j) or not passes(column, i):
            continue
        if min_similarity is None or row[j] >= min_similarity:
            pairs.append((i, j))
    return pairs


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(1, 50),
    st.sampled_from([None, 0.8, 0.95, 1.0]),
    st.sampled_from([None, 0.2, 0.5]),
    st.integers(0, 1000),
)
def test_equals_brute_force(n: int, m: int, block: int, ratio, min_similarity, seed: int) -> None:
    d0, d1 = unit(n, seed=seed), unit(m, seed=seed + 1)
    shared = min(n, m) // 2
    d1[:shared] = d0[:shared]
    matches = match_mutual_nn(d0, d1, ratio=ratio, min_similarity=min_similarity, block=block)
    assert [tuple(pair) for pair in matches.pairs.tolist()] == brute_force(
        d0, d1, ratio, min_similarity
    )
    cosine = (d0[matches.pairs[:, 0]] * d1[matches.pairs[:, 1]]).sum(1)
    np.testing.assert_allclose(matches.scores, cosine, atol=1e-6)


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


def test_an_identical_rival_fails_the_ratio() -> None:
    d1 = unit(3)
    d1[1] = d1[0]
    assert len(match_mutual_nn(d1[:1], d1)) == 1
    assert len(match_mutual_nn(d1[:1], d1, ratio=0.9)) == 0


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
