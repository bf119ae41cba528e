"""Features that other programs wrote: the DIFT release's files and hloc's HDF5.

Gives them as `Features` by image name. Knows nothing of scoring.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dift_geo.errors import InputError, MissingFileError, MissingNameError
from dift_geo.images import EXTENSIONS, read_image
from dift_geo.store.features import FeatureStore
from dift_geo.types import Features, Keypoints

__all__ = ["ForeignFeatures", "read_npz_features", "squared_distance_rows"]

# what numpy and the modules below it raise for files that are damaged or claim too much
NPZ_RAISES = (
    *(LookupError, ValueError, TypeError, OSError, EOFError, MemoryError, OverflowError),
    *(RuntimeError, SyntaxError, NotImplementedError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class ForeignFeatures:
    """Features of another program by image name (`v_wall/1.png`).

    path: a folder in the layout of the DIFT release and of D2-Net (`v_wall/1.ppm.dift_sd`, npz with
        keypoints and descriptors; the image extension in the file name may differ from ours), or
        an HDF5 file of hloc.
    images: the folder of the images.
    """

    path: Path
    images: Path

    def __getitem__(self, name: str, /) -> Features:
        """The features of an image.

        Raises MissingNameError when there are none, InputError when the file has neither layout.
        """
        place = self.locate(name)
        if isinstance(place, str):
            return self._store[place]
        return read_npz_features(place, image_size_wh(self.images / name))

    def locate(self, name: str) -> Path | str:
        """The npz file, or the group of the HDF5 file, that belongs to an image.

        Raises MissingNameError when there is none.
        """
        image = PurePosixPath(name)
        if not self.path.is_dir():
            place = self._group_by_stem.get(image.with_suffix("").as_posix())
            if place is None:
                raise MissingNameError(f"{self.path} has no features for {name}")
            return place
        # D2-Net keeps them next to the images
        beside = (self.path / image.parent).glob(f"{image.stem}.*")
        found = sorted(path for path in beside if path.suffix.lower() not in EXTENSIONS)
        if len(found) != 1:
            names = ", ".join(path.name for path in found[:3])
            what = f"{len(found)} files ({names})" if found else "no file"
            raise MissingNameError(
                f"{what} {image.parent}/{image.stem}.* in {self.path}; "
                f"expected one, like {image.name}.dift_sd"
            )
        return found[0]

    @cached_property
    def _store(self) -> FeatureStore:
        if not self.path.is_file():
            raise MissingFileError(
                f"no features at {self.path}; "
                "expected a folder of npz files or an HDF5 file of hloc"
            )
        return FeatureStore(self.path)

    @cached_property
    def _group_by_stem(self) -> dict[str, str]:
        return {PurePosixPath(name).with_suffix("").as_posix(): name for name in self._store}


def image_size_wh(path: Path) -> tuple[int, int]:
    """(w, h) of an image file."""
    h, w = read_image(path).shape[:2]
    return w, h


def read_npz_features(path: str | Path, size_wh: tuple[int, int]) -> Features:
    """An npz of `keypoints` (N, 2 or more), `descriptors` (N, D) and perhaps `scores`, as DIFT and
    D2-Net write.

    Repeated keypoints count once and come sorted, as in the DIFT evaluation. Descriptors are left
    as they are. Raises InputError for another file.

    size_wh: of the image.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            xy, descriptors = file["keypoints"], file["descriptors"]
            scores = file["scores"].ravel() if "scores" in file else np.zeros(0)
    except NPZ_RAISES as error:
        raise InputError(f"{path} is no npz with keypoints and descriptors: {error}") from error
    for name, array in (("keypoints", xy), ("descriptors", descriptors)):
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise InputError(f"{path}: {name} hold NaN or infinity, expected finite numbers")
    if not xy.ndim or (len(xy) and xy.size // len(xy) < 2) or not descriptors.ndim:
        raise InputError(f"{path} holds keypoints of shape {xy.shape}, expected (N, 2)")
    xy = xy.reshape(len(xy), -1)[:, :2] if len(xy) else np.zeros((0, 2))
    if len(descriptors) != len(xy) or descriptors.ndim != 2:
        raise InputError(
            f"{path} holds {len(xy)} keypoints and descriptors of shape {descriptors.shape}, "
            "expected (N, D) for N keypoints"
        )
    xy, first = np.unique(xy.astype(np.float32), return_index=True, axis=0)
    weights = scores[first] if len(scores) == len(descriptors) else np.ones(len(first))
    return Features(Keypoints(xy, weights.astype(np.float32), size_wh), descriptors[first])


def squared_distance_rows(descriptors0: NDArray, descriptors1: NDArray) -> tuple[NDArray, NDArray]:
    """Rows whose inner products are minus the squared Euclidean distances of the given rows.

    So a matcher that takes the largest product finds nearest neighbours of descriptors that are not
    of unit length, as DIFT's evaluation does for its ADM features: -|a - b|^2 = (2a, -|a|^2, -1) .
    (b, 1, |b|^2).
    """
    a, b = np.asarray(descriptors0, np.float32), np.asarray(descriptors1, np.float32)
    square0, square1 = (a**2).sum(1, keepdims=True), (b**2).sum(1, keepdims=True)
    left = np.concatenate([2 * a, -square0, -np.ones_like(square0)], 1)
    return left, np.concatenate([b, np.ones_like(square1), square1], 1)
