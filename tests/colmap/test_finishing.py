"""Models with the matches that their run was not shown, on scenes of known poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from posed_models import database_of
from synthetic_sfm import SIZE_WH, make_scene

from dift_geo.colmap import finishing
from dift_geo.colmap.agreement import disagreements_deg
from dift_geo.colmap.finishing import with_all_matches
from dift_geo.colmap.mapping import cam_from_world
from dift_geo.colmap.opinions import ask_mapper
from dift_geo.images import write_image


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def database(scene, tmp_path_factory):
    return database_of(scene, tmp_path_factory.mktemp("database") / "database.db")


@pytest.fixture(scope="module")
def opinion(database, tmp_path_factory):
    return ask_mapper(database, tmp_path_factory.mktemp("models"))[0]


def test_the_whole_model_has_the_points_that_were_withheld(scene, database, opinion, tmp_path):
    run = opinion.models[0]
    before = run.num_points3D(), cam_from_world(run)
    whole = with_all_matches(run, database, tmp_path)
    assert whole.num_reg_images() == run.num_reg_images() == len(scene.poses)
    assert whole.num_points3D() == 150
    assert whole.compute_num_observations() >= run.compute_num_observations()
    assert whole.compute_num_observations() >= 0.99 * 150 * len(scene.poses)
    assert max(disagreements_deg(cam_from_world(whole), [scene.poses]).values()) < 0.2
    assert run.num_points3D() == before[0]
    for name, pose in cam_from_world(run).items():
        np.testing.assert_array_equal(pose, before[1][name])
    again = with_all_matches(run, database, tmp_path)
    for name, pose in cam_from_world(again).items():
        np.testing.assert_array_equal(pose, cam_from_world(whole)[name])


def test_a_model_that_would_be_another_one_stays(database, opinion, monkeypatch, tmp_path):
    run = opinion.models[0]
    monkeypatch.setattr(finishing, "MOVED_DEG", 0.0)
    assert with_all_matches(run, database, tmp_path) is run


def test_tracks_of_two_views_are_not_lost(scene, tmp_path):
    """Two photos have no others, and COLMAP leaves them out where it triangulates anew."""
    two = replace(scene, pairs=scene.pairs[:1])
    path = database_of(two, tmp_path / "two.db")
    opinion = ask_mapper(path, tmp_path)[0]
    run = opinion.models[0]
    assert run.num_points3D()
    assert with_all_matches(run, path, tmp_path) is run


def test_finished_models_have_the_colours_of_the_photos(scene, database, opinion, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in scene.poses:
        write_image(photos / name, np.full((SIZE_WH[1], SIZE_WH[0], 3), (200, 30, 60), np.uint8))
    models = opinion.finished(database, tmp_path, photos)
    assert len(models) == len(opinion.models)
    assert {tuple(point.color) for point in models[0].points3D.values()} == {(200, 30, 60)}
    assert models[0].num_points3D() >= opinion.models[0].num_points3D()
