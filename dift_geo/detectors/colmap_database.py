"""A COLMAP database, read with SQL and left as it is.

pycolmap would bring an older database to its own version and change the bytes of any. All versions
of COLMAP keep names, sizes, keypoints and matches in the same columns. Knows no pycolmap.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError, StoreError

__all__ = [
    "ColmapDatabase",
    "connect",
    "image_ids_of_pair",
    "pair_id_of",
    "read_database",
    "sqlite_errors",
]

# the columns that are read; what has them is a COLMAP database of some version
COLUMNS = {
    "cameras": ("camera_id", "width", "height"),
    "images": ("image_id", "name", "camera_id"),
    "keypoints": ("image_id", "rows", "cols", "data"),
    "descriptors": ("image_id", "rows", "cols", "data"),
    "matches": ("pair_id", "rows", "cols", "data"),
}
MAX_IMAGES = 2147483647  # a pair of images is the number MAX_IMAGES * smaller id + larger id
SIFT = 0  # COLMAP's number of the descriptors that it keeps as bytes
LOCKED = ("locked", "busy")
KEYPOINT_COLUMNS = (2, 4, 6)  # a place; scale and orientation; an affine shape
LONGEST_SIDE = 1 << 31  # of an image, in pixels


def image_ids_of_pair(pair_id: int) -> tuple[int, int]:
    """The two images of a pair as COLMAP numbers it."""
    return divmod(pair_id, MAX_IMAGES)


def pair_id_of(id0: int, id1: int) -> int:
    """COLMAP's number of a pair of images, in either order."""
    return MAX_IMAGES * min(id0, id1) + max(id0, id1)


