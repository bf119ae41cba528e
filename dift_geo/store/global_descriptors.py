"""A vector for each image on disk, as hloc keeps them: `NAME/global_descriptor` in HDF5.

hloc's `pairs_from_retrieval` reads the file. Knows not how vectors are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError
from dift_geo.store.files import (
    open_h5,
    published,
    read_arrays,
    read_recipe,
    reading,
    write_array,
    write_recipe,
)
from dift_geo.store.interrupts import signals_wait

__all__ = ["global_recipe", "read_globals", "write_globals"]

KEY = "global_descriptor"


def write_globals(
    path: str | Path,
    names: Sequence[str],
    vectors: NDArray[np.float32],
    recipe: Mapping[str, object],
) -> None:
    """Write vectors (images, D), in half precision, in the place of what was there.

    Raises WriteError.
    """
    with signals_wait(), published(Path(path)) as file:
        write_recipe(file, recipe)
        for name, vector in zip(names, vectors):
            write_array(file.require_group(name), KEY, vector.astype(np.float16))


def global_recipe(path: str | Path) -> dict[str, object] | None:
    """What the vectors of a file were made with; None for a file of another program.

    Raises MissingFileError and StoreError for what cannot be read.
    """
    with open_h5(Path(path)) as file, reading(Path(path), "its recipe"):
        return read_recipe(file)


def read_globals(path: str | Path, names: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of images, (images, D), ours or hloc's.

    Raises MissingFileError and StoreError for what cannot be read and InputError where an image has
    none, or vectors are of different lengths or not finite.
    """
    path = Path(path)
    vectors = []
    with open_h5(path) as file:
        for name in names:
            with reading(path, repr(name)):
                if file.get(name, getclass=True) is not h5py.Group:
                    raise InputError(f"{path} has no {KEY} of {name!r}; make it of these images")
                vector = read_arrays(file[name], [KEY]).get(KEY)
            if vector is None or vector.ndim != 1 or vector.dtype.kind != "f":
                raise InputError(f"{path} has no {KEY} of {name!r}, expected numbers in one row")
            vectors.append(vector.astype(np.float32))
    if len({len(vector) for vector in vectors}) > 1:
        raise InputError(f"{path} has vectors of different lengths, expected all alike")
    found = np.array(vectors, np.float32)
    if not np.isfinite(found).all():
        raise InputError(f"{path} has vectors with NaN or infinity; make it again")
    return found
