"""How often COLMAP's mapper is asked, and which answer counts."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest
from posed_models import database_of, model_of
from synthetic_sfm import make_scene

from dift_geo.colmap import opinions
from dift_geo.colmap.database import build_database
from dift_geo.colmap.holdout import hold_out
from dift_geo.colmap.opinions import Opinion, ask_mapper, map_database
from dift_geo.colmap.transaction import copy_database

POINTS = np.random.default_rng(0).uniform([-2, -1.5, -1], [2, 1.5, 1], (40, 3))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def database(scene, tmp_path_factory):
    return database_of(scene, tmp_path_factory.mktemp("database") / "d.db")


@pytest.fixture
def mapping(monkeypatch):
    """Stands in for COLMAP's mapper: gives what `found` says, one after the other."""

    class Mapping:
        found: list
        asked: list

        def __call__(self, database, images, folder, options):
            self.asked.append(options)
            return dict(enumerate(self.found[min(len(self.asked), len(self.found)) - 1]))

        @property
        def seeds(self):
            return [options.random_seed for options in self.asked]

    fake = Mapping()
    fake.asked = []
    monkeypatch.setattr(pycolmap, "incremental_mapping", fake)
    return fake


def bent(poses, by):
    """The model with its last camera displaced."""
    name = max(poses)
    shift = np.array([[0, 0, 0, by], [0, 0, 0, by / 2], [0, 0, 0, 0]])
    return model_of({**poses, name: poses[name] + shift}, POINTS)


def part(poses, count):
    return model_of(dict(sorted(poses.items())[:count]), POINTS)


def test_two_runs_that_agree_are_enough(scene, database, mapping, tmp_path) -> None:
    mapping.found = [[model_of(scene.poses, POINTS)]]
    found = ask_mapper(database, tmp_path / "models", seed=5)
    assert mapping.seeds == sorted(opinion.seed for opinion in found) == [5, 6]
    assert {options.mapper.filter_max_reproj_error for options in mapping.asked} == {2.0}
    assert all(options.ba_refine_focal_length for options in mapping.asked)
    assert all(options.ignore_watermarks for options in mapping.asked)


def test_small_sets_are_asked_until_two_agree(scene, database, mapping, tmp_path) -> None:
    right = model_of(scene.poses, POINTS)
    mapping.found = [[bent(scene.poses, 0.5)], [right], [right], [right]]
    found = ask_mapper(database, tmp_path / "models")
    assert mapping.seeds == [0, 1, 2]
    assert found[-1].seed == 0


def test_the_consistent_model_counts_and_not_the_one_of_more_points(
    scene, database, mapping, tmp_path
) -> None:
    many = np.concatenate([POINTS, POINTS + 0.01])
    name = max(scene.poses)
    wrong = {**scene.poses, name: scene.poses[name] + np.array([[0, 0, 0, 0.6]] * 3)}
    mapping.found = [[model_of(wrong, many)], [model_of(scene.poses, POINTS)]]
    found = ask_mapper(database, tmp_path / "models")
    assert found[0].models[0].num_points3D() == len(POINTS)


def test_what_two_runs_say_counts_before_what_one_explains(
    scene, database, mapping, monkeypatch, tmp_path
) -> None:
    """One run may happen to explain more of the few matches that it was not shown."""
    alone = {1: 0.99, 0: 0.9, 2: 0.9}
    consistency = property(lambda opinion: alone[opinion.seed])
    monkeypatch.setattr(Opinion, "consistency", consistency)
    right = model_of(scene.poses, POINTS)
    mapping.found = [[right], [bent(scene.poses, 0.5)], [right]]
    found = ask_mapper(database, tmp_path / "models")
    assert mapping.seeds == [0, 1, 2]
    assert [opinion.seed for opinion in found] == [0, 2, 1]


def test_where_none_agree_nearly_the_same_counts_before_one_alone(
    scene, database, mapping, monkeypatch, tmp_path
) -> None:
    alone = {0: 0.99, 1: 0.9, 2: 0.95, 3: 0.98}
    monkeypatch.setattr(Opinion, "consistency", property(lambda opinion: alone[opinion.seed]))
    models = [bent(scene.poses, amount) for amount in (2.0, 0.0, 0.1, -1.5)]
    mapping.found = [[model] for model in models]
    found = ask_mapper(database, tmp_path / "models")
    assert mapping.seeds == [0, 1, 2, 3]
    by_seed = {opinion.seed: opinion for opinion in found}
    assert not by_seed[1].agrees_with(by_seed[2])
    assert by_seed[1].agrees_with(by_seed[2], 3.0)
    assert [opinion.seed for opinion in found] == [2, 1, 0, 3]


