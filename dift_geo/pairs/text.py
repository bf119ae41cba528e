"""Text files that people and programs write: decoded, in lines, with names as they are meant.

Knows neither pairs nor cameras.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from dift_geo.errors import InputError, MissingFileError

__all__ = ["numbered_lines", "plain_name", "similar_name"]

# by what a file begins with; UTF-32 before UTF-16, whose mark it begins with
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
QUOTES = "\"'"


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines of a text that are not blank, with their numbers from 1.

    UTF-8 or what the mark at its beginning says; lines may end as on any system. Names may hold
    what Unicode calls a line separator.

    Raises MissingFileError where there is no file and InputError for what is no text.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"no file at {path}, expected a text file") from error
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is no text in UTF-8 ({error.reason}); save it as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{path} is no text in UTF-8 (it has zeros); save it as UTF-8")
    for number, line in enumerate(re.split("\r\n|\n|\r", text), 1):
        if line.strip():
            yield number, line


def plain_name(word: str) -> str:
    """The name that is meant: without quotation marks and `./`, with slashes that lean forward."""
    word = word.strip()
    if len(word) > 1 and word[0] == word[-1] and word[0] in QUOTES:
        word = word[1:-1]
    return PurePosixPath(word.replace("\\", "/")).as_posix()


def similar_name(word: str, known: Iterable[str]) -> str | None:
    """The one known name that a word may mean: of other case, or with other folders before it."""
    wanted = plain_name(word).casefold()
    last = PurePosixPath(wanted).name
    same_case = [name for name in known if name.casefold() == wanted]
    same_file = [name for name in known if PurePosixPath(name).name.casefold() == last]
    found = same_case or same_file
    return found[0] if len(found) == 1 else None
