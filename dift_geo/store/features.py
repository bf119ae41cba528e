"""Features on disk, in hloc's HDF5 layout."""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np

from dift_geo.store.base import Arrays, Store
from dift_geo.types import Features, Keypoints

__all__ = ["FeatureStore"]


class FeatureStore(Store[str, Features]):
    """Features by image name.

    On disk, coordinates are float32, as half would cost up to a pixel; descriptors and scores are
    half.
    """

    kind = "features"
    datasets = ("keypoints", "descriptors", "scores", "image_size", "scales", "oris")

    def __setitem__(self, name: str, features: Features) -> None:
        """Take the finished features of an image; on disk after the next `flush`.

        Raises StoreError when the image is on disk already: nothing there is ever replaced.
        """
        keypoints = features.keypoints
        arrays: Arrays = {
            "keypoints": keypoints.xy.astype(np.float32),
            "descriptors": features.descriptors.T.astype(np.float16),
            "scores": keypoints.scores.astype(np.float16),
            "image_size": np.array(keypoints.size_wh, np.int64),
        }
        if keypoints.scale is not None:
            arrays["scales"] = keypoints.scale.astype(np.float32)
        if keypoints.angle is not None:
            arrays["oris"] = keypoints.angle.astype(np.float32)
        self._keep(name, arrays)

    def __iter__(self) -> Iterator[str]:
        names = self._pending_keys()
        for file in self._files.opened():
            names |= _images_in(file)
        return iter(sorted(names))

    def _group(self, key: str) -> str:
        return key

    def _label(self, group: h5py.Group, key: str) -> None:
        group["keypoints"].attrs["uncertainty"] = np.float32(1.0)  # pixels, for hloc's localisation

    def _decode(self, arrays: Arrays) -> Features:
        xy = arrays["keypoints"]
        w, h = arrays["image_size"]
        keypoints = Keypoints(
            xy[:, :2],
            arrays.get("scores", np.ones(len(xy), np.float32)),
            (int(w), int(h)),
            arrays.get("scales"),
            arrays.get("oris"),
        )
        return Features(keypoints, arrays["descriptors"].T)


def _images_in(file: h5py.File) -> set[str]:
    names: set[str] = set()

    def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and name.endswith("/keypoints"):
            names.add(name.removesuffix("/keypoints"))

    file.visititems(note)
    return names
