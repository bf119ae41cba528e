"""How long the stages of a piece of work take. Knows no work."""

from __future__ import annotations

import time

__all__ = ["Stopwatch"]


class Stopwatch:
    """Seconds of one stage after the other, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, stage: str) -> None:
        """The stage that ends now."""
        now = time.monotonic()
        self.seconds[stage] = round(now - self._since, 2)
        self._since = now
