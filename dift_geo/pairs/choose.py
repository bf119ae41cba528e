"""Which images to match: by a word, a file, or what a matches file holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from dift_geo.errors import InputError
from dift_geo.pairs.lists import exhaustive_pairs, read_pairs, sequential_pairs, unique_pairs
from dift_geo.store.matches import MatchStore
from dift_geo.types import Pair

__all__ = ["PAIRS_BY_WORD", "choose_pairs", "stored_pairs"]

PAIRS_BY_WORD = ("exhaustive", "sequential")  # anything else is the path of a file


def choose_pairs(
    names: Sequence[str],
    how: str = "exhaustive",
    overlap: int = 10,
    *,
    left_out: Collection[str] = (),
) -> list[Pair]:
    """Pairs of images.

    names: of all images.
    how: `exhaustive`, `sequential`, or the path of a file of pairs.
    overlap: images ahead that each is paired with, where `how` is sequential.
    left_out: names of images that could not be read; a file may name them all the same.
    """
    if how == "exhaustive":
        return exhaustive_pairs(names)
    if how == "sequential":
        return sequential_pairs(names, overlap)
    return read_pairs(how, names, left_out=left_out)


def stored_pairs(names: Sequence[str], matches: str | Path) -> list[Pair]:
    """The pairs that a matches file holds, by the names of the images that have features.

    A file that another program wrote has dashes for slashes, and may hold both orders of a pair.
    Raises InputError when the file names an image that is not among `names`.
    """
    own, dashed = set(names), _by_dashed_name(names)

    def named(name: str) -> str:
        image = name if name in own else dashed.get(_dashed(name))
        if image is None:
            raise InputError(
                f"{matches} matches {name!r}, which has no features; "
                "the two files do not belong together"
            )
        return image

    with MatchStore(matches) as store:
        return unique_pairs((named(a), named(b)) for a, b in store)


def _by_dashed_name(names: Sequence[str]) -> dict[str, str]:
    """Names as hloc writes them into a matches file; those that two images share are no names."""
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(_dashed(name), []).append(name)
    return {dashed: images[0] for dashed, images in known.items() if len(images) == 1}


def _dashed(name: str) -> str:
    return name.replace("/", "-")
