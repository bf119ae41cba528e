"""Relative poses through the tables, with answers known by hand."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dift_geo.benchmark.loop import evaluate_task
from dift_geo.benchmark.relative_pose.data import Choice, PosedPair, PosedPairs, View
from dift_geo.benchmark.relative_pose.protocols import PROTOCOLS, protocol_named
from dift_geo.benchmark.relative_pose.score import in_frame_of, pose_angle_deg, score
from dift_geo.benchmark.relative_pose.task import RelativePoses
from dift_geo.errors import InputError
from dift_geo.geometry.curves import auc
from tests.benchmark.relative_pose.made import SIZE_WH, K, Perfect, relative, seen

POSES = protocol_named("poses")


def pair_of(scene: str, first: int, second: int, wrong_deg: float = 0.0, size_wh=SIZE_WH):
    """A pair whose truth is off by an angle about the axis of view of camera 1."""
    views = (View(f"{scene}/images/{i}.png", K, size_wh) for i in (first, second))
    off = Rotation.from_euler("z", wrong_deg, degrees=True).as_matrix()
    return PosedPair(scene, *views, off @ relative(first, second)[:3])


@pytest.fixture
def data(tmp_path):
    """Three pairs of `abbey` with a truth that is 0, 2 and 12 degrees off, one of `bridge`."""
    pairs = [
        pair_of("abbey", first, second, wrong)
        for (first, second), wrong in zip(combinations(range(3), 2), (0, 2, 12))
    ]
    pairs.append(pair_of("bridge", 0, 3))
    picture = np.full((*SIZE_WH[::-1], 3), 90, np.uint8)
    for one in pairs:
        for name in one.names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / name), picture)
    return PosedPairs(tmp_path, "made up", tuple(pairs))


def test_numbers_of_a_run(data, tmp_path) -> None:
    found = evaluate_task(
        RelativePoses(data, POSES), tmp_path / "out", [Perfect(), Perfect("noisy", wrong=40)]
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["scenes"], results["pairs"]) == (2, 4)
    numbers = results["methods"]["perfect"]["all"]
    with (tmp_path / "out" / "pairs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "perfect"]
    labels = ["0.png-1.png", "0.png-2.png", "1.png-2.png", "0.png-3.png"]
    assert [row["pair"] for row in rows] == labels
    errors = np.array([float(row["pose_deg"]) for row in rows])
    turned = np.array([float(row["rotation_deg"]) for row in rows])
    np.testing.assert_allclose(turned, [0, 2, 12, 0], atol=1e-3)
    assert (errors >= turned).all()
    for limit, value in zip((1, 3, 5, 10, 20), auc(errors, [1, 3, 5, 10, 20])):
        assert numbers[f"auc@{limit}"] == value
    assert numbers["maa"] == pytest.approx(np.mean(auc(errors, [5, 10, 20])))
    shares = [(errors <= limit).mean() for limit in range(1, 11)]
    assert numbers["maa@10"] == pytest.approx(np.mean(shares))
    assert (numbers["matches"], numbers["failed"]) == (120, 0)
    own = results["methods"]["perfect"]["scenes"]["bridge"]
    assert (own["precision@3px"], own["inlier_precision@3px"], own["inliers"]) == (1, 1, 120)
    noisy = results["methods"]["noisy"]["scenes"]["bridge"]
    assert 80 / 120 <= noisy["precision@3px"] < 95 / 120
    assert noisy["inlier_precision@3px"] > 0.95
    assert results["methods"]["perfect"]["intervals"]["all"]["auc@5"] is not None
    assert results["methods"]["perfect"]["intervals"]["bridge"]["auc@5"] is None
    text = found.markdown()
    assert "4 pairs of 2 scenes in" in text
    assert "made up; essential matrices by poselib at 1 px" in text
    assert "## bridge (1 scenes, 1 pairs)" in text
    assert len(list((tmp_path / "out" / "pictures" / "perfect").iterdir())) == 4
    recipe = results["recipe"]
    assert recipe["truth"] == "made up"
    assert recipe["protocol"]["ransac"]["estimator"] == "poselib"
    assert recipe["pairs"] == Choice().recipe()


def test_one_scene_has_no_interval(data, tmp_path) -> None:
    alone = replace(data, pairs=data.pairs[:3])
    found = evaluate_task(RelativePoses(alone, POSES), tmp_path / "o", [Perfect()], pictures=0)
    intervals = found.results["methods"]["perfect"]["intervals"]
    assert set(intervals) == {"all"}
    assert set(intervals["all"].values()) == {None}


def test_a_photo_resized_since_its_camera_was_measured_is_scored_in_the_frame_of_the_truth(
    data, tmp_path
) -> None:
    half = Perfect("half", size_wh=(320, 240))
    found = evaluate_task(RelativePoses(data, POSES), tmp_path / "o", [Perfect(), half], pictures=0)
    methods = found.results["methods"]
    assert methods["half"]["all"]["auc@5"] == pytest.approx(methods["perfect"]["all"]["auc@5"])
    assert methods["half"]["all"]["precision@3px"] == methods["perfect"]["all"]["precision@3px"]
    xy = in_frame_of(View("", K, (640, 480)), [[0, 0], [319, 239]], (320, 240))
    np.testing.assert_allclose(xy, [[0.5, 0.5], [638.5, 478.5]])
    assert in_frame_of(View("", K), [[3, 4]], (320, 240)).tolist() == [[3, 4]]


def test_what_cannot_be_scored_is_left_out_and_said(data, tmp_path) -> None:
    turned = pair_of("bridge", 0, 1, size_wh=(480, 640))
    still = replace(data.pairs[0], cam1_from_cam0=np.eye(3, 4))
    some = replace(data, pairs=(*data.pairs, turned, still))
    found = evaluate_task(RelativePoses(some, POSES), tmp_path / "o", [Perfect()], pictures=0)
    assert found.results["pairs"] == 4
    first, second = found.results["problems"]
    assert "bridge/images/0.png is 640 x 480 and its intrinsics are for 480 x 640" in first
    assert "were taken from one place" in second


def test_no_match_is_a_failure_and_no_omission() -> None:
    none = np.zeros((0, 2))
    found = score(pair_of("a", 0, 1), none, none, POSES)
    assert (found.matches, found.inliers, found.correct, found.correct_inliers) == (0, 0, 0, 0)
    assert found.pose_deg == found.rotation_deg == found.translation_deg == np.inf
    few = seen(0)[:4]
    assert score(pair_of("a", 0, 1), few, few, POSES).pose_deg == np.inf


@pytest.mark.parametrize(
    ("angles", "either_way", "expected"),
    [
        ((2, 5), False, 5),
        ((7, 5), True, 7),
        ((2, 176), True, 4),
        ((2, 176), False, 176),
        ((2, 90), True, 90),
        ((np.inf, np.inf), True, np.inf),
    ],
)
def test_the_larger_of_both_angles(angles, either_way, expected) -> None:
    assert pose_angle_deg(*angles, either_way=either_way) == expected


def test_thresholds_that_are_tried_for_each_method(data, tmp_path) -> None:
    task = RelativePoses(data, POSES.with_estimator("pycolmap", "best"))
    found = evaluate_task(task, tmp_path / "o", [Perfect()], pictures=0)
    assert found.results["recipe"]["methods"]["perfect"]["max_error_px"] in (0.5, 1, 1.5, 2, 2.5, 3)
    assert "by pycolmap at the best of 0.5 to 3 px per method" in found.markdown()


def test_published_numbers_are_marked_as_quoted(data, tmp_path) -> None:
    task = RelativePoses(data, protocol_named("megadepth1500"))
    found = evaluate_task(task, tmp_path / "o", [Perfect()], pictures=0)
    text = (tmp_path / "o" / "results.md").read_text()
    assert "| *quoted:* MATCHA |  | 69.3 |" in text
    assert "| *quoted:* DIFT at SuperPoint keypoints |  | 62.8 |" in text
    assert "| *quoted:* SuperPoint + NN |  | 60.0 |" in text
    assert "not run here; read from notes on MATCHA" in text
    assert found.results["layout"]["quoted"]["MATCHA"] == {"auc@10": 0.693}


def test_every_protocol_shows_numbers_that_there_are() -> None:
    measures = RelativePoses(PosedPairs("", "", ()), POSES).measures
    for protocol in PROTOCOLS.values():
        assert set(protocol.headline) <= set(measures)
        for numbers in protocol.quoted.values():
            assert set(numbers) <= set(protocol.headline)


def test_refuses_other_words() -> None:
    with pytest.raises(InputError, match="expected one of megadepth1500, scannet1500, imc, poses"):
        protocol_named("hpatches")
    with pytest.raises(InputError, match="relative poses is 'lmeds', expected one of poselib"):
        POSES.with_estimator("lmeds")
    with pytest.raises(InputError, match="expected a positive number"):
        POSES.with_estimator(None, -1)
    assert POSES.with_estimator("magsac", 2).ransac.max_error_px == 2
