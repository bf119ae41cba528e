"""`dift_geo.evaluation` of 0.1, for scripts that import it."""

from dift_geo.benchmark.run import evaluate, pair_frame, score_pairs, usable_pairs

__all__ = ["evaluate", "pair_frame", "score_pairs", "usable_pairs"]
