"""The ratio test out of what one pass over the products leaves, against float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dift_geo.matching.candidates import (
    TOLERANCE,
    Entries,
    Nearby,
    find_candidates,
    largest_norm,
    summation_error,
)
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.matching.settle import best_rivals, passes_ratio


def unit(n: int, dim: int, seed: int, offset: float = 0) -> np.ndarray:
    """Unit rows; with an offset, in a cone."""
    rows = np.random.default_rng(seed).standard_normal((n, dim)) + offset
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def sets(n: int, m: int, offset: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two sets that share rows, some of them twice, up to noise of many sizes."""
    random = np.random.default_rng(n)
    d0, d1 = unit(n, 32, 1, offset), unit(m, 32, 2, offset)
    shared = min(n, m) // 2
    noise = random.choice([0, 1e-7, 1e-3, 0.05, 0.2], (shared, 1))
    d1[:shared] = d0[:shared] + noise * random.standard_normal((shared, 32))
    d1[shared : shared + 20] = d1[:20]
    d0[-30:] = d0[20:50]
    return d0, d1 / np.linalg.norm(d1, axis=1, keepdims=True)


def by_definition(d0: np.ndarray, d1: np.ndarray, ratio: float) -> list[list[int]]:
    """Mutual neighbours that pass the ratio from both sides, in float64."""
    similarity = d0.astype(np.float64) @ d1.astype(np.float64).T
    near0, near1 = (
        (s >= s.max(1, keepdims=True) - TOLERANCE).argmax(1) for s in (similarity, similarity.T)
    )
    pairs = []
    for i, j in enumerate(near0):
        first = similarity[i, j]
        rivals = np.delete(similarity[i], j).max(), np.delete(similarity[:, j], i).max()
        if near1[j] == i and all(
            second < first - TOLERANCE and max(0, 1 - first) <= ratio**2 * (1 - second)
            for second in rivals
        ):
            pairs.append([i, int(j)])
    return pairs


@pytest.mark.parametrize("block", [70, 200, 4096])
@pytest.mark.parametrize(("n", "m"), [(300, 450), (512, 320)])
@pytest.mark.parametrize("offset", [0, 2])
@pytest.mark.parametrize("ratio", [0.6, 0.9, 0.99])
def test_the_ratio_follows_its_definition_at_size(
    n: int, m: int, block: int, offset: float, ratio: float
) -> None:
    d0, d1 = sets(n, m, offset)
    wanted = by_definition(d0, d1, ratio)
    assert match_mutual_nn(d0, d1, ratio=ratio, block=block).pairs.tolist() == wanted
    assert len(wanted) > 10


def test_the_ratio_takes_no_product_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    d0, d1 = unit(300, 64, 1), unit(400, 64, 2)
    d1[:150] = d0[:150]
    entries = 0
    product = torch.Tensor.__matmul__
    monkeypatch.setattr("dift_geo.matching.product._onednn_is_quicker", lambda: False)

    def watch(a, b):
        nonlocal entries
        answer = product(a, b)
        entries += answer.numel()
        return answer

    monkeypatch.setattr(torch.Tensor, "__matmul__", watch)
    match_mutual_nn(d0, d1)
    without, entries = entries, 0
    assert len(match_mutual_nn(d0, d1, ratio=0.9)) == 150
    assert entries == without


@pytest.mark.parametrize("block", [64, 150, 4096])
def test_the_best_rival_is_that_of_the_whole_product(block: int) -> None:
    d0, d1 = sets(300, 450)
    similarity = d0.astype(np.float64) @ d1.astype(np.float64).T
    first, second = torch.from_numpy(d0), torch.from_numpy(d1)
    error = summation_error(32, largest_norm(first), largest_norm(second))
    candidates = find_candidates(first, second, error, block, rest=True)
    assert candidates is not None
    pairs = match_mutual_nn(d0, d1).pairs
    similarity[tuple(pairs.T)] = -np.inf
    there = best_rivals(first, second, Entries(*pairs.T), candidates.of0)
    back = best_rivals(second, first, Entries(*pairs.T).turned(), candidates.of1)
    np.testing.assert_allclose(there, similarity[pairs[:, 0]].max(1), atol=2 * error)
    np.testing.assert_allclose(back, similarity[:, pairs[:, 1]].max(0), atol=2 * error)


def test_without_rivals_there_is_nothing_to_fail_a_pair() -> None:
    one, none = torch.ones(1, 1), np.zeros(0, np.int64)
    pair = Entries(np.zeros(1, np.int64), np.zeros(1, np.int64))
    assert best_rivals(one, one, pair, Nearby(pair, np.full(1, -np.inf))) == [-np.inf]
    nothing = Nearby(Entries(none, none), np.full(1, -np.inf))
    assert not len(best_rivals(one, one, Entries(none, none), nothing))


def test_only_what_an_error_can_turn_is_unsure() -> None:
    first, second = np.array([0.9, 0.9, 0.9, 0.9, 0.9]), np.array([0.5, 0.6, 0.59999, 0.8, 0.9])
    passed, unsure = passes_ratio(first, second, 0.5, 1e-5)  # its limit is 1 - 0.1 / 0.25 = 0.6
    assert passed.tolist()[0] is True
    assert passed.tolist()[3:] == [False, False]
    assert unsure.tolist() == [False, True, True, False, False]


def test_a_rival_that_may_tie_is_unsure_only_at_a_cosine_of_one() -> None:
    passed, unsure = passes_ratio(np.array([1.0, 1.0]), np.array([1 - 1e-4, 1.0]), 0.9, 1e-6)
    assert passed.tolist() == [True, False]
    assert unsure.tolist() == [False, True]
