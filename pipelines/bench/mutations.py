"""Bytes of files after accidents and at the hands of people who mean harm.

A part of `fuzz.py`, which has the command line. Knows no format but by what stands in it.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence

__all__ = ["mutate_binary", "mutate_safetensors", "mutate_text"]

Mutation = Callable[[bytes, random.Random], bytes]
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 60000, 0x7FFFFFFF, 0xFFFFFFFF)
WORDS = (
    *(b"nan", b"-nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"1e-400", b"9" * 400, b"0x10"),
    *(b"#", b"\0", b"\r", b"\n\n", b"\t", b'"', b"'", b"\\", b"../", b"/", b"~", b"*", b"\xff"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", "\u2028".encode(), "\u202e".encode(), b"[" * 5000, b"{}"),
    *(b"null", b"true", b"-", b",", b" ", b"\x1b[2J", b"a" * 100_000),
)


def _flip(data: bytes, draw: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(draw.choice([1, 1, 3, 20])):
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    return bytes(broken)


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _block(data: bytes, draw: random.Random) -> bytes:
    at, size = draw.randrange(len(data)), draw.choice([1, 4, 64, 512])
    block = bytes(size) if draw.random() < 0.5 else draw.randbytes(size)
    return data[:at] + block[: len(data) - at] + data[at + size :]


def _insert(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + draw.randbytes(draw.choice([1, 7, 300])) + data[at:]


def _delete(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + data[at + draw.choice([1, 2, 50]) :]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    a, b = sorted((draw.randrange(len(data)), draw.randrange(len(data))))
    return data[:b] + data[a:b] * draw.randrange(1, 4) + data[b:]


def _claim(data: bytes, draw: random.Random) -> bytes:
    """An extreme number somewhere in the head, where sizes stand."""
    form = draw.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"])
    most = (1 << (8 * struct.calcsize(form))) - 1
    number = struct.pack(form, min(draw.choice(EXTREMES), most))
    at = draw.randrange(min(len(data), 200))
    return data[:at] + number + data[at + len(number) :]


BINARY: Sequence[Mutation] = (_flip, _flip, _cut, _block, _insert, _delete, _repeat, _claim, _claim)


def mutate_binary(data: bytes, draw: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One accident, or two. others: files whose ends may take the place of this one's."""
    for _ in range(draw.choice([1, 1, 2])):
        if others and draw.random() < 0.08:
            other = draw.choice(others)
            data = data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]
        data = draw.choice(BINARY)(data, draw) or b"\0"
    return data


def mutate_text(data: bytes, draw: random.Random) -> bytes:
    """Words and lines that people and programs write into texts, or an accident."""
    lines = data.splitlines(keepends=True)
    how = draw.randrange(8)
    if how < 3:
        at = draw.randrange(len(data))
        return data[:at] + draw.choice(WORDS) + data[at:]
    if how == 3:
        row = draw.randrange(len(lines))
        words = lines[row].split()
        if words:
            words[draw.randrange(len(words))] = draw.choice(WORDS)
        lines[row] = b" ".join(words) + b"\n"
        return b"".join(lines)
    if how == 4:
        draw.shuffle(lines)
        return b"".join(lines[: draw.randrange(len(lines) + 1)] * draw.choice([1, 2]))
    if how == 5:
        encoding = draw.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"])
        return data.decode("utf-8", "replace").encode(encoding)
    return mutate_binary(data, draw)


def mutate_safetensors(data: bytes, draw: random.Random) -> bytes:
    """The description of the tensors changed, as it could not be by accident; or an accident."""
    if draw.random() < 0.6:
        return mutate_binary(data, draw)
    (size,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + size])
    name = draw.choice([key for key in head if key != "__metadata__"])
    how = draw.randrange(6)
    if how == 0:
        head[name]["dtype"] = draw.choice(["F64", "I64", "BF16", "BOOL", "U8", "F8_E4M3", "X"])
    elif how == 1:
        head[name]["shape"] = draw.choice([[], [0], [-1, 3], [1 << 40], head[name]["shape"][::-1]])
    elif how == 2:
        head[name]["data_offsets"] = [0, draw.choice([0, 1, 1 << 50])]
    elif how == 3:
        head[draw.choice(["x", "", "mean", "../x"])] = head.pop(name)
    elif how == 4:
        head["__metadata__"] = draw.choice([{"about": "[" * 9000}, {"about": "1"}, 3])
    else:
        head.pop(name)
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]
