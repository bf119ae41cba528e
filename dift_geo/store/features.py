"""Features on disk, in hloc's HDF5 layout."""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np

from dift_geo.store.shards import Store
from dift_geo.types import Features, Keypoints

__all__ = ["FeatureStore"]


class FeatureStore(Store[str, Features]):
    """Features by image name."""

    kind = "features"
    marker = "keypoints"

    def __iter__(self) -> Iterator[str]:
        names = {key for key, _ in self._pending.values()}
        found: list[str] = []
        for file in self._opened():
            file.visititems(
                lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
            )
        names.update(
            name.removesuffix("/keypoints") for name in found if name.endswith("/keypoints")
        )
        return iter(sorted(names))

    def _group(self, key: str) -> str:
        return key

    def _write(self, group: h5py.Group, value: Features) -> None:
        k = value.keypoints
        keypoints = group.create_dataset("keypoints", data=k.xy.astype(np.float32))
        keypoints.attrs["uncertainty"] = np.float32(1.0)  # pixels; hloc's localisation reads it
        group.create_dataset("descriptors", data=value.descriptors.T.astype(np.float16))
        group.create_dataset("scores", data=k.scores.astype(np.float16))
        group.create_dataset("image_size", data=np.array(k.size_wh, np.int64))
        for name, column in (("scales", k.scale), ("oris", k.angle)):
            if column is not None:
                group.create_dataset(name, data=column.astype(np.float32))

    def _read(self, group: h5py.Group) -> Features:
        xy = group["keypoints"][()]
        columns = {name: group[name][()] if name in group else None for name in ("scales", "oris")}
        scores = group["scores"][()] if "scores" in group else np.ones(len(xy), np.float32)
        size_wh = tuple(int(side) for side in group["image_size"][()])
        keypoints = Keypoints(xy[:, :2], scores, size_wh, columns["scales"], columns["oris"])  # type: ignore[arg-type]
        return Features(keypoints, group["descriptors"][()].T)
