"""Tasks of other kinds go through the same tables, resampling, CSV and comparison as homographies:
relative poses of scenes, keypoints of object categories, masks of videos.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from dift_geo.benchmark.compare import compare_runs
from dift_geo.benchmark.loop import evaluate_task
from dift_geo.benchmark.measures import (
    Area,
    Average,
    Mean,
    MeanOfKinds,
    NoAnswer,
    Pooled,
    Ratio,
)
from dift_geo.benchmark.methods import Prepared
from dift_geo.benchmark.task import Layout, Photos, Row, Task
from dift_geo.geometry.curves import auc
from dift_geo.report.evaluation import report_evaluation


@dataclass(frozen=True)
class Answers:
    """A method that gives a number per image, and needs no store."""

    name: str
    by_image: dict[str, float]

    def prepare(self, photos, cache, device):
        missing = {name: "is not there" for name in photos.names if name not in self.by_image}
        return Prepared(self.name, self.by_image, missing, lambda pairs: {}, dict)


@dataclass(frozen=True)
class Made(Task[tuple[str, str], float]):
    """What the three tasks share: items are (group, name of an image)."""

    places: Sequence[tuple[str, str]]
    folder: object

    @property
    def photos(self):
        return Photos(self.folder, tuple(name for _, name in self.places), self.name)

    def items(self):
        return self.places

    def images(self, item):
        return [item[1]]

    def label(self, item):
        return "_".join(item)

    def group(self, item):
        return item[0]

    def recipe(self):
        return {"protocol": self.name}


class Poses(Made):
    name, source = "poses", "angles of relative poses in degrees, area under their curve"
    measures: ClassVar = {
        **{f"auc@{limit}": Area("pose_deg", limit) for limit in (5, 10, 20)},
        "precision@3px": Mean("precision@3px", unit="share"),
        "median_deg": Mean("pose_deg_or_90", unit="deg"),
        "matches": Mean("matches"),
        "failed": NoAnswer("pose_deg"),
    }
    layout = Layout(
        title="Relative poses",
        note="essential matrices by poselib at 1 px",
        headline=("auc@5", "auc@10", "auc@20", "median_deg", "matches"),
        beside=("failed",),
        group="scene",
        row=("scene", "pair"),
    )

    def score(self, item, features, matches):
        error = features[item[1]]
        values = {
            "matches": 100,
            "pose_deg": error,
            "pose_deg_or_90": min(error, 90.0),
            "precision@3px": 0.5,
        }
        return Row(item[0], item[1], values)


class Keypoints(Made):
    name, source = "spair71k", "keypoints within 0.1 of the box's longer side"
    measures: ClassVar = {
        "pck@0.1/image": Ratio("right@0.1", "points"),
        "pck@0.1/point": Pooled("right@0.1", "points"),
        "pck@0.1/category": MeanOfKinds("right@0.1", "points"),
    }
    layout = Layout(
        title="Semantic correspondence",
        note="cosine argmax",
        headline=tuple(measures),
        group="pair",  # what is resampled is the pair itself
        item="pair",
        row=("pair", "target"),
        kind="category",
        by_group=False,
    )

    def groups(self, names):
        kinds = dict.fromkeys(name.split("-")[0] for name in names)
        return {kind: [name for name in names if name.startswith(kind)] for kind in kinds}

    def score(self, item, features, matches):
        points = 10 if item[0].startswith("cat") else 4
        values = {"points": points, "right@0.1": round(points * features[item[1]])}
        return Row(item[0], item[1], values, kind=item[0].split("-")[0])


class Masks(Made):
    name, source = "davis2017", "region similarity and contour accuracy of objects"
    measures: ClassVar = {
        "J": Mean("J", unit="share"),
        "F": Mean("F", unit="share"),
        "J&F": Average(("J", "F")),
    }
    layout = Layout(
        title="Video objects",
        note="first and last frame left out",
        headline=("J&F", "J", "F"),
        group="sequence",
        item="object",
        row=("sequence", "object"),
    )

    def score(self, item, features, matches):
        found = features[item[1]]
        return Row(item[0], item[1], {"J": found, "F": found / 2})


def evaluated(task, out, *methods, draws=20):
    found = evaluate_task(task, out, methods, draws=draws, pictures=1)
    page = report_evaluation(out).read_text(encoding="utf-8")
    for words in (task.layout.title, *(method.name for method in methods), "How it was made"):
        assert words in page
    return found, json.loads((out / "results.json").read_text())


def test_relative_poses(tmp_path):
    places = [("abbey", "a1"), ("abbey", "a2"), ("bridge", "b1"), ("castle", "c1")]
    errors = {"a1": 1.0, "a2": 4.0, "b1": np.inf, "c1": 12.0}
    task = Poses(places, tmp_path)
    better = Answers("better", {name: error / 2 for name, error in errors.items()})
    found, results = evaluated(task, tmp_path / "a", Answers("plain", errors), better)
    assert (results["scenes"], results["pairs"]) == (3, 4)
    numbers = results["methods"]["plain"]["all"]
    for limit in (5, 10, 20):
        assert numbers[f"auc@{limit}"] == auc(list(errors.values()), [limit])[0]
    assert numbers["failed"] == 0.25
    assert results["methods"]["plain"]["scenes"]["abbey"]["median_deg"] == 2.5
    low, high = results["differences"]["better - plain"]["all"]["auc@5"]["interval"]
    assert 0 <= low < high
    assert "intervals are 95 % over scenes" in results["unit"]
    text = found.markdown()
    assert "4 pairs of 3 scenes in" in text
    assert "essential matrices by poselib at 1 px. Shares in per cent" in text
    assert "| plain | 35.0 [" in text
    assert "26.75 [" in text  # degrees are no shares
    with (tmp_path / "a" / "pairs.csv").open() as file:
        header, first, *_ = csv.reader(file)
    assert header[:5] == ["method", "scene", "pair", "matches", "pose_deg"]
    assert first[:5] == ["plain", "abbey", "a1", "100", "1.0"]
    evaluated(task, tmp_path / "b", Answers("other", errors))
    both = compare_runs([tmp_path / "a", tmp_path / "b"])
    assert list(both.tables) == ["plain", "better", "other"]
    assert both.results["methods"]["other"] == results["methods"]["plain"]


def test_keypoints_in_all_three_aggregates(tmp_path):
    places = [("cat-0", "x"), ("cat-1", "y"), ("bus-0", "z")]
    task = Keypoints(places, tmp_path)
    answers = Answers("maps", {"x": 1.0, "y": 0.5, "z": 0.25})
    found, results = evaluated(task, tmp_path / "a", answers)
    numbers = results["methods"]["maps"]
    assert numbers["all"]["pck@0.1/image"] == pytest.approx((1 + 0.5 + 0.25) / 3)
    assert numbers["all"]["pck@0.1/point"] == pytest.approx((10 + 5 + 1) / 24)
    assert numbers["all"]["pck@0.1/category"] == pytest.approx((15 / 20 + 1 / 4) / 2)
    assert numbers["cat"]["pck@0.1/point"] == pytest.approx(15 / 20)
    assert numbers["intervals"]["all"]["pck@0.1/category"] is not None
    assert "pairs" not in numbers  # thousands of pairs are in the CSV alone
    assert "## cat (2 pairs)" in found.markdown()
    with (tmp_path / "a" / "pairs.csv").open() as file:
        assert next(csv.reader(file))[:5] == ["method", "pair", "target", "category", "points"]
    both = compare_runs([tmp_path / "a"])
    assert both.results["methods"] == results["methods"]
    assert both.tables["maps"].rows[0].kind == "cat"


def test_masks_of_videos(tmp_path):
    places = [("dog", "dog-1"), ("dogs", "dogs-1"), ("dogs", "dogs-2")]
    found, results = evaluated(
        Masks(places, tmp_path), tmp_path / "a", Answers("t", {"dog-1": 0.9, "dogs-1": 0.6})
    )
    assert results["problems"] == ["dogs-2 is not there; its objects are left out"]
    numbers = results["methods"]["t"]
    assert numbers["all"] == {"J": 0.75, "F": 0.375, "J&F": pytest.approx(0.5625), "objects": 2}
    assert numbers["sequences"]["dog"]["J&F"] == pytest.approx(0.675)
    assert results["objects"] == 2
    assert (tmp_path / "a" / "objects.csv").is_file()
    assert found.layout.file == "objects.csv"
    assert compare_runs([tmp_path / "a"]).results["methods"] == results["methods"]
