"""Pictures of a benchmark run: curves over thresholds, bars per sequence, the best and worst pairs
of each method.

Draws what scoring found; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dift_geo.benchmark.homography.protocols import THRESHOLDS_PX
from dift_geo.benchmark.homography.score import PairScore
from dift_geo.report.markdown import Report
from dift_geo.report.plots import plot_bars, plot_curves

__all__ = ["best_and_worst", "save_figure", "save_pictures"]


def save_pictures(report: Report, out: Path) -> None:
    """Write mma.png, accuracy.png (a panel per group) and sequences.png into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    groups = list(report.groups)
    for file, metric, label in (
        ("mma.png", "mma", "share of matches within it"),
        ("accuracy.png", "acc", "share of pairs within it"),
    ):
        figure = new_figure(4 * len(groups), 3.6)
        for i, group in enumerate(groups):
            axes = figure.add_subplot(1, len(groups), i + 1)
            curves = {
                name: [
                    report.results["methods"][name][group][f"{metric}@{limit}"]
                    for limit in THRESHOLDS_PX
                ]
                for name in report.tables
            }
            plot_curves(
                THRESHOLDS_PX, curves, xlabel="threshold, px", ylabel=label, title=group, axes=axes
            )
        save_figure(figure, out / file)
    sequences = report.groups["all"]
    figure = new_figure(max(6.0, 0.2 * len(sequences) * len(report.tables)), 6.5)
    for i, (metric, label) in enumerate((("mma@3", "MMA at 3 px"), ("acc@3", "accuracy at 3 px"))):
        bars = {
            name: [
                report.results["methods"][name]["sequences"][sequence][metric]
                for sequence in sequences
            ]
            for name in report.tables
        }
        plot_bars(sequences, bars, ylabel=label, axes=figure.add_subplot(2, 1, i + 1))
    save_figure(figure, out / "sequences.png")


def best_and_worst(rows: tuple[PairScore, ...], count: int) -> dict[str, list[PairScore]]:
    """The pairs to look at: smallest corner errors, and largest ones (failures first, those with
    fewest correct matches).
    """
    three = THRESHOLDS_PX.index(3)
    ordered = sorted(rows, key=lambda row: (row.corner_px, -row.correct[three]))
    return {
        "best": ordered[:count],
        "worst": ordered[::-1][: min(count, max(0, len(ordered) - count))],
    }


def save_pairs(
    rows: tuple[PairScore, ...], count: int, out: Path, draw: Callable[[PairScore, Any], None]
) -> None:
    """One picture per chosen pair in `out`, drawn by `draw(row, axes)`."""
    out.mkdir(parents=True, exist_ok=True)
    for which, chosen in best_and_worst(rows, count).items():
        for place, row in enumerate(chosen, 1):
            figure = new_figure(10, 4)
            draw(row, figure.add_subplot())
            save_figure(figure, out / f"{which}{place}_{row.sequence}_1-{row.index}.png")


def new_figure(width: float, height: float) -> Any:
    """A figure outside pyplot's global state: nothing to close, no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110)
