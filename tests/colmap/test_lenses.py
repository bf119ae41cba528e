"""Finer cameras of finished models, on points seen through lenses of known distortion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from posed_models import database_of, model_of
from synthetic_sfm import FOCAL, SIZE_WH, look_at, make_scene

from dift_geo.colmap.adjustment import Adjustment
from dift_geo.colmap.agreement import disagreements_deg
from dift_geo.colmap.lenses import free_cameras, open_lenses, refined, write_lenses
from dift_geo.colmap.mapping import cam_from_world
from dift_geo.colmap.opened import opened
from dift_geo.sfm import SfmOptions, reconstruct_from_stores

MIDDLE = np.array(SIZE_WH) / 2
OFF = np.array([9.0, -6.0])
NOISE_PX = 0.2
ADJUSTMENT = Adjustment(1.0, 1)


def around(views: int) -> dict[str, np.ndarray]:
    """Cameras around a thing, at changing heights, each turned about its axis."""
    poses = {}
    for i, angle in enumerate(np.linspace(-0.7, 0.7, views)):
        centre = 6 * np.array([np.sin(angle), 0.3 * (i % 3 - 1), -np.cos(angle)])
        turn = 0.5 * (i % 3 - 1)
        roll = np.array(
            [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
        )
        poses[f"{i}.png"] = roll @ look_at(centre, np.zeros(3))
    return poses


def ahead(views: int) -> dict[str, np.ndarray]:
    """Cameras that only go forward: a shift of the principal point looks like another direction."""
    return {
        f"{i}.png": look_at(np.array([0.0, 0.0, -9.0 + 0.5 * i]), np.zeros(3)) for i in range(views)
    }


def seen_through(poses, terms=(0.0, 0.0), centre=MIDDLE, points: int = 300, wrong: int = 0):
    """A model whose places are of a lens that it does not know, at its own best with one term.

    terms: of the distortion.
    wrong: places of each photo that are off by 4 pixels.
    """
    random = np.random.default_rng(0)
    xyz = random.uniform([-2, -1.5, -1], [2, 1.5, 1], (points, 3))
    model = model_of(poses, xyz)
    for image in model.images.values():
        pose = poses[image.name]
        seen = xyz @ pose[:, :3].T + pose[:, 3]
        xy = seen[:, :2] / seen[:, 2:]
        r2 = (xy**2).sum(1, keepdims=True)
        places = FOCAL * xy * (1 + terms[0] * r2 + terms[1] * r2**2) + centre
        places += random.normal(0, NOISE_PX, places.shape)
        places[:wrong] += 4
        for point, place in zip(image.points2D, places):
            point.xy = place
    ADJUSTMENT.solve(model)
    return model


def error_deg(model: pycolmap.Reconstruction, poses: dict[str, np.ndarray]) -> float:
    return float(np.median(list(disagreements_deg(cam_from_world(model), [poses]).values())))


def with_own_cameras(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The same with a camera of its own for each image."""
    found = pycolmap.Reconstruction()
    for number, image in sorted(model.images.items()):
        camera = pycolmap.Camera(model.cameras[image.camera_id].todict() | {"camera_id": number})
        found.add_camera_with_trivial_rig(camera)
        copy = pycolmap.Image(name=image.name, camera_id=number, image_id=number)
        copy.points2D = pycolmap.Point2DList([pycolmap.Point2D(p.xy) for p in image.points2D])
        found.add_image_with_trivial_frame(copy, image.cam_from_world())
    for point in model.points3D.values():
        found.add_point3D(point.xyz, point.track)
    found.update_point_3d_errors()
    return found


# adjustment


def test_places_that_are_off_do_not_move_a_model() -> None:
    poses = around(5)
    spoilt = seen_through(poses, wrong=30)
    plain = pycolmap.Reconstruction(spoilt)
    options = pycolmap.BundleAdjustmentOptions(print_summary=False)
    pycolmap.bundle_adjustment(plain, options)
    assert error_deg(spoilt, poses) < 0.5 * error_deg(plain, poses)


def test_known_cameras_do_not_move() -> None:
    model = seen_through(around(5), terms=(-0.1, 0.0))
    before = list(model.cameras[1].params)
    Adjustment(1.0, 1, cameras=False).solve(model)
    assert list(model.cameras[1].params) == before


# what the photos determine


