"""What features were made of: the bytes of a photo and of its mask. Knows no features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dift_geo.errors import InputError, MissingFileError
from dift_geo.images import content_hash

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A photo as it was when it was read.

    content: hash of its bytes; empty where it is not known.
    size: bytes of its file.
    mtime_ns: when the file was written, in nanoseconds.
    ctime_ns: when anything about the file changed: programs can set its other time at will.
    mask: hash of the bytes of its mask; empty where it has none.
    """

    content: str = ""
    size: int = -1
    mtime_ns: int = -1
    ctime_ns: int = -1
    mask: str = ""

    @classmethod
    def of(cls, path: str | Path, mask: str | Path | None = None) -> Source:
        """Look at a photo, and at its mask where there is a file of that name.

        Raises MissingFileError when there is no photo.
        """
        size, mtime_ns, ctime_ns = _stamp(Path(path))
        return cls(_hash(Path(path)), size, mtime_ns, ctime_ns, _mask_hash(mask))

    def is_still(self, path: str | Path, mask: str | Path | None = None) -> bool:
        """Whether size and times are the same, and the mask; a glance, without reading the photo.

        Raises MissingFileError when there is no photo.
        """
        stamp = self.size, self.mtime_ns, self.ctime_ns
        return _stamp(Path(path)) == stamp and _mask_hash(mask) == self.mask

    def has_bytes_of(self, path: str | Path, mask: str | Path | None = None) -> bool:
        """Whether photo and mask have these bytes, whenever they were written."""
        if not self.content or _mask_hash(mask) != self.mask:
            return False
        size, _, _ = _stamp(Path(path))
        return size == self.size and _hash(Path(path)) == self.content


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise MissingFileError(f"no image at {path}") from error
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _hash(path: Path) -> str:
    try:
        return content_hash(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _mask_hash(mask: str | Path | None) -> str:
    return _hash(Path(mask)) if mask is not None and Path(mask).is_file() else ""