def test_runs_that_never_agree_end(scene, database, mapping, tmp_path) -> None:
    mapping.found = [[bent(scene.poses, 0.5 + k)] for k in range(9)]
    found = ask_mapper(database, tmp_path / "models")
    assert mapping.seeds == [0, 1, 2, 3]
    assert found[0].seed == 0


def test_large_sets_are_asked_twice(scene, database, mapping, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(opinions, "SMALL", 4)
    mapping.found = [[bent(scene.poses, 0.5 + k)] for k in range(9)]
    ask_mapper(database, tmp_path / "models")
    assert mapping.seeds == [0, 1]


def test_any_set_is_asked_again_while_half_of_the_images_are_out(
    scene, database, mapping, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(opinions, "SMALL", 4)
    mapping.found = [[part(scene.poses, 2)], [], [], [model_of(scene.poses, POINTS)]]
    found = ask_mapper(database, tmp_path / "models")
    assert mapping.seeds == [0, 1, 2, 3]
    assert [opinion.registered for opinion in found] == [5, 2]


def test_all_models_of_the_best_run_come_largest_first(scene, database, mapping, tmp_path) -> None:
    mapping.found = [[part(scene.poses, 2), model_of(scene.poses, POINTS), part(scene.poses, 3)]]
    found = map_database(database, scene.images, tmp_path / "models")
    assert [model.num_reg_images() for model in found] == [5, 3, 2]


def test_the_last_resort_keeps_what_colmap_leaves_out(scene, database, mapping, tmp_path) -> None:
    empty = [model_of(dict(list(scene.poses.items())[:1]), POINTS), model_of(scene.poses)]
    mapping.found = [*[empty] * 8, [part(scene.poses, 2)]]
    found = ask_mapper(database, tmp_path / "models", seed=3)
    assert [opinion.registered for opinion in found] == [2, 2]
    *seeded, last, again = mapping.asked
    assert len(seeded) == 8
    assert all(options.triangulation.ignore_two_view_tracks for options in seeded)
    for seed, options in ((3, last), (4, again)):
        assert not options.triangulation.ignore_two_view_tracks
        assert (options.random_seed, options.min_model_size) == (seed, 2)
        assert options.mapper.init_min_tri_angle == 1.0


def test_two_views_keep_their_cameras(mapping, tmp_path) -> None:
    scene = make_scene(tmp_path, views=2)
    mapping.found = [[model_of(scene.poses, POINTS)]]
    ask_mapper(database_of(scene, tmp_path / "d.db"), tmp_path / "models")
    assert not any(options.ba_refine_focal_length for options in mapping.asked)
    assert not any(options.ba_refine_extra_params for options in mapping.asked)


@pytest.mark.parametrize(("threads", "given"), [(1, 1), (3, 3), (0, -1)])
def test_threads_are_as_asked(database, mapping, tmp_path, threads, given) -> None:
    mapping.found = [[]]
    ask_mapper(database, tmp_path / "models", threads=threads)
    assert {options.num_threads for options in mapping.asked} == {given}


def test_consistency_is_the_share_of_all_that_was_withheld(scene, database, tmp_path) -> None:
    copy_database(database, tmp_path / "copy.db")
    held = hold_out(tmp_path / "copy.db")
    whole = Opinion([model_of(scene.poses, POINTS)], held, 0)
    some = Opinion([part(scene.poses, 2)], held, 0)
    assert whole.consistency > 0.97
    pair = tuple(sorted(scene.poses)[:2])
    assert 0 < some.consistency <= len(held.places[pair][0]) / held.count()
    assert Opinion([], held, 0).consistency == 0
    assert whole.agrees_with(whole)
    assert not whole.agrees_with(some)
    assert not Opinion([], held, 0).agrees_with(whole)


def test_nothing_comes_of_no_matches(scene, tmp_path) -> None:
    build_database(tmp_path / "d.db", scene.images, sorted(scene.poses))
    assert ask_mapper(tmp_path / "d.db", tmp_path / "models") == []
    assert map_database(tmp_path / "d.db", scene.images, tmp_path / "models") == []


def test_an_unknown_mapper_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="mapper is 'fast', expected one of incremental, global"):
        ask_mapper(tmp_path / "d.db", tmp_path, mapper="fast")
