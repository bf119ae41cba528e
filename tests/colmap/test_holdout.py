"""Matches that the mapper is not shown."""

from __future__ import annotations

import cv2
import numpy as np
import pycolmap
import pytest
from posed_models import database_of, model_of
from synthetic_sfm import make_scene

from dift_geo.colmap.holdout import HeldOut, hold_out, sampson_px
from dift_geo.colmap.transaction import copy_database


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def database(scene, tmp_path_factory):
    return database_of(scene, tmp_path_factory.mktemp("database") / "d.db")


def verified(path) -> dict[tuple[int, int], set[tuple[int, int]]]:
    with pycolmap.Database.open(str(path)) as database:
        ids, geometries = database.read_two_view_geometries()
        return {
            pycolmap.pair_id_to_image_pair(pair_id): set(map(tuple, g.inlier_matches.tolist()))
            for pair_id, g in zip(ids, geometries)
        }


def test_the_distance_is_opencvs() -> None:
    random = np.random.default_rng(0)
    xy0, xy1 = random.normal(size=(2, 20, 2))
    turn, _ = cv2.Rodrigues(np.array([0.1, -0.3, 0.2]))
    pose = np.column_stack([turn, [0.5, -0.2, 1.0]])
    x, y, z = pose[:, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turn
    for a, b, found in zip(xy0, xy1, sampson_px(xy0, xy1, pose)):
        # OpenCV gives the square
        expected = cv2.sampsonDistance(np.append(a, 1), np.append(b, 1), essential)
        assert found == pytest.approx(np.sqrt(expected), rel=1e-9)
    assert np.isinf(sampson_px(np.array([[np.nan, 0]]), xy1[:1], pose)).all()
    assert len(sampson_px(xy0[:0], xy1[:0], pose)) == 0


def test_a_tenth_of_each_pair_goes_and_the_rest_stays(database, tmp_path) -> None:
    copy_database(database, tmp_path / "copy.db")
    held = hold_out(tmp_path / "copy.db", seed=3)
    before, after = verified(database), verified(tmp_path / "copy.db")
    assert len(held.places) == len(before) == 10
    for pair, rows in before.items():
        assert after[pair] < rows
        assert len(rows) - len(after[pair]) == round(0.1 * len(rows))
    assert held.count() == sum(len(rows) for rows in before.values()) - sum(
        map(len, after.values())
    )
    with pycolmap.Database.open(str(database)) as source:
        ids = {image.name: image.image_id for image in source.read_all_images()}
        for (a, b), (xy0, xy1) in held.places.items():
            drawn = before[ids[a], ids[b]] - after[ids[a], ids[b]]
            k0, k1 = source.read_keypoints(ids[a]), source.read_keypoints(ids[b])
            theirs = {(*k0[i, :2].tolist(), *k1[j, :2].tolist()) for i, j in drawn}
            assert {(*p.tolist(), *q.tolist()) for p, q in zip(xy0, xy1)} == theirs


def test_the_seed_decides_which(database, tmp_path) -> None:
    drawn = []
    for name, seed in (("a.db", 1), ("b.db", 1), ("c.db", 2)):
        copy_database(database, tmp_path / name)
        held = hold_out(tmp_path / name, seed=seed)
        drawn.append([xy.tolist() for xy, _ in held.places.values()])
    assert drawn[0] == drawn[1] != drawn[2]


def test_pairs_keep_what_colmap_needs(database, tmp_path) -> None:
    copy_database(database, tmp_path / "copy.db")
    hold_out(tmp_path / "copy.db", share=1.0)
    assert {len(rows) for rows in verified(tmp_path / "copy.db").values()} == {15}
    assert hold_out(tmp_path / "copy.db", share=1.0).count() == 0


def test_the_true_model_explains_them_and_a_bent_one_does_not(scene, database, tmp_path) -> None:
    copy_database(database, tmp_path / "copy.db")
    held = hold_out(tmp_path / "copy.db")
    for witness in held.ask(model_of(scene.poses)).values():
        assert witness.within >= witness.total - 1  # keypoints are exact, but for wrong matches
    bent = dict(scene.poses)
    name = max(bent)
    bent[name] = bent[name] + np.array([[0, 0, 0, 0.5], [0, 0, 0, 0.3], [0, 0, 0, 0]])
    for pair, witness in held.ask(model_of(bent)).items():
        if name in pair:
            assert witness.within < witness.total / 2


def test_images_without_a_pose_say_nothing(scene, database, tmp_path) -> None:
    copy_database(database, tmp_path / "copy.db")
    held = hold_out(tmp_path / "copy.db")
    some = dict(sorted(scene.poses.items())[:2])
    assert list(held.ask(model_of(some))) == [tuple(sorted(some))]
    assert HeldOut({}).ask(model_of(some)) == {}
