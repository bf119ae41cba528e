"""What a model says of itself, and how it is written."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest
from posed_models import database_of
from synthetic_sfm import make_scene

from dift_geo.colmap.database import verify_database
from dift_geo.colmap.mapping import cam_from_world, count_images, has_ordinary_pair, write_models


def test_models_are_written_as_colmap_does_and_the_best_where_it_always_lay(tmp_path):
    models = []
    for count in (3, 2):
        model = pycolmap.Reconstruction()
        camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
        model.add_camera_with_trivial_rig(camera)
        for i in range(1, count + 1):
            image = pycolmap.Image(name=f"{count} {i}.png", camera_id=1, image_id=i)
            model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
        models.append(model)
    write_models(tmp_path / "sparse", models)
    for place, count in {".": 3, "0": 3, "1": 2}.items():
        assert pycolmap.Reconstruction(str(tmp_path / "sparse" / place)).num_reg_images() == count
    assert sorted(p.name for p in (tmp_path / "sparse").iterdir() if p.is_dir()) == ["0", "1"]


def test_poses_of_a_model_are_those_of_registered_images():
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(
        pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
    )
    pose = np.column_stack([np.eye(3)[[1, 2, 0]], [1.0, 2, 3]])
    placed = pycolmap.Image(name="a.png", camera_id=1, image_id=1)
    model.add_image_with_trivial_frame(placed, pycolmap.Rigid3d(pose))
    model.add_image_with_trivial_frame(pycolmap.Image(name="b.png", camera_id=1, image_id=2))
    (found,) = cam_from_world(model).items()
    assert found[0] == "a.png"
    np.testing.assert_allclose(found[1], pose, atol=1e-12)


@pytest.mark.parametrize("kind", ["PLANAR", "PANORAMIC", "PLANAR_OR_PANORAMIC", "WATERMARK"])
def test_pairs_without_depth_are_no_ordinary_ones(tmp_path, kind) -> None:
    path = database_of(make_scene(tmp_path, views=3), tmp_path / "d.db")
    assert count_images(path) == 3
    assert has_ordinary_pair(path)
    with pycolmap.Database.open(str(path)) as database:
        ids, geometries = database.read_two_view_geometries()
        for pair_id, geometry in zip(ids, geometries):
            geometry.config = pycolmap.TwoViewGeometryConfiguration.__members__[kind]
            pair = pycolmap.pair_id_to_image_pair(pair_id)
            database.update_two_view_geometry(*pair, geometry)
    assert not has_ordinary_pair(path)


def test_noise_of_keypoints_is_no_depth(tmp_path) -> None:
    """Within a narrow limit COLMAP takes keypoints of a plane, off by a pixel, for a scene."""
    scene = make_scene(tmp_path, views=2)
    path = database_of(scene, tmp_path / "d.db")
    random = np.random.default_rng(0)
    first = random.uniform([60, 60], [580, 420], (150, 2))
    second = first @ np.array([[0.98, 0.04], [-0.03, 1.02]]) + [12, 9]
    with pycolmap.Database.open(str(path)) as database:
        database.clear_keypoints()
        for number, xy in ((1, first), (2, second)):
            noisy = xy + random.normal(0, 1, xy.shape)
            database.write_keypoints(number, noisy.astype(np.float32))
        database.clear_two_view_geometries()
    assert verify_database(path, scene.pairs)[0] > 60
    with pycolmap.Database.open(str(path)) as database:
        _, (found,) = database.read_two_view_geometries()
    assert found.config == pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED.value
    assert not has_ordinary_pair(path)
