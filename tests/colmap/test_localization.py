"""Poses of photos on a map of others, against cameras that are known exactly."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from dift_geo import Matches, MatchStore
from dift_geo.colmap.cameras import KnownCamera, read_cameras
from dift_geo.colmap.localization import (
    build_verified_database,
    leave_out_folds,
    localize,
    triangulate_map,
)
from dift_geo.geometry.pose import pose_error
from tests.synthetic_sfm import FOCAL, SIZE_WH, make_scene

PIPELINE = Path(__file__).resolve().parents[2] / "pipelines" / "localize.py"


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


@pytest.mark.parametrize("angle_deg", [0.0, 1e-5, 30.0, 180.0])
def test_pose_error_is_distance_of_centres_and_angle(angle_deg):
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    centre, moved = np.array([1.0, 2, 3]), np.array([1.0, 2, 7])
    a = np.concatenate([np.eye(3), -centre[:, None]], 1)
    b = np.concatenate([turn, -turn @ moved[:, None]], 1)
    assert pose_error(a, b) == pytest.approx((4.0, angle_deg), rel=1e-6, abs=1e-9)


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


def test_cameras_file_round_trip_and_errors(tmp_path):
    file = tmp_path / "cameras.txt"
    file.write_text("# comment\n\na.jpg 640 480 600 601 319.5 239.5 1 0 0 4 0 1 0 5 0 0 1 6\n")
    camera = read_cameras(file)["a.jpg"]
    assert camera.size_wh == (640, 480)
    np.testing.assert_array_equal(camera.K, [[600, 0, 319.5], [0, 601, 239.5], [0, 0, 1]])
    np.testing.assert_array_equal(camera.cam_from_world, [[1, 0, 0, 4], [0, 1, 0, 5], [0, 0, 1, 6]])
    file.write_text("a.jpg 640 480 600\n")
    with pytest.raises(
        ValueError, match=r"cameras.txt:1: 'a.jpg 640 480 600'..., expected name width"
    ):
        read_cameras(file)


@pytest.fixture(scope="module")
def photographed(pipeline_module, tmp_path_factory):
    """Five rendered photos and the file of their cameras: the folder of both."""
    folder = tmp_path_factory.mktemp("photographed")
    truth = pipeline_module("rendered_scene").write_scene(
        folder / "images", views=5, size_wh=(480, 360)
    )
    K = truth.K
    intrinsics = [*truth.size_wh, K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    lines = [
        " ".join(map(str, [name, *intrinsics, *pose.ravel()]))
        for name, pose in truth.cam_from_world.items()
    ]
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_pipeline_on_rendered_photos(photographed, tmp_path, monkeypatch, capsys):
    common = [
        str(photographed / "images"),
        str(tmp_path / "out"),
        "--cameras",
        str(photographed / "cameras.txt"),
    ]
    flags = ["--descriptors", "rootsift", "--max-keypoints", "600"]
    pipeline = runpy.run_path(str(PIPELINE))
    pipeline["main"]([*common, *flags, "--leave-out", "2"])
    assert "20/20" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "localization.json").read_text())["rootsift"]
    assert report["median"]["position"] < 0.05  # cameras stand 7 from the boxes
    assert report["median"]["rotation_deg"] < 0.3
    assert {record["query"] for record in report["queries"]} == {f"view_{i}.png" for i in range(5)}
    monkeypatch.setattr(sys, "argv", ["localize.py", *common, *flags, "--queries", "view_2.png"])
    runpy.run_path(str(PIPELINE), run_name="__main__")
    (record,) = json.loads((tmp_path / "out" / "localization.json").read_text())["rootsift"][
        "queries"
    ]
    assert record["left_out"] == ["view_2.png"]
    with pytest.raises(SystemExit):
        pipeline["main"]([*common, "--queries", "nowhere.png"])


def test_dift_places_a_rendered_photo(photographed, tmp_path):
    lines = (photographed / "cameras.txt").read_text().splitlines()
    (tmp_path / "cameras.txt").write_text("\n".join(lines[1:4]) + "\n")
    common = [
        str(photographed / "images"),
        str(tmp_path / "out"),
        "--cameras",
        str(tmp_path / "cameras.txt"),
    ]
    main = runpy.run_path(str(PIPELINE))["main"]
    main([*common, "--max-keypoints", "200", "--queries", "view_2.png"])
    (record,) = json.loads((tmp_path / "out" / "localization.json").read_text())["dift"]["queries"]
    assert record["position"] < 0.3
    assert record["rotation_deg"] < 3
    with pytest.raises(ValueError, match="0 photo of known pose"):
        main(
            [*common, "--max-keypoints", "200", "--queries", *(f"view_{i}.png" for i in (1, 2, 3))]
        )
