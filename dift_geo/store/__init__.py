"""Features and matches on disk."""

from __future__ import annotations

from dift_geo.errors import RecipeError, StoreError
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore, pair_key
from dift_geo.store.recent import Recent
from dift_geo.store.shards import Store, open_h5, published

__all__ = [
    "FeatureStore",
    "MatchStore",
    "Recent",
    "RecipeError",
    "Store",
    "StoreError",
    "open_h5",
    "pair_key",
    "published",
]