def test_a_second_term_and_the_middle_of_a_shared_camera_are_found() -> None:
    poses, terms, centre = around(6), (-0.3, 0.4), MIDDLE + OFF
    model = seen_through(poses, terms, centre)
    before = error_deg(model, poses)
    fine = refined(model, {1}, ADJUSTMENT)
    camera = fine.cameras[1]
    assert camera.model_name == "RADIAL"
    f, cx, cy, k1, k2 = camera.params
    assert (k1, k2) == pytest.approx(terms, abs=0.05)
    assert (cx, cy) == pytest.approx(tuple(centre), abs=3)
    assert f == pytest.approx(FOCAL, rel=0.005)
    assert error_deg(fine, poses) < 0.5 * before
    assert model.cameras[1].model_name == "SIMPLE_RADIAL"  # the one given stays


def test_middles_that_the_photos_do_not_fix_stay() -> None:
    for poses, terms in ((ahead(6), (-0.3, 0.4)), (around(2), (0.0, 0.0))):
        fine = refined(seen_through(poses, terms, MIDDLE + OFF), {1}, ADJUSTMENT)
        np.testing.assert_array_equal(fine.cameras[1].params[1:3], MIDDLE)


def test_cameras_of_single_photos_get_terms_and_keep_their_middle() -> None:
    poses, terms = around(6), (-0.3, 0.4)
    model = with_own_cameras(seen_through(poses, terms))
    fine = refined(model, set(model.cameras), ADJUSTMENT)
    for camera in fine.cameras.values():
        np.testing.assert_array_equal(camera.params[1:3], MIDDLE)
        assert (camera.params[3], camera.params[4]) == pytest.approx(terms, abs=0.15)
    assert error_deg(fine, poses) < 0.2


def test_cameras_that_are_known_stay() -> None:
    model = with_own_cameras(seen_through(around(6), (-0.3, 0.4), MIDDLE + OFF))
    fine = refined(model, {2, 3}, ADJUSTMENT)
    kinds = {number: camera.model_name for number, camera in fine.cameras.items()}
    assert {number for number, kind in kinds.items() if kind == "RADIAL"} == {2, 3}
    unchanged = refined(model, set(), ADJUSTMENT)
    assert {camera.model_name for camera in unchanged.cameras.values()} == {"SIMPLE_RADIAL"}


def test_wild_terms_are_not_believed(monkeypatch) -> None:
    """COLMAP throws images with such out of its models."""
    model = seen_through(around(6), (-0.3, 0.4))
    monkeypatch.setattr("dift_geo.colmap.lenses.LARGEST_TERM", 0.35)
    fine = refined(model, {1}, ADJUSTMENT)
    assert fine.cameras[1].model_name == "SIMPLE_RADIAL"


def test_a_middle_far_off_is_not_believed() -> None:
    model = seen_through(around(6), (0.0, 0.0), MIDDLE + 150)
    fine = refined(model, {1}, ADJUSTMENT)
    np.testing.assert_array_equal(fine.cameras[1].params[1:3], MIDDLE)


# models and databases


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


def test_cameras_that_nobody_knows_are_free(scene, tmp_path: Path) -> None:
    path = database_of(scene, tmp_path / "d.db")
    assert free_cameras(path) == {1}
    assert free_cameras(path, {"*": ("SIMPLE_RADIAL", [600.0, 320.0, 240.0, 0.0])}) == set()
    two = database_of(replace(scene, pairs=scene.pairs[:1]), tmp_path / "two.db")
    assert free_cameras(two) == set()


def test_models_and_databases_have_the_same_cameras(scene, tmp_path: Path) -> None:
    path = database_of(scene, tmp_path / "d.db")
    write_lenses(path, [])
    with opened(path) as database:
        before = database.read_camera(1)
        assert before.model_name == "SIMPLE_RADIAL"
    write_lenses(path, [1])
    write_lenses(path, [1])  # nothing is left to do
    with opened(path) as database:
        after = database.read_camera(1)
    assert after.model_name == "RADIAL"
    assert list(after.params) == [*before.params, 0.0]
    model = model_of(scene.poses)
    open_lenses(model, [1, 7])
    assert list(model.cameras[1].params) == [FOCAL, *MIDDLE, 0.0, 0.0]


def test_a_reconstruction_says_the_same_in_model_and_database(scene, tmp_path: Path) -> None:
    for asked, expected in (("auto", "RADIAL"), ("SIMPLE_RADIAL", "SIMPLE_RADIAL")):
        out = tmp_path / asked
        paths = scene.images, scene.features, scene.matches, scene.pairs, out
        made = reconstruct_from_stores(*paths, SfmOptions(camera_model=asked))
        assert {camera.model_name for camera in made.model.cameras.values()} == {expected}
        with opened(out / "database.db") as database:
            assert {camera.model_name for camera in database.read_all_cameras()} == {expected}
        # COLMAP itself goes on from there
        again = pycolmap.triangulate_points(
            pycolmap.Reconstruction(made.folder), out / "database.db", scene.images, tmp_path
        )
        assert again.num_points3D() == made.model.num_points3D()
