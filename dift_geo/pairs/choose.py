"""Which images to match: by a word, a file, or what a matches file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dift_geo.errors import InputError
from dift_geo.pairs.lists import exhaustive_pairs, read_pairs, sequential_pairs
from dift_geo.store.matches import MatchStore

__all__ = ["choose_pairs", "stored_pairs"]


def choose_pairs(
    names: Sequence[str], how: str = "exhaustive", overlap: int = 10
) -> list[tuple[str, str]]:
    """Pairs by the word `exhaustive` or `sequential`, or those of the file that `how` names."""
    if how == "exhaustive":
        return exhaustive_pairs(names)
    if how == "sequential":
        return sequential_pairs(names, overlap)
    return read_pairs(how, names)


def stored_pairs(names: Sequence[str], matches: str | Path) -> list[tuple[str, str]]:
    """The pairs a matches file holds, by the true names: the file itself has dashes for slashes.

    Raises ValueError when the file names an image that is not among `names`.
    """
    by_key = {name.replace("/", "-"): name for name in names}
    with MatchStore(matches) as store:
        keys = list(store)
    strangers = {key for pair in keys for key in pair} - set(by_key)
    if strangers:
        raise InputError(
            f"{matches} matches {min(strangers)!r}, which has no features; the two files do not belong together"
        )
    return [(by_key[a], by_key[b]) for a, b in keys]
