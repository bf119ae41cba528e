"""Which images to match with which, and the text files that say so. Knows names only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

from dift_geo.errors import InputError, MissingFileError
from dift_geo.types import Pair

__all__ = ["exhaustive_pairs", "read_pairs", "sequential_pairs", "write_pairs"]


def exhaustive_pairs(names: Sequence[str]) -> list[Pair]:
    """Every image with every other, once, in the order of `names`."""
    return list(combinations(names, 2))


def sequential_pairs(names: Sequence[str], overlap: int = 10) -> list[Pair]:
    """Every image with the next `overlap` ones of its own folder: for video and walks.

    Raises InputError where `overlap` is less than 1.
    """
    if overlap < 1:
        raise InputError(f"overlap is {overlap}, expected at least 1")
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    pairs: list[Pair] = []
    for group in folders.values():
        for i, name in enumerate(group):
            pairs += [(name, later) for later in group[i + 1 : i + 1 + overlap]]
    return pairs


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> None:
    """One pair a line as hloc and COLMAP read it; a tab stands between names that hold spaces."""
    lines = ((f"{a}\t{b}" if " " in a + b else f"{a} {b}") for a, b in pairs)
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_pairs(path: str | Path, names: Iterable[str]) -> list[Pair]:
    """The pairs of a file, each once in either order, of the known `names`.

    Lines are `name0 name1`; names with spaces are told apart by a tab or by what is known. Blank
    lines and # comments are passed over. Raises MissingFileError, or InputError naming the first
    line that fits no two known images.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no pairs file at {path}; write one with `dift-geo pairs`")
    known: set[str] = set(names)
    pairs: dict[frozenset[str], Pair] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pair = next((cut for cut in _cuts(line.strip()) if known.issuperset(cut)), None)
        if pair is None:
            raise InputError(
                f"{path}:{number}: {line!r} expected `name0 name1` of the {len(known)} known images"
            )
        if pair[0] != pair[1]:
            pairs.setdefault(frozenset(pair), pair)
    return list(pairs.values())


def _cuts(line: str) -> Iterator[Pair]:
    """Every way to read a line as two names."""
    if "\t" in line:
        a, _, b = line.partition("\t")
        yield a.strip(), b.strip()
        return
    for i, character in enumerate(line):
        if character == " ":
            yield line[:i], line[i + 1 :].strip()
