"""What a user can ask of the matching. Knows no descriptors."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dift_geo.options import check_ranges, option

__all__ = ["RATIO_FOR_MODELS", "MatchOptions"]

RATIO_FOR_MODELS = 0.9  # chosen by two-view poses over all scenes: docs/results.md


@dataclass(frozen=True, kw_only=True)
class MatchOptions:
    """Which mutual nearest neighbours are kept. Raises InputError for a value out of range."""

    ratio: float | None = option(
        None, "Lowe's ratio test, from both sides; 1 or none is off", metavar="R", above=0, most=1
    )
    min_similarity: float | None = option(
        None, "least cosine of a match; none is off", metavar="C", least=-1, most=1
    )

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def tested_ratio(self) -> float | None:
        """The ratio where it can fail a pair; None where it is off."""
        return None if self.ratio is None or self.ratio >= 1 else self.ratio

    def recipe(self) -> dict[str, object]:
        """What determines the matches of given features, for the store."""
        return {"name": "mutual-nn", **asdict(self)}
