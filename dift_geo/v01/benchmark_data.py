"""`dift_geo.benchmark_data` of 0.1, for scripts that import it."""

from dift_geo.benchmark.homography.data import (
    LARGE_SEQUENCES,
    Benchmark,
    Pair,
    kind_of,
    read_benchmark,
)

__all__ = ["Benchmark", "LARGE_SEQUENCES", "Pair", "kind_of", "read_benchmark"]
