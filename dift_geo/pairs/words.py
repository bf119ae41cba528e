"""The words by which a user asks for pairs: `retrieval:20`, `exhaustive`, `file:pairs.txt`.

Knows what the words mean and need, not how pairs are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dift_geo.errors import InputError

__all__ = ["KINDS", "How", "Kind", "parse_how"]


@dataclass(frozen=True)
class Kind:
    """A way to choose pairs.

    usage: how it is written.
    count: neighbours of each image where none are asked for; None where they have no number.
    needs: what is looked at besides the names: "features", "images", "model" or nothing.
    """

    usage: str
    count: int | None = None
    needs: str = ""


KINDS = {
    "exhaustive": Kind("exhaustive"),
    "sequential": Kind("sequential:N", 10),
    "retrieval": Kind("retrieval:N", 20, "features"),
    "loops": Kind("loops:N", 5, "features"),
    "vocabulary": Kind("vocabulary:N", 20, "features"),
    "spatial": Kind("spatial:N", 20, "images"),
    "poses": Kind("poses:N", 20, "model"),
    "covisible": Kind("covisible:N", 20, "model"),
    "file": Kind("file:PATH"),
}


@dataclass(frozen=True)
class How:
    """One way to choose pairs, as it was asked for.

    kind: a key of `KINDS`.
    count: neighbours of each image, where the kind has a number.
    path: of the list, where the kind is `file`.
    """

    kind: str
    count: int = 0
    path: Path | None = None

    @property
    def needs(self) -> str:
        """What is looked at besides the names of images."""
        return KINDS[self.kind].needs


def parse_how(words: Sequence[str]) -> list[How]:
    """What words as `retrieval:20` ask for. Raises InputError for a word that means nothing."""
    return [_parse(word) for word in words]


def _parse(word: str) -> How:
    name, colon, value = word.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        known = ", ".join(known.usage for known in KINDS.values())
        raise InputError(f"{word!r} is no way to choose pairs, expected one of {known}")
    if name == "file":
        if not value:
            raise InputError(f"{word!r} names no file, expected {kind.usage}")
        return How(name, path=Path(value))
    if kind.count is None:
        if colon:
            raise InputError(f"{word!r} has a number, expected {kind.usage}")
        return How(name)
    if not colon:
        return How(name, kind.count)
    if not value.isascii() or not value.isdecimal() or not int(value[:9]):
        raise InputError(f"{word!r}: expected {kind.usage} with a whole number N from 1")
    return How(name, int(value[:9]))
