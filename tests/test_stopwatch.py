"""Seconds of stages."""

from __future__ import annotations

import time

from dift_geo.stopwatch import Stopwatch


def test_laps_follow_each_other(monkeypatch) -> None:
    clock = iter([10.0, 11.5, 11.75])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    watch = Stopwatch()
    watch.lap("match")
    watch.lap("map")
    assert watch.seconds == {"match": 1.5, "map": 0.25}
