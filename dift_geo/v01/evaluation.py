"""`dift_geo.evaluation` of 0.1, for scripts that import it."""

from collections.abc import Sequence
from pathlib import Path

from dift_geo.benchmark import run
from dift_geo.benchmark.homography import task
from dift_geo.benchmark.homography.data import Benchmark, Pair
from dift_geo.benchmark.homography.protocols import Protocol
from dift_geo.benchmark.homography.score import PairScore
from dift_geo.benchmark.loop import usable_items
from dift_geo.benchmark.methods import Prepared
from dift_geo.progress import progress as progress_of
from dift_geo.types import Features, FeatureSource, MatchSource

__all__ = ["evaluate", "pair_frame", "score_pairs", "usable_pairs"]

evaluate = run.evaluate
pair_frame = task.pair_frame


def usable_pairs(
    benchmark: Benchmark, protocol: Protocol, prepared: Sequence[Prepared[Features]]
) -> tuple[list[Pair], list[str]]:
    """The pairs that can be scored, and a line for each problem."""
    return usable_items(task.Homographies(benchmark, protocol), prepared)


def score_pairs(
    pairs: Sequence[Pair],
    features: FeatureSource,
    matches: MatchSource,
    protocol: Protocol,
    *,
    seed: int = 0,
    progress: str | None = None,
) -> list[PairScore]:
    """Score every pair from features by image name and matches by pair of names."""
    scored = task.Homographies(Benchmark(Path(), tuple(pairs)), protocol, seed)
    bar = progress_of(pairs, f"score {progress}", unit="pair", shown=progress is not None)
    return [scored.pair_score(pair, features, matches) for pair in bar]
