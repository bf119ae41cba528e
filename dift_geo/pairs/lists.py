"""Which images to match with which, and the text files that say so. Knows names only."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path

from dift_geo.errors import InputError, MissingFileError
from dift_geo.pairs.text import numbered_lines, plain_name, similar_name
from dift_geo.recipe import write_whole
from dift_geo.types import Pair

__all__ = [
    "exhaustive_pairs",
    "read_pairs",
    "sequences",
    "sequential_pairs",
    "unique_pairs",
    "write_pairs",
]

logger = logging.getLogger(__name__)
SEPARATORS = " ,;"  # between two names; a tab comes before all of them


def exhaustive_pairs(names: Sequence[str]) -> list[Pair]:
    """Every image with every other, once, in the order of `names`."""
    return list(combinations(names, 2))


def sequential_pairs(names: Sequence[str], overlap: int = 10) -> list[Pair]:
    """Every image with the next `overlap` ones of its own folder: for video and walks.

    Numbers count as such: frame2 comes before frame10. Raises InputError where `overlap` is less
    than 1.
    """
    if overlap < 1:
        raise InputError(f"overlap is {overlap}, expected at least 1")
    pairs: list[Pair] = []
    for group in sequences(names):
        for i, name in enumerate(group):
            pairs += [(name, later) for later in group[i + 1 : i + 1 + overlap]]
    return pairs


def sequences(names: Iterable[str]) -> list[list[str]]:
    """The images of each folder in order, where numbers count as such: frame2 before frame10."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    return [sorted(group, key=_in_order) for group in folders.values()]


def _in_order(name: str) -> tuple[list[str | int], str]:
    """Texts and numbers in turn; the name itself where only leading zeros differ."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def unique_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """Each pair once, in the order that comes first; no image with itself."""
    seen: set[Pair] = set()
    kept = []
    for a, b in pairs:
        if a != b and (a, b) not in seen and (b, a) not in seen:
            seen.add((a, b))
            kept.append((a, b))
    return kept


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> None:
    """One pair a line as hloc and COLMAP read it; a tab stands between names that hold spaces.

    The file is there whole or not at all. Raises WriteError.
    """
    lines = ((f"{a}\t{b}" if " " in a + b else f"{a} {b}") for a, b in pairs)
    write_whole(path, "".join(f"{line}\n" for line in lines).encode())


def read_pairs(
    path: str | Path, names: Iterable[str], *, left_out: Collection[str] = ()
) -> list[Pair]:
    """The pairs of a file, each once in either order, of the known `names`.

    Lines are `name0 name1`, perhaps with a score behind; names with spaces are told apart by a tab,
    by quotation marks or by what is known. Blank lines and # comments are passed over, as are pairs
    of an image with itself.

    left_out: names of images that could not be read: their pairs are left out with a warning.

    Raises MissingFileError, or InputError where there is no pair, naming the first line that fits
    no two known images or fits in two ways.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no pairs file at {path}; write one with `dift-geo pairs`")
    known = {name: name for name in chain(names, left_out)}
    found, count = [], 0
    for number, line in numbered_lines(path):
        pair = _read_line(line, known, f"{path}:{number}")
        if pair is None:
            continue
        count += 1
        if not (pair[0] in left_out or pair[1] in left_out):
            found.append(pair)
    pairs = unique_pairs(found)
    if len(found) < count:
        logger.warning(
            "%s: %d of %d pairs name images that cannot be read; they are left out",
            path,
            count - len(found),
            count,
        )
    if not count or (found and not pairs):
        raise InputError(f"{path} holds no pair of images, expected lines `name0 name1`")
    return pairs


def _read_line(line: str, known: Mapping[str, str], place: str) -> Pair | None:
    """The pair of a line; None for a comment."""
    simple = line.split(" ")
    if len(simple) == 2 and simple[0] in known and simple[1] in known:
        return known[simple[0]], known[simple[1]]
    for text in _readings(line):
        for cuts in (_at_tab(text), _at_separators(text), _at_quotes(text)):
            for spelled in (str, str.strip, plain_name):
                words = {(spelled(a), spelled(b)) for a, b in cuts}
                fits = [(a, b) for a, b in words if a in known and b in known]
                if len(fits) > 1:
                    raise InputError(
                        f"{place}: {line!r} fits known images in {len(fits)} ways; "
                        "put a tab between the two names"
                    )
                if fits:
                    return known[fits[0][0]], known[fits[0][1]]
    if line.lstrip().startswith("#"):
        return None
    hints = {word: similar_name(word, known) for word in line.split() if word not in known}
    meant = [f"; {word!r} may be {name!r}" for word, name in hints.items() if name is not None]
    raise InputError(
        f"{place}: {line!r} expected `name0 name1` of the {len(known)} known images"
        f"{''.join(meant[:1])}"
    )


def _readings(line: str) -> Iterator[str]:
    """The line, and what it is without a comment and numbers behind it, shorter and shorter."""
    yield line
    text = line.strip()
    if text != line:
        yield text
    if " #" in text[1:] or "\t#" in text[1:]:
        text = re.split(r"[ \t]+#", text, maxsplit=1)[0]
        yield text
    while (match := re.fullmatch(r"(.*\S)[\s,;]+(\S+)", text)) and _is_number(match[2]):
        text = match[1]
        yield text


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _at_tab(line: str) -> list[Pair]:
    a, tab, b = line.partition("\t")
    return [(a, b)] if tab else []


def _at_separators(line: str) -> list[Pair]:
    """Every way to read a line as two names."""
    return [(line[:i], line[i + 1 :]) for i, letter in enumerate(line) if letter in SEPARATORS]


def _at_quotes(line: str) -> list[Pair]:
    quoted = re.fullmatch(r"""\s*(["'])(.*?)\1[\s,;]+(["'])(.*?)\3\s*""", line)
    return [(quoted[2], quoted[4])] if quoted else []
