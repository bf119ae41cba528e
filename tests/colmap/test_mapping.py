"""How COLMAP's mapper is asked, and asked again."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest
from synthetic_sfm import make_scene

from dift_geo.colmap.database import build_database
from dift_geo.colmap.mapping import cam_from_world, map_database, write_models


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


class Model:
    """As much of a model as the choice between models looks at."""

    def __init__(self, images, points):
        self.images, self.points = images, points

    def num_reg_images(self):
        return self.images

    def num_points3D(self):
        return self.points

    def compute_num_observations(self):
        return 3 * self.points


@pytest.fixture
def mapping(monkeypatch):
    """Stands in for COLMAP's mapper: gives what `found` says, one after the other."""

    class Mapping:
        found: list
        asked: list

        def __call__(self, database, images, folder, options):
            self.asked.append(options)
            models = self.found[len(self.asked) - 1]
            return dict(enumerate(models if isinstance(models, list) else [models]))

    fake = Mapping()
    fake.asked = []
    monkeypatch.setattr(pycolmap, "incremental_mapping", fake)
    return fake


def database_of(path, count):
    """A database of `count` images."""
    with pycolmap.Database.open(str(path)) as database:
        camera = database.write_camera(
            pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, 64, 48)
        )
        for i in range(count):
            database.write_image(pycolmap.Image(name=f"{i}.png", camera_id=camera))
    return path


def test_small_sets_are_mapped_until_the_best_model_has_come_twice(mapping, tmp_path):
    path = database_of(tmp_path / "d.db", 5)
    mapping.found = [Model(4, 30), Model(4, 50), Model(3, 90), Model(4, 50), Model(4, 60)]
    models = map_database(path, tmp_path, tmp_path / "models", seed=5)
    assert [options.random_seed for options in mapping.asked] == [5, 6, 7, 8]
    assert {options.mapper.filter_max_reproj_error for options in mapping.asked} == {2.0}
    assert all(options.ba_refine_focal_length for options in mapping.asked)
    assert [(model.images, model.points) for model in models] == [(4, 50)]


def test_all_models_of_the_best_run_come_and_none_of_another(mapping, tmp_path):
    path = database_of(tmp_path / "d.db", 9)
    mapping.found = [[Model(4, 90)], [Model(2, 20), Model(5, 50), Model(3, 10)], [Model(5, 50)]]
    models = map_database(path, tmp_path, tmp_path / "models")
    assert [model.images for model in models] == [5, 3, 2]


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


def test_the_same_model_twice_is_enough(mapping, tmp_path):
    mapping.found = [Model(4, 30), Model(4, 30)]
    map_database(database_of(tmp_path / "d.db", 5), tmp_path, tmp_path / "models", seed=5)
    assert [options.random_seed for options in mapping.asked] == [5, 6]


def test_never_twice_ends_all_the_same(mapping, tmp_path):
    mapping.found = [Model(4, 30 + i) for i in range(9)]
    path = database_of(tmp_path / "d.db", 5)
    assert map_database(path, tmp_path, tmp_path / "models")[0].points == 37
    assert [options.random_seed for options in mapping.asked] == list(range(8))


def test_large_sets_are_mapped_once_where_half_of_the_images_are_in(mapping, tmp_path):
    path = database_of(tmp_path / "d.db", 31)
    mapping.found = [Model(15, 900), Model(16, 100)]
    assert map_database(path, tmp_path, tmp_path / "models")[0].images == 16
    assert len(mapping.asked) == 2


def test_two_views_keep_their_cameras(mapping, tmp_path):
    mapping.found = [Model(2, 30), Model(2, 30)]
    map_database(database_of(tmp_path / "d.db", 2), tmp_path, tmp_path / "models")
    assert not any(options.ba_refine_focal_length for options in mapping.asked)
    assert not any(options.ba_refine_extra_params for options in mapping.asked)


def test_the_last_resort_keeps_what_colmap_leaves_out(mapping, tmp_path):
    path = database_of(tmp_path / "d.db", 5)
    empty = [Model(1, 30), Model(4, 0)]  # models that hold nothing
    mapping.found = [*[empty] * 8, [Model(2, 10)]]
    assert map_database(path, tmp_path, tmp_path / "models", seed=3)[0].points == 10
    *seeded, last = mapping.asked
    assert all(options.triangulation.ignore_two_view_tracks for options in seeded)
    assert not last.triangulation.ignore_two_view_tracks
    assert (last.random_seed, last.min_model_size) == (3, 2)
    assert last.mapper.init_min_tri_angle == 1.0
    assert last.mapper.filter_max_reproj_error == 2.0


def test_map_database_without_matches_is_empty(scene, tmp_path):
    build_database(tmp_path / "d.db", scene.images, sorted(scene.poses))
    assert map_database(tmp_path / "d.db", scene.images, tmp_path / "models") == []


def test_an_unknown_mapper_is_refused(tmp_path):
    with pytest.raises(ValueError, match="mapper is 'fast', expected one of incremental, global"):
        map_database(tmp_path / "d.db", tmp_path, tmp_path, mapper="fast")


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


@pytest.mark.parametrize(("asked", "given"), [({}, 1), ({"threads": 3}, 3), ({"threads": 0}, -1)])
def test_one_thread_maps_unless_more_are_asked_for(mapping, tmp_path, asked, given):
    mapping.found = [[]] * 9
    map_database(database_of(tmp_path / "d.db", 5), tmp_path, tmp_path / "models", **asked)
    assert {options.num_threads for options in mapping.asked} == {given}
