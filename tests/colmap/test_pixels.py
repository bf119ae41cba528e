"""Limits in pixels grow with the photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from posed_models import database_of, model_of
from synthetic_sfm import SIZE_WH, Scene, make_scene

from dift_geo.colmap.database import build_database, import_features, import_matches
from dift_geo.colmap.holdout import hold_out
from dift_geo.colmap.mapping import MAX_REPROJECTION_PX, incremental_options
from dift_geo.colmap.pixels import MEANT_FOR_PX, pixel_scale, scale_of
from dift_geo.colmap.verification import VERIFY_PX, verify_database
from dift_geo.extractor import ExtractorOptions
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore

TIMES = 10
SCALE = TIMES * SIZE_WH[0] / 1600  # 4 by hand


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"), views=3)


@pytest.fixture
def large(scene: Scene, tmp_path: Path) -> Path:
    """A database of the scene in photos ten times as large, with keypoints off by some pixels."""
    path = tmp_path / "large.db"
    ids = build_database(path, scene.images, sorted(scene.poses), camera_mode="per-image")
    with FeatureStore(scene.features) as features, MatchStore(scene.matches) as matches:
        import_features(path, ids, features)
        import_matches(path, ids, scene.pairs, matches)
    random = np.random.default_rng(0)
    with pycolmap.Database.open(str(path)) as database:
        keypoints = {number: database.read_keypoints(number) for number in ids.values()}
        database.clear_keypoints()
        for number, xy in keypoints.items():
            moved = TIMES * xy[:, :2] + random.normal(0, 2, (len(xy), 2))
            database.write_keypoints(number, moved.astype(np.float32))
        for camera in database.read_all_cameras():
            camera.rescale(float(TIMES))
            database.update_camera(camera)
    return path


def test_of_photos_that_are_read_as_they_are_nothing_grows() -> None:
    assert ExtractorOptions().size == MEANT_FOR_PX
    assert scale_of(100, 1600) == scale_of(640, 480) == 1
    assert scale_of(4800, 3200) == scale_of(3200, 4800) == 3


def test_the_middle_photo_counts(large: Path) -> None:
    assert pixel_scale(large) == pytest.approx(SCALE)
    with pycolmap.Database.open(str(large)) as database:
        for camera, times in zip(database.read_all_cameras(), (0.01, 3.0)):
            camera.rescale(times)
            database.update_camera(camera)
    assert pixel_scale(large) == pytest.approx(SCALE)


def test_of_no_photo_at_all(tmp_path: Path) -> None:
    pycolmap.Database.open(str(tmp_path / "empty.db")).close()
    assert pixel_scale(tmp_path / "empty.db") == 1


def test_verification_is_that_of_colmap_at_the_larger_limit(
    scene: Scene, large: Path, tmp_path: Path
) -> None:
    theirs = {}
    for limit in (VERIFY_PX, VERIFY_PX * SCALE):
        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.max_error, options.ransac.random_seed = limit, 0
        path = shutil.copy(large, tmp_path / f"{limit}.db")
        pycolmap.geometric_verification(path, two_view_geometry_options=options)
        with pycolmap.Database.open(path) as database:
            theirs[limit] = sum(
                len(g.inlier_matches) for g in database.read_two_view_geometries()[1]
            )
    assert sum(verify_database(large, scene.pairs)) == theirs[VERIFY_PX * SCALE]
    assert theirs[VERIFY_PX] < 0.9 * theirs[VERIFY_PX * SCALE]


def test_the_mappers_limit_grows() -> None:
    limits = [incremental_options(0, 9, 1, scale).mapper for scale in (1.0, 2.5)]
    assert [limit.filter_max_reproj_error for limit in limits] == [
        MAX_REPROJECTION_PX,
        2.5 * MAX_REPROJECTION_PX,
    ]


def test_what_a_model_explains_does_not_depend_on_the_size(scene: Scene, tmp_path: Path) -> None:
    """Places moved by 5 of 6400 pixels are within 2 of 1600, and would not be within 2 of 6400."""
    path = database_of(scene, tmp_path / "d.db")
    held, model = hold_out(path, seed=0), model_of(scene.poses)
    for camera in model.cameras.values():
        camera.rescale(float(TIMES))
    said = {}
    for off in (0, 5, 50):
        for pair, (xy0, xy1) in held.places.items():
            held.places[pair] = TIMES * xy0, TIMES * xy1 + [0, off]
        said[off] = sum(witness.within for witness in held.ask(model).values())
        for pair, (xy0, xy1) in held.places.items():
            held.places[pair] = xy0 / TIMES, (xy1 - [0, off]) / TIMES
    assert said[0] == said[5] == held.count()
    assert said[50] < held.count()
