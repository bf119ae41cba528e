"""Results that were published, so that one knows them again: by size and time, else by content.

A database counts by its rows: a program that only looks into one changes its bytes. Knows no
COLMAP.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

from dift_geo.detectors.colmap_database import connect
from dift_geo.images import content_hash

__all__ = ["COMPANIONS", "Record", "is_recorded", "record"]

Record = Mapping[str, object]  # size and time of a file, and a hash of its content
COMPANIONS = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database that is in use


def record(path: Path) -> Record:
    """What to remember of a file."""
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "content": _content(path)}


def is_recorded(path: Path, known: Record) -> bool:
    """Whether the file is the one that was recorded, as far as its content goes."""
    if not path.is_file():
        return False
    stat = path.stat()
    same = stat.st_size == known.get("size") and stat.st_mtime_ns == known.get("mtime_ns")
    if same and not _unmerged(path):
        return True
    return _content(path) == known.get("content")


def _unmerged(path: Path) -> bool:
    """Whether SQLite keeps changes of a database in a file beside it."""
    log = path.with_name(f"{path.name}-wal")
    return log.is_file() and log.stat().st_size > 0


def _content(path: Path) -> str:
    with path.open("rb") as file:
        is_database = file.read(15) == b"SQLite format 3"
    try:
        return _rows_hash(path) if is_database else content_hash(path)
    except sqlite3.Error as error:  # locked or damaged: not what was recorded
        return f"unreadable: {error}"


def _rows_hash(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with closing(connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in sorted(tables):
            digest.update(table.encode())
            for row in database.execute(f'SELECT * FROM "{table}" ORDER BY rowid'):
                digest.update(repr(row).encode())
    return digest.hexdigest()
