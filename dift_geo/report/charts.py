"""Curves and bars of an evaluation as places and words; the page draws them.

Reads the plain data of results.json. Knows no benchmark, no pictures and no HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dift_geo.report.markdown import cell_text, unit_of
from dift_geo.report.pictures import curve_number

__all__ = ["Bar", "Bars", "Chart", "Line", "Panel", "bar_charts", "curve_panels"]

WIDTH, HEIGHT = 420.0, 290.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 10.0, 44.0  # margins, in which words stand
TICKS = 10  # of an axis at most
LONGEST = 82.0  # per cent of the place of bars, which the longest one takes; its number follows
Data = Mapping[str, Any]  # as JSON holds it
Interval = Sequence[float] | None


@dataclass(frozen=True)
class Line:
    """A method's curve: its row among the methods, its points and the band of its intervals as
    SVG has them, and each point with its words.
    """

    row: int
    points: str
    band: str
    dots: Sequence[tuple[float, float, str]]


@dataclass(frozen=True)
class Panel:
    """Curves over one axis. Ticks are places with words."""

    title: str
    group: str
    x: str
    y: str
    lines: Sequence[Line]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    size_wh: tuple[float, float] = (WIDTH, HEIGHT)
    corners: tuple[float, float, float, float] = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)


@dataclass(frozen=True)
class Bar:
    """A method's number: its row among the methods, its length and its interval in per cent of the
    place, and the number in words; no length where the number is not known.
    """

    row: int
    length: float | None
    interval: tuple[float, float] | None
    text: str


@dataclass(frozen=True)
class Bars:
    """The bars of all methods for one group."""

    name: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Chart:
    """Bars of one number, a row for each group."""

    title: str
    rows: Sequence[Bars]


def curve_panels(results: Data) -> list[Panel]:
    """A panel for each picture of curves and each table."""
    return [
        _panel(results, curves, group)
        for curves in results["layout"]["curves"]
        for group in results["groups"]
    ]


def _panel(results: Data, curves: Data, group: str) -> Panel:
    limits = [float(limit) for limit in curves["limits"]]
    low, high = min(limits), max(limits)
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    x = [LEFT + across * (limit - low) / ((high - low) or 1.0) for limit in limits]
    lines = []
    for row, (method, own) in enumerate(results["methods"].items()):
        dots, lows, highs = [], [], []
        for at, limit in zip(x, curves["limits"]):
            name = curve_number(curves, limit)
            value, interval = own[group].get(name), own["intervals"][group].get(name)
            if value is None:
                continue
            words = f"{method}, {name}: {cell_text(unit_of(results, name), value, interval)}"
            dots.append((at, TOP + down * (1 - value), words))
            ends = interval or (value, value)
            lows.append((at, TOP + down * (1 - ends[0])))
            highs.append((at, TOP + down * (1 - ends[1])))
        band = _points([*highs, *lows[::-1]]) if highs != lows else ""
        lines.append(Line(row, _points([dot[:2] for dot in dots]), band, dots))
    step = -(-len(limits) // TICKS)
    return Panel(
        title=f"{curves['metric']}{curves.get('tail', '')}: {curves['y']}",
        group=group,
        x=curves["x"],
        y=curves["y"],
        lines=lines,
        x_ticks=[(at, f"{limit:g}") for at, limit in zip(x, limits)][::step],
        y_ticks=[(TOP + down * (1 - i / 5), f"{20 * i}") for i in range(6)],
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def bar_charts(results: Data) -> list[Chart]:
    """Bars per sequence of the numbers that the layout names, of the first of the headline where it
    names none; and with intervals per table where there are several.
    """
    layout = results["layout"]
    named = layout["bars"] or {layout["headline"][0]: layout["headline"][0]}
    charts = []
    for name, words in named.items():
        if layout["by_group"]:
            rows = _by_group(results, name, layout["groups"])
            charts.append(Chart(f"{words}, per {layout['group']}", rows))
        if len(results["groups"]) > 1:
            charts.append(Chart(f"{words}, per table", _by_table(results, name)))
    return charts


def _by_group(results: Data, name: str, word: str) -> list[Bars]:
    groups: Sequence[str] = results["groups"]["all"]
    most = _most(results, name, (own[word][group] for own in _methods(results) for group in groups))
    return [
        Bars(
            group,
            [
                _bar(results, name, row, own[word][group], None, most)
                for row, own in enumerate(_methods(results))
            ],
        )
        for group in groups
    ]


def _by_table(results: Data, name: str) -> list[Bars]:
    tables: Sequence[str] = list(results["groups"])
    most = _most(results, name, (own[table] for own in _methods(results) for table in tables))
    return [
        Bars(
            table,
            [
                _bar(results, name, row, own[table], own["intervals"][table].get(name), most)
                for row, own in enumerate(_methods(results))
            ],
        )
        for table in tables
    ]


def _methods(results: Data) -> list[Data]:
    return list(results["methods"].values())


def _most(results: Data, name: str, numbers: Iterator[Data]) -> float:
    """What the longest bar stands for: all of a share, else the largest number."""
    if unit_of(results, name) == "share":
        return 1.0
    return max((own[name] for own in numbers if own.get(name) is not None), default=0.0) or 1.0


def _bar(results: Data, name: str, row: int, numbers: Data, interval: Interval, most: float) -> Bar:
    value = numbers.get(name)
    if value is None:
        return Bar(row, None, None, "not known")
    low, high = interval or (0.0, 0.0)
    ends = None if interval is None else (LONGEST * low / most, LONGEST * min(1.0, high / most))
    text = cell_text(unit_of(results, name), value, interval)
    return Bar(row, LONGEST * max(0.0, min(1.0, value / most)), ends, text)
