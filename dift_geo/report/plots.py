"""Pictures with matplotlib: matches, keypoints, curves and bars. Needs the `viz` extra, loaded when
a function is called.

Every function draws into the `axes` it is given, or into a new figure, and returns the axes. Knows
no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dift_geo.errors import InputError
from dift_geo.report.drawing import spread
from dift_geo.types import Keypoints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_bars", "plot_curves", "plot_keypoints", "plot_matches"]

INLIER, OUTLIER, UNKNOWN = "#35c759", "#e5484d", "#ffd200"


def plot_matches(
    image0: NDArray[np.uint8],
    image1: NDArray[np.uint8],
    xy0: ArrayLike,
    xy1: ArrayLike,
    inliers: ArrayLike | None = None,
    *,
    limit: int | None = 300,
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Two (H, W, 3) RGB images side by side with a line per match.

    xy0, xy1: (M, 2) pixels of image 0 and image 1.
    inliers: (M,) bool, drawn green over the red rest; None draws all yellow.
    limit: at most so many lines, evenly picked; None draws all.
    title: above the picture.
    axes: what to draw into; None is a new figure.

    Raises InputError when lengths differ.
    """
    from matplotlib.collections import LineCollection

    xy0, xy1 = (np.asarray(xy, np.float64).reshape(-1, 2) for xy in (xy0, xy1))
    known = None if inliers is None else np.asarray(inliers, bool)
    if len(xy0) != len(xy1) or (known is not None and known.shape != (len(xy0),)):
        raise InputError(
            f"points have lengths {len(xy0)} and {len(xy1)}, "
            f"inliers have shape {None if known is None else known.shape}, expected one length"
        )
    axes = _axes(axes, (12, 5))
    shift = np.array([image0.shape[1], 0])
    axes.imshow(_side_by_side(image0, image1))
    axes.set_axis_off()
    picked = spread(len(xy0), limit)
    layers = (
        [(picked, UNKNOWN)]
        if known is None
        else [(picked[~known[picked]], OUTLIER), (picked[known[picked]], INLIER)]
    )
    for rows, colour in layers:  # inliers last: on top
        segments = np.stack([xy0[rows], xy1[rows] + shift], 1)  # (M, 2 ends, 2)
        axes.add_collection(
            LineCollection(list(segments), colors=colour, linewidths=0.7, alpha=0.8)
        )
        ends = segments.reshape(-1, 2)
        axes.scatter(ends[:, 0], ends[:, 1], s=3, c=colour, linewidths=0)
    if title:
        axes.set_title(title, fontsize=9)
    return axes


def plot_keypoints(
    image: NDArray[np.uint8],
    keypoints: Keypoints | ArrayLike,
    *,
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """An (H, W, 3) RGB image with its keypoints: circles of their scale with a radius along their
    angle, dots without.

    keypoints: `Keypoints`, or (N, 2) pixels.
    title: above the picture.
    axes: what to draw into; None is a new figure.
    """
    from matplotlib.collections import EllipseCollection, LineCollection

    axes = _axes(axes, (8, 6))
    axes.imshow(image)
    axes.set_axis_off()
    points = keypoints if isinstance(keypoints, Keypoints) else None
    xy = np.asarray(keypoints if points is None else points.xy, np.float64).reshape(-1, 2)
    if points is None or points.scale is None:
        axes.scatter(xy[:, 0], xy[:, 1], s=5, c=INLIER, linewidths=0)
    else:
        size = 2 * points.scale
        circles = EllipseCollection(
            size,
            size,
            np.zeros(len(xy)),
            units="xy",
            offsets=xy,
            transOffset=axes.transData,
            facecolors="none",
            edgecolors=INLIER,
            linewidths=0.7,
        )
        axes.add_collection(circles)
        if points.angle is not None:
            along = np.stack([np.cos(points.angle), np.sin(points.angle)], 1)
            rim = xy + points.scale[:, None] * along
            lines = list(np.stack([xy, rim], 1))
            axes.add_collection(LineCollection(lines, colors=INLIER, linewidths=0.7))
    if title:
        axes.set_title(title, fontsize=9)
    return axes


def plot_curves(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    axes: Axes | None = None,
) -> Axes:
    """One line per name over common x; y in [0, 1]."""
    axes = _axes(axes, (5, 4))
    for name, y in curves.items():
        axes.plot(x, y, marker=".", label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, ylim=(0, 1), xlim=(min(x), max(x)))
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(fontsize=8)
    return axes


def plot_bars(
    labels: Sequence[str],
    bars: Mapping[str, Sequence[float]],
    *,
    ylabel: str,
    axes: Axes | None = None,
) -> Axes:
    """A group of bars per label, one bar per name."""
    axes = _axes(axes, (max(6.0, 0.25 * len(labels) * max(1, len(bars))), 4))
    place = np.arange(len(labels))
    width = 0.8 / max(1, len(bars))
    for i, (name, heights) in enumerate(bars.items()):
        axes.bar(place + (i - (len(bars) - 1) / 2) * width, heights, width, label=name)
    axes.set_xticks(place, labels, rotation=90 if len(labels) > 8 else 20, fontsize=8)
    axes.set(ylabel=ylabel, ylim=(0, 1))
    axes.grid(axis="y", alpha=0.3)
    if bars:
        axes.legend(fontsize=8)
    return axes


def _axes(axes: Axes | None, size_inches: tuple[float, float]) -> Axes:
    if axes is not None:
        return axes
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size_inches, layout="constrained").add_subplot()


def _side_by_side(image0: NDArray[np.uint8], image1: NDArray[np.uint8]) -> NDArray[np.uint8]:
    (h0, w0), (h1, w1) = image0.shape[:2], image1.shape[:2]
    canvas = np.full((max(h0, h1), w0 + w1, 3), 255, np.uint8)
    canvas[:h0, :w0], canvas[:h1, w0:] = image0, image1
    return canvas
