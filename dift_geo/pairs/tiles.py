"""The order of pairs in which few images have to be at hand. Knows no features."""

from __future__ import annotations

from collections.abc import Sequence

from dift_geo.types import Pair

__all__ = ["in_tiles"]


def in_tiles(pairs: Sequence[Pair], held: int) -> list[Pair]:
    """The same pairs, so that an image is read once for each block of others and not for each pair.

    Images are numbered as they first come and split into blocks. The pairs of a block come
    together, one image of the rest after the other with all of the block, which so stays at hand.

    held: how many images are kept at hand, those used last: a block, and two of the rest.
    """
    number: dict[str, int] = {}
    for pair in pairs:
        for name in pair:
            number.setdefault(name, len(number))
    block = max(1, held - 2)
    if len(number) <= max(held, 2):
        return list(pairs)

    def place(pair: Pair) -> tuple[int, int, int]:
        low, high = sorted((number[pair[0]], number[pair[1]]))
        return low // block, high, low

    return sorted(pairs, key=place)
