"""`dift_geo.benchmark_report` of 0.1, for scripts that import it."""

from collections.abc import Mapping, Sequence

from dift_geo.benchmark import compare, results
from dift_geo.benchmark.homography.data import by_kind

__all__ = ["Report", "compare_runs", "group_sequences", "versions"]

Report = results.Evaluation
compare_runs = compare.compare_runs
versions = results.versions


def group_sequences(
    sequences: Sequence[str], named: Mapping[str, Sequence[str]] | None = None
) -> dict[str, list[str]]:
    """`all`, `i` and `v`, and the user's groups; one without a sequence is left out."""
    return results.tables_of_groups(sequences, by_kind(sequences), named, ["sequences"])
