"""Arrays of numpy archives whose elements are Python objects, without running what they contain.

Such arrays are pickles, and `numpy.load(allow_pickle=True)` runs any code in one. Here only numpy's
own arrays, numbers and dtypes are made. Knows no layout.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dift_geo.errors import InputError

__all__ = ["npz_names", "read_npz"]

# what pickled arrays ask for
PLAIN = frozenset(
    [
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),  # bytes, in old pickles
    ]
)


class _Plain(pickle.Unpickler):
    """Makes arrays and numbers, and nothing else."""

    def find_class(self, module: str, name: str, /) -> Any:
        module = module.replace("numpy.core", "numpy._core", 1)
        if (module, name) not in PLAIN:
            raise pickle.UnpicklingError(f"asks for {module}.{name}, which is no array")
        return super().find_class(module, name)


def npz_names(path: Path) -> set[str]:
    """Names of the arrays of an archive; none where it cannot be opened."""
    try:
        with ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (BadZipFile, OSError):
        return set()


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """These arrays of an archive; those that are not in it are left out.

    Raises InputError where one cannot be read or holds more than arrays, numbers, texts, tuples and
    lists of them.
    """
    found = {}
    try:
        with ZipFile(path) as archive:
            for name in names:
                if f"{name}.npy" in archive.namelist():
                    with archive.open(f"{name}.npy") as file:
                        found[name] = _read(file)
    except (BadZipFile, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} cannot be read as numpy's npz: {error}") from None
    return found


def _read(file: IO[bytes]) -> NDArray[Any]:
    version = npy.read_magic(file)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if not dtype.hasobject:
        file.seek(0)
        return np.asarray(npy.read_array(file, allow_pickle=False))
    array = _Plain(file).load()
    if not isinstance(array, np.ndarray) or array.size != np.prod(shape):
        raise ValueError("its header and its content differ")
    return array.reshape(shape)
