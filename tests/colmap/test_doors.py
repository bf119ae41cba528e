"""Features of other pictures, and matches of other features, are refused at every door."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_sfm import FOCAL, SIZE_WH, make_scene

from dift_geo.colmap.cameras import KnownCamera
from dift_geo.colmap.doors import check_photos
from dift_geo.colmap.exchange import export_database
from dift_geo.colmap.localization import Map, build_verified_database, localize
from dift_geo.images import write_image
from dift_geo.sfm import reconstruct_from_files, reconstruct_from_stores
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore
from dift_geo.types import Features, Keypoints, Matches

NAME, OTHER = "view 0.png", "view 1.png"
K = np.array([[FOCAL, 0, SIZE_WH[0] / 2], [0, FOCAL, SIZE_WH[1] / 2], [0, 0, 1]])


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"), views=3)


@pytest.fixture
def halved(scene, tmp_path):
    """Features as they are of copies of half the size."""
    w, h = SIZE_WH
    with FeatureStore(scene.features) as store, FeatureStore(tmp_path / "half.h5", {}) as half:
        for name in store:
            keypoints = store[name].keypoints.resized_to((w // 2, h // 2))
            half[name] = Features(keypoints, store[name].descriptors)
        half.merge()
    return tmp_path / "half.h5"


MESSAGE = "features of 'view 0.png' in .*half.h5 are of a picture of 320 x 240 pixels, but "


@pytest.mark.parametrize("door", ["files", "matched here", "stores", "export"])
def test_features_of_smaller_copies_are_refused(scene, halved, tmp_path, door):
    images, matches, pairs, out = scene.images, scene.matches, scene.pairs, tmp_path / "out"
    run = {
        "files": lambda: reconstruct_from_files(images, out, halved, matches),
        "matched here": lambda: reconstruct_from_files(images, out, halved),
        "stores": lambda: reconstruct_from_stores(images, halved, matches, pairs, out),
        "export": lambda: export_database(out / "new.db", images, halved, pairs, matches),
    }[door]
    with pytest.raises(ValueError, match=rf"{MESSAGE}the photo in .* has 640 x 480; extract them"):
        run()
    assert not (out / "matches.h5").exists()
    assert not (out / "database.db").exists()


def test_localisation_refuses_them_too(scene, halved, tmp_path):
    cameras = {name: KnownCamera(SIZE_WH, K, pose) for name, pose in scene.poses.items()}
    with pytest.raises(ValueError, match=rf"{MESSAGE}its camera has 640 x 480"):
        build_verified_database(tmp_path / "d.db", cameras, halved, scene.matches)
    points = Map(np.zeros((1, 3)), {OTHER: np.zeros(150, np.int64)})
    with pytest.raises(ValueError, match=rf"{MESSAGE}its camera has 640 x 480"):
        localize(points, NAME, cameras[NAME], halved, scene.matches)


def test_localisation_refuses_matches_of_other_features(scene, tmp_path):
    camera = KnownCamera(SIZE_WH, K, scene.poses[NAME])
    points = Map(np.zeros((1, 3)), {OTHER: np.zeros(149, np.int64)})
    with pytest.raises(ValueError, match=r"use keypoint 149 of 'view 1.png', which has 149"):
        localize(points, NAME, camera, scene.features, scene.matches)
    with MatchStore(tmp_path / "m.h5", {}) as store:
        store.put((NAME, OTHER), Matches(np.array([[150, 0]]), np.ones(1)), 151)
        store.merge()
    points = Map(np.zeros((1, 3)), {OTHER: np.zeros(150, np.int64)})
    with pytest.raises(ValueError, match=r"use keypoint 150 of 'view 0.png', which has 150"):
        localize(points, NAME, camera, scene.features, tmp_path / "m.h5")


@pytest.mark.parametrize("row", [[0, 150], [150, 0]])
def test_matches_of_other_features_do_not_reach_colmap(scene, tmp_path, row):
    """They crashed it."""
    with MatchStore(tmp_path / "m.h5", {}) as store:
        for pair in scene.pairs:
            store.put(pair, Matches(np.array([row]), np.ones(1)), 151)
        store.merge()
    with pytest.raises(ValueError, match=r"use keypoint 150 of 'view ..png', which has 150 k"):
        reconstruct_from_files(scene.images, tmp_path / "out", scene.features, tmp_path / "m.h5")


def test_turned_photos_are_told(scene, tmp_path):
    write_image(tmp_path / NAME, np.zeros((640, 480, 3), np.uint8))
    with (
        FeatureStore(scene.features) as store,
        pytest.raises(ValueError, match=r"640 x 480 pixels, but .* has 480 x 640 \(it is turned\)"),
    ):
        check_photos(tmp_path, store, [NAME])


def test_files_that_do_not_say_the_size_pass_where_their_keypoints_fit(scene, tmp_path):
    h5py = pytest.importorskip("h5py")
    with FeatureStore(scene.features) as store, h5py.File(tmp_path / "f.h5", "w") as file:
        for name in store:
            file.create_dataset(f"{name}/keypoints", data=store[name].keypoints.xy)
    arguments = scene.images, tmp_path / "out", tmp_path / "f.h5", scene.matches
    assert reconstruct_from_files(*arguments).summary["registered"] == 3
    with h5py.File(tmp_path / "f.h5", "a") as file:
        file[f"{NAME}/keypoints"][3] = 700, 20
    with pytest.raises(ValueError, match=r"1 of 150 keypoints of 'view 0.png' lie outside of its"):
        reconstruct_from_files(*arguments)


def test_a_photo_that_is_missing_is_named(scene, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image at .*view 0.png"):
        reconstruct_from_files(tmp_path, tmp_path / "out", scene.features, scene.matches)
    assert not (tmp_path / "out").exists()


def test_a_little_outside_is_where_detectors_refine_to(scene, tmp_path):
    with FeatureStore(tmp_path / "f.h5", {}) as store:
        for name in (NAME, OTHER):
            edge = Keypoints([[-1.5, 0], [641, 479]], np.ones(2), SIZE_WH)
            store[name] = Features(edge, np.zeros((2, 0)))
        store.merge()
    with MatchStore(tmp_path / "m.h5", {}) as store:
        store.put((NAME, OTHER), Matches(np.array([[0, 1]]), np.ones(1)), 2)
        store.merge()
    new = tmp_path / "new.db"
    export_database(new, scene.images, tmp_path / "f.h5", [(NAME, OTHER)], tmp_path / "m.h5")
    assert new.is_file()
