"""Where HDF5 writes to: a file whose failures are kept, so that HDF5 never meets one.

HDF5 that is told of a full disk, and most of all on closing, can take the whole process with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

__all__ = ["Sink"]


class Sink:
    """A new file at `path`, in the shape of what h5py takes for a file.

    After the first failure it takes everything and keeps nothing; `check` then raises what it was.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def check(self) -> None:
        """Raise the OSError of the first write that failed."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Have everything on the disk. Raises the OSError of whatever failed."""
        self.check()
        os.fsync(self._file.fileno())

    # what h5py calls

    def write(self, data: Buffer) -> int:
        """Take all of it."""
        left = memoryview(data)
        size = len(left)
        try:
            while self._error is None and len(left):  # the system may take a part only
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = error
        return size

    def read(self, size: int) -> bytes:
        """As of any file; h5py looks for it and calls `readinto`."""
        buffer = bytearray(size)
        self.readinto(buffer)
        return bytes(buffer)

    def readinto(self, buffer: Buffer) -> int:
        """Fill all of it."""
        into = memoryview(buffer)
        size = done = len(into)
        try:
            done = 0
            while done < size and (got := self._file.readinto(into[done:])):
                done += got
        except OSError as error:
            self._error = self._error or error
        into[done:] = bytes(size - done)  # past the end, or what was never written
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """As of any file."""
        try:
            if self._error is None:
                return self._file.truncate(size)
        except OSError as error:
            self._error = error
        return self._file.tell() if size is None else size

    def flush(self) -> None:
        """Nothing waits here."""
