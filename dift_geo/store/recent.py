"""The features used last, kept at hand. Knows no files."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import Any

from dift_geo.store.features import FeatureStore
from dift_geo.types import Features

__all__ = ["Recent"]

CACHE_BYTES = 1 << 30  # features kept in memory while matching


class _Cache:
    """The features used last, up to CACHE_BYTES of descriptors."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.kept: OrderedDict[str, Features] = OrderedDict()
        self.bytes = 0

    def __getitem__(self, name: str) -> Features:
        if name in self.kept:
            self.kept.move_to_end(name)
            return self.kept[name]
        features = self.kept[name] = self.store[name]
        self.bytes += features.descriptors.nbytes
        while self.bytes > CACHE_BYTES and len(self.kept) > 2:
            _, dropped = self.kept.popitem(last=False)
            self.bytes -= dropped.descriptors.nbytes
        return features


class Recent:
    """Features by name that keeps the last few at hand: the pairs of a sequence share image 1."""

    def __init__(self, store: Any) -> None:
        self.recall = lru_cache(maxsize=8)(store.__getitem__)

    def __getitem__(self, name: str) -> Features:
        return self.recall(name)
