"""Benchmarks: methods in, tables with intervals out."""

from __future__ import annotations

from dift_geo.benchmark.foreign import (
    AtKeypoints,
    ForeignFeatures,
    read_npz_features,
    squared_distance_rows,
)
from dift_geo.benchmark.methods import (
    AnyMethod,
    ForeignMethod,
    Method,
    Prepared,
    ShortSide,
    StoredMethod,
    method_from_words,
    resize_to,
    stored_methods,
)
from dift_geo.benchmark.run import evaluate, pair_frame, score_pairs, usable_pairs
from dift_geo.benchmark.table import Bootstrap, ScoreTable

__all__ = [
    "AnyMethod",
    "AtKeypoints",
    "Bootstrap",
    "ForeignFeatures",
    "ForeignMethod",
    "Method",
    "Prepared",
    "ScoreTable",
    "ShortSide",
    "StoredMethod",
    "evaluate",
    "method_from_words",
    "pair_frame",
    "read_npz_features",
    "resize_to",
    "score_pairs",
    "squared_distance_rows",
    "stored_methods",
    "usable_pairs",
]
