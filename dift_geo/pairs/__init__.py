"""Which images to match with which."""

from __future__ import annotations

from dift_geo.pairs.choose import choose_pairs, stored_pairs
from dift_geo.pairs.lists import exhaustive_pairs, read_pairs, sequential_pairs, write_pairs

__all__ = [
    "choose_pairs",
    "exhaustive_pairs",
    "read_pairs",
    "sequential_pairs",
    "stored_pairs",
    "write_pairs",
]
