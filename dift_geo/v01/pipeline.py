"""`dift_geo.pipeline` of 0.1, for scripts that import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dift_geo.engine import loops
from dift_geo.engine.loops import extract_images
from dift_geo.matching.options import MatchOptions
from dift_geo.types import Pair

__all__ = ["extract_images", "match_pairs"]


def match_pairs(
    features_path: str | Path,
    pairs: Sequence[Pair],
    path: str | Path,
    *,
    ratio: float | None = None,
    min_similarity: float | None = None,
    device: str = "cpu",
) -> None:
    """`dift_geo.engine.match_pairs` with the options as keywords."""
    options = MatchOptions(ratio=ratio, min_similarity=min_similarity)
    loops.match_pairs(features_path, pairs, path, options, device=device)
