"""Pictures: what is drawn where, read back from matplotlib's artists."""

from __future__ import annotations

import numpy as np
import pytest

from dift_geo.report.plots import (
    INLIER,
    OUTLIER,
    UNKNOWN,
    plot_bars,
    plot_curves,
    plot_keypoints,
    plot_matches,
)
from dift_geo.types import Keypoints

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def axes():
    from matplotlib.figure import Figure

    return Figure().add_subplot()


def segments(axes) -> dict[str, np.ndarray]:
    """Line ends by colour: (M, 2, 2)."""
    from matplotlib.colors import to_hex

    found = {}
    for collection in axes.collections:
        if hasattr(collection, "get_segments") and len(collection.get_segments()):
            found[to_hex(collection.get_colors()[0])] = np.array(collection.get_segments())
    return found


def test_matches_join_both_images(axes, picture):
    small = picture[:100, :150]
    xy0, xy1 = np.array([[1.0, 2], [30, 40], [50, 60]]), np.array([[3.0, 4], [5, 6], [7, 8]])
    assert (
        plot_matches(picture, small, xy0, xy1, [True, False, True], title="two of three", axes=axes)
        is axes
    )
    drawn = segments(axes)
    shift = (picture.shape[1], 0)  # image 1 begins where image 0 ends
    np.testing.assert_allclose(drawn[INLIER], np.stack([xy0[[0, 2]], xy1[[0, 2]] + shift], 1))
    np.testing.assert_allclose(drawn[OUTLIER], np.stack([xy0[[1]], xy1[[1]] + shift], 1))
    shown = axes.images[0].get_array()
    np.testing.assert_array_equal(shown[:100, 320:470], small)
    assert axes.get_title() == "two of three"


def test_matches_without_inliers_and_without_matches(axes, picture):
    plot_matches(picture, picture, [[1, 2]], [[3, 4]], axes=axes)
    assert list(segments(axes)) == [UNKNOWN]
    plot_matches(picture, picture, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, bool), axes=axes)


def test_matches_are_thinned_evenly(axes, picture):
    xy = np.stack([np.arange(100.0), np.zeros(100)], 1)
    plot_matches(picture, picture, xy, xy, limit=5, axes=axes)
    np.testing.assert_allclose(segments(axes)[UNKNOWN][:, 0, 0], [0, 24, 49, 74, 99])


def test_matches_of_different_lengths_are_refused(picture):
    with pytest.raises(ValueError, match="lengths 2 and 1"):
        plot_matches(picture, picture, np.zeros((2, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="inliers"):
        plot_matches(picture, picture, np.zeros((2, 2)), np.zeros((2, 2)), [True])


@pytest.mark.parametrize("count", [0, 1, 7])
def test_keypoints_with_scale_and_angle(axes, picture, count):
    random = np.random.default_rng(count)
    keypoints = Keypoints(
        random.uniform(0, 200, (count, 2)),
        np.ones(count),
        (320, 240),
        np.full(count, 4.0),
        np.zeros(count),
    )
    plot_keypoints(picture, keypoints, axes=axes)
    circles = axes.collections[0]
    np.testing.assert_allclose(np.ravel(circles.get_offsets()), keypoints.xy.ravel(), rtol=1e-6)
    if count:  # the radius points along +x
        np.testing.assert_allclose(
            next(iter(segments(axes).values()))[:, 1], np.add(keypoints.xy, (4, 0)), rtol=1e-5
        )


def test_keypoints_as_plain_points(axes, picture):
    plot_keypoints(picture, [[3, 4], [5, 6]], title="dots", axes=axes)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), [[3, 4], [5, 6]])


def test_makes_its_own_figure(picture, monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    try:
        assert plot_keypoints(picture, [[3, 4]]).figure is plt.gcf()
    finally:
        plt.close("all")


def test_curves_and_bars(axes):
    plot_curves(
        [1, 2, 3],
        {"a": [0.1, 0.2, 0.3], "b": [0.3, 0.3, 0.3]},
        xlabel="px",
        ylabel="share",
        axes=axes,
    )
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.1, 0.2, 0.3])
    from matplotlib.figure import Figure

    bars = plot_bars(
        ["x", "y"], {"a": [0.5, 1.0], "b": [0.2, 0.1]}, ylabel="share", axes=Figure().add_subplot()
    )
    assert [patch.get_height() for patch in bars.patches] == [0.5, 1.0, 0.2, 0.1]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["x", "y"]
