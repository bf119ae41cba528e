"""HDF5 files: opened for reading, written whole under their name. Knows no layout and no key.

Files are written in the format of HDF5 1.10, whose structure carries checksums, with a checksum on
every array: a bit that flips on the disk is an error, never another number.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import DiftGeoError, MissingFileError, StoreError, WriteError
from dift_geo.jsonfiles import parse_json
from dift_geo.store.index import Rows, append_index, has_index
from dift_geo.store.sink import Sink

__all__ = [
    "as_name",
    "as_text",
    "copy_missing",
    "is_ours",
    "open_h5",
    "part_of",
    "published",
    "read_arrays",
    "read_recipe",
    "read_text",
    "reading",
    "write_array",
    "write_recipe",
    "write_text",
]

FORMAT = ("v110", "v110")
LOCKED = 11, 35, 13  # EAGAIN here and on macOS; EACCES, where the file can be read otherwise
HDF5_RAISES = (
    *(OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError),
    *(MemoryError, SystemError),
)
MAX_ARRAY = 1 << 31  # bytes; damaged files claim more
HEAD = 1 << 16  # bytes in which the recipe is found in files of ours


def open_h5(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises MissingFileError when there is none and StoreError when it cannot be read, each cause
    with its own message.
    """
    try:
        return _opened(path)
    except FileNotFoundError as error:
        raise MissingFileError(f"no file at {path}") from error
    except OSError as error:
        raise StoreError(_why_closed(path, error)) from error


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        if _lock_error(error) in (None, *LOCKED):
            raise
    return h5py.File(path, "r", locking=False)  # the file system knows no locks


def _lock_error(error: OSError) -> int | None:
    found = re.search(r"unable to lock file, errno = (\d+)", str(error))
    return int(found[1]) if found else None


def _why_closed(path: Path, error: OSError) -> str:
    if path.is_dir():
        return f"{path} is a folder, expected an HDF5 file; give the path of the file"
    if _lock_error(error) in LOCKED:
        return (
            f"{path} is being written by another program, which holds HDF5's lock on it; "
            "wait until that program has closed it"
        )
    if isinstance(error, PermissionError) or not os.access(path, os.R_OK):
        return f"{path} may not be read (permission denied); ask its owner, or choose another file"
    if is_ours(path):
        return f"{path} is damaged ({_reason(error)}); delete it and run again"
    if path.stat().st_size == 0:
        return f"{path} is empty, expected HDF5; delete it or choose another file"
    if not h5py.is_hdf5(path):
        return f"{path} is no HDF5 file; give the path of a store, or choose another file"
    return f"{path} is damaged ({_reason(error)}); make it again with the program that wrote it"


def is_ours(path: Path) -> bool:
    """Whether we wrote a file, by the marks that a damaged one still has."""
    try:
        with path.open("rb") as file:
            return b"recipe\0" in file.read(HEAD) or has_index(file)
    except OSError:
        return False


def _reason(error: BaseException) -> str:
    """The innermost words of HDF5, on one line."""
    text = " ".join(str(error).split())
    found = re.fullmatch(r"Unable to [^(]*\((.*)\)", text)
    return found[1] if found else text


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """What HDF5 raises in the `with` block is a StoreError that names the file and `what`."""
    try:
        yield
    except DiftGeoError:
        raise
    except HDF5_RAISES as error:
        raise StoreError(f"{path} is damaged at {what} ({_reason(error)}); {_remedy(path)}") from (
            error
        )


def _remedy(path: Path) -> str:
    if is_ours(path):
        return "delete it and run again"
    return "make it again with the program that wrote it"


