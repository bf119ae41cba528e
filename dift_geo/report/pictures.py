"""Pictures of a benchmark run: curves over limits, bars per group, the best and the worst items of
each method.

Draws the plain data of results.json, and rows through the function it is given; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dift_geo.recipe import write_whole
from dift_geo.report.plots import plot_bars, plot_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "GALLERY",
    "PICTURES",
    "best_and_worst",
    "curve_number",
    "new_figure",
    "save_figure",
    "save_pictures",
    "save_rows",
]

PICTURES = "pictures"  # the folder of a run that holds them
GALLERY = "gallery.json"  # which pictures of rows there are, and what is on them
PANELS = 6  # of a picture of curves: all, and the first of the other tables
T = TypeVar("T")
Data = Mapping[str, Any]  # as JSON holds it


def save_pictures(results: Data, out: Path) -> None:
    """Write the curves (a panel per table, PANELS at most) and bars that the results ask for into
    `out`.
    """
    out.mkdir(parents=True, exist_ok=True)
    for curves in results["layout"]["curves"]:
        save_figure(_draw_curves(results, curves), out / curves["file"])
    if results["layout"]["bars"]:
        save_figure(_draw_bars(results), out / f"{results['layout']['groups']}.png")


def _draw_curves(results: Data, curves: Data) -> Figure:
    groups, limits = list(results["groups"])[:PANELS], curves["limits"]
    figure = new_figure(4 * len(groups), 3.6)
    for i, group in enumerate(groups):
        lines = {method: _curve(own[group], curves) for method, own in results["methods"].items()}
        axes = figure.add_subplot(1, len(groups), i + 1)
        plot_curves(limits, lines, xlabel=curves["x"], ylabel=curves["y"], title=group, axes=axes)
    return figure


def _curve(numbers: Data, curves: Data) -> list[float]:
    return [numbers[curve_number(curves, limit)] for limit in curves["limits"]]


def curve_number(curves: Data, limit: float) -> str:
    """The name of the number of a curve at a limit. Runs of older versions have no tail."""
    return f"{curves['metric']}@{limit}{curves.get('tail', '')}"


def _draw_bars(results: Data) -> Figure:
    groups, methods = results["groups"]["all"], results["methods"]
    word, bars = results["layout"]["groups"], results["layout"]["bars"]
    figure = new_figure(max(6.0, 0.2 * len(groups) * len(methods)), 3.25 * len(bars))
    for i, (name, label) in enumerate(bars.items()):
        heights = {method: _heights(own[word], groups, name) for method, own in methods.items()}
        axes = figure.add_subplot(len(bars), 1, i + 1)
        plot_bars(groups, heights, ylabel=label, axes=axes)
    return figure


def _heights(by_group: Data, groups: Sequence[str], name: str) -> list[float]:
    return [by_group[group][name] for group in groups]


def best_and_worst(best_first: Sequence[T], count: int) -> dict[str, Sequence[T]]:
    """Both ends of a list that has the best first, the worst of all coming first among `worst`;
    nothing is in both.
    """
    rest = max(0, len(best_first) - count)
    return {"best": best_first[:count], "worst": best_first[::-1][: min(count, rest)]}


def save_rows(
    best_first: Sequence[tuple[str, T]], count: int, out: Path, draw: Callable[[T, Axes], None]
) -> list[tuple[str, Path, T]]:
    """One picture for each of the best and of the worst in `out`; returns which of both each is,
    its file, and what is on it.

    best_first: what each is called in the name of its file, and what `draw` is given.
    """
    out.mkdir(parents=True, exist_ok=True)
    drawn = []
    for which, chosen in best_and_worst(best_first, count).items():
        for place, (label, row) in enumerate(chosen, 1):
            figure = new_figure(10, 4)
            draw(row, figure.add_subplot())
            path = out / f"{which}{place}_{label}.png"
            save_figure(figure, path)
            drawn.append((which, path, row))
    return drawn


def new_figure(width: float, height: float) -> Figure:
    """A figure outside pyplot's global state: nothing to close, no display. In inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file."""
    picture = BytesIO()
    figure.savefig(picture, dpi=110, format=path.suffix.removeprefix("."))
    write_whole(path, picture.getvalue())
