"""Benchmarks: methods in, tables with intervals out. `Task` is the contract of one."""

from __future__ import annotations

from dift_geo.benchmark.compare import compare_runs
from dift_geo.benchmark.foreign import ForeignFeatures, read_npz_features, squared_distance_rows
from dift_geo.benchmark.loop import evaluate_task, score_items, usable_items
from dift_geo.benchmark.measures import (
    Area,
    Average,
    Mean,
    MeanOfKinds,
    Measure,
    NoAnswer,
    Pooled,
    Ratio,
    Within,
)
from dift_geo.benchmark.methods import (
    AnyMethod,
    ForeignMethod,
    Method,
    Prepared,
    StoredMethod,
    stored_methods,
)
from dift_geo.benchmark.results import Evaluation
from dift_geo.benchmark.run import evaluate, open_task
from dift_geo.benchmark.short_side import ShortSide, resize_to
from dift_geo.benchmark.table import Bootstrap, ScoreTable
from dift_geo.benchmark.task import Curves, Layout, Photos, Row, Source, Task
from dift_geo.benchmark.words import method_from_words

__all__ = [
    "AnyMethod",
    "Area",
    "Average",
    "Bootstrap",
    "Curves",
    "Evaluation",
    "ForeignFeatures",
    "ForeignMethod",
    "Layout",
    "Mean",
    "MeanOfKinds",
    "Measure",
    "Method",
    "NoAnswer",
    "Photos",
    "Pooled",
    "Prepared",
    "Ratio",
    "Row",
    "ScoreTable",
    "ShortSide",
    "Source",
    "StoredMethod",
    "Task",
    "Within",
    "compare_runs",
    "evaluate",
    "evaluate_task",
    "method_from_words",
    "open_task",
    "read_npz_features",
    "resize_to",
    "score_items",
    "squared_distance_rows",
    "stored_methods",
    "usable_items",
]
