"""A COLMAP database of ours, open in pycolmap, and what becomes of it when the disk is full.

For databases that we make: pycolmap brings an older one to its own version.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dift_geo.colmap.quiet import quiet
from dift_geo.errors import WriteError

if TYPE_CHECKING:
    import pycolmap

__all__ = ["opened", "require_room"]

# how pycolmap begins what SQLite said, and all that it says where a file could not be opened
SQLITE, UNOPENED = "SQLite error", "No registered database factory"

MARGIN = 1 << 19  # bytes, of which tables without rows take half


@contextmanager
def opened(path: str | Path) -> Iterator[pycolmap.Database]:
    """The database of a file, a new one where there is none, for a `with` block.

    Raises WriteError where the file cannot be written.
    """
    import pycolmap

    try:
        with quiet():
            database = pycolmap.Database.open(str(path))
        with database:
            yield database
    except RuntimeError as error:
        said = " ".join(str(error).split())
        if SQLITE not in said and UNOPENED not in said:
            raise
        reason = said.partition(f"{SQLITE}: ")[2] or "COLMAP cannot open it"
        raise WriteError(
            f"{path} cannot be written ({reason}); make room on the disk or choose another folder"
        ) from error


def require_room(path: str | Path, size: int) -> None:
    """Raise WriteError where the disk has no room for bytes that COLMAP adds to a database.

    COLMAP ends the whole process where it cannot write in a thread of its own, or at the end of a
    transaction. All is written twice: in the database, and in SQLite's log of the changes.

    path: the file.
    """
    folder = Path(path).parent
    needed, free = 2 * size + MARGIN, shutil.disk_usage(folder).free
    if free < needed:
        raise WriteError(
            f"{folder} has {free / 1e6:.1f} MB left, expected at least {needed / 1e6:.1f} for "
            "COLMAP's database; make room on the disk or choose another folder"
        )
