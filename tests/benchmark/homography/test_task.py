"""Homographies as a task: its rows, its numbers, and what it leaves out."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from dift_geo.benchmark.homography.data import Benchmark, Pair, read_benchmark
from dift_geo.benchmark.homography.protocols import PROTOCOLS, protocol_named
from dift_geo.benchmark.homography.task import Homographies
from dift_geo.benchmark.loop import score_items
from dift_geo.benchmark.methods import Method, stored_methods
from dift_geo.benchmark.run import evaluate
from dift_geo.benchmark.table import ScoreTable
from dift_geo.benchmark.task import Row
from dift_geo.extractor import build_extractor
from dift_geo.types import Features, Keypoints, Matches
from tests.benchmark.rendered import SIZE_WH, frame_with_errors, homography, render, rootsift


def summary_of(frame, protocol, scores) -> tuple[dict, dict]:
    """The values of the row and the numbers of a table that holds these matches alone.

    frame: in original pixels.
    """
    pair = Pair("i_a", 3, "0", "1", frame.H_true)
    features = {
        name: Features(Keypoints(xy, np.ones(len(xy)), frame.size_wh), np.zeros((len(xy), 1)))
        for name, xy in (("0", frame.xy0), ("1", frame.xy1))
    }
    index = np.arange(len(frame.xy0))
    matches = {("0", "1"): Matches(np.stack([index, index], 1), scores)}
    task = Homographies(Benchmark(None, (pair,)), protocol)
    (row,) = score_items(task, task.items(), features, matches)
    assert (row.group, row.item) == ("i_a", "3")
    return dict(row.values), ScoreTable((row,), task.measures).summary()


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_too_few_matches_are_failures_not_omissions(name, count):
    frame, protocol = frame_with_errors([0.0] * count), protocol_named(name)
    row, summary = summary_of(frame, protocol, np.ones(count))
    assert row["corner_px"] == np.inf
    assert row["inliers"] == 0
    assert [row[f"correct@{limit}"] for limit in range(1, 11)] == [count] * 10
    assert summary["acc@5"] == 0
    assert summary["auc@5"] == 0
    assert summary["failed"] == 1
    assert summary["mma@3"] == (1 if count else 0)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_exact_matches_score_full_marks_under_every_protocol(name):
    if name == "gluefactory":
        pytest.importorskip("poselib")
    protocol = protocol_named(name)
    _, summary = summary_of(frame_with_errors([0.0] * 30), protocol, np.linspace(0.5, 1, 30))
    if name == "gluefactory":  # reads the truth in COLMAP's frame, which is off by half a pixel
        assert summary["auc@5"] > 0.8
        assert summary["auc_dlt@5"] > 0.8
        assert summary["prec@3"] == 1
    else:
        assert summary["acc@1"] == summary["mma@1"] == 1
        assert summary[f"auc@{protocol.auc_px[0]}"] > 0.99
        assert "prec@1" not in summary
    assert set(protocol.headline) <= set(summary)


def test_best_threshold_is_chosen_by_mean_area(run, rendered, tmp_path, monkeypatch):
    _, out = run
    monkeypatch.setattr("dift_geo.benchmark.homography.protocols.SWEEP_PX", (1e-4, 3.0))
    benchmark, methods = read_benchmark(rendered), stored_methods(out)
    protocol = protocol_named("dift").with_estimator("ransac")
    single, swept = (
        evaluate(
            benchmark,
            tmp_path / str(limit),
            methods,
            protocol.with_estimator(None, limit),
            draws=5,
            pictures=0,
        )
        for limit in (3.0, "best")
    )
    for name, method in swept.results["methods"].items():
        # four matches never lie within 1e-4 px
        assert swept.results["recipe"]["methods"][name]["max_error_px"] == 3.0
        assert method["all"] == single.results["methods"][name]["all"]
    assert "the best of 0.0001 to 3 px per method" in swept.markdown()
    assert swept.results["recipe"]["protocol"]["sweep_px"] == (1e-4, 3.0)


@pytest.mark.parametrize("name", ["gluefactory", "loftr", "mma"])
def test_other_protocols_run_on_the_same_folder(rendered, tmp_path, name):
    if name == "gluefactory":
        pytest.importorskip("poselib")
    benchmark = read_benchmark(rendered, sequences=["v_wall"])
    report = evaluate(
        benchmark, tmp_path, [Method("s", rootsift())], protocol_named(name), draws=10, pictures=0
    )
    found = report.results["methods"]["s"]["all"]
    assert found["mma@3"] > 0.6
    assert found[f"auc@{protocol_named(name).auc_px[-1]}"] > 0.3
    assert all(metric in found for metric in protocol_named(name).headline)


def test_unreadable_images_take_their_pairs_along_and_are_named(tmp_path, texture):
    root = render(tmp_path / "hp", texture, ("i_a", "v_b"), 3)
    (root / "v_b" / "2.png").write_bytes(b"not an image")
    (root / "i_a" / "1.png").write_bytes(b"")
    report = evaluate(
        read_benchmark(root),
        tmp_path / "out",
        [Method("s", rootsift())],
        protocol_named("mma"),
        draws=5,
        pictures=0,
    )
    assert report.results["pairs"] == 1
    text = "\n".join(report.results["problems"])
    assert "v_b/2.png cannot be read; its pairs are left out" in text
    assert "i_a/1.png cannot be read" in text
    assert "left out: v_b/2.png" in (tmp_path / "out" / "results.md").read_text()


def test_truth_behind_the_camera_is_named(tmp_path, texture):
    root = render(tmp_path / "hp", texture, ("v_b",), 3)
    (root / "v_b" / "H_1_2").write_text("1 0 0 0 1 0 -0.02 0 1")
    methods = [Method("s", rootsift())]
    report = evaluate(
        read_benchmark(root), tmp_path / "out", methods, protocol_named("dift"), draws=5, pictures=0
    )
    assert (
        "v_b: H_1_2 carries a corner of image 1 behind the camera; pair 1-2 is left out"
        in report.results["problems"]
    )
    (root / "v_b" / "H_1_3").write_text("1 0 0 0 1 0 -0.02 0 1")
    with pytest.raises(ValueError, match="no usable pair"):
        evaluate(
            read_benchmark(root), tmp_path / "out2", methods, protocol_named("dift"), pictures=0
        )


def test_images_without_keypoints_count_as_failures(tmp_path, texture):
    root = render(tmp_path / "hp", texture, ("i_a",), 3)
    for k in (1, 2, 3):
        cv2.imwrite(str(root / "i_a" / f"{k}.png"), np.full((150, 200, 3), 128, np.uint8))
    report = evaluate(
        read_benchmark(root),
        tmp_path / "out",
        [Method("s", rootsift())],
        protocol_named("dift"),
        draws=5,
        pictures=1,
    )
    found = report.results["methods"]["s"]["all"]
    assert (found["pairs"], found["failed"], found["matches"], found["acc@5"], found["mma@3"]) == (
        2,
        1,
        0,
        0,
        0,
    )
    json.loads((tmp_path / "out" / "results.json").read_text())  # no NaN, no infinity


def test_planar_data_under_the_paper_protocol(data, tmp_path):
    """The research sequences where they are present: RootSIFT does what it should."""
    benchmark = read_benchmark(data / "planar", sequences=["v_graffiti", "i_leuven"])
    method = Method("rootsift", build_extractor(descriptor="rootsift", size=480, max_keypoints=400))
    report = evaluate(benchmark, tmp_path, [method], protocol_named("mma"), draws=10, pictures=0)
    assert report.results["methods"]["rootsift"]["i"]["mma@3"] > 0.5


def test_which_pairs_are_looked_at_first():
    task = Homographies(Benchmark(None, ()), protocol_named("mma"))
    rows = [
        Row("v", str(i), {"corner_px": error, "correct@3": correct})
        for i, (error, correct) in enumerate([(2, 9), (np.inf, 5), (1, 7), (np.inf, 8)])
    ]
    assert [row.item for row in task.best_first(rows)] == ["2", "0", "3", "1"]


def test_a_score_does_not_depend_on_where_the_images_are(tmp_path, texture):
    """Names are relative to the folder, and nothing else of it enters the rows."""
    root = render(tmp_path / "hp", texture, ("v_b",), 2)
    task = Homographies(read_benchmark(root), protocol_named("loftr"))
    assert task.photos.names == ("v_b/1.png", "v_b/2.png")
    assert task.photos.short_side == 480
    assert task.label(task.items()[0]) == "v_b_1-2"
    np.testing.assert_allclose(task.items()[0].H_1_from_0, homography("v_b", 2))
    assert SIZE_WH == (200, 150)
