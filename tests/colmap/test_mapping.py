"""Stores into COLMAP, against cameras that are known exactly."""

from __future__ import annotations

import json

import numpy as np
import pycolmap
import pytest
from synthetic_sfm import FOCAL, SIZE_WH, make_scene, pose_errors_deg

from dift_geo.colmap.cameras import read_intrinsics
from dift_geo.colmap.database import (
    build_database,
    import_features,
    import_matches,
    verify_database,
)
from dift_geo.colmap.mapping import NoModelError, map_database, reconstruct_from_stores
from dift_geo.images import write_image
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Matches


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_recovers_known_cameras(tmp_path, mapper):
    scene = make_scene(tmp_path / "exact", wrong=0)
    known = {"*": ("SIMPLE_PINHOLE", [FOCAL, SIZE_WH[0] / 2, SIZE_WH[1] / 2])}
    result = reconstruct_from_stores(
        scene.images,
        scene.features,
        scene.matches,
        scene.pairs,
        tmp_path / "out",
        intrinsics=known,
        mapper=mapper,
    )
    assert result.summary["registered"] == len(scene.poses)
    assert max(pose_errors_deg(result.model, scene.poses)) < 0.002
    # a frame off by half a pixel, or float16 keypoints, would show here
    assert result.summary["reprojection_px"] < 0.002
    assert (
        pycolmap.Reconstruction(str(tmp_path / "out" / "sparse")).num_points3D()
        == result.summary["points"]
    )


def test_unknown_focal_length_is_recovered(scene, tmp_path):
    result = reconstruct_from_stores(
        scene.images, scene.features, scene.matches, scene.pairs, tmp_path, camera_mode="single"
    )
    (camera,) = result.model.cameras.values()
    assert camera.mean_focal_length() == pytest.approx(FOCAL, rel=0.02)


def test_matches_taken_as_verified_are_used(scene, tmp_path):
    """COLMAP 4 drops pairs of UNDEFINED configuration silently: the explicit one must get through
    without verification.
    """
    with FeatureStore(scene.features) as features:
        points = len(features["view 0.png"])
    with MatchStore(tmp_path / "true.h5", {}) as store:
        for pair in scene.pairs:
            store.put(pair, Matches(np.stack([np.arange(points)] * 2, 1), np.ones(points)), points)
        store.merge()
    result = reconstruct_from_stores(
        scene.images,
        scene.features,
        tmp_path / "true.h5",
        scene.pairs,
        tmp_path / "out",
        verify=False,
        camera_mode="single",
    )
    assert result.summary["registered"] == len(scene.poses)


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


def test_no_model_is_an_error_and_leaves_none(scene, tmp_path):
    (tmp_path / "sparse").mkdir()  # of an earlier run
    with MatchStore(tmp_path / "none.h5", {}) as store:
        for pair in scene.pairs:
            store.put(pair, Matches(np.zeros((0, 2)), np.zeros(0)), 150)
        store.merge()
    with pytest.raises(NoModelError, match=r"0.0 matches per pair, 0 of 10 pairs verified"):
        reconstruct_from_stores(
            scene.images, scene.features, tmp_path / "none.h5", scene.pairs, tmp_path
        )
    assert not (tmp_path / "sparse").exists()


def test_small_sets_are_mapped_until_the_most_complete_model_has_come_twice(
    scene, tmp_path, monkeypatch
):
    import pycolmap

    seen = []

    class Model:
        def __init__(self, images, points):
            self.images, self.points = images, points

        def num_reg_images(self):
            return self.images

        def num_points3D(self):
            return self.points

        def compute_num_observations(self):
            return 3 * self.points

    found = [Model(4, 30), Model(4, 50), Model(3, 90), Model(4, 50), Model(4, 60)]

    def mapping(database, images, folder, options):
        seen.append((options.random_seed, options.mapper.filter_max_reproj_error))
        return {0: found[len(seen) - 1]}

    monkeypatch.setattr(pycolmap, "incremental_mapping", mapping)
    with pycolmap.Database.open(str(tmp_path / "d.db")):
        pass
    models = map_database(tmp_path / "d.db", scene.images, tmp_path / "models", seed=5)
    assert [seed for seed, _ in seen] == [5, 6, 7, 8]
    assert {limit for _, limit in seen} == {2.0}
    assert [(model.images, model.points) for model in models] == [
        (4, 50),
        (4, 50),
        (4, 30),
        (3, 90),
    ]
    seen.clear()
    found = [Model(4, 30), Model(4, 30)]
    map_database(tmp_path / "d.db", scene.images, tmp_path / "models", seed=5)
    assert [seed for seed, _ in seen] == [5, 6]
    seen.clear()
    found = [Model(4, 30 + i) for i in range(9)]  # never twice: it ends all the same
    assert map_database(tmp_path / "d.db", scene.images, tmp_path / "models")[0].points == 37


def test_map_database_without_matches_is_empty(scene, tmp_path):
    build_database(tmp_path / "d.db", scene.images, sorted(scene.poses))
    assert map_database(tmp_path / "d.db", scene.images, tmp_path / "models") == []


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


def test_unknown_words_are_refused(scene, tmp_path):
    with pytest.raises(ValueError, match="camera_mode is 'one', expected one of auto, single"):
        build_database(tmp_path / "d.db", scene.images, [], camera_mode="one")
    with pytest.raises(ValueError, match="mapper is 'fast', expected one of incremental, global"):
        map_database(tmp_path / "d.db", scene.images, tmp_path, mapper="fast")


def test_intrinsics_file(tmp_path):
    path = tmp_path / "cameras.txt"
    path.write_text("# known\n* SIMPLE_PINHOLE 500 320 240\na.png PINHOLE 500 501 320 240\n")
    assert read_intrinsics(path) == {
        "*": ("SIMPLE_PINHOLE", [500, 320, 240]),
        "a.png": ("PINHOLE", [500, 501, 320, 240]),
    }
    path.write_text("* SIMPLE_PINHOLE 500 320\n")
    with pytest.raises(
        ValueError, match=r"cameras.txt:1: SIMPLE_PINHOLE got 2 parameters, expected 3"
    ):
        read_intrinsics(path)
    path.write_text("* PINHOL 500\n")
    with pytest.raises(ValueError, match=r"expected `IMAGE_NAME MODEL PARAMS...`"):
        read_intrinsics(path)


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
