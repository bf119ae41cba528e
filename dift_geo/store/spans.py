"""Shards by number: which ones count, in which order, and which are folded together.

A shard's name says the numbers of the flushes that it holds: `00000007.h5`, or
`00000001-00000008.h5` where eight were folded into one. Knows no HDF5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FOLDED", "Span", "current_spans", "span_path", "superseded_spans", "to_fold"]

FOLDED = 8  # shards of one size become one: each value is copied once for every power of it
NAME = re.compile(r"(\d{8})(?:-(\d{8}))?\.h5")


@dataclass(frozen=True, order=True)
class Span:
    """A shard.

    first: number of the first flush that it holds; 0 for shards of 0.1, which replace nothing.
    last: number of the last.
    path: where it is.
    """

    first: int
    last: int
    path: Path

    def covers(self, other: Span) -> bool:
        """Whether everything in `other` is in this one, too."""
        wider = self.last - self.first > other.last - other.first
        return wider and self.first <= other.first and other.last <= self.last

    @property
    def size(self) -> int:
        """How often it has been folded."""
        tier, flushes = 0, self.last - self.first + 1
        while flushes >= FOLDED:
            tier, flushes = tier + 1, flushes // FOLDED
        return tier


def current_spans(folder: Path) -> list[Span]:
    """The shards of a folder that count, oldest first."""
    spans = _all_spans(folder)
    return [span for span in spans if not _is_covered(span, spans)]


def superseded_spans(folder: Path) -> list[Span]:
    """Those that a killed writer left after it had folded them, oldest first."""
    spans = _all_spans(folder)
    return [span for span in spans if _is_covered(span, spans)]


def span_path(folder: Path, first: int, last: int) -> Path:
    """Where the shard with these flushes belongs."""
    return folder / (f"{first:08d}.h5" if first == last else f"{first:08d}-{last:08d}.h5")


def to_fold(spans: Sequence[Span]) -> list[Span]:
    """The newest shards, when there are enough of one size to be folded; none otherwise."""
    newest = list(spans[-FOLDED:])
    alike = len({span.size for span in newest}) == 1
    return newest if alike and len(newest) == FOLDED else []


def _all_spans(folder: Path) -> list[Span]:
    if not folder.is_dir():
        return []
    spans = []
    for path in folder.glob("*.h5"):
        numbers = NAME.fullmatch(path.name)
        first = int(numbers[1]) if numbers else 0
        spans.append(Span(first, int((numbers and numbers[2]) or first), path))
    return sorted(spans)


def _is_covered(span: Span, spans: Sequence[Span]) -> bool:
    return any(other.covers(span) for other in spans)
