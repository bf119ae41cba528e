"""Rows of a COLMAP database, replaced all at once or not at all.

With SQL, so that the database keeps its version, its permissions and all else that it holds. Knows
no stores.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dift_geo.detectors.colmap_database import connect, pair_id_of, sqlite_errors
from dift_geo.errors import InputError, WriteError

__all__ = ["copy_database", "forget_pairs", "one_transaction", "replace_pairs"]

# verified matches; the second is what COLMAP called them before version 3.2
GEOMETRIES = ("two_view_geometries", "inlier_matches")


@contextmanager
def one_transaction(path: str | Path) -> Iterator[sqlite3.Connection]:
    """An existing database to write to: what the `with` block does counts at its end, or nothing.

    Raises StoreError while another program writes, WriteError where writing is not allowed, and
    InputError for a database that does something of its own when it is written.
    """
    path = Path(path)
    connect(path).close()  # it is one
    uri = f"{path.resolve().as_uri()}?mode=rw"
    with _write_errors(path), closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as sql:
        sql.execute("BEGIN IMMEDIATE")
        try:
            _refuse_triggers(path, sql)
            yield sql
        except BaseException:
            sql.execute("ROLLBACK")
            raise
        sql.execute("COMMIT")


def _refuse_triggers(path: Path, sql: sqlite3.Connection) -> None:
    """COLMAP's databases have none; what one would do to rows, or how long, nobody can tell."""
    for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        raise InputError(
            f"{path} has a trigger {name!r}, expected none; drop it or choose a new file"
        )


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    with sqlite_errors(path):
        try:
            yield
        except sqlite3.OperationalError as error:
            if "readonly" in str(error) or "unable to open" in str(error):
                raise WriteError(f"{path} cannot be written ({error}); choose another") from error
            if "full" in str(error):
                raise WriteError(f"{path} cannot be written ({error}); it is as it was") from error
            raise


def copy_database(source: str | Path, target: str | Path) -> None:
    """A copy with all that is committed, also where another program has the database open."""
    with (
        sqlite_errors(Path(source)),
        closing(connect(Path(source))) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def forget_pairs(path: str | Path, pairs: Iterable[tuple[int, int]]) -> None:
    """Remove the matches of pairs of images, and all that is verified, from a database of ours."""
    with one_transaction(path) as sql:
        sql.execute("DELETE FROM two_view_geometries")
        keys = ((pair_id_of(*pair),) for pair in pairs)
        sql.executemany("DELETE FROM matches WHERE pair_id = ?", keys)


def replace_pairs(
    sql: sqlite3.Connection,
    pairs: Collection[tuple[int, int]],
    made: str | Path,
    *,
    matches: bool = True,
) -> None:
    """Put the matches and verified matches of pairs, as the database `made` has them, into another.

    pairs: image ids.
    matches: off, verified matches alone.
    """
    keys = [(pair_id_of(*pair),) for pair in pairs]
    with closing(connect(Path(made))) as new:
        for tables in [("matches",), GEOMETRIES] if matches else [GEOMETRIES]:
            target = next((table for table in tables if _columns(sql, table)), None)
            if target is None:
                continue
            sql.executemany(f"DELETE FROM {target} WHERE pair_id = ?", keys)
            theirs = _columns(sql, target)
            names = ", ".join(name for name in _columns(new, tables[0]) if name in theirs)
            marks = ", ".join("?" * len(names.split(", ")))
            for key in keys:
                rows = new.execute(f"SELECT {names} FROM {tables[0]} WHERE pair_id = ?", key)
                sql.executemany(f"INSERT INTO {target} ({names}) VALUES ({marks})", rows)


def _columns(sql: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in sql.execute(f"PRAGMA table_info({table})")]
