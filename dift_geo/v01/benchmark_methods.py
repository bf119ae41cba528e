"""`dift_geo.benchmark_methods` of 0.1, for scripts that import it."""

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

__all__ = [
    "AnyMethod",
    "ForeignMethod",
    "Method",
    "Prepared",
    "ShortSide",
    "StoredMethod",
    "method_from_words",
    "resize_to",
    "stored_methods",
]
