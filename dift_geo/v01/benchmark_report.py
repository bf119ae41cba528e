"""`dift_geo.benchmark_report` of 0.1, for scripts that import it."""

from dift_geo.report.markdown import Report, compare_runs, group_sequences, versions

__all__ = ["Report", "compare_runs", "group_sequences", "versions"]
