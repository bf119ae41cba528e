"""What makes a model trusted, doubted and refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from posed_models import database_of, model_of
from synthetic_sfm import make_scene

from dift_geo.colmap.holdout import HeldOut, hold_out
from dift_geo.colmap.trust import Evidence, gather, judge

GOOD = Evidence(
    images=10,
    registered=10,
    free_cameras=10,
    runs=2,
    runs_agree_deg=0.2,
    held_out=900,
    held_out_within_2px=0.98,
    contradicting_pairs=[],
    contradicting=0.0,
    rotation_deg=0.02,
    centre_deg=0.1,
    focal=0.01,
    weak_images=[],
)
AGAINST = [("a.jpg", "b.jpg")] * 5


def test_what_is_good_in_all_respects_is_high() -> None:
    trust = judge(GOOD)
    assert trust.level == "high"
    (reason,) = trust.reasons
    assert "2 runs agree within 0.2 degrees" in reason
    assert "98 % of 900" in reason


@pytest.mark.parametrize(
    ("change", "level", "reason"),
    [
        ({"runs_agree_deg": 2.0}, "medium", "2 degrees apart"),
        ({"runs_agree_deg": 30.0}, "low", "30 degrees apart"),
        ({"runs_agree_deg": None}, "medium", "no other run"),
        ({"images": 5, "registered": 5, "free_cameras": 5}, "medium", "5 unknown focal lengths"),
        ({"images": 5, "registered": 5, "free_cameras": 1}, "high", "2 runs agree"),
        ({"held_out_within_2px": 0.85}, "medium", "explains 85 % of 900"),
        ({"held_out_within_2px": 0.5}, "low", "explains 50 % of 900"),
        ({"held_out_within_2px": None, "held_out": 0}, "medium", "0 matches could be withheld"),
        ({"held_out": 12, "held_out_within_2px": 0.2}, "medium", "12 matches could be withheld"),
        ({"focal": None}, "medium", "cannot be computed"),
        ({"focal": 0.2}, "medium", "uncertain by 20 %"),
        ({"focal": 0.5}, "low", "uncertain by 50 %"),
        ({"registered": 6}, "medium", "6 of 10 images are registered"),
        ({"registered": 4}, "low", "4 of 10 images are registered"),
        ({"contradicting": 0.2, "contradicting_pairs": AGAINST}, "medium", "a.jpg and b.jpg"),
        ({"contradicting": 0.6, "contradicting_pairs": AGAINST}, "low", "5 verified pairs"),
    ],
)
def test_one_doubt_is_enough(change: dict, level: str, reason: str) -> None:
    trust = judge(replace(GOOD, **change))
    assert trust.level == level
    assert len(trust.reasons) == 1
    assert reason in trust.reasons[0]


def test_all_doubts_are_told() -> None:
    trust = judge(replace(GOOD, runs_agree_deg=30.0, registered=2))
    assert len(trust.reasons) == 2


def test_it_is_plain_data() -> None:
    plain = judge(GOOD).plain()
    assert (plain["level"], plain["runs_agree_deg"]) == ("high", 0.2)
    assert plain["held_out_within_2px"] == 0.98


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def held(scene, tmp_path_factory):
    return hold_out(database_of(scene, tmp_path_factory.mktemp("database") / "d.db"))


def test_the_truth_is_trusted(scene, held) -> None:
    # points in general position, which every camera sees
    xyz = np.random.default_rng(0).uniform([-2, -1.5, -1], [2, 1.5, 1], (40, 3))
    evidence = gather(model_of(scene.poses, xyz), held, [scene.poses], 5)
    assert (evidence.images, evidence.registered, evidence.runs) == (5, 5, 2)
    assert evidence.runs_agree_deg == pytest.approx(0, abs=1e-6)
    assert evidence.held_out == held.count()
    assert evidence.held_out_within_2px > 0.97
    assert evidence.contradicting_pairs == []
    assert evidence.weak_images == []
    assert judge(evidence).level == "high"


def test_a_displaced_camera_is_found_and_named(scene, held) -> None:
    name = max(scene.poses)
    bent = dict(scene.poses)
    bent[name] = bent[name] + np.array([[0, 0, 0, 0.8], [0, 0, 0, 0.5], [0, 0, 0, 0]])
    xyz = np.random.default_rng(0).uniform([-2, -1.5, -1], [2, 1.5, 1], (40, 3))
    evidence = gather(model_of(bent, xyz), held, [scene.poses], 5)
    assert evidence.weak_images == [name]
    assert set(evidence.contradicting_pairs) == {pair for pair in held.places if name in pair}
    assert judge(evidence).level == "low"


def test_images_that_only_some_runs_have_are_weak(scene, held) -> None:
    first, *_, last = sorted(scene.poses)
    own = {name: pose for name, pose in scene.poses.items() if name != last}
    other = {name: pose for name, pose in scene.poses.items() if name != first}
    evidence = gather(model_of(own, np.ones((40, 3))), held, [other], 5)
    assert evidence.weak_images == [first, last]


def test_nothing_to_compare_with(scene) -> None:
    evidence = gather(model_of(scene.poses), HeldOut({}), [], 5)
    assert evidence.runs_agree_deg is None
    assert evidence.held_out_within_2px is None
    assert judge(evidence).level == "medium"
