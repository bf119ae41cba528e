"""A table of contents behind the end of an HDF5 file, so that thousands of names are read at once.

HDF5 stops reading at its own end and does not see it; whoever changes the file through HDF5 cuts it
off, so that it is never out of date. A file without one is right, only slower to ask. Knows no
layout: a row is the path of a group and what its attributes say.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from dift_geo.jsonfiles import parse_json

__all__ = ["Row", "Rows", "append_index", "has_index", "read_index"]

Row = tuple[str | int, ...]
Rows = Mapping[str, Row]  # by the path of the group
END = struct.Struct(">QI8s")  # bytes of the table, their checksum, MAGIC
MAGIC = b"diftgeo1"
BLOCK = 0xFFFF  # bytes of a block that is not compressed, at most


class Writable(Protocol):
    """A file that can be appended to."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def write(self, data: bytes, /) -> int: ...


def append_index(file: Writable, rows: Rows) -> None:
    """Put the table behind the end of a file."""
    columns = [list(rows), *zip(*rows.values())]
    data = _compressed(json.dumps([_packed(column) for column in columns]).encode())
    file.seek(0, os.SEEK_END)
    file.write(data + END.pack(len(data), zlib.crc32(data), MAGIC))


def _compressed(data: bytes) -> bytes:
    """As zlib has it.

    pycolmap 4.2 carries a zlib of its own. Where it was loaded before Python's, the two are mixed
    up, and the first compression of the process ends it with `free(): invalid pointer`. There the
    data is wrapped without being compressed, which any zlib reads.
    """
    loaded = [name for name in sys.modules if name in ("zlib", "pycolmap._core")]
    if loaded[0] == "zlib":
        return zlib.compress(data, 1)
    parts = [data[i : i + BLOCK] for i in range(0, len(data), BLOCK)] or [b""]
    wrapped = [b"\x78\x01"]  # RFC 1950, and RFC 1951 for its stored blocks
    for number, part in enumerate(parts, 1):
        wrapped += [struct.pack("<BHH", number == len(parts), len(part), len(part) ^ BLOCK), part]
    return b"".join([*wrapped, struct.pack(">I", zlib.adler32(data))])


def has_index(file: BinaryIO) -> bool:
    """Whether a file ends as one with a table does, whole or not."""
    return _end(file) is not None


def read_index(path: Path, width: int) -> dict[str, Row] | None:
    """The table behind a file; None where there is none, a damaged one, or one of another program.

    width: how many values a row has.
    """
    with path.open("rb") as file:
        end = _end(file)
        if end is None:
            return None
        size, checksum = end
        file.seek(-END.size - size, os.SEEK_END)
        data = file.read(size)
    if zlib.crc32(data) != checksum:
        return None
    names, *columns = (_unpacked(column) for column in parse_json(zlib.decompress(data)))
    if names and len(columns) != width:
        return None
    return dict(zip(map(str, names), zip(*columns)))


def _end(file: BinaryIO) -> tuple[int, int] | None:
    whole = file.seek(0, os.SEEK_END)
    if whole < END.size:
        return None
    file.seek(-END.size, os.SEEK_END)
    size, checksum, magic = END.unpack(file.read(END.size))
    return (size, checksum) if magic == MAGIC and size <= whole - END.size else None


def _packed(column: Sequence[str | int]) -> object:
    """Words that come again and again are written once."""
    words = list(dict.fromkeys(column))
    if len(words) > len(column) // 2:
        return list(column)
    at = {word: place for place, word in enumerate(words)}
    return {"words": words, "at": [at[word] for word in column]}


def _unpacked(column: list[str | int] | dict[str, list]) -> list[str | int]:
    if isinstance(column, list):
        return column
    words = column["words"]
    return [words[place] for place in column["at"]]
