"""Whose word counts in a certificate."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from posed_models import database_of, model_of
from synthetic_sfm import make_scene

from dift_geo.colmap.certify import certificate
from dift_geo.colmap.holdout import hold_out
from dift_geo.colmap.opinions import Opinion, is_witness

POINTS = np.random.default_rng(0).uniform([-2, -1.5, -1], [2, 1.5, 1], (40, 3))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def opinion_of(scene, tmp_path_factory):
    """Makes an opinion of poses, with matches withheld that are no other one's."""
    folder: Path = tmp_path_factory.mktemp("databases")
    database = database_of(scene, folder / "d.db")

    def make(poses, seed: int) -> Opinion:
        copy = folder / f"{seed}.db"
        shutil.copyfile(database, copy)
        return Opinion([model_of(poses, POINTS)], hold_out(copy, seed=seed), seed)

    return make


def bent(poses, by: float):
    name = max(poses)
    return poses | {name: poses[name] + np.array([[0, 0, 0, by], [0, 0, 0, by], [0, 0, 0, 0]])}


def test_a_run_that_went_wrong_is_no_reason_to_doubt_another(scene, opinion_of) -> None:
    right, again, wrong = (
        opinion_of(poses, seed)
        for seed, poses in enumerate((scene.poses, scene.poses, bent(scene.poses, 1.0)))
    )
    assert is_witness(again, right)
    assert not is_witness(wrong, right)
    trust = certificate([right, wrong, again], 5)
    assert (trust.level, trust.evidence.runs) == ("high", 2)
    assert trust.evidence.weak_images == []


def test_without_a_second_one_it_is_not_high(scene, opinion_of) -> None:
    right, wrong = opinion_of(scene.poses, 0), opinion_of(bent(scene.poses, 1.0), 1)
    trust = certificate([right, wrong], 5)
    assert trust.level == "medium"
    assert trust.reasons == ["no other run explains as much, so nothing bears it out"]


def test_runs_that_explain_as_much_and_differ_are_doubts(scene, opinion_of) -> None:
    """Of two shapes that matches do not tell apart, as of a front that repeats."""
    right, other = opinion_of(scene.poses, 0), opinion_of(scene.poses, 1)
    moved = {name: np.array(pose) for name, pose in scene.poses.items()}
    for index, pose in enumerate(moved.values()):
        pose[:, 3] *= 1 + index  # along the rays of the first, which the other's matches do not say
    object.__setattr__(other, "models", [model_of(moved, POINTS)])
    other.__dict__["consistency"] = right.consistency
    trust = certificate([right, other], 5)
    assert trust.level == "low"
    assert "runs with other seeds place cameras" in trust.reasons[0]
