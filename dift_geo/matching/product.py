"""The product that matching spends its time on, by the quicker of two libraries.

torch multiplies by MKL, which keeps to AVX2 on other makers' processors; oneDNN, which comes with
torch too, takes AVX-512 wherever it is. Which of the two is quicker is tried once in a process.
Both sum in float32, each in an order of its own. Knows no descriptors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

__all__ = ["product"]

TRIES = 8
TRIED = (128, 1024, 256)  # rows, columns and numbers of each: half a millisecond
TOLERATED = 1e-3  # of sums of 256 products of normal numbers: no rounding to fewer digits


def product(rows: Tensor, columns: Tensor) -> Tensor:
    """All inner products (N, M), in float32, of rows (N, D) and (M, D)."""
    if rows.device.type == "cpu" and rows.shape[1] and _onednn_is_quicker():
        return _by_onednn(rows, columns)
    return rows @ columns.T


def _by_onednn(rows: Tensor, columns: Tensor) -> Tensor:
    answer: Tensor = torch.ops.mkldnn._linear_pointwise(rows, columns, None, "none", [], "")
    return answer


@cache
def _onednn_is_quicker() -> bool:
    """Whether oneDNN is there, as exact as MKL, and quicker by more than chance."""
    generator = torch.Generator().manual_seed(0)
    n, m, dim = TRIED
    rows, columns = (torch.randn(size, dim, generator=generator) for size in (n, m))
    try:
        away = (_by_onednn(rows, columns) - rows @ columns.T).abs().max().item()
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    spent = _lowest(lambda: _by_onednn(rows, columns))
    return away <= TOLERATED and spent < 0.8 * _lowest(lambda: rows @ columns.T)


def _lowest(work: Callable[[], object]) -> float:
    """Seconds of this thread, the lowest of a few tries."""
    tries = []
    for _ in range(TRIES):
        start = time.thread_time()
        work()
        tries.append(time.thread_time() - start)
    return min(tries)
