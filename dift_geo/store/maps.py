"""Maps of features on disk, a file for each image under the recipe that made them.

A map belongs to the bytes of its photo, to its name, which seeds noise, and to what the model was
told. Half precision, each map scaled to a largest value of 1: cosines do not change with that.
Files appear whole, so that what a stopped run finished is used by the next one. Knows no models.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dift_geo.images import content_hash
from dift_geo.recipe import write_whole

__all__ = ["MapFiles"]

KEPT_BYTES = 1 << 29


class MapFiles:
    """Maps of the images of a folder.

    folder: of the maps, one for each recipe.
    images: folder of the images.
    """

    def __init__(self, folder: str | Path, images: str | Path) -> None:
        self.folder, self.images = Path(folder), Path(images)
        self._kept: OrderedDict[Path, NDArray[np.float16]] = OrderedDict()

    def file(self, name: str, told: str = "") -> Path:
        """Where the map of an image is, or would be. told: what the model was told.

        Raises MissingFileError where there is no image.
        """
        of = f"{content_hash(self.images / name)}/{name}/{told}"
        return self.folder / f"{sha256(of.encode()).hexdigest()[:32]}.npz"

    def ensure(self, file: Path, make: Callable[[], NDArray[np.float32]]) -> None:
        """Write the map that `make` gives, (C, h, w), unless it is there and whole."""
        if file.is_file() and self._read(file) is not None:
            return
        values = make()
        largest = np.abs(values).max(initial=0)
        buffer = BytesIO()
        np.savez(buffer, values=(values / (largest or 1)).astype(np.float16))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, buffer.getvalue())

    def read(self, file: Path) -> NDArray[np.float32]:
        """(C, h, w) of a file that `ensure` saw."""
        if file not in self._kept:
            found = self._read(file)
            assert found is not None
            self._kept[file] = found
        self._kept.move_to_end(file)
        while len(self._kept) > 2 and sum(v.nbytes for v in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return self._kept[file].astype(np.float32)

    @staticmethod
    def _read(file: Path) -> NDArray[np.float16] | None:
        """None for a file that is damaged: it is made again."""
        try:
            # opened here: numpy leaves a damaged file open
            with file.open("rb") as opened, np.load(opened) as arrays:
                return np.asarray(arrays["values"], np.float16)
        except (OSError, ValueError, KeyError, BadZipFile):
            return None
