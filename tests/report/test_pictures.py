"""Pictures of a run, from plain data."""

from __future__ import annotations

import cv2
import pytest

from dift_geo.report.pictures import best_and_worst, save_pictures, save_rows

matplotlib = pytest.importorskip("matplotlib")


def results(bars) -> dict:
    numbers = {"acc@1": 0.2, "acc@3": 0.6}
    by_scene = {"a": {"acc@3": 0.5}, "b": {"acc@3": 0.7}}
    curve = {"file": "accuracy.png", "metric": "acc", "limits": [1, 3], "x": "px", "y": "share"}
    return {
        "groups": {"all": ["a", "b"], "half": ["a"]},
        "methods": {"m": {"all": numbers, "half": numbers, "scenes": by_scene}},
        "layout": {"groups": "scenes", "curves": [curve], "bars": bars},
    }


def test_curves_have_a_panel_per_group_and_bars_one_per_number(tmp_path):
    save_pictures(results({"acc@3": "accuracy"}), tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "accuracy.png",
        "scenes.png",
    ]
    h, w = cv2.imread(str(tmp_path / "new" / "accuracy.png")).shape[:2]
    assert w > 2 * h
    save_pictures(results({}), tmp_path / "without")
    assert [path.name for path in (tmp_path / "without").iterdir()] == ["accuracy.png"]


@pytest.mark.parametrize(
    ("rows", "best", "worst"),
    [([], [], []), ([1], [1], []), ([1, 2, 3], [1, 2], [3]), ([1, 2, 3, 4, 5], [1, 2], [5, 4])],
)
def test_nothing_is_both_best_and_worst(rows, best, worst):
    assert best_and_worst(rows, 2) == {"best": best, "worst": worst}


def test_rows_are_drawn_by_who_knows_them(tmp_path):
    drawn = []
    save_rows(
        [("a_1-2", 10), ("b_1-3", 20)],
        1,
        tmp_path / "m",
        lambda row, axes: drawn.append((row, axes)),
    )
    assert [row for row, _ in drawn] == [10, 20]
    names = sorted(path.name for path in (tmp_path / "m").iterdir())
    assert names == ["best1_a_1-2.png", "worst1_b_1-3.png"]
