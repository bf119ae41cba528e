"""Features and matches on disk, in hloc's HDF5 layout, with the recipe that made them."""

from __future__ import annotations

from dift_geo.errors import RecipeError, StoreError
from dift_geo.store.base import Store
from dift_geo.store.check import check_pair
from dift_geo.store.features import FeatureStore
from dift_geo.store.files import open_h5, published
from dift_geo.store.matches import MatchStore, pair_key
from dift_geo.store.recent import Recent
from dift_geo.store.source import Source

__all__ = [
    "FeatureStore",
    "MatchStore",
    "Recent",
    "RecipeError",
    "Source",
    "Store",
    "StoreError",
    "check_pair",
    "open_h5",
    "pair_key",
    "published",
]
