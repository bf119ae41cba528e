"""Cameras, keypoints and matches in COLMAP's database, and its verification."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

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
from dift_geo.types import Features, Keypoints, Matches


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


def test_a_photo_that_cannot_be_read_is_named(scene, tmp_path):
    shutil.copytree(scene.images, tmp_path / "images")
    names = sorted(scene.poses)
    (tmp_path / "images" / names[0]).write_text("words")
    with pytest.raises(InputError, match=f"{names[0]} is not a readable image"):
        build_database(tmp_path / "d.db", tmp_path / "images", names)
    (tmp_path / "images" / names[0]).unlink()
    with pytest.raises(FileNotFoundError, match=f"no image at .*{names[0]}"):
        build_database(tmp_path / "d.db", tmp_path / "images", names)


def photos_with_data(folder, write_exif):
    """Photos that differ in all that COLMAP reads out of EXIF data."""
    canon = {"make": "Canon", "model": "Canon EOS 5DSR"}
    write_exif(folder / "z.jpg", (60, 40), film_mm=45)
    write_exif(folder / "b.jpg", (60, 40), film_mm=45, orientation=6)
    write_exif(folder / "c.jpg", (60, 40), focal_mm=28.3, **canon)  # in its table of sensors
    write_exif(folder / "d.jpg", (60, 40), focal_mm=28.3, dots=(3000.5, 2), gps=True)
    write_exif(folder / "sub/e.png", (40, 60), film_mm=30)
    write_exif(folder / "sub/a.png", (60, 40))
    write_exif(folder / "sub/f.jpg", (60, 40), gps=True, orientation=3)
    return ["b.jpg", "c.jpg", "d.jpg", "sub/a.png", "sub/e.png", "sub/f.jpg", "z.jpg"]


def colmaps_own(path, images, groups, **options):
    """The database that COLMAP's import makes when it is given the images of each camera."""
    pycolmap.Database.open(str(path)).close()
    for group in groups:
        pycolmap.import_images(
            str(path),
            str(images),
            pycolmap.CameraMode.SINGLE,
            image_names=group,
            options=pycolmap.ImageReaderOptions(**options),
        )


def tables(path):
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        names = [row[0] for row in connection.execute(query)]
        return {n: connection.execute(f"SELECT * FROM {n}").fetchall() for n in names}


@pytest.mark.parametrize(
    ("mode", "groups"),
    [
        ("auto", [["b.jpg", "z.jpg"], ["c.jpg"], ["d.jpg"], ["sub/a.png", "sub/f.jpg"]]),
        ("single", [["b.jpg", "c.jpg", "d.jpg", "sub/a.png", "sub/f.jpg", "z.jpg"]]),
        ("per-folder", [["b.jpg", "c.jpg", "d.jpg", "z.jpg"], ["sub/a.png", "sub/f.jpg"]]),
    ],
)
def test_cameras_and_places_are_those_of_colmaps_own_import(tmp_path, write_exif, mode, groups):
    """Every number of every table."""
    names = photos_with_data(tmp_path / "photos", write_exif)
    groups = [*groups, ["sub/e.png"]]
    groups.sort(key=min)
    colmaps_own(tmp_path / "theirs.db", tmp_path / "photos", groups)
    with quiet():
        build_database(tmp_path / "ours.db", tmp_path / "photos", names, camera_mode=mode)
    assert tables(tmp_path / "ours.db") == tables(tmp_path / "theirs.db")


def test_known_cameras_are_those_of_colmaps_own_import(tmp_path, write_exif):
    names = photos_with_data(tmp_path / "photos", write_exif)[:3]
    known = {"*": ("SIMPLE_RADIAL", [55.1, 30.0, 20.0, 0.01])}
    options = {"camera_model": "SIMPLE_RADIAL", "camera_params": "55.1,30.0,20.0,0.01"}
    colmaps_own(tmp_path / "theirs.db", tmp_path / "photos", [names], **options)
    photos = tmp_path / "photos"
    build_database(tmp_path / "o.db", photos, names, camera_mode="single", intrinsics=known)
    assert tables(tmp_path / "o.db") == tables(tmp_path / "theirs.db")


def test_intrinsics_of_photos_of_another_size_are_told(scene, tmp_path, caplog):
    def known(x, y):
        return {"*": ("SIMPLE_PINHOLE", [FOCAL, x, y])}

    arguments = tmp_path / "d.db", scene.images, ["view 0.png"]
    for centre in ((640, 480), (1280, 240), (320, 481)):
        with pytest.raises(ValueError, match=r"principal point at \(.*\) of 640 x 480 pixels, exp"):
            build_database(*arguments, intrinsics=known(*centre))
    build_database(*arguments, intrinsics=known(310, 250))
    assert not caplog.records
    build_database(*arguments, intrinsics=known(160, 120))
    assert "principal point at (160, 120) of 640 x 480 pixels, far from the middle" in caplog.text


def test_keypoints_outside_of_the_image_are_refused(scene, tmp_path):
    ids = build_database(tmp_path / "d.db", scene.images, ["view 0.png"])
    for xy in ([639 + 3.5, 0], [0, -4], [300, 2000]):
        wrong = Features(Keypoints([[5, 5], xy], np.ones(2), (9000, 9000)), np.zeros((2, 0)))
        with pytest.raises(ValueError, match=r"1 of 2 keypoints of 'view 0.png' lie outside of"):
            import_features(tmp_path / "d.db", ids, {"view 0.png": wrong})
    edge = Keypoints([[-0.5, -0.5], [639.5, 479.5]], np.ones(2), (640, 480))
    import_features(tmp_path / "d.db", ids, {"view 0.png": Features(edge, np.zeros((2, 0)))})


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