@contextmanager
def published(path: Path, rows: Rows | None = None) -> Iterator[h5py.File]:
    """A new HDF5 file that takes the name `path` once it is complete and on the disk.

    Its folder is made where there is none. To be used within `signals_wait`.

    rows: the index that is put behind it, as it is at the end of the `with` block.

    Raises WriteError when it cannot be written; nothing of it stays then, and nothing stays after
    any other exception of the `with` block.
    """
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Sink(part) as sink:
            try:
                with h5py.File(sink, "w", libver=FORMAT) as file:
                    yield file
            finally:
                sink.check()  # what HDF5 raises after a failed write is not the cause
            if rows is not None:
                append_index(sink, rows)
            sink.finish()
        os.replace(part, path)
        _sync_folder(path.parent)
    except DiftGeoError:  # what the block itself has to say
        raise
    except OSError as error:
        raise WriteError(
            f"{path} cannot be written ({error.strerror or error}); "
            "what was finished before is kept"
        ) from error
    finally:
        with suppress(OSError):  # where all went well it has become `path`
            part.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a new name outlast a power cut, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def part_of(path: Path) -> Path:
    """The name under which `published` writes `path`; a killed writer leaves it behind."""
    return path.with_name(f"{path.name}.part")


def write_array(group: h5py.Group, name: str, array: NDArray) -> None:
    """Write an array with a checksum."""
    if array.size:  # HDF5 has no chunk without a number in it
        group.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)
    else:
        group.create_dataset(name, data=array)


def read_arrays(group: h5py.Group, names: Sequence[str]) -> dict[str, NDArray]:
    """Those of the named arrays that a group has. Raises ValueError for one without bounds."""
    arrays = {}
    for name in names:
        if group.get(name, getclass=True) is h5py.Dataset:
            dataset = group[name]
            if dataset.dtype.itemsize * math.prod(dataset.shape) > MAX_ARRAY:
                raise ValueError(f"{name} claims to have shape {dataset.shape}")
            arrays[name] = np.asarray(dataset[()])
    return arrays


def write_text(item: h5py.Group, name: str, text: str) -> None:
    """Write an attribute where the checksum of its object covers it, unlike h5py's strings."""
    data = text.encode()
    item.attrs[name] = np.array(data, h5py.string_dtype("utf-8", max(1, len(data))))


def read_text(item: h5py.Group, name: str) -> str:
    """The text of an attribute, however it was written; empty where there is none."""
    return as_text(item.attrs.get(name, ""))


def as_text(value: object) -> str:
    """A string that h5py gives as text or as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def as_name(name: str | bytes) -> str:
    """A name in a file; bytes are what h5py makes of one that is no UTF-8. Raises ValueError."""
    return name if isinstance(name, str) else name.decode()


def copy_missing(source: h5py.Group, target: h5py.Group, verify: bool = False) -> Iterator[str]:
    """Copy the groups that `target` does not have, giving the name of each.

    The arrays of a group belong together: where `target` has any, it keeps its own.

    verify: read what is copied, so that its checksums are compared; HDF5 copies them unseen.
    """
    arrays = [name for name in source if source.get(name, getclass=True) is h5py.Dataset]
    arrays_here = any(name in target for name in arrays)
    for name, item in source.items():
        if isinstance(item, h5py.Group) and name in target:
            yield from copy_missing(item, target[name], verify)
            continue
        if isinstance(item, h5py.Dataset) and arrays_here:
            continue
        if verify:
            with reading(Path(source.file.filename), repr(item.name.strip("/"))):
                _read_all(item)
        source.copy(item, target, name)
        if isinstance(item, h5py.Dataset):
            target.attrs.update(source.attrs)
        yield name


def _read_all(item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Dataset):
        item[()]
        return
    for below in item.values():
        _read_all(below)


def read_recipe(file: h5py.File) -> dict[str, object] | None:
    """What the file was made with; None for a file of another program."""
    text = file.attrs.get("recipe")
    if text is None:
        return None
    recipe = parse_json(text)
    if not isinstance(recipe, dict):
        raise StoreError(f"the recipe of {file.filename} is {recipe!r}, expected settings by name")
    return recipe


def write_recipe(file: h5py.File, recipe: Mapping[str, object]) -> None:
    """Say in the file what it was made with."""
    write_text(file, "recipe", json.dumps(recipe, sort_keys=True))
