"""Both libraries' products against float64, and which of them is taken."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch

from dift_geo.matching import product as module
from dift_geo.matching.candidates import largest_norm, summation_error
from dift_geo.matching.mutual_nn import match_mutual_nn
from dift_geo.matching.product import product

with_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN")
CHOICES = [False, pytest.param(True, marks=with_onednn)]


@pytest.mark.parametrize("onednn", CHOICES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 7), (1, 40, 640), (257, 130, 128)])
def test_a_product_is_within_the_bound(
    shape: tuple[int, int, int], onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_onednn_is_quicker", lambda: onednn)
    n, m, dim = shape
    random = torch.Generator().manual_seed(n)
    rows = torch.randn(2 * n, dim, generator=random)[::2]
    columns = torch.randn(dim, m, generator=random).T  # neither is contiguous
    found = product(rows, columns)
    assert found.dtype == torch.float32
    bound = summation_error(dim, largest_norm(rows), largest_norm(columns)) + 1e-7
    wanted = rows.double().numpy() @ columns.double().numpy().T
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("onednn", CHOICES)
@pytest.mark.parametrize(("n", "m", "dim"), [(0, 3, 4), (3, 0, 4), (2, 3, 0)])
def test_nothing_times_something_has_its_shape(
    n: int, m: int, dim: int, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_onednn_is_quicker", lambda: onednn)
    assert not product(torch.ones(n, dim), torch.ones(m, dim)).any()
    assert product(torch.ones(n, dim), torch.ones(m, dim)).shape == (n, m)


@with_onednn
def test_matches_do_not_depend_on_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    d0, d1 = random.standard_normal((2, 500, 64)).astype(np.float32)
    d1[:300] = d0[:300] + 0.3 * d1[:300]
    d1[400:] = d1[:100]
    d0, d1 = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (d0, d1))
    for ratio in (None, 0.9):
        found = []
        for onednn in (False, True):
            monkeypatch.setattr(module, "_onednn_is_quicker", lambda onednn=onednn: onednn)
            found.append(match_mutual_nn(d0, d1, ratio=ratio, block=300))
        np.testing.assert_array_equal(found[0].pairs, found[1].pairs)
        np.testing.assert_array_equal(found[0].scores, found[1].scores)


def test_a_torch_without_the_operation_multiplies_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", types.SimpleNamespace())
    assert not module._onednn_is_quicker.__wrapped__()


@with_onednn
def test_a_library_that_rounds_to_fewer_digits_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def coarse(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return (rows.bfloat16() @ columns.bfloat16().T).float()

    monkeypatch.setattr(module, "_by_onednn", coarse)
    spent = iter((1.0, 2.0))
    monkeypatch.setattr(module, "_lowest", lambda work: next(spent))
    assert not module._onednn_is_quicker.__wrapped__()


@pytest.mark.parametrize(("first", "second", "taken"), [(1.0, 2.0, True), (1.9, 2.0, False)])
def test_the_quicker_one_is_taken(
    first: float, second: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = iter((first, second))
    monkeypatch.setattr(module, "_lowest", lambda work: next(spent))
    monkeypatch.setattr(module, "_by_onednn", lambda rows, columns: rows @ columns.T)
    assert module._onednn_is_quicker.__wrapped__() is taken
