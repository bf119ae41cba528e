"""COLMAP's verification of a database, whole or in part, against its own by names."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pycolmap
import pytest
from synthetic_sfm import make_scene

from dift_geo.colmap.database import build_database, import_features, import_matches
from dift_geo.colmap.verification import (
    VERIFY_PX,
    Verification,
    draws_for,
    verify_database,
)
from dift_geo.store.features import FeatureStore
from dift_geo.store.matches import MatchStore


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def matched(scene, tmp_path_factory):
    """A database with matches, none of them verified."""
    path = tmp_path_factory.mktemp("matched") / "d.db"
    ids = build_database(path, scene.images, sorted(scene.poses))
    with FeatureStore(scene.features) as features, MatchStore(scene.matches) as matches:
        import_features(path, ids, features)
        import_matches(path, ids, scene.pairs, matches)
    return path


@pytest.fixture
def database(matched, tmp_path):
    return shutil.copy(matched, tmp_path / "d.db")


def rows(path, table):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def verify_by_names(path, pairs, folder):
    """As COLMAP's own command does it, which needs names without spaces."""
    with pycolmap.Database.open(str(path)) as database:
        for image in database.read_all_images():
            image.name = image.name.replace(" ", "_")
            database.update_image(image)
    lines = [f"{a.replace(' ', '_')} {b.replace(' ', '_')}\n" for a, b in pairs]
    (folder / "pairs.txt").write_text("".join(lines))
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed, options.ransac.max_error = 0, VERIFY_PX
    pycolmap.verify_matches(str(path), str(folder / "pairs.txt"), options)


def test_says_what_colmap_says_by_names_to_the_last_digit(scene, matched, database, tmp_path):
    theirs = shutil.copy(matched, tmp_path / "theirs.db")
    verify_by_names(theirs, scene.pairs, tmp_path)
    counts = verify_database(database, scene.pairs)
    assert all(130 <= count <= 140 for count in counts)  # one in ten is wrong
    assert rows(database, "two_view_geometries") == rows(theirs, "two_view_geometries")


def test_other_pairs_stay_as_they_are(scene, database, tmp_path):
    whole = shutil.copy(database, tmp_path / "whole.db")
    all_counts = verify_database(whole, scene.pairs)
    images, matches = rows(database, "images"), rows(database, "matches")
    first, rest = scene.pairs[:3], scene.pairs[3:]
    assert verify_database(database, first) == all_counts[:3]
    assert len(rows(database, "two_view_geometries")) == 3
    assert verify_database(database, [pair[::-1] for pair in rest]) == all_counts[3:]
    assert rows(database, "two_view_geometries") == rows(whole, "two_view_geometries")
    assert (
        verify_database(database, first, Verification(max_error_px=0.01)) <= all_counts[:3]
    )  # again
    assert rows(database, "images") == images
    assert rows(database, "matches") == matches


@pytest.mark.parametrize("part", [slice(None), slice(4)])
def test_a_stop_in_the_middle_leaves_the_names(scene, database, monkeypatch, part):
    before = rows(database, "images")

    def stop(*_, **__):
        assert rows(database, "images") == before  # a kill now would leave this
        raise KeyboardInterrupt

    monkeypatch.setattr(pycolmap, "geometric_verification", stop)
    monkeypatch.setattr(pycolmap, "verify_matches", stop)
    with pytest.raises(KeyboardInterrupt):
        verify_database(database, scene.pairs[part])
    assert rows(database, "images") == before
    assert rows(database, "two_view_geometries") == []


def test_unknown_names_and_pairs_without_matches(scene, tmp_path):
    path = tmp_path / "d.db"
    build_database(path, scene.images, sorted(scene.poses))
    with pytest.raises(KeyError, match=r"'nowhere' is not in .*d.db; expected one of its 5 images"):
        verify_database(path, [("view 0.png", "nowhere")])
    assert verify_database(path, scene.pairs[:2]) == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("asked", [{"min_inliers": 140}, {"min_inlier_ratio": 0.95}])
def test_pairs_with_too_few_that_agree_are_none(scene, database, asked):
    """Of 150 matches of a pair, 15 are wrong."""
    assert verify_database(database, scene.pairs, Verification(**asked)) == [0] * len(scene.pairs)


def test_few_pairs_are_verified_several_times(scene, database, monkeypatch):
    seeds, colmaps = [], pycolmap.geometric_verification

    def counted(path, *, two_view_geometry_options):
        seeds.append(two_view_geometry_options.ransac.random_seed)
        colmaps(path, two_view_geometry_options=two_view_geometry_options)

    monkeypatch.setattr(pycolmap, "geometric_verification", counted)
    verify_database(database, scene.pairs, seed=5)
    assert seeds == list(range(35, 42))
    seeds.clear()
    verify_database(database, scene.pairs, Verification(draws=1), seed=5)
    assert seeds == [5]
    assert [draws_for(count) for count in (0, 1, 435, 436, 10**6)] == [7, 7, 7, 1, 1]
