"""Features used last, kept in memory. Knows no files."""

from __future__ import annotations

from collections import OrderedDict

from dift_geo.types import Features, FeatureSource

__all__ = ["Recent", "size_in_bytes"]

LEAST_KEPT = 2  # the two images of a pair


class Recent:
    """Features by image name, out of a slower source: those used last are kept at hand.

    Pairs that follow each other often share an image. It is itself a FeatureSource, for one thread
    at a time; another process gets it empty, with the source.

    source: gives the features that are not at hand.
    max_bytes: how much memory those at hand may take. The last two are kept whatever their size.
    """

    def __init__(self, source: FeatureSource, max_bytes: int = 1 << 30) -> None:
        self.source = source
        self.max_bytes = max_bytes
        self._kept: OrderedDict[str, Features] = OrderedDict()  # the one used last is the last
        self._bytes = 0

    def __getitem__(self, name: str, /) -> Features:
        """The features of an image; raises what the source raises where it has none."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        features = self._kept[name] = self.source[name]
        self._bytes += size_in_bytes(features)
        while self._bytes > self.max_bytes and len(self._kept) > LEAST_KEPT:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= size_in_bytes(dropped)
        return features

    def __reduce__(self) -> tuple[type[Recent], tuple[FeatureSource, int]]:
        return type(self), (self.source, self.max_bytes)


def size_in_bytes(features: Features) -> int:
    """The memory that the arrays of an image take."""
    keypoints = features.keypoints
    arrays = (
        features.descriptors,
        keypoints.xy,
        keypoints.scores,
        keypoints.scale,
        keypoints.angle,
    )
    return sum(array.nbytes for array in arrays if array is not None)