def connect(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. What another program is writing is seen as it was before.

    Raises MissingFileError where there is no file, and InputError where it is not SQLite's.
    """
    if not path.is_file():
        raise MissingFileError(
            f"no COLMAP database at {path}; expected the file `colmap feature_extractor` writes"
        )
    with path.open("rb") as file:
        head = file.read(20)
    if not head.startswith(b"SQLite format 3"):
        raise InputError(f"{path} is no COLMAP database; expected an SQLite file")
    # of this kind, as COLMAP's are, SQLite would make two files to read; without them nobody writes
    logs_changes = head[18:] == b"\2\2"
    quiet = logs_changes and not path.with_name(f"{path.name}-wal").exists()
    how = "immutable=1" if quiet else "mode=ro"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """What SQLite says, in a line that names the database and the remedy."""
    try:
        yield
    except sqlite3.Error as error:
        if any(word in str(error) for word in LOCKED):
            raise StoreError(
                f"{path} is in use by another program; close it and run again, nothing was changed"
            ) from error
        raise StoreError(
            f"{path} cannot be read ({error}); restore it from a copy, or choose another"
        ) from error


class ColmapDatabase:
    """What a COLMAP database holds of images, keypoints and matches.

    path: the file.

    Raises MissingFileError where there is none, InputError where it is no COLMAP database and
    StoreError where it is damaged or another program keeps it locked.
    """

    def __init__(self, path: str | Path, connection: sqlite3.Connection) -> None:
        self.path = Path(path)
        self._sql = connection
        # a view would be read like a table, and may have rows without end
        rows = self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        self._tables = {row[0] for row in rows}
        for table, columns in COLUMNS.items():
            found = {row[1] for row in self._rows(f"PRAGMA table_info({table})")}
            if table not in self._tables:
                raise InputError(
                    f"{path} is no COLMAP database: it has no table {table}; "
                    "expected the file `colmap feature_extractor` writes"
                )
            if missing := sorted({*columns} - found):
                raise InputError(
                    f"{path} is no COLMAP database that is known here: "
                    f"its table {table} has no column {missing[0]}"
                )

    def image_ids(self) -> dict[str, int]:
        """Image ids by name, in their order.

        Raises InputError for names that are no text and for two images of one name.
        """
        ids: dict[str, int] = {}
        for name, image_id in self._rows("SELECT name, image_id FROM images ORDER BY image_id"):
            if not isinstance(name, str) or name in ids or not isinstance(image_id, int):
                raise InputError(
                    f"{self.path}: image {image_id!r} is called {name!r}, expected a name of its "
                    "own for every image; restore the database from a copy"
                )
            ids[name] = image_id
        return ids

    def size_wh(self, image_id: int) -> tuple[int, int]:
        """The size of an image in pixels, which is that of its camera.

        Raises InputError where the image has no camera, or its size cannot be one.
        """
        rows = self._rows(
            "SELECT width, height FROM cameras WHERE camera_id = "
            "(SELECT camera_id FROM images WHERE image_id = ?)",
            image_id,
        )
        for sides in rows:
            if not all(isinstance(side, int) and 0 < side < LONGEST_SIDE for side in sides):
                raise InputError(
                    f"{self.path}: the camera of image {image_id} has {sides[0]!r} x {sides[1]!r} "
                    "pixels, expected the size of the photo; restore the database from a copy"
                )
            return sides[0], sides[1]
        raise InputError(f"{self.path}: image {image_id} has no camera, expected its size there")

    def keypoints(self, image_id: int) -> NDArray[np.float32] | None:
        """(N, 2), (N, 4) or (N, 6) rows as COLMAP keeps them; None where an image has none.

        Raises InputError for numbers that are not finite, and rows of another length.
        """
        rows = self._matrix("keypoints", "image_id", image_id, np.float32)
        if rows is not None and not len(rows):
            return np.zeros((0, 2), np.float32)
        if rows is not None and rows.shape[1] not in KEYPOINT_COLUMNS:
            raise InputError(
                f"{self.path}: keypoints of image {image_id} have {rows.shape[1]} numbers each, "
                "expected 2, 4 or 6; extract them again"
            )
        if rows is not None and not np.isfinite(rows).all():
            raise InputError(
                f"{self.path}: keypoints of image {image_id} hold NaN or infinity, "
                "expected finite numbers; extract them again"
            )
        return rows

    def descriptors(self, image_id: int) -> NDArray | None:
        """(N, D) bytes of SIFT or floats of others; None where an image has none."""
        found = self._matrix("descriptors", "image_id", image_id, np.uint8)
        if found is None or self._descriptor_type(image_id) <= SIFT or found.shape[1] % 4:
            return found
        return np.ascontiguousarray(found).view(np.float32)

    def pairs(self) -> list[tuple[int, int]]:
        """The image ids of the pairs that have matches.

        Raises InputError for numbers that are those of no pair.
        """
        return [image_ids_of_pair(number) for number, _ in self._counts("matches")]

    def matches(self, id0: int, id1: int) -> NDArray[np.uint32]:
        """(M, 2) rows of keypoints of two images, which are named as `pairs` does."""
        found = self._matrix("matches", "pair_id", pair_id_of(id0, id1), np.uint32)
        if found is None or not len(found):
            return np.zeros((0, 2), np.uint32)
        if found.shape[1] != 2:
            raise InputError(
                f"{self.path}: matches of images {id0} and {id1} are of {found.shape[1]} keypoints "
                "each, expected 2; match them again with COLMAP"
            )
        return found

    def inliers(self, id0: int, id1: int) -> NDArray[np.uint32]:
        """(M, 2) those matches of a pair that its verification took for right."""
        if not self._rows("PRAGMA table_info(two_view_geometries)"):  # of a very old COLMAP
            return np.zeros((0, 2), np.uint32)
        found = self._matrix("two_view_geometries", "pair_id", pair_id_of(id0, id1), np.uint32)
        return np.zeros((0, 2), np.uint32) if found is None or not found.size else found

    def inlier_counts(self) -> dict[int, int]:
        """How many matches of the verified pairs are right, by COLMAP's numbers of pairs."""
        if "two_view_geometries" not in self._tables:  # of a very old COLMAP
            return {}
        return dict(self._counts("two_view_geometries"))

    def _counts(self, table: str) -> list[tuple[int, int]]:
        """Numbers of pairs, and how many rows of matches each has."""
        rows = self._rows(f"SELECT pair_id, rows FROM {table}")
        for pair_id, count in rows:
            if not isinstance(pair_id, int) or not isinstance(count, int) or pair_id < 0:
                raise InputError(
                    f"{self.path}: {table} of pair {pair_id!r} have {count!r} rows, expected the "
                    "number of a pair and a count; restore the database from a copy"
                )
        return rows

    def keypoint_counts(self) -> list[int]:
        """How many keypoints each image has that has any."""
        return [int(count) for (count,) in self._rows("SELECT rows FROM keypoints")]

    def configurations(self) -> set[int]:
        """What kinds of two-view geometry the verified pairs have, by COLMAP's numbers."""
        if not self._rows("PRAGMA table_info(two_view_geometries)"):
            return set()
        rows = self._rows("SELECT DISTINCT config FROM two_view_geometries WHERE rows > 0")
        return {int(config) for (config,) in rows}

    def _descriptor_type(self, image_id: int) -> int:
        columns = {row[1] for row in self._rows("PRAGMA table_info(descriptors)")}
        if "type" not in columns:  # of a COLMAP that knew SIFT alone
            return SIFT
        rows = self._rows("SELECT type FROM descriptors WHERE image_id = ?", image_id)
        return next((int(row[0]) for row in rows), SIFT)

    def _matrix(self, table: str, key: str, number: int, dtype: type) -> NDArray | None:
        rows = self._rows(f"SELECT rows, cols, data FROM {table} WHERE {key} = ?", number)
        for height, width, data in rows:
            if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 0:
                raise InputError(
                    f"{self.path}: {table} of {key} {number} have {height!r} rows of {width!r} "
                    "numbers, expected counts; restore the database from a copy"
                )
            if not isinstance(data, bytes | None):
                raise InputError(
                    f"{self.path}: {table} of {key} {number} are {type(data).__name__}, expected "
                    "bytes; restore the database from a copy"
                )
            flat = np.frombuffer(data or b"", np.uint8)
            if flat.size != height * width * np.dtype(dtype).itemsize:
                raise InputError(
                    f"{self.path}: {table} of {key} {number} are {flat.size} bytes, expected "
                    f"{height} rows of {width} numbers"
                )
            return flat.view(dtype).reshape(height, width)
        return None

    def _rows(self, query: str, *values: object) -> list[tuple]:
        with sqlite_errors(self.path):
            return self._sql.execute(query, values).fetchall()


@contextmanager
def read_database(path: str | Path) -> Iterator[ColmapDatabase]:
    """A COLMAP database for the time of a `with` block; for errors see `ColmapDatabase`."""
    with closing(connect(Path(path))) as connection:
        yield ColmapDatabase(path, connection)
