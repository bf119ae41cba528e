"""The order in which images are read least, against a cache that counts."""

from __future__ import annotations

from collections import OrderedDict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dift_geo.pairs.tiles import in_tiles
from dift_geo.types import Pair


def reads(pairs: list[Pair], held: int) -> int:
    """How often an image is read where those used last are kept."""
    kept: OrderedDict[str, None] = OrderedDict()
    count = 0
    for pair in pairs:
        for name in pair:
            count += name not in kept
            kept[name] = None
            kept.move_to_end(name)
            if len(kept) > held:
                kept.popitem(last=False)
    return count


@pytest.mark.parametrize(("images", "held"), [(60, 12), (60, 20), (61, 7), (100, 50)])
def test_the_rest_is_read_once_for_each_block(images: int, held: int) -> None:
    pairs = list(combinations([f"{i:03}" for i in range(images)], 2))
    tiled = in_tiles(pairs, held)
    assert sorted(tiled) == pairs
    # a block reads its own images and those after it
    assert reads(tiled, held) <= sum(images - first for first in range(0, images, held - 2))
    assert reads(tiled, held) < reads(pairs, held) / 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique=True), st.integers(0, 12))
def test_any_pairs_stay_what_they_are(numbers: list[tuple[int, int]], held: int) -> None:
    pairs = [(str(a), str(b)) for a, b in numbers]
    assert sorted(in_tiles(pairs, held)) == sorted(pairs)


def test_where_all_fit_nothing_moves() -> None:
    pairs = [("b", "a"), ("c", "a"), ("a", "d")]
    assert in_tiles(pairs, 4) == pairs
    assert in_tiles([], 3) == []
    assert in_tiles(pairs[:1], 0) == pairs[:1]


def test_pairs_of_neighbours_in_any_order_are_read_little_more_than_once() -> None:
    near = [(f"{i:03}", f"{j:03}") for i in range(200) for j in range(i + 1, min(200, i + 6))]
    order = np.random.default_rng(0).permutation(len(near))
    mixed = sorted((near[i] for i in order), key=lambda pair: pair[0])
    assert reads(in_tiles(mixed, 40), 40) < 1.3 * 200
