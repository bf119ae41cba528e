"""Poses of photos on a map of others, against cameras that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_sfm import FOCAL, SIZE_WH, make_scene

from dift_geo import Matches, MatchStore
from dift_geo.colmap.cameras import KnownCamera
from dift_geo.colmap.localization import (
    build_verified_database,
    leave_out_folds,
    localize,
    triangulate_map,
)
from dift_geo.geometry.pose import pose_error


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("localize"), views=6)


@pytest.fixture(scope="module")
def cameras(scene):
    K = np.array([[FOCAL, 0, SIZE_WH[0] / 2 - 0.5], [0, FOCAL, SIZE_WH[1] / 2 - 0.5], [0, 0, 1]])
    return {name: KnownCamera(SIZE_WH, K, pose) for name, pose in scene.poses.items()}


@pytest.fixture(scope="module")
def database(scene, cameras, tmp_path_factory):
    path = tmp_path_factory.mktemp("database") / "database.db"
    build_verified_database(path, cameras, scene.features, scene.matches)
    return path


def without(cameras, *names):
    return {name: camera for name, camera in cameras.items() if name not in names}


def test_places_photos_where_they_were_taken(scene, cameras, database):
    """Exact keypoints, a tenth of the matches wrong: the true pose comes out, and half a pixel of
    frame would show.
    """
    for name in ("view 0.png", "view 3.png"):
        scene_map = triangulate_map(database, without(cameras, name))
        assert name not in scene_map.rows
        found = localize(scene_map, name, cameras[name], scene.features, scene.matches)
        position, rotation_deg = pose_error(found.cam_from_world, cameras[name].cam_from_world)
        assert position < 1e-3  # cameras stand 7 from the points
        assert rotation_deg < 1e-2
        assert 100 <= found.inliers <= found.correspondences


def test_map_points_are_where_the_cameras_see_them(scene, cameras, database):
    from dift_geo import FeatureStore

    scene_map = triangulate_map(database, cameras)
    with FeatureStore(scene.features) as features:
        for name, camera in cameras.items():
            seen = np.flatnonzero(scene_map.rows[name] >= 0)
            assert len(seen) > 100
            xyz = (
                scene_map.points[scene_map.rows[name][seen]] @ camera.cam_from_world[:, :3].T
                + camera.cam_from_world[:, 3]
            )
            projected = (xyz @ camera.K.T)[:, :2] / xyz[:, 2:]
            error = np.linalg.norm(projected - features[name].keypoints.xy[seen], axis=1)
            assert np.median(error) < 0.01


def test_the_map_owes_nothing_to_the_photos_left_out(scene, cameras, database, tmp_path):
    """COLMAP links two photos through a third: a database that never had the queries must give the
    same map.
    """
    known = without(cameras, "view 1.png", "view 4.png")
    build_verified_database(tmp_path / "known.db", known, scene.features, scene.matches)
    one, other = triangulate_map(database, known), triangulate_map(tmp_path / "known.db", known)
    assert len(one.points) == len(other.points)
    np.testing.assert_allclose(np.sort(one.points, 0), np.sort(other.points, 0), atol=1e-6)


def test_no_matches_give_no_pose_and_no_map(scene, cameras, database, tmp_path):
    scene_map = triangulate_map(database, without(cameras, "view 0.png"))
    empty = tmp_path / "empty.h5"
    with MatchStore(empty, {}) as store:
        for name in scene_map.rows:
            store.put(("view 0.png", name), Matches(np.zeros((0, 2)), np.zeros(0)), 150)
        store.merge()
    assert localize(scene_map, "view 0.png", cameras["view 0.png"], scene.features, empty) is None
    with pytest.raises(ValueError, match="1 photo of known pose, expected at least 2"):
        triangulate_map(database, {"view 0.png": cameras["view 0.png"]})
    build_verified_database(
        tmp_path / "apart.db", without(cameras, "view 0.png"), scene.features, empty
    )
    with pytest.raises(RuntimeError, match="no point is seen from two of the 5 known photos"):
        triangulate_map(tmp_path / "apart.db", without(cameras, "view 0.png"))


def test_few_or_false_matches_give_no_pose(scene, cameras, database, tmp_path):
    scene_map = triangulate_map(database, without(cameras, "view 0.png"))
    with MatchStore(tmp_path / "few.h5", {}) as store:
        store.put(
            ("view 0.png", "view 1.png"), Matches(np.array([[0, 0], [1, 1]]), np.ones(2)), 150
        )
        store.merge()
    assert (
        localize(
            scene_map, "view 0.png", cameras["view 0.png"], scene.features, tmp_path / "few.h5"
        )
        is None
    )


def test_folds():
    assert leave_out_folds("abcd", 2) == [
        ("a", "b"),
        ("a", "c"),
        ("a", "d"),
        ("b", "c"),
        ("b", "d"),
        ("c", "d"),
    ]
    with pytest.raises(ValueError, match="2 of 3 images left out, expected 1 to 1"):
        leave_out_folds("abc", 2)
