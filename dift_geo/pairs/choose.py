"""Which images to match: by a word, a file, or what a matches file holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from dift_geo.errors import InputError
from dift_geo.pairs.lists import exhaustive_pairs, read_pairs, sequential_pairs
from dift_geo.store.matches import MatchStore
from dift_geo.types import Pair

__all__ = ["PAIRS_BY_WORD", "choose_pairs", "stored_pairs"]

PAIRS_BY_WORD = ("exhaustive", "sequential")  # anything else is the path of a file


def choose_pairs(names: Sequence[str], how: str = "exhaustive", overlap: int = 10) -> list[Pair]:
    """Pairs of images.

    names: of all images.
    how: `exhaustive`, `sequential`, or the path of a file of pairs.
    overlap: images ahead that each is paired with, where `how` is sequential.
    """
    if how == "exhaustive":
        return exhaustive_pairs(names)
    if how == "sequential":
        return sequential_pairs(names, overlap)
    return read_pairs(how, names)


def stored_pairs(names: Sequence[str], matches: str | Path) -> list[Pair]:
    """The pairs that a matches file holds, by the names of the images that have features.

    A file that another program wrote has dashes for slashes. Raises InputError when the file names
    an image that is not among `names`.
    """
    by_key = {_dashed(name): name for name in names}
    with MatchStore(matches) as store:
        stored = [(_dashed(a), _dashed(b)) for a, b in store]
    strangers = set(chain.from_iterable(stored)) - set(by_key)
    if strangers:
        raise InputError(
            f"{matches} matches {min(strangers)!r}, which has no features; "
            "the two files do not belong together"
        )
    return [(by_key[a], by_key[b]) for a, b in stored]


def _dashed(name: str) -> str:
    """As hloc writes a name into a matches file."""
    return name.replace("/", "-")
