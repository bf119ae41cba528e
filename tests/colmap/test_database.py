"""Cameras, keypoints and matches in COLMAP's database, and its verification."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pycolmap
import pytest
from synthetic_sfm import FOCAL, make_scene

from dift_geo.colmap.database import (
    build_database,
    import_features,
    import_matches,
    quiet,
    verify_database,
)
from dift_geo.errors import InputError
from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Matches


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


def test_database_holds_keypoints_in_colmap_pixels(scene, tmp_path):
    ids = build_database(tmp_path / "d.db", scene.images, sorted(scene.poses))
    with FeatureStore(scene.features) as features, MatchStore(scene.matches) as matches:
        import_features(tmp_path / "d.db", ids, features)
        counts = import_matches(tmp_path / "d.db", ids, scene.pairs, matches)
        xy = features["view 0.png"].keypoints.xy
    with pycolmap.Database.open(str(tmp_path / "d.db")) as database:
        stored = np.asarray(database.read_keypoints(ids["view 0.png"]))
    assert counts == [150] * len(scene.pairs)
    np.testing.assert_array_equal(stored[:, :2], xy + np.float32(0.5))
    inliers = verify_database(tmp_path / "d.db", scene.pairs)
    assert all(130 <= count <= 140 for count in inliers)  # one in ten is wrong


@pytest.mark.parametrize(
    ("mode", "cameras"), [("auto", 3), ("single", 2), ("per-folder", 3), ("per-image", 4)]
)
def test_camera_modes_lose_no_image(tmp_path, mode, cameras):
    for name, size_wh in {
        "a/1.png": (64, 48),
        "a/2.png": (64, 48),
        "a/3.png": (48, 64),
        "b/1.png": (64, 48),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name, np.zeros((size_wh[1], size_wh[0], 3), np.uint8))
    names = ["a/1.png", "a/2.png", "a/3.png", "b/1.png"]
    assert sorted(build_database(tmp_path / "d.db", tmp_path, names, camera_mode=mode)) == names
    with pycolmap.Database.open(str(tmp_path / "d.db")) as database:
        assert len(database.read_all_cameras()) == cameras


def test_an_unknown_mode_or_model_is_refused_and_leaves_the_database(scene, tmp_path):
    path = tmp_path / "d.db"
    path.write_text("of the user")
    with pytest.raises(ValueError, match="camera_mode is 'one', expected one of auto, single"):
        build_database(path, scene.images, [], camera_mode="one")
    with pytest.raises(ValueError, match="camera_model is 'PINHOL', expected one of SIMPLE_PIN"):
        build_database(path, scene.images, [], camera_model="PINHOL")
    assert path.read_text() == "of the user"


def test_a_photo_that_colmap_cannot_read_is_named(scene, tmp_path):
    shutil.copytree(scene.images, tmp_path / "images")
    names = sorted(scene.poses)
    (tmp_path / "images" / names[0]).write_text("words")
    with quiet(), pytest.raises(InputError, match=f"COLMAP cannot read .*{names[0]}, expected a"):
        build_database(tmp_path / "d.db", tmp_path / "images", names)


def test_known_intrinsics_reach_the_database(scene, tmp_path):
    known = {
        "*": ("SIMPLE_PINHOLE", [FOCAL, 320.0, 240.0]),
        "view 0.png": ("PINHOLE", [601.0, 602.0, 321.0, 241.0]),
    }
    build_database(
        tmp_path / "d.db", scene.images, sorted(scene.poses), camera_mode="single", intrinsics=known
    )
    with pycolmap.Database.open(str(tmp_path / "d.db")) as database:
        cameras = {camera.model.name: list(camera.params) for camera in database.read_all_cameras()}
        assert all(camera.has_prior_focal_length for camera in database.read_all_cameras())
    assert cameras == {"SIMPLE_PINHOLE": [FOCAL, 320, 240], "PINHOLE": [601, 602, 321, 241]}
    assert json.dumps(cameras)


def test_quiet_gives_the_level_back():
    before = pycolmap.logging.minloglevel
    with quiet():
        assert pycolmap.logging.minloglevel == pycolmap.logging.Level.ERROR.value
        with quiet(pycolmap.logging.Level.FATAL):
            assert pycolmap.logging.minloglevel == pycolmap.logging.Level.FATAL.value
    assert pycolmap.logging.minloglevel == before


def test_matches_of_keypoints_that_do_not_exist_are_refused(scene, tmp_path):
    """COLMAP crashes on them."""
    ids = build_database(tmp_path / "d.db", scene.images, sorted(scene.poses))
    pair = scene.pairs[0]
    with FeatureStore(scene.features) as features:
        import_features(tmp_path / "d.db", ids, features)
    for wrong, name in (([150, 0], pair[0]), ([0, 150], pair[1]), ([0, -1], pair[1])):
        matches = {pair: Matches(np.array([wrong]), np.ones(1))}
        with pytest.raises(ValueError, match=rf"use keypoint -?\d+ of '{name}', which has 150"):
            import_matches(tmp_path / "d.db", ids, [pair], matches)
